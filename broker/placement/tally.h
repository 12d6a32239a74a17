/* tally.h - how a tally is made, for the rules that walk it. */
#ifndef MF_TALLY_H
#define MF_TALLY_H

#include "pool.h"

struct mf_tally_entry {
    uint32_t domain; /* a label, or a node's number + 1; 0: free */
    uint32_t count;
};
struct mf_tally {
    uint32_t key, n, size; /* domains; places in the table, a power of two */
    uint32_t most;         /* no count is above it; it falls behind when counts fall */
    uint32_t falls;        /* of counts that were `most`, since it was last true */
    struct mf_tally_entry *table;
};

static inline uint32_t mf_tally_count_of(const struct mf_tally *self, uint32_t domain)
{
    uint32_t mask = self->size - 1;

    if (!self->n)
        return 0;
    for (uint32_t at = domain * 0x9e3779b1u >> 7 & mask;; at = (at + 1) & mask) {
        if (self->table[at].domain == domain)
            return self->table[at].count;
        if (!self->table[at].domain)
            return 0;
    }
}

#endif
