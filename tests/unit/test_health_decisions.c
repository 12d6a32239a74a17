/* test_health_decisions.c - the decision table of docs/DETECTION.md, row by row: who sees what, and what the
 * monitor concludes. The tests are named after the rows. n0 is the node in question; times are since its last
 * pulse. */
#include "health_stage.h"

static void say_closed(size_t i)
{
    stage_told(&stage.nodes[i], false, MF_NODE_STATE_READY);
}

static void say_suspect(size_t i)
{
    stage_told(&stage.nodes[i], true, MF_NODE_STATE_SUSPECT);
}

static void die(size_t i)
{
    stage.nodes[i].pulsing = false;
}

/* -- a death, seen by 0, 1 and several others */

static void test_dead_with_no_other_node(void **state)
{
    stage_begin_some(1);
    die(0);
    stage_run_to(1250);
    stage_assert_trace("600 n0/10 suspect silence 600/0/0\n900 n0/10 suspect silence 900/0/0\n"
                       "1200 n0/10 failed silence 1200/0/0\n");
    assert_int_equal(stage.last_verdict.asked, 0);
}

static void test_dead_with_one_other_node(void **state)
{
    stage_begin_some(2);
    die(0);
    stage_run_to(1250);
    stage_assert_trace("600 n0/10 suspect silence 600/0/0\n900 n0/10 suspect silence 900/0/0\n"
                       "1200 n0/10 failed silence 1200/0/0\n");
    assert_int_equal(stage.last_verdict.asked, 1);
    assert_int_equal(stage.last_verdict.echoes, 0);
    assert_int_equal(stage.nodes[1].relays, 7);  /* at 500, 600 ... 1100 */
    assert_int_equal(stage.nodes[0].probed, 14); /* each time directly, too */
}

static void test_dead_with_several_others(void **state)
{
    stage_begin_some(5);
    die(0);
    stage_run_to(1250);
    stage_assert_trace("600 n0/10 suspect silence 600/0/0\n900 n0/10 suspect silence 900/0/0\n"
                       "1200 n0/10 failed silence 1200/0/0\n");
    assert_int_equal(stage.last_verdict.asked, 3); /* never more at a time */
    assert_int_equal(stage.last_verdict.echoes, 0);
}

static void test_dead_and_closed(void **state)
{
    stage_begin_some(5);
    die(0);
    stage_run_to(50);
    say_closed(0);
    stage_run_to(650);
    stage_assert_trace("600 n0/10 failed closed 600/550/0\n");
    assert_int_equal(stage.last_verdict.asked, 3);
    assert_int_equal(stage.nodes[0].probed, 24); /* from the closing on: at 50, 150 ... 550 */
}

/* It answered while its connection closed, and then died: that costs no more than a pulse at that time would.
 */
static void test_dead_after_an_echo(void **state)
{
    stage_begin_some(5);
    stage_run_to(50);
    say_closed(0);
    stage_run_to(60);
    die(0);
    stage_run_to(700);
    stage_assert_trace("600 n0/10 suspect silence 600/550/0\n660 n0/10 failed closed 660/610/0\n");
    assert_int_equal(stage.last_verdict.echoes, 0); /* not any more */
}

/* -- alive, but not heard */

static void test_pulses_lost_but_it_answers_the_monitor(void **state)
{
    stage_begin_some(1);
    stage.nodes[0].next = INT64_MAX; /* its keeper pulses to another address */
    stage_run_to(700);
    say_suspect(0);
    stage_run_to(60000);
    stage_assert_trace("602 n0/10 suspect silence 602/0/0\n1202 n0/10 suspect echo 1202/0/0\n");
    assert_true(stage.sent < 130); /* two a second while it stays so */
}

static void test_cut_off_from_the_monitor_with_one_other(void **state)
{
    stage_begin_some(2);
    stage_cut(0, MONITOR);
    stage_run_to(700);
    say_suspect(0);
    stage_run_to(30000);
    stage_assert_trace("600 n0/10 suspect silence 600/0/0\n1200 n0/10 suspect echo 1200/0/0\n");
    assert_true(stage.last_verdict.asked > 0 && stage.last_verdict.asked == stage.last_verdict.echoes);
    stage_heal();
    stage_run_to(30500);
    stage_assert_trace("30400 n0/10 recovered pulse 0/0/0\n");
}

