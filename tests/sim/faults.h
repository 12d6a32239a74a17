/* faults.h - what goes wrong in a simulated world, at a moment and to somebody. Each seed draws its list by
 * dice of its own: the list stays the same whatever the world does, and each entry may be left out (mask.h).
 * The first numbers are the traits of the weather, then come the faults in the order they happen. */
#ifndef MF_SIM_FAULTS_H
#define MF_SIM_FAULTS_H

#include "world.h"

enum mf_sim_trait {
    MF_SIM_TRAIT_CREATES_FAIL,
    MF_SIM_TRAIT_DESTROYS_FAIL,
    MF_SIM_TRAIT_HANGS,
    MF_SIM_TRAIT_SLOW,
    MF_SIM_TRAIT_GUESTS_DIE,
    MF_SIM_TRAIT_DEATHS_MISSED,
    MF_SIM_TRAIT_WRITES_FAIL,
    MF_SIM_TRAIT_DRIFT,
    MF_SIM_TRAIT_REBOOTS_CHANGE,
    MF_SIM_TRAIT_STRANGERS,
    MF_SIM_TRAIT_BAD_IMAGES,
    MF_SIM_TRAIT_LOSS,
    MF_SIM_TRAIT_TWICE,
    MF_SIM_TRAIT_DELAY,
    MF_SIM_TRAIT_JITTER,
    MF_SIM_TRAITS
};

struct mf_sim_faults;
struct mf_sim_faults *mf_sim_faults_new(struct mf_sim_world *world); /* after all other parts */
void mf_sim_faults_destroy(struct mf_sim_faults **self);
void mf_sim_faults_heal(struct mf_sim_faults *self); /* no more of them, and all that is broken is mended */
uint32_t mf_sim_faults_count(const struct mf_sim_faults *self); /* numbers given so far, traits included */
/* What happened and was not left out, a line each. */
void mf_sim_faults_print(const struct mf_sim_faults *self);

#endif
