/* pool.c - nodes: what they have, what sits on them, and telling the views of it. */
#include "pool_private.h"
#include "view.h"

void *mf_pool_realloc(void *old, size_t n, size_t size)
{
    void *memory = realloc(old, n * size);

    MF_CHECK(memory != NULL && n > 0);
    return memory;
}

struct mf_pool *mf_pool_new(const struct mf_place_policy *policy)
{
    struct mf_pool *self = mf_pool_realloc(NULL, 1, sizeof(*self));

    MF_CHECK(policy->name > MF_POLICY_NAME_UNSET && policy->name < MF_POLICY_NAMES);
    *self = (struct mf_pool){.n_shapes = 1, .grown = 1};
    for (enum mf_policy_name name = MF_POLICY_NAME_UNSET + 1; name < MF_POLICY_NAMES; name++)
        self->policies[name] = mf_place_policy_named(name);
    self->policies[policy->name] = self->policies[MF_POLICY_NAME_UNSET] = *policy;
    mf_words_init(&self->words);
    self->shape_numbers = mf_map_new();
    self->shapes = mf_pool_realloc(NULL, self->shapes_cap = 16, sizeof(*self->shapes));
    self->shapes[0] = (struct mf_shape_row){.view = VIEW_NONE};
    return self;
}

void mf_pool_destroy(struct mf_pool **self)
{
    struct mf_pool *pool = *self;

    if (!pool)
        return;
    mf_views_destroy(pool);
    for (uint32_t i = 0; i < pool->n_rows; i++) {
        free(pool->rows[i].more_cells);
        free(pool->labels[i].words);
    }
    for (uint32_t i = 0; i < pool->n_images; i++)
        free(pool->images[i].bits);
    free(pool->images);
    free(pool->rows);
    free(pool->slots);
    free(pool->labels);
    free(pool->free_rows);
    free(pool->shapes);
    mf_map_destroy(&pool->shape_numbers);
    mf_words_fini(&pool->words);
    free(pool);
    *self = NULL;
}

static struct mf_row *row_of(const struct mf_pool *self, uint32_t node)
{
    MF_CHECK(node < self->n_rows && self->rows[node].held);
    return &self->rows[node];
}

/* ------------------------------------------------------------------ words */

bool mf_pool_takes_class(const struct mf_pool *self, struct mf_str name)
{
    return self->words.n_classes < MF_POOL_CLASSES_MAX || mf_words_knows_class(&self->words, name);
}

bool mf_pool_takes_key(const struct mf_pool *self, struct mf_str key)
{
    return self->words.n_keys <= MF_POOL_KEYS_MAX || mf_words_knows_key(&self->words, key);
}

bool mf_pool_takes_label(const struct mf_pool *self, struct mf_str key, struct mf_str value)
{
    return mf_pool_takes_key(self, key) &&
           (self->words.n_labels <= MF_POOL_LABELS_MAX || mf_words_knows_label(&self->words, key, value));
}

uint32_t mf_pool_class(struct mf_pool *self, struct mf_str name)
{
    return mf_words_class(&self->words, name);
}

uint32_t mf_pool_key(struct mf_pool *self, struct mf_str key)
{
    return mf_words_key(&self->words, key);
}

uint32_t mf_pool_label(struct mf_pool *self, struct mf_str key, struct mf_str value)
{
    return mf_words_label(&self->words, key, value);
}

/* ------------------------------------------------------------------ what is so of a node */

static void have_cells(struct mf_row *row, uint32_t n)
{
    if (n > row->n_cells_kept) {
        if (n > CELLS_OWN) {
            struct mf_row_cell *cells = mf_pool_realloc(NULL, n, sizeof(*cells));
            memset(cells, 0, n * sizeof(*cells));
            memcpy(cells, mf_row_cells(row), row->n_cells_kept * sizeof(*cells));
            free(row->more_cells);
            row->more_cells = cells;
        }
        row->n_cells_kept = (uint8_t)n;
    }
}

static void set_cells(struct mf_row *row, const struct mf_pool_node *node)
{
    MF_CHECK(node->n_cells <= MF_CELLS_MAX);
    have_cells(row, node->n_cells);
    row->n_cells = (uint8_t)node->n_cells;
    for (uint32_t c = 0; c < node->n_cells; c++)
        mf_row_cells(row)[c].capacity = node->cells[c];
}

static void set_labels(struct mf_pool *self, uint32_t node, const uint32_t *words, uint32_t n)
{
    struct mf_row_labels *labels = &self->labels[node];
    struct mf_words *known = &self->words;

    for (uint32_t i = 0; i < labels->n; i++)
        if (mf_words_indexed(known, known->labels[labels->words[i]].key))
            mf_words_part(known, labels->words[i], node);
    if (n)
        labels->words = mf_pool_realloc(labels->words, n, sizeof(*labels->words));
    labels->n = n;
    for (uint32_t i = 0; i < n; i++) {
        MF_CHECK(words[i] > 0 && words[i] < known->n_labels);
        labels->words[i] = words[i];
        if (mf_words_indexed(known, known->labels[words[i]].key))
            mf_words_join(known, words[i], node);
    }
}

