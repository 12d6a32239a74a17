/* view.h - the nodes as instances of one shape see them: those that fit, in buckets by rank.
 *
 * A bucket is an array of node numbers in no order; each node knows its bucket and its place there (its
 * slot), so that it moves from one to another in a few steps. A change of a node is noted with each view that
 * it matters to, once, and looked at when the view is next asked. */
#ifndef MF_VIEW_H
#define MF_VIEW_H

#include "fit.h"

enum {
    GROUPS = 64,             /* of buckets; made when first one of them is wanted */
    PLACE_BITS = 18,         /* a node's slot: its bucket and its place there; with two beyond all of them: */
    SLOT_AWAY = 0xffffffffu, /* closed, or not for this shape at all */
    SLOT_FULL = 0xfffffffeu, /* open, and has no room */
};
_Static_assert(BUCKET_BITS + PLACE_BITS < 32, "a slot is less than those two");
_Static_assert(MF_POOL_NODES_MAX <= 1 << PLACE_BITS, "a place in a bucket may be any node's number");
_Static_assert(BUCKETS == GROUPS * 64, "a group is a word of bits");

struct mf_bucket {
    uint32_t *nodes, n, cap;
};
struct mf_reach { /* of a view into the domains of a label's key: how many nodes in each */
    uint32_t key, n_words;
    uint32_t *open, *fit;   /* by a domain's ordinal */
    uint32_t n_open, n_fit; /* domains with any */
};
struct mf_view {
    uint32_t shape;
    uint8_t bit; /* its number among the pool's views */
    uint64_t asked_at;
    uint32_t n_open, n_fit;
    uint32_t *pending, n_pending, pending_cap; /* nodes that changed; each is there once */
    uint64_t groups, filled[GROUPS];           /* bits: groups with any node, buckets with any */
    struct mf_bucket *buckets[GROUPS];
    struct mf_reach *reaches; /* into the keys that rules on this shape were about */
    uint32_t n_reaches;
};

/* The shape's view, made if there is none, that has looked at every change. */
struct mf_view *mf_view_of(struct mf_pool *self, uint32_t shape);
void mf_view_drop(struct mf_pool *self, uint32_t shape);
void mf_views_destroy(struct mf_pool *self);
/* Let one of those that lag look at some changes ahead of its turn. */
void mf_views_catch_up(struct mf_pool *self);

/* A node changed in a way that views rank it by. */
void mf_views_touch(struct mf_pool *self, uint32_t node);
/* Its class, labels or fencing are about to be others, and then are. */
void mf_views_forget(struct mf_pool *self, uint32_t node);
void mf_views_meet(struct mf_pool *self, uint32_t node);
void mf_views_grow(struct mf_pool *self); /* rows_cap did */

/* From now on a node's label of this key is found at once. */
void mf_pool_index(struct mf_pool *self, uint32_t key);
const struct mf_reach *mf_view_reach(struct mf_pool *self, struct mf_view *view, uint32_t key);
void mf_view_check(const struct mf_pool *self, const struct mf_view *view);
uint64_t mf_view_bytes(const struct mf_view *view);

/* By node first: views look at a changed node soon after each other. */
static inline uint32_t *mf_view_slot(const struct mf_pool *self, const struct mf_view *view, uint32_t node)
{
    return &self->slots[(size_t)node * self->stride + view->bit];
}
static inline bool mf_slot_fits(uint32_t slot)
{
    return slot < SLOT_FULL;
}
static inline uint32_t mf_slot_bucket(uint32_t slot)
{
    return slot >> PLACE_BITS;
}
static inline uint32_t mf_slot_place(uint32_t slot)
{
    return slot & ((1u << PLACE_BITS) - 1);
}
static inline const struct mf_bucket *mf_view_bucket(const struct mf_view *view, uint32_t bucket)
{
    return &view->buckets[bucket / 64][bucket % 64];
}
/* The best bucket with any node that is below `bucket`; BUCKETS if there is none. */
static inline uint32_t mf_view_below(const struct mf_view *view, uint32_t bucket)
{
    uint32_t group = bucket / 64;
    uint64_t bits = group < GROUPS ? view->filled[group] & ((UINT64_C(1) << bucket % 64) - 1) : 0;

    if (!bits) {
        uint64_t groups = group < GROUPS ? view->groups & ((UINT64_C(1) << group) - 1) : view->groups;
        if (!groups)
            return BUCKETS;
        group = 63 - (uint32_t)__builtin_clzll(groups);
        bits = view->filled[group];
    }
    return group * 64 + 63 - (uint32_t)__builtin_clzll(bits);
}

#endif
