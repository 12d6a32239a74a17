/* restore.h - a store from a copy that `mayfly backup` made: it goes on from there as another history
 * (cluster.restored), under a new log_id, so that no cursor of the lost one is taken for one of this. */
#ifndef MF_RESTORE_H
#define MF_RESTORE_H

#include "broker.h"
#include "store.h"

/* Make store_path, which must not exist, from the copy. It appears under its name when it is whole and says
 * that it was restored; a restore that was cut off leaves nothing behind that a broker would take. 0, or
 * negative errno with a sentence. */
int mf_restore(const struct mf_store_engine *engine, const struct mf_broker_config *core, const char *copy,
               const char *store_path, char error[512]);

#endif
