/* test_health_core.c - the ear in virtual time. Each test plays a story and compares the trace of what the
 * monitor said, and nothing else, with the expected lines; times are milliseconds since the last mark. */
#include "health.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

enum { NODES = 4, PULSE_MS = 200, SILENCE_MS = 1200, GRACE_MS = 30000 };

struct node {
    char name[16];
    uint64_t epoch, counter;
    uint8_t key[MF_PULSE_KEY];
    bool pulsing, agent_dead;
    mf_ms next; /* pulse */
};

static struct mf_health *core;
static struct node nodes[NODES];
static mf_ms now, mark;
static struct mf_buf trace;
static unsigned alives;
static struct mf_msg_monitor_alive last_alive;

/* -- the world */

static void trace_message(const struct mf_message *message)
{
    char line[200] = "";
    const struct mf_msg_monitor_verdict *v = &message->monitor_verdict;
    if (message->kind == MF_MSG_MONITOR_HELLO)
        mf_str_format(line, sizeof(line), "%lld hello\n", (long long)(now - mark));
    else if (message->kind == MF_MSG_MONITOR_VERDICT)
        mf_str_format(line, sizeof(line), "%lld %.*s/%llu %s %s %llu/%llu/%llu\n", (long long)(now - mark),
                      (int)v->node.len, v->node.ptr, (unsigned long long)v->epoch,
                      mf_verdict_word(v->verdict), mf_evidence_word(v->evidence),
                      (unsigned long long)v->silent_ms, (unsigned long long)v->closed_ms,
                      (unsigned long long)v->agent_dead_ms);
    else {
        assert_int_equal(message->kind, MF_MSG_MONITOR_ALIVE);
        last_alive = message->monitor_alive;
        alives++;
    }
    mf_buf_append(&trace, line, strlen(line));
}

static void feed(const struct mf_health_event *event)
{
    struct mf_health_action action;
    mf_health_feed(core, now, event);
    mf_health_check(core);
    while (mf_health_poll(core, &action)) {
        struct mf_buf head = {0}, body = {0};
        mf_message_encode(action.message, &head, &body); /* asserts that it obeys the table */
        assert_true(mf_may_send(MF_ROLE_MONITOR, action.message->kind));
        mf_buf_free(&head);
        mf_buf_free(&body);
        trace_message(action.message);
    }
    mf_health_check(core);
}

static void feed_kind(enum mf_health_event_kind kind)
{
    feed(&(struct mf_health_event){.kind = kind});
}

static void feed_message(const struct mf_message *message)
{
    feed(&(struct mf_health_event){.kind = MF_HEALTH_MESSAGE, .message = message});
}

static void pulse_bytes(const struct node *node, uint64_t counter, uint8_t ret_bytes[MF_PULSE_SIZE])
{
    struct mf_pulse pulse = {.kind = MF_PULSE_BEAT,
                             .epoch = node->epoch,
                             .counter = counter,
                             .flags = node->agent_dead ? 0 : MF_PULSE_AGENT_ALIVE};
    mf_str_format(pulse.node, sizeof(pulse.node), "%s", node->name);
    mf_pulse_encode(&pulse, node->key, ret_bytes);
}

static void feed_bytes(const uint8_t *bytes, size_t len)
{
    feed(&(struct mf_health_event){.kind = MF_HEALTH_PULSE, .bytes = bytes, .len = len});
}

static void beat(struct node *node)
{
    uint8_t bytes[MF_PULSE_SIZE];
    pulse_bytes(node, ++node->counter, bytes);
    feed_bytes(bytes, sizeof(bytes));
}

static void told(struct node *node, bool connected, enum mf_node_state state)
{
    struct mf_message message = {.kind = MF_MSG_MONITOR_NODE};
    message.monitor_node = (struct mf_msg_monitor_node){.node = mf_str(node->name),
                                                        .epoch = node->epoch,
                                                        .pulse_key = {(const char *)node->key, MF_PULSE_KEY},
                                                        .connected = connected,
                                                        .state = state};
    feed_message(&message);
}

