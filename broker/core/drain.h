/* drain.h - a node is emptied by births elsewhere. Nothing is moved: an at-least instance runs on until its
 * successor runs; an at-most one ends first, one of its group at a time and only where the successor has
 * room. */
#ifndef MF_BROKER_DRAIN_H
#define MF_BROKER_DRAIN_H

#include "state.h"

void mf_drain_begin(struct mf_broker *b, struct mf_node *node, uint64_t cause); /* by an operator's word */
/* By its worker's, which is about to end; until its next hello. */
void mf_drain_begin_leaving(struct mf_broker *b, struct mf_node *node, uint64_t remaining_ms);
void mf_drain_end(struct mf_broker *b, struct mf_node *node, uint64_t cause); /* after the row that says so */
void mf_drain_pass(struct mf_broker *b); /* go on wherever the state has changed */

#endif
