/* test_health_table.c - every state x trigger of ear.def is exactly one row, and the rows mean what the
 * design says. */
#include "ear.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <string.h>

#define MF_STATE(ID, word, doc)
#define MF_TRIGGER(ID, word, doc)
#define MF_MOVE(state, trigger, next, verdict, why) rows[MF_EAR_##state][MF_EAR_ON_##trigger]++;
#define MF_REFUSE(state, trigger, why)              rows[MF_EAR_##state][MF_EAR_ON_##trigger]++;

static void test_every_cell_is_one_row(void **state)
{
    unsigned rows[MF_EAR_STATES][MF_EAR_TRIGGERS] = {{0}};
#include "ear.def"
    for (unsigned s = 0; s < MF_EAR_STATES; s++)
        for (unsigned t = 0; t < MF_EAR_TRIGGERS; t++) {
            if (rows[s][t] != 1)
                fail_msg("%s x %s has %u rows", mf_ear_state_word(s), mf_ear_trigger_word(t), rows[s][t]);
            assert_true(strlen(mf_ear_move(s, t)->why) > 0);
        }
}

static void test_what_does_not_move_says_nothing(void **state)
{
    for (unsigned s = 0; s < MF_EAR_STATES; s++)
        for (unsigned t = 0; t < MF_EAR_TRIGGERS; t++) {
            const struct mf_ear_move *move = mf_ear_move(s, t);
            if (!move->moves) {
                assert_int_equal(move->next, s);
                assert_int_equal(move->verdict, MF_VERDICT_UNSET);
            }
        }
}

static void test_each_verdict_has_its_one_trigger(void **state)
{
    static const enum mf_verdict verdicts[MF_EAR_TRIGGERS] = {[MF_EAR_ON_QUIET] = MF_VERDICT_SUSPECT,
                                                              [MF_EAR_ON_DEAD] = MF_VERDICT_FAILED,
                                                              [MF_EAR_ON_ANSWERED] = MF_VERDICT_SUSPECT,
                                                              [MF_EAR_ON_HEARD] = MF_VERDICT_RECOVERED};
    for (unsigned s = 0; s < MF_EAR_STATES; s++)
        for (unsigned t = 0; t < MF_EAR_TRIGGERS; t++)
            if (mf_ear_move(s, t)->moves)
                assert_int_equal(mf_ear_move(s, t)->verdict, verdicts[t]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_cell_is_one_row),
        cmocka_unit_test(test_what_does_not_move_says_nothing),
        cmocka_unit_test(test_each_verdict_has_its_one_trigger),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
