/* print.h - a table of states as Markdown. Two shapes exist: the broker's lives, which come as data, and the
 * .def files of worker and health, whose rows are taken in here as they are written. */
#ifndef MF_STATES_PRINT_H
#define MF_STATES_PRINT_H

#include "lives.h"
#include "message.h"

struct mf_table_name { /* a state or a trigger */
    const char *id, *word, *doc;
};
struct mf_table_row {
    const char *state, *event, *next, *why; /* ids; next is NULL where the event is refused */
    enum mf_verdict told;
};
struct mf_table {
    const char *title, *doc;
    const struct mf_table_name *states, *events;
    const struct mf_table_row *rows;
    size_t n_states, n_events, n_rows;
    bool tells; /* a move may tell a verdict: print which */
};

void mf_print_life(const struct mf_life *life);
void mf_print_table(const struct mf_table *table);

#endif
