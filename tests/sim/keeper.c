/* The keeper: pulses with the key of its agent's last session, answers probes and sends others' on, restarts
 * the agent, remembers deaths until an agent has heard them. */
#include "sim_node.h"
#include "weather.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct mf_sim_host host_of(const struct mf_sim_node *node)
{
    return (struct mf_sim_host){false, node->index};
}

static struct mf_pulse own_pulse(struct mf_sim_node *node, enum mf_pulse_kind kind, uint64_t nonce)
{
    struct mf_sim_keeper *keeper = &node->keeper;
    struct mf_pulse pulse = {.kind = kind,
                             .epoch = keeper->epoch,
                             .counter = ++keeper->counter,
                             .flags = node->core ? MF_PULSE_AGENT_ALIVE : 0,
                             .guests = (uint32_t)node->hypervisor.n,
                             .nonce = nonce};
    mf_str_format(pulse.node, sizeof(pulse.node), "%s", node->name);
    mf_pulse_boot(mf_str(node->boot_id), pulse.boot);
    return pulse;
}

static void beat_fires(struct mf_sim_event *event)
{
    struct mf_sim_node *node = MF_SIM_OWNER(event, struct mf_sim_node, keeper.beat);
    struct mf_sim_keeper *keeper = &node->keeper;
    mf_sim_after(node->world, event, keeper->pulse_ms);
    if (node->frozen || !keeper->epoch || keeper->phase == MF_SIM_TELLING)
        return;
    struct mf_pulse pulse = own_pulse(node, MF_PULSE_BEAT, 0);
    uint8_t bytes[MF_PULSE_SIZE];
    mf_pulse_encode(&pulse, keeper->key, bytes);
    for (size_t i = 0; i < keeper->n_monitors; i++)
        mf_sim_net_datagram(node->world, host_of(node), keeper->monitors[i], bytes, sizeof(bytes));
}

/* -- second opinions */

static void answer(struct mf_sim_node *node, struct mf_sim_host from, const struct mf_pulse *probe,
                   const void *bytes)
{
    const struct mf_sim_keeper *keeper = &node->keeper;
    if (probe->epoch != keeper->epoch || strcmp(probe->node, node->name) != 0 ||
        !mf_pulse_verify(bytes, keeper->key))
        return;
    struct mf_pulse echo = own_pulse(node, MF_PULSE_ECHO, probe->nonce);
    uint8_t out[MF_PULSE_SIZE];
    mf_pulse_encode(&echo, keeper->key, out);
    mf_sim_net_datagram(node->world, host_of(node), from, out, sizeof(out));
}

static void send_on(struct mf_sim_node *node, struct mf_sim_host from, const struct mf_relay *relay,
                    const void *bytes)
{
    struct mf_sim_keeper *keeper = &node->keeper;
    const uint8_t *ip = relay->address + 12;
    char text[32];
    struct mf_sim_host target;
    if (relay->head.epoch != keeper->epoch || strcmp(relay->head.node, node->name) != 0 ||
        !mf_relay_verify(bytes, keeper->key))
        return;
    snprintf(text, sizeof(text), "%u.%u.%u.%u:%u", ip[0], ip[1], ip[2], ip[3], relay->port);
    if (!mf_sim_host_at(node->world, text, &target))
        return;
    size_t at = keeper->next_relay++ % (sizeof(keeper->relays) / sizeof(keeper->relays[0]));
    keeper->relays[at].nonce = relay->head.nonce;
    keeper->relays[at].from = from;
    keeper->relays[at].until = node->world->now + 1000;
    mf_sim_net_datagram(node->world, host_of(node), target, relay->probe, MF_PULSE_SIZE);
}

static void pass_back(struct mf_sim_node *node, const struct mf_pulse *echo, const void *bytes)
{
    struct mf_sim_keeper *keeper = &node->keeper;
    for (size_t i = 0; i < sizeof(keeper->relays) / sizeof(keeper->relays[0]); i++)
        if (keeper->relays[i].nonce == echo->nonce && keeper->relays[i].until >= node->world->now) {
            keeper->relays[i].until = 0;
            mf_sim_net_datagram(node->world, host_of(node), keeper->relays[i].from, bytes, MF_PULSE_SIZE);
            return;
        }
}

