/* standing.c - see standing.h. */
#include "standing.h"
#include "fit.h"
#include "view.h"

static int64_t slack_of(uint32_t capacity, uint64_t used, uint32_t reserved)
{
    return (int64_t)capacity - (int64_t)used - reserved;
}

static struct mf_ground ground_of(const struct mf_row *row)
{
    struct mf_ground ground = {.n_cells = row->n_cells};

    for (int i = MF_FIRST_RATE; i < MF_DIMENSIONS; i++)
        ground.unbounded |= (uint32_t)mf_unbounded(&row->capacity, i) << i;
    return ground;
}

static void look(const struct mf_row *row, struct mf_standing *ret)
{
    const struct mf_row_cell *cells = mf_row_cells_of(row);
    uint32_t at = MF_DIMENSIONS;

    ret->over = false;
    ret->class = row->class;
    ret->ground = ground_of(row);
    ret->wide = MF_DIMENSIONS + row->n_cells * MF_CELL_DIMENSIONS;
    for (int i = 0; i < MF_DIMENSIONS; i++) {
        ret->slack[i] = mf_unbounded(&row->capacity, i)
                            ? UINT32_MAX
                            : slack_of(row->capacity.of[i], row->used[i], row->reserved.of[i]);
        ret->over |= ret->slack[i] < 0;
    }
    for (uint32_t c = 0; c < row->n_cells; c++)
        for (int i = 0; i < MF_CELL_DIMENSIONS; i++, at++) {
            ret->slack[at] = slack_of(cells[c].capacity.of[i], cells[c].used[i], cells[c].reserved.of[i]);
            ret->over |= ret->slack[at] < 0;
        }
}

static void find_ways(const struct mf_row *row, const struct mf_shape *shape, struct mf_standing *ret)
{
    if (row->n_cells == 0 || mf_fit_splits(row, shape)) {
        ret->n_ways = 1;
        ret->ways[0] = (uint8_t)((1u << row->n_cells) - 1);
        return;
    }
    ret->n_ways = row->n_cells;
    for (uint32_t c = 0; c < row->n_cells; c++)
        ret->ways[c] = (uint8_t)(1u << c);
}

bool mf_standing_open(const struct mf_pool *pool, uint32_t node)
{
    return pool->rows[node].held && !pool->rows[node].closed;
}

/* A view knows already which nodes the shape may ever be on. */
static bool eligible(const struct mf_pool *pool, uint32_t node, uint32_t shape)
{
    uint8_t view = pool->shapes[shape].view;

    if (view != VIEW_NONE)
        return pool->rows[node].eligible >> view & 1;
    return mf_fit_standing(pool, mf_shape_of(pool, shape), node) == MF_REFUSED_NOT;
}

void mf_standing_look(const struct mf_pool *pool, uint32_t node, struct mf_standing *ret)
{
    look(&pool->rows[node], ret);
}

bool mf_standing_for(const struct mf_pool *pool, uint32_t node, uint32_t shape, struct mf_standing *ret)
{
    if (!mf_standing_open(pool, node) || !eligible(pool, node, shape))
        return false;
    look(&pool->rows[node], ret);
    if (ret->over)
        return false;
    find_ways(&pool->rows[node], mf_shape_of(pool, shape), ret);
    return true;
}

void mf_standing_needs(const struct mf_pool *pool, struct mf_ground ground, uint32_t shape, uint8_t way,
                       uint32_t ret_needs[MF_WIDE])
{
    const struct mf_amounts *wants = &mf_shape_of(pool, shape)->wants;
    uint32_t n = (uint32_t)__builtin_popcount(way), at = MF_DIMENSIONS;

    for (int i = 0; i < MF_DIMENSIONS; i++)
        ret_needs[i] = ground.unbounded >> i & 1 ? 0 : wants->of[i];
    for (uint32_t c = 0; c < ground.n_cells; c++)
        for (int i = 0; i < MF_CELL_DIMENSIONS; i++, at++)
            ret_needs[at] = way >> c & 1 ? mf_share(wants->of[i], n) : 0;
}

bool mf_standing_takes(const struct mf_pool *pool, struct mf_place place, uint32_t shape)
{
    const struct mf_row *row = &pool->rows[place.node];
    const struct mf_row_cell *cells = mf_row_cells_of(row);
    uint32_t needs[MF_WIDE], at = MF_DIMENSIONS;
    bool fits = true;

    mf_standing_needs(pool, ground_of(row), shape, place.cells, needs);
    for (int i = 0; i < MF_DIMENSIONS; i++)
        fits = fits && (!needs[i] || row->used[i] + needs[i] <= row->capacity.of[i]);
    for (uint32_t c = 0; c < row->n_cells; c++)
        for (int i = 0; i < MF_CELL_DIMENSIONS; i++, at++)
            fits = fits && (!needs[at] || cells[c].used[i] + needs[at] <= cells[c].capacity.of[i]);
    return fits;
}

void mf_standing_index(struct mf_pool *pool, uint32_t key)
{
    if (key)
        mf_pool_index(pool, key);
}

uint32_t mf_standing_class(const struct mf_pool *pool, uint32_t shape)
{
    return mf_shape_of(pool, shape)->class;
}

void mf_standing_keep(struct mf_pool *pool, uint32_t node, const uint32_t *amounts, uint32_t n_cells,
                      bool more)
{
    struct mf_amounts in_all;
    struct mf_cell cells[MF_CELLS_MAX];

    memcpy(in_all.of, amounts, sizeof(in_all.of));
    memcpy(cells, amounts + MF_DIMENSIONS, n_cells * sizeof(*cells));
    mf_pool_reserve(pool, node, &in_all, n_cells ? cells : NULL, more);
}

void mf_standing_check_kept(const struct mf_pool *pool, uint32_t node, const uint64_t sum[MF_WIDE])
{
    const struct mf_row *row = &pool->rows[node];
    const struct mf_row_cell *cells = mf_row_cells_of(row);
    uint32_t at = MF_DIMENSIONS;

    for (int i = 0; i < MF_DIMENSIONS; i++)
        MF_CHECK(sum[i] == row->reserved.of[i]);
    for (uint32_t c = 0; c < row->n_cells; c++)
        for (int i = 0; i < MF_CELL_DIMENSIONS; i++, at++)
            MF_CHECK(sum[at] == cells[c].reserved.of[i]);
}
