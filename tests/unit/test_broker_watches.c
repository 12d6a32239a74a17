/* test_broker_watches.c - who is looked at from outside, and what comes of what monitors say of guests. */
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

static void provision_as(struct stage *s, const char *group, uint64_t count, enum mf_readiness ready,
                         uint32_t checks)
{
    struct mf_message message = stage_provision_message(s, group, count);
    struct mf_rec_check check = {.kind = MF_CHECK_KIND_HTTP, .port = 8080, .path = mf_str("/healthz")};

    message.provision.health.ready = ready;
    message.provision.health.checks.items = &check;
    message.provision.health.checks.n = checks;
    stage_client(s, message);
    stage_answer_all(s);
}

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

static int node_of(const struct mf_instance *inst)
{
    return atoi(inst->node->name.ptr + strlen("node-"));
}

static void address_from(struct stage *s, int node, struct mf_uuid id, const char *address)
{
    stage_worker(s, node,
                 (struct mf_message){
                     .kind = MF_MSG_GUEST_ADDRESS,
                     .guest_address = {.epoch = s->epoch[node], .id = id, .address = mf_str(address)}});
}

static void address(struct stage *s, const struct mf_instance *inst, const char *text)
{
    address_from(s, node_of(inst), inst->id, text);
}

static void ready(struct stage *s, const struct mf_instance *inst)
{
    int node = node_of(inst);

    stage_worker(s, node,
                 (struct mf_message){
                     .kind = MF_MSG_FACT_READY,
                     .fact_ready = {.report_id = ++s->next_report, .epoch = s->epoch[node], .id = inst->id}});
}

/* Nodes, monitors, and a group of guests that are looked at. */
static void open_with(struct stage *s, int nodes, int monitors, uint64_t guests)
{
    stage_open(s);
    for (int i = 0; i < monitors; i++)
        hello(s, i);
    for (int i = 0; i < nodes; i++)
        stage_hello(s, i, NULL, 0);
    provision_as(s, "web", guests, MF_READINESS_NONE, 1);
    for (uint32_t i = 0; i < guests; i++)
        address(s, stage_current(s, "web", i), "10.0.0.5");
}

struct seen { /* by a monitor, of all guests that it saw before */
    uint64_t passing, known;
};

static void word(struct stage *s, int monitor, struct mf_uuid id, bool failed, struct seen seen)
{
    stage_monitor_as(s, monitor,
                     (struct mf_message){.kind = MF_MSG_MONITOR_CHECKED,
                                         .monitor_checked = {.id = id,
                                                             .failed = failed,
                                                             .text = mf_str(failed ? "answered 503" : ""),
                                                             .passing = seen.passing,
                                                             .known = seen.known}});
}

static void fails(struct stage *s, int monitor, struct mf_uuid id)
{
    word(s, monitor, id, true, (struct seen){9, 10});
}

static struct mf_uuid id_of(const struct stage *s, uint32_t slot)
{
    return stage_current(s, "web", slot)->id;
}

/* The newest word to monitor 0 of a guest: is it looked at? -1: nothing was said. */
static int watched(const struct stage *s, struct mf_uuid id)
{
    for (size_t i = s->n_sent; i-- > 0;)
        if (s->sent[i].peer == STAGE_MONITOR && s->sent[i].message.kind == MF_MSG_MONITOR_GUEST &&
            mf_uuid_eq(s->sent[i].message.monitor_guest.id, id))
            return s->sent[i].message.monitor_guest.address.len > 0;
    return -1;
}

static void read_row(const struct stage *s, enum mf_kind kind, struct mf_arena *arena, struct mf_event *event)
{
    struct mf_decode_error error;
    const struct stage_row *row = stage_row_of(s, kind);

    assert_non_null(row);
    assert_int_equal(mf_event_decode(kind, row->row.data, arena, event, &error), 0);
}

