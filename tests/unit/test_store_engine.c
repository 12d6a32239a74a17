/* test_store_engine.c - what every engine of store.h must do. A new engine adds itself to `engines` and its
 * name to the file checks that it shares (lock, schema, corruption are of one file on disk). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "store.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct mf_store_engine *engine;
static char dir[64], path[96], error[256];

static int make_dir(void **state)
{
    snprintf(dir, sizeof(dir), "/tmp/mf-store-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/broker.db", dir);
    return 0;
}

static int remove_dir(void **state)
{
    static const char *const names[] = {"broker.db",      "broker.db-wal", "broker.db-shm",
                                        "broker.db.lock", "copy.db",       "other.db"};
    char name[160];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(name, sizeof(name), "%s/%s", dir, names[i]);
        unlink(name);
    }
    return rmdir(dir);
}

static struct mf_store *open_store(void)
{
    struct mf_store *store = NULL;

    if (engine->open(path, &store, error) < 0)
        fail_msg("%s", error);
    return store;
}

static struct mf_store_row row_of(uint64_t seq)
{
    static char data[64][80];
    char *bytes = data[seq % 64];

    return (struct mf_store_row){.seq = seq,
                                 .cause = seq / 2,
                                 .time_ms = 1700000000000 + (mf_ms)seq,
                                 .type = mf_str("instance.running"),
                                 .subject = mf_str("default/web/3#1"),
                                 .data =
                                     mf_str_format(bytes, 80, "data of row %llu", (unsigned long long)seq)};
}

static int append(struct mf_store *store, uint64_t from, uint64_t until)
{
    struct mf_store_row rows[64];
    size_t n = 0;

    assert_true(until - from < 64);
    for (uint64_t seq = from; seq <= until; seq++)
        rows[n++] = row_of(seq);
    return engine->append(store, rows, n, NULL, 0, error);
}

struct seen {
    uint64_t first, last, n, records;
    uint64_t stop_at;
};

static int see_row(void *arg, const struct mf_store_row *row)
{
    struct seen *seen = arg;
    struct mf_store_row expected = row_of(row->seq);

    assert_int_equal(row->cause, expected.cause);
    assert_int_equal(row->time_ms, expected.time_ms);
    assert_true(mf_str_eq(row->type, expected.type));
    assert_true(mf_str_eq(row->subject, expected.subject));
    assert_true(mf_str_eq(row->data, expected.data));
    if (seen->n)
        assert_int_equal(row->seq, seen->last + 1);
    else
        seen->first = row->seq;
    seen->last = row->seq;
    seen->n++;
    return seen->stop_at == row->seq ? 7 : 0;
}

static int see_record(void *arg, struct mf_str id, struct mf_str data)
{
    struct seen *seen = arg;
    char expected[32];

    assert_int_equal(seen->n, 0);
    assert_true(mf_str_is(id, "snap_group"));
    assert_true(mf_str_eq(data, mf_str_format(expected, sizeof(expected), "record %d", (int)seen->records)));
    seen->records++;
    return 0;
}

static struct seen load(struct mf_store *store)
{
    struct seen seen = {0};

    assert_int_equal(engine->load(store, see_record, see_row, &seen, error), 0);
    return seen;
}

static void assert_range(struct mf_store *store, uint64_t oldest, uint64_t newest)
{
    uint64_t o = 99, n = 99;

    assert_int_equal(engine->range(store, &o, &n, error), 0);
    assert_int_equal(o, oldest);
    assert_int_equal(n, newest);
}

static int compact(struct mf_store *store, uint64_t seq, uint64_t keep_above, size_t n_records,
                   const struct mf_digest *live, size_t n_live)
{
    struct mf_store_record records[64];
    char data[64][32];

    for (size_t i = 0; i < n_records; i++)
        records[i] = (struct mf_store_record){"snap_group", mf_str_format(data[i], 32, "record %d", (int)i)};
    return engine->compact(store, seq, keep_above, records, n_records, live, n_live, error);
}

/* -- every engine */

static void empty_store_is_empty(void **state)
{
    struct mf_store *store = open_store();

    assert_range(store, 0, 0);
    assert_int_equal(load(store).n, 0);
    engine->close(store);
}

