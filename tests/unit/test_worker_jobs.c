/* Orders, lanes and lives: what is asked twice is done once, what hangs holds up nothing else, what is late
 * is undone. */
#include "worker_trace.h"

#define CREATE  MF_OPERATION_CREATE
#define DESTROY MF_OPERATION_DESTROY

static void a_life(void **state)
{
    struct trace *t = trace_welcomed("");
    trace_create(t, 10, 1, 60000);
    trace_expect(t, "1000 say order-ack 10 epoch=1\n1000 create 1\n");
    trace_pass(t, 300);
    trace_done(t, CREATE, 1, MF_E_OK);
    trace_expect(t, "1300 say order-result #1 order=10 epoch=1 create 1 ok took=300\n");
    trace_ack(t, 1);
    trace_destroy(t, 11, 1);
    trace_expect(t, "1300 say order-ack 11 epoch=1\n1300 destroy 1 grace=0\n");
    trace_died(t, 1); /* by our own hand: no fact */
    trace_done(t, DESTROY, 1, MF_E_OK);
    trace_expect(t, "1300 say order-result #2 order=11 epoch=1 destroy 1 ok took=0\n");
    assert_int_equal(mf_worker_guests(t->worker), 0);
    trace_free(&t);
}

static void orders_come_twice(void **state)
{
    struct trace *t = trace_welcomed("7");
    trace_create(t, 10, 1, 60000);
    trace_create(t, 10, 1, 60000); /* its ack was lost */
    trace_expect(t, "1000 say order-ack 10 epoch=1\n1000 create 1\n1000 say order-ack 10 epoch=1\n");
    trace_done(t, CREATE, 1, MF_E_DRIVER);
    trace_expect(t, "1000 say order-result #1 order=10 epoch=1 create 1 driver (it broke) took=0\n");
    trace_create(t, 10, 1, 60000); /* crossed with the result: not done again */
    trace_expect(t, "1000 say order-ack 10 epoch=1\n");
    trace_create(t, 12, 7, 60000); /* runs already */
    trace_expect(
        t, "1000 say order-ack 12 epoch=1\n1000 say order-result #2 order=12 epoch=1 create 7 ok took=0\n");
    trace_destroy(t, 13, 9); /* never was here: proven */
    trace_destroy(t, 13, 9);
    trace_expect(t, "1000 say order-ack 13 epoch=1\n1000 destroy 9 grace=0\n1000 say order-ack 13 epoch=1\n");
    trace_done(t, DESTROY, 9, MF_E_OK);
    trace_expect(t, "1000 say order-result #3 order=13 epoch=1 destroy 9 ok took=0\n");
    trace_free(&t);
}

static void newer_order_for_the_same_life(void **state)
{
    struct trace *t = trace_welcomed("");
    trace_create(t, 10, 1, 100);
    trace_create(t, 20, 1, 60000);
    trace_skip(t);
    trace_pass(t, 500);
    trace_done(t, CREATE, 1, MF_E_OK); /* late for the first, in time for the second */
    trace_expect(t, "1500 say order-result #1 order=20 epoch=1 create 1 ok took=500\n");
    trace_free(&t);
}

static void hung_create_while_others_proceed(void **state)
{
    struct trace *t = trace_welcomed("");
    trace_create(t, 10, 1, 60000); /* hangs for ever */
    trace_create(t, 11, 2, 60000);
    trace_create(t, 12, 3, 60000); /* waits for a lane */
    trace_expect(
        t, "1000 say order-ack 10 epoch=1\n1000 create 1\n1000 say order-ack 11 epoch=1\n1000 create 2\n"
           "1000 say order-ack 12 epoch=1\n");
    trace_done(t, CREATE, 2, MF_E_OK);
    trace_expect(t, "1000 say order-result #1 order=11 epoch=1 create 2 ok took=0\n1000 create 3\n");
    trace_done(t, CREATE, 3, MF_E_OK);
    trace_ack(t, 1);
    trace_ack(t, 2);
    trace_destroy(t, 13, 2);
    trace_expect(
        t, "1000 say order-result #2 order=12 epoch=1 create 3 ok took=0\n1000 say order-ack 13 epoch=1\n"
           "1000 destroy 2 grace=0\n");
    trace_hello_again(t); /* and hello does not wait for it */
    trace_listed(t, "2 3");
    trace_expect(t, "1000 list 3\n1000 say hello term=5 epoch=1 [1:creating 3:running 2:destroying]\n");
    trace_free(&t);
}

