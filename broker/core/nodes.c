/* nodes.c - who is on the other end, and whether what it says counts: only the session that has the node's
 * present epoch moves state; everything else is told to say hello again. */
#include "nodes.h"
#include "blame.h"
#include "domains.h"
#include "drift.h"
#include "breaker.h"
#include "drain.h"
#include "heal.h"
#include "held.h"
#include "journal.h"
#include "leases.h"
#include "leaving.h"
#include "monitors.h"
#include "orders.h"
#include "pooled.h"
#include "out.h"
#include "vocabulary.h"
#include "watches.h"
#include "wellbeing.h"
#include "pulse.h"
#include "queries.h"

#include <string.h>

/* ------------------------------------------------------------------ hello */

enum {
    TERM_STEP_MAX = 1000000, /* a term rises by one a reign: what is further ahead was never ours */
    HELLO_MS = 500,          /* what a hello costs its node, and so do as many unknown domains as below */
    UNKNOWN_PER_HELLO = 16,
    HELLO_DEBT_MS = 10000, /* so that 20 may come at once, as after a storm of restarts */
    CELLS_BEYOND =
        16, /* cells of so many times the capacity: what foreign domains use is off the one alone */
    REFUSED_MS = 10000, /* the same for rows that tell of refused workers, all workers together */
    REFUSED_DEBT_MS = 320000
};

bool mf_afford(const struct mf_broker *b, mf_ms *paid_until, mf_ms cost, mf_ms debt_max)
{
    if (*paid_until > b->now + debt_max)
        return false;
    *paid_until = (*paid_until > b->now ? *paid_until : b->now) + cost;
    return true;
}

void mf_node_charge(const struct mf_broker *b, struct mf_node *node, size_t rows)
{
    mf_ms from = node->hello_paid > b->now ? node->hello_paid : b->now;

    node->hello_paid = from + (mf_ms)rows * HELLO_MS / UNKNOWN_PER_HELLO;
}

bool mf_node_in_debt(const struct mf_broker *b, const struct mf_node *node)
{
    return node->hello_paid > b->now + HELLO_DEBT_MS;
}

static void refuse(struct mf_broker *b, const struct mf_peer *peer, struct mf_node *node,
                   const struct mf_msg_hello *hello, enum mf_errcode code, const char *reason)
{
    char text[512];
    struct mf_str all = mf_str_format(text, sizeof(text), "%.*s %.*s %.*s", MF_STR_ARG(peer->name),
                                      MF_STR_ARG(hello->machine_id), (int)strcspn(reason, "0123456789"),
                                      reason); /* the same trouble, at whatever time */
    uint64_t hash = mf_hash(all.ptr, all.len);
    bool said = node && node->refused_hash == hash;

    for (size_t i = 0; i < sizeof(b->refused) / sizeof(*b->refused) && !said; i++)
        said = b->refused[i] == hash;
    if (!said && mf_afford(b, &b->refused_paid, REFUSED_MS, REFUSED_DEBT_MS)) {
        mf_row_node_refused(b, peer->name, hello->machine_id, reason);
        if (node)
            node->refused_hash = hash;
        else
            b->refused[b->refused_next++ % (sizeof(b->refused) / sizeof(*b->refused))] = hash;
    }
    mf_send_error(b, peer->handle, (struct mf_str){NULL, 0}, code, reason);
}

static bool far_beyond(uint64_t cells, uint64_t whole)
{
    return cells / CELLS_BEYOND > whole;
}

/* What cannot be: nothing to give, or cells of another machine. One that has guests is taken as it is, for
 * what it tells of them: foreign domains may have taken all that it had. */
static bool unusable(const struct mf_node *node, const struct mf_msg_hello *hello, char text[256])
{
    const struct mf_rec_resources *all = &hello->capacity;
    uint64_t vcpus = 0, memory = 0;

    if (hello->guests.n || (node && node->n_instances))
        return false;
    for (uint32_t i = 0; i < hello->cells.n; i++) {
        vcpus += hello->cells.items[i].vcpus;
        memory += hello->cells.items[i].memory_mib + hello->cells.items[i].hugepages_mib;
    }
    if (!all->vcpus || !(all->memory_mib + all->hugepages_mib))
        mf_str_format(text, 256,
                      "hello.capacity: %s; nothing could ever be born there; lower what is reserved for "
                      "the host",
                      all->vcpus ? "no memory" : "no vcpus");
    else if (far_beyond(vcpus, all->vcpus) || far_beyond(memory, all->memory_mib + all->hugepages_mib))
        mf_str_format(text, 256,
                      "hello.cells: together %llu vcpus and %llu MiB, of a capacity of %llu and %llu; "
                      "one of them is wrong",
                      (unsigned long long)vcpus, (unsigned long long)memory, (unsigned long long)all->vcpus,
                      (unsigned long long)(all->memory_mib + all->hugepages_mib));
    else
        return false;
    return true;
}

