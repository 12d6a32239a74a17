/* codec.h - what encode, decode and the generator of messages share; not for those who merely use messages.
 */
#ifndef MF_CODEC_H
#define MF_CODEC_H

#include "message.h"

enum {
    MF_RAW_DEPTH_MAX = 4,    /* a RAW map sits at most 4 deep in a message (events, rows, row, data) */
    MF_LABEL_VALUE_MAX = 63, /* bytes */
    MF_UNKNOWN_KEYS_MAX =
        64 /* keys of one map that this side does not know; bounds the search for duplicates */
};

struct mf_list_any { /* the shape that every LIST field has */
    void *items;
    uint32_t n;
};

/* Does the value of this field obey its row (bounds, grammar, UTF-8; not the insides of records and list
 * items)? MF_E_OK, or INVALID or TOO_LARGE with a reason such as "0 is below 1". */
enum mf_errcode mf_field_check(const struct mf_field *field, const void *what, char why[160]);
/* Is this optional field to be sent? */
bool mf_field_present(const struct mf_desc *desc, unsigned index, const void *what);
enum mf_errcode mf_bounds_check(uint64_t n, uint64_t min, uint64_t max, const char *unit, char why[160]);

/* Well-formed UTF-8 without U+0000 (strings meet C sooner or later). */
bool mf_utf8_valid(struct mf_str s);
/* Why these bytes are not one well-formed msgpack value that nests at most depth_max deep; NULL if they are.
 */
const char *mf_msgpack_fault(struct mf_str bytes, unsigned depth_max);

/* -- reading msgpack, one token at a time; a container's items follow as tokens of their own */
enum mf_token_kind {
    MF_T_NIL,
    MF_T_BOOL,
    MF_T_UINT,
    MF_T_NEGATIVE,
    MF_T_FLOAT,
    MF_T_STR,
    MF_T_BIN,
    MF_T_ARRAY,
    MF_T_MAP
};
struct mf_token {
    enum mf_token_kind kind;
    uint64_t n; /* value of BOOL and UINT; of NEGATIVE its two's complement; items of ARRAY, pairs of MAP */
    struct mf_str bytes; /* STR, BIN */
};
struct mf_reader {
    const uint8_t *at, *end;
};
const char *mf_token_read(struct mf_reader *reader, struct mf_token *ret_token); /* NULL, or what is wrong */

#endif
