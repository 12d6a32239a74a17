/* tail.h - the cheap live followers: every committed row once on an XPUB, topic `tenant/group/slot/type`.
 * What is not an instance has
 * `-` for a part it lacks; what is no tenant's stands below `cluster/`: `cluster/node/node-1/node.failed`. It
 * may lose rows under pressure; a follower sees that by `seq` and asks for the missing part. */
#ifndef MF_TAIL_H
#define MF_TAIL_H

#include "store.h"

enum { MF_TAIL_TOPIC = 400 };

struct mf_tail;
struct mf_tail *
mf_tail_new(void *xpub); /* takes subscriptions into its own hands; the socket stays the caller's */
void mf_tail_destroy(struct mf_tail **self);
/* when the socket is readable: only keys that may read get what they ask for. A bounded number; true if there
 * may be more. */
bool mf_tail_subscriptions(struct mf_tail *self);
void mf_tail_publish(struct mf_tail *self, const struct mf_store_row *row);
/* "default/web/3#1" and "instance.running" make "default/web/3/instance.running". Terminated; returns the
 * length. */
size_t mf_tail_topic(struct mf_str subject, struct mf_str type, char ret_topic[MF_TAIL_TOPIC]);

#endif
