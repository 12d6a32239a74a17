/* test_broker_lives.c - every state x event is a move or an explicit refusal, and no state is a trap that
 * nothing leads to. */
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

static void every_cell_is_said(const struct mf_life *life)
{
    assert_true(life->n_states <= MF_LIFE_STATES && life->n_events <= MF_LIFE_EVENTS);
    for (unsigned s = 0; s < life->n_states; s++) {
        assert_non_null(life->rest[s]);
        assert_true(s == 0 || life->state_word(s)[0] != 0);
        for (unsigned e = 0; e < life->n_events; e++) {
            const char *why = NULL;
            unsigned next = 99;
            bool moves = mf_life_move(life, s, e, &next, &why);
            assert_non_null(why);
            assert_true(why[0] != 0);
            assert_true(moves ? next < life->n_states && next != 0 : next == 99);
        }
    }
    for (unsigned e = 0; e < life->n_events; e++)
        assert_true(life->event_names[e] && life->event_docs[e]);
}

static void every_state_is_reached(const struct mf_life *life)
{
    for (unsigned want = 1; want < life->n_states; want++) {
        bool reached = false;
        for (unsigned s = 0; s < life->n_states; s++)
            for (unsigned e = 0; e < life->n_events; e++)
                reached |= s != want && life->cells[s][e].why && life->cells[s][e].next == want;
        assert_true(reached);
    }
}

static void test_tables(void **state)
{
    const struct mf_life *lives[] = {&mf_life_instance, &mf_life_group, &mf_life_node, &mf_life_order};

    for (size_t i = 0; i < 4; i++) {
        every_cell_is_said(lives[i]);
        every_state_is_reached(lives[i]);
    }
}

/* The name of every row about an instance, group or node is the name of an event in the log. */
static void test_names_are_rows(void **state)
{
    const struct mf_life *lives[] = {&mf_life_instance, &mf_life_group, &mf_life_node};

    for (size_t i = 0; i < 3; i++)
        for (unsigned e = 0; e < lives[i]->n_events; e++) {
            const struct mf_desc *desc = mf_desc_by_wire(mf_str(lives[i]->event_names[e]));
            assert_non_null(desc);
            assert_true(desc->kind > MF_MSG_COUNT);
        }
}

static void test_terminal(void **state)
{
    for (unsigned e = 0; e < mf_life_instance.n_events; e++)
        assert_null(mf_life_instance.cells[MF_INSTANCE_STATE_GONE][e].why);
    for (unsigned e = 0; e < mf_life_instance.n_events; e++) { /* what must never run again never does */
        assert_true(mf_life_instance.cells[MF_INSTANCE_STATE_TOMBSTONE][e].next != MF_INSTANCE_STATE_RUNNING);
        assert_true(mf_life_instance.cells[MF_INSTANCE_STATE_DESTROYING][e].next !=
                    MF_INSTANCE_STATE_RUNNING);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tables), cmocka_unit_test(test_names_are_rows),
                                       cmocka_unit_test(test_terminal)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
