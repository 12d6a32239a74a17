/* test_broker_domains.c - domains on a node that nobody knows: told once, listed, adopted, purged; and the
 * slots that they claim. */
#include "broker_stage.h"
#include "check.h"
#include "pooled.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const struct mf_uuid nine = {{9}}, eight = {{8}};

static struct mf_rec_guest guest(struct mf_uuid id, const char *name)
{
    return (struct mf_rec_guest){.id = id, .state = MF_GUEST_STATE_RUNNING, .name = mf_str(name)};
}

/* One node with a stranger of this name, and a group web of one that waits because of it, or runs. */
static void open_with(struct stage *s, const char *name)
{
    struct mf_rec_guest guests[] = {guest(nine, name)};

    stage_open(s);
    stage_hello(s, 0, guests, 1);
    stage_provision(s, "web", 1);
}

static void word(struct stage *s, enum mf_kind kind, const char *node, struct mf_uuid id)
{
    struct mf_message message = {.kind = kind};
    char request[32];

    stage_forget_sent(s);
    snprintf(request, sizeof(request), "u%llu", (unsigned long long)++s->next_request);
    if (kind == MF_MSG_ADOPT)
        message.adopt = (struct mf_msg_adopt){.request_id = mf_str(request), .node = mf_str(node), .id = id};
    else
        message.purge = (struct mf_msg_purge){.request_id = mf_str(request), .node = mf_str(node), .id = id};
    stage_client(s, message);
}

static bool refused(const struct stage *s, const char *code)
{
    const struct mf_message *m = stage_last(s, STAGE_CLIENT, MF_MSG_ERROR);

    return m && mf_str_is(m->error.code, code);
}

static const struct mf_message *list(struct stage *s)
{
    stage_forget_sent(s);
    stage_client(
        s, (struct mf_message){.kind = MF_MSG_LIST_DOMAINS, .list_domains = {.request_id = mf_str("l")}});
    return stage_last(s, STAGE_CLIENT, MF_MSG_DOMAINS);
}

static const struct mf_message *status(struct stage *s)
{
    stage_forget_sent(s);
    stage_client(s, (struct mf_message){.kind = MF_MSG_STATUS, .status = {.request_id = mf_str("t")}});
    return stage_last(s, STAGE_CLIENT, MF_MSG_STATUS_REPLY);
}

/* The node answers the inventory that it was asked for. */
static void tell_inventory(struct stage *s, const struct mf_rec_guest *guests, uint32_t n)
{
    const struct mf_message *ask = stage_last(s, s->worker[0], MF_MSG_INVENTORY_ASK);
    struct mf_message m = {.kind = MF_MSG_INVENTORY};

    assert_non_null(ask);
    m.inventory.ask_id = ask->inventory_ask.ask_id;
    m.inventory.epoch = s->epoch[0];
    m.inventory.guests.items = (struct mf_rec_guest *)guests;
    m.inventory.guests.n = n;
    stage_worker(s, 0, m);
}

static enum mf_instance_state web0(const struct stage *s)
{
    return stage_current(s, "web", 0)->state;
}

static void test_told_once_and_listed(void **state)
{
    struct stage s;
    struct mf_rec_guest guests[] = {guest(nine, "default/web/0#7"), guest(eight, "other")};

    open_with(&s, "default/web/0#7");
    stage_hello(&s, 0, guests, 2);
    stage_hello(&s, 0, guests, 2);
    assert_int_equal(stage_count_rows(&s, MF_EV_DOMAIN_UNKNOWN), 2);
    stage_restart(&s, s.n_rows); /* it is known before the node is back */
    const struct mf_message *m = list(&s);
    assert_int_equal(m->domains.rows.n, 2);
    assert_false(m->domains.more);
    assert_true(mf_str_is(m->domains.rows.items[0].node, "node-0"));
    assert_true(mf_uuid_eq(m->domains.rows.items[0].id, nine));
    assert_true(mf_str_is(m->domains.rows.items[0].name, "default/web/0#7"));
    assert_true(m->domains.rows.items[0].claims && !m->domains.rows.items[1].claims);
    assert_int_equal(status(&s)->status_reply.unknown_domains, 2);
    stage_hello(&s, 0, guests, 2);
    assert_int_equal(stage_count_rows(&s, MF_EV_DOMAIN_UNKNOWN), 2);
    stage_reloads(&s);
    stage_hello(&s, 0, guests + 1, 1); /* one has gone by itself */
    assert_int_equal(stage_count_rows(&s, MF_EV_DOMAIN_GONE), 1);
    assert_int_equal(list(&s)->domains.rows.n, 1);
    assert_int_equal(web0(&s), MF_INSTANCE_STATE_PLACED);
    stage_reloads(&s);
    stage_close(&s);
}

