/* streams.c - one read is out for a stream at a time, and never beyond what is committed: a slow reader slows
 * only itself. */
#include "streams.h"
#include "out.h"

#include <stdlib.h>
#include <string.h>

enum { STREAMS_PER_PEER = 16, READ_ROWS = 512 };

static struct mf_stream *find(struct mf_broker *b, uint64_t peer, uint64_t id)
{
    for (struct mf_stream *stream = b->streams; stream; stream = stream->next)
        if (stream->peer == peer && stream->id == id)
            return stream;
    return NULL;
}

static void drop(struct mf_broker *b, struct mf_stream *stream)
{
    struct mf_stream **at = &b->streams;

    while (*at != stream)
        at = &(*at)->next;
    *at = stream->next;
    free(stream);
}

/* Its number may be used again at once, so it is remembered until the read that is out is back. */
static void end(struct mf_broker *b, struct mf_stream *stream)
{
    if (stream->in_flight || stream->ignore)
        stream->ended = true;
    else
        drop(b, stream);
}

static size_t count(const struct mf_broker *b, uint64_t peer)
{
    size_t n = 0;

    for (const struct mf_stream *stream = b->streams; stream; stream = stream->next)
        n += stream->peer == peer && !stream->ended;
    return n;
}

static void refuse(struct mf_broker *b, const struct mf_peer *peer, const struct mf_msg_subscribe *s,
                   enum mf_errcode code, const char *text)
{
    mf_send(b, peer->handle,
            &(struct mf_message){.kind = MF_MSG_ERROR,
                                 .error = {.request_id = s->request_id,
                                           .code = mf_str(mf_error_code(code)),
                                           .text = mf_str(text),
                                           .retry = mf_error_retry(code),
                                           .oldest_seq = code == MF_E_EXPIRED ? b->oldest : 0,
                                           .stream = s->stream}});
}

static void subscribe(struct mf_broker *b, const struct mf_peer *peer, const struct mf_msg_subscribe *s)
{
    struct mf_stream *stream = find(b, peer->handle, s->stream);
    uint32_t ignore = 0;

    if (stream)
        end(b, stream);
    if (!mf_uuid_is_zero(s->log_id) && !mf_uuid_eq(s->log_id, b->log_id)) {
        refuse(
            b, peer, s, MF_E_EXPIRED,
            "this cursor is of another history: the store was restored from a copy (cluster.restored); read "
            "the lists again, then subscribe with the log_id of status-reply");
        return;
    }
    if (s->from > b->seq + 1) {
        refuse(b, peer, s, MF_E_INVALID, "from is beyond the newest event; it may be one past it at most");
        return;
    }
    if (s->from && s->from < b->oldest) {
        refuse(b, peer, s, MF_E_EXPIRED,
               "events this old are not retained; start at oldest_seq or from a list");
        return;
    }
    if (count(b, peer->handle) >= STREAMS_PER_PEER) {
        refuse(b, peer, s, MF_E_UNSUPPORTED, "a connection may have 16 streams; end one of them first");
        return;
    }
    stream = find(b, peer->handle, s->stream);
    if (stream) {
        ignore = stream->ignore + stream->in_flight;
        drop(b, stream);
    }
    stream = mf_calloc(sizeof(*stream));
    *stream = (struct mf_stream){.next = b->streams,
                                 .peer = peer->handle,
                                 .id = s->stream,
                                 .cursor = s->from ? s->from : (b->oldest ? b->oldest : 1),
                                 .credit = s->credit,
                                 .first = true,
                                 .oldest = s->from == 0,
                                 .ignore = ignore};
    mf_str_format(stream->type, sizeof(stream->type), "%.*s", MF_STR_ARG(s->type));
    mf_str_format(stream->subject, sizeof(stream->subject), "%.*s", MF_STR_ARG(s->subject));
    b->streams = stream;
}

