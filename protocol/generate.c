/* generate.c - one function per kind of field; each now and then goes to an edge of what the row allows. */
#include "generate.h"
#include "codec.h"

#include <string.h>

enum { LONG_MAX_BYTES = 4096, LIST_MAX_ITEMS = 6, EDGE_ONE_IN = 8, HUGE_ONE_IN = 64 };

struct generator {
    struct mf_random *random;
    struct mf_arena *arena;
};

static bool one_in(const struct generator *self, uint64_t n)
{
    return mf_random_below(self->random, n) == 0;
}

static uint64_t between(const struct generator *self, uint64_t min, uint64_t max)
{
    if (max - min == UINT64_MAX)
        return mf_random_next(self->random);
    return min + mf_random_below(self->random, max - min + 1);
}

static uint64_t number(const struct generator *self, uint64_t min, uint64_t max)
{
    if (one_in(self, EDGE_ONE_IN))
        return one_in(self, 2) ? min : max;
    if (one_in(self, 2)) { /* every width of integer on the wire */
        uint64_t n = mf_random_next(self->random) >> mf_random_below(self->random, 64);

        if (n >= min && n <= max)
            return n;
    }
    return between(self, min, max);
}

/* Mostly short; at times the least or the most that is allowed. */
static uint32_t size(const struct generator *self, uint64_t min, uint64_t max)
{
    uint64_t most = max - min > 24 ? min + 24 : max;

    if (one_in(self, EDGE_ONE_IN))
        return (uint32_t)min;
    if (one_in(self, HUGE_ONE_IN))
        return (uint32_t)(max <= LONG_MAX_BYTES || one_in(self, 8) ? max : LONG_MAX_BYTES);
    return (uint32_t)between(self, min, most);
}

static struct mf_str bytes(const struct generator *self, uint32_t len)
{
    char *at = mf_arena_alloc(self->arena, len);

    for (uint32_t i = 0; i < len; i++)
        at[i] = (char)mf_random_next(self->random);
    return (struct mf_str){at, len};
}

static struct mf_str text(const struct generator *self, uint32_t len)
{
    static const char *const wide[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\xa6\x9f"}; /* 2, 3 and 4 bytes */
    char *at = mf_arena_alloc(self->arena, len);
    uint32_t i = 0;

    while (i < len) {
        uint64_t w = mf_random_below(self->random, 24);

        if (w < 3 && w + 2 <= len - i) {
            memcpy(at + i, wide[w], w + 2);
            i += (uint32_t)w + 2;
        } else {
            at[i++] = (char)between(self, ' ', '~');
        }
    }
    return (struct mf_str){at, len};
}

static struct mf_str name(const struct generator *self, uint32_t len)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
    char *at = mf_arena_alloc(self->arena, len);

    for (uint32_t i = 0; i < len; i++)
        at[i] = letters[mf_random_below(self->random, i ? 37 : 36)];
    return (struct mf_str){at, len};
}

static void labels(const struct generator *self, uint64_t max, struct mf_labels *ret)
{
    ret->n =
        (uint32_t)(one_in(self, HUGE_ONE_IN) ? max : mf_random_below(self->random, max < 4 ? max + 1 : 5));
    ret->items = mf_arena_alloc(self->arena, ret->n * sizeof(*ret->items));
    for (uint32_t i = 0; i < ret->n; i++) {
        char *key = mf_arena_alloc(self->arena, MF_NAME_MAX);
        struct mf_str tail = name(self, size(self, 1, MF_NAME_MAX - 3));

        key[0] = (char)('a' + i / 26 % 26); /* no key twice */
        key[1] = (char)('a' + i % 26);
        memcpy(key + 2, tail.ptr, tail.len);
        ret->items[i].key = (struct mf_str){key, tail.len + 2};
        ret->items[i].value = text(self, size(self, 0, MF_LABEL_VALUE_MAX));
    }
}

/* A small map of small integers, with a map in it: any well-formed map will do. */
static struct mf_str raw(const struct generator *self)
{
    uint32_t n = (uint32_t)mf_random_below(self->random, 15), at = 0;
    char *out = mf_arena_alloc(self->arena, 8 + 3 * n);

    out[at++] = (char)(0x81 + n);
    out[at++] = (char)0xa1;
    out[at++] = '_';
    out[at++] = (char)0x80;
    for (uint32_t i = 0; i < n; i++) {
        out[at++] = (char)0xa1;
        out[at++] = (char)('a' + i);
        out[at++] = (char)mf_random_below(self->random, 128);
    }
    return (struct mf_str){out, at};
}

static void list(const struct generator *self, const struct mf_field *field, struct mf_list_any *ret)
{
    ret->n = (uint32_t)mf_random_below(self->random,
                                       field->max < LIST_MAX_ITEMS ? field->max + 1 : LIST_MAX_ITEMS + 1);
    ret->items = mf_arena_alloc(self->arena, ret->n * field->record->size);
    for (uint32_t i = 0; i < ret->n; i++)
        mf_generate(field->record, self->random, self->arena, (char *)ret->items + i * field->record->size);
}

static void blob(const struct generator *self, uint64_t max, struct mf_blob *ret)
{
    ret->bytes = bytes(self, size(self, 0, max));
    if (ret->bytes.len)
        ret->digest = mf_digest_make(ret->bytes.ptr, ret->bytes.len);
}

static void value(const struct generator *self, const struct mf_field *field, void *at)
{
    switch (field->kind) {
    case MF_F_U64:
        *(uint64_t *)at = number(self, field->min, field->max);
        break;
    case MF_F_BOOL:
        *(bool *)at = one_in(self, 2);
        break;
    case MF_F_STR:
        *(struct mf_str *)at = text(self, size(self, field->min, field->max));
        break;
    case MF_F_NAME:
        *(struct mf_str *)at = name(self, size(self, 1, MF_NAME_MAX));
        break;
    case MF_F_BIN:
        *(struct mf_str *)at = bytes(self, size(self, field->min, field->max));
        break;
    case MF_F_UUID:
    case MF_F_DIGEST:
        memcpy(at, bytes(self, (uint32_t)field->max).ptr, field->max);
        break;
    case MF_F_ENUM:
        *(unsigned *)at = (unsigned)between(self, 1, field->words->n - 1);
        break;
    case MF_F_LABELS:
        labels(self, field->max, at);
        break;
    case MF_F_RAW:
        *(struct mf_str *)at = raw(self);
        break;
    case MF_F_BLOB:
        blob(self, field->max, at);
        break;
    case MF_F_RECORD:
        mf_generate(field->record, self->random, self->arena, at);
        break;
    case MF_F_LIST:
        list(self, field, at);
        break;
    }
}

void mf_generate(const struct mf_desc *desc, struct mf_random *random, struct mf_arena *arena, void *ret_what)
{
    struct generator self = {random, arena};
    uint64_t has = 0;

    memset(ret_what, 0, desc->size);
    for (unsigned i = 0; i < desc->n_fields; i++) {
        const struct mf_field *field = &desc->fields[i];

        if (!field->required && one_in(&self, 2))
            continue;
        value(&self, field, (char *)ret_what + field->offset);
        has |= UINT64_C(1) << i;
    }
    *(uint64_t *)ret_what = has;
}
