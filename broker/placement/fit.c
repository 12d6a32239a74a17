/* fit.c - see fit.h. */
#include "fit.h"

static bool has(const struct mf_row_labels *labels, uint32_t word)
{
    for (uint32_t i = 0; i < labels->n; i++)
        if (labels->words[i] == word)
            return true;
    return false;
}

static uint32_t count(const struct mf_row_labels *labels, const uint32_t words[MF_SHAPE_WORDS_MAX],
                      uint32_t *ret_n)
{
    uint32_t found = 0, n = 0;

    for (; n < MF_SHAPE_WORDS_MAX && words[n]; n++)
        found += has(labels, words[n]);
    *ret_n = n;
    return found;
}

enum mf_refusal mf_fit_standing(const struct mf_pool *self, const struct mf_shape *shape, uint32_t node)
{
    const struct mf_row_labels *labels = &self->labels[node];
    uint32_t n;

    if (self->rows[node].class != shape->class)
        return MF_REFUSED_CLASS;
    if (count(labels, shape->require, &n) < n)
        return MF_REFUSED_LABELS;
    if (count(labels, shape->forbid, &n))
        return MF_REFUSED_FORBIDDEN;
    if (shape->fences && !self->rows[node].fences)
        return MF_REFUSED_FENCES;
    return shape->pinned && self->rows[node].shares ? MF_REFUSED_SHARES : MF_REFUSED_NOT;
}

/* ------------------------------------------------------------------ totals */

/* What is missing has the order of the dimensions, and of enum mf_refusal. */
static enum mf_refusal refusal_of(int dimension)
{
    static const enum mf_refusal refusals[MF_DIMENSIONS] = {[MF_VCPUS] = MF_REFUSED_VCPUS,
                                                            [MF_MEMORY_MIB] = MF_REFUSED_MEMORY,
                                                            [MF_HUGEPAGES_MIB] = MF_REFUSED_HUGEPAGES,
                                                            [MF_DISK_MIB] = MF_REFUSED_DISK,
                                                            [MF_DISK_IOPS] = MF_REFUSED_DISK_RATE,
                                                            [MF_DISK_KIB_S] = MF_REFUSED_DISK_RATE,
                                                            [MF_NET_KIB_S] = MF_REFUSED_NETWORK};

    return refusals[dimension];
}

static enum mf_refusal fit_totals(const struct mf_row *row, const struct mf_shape *shape, bool all,
                                  struct mf_left *left)
{
    left->capacity = &row->capacity;
    for (int i = 0; i < MF_DIMENSIONS; i++) {
        uint32_t wants = shape->wants.of[i],
                 before = mf_left(row->capacity.of[i], row->used[i], all ? 0 : row->reserved.of[i]);
        if (before < wants && !mf_unbounded(&row->capacity, i))
            return refusal_of(i);
        left->before.of[i] = before;
        left->after.of[i] = before < wants ? 0 : before - wants;
    }
    return MF_REFUSED_NOT;
}

/* ------------------------------------------------------------------ cells */

bool mf_fit_splits(const struct mf_row *row, const struct mf_shape *shape)
{
    const struct mf_row_cell *cells = mf_row_cells_of(row);
    bool fits = false;

    if (row->n_cells < 2)
        return false;
    if (shape->split_above_mib)
        return (uint64_t)shape->wants.of[MF_MEMORY_MIB] + shape->wants.of[MF_HUGEPAGES_MIB] >
               shape->split_above_mib;
    for (uint32_t c = 0; c < row->n_cells && !fits; c++) {
        fits = true;
        for (int i = 0; i < MF_CELL_DIMENSIONS; i++)
            fits = fits && cells[c].capacity.of[i] >= shape->wants.of[i];
    }
    return !fits;
}

struct cells { /* of one node: what it has, and what is left before and after */
    struct mf_cell capacity[MF_CELLS_MAX], before[MF_CELLS_MAX], after[MF_CELLS_MAX];
};

static void look_at_cells(const struct mf_row *row, bool all, struct cells *cells, struct mf_left *left)
{
    const struct mf_row_cell *from = mf_row_cells_of(row);

    for (uint32_t c = 0; c < row->n_cells; c++) {
        cells->capacity[c] = from[c].capacity;
        for (int i = 0; i < MF_CELL_DIMENSIONS; i++)
            cells->before[c].of[i] = cells->after[c].of[i] =
                mf_left(from[c].capacity.of[i], from[c].used[i], all ? 0 : from[c].reserved.of[i]);
    }
    left->cells = cells->capacity;
    left->cells_before = cells->before;
    left->cells_after = cells->after;
    left->n_cells = row->n_cells;
}

static bool put(struct cells *cells, uint32_t c, const struct mf_amounts *wants, uint32_t shares)
{
    for (int i = 0; i < MF_CELL_DIMENSIONS; i++) {
        uint32_t share = mf_share(wants->of[i], shares);
        if (cells->before[c].of[i] < share)
            return false;
        cells->after[c].of[i] = cells->before[c].of[i] - share;
    }
    return true;
}

