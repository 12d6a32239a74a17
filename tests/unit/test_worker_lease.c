/* The lease's clockwork alone: time and answers go in, asks, clearances and fences come out, as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lease.h"
#include <stdio.h>
#include <string.h>

enum { PLACES = 8, BASE = 100 };

static struct mf_lease lease;
static struct mf_lease_entry places[PLACES];
static char said[2048];

static struct mf_uuid id(unsigned n)
{
    return (struct mf_uuid){{[15] = (uint8_t)n}};
}

static void drain(mf_ms now)
{
    struct mf_lease_action action;
    size_t len = strlen(said);
    while (mf_lease_poll(&lease, now, &action)) {
        static const char *const words[] = {"", "ask", "clear", "fence", "scan"};
        if (action.kind == MF_LEASE_ASK)
            len +=
                (size_t)snprintf(said + len, sizeof said - len, "%lld ask %llu.%llu\n", (long long)now,
                                 (unsigned long long)action.epoch, (unsigned long long)action.ask_id - BASE);
        else if (action.kind == MF_LEASE_SCAN)
            len += (size_t)snprintf(said + len, sizeof said - len, "%lld scan\n", (long long)now);
        else
            len += (size_t)snprintf(said + len, sizeof said - len, "%lld %s %u\n", (long long)now,
                                    words[action.kind], action.id.bytes[15]);
        assert_true(len < sizeof said - 64);
    }
    assert_true(mf_lease_deadline(&lease) > now); /* a deadline that stays is a loop that spins */
}

/* Time goes on to `until`, with a stop at each deadline on the way, as a keeper does. */
static void pass(mf_ms until)
{
    for (mf_ms at; (at = mf_lease_deadline(&lease)) <= until;)
        drain(at);
    drain(until);
}

static void expect(const char *text)
{
    assert_string_equal(said, text);
    said[0] = 0;
}

static void session(mf_ms now, uint64_t epoch)
{
    mf_lease_session(&lease, now, epoch, 2000);
    drain(now);
}

static void intent(mf_ms now, unsigned n)
{
    assert_true(mf_lease_intent(&lease, now, id(n)));
    drain(now);
}

static bool granted(mf_ms now, uint64_t epoch, uint64_t ask)
{
    bool longer = mf_lease_granted(&lease, now, epoch, BASE + ask, 10000);
    drain(now);
    return longer;
}

static bool hold(mf_ms now, unsigned n)
{
    bool may = mf_lease_hold(&lease, now, id(n));
    drain(now);
    return may;
}

static int setup(void **state)
{
    said[0] = 0;
    mf_lease_init(&lease, places, PLACES, BASE, 0);
    return 0;
}

/* A guest held under a lease that was asked for at 1000, so that it lasts to 11000. */
static void with_a_guest(unsigned n)
{
    session(1000, 7);
    intent(1000, n);
    assert_true(granted(1020, 7, 1));
    assert_true(hold(1500, n));
    said[0] = 0;
}

static void nothing_is_asked_without_need(void **state)
{
    session(1000, 7);
    pass(60000);
    expect("");
    assert_true(mf_lease_deadline(&lease) == INT64_MAX);
}

static void an_intent_asks_at_once_and_waits(void **state)
{
    intent(900, 1);
    expect(""); /* whom to ask? */
    session(1000, 7);
    expect("1000 ask 7.1\n");
    assert_true(granted(1030, 7, 1));
    expect("1030 clear 1\n");
    assert_true(lease.until == 11000); /* from the ask, not from its answer */
    assert_true(hold(1500, 1));
    pass(3100);
    expect("3000 ask 7.2\n");
}

static void an_older_ask_clears_nothing(void **state)
{
    session(1000, 7);
    intent(1000, 1);
    intent(1001, 2);
    expect("1000 ask 7.1\n1001 ask 7.2\n");
    assert_true(granted(1030, 7, 1));
    expect("1030 clear 1\n");
    assert_true(granted(1040, 7, 2));
    expect("1040 clear 2\n");
    assert_false(granted(1050, 7, 1)); /* answered late, and twice */
    assert_false(granted(1050, 7, 2));
    expect("");
}

