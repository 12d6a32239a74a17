/* place.h - which node. Placement happens at birth only: nothing is ever moved. */
#ifndef MF_BROKER_PLACE_H
#define MF_BROKER_PLACE_H

#include "state.h"

/* What placement is asked for an instance of a group: valid until a row is made. */
struct mf_place_ask {
    struct mf_ask ask; /* points into the others */
    struct mf_rule rules[MF_RULES_MAX];
    uint32_t shunned[MF_SHUNNED_MAX];
};
void mf_place_ask(struct mf_broker *b, struct mf_group *group, struct mf_place_ask *ret_ask);
/* The same for a group that is not there yet: no tally counts anything. */
void mf_place_ask_rules(struct mf_broker *b, const struct mf_rec_rules *rules, struct mf_place_ask *ret_ask);
const char *mf_place_word(enum mf_refusal refusal, uint8_t closed);

/* Place what waits, if anything may have changed for it: by priority, then the neediest group, then what is
 * hardest to find room for, then the oldest. */
void mf_place_pass(struct mf_broker *b);
void mf_place_now(struct mf_broker *b);                              /* however lately it was done */
bool mf_place_fits(struct mf_broker *b, const struct mf_slot *slot); /* a birth of it would find room now */
bool mf_place_has_labels(const struct mf_node *node, const struct mf_labels *require);
/* Why no node takes an instance of this slot now: "0 of 3 nodes: 2 memory, 1 joining". */
struct mf_str mf_place_reason(struct mf_broker *b, const struct mf_slot *slot, char text[256]);

#endif
