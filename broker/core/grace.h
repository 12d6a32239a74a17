/* grace.h - the broker's doubt in itself: a loop that just began, or was held up, did not listen, and what it
 * missed proves nothing. Until its grace is over no verdict takes effect.
 */
#ifndef MF_BROKER_GRACE_H
#define MF_BROKER_GRACE_H

#include "state.h"

void mf_grace_begin(struct mf_broker *b); /* a reign begins */
void mf_grace_watch(struct mf_broker *b); /* at each feed, before anything is believed */
void mf_grace_beat(struct mf_broker *b);  /* alarm: the loop turns */
void mf_grace_over(struct mf_broker *b);  /* alarm: what was said meanwhile counts now */

static inline bool mf_grace(const struct mf_broker *b)
{
    return b->now < b->grace_until;
}

#endif
