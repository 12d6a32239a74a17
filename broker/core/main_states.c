/* main_states.c - prints docs/STATES.md from lives.def. A test compares what it prints with the file. */
#include "lives.h"

#include <stdio.h>

static const char *word(const struct mf_life *life, unsigned state)
{
    return state ? life->state_word(state) : "(not born)";
}

static void print_moves(const struct mf_life *life)
{
    printf("| state | event | next | why |\n|---|---|---|---|\n");
    for (unsigned s = 0; s < life->n_states; s++)
        for (unsigned e = 0; e < life->n_events; e++)
            if (life->cells[s][e].why)
                printf("| %s | %s | %s | %s |\n", word(life, s), life->event_names[e],
                       word(life, life->cells[s][e].next), life->cells[s][e].why);
}

static void print_life(const struct mf_life *life)
{
    printf("\n## %s\n\n%s\n\n| event | meaning |\n|---|---|\n", life->name, life->doc);
    for (unsigned e = 0; e < life->n_events; e++)
        printf("| %s | %s |\n", life->event_names[e], life->event_docs[e]);
    printf("\n");
    print_moves(life);
    printf("\nEverything else is refused:\n\n| in state | because |\n|---|---|\n");
    for (unsigned s = 0; s < life->n_states; s++)
        printf("| %s | %s |\n", word(life, s), life->rest[s]);
}

int main(void)
{
    printf("# States\n\nPrinted from `broker/core/lives.def`; do not edit. `mf_states > docs/STATES.md` "
           "makes it again.\n");
    print_life(&mf_life_instance);
    print_life(&mf_life_group);
    print_life(&mf_life_node);
    print_life(&mf_life_order);
    return 0;
}
