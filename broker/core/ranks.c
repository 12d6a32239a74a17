/* ranks.c - nodes in buckets of equal count: one more of the group on a node moves it from the end of its
 * bucket to the beginning of the next, by one exchange. */
#include "ranks.h"
#include "check.h"
#include <stdlib.h>

static void set_place(struct mf_ranks *self, uint32_t place, struct mf_node *node)
{
    self->order[place] = node;
    self->places[node->index] = place;
}

static void exchange(struct mf_ranks *self, uint32_t place, uint32_t other)
{
    struct mf_node *node = self->order[place];

    set_place(self, place, self->order[other]);
    set_place(self, other, node);
}

static void add_level(struct mf_ranks *self)
{
    if (self->n_levels + 2 > self->n_starts) {
        self->n_starts = self->n_starts * 2 + 8;
        self->starts = realloc(self->starts, self->n_starts * sizeof(*self->starts));
        MF_CHECK(self->starts);
    }
    self->starts[++self->n_levels] = self->n;
}

void mf_ranks_count(struct mf_group *group, const struct mf_node *node, bool more)
{
    struct mf_ranks *self = group->ranks;
    uint32_t *count, place;

    if (!self)
        return;
    MF_CHECK(node->index < self->n);
    count = &self->counts[node->index];
    place = self->places[node->index];
    if (more) {
        if (*count + 1 == self->n_levels)
            add_level(self);
        exchange(self, place, --self->starts[*count + 1]);
        ++*count;
    } else {
        MF_CHECK(*count > 0);
        exchange(self, place, self->starts[*count]++);
        --*count;
    }
}

static void free_one(struct mf_ranks **self)
{
    if (!*self)
        return;
    (*self)->group->ranks = NULL;
    free((*self)->order);
    free((*self)->counts);
    free((*self)->places);
    free((*self)->starts);
    free(*self);
    *self = NULL;
}

void mf_ranks_drop(struct mf_broker *b, struct mf_group *group)
{
    for (size_t i = 0; i < MF_RANKS_MAX && group->ranks; i++)
        if (b->ranks[i] == group->ranks)
            free_one(&b->ranks[i]);
}

void mf_ranks_drop_all(struct mf_broker *b)
{
    for (size_t i = 0; i < MF_RANKS_MAX; i++)
        free_one(&b->ranks[i]);
}

static struct mf_ranks *make(const struct mf_broker *b, struct mf_group *group)
{
    struct mf_ranks *self = mf_calloc(sizeof(*self));

    self->group = group;
    self->n = (uint32_t)b->nodes.n;
    self->order = mf_calloc((self->n + 1) * sizeof(*self->order));
    self->counts = mf_calloc((self->n + 1) * sizeof(*self->counts));
    self->places = mf_calloc((self->n + 1) * sizeof(*self->places));
    add_level(self);
    self->starts[0] = 0;
    for (uint32_t i = 0; i < self->n; i++)
        set_place(self, i, b->nodes.items[i]);
    group->ranks = self;
    for (uint32_t i = 0; i < group->n_slots; i++)
        for (const struct mf_instance *inst = group->slots[i]->newest; inst; inst = inst->older)
            if (inst->node)
                mf_ranks_count(group, inst->node, true);
    return self;
}

struct mf_ranks *mf_ranks_of(struct mf_broker *b, struct mf_group *group)
{
    struct mf_ranks **oldest = &b->ranks[0];

    for (size_t i = 1; i < MF_RANKS_MAX && !group->ranks && *oldest; i++)
        if (!b->ranks[i] || b->ranks[i]->used_at < (*oldest)->used_at)
            oldest = &b->ranks[i];
    if (!group->ranks) {
        free_one(oldest);
        *oldest = make(b, group);
    }
    group->ranks->used_at = ++b->ranks_clock;
    return group->ranks;
}

void mf_ranks_check(const struct mf_broker *b)
{
    const struct mf_ranks *self = b->ranks[b->seq % MF_RANKS_MAX];
    uint32_t total = 0, level = 0;

    if (!self)
        return;
    MF_CHECK(self->n == b->nodes.n && self->group->ranks == self && self->starts[self->n_levels] == self->n);
    for (uint32_t i = 0; i < self->n; i++) {
        const struct mf_node *node = self->order[i];
        uint32_t count = self->counts[node->index];
        MF_CHECK(self->places[node->index] == i);
        while (level < count)
            MF_CHECK(self->starts[++level] == i);
        MF_CHECK(level == count);
        total += count;
    }
    while (level < self->n_levels)
        MF_CHECK(self->starts[++level] == self->n);
    for (uint32_t i = 0; i < self->group->n_slots; i++)
        for (const struct mf_instance *inst = self->group->slots[i]->newest; inst; inst = inst->older)
            total -= inst->node != NULL;
    MF_CHECK(total == 0);
}
