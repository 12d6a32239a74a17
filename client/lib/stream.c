/* Streams: a cursor, a window of credit, a callback. On a new link each is asked for again from its cursor
 * under its old number, and a row below the cursor is dropped: so what an old link still had under way can't
 * be told twice. */
#include "client.h"
#include "check.h"
#include "program.h"
#include <stdlib.h>
#include <string.h>

enum { FULL_RETRY_MS = 20 };

static struct mf_stream *find(struct mayfly *self, uint64_t number)
{
    struct mf_stream *stream = self->streams;
    while (stream && stream->number != number)
        stream = stream->next;
    return stream && !stream->ended ? stream : NULL;
}

static void ask(struct mayfly *self, struct mf_stream *stream, mf_ms now)
{
    char id[32];
    struct mf_message message = {
        .kind = MF_MSG_SUBSCRIBE,
        .subscribe = {.request_id =
                          mf_str_format(id, sizeof id, "stream-%llu", (unsigned long long)stream->number),
                      .stream = stream->number,
                      .from = stream->cursor,
                      .type = mf_str(stream->type),
                      .subject = mf_str(stream->subject),
                      .credit = stream->window,
                      .log_id = stream->log_id}};
    stream->asked = !mf_bus_send(self->socket, (struct mf_str){0}, false, &message);
    stream->owed = 0;
    stream->retry_ms = now + FULL_RETRY_MS;
    mf_client_kick(self);
}

static void give_credit(struct mayfly *self, struct mf_stream *stream, mf_ms now)
{
    struct mf_message message = {.kind = MF_MSG_CREDIT,
                                 .credit = {.stream = stream->number, .credit = stream->owed}};
    if (mf_bus_send(self->socket, (struct mf_str){0}, false, &message))
        stream->retry_ms = now + FULL_RETRY_MS;
    else
        stream->owed = 0;
    mf_client_kick(self);
}

static bool wants_credit(const struct mf_stream *stream)
{
    return stream->owed > 0 && stream->owed >= (stream->window + 1) / 2;
}

void mf_streams_pump(struct mayfly *self, mf_ms now)
{
    for (struct mf_stream *stream = self->streams; stream && self->up; stream = stream->next) {
        if (stream->ended || (stream->asked && !wants_credit(stream)))
            continue;
        if (now < stream->retry_ms)
            ;
        else if (!stream->asked)
            ask(self, stream, now);
        else
            give_credit(self, stream, now);
        if (!stream->asked || wants_credit(stream))
            mf_client_wake_at(self, stream->retry_ms);
    }
}

void mf_streams_resume(struct mayfly *self)
{
    for (struct mf_stream *stream = self->streams; stream; stream = stream->next) {
        stream->asked = false;
        stream->retry_ms = 0;
    }
    mf_streams_pump(self, mf_now());
}

uint64_t mayfly_subscribe(struct mayfly *self, const struct mayfly_filter *filter, mayfly_stream_fn *notice,
                          void *arg)
{
    MF_MAGIC(self, MF_CLIENT_MAGIC);
    struct mayfly_error error;
    const char *type = filter->type ? filter->type : "", *subject = filter->subject ? filter->subject : "";
    struct mf_stream *stream = calloc(1, sizeof *stream);
    MF_CHECK(stream);
    if (strlen(type) >= sizeof stream->type || strlen(subject) >= sizeof stream->subject) {
        free(stream);
        return 0;
    }
    mf_str_format(stream->type, sizeof stream->type, "%s", type);
    mf_str_format(stream->subject, sizeof stream->subject, "%s", subject);
    stream->number = ++self->last_stream;
    stream->cursor = filter->from;
    stream->log_id = filter->log_id;
    stream->window = filter->credit ? filter->credit : MAYFLY_CREDIT;
    stream->notice = notice;
    stream->arg = arg;
    stream->next = self->streams;
    self->streams = stream;
    mf_client_revive(self, &error); /* if it fails, the next request says so */
    mf_client_kick(self);           /* the next process call asks for it, once the link is up */
    return stream->number;
}

void mayfly_unsubscribe(struct mayfly *self, uint64_t number)
{
    struct mf_message message = {.kind = MF_MSG_UNSUBSCRIBE, .unsubscribe = {.stream = number}};
    struct mf_stream *stream = find(self, number);
    if (!stream)
        return;
    stream->ended = true;
    if (stream->asked && self->up) /* if it is not sent, the broker runs out of credit */
        mf_bus_send(self->socket, (struct mf_str){0}, false, &message);
    mf_client_kick(self);
    if (!self->processing)
        mf_streams_sweep(self, false);
}

static void tell_row(struct mf_stream *stream, const struct mf_rec_event_row *row)
{
    stream->owed++; /* a row below the cursor was paid for too */
    if (row->seq < stream->cursor)
        return;
    stream->cursor = row->seq + 1;
    stream->notice(stream->arg, &(struct mayfly_notice){.row = row, .next = stream->cursor});
}

void mf_streams_rows(struct mayfly *self, const struct mf_msg_events *events)
{
    struct mf_stream *stream = find(self, events->stream);
    if (!stream || !stream->asked)
        return;
    stream->log_id = events->log_id; /* should the store be restored meanwhile, the cursor is void */
    for (uint32_t i = 0; i < events->rows.n && !stream->ended; i++)
        tell_row(stream, &events->rows.items[i]);
    if (stream->ended)
        return;
    if (events->next > stream->cursor)
        stream->cursor = events->next;
    if (events->live)
        stream->notice(stream->arg, &(struct mayfly_notice){.live = true, .next = stream->cursor});
}

void mf_streams_error(struct mayfly *self, uint64_t number, const struct mayfly_error *error)
{
    for (struct mf_stream *stream = self->streams; stream; stream = stream->next) {
        if (stream->ended || (number && stream->number != number))
            continue;
        stream->ended = true;
        stream->notice(stream->arg, &(struct mayfly_notice){.error = error, .next = stream->cursor});
    }
}

void mf_streams_sweep(struct mayfly *self, bool all)
{
    struct mf_stream **link = &self->streams;
    while (*link) {
        struct mf_stream *stream = *link;
        if (!all && !stream->ended) {
            link = &stream->next;
            continue;
        }
        *link = stream->next;
        free(stream);
    }
}
