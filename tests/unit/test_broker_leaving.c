/* test_broker_leaving.c - a worker that ends in order says so: its guests' death is a fact, whatever their
 * policy; a drain that it asks for is an operator's but for its end. */
#include "broker_stage.h"
#include "check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct mf_node *node(const struct stage *s, int i)
{
    return s->b->nodes.items[i];
}

static void say_leaving(struct stage *s, int i, struct mf_msg_leaving leaving)
{
    if (!leaving.epoch)
        leaving.epoch = s->epoch[i];
    stage_worker(s, i, (struct mf_message){.kind = MF_MSG_LEAVING, .leaving = leaving});
}

static void say_dead(struct stage *s, int i)
{
    say_leaving(s, i, (struct mf_msg_leaving){.guests_dead = true});
}

static void ask_drain(struct stage *s, int i)
{
    say_leaving(s, i, (struct mf_msg_leaving){.drain = true, .remaining_ms = 30000});
}

/* Of one instance on node 0: its successor runs on that node, and it is gone. */
static void finish_drain(struct stage *s, int to)
{
    stage_answer(s, to, stage_last(s, 0, MF_MSG_ORDER_CREATE), "ok");
    stage_answer(s, 0, stage_last(s, 0, MF_MSG_ORDER_DESTROY), "ok");
}

static const struct mf_msg_left *last_left(const struct stage *s, int i)
{
    const struct mf_message *left = stage_last(s, s->worker[i], MF_MSG_LEFT);

    return left ? &left->left : NULL;
}

/* Node 0 has all of the group; then nodes 1..n-1 come. */
static void open_on_node_0(struct stage *s, int nodes, bool at_most, uint64_t count)
{
    stage_open(s);
    stage_monitor_hello(s);
    stage_hello(s, 0, NULL, 0);
    if (at_most)
        stage_provision_at_most(s, "web", count);
    else
        stage_provision(s, "web", count);
    stage_answer_all(s);
    if (at_most)
        stage_ask_lease(s, 0);
    for (int i = 1; i < nodes; i++)
        stage_hello(s, i, NULL, 0);
    stage_pass(s, 20000);
    if (at_most)
        stage_ask_lease(s, 0);
    stage_forget_sent(s);
    s->trace.len = 0;
}

static void test_its_guests_are_dead_by_fact(void **state)
{
    struct stage s;

    open_on_node_0(&s, 2, false, 2);
    say_dead(&s, 0);
    assert_int_equal(node(&s, 0)->state, MF_NODE_STATE_FAILED);
    assert_int_equal(node(&s, 0)->n_instances, 0);
    assert_int_equal(stage_count_rows(&s, MF_EV_INSTANCE_DIED), 2);
    assert_int_equal(stage_count_rows(&s, MF_EV_INSTANCE_LOST), 0);
    for (uint32_t slot = 0; slot < 2; slot++) {
        assert_ptr_equal(stage_current(&s, "web", slot)->node, node(&s, 1));
        assert_int_equal(stage_current(&s, "web", slot)->slot->failures, 0); /* nobody is blamed */
    }
    assert_true(last_left(&s, 0)->guests_dead);
    assert_null(stage_last(&s, s.worker[0], MF_MSG_HELLO_AGAIN));
    stage_golden(&s, "own-end");
    stage_reloads(&s);
    stage_close(&s);
}

static void test_at_most_waits_for_no_lease(void **state)
{
    struct stage s;

    open_on_node_0(&s, 2, true, 2);
    assert_true(node(&s, 0)->lease_until > s.now);
    say_dead(&s, 0);
    for (uint32_t slot = 0; slot < 2; slot++) {
        assert_int_equal(stage_current(&s, "web", slot)->state, MF_INSTANCE_STATE_PLACED);
        assert_ptr_equal(stage_current(&s, "web", slot)->node, node(&s, 1));
    }
    assert_int_equal(stage_count_sent(&s, MF_MSG_ORDER_CREATE), 2);
    stage_reloads(&s);
    stage_close(&s);
}

