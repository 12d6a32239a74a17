/* test_broker_drain.c - a node is emptied: successors first, destroys after; at-most the other way round and
 * one at a time; and never a slot more than min allows. */
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

static struct mf_node *node(const struct stage *s, int i)
{
    char name[16];

    snprintf(name, sizeof(name), "node-%d", i);
    return mf_node_find(s->b, mf_str(name));
}

static void drain(struct stage *s, int i)
{
    char name[16], id[16];

    snprintf(name, sizeof(name), "node-%d", i);
    snprintf(id, sizeof(id), "dr%llu", (unsigned long long)++s->next_request);
    stage_client(s, (struct mf_message){.kind = MF_MSG_NODE_DRAIN,
                                        .node_drain = {.request_id = mf_str(id), .node = mf_str(name)}});
}

/* Node 0 and a group that runs on it whole; then nodes 1..n-1. */
static void open_on_node_0(struct stage *s, int nodes, enum mf_policy policy, uint64_t count, uint64_t min)
{
    struct mf_message message;

    stage_open(s);
    stage_monitor_hello(s);
    stage_hello(s, 0, NULL, 0);
    message = stage_provision_message(s, "web", count);
    message.provision.policy = policy;
    message.provision.min = min;
    stage_client(s, message);
    stage_answer_all(s);
    assert_int_equal(stage_count_state(s, MF_INSTANCE_STATE_RUNNING), count);
    for (int i = 1; i < nodes; i++)
        stage_hello(s, i, NULL, 0);
    stage_pass(s, 20000);
    stage_monitor(s, (struct mf_message){.kind = MF_MSG_MONITOR_ALIVE});
    stage_forget_sent(s);
    s->trace.len = 0;
}

static void assert_drained(struct stage *s, int i)
{
    assert_int_equal(node(s, i)->n_instances, 0);
    assert_int_equal(stage_count_rows(s, MF_EV_NODE_DRAINED), 1);
    assert_false(node(s, i)->draining);
    assert_true(node(s, i)->cordoned);
}

static void test_the_old_runs_until_the_new_does(void **state)
{
    struct stage s;
    struct mf_uuid old;

    open_on_node_0(&s, 2, MF_POLICY_AT_LEAST, 1, 1);
    old = stage_current(&s, "web", 0)->id;
    drain(&s, 0);
    assert_int_equal(mf_instance_find(s.b, old)->state, MF_INSTANCE_STATE_RETIRING);
    assert_null(stage_last(&s, 0, MF_MSG_ORDER_DESTROY));
    assert_int_equal(stage_current(&s, "web", 0)->state, MF_INSTANCE_STATE_PLACED);
    assert_ptr_equal(stage_current(&s, "web", 0)->node, node(&s, 1));
    assert_int_equal(node(&s, 0)->n_instances, 1); /* it keeps its room */
    stage_answer(&s, 1, stage_last(&s, 0, MF_MSG_ORDER_CREATE), "ok");
    assert_int_equal(mf_instance_find(s.b, old)->state, MF_INSTANCE_STATE_DESTROYING);
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_DRAINED), 0);
    stage_answer(&s, 0, stage_last(&s, 0, MF_MSG_ORDER_DESTROY), "ok");
    assert_drained(&s, 0);
    stage_golden(&s, "drain");
    stage_scale(&s, "web", 4); /* and nothing comes back to it */
    assert_int_equal(node(&s, 0)->n_instances, 0);
    assert_int_equal(node(&s, 1)->n_instances, 4);
    stage_close(&s);
}

static void test_it_is_said_once(void **state)
{
    struct stage s;

    open_on_node_0(&s, 2, MF_POLICY_AT_LEAST, 2, 2);
    drain(&s, 0);
    drain(&s, 0);
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_DRAINING), 1);
    assert_int_equal(stage_count_rows(&s, MF_EV_INSTANCE_SUPERSEDED), 2);
    assert_int_equal(stage_count_sent(&s, MF_MSG_ACCEPTED), 2);
    stage_close(&s);
}

static void test_an_empty_node_is_drained_at_once(void **state)
{
    struct stage s;

    open_on_node_0(&s, 2, MF_POLICY_AT_LEAST, 1, 1);
    drain(&s, 1);
    assert_drained(&s, 1);
    stage_client(&s,
                 (struct mf_message){.kind = MF_MSG_NODE_DRAIN,
                                     .node_drain = {.request_id = mf_str("x"), .node = mf_str("nobody")}});
    assert_true(mf_str_is(stage_last(&s, STAGE_CLIENT, MF_MSG_ERROR)->error.code, "unknown"));
    stage_close(&s);
}

