/* test_broker_replay.c - random histories: what lived through its log, what replayed it, and what loaded a
 * snapshot and the tail are the same; a crash between any two rows is carried on from; and once faults stop
 * every slot runs and nothing else does. Seeds are printed. */
#include "broker_stage.h"
#include "check.h"
#include "describe.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { NODES = 4, GUESTS = 64, STEPS = 400 };
static const char *const groups[] = {"web", "db", "app"};

struct host { /* a worker's hypervisor: what really is there */
    struct mf_rec_guest guests[GUESTS];
    uint32_t n;
    bool connected;
    uint64_t made_by[GUESTS]; /* the order of each guest */
    uint64_t over[GUESTS]; /* orders that failed or whose guest died: a worker does not carry one out twice */
    uint32_t n_over;
};
struct world {
    struct stage s;
    struct mf_random random;
    struct host hosts[NODES];
    struct stage_record *records; /* a snapshot */
    size_t n_records, snapshot_rows;
};

static bool chance(struct world *w, unsigned percent)
{
    return mf_random_below(&w->random, 100) < percent;
}

static struct mf_rec_guest *guest_of(struct host *host, struct mf_uuid id)
{
    for (uint32_t i = 0; i < host->n; i++)
        if (mf_uuid_eq(host->guests[i].id, id))
            return &host->guests[i];
    return NULL;
}

static bool is_over(const struct host *host, uint64_t order_id)
{
    for (uint32_t i = 0; i < GUESTS && i < host->n_over; i++)
        if (host->over[i] == order_id)
            return true;
    return false;
}

static void guest_gone(struct host *host, struct mf_rec_guest *guest)
{
    host->over[host->n_over++ % GUESTS] = host->made_by[guest - host->guests];
    host->made_by[guest - host->guests] = host->made_by[host->n - 1];
    *guest = host->guests[--host->n];
}

static void say_hello(struct world *w, int node)
{
    w->hosts[node].connected = true;
    stage_hello(&w->s, node, w->hosts[node].guests, w->hosts[node].n);
}

static void tell_inventory(struct world *w, int node, uint64_t ask_id)
{
    struct mf_message m = {.kind = MF_MSG_INVENTORY,
                           .inventory = {.ask_id = ask_id, .epoch = w->s.epoch[node]}};

    m.inventory.guests.items = w->hosts[node].guests;
    m.inventory.guests.n = w->hosts[node].n;
    stage_worker(&w->s, node, m);
}

enum { NAME_BYTES = 32, NAMES = 65536 }; /* more than there ever are at once */
static char *new_name(void)
{
    static char names[NAMES][NAME_BYTES];
    static size_t next;

    return names[next++ % NAMES];
}

static struct mf_rec_guest guest_made(const struct mf_msg_order_create *order)
{
    char *name = new_name();

    snprintf(name, NAME_BYTES, "%.*s/%u#%u", (int)order->group.len, order->group.ptr, (unsigned)order->slot,
             (unsigned)order->generation);
    return (struct mf_rec_guest){.id = order->id, .state = MF_GUEST_STATE_RUNNING, .name = mf_str(name)};
}

/* Every order that left is carried out, fails, or is lost on the way. */
static void work(struct world *w, bool faults)
{
    for (size_t i = 0; i < w->s.n_sent; i++) {
        struct mf_message order = w->s.sent[i].message;
        int node = stage_node_of(&w->s, w->s.sent[i].peer);
        if (node < 0)
            continue;
        struct host *host = &w->hosts[node];
        if (order.kind == MF_MSG_HELLO_AGAIN) {
            say_hello(w, node);
            continue;
        }
        if (order.kind == MF_MSG_INVENTORY_ASK && order.inventory_ask.epoch == w->s.epoch[node]) {
            tell_inventory(w, node, order.inventory_ask.ask_id);
            continue;
        }
        if (order.kind != MF_MSG_ORDER_CREATE && order.kind != MF_MSG_ORDER_DESTROY)
            continue;
        uint64_t epoch = order.order_create.epoch;
        if (!host->connected || epoch != w->s.epoch[node] || (faults && chance(w, 15)))
            continue;
        if (order.kind == MF_MSG_ORDER_CREATE) {
            if (is_over(host, order.order_create.order_id))
                continue;
            if (faults && chance(w, 10) && !guest_of(host, order.order_create.id)) {
                host->over[host->n_over++ % GUESTS] = order.order_create.order_id;
                stage_answer(&w->s, node, &order, "driver");
                continue;
            }
            if (!guest_of(host, order.order_create.id)) {
                assert_true(host->n < GUESTS);
                host->made_by[host->n] = order.order_create.order_id;
                host->guests[host->n++] = guest_made(&order.order_create);
            }
        } else if (guest_of(host, order.order_destroy.id)) {
            guest_gone(host, guest_of(host, order.order_destroy.id));
        }
        if (!faults || chance(w, 85))
            stage_answer(&w->s, node, &order, "ok");
        if (faults && chance(w, 10))
            stage_answer(&w->s, node, &order, "ok");
    }
    stage_forget_sent(&w->s);
}

