/* broker.h - the brain. A pure state machine: no socket, file, clock, thread or random device; it is fed
 * events with the time in them and asked what to do next. The very code that runs a cloud runs in the
 * simulator.
 *
 * The data's path: an edge decodes a message and feeds MF_BROKER_MESSAGE with the peer it came from (role and
 * name proven by its key; the role column of the message table already enforced). The core changes its state
 * by applying log rows (one function, the fold, for live and for replay), hands each row out as
 * MF_BROKER_APPEND, and queues what it wants to send behind the rows it depends on. The edge commits rows in
 * groups and feeds MF_BROKER_COMMITTED; only then does poll hand out what waited: nothing is visible before
 * it is durable. */
#ifndef MF_BROKER_H
#define MF_BROKER_H

#include "message.h"
#include "policy.h"

struct mf_broker;

struct mf_broker_config {
    uint64_t seed; /* of every random choice; from getrandom() at the edge, from the world's seed in the
                      simulator */
    uint8_t pulse_secret[32]; /* keys of pulses are derived from it (pulse.h) */
    mf_ms pulse_ms;           /* pulse interval; default 200, 10..10000 */
    mf_ms silence_ms;         /* silence alone = failed; default 1200; at least 3 intervals */
    mf_ms agent_grace_ms;     /* default 30000 */
    mf_ms alive_ms;           /* worker-alive interval; default 1000 */
    mf_ms create_ms;          /* deadline of a create order; default 120000 */
    mf_ms destroy_ms;         /* deadline of a destroy order, beyond its grace; default 60000 */
    mf_ms resend_ms;  /* first resend of an order that was not acknowledged; doubles up to 8 x; default 500 */
    mf_ms monitor_ms; /* a monitor unheard for this long is lost; default 2000 */
    uint32_t doubt_percent;   /* a monitor that hears a smaller share of what it should doubts itself; 1..100,
                                 default 50 */
    uint32_t breaker_nodes;   /* of so many known nodes up the breaker holds verdicts; default 4; 0 never */
    uint32_t breaker_percent; /* of the nodes that may be failed at once: more are held; 1..100, default 30 */
    uint32_t breaker_domain_percent; /* the same among the nodes of one rack (three or more); default 60 */
    mf_ms breaker_window_ms; /* a failure counts for so long, or until what it lost runs again; default 10000
                              */
    mf_ms lease_ms;          /* a node's right to keep at-most instances running; default 10000 */
    mf_ms renew_ms;          /* how often keepers ask for one; 0, the default: a fifth of lease_ms */
    mf_ms backoff_ms; /* first delay after a failed birth; doubles, jittered, up to backoff_max_ms; default
                         500 */
    mf_ms backoff_max_ms;  /* default 60000 */
    mf_ms request_keep_ms; /* how long a request_id is remembered; default 24 h; longer while its work is not
                              terminal */
    uint32_t orders_per_node; /* orders in flight to one node; the rest wait in its outbox; default 256 */
    uint32_t list_page;       /* rows of a list reply; default 500 */
    struct mf_place_policy placement; /* of groups that say none; default room */
    uint32_t snapshot_rows; /* ask the edge for a snapshot after this many rows; default 100000; 0 never */
};
void mf_broker_config_default(struct mf_broker_config *ret_config);

struct mf_peer {
    uint64_t handle;    /* the edge's name for one connection; never reused within a process; 0 is nobody */
    enum mf_role role;  /* of its key */
    struct mf_str name; /* of its key; for a worker the node's name, for a monitor the monitor's */
};

enum mf_broker_event_kind {
    MF_BROKER_TICK,           /* time passed; nothing else */
    MF_BROKER_START,          /* loading is over; the reign begins */
    MF_BROKER_MESSAGE,        /* peer, message, body_digest (of mutating requests) */
    MF_BROKER_PEER_GONE,      /* peer.handle: its connection closed */
    MF_BROKER_COMMITTED,      /* seq: every row up to it is on disk */
    MF_BROKER_STREAM_SENT,    /* peer.handle, stream, seq = next to look at, rows = how many were sent */
    MF_BROKER_STREAM_EXPIRED, /* peer.handle, stream, seq = oldest retained: the cursor is below it */
    MF_BROKER_SNAPSHOT_DONE,  /* seq: the snapshot up to it is on disk; older rows may have been dropped;
                                 oldest = oldest retained */
    MF_BROKER_STORE_FULL /* full: the store refuses (true) or takes (false) more; while full, mutating client
                            requests are refused */
};
struct mf_broker_event {
    enum mf_broker_event_kind kind;
    mf_ms wall_ms; /* wall clock, ms since 1970, for row times and ids; `now` in feed is the monotonic one */
    struct mf_peer peer;
    const struct mf_message *message; /* valid during the feed */
    struct mf_digest body_digest;
    uint64_t seq, stream, oldest;
    uint32_t rows;
    bool full, restored; /* restored: what was loaded is a copy of an earlier time */
};

