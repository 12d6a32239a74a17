/* words.h - class names, label keys and labels as numbers; and who has which label, for keys that rules are
 * about. */
#ifndef MF_WORDS_H
#define MF_WORDS_H

#include "map.h"

struct mf_word { /* a label: a key and a value */
    uint32_t key;
    uint32_t ordinal;                    /* among the labels of its key, from 0 on */
    uint32_t *nodes, n_nodes, nodes_cap; /* who has it, if its key is indexed */
};
struct mf_key {
    uint32_t *words, n_words, words_cap; /* its labels by their ordinal */
    uint32_t *domains, domains_cap;      /* by node: its label of this key, 0 for none; NULL: not indexed */
};
struct mf_words {
    struct mf_map *class_numbers, *key_numbers, *label_numbers;
    uint32_t n_classes;
    struct mf_key *keys;    /* the first is none */
    struct mf_word *labels; /* the first is none */
    uint32_t n_keys, keys_cap, n_labels, labels_cap;
};

void mf_words_init(struct mf_words *self);
void mf_words_fini(struct mf_words *self);
bool mf_words_knows_class(const struct mf_words *self, struct mf_str name);
bool mf_words_knows_key(const struct mf_words *self, struct mf_str key);
bool mf_words_knows_label(const struct mf_words *self, struct mf_str key, struct mf_str value);
uint32_t mf_words_class(struct mf_words *self, struct mf_str name);
uint32_t mf_words_key(struct mf_words *self, struct mf_str key);
uint32_t mf_words_label(struct mf_words *self, struct mf_str key, struct mf_str value);

/* The index of a key: begin it (nodes below `end` have no label yet), and tell it of every node. */
static inline bool mf_words_indexed(const struct mf_words *self, uint32_t key)
{
    return self->keys[key].domains != NULL;
}
void mf_words_index(struct mf_words *self, uint32_t key, uint32_t end);
void mf_words_reach(struct mf_words *self, uint32_t end); /* all indexes: nodes below `end` may be told of */
void mf_words_join(struct mf_words *self, uint32_t label, uint32_t node);
void mf_words_part(struct mf_words *self, uint32_t label, uint32_t node);

#endif
