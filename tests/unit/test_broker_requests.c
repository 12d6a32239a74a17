/* test_broker_requests.c - what clients ask for: once, alike, and with a clear answer. */
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

static const struct mf_message *error_is(struct stage *s, const char *code)
{
    const struct mf_message *m = stage_last(s, STAGE_CLIENT, MF_MSG_ERROR);

    assert_non_null(m);
    assert_true(mf_str_is(m->error.code, code));
    return m;
}

static void test_provision_to_running_and_gone(void **state)
{
    struct stage s;

    stage_open(&s);
    stage_hello(&s, 0, NULL, 0);
    stage_hello(&s, 1, NULL, 0);
    s.now += 10;
    stage_provision(&s, "web", 3);
    assert_non_null(stage_last(&s, STAGE_CLIENT, MF_MSG_ACCEPTED));
    assert_int_equal(stage_count_sent(&s, MF_MSG_ORDER_CREATE), 3);
    s.now += 300;
    stage_answer_all(&s);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 3);
    s.now += 1000;
    stage_destroy(&s, "web");
    assert_int_equal(stage_count_sent(&s, MF_MSG_ORDER_DESTROY), 3);
    s.now += 200;
    stage_answer_all(&s);
    assert_int_equal(stage_count_rows(&s, MF_EV_GROUP_GONE), 1);
    assert_null(mf_group_active(s.b, mf_str("web")));
    stage_golden(&s, "provision");
    stage_close(&s);
}

static void test_done_once_also_across_a_restart(void **state)
{
    struct stage s;

    stage_open(&s);
    struct mf_message m = stage_provision_message(&s, "web", 2);
    stage_client(&s, m);
    uint64_t seq = stage_last(&s, STAGE_CLIENT, MF_MSG_ACCEPTED)->accepted.seq;
    size_t rows = s.n_rows;
    stage_forget_sent(&s);
    stage_client(&s, m);
    assert_int_equal(stage_last(&s, STAGE_CLIENT, MF_MSG_ACCEPTED)->accepted.seq, seq);
    assert_int_equal(s.n_rows, rows);
    stage_restart(&s, s.n_rows);
    rows = s.n_rows;
    stage_forget_sent(&s);
    stage_client(&s, m);
    assert_int_equal(stage_last(&s, STAGE_CLIENT, MF_MSG_ACCEPTED)->accepted.seq, seq);
    assert_int_equal(s.n_rows, rows);
    m.provision.count = 3;
    stage_client(&s, m);
    error_is(&s, "reused");
    assert_int_equal(s.n_rows, rows);
    /* another key's id is another id */
    stage_say(&s, 9, MF_ROLE_CLIENT, "bob", m);
    assert_true(mf_str_is(stage_last(&s, 9, MF_MSG_ERROR)->error.code, "exists"));
    stage_close(&s);
}

static void test_refusals(void **state)
{
    struct stage s;
    struct mf_message m;

    stage_open(&s);
    m = stage_provision_message(&s, "web", 2);
    m.provision.image = mf_str("nope");
    stage_client(&s, m);
    error_is(&s, "unknown");
    size_t rows = s.n_rows;
    stage_client(&s, m); /* refused alike, from memory */
    assert_int_equal(s.n_rows, rows);
    error_is(&s, "unknown");
    m = stage_provision_message(&s, "web", 2);
    m.provision.offering = mf_str("nope");
    stage_client(&s, m);
    error_is(&s, "unknown");
    m = stage_provision_message(&s, "web", 2);
    m.provision.min = 3;
    stage_client(&s, m);
    error_is(&s, "invalid");
    stage_scale(&s, "web", 2);
    error_is(&s, "unknown");
    stage_destroy(&s, "web");
    error_is(&s, "unknown");
    stage_destroy(&s, "web/3");
    error_is(&s, "unknown");
    stage_destroy(&s, "00000000-0000-7000-8000-000000000000");
    error_is(&s, "unknown");
    assert_int_equal(stage_count_rows(&s, MF_EV_GROUP_CREATED), 0);
    stage_golden(&s, "refusals");
    stage_close(&s);
}

