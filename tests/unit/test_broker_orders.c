/* test_broker_orders.c - nothing leaves before it is durable; what leaves is sent again, expires, backs off.
 */
#include "broker_stage.h"
#include "check.h"
#include "pooled.h"
#include "describe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void test_nothing_leaves_before_its_commit(void **state)
{
    struct stage s;

    stage_open(&s);
    stage_hello(&s, 0, NULL, 0);
    stage_forget_sent(&s);
    s.hold = true;
    stage_provision(&s, "web", 1);
    stage_client(&s,
                 (struct mf_message){.kind = MF_MSG_LIST_GROUPS, .list_groups = {.request_id = mf_str("l")}});
    assert_int_equal(s.n_sent, 0);
    uint64_t last = s.rows[s.n_rows - 1].row.seq;
    stage_commit(&s, last - 3); /* request.accepted */
    assert_int_equal(s.n_sent, 0);
    stage_commit(&s, last - 1); /* all but instance.placed */
    assert_int_equal(s.n_sent, 1);
    assert_non_null(stage_last(&s, STAGE_CLIENT, MF_MSG_ACCEPTED));
    stage_commit(&s, last);
    assert_int_equal(s.n_sent, 3);
    assert_int_equal(stage_last(&s, STAGE_CLIENT, MF_MSG_GROUPS)->groups.seq, last);
    const struct mf_message order = *stage_last(&s, s.worker[0], MF_MSG_ORDER_CREATE);
    stage_forget_sent(&s);
    stage_worker(&s, 0,
                 (struct mf_message){.kind = MF_MSG_ORDER_RESULT,
                                     .order_result = {.report_id = 1,
                                                      .order_id = order.order_create.order_id,
                                                      .epoch = s.epoch[0],
                                                      .id = order.order_create.id,
                                                      .operation = MF_OPERATION_CREATE,
                                                      .code = mf_str("ok")}});
    assert_int_equal(s.n_sent, 0); /* the ack says that it is durable */
    stage_commit(&s, s.rows[s.n_rows - 1].row.seq);
    assert_non_null(stage_last(&s, s.worker[0], MF_MSG_REPORT_ACK));
    stage_close(&s);
}

static void ack(struct stage *s, const struct mf_message *order)
{
    stage_worker(
        s, 0,
        (struct mf_message){.kind = MF_MSG_ORDER_ACK,
                            .order_ack = {.order_id = order->order_create.order_id, .epoch = s->epoch[0]}});
}

static void test_resent_until_acknowledged(void **state)
{
    struct stage s;

    stage_open(&s);
    stage_hello(&s, 0, NULL, 0);
    stage_provision(&s, "web", 1);
    stage_pass(&s, 499);
    assert_int_equal(stage_count_sent(&s, MF_MSG_ORDER_CREATE), 1);
    stage_pass(&s, 1);
    assert_int_equal(stage_count_sent(&s, MF_MSG_ORDER_CREATE), 2);
    stage_pass(&s, 1000);
    assert_int_equal(stage_count_sent(&s, MF_MSG_ORDER_CREATE), 3);
    assert_int_equal(stage_last(&s, 0, MF_MSG_ORDER_CREATE)->order_create.remaining_ms, 120000 - 1500);
    struct mf_message order = *stage_last(&s, 0, MF_MSG_ORDER_CREATE);
    ack(&s, &order);
    ack(&s, &order);
    stage_pass(&s, 60000);
    assert_int_equal(stage_count_sent(&s, MF_MSG_ORDER_CREATE), 3);
    assert_int_equal(stage_count_rows(&s, MF_EV_ORDER_EXPIRED), 0);
    stage_close(&s);
}

static void test_create_expires(void **state)
{
    struct stage s;

    stage_open(&s);
    stage_hello(&s, 0, NULL, 0);
    stage_provision(&s, "web", 1);
    ack(&s, stage_last(&s, 0, MF_MSG_ORDER_CREATE));
    stage_pass(&s, 120000);
    assert_int_equal(stage_count_rows(&s, MF_EV_ORDER_EXPIRED),
                     0); /* the worker has a little longer to say so */
    s.trace.len = 0;
    stage_pass(&s, 3000);
    assert_int_equal(stage_count_rows(&s, MF_EV_ORDER_EXPIRED), 1);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_DESTROYING), 1); /* it may yet appear there */
    assert_int_equal(stage_current(&s, "web", 0)->generation, 2);
    stage_golden(&s, "create-expires");
    stage_close(&s);
}