static void rows_come_back_in_order(void **state)
{
    struct mf_store *store = open_store();
    struct seen seen;

    assert_int_equal(append(store, 1, 3), 0);
    assert_int_equal(append(store, 4, 50), 0);
    assert_range(store, 1, 50);
    engine->close(store);
    store = open_store();
    seen = load(store);
    assert_int_equal(seen.first, 1);
    assert_int_equal(seen.last, 50);
    assert_int_equal(append(store, 51, 51), 0);
    assert_range(store, 1, 51);
    engine->close(store);
}

static void a_callback_stops_the_walk(void **state)
{
    struct mf_store *store = open_store();
    struct seen seen = {.stop_at = 5};

    assert_int_equal(append(store, 1, 10), 0);
    assert_int_equal(engine->load(store, see_record, see_row, &seen, error), 7);
    assert_int_equal(seen.last, 5);
    seen = (struct seen){.stop_at = 4};
    assert_int_equal(engine->read(store, 2, 10, 100, see_row, &seen, error), 7);
    assert_int_equal(seen.n, 3);
    engine->close(store);
}

static void read_is_bounded(void **state)
{
    struct mf_store *store = open_store();
    struct seen seen = {0};

    assert_int_equal(append(store, 1, 40), 0);
    assert_int_equal(engine->read(store, 10, 20, 100, see_row, &seen, error), 0);
    assert_int_equal(seen.first, 10);
    assert_int_equal(seen.last, 20);
    seen = (struct seen){0};
    assert_int_equal(engine->read(store, 10, UINT64_MAX, 3, see_row, &seen, error), 0);
    assert_int_equal(seen.last, 12);
    seen = (struct seen){0};
    assert_int_equal(engine->read(store, 41, 50, 3, see_row, &seen, error), 0);
    assert_int_equal(seen.n, 0);
    engine->close(store);
}

static void compaction_replaces_and_drops(void **state)
{
    struct mf_store *store = open_store();
    struct seen seen = {0};

    assert_int_equal(append(store, 1, 60), 0);
    assert_int_equal(compact(store, 50, 20, 3, NULL, 0), 0);
    assert_range(store, 21, 60);
    seen = load(store);
    assert_int_equal(seen.records, 3);
    assert_int_equal(seen.first, 51);
    assert_int_equal(seen.last, 60);
    seen = (struct seen){0};
    assert_int_equal(engine->read(store, 20, 60, 100, see_row, &seen, error), -ESTALE);
    assert_non_null(strstr(error, "oldest is 21"));
    assert_int_equal(engine->read(store, 21, 60, 100, see_row, &seen, error), 0);
    assert_int_equal(seen.n, 40);
    assert_int_equal(compact(store, 60, 60, 1, NULL, 0), 0);
    assert_range(store, 61, 60);
    engine->close(store);
    store = open_store();
    seen = load(store);
    assert_int_equal(seen.records, 1);
    assert_int_equal(seen.n, 0);
    assert_int_equal(append(store, 61, 61), 0);
    assert_range(store, 61, 61);
    engine->close(store);
}

static void blobs_come_with_rows_and_go_with_compaction(void **state)
{
    struct mf_store *store = open_store();
    struct mf_store_row row = row_of(1);
    struct mf_store_blob blobs[2] = {{mf_digest_make("a", 1), mf_str("a")},
                                     {mf_digest_make("", 0), mf_str("")}};
    struct mf_buf bytes = {0};

    assert_int_equal(engine->blob(store, blobs[0].digest, &bytes, error), -ENOENT);
    assert_int_equal(engine->append(store, &row, 1, blobs, 2, error), 0);
    assert_int_equal(engine->append(store, NULL, 0, blobs, 1, error), 0); /* again is fine */
    assert_int_equal(engine->blob(store, blobs[0].digest, &bytes, error), 0);
    assert_int_equal(bytes.len, 1);
    assert_int_equal(bytes.ptr[0], 'a');
    assert_int_equal(engine->blob(store, blobs[1].digest, &bytes, error), 0);
    assert_int_equal(bytes.len, 1);
    assert_int_equal(compact(store, 1, 0, 0, &blobs[0].digest, 1), 0);
    assert_int_equal(engine->blob(store, blobs[1].digest, &bytes, error), -ENOENT);
    assert_int_equal(engine->blob(store, blobs[0].digest, &bytes, error), 0);
    mf_buf_free(&bytes);
    engine->close(store);
}

