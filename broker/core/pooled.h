/* pooled.h - the pool of placement (broker/placement) is kept to what is so here: the fold says every change
 * of a node, and every instance that comes to a node or leaves it. Not durable: it is made again while the
 * state is loaded. What it counts of groups is in kin.h. */
#ifndef MF_BROKER_POOLED_H
#define MF_BROKER_POOLED_H

#include "state.h"

/* What keeps births from a node, whoever they are; the pool's `closed`. */
enum mf_kept_away {
    MF_KEPT_NOT,
    MF_KEPT_AWAY,
    MF_KEPT_JOINING,
    MF_KEPT_SUSPECT,
    MF_KEPT_FAILED,
    MF_KEPT_CORDONED,
    MF_KEPT_QUARANTINED
};
enum mf_kept_away mf_pooled_kept_away(const struct mf_node *node);

struct mf_amounts
mf_pooled_capacity(const struct mf_rec_resources *capacity); /* what is more than it counts is cut */
struct mf_amounts mf_pooled_wants(const struct mf_rec_offering *offering);
/* What is claimed of a node, and what is left of it; rates in whole KiB. */
struct mf_rec_resources mf_pooled_used(const struct mf_broker *b, const struct mf_node *node);
struct mf_rec_resources mf_pooled_free(const struct mf_broker *b, const struct mf_node *node);
bool mf_pooled_overfull(const struct mf_broker *b, const struct mf_node *node);

void mf_pooled_add(struct mf_broker *b, struct mf_node *node);
void mf_pooled_remove(struct mf_broker *b, struct mf_node *node); /* nothing of ours is on it any more */
void mf_pooled_update(struct mf_broker *b,
                      struct mf_node *node); /* its class, capacity, cells, what it can */
void mf_pooled_relabel(struct mf_broker *b, struct mf_node *node, struct mf_labels labels); /* are copied */
/* It may have begun or ceased to be one for births, or a better or worse one. */
void mf_pooled_stand(struct mf_broker *b, struct mf_node *node);

/* An instance came to its node, or is about to leave it. */
void mf_pooled_count(struct mf_broker *b, const struct mf_instance *inst, bool more);

void mf_pooled_check(const struct mf_broker *b);

#endif
