/* view.c - see view.h. */
#include "view.h"

enum { LAG = 64, AHEAD = 8, STRIDE = 8, NODES_AHEAD = 8, PLACES_AHEAD = 3 };

/* ------------------------------------------------------------------ buckets */

static struct mf_bucket *bucket_at(struct mf_view *view, uint32_t bucket)
{
    struct mf_bucket **group = &view->buckets[bucket / 64];

    if (!*group) {
        *group = mf_pool_realloc(NULL, 64, sizeof(**group));
        memset(*group, 0, 64 * sizeof(**group));
    }
    return &(*group)[bucket % 64];
}

static void put_in(struct mf_pool *self, struct mf_view *view, uint32_t node, uint32_t bucket)
{
    struct mf_bucket *at = bucket_at(view, bucket);

    if (at->n == at->cap)
        at->nodes = mf_pool_realloc(at->nodes, at->cap = at->cap ? at->cap * 2 : 4, sizeof(*at->nodes));
    if (!at->n) {
        view->filled[bucket / 64] |= UINT64_C(1) << bucket % 64;
        view->groups |= UINT64_C(1) << bucket / 64;
    }
    *mf_view_slot(self, view, node) = bucket << PLACE_BITS | at->n;
    at->nodes[at->n++] = node;
}

static void take_out(struct mf_pool *self, struct mf_view *view, uint32_t slot)
{
    uint32_t bucket = mf_slot_bucket(slot), place = mf_slot_place(slot);
    struct mf_bucket *at = bucket_at(view, bucket);
    uint32_t last = at->nodes[--at->n];

    at->nodes[place] = last;
    *mf_view_slot(self, view, last) = slot;
    if (!at->n) {
        view->filled[bucket / 64] &= ~(UINT64_C(1) << bucket % 64);
        if (!view->filled[bucket / 64])
            view->groups &= ~(UINT64_C(1) << bucket / 64);
    }
    if (at->cap > 16 && at->n * 4 <= at->cap)
        at->nodes = mf_pool_realloc(at->nodes, at->cap /= 2, sizeof(*at->nodes));
}

/* ------------------------------------------------------------------ reach */

static void count_one(uint32_t *counts, uint32_t ordinal, uint32_t *n, int by)
{
    if (by > 0)
        *n += counts[ordinal]++ == 0;
    else
        *n -= --counts[ordinal] == 0;
}

static void reach_word(struct mf_reach *reach, uint32_t ordinal)
{
    uint32_t n = ordinal + ordinal / 2 + 8;

    if (ordinal < reach->n_words)
        return;
    reach->open = mf_pool_realloc(reach->open, n, sizeof(*reach->open));
    reach->fit = mf_pool_realloc(reach->fit, n, sizeof(*reach->fit));
    memset(reach->open + reach->n_words, 0, (n - reach->n_words) * sizeof(*reach->open));
    memset(reach->fit + reach->n_words, 0, (n - reach->n_words) * sizeof(*reach->fit));
    reach->n_words = n;
}

static void reach_count(const struct mf_words *words, struct mf_reach *reach, uint32_t node, int open,
                        int fit)
{
    uint32_t label = words->keys[reach->key].domains[node], ordinal = words->labels[label].ordinal;

    if (!label)
        return;
    reach_word(reach, ordinal);
    if (open)
        count_one(reach->open, ordinal, &reach->n_open, open);
    if (fit)
        count_one(reach->fit, ordinal, &reach->n_fit, fit);
}

void mf_pool_index(struct mf_pool *self, uint32_t key)
{
    if (mf_words_indexed(&self->words, key))
        return;
    mf_words_index(&self->words, key, self->n_rows);
    for (uint32_t node = 0; node < self->n_rows; node++)
        for (uint32_t i = 0; i < self->labels[node].n; i++)
            if (self->words.labels[self->labels[node].words[i]].key == key)
                mf_words_join(&self->words, self->labels[node].words[i], node);
}

const struct mf_reach *mf_view_reach(struct mf_pool *self, struct mf_view *view, uint32_t key)
{
    struct mf_reach *reach;

    for (uint32_t i = 0; i < view->n_reaches; i++)
        if (view->reaches[i].key == key)
            return &view->reaches[i];
    mf_pool_index(self, key);
    view->reaches = mf_pool_realloc(view->reaches, view->n_reaches + 1, sizeof(*view->reaches));
    reach = &view->reaches[view->n_reaches++];
    *reach = (struct mf_reach){.key = key};
    reach_word(reach, self->words.keys[key].n_words);
    for (uint32_t node = 0; node < self->n_rows; node++)
        if (*mf_view_slot(self, view, node) != SLOT_AWAY)
            reach_count(&self->words, reach, node, 1, mf_slot_fits(*mf_view_slot(self, view, node)));
    return reach;
}

/* ------------------------------------------------------------------ catching up */