static bool acceptable(struct mf_broker *b, const struct mf_peer *peer, struct mf_node *node,
                       const struct mf_msg_hello *hello)
{
    char text[256];

    if (!mf_uuid_is_zero(hello->cluster_id) && !mf_uuid_eq(hello->cluster_id, b->cluster_id)) {
        refuse(b, peer, node, hello, MF_E_FORBIDDEN,
               "this worker was welcomed to another cluster before; clear its state or give it the right "
               "broker");
        return false;
    }
    if (hello->term_seen > b->term && hello->term_seen - b->term > TERM_STEP_MAX) {
        refuse(b, peer, node, hello, MF_E_INVALID,
               "hello.term_seen is further ahead than any term of this cluster can be; clear this worker's "
               "state");
        return false;
    }
    if (mf_vocabulary_full_hello(b, hello, text)) {
        refuse(b, peer, node, hello, MF_E_UNSUPPORTED, text);
        return false;
    }
    if (unusable(node, hello, text)) {
        refuse(b, peer, node, hello, MF_E_INVALID, text);
        return false;
    }
    if (!node && b->nodes.n >= MF_POOL_NODES_MAX) {
        mf_str_format(text, sizeof(text), "there are %d nodes already, and no more are supported",
                      MF_POOL_NODES_MAX);
        refuse(b, peer, node, hello, MF_E_UNSUPPORTED, text);
        return false;
    }
    if (!node)
        return true;
    if (!mf_str_eq(node->machine_id, hello->machine_id)) {
        mf_str_format(
            text, sizeof(text),
            "node %.*s is known as another machine; give this one a name and a key of its own, or say "
            "`mayfly node forget %.*s` if it took the other's place",
            MF_STR_ARG(node->name), MF_STR_ARG(node->name));
        refuse(b, peer, node, hello, MF_E_FORBIDDEN, text);
        return false;
    }
    if (mf_node_up(node) && node->peer != peer->handle && (mf_ms)hello->started_ms < node->started_ms) {
        refuse(b, peer, node, hello, MF_E_UNAVAILABLE,
               "a worker of this name on this machine started later and is connected; stop one of them");
        return false;
    }
    return true;
}

static void raise_term(struct mf_broker *b, struct mf_str node, uint64_t seen)
{
    struct mf_event event = {.kind = MF_EV_TERM_RAISED, .term_raised = {.term = seen + 1, .node = node}};

    mf_journal(b, 0, &event, mf_str("cluster"));
}

/* Epochs that were granted after the copy was made from which we were restored are known to their nodes
 * alone; none may be granted twice. */
static uint64_t next_epoch(const struct mf_broker *b, uint64_t held)
{
    return held > b->epoch && held - b->epoch <= TERM_STEP_MAX ? held + 1 : b->epoch + 1;
}

static uint64_t join(struct mf_broker *b, struct mf_str name, const struct mf_msg_hello *hello)
{
    char text[MF_SUBJECT_MAX];
    struct mf_event event = {.kind = MF_EV_NODE_JOINED,
                             .node_joined = {.node = name,
                                             .epoch = next_epoch(b, hello->epoch),
                                             .machine_id = hello->machine_id,
                                             .boot_id = hello->boot_id,
                                             .started_ms = hello->started_ms,
                                             .capacity = hello->capacity,
                                             .class = hello->class,
                                             .labels = hello->labels,
                                             .driver = hello->driver,
                                             .guests_die_with_me = hello->guests_die_with_me,
                                             .probe_address = hello->probe_address,
                                             .fences = hello->fences,
                                             .cells = {hello->cells.items, hello->cells.n},
                                             .cpu_ratio_percent = hello->cpu_ratio_percent}};

    return mf_journal(b, 0, &event, mf_subject_named("node", name, text));
}

