/* The draw, and the answers. Each trait has a number below MF_SIM_TRAITS in the list of faults that may be
 * left out; leaving one out does not change what else is drawn. */
#include "weather.h"
#include "clock.h"
#include "faults.h"
#include "script.h"
#include <stdlib.h>
#include <string.h>

struct mf_sim_weather {
    struct mf_sim_world *world;
    uint32_t nodes, monitors, racks, lanes;
    mf_ms span_ms, pause_ms, think_ms, heal_bound, destroy_bound, heartbeat_ms;
    bool quick, reboots_change, die_with_me, fences, drifts, strangers, bad_images;
    unsigned create_fails, destroy_fails, hangs, slow, guest_deaths, deaths_missed, fsync_fails;
    struct mf_sim_path path;
    struct mf_rec_resources capacity;
    bool cells;
    struct mf_broker_config broker;
};

static uint64_t one_of(struct mf_sim_world *world, const uint64_t *choices, size_t n)
{
    return choices[mf_sim_below(world, n)];
}
#define ONE_OF(world, ...)                                                                                   \
    one_of(world, (const uint64_t[]){__VA_ARGS__}, sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

/* -- the draw */

static uint64_t trait(const struct mf_sim_weather *self, enum mf_sim_trait which, uint64_t drawn)
{
    return mf_sim_mask_has(&self->world->options.without, which) ? 0 : drawn;
}
#define TRAIT(which, ...) trait(self, MF_SIM_TRAIT_##which, ONE_OF(world, __VA_ARGS__))

static void draw_troubles(struct mf_sim_weather *self)
{
    struct mf_sim_world *world = self->world;
    self->create_fails = (unsigned)TRAIT(CREATES_FAIL, 0, 0, 2, 10, 40);
    self->destroy_fails = (unsigned)TRAIT(DESTROYS_FAIL, 0, 0, 2, 10);
    self->hangs = (unsigned)TRAIT(HANGS, 0, 0, 0, 2);
    self->slow = (unsigned)TRAIT(SLOW, 0, 3, 10);
    self->guest_deaths = (unsigned)TRAIT(GUESTS_DIE, 0, 0, 5, 30);
    self->deaths_missed = (unsigned)TRAIT(DEATHS_MISSED, 0, 0, 10);
    self->fsync_fails = (unsigned)TRAIT(WRITES_FAIL, 0, 0, 0, 1);
    self->drifts = TRAIT(DRIFT, 0, 1, 1);
    self->reboots_change = TRAIT(REBOOTS_CHANGE, 0, 0, 0, 0, 1);
    self->strangers = TRAIT(STRANGERS, 0, 0, 0, 1);
    self->bad_images = TRAIT(BAD_IMAGES, 0, 0, 1);
    self->path = (struct mf_sim_path){.loss = (unsigned)TRAIT(LOSS, 0, 1, 5, 20),
                                      .twice = (unsigned)TRAIT(TWICE, 0, 2),
                                      .delay = (mf_ms)TRAIT(DELAY, 0, 1, 5),
                                      .jitter = (mf_ms)TRAIT(JITTER, 0, 2, 20, 150)};
    /* an order's deadline, a few tries, and a lane full of slow ones before it; where destroys hang, several
     * of these */
    self->destroy_bound = self->hangs ? 240000 : 60000;
}

static void draw_broker(struct mf_sim_weather *self)
{
    struct mf_sim_world *world = self->world;
    struct mf_broker_config *broker = &self->broker;
    mf_broker_config_default(broker);
    broker->create_ms = 20000;
    broker->destroy_ms = 10000;
    broker->agent_grace_ms = 8000;
    broker->lease_ms = (mf_ms)ONE_OF(world, 1500, 3000, 10000);
    broker->breaker_window_ms = (mf_ms)ONE_OF(world, 3000, 10000);
    broker->breaker_percent = (uint32_t)ONE_OF(world, 30, 30, 60, 100);
    broker->breaker_domain_percent = (uint32_t)ONE_OF(world, 60, 100);
    broker->backoff_max_ms = 4000;
    broker->orders_per_node = (uint32_t)ONE_OF(world, 1, 4, 256);
    broker->list_page = (uint32_t)ONE_OF(world, 2, 500);
    broker->snapshot_rows = (uint32_t)ONE_OF(world, 0, 40, 200, 1000);
    broker->placement = mf_place_policy_named(
        (enum mf_policy_name)ONE_OF(world, MF_POLICY_NAME_ROOM, MF_POLICY_NAME_ROOM, MF_POLICY_NAME_SPREAD,
                                    MF_POLICY_NAME_BALANCE, MF_POLICY_NAME_FIRST_FIT));
    memset(broker->pulse_secret, 7, sizeof(broker->pulse_secret));
}

static void draw_make(struct mf_sim_weather *self)
{
    struct mf_sim_world *world = self->world;
    uint32_t asked = world->options.nodes;
    uint32_t drawn = (uint32_t)ONE_OF(world, 3, 3, 4, 4, 5, 5, 5, 6, 6, 7, 8, 10, 12, 18, 30);
    mf_ms span = (mf_ms)ONE_OF(world, 20000, 40000, 60000, 90000, 140000);
    self->nodes = asked ? asked : drawn;
    self->monitors = (uint32_t)ONE_OF(world, 1, 1, 3);
    self->racks = (uint32_t)ONE_OF(world, 1, 2, 3);
    self->span_ms = span * (mf_ms)self->nodes > 900000 ? 900000 / (mf_ms)self->nodes : span;
    self->pause_ms = (mf_ms)ONE_OF(world, 600, 2000, 5000, 5000, 12000, 30000);
    self->think_ms = (mf_ms)ONE_OF(world, 300, 1500, 4000, 10000);
    self->capacity = (struct mf_rec_resources){.vcpus = ONE_OF(world, 3, 6, 12, 40),
                                               .memory_mib = ONE_OF(world, 1024, 4096, 16384),
                                               .disk_mib = ONE_OF(world, 5000, 1000000)};
    self->lanes = (uint32_t)ONE_OF(world, 1, 4);
    self->heartbeat_ms = (mf_ms)ONE_OF(world, 4000, 4000, 20000);
    self->die_with_me = mf_sim_chance(world, 30);
    self->fences = mf_sim_chance(world, 75);
    self->quick = mf_sim_chance(world, 40);
    self->cells = mf_sim_chance(world, 15);
    self->heal_bound = 420000; /* a node that failed often is kept waiting for up to 5 minutes */
}

/* Large worlds are about how much there is of everything, small ones about every kind of trouble. */
static void enlarge(struct mf_sim_weather *self)
{
    bool large = self->world->options.profile == MF_SIM_LARGE;
    uint32_t asked = self->world->options.nodes;
    self->nodes = asked ? asked : large ? 10000 : 1000;
    self->racks = large ? 100 : 20;
    self->span_ms = large ? 60000 : 30000;
    self->pause_ms = 2000;
    self->capacity = (struct mf_rec_resources){.vcpus = 40, .memory_mib = 65536, .disk_mib = 1000000};
    self->lanes = 4;
    self->create_fails = self->create_fails > 2 ? 2 : self->create_fails;
    self->guest_deaths = 0;
    self->hangs = 0;
    self->broker.orders_per_node = 256;
    self->broker.list_page = 500;
    self->broker.snapshot_rows = large ? 0 : 100000;
    if (large) { /* half of all events would be pulses */
        self->broker.pulse_ms = 500;
        self->broker.silence_ms = 2500;
    }
}

/* A scenario's world has no weather of its own, and room for everybody. */
static void obey(struct mf_sim_weather *self, const struct mf_sim_script *script)
{
    self->nodes = script->nodes;
    self->monitors = script->monitors;
    self->racks = script->racks;
    self->broker = script->broker;
    self->capacity = (struct mf_rec_resources){.vcpus = 1000, .memory_mib = 1000000, .disk_mib = 10000000};
    self->lanes = 4;
    self->cells = false;
    self->die_with_me = self->drifts = self->strangers = self->bad_images = self->reboots_change = false;
    self->fences = true;
    mf_sim_weather_calm(self);
}

struct mf_sim_weather *mf_sim_weather_new(struct mf_sim_world *world)
{
    struct mf_sim_weather *self = mf_sim_alloc(sizeof(*self));
    self->world = world;
    draw_troubles(self);
    draw_make(self);
    draw_broker(self);
    if (world->options.profile != MF_SIM_SMALL)
        enlarge(self);
    if (world->options.script)
        obey(self, world->options.script);
    if (world->options.span_ms)
        self->span_ms = world->options.span_ms;
    return self;
}

void mf_sim_weather_destroy(struct mf_sim_weather **self)
{
    free(*self);
    *self = NULL;
}

void mf_sim_weather_calm(struct mf_sim_weather *self)
{
    self->create_fails = self->destroy_fails = self->hangs = self->slow = self->guest_deaths = 0;
    self->deaths_missed = self->fsync_fails = 0;
    self->heartbeat_ms = 4000;
    self->path = (struct mf_sim_path){.delay = 1, .jitter = 1};
}

/* -- the make */

uint32_t mf_sim_weather_nodes(const struct mf_sim_weather *self)
{
    return self->nodes;
}

uint32_t mf_sim_weather_monitors(const struct mf_sim_weather *self)
{
    return self->monitors;
}

uint32_t mf_sim_weather_racks(const struct mf_sim_weather *self)
{
    return self->racks;
}

mf_ms mf_sim_weather_span(const struct mf_sim_weather *self)
{
    return self->span_ms;
}

mf_ms mf_sim_weather_heal_bound(const struct mf_sim_weather *self)
{
    return self->heal_bound;
}

mf_ms mf_sim_weather_pause(const struct mf_sim_weather *self)
{
    return self->pause_ms;
}

bool mf_sim_weather_cells(const struct mf_sim_weather *self)
{
    return self->cells;
}

struct mf_rec_resources mf_sim_weather_capacity(const struct mf_sim_weather *self)
{
    return self->capacity;
}

struct mf_sim_path mf_sim_weather_path(const struct mf_sim_weather *self)
{
    return self->path;
}

int32_t mf_sim_weather_drift(struct mf_sim_weather *self)
{
    mf_ms ppm = mf_sim_between(self->world, -MF_SIM_DRIFT_PPM, MF_SIM_DRIFT_PPM);
    if (mf_sim_chance(self->world, 30))
        ppm = ppm < 0 ? -MF_SIM_DRIFT_PPM : MF_SIM_DRIFT_PPM;
    return self->drifts ? (int32_t)ppm : 0;
}

const struct mf_broker_config *mf_sim_weather_broker(const struct mf_sim_weather *self)
{
    return &self->broker;
}

void mf_sim_weather_set_broker(struct mf_sim_weather *self, const struct mf_broker_config *config)
{
    self->broker = *config;
}

void mf_sim_weather_worker_config(const struct mf_sim_weather *self, struct mf_worker_config *ret_config)
{
    ret_config->create_lanes = ret_config->destroy_lanes = self->lanes;
    if (self->world->options.profile != MF_SIM_LARGE) /* there the default will do */
        ret_config->list_ms = 3000;
    ret_config->guests_die_with_me = self->die_with_me;
}

bool mf_sim_weather_reboots_change(const struct mf_sim_weather *self)
{
    return self->reboots_change;
}

bool mf_sim_weather_fences(const struct mf_sim_weather *self)
{
    return self->fences;
}

bool mf_sim_weather_die_with_me(const struct mf_sim_weather *self)
{
    return self->die_with_me;
}

bool mf_sim_weather_strangers(const struct mf_sim_weather *self)
{
    return self->strangers;
}

unsigned mf_sim_weather_groups(const struct mf_sim_weather *self)
{
    return self->world->options.profile == MF_SIM_LARGE ? 10 : 3;
}

/* As many as make a large world's share: 20 instances for each node. */
uint64_t mf_sim_weather_slots(const struct mf_sim_weather *self)
{
    switch (self->world->options.profile) {
    case MF_SIM_LARGE:
        return self->nodes >= 5000 ? 10000 : self->nodes;
    case MF_SIM_MEDIUM:
        return self->nodes;
    default:
        return 6;
    }
}

const char *mf_sim_weather_image(struct mf_sim_weather *self, uint64_t spec)
{
    static const char *const names[] = {"tiny", "crash", "bad"};
    return self->bad_images && spec % 7 == 0 ? names[1 + spec / 7 % 2] : names[0];
}

/* -- how long things take */

mf_ms mf_sim_weather_heartbeat(struct mf_sim_weather *self)
{
    return mf_sim_between(self->world, 1500, self->heartbeat_ms);
}

mf_ms mf_sim_weather_fsync(struct mf_sim_weather *self)
{
    bool stall = !mf_sim_healing(self->world) && mf_sim_chance(self->world, 1);
    return stall ? mf_sim_between(self->world, 30, 600) : mf_sim_between(self->world, 1, 5);
}

bool mf_sim_weather_fsync_fails(struct mf_sim_weather *self)
{
    return mf_sim_below(self->world, 500) < self->fsync_fails;
}

static mf_ms work(struct mf_sim_weather *self, unsigned fails, enum mf_errcode *ret_code)
{
    struct mf_sim_world *world = self->world;
    *ret_code = mf_sim_chance(world, fails) ? MF_E_DRIVER : MF_E_OK;
    if (mf_sim_chance(world, self->hangs))
        return mf_sim_between(world, 15000, 40000);
    if (mf_sim_chance(world, self->slow))
        return mf_sim_between(world, 1000, 8000);
    return self->quick ? mf_sim_between(world, 1, 10) : mf_sim_between(world, 3, 400);
}

mf_ms mf_sim_weather_create(struct mf_sim_weather *self, enum mf_errcode *ret_code)
{
    return work(self, self->create_fails, ret_code);
}

mf_ms mf_sim_weather_resume(struct mf_sim_weather *self)
{
    return mf_sim_between(self->world, 0, self->quick ? 1 : 30);
}

mf_ms mf_sim_weather_destroy_job(struct mf_sim_weather *self, enum mf_errcode *ret_code)
{
    return work(self, self->destroy_fails, ret_code);
}

/* Now and then what a list tells is long past when it is told. */
mf_ms mf_sim_weather_list(struct mf_sim_weather *self, enum mf_errcode *ret_code)
{
    *ret_code = mf_sim_chance(self->world, self->destroy_fails) ? MF_E_DRIVER : MF_E_OK;
    return mf_sim_chance(self->world, self->slow) ? mf_sim_between(self->world, 100, 4000)
                                                  : mf_sim_between(self->world, 1, 60);
}

mf_ms mf_sim_weather_destroy_bound(const struct mf_sim_weather *self)
{
    return self->destroy_bound;
}

mf_ms mf_sim_weather_guest_life(struct mf_sim_weather *self)
{
    return mf_sim_chance(self->world, self->guest_deaths) ? mf_sim_between(self->world, 0, 60000) + 1 : 0;
}

enum { BOOT_LIMIT_MS = 20000 };

uint64_t mf_sim_weather_boot_limit(const struct mf_sim_weather *self)
{
    return BOOT_LIMIT_MS;
}

mf_ms mf_sim_weather_guest_ready(struct mf_sim_weather *self)
{
    struct mf_sim_world *world = self->world;
    if (mf_sim_healing(world) || !mf_sim_chance(world, 10))
        return mf_sim_between(world, 1, 4000);
    return mf_sim_chance(world, 50) ? -1 : mf_sim_between(world, BOOT_LIMIT_MS - 5000, 2 * BOOT_LIMIT_MS);
}

mf_ms mf_sim_weather_guest_ails(struct mf_sim_weather *self)
{
    bool ails = !mf_sim_healing(self->world) && mf_sim_chance(self->world, 6);
    return ails ? mf_sim_between(self->world, 1, 60000) : 0;
}

bool mf_sim_weather_death_missed(struct mf_sim_weather *self)
{
    return mf_sim_chance(self->world, self->deaths_missed);
}

mf_ms mf_sim_weather_agent_restart(struct mf_sim_weather *self)
{
    bool long_one = mf_sim_chance(self->world, 10);
    return mf_sim_healing(self->world) ? 100 : mf_sim_between(self->world, 50, long_one ? 15000 : 2000);
}

mf_ms mf_sim_weather_think(struct mf_sim_weather *self)
{
    return mf_sim_between(self->world, 10, self->think_ms);
}
