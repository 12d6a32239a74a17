/* blobs.c - a handful of entries, the least lately used one makes room. */
#include "blobs.h"
#include "check.h"
#include <errno.h>
#include <stdlib.h>

enum { ENTRIES = 16 };

struct entry {
    struct mf_digest digest;
    struct mf_buf bytes;
    uint64_t used; /* 0: empty */
};

struct mf_blobs {
    const struct mf_store_engine *engine;
    struct mf_store *store;
    struct mf_seal seal;
    struct entry entries[ENTRIES];
    uint64_t clock;
};

struct mf_blobs *mf_blobs_new(const struct mf_store_engine *engine, struct mf_store *store,
                              const struct mf_seal *seal)
{
    struct mf_blobs *self = calloc(1, sizeof(*self));

    MF_CHECK(self);
    self->engine = engine;
    self->store = store;
    self->seal = *seal;
    return self;
}

void mf_blobs_destroy(struct mf_blobs **self)
{
    if (!*self)
        return;
    for (int i = 0; i < ENTRIES; i++)
        mf_buf_free(&(*self)->entries[i].bytes);
    free(*self);
    *self = NULL;
}

/* The entry of this digest, or one to be filled: then its `used` is 0. */
static struct entry *pick(struct mf_blobs *self, struct mf_digest digest)
{
    struct entry *oldest = &self->entries[0];

    for (int i = 0; i < ENTRIES; i++) {
        struct entry *entry = &self->entries[i];

        if (entry->used && mf_digest_eq(entry->digest, digest))
            return entry;
        if (entry->used < oldest->used)
            oldest = entry;
    }
    mf_buf_clear(&oldest->bytes);
    oldest->used = 0;
    return oldest;
}

static void touch(struct mf_blobs *self, struct entry *entry, struct mf_digest digest)
{
    entry->digest = digest;
    entry->used = ++self->clock;
}

struct mf_store_blob mf_blobs_keep(struct mf_blobs *self, struct mf_digest digest, struct mf_str bytes)
{
    struct entry *entry = pick(self, digest);
    struct mf_buf sealed = {0};

    if (!entry->used)
        mf_buf_append(&entry->bytes, bytes.ptr, bytes.len);
    touch(self, entry, digest);
    mf_seal_close(&self->seal, bytes, &sealed);
    return (struct mf_store_blob){digest, {sealed.ptr, (uint32_t)sealed.len}};
}

static int load(struct mf_blobs *self, struct mf_digest digest, struct mf_buf *bytes, char error[256])
{
    struct mf_buf stored = {0};
    char text[MF_DIGEST_TEXT];
    int r = self->engine->blob(self->store, digest, &stored, error);

    if (r == 0 && mf_seal_open(&self->seal, (struct mf_str){stored.ptr, (uint32_t)stored.len}, bytes) < 0) {
        mf_str_format(error, 256, "blob %s is damaged: its seal does not open", mf_digest_text(digest, text));
        r = -EBADMSG;
    }
    mf_buf_free(&stored);
    return r;
}

int mf_blobs_find(struct mf_blobs *self, struct mf_digest digest, struct mf_str *ret_bytes, char error[256])
{
    struct entry *entry = pick(self, digest);

    if (!entry->used) {
        int r = load(self, digest, &entry->bytes, error);

        if (r < 0)
            return r;
    }
    touch(self, entry, digest);
    *ret_bytes = (struct mf_str){entry->bytes.ptr, (uint32_t)entry->bytes.len};
    return 0;
}
