/* test_store_kill.c - a child appends batches, compacts, tidies, and says through a pipe which row it was
 * told is durable. It dies, at every single file operation in turn, in four ways, and by SIGKILL at moments
 * of chance. Each time the store is opened again: what was acknowledged is there, rows have no gap, a batch
 * is there whole or not at all, and with each row the blob it came with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "faulty_vfs.h"
#include "store.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    BATCH = 4,         /* rows; the first of a batch has seq 1 modulo 4 */
    COMPACT_EVERY = 3, /* batches */
    KEEP = 12,         /* rows kept below a snapshot */
    BATCHES = 7,       /* of a run that lives */
    KILLS = 25,        /* by SIGKILL */
};

static const struct mf_store_engine *const engine = &mf_store_sqlite;
static char dir[64], path[96], error[256];

static void remove_files(void)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", ".lock", "-journal"};
    char name[128];

    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
        unlink(name);
    }
}

static int make_dir(void **state)
{
    snprintf(dir, sizeof(dir), "/tmp/mf-kill-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/broker.db", dir);
    return 0;
}

static int remove_dir(void **state)
{
    remove_files();
    return rmdir(dir);
}

/* -- the child */

static struct mf_str text_of(char *array, const char *what, uint64_t n)
{
    return mf_str_format(array, 48, "%s %llu", what, (unsigned long long)n);
}

static struct mf_store_blob blob_of(uint64_t batch, char array[48])
{
    struct mf_str bytes = text_of(array, "user-data of batch", batch);

    return (struct mf_store_blob){mf_digest_make(bytes.ptr, bytes.len), bytes};
}

static int append_batch(struct mf_store *store, uint64_t newest)
{
    struct mf_store_row rows[BATCH];
    char data[BATCH][48], bytes[48];
    struct mf_store_blob blob = blob_of(newest / BATCH, bytes);

    for (uint64_t i = 0; i < BATCH; i++)
        rows[i] = (struct mf_store_row){.seq = newest + 1 + i,
                                        .cause = i ? newest + 1 : 0,
                                        .type = mf_str("instance.created"),
                                        .subject = mf_str("default/web/0#1"),
                                        .data = text_of(data[i], "row", newest + 1 + i)};
    return engine->append(store, rows, BATCH, &blob, 1, error);
}

/* The snapshot is one record that says which row it holds; all blobs that retained rows came with stay. */
static int compact(struct mf_store *store, uint64_t newest)
{
    char data[48], bytes[48];
    struct mf_store_record record = {"snap_meta", text_of(data, "seq", newest)};
    struct mf_digest live[KEEP];
    uint64_t keep_above = newest > KEEP ? newest - KEEP : 0;
    size_t n = 0;

    for (uint64_t batch = keep_above / BATCH; batch < newest / BATCH; batch++)
        live[n++] = blob_of(batch, bytes).digest;
    return engine->compact(store, newest, keep_above, &record, 1, live, n, error);
}

static int work(int pipe, long batches)
{
    struct mf_store *store = NULL;
    uint64_t oldest, newest;

    if (engine->open(path, &store, error) < 0 || engine->range(store, &oldest, &newest, error) < 0)
        return 1;
    for (long i = 1; batches < 0 || i <= batches; i++) {
        if (append_batch(store, newest) < 0)
            return 2;
        newest += BATCH;
        if (write(pipe, &newest, sizeof(newest)) != sizeof(newest))
            return 3;
        if (i % COMPACT_EVERY == 0 && compact(store, newest) < 0)
            return 4;
        if (i % 2 == 0 && engine->tidy(store, error) < 0)
            return 5;
    }
    engine->close(store);
    return 0;
}

/* -- the judge */

struct judged {
    struct mf_store *store;
    uint64_t last, snapshot;
};

static int judge_record(void *arg, struct mf_str id, struct mf_str data)
{
    struct judged *judged = arg;
    char text[32] = "";

    assert_true(mf_str_is(id, "snap_meta"));
    assert_true(data.len < sizeof(text));
    memcpy(text, data.ptr, data.len);
    assert_int_equal(judged->snapshot, 0);
    judged->snapshot = judged->last = strtoull(text + 4, NULL, 10);
    return 0;
}

static int judge_row(void *arg, const struct mf_store_row *row)
{
    struct judged *judged = arg;
    char text[48];

    if (judged->last)
        assert_int_equal(row->seq, judged->last + 1);
    assert_true(mf_str_eq(row->data, text_of(text, "row", row->seq)));
    judged->last = row->seq;
    if (row->seq % BATCH == 1) {
        struct mf_store_blob blob = blob_of(row->seq / BATCH, text);
        struct mf_buf bytes = {0};

        assert_int_equal(engine->blob(judged->store, blob.digest, &bytes, error), 0);
        assert_true(mf_str_eq(blob.bytes, (struct mf_str){bytes.ptr, (uint32_t)bytes.len}));
        mf_buf_free(&bytes);
    }
    return 0;
}

