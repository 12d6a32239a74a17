/* The clock and the dice of a simulated world, and its two phases: first faults, then healing, when liveness
 * is demanded. */
#include "world.h"
#include "checks.h"
#include "faults.h"
#include "model.h"
#include "net.h"
#include "sim_broker.h"
#include "sim_client.h"
#include "sim_health.h"
#include "sim_node.h"
#include "weather.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    QUIET_MS = 3000,       /* all must stay well for this long */
    LOOK_MS = 250,         /* how often the world looks whether it is well */
    STEP_LIMIT = 200000000 /* more events than this is a livelock, not a life */
};

void *mf_sim_alloc(size_t size)
{
    void *memory = calloc(1, size ? size : 1);
    if (!memory)
        abort();
    return memory;
}

void mf_sim_grow(void **array, size_t n, size_t *cap, size_t item_size)
{
    if (n < *cap)
        return;
    *cap = *cap ? *cap * 2 : 16;
    *array = realloc(*array, *cap * item_size);
    if (!*array)
        abort();
}

mf_ms mf_sim_wall(const struct mf_sim_world *self)
{
    return self->wall_base + self->now;
}

void mf_sim_after(struct mf_sim_world *self, struct mf_sim_event *event, mf_ms delay_ms)
{
    mf_heap_set(&self->heap, &event->timer, self->now + (delay_ms > 0 ? delay_ms : 0));
}

void mf_sim_cancel(struct mf_sim_world *self, struct mf_sim_event *event)
{
    mf_heap_unset(&self->heap, &event->timer);
}

bool mf_sim_is_set(const struct mf_sim_event *event)
{
    return event->timer.place != 0;
}

uint64_t mf_sim_below(struct mf_sim_world *self, uint64_t n)
{
    return n ? mf_random_below(&self->random, n) : 0;
}

mf_ms mf_sim_between(struct mf_sim_world *self, mf_ms low, mf_ms high)
{
    return low + (mf_ms)mf_sim_below(self, (uint64_t)(high - low) + 1);
}

bool mf_sim_chance(struct mf_sim_world *self, unsigned percent)
{
    return mf_sim_below(self, 100) < percent;
}

void mf_sim_fail(struct mf_sim_world *self, const char *invariant, const char *format, ...)
{
    if (self->failed)
        return;
    self->failed = true;
    snprintf(self->invariant, sizeof(self->invariant), "%s", invariant);
    va_list args;
    va_start(args, format);
    vsnprintf(self->failure, sizeof(self->failure), format, args);
    va_end(args);
    mf_sim_trace(self, "BROKEN", "%s: %s", self->invariant, self->failure);
}

bool mf_sim_look(const struct mf_sim_world *self, mf_ms *last)
{
    if (self->look_ms && *last && self->now - *last < self->look_ms)
        return false;
    *last = self->now;
    return true;
}

struct mf_sim_world *mf_sim_world_new(const struct mf_sim_options *options)
{
    static const mf_ms looks[] = {0, 1000, 10000};
    struct mf_sim_world *self = mf_sim_alloc(sizeof(*self));
    self->options = *options;
    self->now = 1;
    self->look_ms = looks[options->profile];
    mf_random_seed(&self->random, options->seed);
    self->wall_base = 1700000000000 + mf_sim_between(self, 0, 1000000);
    self->weather = mf_sim_weather_new(self);
    self->n_nodes = mf_sim_weather_nodes(self->weather);
    self->n_monitors = mf_sim_weather_monitors(self->weather);
    self->n_clients = options->clients;
    self->model = mf_sim_model_new(self);
    self->net = mf_sim_net_new(self);
    self->broker = mf_sim_broker_new(self);
    self->monitors = mf_sim_alloc(sizeof(struct mf_sim_health *) * self->n_monitors);
    for (uint32_t i = 0; i < self->n_monitors; i++)
        self->monitors[i] = mf_sim_health_new(self, i);
    self->nodes = mf_sim_alloc(sizeof(struct mf_sim_node *) * self->n_nodes);
    for (uint32_t i = 0; i < self->n_nodes; i++)
        self->nodes[i] = mf_sim_node_new(self, i);
    self->clients = mf_sim_alloc(sizeof(struct mf_sim_client *) * self->n_clients);
    for (uint32_t i = 0; i < self->n_clients; i++)
        self->clients[i] = mf_sim_client_new(self, i);
    self->faults = mf_sim_faults_new(self);
    return self;
}

