/* heap.c - the usual binary heap in an array; each timer knows its place, so moving and removing one costs
 * log n. */
#include "heap.h"
#include "check.h"

#include <stdlib.h>

static bool before(const struct mf_timer *a, const struct mf_timer *b)
{
    return a->when != b->when ? a->when < b->when : a->order < b->order;
}

static void put(struct mf_heap *self, size_t at, struct mf_timer *timer)
{
    self->items[at] = timer;
    timer->place = at + 1;
}

static void rise(struct mf_heap *self, size_t at)
{
    struct mf_timer *timer = self->items[at];

    for (size_t up; at > 0 && before(timer, self->items[up = (at - 1) / 2]); at = up)
        put(self, at, self->items[up]);
    put(self, at, timer);
}

static void sink(struct mf_heap *self, size_t at)
{
    struct mf_timer *timer = self->items[at];

    for (size_t down; (down = 2 * at + 1) < self->n; at = down) {
        if (down + 1 < self->n && before(self->items[down + 1], self->items[down]))
            down++;
        if (!before(self->items[down], timer))
            break;
        put(self, at, self->items[down]);
    }
    put(self, at, timer);
}

void mf_heap_set(struct mf_heap *self, struct mf_timer *timer, mf_ms when)
{
    mf_heap_unset(self, timer);
    if (self->n == self->cap) {
        self->cap = self->cap ? self->cap * 2 : 16;
        self->items = reallocarray(self->items, self->cap, sizeof(struct mf_timer *));
        MF_CHECK(self->items != NULL);
    }
    timer->when = when;
    timer->order = self->next_order++;
    put(self, self->n++, timer);
    rise(self, timer->place - 1);
}

void mf_heap_unset(struct mf_heap *self, struct mf_timer *timer)
{
    size_t at = timer->place - 1;
    struct mf_timer *last;

    if (timer->place == 0)
        return;
    MF_CHECK(at < self->n && self->items[at] == timer);
    timer->place = 0;
    last = self->items[--self->n];
    if (last == timer)
        return;
    put(self, at, last);
    rise(self, at);
    sink(self, last->place - 1);
}

struct mf_timer *mf_heap_first(const struct mf_heap *self)
{
    return self->n ? self->items[0] : NULL;
}

struct mf_timer *mf_heap_take(struct mf_heap *self, mf_ms now)
{
    struct mf_timer *first = mf_heap_first(self);

    if (!first || first->when > now)
        return NULL;
    mf_heap_unset(self, first);
    return first;
}

void mf_heap_free(struct mf_heap *self)
{
    free(self->items);
    *self = (struct mf_heap){0};
}
