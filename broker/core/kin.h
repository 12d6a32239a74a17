/* kin.h - what placement is told of groups: what the instances of one have in common (its shape), how many of
 * them are where (tallies), and who must not be near whom. Tallies are made when somebody first asks for
 * them, and kept up until nobody may ask any more. Not durable. */
#ifndef MF_BROKER_KIN_H
#define MF_BROKER_KIN_H

#include "state.h"

void mf_kin_join(struct mf_broker *b, struct mf_group *group);  /* it was just added */
void mf_kin_leave(struct mf_broker *b, struct mf_group *group); /* it is about to be freed */
void mf_kin_free(struct mf_group *group);                       /* ... with everything else */
void mf_kin_count(struct mf_broker *b, const struct mf_instance *inst, bool more);

/* What is alike in all that have these in common. The number is the caller's until mf_pool_shape_drop. */
struct mf_alike {
    const struct mf_offering *offering;
    const struct mf_image *image; /* NULL: none that has to be fetched */
    const struct mf_labels *require;
    const struct mf_rec_rules *rules;
    enum mf_policy policy;
    enum mf_fit fit; /* unset: the cluster's */
    bool reserve;
};
uint32_t mf_kin_shape(struct mf_broker *b, const struct mf_alike *alike);
uint32_t mf_kin_replacement(struct mf_broker *b,
                            struct mf_group *group); /* its own, that may use what headroom keeps */

uint32_t mf_kin_key(struct mf_broker *b, struct mf_str by); /* of a label, or the host's */
struct mf_tally *mf_kin_tally(struct mf_broker *b, struct mf_group *group, uint32_t key);
/* These rules are asked about no more: what the groups they name counted for them alone is forgotten. */
void mf_kin_let_go(struct mf_broker *b, const struct mf_rec_rules *rules);

void mf_kin_check(
    const struct mf_broker *b); /* of one group, another each time: counted again from nothing */

#endif
