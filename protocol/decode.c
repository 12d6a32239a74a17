/* decode.c - msgpack maps to structs, row by row of the table. Every byte is hostile: a bounded walk over the
 * whole comes first, then each key is looked up, each value must have its row's type and obey its row's
 * bounds. Strings stay where they are; only the items of lists and labels come from the arena. */
#include "check.h"
#include "codec.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct path { /* where we are, for the sentence of an error; on the stack of the decoder */
    const struct path *up;
    const char *name;
    int64_t index; /* -1: no item of a list */
};
struct decoder {
    struct mf_reader reader;
    struct mf_arena *arena;
    struct mf_decode_error *error;
};

static int decode_record(struct decoder *self, const struct mf_desc *desc, void *ret_what,
                         const struct path *path);

static size_t path_print(const struct path *path, char *text, size_t size)
{
    size_t n = path->up ? path_print(path->up, text, size) : 0;

    n += mf_str_format(text + n, size - n, "%s%s", path->up ? "." : "", path->name).len;
    if (path->index >= 0)
        n += mf_str_format(text + n, size - n, "[%lld]", (long long)path->index).len;
    return n;
}

static int __attribute__((format(printf, 4, 5)))
refuse(struct decoder *self, const struct path *path, enum mf_errcode code, const char *format, ...)
{
    char *text = self->error->text;
    size_t size = sizeof(self->error->text), n = path_print(path, text, size - 1);
    char why[200];
    va_list args;

    va_start(args, format);
    vsnprintf(why, sizeof(why), format, args);
    va_end(args);
    mf_str_format(text + n, size - n, ": %s", why);
    self->error->code = code;
    return -EINVAL;
}

/* The walk has been over these bytes: a token is there. */
static struct mf_token next(struct decoder *self)
{
    struct mf_token token;

    MF_CHECK(mf_token_read(&self->reader, &token) == NULL);
    return token;
}

static void skip(struct decoder *self)
{
    for (uint64_t pending = 1; pending > 0; pending--) {
        struct mf_token token = next(self);

        if (token.kind == MF_T_ARRAY)
            pending += token.n;
        if (token.kind == MF_T_MAP)
            pending += 2 * token.n;
    }
}

static int wrong_type(struct decoder *self, const struct path *path, struct mf_token token,
                      const char *wanted)
{
    static const char *const is[] = {[MF_T_NIL] = "nil",         [MF_T_BOOL] = "a boolean",
                                     [MF_T_UINT] = "an integer", [MF_T_NEGATIVE] = "a negative integer",
                                     [MF_T_FLOAT] = "a float",   [MF_T_STR] = "a string",
                                     [MF_T_BIN] = "binary",      [MF_T_ARRAY] = "an array",
                                     [MF_T_MAP] = "a map"};

    return refuse(self, path, MF_E_INVALID, "is %s, must be %s", is[token.kind], wanted);
}

static int decode_u64(struct decoder *self, const struct mf_field *field, uint64_t *ret,
                      const struct path *path)
{
    struct mf_token token = next(self);

    if (token.kind == MF_T_NEGATIVE)
        return refuse(self, path, MF_E_INVALID, "%lld is below %llu", (long long)token.n,
                      (unsigned long long)field->min);
    if (token.kind != MF_T_UINT)
        return wrong_type(self, path, token, "an integer");
    *ret = token.n;
    return 0;
}

static int decode_bool(struct decoder *self, bool *ret, const struct path *path)
{
    struct mf_token token = next(self);

    if (token.kind != MF_T_BOOL)
        return wrong_type(self, path, token, "a boolean");
    *ret = token.n;
    return 0;
}

static int decode_str(struct decoder *self, struct mf_str *ret, const struct path *path)
{
    struct mf_token token = next(self);

    if (token.kind != MF_T_STR)
        return wrong_type(self, path, token, "a string");
    *ret = token.bytes;
    return 0;
}

static int decode_bin(struct decoder *self, struct mf_str *ret, const struct path *path)
{
    struct mf_token token = next(self);

    if (token.kind != MF_T_BIN)
        return wrong_type(self, path, token, "binary");
    *ret = token.bytes;
    return 0;
}