static void set_slot(struct mf_pool *self, struct mf_view *view, uint32_t node, uint32_t now)
{
    uint32_t *slot = mf_view_slot(self, view, node), was = *slot;
    int open = (now != SLOT_AWAY) - (was != SLOT_AWAY);
    int fit = (int)mf_slot_fits(now) - (int)mf_slot_fits(was);

    if (mf_slot_fits(was) && mf_slot_fits(now) && mf_slot_bucket(was) == mf_slot_bucket(now))
        return;
    if (mf_slot_fits(was))
        take_out(self, view, was);
    *slot = now;
    if (mf_slot_fits(now))
        put_in(self, view, node, mf_slot_bucket(now));
    if (!open && !fit)
        return;
    view->n_open += (uint32_t)open;
    view->n_fit += (uint32_t)fit;
    for (uint32_t i = 0; i < view->n_reaches; i++)
        reach_count(&self->words, &view->reaches[i], node, open, fit);
}

static uint32_t slot_now(const struct mf_pool *self, const struct mf_view *view, uint32_t node)
{
    struct mf_fitting fit;

    if (!(self->rows[node].eligible >> view->bit & 1))
        return SLOT_AWAY;
    mf_fit_now(self, &self->shapes[view->shape].shape, node, &fit);
    if (fit.refusal)
        return fit.refusal == MF_REFUSED_CLOSED ? SLOT_AWAY : SLOT_FULL;
    return mf_fit_bucket(&fit) << PLACE_BITS;
}

/* What is looked at lies all over memory, so it is called for ahead: the node and its slot, then its place
 * there. */
static inline void call_for_node(const struct mf_pool *self, const struct mf_view *view, uint32_t node)
{
    const char *row = (const char *)&self->rows[node];

    for (size_t i = 0; i < sizeof(struct mf_row); i += 64)
        __builtin_prefetch(row + i, 1);
    __builtin_prefetch(mf_view_slot(self, view, node), 1);
}

static inline void call_for_place(const struct mf_pool *self, const struct mf_view *view, uint32_t node)
{
    uint32_t slot = *mf_view_slot(self, view, node);
    const struct mf_bucket *at;

    if (!mf_slot_fits(slot))
        return;
    at = mf_view_bucket(view, mf_slot_bucket(slot));
    __builtin_prefetch(&at->nodes[mf_slot_place(slot)], 1);
    __builtin_prefetch(mf_view_slot(self, view, at->nodes[at->n - 1]), 1);
}

/* The newest `n` of its changes. */
static void catch_up(struct mf_pool *self, struct mf_view *view, uint32_t n)
{
    const uint32_t *pending = view->pending + view->n_pending - n;

    view->n_pending -= n;
    for (uint32_t i = 0; i < n && i < NODES_AHEAD; i++)
        call_for_node(self, view, pending[i]);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t node = pending[i];
        if (i + NODES_AHEAD < n)
            call_for_node(self, view, pending[i + NODES_AHEAD]);
        if (i + PLACES_AHEAD < n)
            call_for_place(self, view, pending[i + PLACES_AHEAD]);
        self->rows[node].dirty &= ~(UINT64_C(1) << view->bit);
        set_slot(self, view, node, slot_now(self, view, node));
    }
}

/* So that a view that is asked seldom has not thousands of changes to look at then: the decisions in between
 * share the work, a little each. */
void mf_views_catch_up(struct mf_pool *self)
{
    struct mf_view *view;

    if (!self->lagging)
        return;
    view = self->views[__builtin_ctzll(self->lagging)];
    catch_up(self, view, AHEAD);
    if (view->n_pending <= LAG)
        self->lagging &= ~(UINT64_C(1) << view->bit);
}

static void note(struct mf_pool *self, struct mf_view *view, uint32_t node)
{
    if (view->n_pending > LAG)
        self->lagging |= UINT64_C(1) << view->bit;
    if (view->n_pending == view->pending_cap)
        view->pending = mf_pool_realloc(view->pending, view->pending_cap = view->pending_cap * 2 + 16,
                                        sizeof(*view->pending));
    view->pending[view->n_pending++] = node;
}

void mf_views_touch(struct mf_pool *self, uint32_t node)
{
    struct mf_row *row = &self->rows[node];
    uint64_t news = row->eligible & ~row->dirty;

    row->dirty |= news;
    if (news)
        __builtin_prefetch(&self->slots[(size_t)node * self->stride], 1);
    for (; news; news &= news - 1)
        note(self, self->views[__builtin_ctzll(news)], node);
}

/* ------------------------------------------------------------------ who is eligible */

void mf_views_forget(struct mf_pool *self, uint32_t node)
{
    for (uint64_t bits = self->rows[node].eligible; bits; bits &= bits - 1)
        set_slot(self, self->views[__builtin_ctzll(bits)], node, SLOT_AWAY);
}

