/* test_broker_votes.c - one monitor's word counts, of three a majority's; who is lost or doubts itself has no
 * vote; and what the broker hears itself contradicts mere silence. */
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

static void hello(struct stage *s, int monitor)
{
    stage_monitor_as(s, monitor,
                     (struct mf_message){.kind = MF_MSG_MONITOR_HELLO,
                                         .monitor_hello = {.pulse_address = mf_str("127.0.0.1:7000")}});
}

static void alive(struct stage *s, int monitor, bool suspended)
{
    stage_monitor_as(s, monitor,
                     (struct mf_message){.kind = MF_MSG_MONITOR_ALIVE,
                                         .monitor_alive = {.nodes_heard = 1,
                                                           .nodes_known = 2,
                                                           .suspended = suspended,
                                                           .reason = mf_str(suspended ? "1 of 2" : "")}});
}

/* Nodes whose agents were not heard lately, and so many monitors that were heard just now. */
static void open_with(struct stage *s, int nodes, int monitors)
{
    stage_open(s);
    for (int i = 0; i < monitors; i++)
        hello(s, i);
    for (int i = 0; i < nodes; i++)
        stage_hello(s, i, NULL, 0);
    stage_provision(s, "web", (uint64_t)nodes);
    stage_answer_all(s);
    for (int i = 0; i < 4; i++) {
        stage_pass(s, 500);
        for (int m = 0; m < monitors; m++)
            alive(s, m, false);
    }
}

static enum mf_node_state state_of(const struct stage *s, int node)
{
    char name[16];

    snprintf(name, sizeof(name), "node-%d", node);
    return mf_node_find(s->b, mf_str(name))->state;
}

static const struct mf_msg_status_reply *status(struct stage *s)
{
    stage_client(s, (struct mf_message){.kind = MF_MSG_STATUS, .status = {.request_id = mf_str("st")}});
    return &stage_last(s, STAGE_CLIENT, MF_MSG_STATUS_REPLY)->status_reply;
}

static void read_row(const struct stage *s, enum mf_kind kind, struct mf_arena *arena, struct mf_event *event)
{
    struct mf_decode_error error;
    const struct stage_row *row = stage_row_of(s, kind);

    assert_non_null(row);
    assert_int_equal(mf_event_decode(kind, row->row.data, arena, event, &error), 0);
}

static void test_one_monitor(void **state)
{
    struct mf_arena arena = {0};
    struct mf_event event;
    struct stage s;

    open_with(&s, 2, 1);
    assert_int_equal(status(&s)->quorum, 1);
    stage_vote(&s, 0, 1, MF_VERDICT_SUSPECT, MF_EVIDENCE_ECHO);
    assert_int_equal(state_of(&s, 1), MF_NODE_STATE_SUSPECT);
    read_row(&s, MF_EV_NODE_SUSPECT, &arena, &event);
    assert_int_equal(event.node_suspect.evidence, MF_EVIDENCE_ECHO);
    assert_int_equal(event.node_suspect.asked, 3);
    assert_int_equal(event.node_suspect.echoes, 1);
    stage_vote(&s, 0, 1, MF_VERDICT_RECOVERED, MF_EVIDENCE_PULSE);
    assert_int_equal(state_of(&s, 1), MF_NODE_STATE_READY);
    stage_vote(&s, 0, 1, MF_VERDICT_FAILED, MF_EVIDENCE_SILENCE);
    assert_int_equal(state_of(&s, 1), MF_NODE_STATE_FAILED);
    read_row(&s, MF_EV_NODE_FAILED, &arena, &event);
    assert_int_equal(event.node_failed.votes, 1);
    assert_int_equal(event.node_failed.asked, 3);
    stage_vote(&s, 0, 1, MF_VERDICT_RECOVERED, MF_EVIDENCE_PULSE); /* told, and only a hello brings it back */
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_RECOVERED), 2);
    assert_int_equal(state_of(&s, 1), MF_NODE_STATE_FAILED);
    mf_arena_free(&arena);
    stage_close(&s);
}

