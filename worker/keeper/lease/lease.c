/* lease.c - see lease.h. The table is searched from end to end: it has a few thousand places at most, and is
 * touched when guests come and go. */
#include "lease.h"
#include "check.h"

static struct mf_lease_entry *find(const struct mf_lease *self, struct mf_uuid id)
{
    for (size_t i = 0; i < self->n_used; i++)
        if (self->entries[i].state != MF_LEASE_FREE && mf_uuid_eq(self->entries[i].id, id))
            return &self->entries[i];
    return NULL;
}

static size_t *counter(struct mf_lease *self, enum mf_lease_state state)
{
    switch (state) {
    case MF_LEASE_WAITING:
        return &self->n_waiting;
    case MF_LEASE_CLEARED:
        return &self->n_cleared;
    case MF_LEASE_HELD:
        return &self->n_held;
    case MF_LEASE_FENCED:
        return &self->n_fenced;
    case MF_LEASE_FREE:
        break;
    }
    return NULL;
}

static void move(struct mf_lease *self, struct mf_lease_entry *entry, enum mf_lease_state state)
{
    size_t *from = counter(self, entry->state), *to = counter(self, state);
    if (from)
        --*from;
    if (to)
        ++*to;
    entry->state = state;
}

static void forget(struct mf_lease *self, struct mf_lease_entry *entry)
{
    move(self, entry, MF_LEASE_FREE);
    *entry = (struct mf_lease_entry){0};
    if (self->n_fenced == 0)
        self->scan_at = INT64_MAX;
}

static struct mf_lease_entry *add(struct mf_lease *self, struct mf_uuid id)
{
    size_t i = 0;
    while (i < self->n_used && self->entries[i].state != MF_LEASE_FREE)
        i++;
    if (i == self->n_places)
        return NULL;
    if (i == self->n_used) {
        bool clearing = self->clear_from < self->n_used, fencing = self->fence_from < self->n_used;
        self->n_used++;
        self->clear_from = clearing ? self->clear_from : self->n_used;
        self->fence_from = fencing ? self->fence_from : self->n_used;
    }
    self->entries[i] = (struct mf_lease_entry){.id = id, .after = UINT64_MAX};
    return &self->entries[i];
}

static bool wanted(const struct mf_lease *self)
{
    return self->n_waiting + self->n_cleared + self->n_held > 0;
}

static void ask_now(struct mf_lease *self, mf_ms now)
{
    if (self->ask_at > now)
        self->ask_at = now;
}

/* From here on it must not run. Where its process is not known, the first look for one is due at once. */
static void fence(struct mf_lease *self, mf_ms now, struct mf_lease_entry *entry, bool has_process)
{
    move(self, entry, MF_LEASE_FENCED);
    entry->after = UINT64_MAX;
    entry->has_process = has_process;
    mf_ms look_at = has_process ? now + MF_LEASE_SCAN_MS : now;
    self->scan_at = look_at < self->scan_at ? look_at : self->scan_at;
    self->scan_after_ms = MF_LEASE_SCAN_MS;
    size_t at = (size_t)(entry - self->entries);
    if (has_process && at < self->fence_from)
        self->fence_from = at;
}

/* What exists or may exist is fenced; what only waits goes on waiting. */
static void fence_all(struct mf_lease *self, mf_ms now)
{
    for (size_t i = 0; i < self->n_used; i++) {
        struct mf_lease_entry *entry = &self->entries[i];
        if (entry->state == MF_LEASE_HELD || entry->state == MF_LEASE_CLEARED)
            fence(self, now, entry, entry->state == MF_LEASE_HELD && !entry->unseen);
    }
}

void mf_lease_init(struct mf_lease *self, struct mf_lease_entry *entries, size_t n_places, uint64_t ask_id,
                   mf_ms until)
{
    *self = (struct mf_lease){.entries = entries,
                              .n_places = n_places,
                              .renew_ms = MF_LEASE_RENEW_MS,
                              .until = until,
                              .ask_id = ask_id,
                              .granted = ask_id,
                              .scan_at = INT64_MAX};
}

