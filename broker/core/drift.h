/* drift.h - a node's view against the broker's. Each worker-alive carries a digest of what runs; one that
 * differs, several times in a row and with nothing under way, makes the broker ask for the whole inventory,
 * and heal what it finds. */
#ifndef MF_BROKER_DRIFT_H
#define MF_BROKER_DRIFT_H

#include "nodes.h"

void mf_drift_begin(struct mf_node *node); /* a session begins */
void mf_drift_alive(struct mf_broker *b, struct mf_node *node, const struct mf_msg_worker_alive *alive);
void mf_drift_inventory(struct mf_broker *b, struct mf_node *node, const struct mf_msg_inventory *inventory);
void mf_drift_look(struct mf_broker *b, struct mf_node *node); /* its alarm: what became of its strangers */

#endif
