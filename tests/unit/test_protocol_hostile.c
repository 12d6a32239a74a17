/* Bytes that nobody meant well: cut anywhere, changed anywhere, or made to hurt. Every one is refused or
 * decoded, none is trusted. */
#include "codec.h"
#include "generate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { SMALL = 1500 };

/* Decodes a copy whose end is the end of its memory, so that a sanitizer sees a read past it. */
static int decode(const struct mf_desc *desc, const void *bytes, size_t len, struct mf_decode_error *error)
{
    char *copy = malloc(len ? len : 1);
    void *what = malloc(desc->size);
    struct mf_arena arena = {0};
    struct mf_str request_id;
    int r;

    if (len)
        memcpy(copy, bytes, len);
    memset(error, 0, sizeof(*error));
    r = mf_decode(desc, (struct mf_str){copy, (uint32_t)len}, &arena, what, error);
    if (r < 0) {
        assert_true(error->code == MF_E_INVALID || error->code == MF_E_TOO_LARGE);
        assert_true(strlen(error->text) > 0 && strlen(error->text) < sizeof(error->text));
        assert_true(mf_utf8_valid(mf_str(error->text)));
    } else { /* what was let in may go out again */
        struct mf_buf again = {0};

        mf_encode(desc, what, &again);
        mf_buf_free(&again);
    }
    mf_message_request_id((struct mf_str){copy, (uint32_t)len}, &request_id);
    mf_arena_free(&arena);
    free(what);
    free(copy);
    return r;
}

/* A generated message small enough to be tried byte by byte. */
static void small_message(const struct mf_desc *desc, struct mf_random *random, struct mf_buf *buf)
{
    void *what = malloc(desc->size);

    do {
        struct mf_arena arena = {0};

        mf_buf_clear(buf);
        mf_generate(desc, random, &arena, what);
        mf_encode(desc, what, buf);
        mf_arena_free(&arena);
    } while (buf->len > SMALL);
    free(what);
}

static void for_every_kind(void (*test)(const struct mf_desc *, struct mf_random *), int rounds)
{
    struct mf_random random;

    mf_random_seed(&random, 2);
    for (int round = 0; round < rounds; round++)
        for (int kind = 1; kind < MF_KIND_COUNT; kind++)
            if (kind != MF_MSG_COUNT)
                test(mf_kind_desc((enum mf_kind)kind), &random);
}

static void cut(const struct mf_desc *desc, struct mf_random *random)
{
    struct mf_decode_error error;
    struct mf_buf buf = {0};

    small_message(desc, random, &buf);
    for (size_t len = 0; len < buf.len; len++)
        assert_int_not_equal(decode(desc, buf.ptr, len, &error), 0);
    mf_buf_append(&buf, "", 1);
    assert_int_not_equal(decode(desc, buf.ptr, buf.len, &error), 0);
    assert_non_null(strstr(error.text, "goes on after its end"));
    mf_buf_free(&buf);
}

static void every_truncation_is_refused(void **state)
{
    for_every_kind(cut, 3);
}

static void flip(const struct mf_desc *desc, struct mf_random *random)
{
    struct mf_decode_error error;
    struct mf_buf buf = {0};

    small_message(desc, random, &buf);
    for (size_t at = 0; at < buf.len; at++) {
        char was = buf.ptr[at];

        buf.ptr[at] = (char)(was ^ (1 << mf_random_below(random, 8)));
        decode(desc, buf.ptr, buf.len, &error);
        buf.ptr[at] = (char)mf_random_next(random);
        decode(desc, buf.ptr, buf.len, &error);
        buf.ptr[at] = was;
    }
    mf_buf_free(&buf);
}

static void every_changed_byte_is_survived(void **state)
{
    for_every_kind(flip, 4);
}

static void noise(const struct mf_desc *desc, struct mf_random *random)
{
    struct mf_decode_error error;
    char bytes[200];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)mf_random_next(random);
    bytes[0] = (char)(0x80 | (bytes[0] & 15));
    decode(desc, bytes, mf_random_below(random, sizeof(bytes)), &error);
}

static void noise_is_survived(void **state)
{
    for_every_kind(noise, 200);
}

