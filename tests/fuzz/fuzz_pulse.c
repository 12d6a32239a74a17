/* Fuzz target: a datagram that came to a monitor or a keeper. What is read from it, written again, must be
 * the same bytes but for the MAC, and must be vouched for by the key it was written with and by no other. */
#include "check.h"
#include "fuzz.h"
#include "pulse.h"

#include <string.h>

static const uint8_t key[MF_PULSE_KEY] = {1}, other[MF_PULSE_KEY] = {2};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    uint8_t again[MF_PULSE_SIZE];
    struct mf_pulse pulse;

    if (mf_pulse_peek(bytes, len, &pulse) < 0)
        return 0;
    mf_pulse_verify(bytes, key);
    mf_pulse_encode(&pulse, key, again);
    MF_CHECK(memcmp(bytes, again, MF_PULSE_SIZE - 32) == 0);
    MF_CHECK(mf_pulse_verify(again, key) && !mf_pulse_verify(again, other));
    return 0;
}

bool mf_fuzz_seed(unsigned index, struct mf_random *random, struct mf_buf *buf, const char **ret_name)
{
    static const char *const names[] = {"beat", "probe", "echo"};
    struct mf_pulse pulse = {.kind = (enum mf_pulse_kind)(index + 1), .node = "node-1"};
    uint8_t bytes[MF_PULSE_SIZE];

    if (index >= 3)
        return false;
    *ret_name = names[index];
    pulse.epoch = mf_random_next(random);
    pulse.counter = mf_random_next(random);
    pulse.guests = (uint32_t)mf_random_below(random, 1000);
    pulse.nonce = index ? mf_random_next(random) : 0;
    mf_pulse_encode(&pulse, key, bytes);
    mf_buf_append(buf, bytes, sizeof(bytes));
    return true;
}