static void deadline_in_the_queue(void **state)
{
    struct trace *t = trace_welcomed("");
    trace_create(t, 10, 1, 60000);
    trace_create(t, 11, 2, 60000);
    trace_create(t, 12, 3, 700);
    trace_skip(t);
    trace_pass(t, 700);
    trace_expect(t, "1700 say order-result #1 order=12 epoch=1 create 3 deadline (its time ran out while it "
                    "waited for a lane; "
                    "it was not begun) took=700\n");
    trace_free(&t);
}

static void born_too_late(void **state)
{
    struct trace *t = trace_welcomed("");
    trace_create(t, 10, 1, 700);
    trace_pass(t, 800);
    trace_skip(t);
    trace_done(t, CREATE, 1, MF_E_OK);
    trace_expect(t, "1800 destroy 1 grace=0\n");
    trace_done(t, DESTROY, 1, MF_E_OK);
    trace_expect(t, "1800 say order-result #1 order=10 epoch=1 create 1 deadline (born after its time was "
                    "over; undone) took=800\n");
    trace_free(&t);
}

static void destroy_behind_a_create(void **state)
{
    struct trace *t = trace_welcomed("");
    trace_create(t, 10, 1, 60000);
    trace_create(t, 11, 2, 60000);
    trace_create(t, 12, 3, 60000);
    trace_skip(t);
    trace_destroy(t, 13, 3); /* not begun: cancelled, its absence proven */
    trace_expect(
        t, "1000 say order-ack 13 epoch=1\n"
           "1000 say order-result #1 order=12 epoch=1 create 3 deadline (destroyed before it began) took=0\n"
           "1000 destroy 3 grace=0\n");
    trace_destroy(t, 14, 1); /* begun: follows it */
    trace_create(t, 15, 1, 60000);
    trace_expect(t, "1000 say order-ack 14 epoch=1\n1000 say order-ack 15 epoch=1\n"
                    "1000 say order-result #2 order=15 epoch=1 create 1 stale (this instance exists here and "
                    "is stopped, being "
                    "destroyed, or not ours; a life does not come back) took=0\n");
    trace_done(t, CREATE, 1, MF_E_OK);
    trace_expect(t, "1000 say order-result #3 order=10 epoch=1 create 1 deadline (destroyed while it was "
                    "being born) took=0\n"
                    "1000 destroy 1 grace=0\n");
    trace_done(t, DESTROY, 1, MF_E_OK);
    trace_expect(t, "1000 say order-result #4 order=14 epoch=1 destroy 1 ok took=0\n");
    trace_free(&t);
}

static void destroy_that_fails_or_takes_long(void **state)
{
    struct trace *t = trace_welcomed("1");
    trace_destroy(t, 10, 1);
    trace_skip(t);
    trace_done(t, DESTROY, 1, MF_E_DRIVER);
    trace_expect(
        t, "1000 say order-result #1 order=10 epoch=1 destroy 1 driver (it broke) took=0\n1000 list 3\n");
    trace_ack(t, 1);
    trace_listed(t, "1"); /* still there */
    assert_int_equal(mf_worker_guests(t->worker), 1);
    trace_destroy(t, 11, 1);
    trace_skip(t);
    for (int i = 0; i < 60; i++) {
        trace_pass(t, 1000);
        trace_feed(
            t, (struct mf_worker_event){.kind = MF_WORKER_MESSAGE,
                                        .message = &(struct mf_message){
                                            .kind = MF_MSG_ALIVE_ACK, .alive_ack = {.epoch = 1, .term = 5}}});
        if (i == 58)
            trace_skip(t);
    }
    trace_expect(t, "61000 say worker-alive epoch=1 guests=0\n"
                    "61000 say order-result #2 order=11 epoch=1 destroy 1 deadline (not gone yet; the "
                    "destroy goes on) took=60000\n");
    trace_ack(t, 2);
    trace_destroy(t, 12, 1); /* ordered again: it is under way */
    trace_done(t, DESTROY, 1, MF_E_OK);
    trace_expect(
        t,
        "61000 say order-ack 12 epoch=1\n61000 say order-result #3 order=12 epoch=1 destroy 1 ok took=0\n");
    trace_free(&t);
}

