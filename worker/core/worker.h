/* worker.h - what the agent thinks. A pure core, as broker.h: it holds the session with the broker (hello,
 * epoch, term), the table of jobs with a lane for each kind of work (create, destroy, list: one hung call
 * blocks nothing else), and the reports that are sent again until the broker says they are durable. It keeps
 * nothing on disk: what runs is read from the hypervisor at every start.
 *
 * Three tables say all moves: session.def (the talk with the broker), guest.def (the life of each guest
 * here) and leaving.def (the worker's own end).
 *
 * Rules worth knowing from outside:
 * - Every hello follows a list that was begun after the reason for it. Orders die with their epoch: what was
 * queued and not begun is forgotten at the hello; a create under way goes on and is told as `creating`, and
 * the broker orders it again to hear of its end.
 * - An order of a lower term, of another epoch, or before a welcome is not acknowledged; it is counted.
 * - A create whose time ran out in the queue was never begun; one that ends too late is undone, then answered
 * `deadline`. A destroy is never given up: when its time is over it is answered `deadline` and goes on.
 * - An at-most create is begun only after the keeper got a lease that it asked for after the order came
 * (LEASE_WANT, LEASE_READY); until then it takes no lane. Of the creates that may begin, the one whose group
 * is furthest below its min goes first.
 * - A create whose image has URLs takes no lane either until its files are in the cache (FETCH, FETCHED); one
 * fetch serves all that wait for the same image, and goes on without any only for a warm-up.
 * - A list that does not come back is given up after a while and another is begun.
 * - What a guest says of itself is no state of the table: that it is ready is told once it runs, and in every
 * inventory after; that it is unwell, once; where it is to be found, at each change and after each welcome.
 * - A death is reported once, unless we were destroying the guest; what is left of it (disk, seed, domain) is
 * then cleaned up. */
#ifndef MF_WORKER_H
#define MF_WORKER_H

#include "message.h"

struct mf_worker;

struct mf_worker_config {
    char node[MF_NAME_MAX + 1];
    char machine_id[65], boot_id[65], class[MF_NAME_MAX + 1], driver[64], probe_address[101];
    mf_ms started_ms; /* keeper's start, wall clock */
    bool guests_die_with_me;
    bool fences;                /* the keeper can end every guest here by itself */
    char fences_not[256];       /* why it cannot */
    struct mf_labels labels;    /* copied */
    uint32_t cpu_ratio_percent; /* that the capacity has applied */
    uint32_t create_lanes;      /* creates at once: the meter of starts; default 4 */
    uint32_t destroy_lanes;     /* default 4 */
    mf_ms hello_ms;             /* hello is sent again until answered; default 500 */
    mf_ms report_ms;            /* a report is sent again until acknowledged; default 500 */
    mf_ms list_ms;       /* the driver is listed this often, to find what no event told; default 10000 */
    mf_ms list_limit_ms; /* a list that takes longer is given up; default 30000 */
    mf_ms link_ms;       /* nothing heard from the broker for this long: reconnect; default 4000 */
    mf_ms refused_ms;    /* a refused hello is said again after this long; default 10000 */
    mf_ms leaving_ms;    /* that it leaves is said again until answered; default 200 */
    mf_ms left_ms; /* and no longer than this once its guests are dead, or live on without it; default 1000 */
    mf_ms retry_ms; /* a failed list is tried again after this long, a failed clean-up after five times as
                       long; default 1000 */
    uint64_t epoch,
        term; /* of the session before this agent's start, as the keeper remembers them; 0 if none */
    struct mf_uuid cluster_id;
};
void mf_worker_config_default(struct mf_worker_config *ret_config);

enum mf_worker_event_kind {
    MF_WORKER_TICK,
    MF_WORKER_LINK_UP,
    MF_WORKER_LINK_DOWN,
    MF_WORKER_MESSAGE, /* from the broker; blobs with bytes, valid during the feed (the edge keeps what a job
                          needs) */
    MF_WORKER_LISTED,  /* answer to a LIST job: list_ticket, capacity, cells, guests; or code and text, and it
                          is  tried again */
    MF_WORKER_JOB_DONE, /* answer to a CREATE or DESTROY job: id, code, text, console */
    MF_WORKER_DIED,    /* the keeper or the driver says a guest ended: id, how, text, console. A hint may come
                          twice or for what we destroy */
    MF_WORKER_READY,   /* a guest said that it is well: id */
    MF_WORKER_UNWELL,  /* the driver says that a guest which runs is not: id, ailment, text, console */
    MF_WORKER_ADDRESS, /* a guest is to be found at text, or nowhere any more: id */
    MF_WORKER_LOG,     /* answer to a LOG job: ask_id, code, log */
    MF_WORKER_LEASE_ASK,   /* the keeper asks the broker: epoch, ask_id */
    MF_WORKER_LEASE_READY, /* answer to LEASE_WANT: id */
    MF_WORKER_FETCHED,     /* answer to FETCH: fetch_ticket, code, text */
    MF_WORKER_FILE, /* what the cache says of a file: file; to be told to the broker, unless it was there
                       before we were (tell) */
    /* What the keeper says of its own end. */
    MF_WORKER_DRAIN, /* remaining_ms: it ends when the node is drained, or after so long; answered by LEFT */
    MF_WORKER_END,   /* it is about to kill every guest; answered by QUIET */
    MF_WORKER_ALL_DEAD, /* it has; answered by LEFT */
    MF_WORKER_GO        /* this agent is told to end, and its guests live on */
};
enum { MF_WORKER_CELLS_MAX = 8 }; /* of a hello, as the message table says */
struct mf_worker_guest {
    struct mf_uuid id;
    bool running;
    bool ready; /* it said that it is well */
    char address[46];
    char name[200]; /* from the domain's own metadata; empty if foreign */
};
struct mf_worker_event {
    enum mf_worker_event_kind kind;
    const struct mf_message *message;
    struct mf_rec_resources capacity;
    const struct mf_rec_cell *cells; /* at most MF_WORKER_CELLS_MAX */
    size_t n_cells;
    const struct mf_worker_guest *guests;
    size_t n_guests;
    struct mf_uuid id;
    enum mf_operation operation;
    enum mf_errcode code;
    struct mf_str text;
    enum mf_death how;
    enum mf_ailment ailment;
    struct mf_str console; /* the end of a guest's serial output, at most 4096 bytes */
    uint64_t ask_id, epoch;
    mf_ms remaining_ms;
    struct mf_str log;
    uint64_t fetch_ticket;
    struct mf_msg_file_progress file; /* without an epoch; text valid during the feed */
    bool tell;
    uint64_t list_ticket; /* LISTED: the one of the LIST action; jobs begun since are not judged by it */
};

