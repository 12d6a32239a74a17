/* message.h - what travels and what is logged, as C structs; and the codec between them and msgpack.
 *
 * All types here are generated from messages.def, enums.def and errors.def. Decoded strings, lists and labels
 * point into the decoded bytes or into the arena given to the decoder: they live as long as both.
 *
 * Decode is safe on any bytes: a bounded walk (declared counts against bytes left, depth <= MF_DEPTH_MAX)
 * comes first, nothing is allocated in proportion to a declared count that the bytes cannot hold, every bound
 * of the table is enforced, and an error says which field and why. A BLOB's digest is computed by the decoder
 * (zero for an absent or empty one). */
#ifndef MF_MESSAGE_H
#define MF_MESSAGE_H

#include "arena.h"
#include "ids.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MF_MESSAGE_MAX = 1 << 20, MF_USER_DATA_MAX = 65536, MF_NAME_MAX = 63, MF_DEPTH_MAX = 8, MF_MINOR = 0 };
#define MF_MAJOR_TAG "MF1" /* frame 0 is "MF1 <wire-name>", frame 1 the body */

struct mf_str { /* bytes, not terminated; UTF-8 where the table says STR */
    const char *ptr;
    uint32_t len;
};
struct mf_blob { /* inside a core only the digest counts; the edge swaps bytes in and out */
    struct mf_digest digest;
    struct mf_str bytes;
};
struct mf_label {
    struct mf_str key, value;
};
struct mf_labels {
    struct mf_label *items;
    uint32_t n;
};

/* -- enumerations: enum mf_<id>, MF_<ID>_<WORD>; value 0 is MF_<ID>_UNSET */
#define MF_ENUM_BEGIN(id, ID, doc)                                                                           \
    enum mf_##id                                                                                             \
    {                                                                                                        \
        MF_##ID##_UNSET = 0,
#define MF_WORD(ID, WORD, word, doc) MF_##ID##_##WORD,
#define MF_ENUM_END(id)                                                                                      \
    MF_ENUM_COUNT_##id                                                                                       \
    }                                                                                                        \
    ;
#include "enums.def"
#undef MF_ENUM_BEGIN
#undef MF_WORD
#undef MF_ENUM_END

/* the word of a value ("" for UNSET or out of range), and the value of a word (0 if none): mf_<id>_word,
 * mf_<id>_value */
#define MF_ENUM_BEGIN(id, ID, doc)                                                                           \
    const char *mf_##id##_word(enum mf_##id value);                                                          \
    enum mf_##id mf_##id##_value(struct mf_str word);
#define MF_WORD(ID, WORD, word, doc)
#define MF_ENUM_END(id)
#include "enums.def"
#undef MF_ENUM_BEGIN
#undef MF_WORD
#undef MF_ENUM_END

/* -- roles of keys */
enum mf_role {
    MF_ROLE_NONE = 0,
    MF_ROLE_OPERATOR,
    MF_ROLE_CLIENT,
    MF_ROLE_READER,
    MF_ROLE_WORKER,
    MF_ROLE_MONITOR,
    MF_ROLE_BROKER,
    MF_ROLE_COUNT
};
#define MF_BY_OPERATOR (1u << MF_ROLE_OPERATOR)
#define MF_BY_CLIENT   (1u << MF_ROLE_CLIENT)
#define MF_BY_READER   (1u << MF_ROLE_READER)
#define MF_BY_WORKER   (1u << MF_ROLE_WORKER)
#define MF_BY_MONITOR  (1u << MF_ROLE_MONITOR)
#define MF_BY_BROKER   (1u << MF_ROLE_BROKER)
const char *mf_role_word(enum mf_role role);
enum mf_role mf_role_value(struct mf_str word);

/* -- errors */
#define MF_ERROR(ID, code, retry, doc) MF_E_##ID,
enum mf_errcode {
#include "errors.def"
    MF_E_COUNT
};
#undef MF_ERROR
const char *mf_error_code(enum mf_errcode e);     /* "no-room" */
const char *mf_error_sentence(enum mf_errcode e); /* "No node has room for it now." */
bool mf_error_retry(enum mf_errcode e);
enum mf_errcode mf_error_value(struct mf_str code); /* MF_E_INTERNAL if unknown */

/* -- structs. `has` has bit i set if field i (in table order) was present / is to be sent; required fields
 * are always sent. An optional field is sent if its bit is set or its value is not zero/empty. */
#define MF_MSG_BEGIN(id, ID, wire, by, doc)                                                                  \
    struct mf_msg_##id {                                                                                     \
        uint64_t has;