#define REFUSED(kind, literal, words) refused(kind, literal, sizeof(literal) - 1, words)

static void refused(enum mf_kind kind, const char *bytes, size_t len, const char *words)
{
    struct mf_decode_error error;

    if (decode(mf_kind_desc(kind), bytes, len, &error) == 0)
        fail_msg("not refused, expected: %s", words);
    if (!strstr(error.text, words))
        fail_msg("\"%s\" does not say \"%s\"", error.text, words);
}

static void bombs_are_refused_at_once(void **state)
{
    REFUSED(MF_MSG_STATUS, "\xdf\xff\xff\xff\xff", "declares more items than it has bytes");
    REFUSED(MF_MSG_STATUS, "\xdd\xff\xff\xff\xff", "declares more items than it has bytes");
    REFUSED(MF_MSG_STATUS, "\x81\xa1x\xdf\xff\xff\xff\xff", "declares more items than it has bytes");
    REFUSED(MF_MSG_STATUS, "\xc6\xff\xff\xff\xff", "ends within a string or binary");
    REFUSED(MF_MSG_STATUS, "\x81\xdb\xff\xff\xff\xff", "ends within a string or binary");
    REFUSED(MF_MSG_STATUS, "", "ends too early");
    REFUSED(MF_MSG_STATUS, "\xcf\x00", "ends within a value");
}

static void extension_types_are_refused(void **state)
{
    static const char *const extensions[] = {"\xd4\x01\x00", "\xd5\x01\x00\x00", "\xc7\x01\x01\x00", "\xc1"};

    for (size_t i = 0; i < sizeof(extensions) / sizeof(*extensions); i++) {
        char bytes[16] = "\x81\xa1x";
        size_t len = i == 0 ? 3 : i == 3 ? 1 : 4;

        memcpy(bytes + 3, extensions[i], len);
        refused(MF_MSG_STATUS, bytes, 3 + len, "extension type");
    }
}

static void deep_nesting_is_refused(void **state)
{
    char bytes[64] = "\x82\xaarequest_id\xa1r\xa1x";
    size_t at = 16;

    for (int depth = 1; depth < MF_DEPTH_MAX; depth++)
        bytes[at++] = (char)0x91;
    bytes[at++] = 1;
    struct mf_decode_error error;
    assert_int_equal(decode(mf_kind_desc(MF_MSG_STATUS), bytes, at, &error), 0); /* as deep as allowed */
    bytes[at - 1] = (char)0x91;
    bytes[at++] = 1;
    refused(MF_MSG_STATUS, bytes, at, "nests too deep");
}

static void unknown_keys_are_skipped_and_doubled_ones_refused(void **state)
{
    struct mf_decode_error error;
    static const char known[] = "\x83\xa3new\x92\x01\x81\xa1"
                                "a\xc0\xaarequest_id\xa1r\xa4"
                                "newx\xcb\x40\x09\x21\xfb\x54\x44\x2d\x18";

    assert_int_equal(decode(mf_kind_desc(MF_MSG_STATUS), known, sizeof(known) - 1, &error), 0);
    REFUSED(MF_MSG_STATUS, "\x82\xaarequest_id\xa1r\xaarequest_id\xa1r", "status.request_id: is there twice");
    REFUSED(MF_MSG_STATUS, "\x83\xaarequest_id\xa1r\xa1x\x01\xa1x\x02", "status: has an unknown key twice");
    REFUSED(MF_MSG_STATUS, "\x82\xaarequest_id\xa1r\x05\x02", "status: has a key that is not a string");
}

static void too_many_unknown_keys_are_refused(void **state)
{
    char bytes[2048] = "\xde";
    size_t at = 3;

    bytes[2] = MF_UNKNOWN_KEYS_MAX + 1;
    for (int i = 0; i <= MF_UNKNOWN_KEYS_MAX; i++) {
        bytes[at++] = (char)0xa2;
        bytes[at++] = (char)('a' + i % 26);
        bytes[at++] = (char)('a' + i / 26);
        bytes[at++] = 1;
    }
    refused(MF_MSG_STATUS, bytes, at, "more than 64 keys");
}

