/* guests.c - the table of guests: found by id, kept in one list per life, and compared with what the driver
 * lists. A list is the truth as of its own beginning: what happened to a guest since (its `touched` ticket)
 * is newer and is not judged by it. */
#include "state.h"
#include <stdlib.h>
#include <string.h>

static size_t bucket_of(const struct mf_worker *self, struct mf_uuid id)
{
    return mf_hash(id.bytes, sizeof id.bytes) & (self->n_buckets - 1);
}

struct mf_guest *mf_guests_find(const struct mf_worker *self, struct mf_uuid id)
{
    struct mf_guest *guest = self->buckets[bucket_of(self, id)];
    while (guest && !mf_uuid_eq(guest->id, id))
        guest = guest->chain;
    return guest;
}

static void grow(struct mf_worker *self)
{
    struct mf_guest **old = self->buckets;
    size_t n_old = self->n_buckets;
    self->n_buckets *= 2;
    self->buckets = calloc(self->n_buckets, sizeof *self->buckets);
    MF_CHECK(self->buckets);
    for (size_t i = 0; i < n_old; i++)
        for (struct mf_guest *guest = old[i], *next; guest; guest = next) {
            next = guest->chain;
            size_t at = bucket_of(self, guest->id);
            guest->chain = self->buckets[at];
            self->buckets[at] = guest;
        }
    free(old);
}

struct mf_guest *mf_guests_add(struct mf_worker *self, struct mf_uuid id)
{
    struct mf_guest *guest = mf_guests_find(self, id);
    if (guest)
        return guest;
    if (self->n_guests >= self->n_buckets)
        grow(self);
    guest = calloc(1, sizeof *guest);
    MF_CHECK(guest);
    guest->id = id;
    guest->life = MF_GUEST_ABSENT;
    size_t at = bucket_of(self, id);
    guest->chain = self->buckets[at];
    self->buckets[at] = guest;
    TAILQ_INSERT_TAIL(&self->lives[MF_GUEST_ABSENT], guest, link);
    self->n_lives[MF_GUEST_ABSENT]++;
    self->n_guests++;
    return guest;
}

static void forget(struct mf_worker *self, struct mf_guest *guest)
{
    struct mf_guest **at = &self->buckets[bucket_of(self, guest->id)];
    while (*at != guest)
        at = &(*at)->chain;
    *at = guest->chain;
    TAILQ_REMOVE(&self->lives[guest->life], guest, link);
    self->n_lives[guest->life]--;
    self->n_guests--;
    mf_wellbeing_forget(guest);
    mf_arena_free(&guest->arena);
    free(guest);
}

void mf_guests_move(struct mf_worker *self, struct mf_guest *guest, enum mf_guest_life life)
{
    guest->touched = self->ticket;
    if (guest->life == life)
        return;
    TAILQ_REMOVE(&self->lives[guest->life], guest, link);
    self->n_lives[guest->life]--;
    guest->life = life;
    TAILQ_INSERT_TAIL(&self->lives[life], guest, link);
    self->n_lives[life]++;
}

static void sweep_one(struct mf_worker *self, const struct mf_worker_guest *seen, uint64_t ticket)
{
    struct mf_guest *guest = mf_guests_find(self, seen->id);
    bool fresh = !guest;
    if (fresh)
        guest = mf_guests_add(self, seen->id);
    guest->swept = ticket;
    guest->runs = seen->running;
    if (!fresh && guest->touched >= ticket)
        return;
    if (seen->name[0])
        mf_str_format(guest->name, sizeof guest->name, "%s", seen->name);
    bool nameless = !guest->name[0] && (guest->life == MF_GUEST_ABSENT || guest->life == MF_GUEST_FOREIGN);
    enum mf_guest_event event = nameless        ? MF_GUEST_ON_LISTED_ALIEN
                                : seen->running ? MF_GUEST_ON_LISTED
                                                : MF_GUEST_ON_LISTED_OFF;
    mf_guest_feed(self, guest, event, &(struct mf_guest_cause){0});
    if (seen->ready)
        mf_wellbeing_ready(self, guest);
    if (seen->address[0])
        mf_wellbeing_address(self, &(struct mf_worker_event){.id = seen->id, .text = mf_str(seen->address)});
}

