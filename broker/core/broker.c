/* broker.c - the three verbs. A feed hands its event to the file that knows it, lets the alarms go off, and
 * then settles: vacant slots are filled, what waits is placed, empty groups end, monitors are told.
 * Everything a feed decided is in the log before the feed returns. */
#include "broker.h"
#include "blame.h"
#include "breaker.h"
#include "check.h"
#include "drain.h"
#include "domains.h"
#include "drift.h"
#include "fold.h"
#include "grace.h"
#include "heal.h"
#include "journal.h"
#include "leases.h"
#include "monitors.h"
#include "nodes.h"
#include "orders.h"
#include "out.h"
#include "place.h"
#include "protection.h"
#include "queries.h"
#include "requests.h"
#include "state.h"
#include "streams.h"
#include "votes.h"
#include "watches.h"
#include "wellbeing.h"

#include <stdlib.h>

enum { MAGIC = 0x6d666272 };

void mf_broker_config_default(struct mf_broker_config *ret_config)
{
    *ret_config = (struct mf_broker_config){.pulse_ms = 200,
                                            .silence_ms = 1200,
                                            .agent_grace_ms = 30000,
                                            .alive_ms = 1000,
                                            .create_ms = 120000,
                                            .destroy_ms = 60000,
                                            .resend_ms = 500,
                                            .monitor_ms = 2000,
                                            .doubt_percent = 50,
                                            .breaker_nodes = 4,
                                            .breaker_percent = 30,
                                            .breaker_domain_percent = 60,
                                            .breaker_window_ms = 10000,
                                            .lease_ms = 10000,
                                            .backoff_ms = 500,
                                            .backoff_max_ms = 60000,
                                            .request_keep_ms = 24 * 3600 * 1000,
                                            .orders_per_node = 256,
                                            .list_page = 500,
                                            .placement = mf_place_policy_named(MF_POLICY_NAME_ROOM),
                                            .snapshot_rows = 100000};
}

static void check_config(const struct mf_broker_config *c)
{
    char error[256];

    MF_CHECK(c->pulse_ms >= 10 && c->pulse_ms <= 10000);
    MF_CHECK(c->silence_ms >= 3 * c->pulse_ms && c->silence_ms <= 600000);
    MF_CHECK(c->agent_grace_ms >= 0 && c->alive_ms >= 10 && c->alive_ms <= 60000);
    MF_CHECK(c->create_ms >= 1 && c->create_ms <= 3600000 && c->destroy_ms >= 1 && c->destroy_ms <= 3000000);
    MF_CHECK(c->resend_ms >= 1 && c->monitor_ms >= 1);
    MF_CHECK(c->doubt_percent >= 1 && c->doubt_percent <= 100);
    MF_CHECK(c->breaker_percent >= 1 && c->breaker_percent <= 100);
    MF_CHECK(c->breaker_domain_percent >= 1 && c->breaker_domain_percent <= 100);
    MF_CHECK(c->breaker_window_ms >= 0 && c->breaker_window_ms <= 3600000);
    MF_CHECK(c->lease_ms >= 100 && c->lease_ms <= 3600000 && c->renew_ms >= 0 &&
             2 * c->renew_ms <= c->lease_ms);
    MF_CHECK(c->backoff_ms >= 1 && c->backoff_max_ms >= c->backoff_ms);
    MF_CHECK(mf_place_policy_check(&c->placement, error) == 0);
    MF_CHECK(c->request_keep_ms >= 0 && c->orders_per_node >= 1 && c->list_page >= 1);
}

struct mf_broker *mf_broker_new(const struct mf_broker_config *config)
{
    struct mf_broker *b = mf_calloc(sizeof(*b));

    check_config(config);
    b->magic = MAGIC;
    b->config = *config;
    mf_random_seed(&b->random, config->seed);
    b->groups_by_id = mf_map_new();
    b->instances = mf_map_new();
    b->requests = mf_map_new();
    b->strangers = mf_map_new();
    b->claims = mf_map_new();
    b->pool = mf_pool_new(&config->placement);
    b->room = 1;
    b->oldest = 0;
    b->place.kind = MF_ALARM_PLACE;
    b->beat.kind = MF_ALARM_BEAT;
    b->grace.kind = MF_ALARM_GRACE;
    b->breaker.alarm.kind = MF_ALARM_BREAKER;
    b->breaker.calm.kind = MF_ALARM_CALM;
    b->breaker.domains = mf_map_new();
    b->lease.kind = MF_ALARM_LEASE;
    b->protect.kind = MF_ALARM_PROTECT;
    b->place_at = b->watches.paid = INT64_MIN / 2;
    return b;
}

