/* test_broker_breaker.c - too many verdicts at once are held, and said to be; they take effect when they are
 * few enough, or by an operator's word; proven deaths are never held. */
#include "broker_stage.h"
#include "check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct mf_node *node(const struct stage *s, int i)
{
    char name[16];

    snprintf(name, sizeof(name), "node-%d", i);
    return mf_node_find(s->b, mf_str(name));
}

static size_t failed(const struct stage *s)
{
    return stage_count_rows(s, MF_EV_NODE_FAILED);
}

static size_t held(const struct stage *s)
{
    return s->b->breaker.n_held;
}

static bool frozen(const struct stage *s)
{
    return s->b->frozen_by.len > 0;
}

static void hello_in_rack(struct stage *s, int i, int racks)
{
    static char values[STAGE_NODES][16];
    struct mf_label label = {mf_str("rack"), mf_str(values[i])};
    struct mf_message hello = stage_hello_message(i);

    snprintf(values[i], sizeof(values[i]), "r%d", racks ? i % racks : 0);
    label.value = mf_str(values[i]);
    hello.hello.labels.items = &label;
    hello.hello.labels.n = racks ? 1 : 0;
    stage_hello_as(s, i, hello);
}

static void pass_alive(struct stage *s, mf_ms ms)
{
    for (mf_ms end = s->now + ms; s->now < end;) {
        stage_pass(s, end - s->now < 500 ? end - s->now : 500);
        stage_monitor(s, (struct mf_message){.kind = MF_MSG_MONITOR_ALIVE});
    }
}

/* So many nodes, spread over so many racks, each with one instance; they have room for more. */
static void open_running(struct stage *s, int nodes, int racks)
{
    stage_open(s);
    stage_breaker(s, 4);
    stage_monitor_hello(s);
    for (int i = 0; i < nodes; i++)
        hello_in_rack(s, i, racks);
    stage_provision(s, "web", (uint64_t)nodes);
    stage_answer_all(s);
    pass_alive(s, 2000);
    s->trace.len = 0;
}

static void lose(struct stage *s, int from, int to, int step)
{
    for (int i = from; i < to; i += step) {
        stage_gone(s, s->worker[i]);
        stage_verdict(s, i, MF_VERDICT_FAILED);
    }
}

static void read_row(const struct stage *s, enum mf_kind kind, struct mf_arena *arena, struct mf_event *event)
{
    struct mf_decode_error error;
    const struct stage_row *row = stage_row_of(s, kind);

    assert_non_null(row);
    assert_int_equal(mf_event_decode(kind, row->row.data, arena, event, &error), 0);
}

static void word(struct stage *s, bool freeze)
{
    static char id[16];

    snprintf(id, sizeof(id), "w%llu", (unsigned long long)++s->next_request);
    if (freeze)
        stage_client(s, (struct mf_message){.kind = MF_MSG_FREEZE,
                                            .freeze = {.request_id = mf_str(id),
                                                       .reason = mf_str("the switch is being replaced")}});
    else
        stage_client(s, (struct mf_message){.kind = MF_MSG_THAW, .thaw = {.request_id = mf_str(id)}});
}

static const struct mf_msg_status_reply *status(struct stage *s)
{
    stage_client(s, (struct mf_message){.kind = MF_MSG_STATUS, .status = {.request_id = mf_str("st")}});
    return &stage_last(s, STAGE_CLIENT, MF_MSG_STATUS_REPLY)->status_reply;
}