static void a_backup_is_a_store(void **state)
{
    struct mf_store *store = open_store(), *copy;
    char copy_path[96], lock[112];
    struct stat st;

    snprintf(copy_path, sizeof(copy_path), "%s/copy.db", dir);
    assert_int_equal(append(store, 1, 30), 0);
    assert_int_equal(compact(store, 20, 10, 2, NULL, 0), 0);
    assert_int_equal(engine->backup(store, copy_path, error), 0);
    assert_int_equal(append(store, 31, 31), 0);
    assert_int_equal(stat(copy_path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(engine->open(copy_path, &copy, error), 0);
    assert_range(copy, 11, 30);
    assert_int_equal(load(copy).records, 2);
    engine->close(copy);
    engine->close(store);
    snprintf(lock, sizeof(lock), "%s.lock", copy_path);
    unlink(lock);
}

static void housekeeping_loses_nothing(void **state)
{
    struct mf_store *store = open_store();

    for (uint64_t seq = 1; seq <= 50; seq++) {
        assert_int_equal(append(store, seq, seq), 0);
        if (engine->tidy && seq % 7 == 0)
            assert_int_equal(engine->tidy(store, error), 0);
    }
    assert_range(store, 1, 50);
    engine->close(store);
}

static void a_second_owner_is_refused(void **state)
{
    struct mf_store *store = open_store(), *other = NULL;
    int status;
    pid_t child = fork();

    if (child == 0)
        _exit(engine->open(path, &other, error) == -EBUSY && strstr(error, "in use by another broker") ? 0
                                                                                                       : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(engine->open(path, &other, error), -EBUSY); /* in the same process too */
    engine->close(store);
    engine->close(open_store());
}

/* -- engines with one file on disk */

static void set(const char *sql)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void made_for_its_owner_alone(void **state)
{
    struct mf_store *store = open_store();
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    engine->close(store);
}

static int64_t count_dropped(uint64_t keep_above)
{
    sqlite3 *db;
    sqlite3_stmt *statement;
    int64_t n;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(db, "SELECT count(*) FROM events WHERE seq <= ?1", -1, &statement, NULL),
        SQLITE_OK);
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)keep_above);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    n = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return n;
}

static void dropped_rows_make_room_bit_by_bit(void **state)
{
    struct mf_store *store = open_store();

    assert_int_equal(append(store, 1, 50), 0);
    assert_int_equal(append(store, 51, 100), 0);
    assert_int_equal(compact(store, 100, 90, 1, NULL, 0), 0);
    assert_range(store, 91, 100);
    assert_int_equal(count_dropped(90), 90);
    assert_int_equal(append(store, 101, 101), 0);
    assert_in_range(count_dropped(90), 1, 89);
    engine->close(store);
    store = open_store(); /* it goes on where it was */
    assert_range(store, 91, 101);
    for (uint64_t seq = 102; seq < 106; seq++)
        assert_int_equal(append(store, seq, seq), 0);
    assert_int_equal(count_dropped(90), 0);
    assert_range(store, 91, 105);
    engine->close(store);
}

static void a_newer_schema_is_refused(void **state)
{
    struct mf_store *store = open_store();

    engine->close(store);
    set("UPDATE meta SET value = 2 WHERE key = 'schema'");
    assert_int_equal(engine->open(path, &store, error), -EPROTO);
    assert_non_null(strstr(error, "newer version"));
}

static void another_programs_database_is_refused_untouched(void **state)
{
    struct mf_store *store;
    struct stat before, after;

    set("CREATE TABLE theirs(x); INSERT INTO theirs VALUES(1)");
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(engine->open(path, &store, error), -EINVAL);
    assert_non_null(strstr(error, "another program"));
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
}

static void garbage_is_refused(void **state)
{
    struct mf_store *store;
    char garbage[8192];
    int fd = open(path, O_RDWR | O_CREAT, 0600);

    memset(garbage, 'x', sizeof(garbage));
    assert_int_equal(write(fd, garbage, sizeof(garbage)), sizeof(garbage));
    close(fd);
    assert_int_equal(engine->open(path, &store, error), -EINVAL);
    assert_non_null(strstr(error, "not a database"));
    assert_non_null(strstr(error, "restore a backup"));
}