/* A view it is no longer for may still have it among its changes: that finds it away. */
void mf_views_meet(struct mf_pool *self, uint32_t node)
{
    struct mf_row *row = &self->rows[node];

    row->eligible = 0;
    for (uint32_t i = 0; i < MF_VIEWS_MAX; i++)
        if (self->views[i] && row->held &&
            mf_fit_standing(self, &self->shapes[self->views[i]->shape].shape, node) == MF_REFUSED_NOT)
            row->eligible |= UINT64_C(1) << i;
    mf_views_touch(self, node);
}

/* Slots for so many nodes of so many views; those that are new are away. */
static void lay_out(struct mf_pool *self, uint32_t cap, uint32_t stride)
{
    uint32_t *slots = mf_pool_realloc(NULL, (size_t)cap * stride, sizeof(*slots));

    memset(slots, 0xff, (size_t)cap * stride * sizeof(*slots));
    for (size_t node = 0; self->stride && node < self->n_rows; node++)
        memcpy(slots + node * stride, self->slots + node * self->stride, self->stride * sizeof(*slots));
    free(self->slots);
    self->slots = slots;
    self->stride = stride;
}

void mf_views_grow(struct mf_pool *self)
{
    lay_out(self, self->rows_cap, self->stride ? self->stride : STRIDE);
}

/* ------------------------------------------------------------------ coming and going */

static void destroy(struct mf_pool *self, struct mf_view *view)
{
    for (uint32_t i = 0; i < GROUPS; i++) {
        for (uint32_t j = 0; view->buckets[i] && j < 64; j++)
            free(view->buckets[i][j].nodes);
        free(view->buckets[i]);
    }
    for (uint32_t i = 0; i < view->n_reaches; i++) {
        free(view->reaches[i].open);
        free(view->reaches[i].fit);
    }
    free(view->reaches);
    free(view->pending);
    self->shapes[view->shape].view = VIEW_NONE;
    self->views[view->bit] = NULL;
    self->lagging &= ~(UINT64_C(1) << view->bit);
    free(view);
}

static void make(struct mf_pool *self, uint32_t shape, uint8_t bit)
{
    struct mf_view *view = mf_pool_realloc(NULL, 1, sizeof(*view));
    uint64_t mask = UINT64_C(1) << bit;

    *view = (struct mf_view){.shape = shape, .bit = bit};
    while (self->rows_cap && bit >= self->stride)
        lay_out(self, self->rows_cap, self->stride + STRIDE);
    self->views[bit] = view;
    self->shapes[shape].view = bit;
    for (uint32_t node = 0; node < self->n_rows; node++) {
        struct mf_row *row = &self->rows[node];
        row->eligible &= ~mask;
        row->dirty &= ~mask;
        *mf_view_slot(self, view, node) = SLOT_AWAY;
        if (!row->held || mf_fit_standing(self, &self->shapes[shape].shape, node))
            continue;
        row->eligible |= mask;
        set_slot(self, view, node, slot_now(self, view, node));
    }
}

static uint8_t free_bit(struct mf_pool *self)
{
    uint8_t oldest = 0;

    for (uint8_t i = 0; i < MF_VIEWS_MAX; i++) {
        if (!self->views[i])
            return i;
        if (self->views[i]->asked_at < self->views[oldest]->asked_at)
            oldest = i;
    }
    destroy(self, self->views[oldest]);
    return oldest;
}

struct mf_view *mf_view_of(struct mf_pool *self, uint32_t shape)
{
    struct mf_view *view;

    if (self->shapes[shape].view == VIEW_NONE)
        make(self, shape, free_bit(self));
    view = self->views[self->shapes[shape].view];
    view->asked_at = ++self->asked;
    catch_up(self, view, view->n_pending);
    self->lagging &= ~(UINT64_C(1) << view->bit);
    return view;
}

void mf_view_drop(struct mf_pool *self, uint32_t shape)
{
    uint8_t bit = self->shapes[shape].view;

    if (bit == VIEW_NONE)
        return;
    for (uint32_t node = 0; node < self->n_rows; node++) {
        self->rows[node].eligible &= ~(UINT64_C(1) << bit);
        self->rows[node].dirty &= ~(UINT64_C(1) << bit);
    }
    destroy(self, self->views[bit]);
}

void mf_views_destroy(struct mf_pool *self)
{
    for (uint32_t i = 0; i < MF_VIEWS_MAX; i++)
        if (self->views[i])
            destroy(self, self->views[i]);
}

uint64_t mf_view_bytes(const struct mf_view *view)
{
    uint64_t bytes =
        sizeof(*view) + view->pending_cap * sizeof(*view->pending) + view->n_reaches * sizeof(*view->reaches);

    for (uint32_t i = 0; i < GROUPS; i++)
        for (uint32_t j = 0; view->buckets[i] && j < 64; j++)
            bytes += sizeof(struct mf_bucket) + view->buckets[i][j].cap * sizeof(uint32_t);
    for (uint32_t i = 0; i < view->n_reaches; i++)
        bytes += 2 * view->reaches[i].n_words * sizeof(uint32_t);
    return bytes;
}