static void test_a_majority_of_three(void **state)
{
    struct mf_arena arena = {0};
    struct mf_event event;
    struct stage s;

    open_with(&s, 2, 3);
    assert_int_equal(status(&s)->quorum, 2);
    size_t rows = s.n_rows;
    for (int i = 0; i < 5; i++) /* one of three, said again and again: nothing, and no row */
        stage_vote(&s, 0, 1, MF_VERDICT_FAILED, MF_EVIDENCE_SILENCE);
    assert_int_equal(s.n_rows, rows);
    assert_int_equal(state_of(&s, 1), MF_NODE_STATE_READY);
    stage_vote(&s, 1, 1, MF_VERDICT_SUSPECT, MF_EVIDENCE_SILENCE); /* two doubt it, one holds it for dead */
    assert_int_equal(state_of(&s, 1), MF_NODE_STATE_SUSPECT);
    stage_vote(&s, 2, 1, MF_VERDICT_RECOVERED, MF_EVIDENCE_PULSE); /* the third hears it: a minority */
    assert_int_equal(state_of(&s, 1), MF_NODE_STATE_SUSPECT);
    stage_vote(&s, 1, 1, MF_VERDICT_FAILED, MF_EVIDENCE_CLOSED);
    assert_int_equal(state_of(&s, 1), MF_NODE_STATE_FAILED);
    read_row(&s, MF_EV_NODE_FAILED, &arena, &event);
    assert_int_equal(event.node_failed.votes, 2);
    mf_arena_free(&arena);
    stage_close(&s);
}

static void test_recovered_only_without_a_majority(void **state)
{
    struct stage s;

    open_with(&s, 2, 3);
    for (int i = 0; i < 3; i++)
        stage_vote(&s, i, 1, MF_VERDICT_SUSPECT, MF_EVIDENCE_SILENCE);
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_SUSPECT), 1);
    stage_vote(&s, 2, 1, MF_VERDICT_RECOVERED, MF_EVIDENCE_PULSE);
    assert_int_equal(state_of(&s, 1), MF_NODE_STATE_SUSPECT);
    stage_vote(&s, 1, 1, MF_VERDICT_RECOVERED, MF_EVIDENCE_PULSE);
    assert_int_equal(state_of(&s, 1), MF_NODE_STATE_READY);
    stage_close(&s);
}

static void test_two_that_disagree(void **state)
{
    struct stage s;

    open_with(&s, 2, 2);
    stage_vote(&s, 0, 1, MF_VERDICT_FAILED, MF_EVIDENCE_SILENCE);
    stage_pass(&s, 1500);
    alive(&s, 0, false);
    alive(&s, 1, false);
    stage_vote(&s, 0, 1, MF_VERDICT_FAILED, MF_EVIDENCE_SILENCE);
    assert_int_equal(state_of(&s, 1), MF_NODE_STATE_READY); /* two need both */
    stage_vote(&s, 1, 1, MF_VERDICT_FAILED, MF_EVIDENCE_SILENCE);
    assert_int_equal(state_of(&s, 1), MF_NODE_STATE_FAILED);
    stage_close(&s);
}

/* The opinion of one that is lost is as if it had not been said, and its place in the majority stays. */
static void test_a_lost_monitor_has_no_vote(void **state)
{
    struct stage s;

    open_with(&s, 2, 3);
    stage_vote(&s, 0, 1, MF_VERDICT_FAILED, MF_EVIDENCE_SILENCE);
    for (int i = 0; i < 5; i++) {
        stage_pass(&s, 500);
        alive(&s, 1, false);
        alive(&s, 2, false);
    }
    assert_int_equal(stage_count_rows(&s, MF_EV_MONITOR_LOST), 1);
    assert_int_equal(status(&s)->quorum, 2);
    stage_vote(&s, 1, 1, MF_VERDICT_FAILED, MF_EVIDENCE_SILENCE);
    assert_int_equal(state_of(&s, 1), MF_NODE_STATE_READY);
    stage_vote(&s, 0, 1, MF_VERDICT_FAILED, MF_EVIDENCE_SILENCE); /* heard again, it says so again */
    assert_int_equal(state_of(&s, 1), MF_NODE_STATE_FAILED);
    stage_close(&s);
}

