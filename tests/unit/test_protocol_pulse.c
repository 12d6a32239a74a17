/* Pulses: the layout's bytes, the MAC, and datagrams that are none. */
#include "pulse.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const uint8_t secret[32] = "a secret of thirty-two bytes ..";

static struct mf_pulse sample(void)
{
    struct mf_pulse pulse = {.kind = MF_PULSE_PROBE,
                             .node = "node-1",
                             .epoch = 0x1122334455667788,
                             .counter = 9,
                             .flags = MF_PULSE_AGENT_ALIVE,
                             .guests = 17,
                             .nonce = UINT64_MAX};

    mf_pulse_boot(mf_str("4f1f3e9c-boot"), pulse.boot);
    return pulse;
}

static void what_is_sent_is_read(void **state)
{
    struct mf_pulse pulse = sample(), again = {0};
    uint8_t key[MF_PULSE_KEY], bytes[MF_PULSE_SIZE];

    mf_pulse_key(secret, mf_str("node-1"), pulse.epoch, key);
    mf_pulse_encode(&pulse, key, bytes);
    assert_int_equal(mf_pulse_peek(bytes, sizeof(bytes), &again), 0);
    assert_true(mf_pulse_verify(bytes, key));
    assert_int_equal(again.kind, MF_PULSE_PROBE);
    assert_string_equal(again.node, "node-1");
    assert_true(again.epoch == pulse.epoch && again.counter == 9 && again.nonce == UINT64_MAX);
    assert_int_equal(again.flags, MF_PULSE_AGENT_ALIVE);
    assert_int_equal(again.guests, 17);
    assert_memory_equal(again.boot, pulse.boot, 16);
    assert_memory_equal(bytes, "MFP1\2\0\0\0\6node-1", 15);
    assert_memory_equal(bytes + 72, "\x88\x77\x66\x55\x44\x33\x22\x11", 8);
}

static void any_changed_bit_breaks_the_mac(void **state)
{
    struct mf_pulse pulse = sample();
    uint8_t key[MF_PULSE_KEY], bytes[MF_PULSE_SIZE];

    mf_pulse_key(secret, mf_str("node-1"), pulse.epoch, key);
    mf_pulse_encode(&pulse, key, bytes);
    for (int bit = 0; bit < MF_PULSE_SIZE * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(mf_pulse_verify(bytes, key));
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_true(mf_pulse_verify(bytes, key));
}

static void every_node_and_epoch_has_its_own_key(void **state)
{
    uint8_t a[32], b[32], c[32], again[32];

    mf_pulse_key(secret, mf_str("node-1"), 1, a);
    mf_pulse_key(secret, mf_str("node-1"), 2, b);
    mf_pulse_key(secret, mf_str("node-2"), 1, c);
    mf_pulse_key(secret, mf_str("node-1"), 1, again);
    assert_memory_equal(a, again, 32);
    assert_memory_not_equal(a, b, 32);
    assert_memory_not_equal(a, c, 32);
}

static void assert_no_pulse(const uint8_t *bytes, size_t len)
{
    struct mf_pulse pulse = {.counter = 5};

    assert_int_equal(mf_pulse_peek(bytes, len, &pulse), -EBADMSG);
    assert_int_equal(pulse.counter, 5);
}

static void what_is_no_pulse_is_refused(void **state)
{
    struct mf_pulse pulse = sample();
    uint8_t key[MF_PULSE_KEY] = {1}, good[MF_PULSE_SIZE], bad[MF_PULSE_SIZE + 1] = {0};

    mf_pulse_encode(&pulse, key, good);
    for (size_t len = 0; len < sizeof(good); len++)
        assert_no_pulse(good, len);
    assert_no_pulse(bad, sizeof(bad));
    static const struct {
        int at, value;
    } changes[] = {{3, '2'}, {4, 0}, {4, 4}, {7, 1}, {8, 0}, {8, 64}, {8, 7}, {8, 5}, {9, 'N'}, {71, 'x'}};
    for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
        memcpy(bad, good, sizeof(good));
        bad[changes[i].at] = (uint8_t)changes[i].value;
        assert_no_pulse(bad, sizeof(good));
    }
}

/* -- relays */

