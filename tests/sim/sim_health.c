/* The monitor's edge: the real health core, pulses in from the simulated network, verdicts out to the broker.
 * While it is stopped, datagrams wait in a socket buffer of bounded size and come all at once afterwards. */
#include "sim_health.h"
#include "check.h"
#include "clock.h"
#include "health.h"
#include "pulse.h"
#include "weather.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SOCKET_BUFFER = 256 };

struct mf_sim_health {
    struct mf_sim_world *world;
    struct mf_health *core;
    struct mf_sim_host host;
    char name[MF_NAME_MAX + 1];
    bool frozen;
    struct mf_sim_clock clock;
    mf_ms disturbed, checked;
    struct mf_sim_path path;
    struct mf_sim_link link;
    struct mf_sim_event tick, start;
    struct {
        size_t len;
        uint8_t bytes[MF_RELAY_SIZE];
    } * buffer;
    size_t buffered;
};

static void carry_out(struct mf_sim_health *self, const struct mf_health_action *action)
{
    struct mf_sim_host to;
    switch (action->kind) {
    case MF_HEALTH_SEND:
        mf_sim_link_send(&self->link, action->message);
        break;
    case MF_HEALTH_DATAGRAM:
        if (mf_sim_host_at(self->world, action->address, &to))
            mf_sim_net_datagram(self->world, self->host, to, action->bytes, action->len);
        break;
    case MF_HEALTH_LOOK: /* no guest of a world has an address */
        MF_CHECK(!"looks at a guest");
        break;
    }
}

static void feed_one(struct mf_sim_health *self, const struct mf_health_event *event)
{
    struct mf_health_action action;
    mf_health_feed(self->core, mf_sim_clock_now(&self->clock, self->world), event);
    for (unsigned n = 0; !self->world->failed && mf_health_poll(self->core, &action); n++) {
        carry_out(self, &action);
        if (n > 100000 + 20 * self->world->n_nodes)
            mf_sim_fail(self->world, "poll", "the monitor's core has no end of actions");
    }
    if (mf_sim_look(self->world, &self->checked))
        mf_health_check(self->core);
    mf_sim_clock_set(&self->clock, self->world, &self->tick, mf_health_deadline(self->core));
}

/* As the real edge does: what came, then the time. */
static void feed(struct mf_sim_health *self, const struct mf_health_event *event)
{
    feed_one(self, event);
    if (event->kind != MF_HEALTH_TICK && !self->world->failed)
        feed_one(self, &(struct mf_health_event){.kind = MF_HEALTH_TICK});
}

static void tick_fires(struct mf_sim_event *event)
{
    struct mf_sim_health *self = MF_SIM_OWNER(event, struct mf_sim_health, tick);
    if (self->frozen)
        mf_sim_after(self->world, event, 20);
    else
        feed(self, &(struct mf_health_event){.kind = MF_HEALTH_TICK});
}

static void start_fires(struct mf_sim_event *event)
{
    mf_sim_health_start(MF_SIM_OWNER(event, struct mf_sim_health, start));
}

static void link_up(void *owner)
{
    ((struct mf_sim_health *)owner)->disturbed = ((struct mf_sim_health *)owner)->world->now;
    feed(owner, &(struct mf_health_event){.kind = MF_HEALTH_LINK_UP});
}

static void link_down(void *owner)
{
    feed(owner, &(struct mf_health_event){.kind = MF_HEALTH_LINK_DOWN});
}

static void link_message(void *owner, const struct mf_message *message)
{
    feed(owner, &(struct mf_health_event){.kind = MF_HEALTH_MESSAGE, .message = message});
}

static const struct mf_sim_link_calls calls = {link_up, link_down, link_message};

struct mf_sim_health *mf_sim_health_new(struct mf_sim_world *world, uint32_t index)
{
    struct mf_sim_health *self = mf_sim_alloc(sizeof(*self));
    self->world = world;
    self->host = (struct mf_sim_host){true, index};
    snprintf(self->name, sizeof(self->name), "health-%u", index);
    self->path = mf_sim_weather_path(world->weather);
    self->buffer = mf_sim_alloc(sizeof(*self->buffer) * SOCKET_BUFFER);
    self->tick.fire = tick_fires;
    self->start.fire = start_fires;
    mf_sim_after(world, &self->start, mf_sim_between(world, 1, 100));
    return self;
}

void mf_sim_health_destroy(struct mf_sim_health **self)
{
    struct mf_sim_health *health = *self;
    if (!health)
        return;
    *self = NULL;
    mf_health_destroy(&health->core);
    free(health->buffer);
    free(health);
}

void mf_sim_health_start(struct mf_sim_health *self)
{
    if (self->core)
        return;
    struct mf_health_config config;
    char address[32];
    mf_health_config_default(&config);
    config.tick_ms = 25;
    config.seed = mf_random_next(&self->world->random);
    snprintf(config.name, sizeof(config.name), "%s", self->name);
    snprintf(config.pulse_address, sizeof(config.pulse_address), "%s",
             mf_sim_host_address(self->host, address));
    mf_sim_trace(self->world, self->name, "starts");
    self->core = mf_health_new(&config);
    mf_sim_clock_init(&self->clock, self->world);
    self->buffered = 0;
    mf_sim_link_init(&self->link, self->world, &self->path, MF_ROLE_MONITOR, self->name, &calls, self);
    mf_sim_link_open(&self->link);
    feed(self, &(struct mf_health_event){.kind = MF_HEALTH_TICK});
}

void mf_sim_health_crash(struct mf_sim_health *self)
{
    if (!self->core)
        return;
    mf_sim_trace(self->world, self->name, "dies");
    self->frozen = false;
    self->link.frozen = false;
    mf_sim_link_close(&self->link, false);
    mf_sim_cancel(self->world, &self->tick);
    mf_health_destroy(&self->core);
}

void mf_sim_health_freeze(struct mf_sim_health *self, bool frozen)
{
    if (!self->core || self->frozen == frozen)
        return;
    mf_sim_trace(self->world, self->name, frozen ? "is stopped" : "goes on");
    self->frozen = frozen;
    self->disturbed = self->world->now;
    mf_sim_link_freeze(&self->link, frozen);
    size_t n = self->buffered;
    self->buffered = 0;
    if (!frozen && mf_sim_chance(self->world, 50)) /* which descriptor the loop looks at first is chance */
        feed(self, &(struct mf_health_event){.kind = MF_HEALTH_TICK});
    for (size_t i = 0; i < n && !self->world->failed; i++)
        mf_sim_health_datagram(self, self->buffer[i].bytes, self->buffer[i].len);
}

mf_ms mf_sim_health_hears_since(const struct mf_sim_health *self)
{
    return self->core && !self->frozen && !mf_sim_path_is_cut(&self->path) && mf_sim_link_is_up(&self->link)
               ? self->disturbed
               : -1;
}

struct mf_sim_path *mf_sim_health_path(struct mf_sim_health *self)
{
    return &self->path;
}

void mf_sim_health_datagram(struct mf_sim_health *self, const void *bytes, size_t len)
{
    if (!self->core)
        return;
    if (!self->frozen)
        feed(self, &(struct mf_health_event){.kind = MF_HEALTH_PULSE, .bytes = bytes, .len = len});
    else if (self->buffered < SOCKET_BUFFER) {
        self->buffer[self->buffered].len = len;
        memcpy(self->buffer[self->buffered++].bytes, bytes, len);
    }
}
