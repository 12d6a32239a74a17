/* Does a message obey its row of the table? The encoder asserts that; a library must tell its caller instead.
 */
#include "client.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>

struct place { /* where in the message we are, for the sentence */
    const char *outer, *field;
    struct mayfly_error *error;
};

#define BAD(place, ...) bad(place, (char[512]){0}, 512, __VA_ARGS__)
__attribute__((format(printf, 4, 5))) static int bad(const struct place *place, char *text, size_t size,
                                                     const char *format, ...)
{
    __builtin_va_list args;
    __builtin_va_start(args, format);
    __builtin_vsnprintf(text, size, format, args);
    __builtin_va_end(args);
    return mf_client_error(place->error, MF_E_INVALID, false, -EINVAL, "%s.%s: %s", place->outer,
                           place->field, text);
}

/* Well-formed UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF. */
static bool utf8_valid(struct mf_str s)
{
    const unsigned char *p = (const unsigned char *)s.ptr, *end = p + s.len;
    while (p < end) {
        unsigned more = *p < 0x80                 ? 0
                        : *p >= 0xc2 && *p < 0xe0 ? 1
                        : *p >= 0xe0 && *p < 0xf0 ? 2
                        : *p >= 0xf0 && *p < 0xf5 ? 3
                                                  : 4;
        if (more == 4 || end - p <= more)
            return false;
        if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) || (*p == 0xf0 && p[1] < 0x90) ||
            (*p == 0xf4 && p[1] > 0x8f))
            return false;
        for (unsigned i = 1; i <= more; i++)
            if ((p[i] & 0xc0) != 0x80)
                return false;
        p += more + 1;
    }
    return true;
}

static int check_bytes(const struct place *place, const struct mf_field *field, struct mf_str value,
                       bool text)
{
    if (value.len < field->min)
        return BAD(place, value.len ? "%u bytes are fewer than %" PRIu64 : "is missing", value.len,
                   field->min);
    if (value.len > field->max)
        return BAD(place, "%u bytes are more than the limit of %" PRIu64, value.len, field->max);
    if (text && !utf8_valid(value))
        return BAD(place, "is not valid UTF-8");
    return 0;
}

static int check_name(const struct place *place, struct mf_str value)
{
    if (!value.len)
        return BAD(place, "is missing");
    if (!mf_name_valid(value))
        return BAD(place,
                   "\"%.*s\" is not a name: 1 to 63 of a-z, 0-9 and -, beginning with a letter or digit",
                   value.len > 80 ? 80 : (int)value.len, value.ptr);
    return 0;
}

static int check_labels(const struct place *place, const struct mf_field *field,
                        const struct mf_labels *labels)
{
    if (labels->n > field->max)
        return BAD(place, "%u labels are more than the limit of %" PRIu64, labels->n, field->max);
    for (uint32_t i = 0; i < labels->n; i++) {
        const struct mf_label *label = &labels->items[i];
        if (!mf_name_valid(label->key))
            return BAD(place, "\"%.*s\" is not a label's name: 1 to 63 of a-z, 0-9 and -",
                       label->key.len > 80 ? 80 : (int)label->key.len, label->key.ptr);
        if (label->value.len > 63 || !utf8_valid(label->value))
            return BAD(place, "the value of %.*s must be at most 63 bytes of UTF-8", (int)label->key.len,
                       label->key.ptr);
        for (uint32_t j = 0; j < i; j++)
            if (mf_str_eq(labels->items[j].key, label->key))
                return BAD(place, "%.*s is said twice", (int)label->key.len, label->key.ptr);
    }
    return 0;
}

static int check_struct(const struct mf_desc *desc, const char *outer, const void *what,
                        struct mayfly_error *error);

static bool absent(const struct mf_field *field, const void *at, bool has)
{
    struct mf_str s;
    if (field->required || has)
        return false;
    switch (field->kind) {
    case MF_F_STR:
    case MF_F_NAME:
    case MF_F_BIN:
    case MF_F_RAW:
        memcpy(&s, at, sizeof s);
        return !s.len;
    case MF_F_U64:
        return !*(const uint64_t *)at;
    case MF_F_ENUM:
        return !*(const unsigned *)at;
    case MF_F_BLOB:
        return !((const struct mf_blob *)at)->bytes.len;
    default:
        return false;
    }
}

static int check_field(const struct mf_field *field, const struct place *place, const void *at)
{
    uint64_t number;
    unsigned word;
    switch (field->kind) {
    case MF_F_U64:
        number = *(const uint64_t *)at;
        if (number < field->min || number > field->max)
            return BAD(place, "%" PRIu64 " is not within %" PRIu64 "..%" PRIu64, number, field->min,
                       field->max);
        return 0;
    case MF_F_STR:
        return check_bytes(place, field, *(const struct mf_str *)at, true);
    case MF_F_BIN:
    case MF_F_RAW:
        return check_bytes(place, field, *(const struct mf_str *)at, false);
    case MF_F_BLOB:
        return check_bytes(place, field, ((const struct mf_blob *)at)->bytes, false);
    case MF_F_NAME:
        return check_name(place, *(const struct mf_str *)at);
    case MF_F_ENUM:
        word = *(const unsigned *)at;
        if (!word || word >= field->words->n)
            return BAD(place, "is not one of its words");
        return 0;
    case MF_F_LABELS:
        return check_labels(place, field, at);
    case MF_F_RECORD:
        return check_struct(field->record, place->field, at, place->error);
    default:
        return 0;
    }
}

static int check_struct(const struct mf_desc *desc, const char *outer, const void *what,
                        struct mayfly_error *error)
{
    uint64_t has = *(const uint64_t *)what; /* every struct begins with it */
    for (unsigned i = 0; i < desc->n_fields; i++) {
        const struct mf_field *field = &desc->fields[i];
        struct place place = {.outer = outer, .field = field->name, .error = error};
        const void *at = (const char *)what + field->offset;
        if (absent(field, at, has >> i & 1))
            continue;
        int r = check_field(field, &place, at);
        if (r)
            return r;
    }
    return 0;
}

int mayfly_message_check(const struct mf_message *message, struct mayfly_error *ret_error)
{
    const struct mf_desc *desc = mf_kind_desc(message->kind);
    return check_struct(desc, desc->wire, &message->error, ret_error); /* every body begins the union */
}