void mf_stream_message(struct mf_broker *b, const struct mf_peer *peer, const struct mf_message *m)
{
    struct mf_stream *stream;

    if (m->kind == MF_MSG_SUBSCRIBE) {
        subscribe(b, peer, &m->subscribe);
        return;
    }
    stream = find(b, peer->handle, m->kind == MF_MSG_CREDIT ? m->credit.stream : m->unsubscribe.stream);
    if (!stream || stream->ended)
        return;
    if (m->kind == MF_MSG_UNSUBSCRIBE)
        end(b, stream);
    else if (stream->credit < UINT32_MAX)
        stream->credit += m->credit.credit;
}

/* The read that is back was the stream's own, not one of an older stream of this number. */
static struct mf_stream *returned(struct mf_broker *b, uint64_t peer, uint64_t id)
{
    struct mf_stream *stream = find(b, peer, id);

    if (!stream)
        return NULL;
    if (stream->ignore)
        stream->ignore--;
    else if (stream->in_flight)
        stream->in_flight = false;
    else
        return NULL;
    if (stream->ended) {
        end(b, stream);
        return NULL;
    }
    return stream->in_flight || stream->first ? NULL : stream;
}

void mf_stream_sent(struct mf_broker *b, uint64_t peer, uint64_t id, uint64_t next, uint32_t rows)
{
    struct mf_stream *stream = returned(b, peer, id);

    if (!stream)
        return;
    if (next > stream->cursor)
        stream->cursor = next;
    stream->credit -= rows < stream->credit ? rows : stream->credit;
}

void mf_stream_expired(struct mf_broker *b, uint64_t peer, uint64_t id, uint64_t oldest)
{
    struct mf_stream *stream = returned(b, peer, id);
    char text[160];

    if (oldest > b->oldest)
        b->oldest = oldest;
    if (!stream)
        return;
    if (stream->oldest && stream->cursor < oldest) { /* whatever is the oldest: it has moved meanwhile */
        stream->cursor = oldest;
        stream->first = true;
        return;
    }
    mf_str_format(text, sizeof(text), "events from %llu on were asked for; the oldest retained is %llu",
                  (unsigned long long)stream->cursor, (unsigned long long)oldest);
    mf_send(b, peer,
            &(struct mf_message){.kind = MF_MSG_ERROR,
                                 .error = {.code = mf_str(mf_error_code(MF_E_EXPIRED)),
                                           .text = mf_str(text),
                                           .oldest_seq = oldest,
                                           .stream = id}});
    drop(b, stream);
}

void mf_stream_peer_gone(struct mf_broker *b, uint64_t peer)
{
    struct mf_stream *next;

    for (struct mf_stream *stream = b->streams; stream; stream = next) {
        next = stream->next;
        if (stream->peer ==
            peer) /* handles are never used again: nobody will mistake its read for another's */
            drop(b, stream);
    }
}

bool mf_stream_next(struct mf_broker *b, struct mf_broker_action *ret_action)
{
    for (struct mf_stream *stream = b->streams; stream; stream = stream->next) {
        if (stream->ended || stream->in_flight || stream->ignore || stream->credit == 0)
            continue;
        if (stream->cursor > b->committed + (stream->first ? 1 : 0))
            continue;
        stream->in_flight = true;
        stream->first = false;
        *ret_action = (struct mf_broker_action){.kind = MF_BROKER_STREAM_READ,
                                                .peer = stream->peer,
                                                .stream = stream->id,
                                                .seq = stream->cursor,
                                                .until = b->committed,
                                                .log_id = b->log_id,
                                                .rows = stream->credit < READ_ROWS ? (uint32_t)stream->credit
                                                                                   : READ_ROWS,
                                                .type_prefix = mf_str(stream->type),
                                                .subject_prefix = mf_str(stream->subject)};
        return true;
    }
    return false;
}

void mf_streams_free(struct mf_broker *b)
{
    while (b->streams)
        drop(b, b->streams);
}
