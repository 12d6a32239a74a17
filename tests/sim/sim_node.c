/* The life of a node: what may be killed apart, and what comes back. */
#include "sim_node.h"
#include "faults.h"
#include "sim_broker.h"
#include <stdio.h>
#include <stdlib.h>

static void boot(struct mf_sim_node *self)
{
    snprintf(self->boot_id, sizeof(self->boot_id), "boot-%u-%u", self->index, ++self->boots);
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
    self->to_broker = self->to_monitor = mf_sim_faults_path(world->faults);
    mf_sim_hypervisor_init(&self->hypervisor, self, mf_sim_faults_capacity(world->faults));
    if (mf_sim_chance(world, 15)) {
        struct mf_uuid stranger = mf_uuid_make(&world->random, mf_sim_wall(world));
        mf_sim_hypervisor_appear(&self->hypervisor, stranger, "", (struct mf_rec_resources){0});
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
    free(node->keeper.deaths);
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

void mf_sim_node_kill_worker(struct mf_sim_node *self)
{
    mf_sim_trace(self->world, self->name, "keeper and agent die, guests live on");
    mf_sim_keeper_stop(self);
    mf_sim_agent_stop(self, false);
    mf_sim_jobs_drop(self, true);
    self->frozen = false;
}

void mf_sim_node_kill_all(struct mf_sim_node *self)
{
    mf_sim_trace(self->world, self->name, "keeper, agent and guests die");
    mf_sim_keeper_stop(self);
    mf_sim_agent_stop(self, false);
    mf_sim_jobs_drop(self, false);
    mf_sim_hypervisor_vanish_all(&self->hypervisor);
    self->frozen = false;
}

void mf_sim_node_power_off(struct mf_sim_node *self)
{
    mf_sim_trace(self->world, self->name, "loses power");
    mf_sim_keeper_stop(self);
    mf_sim_agent_stop(self, true);
    mf_sim_jobs_drop(self, false);
    mf_sim_hypervisor_vanish_all(&self->hypervisor);
    self->frozen = false;
}

void mf_sim_node_start(struct mf_sim_node *self)
{
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
    mf_sim_link_freeze(&self->link, frozen);
}

void mf_sim_node_cut(struct mf_sim_node *self, bool from_broker, bool from_monitor)
{
    mf_sim_trace(self->world, self->name, "is %s the broker, %s the monitor",
                 from_broker ? "cut from" : "linked with", from_monitor ? "cut from" : "linked with");
    self->disturbed = self->world->now;
    mf_sim_path_cut(self->world, &self->to_broker, from_broker);
    mf_sim_path_cut(self->world, &self->to_monitor, from_monitor);
}

mf_ms mf_sim_node_hears_since(const struct mf_sim_node *self)
{
    const struct mf_sim_broker *broker = self->world->broker;
    if (!self->core || self->frozen || self->to_broker.cut || !mf_sim_link_is_up(&self->link) ||
        !mf_sim_broker_is_up(broker))
        return -1;
    mf_ms since = mf_sim_broker_since(broker);
    return since > self->disturbed ? since : self->disturbed;
}

void mf_sim_node_look(struct mf_sim_node *self)
{
    bool silent = !self->keeper.up || self->frozen || (self->to_broker.cut && self->to_monitor.cut);
    if (!silent)
        self->silent_since = -1;
    else if (self->silent_since < 0 || self->silent_since < self->disturbed)
        self->silent_since = self->world->now;
}

/* Who holds its pidfd tells it within milliseconds; the hypervisor's own event comes later, or is the only
 * one. */
void mf_sim_node_guest_died(struct mf_sim_node *self, struct mf_uuid id, bool watched)
{
    if (mf_sim_faults_death_missed(self->world->faults))
        return; /* the agent's own listing must find it */
    if (watched)
        mf_sim_keeper_death(self, id);
    if (self->core && (!watched || mf_sim_chance(self->world, 50)))
        mf_sim_jobs_note_death(self, id, mf_sim_between(self->world, 2, 212));
}