static void test_cut_off_from_the_monitor_with_several_others(void **state)
{
    stage_begin_some(5);
    stage_cut(0, MONITOR);
    stage_cut(0, 2); /* and some others do not reach it either */
    stage_cut(0, 3);
    stage_run_to(700);
    say_suspect(0);
    stage_run_to(30000);
    stage_assert_trace("600 n0/10 suspect silence 600/0/0\n1200 n0/10 suspect echo 1200/0/0\n");
}

/* The agent's connection went the same way as the pulses: only the peers know better. */
static void test_closed_and_cut_off_but_it_answers_peers(void **state)
{
    stage_begin_some(5);
    stage_cut(0, MONITOR);
    say_closed(0);
    stage_run_to(800);
    stage_told(&stage.nodes[0], false, MF_NODE_STATE_SUSPECT);
    stage_run_to(30000);
    stage_assert_trace("600 n0/10 suspect silence 600/600/0\n644 n0/10 suspect echo 644/644/0\n");
}

/* A pulse after such echoes is news: from it on the 3 intervals count again, not the limit of silence. */
static void test_closed_and_answering_pulses_once_more(void **state)
{
    stage_begin_some(5);
    stage_cut(0, MONITOR);
    say_closed(0);
    stage_run_to(1000);
    stage_told(&stage.nodes[0], false, MF_NODE_STATE_SUSPECT);
    stage_heal();
    stage_beat(&stage.nodes[0]);
    die(0);
    stage_run_to(3000);
    assert_true(stage_said("1600 n0/10 failed closed 600/1600/0\n"));
}

/* Echoes are asked for twice a second, and may be lost too: their limit is that of silence. */
static void test_closed_and_answering_bears_lost_rounds(void **state)
{
    stage_begin_some(5);
    stage_cut(0, MONITOR);
    say_closed(0);
    stage_run_to(2000);
    stage.nodes[0].pulsing = false;
    stage_run_to(2600);
    stage.nodes[0].pulsing = true;
    stage_run_to(10000);
    assert_false(stage_said("failed"));
}

static void test_it_stops_answering(void **state)
{
    stage_begin_some(5);
    stage_cut(0, MONITOR);
    stage_run_to(700);
    say_suspect(0);
    stage_run_to(10000);
    mf_buf_clear(&stage.trace);
    die(0);
    stage_run_to(11300); /* it answered last at 9600 */
    stage_assert_trace("10800 n0/10 failed silence 10800/0/0\n11100 n0/10 failed silence 11100/0/0\n");
}

static void test_never_heard_but_it_answers(void **state)
{
    stage_begin_some(5);
    stage_cut_way(5, MONITOR);
    stage_start_pulsing(&stage.nodes[5]);
    stage_told(&stage.nodes[5], true, MF_NODE_STATE_READY);
    stage_run_to(1250);
    stage_assert_trace("1200 n5/15 suspect echo 1200/0/0\n");
}

static void test_isolated_from_all(void **state)
{
    stage_begin_some(5);
    stage_cut(0, MONITOR);
    for (size_t i = 1; i < 5; i++)
        stage_cut(0, i);
    stage_run_to(1250);
    stage_assert_trace("600 n0/10 suspect silence 600/0/0\n900 n0/10 suspect silence 900/0/0\n"
                       "1200 n0/10 failed silence 1200/0/0\n");
}

/* -- one-way cuts */

static void test_one_way_cut_to_the_monitor(void **state)
{
    stage_begin_some(3);
    stage_cut_way(0, MONITOR);
    stage_run_to(700);
    say_suspect(0);
    stage_run_to(5000);
    stage_assert_trace("600 n0/10 suspect silence 600/0/0\n1200 n0/10 suspect echo 1200/0/0\n");
}

static void test_one_way_cut_to_the_monitor_with_no_other(void **state)
{
    stage_begin_some(1);
    stage_cut_way(0, MONITOR);
    stage_run_to(1250);
    stage_assert_trace("600 n0/10 suspect silence 600/0/0\n900 n0/10 suspect silence 900/0/0\n"
                       "1200 n0/10 failed silence 1200/0/0\n");
}

