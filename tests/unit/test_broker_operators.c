/* test_broker_operators.c - an operator's word about nodes: cordon, uncordon, forget; and nodes that come and
 * go too often. */
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

static void open_with(struct stage *s, int nodes)
{
    stage_open(s);
    stage_monitor_hello(s);
    for (int i = 0; i < nodes; i++)
        stage_hello(s, i, NULL, 0);
}

static const struct mf_node *node(const struct stage *s, const char *name)
{
    return mf_node_find(s->b, mf_str(name));
}

static bool refused(struct stage *s, const char *code)
{
    const struct mf_message *m = stage_last(s, STAGE_CLIENT, MF_MSG_ERROR);
    bool yes = m && mf_str_is(m->error.code, code);

    stage_forget_sent(s);
    return yes;
}

static bool is_on(const struct mf_instance *inst, const char *name)
{
    return inst->node && mf_str_is(inst->node->name, name);
}

static void hear(struct stage *s) /* so that the monitor is not lost meanwhile */
{
    stage_monitor(s, (struct mf_message){.kind = MF_MSG_MONITOR_ALIVE});
}

static void test_cordon(void **state)
{
    struct stage s;

    open_with(&s, 2);
    stage_provision(&s, "web", 2);
    stage_answer_all(&s);
    stage_operator(&s, MF_MSG_NODE_CORDON, "node-0");
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_CORDONED), 1);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 2); /* what runs there stays */
    stage_scale(&s, "web", 4);
    assert_true(is_on(stage_current(&s, "web", 2), "node-1") && is_on(stage_current(&s, "web", 3), "node-1"));
    stage_operator(&s, MF_MSG_NODE_CORDON, "node-1");
    stage_scale(&s, "web", 5);
    assert_int_equal(stage_current(&s, "web", 4)->state, MF_INSTANCE_STATE_PENDING);
    stage_reloads(&s);
    stage_operator(&s, MF_MSG_NODE_UNCORDON, "node-0");
    assert_true(is_on(stage_current(&s, "web", 4), "node-0"));
    stage_reloads(&s);
    stage_close(&s);
}

static void test_words_that_change_nothing(void **state)
{
    struct stage s;

    open_with(&s, 1);
    stage_operator(&s, MF_MSG_NODE_UNCORDON, "node-0");
    assert_non_null(stage_last(&s, STAGE_CLIENT, MF_MSG_ACCEPTED));
    stage_operator(&s, MF_MSG_NODE_CORDON, "node-0");
    stage_operator(&s, MF_MSG_NODE_CORDON, "node-0");
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_CORDONED), 1);
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_UNCORDONED), 0);
    stage_forget_sent(&s);
    stage_operator(&s, MF_MSG_NODE_CORDON, "node-7");
    assert_true(refused(&s, "unknown"));
    stage_operator(&s, MF_MSG_IMAGE_RELEASE, "tiny");
    assert_int_equal(stage_count_rows(&s, MF_EV_IMAGE_RELEASED), 0);
    stage_operator(&s, MF_MSG_IMAGE_RELEASE, "other");
    assert_true(refused(&s, "unknown"));
    stage_close(&s);
}

static void test_forget_a_failed_node(void **state)
{
    struct stage s;

    open_with(&s, 2);
    stage_provision(&s, "web", 2);
    stage_answer_all(&s);
    stage_operator(&s, MF_MSG_NODE_FORGET, "node-0");
    assert_true(refused(&s, "invalid")); /* it is connected */
    stage_gone(&s, s.worker[0]);
    stage_verdict(&s, 0, MF_VERDICT_FAILED);
    stage_answer_all(&s);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_TOMBSTONE), 1);
    stage_operator(&s, MF_MSG_NODE_FORGET, "node-0");
    assert_null(node(&s, "node-0"));
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_TOMBSTONE), 0);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 2);
    stage_reloads(&s);
    stage_close(&s);
}

/* No monitor ever said that it is dead: the operator does. */
static void test_forget_a_node_that_is_away(void **state)
{
    struct stage s;

    open_with(&s, 2);
    stage_provision(&s, "web", 2);
    stage_answer_all(&s);
    stage_gone(&s, s.worker[1]);
    stage_operator(&s, MF_MSG_NODE_FORGET, "node-1");
    assert_null(node(&s, "node-1"));
    assert_int_equal(stage_count_rows(&s, MF_EV_INSTANCE_LOST), 1);
    stage_answer_all(&s);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 2);
    assert_true(is_on(stage_current(&s, "web", 0), "node-0") && is_on(stage_current(&s, "web", 1), "node-0"));
    stage_reloads(&s);
    stage_close(&s);
}

/* Its name is free for another machine; its epochs are never given again. */
static void test_a_name_forgotten_is_free(void **state)
{
    struct stage s;
    struct mf_message hello = stage_hello_message(1);
    uint64_t epoch;

    open_with(&s, 2);
    epoch = s.epoch[1];
    hello.hello.machine_id = mf_str("another");
    stage_gone(&s, s.worker[1]);
    stage_hello_as(&s, 1, hello);
    assert_int_equal(s.epoch[1], 0); /* refused */
    stage_operator(&s, MF_MSG_NODE_FORGET, "node-1");
    stage_reloads(&s);
    stage_restart(&s, s.n_rows);
    stage_hello_as(&s, 1, hello);
    assert_true(s.epoch[1] > epoch);
    assert_int_equal(node(&s, "node-1")->state, MF_NODE_STATE_READY);
    stage_close(&s);
}

