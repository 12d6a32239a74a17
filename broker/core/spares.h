/* spares.h - instances beyond desired, booted and well, that take the place of one that fails: a row instead
 * of a birth. Slots desired .. desired + spares - 1 are theirs, so that scaling makes members of them, or
 * spares of members, by counting alone. */
#ifndef MF_BROKER_SPARES_H
#define MF_BROKER_SPARES_H

#include "state.h"

/* A slot below desired is vacant: a spare that is well takes it. False if there is none. */
bool mf_spare_promote(struct mf_broker *b, struct mf_slot *slot);
/* An instance is well: if it is a spare, and a slot waits for room or for the end of a delay, it takes that.
 */
void mf_spare_offer(struct mf_broker *b, struct mf_instance *inst);

#endif
