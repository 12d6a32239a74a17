/* headroom_check.c - what headroom says of itself, and the assertion that all its sums are so. */
#include "check.h"
#include "headroom_inside.h"
#include "map.h"

#include <stdlib.h>
#include <string.h>

uint64_t mf_headroom_bytes(const struct mf_headroom *self)
{
    uint64_t bytes = sizeof(*self) + self->promises.cap * sizeof(*self->promises.items);

    for (uint32_t i = 0; i < self->n_levels; i++) {
        const struct mf_level *level = &self->levels[i];
        bytes += level->n_at * sizeof(*level->at) + level->n_hints * sizeof(*level->hints);
        for (uint32_t c = 0; c < level->n_hot; c++)
            bytes += sizeof(*level->hot) + level->hot[c].cap * sizeof(uint32_t);
        for (uint32_t node = 0; node < level->n_at; node++)
            bytes += level->at[node] ? mf_standby_bytes(level->at[node]) : 0;
    }
    return bytes;
}

/* What is born in a domain leaves less for those of the others that need it as their backup: so of all room,
 * what is kept included, the largest domain's is lost. */
uint64_t mf_headroom_bound(const struct mf_headroom *self, uint32_t level, uint32_t shape, uint32_t reserve)
{
    const struct mf_level *of = &self->levels[level];
    struct mf_map *domains = mf_map_new();
    uint32_t end = mf_pool_end(self->pool), n = 0;
    uint64_t *sums = calloc(end + 1, sizeof(*sums)), all = 0, most = 0, born = 0;

    MF_CHECK(sums != NULL);
    for (uint32_t node = 0; node < end; node++) {
        uint64_t room = mf_pool_holds(self->pool, node) ? mf_pool_room_at(self->pool, reserve, node) : 0;
        uint32_t domain = mf_level_domain(self->pool, of, node);
        uint64_t *sum = mf_map_get(domains, &domain, sizeof(domain));
        if (!sum)
            mf_map_put(domains, &domain, sizeof(domain), sum = &sums[n++]);
        *sum += room;
        all += room;
        most = *sum > most ? *sum : most;
        born += mf_pool_holds(self->pool, node) ? mf_pool_room_at(self->pool, shape, node) : 0;
    }
    mf_map_destroy(&domains);
    free(sums);
    return born < all - most ? born : all - most;
}

static void sum_kept(const struct mf_headroom *self, uint32_t node, uint64_t ret_sum[MF_WIDE])
{
    memset(ret_sum, 0, MF_WIDE * sizeof(*ret_sum));
    for (uint32_t l = 0; l < self->n_levels; l++) {
        const struct mf_standby *standby = mf_level_standby(&self->levels[l], node);
        for (uint32_t i = 0; standby && i < standby->wide; i++)
            ret_sum[i] += standby->kept[i];
    }
}

struct mf_amounts mf_headroom_kept(const struct mf_headroom *self, uint32_t node)
{
    uint64_t sum[MF_WIDE];
    struct mf_amounts kept;

    sum_kept(self, node, sum);
    for (uint32_t i = 0; i < MF_DIMENSIONS; i++)
        kept.of[i] = (uint32_t)sum[i];
    return kept;
}

static void check_standby(const struct mf_headroom *self, uint32_t l, const struct mf_standby *standby)
{
    uint32_t n = 0, needs[MF_WIDE], *left = mf_standby_check_begin(standby);

    for (uint32_t number = standby->first; number; number = self->promises.items[number].next, n++) {
        const struct mf_promise *promise = &self->promises.items[number];
        MF_CHECK(promise->state == MF_PROMISE_HELD && promise->backup == standby->node &&
                 promise->level == l);
        MF_CHECK(mf_level_domain(self->pool, &self->levels[l], standby->node) != promise->domain);
        mf_standing_needs(self->pool, standby->ground, promise->shape, promise->way, needs);
        mf_standby_check_one(standby, left, promise->domain, needs);
    }
    MF_CHECK(n == standby->n_promises && n > 0);
    mf_standby_check_end(standby, left);
}

void mf_headroom_check(const struct mf_headroom *self)
{
    uint64_t held = 0;

    for (uint32_t l = 0; l < self->n_levels; l++)
        for (uint32_t node = 0; node < self->levels[l].n_at; node++) {
            const struct mf_standby *standby = self->levels[l].at[node];
            if (!standby)
                continue;
            check_standby(self, l, standby);
            MF_CHECK(standby->place == UINT32_MAX ||
                     self->levels[l].hot[standby->class].nodes[standby->place] == node);
            held += standby->n_promises;
        }
    MF_CHECK(held == self->held);
    for (uint32_t node = 0; node < mf_pool_end(self->pool); node++) {
        uint64_t sum[MF_WIDE];
        sum_kept(self, node, sum);
        if (mf_pool_holds(self->pool, node))
            mf_standing_check_kept(self->pool, node, sum);
    }
}