/* Placement counts a group by nodes: the counts must follow when one goes. */
static void test_spread_after_one_is_forgotten(void **state)
{
    struct stage s;

    open_with(&s, 4);
    stage_provision(&s, "web", 4);
    stage_answer_all(&s);
    stage_gone(&s, s.worker[1]);
    stage_operator(&s, MF_MSG_NODE_FORGET, "node-1");
    stage_answer_all(&s);
    stage_hello(&s, 4, NULL, 0);
    stage_scale(&s, "web", 5);
    assert_true(is_on(stage_current(&s, "web", 4), "node-4"));
    stage_close(&s);
}

static void test_a_forgotten_lease_lasts(void **state)
{
    struct stage s;
    struct mf_message m;

    open_with(&s, 2);
    m = stage_provision_message(&s, "web", 1);
    m.provision.policy = MF_POLICY_AT_MOST;
    stage_client(&s, m);
    stage_answer_all(&s);
    int on = stage_current(&s, "web", 0)->node->name.ptr[5] - '0';
    char name[] = {'n', 'o', 'd', 'e', '-', (char)('0' + on), 0};
    stage_pass(&s, 30000); /* so that this reign's own wait is over */
    hear(&s);
    stage_worker(
        &s, on,
        (struct mf_message){.kind = MF_MSG_LEASE_ASK, .lease_ask = {.epoch = s.epoch[on], .ask_id = 1}});
    stage_gone(&s, s.worker[on]);
    stage_operator(&s, MF_MSG_NODE_FORGET, name);
    assert_int_equal(stage_current(&s, "web", 0)->state, MF_INSTANCE_STATE_PENDING);
    stage_pass(&s, s.config.lease_ms - 100);
    assert_int_equal(stage_current(&s, "web", 0)->state, MF_INSTANCE_STATE_PENDING);
    stage_pass(&s, 1000);
    assert_int_equal(stage_current(&s, "web", 0)->state, MF_INSTANCE_STATE_PLACED);
    stage_close(&s);
}

/* ------------------------------------------------------------------ nodes that come and go */

static void fail_and_return(struct stage *s)
{
    hear(s);
    stage_gone(s, s->worker[0]);
    stage_verdict(s, 0, MF_VERDICT_FAILED);
    stage_hello(s, 0, NULL, 0);
}

static mf_ms wait_until_ready(struct stage *s)
{
    mf_ms began = s->now;

    while (node(s, "node-0")->state != MF_NODE_STATE_READY)
        stage_pass(s, 50);
    return s->now - began;
}

static void test_a_flapping_node_waits(void **state)
{
    struct stage s;
    mf_ms least[] = {0, 750, 1500, 3000};

    open_with(&s, 2);
    for (int i = 0; i < 4; i++) {
        fail_and_return(&s);
        mf_ms waited = wait_until_ready(&s);
        assert_true(waited >= least[i] && waited <= 2 * least[i] + 50);
    }
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_DELAYED), 3);
    stage_reloads(&s);
    stage_pass(&s, 11 * 60 * 1000); /* it kept still */
    fail_and_return(&s);
    assert_int_equal(wait_until_ready(&s), 0);
    for (int i = 0; i < 14; i++) {
        fail_and_return(&s);
        assert_true(wait_until_ready(&s) <= 5 * 60 * 1000 + 50);
    }
    stage_close(&s);
}

/* What it has of ours is taken back at once. */
static void test_a_delay_keeps_nobody_from_coming_back(void **state)
{
    struct stage s;

    open_with(&s, 1);
    stage_provision(&s, "web", 1);
    stage_answer_all(&s);
    struct mf_rec_guest guest = {.id = stage_current(&s, "web", 0)->id, .state = MF_GUEST_STATE_RUNNING};
    for (int i = 0; i < 3; i++) {
        stage_gone(&s, s.worker[0]);
        stage_verdict(&s, 0, MF_VERDICT_FAILED);
        stage_hello(&s, 0, &guest, 1);
        assert_int_equal(stage_current(&s, "web", 0)->state, MF_INSTANCE_STATE_RUNNING);
    }
    assert_int_equal(node(&s, "node-0")->state, MF_NODE_STATE_JOINING);
    stage_hello(&s, 0, &guest, 1); /* a new connection alone ends no delay and begins none */
    assert_int_equal(node(&s, "node-0")->state, MF_NODE_STATE_JOINING);
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_DELAYED), 2);
    stage_restart(&s, s.n_rows); /* nor does another reign */
    stage_hello(&s, 0, &guest, 1);
    assert_int_equal(node(&s, "node-0")->state, MF_NODE_STATE_JOINING);
    stage_operator(&s, MF_MSG_NODE_UNCORDON, "node-0"); /* an operator's word does */
    assert_int_equal(node(&s, "node-0")->state, MF_NODE_STATE_READY);
    stage_reloads(&s);
    stage_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cordon),
        cmocka_unit_test(test_words_that_change_nothing),
        cmocka_unit_test(test_forget_a_failed_node),
        cmocka_unit_test(test_forget_a_node_that_is_away),
        cmocka_unit_test(test_a_name_forgotten_is_free),
        cmocka_unit_test(test_spread_after_one_is_forgotten),
        cmocka_unit_test(test_a_forgotten_lease_lasts),
        cmocka_unit_test(test_a_flapping_node_waits),
        cmocka_unit_test(test_a_delay_keeps_nobody_from_coming_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
