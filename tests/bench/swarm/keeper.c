/* keeper.c - what a keeper says by datagram: pulses, echoes of probes, and the probes that it sends for a
 * monitor. One socket serves all nodes: a probe names the node it is for. Loss is made here, on the way out,
 * so that no rule of a firewall is needed. */
#include "swarm.h"
#include "check.h"
#include "keeper.h"
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READS = 512, BUFFER = 16 << 20 };

int swarm_keeper_open(struct swarm *swarm, char error[512])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int bytes = BUFFER;
    swarm->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (swarm->udp < 0 || bind(swarm->udp, (struct sockaddr *)&address, size) < 0 ||
        getsockname(swarm->udp, (struct sockaddr *)&address, &size) < 0) {
        mf_str_format(error, 512, "no UDP socket: %s", strerror(errno));
        return -1;
    }
    setsockopt(swarm->udp, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    setsockopt(swarm->udp, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    mf_str_format(swarm->probe_address, sizeof swarm->probe_address, "127.0.0.1:%u", ntohs(address.sin_port));
    swarm_poll(swarm, swarm->udp, SWARM_SOURCE_UDP, false);
    return 0;
}

static bool say(struct swarm *swarm, const void *bytes, size_t len, const struct sockaddr_in *to)
{
    if (mf_random_below(&swarm->random, 100) < swarm->loss_percent) {
        swarm->counts.dropped++;
        return false;
    }
    return sendto(swarm->udp, bytes, len, MSG_NOSIGNAL, (const struct sockaddr *)to, sizeof *to) >= 0;
}

static void fill(struct swarm_node *node, enum mf_pulse_kind kind, uint64_t nonce,
                 uint8_t ret_bytes[MF_PULSE_SIZE])
{
    struct mf_pulse pulse = {.kind = kind,
                             .epoch = node->epoch,
                             .counter = ++node->counter,
                             .flags = MF_PULSE_AGENT_ALIVE,
                             .guests = (uint32_t)node->n_guests,
                             .nonce = nonce};
    memcpy(pulse.node, node->name, sizeof pulse.node);
    memcpy(pulse.boot, node->boot, sizeof pulse.boot);
    mf_pulse_encode(&pulse, node->pulse_key, ret_bytes);
}

/* -- pulses */

static void beat(struct swarm *swarm, struct swarm_alarm *alarm)
{
    struct swarm_node *node = SWARM_OWNER(alarm, struct swarm_node, beat);
    uint8_t bytes[MF_PULSE_SIZE];
    mf_ms next = alarm->timer.when + node->pulse_ms; /* a late one does not put off those that follow */
    swarm_set(swarm, alarm, next > swarm->now ? next : swarm->now + node->pulse_ms);
    if (!swarm_node_awake(node))
        return;
    fill(node, MF_PULSE_BEAT, 0, bytes);
    for (size_t i = 0; i < node->n_monitors; i++)
        swarm->counts.beats += say(swarm, bytes, sizeof bytes, &node->monitors[i]);
}

void swarm_keeper_session(struct swarm_node *node, const struct mf_worker_action *action)
{
    node->epoch = action->epoch;
    node->term = action->term;
    node->cluster_id = action->cluster_id;
    node->pulse_ms = action->pulse_ms;
    memcpy(node->pulse_key, action->pulse_key, sizeof node->pulse_key);
    node->n_monitors = 0;
    for (size_t i = 0; i < action->n_monitors && i < 16; i++) {
        struct sockaddr_storage address;
        char text[101];
        mf_str_format(text, sizeof text, "%.*s", (int)action->monitors[i].address.len,
                      action->monitors[i].address.ptr);
        if (mf_keeper_address(text, &address) == 0 && address.ss_family == AF_INET)
            memcpy(&node->monitors[node->n_monitors++], &address, sizeof node->monitors[0]);
    }
    if (!node->beat.timer.place) /* at once, then spread over the interval */
        swarm_set(node->swarm, &node->beat,
                  node->swarm->now + (mf_ms)mf_random_below(&node->swarm->random, (uint64_t)node->pulse_ms));
}

static void stall(struct swarm *swarm, struct swarm_alarm *alarm)
{
    struct swarm_node *node = SWARM_OWNER(alarm, struct swarm_node, stall);
    if (!node->stalled_until && swarm->stall_ms) {
        node->stalled_until = swarm->now + swarm->stall_ms;
        swarm_set(swarm, alarm, node->stalled_until);
    } else {
        node->stalled_until = 0;
        swarm_node_read(node); /* what came meanwhile */
        swarm_keeper_stall_soon(node);
    }
}

void swarm_keeper_stall_soon(struct swarm_node *node)
{
    struct swarm *swarm = node->swarm;
    if (swarm->stall_ms && node->state == SWARM_UP && !node->stalled_until)
        swarm_set(swarm, &node->stall,
                  swarm->now + (mf_ms)mf_random_below(&swarm->random, (uint64_t)(2 * swarm->stall_every_ms)));
}

void swarm_keeper_start(struct swarm_node *node)
{
    node->beat.fire = beat;
    node->stall.fire = stall;
    node->stalled_until = 0;
    node->counter = (uint64_t)node->started_ms; /* rises over restarts too */
    mf_pulse_boot(mf_str(node->boot_id), node->boot);
    swarm_keeper_stall_soon(node);
}

void swarm_keeper_stop(struct swarm_node *node)
{
    swarm_unset(node->swarm, &node->beat);
    swarm_unset(node->swarm, &node->stall);
}

/* -- probes */

static void answer(struct swarm *swarm, const uint8_t *bytes, const struct mf_pulse *probe,
                   const struct sockaddr_in *from)
{
    struct swarm_node *node = mf_map_get(swarm->by_name, probe->node, strlen(probe->node));
    uint8_t echo[MF_PULSE_SIZE];
    if (!node || !swarm_node_awake(node) || probe->epoch != node->epoch ||
        !mf_pulse_verify(bytes, node->pulse_key))
        return;
    fill(node, MF_PULSE_ECHO, probe->nonce, echo);
    swarm->counts.echoes += say(swarm, echo, sizeof echo, from);
}

/* -- what a monitor has another node asked */

static void relay(struct swarm *swarm, const uint8_t *bytes, const struct sockaddr_in *from)
{
    struct mf_relay ask;
    struct swarm_node *node;
    struct sockaddr_in to = {.sin_family = AF_INET};
    if (mf_relay_peek(bytes, MF_RELAY_SIZE, &ask) < 0)
        return;
    node = mf_map_get(swarm->by_name, ask.head.node, strlen(ask.head.node));
    if (!node || !swarm_node_awake(node) || ask.head.epoch != node->epoch ||
        !mf_relay_verify(bytes, node->pulse_key))
        return;
    swarm->relays[ask.head.nonce % SWARM_RELAYS] = /* nonces are random */
        (struct swarm_relay){
            .nonce = ask.head.nonce, .expires = swarm->now + SWARM_RELAY_MS, .monitor = *from};
    memcpy(&to.sin_addr, ask.address + 12, 4);
    to.sin_port = htons(ask.port);
    swarm->counts.relays += say(swarm, ask.probe, sizeof ask.probe, &to);
}

static void relay_echo(struct swarm *swarm, const uint8_t *bytes, const struct mf_pulse *echo)
{
    struct swarm_relay *asked = &swarm->relays[echo->nonce % SWARM_RELAYS];
    if (asked->nonce == echo->nonce && asked->expires > swarm->now) {
        asked->expires = 0;
        say(swarm, bytes, MF_PULSE_SIZE, &asked->monitor);
    }
}

static void take(struct swarm *swarm, const uint8_t *bytes, size_t len, const struct sockaddr_in *from)
{
    struct mf_pulse pulse;
    if (len == MF_RELAY_SIZE)
        relay(swarm, bytes, from);
    else if (len != MF_PULSE_SIZE || mf_pulse_peek(bytes, len, &pulse) < 0)
        return;
    else if (pulse.kind == MF_PULSE_ECHO)
        relay_echo(swarm, bytes, &pulse);
    else if (pulse.kind == MF_PULSE_PROBE)
        answer(swarm, bytes, &pulse, from);
}

void swarm_keeper_read(struct swarm *swarm)
{
    for (int i = 0; i < READS; i++) {
        uint8_t bytes[1024];
        struct sockaddr_in from;
        socklen_t size = sizeof from;
        ssize_t len = recvfrom(swarm->udp, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &size);
        if (len < 0)
            return;
        take(swarm, bytes, (size_t)len, &from);
    }
}
