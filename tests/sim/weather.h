/* weather.h - the make and the weather of a simulated world: how many there are of what, how long things take
 * and how often they fail by themselves. Drawn once per seed: some worlds are calm, some know one trouble
 * only, some are storms, so that no trouble hides behind another. What happens at a moment is in faults.h. */
#ifndef MF_SIM_WEATHER_H
#define MF_SIM_WEATHER_H

#include "broker.h"
#include "net.h"
#include "worker.h"
#include "world.h"

struct mf_sim_weather;
struct mf_sim_weather *mf_sim_weather_new(struct mf_sim_world *world);
void mf_sim_weather_destroy(struct mf_sim_weather **self);
void mf_sim_weather_calm(struct mf_sim_weather *self); /* from now on nothing fails by itself */

/* The world's make. */
uint32_t mf_sim_weather_nodes(const struct mf_sim_weather *self);
uint32_t mf_sim_weather_monitors(const struct mf_sim_weather *self);
uint32_t mf_sim_weather_racks(const struct mf_sim_weather *self);
mf_ms mf_sim_weather_span(const struct mf_sim_weather *self); /* until when faults happen */
mf_ms mf_sim_weather_heal_bound(
    const struct mf_sim_weather *self);                        /* I8: well within this, once they are over */
mf_ms mf_sim_weather_pause(const struct mf_sim_weather *self); /* between two faults, at most */
struct mf_rec_resources mf_sim_weather_capacity(const struct mf_sim_weather *self);
bool mf_sim_weather_cells(const struct mf_sim_weather *self); /* hosts have two NUMA cells */
struct mf_sim_path mf_sim_weather_path(const struct mf_sim_weather *self);
int32_t mf_sim_weather_drift(struct mf_sim_weather *self);
const struct mf_broker_config *mf_sim_weather_broker(const struct mf_sim_weather *self);
void mf_sim_weather_set_broker(struct mf_sim_weather *self, const struct mf_broker_config *config);
void mf_sim_weather_worker_config(const struct mf_sim_weather *self, struct mf_worker_config *ret_config);
bool mf_sim_weather_reboots_change(const struct mf_sim_weather *self); /* a host may come back smaller */
bool mf_sim_weather_fences(
    const struct mf_sim_weather *self); /* keepers fence: at-most groups are asked for */
bool mf_sim_weather_die_with_me(const struct mf_sim_weather *self); /* guests end with their worker */
bool mf_sim_weather_strangers(
    const struct mf_sim_weather *self); /* hosts may hold domains of our name space */
unsigned mf_sim_weather_groups(const struct mf_sim_weather *self);            /* of one client */
uint64_t mf_sim_weather_slots(const struct mf_sim_weather *self);             /* of one group, at most */
const char *mf_sim_weather_image(struct mf_sim_weather *self, uint64_t spec); /* that a group asks for */

/* How long things take now, and whether they fail. */
mf_ms mf_sim_weather_heartbeat(struct mf_sim_weather *self); /* until a side notices that nothing is heard */
mf_ms mf_sim_weather_fsync(struct mf_sim_weather *self);
bool mf_sim_weather_fsync_fails(struct mf_sim_weather *self);
mf_ms mf_sim_weather_create(struct mf_sim_weather *self, enum mf_errcode *ret_code);
mf_ms mf_sim_weather_resume(struct mf_sim_weather *self); /* of what was made paused */
mf_ms mf_sim_weather_destroy_job(struct mf_sim_weather *self, enum mf_errcode *ret_code);
mf_ms mf_sim_weather_list(struct mf_sim_weather *self, enum mf_errcode *ret_code);
/* I5: all that must not run has ended, where the broker is heard. */
mf_ms mf_sim_weather_destroy_bound(const struct mf_sim_weather *self);
mf_ms mf_sim_weather_guest_life(struct mf_sim_weather *self); /* 0: it does not die by itself */
/* From its first moment until it says that it is well; -1: it never does. And until it is unwell; 0: it stays
 * well. */
mf_ms mf_sim_weather_guest_ready(struct mf_sim_weather *self);
mf_ms mf_sim_weather_guest_ails(struct mf_sim_weather *self);
uint64_t mf_sim_weather_boot_limit(const struct mf_sim_weather *self); /* that groups ask for */
bool mf_sim_weather_death_missed(struct mf_sim_weather *self); /* neither pidfd nor event told of it */
mf_ms mf_sim_weather_agent_restart(struct mf_sim_weather *self);
mf_ms mf_sim_weather_think(struct mf_sim_weather *self);

#endif
