/* wellbeing.h - what simulated guests say of themselves. */
#ifndef MF_SIM_WELLBEING_H
#define MF_SIM_WELLBEING_H

#include "hypervisor.h"

void mf_sim_wellbeing_begin(struct mf_sim_guest *guest); /* its processors begin to run */
void mf_sim_wellbeing_end(struct mf_sim_guest *guest);   /* it ends */
void mf_sim_wellbeing_look(struct mf_sim_node *node);    /* an agent that began looks at what is there */

#endif
