/* Facts, reports, lists, logs: told once, told again until acknowledged, never told of what we did ourselves.
 */
#include "worker_trace.h"
#include <stdio.h>
#include <string.h>

static void death_is_told_until_acknowledged(void **state)
{
    struct trace *t = trace_welcomed("1");
    trace_died(t, 1);
    trace_expect(
        t,
        "1000 say fact-death #1 epoch=1 1 exited\n1000 destroy 1 grace=0\n"); /* then cleaned up, silently */
    trace_died(t, 1);                                                         /* libvirt says so too, later */
    trace_died(t, 77);
    trace_done(t, MF_OPERATION_DESTROY, 1, MF_E_OK);
    trace_expect(t, "");
    trace_pass(t, 1000);
    trace_expect(t, "1500 say fact-death #1 epoch=1 1 exited\n2000 say worker-alive epoch=1 guests=0\n"
                    "2000 say fact-death #1 epoch=1 1 exited\n");
    trace_ack(t, 9); /* of another report */
    trace_ack(t, 1);
    trace_ack(t, 1);
    trace_pass(t, 999);
    trace_expect(t, "");
    trace_free(&t);
}

static void clean_up_is_tried_again(void **state)
{
    struct trace *t = trace_welcomed("1");
    trace_died(t, 1);
    trace_ack(t, 1);
    trace_done(t, MF_OPERATION_DESTROY, 1, MF_E_DRIVER);
    trace_skip(t);
    trace_down(t);
    trace_pass(t, 4999);
    trace_expect(t, "");
    trace_pass(t, 1);
    trace_expect(t, "6000 destroy 1 grace=0\n");
    trace_free(&t);
}

static void death_during_destroy(void **state)
{
    struct trace *t = trace_welcomed("1 2 3");
    trace_destroy(t, 10, 1);
    trace_destroy(t, 11, 2);
    trace_destroy(t, 12, 3); /* queued */
    trace_skip(t);
    trace_died(t, 1);
    trace_died(t, 3);
    trace_expect(t, "");
    trace_done(t, MF_OPERATION_DESTROY, 1, MF_E_OK);
    trace_expect(t,
                 "1000 say order-result #1 order=10 epoch=1 destroy 1 ok took=0\n1000 destroy 3 grace=0\n");
    trace_free(&t);
}

static void destroy_ordered_after_the_death(void **state)
{
    struct trace *t = trace_welcomed("1");
    trace_died(t, 1);
    trace_skip(t);
    trace_destroy(t, 10, 1); /* crossed with the fact: the clean-up under way answers it */
    trace_done(t, MF_OPERATION_DESTROY, 1, MF_E_OK);
    trace_expect(
        t, "1000 say order-ack 10 epoch=1\n1000 say order-result #2 order=10 epoch=1 destroy 1 ok took=0\n");
    trace_free(&t);
}

static void hint_during_birth(void **state)
{
    struct trace *t = trace_welcomed("");
    trace_create(t, 10, 1, 60000);
    trace_died(t, 1);
    trace_skip(t);
    trace_done(t, MF_OPERATION_CREATE, 1, MF_E_OK);
    trace_expect(t, "1000 say order-result #1 order=10 epoch=1 create 1 ok took=0\n1000 list 3\n");
    trace_listed(t, ""); /* it was true */
    trace_expect(t, "1000 say fact-death #2 epoch=1 1 absent\n1000 destroy 1 grace=0\n");
    trace_free(&t);
}

static void periodic_list_finds_what_no_event_told(void **state)
{
    struct trace *t = trace_welcomed("1 2 3");
    t->now = 11000;
    trace_feed(t, (struct mf_worker_event){
                      .kind = MF_WORKER_MESSAGE,
                      .message = &(struct mf_message){.kind = MF_MSG_ALIVE_ACK, .alive_ack = {1, 1, 5}}});
    trace_expect(t, "11000 say worker-alive epoch=1 guests=3\n11000 list 3\n");
    trace_create(t, 10, 4, 60000); /* begun since: not judged by it */
    trace_done(t, MF_OPERATION_CREATE, 4, MF_E_OK);
    trace_ack(t, 1);
    trace_died(t, 3); /* told since: still listed, not news */
    trace_skip(t);
    trace_listed(t, "1 3");
    trace_expect(t, "11000 say fact-death #3 epoch=1 2 absent\n11000 destroy 2 grace=0\n");
    assert_int_equal(mf_worker_guests(t->worker), 2); /* 1 and 4 */
    trace_free(&t);
}

static void stopped_is_dead(void **state)
{
    struct trace *t = trace_welcomed("1");
    trace_hello_again(t);
    trace_skip(t);
    trace_listed(t, "1-"); /* no session: the hello tells by leaving it out */
    trace_expect(t, "1000 say hello term=5 epoch=1 []\n1000 destroy 1 grace=0\n");
    trace_free(&t);
}

