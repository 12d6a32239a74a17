/* test_broker_edge.c - the broker as its peers meet it: a real process, real keys, raw messages. A hand-made
 * worker stands in for the agent. What is checked here is the edge: durability of what was said, streams,
 * roles, bad input, copies, an orderly end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "broker_process.h"
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
#include <zmq.h>

static const char *program;
static struct broker_process broker;
static struct raw_peer op, alice, bob, node, stray;

static int make(void **state)
{
    broker_make(&broker, program);
    return 0;
}

static int unmake(void **state)
{
    raw_close(&op);
    raw_close(&alice);
    raw_close(&bob);
    raw_close(&node);
    raw_close(&stray);
    broker_remove(&broker);
    return 0;
}

static void start(const char *const extra[])
{
    broker_start(&broker, extra);
    raw_connect(&op, &broker, "op", broker.client);
    raw_connect(&alice, &broker, "alice", broker.client);
}

static void restart(void)
{
    broker_stop(&broker, SIGKILL);
    raw_close(&op);
    raw_close(&alice);
    raw_close(&node);
    start(NULL);
}

static void assert_str(struct mf_str s, const char *expected)
{
    char text[2048];

    mf_str_format(text, sizeof(text), "%.*s", (int)s.len, s.ptr);
    assert_string_equal(text, expected);
}

static const struct mf_msg_error *await_error(struct raw_peer *peer, const char *code)
{
    const struct mf_message *message = raw_await(peer, MF_MSG_ERROR);

    assert_str(message->error.code, code);
    assert_true(message->error.text.len > 0);
    return &message->error;
}

/* -- requests */

static struct mf_message status_request(void)
{
    return (struct mf_message){.kind = MF_MSG_STATUS, .status = {.request_id = mf_str("how")}};
}

static struct mf_msg_status_reply ask_status(struct raw_peer *peer)
{
    struct mf_message request = status_request();

    raw_send(peer, &request);
    return raw_await(peer, MF_MSG_STATUS_REPLY)->status_reply;
}

static uint64_t add_offering(const char *request_id, const char *name)
{
    struct mf_message request = {
        .kind = MF_MSG_OFFERING_ADD,
        .offering_add = {.request_id = mf_str(request_id),
                         .offering = {.name = mf_str(name), .vcpus = 1, .memory_mib = 64, .disk_mib = 64}}};

    raw_send(&op, &request);
    return raw_await(&op, MF_MSG_ACCEPTED)->accepted.seq;
}

static void add_image(void)
{
    struct mf_message request = {.kind = MF_MSG_IMAGE_ADD, .image_add = {.request_id = mf_str("image")}};

    request.image_add.image = (struct mf_rec_image){.name = mf_str("tiny"),
                                                    .kernel = mf_str("k"),
                                                    .kernel_sha256 = mf_digest_make("k", 1),
                                                    .initrd = mf_str("i"),
                                                    .initrd_sha256 = mf_digest_make("i", 1)};
    raw_send(&op, &request);
    raw_await(&op, MF_MSG_ACCEPTED);
}

static struct mf_message provision_request(const char *request_id, const char *group, uint64_t count)
{
    struct mf_message request = {.kind = MF_MSG_PROVISION,
                                 .provision = {.request_id = mf_str(request_id),
                                               .group = mf_str(group),
                                               .count = count,
                                               .image = mf_str("tiny"),
                                               .offering = mf_str("small")}};

    request.provision.user_data.bytes = mf_str("#!/bin/sh\necho born\n");
    return request;
}

static struct mf_msg_accepted provision(const char *request_id, const char *group, uint64_t count)
{
    struct mf_message request = provision_request(request_id, group, count);

    raw_send(&alice, &request);
    return raw_await(&alice, MF_MSG_ACCEPTED)->accepted;
}

/* -- the worker */

static void send_hello(struct raw_peer *peer, const struct mf_rec_guest *guests, uint32_t n,
                       uint64_t started_ms)
{
    struct mf_message request = {.kind = MF_MSG_HELLO};

    request.hello = (struct mf_msg_hello){.machine_id = mf_str("machine-1"),
                                          .boot_id = mf_str("boot-1"),
                                          .started_ms = started_ms,
                                          .capacity = {.vcpus = 8, .memory_mib = 8192, .disk_mib = 8192},
                                          .class = mf_str("standard"),
                                          .driver = mf_str("null/none"),
                                          .guests = {(struct mf_rec_guest *)guests, n}};
    raw_send(peer, &request);
}

