/* test_broker_wellbeing.c - between running and dead: guests that say that they are well, that do not in
 * time, that are well no more. */
#include "broker_stage.h"
#include "check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { BOOT = 30000 };

static void provision(struct stage *s, const char *group, uint64_t count, enum mf_policy policy)
{
    struct mf_message message = stage_provision_message(s, group, count);

    message.provision.policy = policy;
    message.provision.health.ready = MF_READINESS_PORT;
    message.provision.health.boot_ms = BOOT;
    stage_client(s, message);
}

static void open_on(struct stage *s, int nodes, enum mf_policy policy)
{
    stage_open(s);
    stage_monitor_hello(s);
    for (int i = 0; i < nodes; i++) {
        stage_hello(s, i, NULL, 0);
        if (policy == MF_POLICY_AT_MOST)
            stage_ask_lease(s, i);
    }
    provision(s, "web", 1, policy);
    stage_answer_all(s);
    stage_forget_sent(s);
}

static int node_of(const struct mf_instance *inst)
{
    return atoi(inst->node->name.ptr + strlen("node-"));
}

static void ready(struct stage *s, int node, struct mf_uuid id)
{
    stage_worker(s, node,
                 (struct mf_message){
                     .kind = MF_MSG_FACT_READY,
                     .fact_ready = {.report_id = ++s->next_report, .epoch = s->epoch[node], .id = id}});
}

static void unwell(struct stage *s, int node, struct mf_uuid id, enum mf_ailment how)
{
    stage_worker(s, node,
                 (struct mf_message){.kind = MF_MSG_FACT_UNWELL,
                                     .fact_unwell = {.report_id = ++s->next_report,
                                                     .epoch = s->epoch[node],
                                                     .id = id,
                                                     .how = how,
                                                     .text = mf_str("silent"),
                                                     .console = mf_str("Oops\n")}});
}

static void test_running_is_not_ready(void **state)
{
    struct stage s;
    struct mf_instance *inst;

    open_on(&s, 1, MF_POLICY_AT_LEAST);
    inst = stage_current(&s, "web", 0);
    assert_int_equal(inst->state, MF_INSTANCE_STATE_RUNNING);
    assert_false(mf_instance_well(inst));
    stage_pass(&s, BOOT - 1000);
    ready(&s, 0, inst->id);
    assert_true(mf_instance_well(inst));
    assert_non_null(stage_last(&s, s.worker[0], MF_MSG_REPORT_ACK));
    ready(&s, 0, inst->id); /* told again */
    assert_int_equal(stage_count_rows(&s, MF_EV_INSTANCE_READY), 1);
    stage_pass(&s, 2 * BOOT);
    assert_ptr_equal(stage_current(&s, "web", 0), inst);
    stage_reloads(&s);
    stage_close(&s);
}

static void test_not_in_time_is_a_failed_birth(void **state)
{
    struct stage s;
    struct mf_uuid first;

    open_on(&s, 2, MF_POLICY_AT_LEAST);
    first = stage_current(&s, "web", 0)->id;
    stage_pass(&s, BOOT + 1);
    assert_int_equal(stage_count_rows(&s, MF_EV_INSTANCE_UNWELL), 1);
    assert_int_equal(mf_instance_find(s.b, first)->state, MF_INSTANCE_STATE_DESTROYING);
    assert_non_null(stage_last(&s, 0, MF_MSG_ORDER_DESTROY));
    stage_pass(&s, 5000); /* its delay */
    assert_non_null(stage_current(&s, "web", 0));
    assert_int_equal(stage_current(&s, "web", 0)->born, MF_BIRTH_REASON_UNWELL);
    assert_true(s.b->groups.n && ((struct mf_group *)s.b->groups.items[0])->slots[0]->failures == 1);
    stage_reloads(&s);
    stage_close(&s);
}

/* Running says nothing in favour of an image whose guests are never ready: it is halted as one that fails at
 * birth. */
static void test_never_ready_is_the_images_blame(void **state)
{
    struct stage s;

    stage_open(&s);
    stage_monitor_hello(&s);
    for (int i = 0; i < 3; i++)
        stage_hello(&s, i, NULL, 0);
    provision(&s, "web", 3, MF_POLICY_AT_LEAST);
    for (int i = 0; i < 6 && !stage_count_rows(&s, MF_EV_IMAGE_HALTED); i++) {
        stage_answer_all(&s);
        stage_pass(&s, BOOT + 1000);
    }
    assert_int_equal(stage_count_rows(&s, MF_EV_IMAGE_HALTED), 1);
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_QUARANTINED), 0);
    stage_close(&s);
}

