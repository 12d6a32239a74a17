/* admission.h - may a group that asks for failover headroom have so many more instances? Where it may, where
 * they would go is remembered until they are placed. */
#ifndef MF_BROKER_ADMISSION_H
#define MF_BROKER_ADMISSION_H

#include "asked.h"
#include "place.h"

/* True, or the request is refused. probe: a group that is not there yet, which only looks like one. */
bool mf_admission_ask(struct mf_asked *a, struct mf_group *group, uint64_t more, bool override);
bool mf_admission_ask_new(struct mf_asked *a, struct mf_group *probe, bool override);
void mf_admission_of(struct mf_broker *b, const struct mf_group *group); /* whom it was admitted for */

/* The next place of those, if it still takes an instance; and the backup that belongs to it, once it is
 * taken. */
bool mf_admission_place(struct mf_broker *b, const struct mf_instance *inst, const struct mf_place_ask *ask,
                        struct mf_place *ret_place);
void mf_admission_placed(struct mf_broker *b, const struct mf_instance *inst);
void mf_admission_over(struct mf_broker *b);

/* How many more of an offering would be admitted at the cluster's level: counted one by one up to 256; beyond
 * that a bound. */
uint64_t mf_admission_room(struct mf_broker *b, const struct mf_offering *offering);

#endif