static void test_one_of_four_fails_two_do_not(void **state)
{
    struct mf_arena arena = {0};
    struct mf_event event;
    struct stage s;

    open_running(&s, 4, 0);
    lose(&s, 0, 1, 1);
    assert_int_equal(failed(&s), 1);
    assert_false(frozen(&s));
    lose(&s, 1, 2, 1);
    assert_int_equal(failed(&s), 1);
    assert_true(frozen(&s));
    assert_int_equal(node(&s, 1)->state, MF_NODE_STATE_SUSPECT); /* nothing is placed there meanwhile */
    read_row(&s, MF_EV_CLUSTER_FROZEN, &arena, &event);
    assert_true(mf_str_is(event.cluster_frozen.by, "breaker"));
    assert_int_equal(event.cluster_frozen.failed, 1);
    assert_int_equal(event.cluster_frozen.held, 1);
    assert_int_equal(event.cluster_frozen.limit, 1);
    assert_int_equal(event.cluster_frozen.nodes, 4);
    assert_true(mf_str_is(event.cluster_frozen.reason,
                          "2 of 4 nodes failed or are silent at once, and 1 may (30 %)"));
    size_t rows = s.n_rows;
    for (int i = 0; i < 5; i++)
        stage_verdict(&s, 1, MF_VERDICT_FAILED); /* said again: no row */
    assert_int_equal(s.n_rows, rows);
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_HELD), 1);
    assert_true(status(&s)->frozen);
    assert_int_equal(status(&s)->held, 1);
    assert_true(
        mf_str_is(status(&s)->frozen_reason, "2 of 4 nodes failed or are silent at once, and 1 may (30 %)"));
    mf_arena_free(&arena);
    stage_golden(&s, "breaker");
    stage_close(&s);
}

static void test_it_thaws_when_the_window_has_passed(void **state)
{
    struct stage s;

    open_running(&s, 4, 0);
    lose(&s, 0, 2, 1);
    stage_answer_all(&s);                            /* what the first lost runs elsewhere */
    pass_alive(&s, 10000 + s.config.silence_ms - 1); /* and nobody was heard again meanwhile */
    assert_true(frozen(&s));
    pass_alive(&s, 1);
    assert_false(frozen(&s));
    assert_int_equal(failed(&s), 2); /* and the other takes effect */
    assert_int_equal(held(&s), 0);
    assert_int_equal(stage_count_rows(&s, MF_EV_CLUSTER_THAWED), 1);
    stage_close(&s);
}

static void test_replacements_on_their_way_count(void **state)
{
    struct stage s;

    open_running(&s, 4, 0);
    lose(&s, 0, 2, 1);
    pass_alive(&s, 20000); /* nobody answers the order for its successor */
    assert_true(frozen(&s));
    assert_int_equal(failed(&s), 1);
    stage_answer_all(&s);
    pass_alive(&s, 2000);
    assert_false(frozen(&s));
    assert_int_equal(failed(&s), 2);
    stage_close(&s);
}

static void test_what_finds_no_room_does_not_count_for_ever(void **state)
{
    struct stage s;

    stage_open(&s);
    stage_breaker(&s, 4);
    stage_monitor_hello(&s);
    for (int i = 0; i < 4; i++)
        stage_hello(&s, i, NULL, 0);
    stage_provision(&s, "web", 16); /* the cluster is full */
    stage_answer_all(&s);
    lose(&s, 0, 2, 1);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_PENDING), 4);
    pass_alive(&s, 12000);
    assert_int_equal(failed(&s), 2);
    stage_close(&s);
}

static void test_it_thaws_when_they_are_heard_again(void **state)
{
    struct stage s;

    open_running(&s, 10, 0);
    for (int i = 0; i < 9; i++) /* a monitor that is deaf, more or less: connections stay open */
        stage_verdict(&s, i, MF_VERDICT_FAILED);
    assert_int_equal(failed(&s), 3);
    assert_int_equal(held(&s), 6);
    pass_alive(&s, 60000); /* too many to let any of them go, however long */
    assert_int_equal(failed(&s), 3);
    for (int i = 3; i < 9; i++) { /* one after the other, which is not to cost the last of them */
        stage_verdict(&s, i, MF_VERDICT_RECOVERED);
        pass_alive(&s, 300);
    }
    assert_false(frozen(&s));
    assert_int_equal(failed(&s), 3);
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_RECOVERED), 6);
    stage_close(&s);
}

static void test_a_return_lets_go_of_it(void **state)
{
    struct stage s;

    open_running(&s, 4, 0);
    lose(&s, 0, 2, 1);
    stage_hello(&s, 1, NULL, 0);
    assert_false(frozen(&s)); /* what was held was about its epoch before */
    assert_int_equal(failed(&s), 1);
    stage_close(&s);
}

