/* test_broker_drift.c - a node's digest against the broker's: differences with nothing under way are found,
 * asked about, healed and counted; and capacity that changes. */
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

struct host { /* what node-0 really has */
    struct mf_rec_guest guests[8];
    uint32_t n;
};

static void put(struct host *host, struct mf_uuid id, enum mf_guest_state state)
{
    host->guests[host->n++] = (struct mf_rec_guest){.id = id, .state = state};
}

static void say_alive(struct stage *s, const struct host *host)
{
    struct mf_message m = {.kind = MF_MSG_WORKER_ALIVE, .worker_alive = {.epoch = s->epoch[0]}};

    for (uint32_t i = 0; i < host->n; i++)
        if (host->guests[i].state == MF_GUEST_STATE_RUNNING) {
            m.worker_alive.digest ^= mf_guest_digest(host->guests[i].id);
            m.worker_alive.running++;
        }
    m.worker_alive.guests = host->n;
    m.worker_alive.has = UINT64_MAX & ~(uint64_t)(1 << 4); /* all but capacity */
    stage_worker(s, 0, m);
}

/* Seconds of a session in which the worker answers what it is asked. */
static void live(struct stage *s, const struct host *host, int seconds)
{
    for (int i = 0; i < seconds; i++) {
        const struct mf_message *ask;
        stage_forget_sent(s);
        say_alive(s, host);
        assert_non_null(stage_last(s, s->worker[0], MF_MSG_ALIVE_ACK));
        ask = stage_last(s, s->worker[0], MF_MSG_INVENTORY_ASK);
        if (ask) {
            struct mf_message m = {.kind = MF_MSG_INVENTORY};
            m.inventory.ask_id = ask->inventory_ask.ask_id;
            m.inventory.epoch = s->epoch[0];
            m.inventory.guests.items = (struct mf_rec_guest *)host->guests;
            m.inventory.guests.n = host->n;
            stage_worker(s, 0, m);
        }
        stage_pass(s, 1000);
    }
}

/* Node 0 with a group web of two that run there. */
static void open_two(struct stage *s, struct host *host)
{
    *host = (struct host){0};
    stage_open(s);
    stage_hello(s, 0, NULL, 0);
    stage_provision(s, "web", 2);
    stage_answer_all(s);
    put(host, stage_current(s, "web", 0)->id, MF_GUEST_STATE_RUNNING);
    put(host, stage_current(s, "web", 1)->id, MF_GUEST_STATE_RUNNING);
}

static uint64_t drifts(struct stage *s)
{
    stage_forget_sent(s);
    stage_client(s, (struct mf_message){.kind = MF_MSG_STATUS, .status = {.request_id = mf_str("t")}});
    return stage_last(s, STAGE_CLIENT, MF_MSG_STATUS_REPLY)->status_reply.drifts;
}

static void test_views_that_agree(void **state)
{
    struct stage s;
    struct host host;

    open_two(&s, &host);
    live(&s, &host, 20);
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_DRIFT), 0);
    assert_int_equal(drifts(&s), 0);
    stage_death(&s, 0, host.guests[0].id);
    host.n = 0; /* told of one death, with a create under way: nothing is asked meanwhile */
    live(&s, &host, 10);
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_DRIFT), 0);
    stage_close(&s);
}

/* A guest that vanished without a word is born again within five seconds. */
static void test_a_guest_that_vanished(void **state)
{
    struct stage s;
    struct host host;

    open_two(&s, &host);
    live(&s, &host, 3);
    host.n = 1;
    live(&s, &host, 4);
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_DRIFT), 1);
    assert_int_equal(stage_count_rows(&s, MF_EV_INSTANCE_DIED), 1);
    assert_int_equal(stage_current(&s, "web", 1)->generation, 2);
    assert_int_equal(stage_current(&s, "web", 1)->slot->failures, 0); /* no fault of its own */
    assert_int_equal(drifts(&s), 1);
    stage_reloads(&s);
    stage_close(&s);
}

/* Of a worker that leaves zeroes away. */
static void test_a_digest_of_nothing(void **state)
{
    struct stage s;
    struct host host;

    open_two(&s, &host);
    live(&s, &host, 1);
    for (int i = 0; i < 3; i++)
        stage_worker(&s, 0,
                     (struct mf_message){.kind = MF_MSG_WORKER_ALIVE, .worker_alive = {.epoch = s.epoch[0]}});
    assert_int_equal(stage_count_sent(&s, MF_MSG_INVENTORY_ASK), 1);
    stage_close(&s);
}