static void record(void *arg, const char *id, struct mf_str data)
{
    struct world *w = arg;
    struct stage_record *r;

    w->records = realloc(w->records, (w->n_records + 1) * sizeof(*w->records));
    r = &w->records[w->n_records++];
    *r = (struct stage_record){0};
    snprintf(r->id, sizeof(r->id), "%s", id);
    mf_buf_append(&r->data, data.ptr, data.len);
}

static void forget_snapshot(struct world *w)
{
    while (w->n_records)
        mf_buf_free(&w->records[--w->n_records].data);
    free(w->records);
    w->records = NULL;
}

static void take_snapshot(struct world *w)
{
    forget_snapshot(w);
    assert_int_equal(mf_broker_snapshot(w->s.b, record, w), mf_broker_seq(w->s.b));
    w->snapshot_rows = w->s.n_rows;
}

static void same(struct world *w, struct mf_broker *other)
{
    struct mf_buf a = {0}, c = {0};

    mf_describe_fold(w->s.b, &a);
    mf_describe_fold(other, &c);
    mf_buf_append(&a, "", 1);
    mf_buf_append(&c, "", 1);
    if (strcmp(a.ptr, c.ptr) != 0)
        fprintf(stderr, "---- lived:\n%s---- loaded:\n%s", a.ptr, c.ptr);
    assert_string_equal(a.ptr, c.ptr);
    mf_buf_free(&a);
    mf_buf_free(&c);
    mf_broker_destroy(&other);
}

static void compare(struct world *w)
{
    same(w, stage_load(&w->s, NULL, 0, 0));
    if (w->n_records)
        same(w, stage_load(&w->s, w->records, w->n_records, w->snapshot_rows));
}

/* What was committed stays; of what was handed out after it, the store may have some. */
static void crash(struct world *w)
{
    size_t committed = mf_broker_committed(w->s.b);
    size_t keep = committed + mf_random_below(&w->random, w->s.n_rows - committed + 1);

    if (keep < w->snapshot_rows)
        forget_snapshot(w);
    if (!w->n_records)
        w->snapshot_rows = 0;
    w->s.hold = false;
    stage_restart(&w->s, keep);
    stage_forget_sent(&w->s);
    for (int i = 0; i < NODES; i++)
        if (w->hosts[i].connected)
            say_hello(w, i);
}

/* ------------------------------------------------------------------ monitors and operators */

enum { MONITORS = 3 };

static void monitors_hello(struct world *w)
{
    for (int i = 0; i < MONITORS; i++)
        stage_monitor_as(&w->s, i,
                         (struct mf_message){.kind = MF_MSG_MONITOR_HELLO,
                                             .monitor_hello = {.pulse_address = mf_str("127.0.0.1:7000")}});
}

static void monitors_alive(struct world *w, bool suspended)
{
    for (int i = 0; i < MONITORS; i++)
        stage_monitor_as(&w->s, i,
                         (struct mf_message){.kind = MF_MSG_MONITOR_ALIVE,
                                             .monitor_alive = {.suspended = suspended && chance(w, 50)}});
}

static void freeze(struct world *w, bool on)
{
    char id[32];

    snprintf(id, sizeof(id), "f%llu", (unsigned long long)++w->s.next_request);
    if (on)
        stage_client(&w->s, (struct mf_message){.kind = MF_MSG_FREEZE, .freeze = {.request_id = mf_str(id)}});
    else
        stage_client(&w->s, (struct mf_message){.kind = MF_MSG_THAW, .thaw = {.request_id = mf_str(id)}});
}

