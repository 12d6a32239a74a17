/* group.yaml: what is understood, and that every mistake is told with its line. */
#include "spec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define GOOD "group: web\ncount: 6\nimage: tiny\noffering: small\n"

static struct mf_arena arena;
static struct mf_spec spec;
static char error[512];

static int parse(const char *text)
{
    mf_arena_free(&arena);
    *error = 0;
    return mf_spec_parse("g.yaml", mf_str(text), &arena, &spec, error);
}

static void understands_the_least(void **state)
{
    assert_int_equal(parse(GOOD), 0);
    assert_true(mf_str_is(spec.provision.group, "web"));
    assert_int_equal(spec.provision.count, 6);
    assert_true(mf_str_is(spec.provision.image, "tiny"));
    assert_int_equal(spec.provision.policy, MF_POLICY_UNSET);
    assert_null(spec.user_data_file);
}

static void understands_all(void **state)
{
    assert_int_equal(
        parse(GOOD "min: 4\npolicy: at-most\nspread: host\nfit: best-fit\nlabels: {team: shop, tier: front}\n"
                   "require:\n  rack: r1\nuser_data: |\n  #!/bin/sh\n  echo hi\n"),
        0);
    assert_int_equal(spec.provision.min, 4);
    assert_int_equal(spec.provision.policy, MF_POLICY_AT_MOST);
    assert_int_equal(spec.provision.spread, MF_SPREAD_HOST);
    assert_int_equal(spec.provision.fit, MF_FIT_BEST);
    assert_int_equal(spec.provision.labels.n, 2);
    assert_true(mf_str_is(spec.provision.labels.items[1].value, "front"));
    assert_true(mf_str_is(spec.provision.require.items[0].key, "rack"));
    assert_true(mf_str_is(spec.provision.user_data.bytes, "#!/bin/sh\necho hi\n"));
}

static void understands_a_file(void **state)
{
    assert_int_equal(parse(GOOD "user_data_file: hello.sh\n"), 0);
    assert_string_equal(spec.user_data_file, "hello.sh");
}

static void says_where(void **state)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        {GOOD "colour: red\n", "g.yaml:5: unknown key \"colour\""},
        {GOOD "count: 7\n", "g.yaml:5: count is said twice, first on line 2"},
        {"group: web\ncount: six\nimage: tiny\noffering: small\n",
         "g.yaml:2: count: expected a whole number, found \"six\""},
        {"group: web\ncount: \"6\"\nimage: tiny\noffering: small\n",
         "g.yaml:2: count: expected a whole number, found \"6\""},
        {"group: web\ncount: 0\nimage: tiny\noffering: small\n", "g.yaml:2: count: 0 is not within 1..10000"},
        {"group: web\ncount: -1\nimage: tiny\noffering: small\n",
         "g.yaml:2: count: expected a whole number, found \"-1\""},
        {"group: web\ncount: 99999999999999999999999\nimage: tiny\noffering: small\n",
         "g.yaml:2: count: 99999999999999999999999 is not within 1..10000"},
        {"group: Web_1\ncount: 1\nimage: tiny\noffering: small\n",
         "g.yaml:1: group: \"Web_1\" is not a name"},
        {"group: [web]\ncount: 1\nimage: tiny\noffering: small\n",
         "g.yaml:1: group: expected a single value, found a list"},
        {GOOD "spread: rack\n", "g.yaml:5: spread: \"rack\" is not one of its words: none or host"},
        {GOOD "labels: [a]\n", "g.yaml:5: labels: expected a mapping"},
        {GOOD "labels:\n  Bad_Key: x\n", "g.yaml:5: labels: \"Bad_Key\" is not a label's name"},
        {GOOD "labels: {a: b, a: c}\n", "g.yaml:5: labels: a is said twice"},
        {GOOD "user_data: a\nuser_data_file: b\n", "g.yaml:6: user_data_file: there is user_data already"},
        {"group: web\ncount: 1\nimage: tiny\n", "g.yaml:1: offering is missing"},
        {"", "g.yaml:1: is empty"},
        {"- web\n", "g.yaml:1: expected a mapping"},
        {"group: web\n\tcount: 6\n", "g.yaml:2: a tab where YAML wants spaces"},
        {"group: web\nlabels:\n\ta: b\n", "g.yaml:3: a tab where YAML wants spaces"},
        {"group: [web\n", "g.yaml:"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(parse(cases[i].text), -EINVAL);
        if (!strstr(error, cases[i].error))
            fail_msg("case %zu: \"%s\" does not hold \"%s\"", i, error, cases[i].error);
    }
}

static void survives_any_cut(void **state)
{
    static const char text[] = GOOD "labels: {a: b}\nuser_data: |\n  x\n";
    char cut[sizeof text];
    for (size_t n = 0; n < sizeof text; n++) {
        memcpy(cut, text, n);
        cut[n] = 0;
        parse(cut); /* the sanitizers judge */
    }
}

static void understands_the_example(void **state)
{
    char text[4096];
    FILE *file = fopen(MAYFLY_EXAMPLES "/group.yaml", "re");
    assert_non_null(file);
    size_t len = fread(text, 1, sizeof text - 32, file);
    fclose(file);
    text[len] = 0;
    assert_int_equal(parse(text), 0);
    assert_true(mf_str_is(spec.provision.group, "web"));
    assert_int_equal(spec.provision.count, 6);
    assert_true(spec.provision.user_data.bytes.len > 0);
    memcpy(text + len, "colour: red\n", sizeof "colour: red\n");
    assert_int_equal(parse(text), -EINVAL);
    assert_non_null(strstr(error, "unknown key \"colour\""));
}

static int end(void **state)
{
    mf_arena_free(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(understands_the_least), cmocka_unit_test(understands_all),
        cmocka_unit_test(understands_a_file),    cmocka_unit_test(says_where),
        cmocka_unit_test(survives_any_cut),      cmocka_unit_test(understands_the_example),
    };
    return cmocka_run_group_tests(tests, NULL, end);
}
