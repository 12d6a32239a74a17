/* The keeper as the fencer: the real lease clockwork, fed by the simulated agent, and what it kills is really
 * dead. What the keeper has to say to its agent travels in order, waits while the agent is stopped, and is
 * lost with it (but for deaths, which are kept for the next one). */
#include "fencer.h"
#include "model.h"
#include "sim_node.h"
#include "weather.h"
#include <string.h>

static mf_ms now_of(const struct mf_sim_node *node)
{
    return mf_sim_clock_now(&node->clock, node->world);
}

static void kill_fenced(struct mf_sim_node *node, struct mf_uuid id)
{
    struct mf_sim_guest *guest = mf_sim_hypervisor_find(&node->hypervisor, id);
    if (!guest)
        return;
    bool watched = guest->watched;
    mf_sim_trace(node->world, node->name, "its keeper ends %s: the lease is over", guest->name);
    mf_sim_hypervisor_vanish(&node->hypervisor, id);
    if (watched)
        mf_sim_keeper_death(node, id, MF_DEATH_FENCED);
    else
        mf_lease_gone(&node->keeper.lease, now_of(node), id);
}

static void scan(struct mf_sim_node *node)
{
    struct mf_sim_hypervisor *hypervisor = &node->hypervisor;
    for (size_t i = hypervisor->n; i-- > 0;)
        if (mf_lease_fences(&node->keeper.lease, hypervisor->guests[i]->id))
            kill_fenced(node, hypervisor->guests[i]->id);
}

static void tell(struct mf_sim_node *node, const struct mf_worker_event *what)
{
    if (node->core)
        mf_sim_keeper_tell(node, what);
}

static void carry_out(struct mf_sim_node *node, const struct mf_lease_action *action)
{
    switch (action->kind) {
    case MF_LEASE_ASK:
        tell(node, &(struct mf_worker_event){
                       .kind = MF_WORKER_LEASE_ASK, .epoch = action->epoch, .ask_id = action->ask_id});
        break;
    case MF_LEASE_CLEAR:
        tell(node, &(struct mf_worker_event){.kind = MF_WORKER_LEASE_READY, .id = action->id});
        break;
    case MF_LEASE_FENCE:
        kill_fenced(node, action->id);
        break;
    case MF_LEASE_SCAN:
        scan(node);
        break;
    }
}

static void pump(struct mf_sim_node *node)
{
    struct mf_sim_keeper *keeper = &node->keeper;
    struct mf_lease_action action;
    for (unsigned n = 0; !node->world->failed && mf_lease_poll(&keeper->lease, now_of(node), &action); n++) {
        carry_out(node, &action);
        if (n > 10000)
            mf_sim_fail(node->world, "poll", "the keeper's leases have no end of actions");
    }
    mf_sim_clock_set(&node->clock, node->world, &keeper->lease_tick, mf_lease_deadline(&keeper->lease));
}

static void tick_fires(struct mf_sim_event *event)
{
    struct mf_sim_node *node = MF_SIM_OWNER(event, struct mf_sim_node, keeper.lease_tick);
    if (node->frozen)
        mf_sim_after(node->world, event, 20);
    else
        pump(node);
}

void mf_sim_fencer_start(struct mf_sim_node *node)
{
    struct mf_sim_keeper *keeper = &node->keeper;
    keeper->lease_tick.fire = tick_fires;
    memset(keeper->entries, 0, sizeof(keeper->entries));
    mf_lease_init(&keeper->lease, keeper->entries, MF_SIM_LEASE_PLACES,
                  (uint64_t)mf_sim_clock_wall(&node->clock, node->world), 0);
}

void mf_sim_fencer_end(struct mf_sim_node *node)
{
    mf_lease_end(&node->keeper.lease, now_of(node));
    pump(node);
}

/* Nobody ends what runs on, until another keeper holds it. */
void mf_sim_fencer_stop(struct mf_sim_node *node)
{
    mf_sim_cancel(node->world, &node->keeper.lease_tick);
    for (size_t i = 0; i < node->hypervisor.n; i++)
        node->hypervisor.guests[i]->unguarded = true;
}

void mf_sim_fencer_action(struct mf_sim_node *node, const struct mf_worker_action *action)
{
    struct mf_lease *lease = &node->keeper.lease;
    mf_ms now = now_of(node);
    switch (action->kind) {
    case MF_WORKER_SESSION:
        mf_lease_session(lease, now, action->epoch, action->renew_ms);
        break;
    case MF_WORKER_LEASE_WANT:
        mf_lease_intent(lease, now, action->id);
        break;
    case MF_WORKER_LEASE_OVER:
        mf_lease_intent_over(lease, now, action->id);
        break;
    case MF_WORKER_LEASE_GRANT:
        mf_lease_granted(lease, now, action->epoch, action->ask_id, action->lease_ms);
        break;
    default:
        return;
    }
    pump(node);
}

bool mf_sim_fencer_hold(struct mf_sim_node *node, struct mf_sim_guest *guest)
{
    struct mf_uuid id = guest->id;
    guest->unguarded = false;
    if (!guest->at_most)
        return true;
    bool held = mf_lease_hold(&node->keeper.lease, now_of(node), id);
    pump(node);
    return held;
}

void mf_sim_fencer_gone(struct mf_sim_node *node, struct mf_uuid id)
{
    mf_lease_gone(&node->keeper.lease, now_of(node), id); /* this leaves nothing to do at once */
}

void mf_sim_fencer_agent_ended(struct mf_sim_node *node)
{
    mf_lease_agent_ended(&node->keeper.lease, now_of(node));
    pump(node);
}

void mf_sim_fencer_agent_ready(struct mf_sim_node *node)
{
    mf_lease_agent_ready(&node->keeper.lease, now_of(node));
    pump(node);
}
