/* test_broker_heal.c - from death to birth: guests, nodes, returns. */
#include "broker_stage.h"
#include "check.h"
#include "describe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct mf_rec_guest guest(struct mf_uuid id, enum mf_guest_state state)
{
    return (struct mf_rec_guest){.id = id, .state = state};
}

/* Nodes 0..n-1, a monitor, a group web of so many, running. */
static void open_running(struct stage *s, int nodes, uint64_t count)
{
    stage_open(s);
    stage_monitor_hello(s);
    for (int i = 0; i < nodes; i++)
        stage_hello(s, i, NULL, 0);
    stage_provision(s, "web", count);
    stage_answer_all(s);
    assert_int_equal(stage_count_state(s, MF_INSTANCE_STATE_RUNNING), count);
    s->trace.len = 0;
    s->now += 60000;
    stage_monitor(s, (struct mf_message){.kind = MF_MSG_MONITOR_ALIVE});
    s->trace.len = 0;
}

static int node_of(const struct mf_instance *inst)
{
    return inst->node->name.ptr[5] - '0';
}

static void test_guest_death(void **state)
{
    struct stage s;

    open_running(&s, 2, 2);
    struct mf_instance *inst = stage_current(&s, "web", 0);
    stage_death(&s, node_of(inst), inst->id);
    inst = stage_current(&s, "web", 0);
    assert_int_equal(inst->generation, 2);
    assert_int_equal(inst->state, MF_INSTANCE_STATE_PLACED);
    assert_non_null(stage_last(&s, 0, MF_MSG_REPORT_ACK));
    stage_answer_all(&s);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 2);
    stage_golden(&s, "guest-death");
    stage_close(&s);
}

static void test_a_report_may_come_twice(void **state)
{
    struct stage s;

    open_running(&s, 1, 1);
    struct mf_uuid id = stage_current(&s, "web", 0)->id;
    stage_death(&s, 0, id);
    size_t rows = s.n_rows;
    stage_death(&s, 0, id);
    assert_int_equal(s.n_rows, rows);
    assert_int_equal(stage_count_sent(&s, MF_MSG_REPORT_ACK), 2);
    stage_close(&s);
}

static void test_quick_deaths_back_off(void **state)
{
    struct stage s;

    open_running(&s, 1, 1);
    stage_death(&s, 0, stage_current(&s, "web", 0)->id); /* after a minute: no blame */
    assert_int_equal(stage_current(&s, "web", 0)->slot->failures, 0);
    stage_answer_all(&s);
    s.now += 100;
    stage_death(&s, 0, stage_current(&s, "web", 0)->id); /* the first quick one: at once */
    assert_non_null(stage_current(&s, "web", 0));
    stage_answer_all(&s);
    s.now += 100;
    stage_death(&s, 0, stage_current(&s, "web", 0)->id); /* the second: after a while */
    assert_null(stage_current(&s, "web", 0));
    stage_pass(&s, 1000);
    assert_non_null(stage_current(&s, "web", 0));
    stage_answer_all(&s);
    stage_close(&s);
}

static void test_node_failure(void **state)
{
    struct stage s;

    open_running(&s, 3, 6);
    size_t ours = 0;
    for (uint32_t i = 0; i < 6; i++)
        ours += node_of(stage_current(&s, "web", i)) == 1;
    assert_int_equal(ours, 2);
    stage_gone(&s, s.worker[1]);
    assert_false(stage_last(&s, STAGE_MONITOR, MF_MSG_MONITOR_NODE)->monitor_node.connected);
    stage_verdict(&s, 1, MF_VERDICT_FAILED);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_LOST), 2);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_PLACED), 2);
    size_t rows = s.n_rows;
    stage_verdict(&s, 1, MF_VERDICT_FAILED); /* void: that epoch has failed already */
    assert_int_equal(s.n_rows, rows);
    stage_answer_all(&s);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 6);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_TOMBSTONE), 2);
    stage_golden(&s, "node-failure");
    stage_close(&s);
}

