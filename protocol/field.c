/* field.c - what a row of the table demands of a value. Encode asserts it, decode enforces it: one rule for
 * both ends. */
#include "codec.h"

#include <inttypes.h>
#include <string.h>

static enum mf_errcode refuse(enum mf_errcode code, char why[160], const char *text)
{
    mf_str_format(why, 160, "%s", text);
    return code;
}

enum mf_errcode mf_bounds_check(uint64_t n, uint64_t min, uint64_t max, const char *unit, char why[160])
{
    if (n < min) {
        mf_str_format(why, 160, "%" PRIu64 "%s is below %" PRIu64, n, unit, min);
        return MF_E_INVALID;
    }
    if (n > max) {
        mf_str_format(why, 160, "%" PRIu64 "%s is above %" PRIu64, n, unit, max);
        return *unit ? MF_E_TOO_LARGE : MF_E_INVALID; /* a size, or a value */
    }
    return MF_E_OK;
}

static enum mf_errcode check_str(struct mf_str s, uint64_t min, uint64_t max, char why[160])
{
    enum mf_errcode code = mf_bounds_check(s.len, min, max, " bytes", why);

    if (code == MF_E_OK && !mf_utf8_valid(s))
        return refuse(MF_E_INVALID, why, "is not UTF-8 without zero bytes");
    return code;
}

/* The start of a refused name is shown, as printable ASCII. */
static enum mf_errcode check_name(struct mf_str s, char why[160])
{
    char shown[41];
    uint32_t n = s.len < 40 ? s.len : 40;

    if (mf_name_valid(s))
        return MF_E_OK;
    for (uint32_t i = 0; i < n; i++)
        shown[i] = s.ptr[i] >= ' ' && s.ptr[i] <= '~' ? s.ptr[i] : '?';
    shown[n] = 0;
    mf_str_format(why, 160, "\"%s%s\" is not a name: 1 to 63 of a-z, 0-9 and -, not - first", shown,
                  s.len > n ? "..." : "");
    return MF_E_INVALID;
}

static enum mf_errcode check_labels(const struct mf_labels *labels, uint64_t max, char why[160])
{
    enum mf_errcode code = mf_bounds_check(labels->n, 0, max, " labels", why);

    for (uint32_t i = 0; code == MF_E_OK && i < labels->n; i++) {
        const struct mf_label *label = &labels->items[i];

        code = check_name(label->key, why);
        if (code == MF_E_OK)
            code = check_str(label->value, 0, MF_LABEL_VALUE_MAX, why);
        for (uint32_t j = 0; code == MF_E_OK && j < i; j++)
            if (mf_str_eq(label->key, labels->items[j].key))
                code = refuse(MF_E_INVALID, why, "has the same label twice");
    }
    return code;
}

static enum mf_errcode check_raw(struct mf_str raw, uint64_t max, char why[160])
{
    enum mf_errcode code = mf_bounds_check(raw.len, 1, max, " bytes", why);
    struct mf_reader reader = {(const uint8_t *)raw.ptr, (const uint8_t *)raw.ptr + raw.len};
    struct mf_token token;
    const char *fault;

    if (code != MF_E_OK)
        return code;
    fault = mf_msgpack_fault(raw, MF_RAW_DEPTH_MAX);
    if (fault)
        return refuse(MF_E_INVALID, why, fault);
    if (mf_token_read(&reader, &token) || token.kind != MF_T_MAP)
        return refuse(MF_E_INVALID, why, "is not a map");
    return MF_E_OK;
}

enum mf_errcode mf_field_check(const struct mf_field *field, const void *what, char why[160])
{
    const void *at = (const char *)what + field->offset;

    switch (field->kind) {
    case MF_F_U64:
        return mf_bounds_check(*(const uint64_t *)at, field->min, field->max, "", why);
    case MF_F_STR:
        return check_str(*(const struct mf_str *)at, field->min, field->max, why);
    case MF_F_NAME:
        return check_name(*(const struct mf_str *)at, why);
    case MF_F_BIN:
        return mf_bounds_check(((const struct mf_str *)at)->len, field->min, field->max, " bytes", why);
    case MF_F_ENUM:
        if (*mf_enum_word(field->words, *(const unsigned *)at) == 0)
            return refuse(MF_E_INVALID, why, "is none of its words");
        return MF_E_OK;
    case MF_F_LABELS:
        return check_labels(at, field->max, why);
    case MF_F_RAW:
        return check_raw(*(const struct mf_str *)at, field->max, why);
    case MF_F_BLOB:
        return mf_bounds_check(((const struct mf_blob *)at)->bytes.len, 0, field->max, " bytes", why);
    case MF_F_LIST:
        return mf_bounds_check(((const struct mf_list_any *)at)->n, 0, field->max, " items", why);
    case MF_F_BOOL:
    case MF_F_UUID:
    case MF_F_DIGEST:
    case MF_F_RECORD:
        break; /* every value is one */
    }
    return MF_E_OK;
}

static bool zero_record(const struct mf_desc *desc, const void *what);

static bool zero_field(const struct mf_field *field, const void *at)
{
    switch (field->kind) {
    case MF_F_U64:
        return *(const uint64_t *)at == 0;
    case MF_F_BOOL:
        return !*(const bool *)at;
    case MF_F_STR:
    case MF_F_NAME:
    case MF_F_BIN:
    case MF_F_RAW:
        return ((const struct mf_str *)at)->len == 0;
    case MF_F_UUID:
        return mf_uuid_is_zero(*(const struct mf_uuid *)at);
    case MF_F_DIGEST:
        return mf_digest_is_zero(*(const struct mf_digest *)at);
    case MF_F_ENUM:
        return *(const unsigned *)at == 0;
    case MF_F_LABELS:
        return ((const struct mf_labels *)at)->n == 0;
    case MF_F_BLOB:
        return ((const struct mf_blob *)at)->bytes.len == 0;
    case MF_F_RECORD:
        return zero_record(field->record, at);
    case MF_F_LIST:
        return ((const struct mf_list_any *)at)->n == 0;
    }
    return true;
}

static bool zero_record(const struct mf_desc *desc, const void *what)
{
    for (unsigned i = 0; i < desc->n_fields; i++)
        if (!zero_field(&desc->fields[i], (const char *)what + desc->fields[i].offset))
            return false;
    return true;
}

bool mf_field_present(const struct mf_desc *desc, unsigned index, const void *what)
{
    const struct mf_field *field = &desc->fields[index];
    uint64_t has = *(const uint64_t *)what;

    return field->required || (has >> index & 1) || !zero_field(field, (const char *)what + field->offset);
}
