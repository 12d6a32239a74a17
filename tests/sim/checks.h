/* checks.h - the design's invariants as named functions. Those of a single row are in model.c, those of a
 * guest that begins in hypervisor.c, those of what leaves the broker in sim_broker.c; here are those that
 * look at the whole world. */
#ifndef MF_SIM_CHECKS_H
#define MF_SIM_CHECKS_H

#include "model.h"
#include "world.h"

void mf_sim_check_begin(struct mf_sim_model *model); /* look at the world every so often: I5, I7 */
/* I8: is all as it should be once faults are over? If not, why. */
bool mf_sim_check_well(struct mf_sim_world *world, char *ret_why, size_t size);
/* When all is quiet: I1 by the clients' ledgers, the broker's memory against the log, the replay oracle. */
void mf_sim_check_end(struct mf_sim_world *world);

#endif
