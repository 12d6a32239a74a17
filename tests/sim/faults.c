/* Faults: a table of what can happen to whom and what mends it. The weather and the make of the world are
 * drawn once per seed. */
#include "faults.h"
#include "sim_broker.h"
#include "sim_client.h"
#include "sim_health.h"
#include "sim_node.h"
#include <stdlib.h>
#include <string.h>

struct fault {
    const char *name;
    unsigned weight;
    mf_ms low, high; /* how long until it is mended */
    void (*happens)(struct mf_sim_world *world, uint32_t target);
    void (*mends)(struct mf_sim_world *world, uint32_t target); /* NULL: mends itself */
};

enum { FAULTS_MAX = 24 };
struct mf_sim_faults {
    struct mf_sim_world *world;
    unsigned weights[FAULTS_MAX], total;
    mf_ms pause_ms; /* between two faults, at most */
    mf_ms think_ms;
    mf_ms destroy_bound, heartbeat_ms;
    bool clocks_jump, reboots_change, die_with_me;
    unsigned create_fails, destroy_fails, hangs, slow, guest_deaths, deaths_missed;
    struct mf_sim_path path;
    struct mf_rec_resources capacity;
    struct mf_broker_config broker;
    uint32_t lanes;
    struct mf_sim_event next;
};

/* -- what happens; a target is a random number, taken modulo of what there is */

static struct mf_sim_node *node_of(struct mf_sim_world *world, uint32_t target)
{
    return world->nodes[target % world->options.nodes];
}

static void agent_dies(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_node_kill_agent(node_of(world, target));
}

static void worker_dies(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_node_kill_worker(node_of(world, target));
}

static void all_die(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_node_kill_all(node_of(world, target));
}

static void node_starts(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_node_start(node_of(world, target));
}

static void power_fails(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_node_power_off(node_of(world, target));
}

static void power_returns(struct mf_sim_world *world, uint32_t target)
{
    struct mf_sim_node *node = node_of(world, target);
    if (world->faults->reboots_change && !node->keeper.up)
        node->hypervisor.capacity.vcpus = 1 + mf_sim_below(world, 12);
    mf_sim_node_reboot(node);
}

static void node_stops(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_node_freeze(node_of(world, target), true);
}

static void node_goes_on(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_node_freeze(node_of(world, target), false);
}

static void cut_from_all(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_node_cut(node_of(world, target), true, true);
}

static void cut_from_broker(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_node_cut(node_of(world, target), true, false);
}

static void cut_from_monitor(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_node_cut(node_of(world, target), false, true);
}

static void cut_ends(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_node_cut(node_of(world, target), false, false);
}

static void link_breaks(struct mf_sim_world *world, uint32_t target)
{
    struct mf_sim_node *node = node_of(world, target);
    if (node->core && !node->frozen)
        mf_sim_link_break(&node->link);
}

static void client_link_breaks(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_link_break(mf_sim_client_link(world->clients[target % world->options.clients]));
}

static void broker_dies(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_broker_crash(world->broker);
}

static void broker_starts(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_broker_start(world->broker);
}

static void broker_stops(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_broker_freeze(world->broker, true);
}

static void broker_goes_on(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_broker_freeze(world->broker, false);
}

static void monitor_dies(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_health_crash(world->health);
}

static void monitor_starts(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_health_start(world->health);
}

static void monitor_stops(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_health_freeze(world->health, true);
}

static void monitor_goes_on(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_health_freeze(world->health, false);
}

static void monitor_is_cut(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_trace(world, "health-0", "is cut from the broker");
    mf_sim_path_cut(world, mf_sim_health_path(world->health), true);
}

static void monitor_is_linked(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_path_cut(world, mf_sim_health_path(world->health), false);
}

static void guest_dies(struct mf_sim_world *world, uint32_t target)
{
    struct mf_sim_hypervisor *hypervisor = &node_of(world, target)->hypervisor;
    if (!hypervisor->n || hypervisor->node->frozen)
        return;
    const struct mf_sim_guest *guest = hypervisor->guests[(target >> 16) % hypervisor->n];
    if (guest->name[0])
        mf_sim_hypervisor_kill(hypervisor, guest->id);
}

