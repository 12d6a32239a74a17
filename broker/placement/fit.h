/* fit.h - one node and one shape: may it sit there, in which cells, and how good would that be. */
#ifndef MF_FIT_H
#define MF_FIT_H

#include "pool_private.h"

enum { BUCKET_BITS = 12, BUCKETS = 1 << BUCKET_BITS, WARM_BIT = 9, PREFERRED_BIT = 10, PREFERRED_MAX = 3 };

struct mf_fitting {
    enum mf_refusal refusal;
    uint8_t cells;
    uint32_t score, warm, preferred; /* the score less the penalty */
};

/* Class, labels and fencing: what changes seldom. */
enum mf_refusal mf_fit_standing(const struct mf_pool *self, const struct mf_shape *shape, uint32_t node);
/* All the rest, of a node that passes that. */
void mf_fit_now(const struct mf_pool *self, const struct mf_shape *shape, uint32_t node,
                struct mf_fitting *ret_fit);
/* Both, in the order of enum mf_refusal, and whether it is for headroom alone that it does not fit. */
void mf_fit_whole(const struct mf_pool *self, const struct mf_shape *shape, uint32_t node,
                  struct mf_fitting *ret_fit);

static inline uint32_t mf_fit_bucket(const struct mf_fitting *fit)
{
    return fit->preferred << PREFERRED_BIT | fit->warm << WARM_BIT | fit->score;
}

/* What is left of a capacity; an over-full node has nothing left. */
static inline uint32_t mf_left(uint32_t capacity, uint64_t used, uint32_t reserved)
{
    return used + reserved < capacity ? (uint32_t)(capacity - used - reserved) : 0;
}
static inline bool mf_unbounded(const struct mf_amounts *capacity, int dimension)
{
    return dimension >= MF_FIRST_RATE && capacity->of[dimension] == 0;
}
/* Is the shape split over the node's cells? Then each takes its share, rounded up. */
bool mf_fit_splits(const struct mf_row *row, const struct mf_shape *shape);
#endif
