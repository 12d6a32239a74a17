/* test_worker_leaving.c - the worker's own end: what it says, until when, and what it does not say or begin
 * any more. */
#include "worker_trace.h"

static void drain(struct trace *t, mf_ms remaining_ms)
{
    trace_feed(t, (struct mf_worker_event){.kind = MF_WORKER_DRAIN, .remaining_ms = remaining_ms});
}

static void end(struct trace *t)
{
    trace_feed(t, (struct mf_worker_event){.kind = MF_WORKER_END});
}

static void all_dead(struct trace *t)
{
    trace_feed(t, (struct mf_worker_event){.kind = MF_WORKER_ALL_DEAD});
}

static void left(struct trace *t, uint64_t epoch, bool guests_dead)
{
    struct mf_message message = {.kind = MF_MSG_LEFT, .left = {.epoch = epoch, .guests_dead = guests_dead}};
    trace_feed(t, (struct mf_worker_event){.kind = MF_WORKER_MESSAGE, .message = &message});
}

static void it_is_said_until_it_is_answered(void **state)
{
    struct trace *t = trace_welcomed("1 2");
    end(t);
    trace_expect(t, "1000 quiet\n");
    trace_died(t, 1); /* by its keeper's hand: no fact of a single death */
    trace_died(t, 2);
    trace_expect(t, "");
    all_dead(t);
    trace_expect(t, "1000 say leaving epoch=1 dead\n");
    trace_pass(t, 400);
    trace_expect(t, "1200 say leaving epoch=1 dead\n1400 say leaving epoch=1 dead\n");
    left(t, 1, false); /* to a drain, long ago */
    trace_expect(t, "");
    left(t, 1, true);
    trace_expect(t, "1400 left\n");
    left(t, 1, true);
    trace_pass(t, 1500);
    trace_expect(t, "");
    trace_free(&t);
}

static void a_broker_that_does_not_answer_has_a_second(void **state)
{
    struct trace *t = trace_welcomed("1");
    end(t);
    trace_skip(t);
    all_dead(t);
    trace_pass(t, 999);
    trace_skip(t);
    trace_pass(t, 1);
    trace_expect(t, "2000 left\n");
    trace_free(&t);
}

static void without_a_session_nobody_is_told(void **state)
{
    struct trace *t = trace_welcomed("1");
    trace_down(t);
    end(t);
    trace_expect(t, "1000 quiet\n");
    all_dead(t);
    trace_pass(t, 1000);
    trace_expect(t, "2000 left\n");
    trace_free(&t);
}

/* What comes of a birth must be dead as well. */
static void births_are_waited_for(void **state)
{
    struct trace *t = trace_welcomed("");
    trace_create(t, 10, 1, 60000);
    trace_create(t, 11, 2, 60000);
    trace_create(t, 12, 3, 60000); /* waits for a lane */
    trace_skip(t);
    end(t);
    all_dead(t); /* too early: not believed */
    trace_expect(t, "");
    trace_done(t, MF_OPERATION_CREATE, 1, MF_E_OK); /* no result is told, and nothing is begun instead */
    trace_expect(t, "");
    trace_done(t, MF_OPERATION_CREATE, 2, MF_E_DRIVER);
    trace_expect(t, "1000 quiet\n");
    trace_create(t, 13, 4, 60000); /* nor taken */
    trace_destroy(t, 14, 1);
    trace_pass(t, 700);
    trace_expect(t, "");
    assert_int_equal(mf_worker_ignored(t->worker), 2);
    all_dead(t);
    trace_expect(t, "1700 say leaving epoch=1 dead\n");
    trace_free(&t);
}

static void a_drain_is_asked_for_in_every_epoch(void **state)
{
    struct trace *t = trace_welcomed("1");
    drain(t, 5000);
    trace_expect(t, "1000 say leaving epoch=1 drain=5000\n");
    trace_pass(t, 200);
    trace_expect(t, "1200 say leaving epoch=1 drain=4800\n");
    trace_died(t, 1); /* business goes on */
    trace_expect(t, "1200 say fact-death #1 epoch=1 1 exited\n1200 destroy 1 grace=0\n");
    trace_hello_again(t);
    trace_listed(t, "");
    trace_skip(t);
    trace_welcome(t, 2, 5);
    trace_expect(t,
                 "1200 session epoch=2 term=5 pulse=200 monitors=1\n1200 say leaving epoch=2 drain=4800\n");
    left(t, 1, false); /* of the epoch before */
    trace_expect(t, "");
    left(t, 2, false);
    trace_expect(t, "1200 left\n");
    left(t, 2, false); /* asked twice, answered twice */
    trace_expect(t, "");
    trace_hello_again(t); /* and a hello lets births come again */
    trace_listed(t, "");
    trace_skip(t);
    trace_welcome(t, 3, 5);
    trace_expect(t,
                 "1200 session epoch=3 term=5 pulse=200 monitors=1\n1200 say leaving epoch=3 drain=4800\n");
    drain(t, 4000); /* told again */
    trace_expect(t, "1200 say leaving epoch=3 drain=4000\n");
    trace_free(&t);
}