static void test_unwell_is_replaced_at_once(void **state)
{
    struct stage s;
    struct mf_uuid first;
    struct mf_instance *inst;

    open_on(&s, 2, MF_POLICY_AT_LEAST);
    inst = stage_current(&s, "web", 0);
    first = inst->id;
    ready(&s, node_of(inst), first);
    stage_pass(&s, 60000);
    unwell(&s, node_of(inst), first, MF_AILMENT_AGENT);
    assert_int_equal(mf_instance_find(s.b, first)->state, MF_INSTANCE_STATE_DESTROYING);
    inst = stage_current(&s, "web", 0);
    assert_int_equal(inst->state, MF_INSTANCE_STATE_PLACED);
    assert_int_equal(inst->generation, 2);
    assert_int_equal(inst->slot->failures, 0); /* a life long enough */
    unwell(&s, node_of(mf_instance_find(s.b, first)), first, MF_AILMENT_AGENT);
    assert_int_equal(stage_count_rows(&s, MF_EV_INSTANCE_UNWELL), 1);
    stage_reloads(&s);
    stage_close(&s);
}

static void test_at_most_is_gone_before_it_is_replaced(void **state)
{
    struct stage s;
    struct mf_instance *inst;
    struct mf_uuid first;
    int node;

    open_on(&s, 2, MF_POLICY_AT_MOST);
    inst = stage_current(&s, "web", 0);
    first = inst->id;
    node = node_of(inst);
    ready(&s, node, first);
    stage_pass(&s, 2000);
    unwell(&s, node, first, MF_AILMENT_HUNG);
    assert_int_equal(mf_instance_find(s.b, first)->state, MF_INSTANCE_STATE_DESTROYING);
    assert_true(!stage_current(&s, "web", 0) ||
                stage_current(&s, "web", 0)->state == MF_INSTANCE_STATE_PENDING);
    stage_answer(&s, node, stage_last(&s, 0, MF_MSG_ORDER_DESTROY), "ok");
    stage_pass(&s, 5000);
    assert_int_equal(stage_current(&s, "web", 0)->state, MF_INSTANCE_STATE_PLACED);
    stage_close(&s);
}

/* What the row says, the worker's own words included, is what a client reads. */
static void test_evidence_is_kept(void **state)
{
    struct stage s;
    struct mf_arena arena = {0};
    struct mf_decode_error error;
    struct mf_event event;
    const struct stage_row *row;
    struct mf_instance *inst;

    open_on(&s, 1, MF_POLICY_AT_LEAST);
    inst = stage_current(&s, "web", 0);
    unwell(&s, 0, inst->id, MF_AILMENT_HUNG);
    row = stage_row_of(&s, MF_EV_INSTANCE_UNWELL);
    assert_int_equal(mf_event_decode(row->row.kind, row->row.data, &arena, &event, &error), 0);
    assert_true(mf_str_is(event.instance_unwell.console, "Oops\n"));
    assert_int_equal(event.instance_unwell.how, MF_AILMENT_HUNG);
    mf_arena_free(&arena);
    stage_close(&s);
}

static void test_a_new_reign_waits_as_long(void **state)
{
    struct stage s;
    struct mf_rec_guest guest = {.state = MF_GUEST_STATE_RUNNING};

    open_on(&s, 1, MF_POLICY_AT_LEAST);
    guest.id = stage_current(&s, "web", 0)->id;
    stage_restart(&s, s.n_rows);
    stage_hello(&s, 0, &guest, 1);
    assert_false(mf_instance_well(stage_current(&s, "web", 0)));
    guest.ready = true; /* it said so while the broker was away */
    stage_hello(&s, 0, &guest, 1);
    assert_true(mf_instance_well(stage_current(&s, "web", 0)));
    stage_pass(&s, 2 * BOOT);
    assert_int_equal(stage_count_rows(&s, MF_EV_INSTANCE_UNWELL), 0);
    stage_close(&s);
}

