/* test_worker_wellbeing.c - what guests say of themselves, and what is said of them: told once, told again
 * until acknowledged, known to every inventory after. */
#include "worker_trace.h"
#include <string.h>

static void ready(struct trace *t, unsigned id)
{
    trace_feed(t, (struct mf_worker_event){.kind = MF_WORKER_READY, .id = trace_id(id)});
}

static void unwell(struct trace *t, unsigned id, const char *console)
{
    trace_feed(t, (struct mf_worker_event){.kind = MF_WORKER_UNWELL,
                                           .id = trace_id(id),
                                           .ailment = MF_AILMENT_AGENT,
                                           .text = mf_str("silent"),
                                           .console = mf_str(console)});
}

static void address(struct trace *t, unsigned id, const char *text)
{
    trace_feed(t,
               (struct mf_worker_event){.kind = MF_WORKER_ADDRESS, .id = trace_id(id), .text = mf_str(text)});
}

static void inventory_ask(struct trace *t)
{
    struct mf_message m = {.kind = MF_MSG_INVENTORY_ASK, .inventory_ask = {.ask_id = 9, .epoch = t->epoch}};
    trace_feed(t, (struct mf_worker_event){.kind = MF_WORKER_MESSAGE, .message = &m});
}

static void ready_is_told_until_acknowledged(void **state)
{
    struct trace *t = trace_welcomed("1 2");
    ready(t, 1);
    trace_expect(t, "1000 say fact-ready #1 epoch=1 1\n");
    ready(t, 1);
    trace_expect(t, "");
    trace_pass(t, 500);
    trace_expect(t, "1500 say fact-ready #1 epoch=1 1\n");
    trace_ack(t, 1);
    trace_pass(t, 499);
    trace_expect(t, "");
    inventory_ask(t);
    trace_expect(t, "1999 list 3\n");
    trace_listed(t, "1 2"); /* the list need not know it: the core does */
    trace_expect(t, "1999 say inventory ask=9 [1:running+ 2:running]\n");
    trace_free(&t);
}

/* A fast guest, a slow create: nothing is said of a guest before its order is answered. */
static void it_speaks_before_it_is_born(void **state)
{
    struct trace *t = trace_welcomed("");
    trace_create(t, 10, 1, 60000);
    trace_skip(t);
    ready(t, 1);
    address(t, 1, "10.1.1.1");
    trace_expect(t, "");
    trace_done(t, MF_OPERATION_CREATE, 1, MF_E_OK);
    trace_expect(t, "1000 say order-result #1 order=10 epoch=1 create 1 ok took=0\n"
                    "1000 say fact-ready #2 epoch=1 1\n"
                    "1000 say guest-address epoch=1 1 10.1.1.1\n");
    trace_free(&t);
}

static void one_that_fails_to_be_born_says_nothing(void **state)
{
    struct trace *t = trace_welcomed("");
    trace_create(t, 10, 1, 60000);
    ready(t, 1);
    trace_skip(t);
    trace_done(t, MF_OPERATION_CREATE, 1, MF_E_DRIVER);
    trace_expect(t, "1000 say order-result #1 order=10 epoch=1 create 1 driver (it broke) took=0\n");
    trace_create(t, 11, 1, 60000); /* the id again: what the first said is forgotten */
    trace_skip(t);
    trace_done(t, MF_OPERATION_CREATE, 1, MF_E_OK);
    trace_expect(t, "1000 say order-result #2 order=11 epoch=1 create 1 ok took=0\n");
    trace_free(&t);
}

static void an_earlier_agent_heard_it(void **state)
{
    struct trace *t = trace_new(NULL);
    trace_up(t);
    trace_listed(t, "1+ 2");
    trace_skip(t);
    trace_listed(t, "1+ 2"); /* begun after the link was up */
    trace_expect(t, "1000 say hello term=0 epoch=0 [1:running+ 2:running]\n");
    trace_welcome(t, 1, 5);
    trace_skip(t);
    trace_pass(t, 600);
    trace_expect(t, ""); /* the hello said it */
    ready(t, 1);
    trace_expect(t, "");
    trace_free(&t);
}

