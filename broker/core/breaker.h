/* breaker.h - when too many nodes seem to fail at once, it is more likely that something else is wrong: then
 * verdicts are held, and it is said. Proven deaths are never held, but they count. */
#ifndef MF_BROKER_BREAKER_H
#define MF_BROKER_BREAKER_H

#include "state.h"

void mf_breaker_begin(struct mf_broker *b); /* a reign begins */
void mf_breaker_free(struct mf_broker *b);
/* Would one more verdict, on this node, be too many? Then it is to be held. */
bool mf_breaker_over(const struct mf_broker *b, const struct mf_node *node);
void mf_breaker_hold(struct mf_broker *b, struct mf_node *node);
void mf_breaker_let_go(struct mf_broker *b, struct mf_node *node); /* nothing is to be held of it any more */
void mf_breaker_failed(struct mf_broker *b, struct mf_node *node);
void mf_breaker_joined(struct mf_broker *b, struct mf_node *node);    /* it has labels, perhaps new ones */
void mf_breaker_forgotten(struct mf_broker *b, struct mf_node *node); /* about to be freed */
void mf_breaker_alarm(struct mf_broker *b);
void mf_breaker_calm(struct mf_broker *b);   /* alarm */
void mf_breaker_settle(struct mf_broker *b); /* lets go what may take effect now, all of it at once */
/* By an operator's word; nothing if it is so already. */
void mf_breaker_freeze(struct mf_broker *b, uint64_t cause, struct mf_str reason);
void mf_breaker_thaw(struct mf_broker *b, uint64_t cause);
void mf_breaker_check(const struct mf_broker *b);

#endif