/* A hypervisor that lost a domain still has its process, and no name for it. */
static void test_one_that_lost_its_name_is_not_gone(void **state)
{
    struct stage s;
    struct mf_rec_guest nameless = guest(nine, "");

    open_with(&s, "web/0#7");
    stage_hello(&s, 0, &nameless, 1);
    assert_int_equal(stage_count_rows(&s, MF_EV_DOMAIN_GONE), 0);
    assert_int_equal(web0(&s), MF_INSTANCE_STATE_PENDING);
    stage_close(&s);
}

static void test_a_claimed_slot_waits(void **state)
{
    struct stage s;
    struct mf_rec_guest stopped = guest(nine, "web/0#7");

    open_with(&s, "web/0#7");
    assert_int_equal(web0(&s), MF_INSTANCE_STATE_PENDING);
    stage_pass(&s, 10000);
    stopped.state = MF_GUEST_STATE_STOPPED;
    tell_inventory(&s, &stopped, 1); /* it does not live any more, and claims nothing */
    assert_int_equal(web0(&s), MF_INSTANCE_STATE_PLACED);
    assert_int_equal(list(&s)->domains.rows.n, 1);
    assert_false(list(&s)->domains.rows.items[0].claims);
    stage_reloads(&s);
    stage_close(&s);
}

/* Node 0 has a stranger that claims db/0, and the at-most group db waits for it. */
static void open_at_most(struct stage *s)
{
    struct mf_rec_guest claimant = guest(nine, "db/0#3");

    stage_open(s);
    stage_hello(s, 0, &claimant, 1);
    stage_provision_at_most(s, "db", 1);
    assert_int_equal(stage_current(s, "db", 0)->state, MF_INSTANCE_STATE_PENDING);
}

static void test_a_list_is_no_proof(void **state)
{
    struct stage s;

    open_at_most(&s);
    stage_hello(&s, 0, NULL, 0);
    assert_int_equal(stage_count_rows(&s, MF_EV_DOMAIN_GONE), 0);
    assert_int_equal(stage_current(&s, "db", 0)->state, MF_INSTANCE_STATE_PENDING);
    stage_reloads(&s);
    struct mf_message order = *stage_last(&s, s.worker[0], MF_MSG_ORDER_DESTROY); /* asked for by itself */
    stage_answer(&s, 0, &order, "ok");
    assert_int_equal(stage_current(&s, "db", 0)->state, MF_INSTANCE_STATE_PLACED);
    stage_reloads(&s);
    stage_close(&s);
}

static void test_a_reboot_is_one(void **state)
{
    struct stage s;
    struct mf_message hello;

    open_at_most(&s);
    hello = stage_hello_message(0);
    hello.hello.boot_id = mf_str("boot-2");
    stage_hello_as(&s, 0, hello);
    assert_int_equal(stage_count_rows(&s, MF_EV_DOMAIN_GONE), 1);
    assert_int_equal(stage_current(&s, "db", 0)->state, MF_INSTANCE_STATE_PLACED);
    stage_close(&s);
}

/* Most often this history ended it; a restored copy may know nothing of it, and asks for the proof. */
static void test_one_that_is_being_destroyed(void **state)
{
    struct mf_rec_guest leaving = guest(nine, "db/0#3");
    struct stage s;

    stage_open(&s);
    stage_provision_at_most(&s, "db", 1);
    leaving.state = MF_GUEST_STATE_DESTROYING;
    stage_hello(&s, 1, &leaving, 1);
    assert_int_equal(stage_count_rows(&s, MF_EV_DOMAIN_UNKNOWN), 0);
    stage_destroy(&s, "db/0");
    s.b->restored = true;
    stage_hello(&s, 0, &leaving, 1);
    assert_int_equal(stage_count_rows(&s, MF_EV_DOMAIN_PURGING), 1);
    struct mf_message order = *stage_last(&s, s.worker[0], MF_MSG_ORDER_DESTROY);
    assert_int_equal(mf_map_size(s.b->claims), 1);
    stage_answer(&s, 0, &order, "ok");
    assert_int_equal(mf_map_size(s.b->claims), 0);
    stage_close(&s);
}

