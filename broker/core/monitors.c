/* monitors.c - sessions with monitors: what they are told of nodes, and whether they are heard and trust
 * themselves. What they conclude is counted in votes.c. */
#include "monitors.h"
#include "check.h"
#include "fold.h"
#include "journal.h"
#include "nodes.h"
#include "out.h"
#include "pulse.h"
#include "votes.h"
#include "watches.h"

#include <string.h>

/* ------------------------------------------------------------------ what they are told */

static void tell(struct mf_broker *b, const struct mf_monitor *monitor, const struct mf_node *node)
{
    uint8_t key[MF_PULSE_KEY];

    if (!monitor->peer)
        return;
    mf_pulse_key(b->config.pulse_secret, node->name, node->epoch, key);
    mf_send(b, monitor->peer,
            &(struct mf_message){.kind = MF_MSG_MONITOR_NODE,
                                 .monitor_node = {.node = node->name,
                                                  .epoch = node->epoch,
                                                  .pulse_key = {(char *)key, sizeof(key)},
                                                  .connected = mf_node_up(node),
                                                  .state = node->state,
                                                  .probe_address = node->probe_address,
                                                  .labels = node->labels}});
}

void mf_monitor_node_changed(struct mf_broker *b, struct mf_node *node)
{
    if (node->in_changed)
        return;
    node->in_changed = true;
    node->next_changed = b->changed;
    b->changed = node;
}

void mf_monitors_flush(struct mf_broker *b)
{
    while (b->changed) {
        struct mf_node *node = b->changed;
        b->changed = node->next_changed;
        node->in_changed = false;
        for (size_t i = 0; i < b->n_monitors; i++)
            tell(b, &b->monitors[i], node);
    }
}

uint32_t mf_monitor_endpoints(const struct mf_broker *b, struct mf_rec_endpoint ret[MF_MONITORS_MAX])
{
    uint32_t n = 0;

    for (size_t i = 0; i < b->n_monitors; i++)
        if (b->monitors[i].address[0])
            ret[n++] = (struct mf_rec_endpoint){.address = mf_str(b->monitors[i].address)};
    return n;
}

static void tell_nodes_targets(struct mf_broker *b)
{
    struct mf_rec_endpoint monitors[MF_MONITORS_MAX];
    struct mf_message message = {.kind = MF_MSG_PULSE_TARGETS};

    message.pulse_targets.monitors.items = monitors;
    message.pulse_targets.monitors.n = mf_monitor_endpoints(b, monitors);
    for (size_t i = 0; i < b->nodes.n; i++) {
        const struct mf_node *node = b->nodes.items[i];
        if (!mf_node_up(node))
            continue;
        message.pulse_targets.epoch = node->epoch;
        mf_send(b, node->peer, &message);
    }
}

/* ------------------------------------------------------------------ whether they are heard */

static struct mf_monitor *by_peer(struct mf_broker *b, uint64_t peer)
{
    for (size_t i = 0; i < b->n_monitors; i++)
        if (b->monitors[i].peer == peer)
            return &b->monitors[i];
    return NULL;
}

static void drop_words(struct mf_broker *b, const struct mf_monitor *monitor)
{
    mf_votes_drop(b, monitor);
    mf_watches_drop(b, monitor);
}

static void heard(struct mf_broker *b, struct mf_monitor *monitor)
{
    monitor->heard = true;
    monitor->heard_at = b->now;
    if (!monitor->alarm.timer.place) /* armed, it looks at heard_at when it goes off */
        mf_heap_set(&b->alarms, &monitor->alarm.timer, b->now + b->config.monitor_ms);
    if (!monitor->told_heard)
        mf_row_monitor(b, monitor, true, 0);
}

void mf_monitor_heard_peer(struct mf_broker *b, const struct mf_peer *peer)
{
    struct mf_monitor *monitor = by_peer(b, peer->handle);

    if (monitor)
        heard(b, monitor);
}

