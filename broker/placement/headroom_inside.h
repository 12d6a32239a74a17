/* headroom_inside.h - what the files of headroom share. */
#ifndef MF_HEADROOM_INSIDE_H
#define MF_HEADROOM_INSIDE_H

#include "headroom.h"
#include "levels.h"
#include "promises.h"

enum { MF_MEMOS = 64 };
struct mf_memo { /* of this shape one found no backup at that version */
    uint64_t version;
    uint32_t shape, domain, level;
};

struct mf_headroom {
    struct mf_pool *pool;
    struct mf_level levels[MF_HEADROOM_LEVELS];
    uint32_t n_levels;
    struct mf_promises promises;
    struct mf_promise_list new, none;
    uint64_t held;
    uint32_t *over, n_over, cap_over; /* nodes where more is used and kept than there is */
    uint64_t version, retried;        /* version: rises when a backup may have appeared */
    uint32_t cursor;
    uint64_t looks; /* at nodes, so far */
    struct mf_memo memos[MF_MEMOS];
};

struct mf_backup_found {
    enum mf_offer offer; /* NONE: there is none */
    struct mf_place place;
    uint32_t needs[MF_WIDE]; /* of it */
    int64_t free_mib;
};
void mf_backup_search(struct mf_headroom *self, const struct mf_promise *promise, struct mf_random *random,
                      struct mf_backup_found *ret);
/* Would this one do? */
void mf_backup_look(struct mf_headroom *self, const struct mf_promise *promise, uint32_t node,
                    struct mf_backup_found *ret);

#endif