static void test_an_operator_thaws(void **state)
{
    struct stage s;

    open_running(&s, 10, 0);
    lose(&s, 0, 6, 1);
    assert_int_equal(failed(&s), 3);
    word(&s, false);
    assert_false(frozen(&s));
    assert_int_equal(failed(&s), 6);
    assert_int_equal(held(&s), 0);
    lose(&s, 6, 7, 1); /* what was allowed once does not freeze it again */
    assert_int_equal(failed(&s), 7);
    assert_int_equal(stage_count_rows(&s, MF_EV_CLUSTER_FROZEN), 1);
    word(&s, false); /* nothing to thaw: accepted, and no row but the request's */
    assert_int_equal(stage_count_rows(&s, MF_EV_CLUSTER_THAWED), 1);
    stage_answer_all(&s);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 10);
    stage_close(&s);
}

/* Verdicts wait for the grace to end, so a thaw within it would freeze again. */
static void test_no_thaw_within_a_grace(void **state)
{
    struct stage s;

    open_running(&s, 4, 0);
    word(&s, true);
    s.late = true;
    s.now += 1500;
    stage_feed(&s, (struct mf_broker_event){.kind = MF_BROKER_TICK});
    s.late = false;
    word(&s, false);
    assert_true(mf_str_is(stage_last(&s, STAGE_CLIENT, MF_MSG_ERROR)->error.code, "unavailable"));
    assert_true(frozen(&s));
    stage_pass(&s, 3000);
    word(&s, false);
    assert_false(frozen(&s));
    stage_close(&s);
}

static void test_of_what_was_held_only_what_still_holds_takes_effect(void **state)
{
    struct stage s;

    open_running(&s, 4, 0);
    word(&s, true);
    lose(&s, 0, 3, 1);
    stage_hello(&s, 0, NULL, 0);                /* another epoch */
    stage_verdict(&s, 1, MF_VERDICT_RECOVERED); /* heard again */
    word(&s, false);
    assert_int_equal(failed(&s), 1);
    assert_int_equal(node(&s, 2)->state, MF_NODE_STATE_FAILED);
    stage_close(&s);
}

static void test_a_freeze_by_hand_outlives_the_broker(void **state)
{
    struct stage s;

    open_running(&s, 3, 0);
    word(&s, true);
    word(&s, true); /* it is so already */
    assert_int_equal(stage_count_rows(&s, MF_EV_CLUSTER_FROZEN), 1);
    lose(&s, 0, 1, 1);
    assert_int_equal(failed(&s), 0);
    stage_restart(&s, s.n_rows);
    assert_true(status(&s)->frozen);
    assert_true(mf_str_is(status(&s)->frozen_reason, "the switch is being replaced"));
    stage_monitor_hello(&s);
    pass_alive(&s, STAGE_GRACE);
    s.epoch[0] = node(&s, 0)->epoch;
    stage_verdict(&s, 0, MF_VERDICT_FAILED);
    pass_alive(&s, 60000);
    assert_int_equal(failed(&s), 0); /* no time thaws it */
    word(&s, false);
    assert_int_equal(failed(&s), 1);
    stage_close(&s);
}

static void test_a_freeze_by_the_breaker_outlives_the_broker(void **state)
{
    struct stage s;

    open_running(&s, 4, 0);
    lose(&s, 0, 2, 1);
    stage_restart(&s, s.n_rows);
    stage_hello(&s, 3, NULL, 0);
    assert_true(frozen(&s)); /* though nobody has voted in this reign */
    stage_monitor_hello(&s);
    s.epoch[1] = node(&s, 1)->epoch;
    stage_verdict(&s, 1, MF_VERDICT_FAILED);
    pass_alive(&s, 5000); /* past its grace, within the window: the failure before counts still */
    assert_true(frozen(&s));
    assert_int_equal(failed(&s), 1);
    stage_hello(&s, 2, NULL, 0);
    stage_answer_all(&s);
    pass_alive(&s, 10000);
    assert_false(frozen(&s));
    assert_int_equal(failed(&s), 2);
    stage_close(&s);
}

