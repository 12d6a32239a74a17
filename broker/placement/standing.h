/* standing.h - a node as headroom sees it for one shape: may it ever host it, in which cells, and how much is
 * neither used nor kept free. What a node has and what an instance needs of it are flat rows of numbers: the
 * dimensions, then those of each cell. */
#ifndef MF_STANDING_H
#define MF_STANDING_H

#include "pool.h"

enum { MF_WIDE = MF_DIMENSIONS + MF_CELLS_MAX * MF_CELL_DIMENSIONS };

/* What of a node decides what an instance needs of it. */
struct mf_ground {
    uint32_t n_cells;
    uint32_t unbounded; /* a bit for each dimension */
};
struct mf_standing {
    struct mf_ground ground;
    uint32_t wide, class;
    bool over;              /* more is used and kept than there is */
    int64_t slack[MF_WIDE]; /* neither used nor kept; of a rate without bound: all there could be */
    uint32_t n_ways;
    uint8_t ways[MF_CELLS_MAX]; /* cells it may sit in, a bit for each; one of 0 on a node without cells */
};

/* How much is free of it, whatever its state. */
void mf_standing_look(const struct mf_pool *pool, uint32_t node, struct mf_standing *ret);
/* The same with the ways of a shape; false: it is closed, or not of the shape's class, labels or fences. */
bool mf_standing_for(const struct mf_pool *pool, uint32_t node, uint32_t shape, struct mf_standing *ret);
bool mf_standing_open(const struct mf_pool *pool, uint32_t node);

/* What one of the shape needs there, in that way. */
void mf_standing_needs(const struct mf_pool *pool, struct mf_ground ground, uint32_t shape, uint8_t way,
                       uint32_t ret_needs[MF_WIDE]);
/* Does one of the shape fit there, what is kept free included? */
bool mf_standing_takes(const struct mf_pool *pool, struct mf_place place, uint32_t shape);
void mf_standing_index(struct mf_pool *pool,
                       uint32_t key); /* domains by this label will be asked for often */
uint32_t mf_standing_class(const struct mf_pool *pool, uint32_t shape);
/* Asserts that so much of it is kept free. */
void mf_standing_check_kept(const struct mf_pool *pool, uint32_t node, const uint64_t sum[MF_WIDE]);
/* More or less is kept free of it. */
void mf_standing_keep(struct mf_pool *pool, uint32_t node, const uint32_t *amounts, uint32_t n_cells,
                      bool more);

#endif