void mf_broker_destroy(struct mf_broker **self)
{
    struct mf_broker *b = *self;

    if (!b)
        return;
    MF_MAGIC(b, MAGIC);
    mf_streams_free(b);
    mf_out_free(b);
    mf_breaker_free(b);
    mf_watches_free(b);
    mf_protection_free(b);
    mf_fold_free(b);
    while (b->asks) { /* after the fold, which still takes timers out of the heap that theirs are in */
        struct mf_log_ask *ask = b->asks;
        b->asks = ask->next;
        free(ask);
    }
    mf_heap_free(&b->alarms);
    b->magic = 0;
    free(b);
    *self = NULL;
}

/* ------------------------------------------------------------------ feed */

static void begin_history(struct mf_broker *b)
{
    struct mf_event created = {.kind = MF_EV_CLUSTER_CREATED,
                               .cluster_created = {.cluster_id = mf_uuid_make(&b->random, b->wall_ms),
                                                   .log_id = mf_uuid_make(&b->random, b->wall_ms)}};

    b->oldest = 1;
    mf_journal(b, 0, &created, mf_str("cluster"));
}

/* What was told after the copy was made is unknown here, though others may have seen it. */
static void begin_other_history(struct mf_broker *b)
{
    struct mf_event restored = {.kind = MF_EV_CLUSTER_RESTORED,
                                .cluster_restored = {.log_id = mf_uuid_make(&b->random, b->wall_ms),
                                                     .from_log_id = b->log_id,
                                                     .from_seq = b->seq}};

    mf_journal(b, 0, &restored, mf_str("cluster"));
}

static void start(struct mf_broker *b, uint64_t oldest, bool restored)
{
    MF_CHECK(!b->reigning);
    b->reigning = true;
    b->started = b->now;
    b->committed = b->seq; /* what was loaded came from the store */
    if (oldest)
        b->oldest = oldest;
    if (mf_uuid_is_zero(b->cluster_id))
        begin_history(b);
    else if (restored)
        begin_other_history(b);
    mf_leases_begin(b);
    mf_journal(b, 0,
               &(struct mf_event){.kind = MF_EV_BROKER_STARTED,
                                  .broker_started = {.term = b->term + 1,
                                                     .version = mf_str(MAYFLY_VERSION),
                                                     .lease_ms = (uint64_t)b->config.lease_ms}},
               mf_str("cluster"));
    mf_grace_begin(b);
    mf_monitors_begin(b);
    mf_blame_begin(b);
    mf_protection_begin(b);
    mf_heal_begin(b);
    mf_breaker_begin(b);
}

static void on_message(struct mf_broker *b, const struct mf_broker_event *event)
{
    const struct mf_message *m = event->message;

    mf_monitor_heard_peer(b, &event->peer);
    switch (m->kind) {
    case MF_MSG_PROVISION:
    case MF_MSG_SCALE:
    case MF_MSG_DESTROY:
    case MF_MSG_IMAGE_ADD:
    case MF_MSG_IMAGE_REMOVE:
    case MF_MSG_IMAGE_WARM:
    case MF_MSG_OFFERING_ADD:
    case MF_MSG_NODE_CORDON:
    case MF_MSG_NODE_UNCORDON:
    case MF_MSG_NODE_DRAIN:
    case MF_MSG_NODE_FORGET:
    case MF_MSG_MONITOR_FORGET:
    case MF_MSG_IMAGE_RELEASE:
    case MF_MSG_FREEZE:
    case MF_MSG_THAW:
    case MF_MSG_ADOPT:
    case MF_MSG_PURGE:
    case MF_MSG_HEADROOM:
        mf_request_message(b, &event->peer, m, event->body_digest);
        return;
    case MF_MSG_SUBSCRIBE:
    case MF_MSG_CREDIT:
    case MF_MSG_UNSUBSCRIBE:
        mf_stream_message(b, &event->peer, m);
        return;
    case MF_MSG_MONITOR_HELLO:
    case MF_MSG_MONITOR_ALIVE:
    case MF_MSG_MONITOR_VERDICT:
    case MF_MSG_MONITOR_CHECKED:
        mf_monitor_message(b, &event->peer, m);
        return;
    case MF_MSG_HELLO:
        mf_node_hello(b, &event->peer, &m->hello);
        return;
    case MF_MSG_ORDER_ACK:
    case MF_MSG_ORDER_RESULT:
    case MF_MSG_FACT_DEATH:
    case MF_MSG_FACT_READY:
    case MF_MSG_FACT_UNWELL:
    case MF_MSG_GUEST_ADDRESS:
    case MF_MSG_WORKER_ALIVE:
    case MF_MSG_LEASE_ASK:
    case MF_MSG_LEAVING:
    case MF_MSG_INVENTORY:
    case MF_MSG_FILE_PROGRESS:
    case MF_MSG_LOG_TAIL:
        mf_node_message(b, &event->peer, m);
        return;
    case MF_MSG_LIST_GROUPS:
    case MF_MSG_LIST_INSTANCES:
    case MF_MSG_LIST_NODES:
    case MF_MSG_LIST_IMAGES:
    case MF_MSG_LIST_HELD:
    case MF_MSG_LIST_OFFERINGS:
    case MF_MSG_LIST_DOMAINS:
    case MF_MSG_EXPLAIN:
    case MF_MSG_CAPACITY:
    case MF_MSG_STATUS:
    case MF_MSG_LOGS:
    case MF_MSG_BACKUP:
        mf_query_message(b, &event->peer, m);
        return;
    default:
        mf_send_error_now(b, event->peer.handle, (struct mf_str){NULL, 0}, MF_E_INVALID,
                          "the broker says this itself and takes it from nobody");
    }
}

