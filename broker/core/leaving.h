/* leaving.h - a worker says that it is about to end: drain me first; or: my guests are dead, by my own hand;
 * or: they live on, and I shall be back. It says the first two again until it is answered. */
#ifndef MF_BROKER_LEAVING_H
#define MF_BROKER_LEAVING_H

#include "state.h"

/* Of the node's present session. */
void mf_leaving(struct mf_broker *b, struct mf_node *node, const struct mf_msg_leaving *leaving);
/* True if this was answered before, and the answer may be lost: it is sent again. */
bool mf_leaving_again(struct mf_broker *b, const struct mf_peer *peer, const struct mf_msg_leaving *leaving);
/* After node.drained. */
void mf_leaving_drained(struct mf_broker *b, struct mf_node *node);

#endif
