/* test_health_core.c - when silence becomes a verdict. Each test plays a story and compares the trace of what
 * the monitor said, and nothing else, with the expected lines. */
#include "health_stage.h"

static void test_hello_is_said_until_welcomed(void **state)
{
    stage_run_to(300);
    stage_assert_trace("");
    stage_feed_kind(MF_HEALTH_LINK_UP);
    stage_run_to(1500);
    stage_assert_trace("300 hello\n800 hello\n1300 hello\n");
    stage_welcome();
    assert_int_equal(stage.alives, 1);
    stage_run_to(3500);
    stage_assert_trace("");
    assert_int_equal(stage.alives, 5);
}

static void test_all_is_quiet_while_all_pulse(void **state)
{
    stage_begin_two();
    stage_run_to(60000);
    stage_assert_trace("");
    assert_int_equal(stage.last_alive.nodes_known, 2);
    assert_int_equal(stage.last_alive.nodes_heard, 2);
}

static void test_silence_is_suspect_then_failed(void **state)
{
    stage_begin_two();
    stage.nodes[0].pulsing = false;
    stage_run_to(1000);
    stage_assert_trace("600 n0/10 suspect silence 600/0/0\n900 n0/10 suspect silence 900/0/0\n");
    assert_int_equal(stage.last_alive.nodes_heard, 1);
    stage_told(&stage.nodes[0], true, MF_NODE_STATE_SUSPECT);
    stage_run_to(1700);
    stage_assert_trace("1200 n0/10 failed silence 1200/0/0\n1500 n0/10 failed silence 1500/0/0\n");
    stage_told(&stage.nodes[0], true, MF_NODE_STATE_FAILED);
    stage_run_to(20000);
    stage_assert_trace("");
}

static void test_closed_and_quiet_is_failed_at_once(void **state)
{
    stage_begin_two();
    stage.nodes[0].pulsing = false;
    stage_run_to(50);
    stage_told(&stage.nodes[0], false, MF_NODE_STATE_READY);
    stage_run_to(700);
    stage_assert_trace("600 n0/10 failed closed 600/550/0\n");
}

static void test_word_of_closing_must_be_an_interval_old(void **state)
{
    stage_begin_two();
    stage.nodes[0].pulsing = false;
    stage_run_to(590);
    stage_told(&stage.nodes[0], false, MF_NODE_STATE_READY);
    stage_run_to(595);
    stage_told(&stage.nodes[0], false, MF_NODE_STATE_READY); /* told twice: the first counts */
    stage_run_to(800);
    stage_assert_trace("600 n0/10 suspect silence 600/10/0\n790 n0/10 failed closed 790/200/0\n");
}

static void test_closed_alone_is_nothing(void **state)
{
    stage_begin_two();
    stage_run_to(50);
    stage_told(&stage.nodes[0], false, MF_NODE_STATE_READY);
    stage_run_to(60000);
    stage_assert_trace("");
}

static void test_pause_of_a_keeper_is_nothing(void **state)
{
    stage_begin_two();
    stage_told(&stage.nodes[0], false, MF_NODE_STATE_READY); /* even while its agent reconnects */
    for (mf_ms t = 190; t < 60000; t += 490) { /* stopped for 300 ms at the worst moment, again and again */
        stage_run_to(t);
        stage.nodes[0].pulsing = false;
        stage_run_to(t + 300);
        stage_start_pulsing(&stage.nodes[0]);
    }
    stage_assert_trace("");
}

static void test_agent_dead_has_its_grace(void **state)
{
    stage_begin_two();
    stage.nodes[0].agent_dead = true;
    stage_told(&stage.nodes[0], false, MF_NODE_STATE_READY);
    stage_run_to(20000);
    stage.nodes[0].agent_dead = false; /* the keeper restarted it */
    stage_run_to(40000);
    stage_assert_trace("");
    stage.nodes[0].agent_dead = true;
    stage_run_to(75000);
    /* the first pulse that says so came at 40200 */
    stage_assert_trace(
        "70200 n0/10 failed agent-dead 0/70200/30000\n70500 n0/10 failed agent-dead 100/70500/30300\n"
        "70800 n0/10 failed agent-dead 0/70800/30600\n71800 n0/10 failed agent-dead 0/71800/31600\n"
        "72800 n0/10 failed agent-dead 0/72800/32600\n73800 n0/10 failed agent-dead 0/73800/33600\n"
        "74800 n0/10 failed agent-dead 0/74800/34600\n");
    stage_told(&stage.nodes[0], false, MF_NODE_STATE_FAILED);
    stage.nodes[0].agent_dead = false;
    stage_run_to(80000);
    stage_assert_trace("75200 n0/10 recovered pulse 0/75200/0\n");
}

static void test_agent_called_dead_over_an_open_connection_is_nothing(void **state)
{
    stage_begin_two();
    stage.nodes[0].agent_dead = true;
    stage_run_to(100000);
    stage_assert_trace("");
    stage_told(&stage.nodes[0], false, MF_NODE_STATE_READY);
    stage_run_to(129999);
    stage_assert_trace("");
    stage_run_to(130000);
    stage_assert_trace("130000 n0/10 failed agent-dead 0/30000/129800\n");
}