static void test_what_is_being_born_or_ended_there_is_dead_too(void **state)
{
    struct stage s;

    open_on_node_0(&s, 1, true, 2);
    stage_destroy(&s, "web/0"); /* not answered */
    stage_scale(&s, "web", 3);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_DESTROYING), 1);
    say_dead(&s, 0);
    assert_int_equal(node(&s, 0)->n_instances, 0);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_PENDING), 3);
    stage_hello(&s, 1, NULL, 0);
    stage_answer_all(&s);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 3);
    stage_close(&s);
}

static void test_it_is_answered_when_it_is_durable(void **state)
{
    struct stage s;

    open_on_node_0(&s, 2, false, 1);
    s.hold = true;
    say_dead(&s, 0);
    assert_null(last_left(&s, 0));
    assert_null(stage_last(&s, 0, MF_MSG_ORDER_CREATE));
    s.hold = false;
    stage_commit(&s, s.b->seq);
    assert_true(last_left(&s, 0)->guests_dead);
    stage_forget_sent(&s);
    size_t rows = s.n_rows;
    say_dead(&s, 0); /* the answer was lost */
    assert_true(last_left(&s, 0)->guests_dead);
    assert_int_equal(s.n_rows, rows);
    stage_close(&s);
}

static void test_of_another_epoch_it_moves_nothing(void **state)
{
    struct stage s;

    open_on_node_0(&s, 2, true, 1);
    size_t rows = s.n_rows;
    say_leaving(&s, 0, (struct mf_msg_leaving){.epoch = s.epoch[0] + 7, .guests_dead = true});
    assert_non_null(stage_last(&s, s.worker[0], MF_MSG_HELLO_AGAIN));
    stage_gone(&s, s.worker[0]);
    stage_verdict(&s, 0, MF_VERDICT_FAILED);
    rows = s.n_rows;
    say_dead(&s, 0); /* that epoch was held for failed: its lease is waited for */
    assert_int_equal(s.n_rows, rows);
    assert_int_equal(stage_current(&s, "web", 0)->state, MF_INSTANCE_STATE_PENDING);
    assert_null(last_left(&s, 0));
    stage_close(&s);
}

/* A restart, say: whoever lives on under nobody's eyes is not replaced for that. */
static void test_who_will_be_back_is_waited_for(void **state)
{
    struct stage s;

    open_on_node_0(&s, 2, false, 1);
    struct mf_uuid id = stage_current(&s, "web", 0)->id;
    struct mf_rec_guest guest = {.id = id, .state = MF_GUEST_STATE_RUNNING};
    size_t rows = s.n_rows;
    say_leaving(&s, 0, (struct mf_msg_leaving){0});
    assert_non_null(last_left(&s, 0));
    assert_int_equal(s.n_rows, rows);
    assert_int_equal(node(&s, 0)->state, MF_NODE_STATE_READY);
    stage_gone(&s, s.worker[0]);
    for (int i = 0; i < 3; i++)
        stage_vote(&s, 0, 0, MF_VERDICT_FAILED, MF_EVIDENCE_CLOSED);
    assert_int_equal(node(&s, 0)->state, MF_NODE_STATE_SUSPECT);
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_HELD), 1);
    stage_hello(&s, 0, &guest, 1);
    assert_true(mf_uuid_eq(stage_current(&s, "web", 0)->id, id));
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_FAILED), 0);
    stage_gone(&s, s.worker[0]); /* that was another epoch's word: this close is judged as any */
    stage_vote(&s, 0, 0, MF_VERDICT_FAILED, MF_EVIDENCE_CLOSED);
    assert_int_equal(node(&s, 0)->state, MF_NODE_STATE_FAILED);
    stage_close(&s);
}