static void test_destroy_expires_and_is_ordered_again(void **state)
{
    struct stage s;

    stage_open(&s);
    stage_hello(&s, 0, NULL, 0);
    stage_provision(&s, "web", 1);
    stage_answer_all(&s);
    stage_destroy(&s, "web");
    uint64_t first = stage_last(&s, 0, MF_MSG_ORDER_DESTROY)->order_destroy.order_id;
    stage_pass(&s, 60000);
    assert_int_equal(stage_count_rows(&s, MF_EV_ORDER_EXPIRED), 1);
    assert_true(stage_last(&s, 0, MF_MSG_ORDER_DESTROY)->order_destroy.order_id > first);
    struct mf_message order = *stage_last(&s, 0, MF_MSG_ORDER_DESTROY);
    stage_answer(&s, 0, &order, "ok");
    assert_int_equal(stage_count_rows(&s, MF_EV_GROUP_GONE), 1);
    stage_close(&s);
}

static void test_create_failures_back_off(void **state)
{
    struct stage s;
    mf_ms before = 0, last = 0;

    stage_open(&s);
    stage_hello(&s, 0, NULL, 0);
    stage_provision(&s, "web", 1);
    for (int i = 0; i < 12; i++) {
        struct mf_message order = *stage_last(&s, 0, MF_MSG_ORDER_CREATE);
        stage_forget_sent(&s);
        stage_answer(&s, 0, &order, "image");
        assert_null(stage_current(&s, "web", 0));
        assert_int_equal(mf_pooled_used(s.b, s.b->nodes.items[0]).vcpus, 0);
        before = s.now;
        while (!stage_last(&s, 0, MF_MSG_ORDER_CREATE))
            stage_pass(&s, mf_broker_deadline(s.b) - s.now);
        last = s.now - before;
        assert_in_range(last, 375, 75000);
    }
    assert_in_range(last, 45000, 75000); /* at its bound by now */
    assert_int_equal(stage_row_of(&s, MF_EV_INSTANCE_CREATED)->row.cause,
                     stage_row_of(&s, MF_EV_INSTANCE_FAILED)->row.seq);
    struct mf_message order = *stage_last(&s, 0, MF_MSG_ORDER_CREATE);
    stage_answer(&s, 0, &order, "ok");
    stage_pass(&s, 10000);
    stage_death(&s, 0, stage_current(&s, "web", 0)->id);
    assert_int_equal(stage_current(&s, "web", 0)->slot->failures, 0); /* it ran long enough */
    stage_close(&s);
}

static void test_destroy_failure_is_retried(void **state)
{
    struct stage s;

    stage_open(&s);
    stage_hello(&s, 0, NULL, 0);
    stage_provision(&s, "web", 1);
    stage_answer_all(&s);
    stage_destroy(&s, "web");
    struct mf_message order = *stage_last(&s, 0, MF_MSG_ORDER_DESTROY);
    stage_forget_sent(&s);
    s.trace.len = 0;
    stage_answer(&s, 0, &order, "driver");
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_DESTROYING), 1); /* it keeps its room */
    stage_pass(&s, 1000);
    assert_true(stage_last(&s, 0, MF_MSG_ORDER_DESTROY)->order_destroy.order_id >
                order.order_destroy.order_id);
    stage_answer_all(&s);
    assert_int_equal(mf_map_size(s.b->instances), 0);
    stage_golden(&s, "destroy-fails");
    stage_close(&s);
}

