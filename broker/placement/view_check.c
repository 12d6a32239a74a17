/* view_check.c - what must be so of a view. */
#include "view.h"

static uint32_t slot_anew(const struct mf_pool *self, const struct mf_view *view, uint32_t node)
{
    struct mf_fitting fit;

    if (!(self->rows[node].eligible >> view->bit & 1))
        return SLOT_AWAY;
    mf_fit_now(self, mf_shape_of(self, view->shape), node, &fit);
    if (fit.refusal)
        return fit.refusal == MF_REFUSED_CLOSED ? SLOT_AWAY : SLOT_FULL;
    return mf_fit_bucket(&fit);
}

static void check_node(const struct mf_pool *self, const struct mf_view *view, uint32_t node)
{
    const struct mf_row *row = &self->rows[node];
    uint32_t slot = *mf_view_slot(self, view, node), anew;
    bool eligible = row->eligible >> view->bit & 1;

    MF_CHECK(eligible == (row->held && !mf_fit_standing(self, mf_shape_of(self, view->shape), node)));
    if (mf_slot_fits(slot))
        MF_CHECK(mf_view_bucket(view, mf_slot_bucket(slot))->nodes[mf_slot_place(slot)] == node);
    if (row->dirty >> view->bit & 1)
        return;
    anew = slot_anew(self, view, node);
    MF_CHECK((mf_slot_fits(slot) ? mf_slot_bucket(slot) : slot) == anew);
}

static void check_reach(const struct mf_pool *self, const struct mf_view *view, const struct mf_reach *reach)
{
    uint32_t open = 0, fit = 0, nodes = 0, in_domains = 0;

    for (uint32_t i = 0; i < reach->n_words; i++) {
        open += reach->open[i] > 0;
        fit += reach->fit[i] > 0;
        nodes += reach->open[i];
    }
    for (uint32_t node = 0; node < self->n_rows; node++)
        in_domains += *mf_view_slot(self, view, node) != SLOT_AWAY && mf_pool_domain(self, node, reach->key);
    MF_CHECK(open == reach->n_open && fit == reach->n_fit && nodes == in_domains);
}

void mf_view_check(const struct mf_pool *self, const struct mf_view *view)
{
    uint32_t open = 0, fit = 0, filled = 0, dirty = 0;

    for (uint32_t node = 0; node < self->n_rows; node++) {
        check_node(self, view, node);
        open += *mf_view_slot(self, view, node) != SLOT_AWAY;
        fit += mf_slot_fits(*mf_view_slot(self, view, node));
        dirty += self->rows[node].dirty >> view->bit & 1;
    }
    for (uint32_t bucket = mf_view_below(view, BUCKETS); bucket != BUCKETS;
         bucket = mf_view_below(view, bucket)) {
        MF_CHECK(mf_view_bucket(view, bucket)->n > 0);
        filled += mf_view_bucket(view, bucket)->n;
    }
    MF_CHECK(open == view->n_open && fit == view->n_fit && filled == fit);
    MF_CHECK(dirty == view->n_pending); /* each is there once */
    for (uint32_t i = 0; i < view->n_pending; i++)
        MF_CHECK(self->rows[view->pending[i]].dirty >> view->bit & 1);
    for (uint32_t i = 0; i < view->n_reaches; i++)
        check_reach(self, view, &view->reaches[i]);
}
