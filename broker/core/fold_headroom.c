/* fold_headroom.c - what rows about failover headroom mean for the state: which level is kept for all, and
 * whether it was told last that some are not protected. */
#include "fold.h"

void mf_fold_set_headroom(struct mf_broker *b, struct mf_str level)
{
    struct mf_str own = mf_own_str(level);

    mf_free_str(&b->headroom);
    b->headroom = own;
}

static int set_degraded(struct mf_broker *b, bool degraded, char text[256])
{
    if (b->headroom_degraded == degraded)
        return mf_fold_bad(text, "headroom.%s, which was told already", degraded ? "degraded" : "restored");
    b->headroom_degraded = degraded;
    return 0;
}

int mf_fold_headroom(struct mf_broker *b, const struct mf_event *e, char text[256])
{
    switch (e->kind) {
    case MF_EV_HEADROOM_SET:
        mf_fold_set_headroom(b, e->headroom_set.level);
        return 0;
    case MF_EV_HEADROOM_DEGRADED:
        return set_degraded(b, true, text);
    default:
        return set_degraded(b, false, text);
    }
}
