/* test_broker_pause.c - a broker that just began, or that was held up, did not listen: until its grace is
 * over nothing that it missed is held against anybody. */
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

static void alive(struct stage *s)
{
    stage_monitor(s, (struct mf_message){.kind = MF_MSG_MONITOR_ALIVE});
}

static void open_running(struct stage *s)
{
    stage_open(s);
    stage_monitor_hello(s);
    for (int i = 0; i < 3; i++)
        stage_hello(s, i, NULL, 0);
    stage_provision(s, "web", 3);
    stage_answer_all(s);
    for (int i = 0; i < 4; i++) {
        stage_pass(s, 500);
        alive(s);
    }
}

static void stop_and_go_on(struct stage *s, mf_ms ms)
{
    s->late = true; /* nothing is fed, no deadline is kept */
    s->now += ms;
    stage_feed(s, (struct mf_broker_event){.kind = MF_BROKER_TICK});
    s->late = false;
}

static void pass_alive(struct stage *s, mf_ms ms)
{
    for (mf_ms end = s->now + ms; s->now < end;) {
        stage_pass(s, end - s->now < 500 ? end - s->now : 500);
        alive(s);
    }
}

static void test_after_a_pause_nobody_dies_at_once(void **state)
{
    struct stage s;

    open_running(&s);
    stop_and_go_on(&s, 30000);
    size_t rows = s.n_rows;
    stage_verdict(&s, 1, MF_VERDICT_SUSPECT);
    stage_verdict(&s, 1, MF_VERDICT_FAILED);
    assert_int_equal(node(&s, 1)->state, MF_NODE_STATE_READY);
    pass_alive(&s, STAGE_GRACE - 1);
    assert_int_equal(node(&s, 1)->state, MF_NODE_STATE_READY);
    assert_int_equal(s.n_rows, rows); /* nor is the monitor lost: the broker did not hear it, that is all */
    pass_alive(&s, 1);
    assert_int_equal(node(&s, 1)->state,
                     MF_NODE_STATE_FAILED); /* what was said counts when the grace is over */
    stage_close(&s);
}

static void test_what_is_taken_back_in_the_grace_never_counts(void **state)
{
    struct stage s;

    open_running(&s);
    stop_and_go_on(&s, 30000);
    stage_verdict(&s, 1, MF_VERDICT_FAILED);
    pass_alive(&s, 1000);
    stage_verdict(&s, 1, MF_VERDICT_RECOVERED);
    pass_alive(&s, 5000);
    assert_int_equal(node(&s, 1)->state, MF_NODE_STATE_READY);
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_SUSPECT) + stage_count_rows(&s, MF_EV_NODE_FAILED), 0);
    stage_close(&s);
}

static void test_a_short_delay_is_no_pause(void **state)
{
    struct stage s;

    open_running(&s);
    stop_and_go_on(&s, 1000);
    stage_verdict(&s, 1, MF_VERDICT_FAILED);
    assert_int_equal(node(&s, 1)->state, MF_NODE_STATE_FAILED);
    stage_close(&s);
}

static void test_a_reign_begins_with_grace(void **state)
{
    struct stage s;

    open_running(&s);
    stage_restart(&s, s.n_rows);
    stage_monitor_hello(&s);
    for (int i = 0; i < 3; i++)
        s.epoch[i] = node(&s, i)->epoch; /* they are not back yet; their monitor hears none of them */
    for (int i = 0; i < 3; i++)
        stage_verdict(&s, i, MF_VERDICT_FAILED);
    pass_alive(&s, STAGE_GRACE - 1);
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_FAILED), 0);
    stage_hello(&s, 0, NULL, 0);
    pass_alive(&s, 1);
    assert_int_equal(node(&s, 0)->state, MF_NODE_STATE_READY);
    assert_int_equal(node(&s, 1)->state, MF_NODE_STATE_FAILED);
    assert_int_equal(node(&s, 2)->state, MF_NODE_STATE_FAILED);
    stage_close(&s);
}

/* What a worker says of its own end is no matter of who listened. */
static void test_an_end_in_the_grace_is_a_fact(void **state)
{
    struct stage s;

    open_running(&s);
    stop_and_go_on(&s, 30000);
    stage_worker(
        &s, 1,
        (struct mf_message){.kind = MF_MSG_LEAVING, .leaving = {.epoch = s.epoch[1], .guests_dead = true}});
    assert_int_equal(node(&s, 1)->state, MF_NODE_STATE_FAILED);
    stage_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_after_a_pause_nobody_dies_at_once),
        cmocka_unit_test(test_what_is_taken_back_in_the_grace_never_counts),
        cmocka_unit_test(test_a_short_delay_is_no_pause),
        cmocka_unit_test(test_a_reign_begins_with_grace),
        cmocka_unit_test(test_an_end_in_the_grace_is_a_fact),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