static void test_without_room_it_runs_on(void **state)
{
    struct stage s;
    struct mf_uuid old;

    open_on_node_0(&s, 1, MF_POLICY_AT_LEAST, 1, 1);
    old = stage_current(&s, "web", 0)->id;
    drain(&s, 0);
    stage_pass(&s, 600000);
    assert_int_equal(mf_instance_find(s.b, old)->state, MF_INSTANCE_STATE_RETIRING);
    assert_int_equal(stage_current(&s, "web", 0)->state, MF_INSTANCE_STATE_PENDING);
    stage_hello(&s, 1, NULL, 0);
    stage_answer_all(&s);
    assert_int_equal(stage_current(&s, "web", 0)->state, MF_INSTANCE_STATE_RUNNING);
    assert_drained(&s, 0);
    stage_close(&s);
}

static void test_what_is_being_born_is_born_elsewhere(void **state)
{
    struct stage s;

    open_on_node_0(&s, 1, MF_POLICY_AT_LEAST, 1, 1);
    stage_scale(&s, "web", 2); /* ordered, not answered */
    stage_hello(&s, 1, NULL, 0);
    assert_int_equal(stage_current(&s, "web", 1)->state, MF_INSTANCE_STATE_PLACED);
    assert_ptr_equal(stage_current(&s, "web", 1)->node, node(&s, 0));
    drain(&s, 0);
    assert_ptr_equal(stage_current(&s, "web", 1)->node, node(&s, 1));
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_DESTROYING), 1);
    stage_answer_all(&s);
    assert_drained(&s, 0);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 2);
    stage_close(&s);
}

static void test_a_retiring_one_may_die(void **state)
{
    struct stage s;
    struct mf_uuid old;

    open_on_node_0(&s, 2, MF_POLICY_AT_LEAST, 1, 1);
    old = stage_current(&s, "web", 0)->id;
    drain(&s, 0);
    stage_death(&s, 0, old);
    assert_null(mf_instance_find(s.b, old));
    assert_int_equal(stage_current(&s, "web", 0)->generation, 2); /* the successor that was on its way */
    assert_int_equal(stage_current(&s, "web", 0)->slot->failures, 0);
    assert_drained(&s, 0);
    stage_close(&s);
}

static void test_a_draining_node_may_fail(void **state)
{
    struct stage s;
    struct mf_uuid old;
    struct mf_rec_guest guest;

    open_on_node_0(&s, 2, MF_POLICY_AT_LEAST, 1, 1);
    old = stage_current(&s, "web", 0)->id;
    drain(&s, 0);
    stage_verdict(&s, 0, MF_VERDICT_FAILED);
    assert_int_equal(mf_instance_find(s.b, old)->state, MF_INSTANCE_STATE_TOMBSTONE);
    stage_answer_all(&s);
    assert_int_equal(stage_current(&s, "web", 0)->state, MF_INSTANCE_STATE_RUNNING);
    guest = (struct mf_rec_guest){.id = old, .state = MF_GUEST_STATE_RUNNING};
    stage_hello(&s, 0, &guest, 1);
    stage_answer_all(&s);
    assert_null(mf_instance_find(s.b, old));
    assert_drained(&s, 0);
    stage_close(&s);
}

static void test_a_retiring_one_is_found_at_hello(void **state)
{
    struct stage s;
    struct mf_uuid old;
    struct mf_rec_guest guest;

    open_on_node_0(&s, 1, MF_POLICY_AT_LEAST, 1, 1);
    old = stage_current(&s, "web", 0)->id;
    drain(&s, 0);
    guest = (struct mf_rec_guest){.id = old, .state = MF_GUEST_STATE_RUNNING};
    stage_hello(&s, 0, &guest, 1);
    assert_int_equal(mf_instance_find(s.b, old)->state, MF_INSTANCE_STATE_RETIRING);
    stage_hello(&s, 0, NULL, 0);
    assert_null(mf_instance_find(s.b, old));
    stage_close(&s);
}