/* What nobody asked for is not believed. */
static void test_inventories_unasked(void **state)
{
    struct stage s;

    open_with(&s, "web/0#7");
    stage_worker(
        &s, 0,
        (struct mf_message){.kind = MF_MSG_INVENTORY, .inventory = {.ask_id = 77, .epoch = s.epoch[0]}});
    assert_int_equal(web0(&s), MF_INSTANCE_STATE_PENDING);
    assert_int_equal(stage_count_rows(&s, MF_EV_DOMAIN_GONE), 0);
    stage_close(&s);
}

static void test_a_claim_on_a_failed_node(void **state)
{
    struct stage s;
    struct mf_message m;

    open_with(&s, "web/0#7");
    stage_monitor_hello(&s);
    stage_hello(&s, 1, NULL, 0);
    assert_int_equal(web0(&s), MF_INSTANCE_STATE_PENDING);
    m = stage_provision_message(&s, "db", 1);
    m.provision.policy = MF_POLICY_AT_MOST;
    struct mf_rec_guest guests[] = {guest(nine, "web/0#7"), guest(eight, "db/0#3")};
    stage_hello(&s, 0, guests, 2);
    stage_client(&s, m);
    stage_pass(&s, 30000);
    stage_monitor(&s, (struct mf_message){.kind = MF_MSG_MONITOR_ALIVE});
    stage_verdict(&s, 0, MF_VERDICT_FAILED);
    assert_int_equal(web0(&s), MF_INSTANCE_STATE_PLACED); /* replaced like all that was there */
    stage_pass(&s, 60000);
    assert_int_equal(stage_current(&s, "db", 0)->state, MF_INSTANCE_STATE_PENDING); /* two must never run */
    stage_operator(&s, MF_MSG_NODE_FORGET, "node-0");
    stage_pass(&s, 30000);
    assert_int_equal(stage_current(&s, "db", 0)->state, MF_INSTANCE_STATE_PLACED);
    stage_close(&s);
}

/* ------------------------------------------------------------------ purge */

static void test_purge(void **state)
{
    struct stage s;

    open_with(&s, "web/0#7");
    word(&s, MF_MSG_PURGE, "node-0", nine);
    assert_non_null(stage_last(&s, STAGE_CLIENT, MF_MSG_ACCEPTED));
    const struct mf_message *order = stage_last(&s, s.worker[0], MF_MSG_ORDER_DESTROY);
    assert_non_null(order);
    assert_int_equal(order->order_destroy.order_id, stage_row_of(&s, MF_EV_DOMAIN_PURGING)->row.seq);
    assert_true(mf_uuid_eq(order->order_destroy.id, nine));
    struct mf_message first = *order;
    assert_true(list(&s)->domains.rows.items[0].purging);
    stage_reloads(&s);
    word(&s, MF_MSG_PURGE, "node-0", nine); /* once is enough */
    assert_int_equal(stage_count_rows(&s, MF_EV_DOMAIN_PURGING), 1);
    stage_answer(&s, 0, &first, "ok");
    assert_int_equal(stage_count_rows(&s, MF_EV_DOMAIN_GONE), 1);
    assert_int_equal(web0(&s), MF_INSTANCE_STATE_PLACED);
    assert_int_equal(list(&s)->domains.rows.n, 0);
    word(&s, MF_MSG_PURGE, "node-0", nine);
    assert_true(refused(&s, "unknown"));
    word(&s, MF_MSG_PURGE, "node-5", nine);
    assert_true(refused(&s, "unknown"));
    stage_reloads(&s);
    stage_close(&s);
}

