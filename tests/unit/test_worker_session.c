/* The talk with the broker: hello, welcome, refusal, hello-again, silence, terms. */
#include "worker_trace.h"

static void first_hello(void **state)
{
    struct trace *t = trace_new(NULL);
    trace_expect(t, "1000 list 1\n"); /* before there is a link: the hypervisor warms up */
    trace_listed(t, "1 2- 3?");
    trace_up(t);
    trace_expect(t, "1000 list 2\n");
    trace_listed(t, "1 2- 3?");
    trace_expect(t, "1000 say hello term=0 epoch=0 [1:running 2:stopped 3:running]\n");
    trace_pass(t, 1000); /* unanswered: again and again */
    trace_expect(t, "1500 say hello term=0 epoch=0 [1:running 2:stopped 3:running]\n"
                    "2000 say hello term=0 epoch=0 [1:running 2:stopped 3:running]\n");
    assert_false(mf_worker_welcomed(t->worker));
    trace_welcome(t, 7, 5);
    trace_expect(t, "2000 session epoch=7 term=5 pulse=200 monitors=1\n");
    assert_int_equal(mf_worker_epoch(t->worker), 7);
    trace_pass(t, 1000);
    trace_expect(t, "3000 say worker-alive epoch=7 guests=1\n");
    trace_free(&t);
}

static void list_in_flight_is_too_old(void **state)
{
    struct trace *t = trace_new(NULL);
    trace_up(t); /* list 1 was begun before the link was up */
    trace_listed(t, "");
    trace_expect(t, "1000 list 1\n1000 list 2\n");
    trace_listed(t, "");
    trace_expect(t, "1000 say hello term=0 epoch=0 []\n");
    trace_free(&t);
}

static void list_that_fails_is_tried_again(void **state)
{
    struct trace *t = trace_new(NULL);
    trace_list_failed(t);
    trace_up(t);
    trace_list_failed(t);
    trace_skip(t);
    trace_pass(t, 1000);
    trace_expect(t, "2000 list 3\n");
    trace_listed(t, "4");
    trace_expect(t, "2000 say hello term=0 epoch=0 [4:running]\n");
    trace_free(&t);
}

static void refused_then_welcomed(void **state)
{
    struct trace *t = trace_new(NULL);
    trace_listed(t, "");
    trace_up(t);
    trace_listed(t, "");
    trace_skip(t);
    trace_error(t, MF_E_FORBIDDEN, "another machine has this name");
    assert_string_equal(mf_worker_refusal(t->worker), "forbidden: another machine has this name");
    trace_pass(t, 9999);
    trace_expect(t, "");
    trace_pass(t, 1);
    trace_expect(t, "11000 list 3\n");
    trace_listed(t, "");
    trace_welcome(t, 2, 1);
    trace_expect(t, "11000 say hello term=0 epoch=0 []\n11000 session epoch=2 term=1 pulse=200 monitors=1\n");
    assert_string_equal(mf_worker_refusal(t->worker), "");
    trace_free(&t);
}

static void hello_again(void **state)
{
    struct trace *t = trace_welcomed("1");
    trace_hello_again(t);
    trace_hello_again(t); /* many of them ask for one hello */
    trace_expect(t, "1000 list 3\n");
    trace_listed(t, "1");
    trace_hello_again(t);
    trace_expect(t, "1000 say hello term=5 epoch=1 [1:running]\n");
    trace_welcome(t, 2, 5);
    trace_expect(t, "1000 session epoch=2 term=5 pulse=200 monitors=1\n");
    trace_free(&t);
}

static void term_regression(void **state)
{
    struct trace *t = trace_welcomed("");
    t->term = 4; /* an old broker's order */
    trace_create(t, 10, 1, 1000);
    trace_destroy(t, 11, 1);
    trace_expect(t, "");
    assert_int_equal(mf_worker_ignored(t->worker), 2);
    t->term = 6; /* a broker that stepped above */
    trace_create(t, 12, 1, 1000);
    trace_expect(t, "1000 say order-ack 12 epoch=1\n1000 create 1\n");
    trace_hello_again(t);
    trace_listed(t, "");
    trace_skip(t);
    trace_welcome(t, 9, 5); /* of the old one again */
    trace_expect(t, "");
    assert_false(mf_worker_welcomed(t->worker));
    trace_welcome(t, 10, 6);
    trace_expect(t, "1000 session epoch=10 term=6 pulse=200 monitors=1\n");
    trace_free(&t);
}