/* More are held than may ever fail at once: nor does a new reign let some of them go one by one. */
static void test_what_is_held_does_not_trickle_into_a_new_reign(void **state)
{
    struct stage s;

    open_running(&s, 12, 0);
    lose(&s, 0, 8, 1); /* 3 may */
    stage_answer_all(&s);
    pass_alive(&s, 30000);
    assert_int_equal(failed(&s), 3);
    assert_int_equal(held(&s), 5);
    stage_restart(&s, s.n_rows);
    stage_monitor_hello(&s);
    for (int i = 8; i < 12; i++)
        stage_hello(&s, i, NULL, 0);
    for (int i = 3; i < 8; i++) {
        s.epoch[i] = node(&s, i)->epoch;
        stage_verdict(&s, i, MF_VERDICT_FAILED);
    }
    pass_alive(&s, 30000);
    assert_true(frozen(&s));
    assert_int_equal(failed(&s), 3);
    assert_int_equal(held(&s), 5);
    word(&s, false);
    assert_int_equal(failed(&s), 8);
    stage_close(&s);
}

/* Nor does a monitor that begins anew; and what it does not say again is not held any more. */
static void test_what_is_held_does_not_trickle_through_a_new_session(void **state)
{
    struct stage s;

    open_running(&s, 12, 0);
    lose(&s, 0, 8, 1);
    stage_answer_all(&s);
    pass_alive(&s, 30000);
    stage_monitor_hello(&s);
    assert_int_equal(held(&s), 0);
    assert_true(frozen(&s));
    pass_alive(&s, 1500);
    for (int i = 3; i < 8; i++)
        stage_verdict(&s, i, MF_VERDICT_FAILED);
    pass_alive(&s, 30000);
    assert_int_equal(failed(&s), 3);
    assert_int_equal(held(&s), 5);
    stage_monitor_hello(&s);
    pass_alive(&s, STAGE_GRACE);
    assert_false(frozen(&s));
    assert_int_equal(failed(&s), 3);
    stage_close(&s);
}

/* However many workers end in order: nobody's hearing is in doubt. */
static void test_what_ends_in_order_is_neither_held_nor_counted(void **state)
{
    struct stage s;

    open_running(&s, 8, 0);
    word(&s, true);
    for (int i = 0; i < 5; i++)
        stage_worker(&s, i,
                     (struct mf_message){.kind = MF_MSG_LEAVING,
                                         .leaving = {.epoch = s.epoch[i], .guests_dead = true}});
    assert_int_equal(failed(&s), 5);
    word(&s, false);
    assert_int_equal(s.b->breaker.n_out, 0);
    lose(&s, 5, 7, 1);
    assert_int_equal(failed(&s), 7); /* two of eight, which may */
    assert_false(frozen(&s));
    stage_restart(&s, s.n_rows);
    assert_int_equal(s.b->breaker.n_out, 2);
    stage_close(&s);
}

static void test_it_is_off_below_four_nodes(void **state)
{
    struct stage s;

    open_running(&s, 3, 0);
    lose(&s, 0, 3, 1);
    assert_int_equal(failed(&s), 3);
    assert_false(frozen(&s));
    stage_close(&s);
}

static void test_a_rack(void **state)
{
    struct mf_arena arena = {0};
    struct mf_event event;
    struct stage s;

    open_running(&s, 30, 3); /* ten in each of three racks; nine may fail in all, six in one rack */
    lose(&s, 0, 30, 3);
    assert_int_equal(failed(&s), 6);
    assert_int_equal(held(&s), 4);
    read_row(&s, MF_EV_CLUSTER_FROZEN, &arena, &event);
    assert_true(mf_str_is(event.cluster_frozen.domain, "rack=r0"));
    assert_int_equal(event.cluster_frozen.limit, 6);
    assert_int_equal(event.cluster_frozen.nodes, 10);
    assert_true(mf_str_is(event.cluster_frozen.reason,
                          "7 of 10 nodes of rack r0 failed or are silent at once, and 6 may (60 %)"));
    stage_pass(&s, 20); /* what the outage leaves behind is placed together */
    stage_answer_all(&s);
    pass_alive(&s, 12000);
    assert_false(frozen(&s));
    assert_int_equal(failed(&s), 10);
    mf_arena_free(&arena);
    stage_close(&s);
}

