/* shells.h - which shells a worker keeps ready. A shell is a guest made ahead, paused (driver.h). Of each
 * kind that was born here lately there are to be `each`, in all at most `max`: where they do not all fit, the
 * kinds that were born last have theirs, and a shell of an older kind gives way. Kinds are learned from
 * orders, so a worker that nobody asked for anything makes none. The loop's thread alone. */
#ifndef MF_SHELLS_H
#define MF_SHELLS_H

#include "driver.h"

enum { MF_SHELLS_KINDS = 16, MF_SHELL_MIB = 45 }; /* kinds remembered; what a paused one costs */

struct mf_shells_kind {
    struct mf_digest kind;
    struct mf_buf order; /* one of this kind, encoded, without its user-data; empty: no entry */
    uint64_t used;       /* greater is later */
    unsigned failures;   /* in a row */
    mf_ms not_before;
};
struct mf_shells {
    unsigned each, max;
    uint64_t uses;
    struct mf_shells_kind kinds[MF_SHELLS_KINDS];
};
void mf_shells_free(struct mf_shells *self);

/* A guest of this kind was born by this order. */
void mf_shells_learn(struct mf_shells *self, struct mf_digest kind, const struct mf_msg_order_create *order);
/* An attempt to make one has come back. */
void mf_shells_made(struct mf_shells *self, mf_ms now, struct mf_digest kind, bool ok);

enum mf_shells_step { MF_SHELLS_NOTHING, MF_SHELLS_MAKE, MF_SHELLS_DROP };
/* What is to be done next, where these are there: make one, or end one, of the kind *ret_of; either for the
 * sake of *ret_kind. */
enum mf_shells_step mf_shells_next(const struct mf_shells *self, mf_ms now,
                                   const struct mf_driver_shell *there, size_t n,
                                   const struct mf_shells_kind **ret_kind, struct mf_digest *ret_of);

#endif
