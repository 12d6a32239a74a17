/* fencer.h - the part of the simulated keeper that holds at-most guests under a lease. */
#ifndef MF_SIM_FENCER_H
#define MF_SIM_FENCER_H

#include "worker.h"
#include "world.h"

struct mf_sim_node;
struct mf_sim_guest;
void mf_sim_fencer_start(struct mf_sim_node *node);
void mf_sim_fencer_end(struct mf_sim_node *node); /* in order: it ends its at-most guests first */
void mf_sim_fencer_stop(struct mf_sim_node *node);
/* From the agent: a session, an intent, its end, a grant. */
void mf_sim_fencer_action(struct mf_sim_node *node, const struct mf_worker_action *action);
/* Its process is held from now on: may it run? If not, it is dead already. */
bool mf_sim_fencer_hold(struct mf_sim_node *node, struct mf_sim_guest *guest);
void mf_sim_fencer_gone(struct mf_sim_node *node, struct mf_uuid id); /* its process is */
void mf_sim_fencer_agent_ended(struct mf_sim_node *node);
void mf_sim_fencer_agent_ready(struct mf_sim_node *node); /* it has listed what there is */

#endif
