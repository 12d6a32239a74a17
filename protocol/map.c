/* map.c - entries in a dense array, in the order they came; and a table of small numbers that finds them by
 * hash. Deleting leaves a hole in the array (dropped when the array is next rebuilt, so walks keep their
 * place by birth number, not by index) and shifts the table's later entries back, so there are no tombstones
 * to search through. */
#include "map.h"
#include "check.h"

#include <stdlib.h>
#include <string.h>

enum { INLINE_KEY = 16, TABLE_MIN = 8 };

struct entry {
    uint64_t hash, birth; /* birth numbers rise along the array */
    void *value;          /* NULL: a hole */
    uint32_t len;
    union { /* a UUID fits in place; longer keys have their own memory */
        char here[INLINE_KEY];
        char *there;
    } key;
};
struct mf_map {
    struct entry *entries;
    uint32_t *table; /* index + 1 into entries, 0 is free */
    size_t n, used, cap, table_size;
    uint64_t next_birth;
};

struct mf_map *mf_map_new(void)
{
    struct mf_map *self = calloc(1, sizeof(*self));

    MF_CHECK(self != NULL);
    return self;
}

static const char *entry_key(const struct entry *entry)
{
    return entry->len <= INLINE_KEY ? entry->key.here : entry->key.there;
}

static void entry_drop(struct entry *entry)
{
    if (entry->value && entry->len > INLINE_KEY)
        free(entry->key.there);
    entry->value = NULL;
}

void mf_map_clear(struct mf_map *self)
{
    for (size_t i = 0; i < self->used; i++)
        entry_drop(&self->entries[i]);
    free(self->entries);
    free(self->table);
    *self = (struct mf_map){.next_birth = self->next_birth};
}

void mf_map_destroy(struct mf_map **self)
{
    if (!self || !*self)
        return;
    mf_map_clear(*self);
    free(*self);
    *self = NULL;
}

size_t mf_map_size(const struct mf_map *self)
{
    return self->n;
}

/* The place in the table that holds the key, or the free place where it would go. */
static size_t find(const struct mf_map *self, uint64_t hash, const void *key, size_t len)
{
    size_t mask = self->table_size - 1, at = hash & mask;

    for (; self->table[at]; at = (at + 1) & mask) {
        const struct entry *entry = &self->entries[self->table[at] - 1];

        if (entry->hash == hash && entry->len == len && (len == 0 || memcmp(entry_key(entry), key, len) == 0))
            break;
    }
    return at;
}

void *mf_map_get(const struct mf_map *self, const void *key, size_t len)
{
    uint32_t place = self->n ? self->table[find(self, mf_hash(key, len), key, len)] : 0;

    return place ? self->entries[place - 1].value : NULL;
}

static void squeeze(struct mf_map *self)
{
    size_t to = 0;

    for (size_t i = 0; i < self->used; i++)
        if (self->entries[i].value)
            self->entries[to++] = self->entries[i];
    self->used = to;
}

static void rebuild_table(struct mf_map *self)
{
    size_t size = TABLE_MIN, mask;

    while (size * 3 < self->cap * 4)
        size *= 2;
    free(self->table);
    self->table = calloc(size, sizeof(*self->table));
    MF_CHECK(self->table != NULL);
    self->table_size = size;
    mask = size - 1;
    for (size_t i = 0; i < self->used; i++) {
        size_t at = self->entries[i].hash & mask;

        while (self->table[at])
            at = (at + 1) & mask;
        self->table[at] = (uint32_t)i + 1;
    }
}

/* Room for one more: drop the holes; grow unless they were at least a quarter; and index anew what moved. */
static void make_room(struct mf_map *self)
{
    if (self->used < self->cap)
        return;
    squeeze(self);
    if (self->cap == 0 || self->used > self->cap - self->cap / 4) {
        self->cap = self->cap ? self->cap * 2 : 6;
        MF_CHECK(self->cap < UINT32_MAX);
        self->entries = reallocarray(self->entries, self->cap, sizeof(*self->entries));
        MF_CHECK(self->entries != NULL);
    }
    rebuild_table(self);
}

static void entry_init(struct entry *entry, const void *key, size_t len)
{
    char *to = entry->key.here;

    entry->len = (uint32_t)len;
    if (len > INLINE_KEY) {
        to = entry->key.there = malloc(len);
        MF_CHECK(to != NULL);
    }
    if (len)
        memcpy(to, key, len);
}

void *mf_map_put(struct mf_map *self, const void *key, size_t len, void *value)
{
    uint64_t hash = mf_hash(key, len);
    struct entry *entry;
    size_t at;

    MF_CHECK(value != NULL && len <= UINT32_MAX);
    if (self->table_size) {
        at = find(self, hash, key, len);
        if (self->table[at]) {
            void *old = self->entries[self->table[at] - 1].value;

            self->entries[self->table[at] - 1].value = value;
            return old;
        }
    }
    make_room(self);
    at = find(self, hash, key, len);
    entry = &self->entries[self->used++];
    *entry = (struct entry){.hash = hash, .birth = self->next_birth++, .value = value};
    entry_init(entry, key, len);
    self->table[at] = (uint32_t)self->used;
    self->n++;
    return NULL;
}

/* Free the place and move back whatever was pushed past it, so that every search still ends at the first free
 * place. */
static void table_remove(struct mf_map *self, size_t hole)
{
    size_t mask = self->table_size - 1;

    for (size_t at = (hole + 1) & mask; self->table[at]; at = (at + 1) & mask) {
        size_t home = self->entries[self->table[at] - 1].hash & mask;

        if (((at - home) & mask) >= ((at - hole) & mask)) {
            self->table[hole] = self->table[at];
            hole = at;
        }
    }
    self->table[hole] = 0;
}

void *mf_map_del(struct mf_map *self, const void *key, size_t len)
{
    struct entry *entry;
    void *value;
    size_t at;

    if (self->n == 0)
        return NULL;
    at = find(self, mf_hash(key, len), key, len);
    if (!self->table[at])
        return NULL;
    entry = &self->entries[self->table[at] - 1];
    value = entry->value;
    table_remove(self, at);
    entry_drop(entry);
    self->n--;
    return value;
}

/* Index of the first entry born at or after `birth`. */
static size_t seek(const struct mf_map *self, uint64_t birth)
{
    size_t low = 0, high = self->used;

    if (high == 0 || self->entries[high - 1].birth < birth)
        return high;
    if (birth <= self->entries[0].birth)
        return 0;
    if (birth - self->entries[0].birth < high && self->entries[birth - self->entries[0].birth].birth == birth)
        return birth - self->entries[0].birth; /* no hole was squeezed out before it: the common case */
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (self->entries[middle].birth < birth)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool mf_map_next_key(const struct mf_map *self, size_t *cursor, struct mf_str *ret_key, void **ret_value)
{
    for (size_t i = seek(self, *cursor); i < self->used; i++) {
        const struct entry *entry = &self->entries[i];

        if (!entry->value)
            continue;
        *cursor = entry->birth + 1;
        *ret_key = (struct mf_str){entry_key(entry), entry->len};
        *ret_value = entry->value;
        return true;
    }
    return false;
}

bool mf_map_next(const struct mf_map *self, size_t *cursor, void **ret_value)
{
    struct mf_str key;

    return mf_map_next_key(self, cursor, &key, ret_value);
}
