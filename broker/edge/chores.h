/* chores.h - the thread for slow things that nobody waits for: copies of the store, and its checkpoints some
 * time after a commit. It works on the store's third line (store.h), beside commits and reads. */
#ifndef MF_CHORES_H
#define MF_CHORES_H

#include "store.h"

struct mf_chore {                       /* part of the owner's struct, which lives until done was called */
    void (*run)(struct mf_chore *self); /* in the thread */
    void (*done)(struct mf_chore *self, void *arg); /* in the loop, from mf_chores_collect */
    struct mf_chore *next;                          /* private */
};

struct mf_chores;

struct mf_chores *mf_chores_start(const struct mf_store_engine *engine, struct mf_store *store);
void mf_chores_stop(struct mf_chores **self); /* the chore at work is finished; done is called for none */
int mf_chores_fd(const struct mf_chores *self);
void mf_chores_add(struct mf_chores *self, struct mf_chore *chore);
void mf_chores_collect(struct mf_chores *self, void *arg);
void mf_chores_tidy_soon(struct mf_chores *self);

#endif