static void other_epoch(void **state)
{
    struct trace *t = trace_welcomed("");
    t->epoch = 2;
    trace_create(t, 10, 1, 1000);
    trace_expect(t, "");
    t->epoch = 1;
    trace_welcome(t, 1, 5); /* the same welcome twice */
    trace_expect(t, "");
    trace_welcome(t, 3, 5); /* a hello said twice was answered twice */
    trace_expect(t, "1000 session epoch=3 term=5 pulse=200 monitors=1\n");
    trace_free(&t);
}

static void silence(void **state)
{
    struct trace *t = trace_welcomed("");
    trace_pass(t, 4000);
    trace_expect(t, "2000 say worker-alive epoch=1 guests=0\n3000 say worker-alive epoch=1 guests=0\n"
                    "4000 say worker-alive epoch=1 guests=0\n5000 reconnect\n");
    trace_down(t);
    trace_up(t);
    trace_listed(t, "");
    trace_expect(t, "5000 list 3\n5000 say hello term=5 epoch=1 []\n");
    trace_free(&t);
}

static void alive_acks_are_hearing(void **state)
{
    struct trace *t = trace_welcomed("");
    for (int i = 0; i < 9; i++) {
        trace_pass(t, 1000);
        trace_feed(
            t, (struct mf_worker_event){.kind = MF_WORKER_MESSAGE,
                                        .message = &(struct mf_message){
                                            .kind = MF_MSG_ALIVE_ACK, .alive_ack = {.epoch = 1, .term = 5}}});
    }
    assert_true(mf_worker_welcomed(t->worker));
    trace_free(&t);
}

static void asked_whether_it_lives(void **state)
{
    struct trace *t = trace_welcomed("");
    trace_pass(t, 300);
    for (uint64_t epoch = 1; epoch <= 2; epoch++) /* the second is another's */
        trace_feed(t, (struct mf_worker_event){.kind = MF_WORKER_MESSAGE,
                                               .message = &(struct mf_message){
                                                   .kind = MF_MSG_ALIVE_ASK, .alive_ask = {.epoch = epoch}}});
    trace_expect(t, "1300 say worker-alive epoch=1 guests=0\n");
    trace_pass(t, 1000); /* the next is due an interval after that */
    trace_expect(t, "2300 say worker-alive epoch=1 guests=0\n");
    trace_free(&t);
}

static void pulse_targets(void **state)
{
    struct trace *t = trace_welcomed("");
    struct mf_rec_endpoint two[] = {{.address = mf_str("10.0.0.1:1")}, {.address = mf_str("10.0.0.2:1")}};
    struct mf_message m = {.kind = MF_MSG_PULSE_TARGETS, .pulse_targets = {.epoch = 1, .monitors = {two, 2}}};
    trace_feed(t, (struct mf_worker_event){.kind = MF_WORKER_MESSAGE, .message = &m});
    trace_expect(t, "1000 session epoch=1 term=5 pulse=200 monitors=2\n");
    m.pulse_targets.epoch = 2;
    trace_feed(t, (struct mf_worker_event){.kind = MF_WORKER_MESSAGE, .message = &m});
    trace_expect(t, "");
    trace_free(&t);
}

static void keeper_remembers_the_session(struct mf_worker_config *config)
{
    config->epoch = 41;
    config->term = 8;
}

static void restarted_agent(void **state)
{
    struct trace *t = trace_new(keeper_remembers_the_session);
    trace_listed(t, "");
    trace_up(t);
    trace_listed(t, "5");
    trace_expect(t, "1000 list 1\n1000 list 2\n1000 say hello term=8 epoch=41 [5:running]\n");
    trace_welcome(t, 42, 7);
    trace_expect(t, "");
    trace_welcome(t, 42, 9);
    trace_expect(t, "1000 session epoch=42 term=9 pulse=200 monitors=1\n");
    trace_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_hello),
        cmocka_unit_test(list_in_flight_is_too_old),
        cmocka_unit_test(refused_then_welcomed),
        cmocka_unit_test(list_that_fails_is_tried_again),
        cmocka_unit_test(hello_again),
        cmocka_unit_test(term_regression),
        cmocka_unit_test(other_epoch),
        cmocka_unit_test(silence),
        cmocka_unit_test(pulse_targets),
        cmocka_unit_test(alive_acks_are_hearing),
        cmocka_unit_test(asked_whether_it_lives),
        cmocka_unit_test(restarted_agent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
