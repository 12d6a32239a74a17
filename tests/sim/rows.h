/* rows.h - what the worlds of this run have exercised: which rows of the cores' state tables were taken,
 * which events written. Shared by all processes of a hunt. What no seed ever takes, no seed ever proves. */
#ifndef MF_SIM_ROWS_H
#define MF_SIM_ROWS_H

#include "message.h"

void mf_sim_rows_watch(void);              /* before the first fork */
void mf_sim_rows_event(enum mf_kind kind); /* a row of the log was written */
void mf_sim_rows_print(void);              /* those that were never taken */

#endif
