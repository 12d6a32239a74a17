/* loop.c - opening, turning, closing. */
#include "loop_private.h"
#include "check.h"
#include "loading.h"
#include "program.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

enum {
    TAIL = 2, /* in endpoints[] beside the two enum mf_endpoint */
    CONNECTIONS_MAX = 65000,
    SNAPSHOT_RETRY_MS = 30000,
};

/* -- opening */

static int bind_one(struct mf_loop *self, const struct mf_loop_options *o, enum mf_endpoint which,
                    const char *endpoint, char error[512])
{
    static const char *const names[MF_ENDPOINTS] = {"mayfly.client.links", "mayfly.worker.links"};
    int r = mf_bus_bind(self->context, ZMQ_ROUTER, endpoint, o->key, &self->sockets[which],
                        self->endpoints[which], error);

    return r < 0 ? r
                 : mf_bus_monitor(self->context, self->sockets[which], names[which], &self->monitors[which],
                                  error);
}

static int write_endpoints(struct mf_loop *self, const char *dir, char error[512])
{
    char temporary[4096];
    FILE *file;
    bool ok;

    mf_str_format(self->endpoints_path, sizeof(self->endpoints_path), "%s/endpoints", dir);
    mf_str_format(temporary, sizeof(temporary), "%s/endpoints.new", dir);
    file = fopen(temporary, "we");
    ok = file && fprintf(file, "CLIENT=%s\nWORKER=%s\nTAIL=%s\n", self->endpoints[MF_ENDPOINT_CLIENT],
                         self->endpoints[MF_ENDPOINT_WORKER], self->endpoints[TAIL]) > 0;
    if (file && fclose(file))
        ok = false;
    if (ok && rename(temporary, self->endpoints_path) == 0)
        return 0;
    mf_str_format(error, 512, "cannot write %.200s: %s", self->endpoints_path, strerror(errno));
    return -EIO;
}

static int bind_all(struct mf_loop *self, const struct mf_loop_options *o, char error[512])
{
    int r;

    self->context = zmq_ctx_new();
    MF_CHECK(self->context);
    zmq_ctx_set(self->context, ZMQ_MAX_SOCKETS, CONNECTIONS_MAX);
    if ((r = mf_zap_start(self->context, o->ring, &self->zap, error)) < 0 ||
        (r = bind_one(self, o, MF_ENDPOINT_CLIENT, o->client_endpoint, error)) < 0 ||
        (r = bind_one(self, o, MF_ENDPOINT_WORKER, o->worker_endpoint, error)) < 0 ||
        (r = mf_bus_bind(self->context, ZMQ_XPUB, o->tail_endpoint, o->key, &self->tail_socket,
                         self->endpoints[TAIL], error)) < 0)
        return r;
    self->tail = mf_tail_new(self->tail_socket);
    self->peers = mf_peers_new(self->sockets[MF_ENDPOINT_CLIENT], self->monitors[MF_ENDPOINT_CLIENT],
                               self->sockets[MF_ENDPOINT_WORKER], self->monitors[MF_ENDPOINT_WORKER]);
    mf_peers_expect(self->peers, o->core.alive_ms);
    mf_str_format(self->endpoints_text, sizeof(self->endpoints_text), "client=%s worker=%s tail=%s",
                  self->endpoints[0], self->endpoints[1], self->endpoints[TAIL]);
    return write_endpoints(self, o->state_dir, error);
}

static int open_store(struct mf_loop *self, const struct mf_loop_options *o, char error[512])
{
    char text[256] = "";
    int r = o->engine->open(o->store_path, &self->store, text);

    if (!r)
        r = mf_loading_run(o->engine, self->store, self->broker, error);
    else
        mf_str_format(error, 512, "%s", text);
    if (!r && (r = o->engine->range(self->store, &self->oldest, &self->committed, text)) < 0)
        mf_str_format(error, 512, "%s", text);
    return r;
}