static void welcome(void)
{
    struct mf_message message = {.kind = MF_MSG_MONITOR_WELCOME};
    message.monitor_welcome = (struct mf_msg_monitor_welcome){
        .term = 1, .pulse_ms = PULSE_MS, .silence_ms = SILENCE_MS, .agent_grace_ms = GRACE_MS};
    feed_message(&message);
}

static void start_pulsing(struct node *node)
{
    node->pulsing = true;
    node->next = now;
}

static mf_ms next_time(void)
{
    mf_ms next = mf_health_deadline(core);
    for (size_t i = 0; i < NODES; i++)
        if (nodes[i].pulsing && nodes[i].next < next)
            next = nodes[i].next;
    return next < now ? now : next;
}

/* Until `ms` after the mark: pulses as they are due, the core's deadlines kept to the millisecond. */
static void run_to(mf_ms ms)
{
    while (next_time() <= mark + ms) {
        now = next_time();
        for (size_t i = 0; i < NODES; i++)
            if (nodes[i].pulsing && nodes[i].next <= now) {
                nodes[i].next += PULSE_MS;
                beat(&nodes[i]);
            }
        feed_kind(MF_HEALTH_TICK);
    }
    now = mark + ms;
}

static void set_mark(void)
{
    mark = now;
    mf_buf_clear(&trace);
}

static void assert_trace(const char *expected)
{
    mf_buf_append(&trace, "", 1);
    assert_string_equal(trace.ptr, expected);
    mf_buf_clear(&trace);
}

/* Two nodes, ready, connected, pulsing for a second; mark is the moment of node n0's latest pulse. */
static void begin_two(void)
{
    feed_kind(MF_HEALTH_LINK_UP);
    welcome();
    for (size_t i = 0; i < 2; i++) {
        told(&nodes[i], true, MF_NODE_STATE_READY);
        start_pulsing(&nodes[i]);
    }
    run_to(1000);
    set_mark();
}

static int begin(void **state)
{
    struct mf_health_config config;
    mf_health_config_default(&config);
    mf_str_format(config.name, sizeof(config.name), "health-0");
    mf_str_format(config.pulse_address, sizeof(config.pulse_address), "127.0.0.1:7000");
    core = mf_health_new(&config);
    now = mark = 100000;
    alives = 0;
    mf_buf_clear(&trace);
    memset(nodes, 0, sizeof(nodes));
    for (size_t i = 0; i < NODES; i++) {
        mf_str_format(nodes[i].name, sizeof(nodes[i].name), "n%zu", i);
        memset(nodes[i].key, (int)i + 1, MF_PULSE_KEY);
        nodes[i].epoch = 10 + i;
        nodes[i].counter = 1000000;
    }
    return 0;
}

static int end(void **state)
{
    mf_health_destroy(&core);
    assert_null(core);
    mf_buf_free(&trace);
    return 0;
}

/* -- the stories */

static void test_hello_is_said_until_welcomed(void **state)
{
    run_to(300);
    assert_trace("");
    feed_kind(MF_HEALTH_LINK_UP);
    run_to(1500);
    assert_trace("300 hello\n800 hello\n1300 hello\n");
    welcome();
    assert_int_equal(alives, 1);
    run_to(3500);
    assert_trace("");
    assert_int_equal(alives, 5);
}

static void test_all_is_quiet_while_all_pulse(void **state)
{
    begin_two();
    run_to(60000);
    assert_trace("");
    assert_int_equal(last_alive.nodes_known, 2);
    assert_int_equal(last_alive.nodes_heard, 2);
}

static void test_silence_is_suspect_then_failed(void **state)
{
    begin_two();
    nodes[0].pulsing = false;
    run_to(1000);
    assert_trace("600 n0/10 suspect silence 600/0/0\n900 n0/10 suspect silence 900/0/0\n");
    assert_int_equal(last_alive.nodes_heard, 1);
    told(&nodes[0], true, MF_NODE_STATE_SUSPECT);
    run_to(1700);
    assert_trace("1200 n0/10 failed silence 1200/0/0\n1500 n0/10 failed silence 1500/0/0\n");
    told(&nodes[0], true, MF_NODE_STATE_FAILED);
    run_to(20000);
    assert_trace("");
}