static void test_existing_group(void **state)
{
    struct stage s;
    struct mf_message m;

    stage_open(&s);
    stage_provision(&s, "web", 2);
    struct mf_uuid id = stage_last(&s, STAGE_CLIENT, MF_MSG_ACCEPTED)->accepted.group_id;
    stage_provision(&s, "web", 2);
    assert_true(mf_uuid_eq(stage_last(&s, STAGE_CLIENT, MF_MSG_ACCEPTED)->accepted.group_id, id));
    stage_provision(&s, "web", 3);
    assert_non_null(strstr(error_is(&s, "exists")->error.text.ptr, "count"));
    m = stage_provision_message(&s, "web", 2);
    m.provision.spread = MF_SPREAD_HOST;
    stage_client(&s, m);
    assert_non_null(strstr(error_is(&s, "exists")->error.text.ptr, "spread"));
    m = stage_provision_message(&s, "web", 3);
    m.provision.apply = true;
    stage_forget_sent(&s);
    stage_client(&s, m);
    assert_int_equal(stage_last(&s, STAGE_CLIENT, MF_MSG_ACCEPTED)->accepted.count, 3);
    assert_int_equal(stage_count_rows(&s, MF_EV_GROUP_SCALED), 1);
    m = stage_provision_message(&s, "web", 4);
    m.provision.apply = true;
    m.provision.fit = MF_FIT_BEST;
    stage_client(&s, m);
    error_is(&s, "exists");
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_PENDING), 3);
    stage_close(&s);
}

static void test_images_and_offerings(void **state)
{
    struct stage s;
    struct mf_message m = {
        .kind = MF_MSG_OFFERING_ADD,
        .offering_add = {
            .request_id = mf_str("o2"),
            .offering = {.name = mf_str("small"), .vcpus = 1, .memory_mib = 100, .disk_mib = 1000}}};

    stage_open(&s);
    stage_client(&s, m); /* the same content, another id */
    assert_true(mf_str_is(stage_last(&s, STAGE_CLIENT, MF_MSG_ACCEPTED)->accepted.request_id, "o2"));
    m.offering_add.request_id = mf_str("o3");
    m.offering_add.offering.vcpus = 2;
    stage_client(&s, m);
    error_is(&s, "exists");
    assert_int_equal(stage_count_rows(&s, MF_EV_OFFERING_ADDED), 1);
    stage_client(&s, (struct mf_message){.kind = MF_MSG_LIST_OFFERINGS,
                                         .list_offerings = {.request_id = mf_str("l")}});
    assert_int_equal(stage_last(&s, STAGE_CLIENT, MF_MSG_OFFERINGS)->offerings.rows.n, 1);
    stage_close(&s);
}

static void test_pending_then_room(void **state)
{
    struct stage s;

    stage_open(&s);
    stage_provision(&s, "web", 2);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_PENDING), 2);
    assert_int_equal(stage_count_rows(&s, MF_EV_INSTANCE_PENDING), 2);
    s.now += 500;
    stage_provision(&s, "db", 4);
    stage_hello(&s, 0, NULL, 0); /* 4 cpus: the 2 that waited longest and 2 more */
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_PLACED), 4);
    assert_non_null(stage_current(&s, "web", 1)->node);
    assert_int_equal(stage_count_rows(&s, MF_EV_INSTANCE_PENDING), 6); /* once in each wait */
    stage_client(&s,
                 (struct mf_message){.kind = MF_MSG_LIST_INSTANCES,
                                     .list_instances = {.request_id = mf_str("l"), .group = mf_str("db")}});
    const struct mf_message *list = stage_last(&s, STAGE_CLIENT, MF_MSG_INSTANCES);
    assert_int_equal(list->instances.rows.n, 4);
    assert_true(mf_str_is(list->instances.rows.items[3].reason, "0 of 1 nodes: 1 vcpus"));
    stage_answer_all(&s);
    stage_destroy(&s, "web"); /* makes room for the rest */
    stage_answer_all(&s);
    stage_answer_all(&s);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 4);
    stage_golden(&s, "pending");
    stage_close(&s);
}

static void test_scale(void **state)
{
    struct stage s;

    stage_open(&s);
    for (int i = 0; i < 2; i++)
        stage_hello(&s, i, NULL, 0);
    stage_provision(&s, "web", 2);
    stage_answer_all(&s);
    stage_scale(&s, "web", 4);
    stage_answer_all(&s);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 4);
    stage_scale(&s, "web", 1);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_DESTROYING), 3);
    assert_int_equal(stage_current(&s, "web", 0)->generation, 1);
    stage_scale(&s, "web", 2); /* up again before the old one is gone: generations go on */
    assert_int_equal(stage_current(&s, "web", 1)->generation, 2);
    stage_answer_all(&s);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 2);
    stage_scale(&s, "web", 0);
    stage_answer_all(&s);
    assert_non_null(mf_group_active(s.b, mf_str("web"))); /* of no size, but there */
    stage_destroy(&s, "web");
    assert_null(mf_group_active(s.b, mf_str("web")));
    assert_int_equal(stage_count_rows(&s, MF_EV_GROUP_GONE), 1);
    stage_golden(&s, "scale");
    stage_close(&s);
}