/* What retires goes on until its successor is well. */
static void test_a_drain_waits_for_ready(void **state)
{
    struct stage s;
    struct mf_instance *old, *new;
    char name[16];

    open_on(&s, 2, MF_POLICY_AT_LEAST);
    old = stage_current(&s, "web", 0);
    ready(&s, node_of(old), old->id);
    mf_str_format(name, sizeof(name), "node-%d", node_of(old));
    stage_operator(&s, MF_MSG_NODE_DRAIN, name);
    new = stage_current(&s, "web", 0);
    assert_true(new != old);
    stage_answer(&s, node_of(new), stage_last(&s, 0, MF_MSG_ORDER_CREATE), "ok");
    assert_int_equal(old->state, MF_INSTANCE_STATE_RETIRING);
    ready(&s, node_of(new), new->id);
    assert_int_equal(old->state, MF_INSTANCE_STATE_DESTROYING);
    stage_close(&s);
}

static void call_off_a_drain(struct stage *s, struct mf_instance **ret_old, struct mf_instance **ret_new)
{
    char name[16];

    open_on(s, 2, MF_POLICY_AT_LEAST);
    *ret_old = stage_current(s, "web", 0);
    ready(s, node_of(*ret_old), (*ret_old)->id);
    mf_str_format(name, sizeof(name), "node-%d", node_of(*ret_old));
    stage_operator(s, MF_MSG_NODE_DRAIN, name);
    *ret_new = stage_current(s, "web", 0);
    stage_answer(s, node_of(*ret_new), stage_last(s, 0, MF_MSG_ORDER_CREATE), "ok");
    stage_operator(s, MF_MSG_NODE_UNCORDON, name);
}

/* The drain is called off while both run: the new one stays. */
static void test_a_drain_called_off_leaves_one(void **state)
{
    struct stage s;
    struct mf_instance *old, *new;

    call_off_a_drain(&s, &old, &new);
    assert_int_equal(old->state, MF_INSTANCE_STATE_RETIRING);
    ready(&s, node_of(new), new->id);
    assert_int_equal(old->state, MF_INSTANCE_STATE_DESTROYING);
    stage_reloads(&s);
    stage_close(&s);
}

/* ... and if it does not get well, the old one is current again: it runs. */
static void test_a_drain_called_off_keeps_what_is_well(void **state)
{
    struct stage s;
    struct mf_instance *old, *new;

    call_off_a_drain(&s, &old, &new);
    stage_pass(&s, BOOT + 1);
    assert_ptr_equal(stage_current(&s, "web", 0), old);
    assert_int_equal(old->state, MF_INSTANCE_STATE_RUNNING);
    stage_reloads(&s);
    stage_close(&s);
}

static void test_what_makes_no_sense_is_refused(void **state)
{
    struct mf_rec_check bad[] = {{.kind = MF_CHECK_KIND_TCP, .port = 80, .path = mf_str("/")},
                                 {.kind = MF_CHECK_KIND_HTTP, .port = 80, .path = mf_str("x")},
                                 {.kind = MF_CHECK_KIND_HTTP, .port = 80, .path = mf_str("/ HTTP/1.1\r\nX:")},
                                 {.kind = MF_CHECK_KIND_HTTP, .port = 80, .every_ms = 199},
                                 {.kind = MF_CHECK_KIND_TCP, .port = 80, .timeout_ms = 10001}};
    struct stage s;

    stage_open(&s);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct mf_message message = stage_provision_message(&s, "web", 1);
        message.provision.health.checks.items = &bad[i];
        message.provision.health.checks.n = 1;
        stage_client(&s, message);
        assert_true(mf_str_is(stage_last(&s, STAGE_CLIENT, MF_MSG_ERROR)->error.code, "invalid"));
        stage_forget_sent(&s);
    }
    struct mf_message message = stage_provision_message(&s, "web", 1);
    message.provision.health.boot_ms = 5;
    stage_client(&s, message);
    assert_non_null(stage_last(&s, STAGE_CLIENT, MF_MSG_ERROR));
    assert_int_equal(s.b->groups.n, 0);
    stage_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_running_is_not_ready),
        cmocka_unit_test(test_not_in_time_is_a_failed_birth),
        cmocka_unit_test(test_never_ready_is_the_images_blame),
        cmocka_unit_test(test_unwell_is_replaced_at_once),
        cmocka_unit_test(test_at_most_is_gone_before_it_is_replaced),
        cmocka_unit_test(test_evidence_is_kept),
        cmocka_unit_test(test_a_new_reign_waits_as_long),
        cmocka_unit_test(test_a_drain_waits_for_ready),
        cmocka_unit_test(test_a_drain_called_off_leaves_one),
        cmocka_unit_test(test_a_drain_called_off_keeps_what_is_well),
        cmocka_unit_test(test_what_makes_no_sense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
