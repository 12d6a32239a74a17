/* actions.c - what the core hands back, carried out. */
#include "loop_private.h"
#include "check.h"
#include "program.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { STREAM_STEPS = 64 };

static void append(struct mf_loop *self, const struct mf_broker_row *row)
{
    struct mf_store_row stored = {
        .seq = row->seq,
        .cause = row->cause,
        .time_ms = row->time_ms,
        .type = mf_str(mf_kind_desc(row->kind)->wire),
        .subject = row->subject,
        .data = row->data,
    };

    if (self->n_rows == self->cap_rows) {
        self->cap_rows = self->cap_rows * 2 + 64;
        self->rows = realloc(self->rows, self->cap_rows * sizeof(*self->rows));
        MF_CHECK(self->rows);
    }
    self->rows[self->n_rows++] = *mf_recent_add(self->recent, &stored);
    self->group_created |= row->kind == MF_EV_GROUP_CREATED;
    self->tally.made[row->kind]++;
}

void mf_loop_flush(struct mf_loop *self)
{
    mf_writer_push(self->writer, self->rows, self->n_rows, self->new_blobs, self->n_blobs);
    self->n_rows = self->n_blobs = 0;
}

/* An order's user-data: the core knows its digest, the guest needs its bytes. False if they are lost: then no
 * order is better than one that makes a guest without them. */
static bool fill_blob(struct mf_loop *self, struct mf_message *message)
{
    struct mf_blob *blob = &message->order_create.user_data;
    char error[256], quoted[512];

    if (message->kind != MF_MSG_ORDER_CREATE || mf_digest_is_zero(blob->digest))
        return true;
    if (mf_blobs_find(self->blobs, blob->digest, &blob->bytes, error) == 0)
        return true;
    mf_log(MF_LOG_ERROR, "an order was not sent: its user-data is lost", "order=%" PRIu64 " error=%s",
           message->order_create.order_id, mf_log_quote(error, quoted));
    return false;
}

static void send_message(struct mf_loop *self, const struct mf_broker_action *action)
{
    struct mf_message message = *action->message;

    if (!fill_blob(self, &message))
        return;
    if (message.kind == MF_MSG_ERROR)
        self->tally.errors[mf_error_value(message.error.code)]++;
    if (mf_peers_send(self->peers, action->peer, &message) == -EAGAIN) {
        mf_log(MF_LOG_WARNING, "a peer reads nothing and is given up", "peer=%" PRIu64, action->peer);
        mf_peers_lose(self->peers, action->peer);
    }
}

static void carry_out(struct mf_loop *self, const struct mf_broker_action *action)
{
    switch (action->kind) {
    case MF_BROKER_APPEND:
        append(self, &action->row);
        break;
    case MF_BROKER_SEND:
        send_message(self, action);
        break;
    case MF_BROKER_CLOSE:
        mf_peers_shun(self->peers, action->peer, mf_now());
        break;
    case MF_BROKER_STREAM_READ:
        mf_streams_add(self->streams, action);
        break;
    case MF_BROKER_SNAPSHOT:
        self->snapshot_wanted = true;
        break;
    }
}

void mf_loop_feed(struct mf_loop *self, struct mf_broker_event *event)
{
    struct mf_broker_action action;

    event->wall_ms = mf_wall();
    mf_broker_feed(self->broker, mf_now(), event);
    while (mf_broker_poll(self->broker, &action))
        carry_out(self, &action);
}

void mf_loop_part(struct mf_loop *self)
{
    struct mf_connection *gone;

    while ((gone = mf_peers_take_gone(self->peers))) {
        struct mf_broker_event event = {.kind = MF_BROKER_PEER_GONE, .peer = mf_connection_peer(gone)};

        mf_streams_forget(self->streams, gone->handle);
        mf_backups_forget(self->backups, gone->handle);
        mf_loop_feed(self, &event);
        mf_connection_destroy(&gone);
    }
}

/* -- snapshots */

struct put {
    struct mf_compaction *compaction;
    size_t cap_records, cap_live;
};

static void keep_live(struct put *put, struct mf_digest digest)
{
    struct mf_compaction *c = put->compaction;

    if (c->n_live == put->cap_live) {
        put->cap_live = put->cap_live * 2 + 16;
        c->live = realloc(c->live, put->cap_live * sizeof(*c->live));
        MF_CHECK(c->live);
    }
    c->live[c->n_live++] = digest;
}

static void put_live(struct put *put, struct mf_str data)
{
    struct mf_rec_snap_group group;
    struct mf_decode_error error;
    struct mf_arena arena = {0};

    MF_CHECK(mf_decode(&mf_rec_snap_group_desc, data, &arena, &group, &error) == 0);
    mf_arena_free(&arena);
    if (!mf_digest_is_zero(group.user_data))
        keep_live(put, group.user_data);
}

static void put_record(void *arg, const char *record_id, struct mf_str data)
{
    struct put *put = arg;
    struct mf_compaction *c = put->compaction;
    struct mf_str id = mf_str_dup(&c->bytes, mf_str(record_id));

    if (c->n_records == put->cap_records) {
        put->cap_records = put->cap_records * 2 + 256;
        c->records = realloc(c->records, put->cap_records * sizeof(*c->records));
        MF_CHECK(c->records);
    }
    c->records[c->n_records++] = (struct mf_store_record){id.ptr, mf_str_dup(&c->bytes, data)};
    if (!strcmp(record_id, mf_rec_snap_group_desc.id))
        put_live(put, data);
}

/* All rows that the snapshot holds are given to the store thread before it: what is on disk never runs ahead
 * of the log. */
void mf_loop_snapshot(struct mf_loop *self)
{
    struct put put = {0};

    if (!self->snapshot_wanted || self->snapshot_running)
        return;
    self->snapshot_wanted = false;
    self->snapshot_running = true;
    mf_loop_flush(self);
    put.compaction = calloc(1, sizeof(*put.compaction));
    MF_CHECK(put.compaction);
    keep_live(&put, mf_seal_digest());
    put.compaction->seq = mf_broker_snapshot(self->broker, put_record, &put);
    if (put.compaction->seq > self->retain_rows)
        put.compaction->keep_above = put.compaction->seq - self->retain_rows;
    self->snapshot_keep_above = put.compaction->keep_above;
    mf_writer_compact(self->writer, put.compaction);
}

/* -- streams */

void mf_loop_serve_streams(struct mf_loop *self)
{
    char text[256], quoted[512];

    for (int i = 0; i < STREAM_STEPS; i++) {
        struct mf_broker_event event;

        switch (mf_streams_step(self->streams, mf_now(), mf_broker_committed(self->broker), &event, text)) {
        case MF_STREAM_IDLE:
            return;
        case MF_STREAM_DONE:
            mf_loop_feed(self, &event);
            break;
        case MF_STREAM_LOST:
            mf_loop_part(self);
            break;
        case MF_STREAM_FAILED:
            mf_log(MF_LOG_ERROR, "a stream's rows cannot be read; its connection is given up", "error=%s",
                   mf_log_quote(text, quoted));
            mf_peers_lose(self->peers, event.peer.handle);
            mf_loop_part(self);
            break;
        }
    }
}