static void test_outbox_is_bounded_and_destroys_go_first(void **state)
{
    struct stage s;

    stage_raw(&s);
    mf_broker_destroy(&s.b);
    s.config.orders_per_node = 2;
    s.b = mf_broker_new(&s.config);
    stage_feed(&s, (struct mf_broker_event){.kind = MF_BROKER_START});
    stage_client(&s, (struct mf_message){.kind = MF_MSG_IMAGE_ADD,
                                         .image_add = {.request_id = mf_str("i"),
                                                       .image = {.name = mf_str("tiny"),
                                                                 .kernel = mf_str("k"),
                                                                 .kernel_sha256 = {{1}},
                                                                 .initrd = mf_str("i"),
                                                                 .initrd_sha256 = {{2}}}}});
    stage_client(
        &s, (struct mf_message){
                .kind = MF_MSG_OFFERING_ADD,
                .offering_add = {
                    .request_id = mf_str("o"),
                    .offering = {.name = mf_str("small"), .vcpus = 1, .memory_mib = 16, .disk_mib = 1}}});
    stage_hello(&s, 0, NULL, 0);
    stage_provision(&s, "web", 4);
    assert_int_equal(stage_count_sent(&s, MF_MSG_ORDER_CREATE), 2);
    stage_destroy(&s, "web/3"); /* was never sent, and still is destroyed by order */
    assert_int_equal(stage_count_sent(&s, MF_MSG_ORDER_DESTROY), 0);
    struct mf_message order = *stage_last(&s, 0, MF_MSG_ORDER_CREATE);
    stage_answer(&s, 0, &order, "ok");
    assert_int_equal(stage_count_sent(&s, MF_MSG_ORDER_DESTROY), 1);
    assert_int_equal(stage_count_sent(&s, MF_MSG_ORDER_CREATE), 2);
    stage_answer_all(&s);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 4);
    stage_close(&s);
}

static void test_restart_goes_on(void **state)
{
    struct stage s;

    stage_open(&s);
    stage_hello(&s, 0, NULL, 0);
    stage_provision(&s, "web", 2);
    struct mf_uuid id = stage_current(&s, "web", 0)->id;
    stage_restart(&s, s.n_rows);
    stage_forget_sent(&s);
    stage_hello(&s, 0, NULL, 0); /* what was placed is ordered again */
    assert_int_equal(stage_count_sent(&s, MF_MSG_ORDER_CREATE), 2);
    assert_true(mf_uuid_eq(stage_current(&s, "web", 0)->id, id));
    stage_answer_all(&s);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 2);
    stage_close(&s);
}

static void test_placed_on_a_node_that_never_returns(void **state)
{
    struct stage s;

    stage_open(&s);
    stage_hello(&s, 0, NULL, 0);
    stage_provision(&s, "web", 1);
    stage_restart(&s, s.n_rows);
    stage_hello(&s, 1, NULL, 0);
    stage_pass(&s, 125000); /* no monitor speaks: the order's own end does */
    assert_int_equal(stage_current(&s, "web", 0)->generation, 2);
    assert_int_equal(stage_current(&s, "web", 0)->node, s.b->nodes.items[1]);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_TOMBSTONE), 1);
    stage_close(&s);
}

/* Its node left after the order did: nobody waits for it beyond the order's own time. */
static void test_a_destroy_whose_node_went_away(void **state)
{
    for (int fails = 0; fails < 2; fails++) {
        struct stage s;

        stage_open(&s);
        stage_hello(&s, 0, NULL, 0);
        stage_provision(&s, "web", 1);
        stage_answer_all(&s);
        struct mf_rec_guest guest = {.id = stage_current(&s, "web", 0)->id, .state = MF_GUEST_STATE_RUNNING};
        stage_destroy(&s, "web");
        struct mf_message order = *stage_last(&s, s.worker[0], MF_MSG_ORDER_DESTROY);
        if (fails)
            stage_answer(&s, 0, &order, "driver");
        stage_gone(&s, s.worker[0]);
        stage_pass(&s, s.config.destroy_ms + 5000);
        assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_TOMBSTONE), 1);
        stage_hello(&s, 0, &guest, 1); /* it is told when it is back */
        assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_DESTROYING), 1);
        stage_answer_all(&s);
        assert_null(mf_group_active(s.b, mf_str("web")));
        assert_int_equal(s.b->groups.n, 0);
        stage_close(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_leaves_before_its_commit),
        cmocka_unit_test(test_resent_until_acknowledged),
        cmocka_unit_test(test_create_expires),
        cmocka_unit_test(test_destroy_expires_and_is_ordered_again),
        cmocka_unit_test(test_create_failures_back_off),
        cmocka_unit_test(test_destroy_failure_is_retried),
        cmocka_unit_test(test_outbox_is_bounded_and_destroys_go_first),
        cmocka_unit_test(test_restart_goes_on),
        cmocka_unit_test(test_placed_on_a_node_that_never_returns),
        cmocka_unit_test(test_a_destroy_whose_node_went_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
