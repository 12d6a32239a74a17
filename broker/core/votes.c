/* votes.c - each monitor's opinion of a node's present epoch is a vote, kept in memory: monitors say it again
 * until they are shown its effect, and a repeated vote costs no row. What a majority of the known monitors
 * says happens, unless the broker hears the node's agent itself (then mere silence proves nothing), doubts
 * its own hearing (grace.h), or the breaker holds it (breaker.h). */
#include "votes.h"
#include "breaker.h"
#include "check.h"
#include "grace.h"
#include "journal.h"
#include "monitors.h"
#include "nodes.h"
#include "out.h"

#include <stdlib.h>

struct tally {
    size_t doubting, failed, standing; /* standing: failed, and not contradicted by what the broker hears */
    const struct mf_vote *best;        /* a standing one, or the first */
};

size_t mf_quorum(const struct mf_broker *b)
{
    return b->n_monitors / 2 + 1;
}

static struct mf_str name_of(const struct mf_broker *b, const struct mf_vote *vote)
{
    for (size_t i = 0; i < b->n_monitors; i++)
        if (b->monitors[i].id == vote->monitor)
            return mf_str(b->monitors[i].name);
    MF_CHECK(!"a vote is of a monitor that is known");
    return (struct mf_str){NULL, 0};
}

static bool heard_here(const struct mf_broker *b, const struct mf_node *node)
{
    return mf_node_up(node) && b->now - node->heard_at < b->config.silence_ms;
}

static bool stands(const struct mf_broker *b, const struct mf_node *node, const struct mf_vote *vote)
{
    bool of_silence = vote->evidence == MF_EVIDENCE_SILENCE || vote->evidence == MF_EVIDENCE_NEVER_HEARD;

    return vote->verdict == MF_VERDICT_FAILED && !(of_silence && heard_here(b, node));
}

static struct tally count(const struct mf_broker *b, const struct mf_node *node)
{
    struct tally t = {.doubting = node->doubts.n, .best = node->doubts.votes};

    for (uint32_t i = 0; i < node->doubts.n; i++) {
        const struct mf_vote *vote = &node->doubts.votes[i];
        t.failed += vote->verdict == MF_VERDICT_FAILED;
        if (stands(b, node, vote) && t.standing++ == 0)
            t.best = vote;
    }
    return t;
}

static bool moves(const struct mf_node *node, enum mf_node_event event)
{
    const char *why;
    unsigned next;

    return mf_life_move(&mf_life_node, node->state, event, &next, &why);
}

/* ------------------------------------------------------------------ what a majority says */

static void suspect(struct mf_broker *b, struct mf_node *node, const struct mf_vote *vote)
{
    struct mf_event event = {.kind = MF_EV_NODE_SUSPECT,
                             .node_suspect = {.node = node->name,
                                              .epoch = node->epoch,
                                              .monitor = name_of(b, vote),
                                              .evidence = vote->evidence,
                                              .silent_ms = vote->silent_ms,
                                              .asked = vote->asked,
                                              .echoes = vote->echoes}};
    char text[MF_SUBJECT_MAX];

    mf_journal(b, 0, &event, mf_subject_named("node", node->name, text));
}

static void fail(struct mf_broker *b, struct mf_node *node, const struct tally *t)
{
    mf_node_fail(b, node,
                 &(struct mf_ev_node_failed){.monitor = name_of(b, t->best),
                                             .evidence = t->best->evidence,
                                             .silent_ms = t->best->silent_ms,
                                             .closed_ms = t->best->closed_ms,
                                             .agent_dead_ms = t->best->agent_dead_ms,
                                             .asked = t->best->asked,
                                             .echoes = t->best->echoes,
                                             .votes = t->standing});
}

static bool awaited(const struct mf_broker *b, const struct mf_node *node)
{
    return b->now < node->back_by;
}

static struct mf_str why_not(const struct mf_broker *b, const struct mf_node *node, char text[160])
{
    if (awaited(b, node))
        return mf_str_format(text, 160,
                             "its worker said that its guests live on and that it would be back; "
                             "it has %lld ms left",
                             (long long)(node->back_by - b->now));
    return mf_str_format(text, 160, "its pulses are not heard, but its agent was, %lld ms ago",
                         (long long)(b->now - node->heard_at));
}

/* Said once; looked at again when what was heard is as old as the silence that was judged, or when who wanted
 * to be back is not. */
static void contradict(struct mf_broker *b, struct mf_node *node)
{
    char text[MF_SUBJECT_MAX], reason[160];
    struct mf_event event = {.kind = MF_EV_NODE_HELD,
                             .node_held = {.node = node->name, .epoch = node->epoch}};

    mf_heap_set(&b->alarms, &node->doubts.alarm.timer,
                awaited(b, node) ? node->back_by : node->heard_at + b->config.silence_ms);
    if (node->doubts.contradicted)
        return;
    node->doubts.contradicted = true;
    event.node_held.reason = why_not(b, node, reason);
    mf_journal(b, node->last_seq, &event, mf_subject_named("node", node->name, text));
}

static void judge(struct mf_broker *b, struct mf_node *node, bool by_word)
{
    struct tally t = count(b, node);
    size_t quorum = mf_quorum(b), seq = b->seq;
    bool failed = t.standing >= quorum && moves(node, MF_NODE_EVENT_FAILED) && (by_word || !awaited(b, node));

    if (!failed)
        mf_breaker_let_go(b, node);
    if (mf_grace(b))
        return;
    if (failed && (by_word || !mf_breaker_over(b, node))) {
        fail(b, node, &t);
        return;
    }
    if (t.doubting >= quorum && moves(node, MF_NODE_EVENT_SUSPECT))
        suspect(b, node, t.best);
    if (failed)
        mf_breaker_hold(b, node);
    else if (t.failed >= quorum && moves(node, MF_NODE_EVENT_FAILED))
        contradict(b, node);
    if (b->seq != seq)
        mf_monitor_node_changed(b, node);
}

