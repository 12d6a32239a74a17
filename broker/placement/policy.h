/* policy.h - how nodes that fit are ranked: a score in whole steps, of what would be left of the node. A pure
 * function of the node's amounts, the shape's, and the weights; so it is kept until the node changes.
 * docs/PLACEMENT.md has what each was measured to do. */
#ifndef MF_POLICY_H
#define MF_POLICY_H

#include "amounts.h"

enum { MF_SCORES = 512 }; /* a score is below it; more is better */

enum mf_policy_name {
    MF_POLICY_NAME_UNSET,
    MF_POLICY_NAME_SPREAD,    /* the scarcest resource's free share is largest */
    MF_POLICY_NAME_BEST_FIT,  /* ... smallest */
    MF_POLICY_NAME_FIRST_FIT, /* all that fit are equal; the caller takes the lowest number instead of chance
                               */
    MF_POLICY_NAME_L2,        /* least Euclidean norm of the free shares */
    MF_POLICY_NAME_DOT,     /* largest dot product of what is wanted and what is free (Tetris, SIGCOMM'14) */
    MF_POLICY_NAME_BALANCE, /* balance fit over cells (SPANE, arXiv 2504.14946) */
    MF_POLICY_NAME_ROOM,    /* costs typical instances least room (room.h): the default */
    MF_POLICY_NAMES
};
#define MF_POLICY_WEIGHTS_MAX 8
#define MF_POLICY_WEIGHT_MAX  1e6 /* scores are reckoned in floats */

struct mf_place_policy {
    enum mf_policy_name name;
    double weights[MF_POLICY_WEIGHTS_MAX]; /* of the name's own meaning; 0 to MF_POLICY_WEIGHT_MAX */
};

struct mf_left { /* of one node, if the shape were put there in one of the ways it can be */
    const struct mf_amounts *capacity;
    struct mf_amounts before, after; /* free; of a rate without bound: its capacity, 0 */
    const struct mf_cell *cells;     /* capacity of each; NULL: no cells */
    const struct mf_cell *cells_before, *cells_after;
    uint32_t n_cells;
    uint32_t split_above_mib; /* of the shape; 0: what a cell cannot hold is split */
};

/* The name of a policy, and the other way round; MF_POLICY_NAME_UNSET if there is none of that name. */
const char *mf_place_policy_word(enum mf_policy_name name);
enum mf_policy_name mf_place_policy_find(const char *word);
/* With the weights it has unless told otherwise. */
struct mf_place_policy mf_place_policy_named(enum mf_policy_name name);
/* 0, or -EINVAL with what is wrong with the weights in error. */
int mf_place_policy_check(const struct mf_place_policy *self, char error[256]);
uint32_t mf_place_policy_score(const struct mf_place_policy *self, const struct mf_amounts *wants,
                               const struct mf_left *left);

#endif