static uint64_t judge(uint64_t acknowledged)
{
    struct judged loaded = {0}, read = {0};
    uint64_t oldest, newest;

    if (engine->open(path, &loaded.store, error) < 0)
        fail_msg("%s", error);
    read.store = loaded.store;
    if (engine->load(loaded.store, judge_record, judge_row, &loaded, error) < 0)
        fail_msg("%s", error);
    assert_int_equal(engine->range(loaded.store, &oldest, &newest, error), 0);
    assert_int_equal(loaded.last, newest);
    assert_true(newest >= acknowledged);
    assert_int_equal(newest % BATCH, 0);
    if (newest)
        assert_int_equal(engine->read(read.store, oldest, newest, 100000, judge_row, &read, error), 0);
    assert_true(newest < KEEP || newest - oldest + 1 >= KEEP);
    assert_int_equal(read.last, oldest <= newest ? newest : 0);
    engine->close(loaded.store);
    return newest;
}

static uint64_t read_acknowledged(int pipe, uint64_t before)
{
    uint64_t seq;

    while (read(pipe, &seq, sizeof(seq)) == sizeof(seq)) {
        assert_true(seq == before + BATCH);
        before = seq;
    }
    return before;
}

/* -- every operation in turn */

static int run_until(enum faulty_mode mode, long die_at, uint64_t *ret_acknowledged)
{
    int pipes[2], status;
    pid_t child;

    assert_int_equal(pipe(pipes), 0);
    child = fork();
    if (child == 0) {
        close(pipes[0]);
        faulty_vfs_install(mode, die_at, (unsigned)die_at);
        _exit(work(pipes[1], BATCHES));
    }
    close(pipes[1]);
    *ret_acknowledged = read_acknowledged(pipes[0], 0);
    close(pipes[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* After each death the store also goes on: a second life appends to what the first one left. */
static void die_everywhere(enum faulty_mode mode)
{
    long die_at;
    int status = FAULTY_EXIT;

    for (die_at = 1; status == FAULTY_EXIT; die_at++) {
        struct mf_store *store;
        uint64_t acknowledged, newest;

        status = run_until(mode, die_at, &acknowledged);
        newest = judge(acknowledged);
        assert_true(newest <= acknowledged + BATCH);
        assert_int_equal(engine->open(path, &store, error), 0);
        assert_int_equal(append_batch(store, newest), 0);
        engine->close(store);
        judge(newest + BATCH);
        remove_files();
    }
    assert_int_equal(status, 0);
    assert_true(die_at > 50); /* it did count */
}

static void killed_before_an_operation(void **state)
{
    die_everywhere(FAULTY_BEFORE);
}
static void killed_within_a_write(void **state)
{
    die_everywhere(FAULTY_HALF);
}
static void killed_after_an_operation(void **state)
{
    die_everywhere(FAULTY_AFTER);
}
static void power_lost_at_an_operation(void **state)
{
    die_everywhere(FAULTY_POWER);
}

/* -- by chance: one store lives through many deaths */

static void killed_at_any_moment(void **state)
{
    uint64_t newest = 0;

    srandom(20);
    for (int i = 0; i < KILLS; i++) {
        int pipes[2], status;
        struct pollfd item;
        long acknowledgements = random() % 12;
        pid_t child;

        assert_int_equal(pipe(pipes), 0);
        child = fork();
        if (child == 0) {
            close(pipes[0]);
            _exit(work(pipes[1], -1));
        }
        close(pipes[1]);
        item = (struct pollfd){.fd = pipes[0], .events = POLLIN};
        for (uint64_t seq; acknowledgements-- > 0;) {
            assert_int_equal(poll(&item, 1, 20000), 1);
            assert_int_equal(read(pipes[0], &seq, sizeof(seq)), sizeof(seq));
            assert_int_equal(seq, newest + BATCH);
            newest = seq;
        }
        assert_int_equal(
            clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = random() % 3000000}, NULL), 0);
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        newest = read_acknowledged(pipes[0], newest);
        close(pipes[0]);
        newest = judge(newest);
    }
    remove_files();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_before_an_operation), cmocka_unit_test(killed_within_a_write),
        cmocka_unit_test(killed_after_an_operation),  cmocka_unit_test(power_lost_at_an_operation),
        cmocka_unit_test(killed_at_any_moment),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