static const struct fault table[] = {
    {"a guest dies", 10, 0, 0, guest_dies, NULL},
    {"an agent dies", 8, 0, 0, agent_dies, NULL},
    {"a worker dies", 6, 100, 20000, worker_dies, node_starts},
    {"a node's processes die", 8, 100, 20000, all_die, node_starts},
    {"a node loses power", 8, 500, 25000, power_fails, power_returns},
    {"a node stops", 8, 100, 15000, node_stops, node_goes_on},
    {"a node stops for a moment", 8, 50, 700, node_stops, node_goes_on},
    {"a node is cut off", 8, 200, 20000, cut_from_all, cut_ends},
    {"a node is cut from the broker", 5, 200, 15000, cut_from_broker, cut_ends},
    {"a node is cut from the monitor", 5, 200, 8000, cut_from_monitor, cut_ends},
    {"a worker's connection breaks", 8, 0, 0, link_breaks, NULL},
    {"a client's connection breaks", 6, 0, 0, client_link_breaks, NULL},
    {"the broker dies", 8, 10, 6000, broker_dies, broker_starts},
    {"the broker stops", 4, 20, 3000, broker_stops, broker_goes_on},
    {"the monitor dies", 5, 100, 8000, monitor_dies, monitor_starts},
    {"the monitor stops", 5, 50, 5000, monitor_stops, monitor_goes_on},
    {"the monitor is cut from the broker", 4, 100, 8000, monitor_is_cut, monitor_is_linked},
};
enum { FAULTS = sizeof(table) / sizeof(table[0]) };
_Static_assert((int)FAULTS <= (int)FAULTS_MAX, "room for every fault's weight");

struct mending {
    struct mf_sim_event event;
    struct mf_sim_world *world;
    const struct fault *fault;
    uint32_t target;
};

static void mending_drop(struct mf_sim_event *event)
{
    free(MF_SIM_OWNER(event, struct mending, event));
}

static void mending_fires(struct mf_sim_event *event)
{
    struct mending *mending = MF_SIM_OWNER(event, struct mending, event);
    if (!mending->world->healing)
        mending->fault->mends(mending->world, mending->target);
    free(mending);
}

static void mend_later(struct mf_sim_world *world, const struct fault *fault, uint32_t target)
{
    struct mending *mending = mf_sim_alloc(sizeof(*mending));
    *mending = (struct mending){.event = {.fire = mending_fires, .drop = mending_drop},
                                .world = world,
                                .fault = fault,
                                .target = target};
    mf_sim_after(world, &mending->event, mf_sim_between(world, fault->low, fault->high));
}

static void next_fires(struct mf_sim_event *event)
{
    struct mf_sim_faults *self = MF_SIM_OWNER(event, struct mf_sim_faults, next);
    struct mf_sim_world *world = self->world;
    if (world->healing)
        return;
    mf_sim_after(world, event, mf_sim_between(world, 1, self->pause_ms));
    uint64_t dice = mf_sim_below(world, self->total);
    size_t i = 0;
    while (dice >= self->weights[i])
        dice -= self->weights[i++];
    uint32_t target = (uint32_t)mf_random_next(&world->random);
    mf_sim_trace(world, "fault", "%s", table[i].name);
    table[i].happens(world, target);
    if (table[i].mends)
        mend_later(world, &table[i], target);
}

/* -- the draw */