/* The scarcer of a cell's free shares. */
static double freedom(const struct cells *cells, uint32_t c)
{
    double least = 1;

    for (int i = 0; i < MF_CELL_DIMENSIONS; i++)
        if (cells->capacity[c].of[i] && cells->before[c].of[i] < least * cells->capacity[c].of[i])
            least = (double)cells->before[c].of[i] / cells->capacity[c].of[i];
    return least;
}

/* Of cells that are equally good the fuller is taken (measured: docs/PLACEMENT.md); first fit takes the
 * lowest, balance fit and spread are by what they are for the freer. */
static bool is_nicer(enum mf_policy_name policy, const struct cells *cells, uint32_t c, uint32_t than)
{
    double is = freedom(cells, c), was = freedom(cells, than);

    if (policy == MF_POLICY_NAME_FIRST_FIT)
        return false;
    return policy == MF_POLICY_NAME_BALANCE || policy == MF_POLICY_NAME_SPREAD ? is > was : is < was;
}

static void fit_one_cell(const struct mf_place_policy *policy, const struct mf_shape *shape,
                         struct cells *cells, const struct mf_left *left, struct mf_fitting *fit)
{
    uint32_t best = MF_CELLS_MAX;

    for (uint32_t c = 0; c < left->n_cells; c++) {
        if (put(cells, c, &shape->wants, 1)) {
            uint32_t score = mf_place_policy_score(policy, &shape->wants, left);
            if (best == MF_CELLS_MAX || score > fit->score ||
                (score == fit->score && is_nicer(policy->name, cells, c, best))) {
                best = c;
                fit->score = score;
            }
        }
        cells->after[c] = cells->before[c];
    }
    fit->cells = best == MF_CELLS_MAX ? 0 : (uint8_t)(1u << best);
}

static void fit_all_cells(const struct mf_place_policy *policy, const struct mf_shape *shape,
                          struct cells *cells, const struct mf_left *left, struct mf_fitting *fit)
{
    for (uint32_t c = 0; c < left->n_cells; c++)
        if (!put(cells, c, &shape->wants, left->n_cells))
            return;
    fit->cells = (uint8_t)((1u << left->n_cells) - 1);
    fit->score = mf_place_policy_score(policy, &shape->wants, left);
}

/* ------------------------------------------------------------------ the whole */

static void fit_amounts(const struct mf_row *row, const struct mf_place_policy *policy,
                        const struct mf_shape *shape, bool all, struct mf_fitting *fit)
{
    struct mf_left left;
    struct cells cells;

    fit->refusal = fit_totals(row, shape, all, &left);
    if (fit->refusal)
        return;
    left.n_cells = 0;
    left.split_above_mib = shape->split_above_mib;
    left.cells = left.cells_before = left.cells_after = NULL;
    if (row->n_cells == 0) {
        fit->score = mf_place_policy_score(policy, &shape->wants, &left);
        return;
    }
    look_at_cells(row, all, &cells, &left);
    if (mf_fit_splits(row, shape))
        fit_all_cells(policy, shape, &cells, &left, fit);
    else
        fit_one_cell(policy, shape, &cells, &left, fit);
    if (!fit->cells)
        fit->refusal = MF_REFUSED_CELLS;
}

static void adorn(const struct mf_pool *self, const struct mf_shape *shape, uint32_t node,
                  struct mf_fitting *fit)
{
    const struct mf_row *row = &self->rows[node];
    uint32_t n;

    MF_CHECK(fit->score < MF_SCORES);
    fit->score = fit->score > row->penalty ? fit->score - row->penalty : 0;
    fit->warm = shape->image && mf_node_warm(self, node, shape->image);
    fit->preferred = shape->prefer[0] ? count(&self->labels[node], shape->prefer, &n) : 0;
    fit->preferred = fit->preferred < PREFERRED_MAX ? fit->preferred : PREFERRED_MAX;
}

void mf_fit_now(const struct mf_pool *self, const struct mf_shape *shape, uint32_t node,
                struct mf_fitting *ret_fit)
{
    const struct mf_row *row = &self->rows[node];

    *ret_fit = (struct mf_fitting){0};
    if (row->closed) {
        ret_fit->refusal = MF_REFUSED_CLOSED;
        return;
    }
    if (row->n_instances >= row->instances_max) {
        ret_fit->refusal = MF_REFUSED_FULL;
        return;
    }
    fit_amounts(row, &self->policies[shape->policy], shape, shape->reserve, ret_fit);
    if (!ret_fit->refusal)
        adorn(self, shape, node, ret_fit);
}

void mf_fit_whole(const struct mf_pool *self, const struct mf_shape *shape, uint32_t node,
                  struct mf_fitting *ret_fit)
{
    struct mf_fitting without = {0};

    *ret_fit = (struct mf_fitting){.refusal = self->rows[node].closed ? MF_REFUSED_CLOSED : MF_REFUSED_NOT};
    if (!ret_fit->refusal)
        ret_fit->refusal = mf_fit_standing(self, shape, node);
    if (ret_fit->refusal)
        return;
    mf_fit_now(self, shape, node, ret_fit);
    if (ret_fit->refusal < MF_REFUSED_VCPUS || shape->reserve)
        return;
    fit_amounts(&self->rows[node], &self->policies[shape->policy], shape, true, &without);
    if (!without.refusal)
        ret_fit->refusal = MF_REFUSED_HEADROOM;
}