void mf_guests_listed(struct mf_worker *self, const struct mf_worker_event *event)
{
    for (size_t i = 0; i < event->n_guests; i++)
        sweep_one(self, &event->guests[i], event->list_ticket);
    static const enum mf_guest_life judged[] = {MF_GUEST_RUNNING, MF_GUEST_STOPPED, MF_GUEST_FOREIGN};
    for (unsigned i = 0; i < 3; i++)
        for (struct mf_guest *guest = TAILQ_FIRST(&self->lives[judged[i]]), *next; guest; guest = next) {
            next = TAILQ_NEXT(guest, link);
            if (guest->swept != event->list_ticket && guest->touched < event->list_ticket)
                mf_guest_feed(self, guest, MF_GUEST_ON_UNLISTED, &(struct mf_guest_cause){0});
        }
    /* An absent guest is remembered only to outlive the lists that were begun before its end. */
    for (struct mf_guest *guest = TAILQ_FIRST(&self->lives[MF_GUEST_ABSENT]), *next; guest; guest = next) {
        next = TAILQ_NEXT(guest, link);
        if (guest->touched < event->list_ticket)
            forget(self, guest);
    }
}

static enum mf_guest_state told(const struct mf_guest *guest)
{
    switch (guest->life) {
    case MF_GUEST_QUEUED:
    case MF_GUEST_CREATING:
        return MF_GUEST_STATE_CREATING;
    case MF_GUEST_RUNNING:
        return MF_GUEST_STATE_RUNNING;
    case MF_GUEST_STOPPED:
        return MF_GUEST_STATE_STOPPED;
    case MF_GUEST_FOREIGN:
        return guest->runs ? MF_GUEST_STATE_RUNNING : MF_GUEST_STATE_STOPPED;
    case MF_GUEST_DOOMED:
    case MF_GUEST_ENDING:
    case MF_GUEST_DESTROYING:
        return guest->dead ? MF_GUEST_STATE_UNSET : MF_GUEST_STATE_DESTROYING;
    default:
        return MF_GUEST_STATE_UNSET; /* not shown */
    }
}

uint64_t mf_guests_digest(const struct mf_worker *self)
{
    uint64_t digest = 0;
    const struct mf_guest *guest;
    TAILQ_FOREACH(guest, &self->lives[MF_GUEST_RUNNING], link)
    digest ^= mf_guest_digest(guest->id);
    return digest;
}

uint32_t mf_guests_inventory(struct mf_worker *self, struct mf_rec_guest **ret_guests)
{
    size_t cap = self->n_guests < MF_WORKER_GUESTS_MAX ? self->n_guests : MF_WORKER_GUESTS_MAX;
    struct mf_rec_guest *rows = mf_arena_alloc(&self->arena, (cap + 1) * sizeof *rows);
    uint32_t n = 0;
    for (unsigned life = 0; life < MF_GUEST_COUNT; life++) {
        const struct mf_guest *guest;
        TAILQ_FOREACH(guest, &self->lives[life], link)
        {
            enum mf_guest_state state = told(guest);
            if (state == MF_GUEST_STATE_UNSET || n == cap)
                continue;
            rows[n++] = (struct mf_rec_guest){.id = guest->id,
                                              .state = state,
                                              .name = mf_str_dup(&self->arena, mf_str(guest->name)),
                                              .ready = guest->ready};
        }
    }
    *ret_guests = rows;
    return n;
}

void mf_guests_free(struct mf_worker *self)
{
    for (unsigned life = 0; life < MF_GUEST_COUNT; life++)
        while (!TAILQ_EMPTY(&self->lives[life]))
            /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): what is forgotten has left the list */
            forget(self, TAILQ_FIRST(&self->lives[life]));
    free(self->buckets);
}
