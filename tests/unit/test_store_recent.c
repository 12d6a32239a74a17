/* test_store_recent.c - the rows in memory: what is not committed stays, what is leaves from the old end. And
 * topics of the tail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "recent.h"
#include "tail.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add(struct mf_recent *recent, uint64_t seq, uint32_t len)
{
    char *data = calloc(1, len + 1);
    struct mf_store_row row = {
        .seq = seq, .type = mf_str("a.b"), .subject = mf_str("default/web"), .data = {data, len}};
    const struct mf_store_row *kept = mf_recent_add(recent, &row);

    assert_int_equal(kept->seq, seq);
    assert_true(mf_str_is(kept->subject, "default/web"));
    assert_ptr_not_equal(kept->data.ptr, data);
    free(data);
}

static void uncommitted_rows_stay(void **state)
{
    struct mf_recent *recent = mf_recent_new(41);

    for (uint64_t seq = 42; seq < 42 + 2 * MF_RECENT_ROWS; seq++)
        add(recent, seq, 10);
    assert_null(mf_recent_find(recent, 41));
    assert_int_equal(mf_recent_find(recent, 42)->seq, 42);
    assert_null(mf_recent_find(recent, 42 + 2 * MF_RECENT_ROWS));
    mf_recent_committed(recent, 50);
    assert_null(mf_recent_find(recent, 50));
    assert_int_equal(mf_recent_find(recent, 51)->seq, 51);
    mf_recent_committed(recent, 41 + 2 * MF_RECENT_ROWS);
    assert_null(mf_recent_find(recent, 41 + MF_RECENT_ROWS));
    assert_int_equal(mf_recent_find(recent, 42 + MF_RECENT_ROWS)->seq, 42 + MF_RECENT_ROWS);
    mf_recent_destroy(&recent);
}

static void bytes_are_bounded(void **state)
{
    struct mf_recent *recent = mf_recent_new(0);
    int kept = 0;

    for (uint64_t seq = 1; seq <= 200; seq++)
        add(recent, seq, 65536);
    mf_recent_committed(recent, 200);
    for (uint64_t seq = 1; seq <= 200; seq++)
        kept += mf_recent_find(recent, seq) != NULL;
    assert_true(kept > 50 && kept <= MF_RECENT_BYTES / 65536);
    mf_recent_destroy(&recent);
}

static void topics(void **state)
{
    static const char *const cases[][3] = {
        {"default/web/3#1", "instance.running", "default/web/3/instance.running"},
        {"default/web", "group.created", "default/web/-/group.created"},
        {"node/node-1", "node.failed", "cluster/node/node-1/node.failed"},
        {"image/tiny", "image.added", "cluster/image/tiny/image.added"},
        {"cluster", "broker.started", "cluster/-/-/broker.started"},
        {"", "x.y", "-/-/-/x.y"},
    };
    char topic[MF_TAIL_TOPIC];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t len = mf_tail_topic(mf_str(cases[i][0]), mf_str(cases[i][1]), topic);

        assert_string_equal(topic, cases[i][2]);
        assert_int_equal(len, strlen(topic));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(uncommitted_rows_stay),
                                       cmocka_unit_test(bytes_are_bounded), cmocka_unit_test(topics)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