static void test_closed_and_quiet_is_failed_at_once(void **state)
{
    begin_two();
    nodes[0].pulsing = false;
    run_to(50);
    told(&nodes[0], false, MF_NODE_STATE_READY);
    run_to(700);
    assert_trace("600 n0/10 failed closed 600/550/0\n");
}

static void test_word_of_closing_must_be_an_interval_old(void **state)
{
    begin_two();
    nodes[0].pulsing = false;
    run_to(590);
    told(&nodes[0], false, MF_NODE_STATE_READY);
    run_to(595);
    told(&nodes[0], false, MF_NODE_STATE_READY); /* told twice: the first counts */
    run_to(800);
    assert_trace("600 n0/10 suspect silence 600/10/0\n790 n0/10 failed closed 790/200/0\n");
}

static void test_closed_alone_is_nothing(void **state)
{
    begin_two();
    run_to(50);
    told(&nodes[0], false, MF_NODE_STATE_READY);
    run_to(60000);
    assert_trace("");
}

static void test_pause_of_a_keeper_is_nothing(void **state)
{
    begin_two();
    told(&nodes[0], false, MF_NODE_STATE_READY); /* even while its agent reconnects */
    for (mf_ms t = 190; t < 60000; t += 490) {   /* stopped for 300 ms at the worst moment, again and again */
        run_to(t);
        nodes[0].pulsing = false;
        run_to(t + 300);
        start_pulsing(&nodes[0]);
    }
    assert_trace("");
}

static void test_agent_dead_has_its_grace(void **state)
{
    begin_two();
    nodes[0].agent_dead = true;
    told(&nodes[0], false, MF_NODE_STATE_READY);
    run_to(20000);
    nodes[0].agent_dead = false; /* the keeper restarted it */
    run_to(40000);
    assert_trace("");
    nodes[0].agent_dead = true;
    run_to(75000);
    /* the first pulse that says so came at 40200 */
    assert_trace(
        "70200 n0/10 failed agent-dead 0/70200/30000\n70500 n0/10 failed agent-dead 100/70500/30300\n"
        "70800 n0/10 failed agent-dead 0/70800/30600\n71100 n0/10 failed agent-dead 100/71100/30900\n"
        "71400 n0/10 failed agent-dead 0/71400/31200\n71700 n0/10 failed agent-dead 100/71700/31500\n"
        "72000 n0/10 failed agent-dead 0/72000/31800\n72300 n0/10 failed agent-dead 100/72300/32100\n"
        "72600 n0/10 failed agent-dead 0/72600/32400\n72900 n0/10 failed agent-dead 100/72900/32700\n"
        "73200 n0/10 failed agent-dead 0/73200/33000\n73500 n0/10 failed agent-dead 100/73500/33300\n"
        "73800 n0/10 failed agent-dead 0/73800/33600\n74100 n0/10 failed agent-dead 100/74100/33900\n"
        "74400 n0/10 failed agent-dead 0/74400/34200\n74700 n0/10 failed agent-dead 100/74700/34500\n"
        "75000 n0/10 failed agent-dead 0/75000/34800\n");
    told(&nodes[0], false, MF_NODE_STATE_FAILED);
    nodes[0].agent_dead = false;
    run_to(80000);
    assert_trace("75200 n0/10 recovered pulse 0/75200/0\n");
}

static void test_agent_called_dead_over_an_open_connection_is_nothing(void **state)
{
    begin_two();
    nodes[0].agent_dead = true;
    run_to(100000);
    assert_trace("");
    told(&nodes[0], false, MF_NODE_STATE_READY);
    run_to(129999);
    assert_trace("");
    run_to(130000);
    assert_trace("130000 n0/10 failed agent-dead 0/30000/129800\n");
}