static void test_destroy_one_is_reborn(void **state)
{
    struct stage s;
    char uuid[MF_UUID_TEXT];

    stage_open(&s);
    stage_hello(&s, 0, NULL, 0);
    stage_provision(&s, "web", 2);
    stage_answer_all(&s);
    stage_client(&s,
                 (struct mf_message){
                     .kind = MF_MSG_DESTROY,
                     .destroy = {.request_id = mf_str("g"), .target = mf_str("web/1"), .grace_ms = 3000}});
    assert_int_equal(stage_last(&s, 0, MF_MSG_ORDER_DESTROY)->order_destroy.grace_ms, 3000);
    assert_int_equal(stage_current(&s, "web", 1)->generation, 2);
    stage_answer_all(&s);
    stage_destroy(&s, mf_uuid_text(stage_current(&s, "web", 0)->id, uuid));
    assert_int_equal(stage_current(&s, "web", 0)->generation, 2);
    stage_answer_all(&s);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 2);
    stage_golden(&s, "destroy-one");
    stage_close(&s);
}

static void test_name_is_free_while_the_old_group_ends(void **state)
{
    struct stage s;

    stage_open(&s);
    stage_hello(&s, 0, NULL, 0);
    stage_provision(&s, "web", 1);
    struct mf_uuid old = stage_last(&s, STAGE_CLIENT, MF_MSG_ACCEPTED)->accepted.group_id;
    stage_answer_all(&s);
    stage_destroy(&s, "web");
    stage_provision(&s, "web", 2);
    assert_false(mf_uuid_eq(stage_last(&s, STAGE_CLIENT, MF_MSG_ACCEPTED)->accepted.group_id, old));
    assert_int_equal(stage_current(&s, "web", 0)->generation, 1);
    stage_answer_all(&s);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 2);
    stage_close(&s);
}

static void test_store_full(void **state)
{
    struct stage s;

    stage_open(&s);
    stage_feed(&s, (struct mf_broker_event){.kind = MF_BROKER_STORE_FULL, .full = true});
    size_t rows = s.n_rows;
    s.hold = true; /* nothing commits: the refusal must leave all the same */
    struct mf_message m = stage_provision_message(&s, "web", 1);
    stage_client(&s, m);
    assert_true(error_is(&s, "store-full")->error.retry);
    assert_int_equal(s.n_rows, rows);
    s.hold = false;
    stage_feed(&s, (struct mf_broker_event){.kind = MF_BROKER_STORE_FULL, .full = false});
    stage_client(&s, m); /* the same id: it was not remembered */
    assert_true(mf_str_is(stage_last(&s, STAGE_CLIENT, MF_MSG_ACCEPTED)->accepted.request_id,
                          m.provision.request_id.ptr));
    stage_close(&s);
}

static void test_requests_are_forgotten_when_done(void **state)
{
    struct stage s;

    stage_open(&s);
    stage_provision(&s, "web", 1); /* no node: its work is not done */
    assert_int_equal(s.b->n_requests, 3);
    s.now += 25LL * 3600 * 1000;
    stage_scale(&s, "nope", 1);
    assert_int_equal(s.b->n_requests, 2); /* the two adds are forgotten */
    stage_hello(&s, 0, NULL, 0);
    stage_answer_all(&s);
    s.now += 25LL * 3600 * 1000;
    stage_scale(&s, "nope", 1);
    assert_int_equal(s.b->n_requests, 1);
    stage_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_provision_to_running_and_gone),
        cmocka_unit_test(test_done_once_also_across_a_restart),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_existing_group),
        cmocka_unit_test(test_images_and_offerings),
        cmocka_unit_test(test_pending_then_room),
        cmocka_unit_test(test_scale),
        cmocka_unit_test(test_destroy_one_is_reborn),
        cmocka_unit_test(test_name_is_free_while_the_old_group_ends),
        cmocka_unit_test(test_store_full),
        cmocka_unit_test(test_requests_are_forgotten_when_done),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
