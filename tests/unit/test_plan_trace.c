/* Requests from a file: what is understood, and that every mistake is told with its line. */
#include "trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEAD "offering,count,at_s,life_s\n"

static struct mf_arena arena;
static struct mf_trace trace;
static char error[512], path[] = "/tmp/mf-trace-XXXXXX";

static int make_file(void **state)
{
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int drop_file(void **state)
{
    free(trace.rows);
    mf_arena_free(&arena);
    return unlink(path);
}

static int read_bytes(const char *text, size_t len)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
    free(trace.rows);
    trace = (struct mf_trace){0};
    *error = 0;
    return mf_trace_read(path, &arena, &trace, error);
}

static int read_text(const char *text)
{
    return read_bytes(text, strlen(text));
}

static void understands_rows(void **state)
{
    assert_int_equal(read_text(HEAD "small,3,0,60\r\nbig , 10000,1.5,\nsmall,1,1.5,0.001\n\n\n"), 0);
    assert_int_equal(trace.n, 3);
    assert_true(mf_str_is(trace.rows[0].offering, "small"));
    assert_int_equal(trace.rows[0].life, 60000);
    assert_true(mf_str_is(trace.rows[1].offering, "big"));
    assert_int_equal(trace.rows[1].count, 10000);
    assert_int_equal(trace.rows[1].at, 1500);
    assert_int_equal(trace.rows[1].life, 0);
    assert_int_equal(trace.rows[2].life, 1);
    assert_int_equal(trace.rows[2].line, 4);
}

static void understands_columns_in_any_order(void **state)
{
    assert_int_equal(read_text("group,life_s,at_s,count,offering\nweb,5,2,1,small\n,5,2,1,small"), 0);
    assert_int_equal(trace.n, 2);
    assert_true(mf_str_is(trace.rows[0].group, "web"));
    assert_int_equal(trace.rows[0].at, 2000);
    assert_int_equal(trace.rows[1].group.len, 0);
}

static void says_where(void **state)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"", ":0: there is no request in it"},
        {HEAD, ":1: there is no request in it"},
        {"small,3,0,60\n", ":1: \"small\" is no column of ours"},
        {"offering,count,at_s\n", ":1: the header has no column life_s"},
        {"offering,count,at_s,life_s,count\n", ":1: column count is there twice"},
        {"offering,count,at_s,life_s,group,colour\n", ":1: 6 columns are more than there are"},
        {HEAD "small,1,0\n", ":2: it has 3 values, and the header 4"},
        {HEAD "small,1,0,4,5\n", ":2: it has 5 values, and the header 4"},
        {HEAD "small,1,,4\n", ":2: at_s is empty"},
        {HEAD ",1,0,4\n", ":2: offering is empty"},
        {HEAD "Small,1,0,4\n", ":2: offering: \"Small\" is not a name"},
        {HEAD "small,0,0,4\n", ":2: count: \"0\" is not within 1..10000"},
        {HEAD "small,10001,0,4\n", ":2: count: \"10001\" is not within"},
        {HEAD "small,99999999999999999999,0,4\n", ":2: count: "},
        {HEAD "small,-1,0,4\n", ":2: count: \"-1\" is not a whole number"},
        {HEAD "small,1,-1,4\n", ":2: at_s: -1 is negative"},
        {HEAD "small,1,0,-4\n", ":2: life_s: -4 is negative"},
        {HEAD "small,1,0,0\n", ":2: life_s: 0 is no life"},
        {HEAD "small,1,nan,4\n", ":2: at_s: \"nan\" is not a number of seconds"},
        {HEAD "small,1,inf,4\n", ":2: at_s: \"inf\" is not a number of seconds"},
        {HEAD "small,1,1e999,4\n", ":2: at_s: \"1e999\" is not a number of seconds"},
        {HEAD "small,1,0x10,4\n", ":2: at_s: \"0x10\" is not a number of seconds"},
        {HEAD "small,1,4e9,4\n", ":2: at_s: 4e9 is more than a century"},
        {HEAD "small,1,5,4\nsmall,1,4.9,4\n", ":3: at_s is before that of line 2"},
        {HEAD "small,1,5,4\n\nsmall,1,6,4\n", ":3: it is empty, and there are rows below it"},
        {HEAD "small,1,5,4\n,,,\n", ":3: offering is empty"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(read_text(cases[i].text), -EINVAL);
        if (!strstr(error, cases[i].error))
            fail_msg("case %zu: \"%s\" does not hold \"%s\"", i, error, cases[i].error);
    }
    assert_int_equal(read_bytes("offering\0,", 10), -EINVAL);
    assert_non_null(strstr(error, "zero bytes"));
    assert_true(mf_trace_read("/nonexistent", &arena, &trace, error) < 0);
    assert_true(mf_trace_read("/tmp", &arena, &trace, error) < 0);
}

static void survives_any_cut(void **state)
{
    static const char text[] = "offering,count,at_s,life_s,group\nsmall,3,0,60,web\nsmall,3,1.5,,\n";
    for (size_t n = 0; n < sizeof text; n++)
        read_bytes(text, n); /* the sanitizers judge */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(understands_rows),
        cmocka_unit_test(understands_columns_in_any_order),
        cmocka_unit_test(says_where),
        cmocka_unit_test(survives_any_cut),
    };
    return cmocka_run_group_tests(tests, make_file, drop_file);
}
