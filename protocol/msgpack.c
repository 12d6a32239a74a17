/* msgpack.c - reading msgpack that nobody vouches for: one token at a time, within the bytes, without
 * allocation or recursion. */
#include "codec.h"

/* What each first byte from 0xc0 to 0xdf means: a kind and how many bytes of number follow. */
struct head {
    enum { H_REFUSED, H_NIL, H_BOOL, H_UINT, H_INT, H_FLOAT, H_STR, H_BIN, H_ARRAY, H_MAP } kind;
    uint8_t size;
};
static const struct head HEADS[32] = {
    [0x00] = {H_NIL, 0},   [0x02] = {H_BOOL, 0}, [0x03] = {H_BOOL, 0},  [0x04] = {H_BIN, 1},
    [0x05] = {H_BIN, 2},   [0x06] = {H_BIN, 4},  [0x0a] = {H_FLOAT, 4}, [0x0b] = {H_FLOAT, 8},
    [0x0c] = {H_UINT, 1},  [0x0d] = {H_UINT, 2}, [0x0e] = {H_UINT, 4},  [0x0f] = {H_UINT, 8},
    [0x10] = {H_INT, 1},   [0x11] = {H_INT, 2},  [0x12] = {H_INT, 4},   [0x13] = {H_INT, 8},
    [0x19] = {H_STR, 1},   [0x1a] = {H_STR, 2},  [0x1b] = {H_STR, 4},   [0x1c] = {H_ARRAY, 2},
    [0x1d] = {H_ARRAY, 4}, [0x1e] = {H_MAP, 2},  [0x1f] = {H_MAP, 4},
}; /* the rest are extensions and the one byte that msgpack never uses */

static const char *take_bytes(struct mf_reader *reader, enum mf_token_kind kind, uint64_t len,
                              struct mf_token *token)
{
    if (len > (uint64_t)(reader->end - reader->at))
        return "ends within a string or binary";
    token->kind = kind;
    token->bytes = (struct mf_str){(const char *)reader->at, (uint32_t)len};
    reader->at += len;
    return NULL;
}

static const char *take_items(struct mf_reader *reader, enum mf_token_kind kind, uint64_t n,
                              struct mf_token *token)
{
    if ((kind == MF_T_MAP ? 2 * n : n) > (uint64_t)(reader->end - reader->at))
        return "declares more items than it has bytes";
    token->kind = kind;
    token->n = n;
    return NULL;
}

static const char *take_number(struct mf_token *token, enum mf_token_kind kind, uint64_t n)
{
    token->kind = kind;
    token->n = n;
    return NULL;
}

static const char *take_int(struct mf_token *token, uint64_t n, unsigned size)
{
    unsigned shift = (64 - 8 * size) & 63; /* size is 1 to 8 */
    int64_t value = (int64_t)(n << shift) >> shift;

    return take_number(token, value < 0 ? MF_T_NEGATIVE : MF_T_UINT, (uint64_t)value);
}

static const char *take_long(struct mf_reader *reader, uint8_t first, struct mf_token *token)
{
    struct head head = HEADS[first & 31];
    uint64_t n = 0;

    if (head.kind == H_REFUSED)
        return "holds an extension type";
    if (head.size > reader->end - reader->at)
        return "ends within a value";
    for (unsigned i = 0; i < head.size; i++)
        n = n << 8 | *reader->at++;
    switch (head.kind) {
    case H_BOOL:
        return take_number(token, MF_T_BOOL, first & 1);
    case H_UINT:
        return take_number(token, MF_T_UINT, n);
    case H_INT:
        return take_int(token, n, head.size);
    case H_FLOAT:
        return take_number(token, MF_T_FLOAT, 0);
    case H_STR:
        return take_bytes(reader, MF_T_STR, n, token);
    case H_BIN:
        return take_bytes(reader, MF_T_BIN, n, token);
    case H_ARRAY:
        return take_items(reader, MF_T_ARRAY, n, token);
    case H_MAP:
        return take_items(reader, MF_T_MAP, n, token);
    default:
        return take_number(token, MF_T_NIL, 0);
    }
}

const char *mf_token_read(struct mf_reader *reader, struct mf_token *ret_token)
{
    uint8_t first;

    if (reader->at == reader->end)
        return "ends too early";
    *ret_token = (struct mf_token){0};
    first = *reader->at++;
    if (first < 0x80)
        return take_number(ret_token, MF_T_UINT, first);
    if (first < 0x90)
        return take_items(reader, MF_T_MAP, first & 15, ret_token);
    if (first < 0xa0)
        return take_items(reader, MF_T_ARRAY, first & 15, ret_token);
    if (first < 0xc0)
        return take_bytes(reader, MF_T_STR, first & 31, ret_token);
    if (first >= 0xe0)
        return take_int(ret_token, first, 1);
    return take_long(reader, first, ret_token);
}

const char *mf_msgpack_fault(struct mf_str bytes, unsigned depth_max)
{
    struct mf_reader reader = {(const uint8_t *)bytes.ptr, (const uint8_t *)bytes.ptr + bytes.len};
    uint64_t left[MF_DEPTH_MAX]; /* items still to come, of each open container */
    unsigned depth = 0;

    do {
        struct mf_token token;
        const char *why = mf_token_read(&reader, &token);

        if (why)
            return why;
        if (depth > 0)
            left[depth - 1]--;
        if (token.kind == MF_T_ARRAY || token.kind == MF_T_MAP) {
            if (depth == depth_max || depth == MF_DEPTH_MAX)
                return "nests too deep";
            left[depth++] = token.kind == MF_T_MAP ? 2 * token.n : token.n;
        }
        while (depth > 0 && left[depth - 1] == 0)
            depth--;
    } while (depth > 0);
    return reader.at == reader.end ? NULL : "goes on after its end";
}

bool mf_msgpack_valid(struct mf_str bytes)
{
    return mf_msgpack_fault(bytes, MF_DEPTH_MAX) == NULL;
}
