/* tally.c - see pool.h. An open-addressed table with backward-shift deletion (Knuth, TAOCP 6.4, algorithm R),
 * small for small groups. */
#include "tally.h"
#include "pool_private.h"

enum { TABLE_MIN = 4 };

struct mf_tally *mf_tally_new(uint32_t key)
{
    struct mf_tally *self = mf_pool_realloc(NULL, 1, sizeof(*self));

    *self = (struct mf_tally){.key = key};
    return self;
}

void mf_tally_destroy(struct mf_tally **self)
{
    if (!*self)
        return;
    free((*self)->table);
    free(*self);
    *self = NULL;
}

static uint32_t home(const struct mf_tally *self, uint32_t domain)
{
    return domain * 0x9e3779b1u >> 7 & (self->size - 1);
}

static struct mf_tally_entry *place_of(const struct mf_tally *self, uint32_t domain)
{
    uint32_t at = home(self, domain);

    while (self->table[at].domain && self->table[at].domain != domain)
        at = (at + 1) & (self->size - 1);
    return &self->table[at];
}

static void resize(struct mf_tally *self, uint32_t size)
{
    struct mf_tally_entry *old = self->table;
    uint32_t old_size = self->size;

    self->table = mf_pool_realloc(NULL, size, sizeof(*self->table));
    memset(self->table, 0, size * sizeof(*self->table));
    self->size = size;
    for (uint32_t i = 0; i < old_size; i++)
        if (old[i].domain)
            *place_of(self, old[i].domain) = old[i];
    free(old);
}

static void erase(struct mf_tally *self, struct mf_tally_entry *entry)
{
    uint32_t mask = self->size - 1, hole = (uint32_t)(entry - self->table), at = hole;

    for (;;) {
        at = (at + 1) & mask;
        if (!self->table[at].domain)
            break;
        if (((at - home(self, self->table[at].domain)) & mask) < ((at - hole) & mask))
            continue;
        self->table[hole] = self->table[at];
        hole = at;
    }
    self->table[hole] = (struct mf_tally_entry){0};
    self->n--;
    if (self->size > TABLE_MIN && self->n * 4 < self->size)
        resize(self, self->size / 2);
}

/* Looked up anew so seldom that it costs nothing in the mean. */
static void fall(struct mf_tally *self)
{
    if (++self->falls < self->size && self->n)
        return;
    self->falls = 0;
    self->most = 0;
    for (uint32_t i = 0; i < self->size; i++)
        if (self->table[i].count > self->most)
            self->most = self->table[i].count;
}

/* ------------------------------------------------------------------ counting */

static uint32_t domain_of(const struct mf_tally *self, const struct mf_pool *pool, uint32_t node)
{
    return self->key ? mf_pool_domain(pool, node, self->key) : node + 1;
}

void mf_tally_count(struct mf_tally *self, const struct mf_pool *pool, uint32_t node, bool more)
{
    uint32_t domain = domain_of(self, pool, node);
    struct mf_tally_entry *entry;
    uint32_t count;

    if (!domain)
        return;
    if (more && (self->n + 1) * 4 > self->size * 3)
        resize(self, self->size ? self->size * 2 : TABLE_MIN);
    MF_CHECK(self->size);
    entry = place_of(self, domain);
    MF_CHECK(more || entry->domain);
    if (more) {
        self->n += !entry->domain;
        entry->domain = domain;
        if (++entry->count > self->most)
            self->most = entry->count;
        return;
    }
    count = entry->count--;
    if (count == 1)
        erase(self, entry);
    if (count == self->most || !self->n)
        fall(self);
}

uint32_t mf_tally_at(const struct mf_tally *self, const struct mf_pool *pool, uint32_t node)
{
    uint32_t domain = domain_of(self, pool, node);

    return domain ? mf_tally_count_of(self, domain) : 0;
}

uint64_t mf_tally_bytes(const struct mf_tally *self)
{
    return sizeof(*self) + self->size * sizeof(*self->table);
}
