/* pulse.c - one datagram layout, written and read byte by byte: no allocation, no alignment, no trust. */
#include "pulse.h"
#include "check.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

/* Where each part begins; see the layout in pulse.h. */
enum {
    AT_MAGIC = 0,
    AT_KIND = 4,
    AT_LEN = 8,
    AT_NODE = 9,
    AT_EPOCH = 72,
    AT_BOOT = 80,
    AT_COUNTER = 96,
    AT_FLAGS = 104,
    AT_GUESTS = 108,
    AT_NONCE = 112,
    AT_MAC = 120,
    MAC_SIZE = 32,
    /* a relay's, after the same head */
    AT_ADDRESS = 120,
    AT_PORT = 136,
    AT_PROBE = 138,
    AT_RELAY_MAC = 290
};
_Static_assert(AT_NODE + MF_NAME_MAX == AT_EPOCH, "layout");
_Static_assert(AT_MAC + MAC_SIZE == MF_PULSE_SIZE, "layout");
_Static_assert(AT_PROBE + MF_PULSE_SIZE == AT_RELAY_MAC, "layout");
_Static_assert(AT_RELAY_MAC + MAC_SIZE == MF_RELAY_SIZE, "layout");

static const char MAGIC[4] = {'M', 'F', 'P', '1'};

