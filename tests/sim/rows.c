/* The tables are those that docs/STATES.md is printed from. */
#include "rows.h"
#include "check.h"
#include "lives.h"
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { STATES_MOST = 16, EVENTS_MOST = 24 };

struct cell {
    unsigned state, event;
    const char *state_word, *event_word;
    bool moves;
};
struct table {
    const char *name;
    const struct mf_life *life; /* or cells */
    const struct cell *cells;
    size_t n_cells;
};

/* A .def file once as names and once as rows. */
#define MF_STATE(ID, word, doc) SESSION_##ID,
#define MF_TRIGGER(ID, word, doc)
#define MF_MOVE(state, event, next, act, why)
#define MF_REFUSE(state, event, why)
enum session_states {
#include "session.def"
};
#undef MF_STATE
#define MF_STATE(ID, word, doc) GUEST_##ID,
enum guest_states {
#include "guest.def"
};
#undef MF_STATE
#define MF_STATE(ID, word, doc) LEAVING_##ID,
enum leaving_states {
#include "leaving.def"
};
#undef MF_STATE
#define MF_STATE(ID, word, doc) EAR_##ID,
enum ear_states {
#include "ear.def"
};
#undef MF_STATE
#undef MF_TRIGGER
#define MF_STATE(ID, word, doc)
#define MF_TRIGGER(ID, word, doc) SESSION_ON_##ID,
enum session_events {
#include "session.def"
};
#undef MF_TRIGGER
#define MF_TRIGGER(ID, word, doc) GUEST_ON_##ID,
enum guest_events {
#include "guest.def"
};
#undef MF_TRIGGER
#define MF_TRIGGER(ID, word, doc) LEAVING_ON_##ID,
enum leaving_events {
#include "leaving.def"
};
#undef MF_TRIGGER
#define MF_TRIGGER(ID, word, doc) EAR_ON_##ID,
enum ear_events {
#include "ear.def"
};
#undef MF_TRIGGER
#undef MF_MOVE
#undef MF_REFUSE
#define MF_TRIGGER(ID, word, doc)
#define MF_MOVE(state, event, next, act, why) {SESSION_##state, SESSION_ON_##event, #state, #event, true},
#define MF_REFUSE(state, event, why)          {SESSION_##state, SESSION_ON_##event, #state, #event, false},
static const struct cell session_cells[] = {
#include "session.def"
};
#undef MF_MOVE
#undef MF_REFUSE
#define MF_MOVE(state, event, next, act, why) {GUEST_##state, GUEST_ON_##event, #state, #event, true},
#define MF_REFUSE(state, event, why)          {GUEST_##state, GUEST_ON_##event, #state, #event, false},
static const struct cell guest_cells[] = {
#include "guest.def"
};
#undef MF_MOVE
#undef MF_REFUSE
#define MF_MOVE(state, event, next, act, why) {LEAVING_##state, LEAVING_ON_##event, #state, #event, true},
#define MF_REFUSE(state, event, why)          {LEAVING_##state, LEAVING_ON_##event, #state, #event, false},
static const struct cell leaving_cells[] = {
#include "leaving.def"
};
#undef MF_MOVE
#undef MF_REFUSE
#define MF_MOVE(state, event, next, act, why) {EAR_##state, EAR_ON_##event, #state, #event, true},
#define MF_REFUSE(state, event, why)          {EAR_##state, EAR_ON_##event, #state, #event, false},
static const struct cell ear_cells[] = {
#include "ear.def"
};

#define CELLS(name) .cells = name##_cells, .n_cells = sizeof(name##_cells) / sizeof(name##_cells[0])
static const struct table tables[] = {{"instance", .life = &mf_life_instance},
                                      {"group", .life = &mf_life_group},
                                      {"node", .life = &mf_life_node},
                                      {"order", .life = &mf_life_order},
                                      {"session", CELLS(session)},
                                      {"guest", CELLS(guest)},
                                      {"leaving", CELLS(leaving)},
                                      {"ear", CELLS(ear)}};
enum { TABLES = sizeof(tables) / sizeof(tables[0]) };

struct seen {
    uint8_t taken[TABLES][STATES_MOST][EVENTS_MOST];
    uint8_t events[MF_KIND_COUNT];
};
static struct seen *seen; /* shared by all processes of a hunt */

static void on_move(const char *table, unsigned state, unsigned event)
{
    MF_CHECK(state < STATES_MOST && event < EVENTS_MOST);
    for (unsigned i = 0; i < TABLES; i++)
        if (strcmp(tables[i].name, table) == 0)
            seen->taken[i][state][event] = 1;
}

void mf_sim_rows_watch(void)
{
    seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    MF_CHECK(seen != MAP_FAILED);
    mf_move_hook = on_move;
}

void mf_sim_rows_event(enum mf_kind kind)
{
    MF_CHECK(kind < MF_KIND_COUNT);
    if (!seen)
        return;
    seen->events[kind] = 1;
    if (kind == MF_EV_INSTANCE_CREATED) /* births ask no table: there is nothing to move yet */
        on_move("instance", MF_INSTANCE_STATE_UNSET, MF_INSTANCE_EVENT_CREATED);
    if (kind == MF_EV_INSTANCE_ADOPTED)
        on_move("instance", MF_INSTANCE_STATE_UNSET, MF_INSTANCE_EVENT_ADOPTED);
    if (kind == MF_EV_GROUP_CREATED)
        on_move("group", MF_GROUP_STATE_UNSET, MF_GROUP_EVENT_CREATED);
}

struct sum { /* of moves, and of explicit refusals */
    unsigned all[2], taken[2];
};

static void count(const struct table *table, struct sum *sum, const struct cell *cell)
{
    bool was_taken = seen->taken[table - tables][cell->state][cell->event];
    sum->all[cell->moves]++;
    sum->taken[cell->moves] += was_taken;
    if (cell->moves && !was_taken)
        printf("  row never taken: %s, %s: %s\n", table->name, cell->state_word, cell->event_word);
}

static void count_life(const struct table *table, struct sum *sum)
{
    for (unsigned state = 0; state < table->life->n_states; state++)
        for (unsigned event = 0; event < table->life->n_events; event++)
            if (table->life->cells[state][event].why)
                count(table, sum,
                      &(struct cell){state, event, state ? table->life->state_word(state) : "unset",
                                     table->life->event_names[event], true});
}

static void print_events(void)
{
    unsigned all = 0, written = 0;
    for (unsigned kind = MF_MSG_COUNT + 1; kind < MF_KIND_COUNT; kind++) { /* messages stand before them */
        const struct mf_desc *desc = mf_kind_desc((enum mf_kind)kind);
        all++;
        written += seen->events[kind];
        if (!seen->events[kind])
            printf("  event never written: %s\n", desc->wire);
    }
    printf("events: %u of %u written\n", written, all);
}

void mf_sim_rows_print(void)
{
    print_events();
    for (unsigned i = 0; i < TABLES; i++) {
        const struct table *table = &tables[i];
        struct sum sum = {0};
        if (table->life)
            count_life(table, &sum);
        for (size_t k = 0; k < table->n_cells; k++)
            count(table, &sum, &table->cells[k]);
        printf("rows of %s: %u of %u moves taken", table->name, sum.taken[true], sum.all[true]);
        printf(sum.all[false] ? ", %u of %u refusals met\n" : "\n", sum.taken[false], sum.all[false]);
    }
}