static void test_suspect_recovers_by_two_pulses(void **state)
{
    begin_two();
    nodes[0].pulsing = false;
    run_to(650);
    told(&nodes[0], true, MF_NODE_STATE_SUSPECT);
    beat(&nodes[0]);
    run_to(1200); /* one pulse is not enough, but it is a pulse */
    assert_trace("600 n0/10 suspect silence 600/0/0\n");
    beat(&nodes[0]);
    run_to(1600);
    assert_trace("1200 n0/10 recovered pulse 0/0/0\n1500 n0/10 recovered pulse 300/0/0\n");
    told(&nodes[0], true, MF_NODE_STATE_READY);
    start_pulsing(&nodes[0]);
    run_to(9000);
    assert_trace("");
}

static void test_two_pulses_with_a_pause_between_are_no_recovery(void **state)
{
    begin_two();
    nodes[0].pulsing = false;
    run_to(610);
    told(&nodes[0], true, MF_NODE_STATE_SUSPECT);
    beat(&nodes[0]);
    run_to(1610);
    beat(&nodes[0]);
    run_to(2700);
    assert_trace("600 n0/10 suspect silence 600/0/0\n");
    run_to(2815);
    assert_trace("2810 n0/10 failed silence 1200/0/0\n");
}

static void test_failed_epoch_that_pulses_is_told_once(void **state)
{
    begin_two();
    nodes[0].pulsing = false;
    run_to(1300);
    told(&nodes[0], false, MF_NODE_STATE_FAILED);
    mf_buf_clear(&trace);
    run_to(2000);
    start_pulsing(&nodes[0]);
    run_to(5000);
    nodes[0].pulsing = false;
    run_to(20000);
    assert_trace("2200 n0/10 recovered pulse 0/900/0\n");
}

/* The verdict and the pulse that belies it cross: what was said first is said first, and nothing is said
 * twice. */
static void test_return_before_the_broker_shows_failed(void **state)
{
    begin_two();
    nodes[0].pulsing = false;
    run_to(1250);
    mf_buf_clear(&trace);
    start_pulsing(&nodes[0]);
    run_to(1470);
    assert_trace("1450 n0/10 recovered pulse 0/0/0\n");
    told(&nodes[0], true, MF_NODE_STATE_FAILED);
    run_to(5000);
    assert_trace("");
}

static void test_verdict_the_broker_does_not_take_is_no_end(void **state)
{
    begin_two();
    nodes[0].pulsing = false;
    run_to(1300);
    start_pulsing(&nodes[0]);
    run_to(2000); /* failed, returned; the broker held the verdict */
    mf_buf_clear(&trace);
    nodes[0].pulsing = false; /* last pulse at 1900 */
    run_to(3150);
    assert_trace("2500 n0/10 suspect silence 600/0/0\n2800 n0/10 suspect silence 900/0/0\n"
                 "3100 n0/10 failed silence 1200/0/0\n");
}

static void test_new_epoch_has_a_fresh_grace(void **state)
{
    begin_two();
    nodes[0].pulsing = false;
    run_to(500);
    nodes[0].epoch = 50;
    told(&nodes[0], true, MF_NODE_STATE_JOINING);
    run_to(1695);
    assert_trace("");
    run_to(1700);
    assert_trace("1700 n0/50 failed never-heard 1200/0/0\n");
}

static void test_pulses_of_an_old_epoch_are_nothing(void **state)
{
    struct node old;
    begin_two();
    nodes[0].pulsing = false;
    old = nodes[0];
    nodes[0].epoch = 50;
    told(&nodes[0], true, MF_NODE_STATE_READY);
    for (mf_ms t = 200; t <= 1200; t += 200) {
        beat(&old);
        run_to(t);
    }
    assert_trace("1200 n0/50 failed never-heard 1200/0/0\n");
}

static void test_never_heard_and_closed_has_its_full_grace(void **state)
{
    begin_two();
    told(&nodes[2], false, MF_NODE_STATE_READY);
    run_to(1195);
    assert_trace("");
    run_to(1200);
    assert_trace("1200 n2/12 failed never-heard 1200/1200/0\n");
}

