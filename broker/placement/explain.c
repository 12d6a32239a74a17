/* explain.c - what placement thinks of each node, and the choice by looking at every one of them. */
#include "rules.h"

/* ------------------------------------------------------------------ one node */

static const enum mf_refusal REFUSALS[] = {[MF_RULE_SKEW] = MF_REFUSED_SKEW,
                                           [MF_RULE_MOST] = MF_REFUSED_MOST,
                                           [MF_RULE_APART] = MF_REFUSED_APART,
                                           [MF_RULE_WITH] = MF_REFUSED_WITH};

static enum mf_refusal ruled_out(const struct mf_rulings *rulings, uint32_t node)
{
    enum mf_refusal first = MF_REFUSED_NOT;

    for (uint32_t i = 0; i < rulings->n_hard; i++) {
        enum mf_refusal refusal = REFUSALS[rulings->hard[i].kind];
        if ((!first || refusal < first) && mf_ruling_refuses(rulings, &rulings->hard[i], node))
            first = refusal;
    }
    return first;
}

static struct mf_opinion opinion(const struct mf_pool *self, const struct mf_rulings *rulings, uint32_t node)
{
    struct mf_opinion of = {.place.node = node};
    struct mf_fitting fit;

    mf_fit_whole(self, mf_shape_of(self, rulings->ask->shape), node, &fit);
    of.refusal = fit.refusal ? fit.refusal : ruled_out(rulings, node);
    if (fit.refusal)
        return of;
    of.place.cells = fit.cells;
    of.score = fit.score;
    of.warm = fit.warm;
    of.preferred = fit.preferred;
    of.rank = (struct mf_rank){mf_rulings_level(rulings, node), mf_fit_bucket(&fit)};
    return of;
}

struct mf_opinion mf_pool_explain(const struct mf_pool *self, const struct mf_ask *ask, uint32_t node)
{
    struct mf_rulings rulings;

    MF_CHECK(mf_pool_holds(self, node));
    mf_rulings_make(self, NULL, ask, &rulings);
    return opinion(self, &rulings, node);
}

void mf_pool_explain_all(const struct mf_pool *self, const struct mf_ask *ask,
                         struct mf_opinion *ret_opinions)
{
    struct mf_rulings rulings;

    mf_rulings_make(self, NULL, ask, &rulings);
    for (uint32_t node = 0; node < self->n_rows; node++)
        if (self->rows[node].held)
            ret_opinions[node] = opinion(self, &rulings, node);
        else
            ret_opinions[node] = (struct mf_opinion){.refusal = MF_REFUSALS, .place.node = node};
}

/* ------------------------------------------------------------------ all of them */

bool mf_pool_choose_slowly(const struct mf_pool *self, const struct mf_ask *ask, struct mf_random *random,
                           struct mf_place *ret_place, struct mf_rank *ret_rank)
{
    struct mf_rulings rulings;
    struct mf_opinion best;
    uint32_t n_equal = 0;

    mf_rulings_make(self, NULL, ask, &rulings);
    random = mf_pool_takes_first(self, ask->shape) ? NULL : random;
    for (uint32_t node = 0; node < self->n_rows; node++) {
        struct mf_opinion of;
        if (!self->rows[node].held)
            continue;
        of = opinion(self, &rulings, node);
        if (of.refusal)
            continue;
        if (!n_equal || of.rank.level < best.rank.level ||
            (of.rank.level == best.rank.level && of.rank.bucket > best.rank.bucket))
            n_equal = 0;
        else if (of.rank.level != best.rank.level || of.rank.bucket != best.rank.bucket)
            continue;
        if (!n_equal++ || (random && mf_random_below(random, n_equal) == 0))
            best = of;
    }
    if (!n_equal)
        return false;
    *ret_place = best.place;
    if (ret_rank)
        *ret_rank = best.rank;
    return true;
}

/* ------------------------------------------------------------------ how many more */

static uint64_t fold(uint64_t least, uint32_t left, uint32_t wants)
{
    return wants && left / wants < least ? left / wants : least;
}

static uint64_t in_cell(const struct mf_row_cell *cell, const struct mf_shape *shape, uint32_t shares)
{
    uint64_t least = UINT64_MAX;

    for (int i = 0; i < MF_CELL_DIMENSIONS; i++)
        least = fold(least,
                     mf_left(cell->capacity.of[i], cell->used[i], shape->reserve ? 0 : cell->reserved.of[i]),
                     mf_share(shape->wants.of[i], shares));
    return least;
}

static uint64_t in_cells(const struct mf_row *row, const struct mf_shape *shape)
{
    bool splits = mf_fit_splits(row, shape);
    uint64_t sum = 0, least = UINT64_MAX;

    for (uint32_t c = 0; c < row->n_cells; c++) {
        uint64_t n = in_cell(&mf_row_cells_of(row)[c], shape, splits ? row->n_cells : 1);
        sum = n < UINT64_MAX - sum ? sum + n : UINT64_MAX;
        least = n < least ? n : least;
    }
    return splits ? least : sum;
}

static uint64_t room_at(const struct mf_row *row, const struct mf_shape *shape)
{
    uint64_t least;

    if (row->closed || row->n_instances >= row->instances_max)
        return 0;
    least = row->instances_max - row->n_instances;
    for (int i = 0; i < MF_DIMENSIONS; i++)
        if (!mf_unbounded(&row->capacity, i))
            least = fold(least,
                         mf_left(row->capacity.of[i], row->used[i], shape->reserve ? 0 : row->reserved.of[i]),
                         shape->wants.of[i]);
    if (least && row->n_cells) {
        uint64_t cells = in_cells(row, shape);
        least = cells < least ? cells : least;
    }
    return least;
}

uint64_t mf_pool_room_at(const struct mf_pool *self, uint32_t shape, uint32_t node)
{
    const struct mf_shape *of = mf_shape_of(self, shape);

    return self->rows[node].held && !mf_fit_standing(self, of, node) ? room_at(&self->rows[node], of) : 0;
}

uint64_t mf_pool_room(const struct mf_pool *self, uint32_t shape, uint64_t max)
{
    uint64_t sum = 0;

    for (uint32_t node = 0; node < self->n_rows && sum < max; node++)
        sum += mf_pool_room_at(self, shape, node);
    return sum < max ? sum : max;
}