enum mf_worker_action_kind {
    MF_WORKER_SEND,      /* message, to the broker */
    MF_WORKER_RECONNECT, /* close and open the link */
    MF_WORKER_CREATE,    /* order (an order-create, valid until JOB_DONE for its id is fed): make it run;
                            idempotent */
    MF_WORKER_DESTROY, /* id, grace_ms: make it gone, disk and seed too; idempotent; done means not listed and
                          no process */
    MF_WORKER_FETCH, /* image, fetch_ticket: have its files that are URLs in the cache, and keep them there */
    MF_WORKER_FETCH_OVER, /* fetch_ticket: nobody needs them any more */
    MF_WORKER_LIST,       /* list guests and capacity; list_ticket */
    MF_WORKER_READ_LOG,   /* id, ask_id, bytes */
    MF_WORKER_SESSION,    /* epoch, pulse key, pulse_ms, renew_ms, monitors: tell the keeper */
    MF_WORKER_LEASE_WANT, /* id: an at-most create waits for a lease asked for from now on; tell the keeper */
    MF_WORKER_LEASE_OVER, /* id: it waits no more, or its create ended; tell the keeper */
    MF_WORKER_LEASE_GRANT, /* epoch, ask_id, lease_ms: the broker's answer, for the keeper */
    MF_WORKER_QUIET,       /* nothing is being born any more: tell the keeper */
    MF_WORKER_LEFT /* drained; or the broker knows that all are dead, or does not answer: tell the keeper */
};
struct mf_worker_action {
    enum mf_worker_action_kind kind;
    const struct mf_message *message; /* SEND */
    const struct mf_msg_order_create *order;
    struct mf_uuid id;
    mf_ms grace_ms;
    bool evidence; /* DESTROY: the end of its serial output is wanted with JOB_DONE */
    uint64_t ask_id, list_ticket, fetch_ticket;
    struct mf_rec_image image; /* FETCH */
    uint32_t bytes;
    uint64_t epoch;
    const uint8_t *pulse_key; /* 32 bytes */
    mf_ms pulse_ms, renew_ms, lease_ms;
    const struct mf_rec_endpoint *monitors;
    size_t n_monitors;
    uint64_t term;             /* SESSION: for the keeper to remember */
    struct mf_uuid cluster_id; /* SESSION: likewise */
};

struct mf_worker *mf_worker_new(const struct mf_worker_config *config);
void mf_worker_destroy(struct mf_worker **self);
void mf_worker_feed(struct mf_worker *self, mf_ms now, const struct mf_worker_event *event);
bool mf_worker_poll(
    struct mf_worker *self,
    struct mf_worker_action *ret_action); /* pointers valid until the next feed, `order` longer */
mf_ms mf_worker_deadline(const struct mf_worker *self);
void mf_worker_check(const struct mf_worker *self);
void mf_worker_describe(const struct mf_worker *self, struct mf_buf *buf);

/* -- looking in, for the edge and for tests */
bool mf_worker_welcomed(const struct mf_worker *self);
bool mf_worker_going(const struct mf_worker *self); /* GO was fed, and the broker may still answer it */
const char *
mf_worker_leaving(const struct mf_worker *self); /* "draining", then "leaving"; "" while it is to stay */
uint64_t mf_worker_epoch(const struct mf_worker *self); /* 0 when there is no session */
const char *mf_worker_refusal(
    const struct mf_worker *self); /* why the broker refuses us, "code: text"; "" when it does not */
bool mf_worker_holds(const struct mf_worker *self,
                     struct mf_uuid id); /* a create of it is queued or under way: keep its blobs */
size_t mf_worker_guests(const struct mf_worker *self); /* running ones */
uint64_t
mf_worker_ignored(const struct mf_worker *self); /* messages of a lower term, another epoch or out of turn */

/* The tables as data, for docs/STATES.md and for the test that no cell is empty. refused: a row that says
 * why nothing happens. */
struct mf_worker_move {
    const char *state, *event, *next, *why;
    bool refused;
};
size_t mf_worker_session_moves(const struct mf_worker_move **ret_moves);
size_t mf_worker_guest_moves(const struct mf_worker_move **ret_moves);
size_t mf_worker_leaving_moves(const struct mf_worker_move **ret_moves);

#endif
