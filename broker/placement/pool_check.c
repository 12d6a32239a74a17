/* pool_check.c - what a pool weighs, and what must be so of its insides. */
#include "view.h"

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
