/* explain.h - what placement thinks: of every node for one instance, and how many more of each offering fit.
 * Nothing is placed by it. */
#ifndef MF_BROKER_EXPLAIN_H
#define MF_BROKER_EXPLAIN_H

#include "state.h"

void mf_explain(struct mf_broker *b, uint64_t peer, const struct mf_msg_explain *query);
void mf_explain_capacity(struct mf_broker *b, uint64_t peer, struct mf_str request_id);

#endif