#define MF_MSG_END(id)                                                                                       \
    }                                                                                                        \
    ;
#define MF_EVENT_BEGIN(id, ID, wire, root, doc)                                                              \
    struct mf_ev_##id {                                                                                      \
        uint64_t has;
#define MF_EVENT_END(id)                                                                                     \
    }                                                                                                        \
    ;
#define MF_RECORD_BEGIN(id, ID, doc)                                                                         \
    struct mf_rec_##id {                                                                                     \
        uint64_t has;
#define MF_RECORD_END(id)                                                                                    \
    }                                                                                                        \
    ;
#define MF_U64(t, f, min, max, need, since, doc) uint64_t f;
#define MF_BOOL(t, f, need, since, doc)          bool f;
#define MF_STR(t, f, min, max, need, since, doc) struct mf_str f;
#define MF_NAME(t, f, need, since, doc)          struct mf_str f;
#define MF_BIN(t, f, min, max, need, since, doc) struct mf_str f;
#define MF_UUID(t, f, need, since, doc)          struct mf_uuid f;
#define MF_DIGEST(t, f, need, since, doc)        struct mf_digest f;
#define MF_ENUM(t, f, id, need, since, doc)      enum mf_##id f;
#define MF_LABELS(t, f, max, need, since, doc)   struct mf_labels f;
#define MF_RAW(t, f, max, need, since, doc)      struct mf_str f;
#define MF_BLOB(t, f, max, need, since, doc)     struct mf_blob f;
#define MF_RECORD(t, f, rec, need, since, doc)   struct mf_rec_##rec f;
#define MF_LIST(t, f, rec, max, need, since, doc)                                                            \
    struct {                                                                                                 \
        struct mf_rec_##rec *items;                                                                          \
        uint32_t n;                                                                                          \
    } f;
#include "messages.def"
#include "messages_undef.h"

enum mf_kind { /* MF_MSG_<ID> and MF_EV_<ID> */
               MF_KIND_NONE = 0,
#define MF_MSG_BEGIN(id, ID, wire, by, doc) MF_MSG_##ID,
#define MF_EVENT_BEGIN(id, ID, wire, root, doc)
#define MF_RECORD_BEGIN(id, ID, doc)
#include "messages_nofields.h"
#include "messages.def"
#include "messages_undef.h"
               MF_MSG_COUNT, /* messages are below, events above */
#define MF_MSG_BEGIN(id, ID, wire, by, doc)
#define MF_EVENT_BEGIN(id, ID, wire, root, doc) MF_EV_##ID,
#define MF_RECORD_BEGIN(id, ID, doc)
#include "messages_nofields.h"
#include "messages.def"
#include "messages_undef.h"
               MF_KIND_COUNT
};

struct mf_message {
    enum mf_kind kind; /* an MF_MSG_ */
    union {
#define MF_MSG_BEGIN(id, ID, wire, by, doc) struct mf_msg_##id id;
#define MF_EVENT_BEGIN(id, ID, wire, root, doc)
#define MF_RECORD_BEGIN(id, ID, doc)
#include "messages_nofields.h"
#include "messages.def"
#include "messages_undef.h"
    };
};

struct mf_event {
    enum mf_kind kind; /* an MF_EV_ */
    union {
#define MF_MSG_BEGIN(id, ID, wire, by, doc)
#define MF_EVENT_BEGIN(id, ID, wire, root, doc) struct mf_ev_##id id;
#define MF_RECORD_BEGIN(id, ID, doc)
#include "messages_nofields.h"
#include "messages.def"
#include "messages_undef.h"
    };
};

