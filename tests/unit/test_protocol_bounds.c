/* Every bound of the table, violated one at a time in an otherwise valid message: refused, and the sentence
 * names the field. */
#include "codec.h"
#include "generate.h"

#include <msgpack.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static int write_buf(void *buf, const char *bytes, size_t len)
{
    mf_buf_append(buf, bytes, len);
    return 0;
}

static void pack_filled(msgpack_packer *packer, bool text, uint64_t len)
{
    char *bytes = malloc(len + 1);

    memset(bytes, 'a', len + 1);
    if (text)
        msgpack_pack_str_with_body(packer, bytes, len);
    else
        msgpack_pack_bin_with_body(packer, bytes, len);
    free(bytes);
}

static void pack_labels(msgpack_packer *packer, uint64_t n, bool same, size_t value)
{
    msgpack_pack_map(packer, n);
    for (uint64_t i = 0; i < n; i++) {
        char key[24];
        struct mf_str k = mf_str_format(key, sizeof(key), "k%d", same ? 0 : (int)i);

        msgpack_pack_str_with_body(packer, k.ptr, k.len);
        pack_filled(packer, true, value);
    }
}

static void pack_nils(msgpack_packer *packer, uint64_t n)
{
    msgpack_pack_array(packer, n);
    for (uint64_t i = 0; i < n; i++)
        msgpack_pack_nil(packer);
}

/* Writes the n-th wrong value for this field; false when there are no more. */
static bool pack_text_wrong(msgpack_packer *p, const struct mf_field *field, bool name, int n)
{
    switch (n) {
    case 0:
        pack_filled(p, true, field->max + 1);
        return true;
    case 1:
        if (field->min == 0)
            msgpack_pack_nil(p);
        else
            pack_filled(p, true, field->min - 1);
        return true;
    case 2:
        msgpack_pack_str_with_body(p, "\xff", 1);
        return true;
    case 3:
        pack_filled(p, false, field->max < 8 ? field->max : 8);
        return true;
    case 4:
        msgpack_pack_str_with_body(p, name ? "Abc" : "a\0b", 3);
        return true;
    }
    return false;
}

static bool pack_bytes_wrong(msgpack_packer *p, const struct mf_field *field, int n)
{
    switch (n) {
    case 0:
        pack_filled(p, false, field->max + 1);
        return true;
    case 1:
        if (field->min == 0)
            return false;
        pack_filled(p, false, field->min - 1);
        return true;
    case 2:
        pack_filled(p, true, field->max);
        return true;
    }
    return false;
}

static bool pack_number_wrong(msgpack_packer *p, const struct mf_field *field, int n)
{
    switch (n) {
    case 0:
        msgpack_pack_int64(p, field->min ? (int64_t)field->min - 1 : -1);
        return true;
    case 1:
        if (field->max == UINT64_MAX)
            msgpack_pack_double(p, 1e30);
        else
            msgpack_pack_uint64(p, field->max + 1);
        return true;
    case 2:
        msgpack_pack_int64(p, INT64_MIN);
        return true;
    case 3:
        msgpack_pack_true(p);
        return true;
    }
    return false;
}

static bool pack_labels_wrong(msgpack_packer *p, const struct mf_field *field, int n)
{
    switch (n) {
    case 0:
        pack_labels(p, field->max + 1, false, 1);
        return true;
    case 1:
        pack_labels(p, 2, true, 1);
        return true;
    case 2:
        pack_labels(p, 1, false, MF_LABEL_VALUE_MAX + 1);
        return true;
    case 3:
        msgpack_pack_map(p, 1);
        msgpack_pack_str_with_body(p, "Upper", 5);
        msgpack_pack_str_with_body(p, "x", 1);
        return true;
    case 4:
        pack_nils(p, 1);
        return true;
    }
    return false;
}