void mf_votes_judge(struct mf_broker *b, struct mf_node *node)
{
    judge(b, node, false);
}

void mf_votes_judge_by_word(struct mf_broker *b, struct mf_node *node)
{
    judge(b, node, true);
}

void mf_votes_judge_all(struct mf_broker *b)
{
    for (size_t i = 0; i < b->nodes.n; i++) {
        struct mf_node *node = b->nodes.items[i];
        if (node->doubts.n)
            judge(b, node, false);
    }
}

void mf_votes_alarm(struct mf_broker *b, struct mf_node *node)
{
    judge(b, node, false);
}

/* ------------------------------------------------------------------ voting */

/* Whoever is doubted may speak for itself: by the time silence would be a verdict, its word is here, or it
 * has none. What its agent says by itself may be older than that. */
static void ask_itself(struct mf_broker *b, struct mf_node *node)
{
    if (!mf_node_up(node) || b->now < node->doubts.asked_at + b->config.pulse_ms)
        return;
    node->doubts.asked_at = b->now;
    mf_send_now(b, node->peer,
                &(struct mf_message){.kind = MF_MSG_ALIVE_ASK, .alive_ask = {.epoch = node->epoch}});
}

static struct mf_vote *vote_of(struct mf_doubts *doubts, const struct mf_monitor *monitor)
{
    for (uint32_t i = 0; i < doubts->n; i++)
        if (doubts->votes[i].monitor == monitor->id)
            return &doubts->votes[i];
    return NULL;
}

static void cast(struct mf_doubts *doubts, const struct mf_monitor *monitor,
                 const struct mf_msg_monitor_verdict *v)
{
    struct mf_vote *vote = vote_of(doubts, monitor);

    if (!vote) {
        doubts->votes = realloc(doubts->votes, (doubts->n + 1) * sizeof(*doubts->votes));
        MF_CHECK(doubts->votes != NULL);
        vote = &doubts->votes[doubts->n++];
    }
    *vote = (struct mf_vote){.monitor = monitor->id,
                             .verdict = v->verdict,
                             .evidence = v->evidence,
                             .silent_ms = v->silent_ms,
                             .closed_ms = v->closed_ms,
                             .agent_dead_ms = v->agent_dead_ms,
                             .asked = v->asked,
                             .echoes = v->echoes};
}

static bool withdraw(struct mf_doubts *doubts, const struct mf_monitor *monitor)
{
    struct mf_vote *vote = vote_of(doubts, monitor);

    if (!vote)
        return false;
    *vote = doubts->votes[--doubts->n];
    return true;
}

static void forget_contradiction(struct mf_broker *b, struct mf_node *node)
{
    node->doubts.contradicted = false;
    mf_heap_unset(&b->alarms, &node->doubts.alarm.timer);
}

/* One monitor hears it: it is back when no majority doubts it any more. */
static void heard_again(struct mf_broker *b, struct mf_node *node, const struct mf_monitor *monitor)
{
    struct mf_event event = {
        .kind = MF_EV_NODE_RECOVERED,
        .node_recovered = {.node = node->name, .epoch = node->epoch, .monitor = mf_str(monitor->name)}};
    char text[MF_SUBJECT_MAX];

    if (withdraw(&node->doubts, monitor))
        judge(b, node, false);
    if (node->doubts.n >= mf_quorum(b))
        return;
    forget_contradiction(b, node);
    if (!moves(node, MF_NODE_EVENT_RECOVERED) ||
        (node->state == MF_NODE_STATE_FAILED && node->recovered_told))
        return;
    mf_journal(b, 0, &event, mf_subject_named("node", node->name, text));
}

/* Does the monitor see what it says, in what it is told of the node? */
static bool shown(const struct mf_node *node, enum mf_verdict verdict)
{
    if (verdict == MF_VERDICT_RECOVERED)
        return node->state != MF_NODE_STATE_SUSPECT;
    return node->state == MF_NODE_STATE_FAILED ||
           (verdict == MF_VERDICT_SUSPECT && node->state == MF_NODE_STATE_SUSPECT);
}

void mf_vote(struct mf_broker *b, struct mf_monitor *monitor, const struct mf_msg_monitor_verdict *v)
{
    struct mf_node *node = mf_node_find(b, v->node);
    uint64_t seq = b->seq;

    if (!node)
        return;
    if (node->epoch != v->epoch) {
        mf_monitor_node_changed(b, node); /* void: it sees what holds now */
        return;
    }
    if (v->verdict == MF_VERDICT_RECOVERED) {
        heard_again(b, node, monitor);
    } else if (!monitor->suspended) {
        cast(&node->doubts, monitor, v);
        ask_itself(b, node);
        judge(b, node, false);
    }
    if (b->seq != seq || shown(node, v->verdict))
        mf_monitor_node_changed(b, node);
}

/* What it said and the breaker holds is no better for that: whoever says it again is waited for, lest what
 * comes back one by one fits one by one. */
void mf_votes_drop(struct mf_broker *b, const struct mf_monitor *monitor)
{
    size_t held = b->breaker.n_held;

    for (size_t i = 0; i < b->nodes.n; i++) {
        struct mf_node *node = b->nodes.items[i];
        if (node->doubts.n && withdraw(&node->doubts, monitor))
            judge(b, node, false);
    }
    if (b->breaker.n_held < held)
        mf_grace_begin(b);
}

void mf_votes_forget(struct mf_broker *b, struct mf_node *node)
{
    node->doubts.n = 0;
    forget_contradiction(b, node);
    mf_breaker_let_go(b, node);
}