static void test_who_is_looked_at(void **state)
{
    struct stage s;
    struct mf_instance *inst;
    const struct mf_msg_monitor_guest *told;

    stage_open(&s);
    hello(&s, 0);
    stage_hello(&s, 0, NULL, 0);
    provision_as(&s, "web", 1, MF_READINESS_PORT, 1);
    inst = stage_current(&s, "web", 0);
    address(&s, inst, "10.0.0.5");
    assert_int_equal(watched(&s, inst->id), -1); /* it is not ready */
    ready(&s, inst);
    assert_int_equal(watched(&s, inst->id), 1);
    told = &stage_last(&s, STAGE_MONITOR, MF_MSG_MONITOR_GUEST)->monitor_guest;
    assert_true(mf_str_is(told->address, "10.0.0.5"));
    assert_int_equal(told->checks.n, 1);
    assert_int_equal(told->checks.items[0].port, 8080);
    assert_true(mf_str_is(told->checks.items[0].path, "/healthz"));

    stage_forget_sent(&s);
    address(&s, inst, "10.0.0.5"); /* the same again */
    assert_int_equal(watched(&s, inst->id), -1);
    address(&s, inst, "fd00::5");
    told = &stage_last(&s, STAGE_MONITOR, MF_MSG_MONITOR_GUEST)->monitor_guest;
    assert_true(mf_str_is(told->address, "fd00::5"));
    address(&s, inst, "");
    assert_int_equal(watched(&s, inst->id), 0);
    address(&s, inst, "10.0.0.5");
    assert_int_equal(watched(&s, inst->id), 1);
    address(&s, inst, "10.0.0.5:80"); /* no address, as far as we are concerned */
    assert_int_equal(watched(&s, inst->id), 0);
    stage_close(&s);
}

static void test_who_is_not(void **state)
{
    struct stage s;
    struct mf_instance *inst;

    stage_open(&s);
    hello(&s, 0);
    stage_hello(&s, 0, NULL, 0);
    stage_hello(&s, 1, NULL, 0);
    provision_as(&s, "plain", 1, MF_READINESS_NONE, 0); /* no checks */
    inst = stage_current(&s, "plain", 0);
    address(&s, inst, "10.0.0.5");
    assert_int_equal(watched(&s, inst->id), -1);
    provision_as(&s, "web", 1, MF_READINESS_NONE, 1);
    inst = stage_current(&s, "web", 0);
    address_from(&s, !node_of(inst), inst->id, "10.0.0.6"); /* another node's word */
    assert_int_equal(watched(&s, inst->id), -1);
    address(&s, inst, "10.0.0.5");
    address_from(&s, !node_of(inst), inst->id, "");
    assert_int_equal(watched(&s, inst->id), 1);
    address_from(&s, 0, (struct mf_uuid){{9}}, "10.0.0.6"); /* of nobody */
    stage_reloads(&s);
    stage_close(&s);
}

static void test_what_ends_is_looked_at_no_more(void **state)
{
    struct stage s;
    struct mf_uuid died, destroyed;

    open_with(&s, 2, 1, 3);
    died = id_of(&s, 0);
    destroyed = id_of(&s, 1);
    assert_int_equal(watched(&s, died), 1);
    stage_death(&s, node_of(stage_current(&s, "web", 0)), died);
    assert_int_equal(watched(&s, died), 0);
    stage_destroy(&s, "web/1");
    assert_int_equal(watched(&s, destroyed), 0);
    assert_int_equal(watched(&s, id_of(&s, 2)), 1);
    stage_destroy(&s, "web");
    stage_answer_all(&s);
    assert_int_equal(s.b->watches.n_told, 0);
    assert_null(s.b->watches.first);
    stage_close(&s);
}

static void test_a_new_monitor_is_told_of_all(void **state)
{
    struct stage s;

    open_with(&s, 2, 1, 3);
    stage_forget_sent(&s);
    hello(&s, 1);
    assert_int_equal(stage_count_sent(&s, MF_MSG_MONITOR_GUEST), 3);
    assert_non_null(stage_last(&s, stage_monitor_handle(1), MF_MSG_MONITOR_GUEST));
    stage_close(&s);
}

static void test_an_address_is_of_its_epoch(void **state)
{
    struct stage s;
    struct mf_instance *inst;
    struct mf_rec_guest guest = {.state = MF_GUEST_STATE_RUNNING};

    open_with(&s, 1, 1, 1);
    inst = stage_current(&s, "web", 0);
    stage_client(&s, (struct mf_message){.kind = MF_MSG_LIST_INSTANCES,
                                         .list_instances = {.request_id = mf_str("l")}});
    const struct mf_msg_instances *list = &stage_last(&s, STAGE_CLIENT, MF_MSG_INSTANCES)->instances;
    assert_true(mf_str_is(list->rows.items[0].address, "10.0.0.5"));
    guest.id = inst->id;
    stage_hello(&s, 0, &guest, 1); /* its agent began anew */
    assert_int_equal(watched(&s, inst->id), 0);
    stage_client(&s, (struct mf_message){.kind = MF_MSG_LIST_INSTANCES,
                                         .list_instances = {.request_id = mf_str("l")}});
    list = &stage_last(&s, STAGE_CLIENT, MF_MSG_INSTANCES)->instances;
    assert_int_equal(list->rows.items[0].address.len, 0);
    address(&s, inst, "10.0.0.5");
    assert_int_equal(watched(&s, inst->id), 1);
    stage_close(&s);
}

