/* wellbeing.h - between running and dead: a guest that says that it is well, one that does not in time, one
 * that is well no more. What is unwell is replaced as if it had died. */
#ifndef MF_BROKER_WELLBEING_H
#define MF_BROKER_WELLBEING_H

#include "state.h"

struct mf_ailing {
    enum mf_ailment how;
    struct mf_str text;
    struct mf_str console; /* the end of its serial output; may be empty */
};

/* It says that it is well; told again, or of what does not run, it moves nothing. */
void mf_well_ready(struct mf_broker *b, struct mf_instance *inst);
/* It is not well: its node is told to end it, and its slot is filled again at once. Of what does not run it
 * moves nothing. */
void mf_well_ailing(struct mf_broker *b, struct mf_instance *inst, const struct mf_ailing *ailing);

/* It runs, and its group's guests say when they are well: it has boot_ms from now on. */
void mf_well_await(struct mf_broker *b, struct mf_instance *inst);
void mf_well_late(struct mf_broker *b, struct mf_instance *inst); /* that time is over */
/* It runs and is well: a witness for its node and its image, and, a spare, there to be promoted. */
void mf_well_born(struct mf_broker *b, struct mf_instance *inst);

/* A group's health with its defaults filled in; and what of it makes no sense: false, or true with why. Its
 * checks are changed in place: they are the message's own. */
struct mf_rec_guest_health mf_health_whole(struct mf_rec_guest_health health);
bool mf_health_bad(const struct mf_rec_guest_health *health, char text[200]);

#endif