static void forget_monitor(struct world *w)
{
    char id[32];

    snprintf(id, sizeof(id), "m%llu", (unsigned long long)++w->s.next_request);
    stage_client(&w->s, (struct mf_message){
                            .kind = MF_MSG_MONITOR_FORGET,
                            .monitor_forget = {.request_id = mf_str(id), .monitor = mf_str("health-1")}});
}

/* They see what they like, each for itself. */
static void vote(struct world *w, int node, enum mf_verdict verdict)
{
    static const enum mf_evidence evidence[] = {MF_EVIDENCE_SILENCE, MF_EVIDENCE_CLOSED,
                                                MF_EVIDENCE_AGENT_DEAD};

    for (int i = 0; i < MONITORS; i++)
        if (w->s.epoch[node] && chance(w, 70))
            stage_vote(&w->s, i, node, verdict, evidence[mf_random_below(&w->random, 3)]);
}

static void trouble(struct world *w)
{
    switch (mf_random_below(&w->random, 5)) {
    case 0:
        monitors_hello(w);
        return;
    case 1:
        monitors_alive(w, true);
        return;
    case 2:
        freeze(w, true);
        return;
    case 3:
        freeze(w, false);
        return;
    default:
        forget_monitor(w);
    }
}

/* ------------------------------------------------------------------ what is asked, what goes wrong */

/* Of the groups, db is at-most. */
static void provision(struct world *w, const char *group)
{
    struct mf_message message = stage_provision_message(&w->s, group, 1 + mf_random_below(&w->random, 6));

    message.provision.policy = strcmp(group, "db") == 0 ? MF_POLICY_AT_MOST : MF_POLICY_AT_LEAST;
    message.provision.min = chance(w, 50) ? 1 : 0;
    if (chance(w, 30))
        message.provision.image = mf_str("extra"); /* if it is there */
    stage_client(&w->s, message);
}

static void drain(struct world *w, int node, bool on)
{
    char id[32], name[16];

    snprintf(name, sizeof(name), "node-%d", node);
    snprintf(id, sizeof(id), "n%llu", (unsigned long long)++w->s.next_request);
    if (on)
        stage_client(&w->s,
                     (struct mf_message){.kind = MF_MSG_NODE_DRAIN,
                                         .node_drain = {.request_id = mf_str(id), .node = mf_str(name)}});
    else
        stage_client(&w->s,
                     (struct mf_message){.kind = MF_MSG_NODE_UNCORDON,
                                         .node_uncordon = {.request_id = mf_str(id), .node = mf_str(name)}});
}

static void word(struct world *w, enum mf_kind kind, int node)
{
    char name[16];

    snprintf(name, sizeof(name), "node-%d", node);
    stage_operator(&w->s, kind, name);
}

/* About a domain that nobody knows, if there is one. */
static void stranger(struct world *w, enum mf_kind kind, int node)
{
    char id[32], name[16];
    const struct mf_node *n;
    struct mf_message message = {.kind = kind};

    snprintf(name, sizeof(name), "node-%d", node);
    snprintf(id, sizeof(id), "u%llu", (unsigned long long)++w->s.next_request);
    n = mf_node_find(w->s.b, mf_str(name));
    if (!n || !n->strangers)
        return;
    message.purge =
        (struct mf_msg_purge){.request_id = mf_str(id), .node = mf_str(name), .id = n->strangers->id};
    stage_client(&w->s, message); /* the bodies of adopt and purge are alike */
}

static void manage(struct world *w)
{
    static const enum mf_kind kinds[] = {MF_MSG_NODE_CORDON, MF_MSG_NODE_UNCORDON, MF_MSG_NODE_FORGET};
    int node = (int)mf_random_below(&w->random, NODES);

    if (chance(w, 30))
        stranger(w, chance(w, 50) ? MF_MSG_ADOPT : MF_MSG_PURGE, node);
    else
        word(w, kinds[mf_random_below(&w->random, 3)], node);
}

/* Somebody starts a domain of a name like ours. */
static void intrude(struct world *w, struct host *host)
{
    char *name = new_name();

    if (host->n >= GUESTS / 2)
        return;
    snprintf(name, NAME_BYTES, "%s/%u#%u", groups[mf_random_below(&w->random, 3)],
             (unsigned)mf_random_below(&w->random, 6), (unsigned)mf_random_below(&w->random, 20) + 1);
    host->made_by[host->n] = 0;
    host->guests[host->n++] = (struct mf_rec_guest){
        .id = mf_uuid_make(&w->random, w->s.now), .state = MF_GUEST_STATE_RUNNING, .name = mf_str(name)};
}

