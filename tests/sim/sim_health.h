/* sim_health.h - one monitor's edge in a simulated world. */
#ifndef MF_SIM_HEALTH_H
#define MF_SIM_HEALTH_H

#include "net.h"
#include "world.h"

struct mf_sim_health;
struct mf_sim_health *mf_sim_health_new(struct mf_sim_world *world,
                                        uint32_t index); /* comes up with the world */
void mf_sim_health_destroy(struct mf_sim_health **self);
void mf_sim_health_crash(struct mf_sim_health *self);
void mf_sim_health_start(struct mf_sim_health *self);
void mf_sim_health_freeze(struct mf_sim_health *self, bool frozen);
/* Since when it hears the broker without a break, and runs; -1 if it does not. */
mf_ms mf_sim_health_hears_since(const struct mf_sim_health *self);
struct mf_sim_path *mf_sim_health_path(struct mf_sim_health *self); /* its way to the broker */
/* A datagram came in at its socket. */
void mf_sim_health_datagram(struct mf_sim_health *self, const void *bytes, size_t len);

#endif