static void welcome(struct mf_broker *b, const struct mf_node *node)
{
    struct mf_rec_endpoint monitors[MF_MONITORS_MAX];
    uint8_t key[MF_PULSE_KEY];
    struct mf_message message = {.kind = MF_MSG_WELCOME,
                                 .welcome = {.epoch = node->epoch,
                                             .term = b->term,
                                             .cluster_id = b->cluster_id,
                                             .log_id = b->log_id,
                                             .pulse_key = {(char *)key, sizeof(key)},
                                             .pulse_ms = (uint64_t)b->config.pulse_ms,
                                             .alive_ms = (uint64_t)b->config.alive_ms,
                                             .lease_ms = (uint64_t)b->config.lease_ms,
                                             .renew_ms = (uint64_t)mf_lease_renew_ms(b),
                                             .clock_ms = (uint64_t)b->wall_ms}};

    mf_pulse_key(b->config.pulse_secret, node->name, node->epoch, key);
    message.welcome.monitors.items = monitors;
    message.welcome.monitors.n = mf_monitor_endpoints(b, monitors);
    mf_send(b, node->peer, &message);
}

/* A hello said again, because its answer was still on the way, tells of a time before that answer: since then
 * the worker may have begun what it was ordered. */
static bool answered(struct mf_broker *b, const struct mf_peer *peer, const struct mf_node *node,
                     const struct mf_msg_hello *hello)
{
    if (!hello->again || !node || node->welcomed != peer->handle)
        return false;
    if (node->peer == peer->handle)
        welcome(b, node);
    return true;
}

void mf_node_hello(struct mf_broker *b, const struct mf_peer *peer, const struct mf_msg_hello *hello)
{
    struct mf_guests guests = {hello->guests.items, hello->guests.n};
    struct mf_node *node = mf_node_find(b, peer->name);
    bool rebooted, failed = node && node->state == MF_NODE_STATE_FAILED && !node->ended,
                   leaving = node && node->leaving;
    uint64_t cause;
    size_t rows;

    if (!acceptable(b, peer, node, hello) || answered(b, peer, node, hello))
        return;
    if (node && !mf_afford(b, &node->hello_paid, HELLO_MS, HELLO_DEBT_MS)) {
        mf_send_error_now(b, peer->handle, (struct mf_str){NULL, 0}, MF_E_UNAVAILABLE,
                          "this node said hello too often lately; say it again in a while");
        return;
    }
    if (hello->term_seen > b->term)
        raise_term(b, peer->name, hello->term_seen);
    rebooted = node && !mf_str_eq(node->boot_id, hello->boot_id);
    cause = join(b, peer->name, hello);
    node = mf_node_find(b, peer->name);
    mf_breaker_joined(b, node);
    node->heard_at = b->now;
    node->refused_hash = 0;
    if (node->peer && node->peer != peer->handle)
        mf_close(b, node->peer);
    node->peer = node->welcomed = peer->handle;
    mf_pooled_stand(b, node);
    node->asks_left = false;
    node->back_by = 0;
    welcome(b, node);
    node->matching = true; /* not ready before all of its inventory is looked at */
    mf_drift_begin(node);
    mf_held_hello(b, node, hello);
    mf_node_match(b, node, guests, rebooted, cause);
    node->matching = false;
    if (leaving)
        mf_drain_end(b, node, cause);
    rows = mf_domains_match(b, node, guests, rebooted ? MF_LIST_AFTER_BOOT : MF_LIST_HELLO, cause);
    mf_blame_returned(b, node, failed, cause);
    mf_node_charge(b, node, rows);
    mf_node_try_ready(b, node);
    mf_orders_session(b, node);
    mf_monitor_node_changed(b, node);
}

bool mf_node_schedulable(const struct mf_node *node)
{
    return mf_node_up(node) && node->state == MF_NODE_STATE_READY && !node->cordoned && !node->draining &&
           !node->leaving && !node->quarantined_until;
}

void mf_node_try_ready(struct mf_broker *b, struct mf_node *node)
{
    if (node->state != MF_NODE_STATE_JOINING || !mf_node_up(node) || node->must_go || node->matching ||
        node->delay.timer.place)
        return;
    mf_row_node_ready(b, node);
    mf_held_ready(b, node);
    mf_monitor_node_changed(b, node);
}

/* ------------------------------------------------------------------ what a worker reports */

