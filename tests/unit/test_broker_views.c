/* test_broker_views.c - lists by pages, status, monitors, streams under credit, guest output. */
#include "broker_stage.h"
#include "check.h"
#include "describe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void test_pages(void **state)
{
    struct stage s;
    char after[256] = "";
    size_t n = 0, pages = 0;

    stage_raw(&s);
    stage_close(&s);
    stage_open(&s);
    s.b->config.list_page = 3;
    stage_provision(&s, "web", 5);
    stage_provision(&s, "app", 4);
    do {
        stage_client(
            &s, (struct mf_message){.kind = MF_MSG_LIST_INSTANCES,
                                    .list_instances = {.request_id = mf_str("l"), .after = mf_str(after)}});
        const struct mf_message *m = stage_last(&s, STAGE_CLIENT, MF_MSG_INSTANCES);
        for (uint32_t i = 0; i < m->instances.rows.n; i++, n++) {
            assert_true(mf_str_is(m->instances.rows.items[i].group, n < 4 ? "app" : "web"));
            assert_int_equal(m->instances.rows.items[i].slot, n < 4 ? n : n - 4);
        }
        snprintf(after, sizeof(after), "%.*s", (int)m->instances.next.len, m->instances.next.ptr);
        pages++;
    } while (after[0]);
    assert_int_equal(n, 9);
    assert_int_equal(pages, 3);
    s.b->config.list_page = 1;
    stage_client(&s,
                 (struct mf_message){.kind = MF_MSG_LIST_GROUPS, .list_groups = {.request_id = mf_str("l")}});
    const struct mf_message *m = stage_last(&s, STAGE_CLIENT, MF_MSG_GROUPS);
    assert_true(mf_str_is(m->groups.rows.items[0].group, "app"));
    snprintf(after, sizeof(after), "%.*s", (int)m->groups.next.len, m->groups.next.ptr);
    stage_client(&s, (struct mf_message){.kind = MF_MSG_LIST_GROUPS,
                                         .list_groups = {.request_id = mf_str("l"), .after = mf_str(after)}});
    m = stage_last(&s, STAGE_CLIENT, MF_MSG_GROUPS);
    assert_true(mf_str_is(m->groups.rows.items[0].group, "web"));
    assert_int_equal(m->groups.next.len, 0);
    stage_client(&s,
                 (struct mf_message){.kind = MF_MSG_LIST_INSTANCES,
                                     .list_instances = {.request_id = mf_str("l"), .group = mf_str("nope")}});
    assert_true(mf_str_is(stage_last(&s, STAGE_CLIENT, MF_MSG_ERROR)->error.code, "unknown"));
    for (int i = 0; i < 3; i++)
        stage_hello(&s, i, NULL, 0);
    stage_client(&s,
                 (struct mf_message){.kind = MF_MSG_LIST_NODES,
                                     .list_nodes = {.request_id = mf_str("l"), .after = mf_str("node-0")}});
    m = stage_last(&s, STAGE_CLIENT, MF_MSG_NODES);
    assert_true(mf_str_is(m->nodes.rows.items[0].node, "node-1"));
    assert_true(mf_str_is(m->nodes.next, "node-1"));
    stage_client(&s,
                 (struct mf_message){.kind = MF_MSG_LIST_IMAGES, .list_images = {.request_id = mf_str("l")}});
    assert_int_equal(stage_last(&s, STAGE_CLIENT, MF_MSG_IMAGES)->images.rows.n, 1);
    stage_close(&s);
}

static void test_every_page_fits_a_message(void **state)
{
    struct stage s;
    static char keys[64][96], value[64], name[32];
    struct mf_label labels[64];
    size_t seen = 0;

    stage_open(&s);
    memset(value, 'v', 63);
    for (int i = 0; i < 64; i++) {
        snprintf(keys[i], sizeof(keys[i]), "k%d-%055d", i, 0);
        labels[i] = (struct mf_label){{keys[i], 58}, mf_str(value)};
    }
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof(name), "g%d", i);
        struct mf_message m = stage_provision_message(&s, name, 1);
        m.provision.labels = (struct mf_labels){labels, 64};
        stage_client(&s, m);
    }
    char after[256] = "";
    do {
        stage_client(&s,
                     (struct mf_message){.kind = MF_MSG_LIST_GROUPS,
                                         .list_groups = {.request_id = mf_str("l"), .after = mf_str(after)}});
        assert_true(s.sent[s.n_sent - 1].body.len < MF_MESSAGE_MAX);
        const struct mf_message *m = stage_last(&s, STAGE_CLIENT, MF_MSG_GROUPS);
        seen += m->groups.rows.n;
        snprintf(after, sizeof(after), "%.*s", (int)m->groups.next.len, m->groups.next.ptr);
    } while (after[0]);
    assert_int_equal(seen, 200);
    stage_close(&s);
}

