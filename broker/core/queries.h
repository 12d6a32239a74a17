/* queries.h - what clients ask to be shown: lists by pages, status, a guest's output. */
#ifndef MF_BROKER_QUERIES_H
#define MF_BROKER_QUERIES_H

#include "state.h"

void mf_query_message(struct mf_broker *b, const struct mf_peer *peer, const struct mf_message *message);
/* tails.c: a guest's output. */
void mf_query_logs(struct mf_broker *b, uint64_t peer, const struct mf_msg_logs *query);
void mf_query_log_tail(struct mf_broker *b, const struct mf_peer *peer, const struct mf_msg_log_tail *tail);
void mf_query_ask_expired(struct mf_broker *b, struct mf_log_ask *ask);
void mf_query_peer_gone(struct mf_broker *b, uint64_t peer);
void mf_query_forget(struct mf_broker *b, const struct mf_node *node); /* it is about to be freed */

#endif
