/* operate.h - what the operator of a simulated world asks beside groups: cordons, drains, freezes, words
 * about unknown domains; and what ends all that holds the cluster back, once faults are over. */
#ifndef MF_SIM_OPERATE_H
#define MF_SIM_OPERATE_H

#include "client_ledger.h"

void mf_sim_operate(struct mf_sim_world *world, struct mf_sim_entry *entry);
bool mf_sim_operate_mends(const struct mf_sim_world *world); /* is there anything to mend? */
void mf_sim_operate_mend(struct mf_sim_world *world, struct mf_sim_entry *entry); /* the first of it */

#endif
