/* ear.h - one node as the monitor hears it: what is known, the rules that judge it, and its place in
 * ear.def's table. Private to this folder. */
#ifndef MF_EAR_H
#define MF_EAR_H

#include "heap.h"
#include "message.h"
#include "pulse.h"

#define MF_STATE(ID, word, doc) MF_EAR_##ID,
#define MF_TRIGGER(ID, word, doc)
#define MF_MOVE(state, trigger, next, verdict, why)
#define MF_REFUSE(state, trigger, why)
enum mf_ear_state {
#include "ear.def"
    MF_EAR_STATES
};
#undef MF_STATE
#undef MF_TRIGGER
#define MF_STATE(ID, word, doc)
#define MF_TRIGGER(ID, word, doc) MF_EAR_ON_##ID,
enum mf_ear_trigger {
#include "ear.def"
    MF_EAR_TRIGGERS
};
#undef MF_STATE
#undef MF_TRIGGER
#undef MF_MOVE
#undef MF_REFUSE

struct mf_ear_move {
    bool moves;
    enum mf_ear_state next;
    enum mf_verdict verdict;
    const char *why;
};
const struct mf_ear_move *mf_ear_move(enum mf_ear_state state, enum mf_ear_trigger trigger);
const char *mf_ear_state_word(enum mf_ear_state state);
const char *mf_ear_trigger_word(enum mf_ear_trigger trigger);

struct mf_ear_limits { /* the cluster's, from monitor-welcome */
    mf_ms pulse_ms, silence_ms, agent_grace_ms;
};

enum { MF_EAR_QUIET_INTERVALS = 3, MF_EAR_RECOVERY_PULSES = 2 };
#define MF_EAR_NEVER INT64_MAX

struct mf_ear {
    struct mf_timer timer; /* first: the heap's items are cast back to ears */
    char name[MF_NAME_MAX + 1];
    bool known; /* told of since the last welcome */
    uint64_t epoch;
    uint8_t key[MF_PULSE_KEY];
    enum mf_ear_state state;
    enum mf_node_state told; /* what the broker holds */

    bool heard;       /* ever, in this epoch and since the welcome */
    mf_ms heard_ms;   /* last pulse; before the first, when the node became known */
    mf_ms closed_ms;  /* when the broker said that its connection closed; NEVER while open */
    mf_ms dead_ms;    /* since when its pulses say that the agent is dead; NEVER while alive */
    uint64_t counter; /* of the last pulse */
    unsigned run;     /* pulses since the last pause of 3 intervals */

    enum mf_verdict verdict; /* last concluded; said until the broker shows its effect */
    enum mf_evidence evidence;
    mf_ms say_ms; /* when it is said (again); NEVER when there is nothing to say */
    struct mf_ear *next_to_say;
    bool to_say;
};

/* A new epoch, or a new welcome: all that was heard is forgotten, and the grace is whole. */
void mf_ear_begin(struct mf_ear *self, const struct mf_msg_monitor_node *node, mf_ms now);
/* The same epoch, told again. */
void mf_ear_told(struct mf_ear *self, const struct mf_msg_monitor_node *node, mf_ms now);
/* A pulse that is proven to be its own and newer than the last. */
void mf_ear_pulse(struct mf_ear *self, const struct mf_ear_limits *limits, const struct mf_pulse *pulse,
                  mf_ms now);
/* Apply the rules. */
void mf_ear_judge(struct mf_ear *self, const struct mf_ear_limits *limits, mf_ms now);
/* When to judge or to speak next, if nothing is heard until then. */
mf_ms mf_ear_due(const struct mf_ear *self, const struct mf_ear_limits *limits);
/* Time in which this monitor could not listen does not count. */
void mf_ear_pardon(struct mf_ear *self, mf_ms lateness);
bool mf_ear_is_quiet(const struct mf_ear *self, const struct mf_ear_limits *limits, mf_ms now);
/* The broker shows what the last verdict is to bring about. */
bool mf_ear_is_settled(const struct mf_ear *self);

#endif
