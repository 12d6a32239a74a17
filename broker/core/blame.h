/* blame.h - whose fault it is that births fail. A slot's own failures make it wait (mf_backoff); when the
 * evidence points at a node or at an image, that one pays: the node is given no births for a while, the
 * image's births are held but for one that tries on, and the slots are forgiven. What failed is memory of
 * this reign; what follows from it is in the log. */
#ifndef MF_BROKER_BLAME_H
#define MF_BROKER_BLAME_H

#include "state.h"

struct mf_birth { /* one that may come to fail; its instance may be gone by then */
    struct mf_uuid id, group_id;
    struct mf_node *node;
    struct mf_image *image;
};
struct mf_birth mf_blame_birth(const struct mf_instance *inst);

/* What the group itself gave: neither its node nor its image is to blame, and its own slots back off. */
bool mf_blame_is_groups(enum mf_errcode code);
/* After its row, whose seq is the cause. quick: it ran, and died at once. */
void mf_blame_failed(struct mf_broker *b, const struct mf_birth *birth, uint64_t cause, bool quick);
void mf_blame_expired(struct mf_broker *b, const struct mf_birth *birth, uint64_t cause);
void mf_blame_born(struct mf_broker *b, const struct mf_instance *inst);

/* Nodes, by the pool's number, where a birth of the group failed lately and none ran since: better try
 * elsewhere first. */
uint32_t mf_blame_shunned(struct mf_broker *b, const struct mf_group *group,
                          uint32_t ret_nodes[MF_SHUNNED_MAX]);

/* Births of the image are held, and it is not time for another try. */
bool mf_blame_holds(const struct mf_image *image);
struct mf_str mf_blame_reason(const struct mf_broker *b, const struct mf_image *image, char text[256]);
void mf_blame_tries(struct mf_broker *b, const struct mf_instance *inst);      /* it was just placed */
void mf_blame_try_due(struct mf_broker *b, struct mf_image *image);            /* its alarm */
void mf_blame_forget_image(struct mf_broker *b, const struct mf_image *image); /* it is being removed */
void mf_blame_release_image(struct mf_broker *b, struct mf_image *image, uint64_t cause, const char *reason);

void mf_blame_release_node(struct mf_broker *b, struct mf_node *node, uint64_t cause, const char *reason);
void mf_blame_quarantine_over(struct mf_broker *b, struct mf_node *node); /* its alarm */
void mf_blame_forget_node(struct mf_broker *b, struct mf_node *node);

uint32_t mf_blame_flaps(const struct mf_broker *b, const struct mf_node *node); /* its failures lately */
/* A node that failed, and failed before lately, is ready only after a while. */
void mf_blame_returned(struct mf_broker *b, struct mf_node *node, bool failed, uint64_t cause);
void mf_blame_begin(struct mf_broker *b); /* a reign begins */

#endif