static bool stands_so(const struct mf_pool *self, uint32_t node, const struct mf_pool_node *now)
{
    const struct mf_row *row = &self->rows[node];
    const struct mf_row_labels *labels = &self->labels[node];

    return row->class == now->class && row->fences == now->fences && row->shares == now->shares &&
           labels->n == now->n_labels &&
           (!labels->n || memcmp(labels->words, now->labels, labels->n * sizeof(*labels->words)) == 0);
}

void mf_pool_update(struct mf_pool *self, uint32_t node, const struct mf_pool_node *now)
{
    struct mf_row *row = row_of(self, node);
    bool stands = stands_so(self, node, now);

    self->grown++;
    if (!stands)
        mf_views_forget(self, node);
    row->capacity = now->capacity;
    row->class = now->class;
    row->instances_max = now->instances_max;
    row->fences = now->fences;
    row->shares = now->shares;
    row->penalty = now->penalty;
    row->closed = now->closed;
    set_cells(row, now);
    if (stands) {
        mf_views_touch(self, node);
        return;
    }
    set_labels(self, node, now->labels, now->n_labels);
    mf_views_meet(self, node);
}

static void grow(struct mf_pool *self)
{
    uint32_t cap = self->rows_cap + self->rows_cap / 8 + 16;
    struct mf_row *rows = aligned_alloc(64, cap * sizeof(*rows));

    MF_CHECK(rows != NULL);
    if (self->n_rows)
        memcpy(rows, self->rows, self->n_rows * sizeof(*rows));
    free(self->rows);
    self->rows = rows;
    self->labels = mf_pool_realloc(self->labels, cap, sizeof(*self->labels));
    self->rows_cap = cap;
    mf_views_grow(self);
}

uint32_t mf_pool_add(struct mf_pool *self, const struct mf_pool_node *node)
{
    uint32_t number = self->n_free ? self->free_rows[--self->n_free] : self->n_rows;

    MF_CHECK(number < MF_POOL_NODES_MAX);
    if (number == self->n_rows) {
        if (self->n_rows == self->rows_cap)
            grow(self);
        self->n_rows++;
        self->labels[number] = (struct mf_row_labels){0};
        self->rows[number] = (struct mf_row){0};
        mf_words_reach(&self->words, self->n_rows);
    }
    self->rows[number].held = true;
    self->rows[number].class = UINT32_MAX; /* so that it stands anew */
    mf_pool_update(self, number, node);
    return number;
}

void mf_pool_remove(struct mf_pool *self, uint32_t node)
{
    struct mf_row *row = row_of(self, node);

    mf_views_forget(self, node);
    set_labels(self, node, NULL, 0);
    for (uint32_t i = 0; i < self->n_images; i++)
        if (mf_node_warm(self, node, i + 1))
            self->images[i].bits[node / 64] &= ~(UINT64_C(1) << node % 64);
    free(row->more_cells);
    *row = (struct mf_row){.dirty = row->dirty};
    if (self->n_free == self->free_cap)
        self->free_rows = mf_pool_realloc(self->free_rows, self->free_cap = self->free_cap * 2 + 16,
                                          sizeof(*self->free_rows));
    self->free_rows[self->n_free++] = node;
}

void mf_pool_close(struct mf_pool *self, uint32_t node, uint8_t why)
{
    struct mf_row *row = row_of(self, node);

    if (row->closed == why)
        return;
    self->grown += !why;
    row->closed = why;
    mf_views_touch(self, node);
}

void mf_pool_penalise(struct mf_pool *self, uint32_t node, uint8_t penalty)
{
    struct mf_row *row = row_of(self, node);

    if (row->penalty == penalty)
        return;
    row->penalty = penalty;
    mf_views_touch(self, node);
}

/* ------------------------------------------------------------------ images */

static void reach_image(struct mf_pool *self, uint32_t node, uint32_t image)
{
    struct mf_image_nodes *nodes;
    uint32_t words = node / 64 + 1;

    if (image > self->n_images) {
        self->images = mf_pool_realloc(self->images, image, sizeof(*self->images));
        memset(self->images + self->n_images, 0, (image - self->n_images) * sizeof(*self->images));
        self->n_images = image;
    }
    nodes = &self->images[image - 1];
    if (words <= nodes->n_words)
        return;
    words += words / 4;
    nodes->bits = mf_pool_realloc(nodes->bits, words, sizeof(*nodes->bits));
    memset(nodes->bits + nodes->n_words, 0, (words - nodes->n_words) * sizeof(*nodes->bits));
    nodes->n_words = words;
}

void mf_pool_warm(struct mf_pool *self, uint32_t node, uint32_t image, bool warm)
{
    row_of(self, node);
    MF_CHECK(image > 0);
    if (mf_node_warm(self, node, image) == warm)
        return;
    reach_image(self, node, image);
    self->images[image - 1].bits[node / 64] ^= UINT64_C(1) << node % 64;
    mf_views_touch(self, node);
}