static void a_damaged_page_is_found_at_load(void **state)
{
    struct mf_store *store = open_store();
    struct seen seen = {0};
    char zeros[4096];
    int fd, r;

    for (uint64_t seq = 1; seq <= 3000; seq += 50)
        assert_int_equal(append(store, seq, seq + 49), 0);
    engine->close(store);
    memset(zeros, 0xee, sizeof(zeros));
    fd = open(path, O_RDWR);
    assert_int_equal(pwrite(fd, zeros, sizeof(zeros), 20 * 4096), sizeof(zeros));
    close(fd);
    store = open_store();
    r = engine->load(store, see_record, see_row, &seen, error);
    assert_int_equal(r, -EINVAL);
    assert_non_null(strstr(error, "restore a backup"));
    engine->close(store);
}

static void a_missing_row_is_found_at_load(void **state)
{
    struct mf_store *store = open_store();
    struct seen seen = {0};

    assert_int_equal(append(store, 1, 20), 0);
    engine->close(store);
    set("DELETE FROM events WHERE seq = 13");
    store = open_store();
    assert_int_equal(engine->load(store, see_record, see_row, &seen, error), -EINVAL);
    assert_non_null(strstr(error, "row 13 is missing"));
    engine->close(store);
}

static void a_directory_that_is_not_there(void **state)
{
    struct mf_store *store;
    char old[96];

    memcpy(old, path, sizeof(old));
    snprintf(path, sizeof(path), "%s/none/broker.db", dir);
    assert_int_equal(engine->open(path, &store, error), -ENOENT);
    memcpy(path, old, sizeof(old));
}

/* In a child, as the limit of a process cannot be raised again by everybody. Exit 0: a full disk was said,
 * nothing was written, and after there is room again the same rows go in. */
static int fill(void)
{
    struct mf_store *store = open_store();
    struct rlimit limit = {256 << 10, 0};
    struct mf_store_row rows[2] = {row_of(1), row_of(2)};
    struct mf_store_record record = {"snap_group", {NULL, 200000}};
    char *big = calloc(1, 200000);
    uint64_t oldest, newest, seq = 1;
    int r;

    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = 256 << 10;
    setrlimit(RLIMIT_FSIZE, &limit);
    rows[0].data = (struct mf_str){big, 20000};
    do {
        rows[0].seq = seq++;
        rows[0].cause = rows[1].cause = 0;
        rows[1].seq = seq++;
        r = engine->append(store, rows, 2, NULL, 0, error);
    } while (!r);
    if (r != -ENOSPC || engine->range(store, &oldest, &newest, error) < 0 || newest != seq - 3)
        return 1;
    record.data.ptr = big;
    if (engine->compact(store, newest, 0, &record, 1, NULL, 0, error) != -ENOSPC)
        return 2;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_FSIZE, &limit);
    if (engine->append(store, rows, 2, NULL, 0, error) < 0)
        return 3;
    if (engine->range(store, &oldest, &newest, error) < 0 || newest != seq - 1)
        return 4;
    free(big);
    engine->close(store);
    return 0;
}

static void a_full_disk_writes_nothing(void **state)
{
    int status;
    pid_t child = fork();

    if (child == 0)
        _exit(fill());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)

int main(void)
{
    static const struct mf_store_engine *const engines[] = {&mf_store_sqlite};
    const struct CMUnitTest conformance[] = {
        TEST(empty_store_is_empty),          TEST(rows_come_back_in_order),
        TEST(a_callback_stops_the_walk),     TEST(read_is_bounded),
        TEST(compaction_replaces_and_drops), TEST(blobs_come_with_rows_and_go_with_compaction),
        TEST(a_backup_is_a_store),           TEST(housekeeping_loses_nothing),
        TEST(a_second_owner_is_refused),
    };
    const struct CMUnitTest file[] = {
        TEST(made_for_its_owner_alone),
        TEST(dropped_rows_make_room_bit_by_bit),
        TEST(a_newer_schema_is_refused),
        TEST(another_programs_database_is_refused_untouched),
        TEST(garbage_is_refused),
        TEST(a_damaged_page_is_found_at_load),
        TEST(a_missing_row_is_found_at_load),
        TEST(a_directory_that_is_not_there),
        TEST(a_full_disk_writes_nothing),
    };
    int failed = 0;

    for (size_t i = 0; i < sizeof(engines) / sizeof(engines[0]); i++) {
        engine = engines[i];
        failed += cmocka_run_group_tests_name(engine->name, conformance, NULL, NULL);
    }
    engine = &mf_store_sqlite;
    return failed + cmocka_run_group_tests_name("sqlite's file", file, NULL, NULL);
}
