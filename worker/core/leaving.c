/* leaving.c - the machine of leaving.def: how a worker that is to end keeps the broker from learning of it by
 * time alone. */
#include "state.h"

typedef void leaving_act(struct mf_worker *self);

static bool drains(const struct mf_worker *self)
{
    return self->leaving == MF_LEAVING_DRAINING;
}

/* What is said for a limited time. */
static bool waits(const struct mf_worker *self)
{
    return self->leaving == MF_LEAVING_DEAD || self->leaving == MF_LEAVING_GOING;
}

static bool speaks(const struct mf_worker *self)
{
    return drains(self) || waits(self);
}

/* Without a session there is nobody to say it to; the welcome will be the occasion. */
static void act_say(struct mf_worker *self)
{
    self->leaving_at = self->now + self->config.leaving_ms;
    if (self->session != MF_SESSION_WELCOMED)
        return;
    mf_ms left = self->drain_until - self->now;
    struct mf_msg_leaving *leaving = &mf_outbox_say(self, MF_MSG_LEAVING)->leaving;
    leaving->epoch = self->epoch;
    leaving->drain = drains(self);
    leaving->guests_dead = self->leaving == MF_LEAVING_DEAD;
    if (drains(self))
        leaving->remaining_ms = left > 0 ? (uint64_t)left : 0;
}

static void act_say_limited(struct mf_worker *self)
{
    self->leaving_until = self->now + self->config.left_ms;
    act_say(self);
}

/* The close of a connection overtakes what was said on it last, so the answer is waited for: without it
 * nobody knows that this close is no death. To nobody at all it is not said. */
static void act_say_back(struct mf_worker *self)
{
    act_say_limited(self);
    if (self->session != MF_SESSION_WELCOMED)
        self->leaving_until = self->now;
}

/* What waits to be told would be told of guests that are about to die anyway. */
static void act_end(struct mf_worker *self)
{
    mf_reports_drop(self, true);
}

static void act_quiet(struct mf_worker *self)
{
    mf_outbox_add(self, MF_WORKER_QUIET);
}

static void act_left(struct mf_worker *self)
{
    mf_outbox_add(self, MF_WORKER_LEFT);
}

struct cell {
    enum mf_leaving_state next;
    leaving_act *act; /* NULL: refused */
};
#define MF_STATE(ID, word, doc)
#define MF_TRIGGER(ID, word, doc)
#define MF_MOVE(state, event, to, function, why)                                                             \
    [MF_LEAVING_##state][MF_LEAVING_ON_##event] = {MF_LEAVING_##to, function},
#define MF_REFUSE(state, event, why) [MF_LEAVING_##state][MF_LEAVING_ON_##event] = {MF_LEAVING_##state, NULL},
static const struct cell table[MF_LEAVING_COUNT][MF_LEAVING_ON_COUNT] = {
#include "leaving.def"
};
#undef MF_STATE
#undef MF_TRIGGER
#undef MF_MOVE
#undef MF_REFUSE

void mf_leaving_feed(struct mf_worker *self, enum mf_leaving_event event)
{
    const struct cell *cell = &table[self->leaving][event];
    mf_move_taken("leaving", self->leaving, event);
    if (!cell->act)
        return;
    self->leaving = cell->next;
    cell->act(self);
}

void mf_leaving_drain(struct mf_worker *self, mf_ms remaining_ms)
{
    self->drain_until = self->now + remaining_ms;
    mf_leaving_feed(self, MF_LEAVING_ON_DRAIN);
}

/* An answer to a drain is none to what is said later. */
void mf_leaving_answer(struct mf_worker *self, const struct mf_msg_left *left)
{
    if (left->guests_dead == (self->leaving == MF_LEAVING_DEAD))
        mf_leaving_feed(self, MF_LEAVING_ON_ANSWER);
}

void mf_leaving_timers(struct mf_worker *self)
{
    size_t births = self->n_lives[MF_GUEST_CREATING] + self->n_lives[MF_GUEST_DOOMED];
    if (self->leaving == MF_LEAVING_ENDING && births == 0)
        mf_leaving_feed(self, MF_LEAVING_ON_SETTLED);
    if (waits(self) && self->now >= self->leaving_until)
        mf_leaving_feed(self, MF_LEAVING_ON_LATE);
    if (speaks(self) && self->now >= self->leaving_at)
        mf_leaving_feed(self, MF_LEAVING_ON_DUE);
}

mf_ms mf_leaving_deadline(const struct mf_worker *self)
{
    mf_ms at = speaks(self) ? self->leaving_at : INT64_MAX;
    return waits(self) && self->leaving_until < at ? self->leaving_until : at;
}