static void test_return_before_the_successor_runs(void **state)
{
    struct stage s;

    open_running(&s, 2, 2);
    struct mf_instance *inst = stage_current(&s, "web", 0);
    struct mf_uuid id = inst->id;
    int node = node_of(inst);
    stage_verdict(&s, node, MF_VERDICT_FAILED);
    assert_non_null(stage_last(&s, s.worker[node], MF_MSG_HELLO_AGAIN)); /* its connection is open */
    assert_int_equal(stage_current(&s, "web", 0)->generation, 2);
    struct mf_rec_guest guests[] = {guest(id, MF_GUEST_STATE_RUNNING)};
    stage_hello(&s, node, guests, 1);
    assert_true(mf_uuid_eq(stage_current(&s, "web", 0)->id, id));
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 2);
    stage_answer_all(&s); /* a late "created" of the successor, then its destroy */
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 2);
    assert_int_equal(mf_map_size(s.b->instances), 2);
    stage_golden(&s, "reinstated");
    stage_close(&s);
}

static void test_return_after_the_successor_runs(void **state)
{
    struct stage s;

    open_running(&s, 2, 2);
    struct mf_instance *inst = stage_current(&s, "web", 0);
    struct mf_uuid id = inst->id;
    int node = node_of(inst);
    stage_gone(&s, s.worker[node]);
    stage_verdict(&s, node, MF_VERDICT_FAILED);
    stage_answer_all(&s);
    struct mf_rec_guest guests[] = {guest(id, MF_GUEST_STATE_RUNNING)};
    stage_hello(&s, node, guests, 1);
    struct mf_node *n = s.b->nodes.items[node];
    assert_int_equal(n->state, MF_NODE_STATE_JOINING); /* until the tombstone is gone */
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_DESTROYING), 1);
    stage_answer_all(&s);
    assert_int_equal(n->state, MF_NODE_STATE_READY);
    assert_int_equal(mf_map_size(s.b->instances), 2);
    stage_golden(&s, "tombstone");
    stage_close(&s);
}

static void test_no_room_then_return_heals(void **state)
{
    struct stage s;

    open_running(&s, 1, 2);
    struct mf_rec_guest guests[] = {guest(stage_current(&s, "web", 0)->id, MF_GUEST_STATE_RUNNING)};
    stage_verdict(&s, 0, MF_VERDICT_FAILED);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_PENDING), 2);
    stage_hello(&s, 0, guests, 1); /* one is back, the other is not */
    assert_int_equal(stage_current(&s, "web", 0)->generation, 1);
    assert_int_equal(stage_current(&s, "web", 1)->generation, 2);
    stage_answer_all(&s);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 2);
    assert_int_equal(mf_map_size(s.b->instances), 2);
    stage_golden(&s, "no-room-return");
    stage_close(&s);
}

static void test_several_lost_generations(void **state)
{
    struct stage s;

    open_running(&s, 2, 1);
    struct mf_uuid first = stage_current(&s, "web", 0)->id;
    int a = node_of(stage_current(&s, "web", 0)), c = 1 - a;
    stage_verdict(&s, a, MF_VERDICT_FAILED);
    struct mf_uuid second = stage_current(&s, "web", 0)->id;
    stage_verdict(&s, c, MF_VERDICT_FAILED); /* the second was placed and not heard of */
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_LOST), 2);
    struct mf_rec_guest guests[] = {guest(first, MF_GUEST_STATE_RUNNING)};
    stage_hello(&s, a, guests, 1);
    assert_true(mf_uuid_eq(stage_current(&s, "web", 0)->id, first));
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_TOMBSTONE), 1); /* the second */
    struct mf_rec_guest others[] = {guest(second, MF_GUEST_STATE_RUNNING)};
    stage_hello(&s, c, others, 1);
    stage_answer_all(&s);
    assert_int_equal(mf_map_size(s.b->instances), 1);
    stage_close(&s);
}