/* A rack that has too many holds its own; a single death elsewhere is replaced all the same. */
static void test_another_rack_goes_on(void **state)
{
    struct stage s;

    open_running(&s, 30, 3);
    s.b->config.breaker_percent = s.config.breaker_percent = 60;
    lose(&s, 0, 30, 3);
    assert_int_equal(failed(&s), 6);
    lose(&s, 1, 2, 1);
    assert_int_equal(failed(&s), 7);
    stage_close(&s);
}

static void test_each_rack_is_let_go_in_its_time(void **state)
{
    struct stage s;

    open_running(&s, 30, 3);
    s.b->config.breaker_percent = s.config.breaker_percent = 100;
    lose(&s, 0, 30, 3);
    stage_answer_all(&s);
    pass_alive(&s, 5000);
    for (int i = 1; i < 30; i += 3)
        stage_verdict(&s, i, MF_VERDICT_FAILED); /* of these the connections stay open */
    for (int i = 1; i < 30; i += 3)
        s.worker[i] = 0; /* and nobody answers there */
    stage_answer_all(&s);
    assert_int_equal(failed(&s), 12);
    pass_alive(&s, 6500);
    assert_int_equal(failed(&s), 16);
    assert_true(frozen(&s));
    stage_answer_all(&s);
    pass_alive(&s, 5000);
    assert_int_equal(failed(&s), 20);
    assert_false(frozen(&s));
    stage_close(&s);
}

static void test_small_racks_and_small_shares(void **state)
{
    struct stage s;

    open_running(&s, 10, 5); /* a share of two nodes says nothing */
    lose(&s, 0, 10, 5);
    assert_int_equal(failed(&s), 2);
    stage_close(&s);
    open_running(&s, 5, 0);
    s.b->config.breaker_percent = 10; /* less than one: one may fail all the same */
    lose(&s, 0, 1, 1);
    assert_int_equal(failed(&s), 1);
    stage_close(&s);
}

/* The next reign comes to the same state, whatever row the log ends with. */
static void test_every_prefix_replays(void **state)
{
    struct stage s;

    open_running(&s, 5, 0);
    lose(&s, 0, 3, 1);
    word(&s, true);
    word(&s, false);
    for (size_t keep = 1; keep <= s.n_rows; keep++) {
        struct stage again;
        char text[256];
        stage_raw(&again);
        stage_breaker(&again, 4);
        for (size_t i = 0; i < keep; i++)
            assert_int_equal(mf_broker_load_row(again.b, &s.rows[i].row, text), 0);
        stage_feed(&again, (struct mf_broker_event){.kind = MF_BROKER_START});
        stage_pass(&again, 30000); /* nobody votes: what the breaker froze thaws */
        if (mf_str_is(again.b->frozen_by, "breaker"))
            fail_msg("frozen by the breaker with nothing held, after %zu rows", keep);
        stage_close(&again);
    }
    stage_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_of_four_fails_two_do_not),
        cmocka_unit_test(test_it_thaws_when_the_window_has_passed),
        cmocka_unit_test(test_replacements_on_their_way_count),
        cmocka_unit_test(test_what_finds_no_room_does_not_count_for_ever),
        cmocka_unit_test(test_it_thaws_when_they_are_heard_again),
        cmocka_unit_test(test_a_return_lets_go_of_it),
        cmocka_unit_test(test_an_operator_thaws),
        cmocka_unit_test(test_no_thaw_within_a_grace),
        cmocka_unit_test(test_of_what_was_held_only_what_still_holds_takes_effect),
        cmocka_unit_test(test_a_freeze_by_hand_outlives_the_broker),
        cmocka_unit_test(test_a_freeze_by_the_breaker_outlives_the_broker),
        cmocka_unit_test(test_what_is_held_does_not_trickle_into_a_new_reign),
        cmocka_unit_test(test_what_is_held_does_not_trickle_through_a_new_session),
        cmocka_unit_test(test_what_ends_in_order_is_neither_held_nor_counted),
        cmocka_unit_test(test_it_is_off_below_four_nodes),
        cmocka_unit_test(test_a_rack),
        cmocka_unit_test(test_another_rack_goes_on),
        cmocka_unit_test(test_each_rack_is_let_go_in_its_time),
        cmocka_unit_test(test_small_racks_and_small_shares),
        cmocka_unit_test(test_every_prefix_replays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
