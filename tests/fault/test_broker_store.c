/* test_broker_store.c - a real broker and its store: copies made while it runs, a full disk, two brokers on
 * one store, and stores that it must leave alone. */
#include "broker_talk.h"
#include "store.h"
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <zmq.h>

static void a_backup_opens_as_a_store(void **state)
{
    struct mf_message request = {.kind = MF_MSG_BACKUP, .backup = {.request_id = mf_str("b")}};
    uint64_t oldest, newest, last = 0;
    struct mf_store *store;
    char path[128], error[256], id[32];
    bool whole = false;
    int fd;

    talk_start(NULL);
    for (int i = 0; i < 20; i++) {
        snprintf(id, sizeof(id), "o-%d", i);
        last = talk_add_offering(id, id);
    }
    raw_send(&alice, &request);
    talk_await_error(&alice, "forbidden");
    request.backup.offset = 5;
    raw_send(&op, &request);
    talk_await_error(&op, "invalid");
    snprintf(path, sizeof(path), "%s/copy.db", broker.dir);
    fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    for (request.backup.offset = 0; !whole;) {
        const struct mf_msg_backup_reply *reply;

        raw_send(&op, &request);
        reply = &raw_await(&op, MF_MSG_BACKUP_REPLY)->backup_reply;
        assert_int_equal(reply->offset, request.backup.offset);
        assert_int_equal(write(fd, reply->bytes.ptr, reply->bytes.len), reply->bytes.len);
        request.backup.offset += reply->bytes.len;
        whole = request.backup.offset == reply->size;
    }
    close(fd);
    assert_int_equal(mf_store_sqlite.open(path, &store, error), 0);
    assert_int_equal(mf_store_sqlite.range(store, &oldest, &newest, error), 0);
    assert_int_equal(oldest, 1);
    assert_true(newest >= last);
    mf_store_sqlite.close(store);
}

struct answers {
    unsigned sent, accepted, refused;
};

static void send_numbered(struct answers *answers)
{
    struct mf_message request = {.kind = MF_MSG_OFFERING_ADD};
    char id[32];

    mf_str_format(id, sizeof(id), "o-%u", answers->sent++);
    request.offering_add = (struct mf_msg_offering_add){
        .request_id = mf_str(id),
        .offering = {.name = mf_str(id), .vcpus = 1, .memory_mib = 64, .disk_mib = 64}};
    raw_send(&op, &request);
}

static void take_answer(struct answers *answers)
{
    const struct mf_message *reply = raw_recv(&op);

    if (reply->kind == MF_MSG_ACCEPTED) {
        answers->accepted++;
        return;
    }
    assert_int_equal(reply->kind, MF_MSG_ERROR);
    talk_assert_str(reply->error.code, "store-full");
    assert_true(reply->error.retry);
    answers->refused++;
}

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;

    assert_int_equal(prlimit(broker.pid, RLIMIT_FSIZE, NULL, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    assert_int_equal(prlimit(broker.pid, RLIMIT_FSIZE, &limit, NULL), 0);
}

/* The broker's files may grow no further: it says so, forgets nothing that it took, and goes on when there is
 * room. */
static void a_full_disk_is_said_and_survived(void **state)
{
    struct answers answers = {0};
    struct mf_msg_status_reply full;
    zmq_pollitem_t item;
    uint64_t rows;

    talk_start(NULL);
    item = (zmq_pollitem_t){.socket = op.socket, .events = ZMQ_POLLIN};
    limit_files(512 << 10);
    while (!answers.refused) {
        assert_true(answers.sent < 20000);
        send_numbered(&answers);
        while (zmq_poll(&item, 1, 2) == 1)
            take_answer(&answers);
    }
    assert_true(answers.accepted + answers.refused <
                answers.sent);      /* those that were under way are not answered yet */
    full = talk_ask_status(&alice); /* behind those it would wait as long as they do */
    assert_true(full.full && full.uncommitted > 0);
    assert_true(full.seq >= answers.accepted);
    limit_files(RLIM_INFINITY);
    while (answers.accepted + answers.refused < answers.sent)
        take_answer(&answers);
    send_numbered(&answers);
    rows = answers.accepted;
    take_answer(&answers);
    assert_int_equal(answers.accepted, rows + 1);
    full = talk_ask_status(&alice);
    assert_false(full.full);
    talk_restart();
    rows = talk_ask_status(&op).seq;
    assert_true(rows >= 2 * (uint64_t)answers.accepted);
}

static void two_brokers_on_one_store(void **state)
{
    char text[4096];

    talk_start(NULL);
    assert_int_equal(broker_try(&broker, broker.state, NULL, text, sizeof(text)), 1);
    assert_non_null(strstr(text, "in use by another broker"));
    talk_ask_status(&alice);
}

static void a_store_it_must_not_touch(void **state)
{
    char path[128], text[4096], sql[] = "UPDATE meta SET value = 99 WHERE key = 'schema'";
    sqlite3 *db;

    talk_start(NULL);
    broker_stop(&broker, SIGTERM);
    snprintf(path, sizeof(path), "%s/broker.db", broker.state);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "UPDATE events SET type = 'future.thing' WHERE seq = 2", NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(broker_try(&broker, broker.state, NULL, text, sizeof(text)), 1);
    assert_non_null(strstr(text, "row 2 (future.thing)"));
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(broker_try(&broker, broker.state, NULL, text, sizeof(text)), 1);
    assert_non_null(strstr(text, "newer version"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, talk_make, talk_unmake)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(a_backup_opens_as_a_store),
        TEST(a_full_disk_is_said_and_survived),
        TEST(two_brokers_on_one_store),
        TEST(a_store_it_must_not_touch),
    };

    if (argc != 2)
        return fprintf(stderr, "usage: %s MAYFLY-BROKER\n", argv[0]), 2;
    talk_program = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