static void test_the_last_guest_that_vanished(void **state)
{
    struct stage s;
    struct host host;

    open_two(&s, &host);
    host.n = 0;
    live(&s, &host, 4);
    assert_int_equal(stage_count_rows(&s, MF_EV_INSTANCE_DIED), 2);
    stage_close(&s);
}

/* One that stopped without a death is cleared away. */
static void test_a_guest_that_stopped(void **state)
{
    struct stage s;
    struct host host;

    open_two(&s, &host);
    host.guests[1].state = MF_GUEST_STATE_STOPPED;
    live(&s, &host, 4);
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_DRIFT), 1);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_DESTROYING), 1);
    stage_reloads(&s);
    stage_close(&s);
}

/* Absence from a list is no proof for an at-most slot: its node must prove it by a destroy. */
static void test_at_most_wants_a_proof(void **state)
{
    struct stage s;
    struct host host = {0};
    struct mf_message m;

    stage_open(&s);
    stage_hello(&s, 0, NULL, 0);
    m = stage_provision_message(&s, "db", 1);
    m.provision.policy = MF_POLICY_AT_MOST;
    stage_client(&s, m);
    stage_answer_all(&s);
    assert_int_equal(stage_current(&s, "db", 0)->state, MF_INSTANCE_STATE_RUNNING);
    live(&s, &host, 4);
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_DRIFT), 1);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_DESTROYING), 1);
    assert_int_equal(stage_current(&s, "db", 0)->state, MF_INSTANCE_STATE_PENDING);
    stage_close(&s);
}

static void test_a_stranger_that_appeared(void **state)
{
    struct stage s;
    struct host host;

    open_two(&s, &host);
    put(&host, (struct mf_uuid){{9}}, MF_GUEST_STATE_RUNNING);
    host.guests[2].name = mf_str("web/7#1");
    live(&s, &host, 4);
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_DRIFT), 1);
    assert_int_equal(stage_count_rows(&s, MF_EV_DOMAIN_UNKNOWN), 1);
    live(&s, &host, 60); /* known now, and part of what is compared */
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_DRIFT), 1);
    host.n--;
    live(&s, &host, 12); /* it left: looked at, and told, without being a drift */
    assert_int_equal(stage_count_rows(&s, MF_EV_DOMAIN_GONE), 1);
    live(&s, &host, 20);
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_DRIFT), 1);
    assert_int_equal(drifts(&s), 1);
    stage_reloads(&s);
    stage_close(&s);
}

/* Under an order a worker may be ahead of its answers. */
static void test_nothing_is_asked_under_an_order(void **state)
{
    struct stage s;
    struct host host;

    open_two(&s, &host);
    stage_scale(&s, "web", 3);
    put(&host, stage_current(&s, "web", 2)->id, MF_GUEST_STATE_RUNNING);
    for (int i = 0; i < 30; i++) {
        stage_forget_sent(&s);
        say_alive(&s, &host);
        assert_null(stage_last(&s, s.worker[0], MF_MSG_INVENTORY_ASK));
        stage_pass(&s, 1000);
    }
    stage_close(&s);
}

/* A guest that cannot be destroyed does not hide another that vanished. */
static void test_a_guest_that_stays(void **state)
{
    struct stage s;
    struct host host;
    struct mf_uuid gone;

    open_two(&s, &host);
    gone = host.guests[0].id;
    stage_destroy(&s, "web/1");
    for (int i = 0; i < 12; i++) { /* its failures come back at once; the retries are ever further apart */
        const struct mf_message *order = stage_last(&s, s.worker[0], MF_MSG_ORDER_DESTROY);
        struct mf_message copy;
        if (order) {
            copy = *order;
            stage_answer(&s, 0, &copy, "driver");
        }
        order = stage_last(&s, s.worker[0], MF_MSG_ORDER_CREATE);
        if (order) {
            copy = *order;
            put(&host, copy.order_create.id, MF_GUEST_STATE_RUNNING);
            stage_answer(&s, 0, &copy, "ok");
        }
        stage_forget_sent(&s);
        stage_pass(&s, 6000);
    }
    host.guests[0] = host.guests[--host.n];
    for (int i = 0; i < 30; i++) {
        const struct mf_message *order = stage_last(&s, s.worker[0], MF_MSG_ORDER_DESTROY);
        struct mf_message copy;
        if (order) {
            copy = *order;
            stage_answer(&s, 0, &copy, "driver");
        }
        live(&s, &host, 1);
    }
    assert_null(mf_instance_find(s.b, gone));
    stage_close(&s);
}

