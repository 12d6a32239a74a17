/* What would be if, on a copy of a stage's broker: the copy does what the broker then does. */
#include "broker_stage.h"
#include "requests.h"
#include "steps.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* cmocka wants these first */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const mf_ms WALL = 1750000000000;
static char error[512];

static void hello_in_rack(struct stage *s, int node)
{
    struct mf_message hello = stage_hello_message(node);
    struct mf_label label = {mf_str("rack"), mf_str(node % 2 ? "r1" : "r0")};

    hello.hello.labels = (struct mf_labels){&label, 1};
    stage_hello_as(s, node, hello);
}

/* Four nodes of 4 vcpus in two racks, six of web and two at-most ones. */
static void open_stage(struct stage *s)
{
    struct mf_message web;

    stage_open(s);
    for (int node = 0; node < 4; node++)
        hello_in_rack(s, node);
    web = stage_provision_message(s, "web", 6);
    web.provision.spread = MF_SPREAD_HOST;
    stage_client(s, web);
    stage_provision_at_most(s, "db", 2);
    stage_answer_all(s);
    assert_int_equal(stage_count_state(s, MF_INSTANCE_STATE_RUNNING), 8);
}

static void copy(struct mf_rehearsal *r, const struct stage *s)
{
    char text[256];

    mf_rehearsal_init(r, &s->config);
    for (size_t i = 0; i < s->n_rows; i++)
        assert_int_equal(mf_broker_load_row(r->b, &s->rows[i].row, text), 0);
    mf_rehearsal_begin(r, WALL + s->now);
    mf_broker_check(r->b);
    mf_rehearsal_step(r);
}

static size_t count_at(const struct mf_rehearsal *r, const char *rack)
{
    struct mf_broker_instance_view view;
    size_t cursor = 0, n = 0;

    while (mf_broker_next_instance(r->b, &cursor, &view)) {
        const struct mf_node *node = mf_node_find(r->b, view.node);
        n += view.current && node && node->labels.n && mf_str_is(node->labels.items[0].value, rack);
    }
    return n;
}

static size_t count_running(const struct mf_rehearsal *r)
{
    return r->b->count[MF_INSTANCE_STATE_RUNNING];
}

static void nothing_moves_before_a_step(void **state)
{
    struct stage s;
    struct mf_rehearsal r;

    open_stage(&s);
    copy(&r, &s);
    assert_int_equal(count_running(&r), 8);
    assert_int_equal(r.n_moves, 0);
    mf_rehearsal_settle(&r);
    assert_int_equal(r.n_moves, 0);
    mf_rehearsal_free(&r);
    stage_close(&s);
}

static void a_rack_is_lost(void **state)
{
    struct stage s;
    struct mf_rehearsal r;
    size_t there;

    open_stage(&s);
    copy(&r, &s);
    there = count_at(&r, "r1");
    assert_true(there > 0);
    assert_int_equal(mf_step_lose(&r, "rack=r1", error), 0);
    mf_broker_check(r.b);
    assert_int_equal(r.n_moves, there); /* 8 vcpus are left, and 8 are wanted: at-most after the lease */
    assert_int_equal(count_at(&r, "r0"), 8);
    for (size_t i = 0; i < r.n_moves; i++)
        assert_true(r.moves[i].from && strcmp(r.moves[i].from, r.moves[i].node));
    assert_int_equal(mf_step_lose(&r, "rack=r1", error), -EINVAL);
    assert_non_null(strstr(error, "failed already"));
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 8); /* nobody told the stage */
    mf_rehearsal_free(&r);
    stage_close(&s);
}

/* What was protected until a lease was over is not any more: it looks for a backup again, later. */
static void a_rack_is_lost_and_headroom_with_it(void **state)
{
    struct stage s;
    struct mf_rehearsal r;
    static const char *const racks[] = {"r0", "r1", "r2"};

    stage_open(&s);
    for (int node = 0; node < 3; node++) {
        struct mf_message hello = stage_hello_message(node);
        struct mf_label label = {mf_str("rack"), mf_str(racks[node])};
        hello.hello.labels = (struct mf_labels){&label, 1};
        stage_hello_as(&s, node, hello);
    }
    stage_client(
        &s, (struct mf_message){.kind = MF_MSG_HEADROOM,
                                .headroom = {.request_id = mf_str("headroom"), .level = mf_str("rack")}});
    stage_provision_at_most(&s, "db", 6);
    stage_answer_all(&s);
    copy(&r, &s);
    assert_int_equal(count_running(&r), 6);
    assert_int_equal(mf_step_lose(&r, "rack=r1", error), 0);
    assert_int_equal(count_running(&r), 6);
    assert_true(r.b->headroom_degraded);
    mf_rehearsal_free(&r);
    stage_close(&s);
}

