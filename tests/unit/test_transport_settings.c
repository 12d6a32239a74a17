/* test_transport_settings.c - flags over file over defaults, and every way to get one wrong. */
#include "program.h"
#include "transport_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

struct settings {
    char *broker;
    int64_t count, pulse_ms;
    bool fast;
    struct mf_labels labels;
};
#define AT(field) offsetof(struct settings, field)
static const struct mf_setting table[] = {
    {"broker", MF_SET_STRING, AT(broker), 1, 20, "tcp://h:1", false, "where"},
    {"count", MF_SET_INT, AT(count), -5, 100, "7", false, "how many"},
    {"pulse-ms", MF_SET_MS, AT(pulse_ms), 10, 10000, "200", false, "how often"},
    {"fast", MF_SET_BOOL, AT(fast), 0, 0, NULL, false, "whether"},
    {"label", MF_SET_LABELS, AT(labels), 0, 0, NULL, false, "what"},
};

static struct settings settings;
static struct mf_arena arena;
static char error[1024], config[FIXTURE_PATH];

static int load_table(const struct mf_setting *which, size_t n, const char *yaml, const char *const *flags)
{
    char *argv[16] = {"program"};
    int argc = 1;
    if (yaml) {
        fixture_write("c.yaml", yaml, 0644);
        argv[argc++] = "--config";
        argv[argc++] = (char *)fixture_path(config, "c.yaml");
    }
    for (size_t i = 0; flags && flags[i]; i++)
        argv[argc++] = (char *)flags[i];
    memset(&settings, 0, sizeof(settings));
    error[0] = 0;
    return mf_settings_load("program", "tests", which, n, argc, argv, &arena, &settings, error);
}

static int load(const char *yaml, const char *const *flags)
{
    return load_table(table, sizeof(table) / sizeof(table[0]), yaml, flags);
}

#define FLAGS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void assert_label(size_t i, const char *key, const char *value)
{
    assert_true(i < settings.labels.n);
    assert_true(mf_str_is(settings.labels.items[i].key, key));
    assert_true(mf_str_is(settings.labels.items[i].value, value));
}

static void test_defaults(void **state)
{
    assert_int_equal(load(NULL, NULL), 0);
    assert_string_equal(settings.broker, "tcp://h:1");
    assert_int_equal(settings.count, 7);
    assert_int_equal(settings.pulse_ms, 200);
    assert_false(settings.fast);
    assert_int_equal(settings.labels.n, 0);
}

static void test_file_wins_over_defaults_and_flags_over_file(void **state)
{
    const char *yaml =
        "# mine\nbroker: tcp://a:2\ncount: -3\npulse_ms: 2s\nfast: yes\nlabel:\n  rack: r1\n  zone: 'a b'\n";
    assert_int_equal(load(yaml, FLAGS("--count", "9", "--label", "rack=r2", "--label=gpu=")), 0);
    assert_string_equal(settings.broker, "tcp://a:2");
    assert_int_equal(settings.count, 9);
    assert_int_equal(settings.pulse_ms, 2000);
    assert_true(settings.fast);
    assert_int_equal(settings.labels.n, 3);
    assert_label(0, "rack", "r2");
    assert_label(1, "zone", "a b");
    assert_label(2, "gpu", "");
    assert_int_equal(load("fast: true\n", FLAGS("--fast=off")), 0);
    assert_false(settings.fast);
    assert_int_equal(load("", NULL), 0);
    assert_int_equal(load("# nothing\n", NULL), 0);
}

static void test_a_check_reads_all_and_goes_no_further(void **state)
{
    assert_int_equal(load("count: 9\n", FLAGS("--check-config")), 1);
    assert_int_equal(load("count: nine\n", FLAGS("--check-config")), -EINVAL);
    assert_non_null(strstr(error, "c.yaml:1"));
    assert_int_equal(load(NULL, FLAGS("--check-config", "--count", "900")), -EINVAL);
}

