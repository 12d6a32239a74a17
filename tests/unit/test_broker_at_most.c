/* test_broker_at_most.c - any order of events: three hypervisors with their keepers, cut off, restarted,
 * drained and lied about at random, and I3 asked of the hypervisors themselves after every step. Seeds are
 * printed. */
#include "broker_stage.h"
#include "check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { LEASE = 10000 };
enum { HOSTS = 3, SLOTS = 3, GUESTS_MAX = 32, ROUNDS = 1500 };
struct guest {
    struct mf_uuid id;
    uint64_t slot;
};
struct host { /* a hypervisor, its keeper's lease included */
    struct guest guests[GUESTS_MAX];
    uint32_t n;
    bool connected, cut; /* cut: what is sent either way is lost, and nobody is told */
    mf_ms leased_until, asked_at;
};
struct world {
    struct stage s;
    struct mf_random random;
    struct host hosts[HOSTS];
    size_t fences, successors;
};

static bool chance(struct world *w, unsigned percent)
{
    return mf_random_below(&w->random, 100) < percent;
}

static void check_i3(const struct world *w)
{
    for (uint64_t slot = 0; slot < SLOTS; slot++) {
        int running = 0;
        for (int i = 0; i < HOSTS; i++)
            for (uint32_t g = 0; g < w->hosts[i].n; g++)
                running += w->hosts[i].guests[g].slot == slot;
        if (running > 1)
            fail_msg("%d guests of slot %llu run at %lld", running, (unsigned long long)slot,
                     (long long)w->s.now);
    }
}

static struct guest *guest_of(struct host *host, struct mf_uuid id)
{
    for (uint32_t i = 0; i < host->n; i++)
        if (mf_uuid_eq(host->guests[i].id, id))
            return &host->guests[i];
    return NULL;
}

/* What the keeper does without anybody: its clock is up to 1 % slow. */
static void fence(struct world *w)
{
    for (int i = 0; i < HOSTS; i++)
        if (w->hosts[i].n && w->s.now >= w->hosts[i].leased_until + LEASE / 100) {
            w->fences += w->hosts[i].n;
            w->hosts[i].n = 0;
        }
}

static void say_hello(struct world *w, int node)
{
    struct mf_rec_guest guests[GUESTS_MAX];
    struct host *host = &w->hosts[node];

    for (uint32_t i = 0; i < host->n; i++)
        guests[i] = (struct mf_rec_guest){.id = host->guests[i].id, .state = MF_GUEST_STATE_RUNNING};
    host->connected = true;
    host->cut = false;
    stage_hello(&w->s, node, guests, chance(w, 90) ? host->n : 0); /* a list may lie by leaving out */
}

static void renew(struct world *w, int node)
{
    struct host *host = &w->hosts[node];
    const struct mf_message *grant;
    size_t before = w->s.n_sent;

    host->asked_at = w->s.now;
    if (chance(w, 20)) /* it takes a while on the way */
        stage_pass(&w->s, (mf_ms)mf_random_below(&w->random, 300));
    if (!host->connected || host->cut)
        return;
    stage_ask_lease(&w->s, node);
    grant = stage_last(&w->s, w->s.worker[node], MF_MSG_LEASE_GRANT);
    if (w->s.n_sent > before && grant && grant->lease_grant.ask_id == w->s.next_report && chance(w, 80))
        host->leased_until = host->asked_at + LEASE;
}

static void create(struct world *w, int node, const struct mf_message *order)
{
    struct host *host = &w->hosts[node];

    if (guest_of(host, order->order_create.id))
        return;
    renew(w, node); /* a lease asked for after the order came */
    fence(w);
    if (w->s.now >= host->leased_until || host->leased_until != host->asked_at + LEASE)
        return;
    assert_true(host->n < GUESTS_MAX);
    host->guests[host->n++] = (struct guest){.id = order->order_create.id, .slot = order->order_create.slot};
    w->successors += order->order_create.generation > 1;
    check_i3(w);
}

static void destroy(struct host *host, struct mf_uuid id)
{
    struct guest *guest = guest_of(host, id);

    if (guest)
        *guest = host->guests[--host->n];
}