static void what_has_no_room_waits(void **state)
{
    struct stage s;
    struct mf_rehearsal r;

    open_stage(&s);
    copy(&r, &s);
    assert_int_equal(mf_step_lose_nodes(&r, "node-1,node-2,node-3", error), 0);
    assert_int_equal(count_running(&r), 4);
    assert_int_equal(r.b->count[MF_INSTANCE_STATE_PENDING], 4);
    mf_rehearsal_step(&r);
    assert_int_equal(mf_step_add(&r, "2:node-0:rack=r9:zone=b", error), 0);
    assert_int_equal(r.b->count[MF_INSTANCE_STATE_PENDING], 0);
    assert_int_equal(count_at(&r, "r9"), 4);
    mf_broker_check(r.b);
    mf_rehearsal_free(&r);
    stage_close(&s);
}

static void nodes_are_drained(void **state)
{
    struct stage s;
    struct mf_rehearsal r;

    open_stage(&s);
    copy(&r, &s);
    assert_int_equal(mf_step_drain(&r, "node-1,node-3", error), 0);
    assert_int_equal(count_at(&r, "r1"), 0);
    assert_int_equal(count_running(&r), 8);
    for (size_t i = 0; i < r.n_moves; i++) /* and none went from one of them to the other */
        assert_true(!strcmp(r.moves[i].node, "node-0") || !strcmp(r.moves[i].node, "node-2"));
    mf_broker_check(r.b);
    mf_rehearsal_free(&r);
    stage_close(&s);
}

static void nodes_are_taken_away(void **state)
{
    struct stage s;
    struct mf_rehearsal r;

    open_stage(&s);
    copy(&r, &s);
    assert_int_equal(mf_step_remove(&r, "node-1,node-3", error), 0);
    assert_int_equal(r.b->nodes.n, 2);
    assert_int_equal(count_running(&r), 8);
    mf_rehearsal_step(&r);
    assert_int_equal(mf_step_remove(&r, "node-2", error), 0); /* more than there is room for */
    assert_int_equal(count_running(&r), 4);
    assert_int_equal(r.b->count[MF_INSTANCE_STATE_PENDING], 4);
    mf_broker_check(r.b);
    mf_rehearsal_free(&r);
    stage_close(&s);
}

static void a_ratio_makes_room(void **state)
{
    struct stage s;
    struct mf_rehearsal r;

    open_stage(&s);
    stage_provision(&s, "more", 20);
    stage_answer_all(&s);
    copy(&r, &s);
    assert_int_equal(count_running(&r), 16);
    assert_int_equal(mf_step_ratio(&r, "standard=200", error), 0);
    assert_int_equal(count_running(&r), 28);
    assert_int_equal(mf_step_ratio(&r, "standard=100", error), 0); /* nothing is ended for that */
    assert_int_equal(count_running(&r), 28);
    mf_broker_check(r.b);
    mf_rehearsal_free(&r);
    stage_close(&s);
}

/* 7 CPUs at 150 per cent are 10 vcpus: of those nobody could tell 7 by dividing alone. */
static void a_ratio_is_of_whole_cpus(void **state)
{
    struct stage s;
    struct mf_rehearsal r;
    struct mf_message hello = stage_hello_message(0);
    struct mf_rec_cell cells[2] = {{.vcpus = 6, .memory_mib = 500}, {.vcpus = 4, .memory_mib = 500}};

    stage_open(&s);
    hello.hello.capacity.vcpus = 10;
    hello.hello.cells.items = cells;
    hello.hello.cells.n = 2;
    hello.hello.cpu_ratio_percent = 150;
    stage_hello_as(&s, 0, hello);
    copy(&r, &s);
    assert_int_equal(mf_step_ratio(&r, "standard=100", error), 0);
    assert_int_equal(mf_node_find(r.b, mf_str("node-0"))->capacity.vcpus, 7);
    assert_int_equal(mf_node_find(r.b, mf_str("node-0"))->cells[1].vcpus, 3);
    assert_int_equal(mf_step_ratio(&r, "standard=400", error), 0);
    assert_int_equal(mf_node_find(r.b, mf_str("node-0"))->capacity.vcpus, 28);
    mf_rehearsal_free(&r);
    stage_close(&s);
}