static void test_a_monitor_s_word_ends_a_guest(void **state)
{
    struct mf_arena arena = {0};
    struct mf_event event;
    struct stage s;
    struct mf_uuid id;

    open_with(&s, 2, 1, 2);
    id = id_of(&s, 1);
    fails(&s, 0, id);
    read_row(&s, MF_EV_INSTANCE_UNWELL, &arena, &event);
    assert_true(mf_uuid_eq(event.instance_unwell.id, id));
    assert_int_equal(event.instance_unwell.how, MF_AILMENT_CHECK);
    assert_true(mf_str_is(event.instance_unwell.text, "answered 503"));
    assert_int_equal(watched(&s, id), 0);
    assert_non_null(stage_last(&s, 0, MF_MSG_ORDER_DESTROY));
    assert_false(mf_uuid_eq(id_of(&s, 1), id));
    stage_answer_all(&s);
    assert_int_equal(stage_current(&s, "web", 1)->state, MF_INSTANCE_STATE_RUNNING);
    fails(&s, 0, id); /* said of what is gone: it is told so again */
    assert_int_equal(stage_count_rows(&s, MF_EV_INSTANCE_UNWELL), 1);
    assert_int_equal(watched(&s, id), 0);
    stage_reloads(&s);
    mf_arena_free(&arena);
    stage_close(&s);
}

static void test_of_three_monitors_two(void **state)
{
    struct stage s;
    struct mf_uuid id;

    open_with(&s, 2, 3, 2);
    id = id_of(&s, 0);
    for (int i = 0; i < 5; i++)
        fails(&s, 0, id);
    assert_int_equal(stage_count_rows(&s, MF_EV_INSTANCE_UNWELL), 0);
    word(&s, 0, id, false, (struct seen){10, 10}); /* taken back */
    fails(&s, 1, id);
    assert_int_equal(stage_count_rows(&s, MF_EV_INSTANCE_UNWELL), 0);
    fails(&s, 2, id);
    assert_int_equal(stage_count_rows(&s, MF_EV_INSTANCE_UNWELL), 1);
    stage_close(&s);
}

static void test_who_is_lost_or_in_doubt_has_no_word(void **state)
{
    struct stage s;
    struct mf_uuid id;

    open_with(&s, 2, 3, 2);
    id = id_of(&s, 0);
    fails(&s, 0, id);
    alive(&s, 0, true); /* it doubts itself */
    fails(&s, 0, id);
    fails(&s, 1, id);
    assert_int_equal(stage_count_rows(&s, MF_EV_INSTANCE_UNWELL), 0);
    alive(&s, 0, false);
    for (int i = 0; i < 6; i++) { /* the second is lost, and its word with it */
        stage_pass(&s, 500);
        alive(&s, 0, false);
        alive(&s, 2, false);
    }
    fails(&s, 2, id);
    assert_int_equal(stage_count_rows(&s, MF_EV_INSTANCE_UNWELL), 0);
    fails(&s, 0, id);
    assert_int_equal(stage_count_rows(&s, MF_EV_INSTANCE_UNWELL), 1);
    stage_close(&s);
}