static void test_who_is_not_back_in_time_has_failed(void **state)
{
    struct stage s;

    open_on_node_0(&s, 2, false, 1);
    say_leaving(&s, 0, (struct mf_msg_leaving){0});
    stage_gone(&s, s.worker[0]);
    stage_vote(&s, 0, 0, MF_VERDICT_FAILED, MF_EVIDENCE_CLOSED);
    for (mf_ms passed = 0; passed < s.config.agent_grace_ms; passed += 1000) {
        assert_int_equal(node(&s, 0)->state, MF_NODE_STATE_SUSPECT);
        stage_monitor(&s, (struct mf_message){.kind = MF_MSG_MONITOR_ALIVE});
        stage_pass(&s, 1000);
    }
    assert_int_equal(node(&s, 0)->state, MF_NODE_STATE_FAILED); /* by the alarm alone */
    assert_int_equal(stage_current(&s, "web", 0)->generation, 2);
    stage_close(&s);
}

static void test_it_is_no_flap(void **state)
{
    struct stage s;

    open_on_node_0(&s, 2, false, 1);
    for (int i = 0; i < 3; i++) {
        stage_gone(&s, s.worker[0]); /* it flaps ... */
        stage_verdict(&s, 0, MF_VERDICT_FAILED);
        stage_hello(&s, 0, NULL, 0);
        stage_pass(&s, 10000);
        stage_monitor(&s, (struct mf_message){.kind = MF_MSG_MONITOR_ALIVE});
    }
    uint32_t flaps = node(&s, 0)->flaps;
    size_t delays = stage_count_rows(&s, MF_EV_NODE_DELAYED);
    assert_int_equal(flaps, 3);
    say_dead(&s, 0); /* ... and ends in order */
    stage_reloads(&s);
    stage_hello(&s, 0, NULL, 0);
    assert_int_equal(node(&s, 0)->flaps, flaps);
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_DELAYED), delays);
    assert_int_equal(node(&s, 0)->state, MF_NODE_STATE_READY);
    stage_close(&s);
}

static void test_strangers_die_with_it(void **state)
{
    struct stage s;
    struct mf_rec_guest guest = {
        .id = {{7}}, .state = MF_GUEST_STATE_RUNNING, .name = mf_str("default/web/0#9")};

    stage_open(&s);
    stage_hello(&s, 0, &guest, 1);
    stage_hello(&s, 1, NULL, 0);
    stage_provision_at_most(&s, "web", 1);
    assert_int_equal(stage_current(&s, "web", 0)->state, MF_INSTANCE_STATE_PENDING); /* claimed */
    say_dead(&s, 0);
    assert_int_equal(s.b->n_strangers, 0);
    assert_int_equal(stage_current(&s, "web", 0)->state, MF_INSTANCE_STATE_PLACED);
    stage_close(&s);
}

/* ------------------------------------------------------------------ drains */

static void test_drained_then_let_go(void **state)
{
    struct stage s;

    open_on_node_0(&s, 2, false, 1);
    ask_drain(&s, 0);
    ask_drain(&s, 0);
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_DRAINING), 1);
    assert_null(last_left(&s, 0));
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RETIRING), 1);
    stage_reloads(&s);
    finish_drain(&s, 1);
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_DRAINED), 1);
    assert_non_null(last_left(&s, 0));
    assert_false(last_left(&s, 0)->guests_dead);
    assert_false(node(&s, 0)->cordoned);
    stage_scale(&s, "web", 3); /* nothing comes back to who is about to end */
    assert_int_equal(node(&s, 0)->n_instances, 0);
    stage_forget_sent(&s);
    ask_drain(&s, 0); /* the answer was lost */
    assert_non_null(last_left(&s, 0));
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_DRAINING), 1);
    stage_reloads(&s);
    stage_hello(&s, 0, NULL, 0); /* it is back */
    stage_scale(&s, "web", 8);
    assert_true(node(&s, 0)->n_instances > 0);
    stage_close(&s);
}