static struct mf_msg_welcome hello(const struct mf_rec_guest *guests, uint32_t n, uint64_t started_ms)
{
    raw_connect(&node, &broker, "node-1", broker.worker);
    send_hello(&node, guests, n, started_ms);
    return raw_await(&node, MF_MSG_WELCOME)->welcome;
}

static struct mf_msg_order_create take_order(void)
{
    struct mf_message reply = {.kind = MF_MSG_ORDER_ACK};
    struct mf_msg_order_create order = raw_await(&node, MF_MSG_ORDER_CREATE)->order_create;

    reply.order_ack = (struct mf_msg_order_ack){.order_id = order.order_id, .epoch = order.epoch};
    raw_send(&node, &reply);
    return order;
}

static void report_done(const struct mf_msg_order_create *order, uint64_t report_id)
{
    struct mf_message reply = {.kind = MF_MSG_ORDER_RESULT};

    reply.order_result = (struct mf_msg_order_result){.report_id = report_id,
                                                      .order_id = order->order_id,
                                                      .epoch = order->epoch,
                                                      .id = order->id,
                                                      .operation = MF_OPERATION_CREATE,
                                                      .code = mf_str("ok")};
    raw_send(&node, &reply);
    assert_int_equal(raw_await(&node, MF_MSG_REPORT_ACK)->report_ack.report_id, report_id);
}

/* -- streams */

static void subscribe(struct raw_peer *peer, uint64_t stream, uint64_t from, uint64_t credit,
                      const char *type, const char *subject)
{
    struct mf_message request = {.kind = MF_MSG_SUBSCRIBE,
                                 .subscribe = {.request_id = mf_str("sub"),
                                               .stream = stream,
                                               .from = from,
                                               .type = mf_str(type),
                                               .subject = mf_str(subject),
                                               .credit = credit}};

    raw_send(peer, &request);
}

/* Read rows until `until` has come or the stream is live; they must follow one another. The number read. */
static uint64_t read_stream(struct raw_peer *peer, uint64_t *next, uint64_t until)
{
    uint64_t n = 0;

    for (;;) {
        const struct mf_msg_events *events = &raw_await(peer, MF_MSG_EVENTS)->events;

        for (uint32_t i = 0; i < events->rows.n; i++, n++)
            assert_int_equal(events->rows.items[i].seq, (*next)++);
        if (*next > until)
            return n;
    }
}

/* The next row of this type on the stream. */
static uint64_t await_row(struct raw_peer *peer, const char *type)
{
    for (;;) {
        const struct mf_msg_events *events = &raw_await(peer, MF_MSG_EVENTS)->events;

        for (uint32_t i = 0; i < events->rows.n; i++)
            if (mf_str_is(events->rows.items[i].type, type))
                return events->rows.items[i].seq;
    }
}

/* -- tests */

static void it_says_where_it_is(void **state)
{
    char path[128], text[512] = "", expected[512];
    FILE *file;

    start(NULL);
    assert_true(ask_status(&alice).term >= 1);
    snprintf(path, sizeof(path), "%s/endpoints", broker.state);
    file = fopen(path, "r");
    assert_non_null(file);
    assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
    fclose(file);
    snprintf(expected, sizeof(expected), "CLIENT=%s\nWORKER=%s\nTAIL=%s\n", broker.client, broker.worker,
             broker.tail);
    assert_string_equal(text, expected);
    assert_int_equal(broker_stop(&broker, SIGTERM), 0);
    assert_int_equal(access(path, F_OK), -1);
}

static void a_provision_reaches_its_worker(void **state)
{
    struct mf_msg_accepted accepted;
    struct mf_msg_order_create order;

    start(NULL);
    add_offering("o", "small");
    add_image();
    hello(NULL, 0, 1700000000000);
    accepted = provision("r-1", "web", 1);
    assert_int_equal(accepted.count, 1);
    order = take_order();
    assert_str(order.group, "web");
    assert_str(order.user_data.bytes, "#!/bin/sh\necho born\n");
    assert_str(order.offering.name, "small");
    report_done(&order, 1);
    subscribe(&alice, 1, accepted.seq, 100, "instance.", "default/web");
    assert_true(await_row(&alice, "instance.running") > accepted.seq);
}

