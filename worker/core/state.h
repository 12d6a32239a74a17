/* state.h - the worker core from the inside: what its files share. Nobody outside worker/core includes it. */
#ifndef MF_WORKER_STATE_H
#define MF_WORKER_STATE_H

#include "worker.h"
#include "check.h"
#include <sys/queue.h>

#define MF_STATE(ID, word, doc) MF_SESSION_##ID,
#define MF_TRIGGER(ID, word, doc)
#define MF_MOVE(state, event, next, act, why)
#define MF_REFUSE(state, event, why)
enum mf_session_state {
#include "session.def"
    MF_SESSION_COUNT
};
#undef MF_STATE
#undef MF_TRIGGER
#define MF_STATE(ID, word, doc)
#define MF_TRIGGER(ID, word, doc) MF_ON_##ID,
enum mf_session_event {
#include "session.def"
    MF_ON_COUNT
};
#undef MF_STATE
#undef MF_TRIGGER
#define MF_STATE(ID, word, doc) MF_GUEST_##ID,
#define MF_TRIGGER(ID, word, doc)
enum mf_guest_life {
#include "guest.def"
    MF_GUEST_COUNT
};
#undef MF_STATE
#undef MF_TRIGGER
#define MF_STATE(ID, word, doc)
#define MF_TRIGGER(ID, word, doc) MF_GUEST_ON_##ID,
enum mf_guest_event {
#include "guest.def"
    MF_GUEST_ON_COUNT
};
#undef MF_STATE
#undef MF_TRIGGER
#define MF_STATE(ID, word, doc) MF_LEAVING_##ID,
#define MF_TRIGGER(ID, word, doc)
enum mf_leaving_state {
#include "leaving.def"
    MF_LEAVING_COUNT
};
#undef MF_STATE
#undef MF_TRIGGER
#define MF_STATE(ID, word, doc)
#define MF_TRIGGER(ID, word, doc) MF_LEAVING_ON_##ID,
enum mf_leaving_event {
#include "leaving.def"
    MF_LEAVING_ON_COUNT
};
#undef MF_STATE
#undef MF_TRIGGER
#undef MF_MOVE
#undef MF_REFUSE

enum {
    MF_WORKER_RESEND_MAX = 64, /* reports sent again in one turn */
    MF_WORKER_ASKS_MAX = 64,   /* asks of one kind held; the broker's own limits are lower */
    MF_WORKER_MONITORS_MAX = 16,
    MF_WORKER_GUESTS_MAX = 8192, /* of one inventory, as the message table says */
    MF_WORKER_HELD_MAX = 4096,   /* image files of one hello, as the message table says */
    MF_WORKER_CONSOLE_MAX = 4096,
    MF_WORKER_TEXT_MAX = 512
};

struct mf_held { /* an order that will be answered; order_id 0: none */
    uint64_t order_id;
    mf_ms received, deadline;
};

struct mf_need { /* an image with files that must be fetched */
    TAILQ_ENTRY(mf_need) link;
    uint64_t ticket;
    struct mf_rec_image image;
    struct mf_arena arena; /* of its strings */
    size_t guests;         /* creates that are queued or under way and need it */
    bool warm;             /* the broker wants it before any birth asks; until it is here or has failed */
    bool here;
    char said[256]; /* why a fetch of it is tried again, if it is */
};
TAILQ_HEAD(mf_needs, mf_need);

struct mf_guest {
    struct mf_uuid id;
    enum mf_guest_life life;
    TAILQ_ENTRY(mf_guest) link; /* in lives[life] */
    struct mf_guest *chain;     /* of its hash bucket */
    char name[200];
    bool runs;        /* as last listed; for foreign ones */
    bool dead;        /* known to have ended: no inventory shows it while its leftovers are cleaned up */
    bool wants_lease; /* the keeper was asked for one, and not told that its create is over */
    bool cleared;     /* and got it: the create may begin */
    bool hinted;      /* somebody says it died while it was being created */
    bool ready;       /* it said that it is well; in this life */
    char *address;    /* where it is to be found; NULL: nowhere that is known */
    uint64_t touched; /* newest list ticket when something last happened to it: no list up to it may judge */
    uint64_t swept;   /* newest list that showed it */
    struct mf_held create, destroy;
    mf_ms grace_ms, not_before;
    bool evidence;                     /* its destroy is to tell the end of its serial output */
    struct mf_arena arena;             /* of the order */
    struct mf_msg_order_create *order; /* what the create lane reads */
    struct mf_need *need;              /* files that its create waits for or uses; NULL: none */
};
TAILQ_HEAD(mf_guest_list, mf_guest);