static uint64_t one_of(struct mf_sim_world *world, const uint64_t *choices, size_t n)
{
    return choices[mf_sim_below(world, n)];
}
#define ONE_OF(world, ...)                                                                                   \
    one_of(world, (const uint64_t[]){__VA_ARGS__}, sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

static void draw_weather(struct mf_sim_faults *self)
{
    struct mf_sim_world *world = self->world;
    unsigned share = (unsigned)ONE_OF(world, 100, 60, 60, 30, 12);
    for (size_t i = 0; i < FAULTS; i++) {
        self->weights[i] = mf_sim_chance(world, share) ? table[i].weight : 0;
        self->total += self->weights[i];
    }
    self->pause_ms = (mf_ms)ONE_OF(world, 600, 2000, 5000, 5000, 12000, 30000);
    self->think_ms = (mf_ms)ONE_OF(world, 300, 1500, 4000, 10000);
    self->create_fails = (unsigned)ONE_OF(world, 0, 0, 2, 10, 40);
    self->destroy_fails = (unsigned)ONE_OF(world, 0, 0, 2, 10);
    self->hangs = (unsigned)ONE_OF(world, 0, 0, 0, 2);
    /* an order's deadline, a few tries, and a lane full of slow ones before it; where destroys hang, several
     * of these */
    self->destroy_bound = self->hangs ? 240000 : 60000;
    self->slow = (unsigned)ONE_OF(world, 0, 3, 10);
    self->guest_deaths = (unsigned)ONE_OF(world, 0, 0, 5, 30);
    self->deaths_missed = (unsigned)ONE_OF(world, 0, 0, 10);
    self->path = (struct mf_sim_path){.loss = (unsigned)ONE_OF(world, 0, 1, 5, 20),
                                      .twice = (unsigned)ONE_OF(world, 0, 2),
                                      .delay = (mf_ms)ONE_OF(world, 0, 1, 5),
                                      .jitter = (mf_ms)ONE_OF(world, 0, 2, 20, 150)};
}

static void draw_make(struct mf_sim_faults *self)
{
    struct mf_sim_world *world = self->world;
    self->capacity = (struct mf_rec_resources){.vcpus = ONE_OF(world, 3, 6, 12, 40),
                                               .memory_mib = ONE_OF(world, 1024, 4096, 16384),
                                               .disk_mib = ONE_OF(world, 5000, 1000000)};
    self->lanes = (uint32_t)ONE_OF(world, 1, 4);
    self->heartbeat_ms = (mf_ms)ONE_OF(world, 4000, 4000, 20000);
    self->clocks_jump = mf_sim_chance(world, 20);
    self->reboots_change = mf_sim_chance(world, 20);
    self->die_with_me = mf_sim_chance(world, 10);
    mf_broker_config_default(&self->broker);
    self->broker.create_ms = 20000;
    self->broker.destroy_ms = 10000;
    self->broker.agent_grace_ms = 8000;
    self->broker.backoff_max_ms = 4000;
    self->broker.orders_per_node = (uint32_t)ONE_OF(world, 1, 4, 256);
    self->broker.list_page = (uint32_t)ONE_OF(world, 2, 500);
    self->broker.snapshot_rows = (uint32_t)ONE_OF(world, 0, 40, 200, 1000);
    memset(self->broker.pulse_secret, 7, sizeof(self->broker.pulse_secret));
}

struct mf_sim_faults *mf_sim_faults_new(struct mf_sim_world *world)
{
    struct mf_sim_faults *self = mf_sim_alloc(sizeof(*self));
    self->world = world;
    self->next.fire = next_fires;
    draw_weather(self);
    draw_make(self);
    if (self->total)
        mf_sim_after(world, &self->next, 3000);
    return self;
}

void mf_sim_faults_destroy(struct mf_sim_faults **self)
{
    free(*self);
    *self = NULL;
}

static void calm(struct mf_sim_world *world, struct mf_sim_path *path)
{
    bool cut = path->cut;
    *path = (struct mf_sim_path){.delay = 1, .jitter = 1, .cut = cut};
    mf_sim_path_cut(world, path, false);
}

void mf_sim_faults_heal(struct mf_sim_faults *self)
{
    struct mf_sim_world *world = self->world;
    self->create_fails = self->destroy_fails = self->hangs = self->slow = self->guest_deaths = 0;
    for (uint32_t i = 0; i < world->options.nodes; i++) {
        calm(world, &world->nodes[i]->to_broker);
        calm(world, &world->nodes[i]->to_monitor);
        mf_sim_node_freeze(world->nodes[i], false);
        mf_sim_node_start(world->nodes[i]);
    }
    for (uint32_t i = 0; i < world->options.clients; i++)
        calm(world, mf_sim_client_path(world->clients[i]));
    calm(world, mf_sim_health_path(world->health));
    mf_sim_broker_freeze(world->broker, false);
    mf_sim_health_freeze(world->health, false);
    mf_sim_broker_start(world->broker);
    mf_sim_health_start(world->health);
}

/* -- for those who ask */

mf_ms mf_sim_faults_heartbeat(struct mf_sim_faults *self)
{
    return mf_sim_between(self->world, 1500, self->world->healing ? 4000 : self->heartbeat_ms);
}

mf_ms mf_sim_faults_wall_skew(struct mf_sim_faults *self)
{
    return self->clocks_jump ? mf_sim_between(self->world, -3600000, 3600000) : 0;
}

mf_ms mf_sim_faults_fsync(struct mf_sim_faults *self)
{
    bool stall = !self->world->healing && mf_sim_chance(self->world, 1);
    return stall ? mf_sim_between(self->world, 30, 600) : mf_sim_between(self->world, 1, 5);
}

static mf_ms work(struct mf_sim_faults *self, unsigned fails, enum mf_errcode *ret_code)
{
    struct mf_sim_world *world = self->world;
    *ret_code = mf_sim_chance(world, fails) ? MF_E_DRIVER : MF_E_OK;
    if (mf_sim_chance(world, self->hangs))
        return mf_sim_between(world, 15000, 40000);
    return mf_sim_chance(world, self->slow) ? mf_sim_between(world, 1000, 8000)
                                            : mf_sim_between(world, 3, 400);
}

mf_ms mf_sim_faults_create(struct mf_sim_faults *self, enum mf_errcode *ret_code)
{
    return work(self, self->create_fails, ret_code);
}

mf_ms mf_sim_faults_destroy_job(struct mf_sim_faults *self, enum mf_errcode *ret_code)
{
    return work(self, self->destroy_fails, ret_code);
}

mf_ms mf_sim_faults_destroy_bound(const struct mf_sim_faults *self)
{
    return self->destroy_bound;
}

enum mf_errcode mf_sim_faults_list(struct mf_sim_faults *self)
{
    return mf_sim_chance(self->world, self->destroy_fails) ? MF_E_DRIVER : MF_E_OK;
}

mf_ms mf_sim_faults_guest_life(struct mf_sim_faults *self)
{
    return mf_sim_chance(self->world, self->guest_deaths) ? mf_sim_between(self->world, 0, 60000) + 1 : 0;
}

bool mf_sim_faults_death_missed(struct mf_sim_faults *self)
{
    return mf_sim_chance(self->world, self->deaths_missed);
}

mf_ms mf_sim_faults_agent_restart(struct mf_sim_faults *self)
{
    return self->world->healing
               ? 100
               : mf_sim_between(self->world, 50, mf_sim_chance(self->world, 10) ? 15000 : 2000);
}

mf_ms mf_sim_faults_think(struct mf_sim_faults *self)
{
    return mf_sim_between(self->world, 10, self->think_ms);
}

struct mf_sim_path mf_sim_faults_path(struct mf_sim_faults *self)
{
    return self->path;
}

struct mf_rec_resources mf_sim_faults_capacity(struct mf_sim_faults *self)
{
    return self->capacity;
}

void mf_sim_faults_broker_config(struct mf_sim_faults *self, struct mf_broker_config *ret_config)
{
    *ret_config = self->broker;
    ret_config->seed = mf_random_next(&self->world->random);
}

void mf_sim_faults_worker_config(struct mf_sim_faults *self, struct mf_worker_config *ret_config)
{
    ret_config->create_lanes = ret_config->destroy_lanes = self->lanes;
    ret_config->list_ms = 3000;
    ret_config->guests_die_with_me = self->die_with_me;
}
