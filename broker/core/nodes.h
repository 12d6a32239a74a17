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
void mf_node_look(struct mf_broker *b,
                  struct mf_node *node); /* its alarm: ask what became of unknown domains */

/* hello.c: match the inventory of a node that has just got a new epoch; cause is its node.joined. */
struct mf_guests {
    const struct mf_rec_guest *items;
    uint32_t n;
};
void mf_node_match(struct mf_broker *b, struct mf_node *node, struct mf_guests guests, bool rebooted,
                   uint64_t cause);
void mf_node_claims(struct mf_broker *b, struct mf_node *node, struct mf_guests guests,
                    uint64_t cause); /* cause 0: no rows */

#endif
