/* seal.h - user-data at rest. It may hold secrets, so the store has it encrypted (sodium secretbox) with a
 * key that is no part of the store: whoever has a copy of the store alone, a backup say, has none of them.
 * What an earlier broker wrote without a seal is read as it is.
 *
 * The store itself remembers that it holds sealed bytes, by a blob of a known digest: without the key that
 * opens this one nothing is begun and nothing is lost. */
#ifndef MF_SEAL_H
#define MF_SEAL_H

#include "store.h"

struct mf_seal {
    uint8_t key[32];
};

/* Where its key is: in `given`; or, if that is NULL, in STATE/user-data.secret, else KEYS/user-data.secret.
 * Where there is none, one is made, in KEYS if that may be written. */
struct mf_seal_key {
    const char *given, *keys_dir, *state_dir;
    char path[4200]; /* found or made here */
    bool made;
};
/* -EACCES if the store holds what this key, or none, opens; a sentence in each case. */
int mf_seal_begin(struct mf_seal_key *key, const struct mf_store_engine *engine, struct mf_store *store,
                  struct mf_seal *ret_seal, char error[512]);

struct mf_digest mf_seal_digest(void); /* of the blob that remembers; it is always live */

void mf_seal_close(const struct mf_seal *self, struct mf_str bytes, struct mf_buf *buf); /* appended */
/* Appended; -EBADMSG if they were sealed with another key or are damaged. */
int mf_seal_open(const struct mf_seal *self, struct mf_str sealed, struct mf_buf *buf);

#endif
