/* ear.c - the rules by which one node is judged.
 *
 * Each rule answers one question: from when on does it hold, if nothing more is heard? So the same function
 * says what is true now and when to look again, and a pulse needs to touch no timer: the timer that fires too
 * early finds a later due time. */
#include "ear.h"

#include "check.h"
#include <string.h>

/* -- the table */

static const struct mf_ear_move moves[MF_EAR_STATES][MF_EAR_TRIGGERS] = {
#define MF_STATE(ID, word, doc)
#define MF_TRIGGER(ID, word, doc)
#define MF_MOVE(state, trigger, next_, verdict_, why_)                                                       \
    [MF_EAR_##state][MF_EAR_ON_##trigger] = {                                                                \
        .moves = true, .next = MF_EAR_##next_, .verdict = MF_VERDICT_##verdict_, .why = why_},
#define MF_REFUSE(state, trigger, why_)                                                                      \
    [MF_EAR_##state][MF_EAR_ON_##trigger] = {.next = MF_EAR_##state, .why = why_},
#include "ear.def"
#undef MF_STATE
#undef MF_TRIGGER
};

const struct mf_ear_move *mf_ear_move(enum mf_ear_state state, enum mf_ear_trigger trigger)
{
    MF_CHECK(state < MF_EAR_STATES && trigger < MF_EAR_TRIGGERS);
    return &moves[state][trigger];
}

#undef MF_MOVE
#undef MF_REFUSE
#define MF_MOVE(state, trigger, next, verdict, why)
#define MF_REFUSE(state, trigger, why)

const char *mf_ear_state_word(enum mf_ear_state state)
{
    static const char *const words[] = {
#define MF_STATE(ID, word, doc) word,
#define MF_TRIGGER(ID, word, doc)
#include "ear.def"
#undef MF_STATE
#undef MF_TRIGGER
    };
    MF_CHECK(state < MF_EAR_STATES);
    return words[state];
}

const char *mf_ear_trigger_word(enum mf_ear_trigger trigger)
{
    static const char *const words[] = {
#define MF_STATE(ID, word, doc)
#define MF_TRIGGER(ID, word, doc) word,
#include "ear.def"
#undef MF_STATE
#undef MF_TRIGGER
    };
    MF_CHECK(trigger < MF_EAR_TRIGGERS);
    return words[trigger];
}

/* -- the rules: from when on each holds, if nothing more is heard */

static mf_ms later(mf_ms a, mf_ms b)
{
    return a > b ? a : b;
}

static mf_ms quiet_from(const struct mf_ear *self, const struct mf_ear_limits *limits)
{
    return self->heard ? self->heard_ms + MF_EAR_QUIET_INTERVALS * limits->pulse_ms : MF_EAR_NEVER;
}

static mf_ms silent_from(const struct mf_ear *self, const struct mf_ear_limits *limits)
{
    return self->heard ? self->heard_ms + limits->silence_ms : MF_EAR_NEVER;
}

static mf_ms never_heard_from(const struct mf_ear *self, const struct mf_ear_limits *limits)
{
    return self->heard ? MF_EAR_NEVER : self->heard_ms + limits->silence_ms;
}

/* The word "closed" must be an interval old: a keeper that was only held up may well pulse right after it. */
static mf_ms closed_and_quiet_from(const struct mf_ear *self, const struct mf_ear_limits *limits)
{
    if (!self->heard || self->closed_ms == MF_EAR_NEVER)
        return MF_EAR_NEVER;
    return later(quiet_from(self, limits), self->closed_ms + limits->pulse_ms);
}

/* An open connection contradicts the keeper: then the agent is not as dead as it thinks. */
static mf_ms agent_dead_from(const struct mf_ear *self, const struct mf_ear_limits *limits)
{
    if (self->dead_ms == MF_EAR_NEVER || self->closed_ms == MF_EAR_NEVER)
        return MF_EAR_NEVER;
    return later(self->dead_ms, self->closed_ms) + limits->agent_grace_ms;
}

/* In the order of their weight: of two that hold at once the first is the evidence. What other ears report of
 * a quiet node will be a rule of its own between `closed` and `silence`, and a condition of that one. */
static const struct rule {
    mf_ms (*from)(const struct mf_ear *self, const struct mf_ear_limits *limits);
    enum mf_ear_trigger trigger;
    enum mf_evidence evidence;
} rules[] = {
    {agent_dead_from, MF_EAR_ON_DEAD, MF_EVIDENCE_AGENT_DEAD},
    {closed_and_quiet_from, MF_EAR_ON_DEAD, MF_EVIDENCE_CLOSED},
    {silent_from, MF_EAR_ON_DEAD, MF_EVIDENCE_SILENCE},
    {never_heard_from, MF_EAR_ON_DEAD, MF_EVIDENCE_NEVER_HEARD},
    {quiet_from, MF_EAR_ON_QUIET, MF_EVIDENCE_SILENCE},
};
enum { RULES = sizeof(rules) / sizeof(rules[0]) };

/* -- moving */

static void step(struct mf_ear *self, enum mf_ear_trigger trigger, enum mf_evidence evidence, mf_ms now)
{
    const struct mf_ear_move *move = mf_ear_move(self->state, trigger);
    if (!move->moves)
        return;
    self->state = move->next;
    self->verdict = move->verdict;
    if (move->verdict)
        self->evidence = evidence;
    self->say_ms = move->verdict ? now : MF_EAR_NEVER;
}

static void hold(struct mf_ear *self, const struct mf_msg_monitor_node *node, mf_ms now)
{
    memcpy(self->key, node->pulse_key.ptr, sizeof(self->key));
    if (node->connected)
        self->closed_ms = MF_EAR_NEVER;
    else if (self->closed_ms == MF_EAR_NEVER)
        self->closed_ms = now;
    enum mf_node_state before = self->told;
    self->told = node->state;
    if (node->state == MF_NODE_STATE_FAILED)
        step(self, MF_EAR_ON_OVER, MF_EVIDENCE_UNSET, now);
    else if (node->state == MF_NODE_STATE_SUSPECT && before != MF_NODE_STATE_SUSPECT &&
             self->verdict != MF_VERDICT_RECOVERED)
        step(self, MF_EAR_ON_DOUBTED, MF_EVIDENCE_UNSET, now);
    if (mf_ear_is_settled(self))
        self->say_ms = MF_EAR_NEVER;
}

/* What is proven of an epoch stays proven: the counter outlives a new welcome, so that no old pulse can be
 * played again after it. */
void mf_ear_begin(struct mf_ear *self, const struct mf_msg_monitor_node *node, mf_ms now)
{
    MF_CHECK(node->pulse_key.len == sizeof(self->key));
    if (self->epoch != node->epoch)
        self->counter = 0;
    self->epoch = node->epoch;
    self->state = MF_EAR_HEARING;
    self->told = MF_NODE_STATE_UNSET;
    self->heard = false;
    self->heard_ms = now;
    self->closed_ms = self->dead_ms = self->say_ms = MF_EAR_NEVER;
    self->run = 0;
    self->verdict = MF_VERDICT_UNSET;
    self->evidence = MF_EVIDENCE_UNSET;
    hold(self, node, now);
}

void mf_ear_told(struct mf_ear *self, const struct mf_msg_monitor_node *node, mf_ms now)
{
    MF_CHECK(node->epoch == self->epoch);
    hold(self, node, now);
}

/* A node that failed because its agent is dead was heard all the time: only a living agent is news of it. */
static bool is_failed_by_agent(const struct mf_ear *self)
{
    return self->state == MF_EAR_FAILED && self->evidence == MF_EVIDENCE_AGENT_DEAD &&
           self->dead_ms != MF_EAR_NEVER;
}

void mf_ear_pulse(struct mf_ear *self, const struct mf_ear_limits *limits, const struct mf_pulse *pulse,
                  mf_ms now)
{
    bool paused = !self->heard || now - self->heard_ms > MF_EAR_QUIET_INTERVALS * limits->pulse_ms;
    self->run = paused ? 1 : self->run + 1;
    self->heard = true;
    self->heard_ms = now;
    self->counter = pulse->counter;
    if (pulse->flags & MF_PULSE_AGENT_ALIVE)
        self->dead_ms = MF_EAR_NEVER;
    else if (self->dead_ms == MF_EAR_NEVER)
        self->dead_ms = now;
    if (self->run >= MF_EAR_RECOVERY_PULSES && !is_failed_by_agent(self))
        step(self, MF_EAR_ON_HEARD, MF_EVIDENCE_PULSE, now);
}

/* An epoch that is over for the broker is not judged any more; that it pulses all the same is still told. */
static bool is_judged(const struct mf_ear *self)
{
    return self->told != MF_NODE_STATE_FAILED;
}

void mf_ear_judge(struct mf_ear *self, const struct mf_ear_limits *limits, mf_ms now)
{
    if (!is_judged(self))
        return;
    for (size_t i = 0; i < RULES; i++)
        if (rules[i].from(self, limits) <= now) {
            step(self, rules[i].trigger, rules[i].evidence, now);
            return;
        }
}

mf_ms mf_ear_due(const struct mf_ear *self, const struct mf_ear_limits *limits)
{
    mf_ms due = self->say_ms;
    for (size_t i = 0; is_judged(self) && i < RULES; i++) {
        mf_ms from = rules[i].from(self, limits);
        if (from < due && mf_ear_move(self->state, rules[i].trigger)->moves)
            due = from;
    }
    return due;
}

static void shift(mf_ms *time, mf_ms by)
{
    if (*time != MF_EAR_NEVER)
        *time += by;
}

void mf_ear_pardon(struct mf_ear *self, mf_ms lateness)
{
    shift(&self->heard_ms, lateness);
    shift(&self->closed_ms, lateness);
    shift(&self->dead_ms, lateness);
}

bool mf_ear_is_quiet(const struct mf_ear *self, const struct mf_ear_limits *limits, mf_ms now)
{
    return !self->heard || quiet_from(self, limits) <= now;
}

bool mf_ear_is_settled(const struct mf_ear *self)
{
    switch (self->verdict) {
    case MF_VERDICT_SUSPECT:
        return self->told == MF_NODE_STATE_SUSPECT || self->told == MF_NODE_STATE_FAILED;
    case MF_VERDICT_FAILED:
        return self->told == MF_NODE_STATE_FAILED;
    case MF_VERDICT_RECOVERED:
        return self->told != MF_NODE_STATE_SUSPECT;
    default:
        return true;
    }
}