static void a_request_is_done_once_also_across_a_kill(void **state)
{
    struct mf_message other;
    struct mf_msg_accepted first, again;
    struct mf_msg_order_create order, resent;

    start(NULL);
    add_offering("o", "small");
    add_image();
    hello(NULL, 0, 1700000000000);
    first = provision("r-1", "web", 1);
    order = take_order();
    again = provision("r-1", "web", 1);
    assert_int_equal(again.seq, first.seq);
    restart();
    again = provision("r-1", "web", 1);
    assert_int_equal(again.seq, first.seq);
    assert_true(mf_uuid_eq(again.group_id, first.group_id));
    other = provision_request("r-1", "web", 2);
    raw_send(&alice, &other);
    await_error(&alice, "reused");
    /* The worker comes back without the guest: the instance is born there, with its user-data out of the
     * store. */
    hello(NULL, 0, 1700000000000);
    resent = take_order();
    assert_str(resent.user_data.bytes, "#!/bin/sh\necho born\n");
    assert_true(resent.order_id > order.order_id || mf_uuid_eq(resent.id, order.id));
    report_done(&resent, 1);
    subscribe(&alice, 1, first.seq, 1000, "", "");
    assert_true(await_row(&alice, "instance.running") > 0);
}

static void what_was_acknowledged_survives_many_kills(void **state)
{
    uint64_t last = 0, next = 1;
    char id[32];

    start(NULL);
    for (int i = 0; i < 5; i++) {
        for (int j = 0; j < 10; j++) {
            uint64_t seq;

            snprintf(id, sizeof(id), "o-%d-%d", i, j);
            seq = add_offering(id, id);
            assert_true(seq > last);
            last = seq;
        }
        restart();
    }
    subscribe(&alice, 1, 1, 100000, "", "");
    assert_true(read_stream(&alice, &next, last) >= last);
}

static void a_stream_obeys_its_credit(void **state)
{
    struct mf_message more = {.kind = MF_MSG_CREDIT, .credit = {.stream = 7, .credit = 1000}};
    uint64_t next = 1, last = 0;
    char id[32];

    start(NULL);
    for (int i = 0; i < 30; i++) {
        snprintf(id, sizeof(id), "o-%d", i);
        last = add_offering(id, id);
    }
    subscribe(&alice, 7, 0, 10, "", "");
    read_stream(&alice, &next, 10);
    assert_int_equal(next, 11); /* and not one more */
    ask_status(&alice);         /* skips events; a row beyond the credit would leave a gap below */
    raw_send(&alice, &more);
    read_stream(&alice, &next, last);
    last = add_offering("live", "live");
    read_stream(&alice, &next, last);
}

static void an_old_cursor_is_told_what_is_left(void **state)
{
    static const char *const few[] = {"--retain-rows", "10", "--snapshot-rows", "20", NULL};
    const struct mf_msg_error *error;
    uint64_t next, last = 0, oldest = 1;
    char id[32];

    start(few);
    for (int i = 0; oldest == 1 && i < 2000; i++) {
        snprintf(id, sizeof(id), "o-%d", i);
        last = add_offering(id, id);
        oldest = ask_status(&alice).oldest_seq;
    }
    assert_true(oldest > 1);
    subscribe(&alice, 3, 1, 1000, "", "");
    error = await_error(&alice, "expired");
    assert_int_equal(error->oldest_seq, oldest);
    assert_int_equal(error->stream, 3);
    next = oldest;
    subscribe(&alice, 4, oldest, 100000, "", "");
    read_stream(&alice, &next, last);
    /* The snapshot and what is above it make the same broker again. */
    broker_stop(&broker, SIGKILL);
    raw_close(&op);
    raw_close(&alice);
    start(few);
    assert_true(ask_status(&alice).seq > last);
    assert_int_equal(add_offering("o-0", "o-0"), 0 + add_offering("o-0", "o-0"));
}

