/* blobs.c - see blobs.h. A list: there are at most as many as the broker has orders in flight to one node. */
#include "blobs.h"
#include "check.h"
#include <stdlib.h>
#include <string.h>

struct mf_blob_kept {
    struct mf_blob_kept *next;
    struct mf_uuid id;
    uint32_t len;
    char bytes[];
};

static struct mf_blob_kept *find(const struct mf_blobs *self, struct mf_uuid id)
{
    struct mf_blob_kept *kept = self->head;
    while (kept && !mf_uuid_eq(kept->id, id))
        kept = kept->next;
    return kept;
}

/* The same instance always has the same bytes: an order that comes twice must not move them under a running
 * create. */
void mf_blobs_keep(struct mf_blobs *self, struct mf_uuid id, struct mf_str bytes)
{
    if (bytes.len == 0 || find(self, id))
        return;
    struct mf_blob_kept *kept = malloc(sizeof *kept + bytes.len);
    MF_CHECK(kept);
    *kept = (struct mf_blob_kept){.next = self->head, .id = id, .len = bytes.len};
    memcpy(kept->bytes, bytes.ptr, bytes.len);
    self->head = kept;
}

struct mf_str mf_blobs_find(const struct mf_blobs *self, struct mf_uuid id)
{
    const struct mf_blob_kept *kept = find(self, id);
    return kept ? (struct mf_str){kept->bytes, kept->len} : (struct mf_str){0};
}

void mf_blobs_sweep(struct mf_blobs *self, bool (*held)(const void *arg, struct mf_uuid id), const void *arg)
{
    for (struct mf_blob_kept **at = &self->head; *at;) {
        struct mf_blob_kept *kept = *at;
        if (held(arg, kept->id)) {
            at = &kept->next;
            continue;
        }
        *at = kept->next;
        explicit_bzero(kept->bytes, kept->len); /* it may hold secrets */
        free(kept);
    }
}
