/* table.c - messages.def, enums.def and errors.def as data: one row per field, one descriptor per message,
 * event and record. */
#include "check.h"
#include "message.h"

#include <string.h>

/* -- enumerations */

#define MF_ENUM_BEGIN(id, ID, doc)   static const char *const words_##id[] = {"",
#define MF_WORD(ID, WORD, word, doc) word,
#define MF_ENUM_END(id)                                                                                      \
    }                                                                                                        \
    ;
#include "enums.def"
#undef MF_ENUM_BEGIN
#undef MF_WORD
#undef MF_ENUM_END

#define MF_ENUM_BEGIN(id, ID, doc)   static const char *const docs_##id[] = {"",
#define MF_WORD(ID, WORD, word, doc) doc,
#define MF_ENUM_END(id)                                                                                      \
    }                                                                                                        \
    ;
#include "enums.def"
#undef MF_ENUM_BEGIN
#undef MF_WORD
#undef MF_ENUM_END

#define MF_ENUM_BEGIN(id_, ID, doc_)                                                                         \
    static const struct mf_enum_desc enum_##id_ = {                                                          \
        .id = #id_, .doc = doc_, .words = words_##id_, .docs = docs_##id_, .n = MF_ENUM_COUNT_##id_};
#define MF_WORD(ID, WORD, word, doc)
#define MF_ENUM_END(id)
#include "enums.def"
#undef MF_ENUM_BEGIN
#undef MF_WORD
#undef MF_ENUM_END

static const struct mf_enum_desc *const enums[] = {
#define MF_ENUM_BEGIN(id, ID, doc) &enum_##id,
#define MF_WORD(ID, WORD, word, doc)
#define MF_ENUM_END(id)
#include "enums.def"
#undef MF_ENUM_BEGIN
#undef MF_WORD
#undef MF_ENUM_END
};

const struct mf_enum_desc *mf_enum_desc(unsigned index)
{
    return index < sizeof(enums) / sizeof(*enums) ? enums[index] : NULL;
}

const char *mf_enum_word(const struct mf_enum_desc *desc, unsigned value)
{
    return value < desc->n ? desc->words[value] : "";
}

unsigned mf_enum_value(const struct mf_enum_desc *desc, struct mf_str word)
{
    for (unsigned i = 1; i < desc->n; i++)
        if (mf_str_is(word, desc->words[i]))
            return i;
    return 0;
}