enum mf_broker_action_kind {
    MF_BROKER_APPEND,      /* row: commit it, in order, after all rows handed out before it */
    MF_BROKER_SEND,        /* peer, message: send it; blobs carry digests only, the edge swaps the bytes in */
    MF_BROKER_CLOSE,       /* peer: drop the connection (superseded worker) */
    MF_BROKER_STREAM_READ, /* peer, stream, seq = from, rows = at most, until = look no further than this seq,
                              filters: read rows, send them as one or more `events`, then feed STREAM_SENT (or
                              EXPIRED) */
    MF_BROKER_SNAPSHOT     /* call mf_broker_snapshot and store it; then feed SNAPSHOT_DONE */
};
struct mf_broker_row {
    uint64_t seq, cause;
    mf_ms time_ms;
    enum mf_kind kind; /* an MF_EV_ */
    struct mf_str subject;
    struct mf_str data; /* encoded body of the kind */
};
struct mf_broker_action {
    enum mf_broker_action_kind kind;
    uint64_t peer; /* handle */
    struct mf_broker_row row;
    const struct mf_message *message;
    uint64_t stream, seq, until;
    uint32_t rows;
    struct mf_uuid log_id; /* STREAM_READ: of the rows */
    struct mf_str type_prefix,
        subject_prefix; /* subject: itself or what is below it (next byte is '/' or '#') */
};

struct mf_broker *mf_broker_new(const struct mf_broker_config *config);
void mf_broker_destroy(struct mf_broker **self);

/* Loading, before START: first every snapshot record in order, then every row above the snapshot in order.
 * 0, or -EINVAL with text saying which and why (a store that was tampered with or is of a newer version). */
int mf_broker_load_snapshot(struct mf_broker *self, struct mf_str record_id, struct mf_str data,
                            char text[256]);
int mf_broker_load_row(struct mf_broker *self, const struct mf_broker_row *row, char text[256]);

/* The three verbs. An action's pointers are valid until the next feed. */
void mf_broker_feed(struct mf_broker *self, mf_ms now, const struct mf_broker_event *event);
bool mf_broker_poll(struct mf_broker *self, struct mf_broker_action *ret_action);
mf_ms mf_broker_deadline(const struct mf_broker *self); /* monotonic; INT64_MAX when nothing is due */

/* Hand every record of a snapshot of the present fold to `put`; the seq it holds is returned. Only what is
 * committed may be stored: the edge commits all appended rows before it. */
uint64_t mf_broker_snapshot(const struct mf_broker *self,
                            void (*put)(void *arg, const char *record_id, struct mf_str data), void *arg);

/* Assert every invariant (I1, I2, I4, I6, I7 as far as one room can know them). */
void mf_broker_check(const struct mf_broker *self);
/* The state as text, for a panic dump, status and traces. Appends to buf. No secrets. */
void mf_broker_describe(const struct mf_broker *self, struct mf_buf *buf);

/* -- looking in, for the edge, tests, simulator */
uint64_t mf_broker_seq(const struct mf_broker *self);       /* newest row made */
uint64_t mf_broker_committed(const struct mf_broker *self); /* newest row known durable */
uint64_t mf_broker_term(const struct mf_broker *self);
/* Walk instances (gone ones are forgotten) for checkers: returns false at the end. *cursor starts at 0. */
struct mf_broker_instance_view {
    struct mf_uuid id, group_id;
    struct mf_str group, node; /* node empty if not placed */
    uint64_t slot, generation, epoch;
    enum mf_instance_state state;
    bool current;
};
bool mf_broker_next_instance(const struct mf_broker *self, size_t *cursor,
                             struct mf_broker_instance_view *ret_view);

#endif