static void destroy_lanes(void **state)
{
    struct trace *t = trace_welcomed("1 2 3");
    trace_destroy(t, 10, 1);
    trace_destroy(t, 11, 2);
    trace_destroy(t, 12, 3);
    trace_expect(t, "1000 say order-ack 10 epoch=1\n1000 destroy 1 grace=0\n1000 say order-ack 11 epoch=1\n"
                    "1000 destroy 2 grace=0\n1000 say order-ack 12 epoch=1\n");
    trace_done(t, DESTROY, 2, MF_E_OK);
    trace_expect(t,
                 "1000 say order-result #1 order=11 epoch=1 destroy 2 ok took=0\n1000 destroy 3 grace=0\n");
    trace_free(&t);
}

static void orders_die_with_their_epoch(void **state)
{
    struct trace *t = trace_welcomed("9");
    trace_create(t, 10, 1, 60000);
    trace_create(t, 11, 2, 60000);
    trace_create(t, 12, 3, 60000);
    trace_destroy(t, 13, 9);
    trace_skip(t);
    trace_down(t);
    trace_up(t);
    trace_listed(t, "9");
    trace_expect(t, "1000 list 3\n1000 say hello term=5 epoch=1 [1:creating 2:creating 9:destroying]\n");
    trace_welcome(t, 2, 5);
    trace_done(t, CREATE, 1, MF_E_OK);  /* nobody's order: no result */
    trace_done(t, DESTROY, 9, MF_E_OK); /* likewise */
    trace_expect(t, "1000 session epoch=2 term=5 pulse=200 monitors=1\n");
    trace_create(t, 20, 1, 60000); /* ordered again */
    trace_create(t, 21, 2, 60000);
    trace_expect(
        t, "1000 say order-ack 20 epoch=2\n1000 say order-result #1 order=20 epoch=2 create 1 ok took=0\n"
           "1000 say order-ack 21 epoch=2\n");
    trace_done(t, CREATE, 2, MF_E_OK);
    trace_expect(t, "1000 say order-result #2 order=21 epoch=2 create 2 ok took=0\n");
    trace_free(&t);
}

static void create_told_in_hello_fails(void **state)
{
    struct trace *t = trace_welcomed("");
    trace_create(t, 10, 1, 60000);
    trace_hello_again(t);
    trace_listed(t, "");
    trace_welcome(t, 2, 5);
    trace_skip(t);
    trace_done(t, CREATE, 1, MF_E_DRIVER);
    trace_expect(t, "1000 say fact-death #1 epoch=2 1 absent\n");
    trace_free(&t);
}

static void foreign_guests_are_left_alone(void **state)
{
    struct trace *t = trace_welcomed("8?");
    trace_died(t, 8);
    trace_create(t, 10, 8, 60000);
    trace_ack(t, 1);
    trace_expect(t, "1000 say order-ack 10 epoch=1\n"
                    "1000 say order-result #1 order=10 epoch=1 create 8 stale (this instance exists here and "
                    "is stopped, being "
                    "destroyed, or not ours; a life does not come back) took=0\n");
    trace_hello_again(t);
    trace_listed(t, "");
    trace_expect(t, "1000 list 3\n1000 say hello term=5 epoch=1 []\n");
    trace_free(&t);
}

static void blobs_are_kept_while_held(void **state)
{
    struct trace *t = trace_welcomed("");
    trace_create(t, 10, 1, 60000);
    assert_true(mf_worker_holds(t->worker, trace_id(1)));
    trace_done(t, CREATE, 1, MF_E_OK);
    assert_false(mf_worker_holds(t->worker, trace_id(1)));
    assert_false(mf_worker_holds(t->worker, trace_id(2)));
    trace_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_life),
        cmocka_unit_test(orders_come_twice),
        cmocka_unit_test(newer_order_for_the_same_life),
        cmocka_unit_test(hung_create_while_others_proceed),
        cmocka_unit_test(deadline_in_the_queue),
        cmocka_unit_test(born_too_late),
        cmocka_unit_test(destroy_behind_a_create),
        cmocka_unit_test(destroy_that_fails_or_takes_long),
        cmocka_unit_test(destroy_lanes),
        cmocka_unit_test(orders_die_with_their_epoch),
        cmocka_unit_test(create_told_in_hello_fails),
        cmocka_unit_test(foreign_guests_are_left_alone),
        cmocka_unit_test(blobs_are_kept_while_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
