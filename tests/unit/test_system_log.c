/* test_system_log.c - a log line holds what was said, however hostile that is, and stays one line: as logfmt
 * and as one JSON object that a strict parser takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "log_line.h"
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const char *line_of(enum mf_log_format format, const char *name, const char *message,
                           const char *pairs)
{
    static struct mf_log_line line;
    static char text[sizeof(line.bytes) + 1];
    struct mf_log_words words = {1700000000007, "info", "prog", name, message, pairs};

    mf_log_line(&line, format, &words);
    assert_true(line.len > 0 && line.len <= sizeof(line.bytes));
    memcpy(text, line.bytes, line.len);
    text[line.len] = 0;
    assert_ptr_equal(memchr(line.bytes, '\n', line.len), line.bytes + line.len - 1);
    return text;
}

static json_t *parsed(const char *text, size_t len)
{
    json_error_t error;
    json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);

    if (!json)
        fail_msg("%s at %d in: %s", error.text, error.position, text);
    return json;
}

static json_t *json_of(const char *name, const char *message, const char *pairs)
{
    const char *text = line_of(MF_LOG_JSON, name, message, pairs);

    return parsed(text, strlen(text));
}

struct member {
    const char *key, *value;
};

/* It has these members, and as many more (they are of the head). */
#define EXPECT(json, more, ...) expect(json, more, (const struct member[]){__VA_ARGS__, {0}})

static void expect(json_t *json, size_t more, const struct member *member)
{
    size_t n = more;

    for (; member->key; member++, n++) {
        const char *have = json_string_value(json_object_get(json, member->key));
        if (!have || strcmp(have, member->value) != 0)
            fail_msg("%s is \"%s\", not \"%s\"", member->key, have ? have : "(none)", member->value);
    }
    assert_int_equal(json_object_size(json), n);
    json_decref(json);
}

static void test_both_say_the_same(void **state)
{
    const char *pairs = "node=node-1 error=\"it said \\\"no\\\",\\nand \\x1b left\" n=3 empty=";

    assert_string_equal(line_of(MF_LOG_LOGFMT, "n-1", "he said \"no\"", pairs),
                        "time=2023-11-14T22:13:20.007Z level=info program=prog name=n-1 "
                        "msg=\"he said \\\"no\\\"\" node=node-1 "
                        "error=\"it said \\\"no\\\",\\nand \\x1b left\" n=3 empty=\n");
    EXPECT(json_of("n-1", "he said \"no\"", pairs), 0, {"time", "2023-11-14T22:13:20.007Z"},
           {"level", "info"}, {"program", "prog"}, {"name", "n-1"}, {"msg", "he said \"no\""},
           {"node", "node-1"}, {"error", "it said \"no\",\nand \x1b left"}, {"n", "3"}, {"empty", ""});
    EXPECT(json_of("", "m", NULL), 3, {"msg", "m"}); /* no name, no pairs */
}

static void test_hostile_words(void **state)
{
    EXPECT(
        json_of("n", "a\nb\x7f\x01", "text=two words name=other raw=\"\\\\\" stray \"quoted stray\" x=y=z"),
        3, {"msg", "a\nb\x7f\x01"}, {"name", "n"}, {"name_", "other"}, {"text", "two words"},
        {"raw", "\\ stray quoted stray"}, {"x", "y=z"});
    EXPECT(json_of("n", "m", "no key at all =x"), 5, {"more", "no key at all =x"});
    EXPECT(json_of("n", "\xff\xfe \xed\xa0\x80 \xc0\x80 \xf0\x9f\x90\x9d \xf0\x9f", "k=\"\xe2\x82"), 4,
           {"msg", "\xef\xbf\xbd\xef\xbf\xbd \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd \xef\xbf\xbd\xef\xbf\xbd "
                   "\xf0\x9f\x90\x9d "
                   "\xef\xbf\xbd\xef\xbf\xbd"},
           {"k", "\xef\xbf\xbd\xef\xbf\xbd"});
}

