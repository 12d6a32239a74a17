/* test_health_peers.c - who is asked for a second opinion, and which echoes are none; the same stage as in
 * the decision table. */
#include "health_stage.h"

static void die(size_t i)
{
    stage.nodes[i].pulsing = false;
}

/* -- peers */

static void test_peers_of_other_racks_come_first(void **state)
{
    static const char *const racks[] = {"r0", "r0", "r0", "r1", "r2", "r1"};
    for (size_t i = 0; i < NODES; i++)
        mf_str_format(stage.nodes[i].rack, sizeof(stage.nodes[i].rack), "%s", racks[i]);
    stage_begin_some(NODES);
    die(0);
    stage_run_to(1250);
    assert_int_equal(stage.nodes[1].relays + stage.nodes[2].relays, 0);
    assert_int_equal(stage.nodes[3].relays, 7);
    assert_int_equal(stage.nodes[4].relays, 7);
    assert_int_equal(stage.nodes[5].relays, 7);
}

static void test_peers_of_the_same_rack_are_better_than_none(void **state)
{
    for (size_t i = 0; i < 3; i++)
        mf_str_format(stage.nodes[i].rack, sizeof(stage.nodes[i].rack), "r0");
    stage_begin_some(3);
    die(0);
    stage_run_to(1250);
    assert_int_equal(stage.nodes[1].relays, 7);
    assert_int_equal(stage.nodes[2].relays, 7);
}

static void test_who_is_not_heard_is_no_peer(void **state)
{
    stage_begin_some(5);
    die(0);
    die(1);
    stage_run_to(2000);
    assert_int_equal(stage.nodes[0].relays + stage.nodes[1].relays, 0);
    assert_true(stage.nodes[2].relays > 0 && stage.nodes[3].relays > 0 && stage.nodes[4].relays > 0);
}

/* A round that could not be sent yet, of a node that came back without a probe address. */
static void test_who_has_no_address_any_more_is_not_asked(void **state)
{
    stage_begin_some(3);
    die(0);
    stage_run_to(499);
    unsigned sent = stage.sent;
    stage.now = stage.mark + 500;
    mf_health_feed(stage.core, stage.now, &(struct mf_health_event){.kind = MF_HEALTH_TICK});
    stage.nodes[0].epoch++;
    stage.nodes[0].address[0] = 0;
    stage_told(&stage.nodes[0], true, MF_NODE_STATE_READY);
    stage_run_to(1000);
    assert_int_equal(stage.sent, sent);
}

/* -- echoes that are none */

static void echo_bytes(const struct stage_node *node, uint64_t nonce, uint8_t ret_bytes[MF_PULSE_SIZE])
{
    struct mf_pulse echo = {
        .kind = MF_PULSE_ECHO, .epoch = node->epoch, .nonce = nonce, .flags = MF_PULSE_AGENT_ALIVE};
    mf_str_format(echo.node, sizeof(echo.node), "%s", node->name);
    mf_pulse_encode(&echo, node->key, ret_bytes);
}

static void test_old_forged_and_unasked_echoes_are_nothing(void **state)
{
    uint8_t old[MF_PULSE_SIZE], bytes[MF_PULSE_SIZE];
    struct stage_node forger;
    stage_begin_some(5);
    stage_run_to(50);
    stage_told(&stage.nodes[0], false, MF_NODE_STATE_READY); /* so it is probed, and answers */
    stage_run_to(51);
    memcpy(old, stage.echoes[0].bytes, sizeof(old));
    stage_run_to(300);
    stage_told(&stage.nodes[0], true, MF_NODE_STATE_READY);
    stage_set_mark(); /* pulsed 100 ms ago */
    die(0);
    forger = stage.nodes[0];
    memset(forger.key, 0x55, sizeof(forger.key));
    for (mf_ms t = 0; t <= 1100; t += 50) {
        stage_feed_bytes(old, sizeof(old));
        echo_bytes(&stage.nodes[0], (uint64_t)t, bytes);
        stage_feed_bytes(bytes, sizeof(bytes));
        echo_bytes(&forger, stage.nodes[0].nonce, bytes);
        stage_feed_bytes(bytes, sizeof(bytes));
        stage_run_to(t);
    }
    stage_run_to(1150);
    stage_assert_trace("500 n0/10 suspect silence 600/0/0\n800 n0/10 suspect silence 900/0/0\n"
                       "1100 n0/10 failed silence 1200/0/0\n");
}

/* Who cannot sign cannot use up a nonce either. */
static void test_forged_echo_does_not_spoil_the_true_one(void **state)
{
    uint8_t bytes[MF_PULSE_SIZE];
    struct stage_node forger;
    stage_begin_some(5);
    forger = stage.nodes[0];
    memset(forger.key, 0x55, sizeof(forger.key));
    stage_cut(0, MONITOR);
    for (mf_ms t = 0; t <= 2000; t++) {
        stage_run_to(t);
        echo_bytes(&forger, stage.nodes[0].nonce, bytes);
        stage_feed_bytes(bytes, sizeof(bytes));
    }
    assert_true(stage_said("suspect echo"));
    assert_false(stage_said("failed"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, stage_begin, stage_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_peers_of_other_racks_come_first),
        TEST(test_peers_of_the_same_rack_are_better_than_none),
        TEST(test_who_is_not_heard_is_no_peer),
        TEST(test_who_has_no_address_any_more_is_not_asked),
        TEST(test_old_forged_and_unasked_echoes_are_nothing),
        TEST(test_forged_echo_does_not_spoil_the_true_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
