/* loading.h - a store into a core: the snapshot's records, then the rows above it. */
#ifndef MF_LOADING_H
#define MF_LOADING_H

#include "broker.h"
#include "store.h"

/* 0, or -EINVAL and the like with a sentence: which row or record, why, and what to do. */
int mf_loading_run(const struct mf_store_engine *engine, struct mf_store *store, struct mf_broker *broker,
                   char error[512]);

#endif