static void test_what_is_reinstated_is_drained_too(void **state)
{
    struct stage s;
    struct mf_rec_guest guest;

    open_on_node_0(&s, 1, MF_POLICY_AT_LEAST, 1, 1);
    guest = (struct mf_rec_guest){.id = stage_current(&s, "web", 0)->id, .state = MF_GUEST_STATE_RUNNING};
    stage_verdict(&s, 0, MF_VERDICT_FAILED);
    drain(&s, 0); /* nothing to do while it is away, but to keep births off */
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_DRAINED), 0);
    stage_hello(&s, 0, &guest, 1);
    assert_int_equal(mf_instance_find(s.b, guest.id)->state, MF_INSTANCE_STATE_RETIRING);
    stage_hello(&s, 1, NULL, 0);
    stage_answer_all(&s);
    assert_drained(&s, 0);
    assert_int_equal(stage_current(&s, "web", 0)->state, MF_INSTANCE_STATE_RUNNING);
    stage_close(&s);
}

static void test_scaling_down_ends_the_retiring_one(void **state)
{
    struct stage s;
    struct mf_uuid old;

    open_on_node_0(&s, 1, MF_POLICY_AT_LEAST, 1, 1);
    old = stage_current(&s, "web", 0)->id;
    drain(&s, 0);
    stage_scale(&s, "web", 0);
    assert_int_equal(mf_instance_find(s.b, old)->state, MF_INSTANCE_STATE_DESTROYING);
    stage_answer_all(&s);
    assert_drained(&s, 0);
    stage_close(&s);
}

/* The successor's node fails while the old one still runs: the slot gets a third, and when the second comes
 * back it is the one that stays. */
static void test_a_successor_may_be_lost(void **state)
{
    struct stage s;
    struct mf_uuid old;
    struct mf_rec_guest second;

    open_on_node_0(&s, 2, MF_POLICY_AT_LEAST, 1, 1);
    old = stage_current(&s, "web", 0)->id;
    drain(&s, 0);
    second = (struct mf_rec_guest){.id = stage_current(&s, "web", 0)->id, .state = MF_GUEST_STATE_RUNNING};
    stage_verdict(&s, 1, MF_VERDICT_FAILED);
    assert_int_equal(mf_instance_find(s.b, old)->state, MF_INSTANCE_STATE_RETIRING);
    assert_int_equal(stage_current(&s, "web", 0)->generation, 3);
    stage_hello(&s, 1, &second, 1);
    assert_true(mf_uuid_eq(stage_current(&s, "web", 0)->id, second.id));
    assert_int_equal(mf_instance_find(s.b, old)->state, MF_INSTANCE_STATE_DESTROYING);
    stage_forget_sent(&s);
    stage_pass(&s, 60000);
    stage_answer_all(&s);
    stage_pass(&s, 60000);
    stage_answer_all(&s);
    stage_close(&s);
}

static void test_a_drain_may_be_called_off(void **state)
{
    struct stage s;
    struct mf_uuid old;

    open_on_node_0(&s, 2, MF_POLICY_AT_LEAST, 1, 1);
    old = stage_current(&s, "web", 0)->id;
    drain(&s, 0);
    assert_int_equal(stage_current(&s, "web", 0)->generation, 2);
    stage_client(
        &s, (struct mf_message){.kind = MF_MSG_NODE_UNCORDON,
                                .node_uncordon = {.request_id = mf_str("un"), .node = mf_str("node-0")}});
    assert_true(mf_uuid_eq(stage_current(&s, "web", 0)->id, old));
    assert_int_equal(stage_current(&s, "web", 0)->state, MF_INSTANCE_STATE_RUNNING);
    stage_answer_all(&s); /* the successor's create and its destroy */
    assert_int_equal(mf_group_active(s.b, mf_str("web"))->living, 1);
    assert_false(node(&s, 0)->draining || node(&s, 0)->cordoned);
    stage_close(&s);
}

/* ------------------------------------------------------------------ at-most */

static void test_at_most_ends_first_and_one_at_a_time(void **state)
{
    struct stage s;

    open_on_node_0(&s, 2, MF_POLICY_AT_MOST, 3, 1);
    drain(&s, 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 2);
        assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_DESTROYING), 1);
        assert_int_equal(stage_count_sent(&s, MF_MSG_ORDER_CREATE), i); /* not before the proof */
        stage_answer(&s, 0, stage_last(&s, s.worker[0], MF_MSG_ORDER_DESTROY), "ok");
        assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_PLACED), 1);
        assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 2);
        stage_answer(&s, 1, stage_last(&s, s.worker[1], MF_MSG_ORDER_CREATE), "ok");
    }
    assert_drained(&s, 0);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 3);
    assert_int_equal(stage_count_rows(&s, MF_EV_INSTANCE_SUPERSEDED), 0);
    stage_close(&s);
}