static void on_peer_gone(struct mf_broker *b, uint64_t peer)
{
    mf_node_peer_gone(b, peer);
    mf_monitor_peer_gone(b, peer);
    mf_stream_peer_gone(b, peer);
    mf_query_peer_gone(b, peer);
}

static void on_committed(struct mf_broker *b, uint64_t seq)
{
    MF_CHECK(seq <= b->seq);
    if (seq <= b->committed)
        return;
    b->committed = seq;
    mf_orders_committed(b);
}

static void dispatch(struct mf_broker *b, const struct mf_broker_event *event)
{
    MF_CHECK(b->reigning || event->kind == MF_BROKER_START);
    switch (event->kind) {
    case MF_BROKER_TICK:
        return;
    case MF_BROKER_START:
        start(b, event->oldest, event->restored);
        return;
    case MF_BROKER_MESSAGE:
        MF_CHECK(event->peer.handle != 0);
        on_message(b, event);
        return;
    case MF_BROKER_PEER_GONE:
        on_peer_gone(b, event->peer.handle);
        return;
    case MF_BROKER_COMMITTED:
        on_committed(b, event->seq);
        return;
    case MF_BROKER_STREAM_SENT:
        mf_stream_sent(b, event->peer.handle, event->stream, event->seq, event->rows);
        return;
    case MF_BROKER_STREAM_EXPIRED:
        mf_stream_expired(b, event->peer.handle, event->stream, event->seq);
        return;
    case MF_BROKER_SNAPSHOT_DONE:
        b->snapshot_out = false;
        if (event->oldest > b->oldest)
            b->oldest = event->oldest;
        return;
    case MF_BROKER_STORE_FULL:
        b->full = event->full;
        return;
    }
}

#define CONTAINER(type, member, pointer) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

static void *owner_of(struct mf_broker *b, struct mf_alarm *alarm)
{
    struct mf_rare_alarm *rare = CONTAINER(struct mf_rare_alarm, alarm, alarm);
    void *owner = rare->owner;

    mf_alarm_unset(b, rare->at);
    return owner;
}