static void test_one_way_cut_from_the_monitor(void **state)
{
    stage_begin_some(3);
    stage_cut_way(MONITOR, 0);
    say_closed(0);
    stage_run_to(60000);
    stage_assert_trace("");
}

/* -- parts of a node */

/* The broker, which hears the agent, does not let this take effect (its row is node.held). */
static void test_keeper_dead_agent_alive(void **state)
{
    stage_begin_some(3);
    die(0);
    stage_run_to(700);
    say_suspect(0);
    stage_run_to(4000);
    stage_assert_trace("600 n0/10 suspect silence 600/0/0\n1200 n0/10 failed silence 1200/0/0\n"
                       "1500 n0/10 failed silence 1500/0/0\n1800 n0/10 failed silence 1800/0/0\n"
                       "2800 n0/10 failed silence 2800/0/0\n3800 n0/10 failed silence 3800/0/0\n");
    stage_start_pulsing(&stage.nodes[0]); /* a new keeper takes over */
    stage_run_to(4250);
    stage_assert_trace("4200 n0/10 recovered pulse 0/0/0\n");
}

/* An echo told of the agent's death before the next pulse could. */
static void test_agent_dead_keeper_alive(void **state)
{
    stage_begin_some(3);
    stage.nodes[0].agent_dead = true;
    stage_run_to(10);
    say_closed(0);
    stage_run_to(30021);
    stage_assert_trace("");
    stage_run_to(30050);
    stage_assert_trace("30030 n0/10 failed agent-dead 30/30020/30008\n");
}

static void test_guest_dead(void **state)
{
    stage_begin_some(3);
    stage.nodes[0].guests = 5;
    stage_run_to(1000);
    stage.nodes[0].guests = 4;
    stage_run_to(10000);
    stage_assert_trace("");
}

/* -- the monitor's own ears */

static void begin_deaf(size_t n)
{
    stage_begin_some(n);
    for (size_t i = 0; i < n; i++)
        stage_cut(i, MONITOR);
}

/* It can't know better than its one node: the broker does, while it hears the agent. */
static void test_deaf_with_one_node(void **state)
{
    begin_deaf(1);
    stage_run_to(1250);
    stage_assert_trace("600 n0/10 suspect silence 600/0/0\n900 n0/10 suspect silence 900/0/0\n"
                       "1200 n0/10 failed silence 1200/0/0\n");
}

static void test_deaf_with_two_nodes(void **state)
{
    begin_deaf(2);
    stage_run_to(60000);
    stage_assert_trace(
        "600 suspended: it hears 0 of 2 nodes whose connection is open, less than 50 percent\n");
}

static void test_half_of_the_nodes_die(void **state)
{
    stage_begin_some(4);
    die(0);
    die(1);
    stage_run_to(1250);
    assert_false(stage_said("suspended"));
    assert_true(stage_said("1200 n0/10 failed silence") && stage_said("1200 n1/11 failed silence"));
}

/* Pulses go astray, but who answers is heard. */
static void test_not_deaf_to_echoes(void **state)
{
    stage_begin_some(5);
    for (size_t i = 0; i < 4; i++)
        stage.nodes[i].next = INT64_MAX;
    stage_run_to(10000);
    assert_false(stage_said("suspended") || stage_said("failed"));
    assert_true(stage_said("n3/13 suspect echo"));
    for (size_t i = 0; i < 5; i++)
        stage_cut(i, MONITOR);
    stage_run_to(12000);
    assert_true(stage_said("suspended: it hears"));
    stage_heal();
    stage_run_to(13000);
    assert_true(stage_said("resumed"));
    assert_false(stage_said("failed"));
}

static void test_never_heard_is_no_reason_for_doubt(void **state)
{
    stage_begin_some(2);
    for (size_t i = 2; i < NODES; i++)
        stage_told(&stage.nodes[i], true, MF_NODE_STATE_READY);
    stage_run_to(1250);
    assert_false(stage_said("suspended"));
    assert_true(stage_said("n5/15 failed never-heard"));
}

