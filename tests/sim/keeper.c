/* The keeper: pulses with the key of its agent's last session, restarts the agent, remembers deaths until an
 * agent has heard them. */
#include "faults.h"
#include "sim_node.h"
#include <stdlib.h>
#include <string.h>

static void beat_fires(struct mf_sim_event *event)
{
    struct mf_sim_node *node = MF_SIM_OWNER(event, struct mf_sim_node, keeper.beat);
    struct mf_sim_keeper *keeper = &node->keeper;
    mf_sim_after(node->world, event, keeper->pulse_ms);
    if (node->frozen || !keeper->epoch)
        return;
    struct mf_pulse pulse = {.kind = MF_PULSE_BEAT,
                             .epoch = keeper->epoch,
                             .counter = ++keeper->counter,
                             .flags = node->core ? MF_PULSE_AGENT_ALIVE : 0,
                             .guests = (uint32_t)node->hypervisor.n};
    mf_str_format(pulse.node, sizeof(pulse.node), "%s", node->name);
    mf_pulse_boot(mf_str(node->boot_id), pulse.boot);
    uint8_t bytes[MF_PULSE_SIZE];
    mf_pulse_encode(&pulse, keeper->key, bytes);
    for (size_t i = 0; i < keeper->n_monitors; i++)
        mf_sim_net_datagram(node->world, &node->to_monitor, keeper->monitors[i], bytes, sizeof(bytes));
}

static void tell_fires(struct mf_sim_event *event)
{
    struct mf_sim_node *node = MF_SIM_OWNER(event, struct mf_sim_node, keeper.tell);
    struct mf_sim_keeper *keeper = &node->keeper;
    if (node->frozen)
        mf_sim_after(node->world, event, 20);
    while (node->core && !node->frozen && keeper->n_deaths) {
        struct mf_uuid id = keeper->deaths[--keeper->n_deaths];
        mf_sim_agent_feed(node, &(struct mf_worker_event){.kind = MF_WORKER_DIED,
                                                          .id = id,
                                                          .how = MF_DEATH_EXITED,
                                                          .text = mf_str("its process is gone")});
    }
}

static void restart_fires(struct mf_sim_event *event)
{
    struct mf_sim_node *node = MF_SIM_OWNER(event, struct mf_sim_node, keeper.restart);
    if (node->frozen)
        mf_sim_after(node->world, event, 20);
    else if (node->keeper.up)
        mf_sim_agent_start(node);
}

void mf_sim_keeper_start(struct mf_sim_node *node)
{
    struct mf_sim_keeper *keeper = &node->keeper;
    free(keeper->deaths);
    *keeper = (struct mf_sim_keeper){.up = true, .started_ms = mf_sim_wall(node->world), .pulse_ms = 200};
    keeper->beat.fire = beat_fires;
    keeper->tell.fire = tell_fires;
    keeper->restart.fire = restart_fires;
    mf_sim_after(node->world, &keeper->restart, mf_sim_between(node->world, 1, 50));
}

void mf_sim_keeper_stop(struct mf_sim_node *node)
{
    node->keeper.up = false;
    node->keeper.n_deaths = 0;
    node->keeper.epoch = 0;
    mf_sim_cancel(node->world, &node->keeper.beat);
    mf_sim_cancel(node->world, &node->keeper.tell);
    mf_sim_cancel(node->world, &node->keeper.restart);
}

void mf_sim_keeper_session(struct mf_sim_node *node, const struct mf_worker_action *action)
{
    struct mf_sim_keeper *keeper = &node->keeper;
    keeper->epoch = action->epoch;
    keeper->term = action->term;
    keeper->cluster_id = action->cluster_id;
    keeper->pulse_ms = action->pulse_ms;
    memcpy(keeper->key, action->pulse_key, sizeof(keeper->key));
    keeper->n_monitors = 0;
    for (size_t i = 0; i < action->n_monitors && i < sizeof(keeper->monitors) / sizeof(keeper->monitors[0]);
         i++) {
        struct mf_str address = action->monitors[i].address;
        mf_str_format(keeper->monitors[keeper->n_monitors++], sizeof(keeper->monitors[0]), "%.*s",
                      (int)address.len, address.ptr);
    }
    if (!mf_sim_is_set(&keeper->beat))
        mf_sim_after(node->world, &keeper->beat, 1);
}

void mf_sim_keeper_agent_ended(struct mf_sim_node *node)
{
    if (node->keeper.up)
        mf_sim_after(node->world, &node->keeper.restart, mf_sim_faults_agent_restart(node->world->faults));
}

void mf_sim_keeper_agent_began(struct mf_sim_node *node)
{
    mf_sim_after(node->world, &node->keeper.tell, mf_sim_between(node->world, 1, 12));
}

void mf_sim_keeper_death(struct mf_sim_node *node, struct mf_uuid id)
{
    struct mf_sim_keeper *keeper = &node->keeper;
    if (!keeper->up)
        return;
    void *deaths = keeper->deaths;
    mf_sim_grow(&deaths, keeper->n_deaths, &keeper->cap_deaths, sizeof(*keeper->deaths));
    keeper->deaths = deaths;
    keeper->deaths[keeper->n_deaths++] = id;
    mf_sim_after(node->world, &keeper->tell, mf_sim_between(node->world, 1, 12));
}