/* Wherever the line is full, what is left of it is whole. */
static void test_every_length_is_cut_well(void **state)
{
    static const char *const units[] = {"\"",   "\\",   "x",   "\xf0\x9f\x90\x9d",
                                        "\x01", "\xff", " k=", " k=\"v\""};
    char *text = malloc(9000);

    for (size_t u = 0; u < sizeof(units) / sizeof(units[0]); u++)
        for (size_t shift = 0; shift < 64; shift++) {
            size_t len = shift, unit = strlen(units[u]);
            memset(text, 'a', shift);
            while (len + unit < 8000)
                memcpy(text + len, units[u], unit), len += unit;
            text[len] = 0;
            const char *line = line_of(MF_LOG_JSON, "n", text, "k=v");
            json_decref(parsed(line, strlen(line)));
            assert_non_null(strstr(line, "...\"}"));
            assert_string_equal(strchr(line_of(MF_LOG_LOGFMT, "n", text, "k=v"), 0) - 4, "...\n");
            line = line_of(MF_LOG_JSON, "n", "m", text);
            json_t *json =
                json_loadb(line, strlen(line), 0, NULL); /* " k=" again and again: keys are double */
            assert_non_null(json);
            json_decref(json);
        }
    free(text);
}

/* A pair that finds no room at all is missed aloud, too. */
static void test_what_is_left_out_is_said(void **state)
{
    char message[4100];

    for (size_t len = 3800; len < sizeof(message); len++) {
        memset(message, 'a', len);
        message[len] = 0;
        const char *line = line_of(MF_LOG_JSON, "n", message, "key=value last=one");
        json_t *json = parsed(line, strlen(line));
        const char *last = json_string_value(json_object_get(json, "last"));
        bool whole = last && strcmp(last, "one") == 0, cut = strstr(line, "...\"}\n") != NULL;
        if (whole == cut)
            fail_msg("%zu: %s", len, line + len);
        json_decref(json);
    }
}

/* Bytes that come as they like: still one object a line. */
static void test_random_bytes(void **state)
{
    struct mf_random random;
    char message[600], pairs[600];

    mf_random_seed(&random, 7);
    for (int round = 0; round < 20000; round++) {
        size_t m = mf_random_below(&random, sizeof(message) - 1),
               p = mf_random_below(&random, sizeof(pairs) - 1);
        for (size_t i = 0; i < m; i++)
            message[i] = (char)(1 + mf_random_below(&random, 255));
        for (size_t i = 0; i < p; i++)
            pairs[i] = "ab= \"\\\nx0\xc3\xa9\xff"[mf_random_below(&random, 13)];
        message[m] = pairs[p] = 0;
        const char *line = line_of(MF_LOG_JSON, "n", message, pairs);
        json_t *json = json_loadb(line, strlen(line), 0, NULL);
        if (!json)
            fail_msg("not JSON: %s", line);
        json_decref(json);
        line_of(MF_LOG_LOGFMT, "n", message, pairs);
    }
}

static void test_the_format_is_chosen(void **state)
{
    enum mf_log_format format = MF_LOG_JSON;
    char error[512] = "";

    unsetenv("MAYFLY_LOG_FORMAT");
    assert_int_equal(mf_log_format_choose(NULL, &format, error), 0);
    assert_int_equal(format, MF_LOG_LOGFMT);
    setenv("MAYFLY_LOG_FORMAT", "json", 1);
    assert_int_equal(mf_log_format_choose(NULL, &format, error), 0);
    assert_int_equal(format, MF_LOG_JSON);
    assert_int_equal(mf_log_format_choose("logfmt", &format, error), 0); /* the flag wins */
    assert_int_equal(format, MF_LOG_LOGFMT);
    assert_int_equal(mf_log_format_choose("xml", &format, error), -EINVAL);
    assert_non_null(strstr(error, "--log-format: \"xml\""));
    setenv("MAYFLY_LOG_FORMAT", "yaml", 1);
    assert_int_equal(mf_log_format_choose(NULL, &format, error), -EINVAL);
    assert_non_null(strstr(error, "MAYFLY_LOG_FORMAT: \"yaml\""));
    unsetenv("MAYFLY_LOG_FORMAT");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_say_the_same),        cmocka_unit_test(test_hostile_words),
        cmocka_unit_test(test_every_length_is_cut_well), cmocka_unit_test(test_random_bytes),
        cmocka_unit_test(test_what_is_left_out_is_said), cmocka_unit_test(test_the_format_is_chosen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