static void refuses(int r, const char *why)
{
    assert_int_equal(r, -EINVAL);
    if (!strstr(error, why))
        fail_msg("\"%s\" does not hold \"%s\"", error, why);
}

/* The plan first, then the same in earnest. */
static void what_was_planned_comes_true(void **state)
{
    struct stage s;
    struct mf_rehearsal r;
    const struct mf_group *planned, *real;

    open_stage(&s);
    stage_provision(&s, "more", 6); /* 14 of 16 vcpus */
    stage_answer_all(&s);
    copy(&r, &s);
    assert_int_equal(mf_step_lose_nodes(&r, "node-1", error), 0);
    stage_monitor_hello(&s);
    stage_gone(&s, s.worker[1]);
    stage_verdict(&s, 1, MF_VERDICT_FAILED);
    stage_answer_all(&s);
    stage_pass(&s, 20000);
    stage_answer_all(&s);
    assert_int_equal(count_running(&r), stage_count_state(&s, MF_INSTANCE_STATE_RUNNING));
    assert_int_equal(r.b->count[MF_INSTANCE_STATE_PENDING], stage_count_state(&s, MF_INSTANCE_STATE_PENDING));
    for (size_t i = 0; i < s.b->groups.n; i++) {
        planned = r.b->groups.items[i];
        real = s.b->groups.items[i];
        assert_int_equal(planned->running, real->running);
        assert_int_equal(planned->pending, real->pending);
    }
    mf_rehearsal_free(&r);
    stage_close(&s);
}

static void bad_steps_are_refused(void **state)
{
    struct stage s;
    struct mf_rehearsal r;
    uint64_t seq;

    open_stage(&s);
    copy(&r, &s);
    seq = mf_broker_seq(r.b);
    refuses(mf_step_drain(&r, "node-9", error), "there is no node \"node-9\"");
    refuses(mf_step_drain(&r, "node-1,node-9", error), "there is no node \"node-9\"");
    refuses(mf_step_drain(&r, "node-1,node-1", error), "named twice");
    refuses(mf_step_drain(&r, "", error), "there is no node \"\"");
    refuses(mf_step_lose(&r, "rack", error), "LABEL=VALUE");
    refuses(mf_step_lose(&r, "rack=r7", error), "there are r0, r1");
    refuses(mf_step_lose(&r, "zone=a", error), "no node in the copy has a label zone");
    refuses(mf_step_ratio(&r, "standard", error), "CLASS=PERCENT");
    refuses(mf_step_ratio(&r, "standard=0", error), "CLASS=PERCENT");
    refuses(mf_step_ratio(&r, "standard=10001", error), "CLASS=PERCENT");
    refuses(mf_step_ratio(&r, "hpc=200", error), "no node in the copy is of class hpc");
    refuses(mf_step_add(&r, "node-1", error), "N:NODE");
    refuses(mf_step_add(&r, "0:node-1", error), "N:NODE");
    refuses(mf_step_add(&r, "2:node-9", error), "there is no node \"node-9\"");
    refuses(mf_step_add(&r, "2:node-1:rack", error), "KEY=VALUE");
    refuses(mf_step_add(&r, "2:node-1:Rack=r1", error), "KEY=VALUE");
    assert_int_equal(mf_broker_seq(r.b), seq);
    mf_rehearsal_free(&r);
    stage_close(&s);
}

/* ------------------------------------------------------------------ requests */

static struct mf_trace read_trace(struct mf_rehearsal *r, const char *text, char path[32])
{
    struct mf_trace trace;
    int fd;

    snprintf(path, 32, "/tmp/mf-plan-XXXXXX");
    fd = mkstemp(path);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    if (mf_trace_read(path, &r->arena, &trace, error))
        fail_msg("%s", error);
    unlink(path);
    return trace;
}

