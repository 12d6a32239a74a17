/* words.c - see words.h. */
#include "words.h"
#include "pool_private.h"

void mf_words_init(struct mf_words *self)
{
    *self = (struct mf_words){.class_numbers = mf_map_new(),
                              .key_numbers = mf_map_new(),
                              .label_numbers = mf_map_new(),
                              .n_keys = 1,
                              .n_labels = 1};
    self->keys = mf_pool_realloc(NULL, self->keys_cap = 8, sizeof(*self->keys));
    self->labels = mf_pool_realloc(NULL, self->labels_cap = 64, sizeof(*self->labels));
    self->keys[0] = (struct mf_key){0};
    self->labels[0] = (struct mf_word){0};
}

void mf_words_fini(struct mf_words *self)
{
    for (uint32_t i = 0; i < self->n_keys; i++) {
        free(self->keys[i].words);
        free(self->keys[i].domains);
    }
    for (uint32_t i = 0; i < self->n_labels; i++)
        free(self->labels[i].nodes);
    free(self->keys);
    free(self->labels);
    mf_map_destroy(&self->class_numbers);
    mf_map_destroy(&self->key_numbers);
    mf_map_destroy(&self->label_numbers);
}

static uint32_t find(const struct mf_map *numbers, const void *bytes, size_t len)
{
    return (uint32_t)(uintptr_t)mf_map_get(numbers, bytes, len);
}

static uint32_t remember(struct mf_map *numbers, const void *bytes, size_t len, uint32_t number)
{
    mf_map_put(numbers, bytes, len, (void *)(uintptr_t)number);
    return number;
}

uint32_t mf_words_class(struct mf_words *self, struct mf_str name)
{
    uint32_t number = find(self->class_numbers, name.ptr, name.len);

    return number ? number : remember(self->class_numbers, name.ptr, name.len, ++self->n_classes);
}

uint32_t mf_words_key(struct mf_words *self, struct mf_str key)
{
    uint32_t number = find(self->key_numbers, key.ptr, key.len);

    if (number)
        return number;
    if (self->n_keys == self->keys_cap)
        self->keys = mf_pool_realloc(self->keys, self->keys_cap *= 2, sizeof(*self->keys));
    self->keys[self->n_keys] = (struct mf_key){0};
    return remember(self->key_numbers, key.ptr, key.len, self->n_keys++);
}

static uint32_t add_label(struct mf_words *self, uint32_t key)
{
    struct mf_key *of = &self->keys[key];

    if (self->n_labels == self->labels_cap)
        self->labels = mf_pool_realloc(self->labels, self->labels_cap *= 2, sizeof(*self->labels));
    if (of->n_words == of->words_cap)
        of->words = mf_pool_realloc(of->words, of->words_cap = of->words_cap * 2 + 4, sizeof(*of->words));
    self->labels[self->n_labels] = (struct mf_word){.key = key, .ordinal = of->n_words};
    of->words[of->n_words++] = self->n_labels;
    return self->n_labels++;
}

/* A label by the number of its key, so that no two of them look alike. */
static char *spell(uint32_t key, struct mf_str value, size_t *ret_len)
{
    char *bytes = mf_pool_realloc(NULL, *ret_len = sizeof(key) + value.len, 1);

    memcpy(bytes, &key, sizeof(key));
    if (value.len)
        memcpy(bytes + sizeof(key), value.ptr, value.len);
    return bytes;
}

uint32_t mf_words_label(struct mf_words *self, struct mf_str key, struct mf_str value)
{
    uint32_t key_number = mf_words_key(self, key), number;
    size_t len;
    char *bytes = spell(key_number, value, &len);

    number = find(self->label_numbers, bytes, len);
    if (!number)
        number = remember(self->label_numbers, bytes, len, add_label(self, key_number));
    free(bytes);
    return number;
}

bool mf_words_knows_class(const struct mf_words *self, struct mf_str name)
{
    return find(self->class_numbers, name.ptr, name.len) != 0;
}

bool mf_words_knows_key(const struct mf_words *self, struct mf_str key)
{
    return find(self->key_numbers, key.ptr, key.len) != 0;
}

bool mf_words_knows_label(const struct mf_words *self, struct mf_str key, struct mf_str value)
{
    uint32_t key_number = find(self->key_numbers, key.ptr, key.len);
    size_t len;
    char *bytes = spell(key_number, value, &len);
    bool known = key_number && find(self->label_numbers, bytes, len);

    free(bytes);
    return known;
}

/* ------------------------------------------------------------------ indexes */

static void make_room(struct mf_key *key, uint32_t end)
{
    uint32_t cap = end + end / 4 + 16;

    if (end <= key->domains_cap)
        return;
    key->domains = mf_pool_realloc(key->domains, cap, sizeof(*key->domains));
    memset(key->domains + key->domains_cap, 0, (cap - key->domains_cap) * sizeof(*key->domains));
    key->domains_cap = cap;
}

void mf_words_index(struct mf_words *self, uint32_t key, uint32_t end)
{
    make_room(&self->keys[key], end + 1);
}

void mf_words_reach(struct mf_words *self, uint32_t end)
{
    for (uint32_t i = 1; i < self->n_keys; i++)
        if (mf_words_indexed(self, i))
            make_room(&self->keys[i], end);
}

/* Of two labels of one key the first counts. */
void mf_words_join(struct mf_words *self, uint32_t label, uint32_t node)
{
    struct mf_word *word = &self->labels[label];
    struct mf_key *key = &self->keys[word->key];

    if (key->domains[node])
        return;
    key->domains[node] = label;
    if (word->n_nodes == word->nodes_cap)
        word->nodes =
            mf_pool_realloc(word->nodes, word->nodes_cap = word->nodes_cap * 2 + 4, sizeof(*word->nodes));
    word->nodes[word->n_nodes++] = node;
}

void mf_words_part(struct mf_words *self, uint32_t label, uint32_t node)
{
    struct mf_word *word = &self->labels[label];
    struct mf_key *key = &self->keys[word->key];

    if (key->domains[node] != label)
        return;
    key->domains[node] = 0;
    for (uint32_t i = 0; i < word->n_nodes; i++)
        if (word->nodes[i] == node) {
            word->nodes[i] = word->nodes[--word->n_nodes];
            return;
        }
    MF_CHECK(!"a node is in the list of its label");
}
