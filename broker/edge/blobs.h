/* blobs.h - user-data by digest: inside the core a blob is its digest; here the bytes come back before an
 * order leaves. The latest ones are kept in memory, as an order mostly follows its provision at once; in the
 * store they are sealed. */
#ifndef MF_BLOBS_H
#define MF_BLOBS_H

#include "seal.h"

struct mf_blobs;

struct mf_blobs *mf_blobs_new(const struct mf_store_engine *engine, struct mf_store *store,
                              const struct mf_seal *seal);
void mf_blobs_destroy(struct mf_blobs **self);
/* Keep them in memory, and make what is to be stored of them; its bytes are the caller's to free. */
struct mf_store_blob mf_blobs_keep(struct mf_blobs *self, struct mf_digest digest, struct mf_str bytes);
/* The bytes, valid until the next call; 0, or -ENOENT or another negative errno with a sentence. */
int mf_blobs_find(struct mf_blobs *self, struct mf_digest digest, struct mf_str *ret_bytes, char error[256]);

#endif