static int open_seal(struct mf_loop *self, const struct mf_loop_options *o, char error[512])
{
    struct mf_seal_key key = {o->secret_key_file, o->keys_dir, o->state_dir};
    int r = mf_seal_begin(&key, o->engine, self->store, &self->seal, error);

    if (r == 0 && key.made)
        mf_log(MF_LOG_WARNING, "a key for user-data was made: keep a copy of it apart from backups",
               "file=%s", key.path);
    return r;
}

static void make_parts(struct mf_loop *self, const struct mf_loop_options *o)
{
    self->writer = mf_writer_start(o->engine, self->store);
    self->chores = mf_chores_start(o->engine, self->store);
    self->recent = mf_recent_new(self->committed);
    self->blobs = mf_blobs_new(o->engine, self->store, &self->seal);
    self->streams = mf_streams_new(o->engine, self->store, self->recent, self->peers);
    self->backups = mf_backups_new(o->engine, self->store, o->state_dir, self->chores, self->peers);
    if (self->committed)
        mf_backups_durable(self->backups);
}

static int open_http(struct mf_loop *self, const struct mf_loop_options *o, char error[512])
{
    struct mf_http_pages pages = {.ready = mf_loop_ready, .metrics = mf_loop_metrics, .arg = self};

    mf_str_format(self->store_path, sizeof(self->store_path), "%s", o->store_path);
    return mf_http_open(o->http, o->http_file, &pages, &self->http, error);
}

int mf_loop_open(const struct mf_loop_options *o, struct mf_loop **ret_loop, char error[512])
{
    struct mf_loop *self = calloc(1, sizeof(*self));
    struct mf_broker_event start = {.kind = MF_BROKER_START};
    int r;

    MF_CHECK(self);
    self->engine = o->engine;
    self->retain_rows = o->retain_rows;
    self->snapshot_retry_ms = INT64_MAX;
    self->broker = mf_broker_new(&o->core);
    if ((r = open_store(self, o, error)) < 0 || (r = open_seal(self, o, error)) < 0 ||
        (r = bind_all(self, o, error)) < 0) {
        mf_loop_close(&self);
        return r;
    }
    make_parts(self, o);
    if ((r = open_http(self, o, error)) < 0) {
        mf_loop_close(&self);
        return r;
    }
    start.seq = self->committed;
    start.oldest = self->oldest;
    mf_loop_feed(self, &start);
    mf_loop_flush(self);
    *ret_loop = self;
    return 0;
}

const char *mf_loop_endpoints(const struct mf_loop *self)
{
    return self->endpoints_text;
}

const char *mf_loop_http(const struct mf_loop *self)
{
    return mf_http_address(self->http);
}

void mf_loop_describe(const struct mf_loop *self, struct mf_buf *buf)
{
    mf_broker_describe(self->broker, buf);
}

/* -- news of the store thread */

static void take_committed(struct mf_loop *self, uint64_t seq)
{
    struct mf_broker_event event = {.kind = MF_BROKER_COMMITTED, .seq = seq};

    if (seq <= self->committed)
        return;
    mf_loop_feed(self, &event);
    for (uint64_t row = self->committed + 1; row <= seq; row++)
        mf_tail_publish(self->tail, mf_recent_find(self->recent, row));
    self->tail_due = true;
    mf_recent_committed(self->recent, seq);
    self->committed = seq;
    mf_backups_durable(self->backups);
    mf_chores_tidy_soon(self->chores);
}

static void take_snapshot_news(struct mf_loop *self, const struct mf_writer_news *news)
{
    struct mf_broker_event event = {.kind = MF_BROKER_SNAPSHOT_DONE, .seq = news->snapshot_seq};

    if (!self->snapshot_running)
        return;
    if (news->snapshots_dropped != self->snapshots_dropped) {
        self->snapshots_dropped = news->snapshots_dropped;
        self->snapshot_running = false;
        self->snapshot_retry_ms = mf_now() + SNAPSHOT_RETRY_MS;
    } else if (news->snapshot_seq > self->snapshot_seq) {
        self->snapshot_seq = news->snapshot_seq;
        self->snapshot_running = false;
        if (self->snapshot_keep_above + 1 > self->oldest)
            self->oldest = self->snapshot_keep_above + 1;
        event.oldest = self->oldest;
        mf_loop_feed(self, &event);
    }
}

