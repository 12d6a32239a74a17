/* recent.c - a circle of rows indexed by seq; each row and its strings are one allocation. */
#include "recent.h"
#include "check.h"
#include <stdlib.h>
#include <string.h>

struct entry {
    struct mf_store_row row;
    size_t bytes;
    char strings[];
};

struct mf_recent {
    struct entry **circle;                   /* of row seq at seq % cap */
    uint64_t cap, oldest, newest, committed; /* holds oldest..newest; empty when oldest > newest */
    size_t bytes;
};

struct mf_recent *mf_recent_new(uint64_t newest)
{
    struct mf_recent *self = calloc(1, sizeof(*self));

    MF_CHECK(self);
    self->cap = 256;
    self->circle = calloc(self->cap, sizeof(struct entry *));
    MF_CHECK(self->circle);
    self->newest = self->committed = newest;
    self->oldest = newest + 1;
    return self;
}

static void drop_oldest(struct mf_recent *self)
{
    struct entry **place = &self->circle[self->oldest % self->cap];

    self->bytes -= (*place)->bytes;
    free(*place);
    *place = NULL;
    self->oldest++;
}

void mf_recent_destroy(struct mf_recent **self)
{
    if (!*self)
        return;
    while ((*self)->oldest <= (*self)->newest)
        drop_oldest(*self);
    free((*self)->circle);
    free(*self);
    *self = NULL;
}

static void widen(struct mf_recent *self)
{
    uint64_t cap = self->cap * 2;
    struct entry **circle = calloc(cap, sizeof(struct entry *));

    MF_CHECK(circle);
    for (uint64_t seq = self->oldest; seq <= self->newest; seq++)
        circle[seq % cap] = self->circle[seq % self->cap];
    free(self->circle);
    self->circle = circle;
    self->cap = cap;
}

static struct mf_str store_string(char **end, struct mf_str s)
{
    struct mf_str copy = {*end, s.len};

    if (s.len)
        memcpy(*end, s.ptr, s.len);
    *end += s.len;
    return copy;
}

const struct mf_store_row *mf_recent_add(struct mf_recent *self, const struct mf_store_row *row)
{
    size_t bytes = sizeof(struct entry) + row->type.len + row->subject.len + row->data.len;
    struct entry *entry = malloc(bytes);
    char *end;

    MF_CHECK(entry && row->seq == self->newest + 1);
    if (self->newest + 1 - self->oldest == self->cap)
        widen(self);
    end = entry->strings;
    entry->row = *row;
    entry->row.type = store_string(&end, row->type);
    entry->row.subject = store_string(&end, row->subject);
    entry->row.data = store_string(&end, row->data);
    entry->bytes = bytes;
    self->newest++;
    self->bytes += bytes;
    self->circle[row->seq % self->cap] = entry;
    return &entry->row;
}

void mf_recent_committed(struct mf_recent *self, uint64_t seq)
{
    MF_CHECK(seq >= self->committed && seq <= self->newest);
    self->committed = seq;
    while (self->oldest <= self->committed &&
           (self->newest + 1 - self->oldest > MF_RECENT_ROWS || self->bytes > MF_RECENT_BYTES))
        drop_oldest(self);
}

const struct mf_store_row *mf_recent_find(const struct mf_recent *self, uint64_t seq)
{
    if (seq < self->oldest || seq > self->newest)
        return NULL;
    return &self->circle[seq % self->cap]->row;
}