struct mf_report {
    struct mf_message message; /* order_result or a fact */
    mf_ms sent_at;
    char text[MF_WORKER_TEXT_MAX + 1];
    char *console; /* of a fact, by malloc */
    uint32_t console_len;
};

struct mf_ask {
    uint64_t ask_id, ticket;
    struct mf_uuid id;
    uint32_t bytes;
};
struct mf_asks {
    struct mf_ask items[MF_WORKER_ASKS_MAX];
    unsigned n;
};

struct mf_worker {
    struct mf_worker_config config;
    struct mf_arena config_arena;
    mf_ms now;

    enum mf_session_state session;
    uint64_t term, epoch, last_epoch;
    struct mf_uuid cluster_id;
    uint8_t pulse_key[32];
    mf_ms pulse_ms, alive_ms, renew_ms;
    struct mf_rec_endpoint monitors[MF_WORKER_MONITORS_MAX];
    char monitor_text[MF_WORKER_MONITORS_MAX][101];
    unsigned n_monitors;
    mf_ms hello_at, heard_at, alive_at;
    char refusal[1200];
    uint64_t ignored;

    enum mf_leaving_state leaving;
    mf_ms drain_until, leaving_at, leaving_until; /* leaving_at: said again; leaving_until: no longer */

    struct mf_rec_resources capacity;
    struct mf_rec_cell cells[MF_WORKER_CELLS_MAX];
    size_t n_cells;
    uint64_t ticket, list_from; /* newest ticket given; oldest that makes a hello fresh */
    bool list_busy, list_wanted;
    mf_ms list_at, list_began;

    struct mf_guest **buckets;
    size_t n_buckets, n_guests;
    struct mf_guest_list lives[MF_GUEST_COUNT];
    size_t n_lives[MF_GUEST_COUNT];

    struct mf_report **reports; /* reports[first..first+n), by rising report_id */
    size_t first_report, n_reports, cap_reports;
    uint64_t report_id;
    mf_ms resend_at;

    struct mf_needs needs;
    uint64_t fetch_ticket;
    struct mf_rec_file_held *held; /* image files in the cache, at most MF_WORKER_HELD_MAX */
    size_t n_held, cap_held;

    struct mf_asks inventory_asks, log_asks; /* log_asks.items[0] is under way when log_busy */
    bool log_busy;

    struct mf_worker_action *actions; /* actions[first_action..n_actions) wait for poll */
    size_t first_action, n_actions, cap_actions;
    struct mf_arena arena; /* of all that waits there */
};

/* outbox.c: what poll will hand out */
struct mf_worker_action *mf_outbox_add(struct mf_worker *self, enum mf_worker_action_kind kind);
struct mf_message *mf_outbox_say(struct mf_worker *self, enum mf_kind kind);
void mf_outbox_session(struct mf_worker *self);
void mf_outbox_lease(struct mf_worker *self, enum mf_worker_action_kind kind, struct mf_uuid id);
void mf_outbox_hello(struct mf_worker *self, bool again);
void mf_outbox_inventory(struct mf_worker *self, uint64_t ask_id);
void mf_outbox_log_tail(struct mf_worker *self, uint64_t ask_id, enum mf_errcode code, struct mf_str log);

/* session.c */
void mf_session_feed(struct mf_worker *self, enum mf_session_event event, const struct mf_message *message);
void mf_session_message(struct mf_worker *self, const struct mf_message *message);
void mf_session_lease_ask(struct mf_worker *self, uint64_t epoch, uint64_t ask_id);
void mf_session_timers(struct mf_worker *self);

/* leaving.c */
static inline bool mf_worker_ends(const struct mf_worker *self) /* for good: nothing is begun or told */
{
    return self->leaving >= MF_LEAVING_ENDING;
}
void mf_leaving_feed(struct mf_worker *self, enum mf_leaving_event event);
void mf_leaving_drain(struct mf_worker *self, mf_ms remaining_ms);
void mf_leaving_answer(struct mf_worker *self, const struct mf_msg_left *left);
void mf_leaving_timers(struct mf_worker *self);
mf_ms mf_leaving_deadline(const struct mf_worker *self);

/* orders.c: what comes from the broker for a guest */
void mf_orders_create(struct mf_worker *self, const struct mf_msg_order_create *order);
void mf_orders_destroy(struct mf_worker *self, const struct mf_msg_order_destroy *order);