static bool pack_raw_wrong(msgpack_packer *p, const struct mf_field *field, int n)
{
    switch (n) {
    case 0:
        pack_nils(p, 2);
        return true;
    case 1:
        msgpack_pack_map(p, 1);
        msgpack_pack_str_with_body(p, "x", 1);
        pack_filled(p, false, field->max);
        return true;
    case 2: /* deeper than a RAW may be */
        msgpack_pack_map(p, 1);
        msgpack_pack_nil(p);
        for (int i = 0; i < MF_RAW_DEPTH_MAX; i++)
            msgpack_pack_array(p, 1);
        msgpack_pack_nil(p);
        return true;
    }
    return false;
}

static bool pack_wrong(msgpack_packer *p, const struct mf_field *field, int n)
{
    switch (field->kind) {
    case MF_F_U64:
        return pack_number_wrong(p, field, n);
    case MF_F_STR:
        return pack_text_wrong(p, field, false, n);
    case MF_F_NAME:
        return pack_text_wrong(p, field, true, n);
    case MF_F_BIN:
    case MF_F_BLOB:
    case MF_F_UUID:
    case MF_F_DIGEST:
        return pack_bytes_wrong(p, field, n);
    case MF_F_LABELS:
        return pack_labels_wrong(p, field, n);
    case MF_F_RAW:
        return pack_raw_wrong(p, field, n);
    case MF_F_ENUM:
        msgpack_pack_str_with_body(p, "", 0);
        return n == 0;
    case MF_F_BOOL:
        msgpack_pack_uint8(p, 1);
        return n == 0;
    case MF_F_RECORD:
        if (n == 0) /* no record; without any field it may be a whole one */
            msgpack_pack_int(p, 1);
        return n == 0;
    case MF_F_LIST:
        pack_nils(p, n == 0 ? field->max + 1 : 1);
        return n < 2;
    }
    return false;
}

/* A map of this field alone: what is missing is looked at only when all that is there was good. */
static void splice(const struct mf_desc *desc, unsigned index, const struct mf_buf *value, struct mf_buf *ret)
{
    msgpack_packer packer;

    msgpack_packer_init(&packer, ret, write_buf);
    msgpack_pack_map(&packer, 1);
    msgpack_pack_str_with_body(&packer, desc->fields[index].name, strlen(desc->fields[index].name));
    mf_buf_append(ret, value->ptr, value->len);
}

static void assert_refused(const struct mf_desc *desc, unsigned index, const struct mf_buf *value)
{
    struct mf_decode_error error = {0};
    struct mf_arena arena = {0};
    struct mf_buf bytes = {0};
    void *what = malloc(desc->size);
    char prefix[128];
    struct mf_str said = mf_str_format(prefix, sizeof(prefix), "%s.%s", desc->wire ? desc->wire : desc->id,
                                       desc->fields[index].name);

    splice(desc, index, value, &bytes);
    if (mf_decode(desc, (struct mf_str){bytes.ptr, (uint32_t)bytes.len}, &arena, what, &error) == 0)
        fail_msg("%s: a wrong value was let in", prefix);
    if (strncmp(error.text, prefix, said.len) != 0)
        fail_msg("%s: the error says \"%s\"", prefix, error.text);
    free(what);
    mf_buf_free(&bytes);
    mf_arena_free(&arena);
}

static int violate(const struct mf_desc *desc)
{
    int count = 0;

    for (unsigned i = 0; i < desc->n_fields; i++)
        for (int n = 0;; n++) {
            struct mf_buf value = {0};
            msgpack_packer packer;
            bool more;

            msgpack_packer_init(&packer, &value, write_buf);
            more = pack_wrong(&packer, &desc->fields[i], n);
            if (more)
                assert_refused(desc, i, &value);
            mf_buf_free(&value);
            if (!more)
                break;
            count++;
        }
    return count;
}

