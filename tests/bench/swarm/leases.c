/* leases.c - the keeper's leases: the real clockwork, over guests in memory. It goes on when the node is cut
 * off, as a keeper would. */
#include "swarm.h"

static void pump(struct swarm_node *node);

static void fence(struct swarm_node *node, struct mf_uuid id)
{
    bool ran = swarm_guests_kill(node, id);
    mf_lease_gone(&node->lease, node->swarm->now, id);
    if (!ran)
        return;
    node->swarm->counts.fenced++;
    if (swarm_node_awake(node))
        swarm_node_feed(node, &(struct mf_worker_event){.kind = MF_WORKER_DIED,
                                                        .id = id,
                                                        .how = MF_DEATH_FENCED,
                                                        .text = mf_str("its lease was over")});
}

static void fence_found(struct swarm_node *node)
{
    for (size_t i = node->n_guests; i-- > 0;)
        if (i < node->n_guests && mf_lease_fences(&node->lease, node->guests[i].id))
            fence(node, node->guests[i].id);
}

static void carry_out(struct swarm_node *node, const struct mf_lease_action *action)
{
    switch (action->kind) {
    case MF_LEASE_ASK:
        if (swarm_node_awake(node))
            swarm_node_feed(node, &(struct mf_worker_event){.kind = MF_WORKER_LEASE_ASK,
                                                            .epoch = action->epoch,
                                                            .ask_id = action->ask_id});
        return;
    case MF_LEASE_CLEAR:
        if (swarm_node_awake(node))
            swarm_node_feed(node, &(struct mf_worker_event){.kind = MF_WORKER_LEASE_READY, .id = action->id});
        return;
    case MF_LEASE_FENCE:
        fence(node, action->id);
        return;
    case MF_LEASE_SCAN:
        fence_found(node);
        return;
    }
}

static void due(struct swarm *swarm, struct swarm_alarm *alarm)
{
    pump(SWARM_OWNER(alarm, struct swarm_node, lease_due));
}

static void pump(struct swarm_node *node)
{
    struct mf_lease_action action;
    while (mf_lease_poll(&node->lease, node->swarm->now, &action))
        carry_out(node, &action);
    node->lease_due.fire = due;
    if (mf_lease_deadline(&node->lease) == INT64_MAX)
        swarm_unset(node->swarm, &node->lease_due);
    else
        swarm_set(node->swarm, &node->lease_due, mf_lease_deadline(&node->lease));
}

void swarm_lease_start(struct swarm_node *node)
{
    mf_lease_init(&node->lease, node->lease_entries, SWARM_LEASES, (uint64_t)node->started_ms, 0);
}

void swarm_lease_stop(struct swarm_node *node)
{
    swarm_unset(node->swarm, &node->lease_due);
}

bool swarm_lease_action(struct swarm_node *node, const struct mf_worker_action *action)
{
    mf_ms now = node->swarm->now;
    switch (action->kind) {
    case MF_WORKER_LEASE_WANT:
        mf_lease_intent(&node->lease, now, action->id);
        break;
    case MF_WORKER_LEASE_OVER:
        mf_lease_intent_over(&node->lease, now, action->id);
        break;
    case MF_WORKER_LEASE_GRANT:
        mf_lease_granted(&node->lease, now, action->epoch, action->ask_id, action->lease_ms);
        break;
    case MF_WORKER_SESSION:
        mf_lease_session(&node->lease, now, action->epoch, action->renew_ms);
        break;
    default:
        return false;
    }
    pump(node);
    return action->kind != MF_WORKER_SESSION;
}

bool swarm_lease_hold(struct swarm_node *node, struct mf_uuid id)
{
    bool may = mf_lease_hold(&node->lease, node->swarm->now, id);
    pump(node);
    return may;
}

void swarm_lease_gone(struct swarm_node *node, struct mf_uuid id)
{
    mf_lease_gone(&node->lease, node->swarm->now, id);
    pump(node);
}

void swarm_lease_agent(struct swarm_node *node, bool ready)
{
    if (ready)
        mf_lease_agent_ready(&node->lease, node->swarm->now);
    else
        mf_lease_agent_ended(&node->lease, node->swarm->now);
    pump(node);
}