static void test_a_blind_monitor_is_not_believed(void **state)
{
    struct mf_arena arena = {0};
    struct mf_event event;
    struct stage s;
    struct mf_uuid id;

    open_with(&s, 2, 1, 2);
    id = id_of(&s, 0);
    for (int i = 0; i < 3; i++)
        word(&s, 0, id, true, (struct seen){4, 10});
    word(&s, 0, id_of(&s, 1), true, (struct seen){4, 10});
    assert_int_equal(stage_count_rows(&s, MF_EV_INSTANCE_UNWELL), 0);
    assert_int_equal(stage_count_rows(&s, MF_EV_CHECKS_HELD), 1); /* said once */
    read_row(&s, MF_EV_CHECKS_HELD, &arena, &event);
    assert_int_equal(event.checks_held.passing, 4);
    assert_int_equal(event.checks_held.known, 10);
    word(&s, 0, id, false, (struct seen){6, 10});
    assert_int_equal(stage_count_rows(&s, MF_EV_CHECKS_RELEASED), 0); /* one is held still */
    word(&s, 0, id_of(&s, 1), false, (struct seen){10, 10});
    assert_int_equal(stage_count_rows(&s, MF_EV_CHECKS_RELEASED), 1);
    assert_int_equal(stage_row_of(&s, MF_EV_CHECKS_RELEASED)->row.cause,
                     stage_row_of(&s, MF_EV_CHECKS_HELD)->row.seq);

    word(&s, 0, id, true, (struct seen){4, 10});
    word(&s, 0, id, true, (struct seen){5, 10}); /* it sees half of them again, and still not this one */
    assert_int_equal(stage_count_rows(&s, MF_EV_CHECKS_RELEASED), 2);
    assert_int_equal(stage_count_rows(&s, MF_EV_INSTANCE_UNWELL), 1);
    mf_arena_free(&arena);
    stage_close(&s);
}

static void test_one_of_one_is_no_blindness(void **state)
{
    struct stage s;

    open_with(&s, 2, 1, 1);
    word(&s, 0, id_of(&s, 0), true, (struct seen){0, 1});
    assert_int_equal(stage_count_rows(&s, MF_EV_INSTANCE_UNWELL), 1);
    stage_close(&s);
}

static void test_what_is_held_ends_with_its_monitor(void **state)
{
    struct stage s;

    open_with(&s, 2, 1, 1);
    word(&s, 0, id_of(&s, 0), true, (struct seen){0, 10});
    assert_int_equal(s.b->watches.n_held, 1);
    stage_pass(&s, 3000); /* it is lost */
    assert_int_equal(s.b->watches.n_held, 0);
    assert_int_equal(stage_count_rows(&s, MF_EV_CHECKS_RELEASED), 1);
    stage_close(&s);
}

static void test_nothing_while_frozen(void **state)
{
    struct stage s;
    struct mf_uuid id;

    open_with(&s, 2, 1, 2);
    id = id_of(&s, 0);
    stage_client(&s, (struct mf_message){.kind = MF_MSG_FREEZE, .freeze = {.request_id = mf_str("f")}});
    fails(&s, 0, id);
    assert_int_equal(stage_count_rows(&s, MF_EV_INSTANCE_UNWELL), 0);
    stage_client(&s, (struct mf_message){.kind = MF_MSG_THAW, .thaw = {.request_id = mf_str("t")}});
    fails(&s, 0, id); /* said again */
    assert_int_equal(stage_count_rows(&s, MF_EV_INSTANCE_UNWELL), 1);
    stage_close(&s);
}

static void test_a_node_in_doubt_comes_first(void **state)
{
    struct stage s;
    struct mf_instance *inst;
    int node;

    open_with(&s, 2, 3, 2);
    inst = stage_current(&s, "web", 0);
    node = node_of(inst);
    stage_vote(&s, 0, node, MF_VERDICT_SUSPECT, MF_EVIDENCE_SILENCE);
    fails(&s, 1, inst->id);
    fails(&s, 2, inst->id);
    assert_int_equal(stage_count_rows(&s, MF_EV_INSTANCE_UNWELL), 0);
    stage_vote(&s, 0, node, MF_VERDICT_RECOVERED, MF_EVIDENCE_PULSE);
    fails(&s, 2, inst->id);
    assert_int_equal(stage_count_rows(&s, MF_EV_INSTANCE_UNWELL), 1);
    stage_close(&s);
}

static void test_a_node_that_is_away_comes_first(void **state)
{
    struct stage s;
    struct mf_instance *inst;

    open_with(&s, 2, 1, 2);
    inst = stage_current(&s, "web", 0);
    stage_gone(&s, s.worker[node_of(inst)]);
    fails(&s, 0, inst->id);
    assert_int_equal(stage_count_rows(&s, MF_EV_INSTANCE_UNWELL), 0);
    stage_close(&s);
}

