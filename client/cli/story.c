/* The chain of causes among fetched rows. */
#include "story.h"
#include "check.h"
#include <stdlib.h>
#include <string.h>

static size_t place(const struct mf_story *self, uint64_t seq)
{
    size_t low = 0, high = self->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (self->rows[middle].row.seq < seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct mf_story_row *mf_story_find(const struct mf_story *self, uint64_t seq)
{
    size_t at = place(self, seq);
    return at < self->n && self->rows[at].row.seq == seq ? &self->rows[at] : NULL;
}

void mf_story_add(struct mf_story *self, const struct mf_rec_event_row *row, struct mf_arena *arena)
{
    if (mf_story_find(self, row->seq))
        return;
    if (self->n == self->cap) {
        self->cap = self->cap ? 2 * self->cap : 64;
        self->rows = realloc(self->rows, self->cap * sizeof *self->rows);
        MF_CHECK(self->rows);
    }
    size_t at = place(self, row->seq);
    memmove(self->rows + at + 1, self->rows + at, (self->n - at) * sizeof *self->rows);
    self->n++;
    struct mf_rec_event_row *copy = &self->rows[at].row;
    *copy = *row;
    copy->type = mf_str_dup(arena, row->type);
    copy->subject = mf_str_dup(arena, row->subject);
    copy->data = mf_str_dup(arena, row->data);
    self->rows[at].chain = false;
}

void mf_story_free(struct mf_story *self)
{
    free(self->rows);
    *self = (struct mf_story){0};
}

/* Is the row one that answers for the target? */
static bool answers(const struct mf_story_row *row, const struct mf_target *target, uint64_t generation)
{
    struct mf_target of;
    if (target->kind != MF_TARGET_SLOT)
        return mf_str_is(row->row.subject, target->subject);
    return mf_target_of_subject(row->row.subject, &of) && of.slot == target->slot &&
           !strcmp(of.name, target->name) && of.generation == generation;
}

/* The one born last: a group that was destroyed and made anew counts its generations from 1 again. */
static uint64_t newest_generation(const struct mf_story *self, const struct mf_target *target)
{
    struct mf_target of;
    uint64_t highest = 0;
    for (size_t i = self->n; i-- > 0;) {
        const struct mf_rec_event_row *row = &self->rows[i].row;
        if (!mf_target_of_subject(row->subject, &of) || of.slot != target->slot ||
            strcmp(of.name, target->name))
            continue;
        if (mf_str_is(row->type, mf_kind_desc(MF_EV_INSTANCE_CREATED)->wire) ||
            mf_str_is(row->type, mf_kind_desc(MF_EV_SLOT_PROMOTED)->wire)) /* a spare that came here */
            return of.generation;
        if (of.generation > highest)
            highest = of.generation;
    }
    return highest;
}

const struct mf_story_row *mf_story_newest(const struct mf_story *self, const struct mf_target *target)
{
    uint64_t generation = target->kind == MF_TARGET_SLOT ? newest_generation(self, target) : 0;
    for (size_t i = self->n; i-- > 0;)
        if (answers(&self->rows[i], target, generation))
            return &self->rows[i];
    return NULL;
}

uint64_t mf_story_mark(struct mf_story *self, uint64_t seq)
{
    while (seq) {
        struct mf_story_row *row = (struct mf_story_row *)mf_story_find(self, seq);
        if (!row)
            return seq;
        row->chain = true;
        if (row->row.cause >= seq)
            return 0; /* no cause comes after its effect: the log is not ours to walk in circles */
        seq = row->row.cause;
    }
    return 0;
}

void mf_story_cut(struct mf_story *self, size_t before)
{
    size_t first = 0, last = 0, n = 0;
    while (first < self->n && !self->rows[first].chain)
        first++;
    for (size_t i = first; i < self->n; i++)
        if (self->rows[i].chain)
            last = i;
    for (size_t i = first > before ? first - before : 0; i < self->n && i <= last; i++)
        self->rows[n++] = self->rows[i];
    self->n = n;
}