/* lives.c: the machine of guest.def */
struct mf_guest_cause { /* what came with the event; only what it needs is set */
    const struct mf_msg_order_create *create;
    const struct mf_msg_order_destroy *destroy;
    enum mf_errcode code;
    struct mf_str text, console;
    enum mf_death how;
};
void mf_guest_feed(struct mf_worker *self, struct mf_guest *guest, enum mf_guest_event event,
                   const struct mf_guest_cause *cause);
void mf_lives_job_done(struct mf_worker *self, const struct mf_worker_event *event);
void mf_lives_lease_ready(struct mf_worker *self, struct mf_uuid id);
void mf_lives_epoch(struct mf_worker *self); /* a hello is about to be said */
void mf_lives_timers(struct mf_worker *self);
void mf_lives_pump(struct mf_worker *self); /* begin what free lanes allow */

/* wellbeing.c: what guests say of themselves */
void mf_wellbeing_ready(struct mf_worker *self, struct mf_guest *guest); /* it said so, whenever it did */
void mf_wellbeing_unwell(struct mf_worker *self, const struct mf_worker_event *event);
void mf_wellbeing_address(struct mf_worker *self, const struct mf_worker_event *event);
void mf_wellbeing_runs(struct mf_worker *self, struct mf_guest *guest); /* it was born */
void mf_wellbeing_forget(struct mf_guest *guest);                       /* its life is over, or not begun */
void mf_wellbeing_welcomed(struct mf_worker *self);

/* images.c: files that births wait for, and what the cache says */
void mf_needs_hold(struct mf_worker *self, struct mf_guest *guest); /* by its order's image */
void mf_needs_release(struct mf_worker *self, struct mf_guest *guest);
bool mf_needs_met(const struct mf_guest *guest);
struct mf_str mf_needs_why_not(const struct mf_guest *guest, char text[MF_WORKER_TEXT_MAX]);
void mf_needs_warm(struct mf_worker *self, const struct mf_msg_image_fetch *fetch);
void mf_needs_fetched(struct mf_worker *self, const struct mf_worker_event *event);
void mf_needs_file(struct mf_worker *self, const struct mf_worker_event *event);
void mf_needs_check(const struct mf_worker *self);
void mf_needs_free(struct mf_worker *self);

/* guests.c: the table, and lists against it */
struct mf_guest *mf_guests_find(const struct mf_worker *self, struct mf_uuid id);
struct mf_guest *mf_guests_add(struct mf_worker *self, struct mf_uuid id);
void mf_guests_move(struct mf_worker *self, struct mf_guest *guest, enum mf_guest_life life);
void mf_guests_listed(struct mf_worker *self, const struct mf_worker_event *event);
uint64_t mf_guests_digest(const struct mf_worker *self);                                /* of all that run */
uint32_t mf_guests_inventory(struct mf_worker *self, struct mf_rec_guest **ret_guests); /* in the arena */
void mf_guests_free(struct mf_worker *self);

/* reports.c */
void mf_reports_result(struct mf_worker *self, struct mf_guest *guest, struct mf_held *held,
                       enum mf_operation operation, enum mf_errcode code, struct mf_str text,
                       struct mf_str console);
void mf_reports_death(struct mf_worker *self, struct mf_uuid id, enum mf_death how, struct mf_str text,
                      struct mf_str console);
void mf_reports_ready(struct mf_worker *self, struct mf_uuid id);
void mf_reports_unwell(struct mf_worker *self, struct mf_uuid id, enum mf_ailment how, struct mf_str text,
                       struct mf_str console);
bool mf_reports_answers(const struct mf_worker *self,
                        uint64_t order_id); /* a result of this order waits for its ack */
bool mf_reports_mourns(const struct mf_worker *self,
                       struct mf_uuid id); /* a death of this guest waits for its ack */
void mf_reports_ack(struct mf_worker *self, uint64_t report_id);
void mf_reports_drop(struct mf_worker *self, bool facts_too);
void mf_reports_begin(struct mf_worker *self); /* an epoch began: send all that wait */
void mf_reports_timers(struct mf_worker *self);
void mf_reports_free(struct mf_worker *self);

/* names of states and events, for describe */
const char *mf_session_word(enum mf_session_state state);
const char *mf_guest_life_word(enum mf_guest_life life);
const char *mf_leaving_word(enum mf_leaving_state state);

#endif