static void put(uint8_t *at, uint64_t value, int size)
{
    for (int i = 0; i < size; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get(const uint8_t *at, int size)
{
    uint64_t value = 0;

    for (int i = size; i-- > 0;)
        value = value << 8 | at[i];
    return value;
}

/* Over all before it. */
static void make_mac(const uint8_t *bytes, size_t len, const uint8_t key[MF_PULSE_KEY],
                     uint8_t ret_mac[MAC_SIZE])
{
    crypto_generichash(ret_mac, MAC_SIZE, bytes, len, key, MF_PULSE_KEY);
}

static bool verify_mac(const uint8_t *bytes, size_t len, const uint8_t key[MF_PULSE_KEY])
{
    uint8_t mac[MAC_SIZE];

    make_mac(bytes, len, key, mac);
    return sodium_memcmp(mac, bytes + len, MAC_SIZE) == 0;
}

static void write_head(const struct mf_pulse *pulse, uint8_t ret_bytes[AT_MAC])
{
    size_t len = strnlen(pulse->node, sizeof(pulse->node));

    MF_CHECK(len >= 1 && len <= MF_NAME_MAX);
    memset(ret_bytes, 0, AT_MAC);
    memcpy(ret_bytes + AT_MAGIC, MAGIC, sizeof(MAGIC));
    put(ret_bytes + AT_KIND, pulse->kind, 4);
    ret_bytes[AT_LEN] = (uint8_t)len;
    memcpy(ret_bytes + AT_NODE, pulse->node, len);
    put(ret_bytes + AT_EPOCH, pulse->epoch, 8);
    memcpy(ret_bytes + AT_BOOT, pulse->boot, sizeof(pulse->boot));
    put(ret_bytes + AT_COUNTER, pulse->counter, 8);
    put(ret_bytes + AT_FLAGS, pulse->flags, 4);
    put(ret_bytes + AT_GUESTS, pulse->guests, 4);
    put(ret_bytes + AT_NONCE, pulse->nonce, 8);
}

void mf_pulse_encode(const struct mf_pulse *pulse, const uint8_t key[MF_PULSE_KEY],
                     uint8_t ret_bytes[MF_PULSE_SIZE])
{
    MF_CHECK(pulse->kind >= MF_PULSE_BEAT && pulse->kind <= MF_PULSE_ECHO);
    write_head(pulse, ret_bytes);
    make_mac(ret_bytes, AT_MAC, key, ret_bytes + AT_MAC);
}

static bool read_node(const uint8_t *bytes, char ret_node[MF_NAME_MAX + 1])
{
    uint32_t len = bytes[AT_LEN];

    if (len < 1 || len > MF_NAME_MAX || !mf_name_valid((struct mf_str){(const char *)bytes + AT_NODE, len}))
        return false;
    for (uint32_t i = len; i < MF_NAME_MAX; i++)
        if (bytes[AT_NODE + i] != 0)
            return false;
    memcpy(ret_node, bytes + AT_NODE, len);
    ret_node[len] = 0;
    return true;
}

static bool read_head(const uint8_t *at, enum mf_pulse_kind first, enum mf_pulse_kind last,
                      struct mf_pulse *ret_pulse)
{
    struct mf_pulse pulse = {0};
    uint64_t kind = get(at + AT_KIND, 4);

    if (memcmp(at + AT_MAGIC, MAGIC, sizeof(MAGIC)) != 0 || kind < first || kind > last ||
        !read_node(at, pulse.node))
        return false;
    pulse.kind = (enum mf_pulse_kind)kind;
    pulse.epoch = get(at + AT_EPOCH, 8);
    memcpy(pulse.boot, at + AT_BOOT, sizeof(pulse.boot));
    pulse.counter = get(at + AT_COUNTER, 8);
    pulse.flags = (uint32_t)get(at + AT_FLAGS, 4);
    pulse.guests = (uint32_t)get(at + AT_GUESTS, 4);
    pulse.nonce = get(at + AT_NONCE, 8);
    *ret_pulse = pulse;
    return true;
}

int mf_pulse_peek(const void *bytes, size_t len, struct mf_pulse *ret_pulse)
{
    if (len != MF_PULSE_SIZE || !read_head(bytes, MF_PULSE_BEAT, MF_PULSE_ECHO, ret_pulse))
        return -EBADMSG;
    return 0;
}

bool mf_pulse_verify(const uint8_t bytes[MF_PULSE_SIZE], const uint8_t key[MF_PULSE_KEY])
{
    return verify_mac(bytes, AT_MAC, key);
}

void mf_relay_encode(const struct mf_relay *relay, const uint8_t key[MF_PULSE_KEY],
                     uint8_t ret_bytes[MF_RELAY_SIZE])
{
    MF_CHECK(relay->head.kind == MF_PULSE_RELAY && relay->port > 0);
    MF_CHECK(get(relay->probe + AT_NONCE, 8) == relay->head.nonce);
    write_head(&relay->head, ret_bytes);
    memcpy(ret_bytes + AT_ADDRESS, relay->address, sizeof(relay->address));
    put(ret_bytes + AT_PORT, relay->port, 2);
    memcpy(ret_bytes + AT_PROBE, relay->probe, sizeof(relay->probe));
    make_mac(ret_bytes, AT_RELAY_MAC, key, ret_bytes + AT_RELAY_MAC);
}

int mf_relay_peek(const void *bytes, size_t len, struct mf_relay *ret_relay)
{
    const uint8_t *at = bytes;
    struct mf_pulse probe;
    struct mf_relay relay;

    if (len != MF_RELAY_SIZE || !read_head(at, MF_PULSE_RELAY, MF_PULSE_RELAY, &relay.head))
        return -EBADMSG;
    if (mf_pulse_peek(at + AT_PROBE, MF_PULSE_SIZE, &probe) < 0 || probe.kind != MF_PULSE_PROBE ||
        probe.nonce != relay.head.nonce || get(at + AT_PORT, 2) == 0)
        return -EBADMSG;
    memcpy(relay.address, at + AT_ADDRESS, sizeof(relay.address));
    relay.port = (uint16_t)get(at + AT_PORT, 2);
    memcpy(relay.probe, at + AT_PROBE, sizeof(relay.probe));
    *ret_relay = relay;
    return 0;
}

bool mf_relay_verify(const uint8_t bytes[MF_RELAY_SIZE], const uint8_t key[MF_PULSE_KEY])
{
    return verify_mac(bytes, AT_RELAY_MAC, key);
}

void mf_pulse_key(const uint8_t secret[32], struct mf_str node, uint64_t epoch, uint8_t ret_key[MF_PULSE_KEY])
{
    static const char purpose[] = "mayfly pulse key 1";
    uint8_t epoch_bytes[8], len = (uint8_t)node.len;
    crypto_generichash_state state;

    MF_CHECK(node.len >= 1 && node.len <= MF_NAME_MAX);
    put(epoch_bytes, epoch, 8);
    crypto_generichash_init(&state, secret, 32, MF_PULSE_KEY);
    crypto_generichash_update(&state, (const uint8_t *)purpose, sizeof(purpose));
    crypto_generichash_update(&state, &len,
                              1); /* so that no name and epoch can run together into another pair */
    crypto_generichash_update(&state, (const uint8_t *)node.ptr, node.len);
    crypto_generichash_update(&state, epoch_bytes, sizeof(epoch_bytes));
    crypto_generichash_final(&state, ret_key, MF_PULSE_KEY);
}

void mf_pulse_boot(struct mf_str boot_id, uint8_t ret_boot[16])
{
    crypto_generichash(ret_boot, 16, (const uint8_t *)(boot_id.len ? boot_id.ptr : ""), boot_id.len, NULL, 0);
}
