/* lives.h - the state machines of lives.def as data: who asks for a move, and who prints the book of states,
 * read the same rows. */
#ifndef MF_LIVES_H
#define MF_LIVES_H

#include "message.h"

#define MF_LIFE_BEGIN(life, LIFE, doc)                                                                       \
    enum mf_##life##_event                                                                                   \
    {
#define MF_LIFE_EVENT(LIFE, EVENT, name, doc) MF_##LIFE##_EVENT_##EVENT,
#define MF_MOVE(LIFE, STATE, EVENT, NEXT, why)
#define MF_REST(LIFE, STATE, why)
#define MF_LIFE_END(life)                                                                                    \
    MF_##life##_EVENT_COUNT                                                                                  \
    }                                                                                                        \
    ;
#include "lives.def"
#undef MF_LIFE_BEGIN
#undef MF_LIFE_EVENT
#undef MF_MOVE
#undef MF_REST
#undef MF_LIFE_END

enum mf_order_state {
    MF_ORDER_STATE_UNSET = 0,
    MF_ORDER_STATE_QUEUED,
    MF_ORDER_STATE_SENT,
    MF_ORDER_STATE_ACKED,
    MF_ORDER_STATE_RETRY,
    MF_ORDER_STATE_OVER,
    MF_ENUM_COUNT_order_state
};

enum { MF_LIFE_STATES = 10, MF_LIFE_EVENTS = 20 };
struct mf_life_cell { /* why is NULL where there is no move */
    unsigned next;
    const char *why;
};
struct mf_life {
    const char *name, *doc;
    unsigned n_states, n_events;               /* states with UNSET */
    const char *(*state_word)(unsigned state); /* "" for UNSET */
    const char *event_names[MF_LIFE_EVENTS], *event_docs[MF_LIFE_EVENTS];
    const char *rest[MF_LIFE_STATES]; /* why everything else is refused in this state */
    struct mf_life_cell cells[MF_LIFE_STATES][MF_LIFE_EVENTS];
};
extern const struct mf_life mf_life_instance, mf_life_group, mf_life_node, mf_life_order;

/* The move for event in state: true and *ret_next; or false. *ret_why says why, either way. */
bool mf_life_move(const struct mf_life *life, unsigned state, unsigned event, unsigned *ret_next,
                  const char **ret_why);

#endif
