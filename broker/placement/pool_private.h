/* pool_private.h - how the pool is made; for the files of this folder that make it up. */
#ifndef MF_POOL_PRIVATE_H
#define MF_POOL_PRIVATE_H

#include "check.h"
#include "map.h"
#include "pool.h"
#include "words.h"

#include <stdlib.h>
#include <string.h>

enum { CELLS_OWN = 2, VIEW_NONE = 0xff };

/* Sums are 64 bits wide: what sits on a node may be more than it has, and more than 32 bits hold. */
struct mf_row_cell {
    struct mf_cell capacity, reserved;
    uint64_t used[MF_CELL_DIMENSIONS];
};
struct mf_row {        /* a node; four lines of cache, all of them looked at whenever it is scored */
    uint64_t eligible; /* views whose class, labels and fencing it meets: a bit for each */
    uint64_t dirty;    /* of them, those that have not looked at its newest change */
    struct mf_amounts capacity, reserved;
    uint64_t used[MF_DIMENSIONS];
    uint32_t class, n_instances, instances_max;
    uint8_t n_cells, n_cells_kept, penalty, closed; /* what sits in cells it no longer has is remembered */
    bool fences, shares, held;
    struct mf_row_cell *more_cells; /* instead of `cells`, once it needed more than two */
    struct mf_row_cell cells[CELLS_OWN];
};
struct mf_row_labels { /* looked at when a view is made */
    uint32_t *words;
    uint32_t n;
};

struct mf_image_nodes {
    uint64_t *bits; /* by node: it holds the image */
    uint32_t n_words;
};

struct mf_shape_row {
    struct mf_shape shape;
    uint32_t references;
    uint8_t view;     /* VIEW_NONE: it has none now */
    uint64_t none_at; /* no node fitted when pool->grown was that */
};

struct mf_pool {
    struct mf_place_policy
        policies[MF_POLICY_NAMES]; /* the pool's own with its weights; [0] is the pool's own again */
    struct mf_row *rows;
    struct mf_row_labels *labels;
    uint32_t n_rows, rows_cap, n_free, free_cap;
    uint32_t *free_rows; /* numbers of removed nodes */
    struct mf_words words;
    struct mf_map *shape_numbers; /* by the bytes of the shape */
    struct mf_shape_row *shapes;  /* the first is none */
    uint32_t n_shapes, shapes_cap;
    struct mf_image_nodes *images; /* by image - 1 */
    uint32_t n_images;
    struct mf_view *views[MF_VIEWS_MAX];
    uint32_t *slots, stride; /* where each node is in each view: view.h; `stride` of them for a node */
    uint64_t asked;          /* questions so far: a view's age */
    uint64_t grown;          /* changes so far that may have made room somewhere */
    uint64_t lagging;        /* views with many changes to look at: a bit for each */
};

void *mf_pool_realloc(void *old, size_t n, size_t size);

static inline struct mf_row_cell *mf_row_cells(struct mf_row *row)
{
    return row->more_cells ? row->more_cells : row->cells;
}
static inline const struct mf_row_cell *mf_row_cells_of(const struct mf_row *row)
{
    return row->more_cells ? row->more_cells : row->cells;
}
static inline const struct mf_shape *mf_shape_of(const struct mf_pool *self, uint32_t shape)
{
    MF_CHECK(shape > 0 && shape < self->n_shapes && self->shapes[shape].references);
    return &self->shapes[shape].shape;
}
/* What each of n cells takes of an amount. */
static inline uint32_t mf_share(uint32_t amount, uint32_t n)
{
    return amount / n + (amount % n != 0);
}
static inline bool mf_pool_takes_first(const struct mf_pool *self, uint32_t shape)
{
    return self->policies[mf_shape_of(self, shape)->policy].name == MF_POLICY_NAME_FIRST_FIT;
}
static inline bool mf_node_warm(const struct mf_pool *self, uint32_t node, uint32_t image)
{
    const struct mf_image_nodes *nodes = &self->images[image - 1];

    return image <= self->n_images && node / 64 < nodes->n_words &&
           (nodes->bits[node / 64] >> (node % 64) & 1);
}

#endif
