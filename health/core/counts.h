/* counts.h - what a monitor can be counted by, for /metrics: never by node. */
#ifndef MF_HEALTH_COUNTS_H
#define MF_HEALTH_COUNTS_H

#include "health.h"

struct mf_health_counts {
    uint64_t heard, malformed, unknown, stale, replayed, forged,
        unasked;                              /* datagrams, by what became of them */
    uint64_t verdicts[MF_ENUM_COUNT_verdict]; /* concluded and said; not how often */
};

enum { MF_HEALTH_STATES_MAX = 8 };

struct mf_health_census {
    bool linked, welcomed, suspended;
    const char *reason; /* of suspended */
    size_t known, heard;
    struct {
        const char *state;
        size_t n;
    } ears[MF_HEALTH_STATES_MAX]; /* states of ear.def, up to the first without a word */
    struct mf_health_counts counts;
    uint64_t probes_sent, probes_answered, probes_put_off;
    mf_ms pardoned_ms;
    size_t guests, guests_failing, looks_out;
    uint64_t looks_passed, looks_failed, looks_void;
    uint64_t guests_outside, guests_beyond; /* told of and not looked at: where they are, or too many */
};

/* O(nodes and guests). */
void mf_health_count(const struct mf_health *self, struct mf_health_census *ret_census);

#endif
