/* checks.h - looks at guests from outside: when each is due, what became of it, and when that is worth a
 * word.
 *
 * A check that failed as often in a row as its group says makes its guest failing, which is said at once and
 * twice a second from then on; one look that passes takes it back, for who answers lives. While this monitor
 * doubts its own hearing it does not look, and what failed while its loop stood still does not count. How
 * many of the guests that ever passed do so now is said with every word: whether they can all be that unwell
 * is for the broker to decide. Private to this folder. */
#ifndef MF_CHECKS_H
#define MF_CHECKS_H

#include "health.h"
#include "heap.h"
#include "map.h"
#include "networks.h"

enum { MF_CHECKS_SAY_MS = 500, MF_CHECKS_EVERY_MIN_MS = 200, MF_CHECKS_TIMEOUT_MAX_MS = 10000 };

struct mf_watched;

struct mf_looked {         /* one check of one guest */
    struct mf_timer timer; /* first: when it is looked at next; not set while a look is out */
    struct mf_watched *guest;
    enum mf_check_kind kind;
    uint16_t port;
    char path[256];
    mf_ms every_ms, timeout_ms;
    unsigned fall, failed; /* in a row */
    bool passed;           /* ever */
    uint64_t out;          /* number of the look that is out; 0: none */
    char text[128];        /* why the last one failed */
};

struct mf_watched {      /* one guest */
    struct mf_timer say; /* first: when it is said (again); not set: nothing to say */
    struct mf_uuid id;
    char address[MF_GUEST_ADDRESS];
    bool failing, counted_once, counted_now; /* in mf_checks: passed once, and passes now */
    unsigned n;
    struct mf_looked looked[];
};

struct mf_checks {
    struct mf_map *guests, *out; /* by id; looks that are out, by number */
    struct mf_heap due, says;
    struct mf_random random;
    struct mf_networks networks;
    uint32_t guests_max, looks_max;
    uint64_t next_look;
    unsigned begun;                    /* in this turn */
    size_t n_out;                      /* with those whose guest was forgotten meanwhile */
    uint64_t void_below;               /* looks of lower numbers may not fail anybody */
    size_t once, now, failing;         /* guests that ever passed; that pass now; that are said to fail */
    bool resting;                      /* the monitor doubts itself: nothing is begun */
    uint64_t passed, failed, pardoned; /* looks that had their end */
    uint64_t outside, beyond;          /* guests refused: address not in our networks; more than guests_max */
};

void mf_checks_begin(struct mf_checks *self, const struct mf_health_config *config);
void mf_checks_free(struct mf_checks *self);
/* A session ends or begins: nobody is looked at, and what is out is nobody's. */
void mf_checks_forget(struct mf_checks *self);
/* Look at it so, or no more. The same again changes nothing. */
void mf_checks_told(struct mf_checks *self, const struct mf_msg_monitor_guest *told, mf_ms now);
/* What became of a look. */
void mf_checks_done(struct mf_checks *self, uint64_t look, enum mf_look_end how, const char *text, mf_ms now);
/* The own loop was late: whatever is out may have failed for that. */
void mf_checks_pardon(struct mf_checks *self);
/* The monitor begins, or ends, to doubt its own hearing. */
void mf_checks_rest(struct mf_checks *self, bool resting, mf_ms now);
/* A turn of the loop: some looks may be begun. */
void mf_checks_turn(struct mf_checks *self);
/* A look to be begun now. */
bool mf_checks_poll(struct mf_checks *self, mf_ms now, struct mf_health_look *ret_look);
/* A word to be said now, in an arena. */
bool mf_checks_say(struct mf_checks *self, mf_ms now, struct mf_arena *arena,
                   struct mf_msg_monitor_checked *ret_word);
void mf_checks_check(const struct mf_checks *self);

#endif
