/* monitors.h - sessions with monitors: who listens, what they are told of nodes, what they conclude. */
#ifndef MF_BROKER_MONITORS_H
#define MF_BROKER_MONITORS_H

#include "state.h"

void mf_monitor_message(struct mf_broker *b, const struct mf_peer *peer, const struct mf_message *message);
void mf_monitor_heard_peer(struct mf_broker *b, const struct mf_peer *peer); /* any message counts */
void mf_monitor_peer_gone(struct mf_broker *b, uint64_t peer);
void mf_monitor_node_changed(struct mf_broker *b,
                             struct mf_node *node); /* told to all of them at the end of the feed */
void mf_monitors_flush(struct mf_broker *b);
void mf_monitor_alarm(struct mf_broker *b, struct mf_monitor *monitor);
void mf_monitors_begin(struct mf_broker *b);
void mf_monitors_pardon(struct mf_broker *b); /* the broker's own loop was late */
void mf_monitor_forget(struct mf_broker *b, struct mf_monitor *monitor, uint64_t cause); /* not heard */
uint32_t mf_monitor_endpoints(const struct mf_broker *b, struct mf_rec_endpoint ret[MF_MONITORS_MAX]);

#endif