static void take_full(struct mf_loop *self, const struct mf_writer_news *news)
{
    struct mf_broker_event event = {.kind = MF_BROKER_STORE_FULL, .full = news->full};
    char quoted[512];

    if (news->full == self->full)
        return;
    self->full = news->full;
    if (news->full)
        mf_log(MF_LOG_ERROR, "the store takes no more; requests are refused until it does", "error=%s",
               mf_log_quote(news->text, quoted));
    else
        mf_log(MF_LOG_INFO, "the store takes rows again", "seq=%" PRIu64, news->committed);
    mf_loop_feed(self, &event);
}

static void take_news(struct mf_loop *self)
{
    struct mf_writer_news news;

    mf_writer_news(self->writer, &news);
    take_committed(self, news.committed);
    take_snapshot_news(self, &news);
    take_full(self, &news);
    self->tally.commits = news.commits;
    if (news.failure && !self->failure) {
        self->failure = news.failure;
        mf_str_format(self->failure_text, sizeof(self->failure_text), "%s", news.text);
    }
}

/* -- turning */

enum {
    ITEM_WRITER,
    ITEM_SIGNALS,
    ITEM_CHORES,
    ITEM_TAIL,
    ITEM_WORKER_LINKS,
    ITEM_CLIENT_LINKS,
    ITEM_WORKER,
    ITEM_CLIENT,
    ITEM_HTTP,
    ITEMS
};

static mf_ms sooner(mf_ms a, mf_ms b)
{
    return a < b ? a : b;
}

static long timeout(const struct mf_loop *self, bool more)
{
    mf_ms at = sooner(mf_broker_deadline(self->broker), mf_streams_deadline(self->streams)), left;

    at = sooner(at, sooner(mf_peers_deadline(self->peers), self->snapshot_retry_ms));
    at = sooner(at, mf_notify_beat(mf_now()));
    if (more)
        return 0;
    if (at == INT64_MAX)
        return mf_http_wait(self->http, -1);
    left = at - mf_now();
    return mf_http_wait(self->http, left < 0 ? 0 : left < 60000 ? (long)left : 60000);
}

static void tick(struct mf_loop *self)
{
    struct mf_broker_event event = {.kind = MF_BROKER_TICK};
    mf_ms now = mf_now();

    mf_peers_tick(self->peers, now);
    if (self->snapshot_retry_ms <= now) {
        self->snapshot_retry_ms = INT64_MAX;
        self->snapshot_wanted = true;
    }
    if (mf_broker_deadline(self->broker) <= now)
        mf_loop_feed(self, &event);
}

/* What is on disk goes out before more is taken in; who is gone is told before anybody new speaks. */
static bool turn(struct mf_loop *self, const zmq_pollitem_t items[ITEMS])
{
    bool more = false;

    if (items[ITEM_WRITER].revents)
        take_news(self);
    if (items[ITEM_CHORES].revents)
        mf_chores_collect(self->chores, self);
    if (items[ITEM_WORKER_LINKS].revents || items[ITEM_CLIENT_LINKS].revents)
        mf_peers_watch(self->peers);
    mf_loop_part(self);
    tick(self);
    mf_loop_flush(self);
    if (items[ITEM_WORKER].revents)
        more |= mf_loop_intake(self, MF_ENDPOINT_WORKER);
    mf_loop_flush(self);
    if (items[ITEM_CLIENT].revents)
        more |= mf_loop_intake(self, MF_ENDPOINT_CLIENT);
    mf_loop_part(self);
    mf_loop_flush(self);
    mf_loop_serve_streams(self);
    mf_loop_part(self);
    mf_loop_snapshot(self);
    mf_loop_flush(self);
    self->tail_due |= items[ITEM_TAIL].revents != 0;
    if (self->tail_due)
        self->tail_due = mf_tail_subscriptions(self->tail);
    return more || self->tail_due;
}

