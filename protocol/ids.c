/* ids.c - identities as text and bytes, hashes, and the random source of the cores. */
#include "ids.h"
#include "check.h"

#include <sodium.h>
#include <string.h>

static const char HEX[] = "0123456789abcdef";

static uint64_t rotate_left(uint64_t x, int by)
{
    return (x << by) | (x >> (64 - by));
}

/* The four words come from splitmix64, as the authors of xoshiro advise: no seed, not even 0, gives a bad
 * state. */
void mf_random_seed(struct mf_random *self, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = seed += 0x9e3779b97f4a7c15u;

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        self->s[i] = z ^ (z >> 31);
    }
}

uint64_t mf_random_next(struct mf_random *self)
{
    uint64_t *s = self->s, result = rotate_left(s[1] * 5, 7) * 9, t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t mf_random_below(struct mf_random *self, uint64_t n)
{
    uint64_t fair, x;

    MF_CHECK(n > 0);
    fair = -n % n; /* 2^64 mod n: values below it would favour the small remainders */
    do
        x = mf_random_next(self);
    while (x < fair);
    return x % n;
}

struct mf_uuid mf_uuid_make(struct mf_random *random, mf_ms wall_ms)
{
    uint64_t a = mf_random_next(random), b = mf_random_next(random);
    struct mf_uuid id;

    for (int i = 0; i < 6; i++)
        id.bytes[i] = (uint8_t)((uint64_t)wall_ms >> (40 - 8 * i));
    id.bytes[6] = 0x70 | (a & 0x0f);
    id.bytes[7] = (uint8_t)(a >> 8);
    for (int i = 0; i < 8; i++)
        id.bytes[8 + i] = (uint8_t)(b >> (56 - 8 * i));
    id.bytes[8] = 0x80 | (id.bytes[8] & 0x3f);
    return id;
}

bool mf_uuid_is_zero(struct mf_uuid id)
{
    return mf_uuid_eq(id, (struct mf_uuid){{0}});
}

bool mf_uuid_eq(struct mf_uuid a, struct mf_uuid b)
{
    return memcmp(a.bytes, b.bytes, sizeof(a.bytes)) == 0;
}

int mf_uuid_cmp(struct mf_uuid a, struct mf_uuid b)
{
    return memcmp(a.bytes, b.bytes, sizeof(a.bytes));
}

static bool dash_before(int byte)
{
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

const char *mf_uuid_text(struct mf_uuid id, char text[MF_UUID_TEXT])
{
    char *out = text;

    for (int i = 0; i < 16; i++) {
        if (dash_before(i))
            *out++ = '-';
        *out++ = HEX[id.bytes[i] >> 4];
        *out++ = HEX[id.bytes[i] & 15];
    }
    *out = 0;
    return text;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static bool hex_byte(const char *text, uint8_t *ret_byte)
{
    int high = hex_value(text[0]), low = hex_value(text[1]);

    if (high < 0 || low < 0)
        return false;
    *ret_byte = (uint8_t)(high << 4 | low);
    return true;
}

bool mf_uuid_parse(const char *text, size_t len, struct mf_uuid *ret_id)
{
    struct mf_uuid id;

    if (len != MF_UUID_TEXT - 1)
        return false;
    for (int i = 0; i < 16; i++) {
        if (dash_before(i) && *text++ != '-')
            return false;
        if (!hex_byte(text, &id.bytes[i]))
            return false;
        text += 2;
    }
    *ret_id = id;
    return true;
}

uint64_t mf_hash(const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < len; i++)
        h = (h ^ at[i]) * 0x100000001b3u;
    return h ^ (h >> 32); /* the low bits of FNV see too little of the last bytes */
}

/* The finaliser of splitmix64 (Steele, Lea, Flood, 2014) over both halves: ids that differ in few bits, as
 * time-ordered ones do, must not cancel out. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

uint64_t mf_guest_digest(struct mf_uuid id)
{
    uint64_t high, low;
    memcpy(&high, id.bytes, 8);
    memcpy(&low, id.bytes + 8, 8);
    return mix(high + 0x9e3779b97f4a7c15u) ^ mix(mix(low) + high);
}

bool mf_digest_is_zero(struct mf_digest d)
{
    return mf_digest_eq(d, (struct mf_digest){{0}});
}

bool mf_digest_eq(struct mf_digest a, struct mf_digest b)
{
    return memcmp(a.bytes, b.bytes, sizeof(a.bytes)) == 0;
}

struct mf_digest mf_digest_make(const void *bytes, size_t len)
{
    struct mf_digest d;

    crypto_generichash(d.bytes, sizeof(d.bytes), len ? bytes : (const void *)"", len, NULL, 0);
    return d;
}

const char *mf_digest_text(struct mf_digest d, char text[MF_DIGEST_TEXT])
{
    for (int i = 0; i < 32; i++) {
        text[2 * i] = HEX[d.bytes[i] >> 4];
        text[2 * i + 1] = HEX[d.bytes[i] & 15];
    }
    text[64] = 0;
    return text;
}

bool mf_digest_parse(const char *text, size_t len, struct mf_digest *ret_digest)
{
    struct mf_digest d;

    if (len != MF_DIGEST_TEXT - 1)
        return false;
    for (int i = 0; i < 32; i++)
        if (!hex_byte(text + 2 * i, &d.bytes[i]))
            return false;
    *ret_digest = d;
    return true;
}