static void test_hello_again_moves_no_state(void **state)
{
    struct stage s;

    open_running(&s, 1, 1);
    struct mf_uuid id = stage_current(&s, "web", 0)->id;
    size_t rows = s.n_rows;
    s.epoch[0] += 5;
    stage_death(&s, 0, id);
    assert_non_null(stage_last(&s, s.worker[0], MF_MSG_HELLO_AGAIN));
    s.epoch[0] -= 5;
    s.worker[0]++; /* another connection, which never said hello */
    stage_death(&s, 0, id);
    assert_non_null(stage_last(&s, s.worker[0], MF_MSG_HELLO_AGAIN));
    stage_worker(&s, 0,
                 (struct mf_message){.kind = MF_MSG_WORKER_ALIVE, .worker_alive = {.epoch = s.epoch[0]}});
    assert_int_equal(stage_count_sent(&s, MF_MSG_HELLO_AGAIN), 3);
    assert_int_equal(s.n_rows, rows);
    s.worker[0]--;
    stage_worker(&s, 0,
                 (struct mf_message){.kind = MF_MSG_WORKER_ALIVE, .worker_alive = {.epoch = s.epoch[0]}});
    assert_non_null(stage_last(&s, s.worker[0], MF_MSG_ALIVE_ACK));
    stage_close(&s);
}

static void test_superseding(void **state)
{
    struct stage s;
    struct mf_message hello = stage_hello_message(0);

    stage_open(&s);
    hello.hello.started_ms = 100;
    stage_hello_as(&s, 0, hello);
    uint64_t first = s.worker[0], epoch = s.epoch[0];
    hello.hello.started_ms = 50; /* an older start of the same machine */
    stage_hello_as(&s, 0, hello);
    assert_true(mf_str_is(stage_last(&s, s.worker[0], MF_MSG_ERROR)->error.code, "unavailable"));
    assert_int_equal(s.n_closed, 0);
    size_t rows = s.n_rows;
    stage_hello_as(&s, 0, hello); /* a stubborn one does not fill the log */
    assert_int_equal(s.n_rows, rows);
    hello.hello.started_ms = 200;
    stage_hello_as(&s, 0, hello);
    assert_int_equal(s.n_closed, 1);
    assert_int_equal(s.closed[0], first);
    assert_true(s.epoch[0] > epoch);
    stage_gone(&s, first); /* the old one's end says nothing of the new one */
    assert_true(mf_node_up(s.b->nodes.items[0]));
    hello.hello.machine_id = mf_str("another machine");
    stage_hello_as(&s, 0, hello);
    assert_true(mf_str_is(stage_last(&s, s.worker[0], MF_MSG_ERROR)->error.code, "forbidden"));
    hello = stage_hello_message(1);
    hello.hello.cluster_id = (struct mf_uuid){{1}};
    stage_hello_as(&s, 1, hello);
    assert_true(mf_str_is(stage_last(&s, s.worker[1], MF_MSG_ERROR)->error.code, "forbidden"));
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_REFUSED), 3);
    stage_golden(&s, "superseding");
    stage_close(&s);
}

static void test_a_hello_said_again_moves_nothing(void **state)
{
    struct stage s;
    struct mf_message hello = stage_hello_message(0);

    stage_open(&s);
    s.hold = true;
    stage_hello_as(&s, 0, hello);
    hello.hello.again = true;
    stage_worker(&s, 0, hello); /* its welcome waits for the store */
    s.hold = false;
    stage_feed(&s, (struct mf_broker_event){.kind = MF_BROKER_TICK});
    assert_int_equal(stage_last(&s, s.worker[0], MF_MSG_WELCOME)->welcome.epoch, 1);
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_JOINED), 1);
    stage_gone(&s, s.worker[0]);
    stage_hello_as(&s, 0, hello); /* on a new connection it is as good as any */
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_JOINED), 2);
    stage_close(&s);
}

static void test_term_is_raised(void **state)
{
    struct stage s;
    struct mf_message hello = stage_hello_message(0);

    stage_open(&s);
    hello.hello.term_seen = 7;
    stage_hello_as(&s, 0, hello);
    assert_int_equal(mf_broker_term(s.b), 8);
    assert_int_equal(stage_last(&s, s.worker[0], MF_MSG_WELCOME)->welcome.term, 8);
    stage_provision(&s, "web", 1);
    assert_int_equal(stage_last(&s, s.worker[0], MF_MSG_ORDER_CREATE)->order_create.term, 8);
    stage_restart(&s, s.n_rows);
    assert_int_equal(mf_broker_term(s.b), 9);
    stage_close(&s);
}

