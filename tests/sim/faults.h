/* faults.h - what goes wrong in a simulated world, and how often. Each seed draws its own mix: some worlds
 * know one kind of fault only, some are calm, some are storms, so that no fault hides behind another. */
#ifndef MF_SIM_FAULTS_H
#define MF_SIM_FAULTS_H

#include "broker.h"
#include "net.h"
#include "worker.h"
#include "world.h"

struct mf_sim_faults;
struct mf_sim_faults *mf_sim_faults_new(struct mf_sim_world *world);
void mf_sim_faults_destroy(struct mf_sim_faults **self);
void mf_sim_faults_heal(struct mf_sim_faults *self); /* no more of them, and all that is broken is mended */

/* The weather, for those who ask: how long things take now, and whether they fail. */
mf_ms mf_sim_faults_heartbeat(struct mf_sim_faults *self); /* until a side notices that nothing is heard */
mf_ms mf_sim_faults_fsync(struct mf_sim_faults *self);
mf_ms mf_sim_faults_create(struct mf_sim_faults *self, enum mf_errcode *ret_code);
mf_ms mf_sim_faults_destroy_job(struct mf_sim_faults *self, enum mf_errcode *ret_code);
mf_ms mf_sim_faults_destroy_bound(
    const struct mf_sim_faults *self); /* I5: all that must not run has ended, where the broker is heard */
enum mf_errcode mf_sim_faults_list(struct mf_sim_faults *self);
mf_ms mf_sim_faults_guest_life(struct mf_sim_faults *self);  /* 0: it does not die by itself */
bool mf_sim_faults_death_missed(struct mf_sim_faults *self); /* neither pidfd nor event told of it */
mf_ms mf_sim_faults_agent_restart(struct mf_sim_faults *self);
mf_ms mf_sim_faults_think(struct mf_sim_faults *self);

/* The world's make. */
struct mf_sim_path mf_sim_faults_path(struct mf_sim_faults *self);
struct mf_rec_resources mf_sim_faults_capacity(struct mf_sim_faults *self);
mf_ms mf_sim_faults_wall_skew(
    struct mf_sim_faults *self); /* of one life of the broker: clocks are set, back too */
void mf_sim_faults_broker_config(struct mf_sim_faults *self, struct mf_broker_config *ret_config);
void mf_sim_faults_worker_config(struct mf_sim_faults *self, struct mf_worker_config *ret_config);

#endif
