/* test_broker_edge.c - the broker as its peers meet it: a real process, real keys, raw messages. A hand-made
 * worker stands in for the agent. What is checked here is the edge: durability of what was said, streams,
 * roles, bad input, an orderly end. */
#include "broker_talk.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

static void it_says_where_it_is(void **state)
{
    char path[128], text[512] = "", expected[512];
    FILE *file;

    talk_start(NULL);
    assert_true(talk_ask_status(&alice).term >= 1);
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

    talk_start(NULL);
    talk_add_offering("o", "small");
    talk_add_image();
    talk_hello(NULL, 0, 1700000000000);
    accepted = talk_provision("r-1", "web", 1);
    assert_int_equal(accepted.count, 1);
    order = talk_take_order();
    talk_assert_str(order.group, "web");
    talk_assert_str(order.user_data.bytes, "#!/bin/sh\necho born\n");
    talk_assert_str(order.offering.name, "small");
    talk_report_done(&order, 1);
    talk_subscribe(&alice, 1, accepted.seq, 100, "instance.", "default/web");
    assert_true(talk_await_row(&alice, "instance.running") > accepted.seq);
}

static void a_request_is_done_once_also_across_a_kill(void **state)
{
    struct mf_message other;
    struct mf_msg_accepted first, again;
    struct mf_msg_order_create order, resent;

    talk_start(NULL);
    talk_add_offering("o", "small");
    talk_add_image();
    talk_hello(NULL, 0, 1700000000000);
    first = talk_provision("r-1", "web", 1);
    order = talk_take_order();
    again = talk_provision("r-1", "web", 1);
    assert_int_equal(again.seq, first.seq);
    talk_restart();
    again = talk_provision("r-1", "web", 1);
    assert_int_equal(again.seq, first.seq);
    assert_true(mf_uuid_eq(again.group_id, first.group_id));
    other = talk_provision_request("r-1", "web", 2);
    raw_send(&alice, &other);
    talk_await_error(&alice, "reused");
    /* The worker comes back without the guest: the instance is born there, with its user-data out of the
     * store. */
    talk_hello(NULL, 0, 1700000000000);
    resent = talk_take_order();
    talk_assert_str(resent.user_data.bytes, "#!/bin/sh\necho born\n");
    assert_true(resent.order_id > order.order_id || mf_uuid_eq(resent.id, order.id));
    talk_report_done(&resent, 1);
    talk_subscribe(&alice, 1, first.seq, 1000, "", "");
    assert_true(talk_await_row(&alice, "instance.running") > 0);
}

static void what_was_acknowledged_survives_many_kills(void **state)
{
    uint64_t last = 0, next = 1;
    char id[32];

    talk_start(NULL);
    for (int i = 0; i < 5; i++) {
        for (int j = 0; j < 10; j++) {
            uint64_t seq;

            snprintf(id, sizeof(id), "o-%d-%d", i, j);
            seq = talk_add_offering(id, id);
            assert_true(seq > last);
            last = seq;
        }
        talk_restart();
    }
    talk_subscribe(&alice, 1, 1, 100000, "", "");
    assert_true(talk_read_stream(&alice, &next, last) >= last);
}

static void a_stream_obeys_its_credit(void **state)
{
    struct mf_message more = {.kind = MF_MSG_CREDIT, .credit = {.stream = 7, .credit = 1000}};
    uint64_t next = 1, last = 0;
    char id[32];

    talk_start(NULL);
    for (int i = 0; i < 30; i++) {
        snprintf(id, sizeof(id), "o-%d", i);
        last = talk_add_offering(id, id);
    }
    talk_subscribe(&alice, 7, 0, 10, "", "");
    talk_read_stream(&alice, &next, 10);
    assert_int_equal(next, 11); /* and not one more */
    talk_ask_status(&alice);    /* skips events; a row beyond the credit would leave a gap below */
    raw_send(&alice, &more);
    talk_read_stream(&alice, &next, last);
    last = talk_add_offering("live", "live");
    talk_read_stream(&alice, &next, last);
}

