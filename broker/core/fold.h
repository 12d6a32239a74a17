/* fold.h - the only place that changes durable state: one row of the log at a time, the same for a live row
 * and for a replayed one. */
#ifndef MF_BROKER_FOLD_H
#define MF_BROKER_FOLD_H

#include "state.h"

struct mf_fold_row {
    uint64_t seq, cause;
    mf_ms time_ms;
};

/* Apply a row: its place in the log, its cause and its meaning are checked first. 0, or -EINVAL with text and
 * nothing changed: of a live row that is a bug, of a loaded one a store that was tampered with. */
int mf_fold(struct mf_broker *b, const struct mf_fold_row *row, const struct mf_event *event, char text[256]);

int mf_fold_instance(struct mf_broker *b, const struct mf_fold_row *row, const struct mf_event *event,
                     char text[256]);

int mf_fold_verdicts(struct mf_broker *b, const struct mf_fold_row *row, const struct mf_event *event,
                     char text[256]);

int mf_fold_standing(struct mf_broker *b, const struct mf_fold_row *row, const struct mf_event *event,
                     char text[256]);

int mf_fold_headroom(struct mf_broker *b, const struct mf_event *event, char text[256]);

int mf_fold_wares(struct mf_broker *b, const struct mf_event *event, char text[256]);

/* Why a row or record does not fit: into text; always -EINVAL. */
int mf_fold_bad(char text[256], const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Parts that a snapshot's records share with rows. */
struct mf_group *mf_fold_add_group(struct mf_broker *b,
                                   struct mf_group *init); /* takes over what init owns */
struct mf_slot *mf_fold_add_slot(struct mf_broker *b, struct mf_group *group);
struct mf_instance *mf_fold_add_instance(struct mf_broker *b, struct mf_slot *slot, struct mf_uuid id,
                                         uint64_t generation);
/* As its slot's newest, and out of its slot: what is current is the caller's affair. */
void mf_fold_link(struct mf_slot *slot, struct mf_instance *inst, uint64_t generation);
void mf_fold_unlink(struct mf_instance *inst);
/* Its group's counts without it (-1), before a change of what they count by, and with it again (1). */
void mf_fold_tally(struct mf_instance *inst, int by);
void mf_fold_resize(struct mf_group *group, uint32_t desired, uint32_t spares); /* counts follow, slots not */
void mf_fold_set_state(struct mf_broker *b, struct mf_instance *inst, enum mf_instance_state state);
void mf_fold_attach(struct mf_broker *b, struct mf_instance *inst, struct mf_node *node);
struct mf_node *mf_fold_add_node(struct mf_broker *b, struct mf_str name);
void mf_fold_remove_node(struct mf_broker *b, struct mf_node *node); /* nothing of ours is on it any more */
void mf_fold_set_cells(struct mf_node *node, const struct mf_rec_cell *cells, uint32_t n); /* are copied */
void mf_fold_count_failure(struct mf_node *node, mf_ms time_ms);
void mf_fold_set_halted(struct mf_broker *b, struct mf_image *image, char *reason); /* takes it over */
struct mf_stranger *mf_fold_add_stranger(struct mf_broker *b, struct mf_node *node, struct mf_uuid id,
                                         struct mf_str name, enum mf_guest_state state, uint64_t order_id);
void mf_fold_drop_stranger(struct mf_broker *b, struct mf_stranger *stranger);
struct mf_stranger *mf_stranger_find(const struct mf_broker *b, const struct mf_node *node,
                                     struct mf_uuid id);
/* What a domain's name says it is of; a name that is nearly one claims nothing. */
bool mf_claim_parse(struct mf_str name, struct mf_claim *ret_claim);
bool mf_stranger_claims(const struct mf_stranger *stranger); /* it keeps a slot from being born */
/* The first that claims this slot, the others by next_claim; NULL if none does. */
struct mf_stranger *mf_claims_of(const struct mf_broker *b, struct mf_str group, uint32_t slot);
void mf_fold_set_draining(struct mf_broker *b, struct mf_node *node, bool draining);
struct mf_image *mf_fold_add_image(struct mf_broker *b,
                                   const struct mf_rec_image *rec); /* NULL when there are too many */
bool mf_image_used(const struct mf_broker *b, const struct mf_image *image,
                   struct mf_str *ret_group); /* by one that is not gone */
void mf_fold_add_offering(struct mf_broker *b, const struct mf_rec_offering *rec);
void mf_fold_free_wares(struct mf_broker *b);                                 /* images and offerings */
void mf_fold_add_request(struct mf_broker *b, const struct mf_request *init); /* strings are copied */
struct mf_monitor *mf_fold_monitor(struct mf_broker *b,
                                   struct mf_str name); /* found or added; NULL when there are too many */
struct mf_monitor *mf_monitor_find(struct mf_broker *b, struct mf_str name);
void mf_fold_set_frozen(struct mf_broker *b, struct mf_str by, struct mf_str reason,
                        uint64_t seq);                               /* by empty: thawed */
void mf_fold_set_headroom(struct mf_broker *b, struct mf_str level); /* empty: none */
void mf_fold_forget_requests(struct mf_broker *b, mf_ms wall_ms);
void mf_fold_doom_if_empty(struct mf_broker *b,
                           struct mf_group *group); /* an ending group: its group.gone is due */
void mf_fold_push_vacant(struct mf_broker *b, struct mf_slot *slot);
void mf_fold_free_group(struct mf_broker *b, struct mf_group *group);
struct mf_request *mf_request_find(const struct mf_broker *b, struct mf_str key, struct mf_str request_id);
void mf_fold_free(struct mf_broker *b); /* everything durable */

#endif
