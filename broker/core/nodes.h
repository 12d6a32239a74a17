/* nodes.h - sessions with workers: hello, what they report, and what is believed of them. */
#ifndef MF_BROKER_NODES_H
#define MF_BROKER_NODES_H

#include "state.h"

void mf_node_hello(struct mf_broker *b, const struct mf_peer *peer, const struct mf_msg_hello *hello);
void mf_node_message(struct mf_broker *b, const struct mf_peer *peer,
                     const struct mf_message *message); /* all but hello */
void mf_node_peer_gone(struct mf_broker *b, uint64_t peer);
void mf_node_try_ready(struct mf_broker *b,
                       struct mf_node *node); /* if nothing that must not run is left on it */
void mf_node_fail(struct mf_broker *b, struct mf_node *node, const struct mf_ev_node_failed *with);
/* Births may come to it: its session is there, it is ready, and nobody keeps them away. */
bool mf_node_schedulable(const struct mf_node *node);

/* hello.c: match the inventory of a node that has just got a new epoch; cause is its node.joined. */
struct mf_guests {
    const struct mf_rec_guest *items;
    uint32_t n;
};
/* What runs there by the book and was not `listed` in a later inventory. */
void mf_node_match_missing(struct mf_broker *b, struct mf_node *node, uint64_t cause);
/* Paces what costs rows of the log: true, and the cost is taken, unless the debt is too deep already. */
bool mf_afford(const struct mf_broker *b, mf_ms *paid_until, mf_ms cost, mf_ms debt_max);
/* What a node's words cost in rows, beyond their answers; in debt, it is not asked for more. */
void mf_node_charge(const struct mf_broker *b, struct mf_node *node, size_t rows);
bool mf_node_in_debt(const struct mf_broker *b, const struct mf_node *node);
void mf_node_match(struct mf_broker *b, struct mf_node *node, struct mf_guests guests, bool rebooted,
                   uint64_t cause);

#endif
