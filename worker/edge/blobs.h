/* blobs.h - the user-data of orders that wait: it never passes through the core, so it is kept here by
 * instance until its create is over. */
#ifndef MF_BLOBS_H
#define MF_BLOBS_H

#include "message.h"

struct mf_blobs { /* zero-initialised is empty */
    struct mf_blob_kept *head;
};
void mf_blobs_keep(struct mf_blobs *self, struct mf_uuid id,
                   struct mf_str bytes); /* a copy, unless there is one */
struct mf_str mf_blobs_find(const struct mf_blobs *self,
                            struct mf_uuid id); /* empty if none; valid until dropped */
/* Drop every one whose create is held no more. */
void mf_blobs_sweep(struct mf_blobs *self, bool (*held)(const void *arg, struct mf_uuid id), const void *arg);

#endif
