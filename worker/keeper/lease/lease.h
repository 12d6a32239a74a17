/* lease.h - the right to keep at-most guests running, as the keeper reckons it. Pure clockwork: it is fed
 * what happens with the time in it, and says what to ask, whose create may begin and whom to kill. It
 * allocates nothing and knows no clock; `now` is CLOCK_BOOTTIME, which goes on while the host sleeps.
 *
 * One lease covers the whole node. It is asked for while an at-most guest is held or awaited, every renew_ms
 * and at once for a new intent, and it counts from the moment of the ask: until = asked + granted. It ends by
 * time alone.
 *
 * The life of an entry:
 *
 *   intent()      WAITING   an at-most create is ordered, and must not begin before a lease that was asked
 *                           for after this moment
 *   granted()     CLEARED   action CLEARED says so once: the create begins; a process may appear, paused
 *   hold()        HELD      its process is held by pidfd; true: the lease is valid, the guest may be resumed
 *   lease's end   FENCED    action FENCE for each held one, to be killed by pidfd; action SCAN, now and again
 *                           as long as such entries exist: kill each process that carries an id for which
 *                           fences() is true. Nothing leads back: a later lease is for other creates
 *   intent_over() / gone()  forgotten: the create came to its end / the process is proven gone
 *
 * An intent that still waits at the lease's end goes on waiting: nothing of it exists. hold() of an id
 * without an intent (found by a new agent or a new keeper) is HELD under a valid lease and FENCED without
 * one; hold() of one that was not cleared is FENCED.
 *
 * A new session keeps `until`, and asks under the new epoch at once. A keeper that starts anew in the same
 * boot goes on with the `until` of the one before it, where that is known (mf_lease_init), and with the
 * guests it held (mf_lease_restore): they are HELD, and fenced in time, before any agent has found them
 * again. With an `until` of 0 there is no lease, and what is found is fenced.
 *
 * Use: after every call below that takes `now`, and when mf_lease_deadline() has come, call mf_lease_poll()
 * until it is false. */
#ifndef MF_LEASE_H
#define MF_LEASE_H

#include "ids.h"

enum {
    MF_LEASE_ASKS = 8,     /* asks remembered; the answer to an older one is ignored */
    MF_LEASE_SCAN_MS = 50, /* to the second look for processes that must not be, doubled up to */
    MF_LEASE_SCAN_MAX_MS = 1000,
    MF_LEASE_RENEW_MS = 2000 /* until a session says otherwise */
};

enum mf_lease_state { MF_LEASE_FREE, MF_LEASE_WAITING, MF_LEASE_CLEARED, MF_LEASE_HELD, MF_LEASE_FENCED };
struct mf_lease_entry {
    struct mf_uuid id;
    enum mf_lease_state state;
    bool has_process; /* FENCED: it was held */
    bool unseen;      /* restored, and not held anew yet */
    uint64_t after;   /* an intent waits for the grant of an ask beyond this one; UINT64_MAX: none waits */
};

struct mf_lease {
    struct mf_lease_entry *entries; /* the caller's, n places */
    size_t n_places, n_used;        /* places beyond n_used were never used */
    size_t n_waiting, n_cleared, n_held, n_fenced;
    uint64_t epoch; /* 0: no session yet */
    mf_ms renew_ms, until;
    uint64_t ask_id, granted; /* newest asked, newest answered */
    struct {
        uint64_t id;
        mf_ms at;
    } asks[MF_LEASE_ASKS];
    mf_ms ask_at, scan_at, scan_after_ms;
    size_t clear_from, fence_from; /* where poll goes on; n_used: nothing left to say */
};

enum mf_lease_action_kind {
    MF_LEASE_ASK = 1, /* epoch, ask_id: to the broker */
    MF_LEASE_CLEAR,   /* id: its create may begin */
    MF_LEASE_FENCE,   /* id: kill its process, which is held */
    MF_LEASE_SCAN     /* kill whatever carries an id that mf_lease_fences() */
};
struct mf_lease_action {
    enum mf_lease_action_kind kind;
    uint64_t epoch, ask_id;
    struct mf_uuid id;
};

/* ask_id: the last one of an earlier keeper, or a number that only rises over restarts (a wall clock will
 * do). */
void mf_lease_init(struct mf_lease *self, struct mf_lease_entry *entries, size_t n_places, uint64_t ask_id,
                   mf_ms until);
/* A guest that an earlier keeper of this boot held. */
void mf_lease_restore(struct mf_lease *self, mf_ms now, struct mf_uuid id);
void mf_lease_session(struct mf_lease *self, mf_ms now, uint64_t epoch, mf_ms renew_ms);
/* True if the lease grew longer. Ignored: an answer for another epoch, to an unknown ask, or to one older
 * than the newest that was answered. */
bool mf_lease_granted(struct mf_lease *self, mf_ms now, uint64_t epoch, uint64_t ask_id, mf_ms lease_ms);

/* False if no place is left: the create never begins, and its order runs out. */
bool mf_lease_intent(struct mf_lease *self, mf_ms now, struct mf_uuid id);
void mf_lease_intent_over(struct mf_lease *self, mf_ms now, struct mf_uuid id);
/* May it be resumed, or go on running? False: fenced, kill it. */
bool mf_lease_hold(struct mf_lease *self, mf_ms now, struct mf_uuid id);
/* It was found or made, and its process cannot be held: fenced, and looked for until it is gone. */
void mf_lease_refuse(struct mf_lease *self, mf_ms now, struct mf_uuid id);
void mf_lease_gone(struct mf_lease *self, mf_ms now, struct mf_uuid id);

/* The agent died: what waited waits no more; what it had begun to create is fenced, for nobody may resume it.
 */
void mf_lease_agent_ended(struct mf_lease *self, mf_ms now);
/* Another agent has listed what there is: what the one before left half made, and what was restored but not
 * found, is gone. */
void mf_lease_agent_ready(struct mf_lease *self, mf_ms now);
/* The keeper is about to end: nobody will end these guests later, so all of them are fenced now. */
void mf_lease_end(struct mf_lease *self, mf_ms now);

bool mf_lease_poll(struct mf_lease *self, mf_ms now, struct mf_lease_action *ret_action);
mf_ms mf_lease_deadline(const struct mf_lease *self); /* INT64_MAX: nothing is due by time alone */

bool mf_lease_valid(const struct mf_lease *self, mf_ms now);
bool mf_lease_fences(const struct mf_lease *self, struct mf_uuid id);
enum mf_lease_state mf_lease_state(const struct mf_lease *self, struct mf_uuid id);

#endif
