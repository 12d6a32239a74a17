/* Fuzz target: a datagram that came to a monitor or a keeper. What is read from it, written again, must be
 * the same bytes but for the MAC, and must be vouched for by the key it was written with and by no other. */
#include "check.h"
#include "fuzz.h"
#include "pulse.h"

#include <string.h>

static const uint8_t key[MF_PULSE_KEY] = {1}, other[MF_PULSE_KEY] = {2};

static void try_relay(const uint8_t *bytes, size_t len)
{
    uint8_t again[MF_RELAY_SIZE];
    struct mf_relay relay;

    if (mf_relay_peek(bytes, len, &relay) < 0)
        return;
    mf_relay_verify(bytes, key);
    mf_relay_encode(&relay, key, again);
    MF_CHECK(memcmp(bytes, again, MF_RELAY_SIZE - 32) == 0);
    MF_CHECK(mf_relay_verify(again, key) && !mf_relay_verify(again, other));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    uint8_t again[MF_PULSE_SIZE];
    struct mf_pulse pulse;

    try_relay(bytes, len);
    if (mf_pulse_peek(bytes, len, &pulse) < 0)
        return 0;
    mf_pulse_verify(bytes, key);
    mf_pulse_encode(&pulse, key, again);
    MF_CHECK(memcmp(bytes, again, MF_PULSE_SIZE - 32) == 0);
    MF_CHECK(mf_pulse_verify(again, key) && !mf_pulse_verify(again, other));
    return 0;
}

static void append_relay(const struct mf_pulse *probe, const uint8_t bytes[MF_PULSE_SIZE], struct mf_buf *buf)
{
    struct mf_relay relay = {.head = *probe, .address = {[10] = 0xff, [11] = 0xff, [12] = 10}, .port = 9};
    uint8_t all[MF_RELAY_SIZE];

    relay.head.kind = MF_PULSE_RELAY;
    memcpy(relay.probe, bytes, sizeof(relay.probe));
    mf_relay_encode(&relay, key, all);
    mf_buf_append(buf, all, sizeof(all));
}

bool mf_fuzz_seed(unsigned index, struct mf_random *random, struct mf_buf *buf, const char **ret_name)
{
    static const char *const names[] = {"beat", "probe", "echo", "relay"};
    enum { RELAY = 3 };
    struct mf_pulse pulse = {.node = "node-1"};
    uint8_t bytes[MF_PULSE_SIZE];

    if (index > RELAY)
        return false;
    *ret_name = names[index];
    pulse.kind = index == RELAY ? MF_PULSE_PROBE : (enum mf_pulse_kind)(index + 1);
    pulse.epoch = mf_random_next(random);
    pulse.counter = mf_random_next(random);
    pulse.guests = (uint32_t)mf_random_below(random, 1000);
    pulse.nonce = index ? mf_random_next(random) : 0;
    mf_pulse_encode(&pulse, key, bytes);
    if (index == RELAY)
        append_relay(&pulse, bytes, buf);
    else
        mf_buf_append(buf, bytes, sizeof(bytes));
    return true;
}