static void garbage_is_answered_not_obeyed(void **state)
{
    static char large[(1 << 20) + 100];
    static const char bomb[] = "\xdf\xff\xff\xff\xff", cut[] = "\x81\xaarequest_id\xa3",
                      bad[] = "\x82\xaarequest_id\xa2r9\xa5";
    const struct mf_str head = mf_str("MF1 status"), good_id = {"\x81\xaarequest_id\xa2r9", 15};
    const struct mf_str cases[][3] = {
        {head, {bomb, 5}},
        {head, {cut, sizeof(cut) - 1}},
        {head, {bad, sizeof(bad) - 1}},
        {head, {"", 0}},
        {head, {"\xc0", 1}},
        {mf_str("MF1 no-such-thing"), good_id},
        {mf_str("hello"), good_id},
        {{"\0\1\2", 3}, {"\xff\xff", 2}},
        {head, {large, sizeof(large)}},
    };
    const struct mf_str three[] = {head, good_id, good_id}, future[] = {mf_str("MF2 status"), good_id};

    start(NULL);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        raw_send_frames(&alice, cases[i], 2);
        raw_await(&alice, MF_MSG_ERROR);
    }
    raw_send_frames(&alice, &head, 1);
    await_error(&alice, "invalid");
    raw_send_frames(&alice, three, 3);
    await_error(&alice, "invalid");
    raw_send_frames(&alice, future, 2);
    assert_str(await_error(&alice, "version")->request_id, "r9");
    ask_status(&alice);
}

static void every_role_keeps_to_its_place(void **state)
{
    struct mf_message request = provision_request("r-9", "web", 1), status = status_request();
    struct mf_message hello_request = {.kind = MF_MSG_HELLO,
                                       .hello = {.machine_id = mf_str("m"),
                                                 .boot_id = mf_str("b"),
                                                 .class = mf_str("standard"),
                                                 .driver = mf_str("d")}};

    start(NULL);
    raw_connect(&bob, &broker, "bob", broker.client);
    raw_send(&bob, &request);
    assert_str(await_error(&bob, "forbidden")->request_id, "r-9");
    raw_send(&alice, &hello_request);
    await_error(&alice, "forbidden");
    raw_connect(&stray, &broker, "node-1", broker.client);
    raw_send(&stray, &hello_request);
    await_error(&stray, "forbidden");
    raw_close(&stray);
    raw_connect(&stray, &broker, "alice", broker.worker);
    raw_send(&stray, &status);
    assert_str(await_error(&stray, "forbidden")->request_id, "how");
    raw_close(&stray);
    raw_connect(&stray, &broker, "node-1", broker.worker);
    raw_send(&stray, &status);
    await_error(&stray, "forbidden");
    raw_close(&stray);
    assert_int_equal(ask_status(&bob).nodes, 0);
}

static void a_closed_connection_is_noticed(void **state)
{
    struct mf_message request = {.kind = MF_MSG_LIST_NODES, .list_nodes = {.request_id = mf_str("nodes")}};
    const struct mf_msg_nodes *nodes;

    start(NULL);
    hello(NULL, 0, 1700000000000);
    raw_send(&alice, &request);
    nodes = &raw_await(&alice, MF_MSG_NODES)->nodes;
    assert_int_equal(nodes->rows.n, 1);
    assert_true(nodes->rows.items[0].connected);
    raw_close(&node);
    do {
        raw_send(&alice, &request);
        nodes = &raw_await(&alice, MF_MSG_NODES)->nodes;
    } while (nodes->rows.items[0].connected);
}

/* The broker cuts the connection of a worker whose keeper was started again; the raw one here comes back and
 * is refused. */
static void an_older_start_makes_way_for_a_newer(void **state)
{
    struct mf_msg_welcome first, second;
    const struct mf_message *message;

    start(NULL);
    first = hello(NULL, 0, 1700000000000);
    stray = node;
    second = hello(NULL, 0, 1700000001000);
    assert_true(second.epoch > first.epoch);
    raw_close(&stray);
    raw_connect(&stray, &broker, "node-1", broker.worker);
    send_hello(&stray, NULL, 0, 1700000000000);
    do
        message = raw_recv(&stray);
    while (message->kind != MF_MSG_ERROR && message->kind != MF_MSG_WELCOME);
    assert_int_equal(message->kind, MF_MSG_ERROR);
}