/* Heard between the first list's look and its answer. */
static void one_not_known_yet_is_looked_for(void **state)
{
    struct trace *t = trace_welcomed("");
    ready(t, 3);
    trace_expect(t, "1000 list 3\n");
    trace_listed(t, "3+");
    trace_expect(t, "1000 say fact-ready #1 epoch=1 3\n");
    trace_free(&t);
}

static void unwell_is_told_until_acknowledged(void **state)
{
    struct trace *t = trace_welcomed("1");
    unwell(t, 1, "last words");
    trace_expect(t, "1000 say fact-unwell #1 epoch=1 1 agent (silent) console=last words\n");
    trace_pass(t, 500);
    trace_expect(t, "1500 say fact-unwell #1 epoch=1 1 agent (silent) console=last words\n");
    trace_ack(t, 1);
    trace_pass(t, 400);
    unwell(t, 77, ""); /* nobody's */
    trace_expect(t, "");
    trace_free(&t);
}

/* No inventory says it. */
static void unwell_outlives_a_session(void **state)
{
    struct trace *t = trace_welcomed("1 2");
    ready(t, 2);
    unwell(t, 1, "");
    trace_skip(t);
    trace_down(t);
    trace_up(t);
    trace_listed(t, "1 2");
    trace_skip(t);
    trace_welcome(t, 2, 5);
    trace_expect(t, "1000 session epoch=2 term=5 pulse=200 monitors=1\n"
                    "1000 say fact-unwell #2 epoch=2 1 agent (silent) console=\n");
    trace_free(&t);
}

static void addresses_are_told_at_change_and_at_welcome(void **state)
{
    struct trace *t = trace_welcomed("1 2");
    address(t, 1, "10.1.1.1");
    trace_expect(t, "1000 say guest-address epoch=1 1 10.1.1.1\n");
    address(t, 1, "10.1.1.1");
    address(t, 77, "10.1.1.2");
    trace_expect(t, "");
    trace_down(t);
    trace_up(t);
    trace_listed(t, "1 2");
    trace_skip(t);
    trace_welcome(t, 2, 5);
    trace_expect(t, "1000 session epoch=2 term=5 pulse=200 monitors=1\n"
                    "1000 say guest-address epoch=2 1 10.1.1.1\n");
    address(t, 1, "");
    trace_expect(t, "1000 say guest-address epoch=2 1 \n");
    trace_free(&t);
}

static void a_death_carries_the_last_words(void **state)
{
    struct trace *t = trace_welcomed("1");
    char words[5001];
    memset(words, 'x', sizeof words - 1);
    words[5000] = 0;
    memcpy(words + 904, "here", 4); /* of more than fits, the end */
    ready(t, 1);
    trace_ack(t, 1);
    trace_skip(t);
    trace_feed(
        t, (struct mf_worker_event){
               .kind = MF_WORKER_DIED, .id = trace_id(1), .how = MF_DEATH_CRASHED, .console = mf_str(words)});
    mf_buf_append(&t->text, "", 1);
    assert_non_null(strstr(t->text.ptr, "say fact-death #2 epoch=1 1 crashed console=herexxxx"));
    assert_non_null(strstr(t->text.ptr, "x\n1000 destroy 1 grace=0\n"));
    trace_skip(t);
    unwell(t, 1, ""); /* late news of the dead */
    address(t, 1, "10.1.1.1");
    ready(t, 1);
    trace_expect(t, "");
    trace_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ready_is_told_until_acknowledged),
        cmocka_unit_test(it_speaks_before_it_is_born),
        cmocka_unit_test(one_that_fails_to_be_born_says_nothing),
        cmocka_unit_test(an_earlier_agent_heard_it),
        cmocka_unit_test(one_not_known_yet_is_looked_for),
        cmocka_unit_test(unwell_is_told_until_acknowledged),
        cmocka_unit_test(unwell_outlives_a_session),
        cmocka_unit_test(addresses_are_told_at_change_and_at_welcome),
        cmocka_unit_test(a_death_carries_the_last_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