void mf_lease_session(struct mf_lease *self, mf_ms now, uint64_t epoch, mf_ms renew_ms)
{
    self->renew_ms = renew_ms > 0 ? renew_ms : MF_LEASE_RENEW_MS;
    if (epoch == self->epoch)
        return;
    self->epoch = epoch;
    self->granted = self->ask_id; /* what is out belongs to a session that is over */
    ask_now(self, now);
}

void mf_lease_restore(struct mf_lease *self, mf_ms now, struct mf_uuid id)
{
    struct mf_lease_entry *entry = find(self, id) ? NULL : add(self, id);
    if (!entry)
        return;
    entry->unseen = true;
    move(self, entry, MF_LEASE_HELD);
}

static const mf_ms *asked_at(const struct mf_lease *self, uint64_t ask_id)
{
    size_t at = (size_t)(ask_id % MF_LEASE_ASKS);
    return self->asks[at].id == ask_id ? &self->asks[at].at : NULL;
}

bool mf_lease_granted(struct mf_lease *self, mf_ms now, uint64_t epoch, uint64_t ask_id, mf_ms lease_ms)
{
    const mf_ms *at = asked_at(self, ask_id);
    if (!mf_lease_valid(self, now)) /* too late for what was held, whatever this says: a successor may run */
        fence_all(self, now);
    if (epoch != self->epoch || ask_id <= self->granted || !at || lease_ms <= 0)
        return false;
    self->granted = ask_id;
    if (now >= *at + lease_ms)
        return false; /* it was over before it came, and clears nothing */
    self->clear_from = 0;
    bool longer = *at + lease_ms > self->until;
    if (longer)
        self->until = *at + lease_ms;
    return longer;
}

bool mf_lease_intent(struct mf_lease *self, mf_ms now, struct mf_uuid id)
{
    struct mf_lease_entry *entry = find(self, id);
    if (entry && entry->state == MF_LEASE_FENCED)
        return true; /* its order runs out, or its create fails */
    if (!entry && !(entry = add(self, id)))
        return false;
    if (entry->state == MF_LEASE_FREE)
        move(self, entry, MF_LEASE_WAITING);
    entry->after = self->ask_id;
    ask_now(self, now);
    return true;
}

void mf_lease_intent_over(struct mf_lease *self, mf_ms now, struct mf_uuid id)
{
    struct mf_lease_entry *entry = find(self, id);
    if (!entry)
        return;
    entry->after = UINT64_MAX;
    if (entry->state != MF_LEASE_HELD && !entry->has_process)
        forget(self, entry);
}

bool mf_lease_hold(struct mf_lease *self, mf_ms now, struct mf_uuid id)
{
    struct mf_lease_entry *entry = find(self, id);
    if (!entry && !(entry = add(self, id)))
        return false;
    entry->unseen = false;
    bool may =
        entry->state == MF_LEASE_FREE || entry->state == MF_LEASE_CLEARED || entry->state == MF_LEASE_HELD;
    if (!may || !mf_lease_valid(self, now)) {
        fence(self, now, entry, true);
        return false;
    }
    if (entry->state != MF_LEASE_HELD)
        move(self, entry, MF_LEASE_HELD);
    return true;
}

void mf_lease_refuse(struct mf_lease *self, mf_ms now, struct mf_uuid id)
{
    struct mf_lease_entry *entry = find(self, id);
    if (!entry && !(entry = add(self, id)))
        return;
    entry->unseen = false;
    fence(self, now, entry, true);
}

void mf_lease_gone(struct mf_lease *self, mf_ms now, struct mf_uuid id)
{
    struct mf_lease_entry *entry = find(self, id);
    if (entry)
        forget(self, entry);
}

void mf_lease_agent_ended(struct mf_lease *self, mf_ms now)
{
    for (size_t i = 0; i < self->n_used; i++) {
        struct mf_lease_entry *entry = &self->entries[i];
        entry->after = UINT64_MAX;
        if (entry->state == MF_LEASE_WAITING)
            forget(self, entry);
        else if (entry->state == MF_LEASE_CLEARED)
            fence(self, now, entry, false);
    }
}

