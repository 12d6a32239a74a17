/* protection.h - failover headroom (placement's headroom.h) for the groups that ask for it, or, by an
 * operator's word, for all: every instance of theirs has a backup outside of its failure domain. Who is whose
 * is not durable; it is made again when a reign begins. Where nobody asks nothing is kept, and nothing is
 * done. */
#ifndef MF_BROKER_PROTECTION_H
#define MF_BROKER_PROTECTION_H

#include "asked.h"
#include "place.h"

void mf_protection_begin(struct mf_broker *b); /* a reign begins */
void mf_protection_free(struct mf_broker *b);
/* The level that the group's instances are protected at: host, a label, or empty: at none. */
struct mf_str mf_protection_level(const struct mf_broker *b, const struct mf_group *group);
uint32_t mf_protection_number(struct mf_broker *b, struct mf_str level); /* UINT32_MAX: there are too many */
uint64_t mf_protection_lacking(const struct mf_broker *b); /* instances that ask for a backup and have none */

/* From the fold: a backup may be due, or due no more, to this one and those before it in its slot. */
void mf_protection_mind(struct mf_broker *b, struct mf_instance *inst);
void mf_protection_forget(struct mf_broker *b, struct mf_instance *inst);
/* Something was taken from or given to the node, or it opened or closed. */
void mf_protection_node(struct mf_broker *b, const struct mf_node *node);
/* Around a change of what a node is: before it, or its end, and after it. */
void mf_protection_leave(struct mf_broker *b, const struct mf_node *node);
void mf_protection_return(struct mf_broker *b, struct mf_node *node);

/* Where one may be that was lost, and finds no room that is free: at its backup. */
bool mf_protection_place(struct mf_broker *b, const struct mf_instance *inst, const struct mf_place_ask *ask,
                         struct mf_place *ret_place);
/* Some had none, and everybody who has one is there: they may have what is kept for others. */
bool mf_protection_last_resort(struct mf_broker *b);
void mf_protection_passed(struct mf_broker *b);

void mf_protection_settle(
    struct mf_broker *b); /* backups for those that lack one; says so if they can't be found */
void mf_protection_request(struct mf_asked *a, const struct mf_msg_headroom *headroom);
void mf_protection_check(const struct mf_broker *b);

#endif
