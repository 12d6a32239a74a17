/* writer.c - the store thread: two queues that change places. The loop fills `queued`; the thread takes it
 * whole, leaves the other one, emptied, in its place, and commits without holding the lock. */
#include "writer.h"
#include "check.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { WRITER_MAGIC = 0x57525452, RETRY_FIRST_MS = 100, RETRY_MOST_MS = 5000 };

struct queue {
    struct mf_store_row *rows;
    struct mf_store_blob *blobs;
    size_t n_rows, cap_rows, n_blobs, cap_blobs;
    struct mf_compaction *compaction;
};

struct mf_writer {
    unsigned magic;
    const struct mf_store_engine *engine;
    struct mf_store *store;
    pthread_t thread;
    bool joined;
    int fd;
    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t wake;
    struct queue queued;
    bool stopping;
    struct mf_writer_news news;
};

void mf_compaction_destroy(struct mf_compaction **self)
{
    if (!*self)
        return;
    free((*self)->records);
    free((*self)->live);
    mf_arena_free(&(*self)->bytes);
    free(*self);
    *self = NULL;
}

static void *grow(void *items, size_t *cap, size_t need, size_t size)
{
    if (need <= *cap)
        return items;
    *cap = *cap * 2 > need ? *cap * 2 : need + 64;
    items = realloc(items, *cap * size);
    MF_CHECK(items);
    return items;
}

static void queue_clear(struct queue *queue)
{
    for (size_t i = 0; i < queue->n_blobs; i++)
        free((char *)queue->blobs[i].bytes.ptr);
    mf_compaction_destroy(&queue->compaction);
    queue->n_rows = queue->n_blobs = 0;
}

static void queue_free(struct queue *queue)
{
    queue_clear(queue);
    free(queue->rows);
    free(queue->blobs);
}

static bool queue_empty(const struct queue *queue)
{
    return !queue->n_rows && !queue->n_blobs && !queue->compaction;
}

static void ring(struct mf_writer *self)
{
    uint64_t one = 1;

    /* Only a counter near its end could refuse, and then the loop is due to look anyway. */
    if (write(self->fd, &one, sizeof(one)) < 0)
        MF_CHECK(errno == EAGAIN);
}

static void tell_full(struct mf_writer *self, bool full, const char *text)
{
    pthread_mutex_lock(&self->mutex);
    if (self->news.full != full) {
        self->news.full = full;
        mf_str_format(self->news.text, sizeof(self->news.text), "%s", text);
        ring(self);
    }
    pthread_mutex_unlock(&self->mutex);
}

/* Sleeps until the time is over or the loop wants to stop; true if it may try again. */
static bool wait_to_retry(struct mf_writer *self, long ms)
{
    struct timespec until;
    bool again;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000)
        until.tv_sec++, until.tv_nsec -= 1000000000;
    pthread_mutex_lock(&self->mutex);
    while (!self->stopping && pthread_cond_timedwait(&self->wake, &self->mutex, &until) != ETIMEDOUT)
        ;
    again = !self->stopping;
    pthread_mutex_unlock(&self->mutex);
    return again;
}

static bool passing(int r)
{
    return r == -ENOSPC || r == -EBUSY;
}

static int append(struct mf_writer *self, const struct queue *batch, char text[256])
{
    return self->engine->append(self->store, batch->rows, batch->n_rows, batch->blobs, batch->n_blobs, text);
}

static int append_patiently(struct mf_writer *self, const struct queue *batch, char text[256])
{
    long delay_ms = RETRY_FIRST_MS;
    int r = append(self, batch, text);

    if (!passing(r))
        return r;
    do {
        tell_full(self, true, text);
        if (!wait_to_retry(self, delay_ms))
            return append(self, batch, text);
        delay_ms = delay_ms * 2 < RETRY_MOST_MS ? delay_ms * 2 : RETRY_MOST_MS;
        r = append(self, batch, text);
    } while (passing(r));
    if (!r)
        tell_full(self, false, "");
    return r;
}

/* Blobs of rows above the snapshot may have been committed with it: no live group of the snapshot knows them,
 * but they must stay. */
static void keep_blobs(struct mf_compaction *c, const struct queue *batch)
{
    c->live = realloc(c->live, (c->n_live + batch->n_blobs + 1) * sizeof(*c->live));
    MF_CHECK(c->live);
    for (size_t i = 0; i < batch->n_blobs; i++)
        c->live[c->n_live++] = batch->blobs[i].digest;
}

static int compact(struct mf_writer *self, struct queue *batch, char text[256])
{
    struct mf_compaction *c = batch->compaction;
    int r;

    keep_blobs(c, batch);
    r = self->engine->compact(self->store, c->seq, c->keep_above, c->records, c->n_records, c->live,
                              c->n_live, text);
    pthread_mutex_lock(&self->mutex);
    if (!r)
        self->news.snapshot_seq = c->seq;
    if (passing(r))
        self->news.snapshots_dropped++;
    ring(self);
    pthread_mutex_unlock(&self->mutex);
    return passing(r) ? 0 : r;
}