static void test_a_suspended_monitor_has_no_vote(void **state)
{
    struct stage s;

    open_with(&s, 2, 1);
    alive(&s, 0, true);
    alive(&s, 0, true);
    assert_int_equal(stage_count_rows(&s, MF_EV_MONITOR_SUSPENDED), 1);
    assert_true(status(&s)->monitors.items[0].suspended);
    stage_vote(&s, 0, 1, MF_VERDICT_FAILED, MF_EVIDENCE_SILENCE);
    assert_int_equal(state_of(&s, 1), MF_NODE_STATE_READY);
    stage_restart(&s, s.n_rows); /* it stays so over a reign, until it says otherwise */
    assert_true(status(&s)->monitors.items[0].suspended);
    stage_pass(&s, STAGE_GRACE);
    hello(&s, 0);
    stage_hello(&s, 1, NULL, 0);
    stage_gone(&s, s.worker[1]);
    stage_vote(&s, 0, 1, MF_VERDICT_FAILED, MF_EVIDENCE_CLOSED);
    assert_int_equal(state_of(&s, 1), MF_NODE_STATE_READY);
    alive(&s, 0, false);
    assert_int_equal(stage_count_rows(&s, MF_EV_MONITOR_RESUMED), 1);
    stage_vote(&s, 0, 1, MF_VERDICT_FAILED, MF_EVIDENCE_CLOSED);
    assert_int_equal(state_of(&s, 1), MF_NODE_STATE_FAILED);
    stage_close(&s);
}

static void test_a_new_session_or_epoch_forgets_votes(void **state)
{
    struct stage s;

    open_with(&s, 2, 3);
    stage_vote(&s, 0, 1, MF_VERDICT_FAILED, MF_EVIDENCE_CLOSED);
    stage_gone(&s, stage_monitor_handle(0));
    hello(&s, 0);
    stage_vote(&s, 1, 1, MF_VERDICT_FAILED, MF_EVIDENCE_CLOSED);
    assert_int_equal(state_of(&s, 1), MF_NODE_STATE_READY);
    stage_hello(&s, 1, NULL, 0);
    stage_vote(&s, 0, 1, MF_VERDICT_FAILED, MF_EVIDENCE_CLOSED);
    assert_int_equal(state_of(&s, 1), MF_NODE_STATE_READY); /* the other's was about the epoch before */
    s.epoch[1]--;
    stage_vote(&s, 2, 1, MF_VERDICT_FAILED, MF_EVIDENCE_CLOSED);
    assert_int_equal(state_of(&s, 1), MF_NODE_STATE_READY); /* void */
    stage_close(&s);
}

static void forget(struct stage *s, const char *request_id, const char *name)
{
    stage_forget_sent(s);
    stage_client(s, (struct mf_message){
                        .kind = MF_MSG_MONITOR_FORGET,
                        .monitor_forget = {.request_id = mf_str(request_id), .monitor = mf_str(name)}});
}

