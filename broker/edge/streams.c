/* streams.c - a queue of reads, served in turn, one message each. */
#include "streams.h"
#include "check.h"
#include "map.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    TYPE_MAX = 63,
    SUBJECT_MAX = 255,
    ROW_OVERHEAD = 80,   /* bytes of a row's map beside its strings */
    FULL_RETRY_MS = 20,  /* a reader's queue was full */
    SILENT_ROWS = 10000, /* a filtered stream is told how far it got after so many rows at latest */
};

struct request {
    struct request *next;
    uint64_t peer, stream, from, until;
    uint32_t rows;
    struct mf_uuid log_id;
    struct mf_str type, subject; /* views of the arrays below */
    char type_bytes[TYPE_MAX], subject_bytes[SUBJECT_MAX];
    mf_ms not_before;
    bool cancelled; /* its stream has ended meanwhile */
};

struct told { /* what a stream's reader knows beyond its rows */
    bool live;
    uint64_t silent; /* rows looked at since the last message */
};

struct mf_streams {
    const struct mf_store_engine *engine;
    struct mf_store *store;
    const struct mf_recent *recent;
    struct mf_peers *peers;
    struct request *first, **end, *idle; /* idle: allocations kept for the next ones */
    struct mf_map *told;                 /* by peer and stream */
    struct mf_arena arena;
};

struct mf_streams *mf_streams_new(const struct mf_store_engine *engine, struct mf_store *store,
                                  const struct mf_recent *recent, struct mf_peers *peers)
{
    struct mf_streams *self = calloc(1, sizeof(*self));

    MF_CHECK(self);
    self->engine = engine;
    self->store = store;
    self->recent = recent;
    self->peers = peers;
    self->end = &self->first;
    self->told = mf_map_new();
    return self;
}

static void free_list(struct request *request)
{
    while (request) {
        struct request *next = request->next;

        free(request);
        request = next;
    }
}

void mf_streams_destroy(struct mf_streams **self)
{
    struct told *told;
    size_t cursor = 0;

    if (!*self)
        return;
    free_list((*self)->first);
    free_list((*self)->idle);
    while (mf_map_next((*self)->told, &cursor, (void **)&told))
        free(told);
    mf_map_destroy(&(*self)->told);
    mf_arena_free(&(*self)->arena);
    free(*self);
    *self = NULL;
}

static struct mf_str copy(char *array, size_t size, struct mf_str s)
{
    MF_CHECK(s.len <= size); /* the table bounds a subscription's filters */
    if (s.len)
        memcpy(array, s.ptr, s.len);
    return (struct mf_str){array, s.len};
}

static void put_last(struct mf_streams *self, struct request *request)
{
    request->next = NULL;
    *self->end = request;
    self->end = &request->next;
}

void mf_streams_add(struct mf_streams *self, const struct mf_broker_action *action)
{
    struct request *request = self->idle;

    if (request)
        self->idle = request->next;
    else
        request = malloc(sizeof(*request));
    MF_CHECK(request);
    request->peer = action->peer;
    request->stream = action->stream;
    request->from = action->seq;
    request->until = action->until;
    request->rows = action->rows;
    request->log_id = action->log_id;
    request->type = copy(request->type_bytes, TYPE_MAX, action->type_prefix);
    request->subject = copy(request->subject_bytes, SUBJECT_MAX, action->subject_prefix);
    request->not_before = 0;
    request->cancelled = false;
    put_last(self, request);
}

static struct request *take_first(struct mf_streams *self)
{
    struct request *request = self->first;

    self->first = request->next;
    if (!self->first)
        self->end = &self->first;
    return request;
}

static void put_idle(struct mf_streams *self, struct request *request)
{
    request->next = self->idle;
    self->idle = request;
}

/* -- what readers were told */

struct told_key {
    uint64_t peer, stream;
};

void mf_streams_reset(struct mf_streams *self, uint64_t peer, uint64_t stream)
{
    struct told_key key = {peer, stream};

    free(mf_map_del(self->told, &key, sizeof(key)));
    for (struct request *request = self->first; request; request = request->next)
        if (request->peer == peer && request->stream == stream)
            request->cancelled = true, request->not_before = 0;
}

static void drop_requests(struct mf_streams *self, uint64_t peer)
{
    struct request **place = &self->first;

    while (*place) {
        struct request *request = *place;

        if (request->peer == peer) {
            *place = request->next;
            put_idle(self, request);
        } else {
            place = &request->next;
        }
    }
    self->end = place;
}

void mf_streams_forget(struct mf_streams *self, uint64_t peer)
{
    struct mf_str key;
    struct told *told;
    size_t cursor = 0;

    drop_requests(self, peer);
    while (mf_map_next_key(self->told, &cursor, &key, (void **)&told)) {
        struct told_key copied;

        memcpy(&copied, key.ptr, sizeof(copied));
        if (copied.peer == peer)
            free(mf_map_del(self->told, &copied, sizeof(copied)));
    }
}

static struct told *find_told(struct mf_streams *self, const struct request *request)
{
    struct told_key key = {request->peer, request->stream};
    struct told *told = mf_map_get(self->told, &key, sizeof(key));

    if (!told) {
        told = calloc(1, sizeof(*told));
        MF_CHECK(told);
        mf_map_put(self->told, &key, sizeof(key), told);
    }
    return told;
}

/* -- reading */

struct gather {
    struct mf_arena *arena;
    const struct request *request;
    struct mf_rec_event_row *rows;
    uint32_t n, most;
    size_t bytes;
    uint64_t next; /* to be looked at */
};

