/* print.c - Markdown out of tables. */
#include "print.h"

#include "check.h"
#include <stdio.h>
#include <string.h>

/* -- the broker's lives: a refusal has one reason for its whole state */

static const char *life_word(const struct mf_life *life, unsigned state)
{
    return state ? life->state_word(state) : "(not born)";
}

static void print_life_moves(const struct mf_life *life)
{
    printf("\n| state | event | next | why |\n|---|---|---|---|\n");
    for (unsigned s = 0; s < life->n_states; s++)
        for (unsigned e = 0; e < life->n_events; e++)
            if (life->cells[s][e].why)
                printf("| %s | %s | %s | %s |\n", life_word(life, s), life->event_names[e],
                       life_word(life, life->cells[s][e].next), life->cells[s][e].why);
}

void mf_print_life(const struct mf_life *life)
{
    printf("\n### %s\n\n%s\n\n| event | meaning |\n|---|---|\n", life->name, life->doc);
    for (unsigned e = 0; e < life->n_events; e++)
        printf("| %s | %s |\n", life->event_names[e], life->event_docs[e]);
    print_life_moves(life);
    printf("\nEverything else is refused:\n\n| in state | because |\n|---|---|\n");
    for (unsigned s = 0; s < life->n_states; s++)
        printf("| %s | %s |\n", life_word(life, s), life->rest[s]);
}

/* -- worker and health: every cell has its own reason */

static const char *word(const struct mf_table_name *names, size_t n, const char *id)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(names[i].id, id))
            return names[i].word;
    MF_CHECK(!"a row names what its table does not have");
    return "";
}

static void print_names(const char *what, const struct mf_table_name *names, size_t n)
{
    printf("\n| %s | meaning |\n|---|---|\n", what);
    for (size_t i = 0; i < n; i++)
        printf("| %s | %s |\n", names[i].word, names[i].doc);
}

static void print_rows(const struct mf_table *table, bool moves)
{
    for (size_t i = 0; i < table->n_rows; i++) {
        const struct mf_table_row *row = &table->rows[i];
        if ((row->next != NULL) != moves)
            continue;
        printf("| %s | %s |", word(table->states, table->n_states, row->state),
               word(table->events, table->n_events, row->event));
        if (moves)
            printf(" %s |", word(table->states, table->n_states, row->next));
        if (moves && table->tells)
            printf(" %s |", row->told ? mf_verdict_word(row->told) : "");
        printf(" %s |\n", row->why);
    }
}

void mf_print_table(const struct mf_table *table)
{
    printf("\n### %s\n\n%s\n", table->title, table->doc);
    print_names("state", table->states, table->n_states);
    print_names("event", table->events, table->n_events);
    printf(table->tells ? "\n| state | event | next | told | why |\n|---|---|---|---|---|\n"
                        : "\n| state | event | next | why |\n|---|---|---|---|\n");
    print_rows(table, true);
    printf("\nNothing happens:\n\n| state | event | because |\n|---|---|---|\n");
    print_rows(table, false);
}