void mf_pool_image_forgotten(struct mf_pool *self, uint32_t image)
{
    for (uint32_t node = 0; node < self->n_rows; node++)
        if (mf_node_warm(self, node, image))
            mf_pool_warm(self, node, image, false);
    if (image <= self->n_images) {
        free(self->images[image - 1].bits);
        self->images[image - 1] = (struct mf_image_nodes){0};
    }
}

/* ------------------------------------------------------------------ taking and giving back */

static void move(struct mf_row *row, struct mf_place place, const struct mf_amounts *wants, int64_t sign)
{
    uint32_t shares = (uint32_t)__builtin_popcount(place.cells);

    for (int i = 0; i < MF_DIMENSIONS; i++) {
        MF_CHECK(sign > 0 || row->used[i] >= wants->of[i]);
        row->used[i] += (uint64_t)(sign * wants->of[i]);
    }
    for (uint32_t bits = place.cells; bits; bits &= bits - 1) {
        uint32_t c = (uint32_t)__builtin_ctz(bits);
        have_cells(row, c + 1);
        for (int i = 0; i < MF_CELL_DIMENSIONS; i++) {
            uint32_t share = mf_share(wants->of[i], shares);
            MF_CHECK(sign > 0 || mf_row_cells(row)[c].used[i] >= share);
            mf_row_cells(row)[c].used[i] += (uint64_t)(sign * share);
        }
    }
}

void mf_pool_take(struct mf_pool *self, struct mf_place place, const struct mf_amounts *wants)
{
    struct mf_row *row = row_of(self, place.node);

    move(row, place, wants, 1);
    row->n_instances++;
    mf_views_touch(self, place.node);
}

void mf_pool_give(struct mf_pool *self, struct mf_place place, const struct mf_amounts *wants)
{
    struct mf_row *row = row_of(self, place.node);

    MF_CHECK(row->n_instances > 0);
    move(row, place, wants, -1);
    row->n_instances--;
    self->grown++;
    mf_views_touch(self, place.node);
}

static void reserve(uint32_t *reserved, uint32_t amount, bool more)
{
    MF_CHECK(more ? *reserved <= UINT32_MAX - amount : *reserved >= amount);
    *reserved = more ? *reserved + amount : *reserved - amount;
}

void mf_pool_reserve(struct mf_pool *self, uint32_t node, const struct mf_amounts *amounts,
                     const struct mf_cell *cells, bool more)
{
    struct mf_row *row = row_of(self, node);

    for (int i = 0; i < MF_DIMENSIONS; i++)
        reserve(&row->reserved.of[i], amounts->of[i], more);
    for (uint32_t c = 0; cells && c < row->n_cells; c++)
        for (int i = 0; i < MF_CELL_DIMENSIONS; i++)
            reserve(&mf_row_cells(row)[c].reserved.of[i], cells[c].of[i], more);
    self->grown += !more;
    mf_views_touch(self, node);
}

/* ------------------------------------------------------------------ reading */

uint32_t mf_pool_end(const struct mf_pool *self)
{
    return self->n_rows;
}

bool mf_pool_holds(const struct mf_pool *self, uint32_t node)
{
    return node < self->n_rows && self->rows[node].held;
}

struct mf_amounts mf_pool_used(const struct mf_pool *self, uint32_t node)
{
    const struct mf_row *row = row_of(self, node);
    struct mf_amounts used;

    for (int i = 0; i < MF_DIMENSIONS; i++)
        used.of[i] = row->used[i] < UINT32_MAX ? (uint32_t)row->used[i] : UINT32_MAX;
    return used;
}

void mf_pool_used_cells(const struct mf_pool *self, uint32_t node, struct mf_cell ret_used[MF_CELLS_MAX])
{
    const struct mf_row *row = row_of(self, node);

    memset(ret_used, 0, MF_CELLS_MAX * sizeof(*ret_used));
    for (uint32_t c = 0; c < row->n_cells; c++)
        for (int i = 0; i < MF_CELL_DIMENSIONS; i++) {
            uint64_t used = mf_row_cells_of(row)[c].used[i];
            ret_used[c].of[i] = used < UINT32_MAX ? (uint32_t)used : UINT32_MAX;
        }
}

struct mf_amounts mf_pool_capacity(const struct mf_pool *self, uint32_t node)
{
    return row_of(self, node)->capacity;
}

uint32_t mf_pool_domain(const struct mf_pool *self, uint32_t node, uint32_t key)
{
    const struct mf_row_labels *labels = &self->labels[node];

    MF_CHECK(node < self->n_rows && key < self->words.n_keys);
    if (mf_words_indexed(&self->words, key))
        return self->words.keys[key].domains[node];
    for (uint32_t i = 0; i < labels->n; i++)
        if (self->words.labels[labels->words[i]].key == key)
            return labels->words[i];
    return 0;
}