static void hello_again(struct mf_broker *b, uint64_t peer, const char *why)
{
    mf_send_now(b, peer,
                &(struct mf_message){.kind = MF_MSG_HELLO_AGAIN, .hello_again = {.text = mf_str(why)}});
}

static struct mf_node *session(struct mf_broker *b, const struct mf_peer *peer, uint64_t epoch)
{
    struct mf_node *node = mf_node_find(b, peer->name);

    if (!node || node->peer != peer->handle)
        hello_again(b, peer->handle, "this connection has no session");
    else if (node->epoch != epoch)
        hello_again(b, peer->handle, "that epoch is over");
    else
        return node->heard_at = b->now, node;
    return NULL;
}

static void ack_report(struct mf_broker *b, const struct mf_node *node, uint64_t report_id)
{
    mf_send(b, node->peer,
            &(struct mf_message){.kind = MF_MSG_REPORT_ACK,
                                 .report_ack = {.report_id = report_id, .epoch = node->epoch}});
}

static void created(struct mf_broker *b, struct mf_instance *inst, const struct mf_msg_order_result *result)
{
    if (inst->state != MF_INSTANCE_STATE_PLACED)
        return; /* told twice, or it has to go by now and its destroy is out */
    if (mf_str_is(result->code, "ok"))
        mf_heal_running(b, inst, result->took_ms);
    else if (result->order_id == inst->order_id)
        mf_heal_birth_failed(b, inst, result->code, result->text);
}

static void destroyed(struct mf_broker *b, struct mf_instance *inst, const struct mf_msg_order_result *result)
{
    if (inst->state != MF_INSTANCE_STATE_DESTROYING && inst->state != MF_INSTANCE_STATE_TOMBSTONE)
        return;
    if (mf_str_is(result->code, "ok"))
        mf_heal_gone_saying(b, inst, inst->last_seq, "destroyed: not listed and no process", result->console);
    else if (result->order_id == inst->order_id)
        mf_order_failed(b, inst, result->text.len ? result->text : result->code);
}

static void on_ack(struct mf_broker *b, struct mf_node *node, uint64_t order_id)
{
    mf_order_acked(b, node, order_id);
    mf_domain_acked(b, node, order_id);
}

static void on_result(struct mf_broker *b, const struct mf_peer *peer,
                      const struct mf_msg_order_result *result)
{
    struct mf_node *node = session(b, peer, result->epoch);
    struct mf_instance *inst;

    if (!node)
        return;
    inst = mf_instance_find(b, result->id);
    if (inst && inst->node == node) {
        if (result->operation == MF_OPERATION_CREATE)
            created(b, inst, result);
        else
            destroyed(b, inst, result);
    } else {
        mf_domain_result(b, node, result);
    }
    ack_report(b, node, result->report_id);
}

/* The node whose present session tells of this instance; *ret_inst NULL if that is not on it (any more): it
 * is acknowledged all the same. */
static struct mf_node *told_of(struct mf_broker *b, const struct mf_peer *peer, uint64_t epoch,
                               struct mf_uuid id, struct mf_instance **ret_inst)
{
    struct mf_node *node = session(b, peer, epoch);

    *ret_inst = node ? mf_instance_find(b, id) : NULL;
    if (*ret_inst && (*ret_inst)->node != node)
        *ret_inst = NULL;
    return node;
}

static void on_death(struct mf_broker *b, const struct mf_peer *peer, const struct mf_msg_fact_death *fact)
{
    struct mf_instance *inst;
    struct mf_node *node = told_of(b, peer, fact->epoch, fact->id, &inst);

    if (inst)
        mf_heal_died(b, inst, 0,
                     &(struct mf_death_told){.how = fact->how, .text = fact->text, .console = fact->console});
    if (node)
        ack_report(b, node, fact->report_id);
}

static void on_ready(struct mf_broker *b, const struct mf_peer *peer, const struct mf_msg_fact_ready *fact)
{
    struct mf_instance *inst;
    struct mf_node *node = told_of(b, peer, fact->epoch, fact->id, &inst);

    if (inst)
        mf_well_ready(b, inst);
    if (node)
        ack_report(b, node, fact->report_id);
}

static void on_unwell(struct mf_broker *b, const struct mf_peer *peer, const struct mf_msg_fact_unwell *fact)
{
    struct mf_instance *inst;
    struct mf_node *node = told_of(b, peer, fact->epoch, fact->id, &inst);

    if (inst)
        mf_well_ailing(b, inst,
                       &(struct mf_ailing){.how = fact->how, .text = fact->text, .console = fact->console});
    if (node)
        ack_report(b, node, fact->report_id);
}