/* An alive, with what it has as it is. */
static void say_alive(struct world *w, int node)
{
    const struct host *host = &w->hosts[node];
    struct mf_message m = {.kind = MF_MSG_WORKER_ALIVE,
                           .worker_alive = {.epoch = w->s.epoch[node], .has = 12, .guests = host->n}};

    for (uint32_t i = 0; i < host->n; i++)
        m.worker_alive.digest ^= mf_guest_digest(host->guests[i].id);
    m.worker_alive.running = host->n;
    if (host->connected && w->s.epoch[node])
        stage_worker(&w->s, node, m);
}

static void ask(struct world *w)
{
    const char *group = groups[mf_random_below(&w->random, 3)];
    char target[32];

    switch (mf_random_below(&w->random, 6)) {
    case 4:
        manage(w);
        return;
    case 0:
        provision(w, group);
        return;
    case 3:
        drain(w, (int)mf_random_below(&w->random, NODES), chance(w, 50));
        return;
    case 1:
        stage_scale(&w->s, group, mf_random_below(&w->random, 7));
        return;
    case 2:
        snprintf(target, sizeof(target), "%s/%u", group, (unsigned)mf_random_below(&w->random, 6));
        stage_destroy(&w->s, target);
        return;
    default:
        if (chance(w, 30))
            stage_destroy(&w->s, group);
    }
}

/* Its worker wants to be drained, or ends and has killed its guests. */
static void leave(struct world *w, int node, bool dead)
{
    struct host *host = &w->hosts[node];

    if (dead)
        host->n = 0;
    stage_worker(
        &w->s, node,
        (struct mf_message){.kind = MF_MSG_LEAVING,
                            .leaving = {.epoch = w->s.epoch[node], .guests_dead = dead, .drain = !dead}});
    if (!dead)
        return;
    stage_gone(&w->s, w->s.worker[node]);
    host->connected = false;
}

/* An image that is fetched comes and goes, is kept warm or not, and is held by nodes or not. */
static void stock(struct world *w, int node)
{
    struct mf_rec_image image = {.name = mf_str("extra"),
                                 .disk = mf_str("http://h/d"),
                                 .disk_sha256 = {{5}},
                                 .disk_format = MF_DISK_FORMAT_RAW};
    char id[32];

    snprintf(id, sizeof(id), "i%llu", (unsigned long long)++w->s.next_request);
    if (chance(w, 30) && w->s.worker[node] && w->s.epoch[node])
        stage_worker(
            &w->s, node,
            (struct mf_message){.kind = MF_MSG_FILE_PROGRESS,
                                .file_progress = {.epoch = w->s.epoch[node],
                                                  .sha256 = image.disk_sha256,
                                                  .state = 1 + (unsigned)mf_random_below(&w->random, 4)}});
    else if (chance(w, 40))
        stage_client(&w->s, (struct mf_message){.kind = MF_MSG_IMAGE_ADD,
                                                .image_add = {.request_id = mf_str(id), .image = image}});
    else if (chance(w, 60))
        stage_client(
            &w->s, (struct mf_message){
                       .kind = MF_MSG_IMAGE_WARM,
                       .image_warm = {.request_id = mf_str(id), .image = image.name, .stop = chance(w, 50)}});
    else
        stage_client(&w->s,
                     (struct mf_message){.kind = MF_MSG_IMAGE_REMOVE,
                                         .image_remove = {.request_id = mf_str(id), .image = image.name}});
}