static void a_valid_lease_does_not_clear_a_new_intent(void **state)
{
    with_a_guest(1);
    intent(1600, 2);
    expect("1600 ask 7.2\n");
    assert_int_equal(mf_lease_state(&lease, id(2)), MF_LEASE_WAITING);
    assert_false(hold(1700, 2)); /* an agent that does not wait has its guest killed */
    expect("1700 fence 2\n");
    assert_int_equal(mf_lease_state(&lease, id(1)), MF_LEASE_HELD);
}

static void answers_that_are_not_ours(void **state)
{
    session(1000, 7);
    intent(1000, 1);
    said[0] = 0;
    assert_false(granted(1010, 6, 1)); /* another epoch */
    assert_false(granted(1010, 7, 2)); /* never asked */
    assert_false(granted(1010, 7, 9));
    assert_false(mf_lease_granted(&lease, 1010, 7, 0, 10000));
    assert_false(mf_lease_granted(&lease, 11000, 7, BASE + 1, 10000)); /* over before it came */
    drain(11000);
    expect("11000 ask 7.2\n");
    assert_false(mf_lease_valid(&lease, 1010));
}

static void the_end_fences_by_time_alone(void **state)
{
    with_a_guest(1);
    intent(2000, 2); /* cleared, its create is under way */
    assert_true(granted(2010, 7, 2));
    intent(2500, 3); /* never answered */
    said[0] = 0;
    assert_true(mf_lease_deadline(&lease) <= 12000);
    pass(11999);
    expect("4500 ask 7.4\n6500 ask 7.5\n8500 ask 7.6\n10500 ask 7.7\n");
    pass(12001);
    expect("12000 fence 1\n12000 scan\n");
    assert_true(mf_lease_fences(&lease, id(1)) && mf_lease_fences(&lease, id(2)));
    assert_int_equal(mf_lease_state(&lease, id(3)), MF_LEASE_WAITING);
}

static void what_is_fenced_stays_so(void **state)
{
    with_a_guest(1);
    pass(11000);
    said[0] = 0;
    session(11500, 8);
    intent(11500, 2);
    pass(11600);
    assert_true(granted(11600, 8, lease.ask_id - BASE));
    said[0] = 0;
    assert_false(hold(11700, 1)); /* it must not come back under the next lease */
    assert_true(mf_lease_fences(&lease, id(1)));
    assert_non_null(strstr(said, "11700 fence 1\n"));
    mf_lease_gone(&lease, 11800, id(1));
    assert_int_equal(mf_lease_state(&lease, id(1)), MF_LEASE_FREE);
    assert_int_equal(lease.n_fenced, 0);
}

static void scans_go_on_until_the_intent_is_over(void **state)
{
    session(1000, 7);
    intent(1000, 1);
    assert_true(granted(1010, 7, 1));
    said[0] = 0;
    pass(10999);
    said[0] = 0;
    pass(11400);
    expect("11000 scan\n11050 scan\n11150 scan\n11350 scan\n");
    pass(20000);
    said[0] = 0;
    mf_lease_intent_over(&lease, 20000, id(1));
    pass(60000);
    expect("");
}

static void a_new_session_keeps_the_end_and_asks_anew(void **state)
{
    with_a_guest(1);
    session(2000, 8);
    expect("2000 ask 8.2\n");
    assert_true(lease.until == 11000);
    assert_false(granted(2100, 7, 1));
    assert_false(granted(2100, 8, 1)); /* asked under the old epoch */
    session(2200, 8);                  /* told again: not a new one */
    expect("");
    assert_true(granted(2300, 8, 2));
    assert_true(lease.until == 12000);
}

static void the_end_never_moves_back(void **state)
{
    with_a_guest(1);
    pass(3000);
    assert_false(mf_lease_granted(&lease, 3010, 7, BASE + 2, 1000));
    assert_true(lease.until == 11000);
}

static void found_guests(void **state)
{
    mf_lease_init(&lease, places, PLACES, BASE, 5000); /* what an earlier keeper of this boot had */
    assert_true(hold(1000, 1));
    pass(4999);
    expect("");
    pass(5000);
    expect("5000 fence 1\n");
    setup(NULL); /* nothing is known: nothing may run */
    assert_false(hold(1000, 1));
    expect("1000 fence 1\n");
}