/* However large a node is: what it tells of its guests must fit a message, and its keeper's table. */
static void test_a_node_holds_so_many(void **state)
{
    struct stage s;
    struct mf_message hello = stage_hello_message(0);

    stage_open(&s);
    hello.hello.capacity =
        (struct mf_rec_resources){.vcpus = 100000, .memory_mib = 10000000, .disk_mib = 100000000};
    stage_hello_as(&s, 0, hello);
    stage_provision(&s, "web", MF_NODE_INSTANCES_MAX + 10);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_PLACED), MF_NODE_INSTANCES_MAX);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_PENDING), 10);
    struct mf_ev_instance_pending pending;
    struct mf_arena arena = {0};
    struct mf_decode_error error;
    assert_int_equal(mf_decode(mf_kind_desc(MF_EV_INSTANCE_PENDING),
                               stage_row_of(&s, MF_EV_INSTANCE_PENDING)->row.data, &arena, &pending, &error),
                     0);
    assert_true(mf_str_is(pending.reason, "0 of 1 nodes: 1 full"));
    mf_arena_free(&arena);
    stage_close(&s);
}

static const struct mf_msg_status_reply *status(struct stage *s)
{
    stage_client(s, (struct mf_message){.kind = MF_MSG_STATUS, .status = {.request_id = mf_str("s")}});
    return &stage_last(s, STAGE_CLIENT, MF_MSG_STATUS_REPLY)->status_reply;
}

static void alive(struct stage *s)
{
    stage_monitor(s, (struct mf_message){.kind = MF_MSG_MONITOR_ALIVE,
                                         .monitor_alive = {.nodes_heard = 2, .nodes_known = 3}});
}

static void test_monitor_lost_and_heard(void **state)
{
    struct stage s;

    stage_open(&s);
    assert_false(status(&s)->heard);
    stage_hello(&s, 0, NULL, 0);
    stage_monitor_hello(&s);
    assert_true(status(&s)->heard);
    assert_non_null(stage_last(&s, STAGE_MONITOR, MF_MSG_MONITOR_WELCOME));
    assert_true(stage_last(&s, STAGE_MONITOR, MF_MSG_MONITOR_NODE)->monitor_node.connected);
    assert_int_equal(stage_last(&s, s.worker[0], MF_MSG_PULSE_TARGETS)->pulse_targets.monitors.n, 1);
    stage_hello(&s, 1, NULL, 0);
    assert_int_equal(stage_last(&s, s.worker[1], MF_MSG_WELCOME)->welcome.monitors.n, 1);
    for (int i = 0; i < 10; i++) {
        stage_pass(&s, 500);
        alive(&s);
    }
    assert_int_equal(stage_count_rows(&s, MF_EV_MONITOR_LOST), 0);
    assert_int_equal(status(&s)->monitors.items[0].nodes_known, 3);
    stage_pass(&s, 2000);
    assert_int_equal(stage_count_rows(&s, MF_EV_MONITOR_LOST), 1);
    assert_false(status(&s)->heard);
    alive(&s);
    assert_int_equal(stage_count_rows(&s, MF_EV_MONITOR_HEARD), 2);
    /* a new reign knows it was there, and misses it */
    stage_restart(&s, s.n_rows);
    assert_false(status(&s)->heard);
    stage_pass(&s, 2000);
    assert_int_equal(stage_count_rows(&s, MF_EV_MONITOR_LOST), 2);
    alive(&s); /* without a hello it has no session */
    assert_true(mf_str_is(stage_last(&s, STAGE_MONITOR, MF_MSG_ERROR)->error.code, "stale"));
    assert_false(status(&s)->heard);
    stage_monitor_hello(&s);
    assert_true(status(&s)->heard);
    stage_golden(&s, "monitor");
    stage_close(&s);
}

static struct mf_message subscribe(uint64_t stream, uint64_t from, uint64_t credit)
{
    return (struct mf_message){
        .kind = MF_MSG_SUBSCRIBE,
        .subscribe = {.request_id = mf_str("q"), .stream = stream, .from = from, .credit = credit}};
}

static void sent_rows(struct stage *s, uint64_t stream, uint64_t next, uint32_t rows)
{
    stage_feed(s, (struct mf_broker_event){.kind = MF_BROKER_STREAM_SENT,
                                           .peer = {.handle = STAGE_CLIENT},
                                           .stream = stream,
                                           .seq = next,
                                           .rows = rows});
}