/* -- the table, for those who walk it (codec, docs, generator, CLI) */
enum mf_field_kind {
    MF_F_U64,
    MF_F_BOOL,
    MF_F_STR,
    MF_F_NAME,
    MF_F_BIN,
    MF_F_UUID,
    MF_F_DIGEST,
    MF_F_ENUM,
    MF_F_LABELS,
    MF_F_RAW,
    MF_F_BLOB,
    MF_F_RECORD,
    MF_F_LIST
};
struct mf_desc;
struct mf_field {
    const char *name, *doc;
    enum mf_field_kind kind;
    bool required;
    unsigned since;
    size_t offset;
    uint64_t min, max;                /* value (U64), bytes (STR, BIN, RAW, BLOB) or items (LABELS, LIST) */
    const struct mf_desc *record;     /* RECORD, LIST */
    const struct mf_enum_desc *words; /* ENUM */
};
struct mf_enum_desc {
    const char *id, *doc;
    const char *const *words; /* [0] is "" */
    const char *const *docs;
    unsigned n; /* with UNSET */
};
struct mf_desc {
    const char *id, *wire, *doc; /* wire is NULL for records */
    enum mf_kind kind;           /* MF_KIND_NONE for records */
    unsigned may_send;           /* messages */
    bool root;                   /* events */
    size_t size;                 /* of the struct */
    const struct mf_field *fields;
    unsigned n_fields;
};
const struct mf_enum_desc *mf_enum_desc(unsigned index); /* 0.. ; NULL past the end */
const char *mf_enum_word(const struct mf_enum_desc *desc, unsigned value);
unsigned mf_enum_value(const struct mf_enum_desc *desc, struct mf_str word);
const struct mf_desc *mf_kind_desc(enum mf_kind kind);     /* never NULL for a valid kind */
const struct mf_desc *mf_desc_by_wire(struct mf_str wire); /* NULL if unknown */
/* descriptors of records: mf_rec_<id>_desc */
#define MF_MSG_BEGIN(id, ID, wire, by, doc)
#define MF_EVENT_BEGIN(id, ID, wire, root, doc)
#define MF_RECORD_BEGIN(id, ID, doc) extern const struct mf_desc mf_rec_##id##_desc;
#include "messages_nofields.h"
#include "messages.def"
#include "messages_undef.h"
const struct mf_desc *mf_record_desc(unsigned index); /* 0.. ; NULL past the end */

/* The one place that says who may send what. */
bool mf_may_send(enum mf_role role, enum mf_kind kind);

/* -- codec */
struct mf_buf { /* a growing buffer; zero-initialised is empty; mf_buf_free when done */
    char *ptr;
    size_t len, cap;
};
void mf_buf_append(struct mf_buf *buf, const void *bytes,
                   size_t len);        /* aborts only when memory is exhausted */
void mf_buf_clear(struct mf_buf *buf); /* keeps the memory */
void mf_buf_free(struct mf_buf *buf);

/* Append the msgpack map of *what. The struct must obey the table (a violation is a bug and asserts, naming
 * the field). */
void mf_encode(const struct mf_desc *desc, const void *what, struct mf_buf *buf);

struct mf_decode_error {
    enum mf_errcode code; /* INVALID or TOO_LARGE */
    char text[256];       /* "provision.count: 0 is below 1" */
};
/* Decode one msgpack map that must fill bytes exactly. Returns 0, or -EINVAL with *ret_error filled and
 * *ret_what undefined. */
int mf_decode(const struct mf_desc *desc, struct mf_str bytes, struct mf_arena *arena, void *ret_what,
              struct mf_decode_error *ret_error);

/* Bytes that mf_encode would append: for pages and streams that must stay below MF_MESSAGE_MAX. */
size_t mf_encode_size(const struct mf_desc *desc, const void *what);

void mf_message_encode(const struct mf_message *message, struct mf_buf *ret_head,
                       struct mf_buf *ret_body); /* the two frames, appended */
int mf_message_decode(
    struct mf_str head, struct mf_str body, struct mf_arena *arena, struct mf_message *ret_message,
    struct mf_decode_error *ret_error); /* code VERSION for another major, INVALID for an unknown wire name */
/* The request_id of a body that may otherwise be refused, so that an error can name it; false (and empty) if
 * it can't be read. */
bool mf_message_request_id(struct mf_str body, struct mf_str *ret_request_id);
void mf_event_encode(const struct mf_event *event, struct mf_buf *buf);
int mf_event_decode(enum mf_kind kind, struct mf_str bytes, struct mf_arena *arena,
                    struct mf_event *ret_event, struct mf_decode_error *ret_error);

/* Is this a single well-formed msgpack value within bounds (depth, counts vs bytes)? */
bool mf_msgpack_valid(struct mf_str bytes);

/* -- small helpers on strings */
struct mf_str mf_str(const char *cstring); /* a view */
bool mf_str_eq(struct mf_str a, struct mf_str b);
bool mf_str_is(struct mf_str a, const char *cstring);
bool mf_name_valid(struct mf_str name);
struct mf_str mf_str_dup(struct mf_arena *arena, struct mf_str s); /* also zero-terminates the copy */
struct mf_labels mf_labels_dup(struct mf_arena *arena, struct mf_labels labels);
/* printf into a fixed array, cut at its end (not within a character), always terminated, scrubbed; returns a
 * view of it */
struct mf_str mf_str_format(char *array, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Makes bytes from outside (a library's message, a peer's words) fit to travel as STR: what is not UTF-8, and
 * U+0000, becomes "?". In place. */
struct mf_str mf_str_scrub(char *bytes, uint32_t len);

#endif