/* 8 vcpus are free. */
static void requests_wait_for_each_other(void **state)
{
    struct stage s;
    struct mf_rehearsal r;
    struct mf_trace t;
    char path[32];

    open_stage(&s);
    copy(&r, &s);
    t = read_trace(&r,
                   "offering,count,at_s,life_s,group\nsmall,6,0,100,\nsmall,5,10,50,\nsmall,2,20,200,extra\n"
                   "small,2,25,,extra\nsmall,9,30,5,\n",
                   path);
    assert_int_equal(mf_requests_run(&r, path, &t, error), 0);
    assert_int_equal(t.rows[0].at_once, 6);
    assert_int_equal(t.rows[1].placed, 5); /* two at once, three when the first six had ended */
    assert_int_equal(t.rows[1].at_once, 2);
    assert_in_range(t.rows[1].longest_ms, 89900, 90100);
    assert_int_equal(t.rows[2].placed, 2);
    assert_int_equal(t.rows[3].placed, 2);
    assert_int_equal(t.rows[4].placed + r.b->count[MF_INSTANCE_STATE_PENDING], 9);
    mf_broker_check(r.b);
    free(t.rows);
    mf_rehearsal_free(&r);
    stage_close(&s);
}

/* Rows without a group are nobody's but their own, also where two files have them on the same line. */
static void two_files_share_no_group(void **state)
{
    struct stage s;
    struct mf_rehearsal r;
    struct mf_trace stays, ends;
    char path[32];

    open_stage(&s);
    copy(&r, &s);
    stays = read_trace(&r, "offering,count,at_s,life_s\nsmall,3,0,\n", path);
    ends = read_trace(&r, "offering,count,at_s,life_s\nsmall,2,0,10\n", path);
    assert_int_equal(mf_requests_run(&r, path, &stays, error), 0);
    mf_rehearsal_step(&r);
    assert_int_equal(mf_requests_run(&r, path, &ends, error), 0);
    assert_int_equal(ends.rows[0].placed, 2);
    assert_int_equal(count_running(&r), 11);
    free(stays.rows);
    free(ends.rows);
    mf_rehearsal_free(&r);
    stage_close(&s);
}

static void requests_name_what_there_is(void **state)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"offering,count,at_s,life_s\nsmall,1,0,1\nhuge,1,0,1\n", ":3: there is no offering huge"},
    };
    struct stage s;
    struct mf_rehearsal r;
    struct mf_trace t;
    char path[32];
    uint64_t seq;

    open_stage(&s);
    copy(&r, &s);
    seq = mf_broker_seq(r.b);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        t = read_trace(&r, cases[i].text, path);
        refuses(mf_requests_run(&r, path, &t, error), cases[i].why);
        free(t.rows);
    }
    assert_int_equal(mf_broker_seq(r.b), seq);
    mf_rehearsal_free(&r);
    stage_close(&s);
}

static void the_same_question_has_the_same_answer(void **state)
{
    struct stage s;
    struct mf_rehearsal one, two;

    open_stage(&s);
    copy(&one, &s);
    copy(&two, &s);
    assert_int_equal(mf_step_lose(&one, "rack=r0", error), 0);
    assert_int_equal(mf_step_lose(&two, "rack=r0", error), 0);
    assert_int_equal(one.n_moves, two.n_moves);
    for (size_t i = 0; i < one.n_moves; i++) {
        assert_string_equal(one.moves[i].node, two.moves[i].node);
        assert_int_equal(one.moves[i].slot, two.moves[i].slot);
    }
    mf_rehearsal_free(&one);
    mf_rehearsal_free(&two);
    stage_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_moves_before_a_step),
        cmocka_unit_test(a_rack_is_lost),
        cmocka_unit_test(a_rack_is_lost_and_headroom_with_it),
        cmocka_unit_test(what_has_no_room_waits),
        cmocka_unit_test(nodes_are_drained),
        cmocka_unit_test(nodes_are_taken_away),
        cmocka_unit_test(a_ratio_makes_room),
        cmocka_unit_test(a_ratio_is_of_whole_cpus),
        cmocka_unit_test(what_was_planned_comes_true),
        cmocka_unit_test(bad_steps_are_refused),
        cmocka_unit_test(requests_wait_for_each_other),
        cmocka_unit_test(two_files_share_no_group),
        cmocka_unit_test(requests_name_what_there_is),
        cmocka_unit_test(the_same_question_has_the_same_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
