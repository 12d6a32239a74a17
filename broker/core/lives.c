/* lives.c - lives.def turned into tables, and the one look-up. */
#include "lives.h"
#include "check.h"

static const char *instance_word(unsigned state)
{
    return mf_instance_state_word((enum mf_instance_state)state);
}
static const char *group_word(unsigned state)
{
    return mf_group_state_word((enum mf_group_state)state);
}
static const char *node_word(unsigned state)
{
    return mf_node_state_word((enum mf_node_state)state);
}
static const char *order_word(unsigned state)
{
    static const char *const words[MF_ENUM_COUNT_order_state] = {"",      "queued", "sent",
                                                                 "acked", "retry",  "over"};

    MF_CHECK(state < MF_ENUM_COUNT_order_state);
    return words[state];
}

#define MF_LIFE_BEGIN(life, LIFE, sentence)                                                                  \
    const struct mf_life mf_life_##life = {.name = #life,                                                    \
                                           .doc = sentence,                                                  \
                                           .n_states = MF_ENUM_COUNT_##life##_state,                         \
                                           .n_events = MF_##life##_EVENT_COUNT,                              \
                                           .state_word = life##_word,
#define MF_LIFE_EVENT(LIFE, EVENT, name, sentence)                                                           \
    .event_names[MF_##LIFE##_EVENT_##EVENT] = name, .event_docs[MF_##LIFE##_EVENT_##EVENT] = sentence,
#define MF_MOVE(LIFE, STATE, EVENT, NEXT, sentence)                                                          \
    .cells[MF_##LIFE##_STATE_##STATE][MF_##LIFE##_EVENT_##EVENT] = {MF_##LIFE##_STATE_##NEXT, sentence},
#define MF_REST(LIFE, STATE, sentence) .rest[MF_##LIFE##_STATE_##STATE] = sentence,
#define MF_LIFE_END(life)                                                                                    \
    }                                                                                                        \
    ;
#include "lives.def"

bool mf_life_move(const struct mf_life *life, unsigned state, unsigned event, unsigned *ret_next,
                  const char **ret_why)
{
    MF_CHECK(state < life->n_states && event < life->n_events);
    const struct mf_life_cell *cell = &life->cells[state][event];

    *ret_why = cell->why ? cell->why : life->rest[state];
    if (!cell->why)
        return false;
    *ret_next = cell->next;
    mf_move_taken(life->name, state, event);
    return true;
}