static void test_a_new_reign_listens_first(void **state)
{
    struct stage s;
    struct mf_rec_guest guest = {.state = MF_GUEST_STATE_RUNNING};

    open_with(&s, 1, 1, 1);
    stage_restart(&s, s.n_rows);
    guest.id = id_of(&s, 0);
    stage_hello(&s, 0, &guest, 1);
    hello(&s, 0);
    address(&s, stage_current(&s, "web", 0), "10.0.0.5");
    assert_int_equal(watched(&s, guest.id), 1);
    fails(&s, 0, guest.id);
    assert_int_equal(stage_count_rows(&s, MF_EV_INSTANCE_UNWELL), 0);
    for (int i = 0; i < 6; i++) {
        stage_pass(&s, 500);
        alive(&s, 0, false);
    }
    fails(&s, 0, guest.id);
    assert_int_equal(stage_count_rows(&s, MF_EV_INSTANCE_UNWELL), 1);
    stage_close(&s);
}

static void test_who_never_passed_may_be_booting(void **state)
{
    struct stage s;
    struct mf_message never;
    struct mf_uuid id;

    open_with(&s, 1, 1, 1);
    id = id_of(&s, 0);
    never = (struct mf_message){
        .kind = MF_MSG_MONITOR_CHECKED,
        .monitor_checked = {.id = id, .failed = true, .never_passed = true, .text = mf_str("refused")}};
    stage_monitor_as(&s, 0, never);
    for (int i = 0; i < 598; i++) {
        stage_pass(&s, 500);
        alive(&s, 0, false);
    }
    stage_monitor_as(&s, 0, never);
    assert_int_equal(stage_count_rows(&s, MF_EV_INSTANCE_UNWELL), 0);
    stage_pass(&s, 1100);
    stage_monitor_as(&s, 0, never);
    assert_int_equal(stage_count_rows(&s, MF_EV_INSTANCE_UNWELL), 1);
    stage_close(&s);
}

/* With the breaker on, 30 % of the ten in 10 s. */
static void test_no_more_than_a_share_in_a_window(void **state)
{
    struct stage s;
    struct mf_uuid ids[10];

    open_with(&s, 5, 1, 10);
    stage_breaker(&s, 4);
    for (uint32_t i = 0; i < 10; i++)
        ids[i] = id_of(&s, i);
    for (int i = 0; i < 10; i++)
        fails(&s, 0, ids[i]);
    size_t at_once = stage_count_rows(&s, MF_EV_INSTANCE_UNWELL);
    assert_in_range(at_once, 1, 3);
    for (int t = 0; t < 20; t++) { /* ten seconds */
        stage_pass(&s, 500);
        alive(&s, 0, false);
        for (int i = 0; i < 10; i++)
            fails(&s, 0, ids[i]);
    }
    assert_in_range(stage_count_rows(&s, MF_EV_INSTANCE_UNWELL) - at_once, 1, 3);
    for (int t = 0; t < 200; t++) {
        stage_pass(&s, 500);
        alive(&s, 0, false);
        for (int i = 0; i < 10; i++)
            fails(&s, 0, ids[i]);
    }
    assert_int_equal(stage_count_rows(&s, MF_EV_INSTANCE_UNWELL), 10); /* each has its turn */
    stage_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_is_looked_at),
        cmocka_unit_test(test_who_is_not),
        cmocka_unit_test(test_what_ends_is_looked_at_no_more),
        cmocka_unit_test(test_a_new_monitor_is_told_of_all),
        cmocka_unit_test(test_an_address_is_of_its_epoch),
        cmocka_unit_test(test_a_monitor_s_word_ends_a_guest),
        cmocka_unit_test(test_of_three_monitors_two),
        cmocka_unit_test(test_who_is_lost_or_in_doubt_has_no_word),
        cmocka_unit_test(test_a_blind_monitor_is_not_believed),
        cmocka_unit_test(test_one_of_one_is_no_blindness),
        cmocka_unit_test(test_what_is_held_ends_with_its_monitor),
        cmocka_unit_test(test_nothing_while_frozen),
        cmocka_unit_test(test_a_node_in_doubt_comes_first),
        cmocka_unit_test(test_a_node_that_is_away_comes_first),
        cmocka_unit_test(test_a_new_reign_listens_first),
        cmocka_unit_test(test_who_never_passed_may_be_booting),
        cmocka_unit_test(test_no_more_than_a_share_in_a_window),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
