/* levels.h - a level of headroom, the host or a label: which nodes are backups at it, and where to look first
 * for one more. */
#ifndef MF_LEVELS_H
#define MF_LEVELS_H

#include "standby.h"

struct mf_hot { /* standbys of one class that may take another domain: their nodes */
    uint32_t *nodes, n, cap;
};
struct mf_hint { /* the newest backup of one of a domain's */
    uint32_t domain, node;
};
struct mf_level {
    uint32_t key;           /* of the label; 0: the host */
    struct mf_standby **at; /* by node; NULL: it is no backup */
    uint32_t n_at;
    struct mf_hint *hints;
    uint32_t n_hints;   /* a power of two */
    struct mf_hot *hot; /* by class */
    uint32_t n_hot;
};

void mf_level_free(struct mf_level *self, struct mf_pool *pool);
/* What fails together with the node. Without the label it is a domain of its own. */
uint32_t mf_level_domain(const struct mf_pool *pool, const struct mf_level *self, uint32_t node);
static inline struct mf_standby *mf_level_standby(const struct mf_level *self, uint32_t node)
{
    return node < self->n_at ? self->at[node] : NULL;
}
struct mf_standby *mf_level_make(struct mf_level *self, struct mf_pool *pool, uint32_t node); /* or find */
void mf_level_end(struct mf_level *self, struct mf_pool *pool, struct mf_standby *standby);
/* It takes another domain, or can again. */
void mf_level_heat(struct mf_level *self, struct mf_standby *standby);
void mf_level_hint(struct mf_level *self, const struct mf_pool *pool, uint32_t domain, uint32_t node);
struct mf_standby *mf_level_hinted(const struct mf_level *self, uint32_t domain); /* NULL: none, or no more */
/* items for at least so many, new ones zeroed. */
void *mf_grown(void *items, uint32_t *cap, uint32_t wanted, size_t size);

#endif