/* What was said before the doubt did not count during it, and is said again. */
static void test_words_are_repeated_after_the_doubt(void **state)
{
    stage_begin_some(3);
    die(0);
    stage_run_to(700);
    say_suspect(0);
    die(1);
    stage_run_to(1400);
    stage_assert_trace(
        "600 n0/10 suspect silence 600/0/0\n"
        "1200 suspended: it hears 1 of 3 nodes whose connection is open, less than 50 percent\n");
    stage_start_pulsing(&stage.nodes[1]);
    stage_run_to(1450);
    assert_true(stage_said("resumed"));
    assert_true(stage_said("n0/10 suspect silence 14"));
}

static void test_deaf_with_several_nodes(void **state)
{
    begin_deaf(5);
    stage_run_to(60000);
    assert_false(stage_said("failed"));
    mf_buf_clear(&stage.trace);
    stage_heal();
    stage_run_to(65000);
    assert_false(stage_said("failed"));
    assert_true(stage_said("resumed"));
    assert_false(stage.last_alive.suspended);
}

/* Who died while nobody listened is found out a whole grace after the hearing is back. */
static void test_dead_while_the_monitor_was_deaf(void **state)
{
    begin_deaf(5);
    stage_run_to(5000);
    die(0);
    stage_run_to(10000);
    stage_set_mark();
    stage_heal();
    stage_run_to(1050);
    assert_false(stage_said("failed"));
    stage_run_to(1450);
    assert_true(stage_said("n0/10 failed silence"));
}

/* Two of three lose power: their connections stay open until the heartbeat finds out. */
static void test_most_nodes_die_silently(void **state)
{
    stage_begin_some(3);
    die(0);
    die(1);
    stage_run_to(4500);
    assert_false(stage_said("failed"));
    assert_true(stage_said("suspended: it hears 1 of 3"));
    mf_buf_clear(&stage.trace);
    say_closed(0);
    stage_run_to(4510);
    assert_true(stage_said("4510 resumed")); /* one that is not heard may be dead */
    say_closed(1);
    stage_run_to(5115);
    assert_true(stage_said("5110 n0/10 failed closed"));
    assert_true(stage_said("5110 n1/11 failed closed"));
}

static void test_deaf_and_all_connections_closed(void **state)
{
    begin_deaf(3);
    stage_run_to(4500);
    mf_buf_clear(&stage.trace);
    for (size_t i = 0; i < 3; i++)
        say_closed(i);
    stage_run_to(5115);
    assert_true(stage_said("4510 resumed"));
    assert_true(stage_said("5110 n0/10 failed closed"));
}

static void test_own_loop_stood_still(void **state)
{
    stage_begin_some(3);
    stage.now += 3010;
    for (size_t i = 1; i < 3; i++)
        stage.nodes[i].next = stage.now + 50;
    die(0); /* just then */
    stage_feed_kind(MF_HEALTH_TICK);
    stage_run_to(4700);
    stage_assert_trace("3010 suspended: its own loop stood still for 3000 ms\n3610 resumed\n"
                       "4210 n0/10 suspect silence 1210/0/0\n4510 n0/10 suspect silence 1510/0/0\n");
    stage_run_to(4850);
    stage_assert_trace("4810 n0/10 failed silence 1810/0/0\n");
}

/* Half a second late, twice over: an echo must not grow old while nobody listens. */
static void test_own_loop_was_late_for_an_echo(void **state)
{
    stage_begin_some(2);
    stage_cut(0, MONITOR);
    stage_run_to(2590); /* answered at 2104 or so */
    stage.now += 990;
    stage.nodes[0].next = stage.nodes[1].next = stage.now + 50;
    stage_feed_kind(MF_HEALTH_TICK);
    stage_run_to(6000);
    assert_true(stage_said("suspect echo"));
    assert_false(stage_said("failed") || stage_said("suspended"));
}

/* -- several monitors: this one is a voice among others */

static void test_other_monitors_hear_it(void **state)
{
    stage_begin_some(1);
    die(0);
    stage_run_to(5000); /* told ready all the time: the others do not agree */
    stage_assert_trace("600 n0/10 suspect silence 600/0/0\n900 n0/10 suspect silence 900/0/0\n"
                       "1200 n0/10 failed silence 1200/0/0\n1500 n0/10 failed silence 1500/0/0\n"
                       "1800 n0/10 failed silence 1800/0/0\n2800 n0/10 failed silence 2800/0/0\n"
                       "3800 n0/10 failed silence 3800/0/0\n4800 n0/10 failed silence 4800/0/0\n");
    stage_start_pulsing(&stage.nodes[0]);
    stage_run_to(20000);
    stage_assert_trace("5200 n0/10 recovered pulse 0/0/0\n"); /* the voice is withdrawn, once */
}

