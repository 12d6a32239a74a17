/* headroom.c - see headroom.h: who is protected, and what a change of a node means for them. */
#include "headroom_inside.h"
#include "check.h"

#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------ levels, domains */

struct mf_headroom *mf_headroom_new(struct mf_pool *pool)
{
    struct mf_headroom *self = calloc(1, sizeof(*self));

    MF_CHECK(self != NULL);
    self->pool = pool;
    self->version = 1;
    return self;
}

void mf_headroom_destroy(struct mf_headroom **at)
{
    struct mf_headroom *self = at ? *at : NULL;

    if (!self)
        return;
    for (uint32_t i = 0; i < self->n_levels; i++)
        mf_level_free(&self->levels[i], self->pool);
    free(self->promises.items);
    free(self->over);
    free(self);
    *at = NULL;
}

uint32_t mf_headroom_level(struct mf_headroom *self, uint32_t key)
{
    for (uint32_t i = 0; i < self->n_levels; i++)
        if (self->levels[i].key == key)
            return i;
    if (self->n_levels == MF_HEADROOM_LEVELS)
        return UINT32_MAX;
    mf_standing_index(self->pool, key);
    self->levels[self->n_levels] = (struct mf_level){.key = key};
    return self->n_levels++;
}

/* ------------------------------------------------------------------ promises */

static void queue(struct mf_headroom *self, uint32_t number, enum mf_promise_state state)
{
    self->promises.items[number].state = (uint8_t)state;
    mf_promise_push(&self->promises, state == MF_PROMISE_NEW ? &self->new : &self->none, number);
}

static void unqueue(struct mf_headroom *self, uint32_t number)
{
    const struct mf_promise *promise = &self->promises.items[number];

    mf_promise_pull(&self->promises, promise->state == MF_PROMISE_NEW ? &self->new : &self->none, number);
}

static void hold(struct mf_headroom *self, uint32_t number, struct mf_place backup, const uint32_t *needs)
{
    struct mf_promise *promise = &self->promises.items[number];
    struct mf_level *level = &self->levels[promise->level];
    struct mf_standby *standby = mf_level_make(level, self->pool, backup.node);

    unqueue(self, number);
    promise->state = MF_PROMISE_HELD;
    promise->backup = backup.node;
    promise->way = backup.cells;
    mf_promise_link(&self->promises, &standby->first, number);
    standby->n_promises++;
    self->held++;
    mf_standby_add(standby, self->pool, promise->domain, needs);
    mf_level_heat(level, standby);
    mf_level_hint(level, self->pool, promise->domain, backup.node);
}

/* It has no backup any more; what was kept for it alone is free again, now or soon. */
static void release(struct mf_headroom *self, uint32_t number)
{
    struct mf_promise *promise = &self->promises.items[number];
    struct mf_level *level = &self->levels[promise->level];
    struct mf_standby *standby = level->at[promise->backup];
    uint32_t needs[MF_WIDE];

    mf_standing_needs(self->pool, standby->ground, promise->shape, promise->way, needs);
    mf_promise_unlink(&self->promises, &standby->first, number);
    standby->n_promises--;
    self->held--;
    mf_standby_sub(standby, self->pool, promise->domain, needs);
    self->version++;
    if (standby->n_promises == 0)
        mf_level_end(level, self->pool, standby);
    else
        mf_level_heat(level, standby);
}

uint32_t mf_headroom_add(struct mf_headroom *self, uint32_t level, uint32_t shape, uint32_t home)
{
    uint32_t number = mf_promise_new(&self->promises);

    MF_CHECK(level < self->n_levels);
    self->promises.items[number].level = (uint8_t)level;
    self->promises.items[number].shape = shape;
    self->promises.items[number].domain = mf_level_domain(self->pool, &self->levels[level], home);
    queue(self, number, MF_PROMISE_NEW);
    return number;
}

void mf_headroom_home(struct mf_headroom *self, uint32_t number, uint32_t home)
{
    struct mf_promise *promise = &self->promises.items[number];
    uint32_t domain = mf_level_domain(self->pool, &self->levels[promise->level], home);

    MF_CHECK(number && number <= self->promises.n && promise->state);
    if (promise->domain == domain)
        return;
    if (promise->state == MF_PROMISE_HELD) {
        release(self, number);
        queue(self, number, MF_PROMISE_NEW);
    }
    promise->domain = domain;
}

void mf_headroom_drop(struct mf_headroom *self, uint32_t number)
{
    MF_CHECK(number && number <= self->promises.n && self->promises.items[number].state);
    if (self->promises.items[number].state == MF_PROMISE_HELD)
        release(self, number);
    else
        unqueue(self, number);
    mf_promise_free(&self->promises, number);
}

bool mf_headroom_backup(const struct mf_headroom *self, uint32_t number, struct mf_place *ret_place)
{
    const struct mf_promise *promise = &self->promises.items[number];

    MF_CHECK(number && number <= self->promises.n && promise->state);
    if (promise->state != MF_PROMISE_HELD)
        return false;
    *ret_place = (struct mf_place){promise->backup, promise->way};
    return true;
}

bool mf_headroom_claim(const struct mf_headroom *self, uint32_t number, struct mf_place *ret_place)
{
    struct mf_place backup;

    if (!mf_headroom_backup(self, number, &backup) ||
        !mf_standing_takes(self->pool, backup, self->promises.items[number].shape))
        return false;
    *ret_place = backup;
    return true;
}

