/* watches.h - guests that monitors look at from outside: who they are, and what comes of what monitors say of
 * them. */
#ifndef MF_BROKER_WATCHES_H
#define MF_BROKER_WATCHES_H

#include "state.h"

/* Its node says that a guest has this address; empty, or none at all: it has none. */
void mf_watch_address(struct mf_broker *b, struct mf_node *node, const struct mf_msg_guest_address *told);
/* As its node told it in its present epoch; empty: not known. */
struct mf_str mf_watch_address_of(const struct mf_instance *inst);
/* Something of it has changed, or it is about to be freed: monitors may have to be told. */
void mf_watch_touch(struct mf_broker *b, struct mf_instance *inst);
void mf_watch_gone(struct mf_broker *b, struct mf_instance *inst);
void mf_watches_flush(struct mf_broker *b); /* tell them */
void mf_watches_free(struct mf_broker *b);

void mf_watches_tell(struct mf_broker *b, const struct mf_monitor *monitor); /* of all: it is new here */
void mf_watches_word(struct mf_broker *b, const struct mf_monitor *monitor,
                     const struct mf_msg_monitor_checked *word);
void mf_watches_drop(struct mf_broker *b, const struct mf_monitor *monitor); /* its words count no more */
void mf_watches_check(const struct mf_broker *b);

#endif
