/* counts.h - what an agent can be counted by, for /metrics: by state, never by guest. */
#ifndef MF_WORKER_COUNTS_H
#define MF_WORKER_COUNTS_H

#include "worker.h"

enum { MF_WORKER_STATES_MAX = 16 };

struct mf_worker_counts {
    const char *session; /* state of session.def */
    struct {
        const char *state;
        size_t n;
    } guests[MF_WORKER_STATES_MAX]; /* states of guest.def, up to the first without a word */
    size_t foreign;                 /* domains that are not ours */
    size_t reports;                 /* not acknowledged yet */
    uint64_t ignored;
    struct mf_rec_resources capacity;
    size_t cells; /* NUMA cells of it that are told */
};

void mf_worker_count(const struct mf_worker *self, struct mf_worker_counts *ret_counts);

#endif
