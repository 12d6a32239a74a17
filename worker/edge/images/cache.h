/* cache.h - image files kept by what they are: STATE/images/sha256/HEX, and HEX.part while one is on its way.
 *
 * A file is published by a rename, when it is whole, synced and has the digest of its name; so whatever has a
 * name is complete. It is believed as long as its size and change are those of the last look at its bytes;
 * after a start nothing has been looked at yet. The bound and the reserve of the file system are kept by
 * dropping what was used longest ago, parts first; never what a want needs, nor what an instance or a shell
 * lists (a file "images" in its directory: digests, a line each). Used by one thread. */
#ifndef MF_CACHE_H
#define MF_CACHE_H

#include "message.h"

struct mf_cache;
struct mf_cache_config {
    const char *state; /* absolute directory; copied */
    uint64_t max_bytes, reserve_bytes;
    bool (*needed)(void *arg, struct mf_digest sha256); /* some want has it */
    void (*evicted)(void *arg, struct mf_digest sha256, uint64_t bytes);
    void *arg;
};

int mf_cache_open(const struct mf_cache_config *config, struct mf_cache **ret_cache, char error[512]);
void mf_cache_close(struct mf_cache **self);
void mf_cache_each(const struct mf_cache *self,
                   void (*tell)(void *arg, struct mf_digest sha256, uint64_t bytes),
                   void *arg); /* every whole file */
uint64_t mf_cache_bytes(const struct mf_cache *self);
enum { MF_CACHE_PATH = 4096 };
void mf_cache_path(const char *state, struct mf_digest sha256, char ret_path[MF_CACHE_PATH]);

enum mf_cache_state {
    MF_CACHE_ABSENT,
    MF_CACHE_UNSURE /* there, but its bytes must be looked at */,
    MF_CACHE_HERE
};
enum mf_cache_state mf_cache_look(struct mf_cache *self, struct mf_digest sha256);
void mf_cache_touch(struct mf_cache *self, struct mf_digest sha256);    /* used now */
int mf_cache_open_file(struct mf_cache *self, struct mf_digest sha256); /* to look at its bytes; -errno */
void mf_cache_vouch(struct mf_cache *self, struct mf_digest sha256, mf_ms now); /* its bytes are right */
void mf_cache_drop(struct mf_cache *self, struct mf_digest sha256);
/* The whole file that was looked at longest ago, and before this; not one that a want has. */
bool mf_cache_stalest(struct mf_cache *self, mf_ms before, struct mf_digest *ret_sha256);

/* A part: opened for writing, with what an earlier fetch left (*ret_bytes). It is not dropped until it is
 * published, left (kept, to be resumed) or dropped. */
int mf_cache_part_open(struct mf_cache *self, struct mf_digest sha256, uint64_t *ret_bytes, char error[512]);
/* It has `bytes` now and is to have `whole`: make room for it. -ENOSPC with a sentence. */
int mf_cache_part_room(struct mf_cache *self, struct mf_digest sha256, uint64_t bytes, uint64_t whole,
                       char error[512]);
int mf_cache_part_publish(struct mf_cache *self, struct mf_digest sha256, int fd, mf_ms now, char error[512]);
void mf_cache_part_leave(struct mf_cache *self, struct mf_digest sha256, uint64_t bytes);
void mf_cache_part_drop(struct mf_cache *self, struct mf_digest sha256);

#endif