static void the_tail_is_for_those_who_may_read(void **state)
{
    zmq_pollitem_t item;
    char topic[256] = "";
    uint64_t i = 0;

    start(NULL);
    raw_connect(&stray, &broker, "node-1", broker.tail);
    raw_connect(&bob, &broker, "bob", broker.tail);
    zmq_setsockopt(stray.socket, ZMQ_SUBSCRIBE, "", 0);
    zmq_setsockopt(bob.socket, ZMQ_SUBSCRIBE, "cluster/offering/", 17);
    item = (zmq_pollitem_t){.socket = bob.socket, .events = ZMQ_POLLIN};
    do { /* until the subscription has arrived */
        char id[32];

        snprintf(id, sizeof(id), "o-%d", (int)i++);
        add_offering(id, id);
    } while (zmq_poll(&item, 1, 20) == 0 && i < 1000);
    assert_true(zmq_recv(bob.socket, topic, sizeof(topic) - 1, 0) > 0);
    assert_int_equal(strncmp(topic, "cluster/offering/o-", 19), 0);
    assert_true(strstr(topic, "/request.accepted") || strstr(topic, "/offering.added"));
    item.socket = stray.socket;
    assert_int_equal(zmq_poll(&item, 1, 0), 0);
}

static void a_backup_opens_as_a_store(void **state)
{
    struct mf_message request = {.kind = MF_MSG_BACKUP, .backup = {.request_id = mf_str("b")}};
    uint64_t oldest, newest, last = 0;
    struct mf_store *store;
    char path[128], error[256], id[32];
    bool whole = false;
    int fd;

    start(NULL);
    for (int i = 0; i < 20; i++) {
        snprintf(id, sizeof(id), "o-%d", i);
        last = add_offering(id, id);
    }
    raw_send(&alice, &request);
    await_error(&alice, "forbidden");
    request.backup.offset = 5;
    raw_send(&op, &request);
    await_error(&op, "invalid");
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
    assert_str(reply->error.code, "store-full");
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
    zmq_pollitem_t item;
    uint64_t rows;

    start(NULL);
    item = (zmq_pollitem_t){.socket = op.socket, .events = ZMQ_POLLIN};
    limit_files(512 << 10);
    while (!answers.refused) {
        assert_true(answers.sent < 20000);
        send_numbered(&answers);
        while (zmq_poll(&item, 1, 2) == 1)
            take_answer(&answers);
    }
    assert_true(answers.accepted + answers.refused <
                answers.sent); /* those that were under way are not answered yet */
    limit_files(RLIM_INFINITY);
    while (answers.accepted + answers.refused < answers.sent)
        take_answer(&answers);
    send_numbered(&answers);
    rows = answers.accepted;
    take_answer(&answers);
    assert_int_equal(answers.accepted, rows + 1);
    restart();
    rows = ask_status(&op).seq;
    assert_true(rows >= 2 * (uint64_t)answers.accepted);
}

static void two_brokers_on_one_store(void **state)
{
    char text[4096];

    start(NULL);
    assert_int_equal(broker_try(&broker, broker.state, text, sizeof(text)), 1);
    assert_non_null(strstr(text, "in use by another broker"));
    ask_status(&alice);
}

static void a_store_it_must_not_touch(void **state)
{
    char path[128], text[4096], sql[] = "UPDATE meta SET value = 99 WHERE key = 'schema'";
    sqlite3 *db;

    start(NULL);
    broker_stop(&broker, SIGTERM);
    snprintf(path, sizeof(path), "%s/broker.db", broker.state);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "UPDATE events SET type = 'future.thing' WHERE seq = 2", NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(broker_try(&broker, broker.state, text, sizeof(text)), 1);
    assert_non_null(strstr(text, "row 2 (future.thing)"));
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(broker_try(&broker, broker.state, text, sizeof(text)), 1);
    assert_non_null(strstr(text, "newer version"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(it_says_where_it_is),
        TEST(a_provision_reaches_its_worker),
        TEST(a_request_is_done_once_also_across_a_kill),
        TEST(what_was_acknowledged_survives_many_kills),
        TEST(a_stream_obeys_its_credit),
        TEST(an_old_cursor_is_told_what_is_left),
        TEST(garbage_is_answered_not_obeyed),
        TEST(every_role_keeps_to_its_place),
        TEST(a_closed_connection_is_noticed),
        TEST(the_tail_is_for_those_who_may_read),
        TEST(a_backup_opens_as_a_store),
        TEST(a_full_disk_is_said_and_survived),
        TEST(an_older_start_makes_way_for_a_newer),
        TEST(two_brokers_on_one_store),
        TEST(a_store_it_must_not_touch),
    };

    if (argc != 2)
        return fprintf(stderr, "usage: %s MAYFLY-BROKER\n", argv[0]), 2;
    program = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