static int decode_fixed(struct decoder *self, const struct mf_field *field, void *ret,
                        const struct path *path)
{
    struct mf_str bytes = {0};
    int r = decode_bin(self, &bytes, path);

    if (r < 0)
        return r;
    if (bytes.len != field->max)
        return refuse(self, path, MF_E_INVALID, "has %u bytes, must have %u", bytes.len,
                      (unsigned)field->max);
    memcpy(ret, bytes.ptr, bytes.len);
    return 0;
}

static int decode_enum(struct decoder *self, const struct mf_field *field, unsigned *ret,
                       const struct path *path)
{
    struct mf_str word = {0};
    char list[160] = "";
    int r = decode_str(self, &word, path);

    if (r < 0)
        return r;
    *ret = mf_enum_value(field->words, word);
    if (*ret)
        return 0;
    for (unsigned i = 1, n = 0; i < field->words->n; i++)
        n += mf_str_format(list + n, sizeof(list) - n, "%s%s", i > 1 ? ", " : "", field->words->words[i]).len;
    return refuse(self, path, MF_E_INVALID, "is none of %s", list);
}

static int decode_labels(struct decoder *self, const struct mf_field *field, struct mf_labels *ret,
                         const struct path *path)
{
    struct mf_token token = next(self);
    char why[160];
    enum mf_errcode code;

    if (token.kind != MF_T_MAP)
        return wrong_type(self, path, token, "a map");
    code = mf_bounds_check(token.n, 0, field->max, " labels", why);
    if (code != MF_E_OK)
        return refuse(self, path, code, "%s", why);
    ret->n = (uint32_t)token.n;
    ret->items = ret->n ? mf_arena_alloc(self->arena, ret->n * sizeof(*ret->items)) : NULL;
    for (uint32_t i = 0; i < ret->n; i++) {
        int r = decode_str(self, &ret->items[i].key, path);

        if (r == 0)
            r = decode_str(self, &ret->items[i].value, path);
        if (r < 0)
            return r;
    }
    return 0;
}

static int decode_list(struct decoder *self, const struct mf_field *field, struct mf_list_any *ret,
                       const struct path *path)
{
    struct mf_token token = next(self);
    char why[160];
    enum mf_errcode code;

    if (token.kind != MF_T_ARRAY)
        return wrong_type(self, path, token, "an array");
    code = mf_bounds_check(token.n, 0, field->max, " items", why);
    if (code != MF_E_OK)
        return refuse(self, path, code, "%s", why);
    ret->n = (uint32_t)token.n;
    ret->items = ret->n ? mf_arena_alloc(self->arena, ret->n * field->record->size) : NULL;
    for (uint32_t i = 0; i < ret->n; i++) {
        struct path item = {path->up, path->name, i};
        int r = decode_record(self, field->record, (char *)ret->items + i * field->record->size, &item);

        if (r < 0)
            return r;
    }
    return 0;
}

static int decode_raw(struct decoder *self, struct mf_str *ret)
{
    const uint8_t *from = self->reader.at;

    skip(self);
    *ret = (struct mf_str){(const char *)from, (uint32_t)(self->reader.at - from)};
    return 0;
}

/* Reads one value of the field's type; what the row says beyond the type is checked by the caller. */
static int decode_value(struct decoder *self, const struct mf_field *field, void *at, const struct path *path)
{
    switch (field->kind) {
    case MF_F_U64:
        return decode_u64(self, field, at, path);
    case MF_F_BOOL:
        return decode_bool(self, at, path);
    case MF_F_STR:
    case MF_F_NAME:
        return decode_str(self, at, path);
    case MF_F_BIN:
        return decode_bin(self, at, path);
    case MF_F_UUID:
    case MF_F_DIGEST:
        return decode_fixed(self, field, at, path);
    case MF_F_ENUM:
        return decode_enum(self, field, at, path);
    case MF_F_LABELS:
        return decode_labels(self, field, at, path);
    case MF_F_RAW:
        return decode_raw(self, at);
    case MF_F_BLOB:
        return decode_bin(self, &((struct mf_blob *)at)->bytes, path);
    case MF_F_RECORD:
        return decode_record(self, field->record, at, path);
    case MF_F_LIST:
        return decode_list(self, field, at, path);
    }
    return 0;
}