static void test_stream_under_credit(void **state)
{
    struct stage s;
    struct mf_message m = subscribe(7, 1, 3);

    stage_open(&s); /* six rows */
    assert_int_equal(s.n_rows, 6);
    m.subscribe.type = mf_str("image.");
    m.subscribe.subject = mf_str("image/tiny");
    stage_client(&s, m);
    assert_int_equal(s.n_reads, 1);
    assert_int_equal(s.reads[0].seq, 1);
    assert_int_equal(s.reads[0].until, 6);
    assert_int_equal(s.reads[0].rows, 3);
    assert_string_equal(s.read_type, "image.");
    assert_string_equal(s.read_subject, "image/tiny");
    stage_provision(&s, "web", 1);
    assert_int_equal(s.n_reads, 1); /* one read at a time */
    sent_rows(&s, 7, 4, 3);
    assert_int_equal(s.n_reads, 1); /* out of credit */
    stage_client(&s, (struct mf_message){.kind = MF_MSG_CREDIT, .credit = {.stream = 7, .credit = 100}});
    assert_int_equal(s.n_reads, 2);
    assert_int_equal(s.reads[1].seq, 4);
    sent_rows(&s, 7, s.reads[1].until + 1, 0);
    assert_int_equal(s.n_reads, 2); /* it has caught up */
    stage_provision(&s, "db", 1);
    assert_int_equal(s.n_reads, 3); /* live */
    assert_int_equal(s.reads[2].seq, s.reads[1].until + 1);
    stage_client(&s, (struct mf_message){.kind = MF_MSG_UNSUBSCRIBE, .unsubscribe = {.stream = 7}});
    stage_client(&s, subscribe(7, 2, 1)); /* the number again while the old read is out */
    assert_int_equal(s.n_reads, 3);
    sent_rows(&s, 7, 99, 9);
    assert_int_equal(s.n_reads, 4);
    assert_int_equal(s.reads[3].seq, 2);
    stage_close(&s);
}

static void test_stream_edges(void **state)
{
    struct stage s;

    stage_open(&s);
    stage_client(&s, subscribe(1, 7, 5)); /* one past the newest: told at once that it is live */
    assert_int_equal(s.n_reads, 1);
    assert_int_equal(s.reads[0].seq, 7);
    assert_int_equal(s.reads[0].until, 6);
    stage_client(&s, subscribe(2, 8, 5));
    assert_true(mf_str_is(stage_last(&s, STAGE_CLIENT, MF_MSG_ERROR)->error.code, "invalid"));
    stage_feed(&s, (struct mf_broker_event){.kind = MF_BROKER_SNAPSHOT_DONE, .seq = 6, .oldest = 4});
    stage_client(&s, subscribe(3, 2, 5));
    assert_true(mf_str_is(stage_last(&s, STAGE_CLIENT, MF_MSG_ERROR)->error.code, "expired"));
    assert_int_equal(stage_last(&s, STAGE_CLIENT, MF_MSG_ERROR)->error.oldest_seq, 4);
    stage_client(&s, subscribe(4, 4, 5));
    assert_int_equal(s.n_reads, 2);
    stage_feed(
        &s, (struct mf_broker_event){
                .kind = MF_BROKER_STREAM_EXPIRED, .peer = {.handle = STAGE_CLIENT}, .stream = 4, .seq = 5});
    assert_int_equal(stage_last(&s, STAGE_CLIENT, MF_MSG_ERROR)->error.oldest_seq, 5);
    stage_client(&s, subscribe(5, 0, 5)); /* whatever is the oldest */
    assert_int_equal(s.reads[s.n_reads - 1].seq, 5);
    for (uint64_t i = 10; i < 30; i++)
        stage_client(&s, subscribe(i, 5, 5));
    assert_true(mf_str_is(stage_last(&s, STAGE_CLIENT, MF_MSG_ERROR)->error.code, "unsupported"));
    stage_gone(&s, STAGE_CLIENT);
    assert_null(s.b->streams);
    sent_rows(&s, 5, 6, 1); /* too late, and harmless */
    stage_close(&s);
}

/* A subscription that is refused leaves the read of the one before it to come back: it is not of the next. */
static void test_stream_after_a_refusal(void **state)
{
    struct stage s;

    stage_open(&s); /* six rows */
    stage_client(&s, subscribe(1, 7, 5));
    assert_int_equal(s.n_reads, 1);
    stage_client(&s, subscribe(1, 99, 5));
    assert_true(mf_str_is(stage_last(&s, STAGE_CLIENT, MF_MSG_ERROR)->error.code, "invalid"));
    stage_client(&s, subscribe(1, 2, 5));
    assert_int_equal(s.n_reads, 1);
    sent_rows(&s, 1, 7, 0); /* the first one's */
    assert_int_equal(s.n_reads, 2);
    assert_int_equal(s.reads[1].seq, 2);
    sent_rows(&s, 1, 7, 5);
    assert_int_equal(s.b->streams->cursor, 7);
    stage_close(&s);
}