static void test_reboot_and_absence(void **state)
{
    struct stage s;
    struct mf_message hello = stage_hello_message(0);

    open_running(&s, 1, 2);
    hello.hello.boot_id = mf_str("boot-2");
    stage_hello_as(&s, 0, hello);
    assert_int_equal(stage_count_rows(&s, MF_EV_INSTANCE_DIED), 2);
    assert_int_equal(stage_current(&s, "web", 0)->generation, 2);
    stage_answer_all(&s);
    struct mf_rec_guest guests[] = {guest(stage_current(&s, "web", 0)->id, MF_GUEST_STATE_RUNNING)};
    hello.hello.guests.items = guests;
    hello.hello.guests.n = 1;
    stage_hello_as(&s, 0, hello); /* the agent alone came back; one guest is not there */
    assert_int_equal(stage_current(&s, "web", 0)->generation, 2);
    assert_int_equal(stage_current(&s, "web", 1)->generation, 3);
    stage_answer_all(&s);
    stage_golden(&s, "reboot");
    stage_close(&s);
}

static void test_create_under_way_is_ordered_again(void **state)
{
    struct stage s;

    stage_open(&s);
    stage_hello(&s, 0, NULL, 0);
    stage_provision(&s, "web", 3);
    struct mf_rec_guest guests[] = {guest(stage_current(&s, "web", 0)->id, MF_GUEST_STATE_CREATING),
                                    guest(stage_current(&s, "web", 1)->id, MF_GUEST_STATE_RUNNING)};
    stage_forget_sent(&s);
    stage_hello(&s, 0, guests, 2);
    assert_int_equal(stage_count_sent(&s, MF_MSG_ORDER_CREATE), 2); /* the creating and the absent */
    assert_int_equal(stage_current(&s, "web", 1)->state, MF_INSTANCE_STATE_RUNNING);
    stage_answer_all(&s);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 3);
    assert_int_equal(stage_current(&s, "web", 0)->generation, 1);
    stage_close(&s);
}

static void test_suspect_and_recovered(void **state)
{
    struct stage s;

    open_running(&s, 1, 1);
    struct mf_node *node = s.b->nodes.items[0];
    stage_verdict(&s, 0, MF_VERDICT_SUSPECT);
    assert_int_equal(node->state, MF_NODE_STATE_SUSPECT);
    stage_provision(&s, "db", 1); /* nothing is placed on a suspect */
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_PENDING), 1);
    stage_verdict(&s, 0, MF_VERDICT_RECOVERED);
    assert_int_equal(node->state, MF_NODE_STATE_READY);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_PENDING), 0);
    s.epoch[0] += 5;
    size_t rows = s.n_rows;
    stage_verdict(&s, 0, MF_VERDICT_FAILED); /* void */
    assert_int_equal(s.n_rows, rows);
    s.epoch[0] -= 5;
    stage_verdict(&s, 0, MF_VERDICT_FAILED);
    stage_verdict(&s, 0, MF_VERDICT_RECOVERED);
    stage_verdict(&s, 0, MF_VERDICT_RECOVERED);
    assert_int_equal(node->state, MF_NODE_STATE_FAILED); /* only a hello brings it back */
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_RECOVERED), 2);
    stage_close(&s);
}

static void test_guests_die_with_me(void **state)
{
    struct stage s;
    struct mf_message hello = stage_hello_message(1);

    open_running(&s, 1, 1);
    hello.hello.guests_die_with_me = true;
    stage_hello_as(&s, 1, hello);
    stage_provision(&s, "db", 2);
    stage_answer_all(&s);
    stage_gone(&s, s.worker[1]); /* its agent may have died alone */
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_FAILED), 0);
    stage_verdict(&s, 1, MF_VERDICT_FAILED);
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_FAILED), 1);
    assert_int_equal(stage_current(&s, "db", 0)->node, s.b->nodes.items[0]);
    stage_close(&s);
}

static void test_destroyed_while_away(void **state)
{
    struct stage s;

    open_running(&s, 2, 2);
    struct mf_instance *inst = stage_current(&s, "web", 0);
    struct mf_rec_guest guests[] = {guest(inst->id, MF_GUEST_STATE_RUNNING)};
    int node = node_of(inst);
    stage_gone(&s, s.worker[node]);
    stage_destroy(&s, "web/0");
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_TOMBSTONE), 1);
    stage_answer_all(&s);
    stage_hello(&s, node, guests, 1);
    stage_answer_all(&s);
    assert_int_equal(mf_map_size(s.b->instances), 2);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 2);
    stage_close(&s);
}

