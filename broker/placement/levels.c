/* levels.c - see levels.h. */
#include "levels.h"
#include "check.h"
#include "headroom.h"

#include <stdlib.h>
#include <string.h>

static const uint32_t OWN_DOMAIN = 1U << 31; /* of a node without the label: with its number */
enum { HINTS_MIN = 64 };

void *mf_grown(void *items, uint32_t *cap, uint32_t wanted, size_t size)
{
    uint32_t old = *cap;

    if (wanted <= old)
        return items;
    while (*cap < wanted)
        *cap = *cap ? *cap * 2 : 16;
    items = realloc(items, *cap * size);
    MF_CHECK(items != NULL);
    memset((char *)items + old * size, 0, (*cap - old) * size);
    return items;
}

void mf_level_free(struct mf_level *self, struct mf_pool *pool)
{
    for (uint32_t i = 0; i < self->n_at; i++)
        if (self->at[i])
            mf_standby_free(pool, self->at[i]);
    for (uint32_t i = 0; i < self->n_hot; i++)
        free(self->hot[i].nodes);
    free(self->at);
    free(self->hints);
    free(self->hot);
}

uint32_t mf_level_domain(const struct mf_pool *pool, const struct mf_level *self, uint32_t node)
{
    uint32_t domain = self->key ? mf_pool_domain(pool, node, self->key) : 0;

    return domain ? domain : OWN_DOMAIN | node;
}

/* ------------------------------------------------------------------ standbys */

static void cool(struct mf_level *self, struct mf_standby *standby)
{
    struct mf_hot *hot = &self->hot[standby->class];
    uint32_t last;

    if (standby->place == UINT32_MAX)
        return;
    last = hot->nodes[--hot->n];
    hot->nodes[standby->place] = last;
    self->at[last]->place = standby->place;
    standby->place = UINT32_MAX;
}

void mf_level_heat(struct mf_level *self, struct mf_standby *standby)
{
    bool wanted = standby->n_domains < MF_HEADROOM_DOMAINS;
    struct mf_hot *hot;

    if (wanted == (standby->place != UINT32_MAX))
        return;
    if (!wanted) {
        cool(self, standby);
        return;
    }
    self->hot = mf_grown(self->hot, &self->n_hot, standby->class + 1, sizeof(*self->hot));
    hot = &self->hot[standby->class];
    hot->nodes = mf_grown(hot->nodes, &hot->cap, hot->n + 1, sizeof(*hot->nodes));
    standby->place = hot->n;
    hot->nodes[hot->n++] = standby->node;
}

struct mf_standby *mf_level_make(struct mf_level *self, struct mf_pool *pool, uint32_t node)
{
    struct mf_standing standing;

    self->at = mf_grown(self->at, &self->n_at, node + 1, sizeof(struct mf_standby *));
    if (!self->at[node]) {
        mf_standing_look(pool, node, &standing);
        self->at[node] = mf_standby_new(node, &standing);
    }
    return self->at[node];
}

void mf_level_end(struct mf_level *self, struct mf_pool *pool, struct mf_standby *standby)
{
    cool(self, standby);
    self->at[standby->node] = NULL;
    mf_standby_free(pool, standby);
}

/* ------------------------------------------------------------------ hints: one for each domain, as a rule */

static struct mf_hint *hint_of(const struct mf_level *self, uint32_t domain)
{
    return &self->hints[domain * 2654435761U >> 7 & (self->n_hints - 1)];
}

static void fit_hints(struct mf_level *self, uint32_t wanted)
{
    uint32_t n = self->n_hints ? self->n_hints : HINTS_MIN;

    while (n < wanted)
        n *= 2;
    if (n == self->n_hints)
        return;
    free(self->hints);
    self->hints = calloc(n, sizeof(*self->hints));
    MF_CHECK(self->hints != NULL);
    self->n_hints = n;
}

void mf_level_hint(struct mf_level *self, const struct mf_pool *pool, uint32_t domain, uint32_t node)
{
    fit_hints(self, mf_pool_end(pool));
    *hint_of(self, domain) = (struct mf_hint){domain, node};
}

struct mf_standby *mf_level_hinted(const struct mf_level *self, uint32_t domain)
{
    const struct mf_hint *hint = self->n_hints ? hint_of(self, domain) : NULL;

    return hint && hint->domain == domain ? mf_level_standby(self, hint->node) : NULL;
}
