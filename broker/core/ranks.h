/* ranks.h - how many of one group are on each node, and the nodes in the order of it, so that whoever places
 * one more of the group begins with the nodes that have the fewest. Made when it is first wanted, kept up by
 * the fold while the group is among those lately placed. Not durable. */
#ifndef MF_BROKER_RANKS_H
#define MF_BROKER_RANKS_H

#include "state.h"

struct mf_ranks {
    struct mf_group *group;
    uint64_t used_at;
    uint32_t n, n_levels;
    struct mf_node **order;     /* all nodes; those with fewer of the group first */
    uint32_t *counts, *places;  /* by node->index: how many, and where in order */
    uint32_t *starts, n_starts; /* starts[c]: the first in order with c or more; starts[n_levels] is n */
};

struct mf_ranks *mf_ranks_of(struct mf_broker *b, struct mf_group *group);
void mf_ranks_count(struct mf_group *group, const struct mf_node *node,
                    bool more); /* one more, or one less */
void mf_ranks_drop(struct mf_broker *b, struct mf_group *group);
void mf_ranks_check(
    const struct mf_broker *b); /* of one of them, another each time: counted again from nothing */
void mf_ranks_drop_all(struct mf_broker *b); /* the nodes are others now */

#endif
