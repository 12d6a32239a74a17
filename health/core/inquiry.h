/* inquiry.h - what was asked about one quiet node, and which echo answers. It is asked in rounds, a few
 * probes each; every probe has a nonce of its own: numbers that follow one another from a random one on, so
 * that the last few rounds are told by counting. Private to this folder. */
#ifndef MF_INQUIRY_H
#define MF_INQUIRY_H

#include "ids.h"

struct mf_ear;

enum {
    MF_INQUIRY_PEERS = 3,
    MF_INQUIRY_ROUND = 1 + MF_INQUIRY_PEERS, /* one probe goes directly */
    MF_INQUIRY_KEPT = 8                      /* rounds that may still be answered: most of a second */
};

struct mf_inquiry { /* zero-initialised is one that never asked */
    uint64_t first, rounds;
    mf_ms sent_ms[MF_INQUIRY_KEPT];
    uint32_t answered;              /* a bit for each probe of the kept rounds */
    mf_ms round_ms;                 /* when the last round was sent */
    mf_ms not_before;               /* put off, because too much was being asked */
    uint64_t quiet_from;            /* the first round since the last pulse */
    uint8_t asked[MF_INQUIRY_KEPT]; /* peers, in each kept round */

    struct mf_ear *peers[MF_INQUIRY_PEERS]; /* of the round that is being sent */
    unsigned n_peers, next;
};

void mf_inquiry_begin_round(struct mf_inquiry *self, struct mf_random *random, mf_ms now);
/* The nonce of probe `i` of this round; the first goes directly. */
uint64_t mf_inquiry_ask(struct mf_inquiry *self, unsigned i);
/* Is it an answer to a probe of a kept round, and the first? When that was sent. */
bool mf_inquiry_answered(struct mf_inquiry *self, uint64_t nonce, mf_ms *ret_sent_ms);
/* Of the peers that were asked in one of the last two rounds since it pulsed, how many brought an echo: the
 * better of the two, for the newest may not be answered yet. */
void mf_inquiry_opinion(const struct mf_inquiry *self, uint64_t *ret_asked, uint64_t *ret_echoes);
/* When the next round may be, this long after the last. */
mf_ms mf_inquiry_next(const struct mf_inquiry *self, mf_ms pause);
/* It pulses: what was asked is history. */
void mf_inquiry_end(struct mf_inquiry *self);

#endif
