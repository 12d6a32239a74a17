/* describe.c - the core as text, the check of its invariants, and its tables as data for docs and tests.
 */
#include "state.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MF_STATE(ID, word, doc) word,
#define MF_TRIGGER(ID, word, doc)
#define MF_MOVE(state, event, to, function, why)
#define MF_REFUSE(state, event, why)
static const char *const session_words[] = {
#include "session.def"
};
static const char *const life_words[] = {
#include "guest.def"
};
static const char *const leaving_words[] = {
#include "leaving.def"
};
#undef MF_STATE
#undef MF_TRIGGER
#undef MF_MOVE
#undef MF_REFUSE

#define MF_STATE(ID, word, doc)
#define MF_TRIGGER(ID, word, doc)
#define MF_MOVE(state, event, to, function, why) {#state, #event, #to, why, false},
#define MF_REFUSE(state, event, why)             {#state, #event, #state, why, true},
static const struct mf_worker_move session_moves[] = {
#include "session.def"
};
static const struct mf_worker_move guest_moves[] = {
#include "guest.def"
};
static const struct mf_worker_move leaving_moves[] = {
#include "leaving.def"
};
#undef MF_STATE
#undef MF_TRIGGER
#undef MF_MOVE
#undef MF_REFUSE

size_t mf_worker_session_moves(const struct mf_worker_move **ret_moves)
{
    *ret_moves = session_moves;
    return sizeof session_moves / sizeof *session_moves;
}

size_t mf_worker_guest_moves(const struct mf_worker_move **ret_moves)
{
    *ret_moves = guest_moves;
    return sizeof guest_moves / sizeof *guest_moves;
}

size_t mf_worker_leaving_moves(const struct mf_worker_move **ret_moves)
{
    *ret_moves = leaving_moves;
    return sizeof leaving_moves / sizeof *leaving_moves;
}

const char *mf_session_word(enum mf_session_state state)
{
    return session_words[state];
}

const char *mf_guest_life_word(enum mf_guest_life life)
{
    return life_words[life];
}

const char *mf_leaving_word(enum mf_leaving_state state)
{
    return leaving_words[state];
}

static void line(struct mf_buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void line(struct mf_buf *buf, const char *format, ...)
{
    char text[1400];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    mf_buf_append(buf, text, len < (int)sizeof text ? (size_t)len : sizeof text - 1);
}

void mf_worker_describe(const struct mf_worker *self, struct mf_buf *buf)
{
    line(buf, "worker %s session=%s epoch=%llu term=%llu ignored=%llu\n", self->config.node,
         mf_session_word(self->session), (unsigned long long)self->epoch, (unsigned long long)self->term,
         (unsigned long long)self->ignored);
    if (*mf_worker_refusal(self))
        line(buf, "  refused: %s\n", self->refusal);
    if (self->leaving != MF_LEAVING_STAYING)
        line(buf, "  leaves: %s\n", mf_leaving_word(self->leaving));
    line(buf, "  list ticket=%llu busy=%d wanted=%d\n", (unsigned long long)self->ticket, self->list_busy,
         self->list_wanted);
    for (unsigned life = 0; life < MF_GUEST_COUNT; life++) {
        const struct mf_guest *guest;
        TAILQ_FOREACH(guest, &self->lives[life], link)
        {
            char id[MF_UUID_TEXT];
            line(buf, "  guest %s %s \"%s\" create=%llu destroy=%llu%s%s%s\n", mf_uuid_text(guest->id, id),
                 mf_guest_life_word(life), guest->name, (unsigned long long)guest->create.order_id,
                 (unsigned long long)guest->destroy.order_id, guest->dead ? " dead" : "",
                 guest->wants_lease && !guest->cleared ? " waits for a lease" : "",
                 mf_needs_met(guest) ? "" : " waits for its image");
        }
    }
    const struct mf_need *need;
    TAILQ_FOREACH(need, &self->needs, link)
    line(buf, "  image %.*s %s guests=%zu%s\n", (int)need->image.name.len, need->image.name.ptr,
         need->here ? "here" : "fetched", need->guests, need->warm ? " warmed" : "");
    line(buf, "  reports waiting=%zu next=%llu\n", self->n_reports, (unsigned long long)self->report_id + 1);
}

static void check_guest(const struct mf_worker *self, const struct mf_guest *guest, enum mf_guest_life life)
{
    MF_CHECK(guest->life == life);
    MF_CHECK(mf_guests_find(self, guest->id) == guest);
    MF_CHECK(guest->touched <= self->ticket && guest->swept <= self->ticket);
    bool being_made = life == MF_GUEST_QUEUED || life == MF_GUEST_CREATING || life == MF_GUEST_DOOMED;
    if (life == MF_GUEST_QUEUED)
        MF_CHECK(guest->create.order_id != 0);
    if (being_made)
        MF_CHECK(guest->order && !guest->dead);
    MF_CHECK((!guest->wants_lease && !guest->need) || being_made);
    MF_CHECK(!being_made || life == MF_GUEST_QUEUED || (guest->cleared && mf_needs_met(guest)));
    if (life == MF_GUEST_ABSENT || life == MF_GUEST_RUNNING || life == MF_GUEST_STOPPED ||
        life == MF_GUEST_FOREIGN)
        MF_CHECK(guest->create.order_id == 0 && guest->destroy.order_id == 0);
}

void mf_worker_check(const struct mf_worker *self)
{
    size_t all = 0;
    for (unsigned life = 0; life < MF_GUEST_COUNT; life++) {
        size_t n = 0;
        const struct mf_guest *guest;
        TAILQ_FOREACH(guest, &self->lives[life], link)
        {
            check_guest(self, guest, life);
            n++;
        }
        MF_CHECK(n == self->n_lives[life]);
        all += n;
    }
    MF_CHECK(all == self->n_guests);
    MF_CHECK(self->n_lives[MF_GUEST_CREATING] + self->n_lives[MF_GUEST_DOOMED] <= self->config.create_lanes);
    MF_CHECK(self->n_lives[MF_GUEST_DESTROYING] <= self->config.destroy_lanes);
    MF_CHECK(self->first_report + self->n_reports <= self->cap_reports);
    MF_CHECK(self->session != MF_SESSION_WELCOMED || self->epoch != 0);
    MF_CHECK((self->leaving != MF_LEAVING_QUIET && self->leaving != MF_LEAVING_DEAD) ||
             self->n_lives[MF_GUEST_CREATING] + self->n_lives[MF_GUEST_DOOMED] == 0);
    MF_CHECK(!self->log_busy || self->log_asks.n > 0);
    mf_needs_check(self);
}