static bool matches(const struct request *request, const struct mf_store_row *row)
{
    struct mf_str type = request->type, subject = request->subject;

    if (type.len > row->type.len || memcmp(row->type.ptr, type.ptr, type.len) != 0)
        return false;
    if (!subject.len)
        return true;
    if (subject.len > row->subject.len || memcmp(row->subject.ptr, subject.ptr, subject.len) != 0)
        return false;
    return subject.len == row->subject.len || row->subject.ptr[subject.len] == '/' ||
           row->subject.ptr[subject.len] == '#';
}

/* Returns 1 when the message is full and the row was not taken. */
static int gather_row(void *arg, const struct mf_store_row *row)
{
    struct gather *g = arg;
    size_t bytes = row->type.len + row->subject.len + row->data.len + ROW_OVERHEAD;

    if (matches(g->request, row)) {
        if (g->n == g->most || (g->n && g->bytes + bytes > MF_STREAM_BYTES))
            return 1;
        g->bytes += bytes;
        g->rows[g->n++] = (struct mf_rec_event_row){
            .seq = row->seq,
            .cause = row->cause,
            .time_ms = (uint64_t)row->time_ms,
            .type = mf_str_dup(g->arena, row->type),
            .subject = mf_str_dup(g->arena, row->subject),
            .data = mf_str_dup(g->arena, row->data),
        };
    }
    g->next = row->seq + 1;
    return 0;
}

static int gather_recent(const struct mf_recent *recent, struct gather *g, uint64_t until)
{
    int r = 0;

    for (size_t looked = 0; !r && looked < MF_STREAM_LOOK && g->next <= until; looked++) {
        const struct mf_store_row *row = mf_recent_find(recent, g->next);

        if (!row)
            break;
        r = gather_row(g, row);
    }
    return r;
}

static int gather_rows(struct mf_streams *self, struct gather *g, uint64_t until, char text[256])
{
    if (g->next > until)
        return 0;
    if (mf_recent_find(self->recent, g->next))
        return gather_recent(self->recent, g, until);
    return self->engine->read(self->store, g->next, until, MF_STREAM_LOOK, gather_row, g, text);
}

static int send_rows(struct mf_streams *self, const struct request *request, const struct gather *g,
                     uint64_t committed)
{
    struct told *told = find_told(self, request);
    struct mf_message message = {.kind = MF_MSG_EVENTS};
    bool live = g->next > committed;
    int r;

    told->silent += g->next - request->from;
    if (!g->n && told->live == live && told->silent < SILENT_ROWS)
        return 0;
    message.events = (struct mf_msg_events){
        .stream = request->stream, .next = g->next, .live = live, .log_id = request->log_id};
    message.events.rows.items = g->rows;
    message.events.rows.n = g->n;
    r = mf_peers_send(self->peers, request->peer, &message);
    if (r == 0) {
        told->silent = 0;
        told->live = live;
    } else {
        told->silent -= g->next - request->from;
    }
    return r;
}

static enum mf_stream_step expired(struct mf_streams *self, const struct request *request,
                                   struct mf_broker_event *ret_event, char text[256])
{
    uint64_t oldest, newest;

    if (self->engine->range(self->store, &oldest, &newest, text) < 0)
        return MF_STREAM_FAILED;
    ret_event->kind = MF_BROKER_STREAM_EXPIRED;
    ret_event->seq = ret_event->oldest = oldest;
    return MF_STREAM_DONE;
}

static enum mf_stream_step step(struct mf_streams *self, struct request *request, uint64_t committed,
                                struct mf_broker_event *ret_event, char text[256])
{
    struct gather g = {.arena = &self->arena, .request = request, .next = request->from};
    int r;

    ret_event->kind = MF_BROKER_STREAM_SENT;
    ret_event->seq = request->from;
    if (request->cancelled)
        return MF_STREAM_DONE;
    if (!mf_peers_takes(self->peers, request->peer))
        return MF_STREAM_IDLE;
    g.most = request->rows < MF_STREAM_LOOK ? request->rows : MF_STREAM_LOOK;
    g.rows = mf_arena_alloc(&self->arena, ((size_t)g.most + 1) * sizeof(*g.rows));
    r = gather_rows(self, &g, request->until, text);
    if (r == -ESTALE)
        return expired(self, request, ret_event, text);
    if (r < 0)
        return MF_STREAM_FAILED;
    r = send_rows(self, request, &g, committed);
    if (r == -EAGAIN)
        return MF_STREAM_IDLE;
    ret_event->seq = g.next;
    ret_event->rows = g.n;
    return r < 0 ? MF_STREAM_LOST : MF_STREAM_DONE;
}

enum mf_stream_step mf_streams_step(struct mf_streams *self, mf_ms now, uint64_t committed,
                                    struct mf_broker_event *ret_event, char text[256])
{
    struct request *request;
    enum mf_stream_step done;

    if (mf_streams_deadline(self) > now)
        return MF_STREAM_IDLE;
    do { /* those that wait for room in their queue go to the end; one at least need not wait */
        request = take_first(self);
        if (request->not_before > now)
            put_last(self, request);
    } while (request->not_before > now);
    *ret_event = (struct mf_broker_event){.stream = request->stream, .peer = {.handle = request->peer}};
    mf_arena_reset(&self->arena);
    done = step(self, request, committed, ret_event, text);
    if (done == MF_STREAM_IDLE) {
        request->not_before = now + FULL_RETRY_MS;
        put_last(self, request);
    } else {
        put_idle(self, request);
    }
    return done;
}

mf_ms mf_streams_deadline(const struct mf_streams *self)
{
    mf_ms first = INT64_MAX;

    for (const struct request *request = self->first; request && first; request = request->next)
        if (request->not_before < first)
            first = request->not_before;
    return first;
}
