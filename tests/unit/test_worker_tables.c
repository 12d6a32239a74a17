/* The tables of the worker's core are whole: every state x event has exactly one row, a move or a
 * refusal, with its reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "worker.h"
#include <string.h>

static size_t words_of(const struct mf_worker_move *moves, size_t n, bool events, const char *ret_words[64])
{
    size_t words = 0;
    for (size_t i = 0; i < n; i++) {
        const char *word = events ? moves[i].event : moves[i].state;
        size_t at = 0;
        while (at < words && strcmp(ret_words[at], word) != 0)
            at++;
        if (at == words)
            ret_words[words++] = word;
    }
    return words;
}

static void check_table(const struct mf_worker_move *moves, size_t n, size_t want_states, size_t want_events)
{
    const char *states[64], *events[64];
    size_t n_states = words_of(moves, n, false, states), n_events = words_of(moves, n, true, events);
    assert_int_equal(n_states, want_states);
    assert_int_equal(n_events, want_events);
    for (size_t s = 0; s < n_states; s++)
        for (size_t e = 0; e < n_events; e++) {
            unsigned rows = 0;
            for (size_t i = 0; i < n; i++)
                rows += !strcmp(moves[i].state, states[s]) && !strcmp(moves[i].event, events[e]);
            if (rows != 1)
                fail_msg("%s x %s has %u rows", states[s], events[e], rows);
        }
    for (size_t i = 0; i < n; i++) {
        assert_true(strlen(moves[i].why) > 3);
        if (moves[i].refused)
            assert_string_equal(moves[i].state, moves[i].next);
    }
}

static void session_table_is_whole(void **state)
{
    const struct mf_worker_move *moves;
    size_t n = mf_worker_session_moves(&moves);
    check_table(moves, n, 5, 8);
}

static void guest_table_is_whole(void **state)
{
    const struct mf_worker_move *moves;
    size_t n = mf_worker_guest_moves(&moves);
    check_table(moves, n, 9, 14);
}

static void leaving_table_is_whole(void **state)
{
    const struct mf_worker_move *moves;
    size_t n = mf_worker_leaving_moves(&moves);
    check_table(moves, n, 8, 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(session_table_is_whole),
                                       cmocka_unit_test(guest_table_is_whole),
                                       cmocka_unit_test(leaving_table_is_whole)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
