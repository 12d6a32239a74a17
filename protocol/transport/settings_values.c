/* settings_values.c - text to value, within the table's bounds. */
#include "settings_values.h"

#include "check.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int mf_settings_fail(struct mf_settings *self, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(self->error, 1024, format, args);
    va_end(args);
    return -EINVAL;
}

static int put_string(struct mf_settings *self, const struct mf_setting *s, const char *text,
                      const char *where)
{
    size_t len = strlen(text);
    if (s->max > 0 && ((int64_t)len < s->min || (int64_t)len > s->max))
        return mf_settings_fail(self, "%s: \"%.60s%s\" is %zu bytes long, must be %lld to %lld", where, text,
                                len > 60 ? "..." : "", len, (long long)s->min, (long long)s->max);
    char *copy = mf_arena_alloc(self->arena, len + 1);
    memcpy(copy, text, len);
    *(char **)(self->target + s->offset) = copy;
    return 0;
}

/* How many milliseconds the unit after a number is, 0 if it is none. */
static int64_t unit_ms(const char *unit)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"", 1},        {"ms", 1},      {"s", 1000},    {"m", 60000},
                 {"min", 60000}, {"h", 3600000}, {"d", 86400000}};
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (strcmp(unit, units[i].unit) == 0)
            return units[i].ms;
    return 0;
}

static int put_number(struct mf_settings *self, const struct mf_setting *s, const char *text,
                      const char *where)
{
    char *end;
    errno = 0;
    int64_t value = strtoll(text, &end, 10), unit = s->kind == MF_SET_MS ? unit_ms(end) : *end == 0;
    bool digits =
        *text != 0 && (text[0] == '-' ? text[1] >= '0' && text[1] <= '9' : text[0] >= '0' && text[0] <= '9');
    if (!digits || unit == 0)
        return mf_settings_fail(self, "%s: \"%.60s\" is not a %s", where, text,
                                s->kind == MF_SET_MS ? "time: write milliseconds, or 5s, 2m, 1h"
                                                     : "whole number");
    if (errno == ERANGE || __builtin_mul_overflow(value, unit, &value) || value < s->min || value > s->max)
        return mf_settings_fail(self, "%s: %.60s is out of range, must be %lld to %lld%s", where, text,
                                (long long)s->min, (long long)s->max, s->kind == MF_SET_MS ? " ms" : "");
    *(int64_t *)(self->target + s->offset) = value;
    return 0;
}

static int put_bool(struct mf_settings *self, const struct mf_setting *s, const char *text, const char *where)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(text, words[i]) == 0) {
            *(bool *)(self->target + s->offset) = i % 2;
            return 0;
        }
    return mf_settings_fail(self, "%s: \"%.60s\" is neither true nor false", where, text);
}

int mf_settings_put_label(struct mf_settings *self, size_t index, struct mf_str key, struct mf_str value,
                          const char *where)
{
    struct mf_labels *labels = (struct mf_labels *)(self->target + self->table[index].offset);
    if (!mf_name_valid(key))
        return mf_settings_fail(
            self,
            "%s: the label's key \"%.*s\" is not a name: 1 to 63 of a-z, 0-9 and -, beginning with a letter "
            "or digit",
            where, (int)(key.len < 80 ? key.len : 80), key.ptr);
    if (value.len > 63)
        return mf_settings_fail(self, "%s: the label %.*s has a value of %u bytes, at most 63 are allowed",
                                where, (int)key.len, key.ptr, value.len);
    struct mf_label label = {mf_str_dup(self->arena, key), mf_str_dup(self->arena, value)};
    for (uint32_t i = 0; i < labels->n; i++)
        if (mf_str_eq(labels->items[i].key, key)) {
            labels->items[i] = label;
            return 0;
        }
    if (labels->n == 64)
        return mf_settings_fail(self, "%s: more than 64 labels", where);
    struct mf_label *items = mf_arena_alloc(self->arena, (labels->n + 1) * sizeof(*items));
    if (labels->n > 0)
        memcpy(items, labels->items, labels->n * sizeof(*items));
    items[labels->n] = label;
    *labels = (struct mf_labels){items, labels->n + 1};
    return 0;
}

/* k=v, or several with commas between */
static int put_labels(struct mf_settings *self, size_t index, const char *text, const char *where)
{
    int r = 0;
    while (r == 0 && *text) {
        size_t len = strcspn(text, ",");
        const char *equals = memchr(text, '=', len);
        if (!equals)
            return mf_settings_fail(self, "%s: \"%.60s\" is not KEY=VALUE", where, text);
        r = mf_settings_put_label(self, index, (struct mf_str){text, (uint32_t)(equals - text)},
                                  (struct mf_str){equals + 1, (uint32_t)(text + len - equals - 1)}, where);
        text += len + (text[len] == ',');
    }
    return r;
}

int mf_settings_put(struct mf_settings *self, size_t index, const char *text, const char *where)
{
    const struct mf_setting *s = &self->table[index];
    switch (s->kind) {
    case MF_SET_STRING:
        return put_string(self, s, text, where);
    case MF_SET_INT:
    case MF_SET_MS:
        return put_number(self, s, text, where);
    case MF_SET_BOOL:
        return put_bool(self, s, text, where);
    case MF_SET_LABELS:
        return put_labels(self, index, text, where);
    }
    MF_CHECK(!"a kind of setting that does not exist");
    return -EINVAL;
}

/* Levenshtein's distance; '-' and '_' are the same letter here. Words are names of settings: short. */
static unsigned distance(const char *a, const char *b)
{
    enum { MAX = 64 };
    unsigned row[MAX + 1];
    size_t la = strlen(a), lb = strlen(b);
    if (la > MAX || lb > MAX)
        return MAX;
    for (size_t j = 0; j <= lb; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= la; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= lb; j++) {
            char ca = a[i - 1] == '_' ? '-' : a[i - 1], cb = b[j - 1] == '_' ? '-' : b[j - 1];
            unsigned change = diagonal + (ca != cb), drop = row[j] + 1, add = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = change < drop ? change : drop;
            row[j] = row[j] < add ? row[j] : add;
        }
    }
    return row[lb];
}

const char *mf_settings_nearest(const struct mf_settings *self, const char *name)
{
    const char *nearest = NULL;
    unsigned least = 4;
    for (size_t i = 0; i < self->n; i++) {
        unsigned d = distance(name, self->table[i].name);
        if (d < least) {
            least = d;
            nearest = self->table[i].name;
        }
    }
    return nearest;
}