static void every_violated_bound_is_refused_by_name(void **state)
{
    int count = 0;

    for (int kind = 1; kind < MF_KIND_COUNT; kind++)
        if (kind != MF_MSG_COUNT)
            count += violate(mf_kind_desc((enum mf_kind)kind));
    for (unsigned i = 0; mf_record_desc(i); i++)
        count += violate(mf_record_desc(i));
    assert_true(count > 1000);
}

/* Where this key of the outermost map is written. */
static char *find_key(struct mf_buf *bytes, const char *name)
{
    struct mf_reader reader = {(const uint8_t *)bytes->ptr, (const uint8_t *)bytes->ptr + bytes->len};
    struct mf_token token;

    assert_null(mf_token_read(&reader, &token));
    for (;;) {
        assert_null(mf_token_read(&reader, &token));
        if (mf_str_is(token.bytes, name))
            return (char *)token.bytes.ptr;
        for (uint64_t pending = 1; pending > 0; pending--) { /* its value */
            assert_null(mf_token_read(&reader, &token));
            pending += token.kind == MF_T_MAP ? 2 * token.n : token.kind == MF_T_ARRAY ? token.n : 0;
        }
    }
}

/* Each required field, left out of an otherwise whole message. */
static void omit(const struct mf_desc *desc, unsigned index, struct mf_str whole)
{
    struct mf_decode_error error = {0};
    struct mf_arena arena = {0};
    struct mf_buf bytes = {0};
    char expected[128], *what = malloc(desc->size);

    mf_str_format(expected, sizeof(expected), "%s.%s: is missing", desc->wire ? desc->wire : desc->id,
                  desc->fields[index].name);
    mf_buf_append(&bytes, whole.ptr, whole.len);
    memset(find_key(&bytes, desc->fields[index].name), '?',
           strlen(desc->fields[index].name)); /* now a key that nobody knows */
    assert_true(mf_decode(desc, (struct mf_str){bytes.ptr, (uint32_t)bytes.len}, &arena, what, &error) < 0);
    assert_string_equal(error.text, expected);
    free(what);
    mf_buf_free(&bytes);
    mf_arena_free(&arena);
}

static void every_missing_field_is_refused_by_name(void **state)
{
    struct mf_random random;

    mf_random_seed(&random, 3);
    for (int kind = 1; kind < MF_KIND_COUNT; kind++) {
        if (kind == MF_MSG_COUNT)
            continue;
        const struct mf_desc *desc = mf_kind_desc((enum mf_kind)kind);
        struct mf_arena arena = {0};
        struct mf_buf whole = {0};
        void *what = malloc(desc->size);

        mf_generate(desc, &random, &arena, what);
        mf_encode(desc, what, &whole);
        for (unsigned i = 0; i < desc->n_fields; i++)
            if (desc->fields[i].required)
                omit(desc, i, (struct mf_str){whole.ptr, (uint32_t)whole.len});
        free(what);
        mf_buf_free(&whole);
        mf_arena_free(&arena);
    }
}

static void sizes_over_their_bound_are_too_large(void **state)
{
    const struct mf_desc *desc = mf_kind_desc(MF_MSG_LIST_GROUPS);
    struct mf_decode_error error;
    struct mf_arena arena = {0};
    struct mf_msg_list_groups what;
    struct mf_buf bytes = {0};
    msgpack_packer packer;

    msgpack_packer_init(&packer, &bytes, write_buf);
    msgpack_pack_map(&packer, 1);
    msgpack_pack_str_with_body(&packer, "request_id", 10);
    pack_filled(&packer, true, 65);
    assert_true(mf_decode(desc, (struct mf_str){bytes.ptr, (uint32_t)bytes.len}, &arena, &what, &error) < 0);
    assert_int_equal(error.code, MF_E_TOO_LARGE);
    assert_string_equal(error.text, "list-groups.request_id: 65 bytes is above 64");
    mf_buf_free(&bytes);
    mf_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_violated_bound_is_refused_by_name),
        cmocka_unit_test(every_missing_field_is_refused_by_name),
        cmocka_unit_test(sizes_over_their_bound_are_too_large),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
