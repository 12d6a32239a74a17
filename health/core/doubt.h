/* doubt.h - whether this monitor may trust its own ears. One that suddenly hears few of the nodes whose
 * connection the broker holds open is rather deaf itself; so is one whose own loop stood still. While in
 * doubt it judges nobody. Private to this folder. */
#ifndef MF_DOUBT_H
#define MF_DOUBT_H

#include "ear.h"

enum { MF_DOUBT_PERCENT = 50, MF_DOUBT_MISSED = 2, MF_DOUBT_LATE_MS = 1000 };

struct mf_doubt {
    unsigned percent;   /* of the open ones that must be heard */
    size_t open, heard; /* nodes that were heard once, and are connected; of them, audible */
    mf_ms late_ms;      /* how long the own loop stood still */
    mf_ms late_until;   /* and until when that is a reason */
    bool is_doubting;
    char reason[160];
};

/* A welcome: nobody was heard yet. percent 0: the broker does not say. */
void mf_doubt_begin(struct mf_doubt *self, unsigned percent);
/* After anything that may have changed an ear. */
void mf_doubt_count(struct mf_doubt *self, struct mf_ear *ear);
/* The own loop was late. */
void mf_doubt_late(struct mf_doubt *self, mf_ms lateness, mf_ms until);
/* True when the answer has changed. */
bool mf_doubt_look(struct mf_doubt *self, mf_ms now);

#endif