static bool hold_found(struct mf_headroom *self, uint32_t number, const struct mf_backup_found *found)
{
    if (found->offer)
        hold(self, number, found->place, found->needs);
    return found->offer != MF_OFFER_NONE;
}

bool mf_headroom_protect(struct mf_headroom *self, uint32_t number, struct mf_random *random)
{
    const struct mf_promise *promise = &self->promises.items[number];
    struct mf_backup_found found;

    MF_CHECK(promise->state == MF_PROMISE_NEW || promise->state == MF_PROMISE_NONE);
    mf_backup_search(self, promise, random, &found);
    return hold_found(self, number, &found);
}

bool mf_headroom_protect_at(struct mf_headroom *self, uint32_t number, struct mf_place backup)
{
    const struct mf_promise *promise = &self->promises.items[number];
    struct mf_backup_found found;

    MF_CHECK(promise->state == MF_PROMISE_NEW || promise->state == MF_PROMISE_NONE);
    if (backup.node >= mf_pool_end(self->pool) || !mf_pool_holds(self->pool, backup.node))
        return false;
    mf_backup_look(self, promise, backup.node, &found);
    return hold_found(self, number, &found);
}

/* ------------------------------------------------------------------ nodes that changed */

static void evict(struct mf_headroom *self, struct mf_level *level, struct mf_standby *standby)
{
    uint32_t next;

    for (uint32_t number = standby->first; number; number = next) {
        next = self->promises.items[number].next;
        self->held--;
        queue(self, number, MF_PROMISE_NEW);
    }
    mf_level_end(level, self->pool, standby);
    self->version++;
}

void mf_headroom_leave(struct mf_headroom *self, uint32_t node)
{
    for (uint32_t i = 0; i < self->n_levels; i++)
        if (mf_level_standby(&self->levels[i], node))
            evict(self, &self->levels[i], self->levels[i].at[node]);
}

static bool is_over(const struct mf_headroom *self, uint32_t node)
{
    struct mf_standing standing;

    mf_standing_look(self->pool, node, &standing);
    return standing.over;
}

void mf_headroom_node(struct mf_headroom *self, uint32_t node)
{
    struct mf_standby *standby = NULL;

    self->version++;
    for (uint32_t i = 0; i < self->n_levels && !standby; i++)
        standby = mf_level_standby(&self->levels[i], node);
    if (!standby)
        return;
    if (!mf_standing_open(self->pool, node)) {
        mf_headroom_leave(self, node);
        return;
    }
    if (standby->over || !is_over(self, node))
        return;
    standby->over = true;
    self->over = mf_grown(self->over, &self->cap_over, self->n_over + 1, sizeof(*self->over));
    self->over[self->n_over++] = node;
}

/* Of the domains that need more than there is, its backups go until they don't. What the others need stays.
 */
static void trim_level(struct mf_headroom *self, struct mf_level *level, struct mf_standby *standby)
{
    struct mf_standing standing;
    uint32_t next, left = standby->n_promises;

    for (uint32_t number = standby->first; number; number = next) {
        const struct mf_promise *promise = &self->promises.items[number];
        next = promise->next;
        mf_standing_look(self->pool, standby->node, &standing);
        if (!mf_standby_exceeds(standby, &standing, promise->domain))
            continue;
        release(self, number);
        queue(self, number, MF_PROMISE_NEW);
        if (--left == 0)
            return; /* and the standby is no more */
    }
    mf_standby_count(standby, self->pool);
    mf_level_heat(level, standby);
}

static void trim(struct mf_headroom *self, uint32_t node)
{
    for (uint32_t i = 0; i < self->n_levels; i++)
        if (mf_level_standby(&self->levels[i], node)) {
            self->levels[i].at[node]->over = false;
            mf_standby_count(self->levels[i].at[node], self->pool);
        }
    for (uint32_t i = 0; i < self->n_levels; i++)
        if (mf_level_standby(&self->levels[i], node) && is_over(self, node))
            trim_level(self, &self->levels[i], self->levels[i].at[node]);
}

/* ------------------------------------------------------------------ working it off */

bool mf_headroom_work(struct mf_headroom *self, struct mf_random *random, uint32_t looks)
{
    uint64_t until = self->looks + looks;

    while (self->n_over)
        trim(self, self->over[--self->n_over]);
    for (uint32_t number; (number = self->new.first) && self->looks < until; self->looks++) {
        if (mf_headroom_protect(self, number, random))
            continue;
        unqueue(self, number);
        queue(self, number, MF_PROMISE_NONE);
    }
    return self->new.n > 0;
}

bool mf_headroom_may_retry(const struct mf_headroom *self)
{
    return self->none.n && self->retried != self->version;
}

bool mf_headroom_retry(struct mf_headroom *self)
{
    if (!mf_headroom_may_retry(self))
        return false;
    self->retried = self->version;
    for (uint32_t number; (number = self->none.first);) {
        unqueue(self, number);
        queue(self, number, MF_PROMISE_NEW);
    }
    return true;
}

/* ------------------------------------------------------------------ reading */

uint64_t mf_headroom_protected(const struct mf_headroom *self)
{
    return self->held;
}

uint64_t mf_headroom_unprotected(const struct mf_headroom *self)
{
    return self->new.n + self->none.n;
}