static void test_unknown_domains(void **state)
{
    struct stage s;

    open_running(&s, 1, 1);
    struct mf_uuid id = stage_current(&s, "web", 0)->id;
    struct mf_rec_guest guests[] = {guest(id, MF_GUEST_STATE_RUNNING),
                                    guest((struct mf_uuid){{9}}, MF_GUEST_STATE_RUNNING),
                                    guest((struct mf_uuid){{8}}, MF_GUEST_STATE_RUNNING)};
    guests[1].name = mf_str("default/web/0#7");
    stage_hello(&s, 0, guests, 3);
    assert_int_equal(stage_count_rows(&s, MF_EV_DOMAIN_UNKNOWN), 1); /* the nameless is somebody else's */
    assert_int_equal(stage_count_sent(&s, MF_MSG_ORDER_DESTROY), 0); /* left alone */
    stage_death(&s, 0, id);
    assert_int_equal(stage_current(&s, "web", 0)->state, MF_INSTANCE_STATE_PENDING); /* its slot is claimed */
    stage_forget_sent(&s);
    stage_pass(&s, 10000);
    const struct mf_message *ask = stage_last(&s, s.worker[0], MF_MSG_INVENTORY_ASK);
    assert_non_null(ask);
    stage_worker(
        &s, 0,
        (struct mf_message){.kind = MF_MSG_INVENTORY,
                            .inventory = {.ask_id = ask->inventory_ask.ask_id, .epoch = s.epoch[0]}});
    assert_int_equal(stage_current(&s, "web", 0)->state, MF_INSTANCE_STATE_PLACED);
    stage_golden(&s, "unknown-domains");
    stage_close(&s);
}

static void test_placement_spreads(void **state)
{
    struct stage s;
    int on[3] = {0};

    open_running(&s, 3, 3);
    for (uint32_t i = 0; i < 3; i++)
        on[node_of(stage_current(&s, "web", i))]++;
    for (int i = 0; i < 3; i++)
        assert_int_equal(on[i], 1); /* not two on a node while another fits */
    stage_close(&s);
}

static void test_class_and_labels(void **state)
{
    struct stage s;
    struct mf_label rack[] = {{mf_str("rack"), mf_str("r1")}};
    struct mf_message hello = stage_hello_message(1), m;

    stage_open(&s);
    stage_hello(&s, 0, NULL, 0);
    m = stage_provision_message(&s, "web", 1);
    m.provision.require = (struct mf_labels){rack, 1};
    stage_client(&s, m);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_PENDING), 1);
    hello.hello.class = mf_str("hpc");
    hello.hello.labels = (struct mf_labels){rack, 1};
    stage_hello_as(&s, 1, hello);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_PENDING), 1);
    hello.hello.class = mf_str("standard");
    stage_hello_as(&s, 1, hello);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_PLACED), 1);
    stage_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_guest_death),
        cmocka_unit_test(test_a_report_may_come_twice),
        cmocka_unit_test(test_quick_deaths_back_off),
        cmocka_unit_test(test_node_failure),
        cmocka_unit_test(test_return_before_the_successor_runs),
        cmocka_unit_test(test_return_after_the_successor_runs),
        cmocka_unit_test(test_no_room_then_return_heals),
        cmocka_unit_test(test_several_lost_generations),
        cmocka_unit_test(test_hello_again_moves_no_state),
        cmocka_unit_test(test_superseding),
        cmocka_unit_test(test_a_hello_said_again_moves_nothing),
        cmocka_unit_test(test_term_is_raised),
        cmocka_unit_test(test_reboot_and_absence),
        cmocka_unit_test(test_create_under_way_is_ordered_again),
        cmocka_unit_test(test_suspect_and_recovered),
        cmocka_unit_test(test_guests_die_with_me),
        cmocka_unit_test(test_destroyed_while_away),
        cmocka_unit_test(test_unknown_domains),
        cmocka_unit_test(test_placement_spreads),
        cmocka_unit_test(test_class_and_labels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