static void test_a_hello_before_its_end_calls_it_off(void **state)
{
    struct stage s;

    open_on_node_0(&s, 1, false, 1);
    struct mf_uuid id = stage_current(&s, "web", 0)->id;
    struct mf_rec_guest guest = {.id = id, .state = MF_GUEST_STATE_RUNNING};
    ask_drain(&s, 0); /* there is no room elsewhere */
    assert_int_equal(stage_current(&s, "web", 0)->state, MF_INSTANCE_STATE_PENDING);
    stage_hello(&s, 0, &guest, 1);
    assert_int_equal(mf_instance_find(s.b, id)->state, MF_INSTANCE_STATE_RUNNING);
    assert_true(mf_uuid_eq(stage_current(&s, "web", 0)->id, id));
    assert_false(node(&s, 0)->draining || node(&s, 0)->leaving || node(&s, 0)->cordoned);
    stage_reloads(&s);
    stage_close(&s);
}

static void test_an_operators_word_outlives_it(void **state)
{
    struct stage s;

    open_on_node_0(&s, 3, false, 1);
    ask_drain(&s, 0);
    stage_operator(&s, MF_MSG_NODE_DRAIN, "node-0"); /* takes its place */
    assert_false(node(&s, 0)->leaving);
    finish_drain(&s, stage_node_of(&s, stage_current(&s, "web", 0)->node->peer));
    assert_non_null(last_left(&s, 0)); /* who asked is answered all the same */
    stage_operator(&s, MF_MSG_NODE_CORDON, "node-1");
    ask_drain(&s, 1);
    assert_true(node(&s, 1)->leaving && node(&s, 1)->cordoned);
    stage_answer_all(&s);
    stage_reloads(&s);
    for (int i = 0; i < 2; i++) {
        stage_hello(&s, i, NULL, 0);
        assert_true(node(&s, i)->cordoned && !node(&s, i)->leaving && !node(&s, i)->draining);
    }
    stage_close(&s);
}

static void test_uncordon_does_not_call_it_off(void **state)
{
    struct stage s;

    open_on_node_0(&s, 1, false, 1);
    stage_operator(&s, MF_MSG_NODE_CORDON, "node-0");
    ask_drain(&s, 0);
    stage_operator(&s, MF_MSG_NODE_UNCORDON, "node-0");
    assert_true(node(&s, 0)->draining && node(&s, 0)->leaving && !node(&s, 0)->cordoned);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RETIRING), 1);
    stage_close(&s);
}

static void test_its_time_ran_out(void **state)
{
    struct stage s;

    open_on_node_0(&s, 1, true, 1); /* at-most, and nowhere to go */
    ask_drain(&s, 0);
    stage_pass(&s, 1000);
    say_dead(&s, 0);
    assert_int_equal(stage_current(&s, "web", 0)->state, MF_INSTANCE_STATE_PENDING);
    stage_hello(&s, 0, NULL, 0);
    assert_int_equal(stage_current(&s, "web", 0)->state, MF_INSTANCE_STATE_PLACED);
    stage_reloads(&s);
    stage_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_its_guests_are_dead_by_fact),
        cmocka_unit_test(test_at_most_waits_for_no_lease),
        cmocka_unit_test(test_what_is_being_born_or_ended_there_is_dead_too),
        cmocka_unit_test(test_it_is_answered_when_it_is_durable),
        cmocka_unit_test(test_of_another_epoch_it_moves_nothing),
        cmocka_unit_test(test_who_will_be_back_is_waited_for),
        cmocka_unit_test(test_who_is_not_back_in_time_has_failed),
        cmocka_unit_test(test_it_is_no_flap),
        cmocka_unit_test(test_strangers_die_with_it),
        cmocka_unit_test(test_drained_then_let_go),
        cmocka_unit_test(test_a_hello_before_its_end_calls_it_off),
        cmocka_unit_test(test_an_operators_word_outlives_it),
        cmocka_unit_test(test_uncordon_does_not_call_it_off),
        cmocka_unit_test(test_its_time_ran_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