static void wrong_types_and_missing_fields_are_named(void **state)
{
    REFUSED(MF_MSG_STATUS, "\x80", "status.request_id: is missing");
    REFUSED(MF_MSG_STATUS, "\x81\xaarequest_id\x07", "status.request_id: is an integer, must be a string");
    REFUSED(MF_MSG_STATUS, "\x81\xaarequest_id\xc0", "status.request_id: is nil, must be a string");
    REFUSED(MF_MSG_STATUS, "\x81\xaarequest_id\xa2\xc3\x28", "status.request_id: is not UTF-8");
    REFUSED(MF_MSG_STATUS, "\x81\xaarequest_id\xa3\xed\xa0\x80", "status.request_id: is not UTF-8");
    REFUSED(MF_MSG_STATUS, "\x81\xaarequest_id\xa1\x00",
            "status.request_id: is not UTF-8 without zero bytes");
    REFUSED(MF_MSG_STATUS, "\x91\x01", "status: is an array, must be a map");
    REFUSED(MF_MSG_CREDIT,
            "\x82\xa6stream\xff\xa6"
            "credit\x01",
            "credit.stream: -1 is below 1");
    REFUSED(MF_MSG_CREDIT,
            "\x82\xa6stream\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00\xa6"
            "credit\x01",
            "credit.stream: is a float");
    REFUSED(MF_MSG_HELLO,
            "\x81\xa8"
            "capacity\x81\xa5vcpus\xa1x",
            "hello.capacity.vcpus: is a string, must be an integer");
    REFUSED(MF_MSG_HELLO,
            "\x81\xa6guests\x92\x82\xa2id\xc4\x10"
            "0123456789abcdef\xa5state\xa7running\x80",
            "hello.guests[1].id: is missing");
    REFUSED(MF_MSG_HELLO,
            "\x81\xa6guests\x91\x81\xa5state\xa6"
            "flying",
            "hello.guests[0].state: is none of creating, running, destroying, stopped");
}

/* Signed encodings of what is not negative are integers like any other: not every library knows unsigned
 * ones. */
static void every_width_of_integer_is_accepted(void **state)
{
    static const char *const five[] = {"\x05",
                                       "\xcc\x05",
                                       "\xcd\x00\x05",
                                       "\xce\x00\x00\x00\x05",
                                       "\xcf\x00\x00\x00\x00\x00\x00\x00\x05",
                                       "\xd0\x05",
                                       "\xd1\x00\x05",
                                       "\xd2\x00\x00\x00\x05",
                                       "\xd3\x00\x00\x00\x00\x00\x00\x00\x05"};
    static const size_t sizes[] = {1, 2, 3, 5, 9, 2, 3, 5, 9};

    for (size_t i = 0; i < 9; i++) {
        char bytes[64] = "\x81\xa6stream";
        struct mf_decode_error error;
        struct mf_arena arena = {0};
        struct mf_msg_unsubscribe what;

        memcpy(bytes + 8, five[i], sizes[i]);
        assert_int_equal(mf_decode(mf_kind_desc(MF_MSG_UNSUBSCRIBE),
                                   (struct mf_str){bytes, (uint32_t)(8 + sizes[i])}, &arena, &what, &error),
                         0);
        assert_int_equal(what.stream, 5);
        mf_arena_free(&arena);
    }
}

static void a_body_over_the_limit_is_too_large(void **state)
{
    const size_t len = MF_MESSAGE_MAX + 1;
    char *bytes = calloc(1, len);
    struct mf_decode_error error;

    assert_true(decode(mf_kind_desc(MF_MSG_STATUS), bytes, len, &error) < 0);
    assert_int_equal(error.code, MF_E_TOO_LARGE);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(every_changed_byte_is_survived),
        cmocka_unit_test(noise_is_survived),
        cmocka_unit_test(bombs_are_refused_at_once),
        cmocka_unit_test(extension_types_are_refused),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(unknown_keys_are_skipped_and_doubled_ones_refused),
        cmocka_unit_test(too_many_unknown_keys_are_refused),
        cmocka_unit_test(wrong_types_and_missing_fields_are_named),
        cmocka_unit_test(every_width_of_integer_is_accepted),
        cmocka_unit_test(a_body_over_the_limit_is_too_large),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
