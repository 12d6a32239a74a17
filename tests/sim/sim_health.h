/* sim_health.h - the monitor's edge in a simulated world. One monitor for now; addresses are looked up, so
 * more may stand beside it. */
#ifndef MF_SIM_HEALTH_H
#define MF_SIM_HEALTH_H

#include "net.h"
#include "world.h"

struct mf_sim_health;
struct mf_sim_health *mf_sim_health_new(struct mf_sim_world *world); /* comes up with the world */
void mf_sim_health_destroy(struct mf_sim_health **self);
void mf_sim_health_crash(struct mf_sim_health *self);
void mf_sim_health_start(struct mf_sim_health *self);
void mf_sim_health_freeze(struct mf_sim_health *self, bool frozen);
bool mf_sim_health_is_up(const struct mf_sim_health *self);
mf_ms mf_sim_health_hears_since(
    const struct mf_sim_health *self); /* up and linked without a break; -1 if it is not */
struct mf_sim_path *mf_sim_health_path(struct mf_sim_health *self); /* its way to the broker */
/* A datagram came to that address. */
void mf_sim_health_pulse(struct mf_sim_health *self, const char *address, const void *bytes, size_t len);

#endif