static void drop_events(struct mf_sim_world *self)
{
    struct mf_timer *timer;
    while ((timer = mf_heap_take(&self->heap, INT64_MAX))) {
        struct mf_sim_event *event = MF_SIM_OWNER(timer, struct mf_sim_event, timer);
        if (event->drop)
            event->drop(event);
    }
    mf_heap_free(&self->heap);
}

void mf_sim_world_destroy(struct mf_sim_world **self)
{
    struct mf_sim_world *world = *self;
    if (!world)
        return;
    *self = NULL;
    drop_events(world);
    for (uint32_t i = 0; i < world->n_clients; i++)
        mf_sim_client_destroy(&world->clients[i]);
    for (uint32_t i = 0; i < world->n_nodes; i++)
        mf_sim_node_destroy(&world->nodes[i]);
    for (uint32_t i = 0; i < world->n_monitors; i++)
        mf_sim_health_destroy(&world->monitors[i]);
    free(world->clients);
    free(world->nodes);
    free(world->monitors);
    mf_sim_broker_destroy(&world->broker);
    mf_sim_net_destroy(&world->net);
    mf_sim_faults_destroy(&world->faults);
    mf_sim_model_destroy(&world->model);
    mf_sim_weather_destroy(&world->weather);
    free(world);
}

/* One event. False when the world stops: an invariant broke, or nothing is left to happen. */
static bool step(struct mf_sim_world *self)
{
    struct mf_timer *first = mf_heap_first(&self->heap);
    if (!first || self->failed)
        return false;
    if (first->when > self->now)
        self->now = first->when;
    struct mf_timer *timer = mf_heap_take(&self->heap, self->now);
    struct mf_sim_event *event = MF_SIM_OWNER(timer, struct mf_sim_event, timer);
    if (++self->fired > STEP_LIMIT)
        mf_sim_fail(self, "I8", "more than %d events: something goes round in circles", STEP_LIMIT);
    event->fire(event);
    return !self->failed;
}

bool mf_sim_world_pass(struct mf_sim_world *self, mf_ms until)
{
    struct mf_timer *first;
    while ((first = mf_heap_first(&self->heap)) && first->when <= until)
        if (!step(self))
            return false;
    self->now = until;
    return !self->failed;
}

void mf_sim_world_heal(struct mf_sim_world *self)
{
    mf_sim_trace(self, "world", "faults are over: everything heals");
    self->healed = self->now;
    mf_sim_faults_heal(self->faults);
    for (uint32_t i = 0; i < self->n_clients; i++)
        mf_sim_client_rest(self->clients[i]);
}

/* Look until all is well and stays so; the reason why it is not yet is what a failure tells. */
static bool demand_liveness(struct mf_sim_world *self)
{
    mf_ms well_since = -1, bound = mf_sim_weather_heal_bound(self->weather);
    mf_ms look = self->look_ms > LOOK_MS ? self->look_ms : LOOK_MS;
    char why[512] = "";
    while (self->now - self->healed < bound) {
        if (!mf_sim_world_pass(self, self->now + look))
            return false;
        if (!mf_sim_check_well(self, why, sizeof(why)))
            well_since = -1;
        else if (well_since < 0)
            well_since = self->now;
        else if (self->now - well_since >= QUIET_MS && mf_sim_broker_is_durable(self->broker))
            return true;
    }
    mf_sim_fail(self, "I8", "not well %lld s after faults stopped: %s", (long long)bound / 1000, why);
    return false;
}

bool mf_sim_world_settle(struct mf_sim_world *self)
{
    if (!demand_liveness(self))
        return false;
    mf_sim_check_end(self);
    mf_sim_trace(self, "world", "well: %llu rows, %llu events",
                 (unsigned long long)mf_sim_model_seq(self->model), (unsigned long long)self->fired);
    return !self->failed;
}

bool mf_sim_world_run(struct mf_sim_world *self)
{
    if (!mf_sim_world_pass(self, mf_sim_weather_span(self->weather)))
        return false;
    mf_sim_world_heal(self);
    return mf_sim_world_settle(self);
}