static void test_replayed_pulses_are_nothing(void **state)
{
    uint8_t old[MF_PULSE_SIZE];
    begin_two();
    nodes[0].pulsing = false;
    pulse_bytes(&nodes[0], nodes[0].counter, old);
    for (mf_ms t = 100; t <= 1200; t += 100) {
        feed_bytes(old, sizeof(old));
        run_to(t);
    }
    told(&nodes[0], true, MF_NODE_STATE_FAILED);
    assert_trace("600 n0/10 suspect silence 600/0/0\n900 n0/10 suspect silence 900/0/0\n1200 n0/10 failed "
                 "silence 1200/0/0\n");
    feed_kind(MF_HEALTH_LINK_DOWN); /* nor after a new welcome */
    feed_kind(MF_HEALTH_LINK_UP);
    welcome();
    told(&nodes[0], true, MF_NODE_STATE_READY);
    set_mark();
    nodes[1].pulsing = false;
    feed_bytes(old, sizeof(old));
    run_to(1200);
    assert_trace("1200 n0/10 failed never-heard 1200/0/0\n");
}

static void test_forged_and_garbled_pulses_are_nothing(void **state)
{
    uint8_t bytes[MF_PULSE_SIZE];
    struct node forger;
    begin_two();
    nodes[0].pulsing = false;
    forger = nodes[0];
    memset(forger.key, 0x55, sizeof(forger.key));
    for (mf_ms t = 100; t <= 1200; t += 100) {
        beat(&forger);
        pulse_bytes(&nodes[0], nodes[0].counter + 1, bytes);
        feed_bytes(bytes, sizeof(bytes) - 1);
        feed_bytes(bytes, 0);
        bytes[MF_PULSE_SIZE - 1] ^= 1;
        feed_bytes(bytes, sizeof(bytes));
        run_to(t);
    }
    assert_trace("600 n0/10 suspect silence 600/0/0\n900 n0/10 suspect silence 900/0/0\n1200 n0/10 failed "
                 "silence 1200/0/0\n");
    beat(&nodes[3]); /* unknown to the broker */
    struct mf_buf text = {0};
    mf_health_describe(core, &text);
    mf_buf_append(&text, "", 1);
    assert_non_null(strstr(text.ptr, "malformed 24 unknown 1 stale 0 replayed 0 forged 24"));
    assert_non_null(strstr(text.ptr, "node n0 epoch 10 failed, told ready"));
    mf_buf_free(&text);
}

/* The whole machine stood still for longer than the silence limit: nobody is blamed. */
static void test_own_lateness_is_pardoned(void **state)
{
    begin_two();
    run_to(100);
    now += 5000;
    nodes[0].next = nodes[1].next = now + 100; /* the keepers stood still too */
    feed_kind(MF_HEALTH_TICK);
    run_to(9000);
    assert_trace("");
}

/* Lateness is counted as heard time, not as a new grace: a silent node is found out after what was left. */
static void test_lateness_is_added_not_more(void **state)
{
    begin_two();
    nodes[0].pulsing = false;
    run_to(500);
    now = mark + 1510; /* due at 510: a second late */
    nodes[1].next = now;
    feed_kind(MF_HEALTH_TICK);
    run_to(2250);
    assert_trace("1600 n0/10 suspect silence 600/0/0\n1900 n0/10 suspect silence 900/0/0\n2200 n0/10 failed "
                 "silence 1200/0/0\n");
}

static void test_small_lateness_is_not_pardoned(void **state)
{
    begin_two();
    nodes[0].pulsing = false;
    run_to(590);
    now = mark + 640;
    feed_kind(MF_HEALTH_TICK);
    assert_trace("640 n0/10 suspect silence 640/0/0\n");
}

static void test_broker_outage_gives_everybody_a_fresh_grace(void **state)
{
    begin_two();
    nodes[0].pulsing = false;
    feed_kind(MF_HEALTH_LINK_DOWN);
    run_to(30000); /* nobody to tell: nothing is judged */
    assert_trace("");
    feed_kind(MF_HEALTH_LINK_UP);
    welcome();
    told(&nodes[0], false, MF_NODE_STATE_READY);
    told(&nodes[1], false, MF_NODE_STATE_READY); /* agents come back after us */
    run_to(31195);
    assert_trace("30000 hello\n");
    run_to(31250);
    assert_trace("31200 n0/10 failed never-heard 1200/1200/0\n");
}

