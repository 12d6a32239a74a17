/* Clocks that are not the world's. */
#include "clock.h"
#include "weather.h"

void mf_sim_clock_init(struct mf_sim_clock *self, struct mf_sim_world *world)
{
    self->skew = mf_sim_between(world, 0, 5000000);
    self->ppm = mf_sim_weather_drift(world->weather);
    self->wall_skew = 0;
}

mf_ms mf_sim_clock_now(const struct mf_sim_clock *self, const struct mf_sim_world *world)
{
    return self->skew + world->now * (1000000 + self->ppm) / 1000000;
}

mf_ms mf_sim_clock_wall(const struct mf_sim_clock *self, const struct mf_sim_world *world)
{
    return mf_sim_wall(world) + self->wall_skew;
}

void mf_sim_clock_set(const struct mf_sim_clock *self, struct mf_sim_world *world, struct mf_sim_event *event,
                      mf_ms deadline)
{
    if (deadline == INT64_MAX) {
        mf_sim_cancel(world, event);
        return;
    }
    mf_ms left = deadline - mf_sim_clock_now(self, world), rate = 1000000 + self->ppm;
    mf_sim_after(world, event, left <= 1 ? 1 : (left * 1000000 + rate - 1) / rate);
}