static struct mf_relay sample_relay(uint8_t target_key[MF_PULSE_KEY])
{
    struct mf_pulse probe = sample();
    struct mf_relay relay = {.head = sample(), .port = 7711};

    memset(target_key, 9, MF_PULSE_KEY);
    memcpy(relay.address, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\x05", 16);
    relay.head.kind = MF_PULSE_RELAY;
    mf_str_format(relay.head.node, sizeof(relay.head.node), "peer-1");
    mf_pulse_encode(&probe, target_key, relay.probe);
    return relay;
}

static void what_a_relay_carries_is_read(void **state)
{
    uint8_t target_key[MF_PULSE_KEY], key[MF_PULSE_KEY] = {1}, bytes[MF_RELAY_SIZE];
    struct mf_relay relay = sample_relay(target_key), again;

    mf_relay_encode(&relay, key, bytes);
    assert_int_equal(mf_relay_peek(bytes, sizeof(bytes), &again), 0);
    assert_true(mf_relay_verify(bytes, key) && !mf_relay_verify(bytes, target_key));
    assert_string_equal(again.head.node, "peer-1");
    assert_true(again.head.epoch == relay.head.epoch && again.head.nonce == UINT64_MAX);
    assert_memory_equal(again.address, relay.address, 16);
    assert_int_equal(again.port, 7711);
    assert_memory_equal(again.probe, relay.probe, MF_PULSE_SIZE);
    assert_true(mf_pulse_verify(again.probe, target_key));
}

static void any_changed_bit_breaks_a_relays_mac(void **state)
{
    uint8_t target_key[MF_PULSE_KEY], key[MF_PULSE_KEY] = {1}, bytes[MF_RELAY_SIZE];
    struct mf_relay relay = sample_relay(target_key);

    mf_relay_encode(&relay, key, bytes);
    for (int bit = 0; bit < MF_RELAY_SIZE * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(mf_relay_verify(bytes, key));
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_true(mf_relay_verify(bytes, key));
}

static void assert_no_relay(const uint8_t *bytes, size_t len)
{
    struct mf_relay relay = {.port = 5};

    assert_int_equal(mf_relay_peek(bytes, len, &relay), -EBADMSG);
    assert_int_equal(relay.port, 5);
}

/* A peer passes nothing on but a probe, and only one whose echo it can tell. */
static void what_is_no_relay_is_refused(void **state)
{
    enum { PORT = 136, PROBE = 138 };
    uint8_t target_key[MF_PULSE_KEY], key[MF_PULSE_KEY] = {1}, good[MF_RELAY_SIZE], bad[MF_RELAY_SIZE + 1];
    struct mf_relay relay = sample_relay(target_key);
    struct mf_pulse pulse;
    static const struct {
        int at, value;
    } changes[] = {{3, '2'},       {4, 2},         {4, 5},           {8, 0},
                   {71, 'x'},      {PROBE, 'x'},   {PROBE + 4, 1},   {PROBE + 4, 3},
                   {PROBE + 4, 4}, {PROBE + 8, 0}, {PROBE + 112, 0}, {112, 0}};

    mf_relay_encode(&relay, key, good);
    assert_int_equal(mf_pulse_peek(good, sizeof(good), &pulse), -EBADMSG);
    assert_int_equal(mf_pulse_peek(good, MF_PULSE_SIZE, &pulse), -EBADMSG);
    for (size_t len = 0; len < sizeof(good); len++)
        assert_no_relay(good, len);
    memset(bad, 0, sizeof(bad));
    assert_no_relay(bad, sizeof(bad));
    for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
        memcpy(bad, good, sizeof(good));
        bad[changes[i].at] = (uint8_t)changes[i].value;
        assert_no_relay(bad, sizeof(good));
    }
    memcpy(bad, good, sizeof(good));
    bad[PORT] = bad[PORT + 1] = 0;
    assert_no_relay(bad, sizeof(good));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sent_is_read),
        cmocka_unit_test(any_changed_bit_breaks_the_mac),
        cmocka_unit_test(every_node_and_epoch_has_its_own_key),
        cmocka_unit_test(what_is_no_pulse_is_refused),
        cmocka_unit_test(what_a_relay_carries_is_read),
        cmocka_unit_test(any_changed_bit_breaks_a_relays_mac),
        cmocka_unit_test(what_is_no_relay_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