static void test_a_forgotten_monitor_counts_no_more(void **state)
{
    struct stage s;

    open_with(&s, 2, 3);
    stage_vote(&s, 2, 1, MF_VERDICT_FAILED, MF_EVIDENCE_CLOSED);
    forget(&s, "f1", "health-9");
    assert_true(mf_str_is(stage_last(&s, STAGE_CLIENT, MF_MSG_ERROR)->error.code, "unknown"));
    forget(&s, "f2", "health-0");
    assert_true(mf_str_is(stage_last(&s, STAGE_CLIENT, MF_MSG_ERROR)->error.code, "invalid")); /* heard */
    for (int i = 0; i < 5; i++) { /* health-0 and health-1 are no more */
        stage_pass(&s, 500);
        alive(&s, 2, false);
    }
    stage_vote(&s, 2, 1, MF_VERDICT_FAILED, MF_EVIDENCE_CLOSED);
    forget(&s, "f3", "health-0");
    assert_non_null(stage_last(&s, STAGE_CLIENT, MF_MSG_ACCEPTED));
    assert_int_equal(stage_last(&s, s.worker[0], MF_MSG_PULSE_TARGETS)->pulse_targets.monitors.n, 2);
    assert_int_equal(state_of(&s, 1), MF_NODE_STATE_READY);
    forget(&s, "f4", "health-1");
    assert_int_equal(state_of(&s, 1), MF_NODE_STATE_FAILED); /* the one that is left is a majority */
    assert_int_equal(status(&s)->quorum, 1);
    for (int i = 0; i < 5; i++) /* its alarm goes where it went */
        stage_pass(&s, 500);
    assert_int_equal(stage_count_rows(&s, MF_EV_MONITOR_LOST), 3);
    struct mf_broker *again = stage_load(&s, NULL, 0, 0);
    assert_int_equal(again->n_monitors, 1);
    assert_string_equal(again->monitors[0].name, "health-2");
    mf_broker_destroy(&again);
    stage_close(&s);
}

static void say_alive(struct stage *s, int node)
{
    stage_worker(s, node,
                 (struct mf_message){.kind = MF_MSG_WORKER_ALIVE, .worker_alive = {.epoch = s->epoch[node]}});
}

static void test_what_the_broker_hears_contradicts_silence(void **state)
{
    struct mf_arena arena = {0};
    struct mf_event event;
    struct stage s;

    open_with(&s, 2, 1);
    say_alive(&s, 1);
    stage_pass(&s, 200);
    for (int i = 0; i < 5; i++)
        stage_vote(&s, 0, 1, MF_VERDICT_FAILED, MF_EVIDENCE_SILENCE);
    assert_int_equal(state_of(&s, 1), MF_NODE_STATE_SUSPECT);
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_HELD), 1); /* said once */
    read_row(&s, MF_EV_NODE_HELD, &arena, &event);
    assert_non_null(memmem(event.node_held.reason.ptr, event.node_held.reason.len, "200 ms ago", 10));
    for (int i = 0; i < 10; i++) { /* as long as the agent is heard */
        stage_pass(&s, 900);
        alive(&s, 0, false);
        say_alive(&s, 1);
        stage_vote(&s, 0, 1, MF_VERDICT_FAILED, MF_EVIDENCE_SILENCE);
    }
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_FAILED), 0);
    stage_pass(&s, s.config.silence_ms - 1);
    assert_int_equal(state_of(&s, 1), MF_NODE_STATE_SUSPECT);
    stage_pass(&s, 1); /* nothing more was said by anyone: the alarm alone looks again */
    assert_int_equal(state_of(&s, 1), MF_NODE_STATE_FAILED);
    mf_arena_free(&arena);
    stage_close(&s);
}

