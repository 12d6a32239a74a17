/* The agent's edge: the real worker core between the simulated network, the simulated hypervisor and the
 * keeper. */
#include "sim_node.h"
#include "weather.h"
#include <stdio.h>

enum { POLL_LIMIT = 200000 };

static mf_ms core_now(const struct mf_sim_node *node)
{
    return mf_sim_clock_now(&node->clock, node->world);
}

static void carry_out(struct mf_sim_node *node, const struct mf_worker_action *action)
{
    switch (action->kind) {
    case MF_WORKER_SEND:
        mf_sim_link_send(&node->link, action->message);
        break;
    case MF_WORKER_RECONNECT:
        mf_sim_trace(node->world, node->name, "reconnects");
        mf_sim_link_close(&node->link, false);
        node->disturbed = node->world->now;
        mf_sim_link_open(&node->link);
        break;
    case MF_WORKER_LEASE_WANT:
    case MF_WORKER_LEASE_OVER:
    case MF_WORKER_LEASE_GRANT:
        mf_sim_fencer_action(node, action);
        break;
    case MF_WORKER_FETCH:
    case MF_WORKER_FETCH_OVER:
        mf_sim_images_action(node, action);
        break;
    case MF_WORKER_QUIET:
    case MF_WORKER_LEFT:
        mf_sim_ending_action(node, action->kind);
        break;
    case MF_WORKER_SESSION:
        mf_sim_keeper_session(node, action);
        break;
    default:
        mf_sim_jobs_begin(node, action);
    }
}

static void pump(struct mf_sim_node *node)
{
    struct mf_worker_action action;
    unsigned n = 0;
    while (!node->world->failed && mf_worker_poll(node->core, &action)) {
        carry_out(node, &action);
        if (++n > POLL_LIMIT)
            mf_sim_fail(node->world, "poll", "the worker's core has no end of actions");
    }
    if (mf_sim_look(node->world, &node->checked))
        mf_worker_check(node->core);
    mf_sim_clock_set(&node->clock, node->world, &node->tick, mf_worker_deadline(node->core));
}

void mf_sim_agent_feed(struct mf_sim_node *node, const struct mf_worker_event *event)
{
    mf_worker_feed(node->core, core_now(node), event);
    pump(node);
}

static void tick_fires(struct mf_sim_event *event)
{
    struct mf_sim_node *node = MF_SIM_OWNER(event, struct mf_sim_node, tick);
    if (mf_sim_node_agent_stopped(node))
        mf_sim_after(node->world, event, 20);
    else
        mf_sim_agent_feed(node, &(struct mf_worker_event){.kind = MF_WORKER_TICK});
}

static void link_up(void *owner)
{
    struct mf_sim_node *node = owner;
    node->disturbed = node->world->now;
    mf_sim_agent_feed(node, &(struct mf_worker_event){.kind = MF_WORKER_LINK_UP});
}

static void link_down(void *owner)
{
    struct mf_sim_node *node = owner;
    node->disturbed = node->world->now;
    mf_sim_agent_feed(node, &(struct mf_worker_event){.kind = MF_WORKER_LINK_DOWN});
}

static void link_message(void *owner, const struct mf_message *message)
{
    mf_sim_agent_feed(owner, &(struct mf_worker_event){.kind = MF_WORKER_MESSAGE, .message = message});
}

static const struct mf_sim_link_calls calls = {link_up, link_down, link_message};

static void configure(const struct mf_sim_node *node, struct mf_worker_config *ret_config)
{
    char address[32];
    mf_worker_config_default(ret_config);
    snprintf(ret_config->node, sizeof(ret_config->node), "%s", node->name);
    snprintf(ret_config->machine_id, sizeof(ret_config->machine_id), "%s", node->machine_id);
    snprintf(ret_config->boot_id, sizeof(ret_config->boot_id), "%s", node->boot_id);
    snprintf(ret_config->class, sizeof(ret_config->class), "standard");
    snprintf(ret_config->driver, sizeof(ret_config->driver), "sim");
    ret_config->started_ms = node->keeper.started_ms;
    ret_config->epoch = node->keeper.epoch;
    ret_config->term = node->keeper.term;
    ret_config->cluster_id = node->keeper.cluster_id;
    mf_sim_host_address((struct mf_sim_host){false, node->index}, address);
    snprintf(ret_config->probe_address, sizeof(ret_config->probe_address), "%s", address);
    ret_config->fences = node->fences;
    mf_str_format(ret_config->fences_not, sizeof(ret_config->fences_not), "%s",
                  node->fences ? "" : "the simulated keeper has no pidfds");
    mf_sim_weather_worker_config(node->world->weather, ret_config);
}

void mf_sim_agent_start(struct mf_sim_node *node)
{
    struct mf_worker_config config;
    static const char *const zones[] = {"a", "b", "c"};
    char rack[16];
    snprintf(rack, sizeof(rack), "r%u", node->index % mf_sim_weather_racks(node->world->weather));
    struct mf_label labels[] = {{mf_str("rack"), mf_str(rack)},
                                {mf_str("zone"), mf_str(zones[node->index % 3])}};
    if (node->core)
        return;
    configure(node, &config);
    config.labels = (struct mf_labels){labels, 2};
    mf_sim_trace(node->world, node->name, "its agent starts");
    node->core = mf_worker_new(&config);
    node->life++;
    node->disturbed = node->world->now;
    node->tick.fire = tick_fires;
    bool frozen = node->link.frozen && node->frozen;
    node->agent_frozen = false;
    mf_sim_link_init(&node->link, node->world, &node->to_broker, MF_ROLE_WORKER, node->name, &calls, node);
    node->link.frozen = frozen;
    mf_sim_keeper_agent_began(node);
    mf_sim_link_open(&node->link);
    mf_sim_agent_feed(node, &(struct mf_worker_event){.kind = MF_WORKER_TICK});
}

void mf_sim_agent_stop(struct mf_sim_node *node, bool silent)
{
    if (!node->core)
        return;
    node->disturbed = node->world->now;
    node->link.frozen = node->agent_frozen = false;
    mf_sim_link_close(&node->link, silent);
    mf_sim_cancel(node->world, &node->tick);
    mf_worker_destroy(&node->core);
}
