/* test_health_trouble.c - what must not mislead a monitor: forged and replayed pulses, its own lateness, a
 * broker that comes and goes, a network that loses datagrams; and ten thousand nodes at once. */
#include "health_stage.h"

static void test_replayed_pulses_are_nothing(void **state)
{
    uint8_t old[MF_PULSE_SIZE];
    stage_begin_two();
    stage.nodes[0].pulsing = false;
    stage_pulse_bytes(&stage.nodes[0], stage.nodes[0].counter, old);
    for (mf_ms t = 100; t <= 1200; t += 100) {
        stage_feed_bytes(old, sizeof(old));
        stage_run_to(t);
    }
    stage_told(&stage.nodes[0], true, MF_NODE_STATE_FAILED);
    stage_assert_trace(
        "600 n0/10 suspect silence 600/0/0\n900 n0/10 suspect silence 900/0/0\n1200 n0/10 failed "
        "silence 1200/0/0\n");
    stage_feed_kind(MF_HEALTH_LINK_DOWN); /* nor after a new welcome */
    stage_feed_kind(MF_HEALTH_LINK_UP);
    stage_welcome();
    stage_told(&stage.nodes[0], true, MF_NODE_STATE_READY);
    stage_set_mark();
    stage.nodes[1].pulsing = false;
    stage_feed_bytes(old, sizeof(old));
    stage_run_to(1200);
    stage_assert_trace("1200 n0/10 failed never-heard 1200/0/0\n");
}

static void test_forged_and_garbled_pulses_are_nothing(void **state)
{
    uint8_t bytes[MF_PULSE_SIZE];
    struct stage_node forger;
    stage_begin_two();
    stage.nodes[0].pulsing = false;
    forger = stage.nodes[0];
    memset(forger.key, 0x55, sizeof(forger.key));
    for (mf_ms t = 100; t <= 1200; t += 100) {
        stage_beat(&forger);
        stage_pulse_bytes(&stage.nodes[0], stage.nodes[0].counter + 1, bytes);
        stage_feed_bytes(bytes, sizeof(bytes) - 1);
        stage_feed_bytes(bytes, 0);
        bytes[MF_PULSE_SIZE - 1] ^= 1;
        stage_feed_bytes(bytes, sizeof(bytes));
        stage_run_to(t);
    }
    stage_assert_trace(
        "600 n0/10 suspect silence 600/0/0\n900 n0/10 suspect silence 900/0/0\n1200 n0/10 failed "
        "silence 1200/0/0\n");
    stage_beat(&stage.nodes[3]); /* unknown to the broker */
    struct mf_buf text = {0};
    mf_health_describe(stage.core, &text);
    mf_buf_append(&text, "", 1);
    assert_non_null(strstr(text.ptr, "malformed 24 unknown 1 stale 0 replayed 0 forged 24"));
    assert_non_null(strstr(text.ptr, "node n0 epoch 10 failed, told ready"));
    mf_buf_free(&text);
}

/* The whole machine stood still for longer than the silence limit: nobody is blamed. */
static void test_own_lateness_is_pardoned(void **state)
{
    stage_begin_two();
    stage_run_to(100);
    stage.now += 5000;
    stage.nodes[0].next = stage.nodes[1].next = stage.now + 100; /* the keepers stood still too */
    stage_feed_kind(MF_HEALTH_TICK);
    stage_run_to(9000);
    stage_assert_trace("5100 suspended: its own loop stood still for 4990 ms\n5700 resumed\n");
}

/* Lateness is counted as heard time, not as a new grace: a silent node is found out after what was left. */
static void test_lateness_is_added_not_more(void **state)
{
    stage_begin_two();
    stage.nodes[0].pulsing = false;
    stage_run_to(500);
    stage.now = stage.mark + 1510; /* due at 510: a second late */
    stage.nodes[1].next = stage.now;
    stage_feed_kind(MF_HEALTH_TICK);
    stage_run_to(2250);
    stage_assert_trace(
        "1600 n0/10 suspect silence 600/0/0\n1900 n0/10 suspect silence 900/0/0\n2200 n0/10 failed "
        "silence 1200/0/0\n");
}

static void test_small_lateness_is_not_pardoned(void **state)
{
    stage_begin_two();
    stage.nodes[0].pulsing = false;
    stage_run_to(590);
    stage.now = stage.mark + 640;
    stage_feed_kind(MF_HEALTH_TICK);
    stage_assert_trace("640 n0/10 suspect silence 640/0/0\n");
}

