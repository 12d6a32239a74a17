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

static mf_ms sooner(mf_ms a, mf_ms b)
{
    return a < b ? a : b;
}

static mf_ms intervals(const struct mf_ear_limits *limits)
{
    return MF_EAR_QUIET_INTERVALS * limits->pulse_ms;
}

/* From when on silence counts. */
static mf_ms pulsed(const struct mf_ear *self)
{
    return later(self->heard_ms, self->grace_ms);
}

/* LONG_AGO is no time to count from. */
static mf_ms echo_and(const struct mf_ear *self, mf_ms more)
{
    return self->echo_ms == MF_EAR_LONG_AGO ? MF_EAR_LONG_AGO : self->echo_ms + more;
}

static mf_ms quiet_from(const struct mf_ear *self, const struct mf_ear_limits *limits)
{
    return self->heard ? pulsed(self) + intervals(limits) : MF_EAR_NEVER;
}

/* Whoever answered a probe lived when it was sent. */
static mf_ms silent_or_never_from(const struct mf_ear *self, const struct mf_ear_limits *limits)
{
    return later(pulsed(self) + limits->silence_ms, echo_and(self, limits->silence_ms));
}

static mf_ms silent_from(const struct mf_ear *self, const struct mf_ear_limits *limits)
{
    return self->heard ? silent_or_never_from(self, limits) : MF_EAR_NEVER;
}

static mf_ms never_heard_from(const struct mf_ear *self, const struct mf_ear_limits *limits)
{
    return self->heard ? MF_EAR_NEVER : silent_or_never_from(self, limits);
}

/* By its pulses alone. The word "closed" must be an interval old: a keeper that was only held up may well
 * pulse right after it. */
static mf_ms closed_and_no_pulse_from(const struct mf_ear *self, const struct mf_ear_limits *limits)
{
    if (!self->heard || self->closed_ms == MF_EAR_NEVER)
        return MF_EAR_NEVER;
    return later(quiet_from(self, limits), self->closed_ms + limits->pulse_ms);
}

/* It answered after the 3 intervals: pulses do not get through, and probes are all there is. */
static bool is_answering(const struct mf_ear *self, const struct mf_ear_limits *limits)
{
    return self->echo_ms >= self->heard_ms + intervals(limits);
}

/* An earlier echo counts as a pulse, so that a death right after it is found no later. */
static mf_ms closed_and_quiet_from(const struct mf_ear *self, const struct mf_ear_limits *limits)
{
    mf_ms from = closed_and_no_pulse_from(self, limits);
    if (from == MF_EAR_NEVER)
        return from;
    return later(from, echo_and(self, is_answering(self, limits) ? limits->silence_ms : intervals(limits)));
}

/* An open connection contradicts the keeper: then the agent is not as dead as it thinks. */
static mf_ms agent_dead_from(const struct mf_ear *self, const struct mf_ear_limits *limits)
{
    if (self->dead_ms == MF_EAR_NEVER || self->closed_ms == MF_EAR_NEVER)
        return MF_EAR_NEVER;
    mf_ms from = later(self->dead_ms, self->closed_ms) + limits->agent_grace_ms;
    return self->grace_ms == MF_EAR_LONG_AGO ? from : later(from, self->grace_ms + intervals(limits));
}

/* Stands below the rules of death: it matters while an echo contradicts them. */
static mf_ms answered_from(const struct mf_ear *self, const struct mf_ear_limits *limits)
{
    if (!is_answering(self, limits))
        return MF_EAR_NEVER;
    return sooner(pulsed(self) + limits->silence_ms, closed_and_no_pulse_from(self, limits));
}

/* In the order of their weight: of two that hold at once the first is the evidence. */
static const struct rule {
    mf_ms (*from)(const struct mf_ear *self, const struct mf_ear_limits *limits);
    enum mf_ear_trigger trigger;
    enum mf_evidence evidence;
} rules[] = {
    {agent_dead_from, MF_EAR_ON_DEAD, MF_EVIDENCE_AGENT_DEAD},
    {closed_and_quiet_from, MF_EAR_ON_DEAD, MF_EVIDENCE_CLOSED},
    {silent_from, MF_EAR_ON_DEAD, MF_EVIDENCE_SILENCE},
    {never_heard_from, MF_EAR_ON_DEAD, MF_EVIDENCE_NEVER_HEARD},
    {answered_from, MF_EAR_ON_ANSWERED, MF_EVIDENCE_ECHO},
    {quiet_from, MF_EAR_ON_QUIET, MF_EVIDENCE_SILENCE},
};
enum { RULES = sizeof(rules) / sizeof(rules[0]) };

