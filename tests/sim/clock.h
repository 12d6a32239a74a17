/* clock.h - the clocks of one simulated machine: a monotonic one that began somewhere and runs a little too
 * fast or too slow (within the bound that leases are made for), and a wall clock that may be set at any time.
 */
#ifndef MF_SIM_CLOCK_H
#define MF_SIM_CLOCK_H

#include "world.h"

enum { MF_SIM_DRIFT_PPM = 5000 }; /* the stated bound: 0.5 % to either side */

struct mf_sim_clock {
    mf_ms skew;      /* monotonic, when the world began */
    int32_t ppm;     /* how much faster than the world it runs */
    mf_ms wall_skew; /* wall clock, against the world's */
};

void mf_sim_clock_init(struct mf_sim_clock *self, struct mf_sim_world *world);
mf_ms mf_sim_clock_now(const struct mf_sim_clock *self, const struct mf_sim_world *world);
mf_ms mf_sim_clock_wall(const struct mf_sim_clock *self, const struct mf_sim_world *world);
/* Set the event to when this clock shows `deadline` (never before the next millisecond); INT64_MAX cancels
 * it. */
void mf_sim_clock_set(const struct mf_sim_clock *self, struct mf_sim_world *world, struct mf_sim_event *event,
                      mf_ms deadline);

#endif