static void test_broker_outage_gives_everybody_a_fresh_grace(void **state)
{
    stage_begin_two();
    stage.nodes[0].pulsing = false;
    stage_feed_kind(MF_HEALTH_LINK_DOWN);
    stage_run_to(30000); /* nobody to tell: nothing is judged */
    stage_assert_trace("");
    stage_feed_kind(MF_HEALTH_LINK_UP);
    stage_welcome();
    stage_told(&stage.nodes[0], false, MF_NODE_STATE_READY);
    stage_told(&stage.nodes[1], false, MF_NODE_STATE_READY); /* agents come back after us */
    stage_run_to(31195);
    stage_assert_trace("30000 hello\n");
    stage_run_to(31250);
    stage_assert_trace("31200 n0/10 failed never-heard 1200/1200/0\n");
}

static void test_suspect_over_a_restart_recovers(void **state)
{
    stage_feed_kind(MF_HEALTH_LINK_UP);
    stage_welcome();
    stage_told(&stage.nodes[0], true, MF_NODE_STATE_SUSPECT);
    stage_start_pulsing(&stage.nodes[0]);
    stage_run_to(250);
    stage_assert_trace("0 hello\n200 n0/10 recovered pulse 0/0/0\n");
}

static void test_welcome_forgets_who_is_not_named_again(void **state)
{
    stage_begin_two();
    for (int i = 0; i < 3; i++) {
        stage_welcome();
        stage_told(&stage.nodes[1], true, MF_NODE_STATE_READY);
        stage.nodes[0].pulsing = false;
        stage_run_to(2000 * (i + 1));
    }
    stage_assert_trace("");
    assert_int_equal(stage.last_alive.nodes_known, 1);
}

static void test_stale_session_says_hello_again(void **state)
{
    struct mf_message message = {.kind = MF_MSG_ERROR};
    stage_begin_two();
    message.error = (struct mf_msg_error){.code = mf_str("unknown"), .text = mf_str("no such node")};
    stage_feed_message(&message);
    stage_assert_trace("");
    message.error.code = mf_str("stale");
    stage_feed_message(&message);
    stage_assert_trace("0 hello\n");
}

/* Half an hour of 20 % loss, stalls of 500 ms among it; nobody dies. The broker takes what it is told. */
static void lossy_half_hour(void)
{
    stage_begin_some(NODES);
    stage.loss = 20;
    for (mf_ms t = 0; t < 1800000; t += 1000) {
        struct stage_node *node = &stage.nodes[mf_random_below(&stage.random, NODES)];
        node->pulsing = false;
        stage_run_to(t + 500);
        stage_start_pulsing(node);
        stage_run_to(t + 1000);
    }
}

static void test_lost_datagrams_are_no_death(void **state)
{
    lossy_half_hour();
    assert_true(stage_said("suspect silence"));
    assert_false(stage_said("failed"));
}

/* Were nobody asked, the same half hour would cost lives: the test above can fail. */
static void test_lost_datagrams_without_second_opinions(void **state)
{
    stage_without_probes();
    lossy_half_hour();
    assert_int_equal(stage.sent, 0);
    assert_true(stage_said("failed"));
}

static unsigned count_datagrams(void)
{
    struct mf_health_action action;
    unsigned n = 0;
    while (mf_health_poll(stage.core, &action))
        n += action.kind == MF_HEALTH_DATAGRAM;
    return n;
}

/* A monitor that goes deaf has every node to ask about: it asks no more than it may, and every one in turn.
 */