static void an_old_cursor_is_told_what_is_left(void **state)
{
    static const char *const few[] = {"--retain-rows", "10", "--snapshot-rows", "20", NULL};
    const struct mf_msg_error *error;
    uint64_t next, last = 0, oldest = 1;
    char id[32];

    talk_start(few);
    for (int i = 0; oldest == 1 && i < 2000; i++) {
        snprintf(id, sizeof(id), "o-%d", i);
        last = talk_add_offering(id, id);
        oldest = talk_ask_status(&alice).oldest_seq;
    }
    assert_true(oldest > 1);
    talk_subscribe(&alice, 3, 1, 1000, "", "");
    error = talk_await_error(&alice, "expired");
    assert_int_equal(error->oldest_seq, oldest);
    assert_int_equal(error->stream, 3);
    next = oldest;
    talk_subscribe(&alice, 4, oldest, 100000, "", "");
    talk_read_stream(&alice, &next, last);
    /* The snapshot and what is above it make the same broker again. */
    broker_stop(&broker, SIGKILL);
    raw_close(&op);
    raw_close(&alice);
    talk_start(few);
    assert_true(talk_ask_status(&alice).seq > last);
    assert_int_equal(talk_add_offering("o-0", "o-0"), 0 + talk_add_offering("o-0", "o-0"));
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

    talk_start(NULL);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        raw_send_frames(&alice, cases[i], 2);
        raw_await(&alice, MF_MSG_ERROR);
    }
    raw_send_frames(&alice, &head, 1);
    talk_await_error(&alice, "invalid");
    raw_send_frames(&alice, three, 3);
    talk_await_error(&alice, "invalid");
    raw_send_frames(&alice, future, 2);
    talk_assert_str(talk_await_error(&alice, "version")->request_id, "r9");
    talk_ask_status(&alice);
}

static void every_role_keeps_to_its_place(void **state)
{
    struct mf_message request = talk_provision_request("r-9", "web", 1), status = talk_status_request();
    struct mf_message hello_request = {.kind = MF_MSG_HELLO,
                                       .hello = {.machine_id = mf_str("m"),
                                                 .boot_id = mf_str("b"),
                                                 .class = mf_str("standard"),
                                                 .driver = mf_str("d")}};

    talk_start(NULL);
    raw_connect(&bob, &broker, "bob", broker.client);
    raw_send(&bob, &request);
    talk_assert_str(talk_await_error(&bob, "forbidden")->request_id, "r-9");
    raw_send(&alice, &hello_request);
    talk_await_error(&alice, "forbidden");
    raw_connect(&stray, &broker, "node-1", broker.client);
    raw_send(&stray, &hello_request);
    talk_await_error(&stray, "forbidden");
    raw_close(&stray);
    raw_connect(&stray, &broker, "alice", broker.worker);
    raw_send(&stray, &status);
    talk_assert_str(talk_await_error(&stray, "forbidden")->request_id, "how");
    raw_close(&stray);
    raw_connect(&stray, &broker, "node-1", broker.worker);
    raw_send(&stray, &status);
    talk_await_error(&stray, "forbidden");
    raw_close(&stray);
    assert_int_equal(talk_ask_status(&bob).nodes, 0);
}

static void a_closed_connection_is_noticed(void **state)
{
    struct mf_message request = {.kind = MF_MSG_LIST_NODES, .list_nodes = {.request_id = mf_str("nodes")}};
    const struct mf_msg_nodes *nodes;

    talk_start(NULL);
    talk_hello(NULL, 0, 1700000000000);
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

    talk_start(NULL);
    first = talk_hello(NULL, 0, 1700000000000);
    stray = node;
    second = talk_hello(NULL, 0, 1700000001000);
    assert_true(second.epoch > first.epoch);
    raw_close(&stray);
    raw_connect(&stray, &broker, "node-1", broker.worker);
    talk_send_hello(&stray, NULL, 0, 1700000000000);
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

    talk_start(NULL);
    raw_connect(&stray, &broker, "node-1", broker.tail);
    raw_connect(&bob, &broker, "bob", broker.tail);
    zmq_setsockopt(stray.socket, ZMQ_SUBSCRIBE, "", 0);
    zmq_setsockopt(bob.socket, ZMQ_SUBSCRIBE, "cluster/offering/", 17);
    item = (zmq_pollitem_t){.socket = bob.socket, .events = ZMQ_POLLIN};
    do { /* until the subscription has arrived */
        char id[32];

        snprintf(id, sizeof(id), "o-%d", (int)i++);
        talk_add_offering(id, id);
    } while (zmq_poll(&item, 1, 20) == 0 && i < 1000);
    assert_true(zmq_recv(bob.socket, topic, sizeof(topic) - 1, 0) > 0);
    assert_int_equal(strncmp(topic, "cluster/offering/o-", 19), 0);
    assert_true(strstr(topic, "/request.accepted") || strstr(topic, "/offering.added"));
    item.socket = stray.socket;
    assert_int_equal(zmq_poll(&item, 1, 0), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, talk_make, talk_unmake)

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
        TEST(an_older_start_makes_way_for_a_newer),
    };

    if (argc != 2)
        return fprintf(stderr, "usage: %s MAYFLY-BROKER\n", argv[0]), 2;
    talk_program = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