/* -- moving */

static void step(struct mf_ear *self, enum mf_ear_trigger trigger, enum mf_evidence evidence, mf_ms now)
{
    const struct mf_ear_move *move = mf_ear_move(self->state, trigger);
    mf_move_taken("ear", self->state, trigger);
    if (!move->moves)
        return;
    self->state = move->next;
    self->verdict = move->verdict;
    self->said = 0;
    if (move->verdict)
        self->evidence = evidence;
    self->say_ms = move->verdict ? now : MF_EAR_NEVER;
}

/* Where to ask, and whom rather not: who shares its rack may share its fate. */
static void hold_place(struct mf_ear *self, const struct mf_msg_monitor_node *node)
{
    mf_str_format(self->probe_text, sizeof(self->probe_text), "%.*s", (int)node->probe_address.len,
                  node->probe_address.ptr);
    if (mf_address_parse(self->probe_text, &self->probe_address) < 0)
        self->probe_address.port = 0;
    self->rack[0] = 0;
    for (uint32_t i = 0; i < node->labels.n; i++)
        if (mf_str_is(node->labels.items[i].key, "rack"))
            mf_str_format(self->rack, sizeof(self->rack), "%.*s", (int)node->labels.items[i].value.len,
                          node->labels.items[i].value.ptr);
}