/* Sent again until acknowledged; ordered again when it failed or nobody answered. */
static void test_a_purge_is_not_lost(void **state)
{
    struct stage s;

    open_with(&s, "x");
    word(&s, MF_MSG_PURGE, "node-0", nine);
    stage_pass(&s, 10000);
    assert_true(stage_count_sent(&s, MF_MSG_ORDER_DESTROY) >= 3);
    struct mf_message order = *stage_last(&s, s.worker[0], MF_MSG_ORDER_DESTROY);
    stage_worker(
        &s, 0,
        (struct mf_message){.kind = MF_MSG_ORDER_ACK,
                            .order_ack = {.order_id = order.order_destroy.order_id, .epoch = s.epoch[0]}});
    stage_forget_sent(&s);
    stage_pass(&s, 40000);
    assert_int_equal(stage_count_sent(&s, MF_MSG_ORDER_DESTROY), 0);
    stage_pass(&s, 20000); /* its deadline */
    assert_int_equal(stage_count_rows(&s, MF_EV_DOMAIN_PURGING), 2);
    stage_answer(&s, 0, &order, "driver"); /* of the one before: says nothing of this one */
    order = *stage_last(&s, s.worker[0], MF_MSG_ORDER_DESTROY);
    stage_answer(&s, 0, &order, "driver");
    stage_pass(&s, 5000);
    assert_true(stage_count_rows(&s, MF_EV_DOMAIN_PURGING) >= 3);
    stage_reloads(&s);
    stage_close(&s);
}

/* Accepted is accepted: across reigns, epochs, and a node that is away. */
static void test_a_purge_outlives_reign_and_epoch(void **state)
{
    struct stage s;
    struct mf_rec_guest guests[] = {guest(nine, "x")};

    open_with(&s, "x");
    stage_gone(&s, s.worker[0]);
    word(&s, MF_MSG_PURGE, "node-0", nine);
    assert_non_null(stage_last(&s, STAGE_CLIENT, MF_MSG_ACCEPTED));
    assert_int_equal(stage_count_sent(&s, MF_MSG_ORDER_DESTROY), 0);
    stage_pass(&s, 100000);
    stage_restart(&s, s.n_rows);
    stage_hello(&s, 0, guests, 1);
    const struct mf_message *order = stage_last(&s, s.worker[0], MF_MSG_ORDER_DESTROY);
    assert_non_null(order);
    assert_int_equal(order->order_destroy.epoch, s.epoch[0]);
    stage_hello(&s, 0, NULL, 0);
    assert_int_equal(stage_count_rows(&s, MF_EV_DOMAIN_GONE), 1);
    stage_reloads(&s);
    stage_close(&s);
}

/* ------------------------------------------------------------------ adopt */

static void test_adopt(void **state)
{
    struct stage s;

    open_with(&s, "default/web/0#7");
    word(&s, MF_MSG_ADOPT, "node-0", nine);
    assert_non_null(stage_last(&s, STAGE_CLIENT, MF_MSG_ACCEPTED));
    struct mf_instance *inst = stage_current(&s, "web", 0);
    assert_true(mf_uuid_eq(inst->id, nine));
    assert_int_equal(inst->state, MF_INSTANCE_STATE_RUNNING);
    assert_int_equal(inst->generation, 7);
    assert_int_equal(mf_pooled_used(s.b, inst->node).vcpus, 1);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_PENDING), 0);
    assert_int_equal(list(&s)->domains.rows.n, 0);
    stage_reloads(&s);
    struct mf_rec_guest guests[] = {guest(nine, "default/web/0#7")};
    stage_hello(&s, 0, guests, 1);
    assert_int_equal(stage_count_rows(&s, MF_EV_DOMAIN_UNKNOWN), 1);
    stage_death(&s, 0, nine); /* it is an instance like any other */
    assert_int_equal(stage_current(&s, "web", 0)->generation, 8);
    stage_reloads(&s);
    stage_close(&s);
}

/* A number that was given, or that no slot of ours can have come to, is not taken over. */
static void test_adopt_with_an_odd_number(void **state)
{
    static const char *const names[] = {"web/0#1", "web/0#18446744073709551615"};

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        struct stage s;
        open_with(&s, names[i]);
        word(&s, MF_MSG_ADOPT, "node-0", nine);
        assert_int_equal(stage_current(&s, "web", 0)->generation, 2);
        stage_reloads(&s);
        stage_close(&s);
    }
}

