/* A small fold of the log: only what one who waits for a group needs. */
#include "crowd.h"
#include "check.h"
#include "target.h"
#include <stdlib.h>
#include <string.h>

void mf_crowd_free(struct mf_crowd *self)
{
    free(self->members);
    *self = (struct mf_crowd){0};
}

static struct mf_member *find(const struct mf_crowd *self, struct mf_uuid id)
{
    for (size_t i = 0; i < self->n; i++)
        if (mf_uuid_eq(self->members[i].id, id))
            return &self->members[i];
    return NULL;
}

bool mf_crowd_ended(const struct mf_crowd *self)
{
    for (size_t i = 0; i < self->n; i++)
        if (self->members[i].state != MF_INSTANCE_STATE_TOMBSTONE)
            return false;
    return true;
}

bool mf_crowd_has(const struct mf_crowd *self, struct mf_uuid id)
{
    return find(self, id);
}

static struct mf_member *obtain(struct mf_crowd *self, struct mf_uuid id)
{
    struct mf_member *member = find(self, id);
    if (member)
        return member;
    if (self->n == self->cap) {
        self->cap = self->cap ? 2 * self->cap : 64;
        self->members = realloc(self->members, self->cap * sizeof *self->members);
        MF_CHECK(self->members);
    }
    member = &self->members[self->n++];
    *member = (struct mf_member){.id = id};
    return member;
}

static void copy_text(char *to, size_t size, struct mf_str text)
{
    mf_str_format(to, size, "%.*s", (int)text.len, text.ptr ? text.ptr : "");
}

void mf_crowd_list(struct mf_crowd *self, const struct mf_rec_instance_row *row)
{
    struct mf_member *member = obtain(self, row->id);
    member->slot = row->slot;
    member->generation = row->generation;
    member->state = row->state;
    member->current = row->current;
    member->ready = row->ready_ms > 0;
    self->wait_ready |= member->ready;
    copy_text(member->reason, sizeof member->reason, row->reason);
}

static void forget(struct mf_crowd *self, struct mf_uuid id)
{
    struct mf_member *member = find(self, id);
    if (member)
        *member = self->members[--self->n];
}

static void set_state(struct mf_crowd *self, struct mf_uuid id, enum mf_instance_state state)
{
    struct mf_member *member = find(self, id);
    if (member)
        member->state = state;
}

static void make_current(struct mf_crowd *self, struct mf_member *member)
{
    for (size_t i = 0; i < self->n; i++)
        if (self->members[i].slot == member->slot)
            self->members[i].current = false;
    member->current = true;
}

static void on_created(struct mf_crowd *self, const struct mf_ev_instance_created *created)
{
    if (find(self, created->id) ||
        (!mf_uuid_is_zero(self->group_id) && !mf_uuid_eq(self->group_id, created->group_id)))
        return; /* known from the list, or of an earlier group of this name */
    struct mf_member *member = obtain(self, created->id);
    member->slot = created->slot;
    member->generation = created->generation;
    member->state = MF_INSTANCE_STATE_PENDING;
    make_current(self, member);
}

static void on_pending(struct mf_crowd *self, const struct mf_ev_instance_pending *pending)
{
    struct mf_member *member = find(self, pending->id);
    if (!member)
        return;
    member->state = MF_INSTANCE_STATE_PENDING;
    copy_text(member->reason, sizeof member->reason, pending->reason);
}

static void on_reinstated(struct mf_crowd *self, struct mf_uuid id)
{
    struct mf_member *member = find(self, id);
    if (!member)
        return;
    member->state = MF_INSTANCE_STATE_RUNNING;
    make_current(self, member);
}

static void on_adopted(struct mf_crowd *self, const struct mf_ev_instance_adopted *adopted)
{
    on_created(self, &(struct mf_ev_instance_created){.id = adopted->id,
                                                      .group_id = adopted->group_id,
                                                      .slot = adopted->slot,
                                                      .generation = adopted->generation});
    set_state(self, adopted->id, MF_INSTANCE_STATE_RUNNING);
}

static void on_ready(struct mf_crowd *self, struct mf_uuid id)
{
    struct mf_member *member = find(self, id);
    if (member)
        member->ready = true;
}

static void on_unwell(struct mf_crowd *self, const struct mf_ev_instance_unwell *unwell)
{
    struct mf_member *member = find(self, unwell->id);
    if (!member)
        return;
    member->state = MF_INSTANCE_STATE_TOMBSTONE;
    member->current = false;
    copy_text(self->trouble, sizeof self->trouble,
              unwell->text.len ? unwell->text : mf_str(mf_ailment_word(unwell->how)));
}

