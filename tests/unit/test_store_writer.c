/* test_store_writer.c - the store thread against an engine that obeys the test: it blocks, fills up or breaks
 * when told to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "writer.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static struct mf_store { /* the test's engine */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int result;         /* of the next appends */
    int compact_result; /* of the next compactions */
    bool held;          /* an append waits while this is true */
    int waiting;        /* appends that wait now */
    uint64_t newest;
    unsigned batches, compactions;
    size_t live;
} world = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static int fake_append(struct mf_store *self, const struct mf_store_row *rows, size_t n_rows,
                       const struct mf_store_blob *blobs, size_t n_blobs, char error[256])
{
    int r;

    pthread_mutex_lock(&self->mutex);
    self->waiting++;
    pthread_cond_broadcast(&self->changed);
    while (self->held)
        pthread_cond_wait(&self->changed, &self->mutex);
    self->waiting--;
    r = self->result;
    if (!r)
        self->batches++;
    for (size_t i = 0; !r && i < n_rows; i++) {
        assert_int_equal(rows[i].seq, self->newest + 1);
        self->newest++;
    }
    mf_str_format(error, 256, "as the test says");
    pthread_mutex_unlock(&self->mutex);
    return r;
}

static int fake_compact(struct mf_store *self, uint64_t seq, uint64_t keep_above,
                        const struct mf_store_record *records, size_t n_records, const struct mf_digest *live,
                        size_t n_live, char error[256])
{
    int r;

    pthread_mutex_lock(&self->mutex);
    r = self->compact_result;
    self->live = n_live;
    self->compactions++;
    pthread_mutex_unlock(&self->mutex);
    return r;
}

static const struct mf_store_engine fake = {.name = "fake", .append = fake_append, .compact = fake_compact};

static void set_world(int result, bool held)
{
    pthread_mutex_lock(&world.mutex);
    world.result = result;
    world.held = held;
    pthread_cond_broadcast(&world.changed);
    pthread_mutex_unlock(&world.mutex);
}

static void wait_until_an_append_waits(void)
{
    pthread_mutex_lock(&world.mutex);
    while (!world.waiting)
        pthread_cond_wait(&world.changed, &world.mutex);
    pthread_mutex_unlock(&world.mutex);
}

static struct mf_writer *start(void)
{
    set_world(0, false);
    world.newest = world.batches = world.compactions = 0;
    world.compact_result = 0;
    return mf_writer_start(&fake, &world);
}

static void push(struct mf_writer *writer, uint64_t from, uint64_t until)
{
    struct mf_store_row rows[32] = {0};
    size_t n = 0;

    for (uint64_t seq = from; seq <= until; seq++)
        rows[n++].seq = seq;
    mf_writer_push(writer, rows, n, NULL, 0);
}

static struct mf_writer_news wait_news(struct mf_writer *writer)
{
    struct pollfd item = {.fd = mf_writer_fd(writer), .events = POLLIN};
    struct mf_writer_news news;

    assert_int_equal(poll(&item, 1, 20000), 1);
    mf_writer_news(writer, &news);
    return news;
}

static void what_queues_is_one_batch(void **state)
{
    struct mf_writer *writer = start();
    struct mf_writer_news news;

    set_world(0, true);
    push(writer, 1, 1);
    wait_until_an_append_waits();
    for (uint64_t seq = 2; seq <= 20; seq += 2)
        push(writer, seq, seq + 1);
    set_world(0, false);
    do
        news = wait_news(writer);
    while (news.committed < 21);
    assert_int_equal(world.batches, 2);
    mf_writer_destroy(&writer);
}

static void a_full_disk_is_waited_out(void **state)
{
    struct mf_writer *writer = start();
    struct mf_writer_news news;

    set_world(-ENOSPC, false);
    push(writer, 1, 5);
    news = wait_news(writer);
    assert_true(news.full);
    assert_int_equal(news.committed, 0);
    assert_string_equal(news.text, "as the test says");
    push(writer, 6, 6);
    set_world(0, false);
    do
        news = wait_news(writer);
    while (news.committed < 6 || news.full);
    assert_int_equal(news.failure, 0);
    mf_writer_destroy(&writer);
}

static void another_fault_is_the_end(void **state)
{
    struct mf_writer *writer = start();
    struct mf_writer_news news;

    set_world(-EIO, false);
    push(writer, 1, 1);
    news = wait_news(writer);
    assert_int_equal(news.failure, -EIO);
    push(writer, 2, 2); /* taken, never told */
    mf_writer_stop(writer);
    mf_writer_news(writer, &news);
    assert_int_equal(news.committed, 0);
    mf_writer_destroy(&writer);
}

static void stop_commits_what_is_queued(void **state)
{
    struct mf_writer *writer = start();
    struct mf_writer_news news;

    set_world(0, true);
    push(writer, 1, 1);
    wait_until_an_append_waits();
    push(writer, 2, 9);
    set_world(0, false);
    mf_writer_stop(writer);
    mf_writer_news(writer, &news);
    assert_int_equal(news.committed, 9);
    mf_writer_destroy(&writer);
}

static void stop_does_not_wait_for_a_full_disk(void **state)
{
    struct mf_writer *writer = start();
    struct mf_writer_news news;

    set_world(-ENOSPC, false);
    push(writer, 1, 1);
    wait_news(writer);
    mf_writer_stop(writer);
    mf_writer_news(writer, &news);
    assert_int_equal(news.failure, -ENOSPC);
    mf_writer_destroy(&writer);
}

/* Rows and a blob that came after the snapshot are committed with it: the blob must not be taken for a dead
 * one. */
static void a_snapshot_keeps_the_blobs_of_its_batch(void **state)
{
    struct mf_writer *writer = start();
    struct mf_store_blob blob = {.bytes = {strdup("x"), 1}};
    struct mf_compaction *compaction = calloc(1, sizeof(*compaction));
    struct mf_writer_news news;

    set_world(0, true);
    push(writer, 1, 1);
    wait_until_an_append_waits();
    compaction->seq = 1;
    mf_writer_compact(writer, compaction);
    mf_writer_push(writer, &(struct mf_store_row){.seq = 2}, 1, &blob, 1);
    set_world(0, false);
    do
        news = wait_news(writer);
    while (news.snapshot_seq < 1);
    assert_int_equal(news.committed, 2);
    assert_int_equal(world.live, 1);
    mf_writer_destroy(&writer);
}

/* The append of its batch goes in, the snapshot itself does not. */
static void a_snapshot_without_room_is_given_up(void **state)
{
    struct mf_writer *writer = start();
    struct mf_compaction *compaction = calloc(1, sizeof(*compaction));
    struct mf_writer_news news;

    pthread_mutex_lock(&world.mutex);
    world.compact_result = -ENOSPC;
    pthread_mutex_unlock(&world.mutex);
    mf_writer_compact(writer, compaction);
    do
        news = wait_news(writer);
    while (!news.snapshots_dropped);
    assert_int_equal(news.snapshot_seq, 0);
    assert_int_equal(news.failure, 0);
    push(writer, 1, 1);
    while (wait_news(writer).committed < 1)
        ;
    mf_writer_destroy(&writer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_queues_is_one_batch),
        cmocka_unit_test(a_full_disk_is_waited_out),
        cmocka_unit_test(another_fault_is_the_end),
        cmocka_unit_test(stop_commits_what_is_queued),
        cmocka_unit_test(stop_does_not_wait_for_a_full_disk),
        cmocka_unit_test(a_snapshot_keeps_the_blobs_of_its_batch),
        cmocka_unit_test(a_snapshot_without_room_is_given_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