static void on_alive(struct mf_broker *b, const struct mf_peer *peer, const struct mf_msg_worker_alive *alive)
{
    struct mf_node *node = session(b, peer, alive->epoch);

    if (!node)
        return;
    mf_drift_alive(b, node, alive);
    mf_pooled_stand(b, node); /* a failure may be long enough ago now */
    mf_send_now(b, peer->handle,
                &(struct mf_message){.kind = MF_MSG_ALIVE_ACK,
                                     .alive_ack = {.epoch = alive->epoch, .term = b->term}});
}

void mf_node_message(struct mf_broker *b, const struct mf_peer *peer, const struct mf_message *m)
{
    struct mf_node *node;

    switch (m->kind) {
    case MF_MSG_ORDER_ACK:
        node = session(b, peer, m->order_ack.epoch);
        if (node)
            on_ack(b, node, m->order_ack.order_id);
        return;
    case MF_MSG_ORDER_RESULT:
        on_result(b, peer, &m->order_result);
        return;
    case MF_MSG_FACT_DEATH:
        on_death(b, peer, &m->fact_death);
        return;
    case MF_MSG_FACT_READY:
        on_ready(b, peer, &m->fact_ready);
        return;
    case MF_MSG_FACT_UNWELL:
        on_unwell(b, peer, &m->fact_unwell);
        return;
    case MF_MSG_GUEST_ADDRESS:
        node = session(b, peer, m->guest_address.epoch);
        if (node)
            mf_watch_address(b, node, &m->guest_address);
        return;
    case MF_MSG_WORKER_ALIVE:
        on_alive(b, peer, &m->worker_alive);
        return;
    case MF_MSG_LEASE_ASK:
        node = session(b, peer, m->lease_ask.epoch);
        if (node)
            mf_lease_ask(b, node, m->lease_ask.ask_id);
        return;
    case MF_MSG_LEAVING:
        if (mf_leaving_again(b, peer, &m->leaving))
            return;
        node = session(b, peer, m->leaving.epoch);
        if (node)
            mf_leaving(b, node, &m->leaving);
        return;
    case MF_MSG_INVENTORY:
        node = session(b, peer, m->inventory.epoch);
        if (node)
            mf_drift_inventory(b, node, &m->inventory);
        return;
    case MF_MSG_FILE_PROGRESS:
        node = session(b, peer, m->file_progress.epoch);
        if (node)
            mf_held_progress(b, node, &m->file_progress);
        return;
    case MF_MSG_LOG_TAIL:
        if (session(b, peer, m->log_tail.epoch))
            mf_query_log_tail(b, peer, &m->log_tail);
        return;
    default:
        return;
    }
}

/* ------------------------------------------------------------------ its end */

void mf_node_fail(struct mf_broker *b, struct mf_node *node, const struct mf_ev_node_failed *with)
{
    struct mf_ev_node_failed failed = *with;
    uint64_t peer = node->peer, cause;
    bool ended = with->evidence == MF_EVIDENCE_ENDED;

    failed.node = node->name;
    failed.epoch = node->epoch;
    failed.instances = 0;
    for (const struct mf_instance *inst = node->first; inst; inst = inst->next)
        failed.instances += inst->current;
    cause = mf_row_node_failed(b, node, &failed);
    node->peer = 0;
    mf_pooled_stand(b, node);
    mf_lease_node_down(b, node);
    if (ended) {
        mf_breaker_let_go(b, node);
        mf_heal_node_ended(b, node, cause);
        mf_domains_ended(b, node, cause);
    } else {
        mf_breaker_failed(b, node);
        mf_heal_node_failed(b, node, cause);
    }
    mf_domains_session_over(b, node);
    if (peer && !ended)
        hello_again(b, peer, "this epoch was held for failed");
    mf_monitor_node_changed(b, node);
}

void mf_node_peer_gone(struct mf_broker *b, uint64_t peer)
{
    for (size_t i = 0; i < b->nodes.n; i++) {
        struct mf_node *node = b->nodes.items[i];
        if (node->peer != peer)
            continue;
        node->peer = 0;
        mf_pooled_stand(b, node);
        mf_lease_node_down(b, node);
        mf_monitor_node_changed(b, node);
        return;
    }
}
