/* shells.c - see shells.h. */
#include "shells.h"

enum { RETRY_MS = 5000, RETRY_MAX_MS = 300000 };

void mf_shells_free(struct mf_shells *self)
{
    for (size_t i = 0; i < MF_SHELLS_KINDS; i++)
        mf_buf_free(&self->kinds[i].order);
}

static struct mf_shells_kind *find(struct mf_shells *self, struct mf_digest kind)
{
    for (size_t i = 0; i < MF_SHELLS_KINDS; i++)
        if (self->kinds[i].order.len && mf_digest_eq(self->kinds[i].kind, kind))
            return &self->kinds[i];
    return NULL;
}

/* One that is free, or else the one used longest ago. */
static struct mf_shells_kind *place(struct mf_shells *self)
{
    struct mf_shells_kind *oldest = &self->kinds[0];
    for (size_t i = 1; i < MF_SHELLS_KINDS; i++)
        if (self->kinds[i].used < oldest->used)
            oldest = &self->kinds[i];
    return oldest;
}

/* Secrets stay out of what is kept; a shell's seed is blank anyway. */
static void keep(struct mf_shells_kind *entry, const struct mf_msg_order_create *order)
{
    struct mf_message message = {.kind = MF_MSG_ORDER_CREATE, .order_create = *order};
    struct mf_buf head = {0};
    message.order_create.user_data = (struct mf_blob){0};
    mf_buf_clear(&entry->order);
    mf_message_encode(&message, &head, &entry->order);
    mf_buf_free(&head);
}

void mf_shells_learn(struct mf_shells *self, struct mf_digest kind, const struct mf_msg_order_create *order)
{
    struct mf_shells_kind *entry = find(self, kind);
    if (!entry) {
        entry = place(self);
        entry->kind = kind;
        entry->failures = 0;
        entry->not_before = 0;
        keep(entry, order);
    }
    entry->used = ++self->uses;
}

void mf_shells_made(struct mf_shells *self, mf_ms now, struct mf_digest kind, bool ok)
{
    struct mf_shells_kind *entry = find(self, kind);
    if (!entry)
        return;
    entry->failures = ok ? 0 : entry->failures + 1;
    mf_ms wait = entry->failures > 6 ? RETRY_MAX_MS : (mf_ms)RETRY_MS << entry->failures;
    entry->not_before = ok ? 0 : now + (wait < RETRY_MAX_MS ? wait : RETRY_MAX_MS);
}

/* The next kind in the order in which they are served: the one used last before `used`. */
static const struct mf_shells_kind *next_kind(const struct mf_shells *self, uint64_t used)
{
    const struct mf_shells_kind *next = NULL;
    for (size_t i = 0; i < MF_SHELLS_KINDS; i++) {
        const struct mf_shells_kind *entry = &self->kinds[i];
        if (entry->order.len && entry->used < used && (!next || entry->used > next->used))
            next = entry;
    }
    return next;
}

static unsigned count(const struct mf_driver_shell *there, size_t n, struct mf_digest kind)
{
    unsigned idle = 0;
    for (size_t i = 0; i < n; i++)
        idle += !there[i].taken && mf_digest_eq(there[i].kind, kind);
    return idle;
}

static uint64_t used_of(const struct mf_shells *self, struct mf_digest kind)
{
    for (size_t i = 0; i < MF_SHELLS_KINDS; i++)
        if (self->kinds[i].order.len && mf_digest_eq(self->kinds[i].kind, kind))
            return self->kinds[i].used;
    return 0;
}

/* One of the kind used longest ago, if that was before `used`. */
static bool gives_way(const struct mf_shells *self, const struct mf_driver_shell *there, size_t n,
                      uint64_t used, struct mf_digest *ret_of)
{
    bool found = false;
    for (size_t i = 0; i < n; i++) {
        uint64_t its = used_of(self, there[i].kind);
        if (there[i].taken || its >= used)
            continue;
        used = its;
        *ret_of = there[i].kind;
        found = true;
    }
    return found;
}

enum mf_shells_step mf_shells_next(const struct mf_shells *self, mf_ms now,
                                   const struct mf_driver_shell *there, size_t n,
                                   const struct mf_shells_kind **ret_kind, struct mf_digest *ret_of)
{
    const struct mf_shells_kind *kind = NULL;
    uint64_t used = UINT64_MAX;
    unsigned served = 0; /* what the kinds so far take of the whole */
    for (; (kind = next_kind(self, used)) && served < self->max; used = kind->used) {
        unsigned left = self->max - served, wanted = self->each < left ? self->each : left;
        served += wanted;
        if (count(there, n, kind->kind) >= wanted || kind->not_before > now)
            continue;
        *ret_kind = kind;
        *ret_of = kind->kind;
        if (n < self->max)
            return MF_SHELLS_MAKE;
        return gives_way(self, there, n, kind->used, ret_of) ? MF_SHELLS_DROP : MF_SHELLS_NOTHING;
    }
    return MF_SHELLS_NOTHING;
}