#define MF_ENUM_BEGIN(id, ID, doc)                                                                           \
    const char *mf_##id##_word(enum mf_##id value)                                                           \
    {                                                                                                        \
        return mf_enum_word(&enum_##id, (unsigned)value);                                                    \
    }                                                                                                        \
    enum mf_##id mf_##id##_value(struct mf_str word)                                                         \
    {                                                                                                        \
        return (enum mf_##id)mf_enum_value(&enum_##id, word);                                                \
    }
#define MF_WORD(ID, WORD, word, doc)
#define MF_ENUM_END(id)
#include "enums.def"
#undef MF_ENUM_BEGIN
#undef MF_WORD
#undef MF_ENUM_END

/* -- roles */

static const char *const roles[MF_ROLE_COUNT] = {"",       "operator", "client", "reader",
                                                 "worker", "monitor",  "broker"};

const char *mf_role_word(enum mf_role role)
{
    return (unsigned)role < MF_ROLE_COUNT ? roles[role] : "";
}

enum mf_role mf_role_value(struct mf_str word)
{
    for (unsigned i = 1; i < MF_ROLE_COUNT; i++)
        if (mf_str_is(word, roles[i]))
            return (enum mf_role)i;
    return MF_ROLE_NONE;
}

/* -- errors */

static const struct {
    const char *code, *sentence;
    bool retry;
} errors[] = {
#define MF_ERROR(ID, code, retry, doc) [MF_E_##ID] = {code, doc, retry},
#include "errors.def"
#undef MF_ERROR
};

static unsigned known_error(enum mf_errcode e)
{
    return (unsigned)e < MF_E_COUNT ? (unsigned)e : MF_E_INTERNAL;
}

const char *mf_error_code(enum mf_errcode e)
{
    return errors[known_error(e)].code;
}

const char *mf_error_sentence(enum mf_errcode e)
{
    return errors[known_error(e)].sentence;
}

bool mf_error_retry(enum mf_errcode e)
{
    return errors[known_error(e)].retry;
}

enum mf_errcode mf_error_value(struct mf_str code)
{
    for (unsigned i = 0; i < MF_E_COUNT; i++)
        if (mf_str_is(code, errors[i].code))
            return (enum mf_errcode)i;
    return MF_E_INTERNAL;
}

/* -- fields: a static array for each struct */

#define MF_REQ true
#define MF_OPT false
#define ROW(t, f, KIND, need, since_, doc_)                                                                  \
    .name = #f, .doc = doc_, .kind = KIND, .required = need, .since = since_, .offset = offsetof(struct t, f)

#define MF_MSG_BEGIN(id, ID, wire, by, doc)     static const struct mf_field fields_msg_##id[] = {
#define MF_EVENT_BEGIN(id, ID, wire, root, doc) static const struct mf_field fields_ev_##id[] = {
#define MF_RECORD_BEGIN(id, ID, doc)            static const struct mf_field fields_rec_##id[] = {
#define ROWS_END(array)                                                                                      \
    }                                                                                                        \
    ;                                                                                                        \
    _Static_assert(sizeof(array) / sizeof(*array) <= 64, "`has` holds 64 fields")
#define MF_MSG_END(id)                         ROWS_END(fields_msg_##id);
#define MF_EVENT_END(id)                       ROWS_END(fields_ev_##id);
#define MF_RECORD_END(id)                      ROWS_END(fields_rec_##id);
#define MF_U64(t, f, lo, hi, need, since, doc) {ROW(t, f, MF_F_U64, need, since, doc), .min = lo, .max = hi},
#define MF_BOOL(t, f, need, since, doc)        {ROW(t, f, MF_F_BOOL, need, since, doc), .max = 1},
#define MF_STR(t, f, lo, hi, need, since, doc) {ROW(t, f, MF_F_STR, need, since, doc), .min = lo, .max = hi},
#define MF_NAME(t, f, need, since, doc)                                                                      \
    {ROW(t, f, MF_F_NAME, need, since, doc), .min = 1, .max = MF_NAME_MAX},
#define MF_BIN(t, f, lo, hi, need, since, doc) {ROW(t, f, MF_F_BIN, need, since, doc), .min = lo, .max = hi},
#define MF_UUID(t, f, need, since, doc)        {ROW(t, f, MF_F_UUID, need, since, doc), .min = 16, .max = 16},
#define MF_DIGEST(t, f, need, since, doc)      {ROW(t, f, MF_F_DIGEST, need, since, doc), .min = 32, .max = 32},
#define MF_ENUM(t, f, id, need, since, doc)    {ROW(t, f, MF_F_ENUM, need, since, doc), .words = &enum_##id},
#define MF_LABELS(t, f, hi, need, since, doc)  {ROW(t, f, MF_F_LABELS, need, since, doc), .max = hi},
#define MF_RAW(t, f, hi, need, since, doc)     {ROW(t, f, MF_F_RAW, need, since, doc), .min = 1, .max = hi},
#define MF_BLOB(t, f, hi, need, since, doc)    {ROW(t, f, MF_F_BLOB, need, since, doc), .max = hi},
#define MF_RECORD(t, f, rec, need, since, doc)                                                               \
    {ROW(t, f, MF_F_RECORD, need, since, doc), .record = &mf_rec_##rec##_desc},
#define MF_LIST(t, f, rec, hi, need, since, doc)                                                             \
    {ROW(t, f, MF_F_LIST, need, since, doc), .max = hi, .record = &mf_rec_##rec##_desc},
#include "messages.def"
#include "messages_undef.h"

/* -- descriptors */

#define FIELDS(array) .fields = array, .n_fields = sizeof(array) / sizeof(*array)

#define MF_MSG_BEGIN(id_, ID, wire, by, doc)
#define MF_EVENT_BEGIN(id_, ID, wire, root, doc)
#define MF_RECORD_BEGIN(id_, ID, doc_)                                                                       \
    const struct mf_desc mf_rec_##id_##_desc = {                                                             \
        .id = #id_, .doc = doc_, .size = sizeof(struct mf_rec_##id_), FIELDS(fields_rec_##id_)};
#include "messages_nofields.h"
#include "messages.def"
#include "messages_undef.h"

static const struct mf_desc *const records[] = {
#define MF_MSG_BEGIN(id, ID, wire, by, doc)
#define MF_EVENT_BEGIN(id, ID, wire, root, doc)
#define MF_RECORD_BEGIN(id, ID, doc) &mf_rec_##id##_desc,
#include "messages_nofields.h"
#include "messages.def"
#include "messages_undef.h"
};

static const struct mf_desc kinds[MF_KIND_COUNT] = {
#define MF_MSG_BEGIN(id_, ID, wire_, by, doc_)                                                               \
    [MF_MSG_##ID] = {.id = #id_,                                                                             \
                     .wire = wire_,                                                                          \
                     .doc = doc_,                                                                            \
                     .kind = MF_MSG_##ID,                                                                    \
                     .may_send = by,                                                                         \
                     .size = sizeof(struct mf_msg_##id_),                                                    \
                     FIELDS(fields_msg_##id_)},
#define MF_EVENT_BEGIN(id_, ID, wire_, root_, doc_)                                                          \
    [MF_EV_##ID] = {.id = #id_,                                                                              \
                    .wire = wire_,                                                                           \
                    .doc = doc_,                                                                             \
                    .kind = MF_EV_##ID,                                                                      \
                    .root = root_,                                                                           \
                    .size = sizeof(struct mf_ev_##id_),                                                      \
                    FIELDS(fields_ev_##id_)},
#define MF_RECORD_BEGIN(id, ID, doc)
#include "messages_nofields.h"
#include "messages.def"
#include "messages_undef.h"
};

const struct mf_desc *mf_kind_desc(enum mf_kind kind)
{
    MF_CHECK(kind > MF_KIND_NONE && kind < MF_KIND_COUNT && kind != MF_MSG_COUNT);
    return &kinds[kind];
}

const struct mf_desc *mf_record_desc(unsigned index)
{
    return index < sizeof(records) / sizeof(*records) ? records[index] : NULL;
}

const struct mf_desc *mf_desc_by_wire(struct mf_str wire)
{
    for (unsigned i = 0; i < MF_KIND_COUNT; i++)
        if (kinds[i].wire && wire.len > 0 && wire.ptr[0] == kinds[i].wire[0] &&
            mf_str_is(wire, kinds[i].wire))
            return &kinds[i];
    return NULL;
}

bool mf_may_send(enum mf_role role, enum mf_kind kind)
{
    if (role <= MF_ROLE_NONE || role >= MF_ROLE_COUNT || kind <= MF_KIND_NONE || kind >= MF_MSG_COUNT)
        return false;
    return kinds[kind].may_send & (1u << role);
}