static void fault(struct world *w)
{
    int node = (int)mf_random_below(&w->random, NODES);
    struct host *host = &w->hosts[node];

    switch (mf_random_below(&w->random, 15)) {
    case 14:
        stock(w, node);
        return;
    case 13:
        if (host->connected && w->s.epoch[node])
            leave(w, node, chance(w, 50));
        return;
    case 12:
        if (chance(w, 30))
            intrude(w, host);
        return;
    case 11:
    case 10:
        for (int i = 0; i < 3; i++)
            say_alive(w, node);
        return;
    case 8:
        if (w->s.worker[node] && w->s.epoch[node])
            stage_worker(&w->s, node,
                         (struct mf_message){.kind = MF_MSG_LEASE_ASK,
                                             .lease_ask = {.epoch = w->s.epoch[node], .ask_id = 2}});
        return;
    case 0:
        if (host->n) { /* a guest dies; its report may be lost, then the next hello tells */
            struct mf_uuid id = host->guests[0].id;
            guest_gone(host, &host->guests[0]);
            if (host->connected && w->s.epoch[node] && chance(w, 70))
                stage_death(&w->s, node, id);
        }
        return;
    case 1:
        vote(w, node, chance(w, 50) ? MF_VERDICT_SUSPECT : MF_VERDICT_RECOVERED);
        return;
    case 2:
        vote(w, node, MF_VERDICT_FAILED);
        return;
    case 7:
        trouble(w);
        return;
    case 3:
        if (host->connected)
            stage_gone(&w->s, w->s.worker[node]);
        host->connected = false;
        return;
    case 4:
        if (chance(w, 30)) /* its host boots again */
            host->n = 0;
        say_hello(w, node);
        return;
    case 5:
        say_hello(w, node);
        return;
    case 6:
        stage_pass(&w->s, (mf_ms)mf_random_below(&w->random, 20000));
        return;
    default:
        if (!chance(w, 40))
            return;
        crash(w);
        monitors_hello(w);
    }
}

static void calm(struct world *w)
{
    w->s.hold = false;
    stage_feed(&w->s, (struct mf_broker_event){.kind = MF_BROKER_TICK});
    for (int i = 0; i < NODES; i++)
        drain(w, i, false);
    freeze(w, false);
    for (int i = 0; i < NODES; i++)
        say_hello(w, i);
    for (int round = 0; round < 40; round++) {
        while (w->s.n_sent)
            work(w, false);
        for (int i = 0; i < 4 * NODES; i++)
            say_alive(w, i % NODES);
        stranger(w, MF_MSG_PURGE, round % NODES);
        stage_pass(&w->s, 10000);
    }
}

/* Every row that names a guest, for whoever has to find out why it is where it should not be. */
static void tell_story(struct world *w, struct mf_uuid id)
{
    for (size_t i = 0; i < w->s.n_rows; i++) {
        const struct mf_broker_row *row = &w->s.rows[i].row;
        if (memmem(row->data.ptr, row->data.len, id.bytes, 16))
            fprintf(stderr, "%lld %llu <- %llu %s %.*s\n", (long long)row->time_ms,
                    (unsigned long long)row->seq, (unsigned long long)row->cause,
                    mf_kind_desc(row->kind)->wire, (int)row->subject.len, row->subject.ptr);
    }
}

static void check_known(struct world *w)
{
    for (int i = 0; i < NODES; i++)
        for (uint32_t g = 0; g < w->hosts[i].n; g++)
            if (!mf_instance_find(w->s.b, w->hosts[i].guests[g].id)) {
                tell_story(w, w->hosts[i].guests[g].id);
                fail_msg("node-%d has a guest that the broker does not know", i);
            }
}

/* I8, I7: every slot runs, and what the hosts have is what the broker holds. */
static void check_calm(struct world *w)
{
    struct mf_broker_instance_view view;
    size_t cursor = 0, there = 0, running = 0, wanted = 0;

    while (mf_broker_next_instance(w->s.b, &cursor, &view)) {
        assert_true(view.state == MF_INSTANCE_STATE_RUNNING || view.state == MF_INSTANCE_STATE_PENDING);
        if (view.state != MF_INSTANCE_STATE_RUNNING)
            continue;
        running++;
        assert_non_null(guest_of(&w->hosts[view.node.ptr[5] - '0'], view.id));
    }
    for (int i = 0; i < NODES; i++)
        there += w->hosts[i].n;
    for (size_t i = 0; i < w->s.b->groups.n; i++)
        wanted += ((struct mf_group *)w->s.b->groups.items[i])->desired;
    check_known(w);
    assert_int_equal(there, running);
    assert_int_equal(running, wanted < NODES * 4 ? wanted : NODES * 4);
}