static void test_whoever_is_doubted_is_asked(void **state)
{
    struct stage s;

    open_with(&s, 2, 1);
    stage_pass(&s, 2000);
    alive(&s, 0, false);
    stage_forget_sent(&s);
    stage_vote(&s, 0, 1, MF_VERDICT_SUSPECT, MF_EVIDENCE_SILENCE);
    stage_vote(&s, 0, 1, MF_VERDICT_SUSPECT, MF_EVIDENCE_SILENCE); /* once an interval is enough */
    assert_int_equal(stage_count_sent(&s, MF_MSG_ALIVE_ASK), 1);
    assert_int_equal(stage_last(&s, s.worker[1], MF_MSG_ALIVE_ASK)->alive_ask.epoch, s.epoch[1]);
    say_alive(&s, 1); /* its answer, though none was due */
    stage_pass(&s, 600);
    stage_vote(&s, 0, 1, MF_VERDICT_FAILED, MF_EVIDENCE_SILENCE);
    assert_int_equal(state_of(&s, 1), MF_NODE_STATE_SUSPECT);
    assert_int_equal(stage_count_sent(&s, MF_MSG_ALIVE_ASK), 2);
    stage_pass(&s, s.config.silence_ms - 600); /* and has nothing to say to that */
    assert_int_equal(state_of(&s, 1), MF_NODE_STATE_FAILED);
    stage_gone(&s, s.worker[0]);
    stage_forget_sent(&s);
    stage_vote(&s, 0, 0, MF_VERDICT_SUSPECT, MF_EVIDENCE_SILENCE);
    assert_int_equal(stage_count_sent(&s, MF_MSG_ALIVE_ASK), 0); /* there is nobody to ask */
    stage_close(&s);
}

static void test_a_closed_connection_is_not_contradicted(void **state)
{
    struct stage s;

    open_with(&s, 3, 1);
    say_alive(&s, 1);
    stage_gone(&s, s.worker[1]);
    stage_vote(&s, 0, 1, MF_VERDICT_FAILED, MF_EVIDENCE_CLOSED);
    assert_int_equal(state_of(&s, 1), MF_NODE_STATE_FAILED);
    say_alive(&s, 0);
    stage_vote(&s, 0, 0, MF_VERDICT_FAILED, MF_EVIDENCE_AGENT_DEAD); /* nor is a keeper's own word */
    assert_int_equal(state_of(&s, 0), MF_NODE_STATE_FAILED);
    say_alive(&s, 2);
    stage_gone(&s, s.worker[2]); /* what it said before it closed does not speak for it any more */
    stage_vote(&s, 0, 2, MF_VERDICT_FAILED, MF_EVIDENCE_SILENCE);
    assert_int_equal(state_of(&s, 2), MF_NODE_STATE_FAILED);
    stage_close(&s);
}

static void test_monitors_are_told_of_racks_and_limits(void **state)
{
    struct mf_label label = {mf_str("rack"), mf_str("r1")};
    struct mf_message message = stage_hello_message(0);
    struct stage s;

    stage_open(&s);
    message.hello.labels.items = &label;
    message.hello.labels.n = 1;
    stage_hello_as(&s, 0, message);
    stage_monitor_hello(&s);
    assert_int_equal(stage_last(&s, STAGE_MONITOR, MF_MSG_MONITOR_WELCOME)->monitor_welcome.doubt_percent,
                     50);
    const struct mf_msg_monitor_node *node =
        &stage_last(&s, STAGE_MONITOR, MF_MSG_MONITOR_NODE)->monitor_node;
    assert_int_equal(node->labels.n, 1);
    assert_true(mf_str_is(node->labels.items[0].value, "r1"));
    stage_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_monitor),
        cmocka_unit_test(test_a_majority_of_three),
        cmocka_unit_test(test_recovered_only_without_a_majority),
        cmocka_unit_test(test_two_that_disagree),
        cmocka_unit_test(test_a_lost_monitor_has_no_vote),
        cmocka_unit_test(test_a_suspended_monitor_has_no_vote),
        cmocka_unit_test(test_a_new_session_or_epoch_forgets_votes),
        cmocka_unit_test(test_a_forgotten_monitor_counts_no_more),
        cmocka_unit_test(test_what_the_broker_hears_contradicts_silence),
        cmocka_unit_test(test_whoever_is_doubted_is_asked),
        cmocka_unit_test(test_a_closed_connection_is_not_contradicted),
        cmocka_unit_test(test_monitors_are_told_of_racks_and_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