static void hold(struct mf_ear *self, const struct mf_msg_monitor_node *node, mf_ms now)
{
    memcpy(self->key, node->pulse_key.ptr, sizeof(self->key));
    hold_place(self, node);
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
    else if (self->told != before && self->say_ms == MF_EAR_NEVER)
        self->say_ms = now; /* what settled it is undone */
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
    self->echo_ms = self->grace_ms = MF_EAR_LONG_AGO;
    self->audible = false;
    mf_inquiry_end(&self->inquiry);
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

static void hear_of_agent(struct mf_ear *self, const struct mf_pulse *pulse, mf_ms now)
{
    if (pulse->flags & MF_PULSE_AGENT_ALIVE)
        self->dead_ms = MF_EAR_NEVER;
    else if (self->dead_ms == MF_EAR_NEVER)
        self->dead_ms = now;
}

void mf_ear_pulse(struct mf_ear *self, const struct mf_ear_limits *limits, const struct mf_pulse *pulse,
                  mf_ms now)
{
    bool paused = !self->heard || now - self->heard_ms > intervals(limits);
    self->run = paused ? 1 : self->run + 1;
    self->heard = self->audible = true;
    self->heard_ms = now;
    self->counter = pulse->counter;
    hear_of_agent(self, pulse, now);
    if (self->asked)
        mf_inquiry_end(&self->inquiry);
    self->asked = false;
    if (self->run >= MF_EAR_RECOVERY_PULSES && !is_failed_by_agent(self))
        step(self, MF_EAR_ON_HEARD, MF_EVIDENCE_PULSE, now);
}

/* Its counter is not taken over: a pulse that left before it may still be on its way. */
void mf_ear_echo(struct mf_ear *self, const struct mf_pulse *echo, mf_ms sent_ms, mf_ms now)
{
    if (sent_ms > self->echo_ms)
        self->echo_ms = sent_ms;
    self->audible = true;
    if (echo->counter > self->counter)
        hear_of_agent(self, echo, now);
}

static mf_ms inaudible_from(const struct mf_ear *self, const struct mf_ear_limits *limits)
{
    return later(self->heard_ms, self->echo_ms) + intervals(limits);
}

void mf_ear_listen(struct mf_ear *self, const struct mf_ear_limits *limits, mf_ms now)
{
    if (self->audible && inaudible_from(self, limits) <= now)
        self->audible = false;
}

/* An epoch that is over for the broker is not judged any more; that it pulses all the same is still told. */
static bool is_judged(const struct mf_ear *self, const struct mf_ear_limits *limits)
{
    return self->told != MF_NODE_STATE_FAILED && !limits->doubting;
}

/* The rule that holds now, if any. */
static const struct rule *holding(const struct mf_ear *self, const struct mf_ear_limits *limits, mf_ms now)
{
    if (is_judged(self, limits))
        for (size_t i = 0; i < RULES; i++)
            if (rules[i].from(self, limits) <= now)
                return &rules[i];
    return NULL;
}

void mf_ear_judge(struct mf_ear *self, const struct mf_ear_limits *limits, mf_ms now)
{
    const struct rule *rule = holding(self, limits, now);
    if (rule)
        step(self, rule->trigger, rule->evidence, now);
}

static bool would_move(const struct mf_ear *self, const struct rule *rule)
{
    return mf_ear_move(self->state, rule->trigger)->moves;
}

/* A rule that holds already, but below another, has had its say. */
static mf_ms judge_at(const struct mf_ear *self, const struct mf_ear_limits *limits, mf_ms now)
{
    const struct rule *rule = holding(self, limits, now);
    mf_ms due = rule && would_move(self, rule) ? now : MF_EAR_NEVER;
    for (size_t i = 0; is_judged(self, limits) && i < RULES; i++) {
        mf_ms from = rules[i].from(self, limits);
        if (from > now && from < due && would_move(self, &rules[i]))
            due = from;
    }
    return due;
}

mf_ms mf_ear_due(const struct mf_ear *self, const struct mf_ear_limits *limits, mf_ms now)
{
    mf_ms due = sooner(self->say_ms, judge_at(self, limits, now));
    return self->audible ? sooner(due, inaudible_from(self, limits)) : due;
}

/* Two missing pulses are a reason to ask, well before one more is a reason to doubt. */
static mf_ms ask_after_pulse(const struct mf_ear *self, const struct mf_ear_limits *limits)
{
    return self->heard_ms + limits->pulse_ms * 5 / 2;
}

/* So is a closing, until the next pulse. */
static mf_ms ask_from(const struct mf_ear *self, const struct mf_ear_limits *limits)
{
    mf_ms from = ask_after_pulse(self, limits);
    return self->heard && self->heard_ms <= self->closed_ms ? sooner(from, self->closed_ms) : from;
}

mf_ms mf_ear_calm_until(const struct mf_ear *self, const struct mf_ear_limits *limits)
{
    bool calm = self->heard && self->audible && self->closed_ms == MF_EAR_NEVER &&
                self->dead_ms == MF_EAR_NEVER && self->say_ms == MF_EAR_NEVER;
    return calm ? ask_after_pulse(self, limits) : MF_EAR_LONG_AGO;
}

mf_ms mf_ear_ask_at(const struct mf_ear *self, const struct mf_ear_limits *limits)
{
    if (self->told == MF_NODE_STATE_FAILED || self->probe_address.port == 0)
        return MF_EAR_NEVER;
    bool is_answered = is_answering(self, limits) && self->echo_ms >= self->inquiry.round_ms;
    bool slow = is_answered || self->state == MF_EAR_FAILED || limits->doubting;
    return later(ask_from(self, limits),
                 mf_inquiry_next(&self->inquiry, slow ? limits->ask_slow_ms : limits->ask_ms));
}

static void shift(mf_ms *time, mf_ms by)
{
    if (*time != MF_EAR_NEVER && *time != MF_EAR_LONG_AGO)
        *time += by;
}

void mf_ear_pardon(struct mf_ear *self, mf_ms lateness)
{
    shift(&self->heard_ms, lateness);
    shift(&self->echo_ms, lateness);
    shift(&self->grace_ms, lateness);
    shift(&self->closed_ms, lateness);
    shift(&self->dead_ms, lateness);
}

bool mf_ear_is_quiet(const struct mf_ear *self, const struct mf_ear_limits *limits, mf_ms now)
{
    return !self->heard || self->heard_ms + intervals(limits) <= now;
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