static void test_adopt_more_than_fits(void **state)
{
    struct stage s;
    struct mf_message hello = stage_hello_message(0);
    struct mf_rec_guest guests[] = {guest(nine, "web/0#7")};

    stage_open(&s);
    hello.hello.capacity.vcpus = 0;
    hello.hello.guests.items = guests;
    hello.hello.guests.n = 1;
    stage_hello_as(&s, 0, hello);
    stage_provision(&s, "web", 1);
    word(&s, MF_MSG_ADOPT, "node-0", nine);
    assert_int_equal(web0(&s), MF_INSTANCE_STATE_RUNNING); /* it runs there all the same */
    stage_reloads(&s);
    stage_close(&s);
}

static void test_adopt_refused(void **state)
{
    struct stage s;
    struct mf_message m;
    struct mf_rec_guest guests[] = {
        guest(nine, "web/0#7"), guest(eight, "db/0#1"), guest((struct mf_uuid){{7}}, "x"),
        guest((struct mf_uuid){{6}}, "web/5#1"), guest((struct mf_uuid){{5}}, "no/0#1")};

    stage_open(&s);
    stage_hello(&s, 1, NULL, 0);
    stage_provision(&s, "web", 1);
    stage_answer_all(&s);
    m = stage_provision_message(&s, "db", 1);
    m.provision.policy = MF_POLICY_AT_MOST;
    stage_client(&s, m);
    stage_hello(&s, 0, guests, 5);
    for (uint8_t id = 5; id <= 9; id++) {
        word(&s, MF_MSG_ADOPT, "node-0", (struct mf_uuid){{id}});
        assert_true(refused(&s, "unsupported"));
    }
    word(&s, MF_MSG_ADOPT, "node-0", (struct mf_uuid){{1}});
    assert_true(refused(&s, "unknown"));
    stage_destroy(&s, "web/0");
    assert_int_equal(web0(&s), MF_INSTANCE_STATE_PENDING); /* claimed, and free to be adopted now... */
    stage_gone(&s, s.worker[0]);
    word(&s, MF_MSG_ADOPT, "node-0", nine);
    assert_true(refused(&s, "unsupported")); /* ...but the node is away */
    stage_close(&s);
}

/* The same UUID as an instance's, on another node: a copy that somebody started. */
static void test_a_copy_of_an_instance(void **state)
{
    struct stage s;

    stage_open(&s);
    stage_hello(&s, 1, NULL, 0);
    stage_provision(&s, "web", 1);
    stage_answer_all(&s);
    struct mf_rec_guest copy = guest(stage_current(&s, "web", 0)->id, "web/0#1");
    stage_hello(&s, 0, &copy, 1);
    assert_int_equal(stage_count_rows(&s, MF_EV_DOMAIN_UNKNOWN), 1);
    word(&s, MF_MSG_ADOPT, "node-0", copy.id);
    assert_true(refused(&s, "unsupported"));
    word(&s, MF_MSG_PURGE, "node-0", copy.id);
    struct mf_message order = *stage_last(&s, s.worker[0], MF_MSG_ORDER_DESTROY);
    stage_answer(&s, 0, &order, "ok");
    assert_int_equal(web0(&s), MF_INSTANCE_STATE_RUNNING);
    assert_int_equal(list(&s)->domains.rows.n, 0);
    stage_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_told_once_and_listed),
        cmocka_unit_test(test_one_that_lost_its_name_is_not_gone),
        cmocka_unit_test(test_a_claimed_slot_waits),
        cmocka_unit_test(test_a_list_is_no_proof),
        cmocka_unit_test(test_a_reboot_is_one),
        cmocka_unit_test(test_one_that_is_being_destroyed),
        cmocka_unit_test(test_inventories_unasked),
        cmocka_unit_test(test_a_claim_on_a_failed_node),
        cmocka_unit_test(test_purge),
        cmocka_unit_test(test_a_purge_is_not_lost),
        cmocka_unit_test(test_a_purge_outlives_reign_and_epoch),
        cmocka_unit_test(test_adopt),
        cmocka_unit_test(test_adopt_with_an_odd_number),
        cmocka_unit_test(test_adopt_more_than_fits),
        cmocka_unit_test(test_adopt_refused),
        cmocka_unit_test(test_a_copy_of_an_instance),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