static void list_of_before_the_end_brings_nothing_back(void **state)
{
    struct trace *t = trace_welcomed("1");
    t->now = 11000;
    trace_feed(t, (struct mf_worker_event){
                      .kind = MF_WORKER_MESSAGE,
                      .message = &(struct mf_message){.kind = MF_MSG_ALIVE_ACK, .alive_ack = {1, 1, 5}}});
    trace_destroy(t, 10, 1);
    trace_done(t, MF_OPERATION_DESTROY, 1, MF_E_OK);
    trace_ack(t, 1);
    trace_listed_of(t, t->ticket, "1"); /* begun before the destroy */
    assert_int_equal(mf_worker_guests(t->worker), 0);
    trace_skip(t);
    trace_hello_again(t);
    trace_listed(t, "");
    trace_expect(t, "11000 list 4\n11000 say hello term=5 epoch=1 []\n");
    trace_free(&t);
}

static void hello_replaces_old_reports(void **state)
{
    struct trace *t = trace_welcomed("1 2");
    trace_died(t, 1); /* its ack never comes */
    trace_down(t);
    trace_up(t);
    trace_skip(t);
    trace_listed(t, "2"); /* the driver still lists it? then the clean-up rules */
    trace_expect(t, "1000 say hello term=5 epoch=1 [2:running]\n");
    trace_died(t, 2); /* after the hello, before the welcome: the inventory said it runs */
    trace_expect(t, "1000 destroy 2 grace=0\n");
    trace_welcome(t, 2, 5);
    trace_expect(
        t, "1000 session epoch=2 term=5 pulse=200 monitors=1\n1000 say fact-death #2 epoch=2 2 exited\n");
    trace_free(&t);
}

static void bursts_are_bounded(void **state)
{
    struct trace *t = trace_welcomed("");
    for (unsigned i = 1; i <= 200; i++) {
        trace_destroy(t, i, i);
        trace_done(t, MF_OPERATION_DESTROY, i, MF_E_OK);
    }
    trace_skip(t);
    trace_pass(t, 500);
    unsigned lines = 0;
    for (size_t i = 0; i < t->text.len; i++)
        lines += t->text.ptr[i] == '\n';
    assert_int_equal(lines, 64);
    assert_true(memmem(t->text.ptr, t->text.len, "#1 ", 3) && memmem(t->text.ptr, t->text.len, "#64 ", 4));
    for (unsigned i = 200; i > 0; i--) /* acknowledged in any order */
        trace_ack(t, i);
    trace_skip(t);
    trace_pass(t, 400);
    trace_expect(t, "");
    trace_free(&t);
}

static void inventory_is_fresh(void **state)
{
    struct trace *t = trace_welcomed("1");
    struct mf_message ask = {.kind = MF_MSG_INVENTORY_ASK, .inventory_ask = {.ask_id = 4, .epoch = 1}};
    trace_feed(t, (struct mf_worker_event){.kind = MF_WORKER_MESSAGE, .message = &ask});
    trace_create(t, 10, 2, 60000);
    trace_skip(t);
    trace_listed(t, "1 9?");
    trace_expect(t, "1000 say inventory ask=4 [2:creating 1:running 9:running]\n");
    ask.inventory_ask.epoch = 3;
    trace_feed(t, (struct mf_worker_event){.kind = MF_WORKER_MESSAGE, .message = &ask});
    trace_expect(t, "");
    trace_free(&t);
}

static void ask_log(struct trace *t, uint64_t ask_id, unsigned id)
{
    struct mf_message ask = {.kind = MF_MSG_LOG_ASK,
                             .log_ask = {.ask_id = ask_id, .epoch = 1, .id = trace_id(id), .bytes = 100}};
    trace_feed(t, (struct mf_worker_event){.kind = MF_WORKER_MESSAGE, .message = &ask});
}

static void logs_one_at_a_time(void **state)
{
    struct trace *t = trace_welcomed("1");
    ask_log(t, 1, 1);
    ask_log(t, 2, 9);
    trace_expect(t, "1000 read-log 1 ask=1 bytes=100\n");
    trace_feed(t, (struct mf_worker_event){.kind = MF_WORKER_LOG, .ask_id = 1, .log = mf_str("hello")});
    trace_expect(t, "1000 say log-tail ask=1 ok 'hello'\n1000 read-log 9 ask=2 bytes=100\n");
    trace_hello_again(t);
    trace_listed(t, "1");
    trace_welcome(t, 2, 5);
    trace_skip(t);
    trace_feed(t, (struct mf_worker_event){.kind = MF_WORKER_LOG, .ask_id = 2, .code = MF_E_UNKNOWN});
    trace_expect(t, ""); /* asked in a session that is over */
    trace_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(death_is_told_until_acknowledged),
        cmocka_unit_test(clean_up_is_tried_again),
        cmocka_unit_test(death_during_destroy),
        cmocka_unit_test(destroy_ordered_after_the_death),
        cmocka_unit_test(hint_during_birth),
        cmocka_unit_test(periodic_list_finds_what_no_event_told),
        cmocka_unit_test(stopped_is_dead),
        cmocka_unit_test(list_of_before_the_end_brings_nothing_back),
        cmocka_unit_test(hello_replaces_old_reports),
        cmocka_unit_test(bursts_are_bounded),
        cmocka_unit_test(inventory_is_fresh),
        cmocka_unit_test(logs_one_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
