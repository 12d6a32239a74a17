/* holds.c - see holds.h. */
#include "holds.h"
#include "keeper_link.h"
#include <errno.h>
#include <time.h>

struct mf_hold {
    struct mf_hold *next;
    struct mf_uuid id;
    bool answered, held;
};

void mf_holds_init(struct mf_holds *self)
{
    pthread_condattr_t monotonic;
    pthread_mutex_init(&self->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&self->answered, &monotonic);
    pthread_condattr_destroy(&monotonic);
    self->waiting = NULL;
}

static void leave(struct mf_holds *self, const struct mf_hold *hold)
{
    struct mf_hold **at = &self->waiting;
    while (*at != hold)
        at = &(*at)->next;
    *at = hold->next;
}

bool mf_holds_ask(void *arg, struct mf_uuid id, int64_t pid)
{
    struct mf_holds *self = arg;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += MF_HOLDS_LIMIT_MS / 1000;
    pthread_mutex_lock(&self->lock);
    struct mf_hold hold = {.next = self->waiting, .id = id};
    self->waiting = &hold;
    pthread_mutex_unlock(&self->lock);
    mf_keeper_link_watch(id, pid, true);
    pthread_mutex_lock(&self->lock);
    while (!hold.answered && pthread_cond_timedwait(&self->answered, &self->lock, &until) != ETIMEDOUT)
        ;
    leave(self, &hold);
    pthread_mutex_unlock(&self->lock);
    return hold.held;
}

void mf_holds_answer(struct mf_holds *self, struct mf_uuid id, bool held)
{
    pthread_mutex_lock(&self->lock);
    for (struct mf_hold *hold = self->waiting; hold; hold = hold->next)
        if (mf_uuid_eq(hold->id, id)) {
            hold->answered = true;
            hold->held = held;
        }
    pthread_cond_broadcast(&self->answered);
    pthread_mutex_unlock(&self->lock);
}
