/* loop_private.h - the loop's own struct, for its files: loop.c (turns), intake.c (messages in), actions.c
 * (what the core wants). */
#ifndef MF_LOOP_PRIVATE_H
#define MF_LOOP_PRIVATE_H

#include "backup.h"
#include "blobs.h"
#include "chores.h"
#include "exposition.h"
#include "http.h"
#include "loop.h"
#include "peers.h"
#include "recent.h"
#include "streams.h"
#include "tail.h"
#include "writer.h"

struct mf_loop_tally {                                  /* for /metrics */
    uint64_t heard[MF_KIND_COUNT], made[MF_KIND_COUNT]; /* messages in, rows out */
    uint64_t errors[MF_E_COUNT];                        /* sent */
    struct mf_histogram turns, commits;
};

struct mf_loop {
    /* the world */
    void *context, *sockets[MF_ENDPOINTS], *monitors[MF_ENDPOINTS], *tail_socket;
    bool tail_due; /* it was sent to, which may have hidden news from its descriptor */
    struct mf_keyring *ring;
    struct mf_zap *zap;
    char endpoints[3][256], endpoints_text[800], endpoints_path[4096];
    const struct mf_store_engine *engine;
    struct mf_store *store;
    struct mf_seal seal; /* of user-data in it */

    /* the parts */
    struct mf_broker *broker;
    struct mf_writer *writer;
    struct mf_chores *chores;
    struct mf_recent *recent;
    struct mf_peers *peers;
    struct mf_streams *streams;
    struct mf_tail *tail;
    struct mf_backups *backups;
    struct mf_blobs *blobs;

    /* rows and blobs of this turn, not yet given to the store thread */
    struct mf_store_row *rows;
    size_t n_rows, cap_rows;
    struct mf_store_blob *new_blobs;
    size_t n_blobs, cap_blobs;
    bool group_created; /* by the feed under way: its user-data is to be kept */

    /* the snapshot under way */
    uint64_t retain_rows, snapshot_keep_above, snapshot_seq;
    bool snapshot_wanted, snapshot_running;
    unsigned snapshots_dropped;
    mf_ms snapshot_retry_ms; /* INT64_MAX: no */

    struct mf_http *http;
    struct mf_loop_tally tally;
    char store_path[4200];

    uint64_t oldest, committed;
    bool full;
    int failure;
    char failure_text[256];

    struct mf_bus_in in;
    struct mf_arena arena;
    struct mf_buf scratch;
};

/* intake.c: take the messages that wait on a socket, at most a batch; true if there may be more. */
bool mf_loop_intake(struct mf_loop *self, enum mf_endpoint endpoint);

/* actions.c: time and wall clock are added; then everything the core wants is done. */
void mf_loop_feed(struct mf_loop *self, struct mf_broker_event *event);
/* Tell the core of everybody who is gone. */
void mf_loop_part(struct mf_loop *self);
/* Give the turn's rows to the store thread. */
void mf_loop_flush(struct mf_loop *self);
/* The next snapshot, if one is wanted and none is under way. */
void mf_loop_snapshot(struct mf_loop *self);
/* Serve streams, at most a bounded number of reads. */
void mf_loop_serve_streams(struct mf_loop *self);

/* metrics.c: for struct mf_http_pages */
void mf_loop_metrics(void *loop, struct mf_buf *buf);
bool mf_loop_ready(void *loop, char why_not[512]);

#endif
