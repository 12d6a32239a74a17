/* headroom_search.c - a backup for one instance. It is looked for where its domain had its last one, then
 * among a few of the nodes that are backups already: first one that need not keep more than it does, else one
 * that can keep more. Only when these few have no room is another node made a backup, so that few nodes keep
 * room, and share it among many domains. Before it is said that there is none, a bounded number of nodes is
 * looked at in turn, and the pool's own choice is asked: exact for up to THOROUGH nodes, and of the same cost
 * for any number of them. */
#include "headroom_inside.h"

#include <string.h>

enum { PROBES = 8, NEW_PROBES = 16, THOROUGH = 1024, FEW = 256 };

struct search {
    struct mf_headroom *self;
    const struct mf_promise *promise;
    struct mf_level *level;
    struct mf_random *random;
    struct mf_backup_found best; /* so far */
};

/* Is the node better than what was found? More so if it keeps enough already, else if more of it is free. */
static void look(struct search *search, uint32_t node)
{
    struct mf_headroom *self = search->self;
    const struct mf_promise *promise = search->promise;
    struct mf_backup_found *best = &search->best, found;
    const struct mf_standby *standby = mf_level_standby(search->level, node);
    struct mf_standing standing;

    self->looks++;
    if (standby)
        mf_standby_expect(standby, promise->domain);
    if (mf_level_domain(self->pool, search->level, node) == promise->domain ||
        !mf_standing_for(self->pool, node, promise->shape, &standing))
        return;
    found.free_mib = standing.slack[MF_MEMORY_MIB];
    for (uint32_t i = 0; i < standing.n_ways && best->offer != MF_OFFER_FREE; i++) {
        found.place = (struct mf_place){node, standing.ways[i]};
        mf_standing_needs(self->pool, standing.ground, promise->shape, standing.ways[i], found.needs);
        found.offer = mf_standby_offer(standby, &standing, promise->domain, found.needs);
        if (found.offer > best->offer ||
            (found.offer && found.offer == best->offer && found.free_mib > best->free_mib))
            *best = found;
    }
}

/* True: it will do. Where a node has few domains left to take, it rather keeps more for those that it has. */
static bool look_where_last(struct search *search)
{
    const struct mf_standby *standby = mf_level_hinted(search->level, search->promise->domain);

    if (standby)
        look(search, standby->node);
    return search->best.offer == MF_OFFER_FREE ||
           (search->best.offer && standby->n_domains >= MF_HEADROOM_DOMAINS);
}

static const struct mf_hot *hot_of(const struct search *search)
{
    static const struct mf_hot none;
    uint32_t class = mf_standing_class(search->self->pool, search->promise->shape);

    return class < search->level->n_hot ? &search->level->hot[class] : &none;
}

static void look_at_backups(struct search *search)
{
    const struct mf_hot *hot = hot_of(search);

    for (uint32_t i = 0; i < PROBES && i < hot->n && search->best.offer != MF_OFFER_FREE; i++)
        look(search, hot->nodes[hot->n <= PROBES ? i : mf_random_below(search->random, hot->n)]);
}

static void look_at_others(struct search *search)
{
    uint32_t end = mf_pool_end(search->self->pool);

    for (uint32_t i = 0; i < NEW_PROBES && end; i++)
        look(search, (uint32_t)mf_random_below(search->random, end));
}

/* Backups that were passed over may keep less once it is counted anew; then any node. */
static void look_thoroughly(struct search *search)
{
    struct mf_headroom *self = search->self;
    const struct mf_hot *hot = hot_of(search);
    uint32_t end = mf_pool_end(self->pool), from = self->cursor;

    for (uint32_t i = 0; i < THOROUGH && i < hot->n && !search->best.offer; i++) {
        uint32_t node = hot->nodes[(from + i) % hot->n];
        mf_standby_count(search->level->at[node], self->pool);
        look(search, node);
    }
    for (uint32_t i = 0; i < THOROUGH && i < end && !search->best.offer; i++)
        look(search, (from + i) % end);
    self->cursor += THOROUGH;
}

/* Its choice is among all nodes, but only of those with room for all of it beyond what is kept. */
static void look_where_the_pool_says(struct search *search)
{
    struct mf_ask ask = {.shape = search->promise->shape};
    struct mf_place place;
    struct mf_rank rank;

    if (mf_pool_choose(search->self->pool, &ask, search->random, &place, &rank))
        look(search, place.node);
}

static struct mf_memo *memo_of(struct mf_headroom *self, const struct mf_promise *promise)
{
    return &self->memos[promise->shape % MF_MEMOS];
}

/* Nothing changed since one like it found none. */
static bool one_found_none(struct mf_headroom *self, const struct mf_promise *promise)
{
    const struct mf_memo *memo = memo_of(self, promise);

    return memo->version == self->version && memo->shape == promise->shape && memo->level == promise->level;
}

static void search_all(struct search *search)
{
    struct mf_headroom *self = search->self;
    const struct mf_promise *promise = search->promise;

    look_thoroughly(search);
    if (!search->best.offer && mf_pool_end(self->pool) > THOROUGH)
        look_where_the_pool_says(search);
    if (!search->best.offer)
        *memo_of(self, promise) =
            (struct mf_memo){self->version, promise->shape, promise->domain, promise->level};
}

/* One like it but of another domain found none: then there can be one in that domain only, and where there
 * are many nodes it is not looked for. */
static bool may_search_all(struct mf_headroom *self, const struct mf_promise *promise)
{
    return !one_found_none(self, promise) || mf_pool_end(self->pool) <= FEW;
}

void mf_backup_search(struct mf_headroom *self, const struct mf_promise *promise, struct mf_random *random,
                      struct mf_backup_found *ret)
{
    struct search search = {
        .self = self, .promise = promise, .level = &self->levels[promise->level], .random = random};

    search.best.offer = MF_OFFER_NONE;
    if (!one_found_none(self, promise) || memo_of(self, promise)->domain != promise->domain) {
        if (!look_where_last(&search))
            look_at_backups(&search);
        if (!search.best.offer)
            look_at_others(&search);
        if (!search.best.offer && may_search_all(self, promise))
            search_all(&search);
    }
    *ret = search.best;
}

void mf_backup_look(struct mf_headroom *self, const struct mf_promise *promise, uint32_t node,
                    struct mf_backup_found *ret)
{
    struct search search = {.self = self, .promise = promise, .level = &self->levels[promise->level]};

    search.best.offer = MF_OFFER_NONE;
    look(&search, node);
    *ret = search.best;
}