static void work(struct world *w)
{
    size_t n = w->s.n_sent;

    for (size_t i = 0; i < n; i++) {
        struct mf_message order = w->s.sent[i].message;
        int node = stage_node_of(&w->s, w->s.sent[i].peer);
        struct host *host = node >= 0 ? &w->hosts[node] : NULL;
        if (!host || !host->connected || host->cut || chance(w, 10))
            continue;
        if (order.kind == MF_MSG_HELLO_AGAIN) {
            say_hello(w, node);
            continue;
        }
        if (order.kind != MF_MSG_ORDER_CREATE && order.kind != MF_MSG_ORDER_DESTROY)
            continue;
        if (order.order_create.epoch != w->s.epoch[node])
            continue;
        if (order.kind == MF_MSG_ORDER_CREATE)
            create(w, node, &order);
        else
            destroy(host, order.order_destroy.id);
        if (order.kind == MF_MSG_ORDER_DESTROY || guest_of(host, order.order_create.id))
            stage_answer(&w->s, node, &order, "ok");
    }
    stage_forget_sent(&w->s);
}

static void restart(struct world *w)
{
    w->s.hold = false;
    stage_restart(&w->s, w->s.n_rows);
    stage_forget_sent(&w->s);
    stage_monitor_hello(&w->s);
    for (int i = 0; i < HOSTS; i++)
        if (w->hosts[i].connected && !w->hosts[i].cut && chance(w, 70))
            say_hello(w, i);
        else
            w->hosts[i].connected = false;
}

static void drain(struct world *w, int node, bool on)
{
    char id[32], name[16];
    struct mf_message message = {.kind = on ? MF_MSG_NODE_DRAIN : MF_MSG_NODE_UNCORDON};

    snprintf(name, sizeof(name), "node-%d", node);
    snprintf(id, sizeof(id), "n%llu", (unsigned long long)++w->s.next_request);
    if (on)
        message.node_drain = (struct mf_msg_node_drain){.request_id = mf_str(id), .node = mf_str(name)};
    else
        message.node_uncordon = (struct mf_msg_node_uncordon){.request_id = mf_str(id), .node = mf_str(name)};
    stage_client(&w->s, message);
}

static void trouble(struct world *w)
{
    int node = (int)mf_random_below(&w->random, HOSTS);
    struct host *host = &w->hosts[node];

    switch (mf_random_below(&w->random, 9)) {
    case 0:
        host->cut = true;
        return;
    case 7:
        drain(w, node, chance(w, 30));
        return;
    case 1:
        if (host->connected)
            stage_gone(&w->s, w->s.worker[node]);
        host->connected = false;
        return;
    case 2:
        stage_monitor(&w->s, (struct mf_message){.kind = MF_MSG_MONITOR_ALIVE});
        if (w->s.epoch[node] && (host->cut || !host->connected || chance(w, 20)))
            stage_verdict(&w->s, node, MF_VERDICT_FAILED);
        return;
    case 3:
    case 4:
        say_hello(w, node);
        return;
    case 5:
        if (chance(w, 30))
            restart(w);
        return;
    case 6:
        stage_destroy(&w->s, chance(w, 50) ? "db/0" : "db/1");
        return;
    default:
        if (host->n && host->connected && !host->cut && w->s.epoch[node]) {
            struct mf_uuid id = host->guests[0].id;
            destroy(host, id);
            stage_death(&w->s, node, id);
        }
    }
}

static void any_order(uint64_t seed, size_t *successors, size_t *fences)
{
    struct world w = {0};

    fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
    mf_random_seed(&w.random, seed);
    stage_open(&w.s);
    stage_monitor_hello(&w.s);
    for (int i = 0; i < HOSTS; i++)
        say_hello(&w, i);
    stage_provision_at_most(&w.s, "db", SLOTS);
    for (int round = 0; round < ROUNDS; round++) {
        w.s.trace.len = 0;
        stage_pass(&w.s, (mf_ms)mf_random_below(&w.random, 1500));
        fence(&w);
        if (chance(&w, 60))
            for (int i = 0; i < HOSTS; i++)
                renew(&w, i);
        if (chance(&w, 15))
            trouble(&w);
        work(&w);
        check_i3(&w);
    }
    *successors += w.successors;
    *fences += w.fences;
    stage_close(&w.s);
}

static void test_any_order_of_events(void **state)
{
    const char *seed = getenv("MAYFLY_SEED");
    size_t successors = 0, fences = 0;

    if (seed)
        any_order(strtoull(seed, NULL, 10), &successors, &fences);
    for (uint64_t i = 1; i <= 12 && !seed; i++)
        any_order(i, &successors, &fences);
    assert_true(seed || (successors > 20 && fences > 20)); /* else nothing was tried */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_order_of_events),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