/* A digest that no inventory explains: asked about ever more seldom, and nothing is written. */
static void test_a_digest_of_its_own(void **state)
{
    struct stage s;
    struct host host;
    size_t asks = 0, rows;

    open_two(&s, &host);
    rows = s.n_rows;
    for (int i = 0; i < 600; i++) {
        struct mf_message m = {.kind = MF_MSG_WORKER_ALIVE,
                               .worker_alive = {.epoch = s.epoch[0], .digest = 77, .running = 2}};
        const struct mf_message *ask;
        stage_forget_sent(&s);
        stage_worker(&s, 0, m);
        ask = stage_last(&s, s.worker[0], MF_MSG_INVENTORY_ASK);
        if (ask) {
            struct mf_message answer = {.kind = MF_MSG_INVENTORY};
            asks++;
            answer.inventory.ask_id = ask->inventory_ask.ask_id;
            answer.inventory.epoch = s.epoch[0];
            answer.inventory.guests.items = host.guests;
            answer.inventory.guests.n = host.n;
            stage_worker(&s, 0, answer);
        }
    }
    assert_true(asks > 3 && asks < 20);
    assert_int_equal(s.n_rows, rows);
    stage_close(&s);
}

/* A worker that knows nothing of digests is left in peace. */
static void test_no_digest(void **state)
{
    struct stage s;
    struct host host;

    open_two(&s, &host);
    for (int i = 0; i < 10; i++)
        stage_worker(&s, 0,
                     (struct mf_message){.kind = MF_MSG_WORKER_ALIVE,
                                         .worker_alive = {.epoch = s.epoch[0], .guests = 2}});
    assert_int_equal(stage_count_sent(&s, MF_MSG_INVENTORY_ASK), 0);
    stage_close(&s);
}

/* ------------------------------------------------------------------ capacity */

static void say_capacity(struct stage *s, uint64_t vcpus)
{
    stage_worker(s, 0,
                 (struct mf_message){
                     .kind = MF_MSG_WORKER_ALIVE,
                     .worker_alive = {.epoch = s->epoch[0],
                                      .has = 1 << 4,
                                      .capacity = {.vcpus = vcpus, .memory_mib = 1000, .disk_mib = 10000}}});
}

static void test_capacity(void **state)
{
    struct stage s;
    struct host host;

    open_two(&s, &host);
    say_capacity(&s, 4);
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_CAPACITY), 0);
    say_capacity(&s, 2);
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_CAPACITY), 1);
    stage_scale(&s, "web", 3);
    assert_int_equal(stage_current(&s, "web", 2)->state, MF_INSTANCE_STATE_PENDING);
    say_capacity(&s, 1); /* foreign domains took what was claimed: nobody is evicted */
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 2);
    stage_reloads(&s);
    say_capacity(&s, 3);
    assert_int_equal(stage_current(&s, "web", 2)->state, MF_INSTANCE_STATE_PLACED);
    stage_reloads(&s);
    stage_close(&s);
}

static void test_capacity_that_flickers(void **state)
{
    struct stage s;
    struct host host;

    open_two(&s, &host);
    for (uint64_t i = 0; i < 1000; i++)
        say_capacity(&s, 2 + i % 2);
    assert_true(stage_count_rows(&s, MF_EV_NODE_CAPACITY) < 20);
    stage_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_views_that_agree),
        cmocka_unit_test(test_a_guest_that_vanished),
        cmocka_unit_test(test_the_last_guest_that_vanished),
        cmocka_unit_test(test_a_digest_of_nothing),
        cmocka_unit_test(test_a_guest_that_stopped),
        cmocka_unit_test(test_at_most_wants_a_proof),
        cmocka_unit_test(test_a_stranger_that_appeared),
        cmocka_unit_test(test_nothing_is_asked_under_an_order),
        cmocka_unit_test(test_a_guest_that_stays),
        cmocka_unit_test(test_a_digest_of_its_own),
        cmocka_unit_test(test_no_digest),
        cmocka_unit_test(test_capacity),
        cmocka_unit_test(test_capacity_that_flickers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