/* A keeper that was stopped over the end of its lease finds an answer first when it wakes. */
static void an_answer_that_comes_after_the_end(void **state)
{
    with_a_guest(1);
    pass(9000);
    said[0] = 0;
    uint64_t ask = lease.ask_id - BASE; /* asked at 9000: good until 19000, had it come in time */
    assert_true(granted(12000, 7, ask));
    assert_non_null(strstr(said, "12000 fence 1\n")); /* its successor may run by now */
}

static void restored_guests(void **state)
{
    mf_lease_init(&lease, places, PLACES, BASE, 5000);
    mf_lease_restore(&lease, 1000, id(1));
    mf_lease_restore(&lease, 1000, id(2));
    mf_lease_restore(&lease, 1000, id(3));
    drain(1000);
    assert_true(hold(1500, 2));
    mf_lease_agent_ended(&lease, 2000); /* before it had listed all: nothing is lost by that */
    pass(4999);
    expect("");
    pass(5000);
    expect("5000 fence 2\n5000 scan\n"); /* the others have no process that we hold: they are looked for */
    assert_true(mf_lease_fences(&lease, id(1)) && mf_lease_fences(&lease, id(3)));
    setup(NULL);
    mf_lease_init(&lease, places, PLACES, BASE, 5000);
    mf_lease_restore(&lease, 1000, id(1));
    mf_lease_agent_ready(&lease, 2000); /* listed, and not found: it had ended */
    assert_int_equal(lease.n_held, 0);
    pass(60000);
    expect("");
}

static void an_agent_ends(void **state)
{
    with_a_guest(1);
    intent(1600, 2);
    assert_true(granted(1610, 7, 2)); /* begun */
    intent(1620, 3);                  /* waits */
    said[0] = 0;
    mf_lease_agent_ended(&lease, 1700);
    drain(1700);
    expect("1700 scan\n"); /* what it had begun to make is nobody's */
    assert_int_equal(mf_lease_state(&lease, id(1)), MF_LEASE_HELD);
    assert_true(mf_lease_fences(&lease, id(2)));
    assert_int_equal(mf_lease_state(&lease, id(3)), MF_LEASE_FREE);
    mf_lease_agent_ready(&lease, 1800);
    drain(1800);
    assert_int_equal(mf_lease_state(&lease, id(2)), MF_LEASE_FREE);
    assert_int_equal(lease.n_fenced, 0);
}

static void the_keeper_ends(void **state)
{
    with_a_guest(1);
    mf_lease_end(&lease, 2000);
    drain(2000);
    expect("2000 fence 1\n");
}

static void no_place_left(void **state)
{
    session(1000, 7);
    for (unsigned n = 1; n <= PLACES; n++)
        intent(1000, n);
    assert_false(mf_lease_intent(&lease, 1000, id(99)));
    assert_false(mf_lease_hold(&lease, 1000, id(99)));
    mf_lease_intent_over(&lease, 1000, id(3));
    assert_true(mf_lease_intent(&lease, 1000, id(99)));
}

static void an_intent_for_what_runs(void **state)
{
    with_a_guest(1);
    intent(1600, 1);
    assert_true(granted(1610, 7, 2));
    expect("1600 ask 7.2\n1610 clear 1\n");
    assert_int_equal(mf_lease_state(&lease, id(1)), MF_LEASE_HELD);
    mf_lease_intent_over(&lease, 1700, id(1));
    assert_int_equal(mf_lease_state(&lease, id(1)), MF_LEASE_HELD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup(f, setup)
        TEST(nothing_is_asked_without_need),
        TEST(an_intent_asks_at_once_and_waits),
        TEST(an_older_ask_clears_nothing),
        TEST(a_valid_lease_does_not_clear_a_new_intent),
        TEST(answers_that_are_not_ours),
        TEST(the_end_fences_by_time_alone),
        TEST(what_is_fenced_stays_so),
        TEST(scans_go_on_until_the_intent_is_over),
        TEST(a_new_session_keeps_the_end_and_asks_anew),
        TEST(the_end_never_moves_back),
        TEST(found_guests),
        TEST(an_answer_that_comes_after_the_end),
        TEST(restored_guests),
        TEST(an_agent_ends),
        TEST(the_keeper_ends),
        TEST(no_place_left),
        TEST(an_intent_for_what_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
