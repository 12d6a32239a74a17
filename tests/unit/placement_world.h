/* placement_world.h - a random cluster that keeps its own simple books, to hold the pool against. */
#ifndef PLACEMENT_WORLD_H
#define PLACEMENT_WORLD_H

#include "pool.h"

enum { NODES = 320, GROUPS_MAX = 8, SHAPES = 100, LIVES = 4000, KEYS = 3, IMAGES = 4, LABELS_PER_KEY = 40 };

struct model_node {
    bool held, fences, shares, warm[IMAGES + 1];
    struct mf_amounts capacity, reserved;
    struct mf_cell cells[MF_CELLS_MAX], cells_reserved[MF_CELLS_MAX];
    uint32_t n_cells, class, instances_max, n_instances;
    uint32_t labels[KEYS]; /* 0: none of that key */
    uint8_t closed, penalty;
    uint64_t used[MF_DIMENSIONS], cells_used[MF_CELLS_MAX][MF_CELL_DIMENSIONS];
};
struct life {
    struct mf_place place;
    struct mf_amounts wants;
    uint32_t group;
};
struct world {
    struct mf_random random;
    struct mf_pool *pool;
    struct model_node nodes[NODES];
    uint32_t n_end, n_held, n_nodes, n_classes, n_shapes, n_groups, n_keys;
    uint32_t keys[KEYS], label_words[KEYS][LABELS_PER_KEY], n_labels, classes[4];
    struct mf_shape shapes[SHAPES];
    uint32_t shape_numbers[SHAPES];
    struct mf_tally *tallies[GROUPS_MAX][KEYS + 1]; /* the last is by host */
    struct life lives[LIVES];
    uint32_t n_lives;
    bool tight;   /* capacities that fill up soon */
    bool crowded; /* every node is for every shape, and every question has rules */
};
struct question { /* an ask, and the books' way to answer it */
    struct mf_ask ask;
    struct mf_rule rules[MF_RULES_MAX];
    uint32_t groups[MF_RULES_MAX], keys[MF_RULES_MAX]; /* of each rule; keys: KEYS is by host */
    uint32_t shunned[MF_SHUNNED_MAX];
    uint32_t shape;
};

uint32_t below(struct world *w, uint32_t n);
bool chance(struct world *w, uint32_t percent);
void world_new(struct world *w, uint64_t seed, uint32_t n_nodes, uint32_t n_shapes, bool crowded);
void world_free(struct world *w);
void world_change(struct world *w); /* one random thing happens */
void world_adopt(struct world *w);  /* a guest is found somewhere */
void world_take(struct world *w, struct mf_place place, uint32_t shape, uint32_t group);
void world_give(struct world *w, uint32_t life);
void world_ask(struct world *w, struct question *q);
/* What the books say. */
bool world_allows(const struct world *w, const struct question *q, uint32_t node);
bool world_fits_so(const struct world *w, uint32_t shape, struct mf_place place);
uint64_t world_level(const struct world *w, const struct question *q, uint32_t node);
void world_check_books(const struct world *w);

#endif