static void test_suspect_over_a_restart_recovers(void **state)
{
    feed_kind(MF_HEALTH_LINK_UP);
    welcome();
    told(&nodes[0], true, MF_NODE_STATE_SUSPECT);
    start_pulsing(&nodes[0]);
    run_to(250);
    assert_trace("0 hello\n200 n0/10 recovered pulse 0/0/0\n");
}

static void test_welcome_forgets_who_is_not_named_again(void **state)
{
    begin_two();
    for (int i = 0; i < 3; i++) {
        welcome();
        told(&nodes[1], true, MF_NODE_STATE_READY);
        nodes[0].pulsing = false;
        run_to(2000 * (i + 1));
    }
    assert_trace("");
    assert_int_equal(last_alive.nodes_known, 1);
}

static void test_stale_session_says_hello_again(void **state)
{
    struct mf_message message = {.kind = MF_MSG_ERROR};
    begin_two();
    message.error = (struct mf_msg_error){.code = mf_str("unknown"), .text = mf_str("no such node")};
    feed_message(&message);
    assert_trace("");
    message.error.code = mf_str("stale");
    feed_message(&message);
    assert_trace("0 hello\n");
}

/* 10 000 nodes at 5 Hz for 10 s of virtual time, 100 of which die at once. */
static void test_ten_thousand_nodes(void **state)
{
    enum { MANY = 10000, DEAD = 100 };
    static struct node many[MANY];
    feed_kind(MF_HEALTH_LINK_UP);
    welcome();
    struct mf_health_action action;
    for (int i = 0; i < MANY; i++) {
        mf_str_format(many[i].name, sizeof(many[i].name), "m%d", i);
        many[i].epoch = 1;
        many[i].next = now + i % PULSE_MS;
        many[i].pulsing = true;
        struct mf_message message = {.kind = MF_MSG_MONITOR_NODE};
        message.monitor_node =
            (struct mf_msg_monitor_node){.node = mf_str(many[i].name),
                                         .epoch = 1,
                                         .pulse_key = {(const char *)many[i].key, MF_PULSE_KEY},
                                         .connected = true,
                                         .state = MF_NODE_STATE_READY};
        mf_health_feed(core, now, &(struct mf_health_event){.kind = MF_HEALTH_MESSAGE, .message = &message});
    }
    unsigned failed = 0, suspect = 0;
    for (mf_ms end_ms = now + 5000; now < end_ms; now++) {
        for (int i = (int)(now % PULSE_MS); i < MANY; i += PULSE_MS) {
            uint8_t bytes[MF_PULSE_SIZE];
            if (now > end_ms - 3000 && i % (MANY / DEAD) == 0)
                continue;
            pulse_bytes(&many[i], ++many[i].counter, bytes);
            mf_health_feed(
                core, now,
                &(struct mf_health_event){.kind = MF_HEALTH_PULSE, .bytes = bytes, .len = sizeof(bytes)});
        }
        mf_health_feed(core, now, &(struct mf_health_event){.kind = MF_HEALTH_TICK});
        while (mf_health_poll(core, &action))
            if (action.message->kind == MF_MSG_MONITOR_VERDICT &&
                action.message->monitor_verdict.silent_ms < SILENCE_MS + 100) {
                failed += action.message->monitor_verdict.verdict == MF_VERDICT_FAILED;
                suspect += action.message->monitor_verdict.verdict == MF_VERDICT_SUSPECT &&
                           action.message->monitor_verdict.silent_ms < 700;
            }
    }
    assert_int_equal(failed, DEAD);
    assert_int_equal(suspect, DEAD);
    mf_health_check(core);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

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
        TEST(test_replayed_pulses_are_nothing),
        TEST(test_forged_and_garbled_pulses_are_nothing),
        TEST(test_own_lateness_is_pardoned),
        TEST(test_lateness_is_added_not_more),
        TEST(test_small_lateness_is_not_pardoned),
        TEST(test_broker_outage_gives_everybody_a_fresh_grace),
        TEST(test_suspect_over_a_restart_recovers),
        TEST(test_welcome_forgets_who_is_not_named_again),
        TEST(test_stale_session_says_hello_again),
        TEST(test_ten_thousand_nodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
