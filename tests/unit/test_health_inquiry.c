/* test_health_inquiry.c - the numbers of probes: which echo answers which, and what the peers' opinion comes
 * to.
 */
#include "inquiry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static struct mf_inquiry inquiry;
static struct mf_random dice;
static mf_ms sent;

static int begin(void **state)
{
    inquiry = (struct mf_inquiry){0};
    mf_random_seed(&dice, 7);
    sent = -1;
    return 0;
}

static void test_every_probe_has_its_own_answer(void **state)
{
    uint64_t nonces[MF_INQUIRY_KEPT * MF_INQUIRY_ROUND];
    size_t n = 0;
    for (int round = 0; round < MF_INQUIRY_KEPT; round++) {
        mf_inquiry_begin_round(&inquiry, &dice, 1000 + round);
        for (unsigned i = 0; i < MF_INQUIRY_ROUND; i++)
            nonces[n++] = mf_inquiry_ask(&inquiry, i);
    }
    assert_false(mf_inquiry_answered(&inquiry, nonces[0] - 1, &sent));
    assert_false(mf_inquiry_answered(&inquiry, nonces[n - 1] + 1, &sent));
    assert_int_equal(sent, -1);
    for (size_t i = n; i-- > 0;) {
        assert_true(mf_inquiry_answered(&inquiry, nonces[i], &sent));
        assert_int_equal(sent, 1000 + (mf_ms)i / MF_INQUIRY_ROUND);
        assert_false(mf_inquiry_answered(&inquiry, nonces[i], &sent)); /* once */
    }
}

static void test_old_rounds_are_forgotten(void **state)
{
    mf_inquiry_begin_round(&inquiry, &dice, 1000);
    uint64_t old = mf_inquiry_ask(&inquiry, 0);
    for (int round = 1; round < MF_INQUIRY_KEPT; round++)
        mf_inquiry_begin_round(&inquiry, &dice, 1000 + round);
    assert_true(mf_inquiry_answered(&inquiry, old, &sent));
    mf_inquiry_begin_round(&inquiry, &dice, 2000);
    assert_false(mf_inquiry_answered(&inquiry, old, &sent));
    assert_true(
        mf_inquiry_answered(&inquiry, mf_inquiry_ask(&inquiry, 0), &sent)); /* its bit is free again */
    assert_int_equal(sent, 2000);
}

static void assert_opinion(uint64_t asked, uint64_t echoes)
{
    uint64_t have_asked, have_echoes;
    mf_inquiry_opinion(&inquiry, &have_asked, &have_echoes);
    assert_int_equal(have_asked, asked);
    assert_int_equal(have_echoes, echoes);
}

static uint64_t ask_round(unsigned peers) /* returns the nonce of the last */
{
    uint64_t nonce = 0;
    mf_inquiry_begin_round(&inquiry, &dice, 1000);
    for (unsigned i = 0; i <= peers; i++)
        nonce = mf_inquiry_ask(&inquiry, i);
    return nonce;
}

static void test_opinion_is_of_the_last_two_rounds(void **state)
{
    assert_opinion(0, 0);
    uint64_t direct = ask_round(0);
    assert_true(mf_inquiry_answered(&inquiry, direct, &sent));
    assert_opinion(0, 0); /* what it answers directly is no peer's opinion */
    uint64_t by_peer = ask_round(3);
    assert_opinion(3, 0);
    assert_true(mf_inquiry_answered(&inquiry, by_peer, &sent));
    ask_round(2);
    assert_opinion(3, 1);
    ask_round(2);
    assert_opinion(2, 0);
    mf_inquiry_end(&inquiry);
    assert_opinion(0, 0);
}

static void test_pause_between_rounds(void **state)
{
    assert_int_equal(mf_inquiry_next(&inquiry, 100), 0);
    mf_inquiry_begin_round(&inquiry, &dice, 1000);
    assert_int_equal(mf_inquiry_next(&inquiry, 100), 1100);
    inquiry.not_before = 1170;
    assert_int_equal(mf_inquiry_next(&inquiry, 100), 1170);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_every_probe_has_its_own_answer, begin),
        cmocka_unit_test_setup(test_old_rounds_are_forgotten, begin),
        cmocka_unit_test_setup(test_opinion_is_of_the_last_two_rounds, begin),
        cmocka_unit_test_setup(test_pause_between_rounds, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
