/* pool_copy.c - a copy for questions of what if, what a pool weighs, and what must be so of its insides. */
#include "view.h"

static void *twin(const void *from, size_t n, size_t size)
{
    void *to;

    if (!n)
        return NULL;
    to = mf_pool_realloc(NULL, n, size);
    memcpy(to, from, n * size);
    return to;
}

static void copy_nodes(struct mf_pool *copy, const struct mf_pool *self)
{
    copy->rows = aligned_alloc(64, (self->rows_cap + 1) * sizeof(*copy->rows));
    MF_CHECK(copy->rows != NULL);
    memcpy(copy->rows, self->rows, self->n_rows * sizeof(*copy->rows));
    copy->labels = mf_pool_realloc(NULL, self->rows_cap + 1, sizeof(*copy->labels));
    for (uint32_t i = 0; i < self->n_rows; i++) {
        struct mf_row *row = &copy->rows[i];
        row->eligible = row->dirty = 0;
        if (row->more_cells)
            row->more_cells = twin(row->more_cells, row->n_cells_kept, sizeof(*row->more_cells));
        copy->labels[i] = (struct mf_row_labels){
            twin(self->labels[i].words, self->labels[i].n, sizeof(uint32_t)), self->labels[i].n};
    }
    copy->free_rows = twin(self->free_rows, self->free_cap, sizeof(*self->free_rows));
}

static void copy_shapes(struct mf_pool *copy, const struct mf_pool *self)
{
    copy->shapes = twin(self->shapes, self->shapes_cap, sizeof(*self->shapes));
    copy->shape_numbers = mf_map_new();
    for (uint32_t i = 0; i < self->n_shapes; i++) {
        struct mf_shape_row *row = &copy->shapes[i];
        row->view = VIEW_NONE;
        if (row->references)
            mf_map_put(copy->shape_numbers, &row->shape, sizeof(row->shape), (void *)(uintptr_t)i);
    }
}

struct mf_pool *mf_pool_copy(const struct mf_pool *self)
{
    struct mf_pool *copy = twin(self, 1, sizeof(*self));

    memset(copy->views, 0, sizeof(copy->views));
    copy->slots = NULL;
    copy->lagging = 0;
    copy->stride = 0;
    mf_words_copy(&copy->words, &self->words);
    copy_nodes(copy, self);
    copy_shapes(copy, self);
    if (copy->rows_cap)
        mf_views_grow(copy);
    copy->images = twin(self->images, self->n_images, sizeof(*self->images));
    for (uint32_t i = 0; i < self->n_images; i++)
        copy->images[i].bits = twin(self->images[i].bits, self->images[i].n_words, sizeof(uint64_t));
    return copy;
}

uint64_t mf_pool_bytes(const struct mf_pool *self)
{
    const struct mf_words *words = &self->words;
    uint64_t bytes =
        sizeof(*self) +
        self->rows_cap * (sizeof(*self->rows) + sizeof(*self->labels) + self->stride * sizeof(*self->slots)) +
        self->free_cap * sizeof(*self->free_rows) + self->shapes_cap * sizeof(*self->shapes) +
        words->keys_cap * sizeof(*words->keys) + words->labels_cap * sizeof(*words->labels);

    for (uint32_t i = 0; i < self->n_rows; i++)
        bytes += self->labels[i].n * sizeof(uint32_t) +
                 (self->rows[i].more_cells ? self->rows[i].n_cells_kept * sizeof(struct mf_row_cell) : 0);
    for (uint32_t i = 0; i < self->n_images; i++)
        bytes += sizeof(*self->images) + self->images[i].n_words * sizeof(uint64_t);
    for (uint32_t i = 1; i < words->n_keys; i++)
        bytes += (words->keys[i].words_cap + words->keys[i].domains_cap) * sizeof(uint32_t);
    for (uint32_t i = 1; i < words->n_labels; i++)
        bytes += words->labels[i].nodes_cap * sizeof(uint32_t);
    for (uint32_t i = 0; i < MF_VIEWS_MAX; i++)
        bytes += self->views[i] ? mf_view_bytes(self->views[i]) : 0;
    return bytes;
}

/* ------------------------------------------------------------------ what must be so */

static void check_indexes(const struct mf_pool *self)
{
    for (uint32_t label = 1; label < self->words.n_labels; label++) {
        const struct mf_word *word = &self->words.labels[label];
        for (uint32_t i = 0; i < word->n_nodes; i++)
            MF_CHECK(self->words.keys[word->key].domains[word->nodes[i]] == label);
    }
}

void mf_pool_check(const struct mf_pool *self)
{
    uint32_t held = 0;

    for (uint32_t i = 0; i < self->n_rows; i++)
        held += self->rows[i].held;
    MF_CHECK(held + self->n_free == self->n_rows);
    check_indexes(self);
    for (uint32_t i = 0; i < MF_VIEWS_MAX; i++)
        if (self->views[i]) {
            MF_CHECK(self->views[i]->bit == i && self->shapes[self->views[i]->shape].view == i);
            mf_view_check(self, self->views[i]);
        }
}
