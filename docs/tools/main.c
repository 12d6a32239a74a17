/* main.c - prints docs/STATES.md from the cores' own tables: lives.def, session.def, guest.def, leaving.def,
 * ear.def. A test compares what it prints with the file. */
#include "message.h"
#include "print.h"

#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* The states of each table, then its triggers, then its rows. A move of the worker's names a function, which
 * is no reader's business here; a move of health's names the verdict that is told. */
#define MF_STATE(ID, word, doc) {#ID, word, doc},
#define MF_TRIGGER(ID, word, doc)
#define MF_MOVE(state, event, next, act, why)
#define MF_REFUSE(state, event, why)
static const struct mf_table_name session_states[] = {
#include "session.def"
};
static const struct mf_table_name guest_states[] = {
#include "guest.def"
};
static const struct mf_table_name leaving_states[] = {
#include "leaving.def"
};
static const struct mf_table_name ear_states[] = {
#include "ear.def"
};
#undef MF_STATE
#undef MF_TRIGGER

#define MF_STATE(ID, word, doc)
#define MF_TRIGGER(ID, word, doc) {#ID, word, doc},
static const struct mf_table_name session_events[] = {
#include "session.def"
};
static const struct mf_table_name guest_events[] = {
#include "guest.def"
};
static const struct mf_table_name leaving_events[] = {
#include "leaving.def"
};
static const struct mf_table_name ear_events[] = {
#include "ear.def"
};
#undef MF_TRIGGER
#undef MF_MOVE
#undef MF_REFUSE

#define MF_TRIGGER(ID, word, doc)
#define MF_MOVE(state, event, next, act, why) {#state, #event, #next, why, 0},
#define MF_REFUSE(state, event, why)          {#state, #event, NULL, why, 0},
static const struct mf_table_row session_rows[] = {
#include "session.def"
};
static const struct mf_table_row guest_rows[] = {
#include "guest.def"
};
static const struct mf_table_row leaving_rows[] = {
#include "leaving.def"
};
#undef MF_MOVE
#define MF_MOVE(state, event, next, verdict, why) {#state, #event, #next, why, MF_VERDICT_##verdict},
static const struct mf_table_row ear_rows[] = {
#include "ear.def"
};
#undef MF_STATE
#undef MF_TRIGGER
#undef MF_MOVE
#undef MF_REFUSE

#define TABLE(name)                                                                                          \
    .states = name##_states, .events = name##_events, .rows = name##_rows, .n_states = COUNT(name##_states), \
    .n_events = COUNT(name##_events), .n_rows = COUNT(name##_rows)

static void print_broker(void)
{
    printf("\n## Broker: `broker/core/lives.def`\n");
    mf_print_life(&mf_life_instance);
    mf_print_life(&mf_life_group);
    mf_print_life(&mf_life_node);
    mf_print_life(&mf_life_order);
}

static void print_worker(void)
{
    printf("\n## Worker: `session.def`, `guest.def` and `leaving.def` in `worker/core`\n");
    mf_print_table(
        &(struct mf_table){.title = "session", .doc = "The talk with the broker.", TABLE(session)});
    mf_print_table(
        &(struct mf_table){.title = "guest", .doc = "The life of a guest on this node.", TABLE(guest)});
    mf_print_table(&(struct mf_table){.title = "leaving", .doc = "The worker's own end.", TABLE(leaving)});
}

static void print_health(void)
{
    printf("\n## Health: `health/core/ear.def`\n");
    mf_print_table(&(struct mf_table){
        .title = "ear",
        .doc = "What a monitor thinks of one epoch of one node, and the verdict that it tells the broker.",
        .tells = true,
        TABLE(ear)});
}

int main(void)
{
    printf("# States\n\nPrinted from the tables of the three cores; do not edit. `mayfly-states > "
           "docs/STATES.md` "
           "makes it again.\n");
    print_broker();
    print_worker();
    print_health();
    return 0;
}