void mf_monitor_alarm(struct mf_broker *b, struct mf_monitor *monitor)
{
    mf_ms age = b->now - monitor->heard_at;

    if (age < b->config.monitor_ms) {
        mf_heap_set(&b->alarms, &monitor->alarm.timer, monitor->heard_at + b->config.monitor_ms);
        return;
    }
    monitor->heard = false;
    drop_words(b, monitor);
    if (monitor->told_heard)
        mf_row_monitor(b, monitor, false, (uint64_t)age);
}

void mf_monitors_begin(struct mf_broker *b)
{
    for (size_t i = 0; i < b->n_monitors; i++) {
        b->monitors[i].heard_at = b->now; /* the limit counts from the reign's start */
        if (b->monitors[i].told_heard)
            mf_heap_set(&b->alarms, &b->monitors[i].alarm.timer, b->now + b->config.monitor_ms);
    }
}

/* What the broker itself was too late to hear is not theirs. */
void mf_monitors_pardon(struct mf_broker *b)
{
    for (size_t i = 0; i < b->n_monitors; i++)
        if (b->monitors[i].heard)
            b->monitors[i].heard_at = b->now;
}

void mf_monitor_peer_gone(struct mf_broker *b, uint64_t peer)
{
    struct mf_monitor *monitor = by_peer(b, peer);

    if (monitor)
        monitor->peer = 0; /* whether it is heard is for its alarm to say */
}

/* ------------------------------------------------------------------ what they say */

/* HOST:PORT, as every keeper will be told it. Whether the host can be found is for the keepers to see. */
static bool is_address(struct mf_str s)
{
    uint32_t colon = s.len, port = 0;

    while (colon > 0 && s.ptr[colon - 1] != ':')
        colon--;
    if (colon < 2 || s.len - colon < 1 || s.len - colon > 5)
        return false;
    for (uint32_t i = colon; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
        port = port * 10 + (uint32_t)(s.ptr[i] - '0');
    }
    for (uint32_t i = 0; i < colon - 1; i++)
        if (s.ptr[i] <= ' ' || s.ptr[i] > '~' || (s.ptr[i] == ':' && s.ptr[0] != '['))
            return false;
    return port > 0 && port <= 65535 && (s.ptr[0] != '[' || s.ptr[colon - 2] == ']');
}

/* Two that take each other's session in turn would both be deaf: a hello forgets what was heard. */
static bool may_begin(struct mf_broker *b, const struct mf_monitor *monitor, const struct mf_peer *peer,
                      const struct mf_msg_monitor_hello *hello)
{
    const struct mf_str nobody = {NULL, 0};

    if (!is_address(hello->pulse_address))
        mf_send_error_now(b, peer->handle, nobody, MF_E_INVALID,
                          "monitor-hello.pulse_address: is not HOST:PORT with a port from 1 to 65535, as "
                          "keepers can reach it");
    else if (!monitor && b->n_monitors >= MF_MONITORS_MAX)
        mf_send_error_now(b, peer->handle, nobody, MF_E_UNSUPPORTED,
                          "there are 16 monitors already, and no more are supported");
    else if (monitor && monitor->peer && monitor->peer != peer->handle && monitor->heard)
        mf_send_error_now(b, peer->handle, nobody, MF_E_UNAVAILABLE,
                          "a monitor with this key is connected and heard; stop one of them, or give each a "
                          "key of its own");
    else
        return true;
    return false;
}