static void on_promoted(struct mf_crowd *self, const struct mf_ev_slot_promoted *promoted)
{
    struct mf_member *member = find(self, promoted->id);
    if (!member)
        return;
    member->slot = promoted->slot;
    member->generation = promoted->generation;
    make_current(self, member);
}

static void apply(struct mf_crowd *self, const struct mf_event *event)
{
    switch (event->kind) {
    case MF_EV_INSTANCE_CREATED:
        on_created(self, &event->instance_created);
        break;
    case MF_EV_INSTANCE_PENDING:
        on_pending(self, &event->instance_pending);
        break;
    case MF_EV_INSTANCE_PLACED:
        set_state(self, event->instance_placed.id, MF_INSTANCE_STATE_PLACED);
        break;
    case MF_EV_INSTANCE_RUNNING:
        set_state(self, event->instance_running.id, MF_INSTANCE_STATE_RUNNING);
        break;
    case MF_EV_INSTANCE_READY:
        on_ready(self, event->instance_ready.id);
        break;
    case MF_EV_INSTANCE_UNWELL:
        on_unwell(self, &event->instance_unwell);
        break;
    case MF_EV_SLOT_PROMOTED:
        on_promoted(self, &event->slot_promoted);
        break;
    case MF_EV_INSTANCE_ADOPTED:
        on_adopted(self, &event->instance_adopted);
        break;
    case MF_EV_INSTANCE_SUPERSEDED:
        set_state(self, event->instance_superseded.id, MF_INSTANCE_STATE_RETIRING);
        break;
    case MF_EV_INSTANCE_LOST:
        set_state(self, event->instance_lost.id, MF_INSTANCE_STATE_LOST);
        break;
    case MF_EV_INSTANCE_REINSTATED:
        on_reinstated(self, event->instance_reinstated.id);
        break;
    case MF_EV_INSTANCE_TOMBSTONED:
        set_state(self, event->instance_tombstoned.id, MF_INSTANCE_STATE_TOMBSTONE);
        break;
    case MF_EV_INSTANCE_DESTROYING:
        set_state(self, event->instance_destroying.id, MF_INSTANCE_STATE_DESTROYING);
        break;
    case MF_EV_INSTANCE_FAILED:
        set_state(self, event->instance_failed.id, MF_INSTANCE_STATE_DESTROYING);
        copy_text(self->trouble, sizeof self->trouble, event->instance_failed.text);
        break;
    case MF_EV_INSTANCE_DIED:
        forget(self, event->instance_died.id);
        break;
    case MF_EV_INSTANCE_GONE:
        forget(self, event->instance_gone.id);
        break;
    case MF_EV_GROUP_GONE:
        self->gone = self->gone || mf_uuid_is_zero(self->group_id) ||
                     mf_uuid_eq(self->group_id, event->group_gone.group_id);
        break;
    default:
        break;
    }
}

void mf_crowd_event(struct mf_crowd *self, const struct mf_rec_event_row *row)
{
    struct mf_arena arena = {0};
    struct mf_event event;
    struct mf_decode_error error;
    const struct mf_desc *desc = mf_desc_by_wire(row->type);
    if (desc && desc->kind > MF_MSG_COUNT && !mf_event_decode(desc->kind, row->data, &arena, &event, &error))
        apply(self, &event);
    mf_arena_free(&arena);
}

struct mf_crowd_count mf_crowd_count(const struct mf_crowd *self, uint64_t desired)
{
    struct mf_crowd_count count = {0};
    for (size_t i = 0; i < self->n; i++) {
        const struct mf_member *member = &self->members[i];
        if (member->current && member->slot >= desired && member->slot < desired + self->spares)
            continue;
        if (!member->current || member->slot >= desired)
            count.ending++;
        else if (member->state == MF_INSTANCE_STATE_RUNNING)
            count.running++, count.ready += member->ready;
        else if (member->state == MF_INSTANCE_STATE_PLACED)
            count.placed++;
        else if (member->state == MF_INSTANCE_STATE_PENDING)
            count.pending++;
        else
            count.ending++;
    }
    return count;
}

bool mf_crowd_complete(const struct mf_crowd *self, uint64_t desired)
{
    struct mf_crowd_count count = mf_crowd_count(self, desired);
    for (size_t i = 0; i < self->n; i++)
        if (self->members[i].slot >= desired + self->spares)
            return false;
    return (self->wait_ready ? count.ready : count.running) == desired;
}
