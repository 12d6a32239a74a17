/* place.h - which node. Placement happens at birth only: nothing is ever moved. */
#ifndef MF_BROKER_PLACE_H
#define MF_BROKER_PLACE_H

#include "state.h"

/* Place what waits, if anything may have changed for it: the neediest group first, then the oldest. */
void mf_place_pass(struct mf_broker *b);
bool mf_place_fits(const struct mf_broker *b,
                   const struct mf_slot *slot); /* a birth of it would find room now */
bool mf_place_has_labels(const struct mf_node *node, const struct mf_labels *require);
/* Why no node takes an instance of this slot now: "0 of 3 nodes: 2 memory, 1 joining". */
struct mf_str mf_place_reason(const struct mf_broker *b, const struct mf_slot *slot, char text[256]);

#endif
