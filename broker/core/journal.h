/* journal.h - a row is made here: it gets its seq and time, is applied by the fold, and is queued for the
 * store. And rows.c: one function for each kind of row, so that whoever decides something says it in one
 * line. Each returns the row's seq, the cause of what follows. */
#ifndef MF_BROKER_JOURNAL_H
#define MF_BROKER_JOURNAL_H

#include "state.h"

uint64_t mf_journal(struct mf_broker *b, uint64_t cause, const struct mf_event *event, struct mf_str subject);

uint64_t mf_row_created(struct mf_broker *b, struct mf_slot *slot);
uint64_t mf_row_pending(struct mf_broker *b, struct mf_instance *inst, struct mf_str reason);
uint64_t mf_row_placed(struct mf_broker *b, struct mf_instance *inst, struct mf_node *node, uint8_t cells,
                       uint64_t cause);
uint64_t mf_row_running(struct mf_broker *b, struct mf_instance *inst, uint64_t took_ms);
uint64_t mf_row_failed(struct mf_broker *b, struct mf_instance *inst, struct mf_str code, struct mf_str text,
                       uint64_t retry_ms);
uint64_t mf_row_ready(struct mf_broker *b, struct mf_instance *inst);
struct mf_ailing;
uint64_t mf_row_unwell(struct mf_broker *b, struct mf_instance *inst, const struct mf_ailing *ailing,
                       uint64_t retry_ms);
uint64_t mf_row_promoted(struct mf_broker *b, struct mf_instance *inst, struct mf_slot *slot);
uint64_t mf_row_died(struct mf_broker *b, struct mf_instance *inst, uint64_t cause,
                     const struct mf_death_told *told, uint64_t retry_ms);
uint64_t mf_row_lost(struct mf_broker *b, struct mf_instance *inst, uint64_t cause);
uint64_t mf_row_reinstated(struct mf_broker *b, struct mf_instance *inst, uint64_t cause);
uint64_t mf_row_tombstoned(struct mf_broker *b, struct mf_instance *inst, uint64_t cause, const char *reason);
uint64_t mf_row_destroying(struct mf_broker *b, struct mf_instance *inst, uint64_t cause, const char *reason,
                           uint64_t grace_ms);
uint64_t mf_row_gone(struct mf_broker *b, struct mf_instance *inst, uint64_t cause, const char *proof,
                     struct mf_str console);
uint64_t mf_row_expired(struct mf_broker *b, struct mf_order *order, uint64_t retry_ms);
uint64_t mf_row_node_ready(struct mf_broker *b, struct mf_node *node);
uint64_t mf_row_node_refused(struct mf_broker *b, struct mf_str node, struct mf_str machine,
                             const char *reason);
uint64_t mf_row_node_failed(struct mf_broker *b, struct mf_node *node, const struct mf_ev_node_failed *with);
uint64_t mf_row_node_cordoned(struct mf_broker *b, struct mf_node *node, uint64_t cause, bool cordoned);
uint64_t mf_row_domain_unknown(struct mf_broker *b, struct mf_node *node, uint64_t cause,
                               const struct mf_rec_guest *guest);
uint64_t mf_row_node_released(struct mf_broker *b, struct mf_node *node, uint64_t cause, const char *reason);
uint64_t mf_row_image_released(struct mf_broker *b, struct mf_image *image, uint64_t cause,
                               const char *reason);
uint64_t mf_row_domain_purging(struct mf_broker *b, struct mf_stranger *stranger, uint64_t cause);
uint64_t mf_row_domain_gone(struct mf_broker *b, struct mf_stranger *stranger, uint64_t cause);
uint64_t mf_row_adopted(struct mf_broker *b, const struct mf_stranger *stranger, struct mf_slot *slot,
                        uint64_t generation, uint64_t cause);
uint64_t mf_row_group_ending(struct mf_broker *b, struct mf_group *group, uint64_t cause);
uint64_t mf_row_group_gone(struct mf_broker *b, struct mf_group *group);
uint64_t mf_row_monitor(struct mf_broker *b, struct mf_monitor *monitor, bool heard, uint64_t age_ms);

#endif