static void tell_committed(struct mf_writer *self, const struct queue *batch, uint64_t took_us)
{
    if (!batch->n_rows)
        return;
    pthread_mutex_lock(&self->mutex);
    mf_histogram_add(&self->news.commits, took_us);
    self->news.committed = batch->rows[batch->n_rows - 1].seq;
    pthread_mutex_unlock(&self->mutex);
    ring(self); /* not under the lock: who is woken wants it at once */
}

static bool commit(struct mf_writer *self, struct queue *batch)
{
    char text[256] = "";
    uint64_t began_us = mf_metric_clock_us();
    int r = append_patiently(self, batch, text);

    if (!r) {
        tell_committed(self, batch, mf_metric_clock_us() - began_us);
        if (batch->compaction)
            r = compact(self, batch, text);
    }
    if (!r)
        return true;
    pthread_mutex_lock(&self->mutex);
    self->news.failure = r;
    mf_str_format(self->news.text, sizeof(self->news.text), "%s", text);
    ring(self);
    pthread_mutex_unlock(&self->mutex);
    return false;
}

static bool take(struct mf_writer *self, struct queue *spare)
{
    struct queue taken;
    bool any;

    pthread_mutex_lock(&self->mutex);
    while (queue_empty(&self->queued) && !self->stopping)
        pthread_cond_wait(&self->wake, &self->mutex);
    any = !queue_empty(&self->queued);
    taken = self->queued;
    self->queued = *spare;
    *spare = taken;
    pthread_mutex_unlock(&self->mutex);
    return any;
}

static void *work(void *arg)
{
    struct mf_writer *self = arg;
    struct queue batch = {0};

    MF_MAGIC(self, WRITER_MAGIC);
    while (take(self, &batch) && commit(self, &batch))
        queue_clear(&batch);
    queue_free(&batch);
    return NULL;
}

struct mf_writer *mf_writer_start(const struct mf_store_engine *engine, struct mf_store *store)
{
    struct mf_writer *self = calloc(1, sizeof(*self));
    pthread_condattr_t attributes;

    MF_CHECK(self);
    self->magic = WRITER_MAGIC;
    self->engine = engine;
    self->store = store;
    self->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    MF_CHECK(self->fd >= 0);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    MF_CHECK(!pthread_mutex_init(&self->mutex, NULL) && !pthread_cond_init(&self->wake, &attributes));
    pthread_condattr_destroy(&attributes);
    MF_CHECK(!pthread_create(&self->thread, NULL, work, self));
    pthread_setname_np(self->thread, "store");
    return self;
}

int mf_writer_fd(const struct mf_writer *self)
{
    return self->fd;
}

void mf_writer_news(struct mf_writer *self, struct mf_writer_news *ret_news)
{
    uint64_t count;

    MF_MAGIC(self, WRITER_MAGIC);
    if (read(self->fd, &count, sizeof(count)) < 0)
        MF_CHECK(errno == EAGAIN);
    pthread_mutex_lock(&self->mutex);
    *ret_news = self->news;
    pthread_mutex_unlock(&self->mutex);
}

void mf_writer_push(struct mf_writer *self, const struct mf_store_row *rows, size_t n_rows,
                    const struct mf_store_blob *blobs, size_t n_blobs)
{
    struct queue *queue = &self->queued;

    MF_MAGIC(self, WRITER_MAGIC);
    if (!n_rows && !n_blobs)
        return;
    pthread_mutex_lock(&self->mutex);
    queue->rows = grow(queue->rows, &queue->cap_rows, queue->n_rows + n_rows, sizeof(*queue->rows));
    if (n_rows)
        memcpy(queue->rows + queue->n_rows, rows, n_rows * sizeof(*rows));
    queue->n_rows += n_rows;
    queue->blobs = grow(queue->blobs, &queue->cap_blobs, queue->n_blobs + n_blobs, sizeof(*queue->blobs));
    if (n_blobs)
        memcpy(queue->blobs + queue->n_blobs, blobs, n_blobs * sizeof(*blobs));
    queue->n_blobs += n_blobs;
    pthread_mutex_unlock(&self->mutex);
    pthread_cond_signal(&self->wake);
}

void mf_writer_compact(struct mf_writer *self, struct mf_compaction *compaction)
{
    MF_MAGIC(self, WRITER_MAGIC);
    pthread_mutex_lock(&self->mutex);
    MF_CHECK(!self->queued.compaction);
    self->queued.compaction = compaction;
    pthread_cond_signal(&self->wake);
    pthread_mutex_unlock(&self->mutex);
}

void mf_writer_stop(struct mf_writer *self)
{
    MF_MAGIC(self, WRITER_MAGIC);
    if (self->joined)
        return;
    pthread_mutex_lock(&self->mutex);
    self->stopping = true;
    pthread_cond_signal(&self->wake);
    pthread_mutex_unlock(&self->mutex);
    pthread_join(self->thread, NULL);
    self->joined = true;
}

void mf_writer_destroy(struct mf_writer **self)
{
    if (!*self)
        return;
    mf_writer_stop(*self);
    queue_free(&(*self)->queued);
    close((*self)->fd);
    pthread_cond_destroy(&(*self)->wake);
    pthread_mutex_destroy(&(*self)->mutex);
    (*self)->magic = 0;
    free(*self);
    *self = NULL;
}