static void on_hello(struct mf_broker *b, const struct mf_peer *peer,
                     const struct mf_msg_monitor_hello *hello)
{
    struct mf_monitor *monitor = mf_monitor_find(b, peer->name);
    char address[sizeof(monitor->address)];

    if (!may_begin(b, monitor, peer, hello))
        return;
    if (!monitor) {
        struct mf_monitor fresh = {0};
        mf_str_format(fresh.name, sizeof(fresh.name), "%.*s", MF_STR_ARG(peer->name));
        mf_row_monitor(b, &fresh, true, 0);
        monitor = mf_monitor_find(b, peer->name);
        MF_CHECK(monitor);
    }
    monitor->peer = peer->handle;
    heard(b, monitor);
    drop_words(b, monitor); /* it forgets what it held */
    mf_send(b, peer->handle,
            &(struct mf_message){.kind = MF_MSG_MONITOR_WELCOME,
                                 .monitor_welcome = {.cluster_id = b->cluster_id,
                                                     .term = b->term,
                                                     .pulse_ms = (uint64_t)b->config.pulse_ms,
                                                     .silence_ms = (uint64_t)b->config.silence_ms,
                                                     .agent_grace_ms = (uint64_t)b->config.agent_grace_ms,
                                                     .doubt_percent = b->config.doubt_percent,
                                                     .clock_ms = (uint64_t)b->wall_ms}});
    for (size_t i = 0; i < b->nodes.n; i++)
        tell(b, monitor, b->nodes.items[i]);
    mf_watches_tell(b, monitor);
    mf_str_format(address, sizeof(address), "%.*s", MF_STR_ARG(hello->pulse_address));
    if (strcmp(address, monitor->address) == 0)
        return;
    memcpy(monitor->address, address, sizeof(address));
    tell_nodes_targets(b);
}

/* ------------------------------------------------------------------ whether it trusts itself */

static void say_suspended(struct mf_broker *b, struct mf_monitor *monitor, struct mf_str reason)
{
    struct mf_str name = mf_str(monitor->name);
    struct mf_event event = {
        .kind = MF_EV_MONITOR_SUSPENDED,
        .monitor_suspended = {.monitor = name, .reason = reason.len ? reason : mf_str("it says no more")}};
    char text[MF_SUBJECT_MAX];

    mf_journal(b, 0, &event, mf_subject_named("monitor", name, text));
    drop_words(b, monitor);
}

static void say_resumed(struct mf_broker *b, struct mf_monitor *monitor)
{
    struct mf_str name = mf_str(monitor->name);
    char text[MF_SUBJECT_MAX];

    mf_journal(b, 0, &(struct mf_event){.kind = MF_EV_MONITOR_RESUMED, .monitor_resumed = {.monitor = name}},
               mf_subject_named("monitor", name, text));
}

static void on_alive(struct mf_broker *b, struct mf_monitor *monitor,
                     const struct mf_msg_monitor_alive *alive)
{
    monitor->nodes_heard = alive->nodes_heard;
    monitor->nodes_known = alive->nodes_known;
    if (alive->suspended && !monitor->suspended)
        say_suspended(b, monitor, alive->reason);
    else if (!alive->suspended && monitor->suspended)
        say_resumed(b, monitor);
}

void mf_monitor_forget(struct mf_broker *b, struct mf_monitor *monitor, uint64_t cause)
{
    struct mf_str name = mf_str(monitor->name);
    char text[MF_SUBJECT_MAX];

    MF_CHECK(!monitor->heard);
    drop_words(b, monitor);
    mf_journal(b, cause,
               &(struct mf_event){.kind = MF_EV_MONITOR_FORGOTTEN, .monitor_forgotten = {.monitor = name}},
               mf_subject_named("monitor", name, text));
    tell_nodes_targets(b);
    mf_votes_judge_all(b); /* fewer make a majority now */
}

void mf_monitor_message(struct mf_broker *b, const struct mf_peer *peer, const struct mf_message *m)
{
    struct mf_monitor *monitor;

    if (m->kind == MF_MSG_MONITOR_HELLO) {
        on_hello(b, peer, &m->monitor_hello);
        return;
    }
    monitor = by_peer(b, peer->handle);
    if (!monitor) { /* of an earlier reign */
        mf_send_error_now(b, peer->handle, (struct mf_str){NULL, 0}, MF_E_STALE,
                          "this connection has no session; say monitor-hello");
        return;
    }
    if (m->kind == MF_MSG_MONITOR_ALIVE) {
        on_alive(b, monitor, &m->monitor_alive);
    } else if (m->kind == MF_MSG_MONITOR_VERDICT) {
        mf_vote(b, monitor, &m->monitor_verdict);
    } else if (m->kind == MF_MSG_MONITOR_CHECKED) {
        mf_watches_word(b, monitor, &m->monitor_checked);
    }
}
