/* orders.h - the ledger of commands to nodes. An order lives in memory, beside the instance that is placed or
 * destroying; its id is the seq of the row that made it. It waits in its node's outbox until that row is
 * committed, the session is there and its turn has come; it is sent again, ever more seldom, until
 * acknowledged; it expires when nobody answered in time; it dies with its epoch. */
#ifndef MF_BROKER_ORDERS_H
#define MF_BROKER_ORDERS_H

#include "state.h"

void mf_order_open(struct mf_broker *b,
                   struct mf_instance *inst); /* right after its placed or destroying row */
void mf_order_drop(struct mf_broker *b, struct mf_instance *inst); /* fine if there is none */
void mf_orders_session(struct mf_broker *b,
                       struct mf_node *node); /* a session began: what is queued may leave */
void mf_orders_committed(struct mf_broker *b);
void mf_orders_forget(struct mf_broker *b, struct mf_node *node); /* it is about to be freed */
void mf_order_acked(struct mf_broker *b, struct mf_node *node, uint64_t order_id);
void mf_order_failed(struct mf_broker *b, struct mf_instance *inst,
                     struct mf_str why); /* a destroy; it is ordered again later */
void mf_order_alarm(struct mf_broker *b, struct mf_order *order);
bool mf_orders_next(struct mf_broker *b, uint64_t *ret_peer, const struct mf_message **ret_message);

/* The delay after the n-th failure in a row, n >= 1: doubling, jittered, bounded. */
mf_ms mf_backoff(struct mf_broker *b, uint32_t n);

#endif