static void test_what_is_asked_is_bounded(void **state)
{
    enum { MANY = 10000, PER_S = 4 * 2000, BURST = 4 * 400 };
    static struct stage_node many[MANY];
    stage_feed_kind(MF_HEALTH_LINK_UP);
    stage_welcome();
    for (int i = 0; i < MANY; i++) {
        uint8_t bytes[MF_PULSE_SIZE];
        many[i] = (struct stage_node){.epoch = 1, .counter = 1};
        mf_str_format(many[i].name, sizeof(many[i].name), "m%d", i);
        mf_str_format(many[i].address, sizeof(many[i].address), "10.0.%d.%d:7711", i / 250, i % 250);
        struct mf_message message = {.kind = MF_MSG_MONITOR_NODE};
        message.monitor_node =
            (struct mf_msg_monitor_node){.node = mf_str(many[i].name),
                                         .epoch = 1,
                                         .pulse_key = {(const char *)many[i].key, MF_PULSE_KEY},
                                         .connected = true,
                                         .state = MF_NODE_STATE_READY,
                                         .probe_address = mf_str(many[i].address)};
        mf_health_feed(stage.core, stage.now,
                       &(struct mf_health_event){.kind = MF_HEALTH_MESSAGE, .message = &message});
        stage_pulse_bytes(&many[i], 2, bytes);
        mf_health_feed(
            stage.core, stage.now,
            &(struct mf_health_event){.kind = MF_HEALTH_PULSE, .bytes = bytes, .len = sizeof(bytes)});
    }
    unsigned sent = 0;
    for (mf_ms end = stage.now + 5600; stage.now < end; stage.now += 10) {
        mf_health_feed(stage.core, stage.now, &(struct mf_health_event){.kind = MF_HEALTH_TICK});
        sent += count_datagrams();
    }
    mf_health_check(stage.core);
    assert_in_range(sent, 2000, BURST + 5 * PER_S);
    struct mf_buf text = {0};
    mf_health_describe(stage.core, &text);
    mf_buf_append(&text, "", 1);
    assert_non_null(strstr(text.ptr, "judges nobody: it hears"));
    mf_buf_free(&text);
}

/* 10 000 nodes at 5 Hz for 10 s of virtual time, 100 of which die at once. */
static void test_ten_thousand_nodes(void **state)
{
    enum { MANY = 10000, DEAD = 100 };
    static struct stage_node many[MANY];
    stage_feed_kind(MF_HEALTH_LINK_UP);
    stage_welcome();
    struct mf_health_action action;
    for (int i = 0; i < MANY; i++) {
        mf_str_format(many[i].name, sizeof(many[i].name), "m%d", i);
        many[i].epoch = 1;
        many[i].next = stage.now + i % PULSE_MS;
        many[i].pulsing = true;
        struct mf_message message = {.kind = MF_MSG_MONITOR_NODE};
        message.monitor_node =
            (struct mf_msg_monitor_node){.node = mf_str(many[i].name),
                                         .epoch = 1,
                                         .pulse_key = {(const char *)many[i].key, MF_PULSE_KEY},
                                         .connected = true,
                                         .state = MF_NODE_STATE_READY};
        mf_health_feed(stage.core, stage.now,
                       &(struct mf_health_event){.kind = MF_HEALTH_MESSAGE, .message = &message});
    }
    unsigned failed = 0, suspect = 0;
    for (mf_ms end_ms = stage.now + 5000; stage.now < end_ms; stage.now++) {
        for (int i = (int)(stage.now % PULSE_MS); i < MANY; i += PULSE_MS) {
            uint8_t bytes[MF_PULSE_SIZE];
            if (stage.now > end_ms - 3000 && i % (MANY / DEAD) == 0)
                continue;
            stage_pulse_bytes(&many[i], ++many[i].counter, bytes);
            mf_health_feed(
                stage.core, stage.now,
                &(struct mf_health_event){.kind = MF_HEALTH_PULSE, .bytes = bytes, .len = sizeof(bytes)});
        }
        mf_health_feed(stage.core, stage.now, &(struct mf_health_event){.kind = MF_HEALTH_TICK});
        while (mf_health_poll(stage.core, &action))
            if (action.message->kind == MF_MSG_MONITOR_VERDICT &&
                action.message->monitor_verdict.silent_ms < SILENCE_MS + 100) {
                failed += action.message->monitor_verdict.verdict == MF_VERDICT_FAILED;
                suspect += action.message->monitor_verdict.verdict == MF_VERDICT_SUSPECT &&
                           action.message->monitor_verdict.silent_ms < 700;
            }
    }
    assert_int_equal(failed, DEAD);
    assert_int_equal(suspect, DEAD);
    mf_health_check(stage.core);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, stage_begin, stage_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_replayed_pulses_are_nothing),
        TEST(test_forged_and_garbled_pulses_are_nothing),
        TEST(test_own_lateness_is_pardoned),
        TEST(test_lateness_is_added_not_more),
        TEST(test_small_lateness_is_not_pardoned),
        TEST(test_broker_outage_gives_everybody_a_fresh_grace),
        TEST(test_suspect_over_a_restart_recovers),
        TEST(test_welcome_forgets_who_is_not_named_again),
        TEST(test_stale_session_says_hello_again),
        TEST(test_lost_datagrams_are_no_death),
        TEST(test_lost_datagrams_without_second_opinions),
        TEST(test_what_is_asked_is_bounded),
        TEST(test_ten_thousand_nodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
