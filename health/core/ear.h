/* ear.h - one node as the monitor hears it: what is known, the rules that judge it, and its place in
 * ear.def's table. Private to this folder. */
#ifndef MF_EAR_H
#define MF_EAR_H

#include "address.h"
#include "heap.h"
#include "inquiry.h"
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

struct mf_ear_limits {
    mf_ms pulse_ms, silence_ms, agent_grace_ms; /* the cluster's, from monitor-welcome */
    mf_ms ask_ms, ask_slow_ms;                  /* between two rounds of probes */
    bool doubting;                              /* this monitor trusts itself too little to judge anybody */
};

enum { MF_EAR_QUIET_INTERVALS = 3, MF_EAR_RECOVERY_PULSES = 2 };
#define MF_EAR_NEVER    INT64_MAX
#define MF_EAR_LONG_AGO INT64_MIN

struct mf_ear {
    struct mf_timer timer; /* first: the heap's items are cast back to ears; then what every pulse touches */
    bool known;            /* told of since the last welcome */
    uint64_t epoch;
    uint8_t key[MF_PULSE_KEY];
    enum mf_ear_state state;
    enum mf_node_state told; /* what the broker holds */

    bool heard;       /* ever, in this epoch and since the welcome */
    mf_ms heard_ms;   /* last pulse; before the first, when the node became known */
    mf_ms echo_ms;    /* when the newest probe that it answered was sent: then it lived; or LONG_AGO */
    mf_ms grace_ms;   /* before this nothing counts against it; LONG_AGO: no such grace */
    bool audible;     /* heard, by pulse or echo, within 3 intervals; see mf_ear_listen */
    mf_ms closed_ms;  /* when the broker said that its connection closed; NEVER while open */
    mf_ms dead_ms;    /* since when its pulses say that the agent is dead; NEVER while alive */
    uint64_t counter; /* of the last pulse */
    unsigned run;     /* pulses since the last pause of 3 intervals */
    bool asked;       /* about since the last pulse */

    enum mf_verdict verdict; /* last concluded; said until the broker shows its effect */
    enum mf_evidence evidence;
    mf_ms say_ms;  /* when it is said (again); NEVER when there is nothing to say */
    unsigned said; /* how often */
    struct mf_ear *next_to_say;
    bool to_say;

    char name[MF_NAME_MAX + 1];
    char probe_text[101]; /* where its keeper answers probes */
    struct mf_address probe_address;
    char rack[MF_NAME_MAX + 1];
    struct mf_inquiry inquiry;
    struct mf_ear *next_to_ask;
    bool to_ask;
    bool counted_open, counted_heard; /* in what the monitor knows of its own hearing (doubt.h) */
};

/* A new epoch, or a new welcome: all that was heard is forgotten, and the grace is whole. */
void mf_ear_begin(struct mf_ear *self, const struct mf_msg_monitor_node *node, mf_ms now);
/* The same epoch, told again. */
void mf_ear_told(struct mf_ear *self, const struct mf_msg_monitor_node *node, mf_ms now);
/* A pulse that is proven to be its own and newer than the last. */
void mf_ear_pulse(struct mf_ear *self, const struct mf_ear_limits *limits, const struct mf_pulse *pulse,
                  mf_ms now);
/* A proven echo of one of our probes, which was sent then. */
void mf_ear_echo(struct mf_ear *self, const struct mf_pulse *echo, mf_ms sent_ms, mf_ms now);
/* Notice that it is not audible any more. */
void mf_ear_listen(struct mf_ear *self, const struct mf_ear_limits *limits, mf_ms now);
/* Apply the rules. */
void mf_ear_judge(struct mf_ear *self, const struct mf_ear_limits *limits, mf_ms now);
/* Of a node that pulses as ever: nothing is due before this. LONG_AGO for any other. */
mf_ms mf_ear_calm_until(const struct mf_ear *self, const struct mf_ear_limits *limits);
/* When to judge or to speak next, if nothing is heard until then. */
mf_ms mf_ear_due(const struct mf_ear *self, const struct mf_ear_limits *limits, mf_ms now);
/* When to ask about it next: from two missing pulses or its closing on, until it pulses or the broker holds
 * it failed.
 */
mf_ms mf_ear_ask_at(const struct mf_ear *self, const struct mf_ear_limits *limits);
/* Time in which this monitor could not listen does not count. */
void mf_ear_pardon(struct mf_ear *self, mf_ms lateness);
bool mf_ear_is_quiet(const struct mf_ear *self, const struct mf_ear_limits *limits, mf_ms now);
/* The broker shows what the last verdict is to bring about. */
bool mf_ear_is_settled(const struct mf_ear *self);

#endif