static void an_end_follows_a_drain(void **state)
{
    struct trace *t = trace_welcomed("1");
    drain(t, 300);
    trace_pass(t, 300);
    trace_skip(t);
    end(t); /* its time is over */
    trace_expect(t, "1300 quiet\n");
    left(t, 1, false); /* late, and of the drain */
    trace_expect(t, "");
    all_dead(t);
    trace_expect(t, "1300 say leaving epoch=1 dead\n");
    left(t, 1, false);
    trace_expect(t, "");
    left(t, 1, true);
    trace_expect(t, "1300 left\n");
    trace_free(&t);
}

static void who_ends_begins_no_epoch(void **state)
{
    struct trace *t = trace_welcomed("1");
    end(t);
    trace_hello_again(t);
    trace_skip(t);
    trace_listed_of(t, t->ticket, "");
    trace_pass(t, 3000);
    trace_expect(t, "");
    trace_free(&t);
}

static void its_guests_live_on(void **state)
{
    struct trace *t = trace_welcomed("1");
    trace_feed(t, (struct mf_worker_event){.kind = MF_WORKER_GO});
    trace_expect(t, "1000 say leaving epoch=1\n");
    trace_create(t, 10, 2, 60000); /* the next agent's */
    trace_pass(t, 200);
    trace_expect(t, "1200 say leaving epoch=1\n");
    assert_true(mf_worker_going(t->worker));
    left(t, 1, true); /* nobody said so */
    assert_true(mf_worker_going(t->worker));
    left(t, 1, false);
    trace_expect(t, "1200 left\n");
    assert_false(mf_worker_going(t->worker));
    trace_pass(t, 500);
    trace_expect(t, "");
    trace_free(&t);
    t = trace_welcomed("1");
    trace_down(t);
    trace_feed(t, (struct mf_worker_event){.kind = MF_WORKER_GO}); /* to nobody */
    trace_expect(t, "1000 left\n");
    assert_false(mf_worker_going(t->worker));
    trace_free(&t);
    t = trace_welcomed("1");
    trace_feed(t, (struct mf_worker_event){.kind = MF_WORKER_GO});
    trace_pass(t, 999); /* a broker that does not answer */
    assert_true(mf_worker_going(t->worker));
    trace_skip(t);
    trace_pass(t, 1);
    trace_expect(t, "2000 left\n");
    trace_free(&t);
    t = trace_welcomed("1");
    end(t);
    trace_skip(t);
    trace_feed(t, (struct mf_worker_event){.kind = MF_WORKER_GO}); /* they do not */
    trace_expect(t, "");
    trace_free(&t);
}

static void a_birth_under_way_holds_up_nobody_who_goes(void **state)
{
    struct trace *t = trace_welcomed("1");
    trace_create(t, 10, 2, 60000);
    trace_skip(t);
    trace_feed(t, (struct mf_worker_event){.kind = MF_WORKER_GO});
    trace_expect(t, "1000 say leaving epoch=1\n");
    left(t, 1, false);
    trace_expect(t, "1000 left\n");
    assert_false(mf_worker_going(t->worker));
    trace_free(&t);
}

static void whoever_asks_is_told_that_it_leaves(void **state)
{
    struct trace *t = trace_welcomed("1");
    assert_string_equal(mf_worker_leaving(t->worker), "");
    drain(t, 9000);
    assert_string_equal(mf_worker_leaving(t->worker), "draining");
    left(t, 1, false);
    assert_string_equal(mf_worker_leaving(t->worker), "leaving");
    end(t);
    assert_string_equal(mf_worker_leaving(t->worker), "leaving");
    trace_skip(t);
    trace_free(&t);
    t = trace_welcomed("1");
    trace_feed(t, (struct mf_worker_event){.kind = MF_WORKER_GO});
    assert_string_equal(mf_worker_leaving(t->worker), "leaving");
    trace_skip(t);
    trace_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_said_until_it_is_answered),
        cmocka_unit_test(a_broker_that_does_not_answer_has_a_second),
        cmocka_unit_test(without_a_session_nobody_is_told),
        cmocka_unit_test(births_are_waited_for),
        cmocka_unit_test(a_drain_is_asked_for_in_every_epoch),
        cmocka_unit_test(an_end_follows_a_drain),
        cmocka_unit_test(who_ends_begins_no_epoch),
        cmocka_unit_test(its_guests_live_on),
        cmocka_unit_test(a_birth_under_way_holds_up_nobody_who_goes),
        cmocka_unit_test(whoever_asks_is_told_that_it_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
