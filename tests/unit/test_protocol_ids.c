/* Identities: their order, their text, their digests; names; and the random source. */
#include "message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void uuids_sort_by_birth(void **state)
{
    struct mf_uuid last = {{0}};
    struct mf_random random;

    mf_random_seed(&random, 7);
    for (mf_ms now = 1700000000000; now < 1700000002000; now++) {
        struct mf_uuid id = mf_uuid_make(&random, now);

        assert_int_equal(id.bytes[6] >> 4, 7);
        assert_int_equal(id.bytes[8] >> 6, 2);
        assert_true(mf_uuid_cmp(last, id) < 0);
        last = id;
    }
}

static void uuids_as_text(void **state)
{
    static const char text[] = "018bcfe5-6800-7abc-9def-0123456789ab";
    struct mf_uuid id, again = {{0}};
    char out[MF_UUID_TEXT];

    assert_true(mf_uuid_parse(text, 36, &id));
    assert_string_equal(mf_uuid_text(id, out), text);
    assert_true(mf_uuid_parse("018BCFE5-6800-7ABC-9DEF-0123456789AB", 36, &again));
    assert_true(mf_uuid_eq(id, again));
    assert_false(mf_uuid_is_zero(id));
    assert_true(mf_uuid_is_zero((struct mf_uuid){{0}}));
    assert_false(mf_uuid_parse(text, 35, &again));
    assert_false(mf_uuid_parse(text, 37, &again));
    assert_false(mf_uuid_parse("018bcfe5068000-abc-9def-0123456789ab", 36, &again));
    assert_false(mf_uuid_parse("018bcfe5-6800-7abc-9def-0123456789ag", 36, &again));
    assert_false(mf_uuid_parse("018bcfe5-6800-7abc-9def- 123456789ab", 36, &again));
    assert_true(mf_uuid_eq(id, again)); /* untouched by what failed */
}

static void uuids_of_one_seed_repeat(void **state)
{
    struct mf_random a, b;

    mf_random_seed(&a, 42);
    mf_random_seed(&b, 42);
    for (int i = 0; i < 100; i++)
        assert_true(mf_uuid_eq(mf_uuid_make(&a, 5), mf_uuid_make(&b, 5)));
    mf_random_seed(&b, 43);
    assert_false(mf_uuid_eq(mf_uuid_make(&a, 5), mf_uuid_make(&b, 5)));
}

static void random_is_as_published(void **state)
{
    struct mf_random random = {{1, 2, 3, 4}};

    assert_true(mf_random_next(&random) == 11520);
    assert_true(mf_random_next(&random) == 0);
    assert_true(mf_random_next(&random) == 1509978240);
}

static void random_below_is_below_and_reaches_all(void **state)
{
    struct mf_random random;
    int seen[7] = {0};

    mf_random_seed(&random, 0);
    for (int i = 0; i < 7000; i++) {
        uint64_t n = mf_random_below(&random, 7);

        assert_true(n < 7);
        seen[n]++;
    }
    for (int i = 0; i < 7; i++)
        assert_in_range(seen[i], 800, 1200);
    assert_true(mf_random_below(&random, 1) == 0);
    mf_random_below(&random, UINT64_MAX);
}

static void digests(void **state)
{
    /* BLAKE2b-256 of nothing */
    static const char empty[] = "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8";
    struct mf_digest d = mf_digest_make(NULL, 0), parsed;
    char text[MF_DIGEST_TEXT];

    assert_string_equal(mf_digest_text(d, text), empty);
    assert_true(mf_digest_parse(empty, 64, &parsed) && mf_digest_eq(parsed, d));
    assert_false(mf_digest_parse(empty, 63, &parsed));
    assert_false(mf_digest_is_zero(d));
    assert_false(mf_digest_eq(d, mf_digest_make("a", 1)));
}

static void names(void **state)
{
    char longest[65];

    memset(longest, 'a', sizeof(longest));
    assert_true(mf_name_valid(mf_str("a")));
    assert_true(mf_name_valid(mf_str("0-web-3-")));
    assert_true(mf_name_valid((struct mf_str){longest, 63}));
    assert_false(mf_name_valid((struct mf_str){longest, 64}));
    assert_false(mf_name_valid(mf_str("")));
    assert_false(mf_name_valid(mf_str("-a")));
    assert_false(mf_name_valid(mf_str("Web")));
    assert_false(mf_name_valid(mf_str("a_b")));
    assert_false(mf_name_valid(mf_str("a/b")));
    assert_false(mf_name_valid((struct mf_str){"a\0b", 3}));
}

static void format_cuts_between_characters(void **state)
{
    char array[8], tiny[1];

    assert_true(mf_str_is(mf_str_format(array, sizeof(array), "%s", "abcdefghij"), "abcdefg"));
    assert_true(mf_str_is(mf_str_format(array, sizeof(array), "%s", "abcde\xe2\x82\xacx"), "abcde"));
    assert_true(
        mf_str_is(mf_str_format(array, sizeof(array), "%s", "abcd\xe2\x82\xacx"), "abcd\xe2\x82\xac"));
    assert_true(mf_str_is(mf_str_format(array, sizeof(array), "%s", "a\xff"), "a?"));
    assert_true(mf_str_is(mf_str_format(tiny, sizeof(tiny), "%s", "abc"), ""));
}

static void strings(void **state)
{
    struct mf_arena arena = {0};
    struct mf_str copy = mf_str_dup(&arena, (struct mf_str){"abcdef", 3});
    struct mf_label label = {mf_str("rack"), mf_str("r1")};
    struct mf_labels labels = mf_labels_dup(&arena, (struct mf_labels){&label, 1});

    assert_string_equal(copy.ptr, "abc");
    assert_true(mf_str_eq(copy, mf_str("abc")));
    assert_false(mf_str_is(copy, "abcd"));
    assert_true(mf_str_eq((struct mf_str){NULL, 0}, mf_str("")));
    assert_int_equal(mf_str_dup(&arena, (struct mf_str){NULL, 0}).len, 0);
    assert_ptr_not_equal(labels.items, &label);
    assert_true(mf_str_is(labels.items[0].value, "r1"));
    mf_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uuids_sort_by_birth),
        cmocka_unit_test(uuids_as_text),
        cmocka_unit_test(uuids_of_one_seed_repeat),
        cmocka_unit_test(random_is_as_published),
        cmocka_unit_test(random_below_is_below_and_reaches_all),
        cmocka_unit_test(digests),
        cmocka_unit_test(names),
        cmocka_unit_test(format_cuts_between_characters),
        cmocka_unit_test(strings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