static void fill_items(struct mf_loop *self, int signals, zmq_pollitem_t items[ITEMS])
{
    memset(items, 0, ITEMS * sizeof(*items));
    items[ITEM_WRITER].fd = mf_writer_fd(self->writer);
    items[ITEM_SIGNALS].fd = signals;
    items[ITEM_CHORES].fd = mf_chores_fd(self->chores);
    items[ITEM_TAIL].fd = mf_bus_fd(self->tail_socket);
    items[ITEM_WORKER_LINKS].fd = mf_bus_fd(self->monitors[MF_ENDPOINT_WORKER]);
    items[ITEM_CLIENT_LINKS].fd = mf_bus_fd(self->monitors[MF_ENDPOINT_CLIENT]);
    items[ITEM_WORKER].socket = self->sockets[MF_ENDPOINT_WORKER];
    items[ITEM_CLIENT].socket = self->sockets[MF_ENDPOINT_CLIENT];
    items[ITEM_HTTP].fd = mf_http_fd(self->http);
    for (int i = 0; i < ITEMS; i++)
        items[i].events = ZMQ_POLLIN;
}

static bool told_to_stop(int signals)
{
    int signal;

    while ((signal = mf_signals_read(signals)))
        if (signal == SIGTERM || signal == SIGINT)
            return true;
    return false;
}

int mf_loop_run(struct mf_loop *self, int signals, char error[512])
{
    zmq_pollitem_t items[ITEMS];
    uint64_t began_us;
    bool more = false;

    fill_items(self, signals, items);
    while (!self->failure) {
        if (zmq_poll(items, ITEMS, timeout(self, more)) < 0 && zmq_errno() != EINTR)
            return mf_str_format(error, 512, "the loop cannot poll: %s", zmq_strerror(zmq_errno())), -EIO;
        if (items[ITEM_SIGNALS].revents && told_to_stop(signals))
            return 0;
        began_us = mf_metric_clock_us();
        more = turn(self, items);
        mf_http_serve(self->http, items[ITEM_HTTP].revents, mf_now());
        mf_histogram_add(&self->tally.turns, mf_metric_clock_us() - began_us);
    }
    mf_str_format(error, 512, "%s", self->failure_text);
    return self->failure;
}

/* -- closing */

static void close_sockets(struct mf_loop *self)
{
    for (int i = 0; i < MF_ENDPOINTS; i++)
        mf_bus_close(&self->sockets[i], &self->monitors[i]);
    if (self->tail_socket)
        zmq_close(self->tail_socket);
    mf_zap_stop(&self->zap);
    if (self->context)
        zmq_ctx_term(self->context);
    if (self->endpoints_path[0])
        unlink(self->endpoints_path);
}

/* The last rows are committed, and what waited for them is said: no answer is lost to an orderly end. */
static void finish(struct mf_loop *self)
{
    char quoted[512];

    mf_loop_flush(self);
    mf_writer_stop(self->writer);
    take_news(self);
    mf_loop_serve_streams(self);
    if (self->failure)
        mf_log(MF_LOG_ERROR, "the last rows could not be committed; none of them was acknowledged",
               "error=%s", mf_log_quote(self->failure_text, quoted));
}

void mf_loop_close(struct mf_loop **loop)
{
    struct mf_loop *self = *loop;

    if (!self)
        return;
    mf_http_close(&self->http);
    if (self->writer)
        finish(self);
    mf_chores_stop(&self->chores);
    mf_backups_destroy(&self->backups);
    mf_streams_destroy(&self->streams);
    mf_blobs_destroy(&self->blobs);
    mf_writer_destroy(&self->writer);
    mf_recent_destroy(&self->recent);
    mf_broker_destroy(&self->broker);
    mf_tail_destroy(&self->tail);
    mf_peers_destroy(&self->peers);
    mf_bus_in_free(&self->in);
    close_sockets(self);
    if (self->store)
        self->engine->close(self->store);
    mf_arena_free(&self->arena);
    mf_buf_free(&self->scratch);
    for (size_t i = 0; i < self->n_blobs; i++)
        free((char *)self->new_blobs[i].bytes.ptr);
    free(self->rows);
    free(self->new_blobs);
    free(self);
    *loop = NULL;
}