void mf_sim_keeper_datagram(struct mf_sim_node *node, struct mf_sim_host from, const void *bytes, size_t len)
{
    struct mf_pulse pulse;
    struct mf_relay relay;
    if (!node->keeper.up || !node->keeper.epoch || node->frozen)
        return;
    if (len == MF_RELAY_SIZE && mf_relay_peek(bytes, len, &relay) == 0)
        send_on(node, from, &relay, bytes);
    else if (len == MF_PULSE_SIZE && mf_pulse_peek(bytes, len, &pulse) == 0) {
        if (pulse.kind == MF_PULSE_PROBE)
            answer(node, from, &pulse, bytes);
        else if (pulse.kind == MF_PULSE_ECHO)
            pass_back(node, &pulse, bytes);
    }
}

/* -- deaths */

static void tell_fires(struct mf_sim_event *event)
{
    struct mf_sim_node *node = MF_SIM_OWNER(event, struct mf_sim_node, keeper.tell);
    struct mf_sim_keeper *keeper = &node->keeper;
    if (mf_sim_node_agent_stopped(node))
        mf_sim_after(node->world, event, 20);
    while (node->core && !mf_sim_node_agent_stopped(node) && !node->world->failed && keeper->n_mail) {
        struct mf_worker_event what = keeper->mail[0];
        memmove(keeper->mail, keeper->mail + 1, --keeper->n_mail * sizeof(*keeper->mail));
        mf_sim_agent_feed(node, &what);
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
    if (mf_sim_weather_die_with_me(node->world->weather)) /* each life of the worker is a boot of its own */
        snprintf(node->boot_id, sizeof(node->boot_id), "boot-%u-%u-%u", node->index, node->boots,
                 ++node->starts);
    free(keeper->mail);
    *keeper = (struct mf_sim_keeper){
        .up = true, .started_ms = mf_sim_clock_wall(&node->clock, node->world), .pulse_ms = 200};
    keeper->beat.fire = beat_fires;
    keeper->tell.fire = tell_fires;
    keeper->restart.fire = restart_fires;
    keeper->ending.fire = mf_sim_ending_fires;
    mf_sim_fencer_start(node);
    mf_sim_after(node->world, &keeper->restart, mf_sim_between(node->world, 1, 50));
}

void mf_sim_keeper_stop(struct mf_sim_node *node)
{
    if (node->keeper.up)
        mf_sim_fencer_stop(node);
    node->keeper.up = false;
    node->keeper.n_mail = 0;
    node->keeper.epoch = 0;
    node->keeper.phase = MF_SIM_KEEPING;
    mf_sim_cancel(node->world, &node->keeper.ending);
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
        char text[101];
        mf_str_format(text, sizeof(text), "%.*s", (int)action->monitors[i].address.len,
                      action->monitors[i].address.ptr);
        if (mf_sim_host_at(node->world, text, &keeper->monitors[keeper->n_monitors]))
            keeper->n_monitors++;
    }
    mf_sim_fencer_action(node, action);
    if (!mf_sim_is_set(&keeper->beat))
        mf_sim_after(node->world, &keeper->beat, 1);
}

/* What was meant for the dead agent concerns no other, but deaths do. */
void mf_sim_keeper_agent_ended(struct mf_sim_node *node)
{
    struct mf_sim_keeper *keeper = &node->keeper;
    size_t kept = 0;
    if (!keeper->up)
        return;
    for (size_t i = 0; i < keeper->n_mail; i++)
        if (keeper->mail[i].kind == MF_WORKER_DIED)
            keeper->mail[kept++] = keeper->mail[i];
    keeper->n_mail = kept;
    mf_sim_fencer_agent_ended(node);
    if (!mf_sim_ending_without_agent(node))
        mf_sim_after(node->world, &keeper->restart, mf_sim_weather_agent_restart(node->world->weather));
}

void mf_sim_keeper_agent_began(struct mf_sim_node *node)
{
    mf_sim_after(node->world, &node->keeper.tell, mf_sim_between(node->world, 1, 12));
    mf_sim_ending_agent_began(node);
}

void mf_sim_keeper_tell(struct mf_sim_node *node, const struct mf_worker_event *what)
{
    struct mf_sim_keeper *keeper = &node->keeper;
    void *mail = keeper->mail;
    mf_sim_grow(&mail, keeper->n_mail, &keeper->cap_mail, sizeof(*keeper->mail));
    keeper->mail = mail;
    keeper->mail[keeper->n_mail++] = *what;
    if (!mf_sim_is_set(&keeper->tell))
        mf_sim_after(node->world, &keeper->tell, mf_sim_between(node->world, 1, 12));
}

void mf_sim_keeper_death(struct mf_sim_node *node, struct mf_uuid id, enum mf_death how)
{
    if (!node->keeper.up)
        return;
    mf_sim_keeper_tell(
        node, &(struct mf_worker_event){
                  .kind = MF_WORKER_DIED, .id = id, .how = how, .text = mf_str("its process is gone")});
}