static int decode_field(struct decoder *self, const struct mf_field *field, void *what, const struct path *up)
{
    struct path path = {up, field->name, -1};
    char why[160];
    void *at = (char *)what + field->offset;
    enum mf_errcode code;
    int r = decode_value(self, field, at, &path);

    if (r < 0)
        return r;
    code = mf_field_check(field, what, why);
    if (code != MF_E_OK)
        return refuse(self, &path, code, "%s", why);
    if (field->kind == MF_F_BLOB) {
        struct mf_blob *blob = at;

        if (blob->bytes.len)
            blob->digest = mf_digest_make(blob->bytes.ptr, blob->bytes.len);
    }
    return 0;
}

/* Keys mostly come in the table's order, so the search begins after the last one found. n_fields if there is
 * none. */
static unsigned find_field(const struct mf_desc *desc, struct mf_str key, unsigned hint)
{
    for (unsigned i = 0; i < desc->n_fields; i++) {
        unsigned at = (hint + i) % desc->n_fields;

        if (mf_str_is(key, desc->fields[at].name))
            return at;
    }
    return desc->n_fields;
}

struct unknown { /* keys seen that this side does not know: skipped, but not twice */
    struct mf_str keys[MF_UNKNOWN_KEYS_MAX];
    unsigned n;
};

static int skip_unknown(struct decoder *self, struct unknown *unknown, struct mf_str key,
                        const struct path *path)
{
    if (unknown->n == MF_UNKNOWN_KEYS_MAX)
        return refuse(self, path, MF_E_TOO_LARGE, "has more than %d keys that are unknown here",
                      MF_UNKNOWN_KEYS_MAX);
    for (unsigned i = 0; i < unknown->n; i++)
        if (mf_str_eq(unknown->keys[i], key))
            return refuse(self, path, MF_E_INVALID, "has an unknown key twice");
    unknown->keys[unknown->n++] = key;
    skip(self);
    return 0;
}

static int check_required(struct decoder *self, const struct mf_desc *desc, uint64_t seen,
                          const struct path *up)
{
    for (unsigned i = 0; i < desc->n_fields; i++) {
        struct path path = {up, desc->fields[i].name, -1};

        if (desc->fields[i].required && !(seen >> i & 1))
            return refuse(self, &path, MF_E_INVALID, "is missing");
    }
    return 0;
}

static int decode_record(struct decoder *self, const struct mf_desc *desc, void *ret_what,
                         const struct path *path)
{
    struct mf_token map = next(self);
    struct unknown unknown;
    uint64_t seen = 0;
    unsigned hint = 0;

    if (map.kind != MF_T_MAP)
        return wrong_type(self, path, map, "a map");
    unknown.n = 0;
    for (uint64_t pair = 0; pair < map.n; pair++) {
        struct mf_token key = next(self);
        unsigned i;
        int r;

        if (key.kind != MF_T_STR)
            return refuse(self, path, MF_E_INVALID, "has a key that is not a string");
        i = find_field(desc, key.bytes, hint);
        if (i == desc->n_fields) {
            r = skip_unknown(self, &unknown, key.bytes, path);
        } else if (seen >> i & 1) {
            struct path field = {path, desc->fields[i].name, -1};

            return refuse(self, &field, MF_E_INVALID, "is there twice");
        } else {
            seen |= UINT64_C(1) << i;
            hint = i + 1;
            r = decode_field(self, &desc->fields[i], ret_what, path);
        }
        if (r < 0)
            return r;
    }
    *(uint64_t *)ret_what = seen;
    return check_required(self, desc, seen, path);
}

int mf_decode(const struct mf_desc *desc, struct mf_str bytes, struct mf_arena *arena, void *ret_what,
              struct mf_decode_error *ret_error)
{
    struct path path = {NULL, desc->wire ? desc->wire : desc->id, -1};
    struct decoder self = {.reader = {(const uint8_t *)bytes.ptr, (const uint8_t *)bytes.ptr + bytes.len},
                           .arena = arena,
                           .error = ret_error};
    const char *fault;

