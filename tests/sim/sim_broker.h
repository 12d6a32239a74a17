/* sim_broker.h - the broker's edge in a simulated world: the real core between the simulated network and the
 * simulated disk. */
#ifndef MF_SIM_BROKER_H
#define MF_SIM_BROKER_H

#include "broker.h"
#include "sim_store.h"
#include "world.h"

struct mf_sim_broker;
struct mf_sim_broker *mf_sim_broker_new(struct mf_sim_world *world); /* starts with the world */
void mf_sim_broker_destroy(struct mf_sim_broker **self);

void mf_sim_broker_crash(struct mf_sim_broker *self);
void mf_sim_broker_start(struct mf_sim_broker *self); /* loads what is durable; nothing if it runs */
void mf_sim_broker_freeze(struct mf_sim_broker *self, bool frozen);
void mf_sim_broker_set_wall(struct mf_sim_broker *self, mf_ms skew); /* its machine's wall clock jumps */
void mf_sim_broker_fill_disk(struct mf_sim_broker *self, bool full);
bool mf_sim_broker_is_up(const struct mf_sim_broker *self);                   /* runs and is not frozen */
mf_ms mf_sim_broker_since(const struct mf_sim_broker *self);                  /* up without a break since */
const struct mf_broker *mf_sim_broker_core(const struct mf_sim_broker *self); /* NULL while it is down */
/* All that it holds is on disk: only then may memory and log be compared. */
bool mf_sim_broker_is_durable(const struct mf_sim_broker *self);
const struct mf_sim_store *mf_sim_broker_store(const struct mf_sim_broker *self);

void mf_sim_broker_print(const struct mf_sim_broker *self); /* what its core says of itself */

/* The replay oracle: a new core fed what is on disk holds what the living one holds, by snapshot and by the
 * whole log. */
void mf_sim_broker_check_replay(struct mf_sim_broker *self);

#endif
