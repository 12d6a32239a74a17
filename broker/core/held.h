/* held.h - which node has which image files, as the nodes say: a preference of placement, and an answer to
 * who asks. Not durable: every hello tells it anew. */
#ifndef MF_BROKER_HELD_H
#define MF_BROKER_HELD_H

#include "state.h"

void mf_held_hello(struct mf_broker *b, struct mf_node *node, const struct mf_msg_hello *hello);
void mf_held_progress(struct mf_broker *b, struct mf_node *node, const struct mf_msg_file_progress *progress);
void mf_held_ready(struct mf_broker *b, struct mf_node *node); /* it may fetch what every node is to have */
void mf_held_fetch(struct mf_broker *b, const struct mf_node *node, const struct mf_image *image);
void mf_held_image_added(struct mf_broker *b, struct mf_image *image);  /* after its row */
void mf_held_image_forget(struct mf_broker *b, struct mf_image *image); /* before its row */
void mf_held_node_forget(struct mf_broker *b, struct mf_node *node);
void mf_held_free(struct mf_node *node);
/* Nothing has to come over the network for a birth of the image there. */
static inline bool mf_held_warm(const struct mf_node *node, const struct mf_image *image)
{
    return image->local || (node->holds[image->index / 64] >> image->index % 64 & 1);
}
void mf_held_list(struct mf_broker *b, uint64_t peer, const struct mf_msg_list_held *q);
void mf_held_check(const struct mf_broker *b); /* of one image, another each time */

#endif
