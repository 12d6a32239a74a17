/* Faults: a table of what can happen to whom and what mends it, and the list that a seed draws of it. */
#include "faults.h"
#include "sim_broker.h"
#include "sim_client.h"
#include "sim_health.h"
#include "sim_node.h"
#include "weather.h"
#include <stdio.h>
#include <stdlib.h>

struct fault {
    const char *name;
    unsigned weight;
    mf_ms low, high; /* how long until it is mended */
    void (*happens)(struct mf_sim_world *world, uint32_t target);
    void (*mends)(struct mf_sim_world *world, uint32_t target); /* NULL: mends itself */
    bool racks;                                                 /* many at once */
};

enum { FAULTS_MAX = 48, LISTED_MOST = 200 };
struct mf_sim_faults {
    struct mf_sim_world *world;
    struct mf_random dice;
    unsigned weights[FAULTS_MAX], total;
    uint32_t next_number;
    struct listed { /* for whoever reads of a failure */
        uint32_t number, target;
        mf_ms when, until;
        const struct fault *fault;
    } listed[LISTED_MOST];
    uint32_t n_listed;
    struct mf_sim_event next;
};

/* -- what happens; a target is a random number, taken modulo of what there is */

static struct mf_sim_node *node_of(struct mf_sim_world *world, uint32_t target)
{
    return world->nodes[target % world->n_nodes];
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

static void worker_ends(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_node_end(node_of(world, target), 0);
}

static void worker_is_drained(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_node_end(node_of(world, target), 500 + (target >> 8) % 15000);
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
    if (mf_sim_weather_reboots_change(world->weather) && !node->keeper.up)
        node->hypervisor.capacity.vcpus = 1 + (target >> 8) % 12;
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

/* Whom and which way is in the target's bits. */
static unsigned cut_whom(uint32_t target)
{
    static const unsigned whom[] = {
        MF_SIM_EVERYBODY, MF_SIM_EVERYBODY, MF_SIM_BROKER, MF_SIM_MONITORS, MF_SIM_BROKER | MF_SIM_MONITORS,
        MF_SIM_PEERS};
    return whom[(target >> 16) % 6];
}

static void way_is_cut(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_node_cut(node_of(world, target), cut_whom(target), MF_SIM_OUT, true);
    mf_sim_node_cut(node_of(world, target), cut_whom(target), MF_SIM_IN, true);
}

static void one_way_is_cut(struct mf_sim_world *world, uint32_t target)
{
    enum mf_sim_way way = target >> 24 & 1 ? MF_SIM_OUT : MF_SIM_IN;
    mf_sim_node_cut(node_of(world, target), cut_whom(target), way, true);
}

static void cut_ends(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_node_cut(node_of(world, target), MF_SIM_EVERYBODY, MF_SIM_OUT, false);
    mf_sim_node_cut(node_of(world, target), MF_SIM_EVERYBODY, MF_SIM_IN, false);
}

static void way_is_clogged(struct mf_sim_world *world, uint32_t target)
{
    enum mf_sim_way way = target >> 24 & 1 ? MF_SIM_OUT : MF_SIM_IN;
    mf_sim_node_clog(node_of(world, target), cut_whom(target), way, 50 + (target >> 8) % 2500);
}

static void rack_is(struct mf_sim_world *world, uint32_t target,
                    void (*what)(struct mf_sim_world *world, uint32_t target))
{
    uint32_t racks = mf_sim_weather_racks(world->weather);
    for (uint32_t i = target % racks; racks > 1 && i < world->n_nodes; i += racks)
        what(world, i);
}

static void rack_loses_power(struct mf_sim_world *world, uint32_t target)
{
    rack_is(world, target, power_fails);
}

static void rack_returns(struct mf_sim_world *world, uint32_t target)
{
    rack_is(world, target, power_returns);
}

static void rack_is_cut(struct mf_sim_world *world, uint32_t target)
{
    rack_is(world, target, way_is_cut); /* an index has no high bits: from everybody */
}

static void rack_is_linked(struct mf_sim_world *world, uint32_t target)
{
    rack_is(world, target, cut_ends);
}

static void agent_stops(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_node_freeze_agent(node_of(world, target), true);
}

static void agent_goes_on(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_node_freeze_agent(node_of(world, target), false);
}

static void driver_fails(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_trace(world, node_of(world, target)->name, "its driver fails every create");
    node_of(world, target)->poisoned = true;
}

static void driver_works(struct mf_sim_world *world, uint32_t target)
{
    node_of(world, target)->poisoned = node_of(world, target)->slow = false;
}

static void driver_slows(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_trace(world, node_of(world, target)->name, "its driver is slow");
    node_of(world, target)->slow = true;
}

/* Somebody who is not of ours takes room, or gives it back. */
static void room_shrinks(struct mf_sim_world *world, uint32_t target)
{
    struct mf_sim_hypervisor *hypervisor = &node_of(world, target)->hypervisor;
    mf_sim_trace(world, hypervisor->node->name, "foreign domains take room");
    hypervisor->crowded = true;
    hypervisor->capacity.vcpus = 1 + hypervisor->capacity.vcpus / 2;
}

static void room_returns(struct mf_sim_world *world, uint32_t target)
{
    node_of(world, target)->hypervisor.capacity = mf_sim_weather_capacity(world->weather);
}

static void disk_fills(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_broker_fill_disk(world->broker, true);
}

static void disk_has_room(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_broker_fill_disk(world->broker, false);
}

static void wall_jumps(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_broker_set_wall(world->broker, (mf_ms)(target % 7200000) - 3600000);
}

static void node_wall_jumps(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_node_set_wall(node_of(world, target), (mf_ms)((target >> 8) % 7200000) - 3600000);
}

static void link_breaks(struct mf_sim_world *world, uint32_t target)
{
    struct mf_sim_node *node = node_of(world, target);
    if (node->core && !node->frozen)
        mf_sim_link_break(&node->link);
}

static void client_link_breaks(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_link_break(mf_sim_client_link(world->clients[target % world->n_clients]));
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

static struct mf_sim_health *monitor_of(struct mf_sim_world *world, uint32_t target)
{
    return world->monitors[target % world->n_monitors];
}

static void monitor_dies(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_health_crash(monitor_of(world, target));
}

static void monitor_starts(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_health_start(monitor_of(world, target));
}

static void monitor_stops(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_health_freeze(monitor_of(world, target), true);
}

static void monitor_goes_on(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_health_freeze(monitor_of(world, target), false);
}

static void cut_monitor(struct mf_sim_world *world, uint32_t target, bool cut)
{
    mf_sim_trace(world, "monitor", "%u is %s the broker", target % world->n_monitors,
                 cut ? "cut from" : "linked with");
    mf_sim_path_cut(mf_sim_health_path(monitor_of(world, target)), MF_SIM_OUT, cut);
    mf_sim_path_cut(mf_sim_health_path(monitor_of(world, target)), MF_SIM_IN, cut);
}

static void monitor_is_cut(struct mf_sim_world *world, uint32_t target)
{
    cut_monitor(world, target, true);
}

static void monitor_is_linked(struct mf_sim_world *world, uint32_t target)
{
    cut_monitor(world, target, false);
}

/* It hears no pulse, or only part of them, while all is well with the nodes. */
static void deafen(struct mf_sim_world *world, uint32_t target, bool deaf)
{
    uint32_t which = target % world->n_monitors, part = 1 + (target >> 8) % 3;
    for (uint32_t i = 0; i < world->n_nodes; i++)
        if (!deaf || i % part == 0)
            mf_sim_path_cut(&world->nodes[i]->to_monitors[which], MF_SIM_OUT, deaf);
}

static void monitor_is_deaf(struct mf_sim_world *world, uint32_t target)
{
    mf_sim_trace(world, "monitor", "%u is deaf to 1 in %u nodes", target % world->n_monitors,
                 1 + (target >> 8) % 3);
    deafen(world, target, true);
}

static void monitor_hears(struct mf_sim_world *world, uint32_t target)
{
    deafen(world, target, false);
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

/* No event, no pidfd: only a list shows that it is not there any more. */
static void guest_vanishes(struct mf_sim_world *world, uint32_t target)
{
    struct mf_sim_hypervisor *hypervisor = &node_of(world, target)->hypervisor;
    if (!hypervisor->n || hypervisor->node->frozen)
        return;
    const struct mf_sim_guest *guest = hypervisor->guests[(target >> 16) % hypervisor->n];
    mf_sim_trace(world, hypervisor->node->name, "guest %s vanishes and nobody is told", guest->name);
    if (guest->name[0])
        mf_sim_hypervisor_vanish(hypervisor, guest->id);
}

static void domain_appears(struct mf_sim_world *world, uint32_t target)
{
    struct mf_sim_node *node = node_of(world, target);
    char name[100];
    if (!mf_sim_weather_strangers(world->weather) || node->frozen)
        return;
    snprintf(name, sizeof(name), "default/client-1-g%u/%u#%u", target >> 8 & 3, target >> 16 & 3,
             900 + (target >> 20 & 15));
    mf_sim_hypervisor_plant(&node->hypervisor, mf_uuid_make(&world->faults->dice, mf_sim_wall(world)), name);
}

static const struct fault table[] = {
    {"a guest dies", 10, 0, 0, guest_dies, NULL},
    {"a guest vanishes", 4, 0, 0, guest_vanishes, NULL},
    {"an agent dies", 8, 0, 0, agent_dies, NULL},
    {"an agent stops", 6, 100, 20000, agent_stops, agent_goes_on},
    {"a worker dies", 6, 100, 20000, worker_dies, node_starts},
    {"a worker ends", 6, 100, 20000, worker_ends, node_starts},
    {"a worker is drained and ends", 6, 100, 20000, worker_is_drained, node_starts},
    {"a node's processes die", 8, 100, 20000, all_die, node_starts},
    {"a node loses power", 8, 500, 25000, power_fails, power_returns},
    {"a node stops", 8, 100, 15000, node_stops, node_goes_on},
    {"a node stops for a moment", 8, 50, 700, node_stops, node_goes_on},
    {"a node is cut off", 12, 200, 20000, way_is_cut, cut_ends},
    {"a node is cut off for long", 6, 8000, 40000, way_is_cut, cut_ends},
    {"a node is cut off one way", 8, 200, 20000, one_way_is_cut, cut_ends},
    {"a node's way is clogged", 8, 0, 0, way_is_clogged, NULL},
    {"a rack loses power", 3, 500, 15000, rack_loses_power, rack_returns, true},
    {"a rack is cut off", 3, 200, 15000, rack_is_cut, rack_is_linked, true},
    {"a driver fails", 4, 1000, 30000, driver_fails, driver_works},
    {"a driver is slow", 4, 1000, 30000, driver_slows, driver_works},
    {"a node's room shrinks", 3, 1000, 20000, room_shrinks, room_returns},
    {"a node's wall clock jumps", 4, 0, 0, node_wall_jumps, NULL},
    {"somebody starts a domain", 4, 0, 0, domain_appears, NULL},
    {"a worker's connection breaks", 8, 0, 0, link_breaks, NULL},
    {"a client's connection breaks", 6, 0, 0, client_link_breaks, NULL},
    {"the broker dies", 8, 10, 6000, broker_dies, broker_starts},
    {"the broker stops", 4, 20, 8000, broker_stops, broker_goes_on},
    {"the broker's disk is full", 3, 100, 8000, disk_fills, disk_has_room},
    {"the broker's wall clock jumps", 3, 0, 0, wall_jumps, NULL},
    {"a monitor dies", 5, 100, 8000, monitor_dies, monitor_starts},
    {"a monitor stops", 5, 50, 5000, monitor_stops, monitor_goes_on},
    {"a monitor is cut from the broker", 4, 100, 8000, monitor_is_cut, monitor_is_linked},
    {"a monitor is deaf", 4, 100, 8000, monitor_is_deaf, monitor_hears},
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
    if (!mf_sim_healing(mending->world))
        mending->fault->mends(mending->world, mending->target);
    free(mending);
}

static void mend_later(struct mf_sim_world *world, const struct fault *fault, uint32_t target, mf_ms delay)
{
    struct mending *mending = mf_sim_alloc(sizeof(*mending));
    *mending = (struct mending){.event = {.fire = mending_fires, .drop = mending_drop},
                                .world = world,
                                .fault = fault,
                                .target = target};
    mf_sim_after(world, &mending->event, delay);
}

static mf_ms roll(struct mf_sim_faults *self, mf_ms low, mf_ms high)
{
    return low + (mf_ms)mf_random_below(&self->dice, (uint64_t)(high - low) + 1);
}

static const struct fault *draw_fault(struct mf_sim_faults *self)
{
    uint64_t dice = mf_random_below(&self->dice, self->total);
    size_t i = 0;
    while (dice >= self->weights[i])
        dice -= self->weights[i++];
    return &table[i];
}

static void list(struct mf_sim_faults *self, const struct listed *what)
{
    if (self->n_listed < LISTED_MOST)
        self->listed[self->n_listed++] = *what;
}

/* All dice are rolled before it is asked whether this one is left out. */
static void next_fires(struct mf_sim_event *event)
{
    struct mf_sim_faults *self = MF_SIM_OWNER(event, struct mf_sim_faults, next);
    struct mf_sim_world *world = self->world;
    if (mf_sim_healing(world))
        return;
    mf_sim_after(world, event, roll(self, 1, mf_sim_weather_pause(world->weather)));
    const struct fault *fault = draw_fault(self);
    uint32_t target = (uint32_t)mf_random_next(&self->dice), number = self->next_number++;
    mf_ms lasts = fault->mends ? roll(self, fault->low, fault->high) : 0;
    if (mf_sim_mask_has(&world->options.without, number))
        return;
    list(self, &(struct listed){number, target, world->now, world->now + lasts, fault});
    mf_sim_trace(world, "fault", "%u: %s", number, fault->name);
    if (fault->mends)
        mend_later(world, fault, target, lasts);
    fault->happens(world, target);
}

struct mf_sim_faults *mf_sim_faults_new(struct mf_sim_world *world)
{
    struct mf_sim_faults *self = mf_sim_alloc(sizeof(*self));
    static const unsigned shares[] = {100, 60, 60, 30, 12};
    self->world = world;
    self->next.fire = next_fires;
    self->next_number = MF_SIM_TRAITS;
    mf_random_seed(&self->dice, world->options.seed ^ 0x6661756c7473);
    unsigned share = shares[mf_random_below(&self->dice, 5)];
    for (size_t i = 0; i < FAULTS; i++) {
        self->weights[i] = mf_random_below(&self->dice, 100) < share ? table[i].weight : 0;
        if (world->options.profile == MF_SIM_LARGE && table[i].racks)
            self->weights[i] = 10 * table[i].weight; /* what large worlds are for */
        self->total += self->weights[i];
    }
    if (self->total && !world->options.script)
        mf_sim_after(world, &self->next, 3000);
    return self;
}

void mf_sim_faults_destroy(struct mf_sim_faults **self)
{
    free(*self);
    *self = NULL;
}

uint32_t mf_sim_faults_count(const struct mf_sim_faults *self)
{
    return self->next_number;
}

void mf_sim_faults_print(const struct mf_sim_faults *self)
{
    for (uint32_t i = 0; i < self->n_listed; i++) {
        const struct listed *listed = &self->listed[i];
        printf("  fault %u at %lld", listed->number, (long long)listed->when);
        if (listed->until > listed->when)
            printf("..%lld", (long long)listed->until);
        printf(" ms: %s (%08x)\n", listed->fault->name, listed->target);
    }
}

void mf_sim_faults_heal(struct mf_sim_faults *self)
{
    struct mf_sim_world *world = self->world;
    mf_sim_weather_calm(world->weather);
    for (uint32_t i = 0; i < world->n_nodes; i++)
        mf_sim_node_heal(world->nodes[i]);
    for (uint32_t i = 0; i < world->n_clients; i++)
        mf_sim_path_heal(mf_sim_client_path(world->clients[i]));
    for (uint32_t i = 0; i < world->n_monitors; i++) {
        mf_sim_path_heal(mf_sim_health_path(world->monitors[i]));
        mf_sim_health_freeze(world->monitors[i], false);
        mf_sim_health_start(world->monitors[i]);
    }
    mf_sim_broker_fill_disk(world->broker, false);
    mf_sim_broker_freeze(world->broker, false);
    mf_sim_broker_start(world->broker);
}