    memset(ret_what, 0, desc->size);
    if (bytes.len > MF_MESSAGE_MAX)
        return refuse(&self, &path, MF_E_TOO_LARGE, "%u bytes is above %d", bytes.len, MF_MESSAGE_MAX);
    fault = mf_msgpack_fault(bytes, MF_DEPTH_MAX);
    if (fault)
        return refuse(&self, &path, MF_E_INVALID, "the body %s", fault);
    return decode_record(&self, desc, ret_what, &path);
}

static int refuse_head(struct mf_decode_error *error, enum mf_errcode code, const char *text)
{
    error->code = code;
    mf_str_format(error->text, sizeof(error->text), "%s", text);
    return -EINVAL;
}

/* "MF1 name" gives "name"; another "MF<digits>" is another major version, anything else is not of this
 * protocol. */
static int read_head(struct mf_str head, struct mf_str *ret_wire, struct mf_decode_error *error)
{
    const uint32_t tag = sizeof(MF_MAJOR_TAG) - 1;
    uint32_t digits = 2;

    if (head.len > tag && memcmp(head.ptr, MF_MAJOR_TAG " ", tag + 1) == 0) {
        *ret_wire = (struct mf_str){head.ptr + tag + 1, head.len - tag - 1};
        return 0;
    }
    while (digits < head.len && head.ptr[digits] >= '0' && head.ptr[digits] <= '9')
        digits++;
    if (head.len > digits && digits > 2 && memcmp(head.ptr, "MF", 2) == 0 && head.ptr[digits] == ' ')
        return refuse_head(error, MF_E_VERSION,
                           "frame 0: another major version of the protocol; " MF_MAJOR_TAG " is spoken here");
    return refuse_head(error, MF_E_INVALID, "frame 0: must be \"" MF_MAJOR_TAG " <message name>\"");
}

int mf_message_decode(struct mf_str head, struct mf_str body, struct mf_arena *arena,
                      struct mf_message *ret_message, struct mf_decode_error *ret_error)
{
    const struct mf_desc *desc;
    struct mf_str wire;
    int r = read_head(head, &wire, ret_error);

    if (r < 0)
        return r;
    desc = mf_desc_by_wire(wire);
    if (!desc || desc->kind >= MF_MSG_COUNT)
        return refuse_head(ret_error, MF_E_INVALID, "frame 0: no message of this name is known here");
    ret_message->kind = desc->kind;
    return mf_decode(desc, body, arena, &ret_message->provision, ret_error);
}

int mf_event_decode(enum mf_kind kind, struct mf_str bytes, struct mf_arena *arena,
                    struct mf_event *ret_event, struct mf_decode_error *ret_error)
{
    MF_CHECK(kind > MF_MSG_COUNT);
    ret_event->kind = kind;
    return mf_decode(mf_kind_desc(kind), bytes, arena, &ret_event->cluster_created, ret_error);
}

bool mf_message_request_id(struct mf_str body, struct mf_str *ret_request_id)
{
    struct decoder self = {.reader = {(const uint8_t *)body.ptr, (const uint8_t *)body.ptr + body.len}};
    struct mf_token map;

    *ret_request_id = (struct mf_str){"", 0};
    if (body.len > MF_MESSAGE_MAX || !mf_msgpack_valid(body))
        return false;
    map = next(&self);
    for (uint64_t pair = 0; map.kind == MF_T_MAP && pair < map.n; pair++) {
        struct mf_token key = next(&self), value;

        if (key.kind != MF_T_STR || !mf_str_is(key.bytes, "request_id")) {
            if (key.kind == MF_T_ARRAY || key.kind == MF_T_MAP)
                return false;
            skip(&self);
            continue;
        }
        value = next(&self);
        if (value.kind != MF_T_STR || value.bytes.len < 1 || value.bytes.len > 64 ||
            !mf_utf8_valid(value.bytes))
            return false;
        *ret_request_id = value.bytes;
        return true;
    }
    return false;
}