static void test_at_most_is_not_ended_without_room(void **state)
{
    struct stage s;

    open_on_node_0(&s, 1, MF_POLICY_AT_MOST, 1, 1);
    drain(&s, 0);
    stage_pass(&s, 60000);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 1);
    stage_hello(&s, 1, NULL, 0);
    stage_answer_all(&s);
    assert_drained(&s, 0);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 1);
    stage_close(&s);
}

static void test_min_is_respected(void **state)
{
    struct stage s;

    open_on_node_0(&s, 1, MF_POLICY_AT_MOST, 3, 2);
    stage_hello(&s, 1, NULL, 0);
    stage_death(&s, 0, stage_current(&s, "web", 0)->id); /* ordered anew, and not there yet */
    assert_int_equal(mf_group_active(s.b, mf_str("web"))->running, 2);
    drain(&s, 0);
    stage_pass(&s, 5000);
    assert_int_equal(mf_group_active(s.b, mf_str("web"))->running, 2);
    for (int i = 0; i < 12; i++) {
        stage_answer_all(&s);
        assert_true(mf_group_active(s.b, mf_str("web"))->running >= 2);
    }
    assert_drained(&s, 0);
    stage_close(&s);
}

/* ------------------------------------------------------------------ reigns */

static void finish_on(const struct stage *from, size_t keep, enum mf_policy policy)
{
    struct stage s;
    char text[256];

    stage_raw(&s);
    for (size_t i = 0; i < keep; i++)
        assert_int_equal(mf_broker_load_row(s.b, &from->rows[i].row, text), 0);
    stage_feed(&s, (struct mf_broker_event){.kind = MF_BROKER_START});
    for (int i = 0; i < 2; i++)
        stage_hello(&s, i, NULL, 0);
    for (int i = 0; i < 20; i++) {
        stage_answer_all(&s);
        stage_pass(&s, 1000);
    }
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING),
                     mf_group_active(s.b, mf_str("web")) ? mf_group_active(s.b, mf_str("web"))->desired : 0);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RETIRING), 0);
    if (node(&s, 0)->cordoned)
        assert_false(node(&s, 0)->draining || node(&s, 0)->n_instances);
    stage_close(&s);
}

static void test_any_crash_is_carried_on_from(void **state)
{
    struct stage s;

    for (enum mf_policy policy = MF_POLICY_AT_LEAST; policy <= MF_POLICY_AT_MOST; policy++) {
        open_on_node_0(&s, 2, policy, 2, 1);
        drain(&s, 0);
        for (int i = 0; i < 6; i++)
            stage_answer_all(&s);
        assert_drained(&s, 0);
        for (size_t keep = 4; keep <= s.n_rows; keep++)
            finish_on(&s, keep, policy);
        stage_close(&s);
    }
}

static void test_a_new_reign_keeps_what_retires(void **state)
{
    struct stage s;
    struct mf_rec_guest guest;

    open_on_node_0(&s, 1, MF_POLICY_AT_LEAST, 1, 1);
    guest = (struct mf_rec_guest){.id = stage_current(&s, "web", 0)->id, .state = MF_GUEST_STATE_RUNNING};
    drain(&s, 0);
    stage_restart(&s, s.n_rows);
    stage_hello(&s, 0, &guest, 1);
    assert_int_equal(mf_instance_find(s.b, guest.id)->state, MF_INSTANCE_STATE_RETIRING);
    stage_hello(&s, 1, NULL, 0);
    stage_answer_all(&s);
    assert_drained(&s, 0);
    stage_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_old_runs_until_the_new_does),
        cmocka_unit_test(test_it_is_said_once),
        cmocka_unit_test(test_an_empty_node_is_drained_at_once),
        cmocka_unit_test(test_without_room_it_runs_on),
        cmocka_unit_test(test_what_is_being_born_is_born_elsewhere),
        cmocka_unit_test(test_a_retiring_one_may_die),
        cmocka_unit_test(test_a_draining_node_may_fail),
        cmocka_unit_test(test_a_retiring_one_is_found_at_hello),
        cmocka_unit_test(test_what_is_reinstated_is_drained_too),
        cmocka_unit_test(test_scaling_down_ends_the_retiring_one),
        cmocka_unit_test(test_a_successor_may_be_lost),
        cmocka_unit_test(test_a_drain_may_be_called_off),
        cmocka_unit_test(test_at_most_ends_first_and_one_at_a_time),
        cmocka_unit_test(test_at_most_is_not_ended_without_room),
        cmocka_unit_test(test_min_is_respected),
        cmocka_unit_test(test_any_crash_is_carried_on_from),
        cmocka_unit_test(test_a_new_reign_keeps_what_retires),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
