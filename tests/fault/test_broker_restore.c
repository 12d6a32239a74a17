/* test_broker_restore.c - a real broker whose store is lost and restored from a copy: it is the same cluster
 * with another history. What others saw of the lost one must not be taken for this one's. */
#include "broker_talk.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void copy_path(char *path)
{
    snprintf(path, 128, "%s/copy.db", broker.dir);
}

static void make_copy(void)
{
    struct mf_message request = {.kind = MF_MSG_BACKUP, .backup = {.request_id = mf_str("b")}};
    char path[128];
    bool whole = false;
    int fd;

    copy_path(path);
    fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    while (!whole) {
        const struct mf_msg_backup_reply *reply;

        raw_send(&op, &request);
        reply = &raw_await(&op, MF_MSG_BACKUP_REPLY)->backup_reply;
        assert_int_equal(write(fd, reply->bytes.ptr, reply->bytes.len), reply->bytes.len);
        request.backup.offset += reply->bytes.len;
        whole = request.backup.offset == reply->size;
    }
    close(fd);
}

/* The store is gone with its disk; a broker is started on the copy. */
static void lose_and_restore(void)
{
    char path[128], lost[160];
    const char *const extra[] = {"--restore", path, NULL};

    copy_path(path);
    broker_stop(&broker, SIGKILL);
    raw_close(&op);
    raw_close(&alice);
    raw_close(&node);
    snprintf(lost, sizeof(lost), "%s/lost", broker.dir);
    assert_int_equal(rename(broker.state, lost), 0);
    talk_start(extra);
}

static void subscribe_of(uint64_t stream, uint64_t from, struct mf_uuid log_id)
{
    struct mf_message request = {
        .kind = MF_MSG_SUBSCRIBE,
        .subscribe = {
            .request_id = mf_str("sub"), .stream = stream, .from = from, .credit = 100, .log_id = log_id}};

    raw_send(&op, &request);
}

static void it_is_the_same_cluster_with_another_history(void **state)
{
    struct mf_msg_status_reply before, after, again;
    const struct mf_msg_events *events;
    uint64_t next;

    talk_start(NULL);
    talk_add_offering("kept", "kept");
    before = talk_ask_status(&op);
    make_copy();
    talk_add_offering("late", "lost");
    talk_add_offering("later", "lost-too");
    lose_and_restore();
    after = talk_ask_status(&op);
    assert_true(mf_uuid_eq(after.cluster_id, before.cluster_id));
    assert_false(mf_uuid_eq(after.log_id, before.log_id));
    assert_true(after.term > before.term);
    assert_true(after.seq > before.seq);
    subscribe_of(1, before.seq, before.log_id); /* a cursor of the lost history */
    assert_true(talk_await_error(&op, "expired")->oldest_seq >= 1);
    subscribe_of(2, before.seq + 1, after.log_id);
    events = &raw_await(&op, MF_MSG_EVENTS)->events;
    assert_true(mf_uuid_eq(events->log_id, after.log_id));
    talk_assert_str(events->rows.items[0].type, "cluster.restored");
    next = before.seq + 2;
    assert_int_equal(events->rows.items[1].seq, next);
    talk_assert_str(events->rows.items[1].type, "broker.started");
    assert_true(talk_add_offering("late", "lost") > after.seq); /* nobody here remembers that request */
    talk_restart();                                             /* without --restore: this history goes on */
    again = talk_ask_status(&op);
    assert_true(mf_uuid_eq(again.log_id, after.log_id));
}

/* A node that the copy does not know of comes with what it had in the lost history. */
static void what_workers_saw_is_stepped_above(void **state)
{
    struct mf_message hello = {.kind = MF_MSG_HELLO};
    struct mf_msg_welcome welcome;

    talk_start(NULL);
    make_copy();
    lose_and_restore();
    raw_connect(&node, &broker, "node-1", broker.worker);
    hello.hello = (struct mf_msg_hello){.machine_id = mf_str("machine-1"),
                                        .boot_id = mf_str("boot-1"),
                                        .started_ms = 1,
                                        .term_seen = 40,
                                        .epoch = 700,
                                        .capacity = {.vcpus = 8, .memory_mib = 8192, .disk_mib = 8192},
                                        .class = mf_str("standard"),
                                        .driver = mf_str("null/none")};
    raw_send(&node, &hello);
    welcome = raw_await(&node, MF_MSG_WELCOME)->welcome;
    assert_true(welcome.term > 40);
    assert_true(welcome.epoch > 700);
    assert_int_equal(talk_ask_status(&op).term, welcome.term);
}

static void it_overwrites_nothing_and_takes_only_stores(void **state)
{
    char text[4096], path[192], other[160];
    const char *const extra[] = {"--restore", path, NULL};
    struct stat st;
    int fd;

    copy_path(path);
    talk_start(NULL);
    make_copy();
    broker_stop(&broker, SIGTERM);
    assert_int_equal(broker_try(&broker, broker.state, extra, text, sizeof(text)), 1);
    assert_non_null(strstr(text, "into an empty --state only"));
    snprintf(other, sizeof(other), "%s/other", broker.dir);
    fd = open(path, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, "this is no store", 16), 16);
    close(fd);
    assert_int_equal(broker_try(&broker, other, extra, text, sizeof(text)), 1);
    assert_non_null(strstr(text, "not a database"));
    unlink(path);
    assert_int_equal(broker_try(&broker, other, extra, text, sizeof(text)), 1);
    assert_non_null(strstr(text, "cannot read"));
    snprintf(path, sizeof(path), "%s/broker.db", other);
    assert_int_equal(stat(path, &st), -1); /* nothing that a broker would take is left */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, talk_make, talk_unmake)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(it_is_the_same_cluster_with_another_history),
        TEST(what_workers_saw_is_stepped_above),
        TEST(it_overwrites_nothing_and_takes_only_stores),
    };

    if (argc != 2)
        return fprintf(stderr, "usage: %s MAYFLY-BROKER\n", argv[0]), 2;
    talk_program = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