static void history(uint64_t seed)
{
    struct world w = {0};

    fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
    mf_random_seed(&w.random, seed);
    stage_open(&w.s);
    stage_breaker(&w.s, seed % 2 ? NODES : 0);
    monitors_hello(&w);
    for (int i = 0; i < NODES; i++)
        say_hello(&w, i);
    for (int step = 0; step < STEPS; step++) {
        w.s.now += (mf_ms)mf_random_below(&w.random, 300);
        w.s.trace.len = 0;
        w.s.hold = chance(&w, w.s.hold ? 70 : 20);
        stage_feed(&w.s, (struct mf_broker_event){.kind = MF_BROKER_TICK});
        if (step % 4 == 0)
            monitors_alive(&w, chance(&w, 10));
        if (chance(&w, 30))
            ask(&w);
        else if (chance(&w, 40))
            fault(&w);
        else
            work(&w, true);
        if (chance(&w, 5) && w.s.rows[w.s.n_rows - 1].row.seq == mf_broker_seq(w.s.b))
            take_snapshot(&w);
        if (step % 40 == 0)
            compare(&w);
        if (w.s.n_sent > STAGE_SENT_MAX / 2)
            stage_forget_sent(&w.s);
    }
    calm(&w);
    check_calm(&w);
    compare(&w);
    forget_snapshot(&w);
    stage_close(&w.s);
}

static void test_random_histories(void **state)
{
    const char *seed = getenv("MAYFLY_SEED");

    if (seed) {
        history(strtoull(seed, NULL, 10));
        return;
    }
    for (uint64_t i = 1; i <= 30; i++)
        history(i);
}

static void test_crash_between_any_two_rows(void **state)
{
    struct stage s;
    size_t all;

    /* A story with a failure, a return and a destroy in it... */
    stage_open(&s);
    stage_monitor_hello(&s);
    stage_hello(&s, 0, NULL, 0);
    stage_hello(&s, 1, NULL, 0);
    stage_provision(&s, "web", 3);
    stage_answer_all(&s);
    stage_verdict(&s, 0, MF_VERDICT_FAILED);
    stage_hello(&s, 0, NULL, 0);
    stage_destroy(&s, "web/1");
    stage_answer_all(&s);
    stage_scale(&s, "web", 1);
    stage_destroy(&s, "web");
    stage_answer_all(&s);
    all = s.n_rows;
    /* ... told only up to some row, and carried on from by another reign. */
    for (size_t keep = 0; keep <= all; keep++) {
        struct stage again;
        struct mf_broker_instance_view view;
        size_t cursor = 0, stuck = 0;
        stage_raw(&again);
        for (size_t i = 0; i < keep; i++) {
            char text[256];
            assert_int_equal(mf_broker_load_row(again.b, &s.rows[i].row, text), 0);
        }
        stage_feed(&again, (struct mf_broker_event){.kind = MF_BROKER_START});
        for (int node = 0; node < 2; node++)
            stage_hello(&again, node, NULL, 0);
        for (int i = 0; i < 10; i++) {
            stage_answer_all(&again);
            stage_pass(&again, 1000);
        }
        while (mf_broker_next_instance(again.b, &cursor, &view))
            stuck += view.state != MF_INSTANCE_STATE_RUNNING;
        assert_int_equal(stuck, 0);
        stage_close(&again);
    }
    stage_close(&s);
}

static void test_a_bad_store_is_refused(void **state)
{
    struct stage s;
    struct mf_broker *b;
    struct mf_broker_row row;
    char text[256] = "";

    stage_open(&s);
    stage_provision(&s, "web", 1);
    b = mf_broker_new(&s.config);
    assert_int_equal(mf_broker_load_row(b, &s.rows[1].row, text), -EINVAL); /* a gap */
    assert_non_null(strstr(text, "gap"));
    assert_int_equal(mf_broker_load_row(b, &s.rows[0].row, text), 0);
    row = s.rows[1].row;
    row.cause = 9; /* of the future */
    assert_int_equal(mf_broker_load_row(b, &row, text), -EINVAL);
    row = s.rows[1].row;
    row.data.len--;
    assert_int_equal(mf_broker_load_row(b, &row, text), -EINVAL);
    row = stage_row_of(&s, MF_EV_INSTANCE_CREATED)->row;
    row.seq = 2;
    row.cause = 1;
    assert_int_equal(mf_broker_load_row(b, &row, text), -EINVAL); /* of no group */
    row.kind = MF_KIND_COUNT;
    assert_int_equal(mf_broker_load_row(b, &row, text), -EINVAL);
    assert_int_equal(mf_broker_load_snapshot(b, mf_str("snap_dragon"), mf_str(""), text), -EINVAL);
    mf_broker_destroy(&b);
    stage_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_histories),
        cmocka_unit_test(test_crash_between_any_two_rows),
        cmocka_unit_test(test_a_bad_store_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