static void test_stream_waits_for_commits(void **state)
{
    struct stage s;

    stage_open(&s);
    stage_client(&s, subscribe(1, 7, 50));
    sent_rows(&s, 1, 7, 0);
    s.hold = true;
    stage_provision(&s, "web", 1);
    assert_int_equal(s.n_reads, 1);
    stage_commit(&s, 8);
    assert_int_equal(s.n_reads, 2);
    assert_int_equal(s.reads[1].until, 8); /* no further than what is durable */
    stage_close(&s);
}

static void test_logs(void **state)
{
    struct stage s;
    struct mf_message ask = {.kind = MF_MSG_LOGS,
                             .logs = {.request_id = mf_str("l"), .target = mf_str("web/0")}};

    stage_open(&s);
    stage_client(&s, ask);
    assert_true(mf_str_is(stage_last(&s, STAGE_CLIENT, MF_MSG_ERROR)->error.code, "unknown"));
    stage_provision(&s, "web", 1);
    stage_client(&s, ask);
    assert_true(mf_str_is(stage_last(&s, STAGE_CLIENT, MF_MSG_ERROR)->error.code, "unavailable"));
    stage_hello(&s, 0, NULL, 0);
    stage_answer_all(&s);
    stage_client(&s, ask);
    const struct mf_message *m = stage_last(&s, s.worker[0], MF_MSG_LOG_ASK);
    assert_non_null(m);
    stage_worker(&s, 0,
                 (struct mf_message){.kind = MF_MSG_LOG_TAIL,
                                     .log_tail = {.ask_id = m->log_ask.ask_id,
                                                  .epoch = s.epoch[0],
                                                  .code = mf_str("ok"),
                                                  .text = mf_str("hello from the guest")}});
    assert_true(
        mf_str_is(stage_last(&s, STAGE_CLIENT, MF_MSG_LOGS_REPLY)->logs_reply.text, "hello from the guest"));
    stage_client(&s, ask);
    stage_pass(&s, 5000);
    assert_true(mf_str_is(stage_last(&s, STAGE_CLIENT, MF_MSG_ERROR)->error.code, "deadline"));
    stage_gone(&s, s.worker[0]);
    stage_client(&s, ask);
    assert_true(mf_str_is(stage_last(&s, STAGE_CLIENT, MF_MSG_ERROR)->error.code, "unavailable"));
    stage_close(&s);
}

/* Questions and births that wait share a heap of deadlines; it outlives neither of them at the end. */
static void test_an_end_with_questions_open(void **state)
{
    struct stage s;

    stage_open(&s);
    stage_hello(&s, 0, NULL, 0);
    stage_provision(&s, "web", 4);
    stage_answer_all(&s);
    for (uint32_t i = 1; i < 4; i++) /* twice, so that the next births are put off */
        for (int times = 0; times < 2; times++) {
            stage_death(&s, 0, stage_current(&s, "web", i)->id);
            stage_answer_all(&s);
        }
    for (int i = 0; i < 16; i++)
        stage_client(&s, (struct mf_message){.kind = MF_MSG_LOGS,
                                             .logs = {.request_id = mf_str("l"), .target = mf_str("web/0")}});
    assert_int_equal(s.b->n_asks, 16);
    assert_null(stage_current(&s, "web", 1));
    stage_close(&s);
}

static void test_snapshot_is_asked_for(void **state)
{
    struct stage s;

    stage_open(&s);
    s.b->config.snapshot_rows = 10;
    stage_provision(&s, "web", 4);
    assert_int_equal(s.n_snapshots, 1);
    stage_provision(&s, "db", 10);
    assert_int_equal(s.n_snapshots, 1); /* one at a time */
    stage_feed(&s, (struct mf_broker_event){.kind = MF_BROKER_SNAPSHOT_DONE, .seq = 12, .oldest = 1});
    assert_int_equal(s.n_snapshots, 2);
    stage_close(&s);
}

static void test_describe(void **state)
{
    struct stage s;
    struct mf_buf text = {0};

    stage_open(&s);
    stage_hello(&s, 0, NULL, 0);
    stage_provision(&s, "web", 2);
    mf_broker_describe(s.b, &text);
    mf_buf_append(&text, "", 1);
    assert_non_null(strstr(text.ptr, "group web"));
    assert_non_null(strstr(text.ptr, "node node-0 ready"));
    mf_buf_free(&text);
    stage_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_every_page_fits_a_message),
        cmocka_unit_test(test_a_node_holds_so_many),
        cmocka_unit_test(test_monitor_lost_and_heard),
        cmocka_unit_test(test_stream_under_credit),
        cmocka_unit_test(test_stream_edges),
        cmocka_unit_test(test_stream_after_a_refusal),
        cmocka_unit_test(test_stream_waits_for_commits),
        cmocka_unit_test(test_logs),
        cmocka_unit_test(test_an_end_with_questions_open),
        cmocka_unit_test(test_snapshot_is_asked_for),
        cmocka_unit_test(test_describe),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