void mf_lease_agent_ready(struct mf_lease *self, mf_ms now)
{
    for (size_t i = 0; i < self->n_used; i++) {
        struct mf_lease_entry *entry = &self->entries[i];
        if (entry->unseen || (entry->state == MF_LEASE_FENCED && !entry->has_process))
            forget(self, entry);
    }
}

void mf_lease_end(struct mf_lease *self, mf_ms now)
{
    mf_lease_agent_ended(self, now);
    fence_all(self, now);
}

static bool next_fence(struct mf_lease *self, struct mf_lease_action *ret_action)
{
    while (self->fence_from < self->n_used) {
        const struct mf_lease_entry *entry = &self->entries[self->fence_from++];
        if (entry->state != MF_LEASE_FENCED || !entry->has_process)
            continue;
        *ret_action = (struct mf_lease_action){.kind = MF_LEASE_FENCE, .id = entry->id};
        return true;
    }
    return false;
}

static bool next_clear(struct mf_lease *self, mf_ms now, struct mf_lease_action *ret_action)
{
    while (mf_lease_valid(self, now) && self->clear_from < self->n_used) {
        struct mf_lease_entry *entry = &self->entries[self->clear_from++];
        if (entry->state == MF_LEASE_FREE || entry->after >= self->granted)
            continue;
        entry->after = UINT64_MAX;
        if (entry->state == MF_LEASE_WAITING)
            move(self, entry, MF_LEASE_CLEARED);
        *ret_action = (struct mf_lease_action){.kind = MF_LEASE_CLEAR, .id = entry->id};
        return true;
    }
    return false;
}

static bool next_ask(struct mf_lease *self, mf_ms now, struct mf_lease_action *ret_action)
{
    if (!self->epoch || !wanted(self) || now < self->ask_at)
        return false;
    self->ask_id++;
    self->asks[self->ask_id % MF_LEASE_ASKS].id = self->ask_id;
    self->asks[self->ask_id % MF_LEASE_ASKS].at = now;
    self->ask_at = now + self->renew_ms;
    *ret_action =
        (struct mf_lease_action){.kind = MF_LEASE_ASK, .epoch = self->epoch, .ask_id = self->ask_id};
    return true;
}

static bool next_scan(struct mf_lease *self, mf_ms now, struct mf_lease_action *ret_action)
{
    if (self->n_fenced == 0 || now < self->scan_at)
        return false;
    self->scan_at = now + self->scan_after_ms;
    self->scan_after_ms =
        self->scan_after_ms * 2 < MF_LEASE_SCAN_MAX_MS ? self->scan_after_ms * 2 : MF_LEASE_SCAN_MAX_MS;
    *ret_action = (struct mf_lease_action){.kind = MF_LEASE_SCAN};
    return true;
}

/* Killing comes first: it is what must not be late. */
bool mf_lease_poll(struct mf_lease *self, mf_ms now, struct mf_lease_action *ret_action)
{
    MF_CHECK(self->n_used <= self->n_places);
    if (self->n_held + self->n_cleared > 0 && !mf_lease_valid(self, now))
        fence_all(self, now);
    return next_fence(self, ret_action) || next_scan(self, now, ret_action) ||
           next_clear(self, now, ret_action) || next_ask(self, now, ret_action);
}

mf_ms mf_lease_deadline(const struct mf_lease *self)
{
    mf_ms at = self->n_fenced > 0 ? self->scan_at : INT64_MAX;
    if (self->n_held + self->n_cleared > 0 && self->until < at)
        at = self->until;
    if (self->epoch && wanted(self) && self->ask_at < at)
        at = self->ask_at;
    return at;
}

bool mf_lease_valid(const struct mf_lease *self, mf_ms now)
{
    return now < self->until;
}

bool mf_lease_fences(const struct mf_lease *self, struct mf_uuid id)
{
    return mf_lease_state(self, id) == MF_LEASE_FENCED;
}

enum mf_lease_state mf_lease_state(const struct mf_lease *self, struct mf_uuid id)
{
    const struct mf_lease_entry *entry = find(self, id);
    return entry ? entry->state : MF_LEASE_FREE;
}
