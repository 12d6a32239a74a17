/* pool.c - see pool.h. One lock for all lanes: jobs are few and long, the lock is held for a few
 * instructions. */
#include "pool.h"
#include "check.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { MF_POOL_MAGIC = 0x706f6f6c };

struct fifo {
    struct mf_job *head, **tail;
};

struct lane {
    struct mf_pool *pool;
    struct fifo waiting;
    pthread_cond_t wake;
};

struct mf_pool {
    unsigned magic;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    struct lane lanes[MF_LANE_COUNT];
    struct fifo finished;
    unsigned threads; /* alive */
    bool stopping;
    int fd;
};

static void put(struct fifo *fifo, struct mf_job *job)
{
    job->next = NULL;
    *fifo->tail = job;
    fifo->tail = &job->next;
}

static struct mf_job *get(struct fifo *fifo)
{
    struct mf_job *job = fifo->head;
    if (job && !(fifo->head = job->next))
        fifo->tail = &fifo->head;
    return job;
}

/* Rings without the lock: who is woken wants it at once. */
static void finish(struct mf_pool *self, struct mf_job *job)
{
    pthread_mutex_lock(&self->lock);
    put(&self->finished, job);
    pthread_mutex_unlock(&self->lock);
    eventfd_write(self->fd, 1);
}

static void *work(void *arg)
{
    struct lane *lane = arg;
    struct mf_pool *self = lane->pool;
    pthread_mutex_lock(&self->lock);
    while (!self->stopping) {
        struct mf_job *job = get(&lane->waiting);
        if (!job) {
            pthread_cond_wait(&lane->wake, &self->lock);
            continue;
        }
        pthread_mutex_unlock(&self->lock);
        job->run(job);
        finish(self, job);
        pthread_mutex_lock(&self->lock);
    }
    self->threads--;
    pthread_cond_signal(&self->ended);
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

static bool start(struct mf_pool *self, struct lane *lane)
{
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 1 << 20);
    pthread_mutex_lock(&self->lock);
    bool ok = pthread_create(&thread, &attributes, work, lane) == 0;
    self->threads += ok;
    pthread_mutex_unlock(&self->lock);
    pthread_attr_destroy(&attributes);
    return ok;
}

struct mf_pool *mf_pool_new(const unsigned threads[MF_LANE_COUNT])
{
    struct mf_pool *self = calloc(1, sizeof *self);
    MF_CHECK(self);
    self->magic = MF_POOL_MAGIC;
    self->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&self->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&self->ended, &monotonic);
    pthread_condattr_destroy(&monotonic);
    self->finished.tail = &self->finished.head;
    bool ok = self->fd >= 0;
    for (unsigned i = 0; i < MF_LANE_COUNT; i++) {
        struct lane *lane = &self->lanes[i];
        lane->pool = self;
        lane->waiting.tail = &lane->waiting.head;
        pthread_cond_init(&lane->wake, NULL);
        for (unsigned n = 0; ok && n < threads[i]; n++)
            ok = start(self, lane);
    }
    if (!ok && mf_pool_stop(self, 1000))
        mf_pool_free(&self, NULL);
    return ok ? self : NULL;
}

void mf_pool_post(struct mf_pool *self, enum mf_lane lane, struct mf_job *job)
{
    MF_MAGIC(self, MF_POOL_MAGIC);
    pthread_mutex_lock(&self->lock);
    put(&self->lanes[lane].waiting, job);
    pthread_mutex_unlock(&self->lock);
    pthread_cond_signal(&self->lanes[lane].wake);
}

void mf_pool_push(struct mf_pool *self, struct mf_job *job)
{
    MF_MAGIC(self, MF_POOL_MAGIC);
    finish(self, job);
}

int mf_pool_fd(const struct mf_pool *self)
{
    return self->fd;
}

struct mf_job *mf_pool_take(struct mf_pool *self)
{
    eventfd_t count;
    pthread_mutex_lock(&self->lock);
    struct mf_job *job = get(&self->finished);
    if (!job)
        eventfd_read(self->fd, &count);
    pthread_mutex_unlock(&self->lock);
    return job;
}

static bool wait_for_threads(struct mf_pool *self, mf_ms limit_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += limit_ms / 1000;
    until.tv_nsec += limit_ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    while (self->threads > 0)
        if (pthread_cond_timedwait(&self->ended, &self->lock, &until) == ETIMEDOUT)
            return self->threads == 0;
    return true;
}

bool mf_pool_stop(struct mf_pool *self, mf_ms limit_ms)
{
    MF_MAGIC(self, MF_POOL_MAGIC);
    pthread_mutex_lock(&self->lock);
    self->stopping = true;
    for (unsigned i = 0; i < MF_LANE_COUNT; i++)
        pthread_cond_broadcast(&self->lanes[i].wake);
    bool all = wait_for_threads(self, limit_ms);
    pthread_mutex_unlock(&self->lock);
    return all;
}

static void drop_all(struct fifo *fifo, void (*drop)(struct mf_job *job))
{
    for (struct mf_job *job; (job = get(fifo));)
        drop(job);
}

void mf_pool_free(struct mf_pool **self, void (*drop)(struct mf_job *job))
{
    struct mf_pool *pool = *self;
    if (!pool)
        return;
    MF_MAGIC(pool, MF_POOL_MAGIC);
    MF_CHECK(pool->threads == 0);
    drop_all(&pool->finished, drop);
    for (unsigned i = 0; i < MF_LANE_COUNT; i++) {
        drop_all(&pool->lanes[i].waiting, drop);
        pthread_cond_destroy(&pool->lanes[i].wake);
    }
    pthread_cond_destroy(&pool->ended);
    pthread_mutex_destroy(&pool->lock);
    if (pool->fd >= 0)
        close(pool->fd);
    pool->magic = 0;
    free(pool);
    *self = NULL;
}
