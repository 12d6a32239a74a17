/* The life of a node: what may be killed apart, and what comes back. */
#include "sim_node.h"
#include "sim_broker.h"
#include "weather.h"
#include <stdio.h>
#include <stdlib.h>

static void boot(struct mf_sim_node *self)
{
    snprintf(self->boot_id, sizeof(self->boot_id), "boot-%u-%u", self->index, ++self->boots);
    mf_ms wall_skew = self->clock.wall_skew;
    mf_sim_clock_init(&self->clock, self->world);
    self->clock.wall_skew = wall_skew;
}

struct mf_sim_node *mf_sim_node_new(struct mf_sim_world *world, uint32_t index)
{
    struct mf_sim_node *self = mf_sim_alloc(sizeof(*self));
    self->world = world;
    self->index = index;
    snprintf(self->name, sizeof(self->name), "node-%u", index);
    snprintf(self->machine_id, sizeof(self->machine_id), "machine-%u", index);
    self->silent_since = -1;
    boot(self);
    self->to_broker = self->to_peers = mf_sim_weather_path(world->weather);
    self->to_monitors = mf_sim_alloc(sizeof(*self->to_monitors) * world->n_monitors);
    for (uint32_t i = 0; i < world->n_monitors; i++)
        self->to_monitors[i] = mf_sim_weather_path(world->weather);
    self->fences =
        mf_sim_weather_fences(world->weather) && (world->options.script || !mf_sim_chance(world, 10));
    mf_sim_hypervisor_init(&self->hypervisor, self, mf_sim_weather_capacity(world->weather));
    if (!world->options.script && mf_sim_chance(world, 15)) {
        struct mf_uuid stranger = mf_uuid_make(&world->random, mf_sim_wall(world));
        mf_sim_hypervisor_plant(&self->hypervisor, stranger, "");
    }
    mf_sim_keeper_start(self);
    return self;
}

void mf_sim_node_destroy(struct mf_sim_node **self)
{
    struct mf_sim_node *node = *self;
    if (!node)
        return;
    *self = NULL;
    mf_sim_jobs_drop(node, false);
    free(node->jobs);
    mf_worker_destroy(&node->core);
    mf_sim_hypervisor_free(&node->hypervisor);
    free(node->keeper.mail);
    free(node->to_monitors);
    free(node);
}

void mf_sim_node_kill_agent(struct mf_sim_node *self)
{
    if (!self->core)
        return;
    mf_sim_trace(self->world, self->name, "its agent dies");
    mf_sim_agent_stop(self, false);
    mf_sim_jobs_drop(self, true);
    mf_sim_keeper_agent_ended(self);
}

/* Who is dead is not stopped. */
static void thaw_dead(struct mf_sim_node *self)
{
    if (self->frozen)
        mf_sim_hypervisor_freeze(&self->hypervisor, false);
    self->frozen = false;
}

void mf_sim_node_kill_worker(struct mf_sim_node *self)
{
    if (mf_sim_weather_die_with_me(self->world->weather)) {
        mf_sim_node_kill_all(self);
        return;
    }
    mf_sim_trace(self->world, self->name, "keeper and agent die, guests live on");
    mf_sim_keeper_stop(self);
    mf_sim_agent_stop(self, false);
    mf_sim_jobs_drop(self, true);
    thaw_dead(self);
}

void mf_sim_node_kill_all(struct mf_sim_node *self)
{
    mf_sim_trace(self->world, self->name, "keeper, agent and guests die");
    mf_sim_keeper_stop(self);
    mf_sim_agent_stop(self, false);
    mf_sim_jobs_drop(self, false);
    mf_sim_hypervisor_vanish_all(&self->hypervisor);
    thaw_dead(self);
}

void mf_sim_node_power_off(struct mf_sim_node *self)
{
    mf_sim_trace(self->world, self->name, "loses power");
    mf_sim_keeper_stop(self);
    mf_sim_agent_stop(self, true);
    mf_sim_jobs_drop(self, false);
    mf_sim_hypervisor_vanish_all(&self->hypervisor);
    thaw_dead(self);
}

void mf_sim_node_start(struct mf_sim_node *self)
{
    self->keeper.again = self->keeper.phase != MF_SIM_KEEPING;
    if (self->keeper.up)
        return;
    mf_sim_trace(self->world, self->name, "starts (%s, %zu guests)", self->boot_id, self->hypervisor.n);
    mf_sim_keeper_start(self);
}

void mf_sim_node_reboot(struct mf_sim_node *self)
{
    if (self->keeper.up)
        return;
    mf_sim_hypervisor_vanish_all(&self->hypervisor);
    boot(self);
    mf_sim_node_start(self);
}

void mf_sim_node_freeze(struct mf_sim_node *self, bool frozen)
{
    if (self->frozen == frozen || !self->keeper.up)
        return;
    mf_sim_trace(self->world, self->name, frozen ? "is stopped" : "goes on");
    self->frozen = frozen;
    self->disturbed = self->world->now;
    mf_sim_link_freeze(&self->link, mf_sim_node_agent_stopped(self));
    mf_sim_hypervisor_freeze(&self->hypervisor, frozen);
}