static void go_off(struct mf_broker *b, struct mf_alarm *alarm)
{
    switch (alarm->kind) {
    case MF_ALARM_ORDER:
        mf_order_alarm(b, CONTAINER(struct mf_order, alarm, alarm));
        return;
    case MF_ALARM_BIRTH:
        mf_heal_birth_due(b, owner_of(b, alarm));
        return;
    case MF_ALARM_ASK:
        mf_query_ask_expired(b, CONTAINER(struct mf_log_ask, alarm, alarm));
        return;
    case MF_ALARM_MONITOR:
        mf_monitor_alarm(b, CONTAINER(struct mf_monitor, alarm, alarm));
        return;
    case MF_ALARM_LOOK:
        mf_drift_look(b, CONTAINER(struct mf_node, look, alarm));
        return;
    case MF_ALARM_QUARANTINE:
        mf_blame_quarantine_over(b, CONTAINER(struct mf_node, quarantine, alarm));
        return;
    case MF_ALARM_DELAY:
        mf_node_try_ready(b, CONTAINER(struct mf_node, delay, alarm));
        return;
    case MF_ALARM_PURGE:
        mf_domain_alarm(b, CONTAINER(struct mf_stranger, alarm, alarm));
        return;
    case MF_ALARM_CANARY:
        mf_blame_try_due(b, CONTAINER(struct mf_image, retry, alarm));
        return;
    case MF_ALARM_BEAT:
        mf_grace_beat(b);
        return;
    case MF_ALARM_GRACE:
        mf_grace_over(b);
        return;
    case MF_ALARM_DOUBT:
        mf_votes_alarm(b, CONTAINER(struct mf_node, doubts.alarm, alarm));
        return;
    case MF_ALARM_BREAKER:
        mf_breaker_alarm(b);
        return;
    case MF_ALARM_CALM:
        mf_breaker_calm(b);
        return;
    case MF_ALARM_BOOT:
        mf_well_late(b, owner_of(b, alarm));
        return;
    case MF_ALARM_LEASE:
        b->room++; /* what waited for that lease may be placed */
        return;
    case MF_ALARM_PLACE:
    case MF_ALARM_PROTECT:
        return; /* settling is what it is for */
    }
}

static void settle(struct mf_broker *b)
{
    mf_breaker_settle(b);
    mf_drain_pass(b);
    mf_heal_births(b);
    mf_place_pass(b);
    mf_protection_settle(b);
    mf_heal_groups_gone(b);
    mf_monitors_flush(b);
    mf_watches_flush(b);
}

void mf_broker_feed(struct mf_broker *b, mf_ms now, const struct mf_broker_event *event)
{
    struct mf_timer *timer;

    MF_MAGIC(b, MAGIC);
    mf_out_release(b);
    if (now > b->now)
        b->now = now;
    b->wall_ms = event->wall_ms;
    mf_grace_watch(b);
    dispatch(b, event);
    while ((timer = mf_heap_take(&b->alarms, b->now)))
        go_off(b, CONTAINER(struct mf_alarm, timer, timer));
    settle(b);
}

/* ------------------------------------------------------------------ poll */

static bool snapshot_due(struct mf_broker *b)
{
    if (!b->config.snapshot_rows || b->snapshot_out || b->seq - b->snapshot_seq < b->config.snapshot_rows)
        return false;
    b->snapshot_out = true;
    b->snapshot_seq = b->seq;
    return true;
}

bool mf_broker_poll(struct mf_broker *b, struct mf_broker_action *ret_action)
{
    struct mf_broker_action action = {0};

    MF_MAGIC(b, MAGIC);
    if (mf_out_row(b, &action.row))
        action.kind = MF_BROKER_APPEND;
    else if (mf_out_close(b, &action.peer))
        action.kind = MF_BROKER_CLOSE;
    else if (mf_out_message(b, &action.peer, &action.message) ||
             mf_orders_next(b, &action.peer, &action.message))
        action.kind = MF_BROKER_SEND;
    else if (mf_stream_next(b, &action))
        ;
    else if (snapshot_due(b))
        action.kind = MF_BROKER_SNAPSHOT;
    else
        return false;
    *ret_action = action;
    return true;
}

mf_ms mf_broker_deadline(const struct mf_broker *b)
{
    const struct mf_timer *timer = mf_heap_first(&b->alarms);

    return timer ? timer->when : INT64_MAX;
}

/* ------------------------------------------------------------------ looking in */

uint64_t mf_broker_seq(const struct mf_broker *b)
{
    return b->seq;
}

uint64_t mf_broker_committed(const struct mf_broker *b)
{
    return b->committed;
}

uint64_t mf_broker_term(const struct mf_broker *b)
{
    return b->term;
}

bool mf_broker_next_instance(const struct mf_broker *b, size_t *cursor,
                             struct mf_broker_instance_view *ret_view)
{
    const struct mf_instance *inst;

    if (!mf_map_next(b->instances, cursor, (void **)&inst))
        return false;
    MF_CHECK(inst->node || !mf_instance_runs(inst));
    *ret_view =
        (struct mf_broker_instance_view){.id = inst->id,
                                         .group_id = mf_group_of(inst)->id,
                                         .group = mf_group_of(inst)->name,
                                         .node = inst->node ? inst->node->name : (struct mf_str){NULL, 0},
                                         .slot = inst->slot->index,
                                         .generation = inst->generation,
                                         .epoch = mf_instance_runs(inst) ? inst->node->epoch : inst->epoch,
                                         .state = inst->state,
                                         .current = inst->current};
    return true;
}