static void test_suspect_recovers_by_two_pulses(void **state)
{
    stage_begin_two();
    stage.nodes[0].pulsing = false;
    stage_run_to(650);
    stage_told(&stage.nodes[0], true, MF_NODE_STATE_SUSPECT);
    stage_beat(&stage.nodes[0]);
    stage_run_to(1200); /* one pulse is not enough, but it is a pulse */
    stage_assert_trace("600 n0/10 suspect silence 600/0/0\n");
    stage_beat(&stage.nodes[0]);
    stage_run_to(1600);
    stage_assert_trace("1200 n0/10 recovered pulse 0/0/0\n1500 n0/10 recovered pulse 300/0/0\n");
    stage_told(&stage.nodes[0], true, MF_NODE_STATE_READY);
    stage_start_pulsing(&stage.nodes[0]);
    stage_run_to(9000);
    stage_assert_trace("");
}

static void test_two_pulses_with_a_pause_between_are_no_recovery(void **state)
{
    stage_begin_two();
    stage.nodes[0].pulsing = false;
    stage_run_to(610);
    stage_told(&stage.nodes[0], true, MF_NODE_STATE_SUSPECT);
    stage_beat(&stage.nodes[0]);
    stage_run_to(1610);
    stage_beat(&stage.nodes[0]);
    stage_run_to(2700);
    stage_assert_trace("600 n0/10 suspect silence 600/0/0\n");
    stage_run_to(2815);
    stage_assert_trace("2810 n0/10 failed silence 1200/0/0\n");
}

static void test_failed_epoch_that_pulses_is_told_once(void **state)
{
    stage_begin_two();
    stage.nodes[0].pulsing = false;
    stage_run_to(1300);
    stage_told(&stage.nodes[0], false, MF_NODE_STATE_FAILED);
    mf_buf_clear(&stage.trace);
    stage_run_to(2000);
    stage_start_pulsing(&stage.nodes[0]);
    stage_run_to(5000);
    stage.nodes[0].pulsing = false;
    stage_run_to(20000);
    stage_assert_trace("2200 n0/10 recovered pulse 0/900/0\n");
}

/* The verdict and the pulse that belies it cross: what was said first is said first, and nothing is said
 * twice. */
static void test_return_before_the_broker_shows_failed(void **state)
{
    stage_begin_two();
    stage.nodes[0].pulsing = false;
    stage_run_to(1250);
    mf_buf_clear(&stage.trace);
    stage_start_pulsing(&stage.nodes[0]);
    stage_run_to(1470);
    stage_assert_trace("1450 n0/10 recovered pulse 0/0/0\n");
    stage_told(&stage.nodes[0], true, MF_NODE_STATE_FAILED);
    stage_run_to(5000);
    stage_assert_trace("");
}

static void test_verdict_the_broker_does_not_take_is_no_end(void **state)
{
    stage_begin_two();
    stage.nodes[0].pulsing = false;
    stage_run_to(1300);
    stage_start_pulsing(&stage.nodes[0]);
    stage_run_to(2000); /* failed, returned; the broker held the verdict */
    mf_buf_clear(&stage.trace);
    stage.nodes[0].pulsing = false; /* last pulse at 1900 */
    stage_run_to(3150);
    stage_assert_trace("2500 n0/10 suspect silence 600/0/0\n2800 n0/10 suspect silence 900/0/0\n"
                       "3100 n0/10 failed silence 1200/0/0\n");
}

static void test_new_epoch_has_a_fresh_grace(void **state)
{
    stage_begin_two();
    stage.nodes[0].pulsing = false;
    stage_run_to(500);
    stage.nodes[0].epoch = 50;
    stage_told(&stage.nodes[0], true, MF_NODE_STATE_JOINING);
    stage_run_to(1695);
    stage_assert_trace("");
    stage_run_to(1700);
    stage_assert_trace("1700 n0/50 failed never-heard 1200/0/0\n");
}

static void test_pulses_of_an_old_epoch_are_nothing(void **state)
{
    struct stage_node old;
    stage_begin_two();
    stage.nodes[0].pulsing = false;
    old = stage.nodes[0];
    stage.nodes[0].epoch = 50;
    stage_told(&stage.nodes[0], true, MF_NODE_STATE_READY);
    for (mf_ms t = 200; t <= 1200; t += 200) {
        stage_beat(&old);
        stage_run_to(t);
    }
    stage_assert_trace("1200 n0/50 failed never-heard 1200/0/0\n");
}

static void test_never_heard_and_closed_has_its_full_grace(void **state)
{
    stage_begin_two();
    stage_told(&stage.nodes[2], false, MF_NODE_STATE_READY);
    stage_run_to(1195);
    stage_assert_trace("");
    stage_run_to(1200);
    stage_assert_trace("1200 n2/12 failed never-heard 1200/1200/0\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, stage_begin, stage_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_hello_is_said_until_welcomed),
        TEST(test_all_is_quiet_while_all_pulse),
        TEST(test_silence_is_suspect_then_failed),
        TEST(test_closed_and_quiet_is_failed_at_once),
        TEST(test_word_of_closing_must_be_an_interval_old),
        TEST(test_closed_alone_is_nothing),
        TEST(test_pause_of_a_keeper_is_nothing),
        TEST(test_agent_dead_has_its_grace),
        TEST(test_agent_called_dead_over_an_open_connection_is_nothing),
        TEST(test_suspect_recovers_by_two_pulses),
        TEST(test_two_pulses_with_a_pause_between_are_no_recovery),
        TEST(test_failed_epoch_that_pulses_is_told_once),
        TEST(test_return_before_the_broker_shows_failed),
        TEST(test_verdict_the_broker_does_not_take_is_no_end),
        TEST(test_new_epoch_has_a_fresh_grace),
        TEST(test_pulses_of_an_old_epoch_are_nothing),
        TEST(test_never_heard_and_closed_has_its_full_grace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