void mf_sim_node_freeze_agent(struct mf_sim_node *self, bool frozen)
{
    if (self->agent_frozen == frozen || !self->core)
        return;
    mf_sim_trace(self->world, self->name, frozen ? "its agent is stopped" : "its agent goes on");
    self->agent_frozen = frozen;
    self->disturbed = self->world->now;
    mf_sim_link_freeze(&self->link, mf_sim_node_agent_stopped(self));
}

bool mf_sim_node_agent_stopped(const struct mf_sim_node *self)
{
    return self->frozen || self->agent_frozen;
}

/* -- its paths */

static unsigned paths_to(struct mf_sim_node *self, unsigned whom, struct mf_sim_path *paths[8])
{
    unsigned n = 0;
    if (whom & MF_SIM_BROKER)
        paths[n++] = &self->to_broker;
    if (whom & MF_SIM_PEERS)
        paths[n++] = &self->to_peers;
    for (uint32_t i = 0; (whom & MF_SIM_MONITORS) && i < self->world->n_monitors; i++)
        paths[n++] = &self->to_monitors[i];
    return n;
}

static void say_cut(struct mf_sim_node *self, const char *what, unsigned whom, enum mf_sim_way way)
{
    mf_sim_trace(self->world, self->name, "its way %s%s%s%s is %s", way == MF_SIM_OUT ? "to" : "from",
                 whom & MF_SIM_BROKER ? " the broker" : "", whom & MF_SIM_MONITORS ? " the monitors" : "",
                 whom & MF_SIM_PEERS ? " its peers" : "", what);
    self->disturbed = self->world->now;
}

void mf_sim_node_cut(struct mf_sim_node *self, unsigned whom, enum mf_sim_way way, bool cut)
{
    struct mf_sim_path *paths[8];
    unsigned n = paths_to(self, whom, paths);
    say_cut(self, cut ? "cut" : "open", whom, way);
    for (unsigned i = 0; i < n; i++)
        mf_sim_path_cut(paths[i], way, cut);
}

void mf_sim_node_clog(struct mf_sim_node *self, unsigned whom, enum mf_sim_way way, mf_ms for_ms)
{
    struct mf_sim_path *paths[8];
    unsigned n = paths_to(self, whom, paths);
    say_cut(self, "clogged", whom, way);
    for (unsigned i = 0; i < n; i++)
        mf_sim_path_clog(self->world, paths[i], way, for_ms);
}

void mf_sim_node_set_wall(struct mf_sim_node *self, mf_ms skew)
{
    mf_sim_trace(self->world, self->name, "its wall clock jumps by %lld s",
                 (long long)(skew - self->clock.wall_skew) / 1000);
    self->clock.wall_skew = skew;
}

void mf_sim_node_heal(struct mf_sim_node *self)
{
    struct mf_sim_path *paths[8];
    unsigned n = paths_to(self, MF_SIM_EVERYBODY, paths);
    for (unsigned i = 0; i < n; i++)
        mf_sim_path_heal(paths[i]);
    self->disturbed = self->world->now;
    self->poisoned = self->slow = self->full = false;
    mf_sim_node_freeze(self, false);
    mf_sim_node_freeze_agent(self, false);
    mf_sim_node_start(self);
}

mf_ms mf_sim_node_hears_since(const struct mf_sim_node *self)
{
    const struct mf_sim_broker *broker = self->world->broker;
    if (!self->core || mf_sim_node_agent_stopped(self) || mf_sim_path_is_cut(&self->to_broker) ||
        self->to_broker.clogged[MF_SIM_IN] > self->world->now ||
        self->to_broker.clogged[MF_SIM_OUT] > self->world->now || !mf_sim_link_is_up(&self->link) ||
        !mf_sim_broker_is_up(broker))
        return -1;
    mf_ms since = mf_sim_broker_since(broker);
    return since > self->disturbed ? since : self->disturbed;
}

/* Neither the broker nor a majority of the monitors hear it, and no peer could tell them. */
void mf_sim_node_look(struct mf_sim_node *self)
{
    bool silent = !self->keeper.up || self->frozen;
    if (!silent && self->to_broker.cut[MF_SIM_OUT] && self->to_peers.cut[MF_SIM_OUT]) {
        silent = true;
        for (uint32_t i = 0; i < self->world->n_monitors; i++)
            silent = silent && self->to_monitors[i].cut[MF_SIM_OUT];
    }
    if (!silent)
        self->silent_since = -1;
    else if (self->silent_since < 0 || self->silent_since < self->disturbed)
        self->silent_since = self->world->now;
}

/* Who holds its pidfd tells it within milliseconds; the hypervisor's own event comes later, or is the only
 * one. */
void mf_sim_node_guest_died(struct mf_sim_node *self, struct mf_uuid id, bool watched)
{
    if (mf_sim_weather_death_missed(self->world->weather))
        return; /* the agent's own listing must find it */
    if (watched)
        mf_sim_keeper_death(self, id, MF_DEATH_EXITED);
    if (self->core && (!watched || mf_sim_chance(self->world, 50)))
        mf_sim_jobs_note_death(self, id, mf_sim_between(self->world, 2, 212));
}