/* A majority doubted it, and does not any more; this one still does. */
static void test_other_monitors_hear_it_again(void **state)
{
    stage_begin_some(1);
    stage.nodes[0].next = INT64_MAX; /* it answers */
    stage_run_to(700);
    say_suspect(0);
    stage_run_to(1500);
    mf_buf_clear(&stage.trace);
    stage_told(&stage.nodes[0], true, MF_NODE_STATE_READY);
    stage_run_to(2000);
    stage_assert_trace("1500 n0/10 suspect echo 1500/0/0\n1802 n0/10 suspect echo 1802/0/0\n");
}

static void test_other_monitors_suspect_it(void **state)
{
    stage_begin_some(1);
    stage_run_to(50);
    say_suspect(0);
    stage_run_to(2500); /* two pulses, and the word stands for as long as they do */
    stage_assert_trace("200 n0/10 recovered pulse 0/0/0\n500 n0/10 recovered pulse 100/0/0\n"
                       "800 n0/10 recovered pulse 0/0/0\n1800 n0/10 recovered pulse 0/0/0\n");
}

static void test_other_monitors_hold_it_failed(void **state)
{
    stage_begin_some(1);
    stage_run_to(50);
    stage_told(&stage.nodes[0], true, MF_NODE_STATE_FAILED);
    stage_run_to(5000);
    stage_assert_trace("200 n0/10 recovered pulse 0/0/0\n");
}

/* Failed was said and not taken, and then a peer brings an echo: the word is taken back as far as that goes.
 */
static void test_failed_is_taken_back_by_an_echo(void **state)
{
    stage_begin_some(2);
    stage_cut(0, MONITOR);
    stage_cut(0, 1);
    stage_run_to(1300);
    mf_buf_clear(&stage.trace);
    stage.cut[0][1] = stage.cut[1][0] = false;
    stage_run_to(2300);
    assert_true(stage_said("n0/10 suspect echo"));
    assert_false(stage_said("failed silence 2"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, stage_begin, stage_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_dead_with_no_other_node),
        TEST(test_dead_with_one_other_node),
        TEST(test_dead_with_several_others),
        TEST(test_dead_and_closed),
        TEST(test_dead_after_an_echo),
        TEST(test_pulses_lost_but_it_answers_the_monitor),
        TEST(test_cut_off_from_the_monitor_with_one_other),
        TEST(test_cut_off_from_the_monitor_with_several_others),
        TEST(test_closed_and_cut_off_but_it_answers_peers),
        TEST(test_closed_and_answering_bears_lost_rounds),
        TEST(test_closed_and_answering_pulses_once_more),
        TEST(test_it_stops_answering),
        TEST(test_never_heard_but_it_answers),
        TEST(test_isolated_from_all),
        TEST(test_one_way_cut_to_the_monitor),
        TEST(test_one_way_cut_to_the_monitor_with_no_other),
        TEST(test_one_way_cut_from_the_monitor),
        TEST(test_keeper_dead_agent_alive),
        TEST(test_agent_dead_keeper_alive),
        TEST(test_guest_dead),
        TEST(test_deaf_with_one_node),
        TEST(test_deaf_with_two_nodes),
        TEST(test_half_of_the_nodes_die),
        TEST(test_not_deaf_to_echoes),
        TEST(test_never_heard_is_no_reason_for_doubt),
        TEST(test_words_are_repeated_after_the_doubt),
        TEST(test_deaf_with_several_nodes),
        TEST(test_dead_while_the_monitor_was_deaf),
        TEST(test_most_nodes_die_silently),
        TEST(test_deaf_and_all_connections_closed),
        TEST(test_own_loop_stood_still),
        TEST(test_own_loop_was_late_for_an_echo),
        TEST(test_other_monitors_hear_it),
        TEST(test_other_monitors_hear_it_again),
        TEST(test_other_monitors_suspect_it),
        TEST(test_other_monitors_hold_it_failed),
        TEST(test_failed_is_taken_back_by_an_echo),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
