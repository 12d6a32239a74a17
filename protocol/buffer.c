/* buffer.c - a growing buffer, and small helpers on byte strings. */
#include "check.h"
#include "codec.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void mf_buf_append(struct mf_buf *buf, const void *bytes, size_t len)
{
    if (len == 0)
        return;
    if (buf->cap - buf->len < len) {
        size_t cap = buf->cap ? buf->cap : 256;

        while (cap - buf->len < len) {
            MF_CHECK(cap <= SIZE_MAX / 2);
            cap *= 2;
        }
        buf->ptr = realloc(buf->ptr, cap);
        MF_CHECK(buf->ptr != NULL);
        buf->cap = cap;
    }
    memcpy(buf->ptr + buf->len, bytes, len);
    buf->len += len;
}

void mf_buf_clear(struct mf_buf *buf)
{
    buf->len = 0;
}

void mf_buf_free(struct mf_buf *buf)
{
    free(buf->ptr);
    *buf = (struct mf_buf){0};
}

struct mf_str mf_str(const char *cstring)
{
    return (struct mf_str){cstring, (uint32_t)strlen(cstring)};
}

bool mf_str_eq(struct mf_str a, struct mf_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool mf_str_is(struct mf_str a, const char *cstring)
{
    return mf_str_eq(a, mf_str(cstring));
}

static bool name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool mf_name_valid(struct mf_str name)
{
    if (name.len < 1 || name.len > MF_NAME_MAX || !name_byte(name.ptr[0]))
        return false;
    for (uint32_t i = 1; i < name.len; i++)
        if (!name_byte(name.ptr[i]) && name.ptr[i] != '-')
            return false;
    return true;
}

struct mf_str mf_str_dup(struct mf_arena *arena, struct mf_str s)
{
    char *copy = mf_arena_alloc(arena, (size_t)s.len + 1);

    if (s.len)
        memcpy(copy, s.ptr, s.len);
    return (struct mf_str){copy, s.len};
}

struct mf_labels mf_labels_dup(struct mf_arena *arena, struct mf_labels labels)
{
    struct mf_labels copy = {NULL, labels.n};

    if (labels.n == 0)
        return copy;
    copy.items = mf_arena_alloc(arena, labels.n * sizeof(*copy.items));
    for (uint32_t i = 0; i < labels.n; i++) {
        copy.items[i].key = mf_str_dup(arena, labels.items[i].key);
        copy.items[i].value = mf_str_dup(arena, labels.items[i].value);
    }
    return copy;
}

/* Length of the well-formed UTF-8 sequence at `at` (Unicode 15, table 3-7), 0 if there is none. */
static uint32_t utf8_length(const unsigned char *at, uint32_t left)
{
    unsigned char lead = at[0], low = 0x80, high = 0xbf;
    uint32_t n;

    if (lead < 0x80)
        return 1;
    if (lead < 0xc2 || lead > 0xf4)
        return 0;
    n = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (n > left)
        return 0;
    if (lead == 0xe0)
        low = 0xa0;
    if (lead == 0xed)
        high = 0x9f; /* no surrogates */
    if (lead == 0xf0)
        low = 0x90;
    if (lead == 0xf4)
        high = 0x8f;
    if (at[1] < low || at[1] > high)
        return 0;
    for (uint32_t i = 2; i < n; i++)
        if (at[i] < 0x80 || at[i] > 0xbf)
            return 0;
    return n;
}

bool mf_utf8_valid(struct mf_str s)
{
    const unsigned char *at = (const unsigned char *)s.ptr;

    for (uint32_t i = 0, n; i < s.len; i += n)
        if ((n = utf8_length(at + i, s.len - i)) == 0 || at[i] == 0)
            return false;
    return true;
}

struct mf_str mf_str_scrub(char *bytes, uint32_t len)
{
    unsigned char *at = (unsigned char *)bytes;

    for (uint32_t i = 0, n; i < len; i += n) {
        n = utf8_length(at + i, len - i);
        if (n == 0 || at[i] == 0) {
            at[i] = '?';
            n = 1;
        }
    }
    return (struct mf_str){bytes, len};
}

struct mf_str mf_str_format(char *array, size_t size, const char *format, ...)
{
    va_list args;
    int n;

    MF_CHECK(size > 0 && size <= INT32_MAX);
    va_start(args, format);
    n = vsnprintf(array, size, format, args);
    va_end(args);
    if (n < 0)
        n = 0;
    if ((size_t)n >= size) { /* cut: not in the middle of a character */
        n = (int)size - 1;
        for (int back = 1; back <= 3 && back <= n; back++) {
            unsigned char c = (unsigned char)array[n - back];

            if (c >= 0xc0 && utf8_length((unsigned char *)array + n - back, (uint32_t)back) == 0)
                n -= back;
            if (c < 0x80 || c >= 0xc0)
                break;
        }
    }
    array[n] = 0;
    return mf_str_scrub(array, (uint32_t)n);
}
