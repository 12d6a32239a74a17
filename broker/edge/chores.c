/* chores.c - one thread, one list of chores, one timer. */
#include "chores.h"
#include "check.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { CHORES_MAGIC = 0x43484f52, TIDY_AFTER_S = 1 };

struct mf_chores {
    unsigned magic;
    const struct mf_store_engine *engine;
    struct mf_store *store;
    pthread_t thread;
    int fd;
    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t wake;
    struct mf_chore *waiting, *finished;
    bool tidy, stopping;
    struct timespec tidy_at;
};

/* The next chore; NULL with *ret_tidy: time to tidy; NULL without: stop. Called with the mutex held. */
static struct mf_chore *wait_for_work(struct mf_chores *self, bool *ret_tidy)
{
    struct mf_chore *chore;
    int r = 0;

    while (!self->stopping && !self->waiting && r != ETIMEDOUT)
        r = self->tidy ? pthread_cond_timedwait(&self->wake, &self->mutex, &self->tidy_at)
                       : pthread_cond_wait(&self->wake, &self->mutex);
    *ret_tidy = !self->stopping && !self->waiting;
    if (*ret_tidy)
        self->tidy = false;
    chore = self->stopping ? NULL : self->waiting;
    if (chore)
        self->waiting = chore->next;
    return chore;
}

static void finish(struct mf_chores *self, struct mf_chore *chore)
{
    uint64_t one = 1;

    chore->next = self->finished;
    self->finished = chore;
    if (write(self->fd, &one, sizeof(one)) < 0)
        MF_CHECK(errno == EAGAIN);
}

static void *work(void *arg)
{
    struct mf_chores *self = arg;
    struct mf_chore *chore;
    char error[256];
    bool tidy;

    MF_MAGIC(self, CHORES_MAGIC);
    pthread_mutex_lock(&self->mutex);
    while ((chore = wait_for_work(self, &tidy)) || tidy) {
        pthread_mutex_unlock(&self->mutex);
        if (chore)
            chore->run(chore);
        else if (self->engine->tidy)
            self->engine->tidy(self->store,
                               error); /* if it fails, a commit will find the same fault and tell it */
        pthread_mutex_lock(&self->mutex);
        if (chore)
            finish(self, chore);
    }
    pthread_mutex_unlock(&self->mutex);
    return NULL;
}

struct mf_chores *mf_chores_start(const struct mf_store_engine *engine, struct mf_store *store)
{
    struct mf_chores *self = calloc(1, sizeof(*self));
    pthread_condattr_t attributes;

    MF_CHECK(self);
    self->magic = CHORES_MAGIC;
    self->engine = engine;
    self->store = store;
    self->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    MF_CHECK(self->fd >= 0);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    MF_CHECK(!pthread_mutex_init(&self->mutex, NULL) && !pthread_cond_init(&self->wake, &attributes));
    pthread_condattr_destroy(&attributes);
    MF_CHECK(!pthread_create(&self->thread, NULL, work, self));
    pthread_setname_np(self->thread, "chores");
    return self;
}

void mf_chores_stop(struct mf_chores **self)
{
    if (!*self)
        return;
    pthread_mutex_lock(&(*self)->mutex);
    (*self)->stopping = true;
    pthread_cond_signal(&(*self)->wake);
    pthread_mutex_unlock(&(*self)->mutex);
    pthread_join((*self)->thread, NULL);
    pthread_cond_destroy(&(*self)->wake);
    pthread_mutex_destroy(&(*self)->mutex);
    close((*self)->fd);
    free(*self);
    *self = NULL;
}

int mf_chores_fd(const struct mf_chores *self)
{
    return self->fd;
}

void mf_chores_add(struct mf_chores *self, struct mf_chore *chore)
{
    struct mf_chore **end;

    pthread_mutex_lock(&self->mutex);
    for (end = &self->waiting; *end; end = &(*end)->next)
        ;
    chore->next = NULL;
    *end = chore;
    pthread_cond_signal(&self->wake);
    pthread_mutex_unlock(&self->mutex);
}

void mf_chores_collect(struct mf_chores *self, void *arg)
{
    struct mf_chore *finished, *next;
    uint64_t count;

    if (read(self->fd, &count, sizeof(count)) < 0)
        MF_CHECK(errno == EAGAIN);
    pthread_mutex_lock(&self->mutex);
    finished = self->finished;
    self->finished = NULL;
    pthread_mutex_unlock(&self->mutex);
    for (; finished; finished = next) {
        next = finished->next;
        finished->done(finished, arg);
    }
}

void mf_chores_tidy_soon(struct mf_chores *self)
{
    pthread_mutex_lock(&self->mutex);
    if (!self->tidy) {
        clock_gettime(CLOCK_MONOTONIC, &self->tidy_at);
        self->tidy_at.tv_sec += TIDY_AFTER_S;
        self->tidy = true;
        pthread_cond_signal(&self->wake);
    }
    pthread_mutex_unlock(&self->mutex);
}
