/* heal.h - from death to birth: what ends an instance, what fills a slot again, and what a beginning reign
 * finishes. */
#ifndef MF_BROKER_HEAL_H
#define MF_BROKER_HEAL_H

#include "state.h"

/* End an instance that must not run any more, by the shortest way its state and its node allow. */
void mf_heal_end(struct mf_broker *b, struct mf_instance *inst, uint64_t cause, const char *reason,
                 uint64_t grace_ms);
void mf_heal_destroy(struct mf_broker *b, struct mf_instance *inst, uint64_t cause, const char *reason,
                     uint64_t grace_ms);
void mf_heal_gone(struct mf_broker *b, struct mf_instance *inst, uint64_t cause, const char *proof);
void mf_heal_gone_saying(struct mf_broker *b, struct mf_instance *inst, uint64_t cause, const char *proof,
                         struct mf_str console); /* with the end of its serial output */
void mf_heal_died(struct mf_broker *b, struct mf_instance *inst, uint64_t cause,
                  const struct mf_death_told *told);
void mf_heal_absent(struct mf_broker *b, struct mf_instance *inst, uint64_t cause,
                    bool rebooted); /* its node's list does not have it */
void mf_heal_unproven(struct mf_broker *b, struct mf_instance *inst, uint64_t cause, const char *reason);
/* What its slot had before it goes: it runs. */
void mf_heal_end_older(struct mf_broker *b, struct mf_instance *inst, uint64_t cause);
void mf_heal_running(struct mf_broker *b, struct mf_instance *inst, uint64_t took_ms);
/* A stranger is this free slot's current generation from now on. */
void mf_heal_adopted(struct mf_broker *b, const struct mf_stranger *stranger, struct mf_slot *slot,
                     uint64_t cause);
void mf_heal_reinstate(struct mf_broker *b, struct mf_instance *inst, uint64_t cause);
void mf_heal_birth_failed(struct mf_broker *b, struct mf_instance *inst, struct mf_str code,
                          struct mf_str text);
void mf_heal_node_failed(struct mf_broker *b, struct mf_node *node, uint64_t cause); /* after its row */
void mf_heal_node_ended(struct mf_broker *b, struct mf_node *node,
                        uint64_t cause); /* likewise, when it ended in order */
void mf_heal_slots_above(struct mf_broker *b, struct mf_group *group,
                         uint64_t cause); /* end what is beyond desired */
void mf_heal_group(struct mf_broker *b, struct mf_group *group, uint64_t cause,
                   uint64_t grace_ms); /* end all of it */

void mf_heal_births(struct mf_broker *b); /* fill what is vacant and due */
void mf_heal_birth_due(struct mf_broker *b, struct mf_slot *slot);
void mf_heal_groups_gone(struct mf_broker *b);
void mf_heal_begin(struct mf_broker *b); /* a reign begins: finish what the rows began */
/* The instances of a node, as ids: rows may free any of them meanwhile. Valid until the next feed. */
const struct mf_uuid *mf_heal_ids(struct mf_broker *b, const struct mf_node *node, size_t *ret_n);

#endif
