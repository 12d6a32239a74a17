/* ids.h - identities and time. UUIDs are version 7 (RFC 9562): they sort by birth, which is what keeps a
 * store's inserts at its end. */
#ifndef MF_IDS_H
#define MF_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef int64_t mf_ms; /* milliseconds; which clock is said where it is used */

struct mf_uuid {
    uint8_t bytes[16];
};
struct mf_digest { /* BLAKE2b-256 or SHA-256, said where it is used */
    uint8_t bytes[32];
};

enum { MF_UUID_TEXT = 37 }; /* with the terminating zero */

/* A random source that a core may hold: xoshiro256** by Blackman and Vigna (2018), seeded by the edge. Not
 * for secrets. */
struct mf_random {
    uint64_t s[4];
};
void mf_random_seed(struct mf_random *self, uint64_t seed);
uint64_t mf_random_next(struct mf_random *self);
uint64_t mf_random_below(struct mf_random *self, uint64_t n); /* uniform in 0..n-1; n > 0 */

/* UUIDv7 of this wall-clock millisecond. */
struct mf_uuid mf_uuid_make(struct mf_random *random, mf_ms wall_ms);
bool mf_uuid_is_zero(struct mf_uuid id);
bool mf_uuid_eq(struct mf_uuid a, struct mf_uuid b);
int mf_uuid_cmp(struct mf_uuid a, struct mf_uuid b);
const char *mf_uuid_text(struct mf_uuid id, char text[MF_UUID_TEXT]); /* returns text */
bool mf_uuid_parse(const char *text, size_t len,
                   struct mf_uuid *ret_id);      /* only the 36-byte lower or upper case form */
uint64_t mf_hash(const void *bytes, size_t len); /* FNV-1a folded; for tables, not for secrets */
/* What a running guest adds (by XOR) to the digest of its node's view in worker-alive. */
uint64_t mf_guest_digest(struct mf_uuid id);

bool mf_digest_is_zero(struct mf_digest d);
bool mf_digest_eq(struct mf_digest a, struct mf_digest b);
struct mf_digest mf_digest_make(const void *bytes, size_t len); /* BLAKE2b-256 */
enum { MF_DIGEST_TEXT = 65 };
const char *mf_digest_text(struct mf_digest d, char text[MF_DIGEST_TEXT]); /* lower-case hex */
bool mf_digest_parse(const char *text, size_t len, struct mf_digest *ret_digest);

#endif