static void test_bad_files_name_line_and_key_and_the_way_out(void **state)
{
    static const struct {
        const char *yaml, *line, *what, *hint;
    } cases[] = {
        {"count: 1\npuls_ms: 3\n", "c.yaml:2:", "puls_ms", "did you mean \"pulse_ms\""},
        {"pulse-ms: 3\n", "c.yaml:1:", "pulse-ms", "did you mean \"pulse_ms\""},
        {"count: many\n", "c.yaml:1:", "count", "not a whole number"},
        {"count: 1.5\n", "c.yaml:1:", "count", "not a whole number"},
        {"count: '5'\n", "c.yaml:1:", "count", "take the quotes away"},
        {"\ncount: 101\n", "c.yaml:2:", "count", "must be -5 to 100"},
        {"count: 99999999999999999999\n", "c.yaml:1:", "count", "out of range"},
        {"count:\n", "c.yaml:1:", "count", "no value"},
        {"count: [1, 2]\n", "c.yaml:1:", "count", "single value"},
        {"count: &a 1\n", "c.yaml:1:", "count", "anchors"},
        {"count: *a\n", "c.yaml:1:", "count", "alias"},
        {"count: !!int 1\n", "c.yaml:1:", "count", "tags"},
        {"pulse_ms: 5 parsecs\n", "c.yaml:1:", "pulse_ms", "5s"},
        {"pulse_ms: 9\n", "c.yaml:1:", "pulse_ms", "10 to 10000 ms"},
        {"fast: perhaps\n", "c.yaml:1:", "fast", "neither true nor false"},
        {"broker: tcp://an-address-that-is-too-long:5\n", "c.yaml:1:", "broker", "1 to 20"},
        {"count: 1\n\tfast: true\n", "c.yaml:2:", "tab", "spaces"},
        {"count: 1\ncount: 2\n", "c.yaml:2:", "count", "twice"},
        {"label: x\n", "c.yaml:1:", "label", "mapping"},
        {"label:\n  rack: r\n  Rack: r\n", "c.yaml:3:", "Rack", "not a name"},
        {"label:\n  rack: [a]\n", "c.yaml:2:", "rack", "single value"},
        {"- count\n", "c.yaml:1:", "key: value", ""},
        {"just words\n", "c.yaml:1:", "key: value", ""},
        {"count: 1\n---\ncount: 2\n", "c.yaml:2:", "second document", ""},
        {"count: {\n", "c.yaml:", "", ""},
        {"\"unclosed\n", "c.yaml:", "not YAML", ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(load(cases[i].yaml, NULL), -EINVAL);
        if (!strstr(error, cases[i].line) || !strstr(error, cases[i].what) || !strstr(error, cases[i].hint))
            fail_msg("case %zu: \"%s\" lacks one of \"%s\", \"%s\", \"%s\"", i, error, cases[i].line,
                     cases[i].what, cases[i].hint);
    }
}

static void test_bad_flags(void **state)
{
    static const struct {
        const char *flags[3], *what;
    } cases[] = {
        {{"--cuont", "1"}, "did you mean --count"},
        {{"--xyzzyxyzzy"}, "no such flag"},
        {{"--count"}, "needs a value"},
        {{"--count", "x"}, "--count: \"x\" is not"},
        {{"--count", " 5"}, "not a whole"},
        {{"--count", ""}, "not a whole"},
        {{"--fast=maybe"}, "neither"},
        {{"--label", "novalue"}, "KEY=VALUE"},
        {{"stray"}, "not expected"},
        {{"--broker="}, "1 to 20"},
        {{"--config", "/nonexistent/x"}, "/nonexistent/x"},
        {{"--config", "/"}, "not a regular file"},
        {{"-qz"}, "-q: no such flag"},
        {{"--help=5"}, "no such flag"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(load(NULL, FLAGS(cases[i].flags[0], cases[i].flags[1])), -EINVAL);
        if (!strstr(error, cases[i].what))
            fail_msg("case %zu: \"%s\" lacks \"%s\"", i, error, cases[i].what);
    }
}

static void test_required(void **state)
{
    static const struct mf_setting required[] = {
        {"key", MF_SET_STRING, AT(broker), 1, 99, NULL, true, "the key"}};
    assert_int_equal(load_table(required, 1, NULL, NULL), -EINVAL);
    assert_non_null(strstr(error, "--key is missing"));
    assert_int_equal(load_table(required, 1, "key: k\n", NULL), 0);
    assert_int_equal(load_table(required, 1, NULL, FLAGS("--key", "k")), 0);
    assert_int_equal(load_table(required, 1, NULL, FLAGS("--help")), 1);
}

static int end(void **state)
{
    mf_arena_free(&arena);
    return fixture_end(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_defaults),  TEST(test_file_wins_over_defaults_and_flags_over_file),
        TEST(test_bad_flags), TEST(test_bad_files_name_line_and_key_and_the_way_out),
        TEST(test_required),  TEST(test_a_check_reads_all_and_goes_no_further),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
