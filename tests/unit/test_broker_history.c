/* test_broker_history.c - a store that is a copy of an earlier time, cursors of the time that was lost, and a
 * store that takes no more. */
#include "broker_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* The store is lost; what is left is a copy of its first rows. */
static void restore(struct stage *s, size_t rows)
{
    mf_broker_destroy(&s->b);
    while (s->n_rows > rows)
        free(s->rows[--s->n_rows].bytes);
    memset(s->worker, 0, sizeof(s->worker));
    s->started = false;
    s->config.seed++;
    s->b = stage_load(s, NULL, 0, 0);
    stage_feed(s, (struct mf_broker_event){.kind = MF_BROKER_START, .restored = true});
}

static struct mf_message subscribe(uint64_t stream, uint64_t from, struct mf_uuid log_id)
{
    return (struct mf_message){
        .kind = MF_MSG_SUBSCRIBE,
        .subscribe = {
            .request_id = mf_str("s"), .stream = stream, .from = from, .credit = 10, .log_id = log_id}};
}

static const struct mf_msg_error *refusal(const struct stage *s)
{
    const struct mf_message *m = stage_last(s, STAGE_CLIENT, MF_MSG_ERROR);

    assert_non_null(m);
    return &m->error;
}

static void test_another_history_begins(void **state)
{
    struct stage s;
    struct mf_uuid cluster, log;
    uint64_t term;
    size_t copy;

    stage_open(&s);
    stage_hello(&s, 0, NULL, 0);
    stage_provision(&s, "web", 1);
    stage_answer_all(&s);
    copy = s.n_rows;
    cluster = s.b->cluster_id;
    log = s.b->log_id;
    term = s.b->term;
    stage_provision(&s, "late", 1);
    restore(&s, copy);
    assert_true(mf_uuid_eq(s.b->cluster_id, cluster));
    assert_false(mf_uuid_eq(s.b->log_id, log));
    assert_true(s.b->term > term);
    assert_int_equal(s.rows[copy].row.kind, MF_EV_CLUSTER_RESTORED);
    assert_int_equal(s.rows[copy].row.seq, copy + 1);
    assert_int_equal(s.rows[copy + 1].row.kind, MF_EV_BROKER_STARTED);
    stage_reloads(&s);
    log = s.b->log_id;
    stage_restart(&s, s.n_rows); /* an ordinary start goes on with it */
    assert_true(mf_uuid_eq(s.b->log_id, log));
    assert_int_equal(stage_count_rows(&s, MF_EV_CLUSTER_RESTORED), 1);
    stage_close(&s);
}

static void test_a_cursor_of_the_lost_history(void **state)
{
    struct stage s;
    struct mf_uuid lost;
    size_t reads;

    stage_open(&s);
    lost = s.b->log_id;
    stage_client(&s, subscribe(1, 2, lost));
    reads = s.n_reads;
    assert_true(mf_uuid_eq(s.reads[reads - 1].log_id, lost));
    restore(&s, s.n_rows);
    stage_client(&s, subscribe(1, 2, lost));
    assert_int_equal(s.n_reads, reads);
    assert_true(mf_str_is(refusal(&s)->code, "expired"));
    assert_true(refusal(&s)->oldest_seq >= 1 && refusal(&s)->stream == 1);
    stage_client(&s, subscribe(1, 2, s.b->log_id));
    assert_int_equal(s.n_reads, reads + 1);
    stage_client(&s, subscribe(2, 2, (struct mf_uuid){0})); /* who does not say it is believed */
    assert_int_equal(s.n_reads, reads + 2);
    stage_close(&s);
}

/* Epochs and terms that were granted after the copy was made are known to workers alone. */
static void test_no_epoch_is_granted_twice(void **state)
{
    struct stage s;
    struct mf_message hello;

    stage_open(&s);
    stage_hello(&s, 0, NULL, 0);
    restore(&s, 6);
    hello = stage_hello_message(0);
    hello.hello.epoch = 9;
    hello.hello.term_seen = 30;
    stage_hello_as(&s, 0, hello);
    assert_true(s.epoch[0] > 9);
    assert_int_equal(s.b->term, 31);
    hello = stage_hello_message(1);
    hello.hello.epoch = UINT64_MAX; /* never one of ours */
    stage_hello_as(&s, 1, hello);
    assert_true(s.epoch[1] > s.epoch[0] && s.epoch[1] < 100);
    stage_reloads(&s);
    stage_close(&s);
}

static void test_status_while_the_store_is_full(void **state)
{
    struct stage s;
    const struct mf_message *reply;
    uint64_t committed;

    stage_open(&s);
    committed = mf_broker_committed(s.b);
    s.hold = true;
    stage_feed(&s, (struct mf_broker_event){.kind = MF_BROKER_STORE_FULL, .full = true});
    stage_hello(&s, 0, NULL, 0); /* rows that the store does not take */
    stage_forget_sent(&s);
    stage_client(&s, (struct mf_message){.kind = MF_MSG_STATUS, .status = {.request_id = mf_str("q")}});
    reply = stage_last(&s, STAGE_CLIENT, MF_MSG_STATUS_REPLY);
    assert_non_null(reply);
    assert_true(reply->status_reply.full);
    assert_int_equal(reply->status_reply.seq, committed);
    assert_int_equal(reply->status_reply.uncommitted, mf_broker_seq(s.b) - committed);
    stage_forget_sent(&s);
    stage_feed(&s, (struct mf_broker_event){.kind = MF_BROKER_STORE_FULL, .full = false});
    stage_client(&s, (struct mf_message){.kind = MF_MSG_STATUS, .status = {.request_id = mf_str("q")}});
    assert_null(stage_last(&s, STAGE_CLIENT, MF_MSG_STATUS_REPLY)); /* behind the rows it shows */
    stage_commit(&s, mf_broker_seq(s.b));
    reply = stage_last(&s, STAGE_CLIENT, MF_MSG_STATUS_REPLY);
    assert_non_null(reply);
    assert_false(reply->status_reply.full);
    stage_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_another_history_begins),
        cmocka_unit_test(test_a_cursor_of_the_lost_history),
        cmocka_unit_test(test_no_epoch_is_granted_twice),
        cmocka_unit_test(test_status_while_the_store_is_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
