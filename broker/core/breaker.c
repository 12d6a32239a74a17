/* breaker.c - how many nodes are out, in all and in each rack, and what that allows.
 *
 * Out is a node that failed within the window, or whose lost instances are still being born elsewhere; and
 * one whose verdict is held. A verdict that would make more out than the limit is held and freezes the
 * cluster; held verdicts take effect when they fit the limit together, or by an operator's word. Whether a
 * node is out is kept in its mf_outage and counted as it changes, so that a verdict costs the same among ten
 * thousand failures as alone. */
#include "breaker.h"
#include "check.h"
#include "grace.h"
#include "journal.h"
#include "votes.h"

#include <stdlib.h>
#include <string.h>

enum { LOOK_MS = 500, DOMAIN_NODES_MIN = 3 };
#define DOMAIN_LABEL "rack"
#define BREAKER      "breaker"
#define OPERATOR     "operator"

/* ------------------------------------------------------------------ who is out */

static bool is_out(const struct mf_node *node)
{
    return node->outage.counted || node->outage.held;
}

/* To be called around every change of what makes a node out. */
static void recount(struct mf_broker *b, struct mf_node *node, bool was_out)
{
    struct mf_domain *domain = node->outage.domain;

    b->breaker.n_out += is_out(node) - was_out;
    if (domain)
        domain->n_out += (uint32_t)(is_out(node) - was_out);
    if (was_out && !is_out(node))
        b->breaker.look = true;
}

/* Both lists are linked alike. */
static void link_node(struct mf_node *node, enum mf_out_list list, struct mf_out_ends *ends)
{
    struct mf_out_link *link = &node->outage.links[list];

    *link = (struct mf_out_link){.prev = ends->last};
    *(ends->last ? &ends->last->outage.links[list].next : &ends->first) = node;
    ends->last = node;
}

static void unlink_node(struct mf_node *node, enum mf_out_list list, struct mf_out_ends *ends)
{
    const struct mf_out_link *link = &node->outage.links[list];

    *(link->prev ? &link->prev->outage.links[list].next : &ends->first) = link->next;
    *(link->next ? &link->next->outage.links[list].prev : &ends->last) = link->prev;
}

static void set_counted(struct mf_broker *b, struct mf_node *node, bool counted)
{
    bool was_out = is_out(node);

    if (node->outage.counted == counted)
        return;
    node->outage.counted = counted;
    (counted ? link_node : unlink_node)(node, MF_OUT_COUNTED, &b->breaker.counted);
    recount(b, node, was_out);
}

static void set_held(struct mf_broker *b, struct mf_node *node, bool held)
{
    bool was_out = is_out(node);

    if (node->outage.held == held)
        return;
    node->outage.held = held;
    (held ? link_node : unlink_node)(node, MF_OUT_HELD, &b->breaker.held);
    b->breaker.n_held += held ? 1 : (size_t)-1;
    if (!held)
        b->breaker.look = true;
    recount(b, node, was_out);
}

/* ------------------------------------------------------------------ racks */

static struct mf_str rack_of(const struct mf_node *node)
{
    for (uint32_t i = 0; i < node->labels.n; i++)
        if (mf_str_is(node->labels.items[i].key, DOMAIN_LABEL))
            return node->labels.items[i].value;
    return (struct mf_str){NULL, 0};
}

static void leave_domain(struct mf_broker *b, struct mf_node *node)
{
    struct mf_domain *domain = node->outage.domain;

    if (!domain)
        return;
    node->outage.domain = NULL;
    domain->n_out -= is_out(node);
    if (--domain->n_nodes)
        return;
    mf_map_del_str(b->breaker.domains, mf_str(domain->value));
    free(domain);
}

static struct mf_domain *domain_of(struct mf_broker *b, struct mf_str value)
{
    struct mf_domain *domain = mf_map_get_str(b->breaker.domains, value);

    if (domain)
        return domain;
    domain = mf_calloc(sizeof(*domain));
    mf_str_format(domain->value, sizeof(domain->value), "%.*s", MF_STR_ARG(value));
    mf_map_put_str(b->breaker.domains, value, domain);
    return domain;
}

static void enter_domain(struct mf_broker *b, struct mf_node *node)
{
    struct mf_str rack = rack_of(node);

    if (node->outage.domain && mf_str_is(rack, node->outage.domain->value))
        return;
    leave_domain(b, node);
    if (!rack.len)
        return;
    node->outage.domain = domain_of(b, rack);
    node->outage.domain->n_nodes++;
    node->outage.domain->n_out += is_out(node);
}

/* ------------------------------------------------------------------ limits */

static size_t share(size_t nodes, uint32_t percent)
{
    size_t n = nodes * percent / 100;

    return n ? n : 1;
}

static bool over_cluster(const struct mf_broker *b, const struct mf_node *node)
{
    return b->breaker.n_out + !is_out(node) > share(b->nodes.n, b->config.breaker_percent);
}

static bool over_domain(const struct mf_broker *b, const struct mf_node *node)
{
    const struct mf_domain *domain = node->outage.domain;

    return domain && domain->n_nodes >= DOMAIN_NODES_MIN &&
           domain->n_out + !is_out(node) > share(domain->n_nodes, b->config.breaker_domain_percent);
}

static bool too_many(const struct mf_broker *b, const struct mf_node *node)
{
    return b->config.breaker_nodes && b->nodes.n >= b->config.breaker_nodes &&
           (over_cluster(b, node) || over_domain(b, node));
}

static bool frozen_by(const struct mf_broker *b, const char *whom)
{
    return mf_str_is(b->frozen_by, whom);
}

bool mf_breaker_over(const struct mf_broker *b, const struct mf_node *node)
{
    return frozen_by(b, OPERATOR) || (frozen_by(b, BREAKER) && b->breaker.gathering) || too_many(b, node);
}

/* ------------------------------------------------------------------ what is said */

static void row_frozen(struct mf_broker *b, uint64_t cause, const char *by, struct mf_str reason,
                       const struct mf_domain *domain)
{
    size_t nodes = domain ? domain->n_nodes : b->nodes.n, out = domain ? domain->n_out : b->breaker.n_out;
    uint32_t percent = domain ? b->config.breaker_domain_percent : b->config.breaker_percent;
    struct mf_event event = {
        .kind = MF_EV_CLUSTER_FROZEN,
        .cluster_frozen = {.by = mf_str(by),
                           .reason = reason,
                           .failed = out - (out < b->breaker.n_held ? out : b->breaker.n_held),
                           .held = b->breaker.n_held,
                           .limit = share(nodes, percent),
                           .nodes = nodes}};
    char text[128];

    if (domain)
        event.cluster_frozen.domain = mf_str_format(text, sizeof(text), DOMAIN_LABEL "=%s", domain->value);
    mf_journal(b, cause, &event, mf_str("cluster"));
}

static void trip(struct mf_broker *b, struct mf_node *node)
{
    const struct mf_domain *domain = over_cluster(b, node) ? NULL : node->outage.domain;
    size_t nodes = domain ? domain->n_nodes : b->nodes.n, out = domain ? domain->n_out : b->breaker.n_out;
    uint32_t percent = domain ? b->config.breaker_domain_percent : b->config.breaker_percent;
    char text[256];

    row_frozen(b, node->last_seq, BREAKER,
               mf_str_format(text, sizeof(text),
                             "%zu of %zu nodes%s%s failed or are silent at once, and %zu may (%u %%)", out,
                             nodes, domain ? " of " DOMAIN_LABEL " " : "", domain ? domain->value : "",
                             share(nodes, percent), percent),
               domain);
}

static void row_held(struct mf_broker *b, struct mf_node *node)
{
    struct mf_event event = {.kind = MF_EV_NODE_HELD,
                             .node_held = {.node = node->name, .epoch = node->epoch}};
    char text[MF_SUBJECT_MAX], reason[100];

    event.node_held.reason =
        mf_str_format(reason, sizeof(reason), "the cluster is frozen by the %.*s", MF_STR_ARG(b->frozen_by));
    mf_journal(b, b->frozen_seq, &event, mf_subject_named("node", node->name, text));
}

static void row_thawed(struct mf_broker *b, uint64_t cause, const char *by, struct mf_str reason)
{
    mf_journal(b, cause,
               &(struct mf_event){.kind = MF_EV_CLUSTER_THAWED,
                                  .cluster_thawed = {.by = mf_str(by), .reason = reason}},
               mf_str("cluster"));
}

/* ------------------------------------------------------------------ what happens to one node */

void mf_breaker_hold(struct mf_broker *b, struct mf_node *node)
{
    set_held(b, node, true);
    if (!b->frozen_by.len)
        trip(b, node);
    if (node->outage.told)
        return;
    node->outage.told = true;
    row_held(b, node);
}

void mf_breaker_let_go(struct mf_broker *b, struct mf_node *node)
{
    node->outage.told = false;
    set_held(b, node, false);
}

static void count_from(struct mf_broker *b, struct mf_node *node, mf_ms when)
{
    mf_ms due = when + b->config.breaker_window_ms;

    set_counted(b, node, true);
    node->outage.counted_at = when;
    if (!b->breaker.alarm.timer.place || due < b->breaker.alarm.timer.when)
        mf_heap_set(&b->alarms, &b->breaker.alarm.timer, due > b->now ? due : b->now + 1);
}

void mf_breaker_failed(struct mf_broker *b, struct mf_node *node)
{
    count_from(b, node, b->now);
    mf_breaker_let_go(b, node);
}

void mf_breaker_joined(struct mf_broker *b, struct mf_node *node)
{
    mf_votes_forget(b, node); /* they were about another epoch */
    enter_domain(b, node);
    b->breaker.look = true; /* one more among whom to count */
}

void mf_breaker_forgotten(struct mf_broker *b, struct mf_node *node)
{
    mf_votes_forget(b, node);
    set_counted(b, node, false);
    leave_domain(b, node);
}

/* ------------------------------------------------------------------ time passes */

/* Is a birth on its way? Not of what found no room: it may wait for ever, and would hold every other verdict
 * up. Nor where its own node is out, which counts by itself: the two would wait for each other. */
static bool on_its_way(const struct mf_instance *inst)
{
    if (inst->state == MF_INSTANCE_STATE_PENDING)
        return !inst->told;
    return inst->state == MF_INSTANCE_STATE_PLACED && mf_node_up(inst->node) && !inst->node->outage.held;
}

static bool replacing(const struct mf_node *node)
{
    for (const struct mf_instance *inst = node->first; inst; inst = inst->next)
        if (inst->state == MF_INSTANCE_STATE_LOST && inst->slot->current && on_its_way(inst->slot->current))
            return true;
    return false;
}

void mf_breaker_alarm(struct mf_broker *b)
{
    struct mf_node *next;
    mf_ms soonest = INT64_MAX;

    for (struct mf_node *node = b->breaker.counted.first; node; node = next) {
        mf_ms due = node->outage.counted_at + b->config.breaker_window_ms;
        next = node->outage.links[MF_OUT_COUNTED].next;
        if (due <= b->now && replacing(node))
            due = b->now + LOOK_MS;
        if (due <= b->now)
            set_counted(b, node, false);
        else if (due < soonest)
            soonest = due;
    }
    if (b->breaker.counted.first)
        mf_heap_set(&b->alarms, &b->breaker.alarm.timer, soonest);
}

/* Held verdicts that fit the limit now, with all that are held counted in: those of the whole cluster, or of
 * racks that no longer have too many. */
static size_t fitting(struct mf_broker *b, struct mf_node ***ret_nodes)
{
    struct mf_node **nodes = mf_arena_alloc(&b->arena, (b->breaker.n_held + 1) * sizeof(struct mf_node *));
    size_t n = 0;

    for (struct mf_node *node = b->breaker.held.first; node; node = node->outage.links[MF_OUT_HELD].next)
        if (!too_many(b, node))
            nodes[n++] = node;
    *ret_nodes = nodes;
    return n;
}

/* Hearing that comes back does so node by node: whoever is still held when the others are heard is given as
 * long as silence takes, or the last of them would be killed by the recovery of the first. */
static bool calm(struct mf_broker *b, bool fits)
{
    bool calmed = b->breaker.calmed;

    b->breaker.calmed = false;
    if (!fits || calmed)
        mf_heap_unset(&b->alarms, &b->breaker.calm.timer);
    else if (!b->breaker.calm.timer.place)
        mf_heap_set(&b->alarms, &b->breaker.calm.timer, b->now + b->config.silence_ms);
    return calmed;
}

void mf_breaker_calm(struct mf_broker *b)
{
    b->breaker.calmed = b->breaker.look = true;
}

static void say_thawed(struct mf_broker *b)
{
    char text[128];

    row_thawed(b, b->frozen_seq, BREAKER,
               mf_str_format(text, sizeof(text), "%zu of %zu nodes failed or are silent, and %zu may",
                             b->breaker.n_out, b->nodes.n, share(b->nodes.n, b->config.breaker_percent)));
}

void mf_breaker_settle(struct mf_broker *b)
{
    struct mf_node **nodes;
    size_t n;

    if (!b->breaker.look || mf_grace(b))
        return;
    b->breaker.look = false;
    if (!frozen_by(b, BREAKER)) {
        calm(b, false);
        return;
    }
    n = fitting(b, &nodes);
    if (!calm(b, n > 0) && b->breaker.n_held)
        return;
    if (n == b->breaker.n_held)
        say_thawed(b);
    for (size_t i = 0; i < n; i++)
        mf_votes_judge(b, nodes[i]);
}

/* ------------------------------------------------------------------ by word */

void mf_breaker_freeze(struct mf_broker *b, uint64_t cause, struct mf_str reason)
{
    if (!frozen_by(b, OPERATOR))
        row_frozen(b, cause, OPERATOR, reason.len ? reason : mf_str("an operator said so"), NULL);
}

/* Who thaws has seen the numbers: what failed so far counts no more, or the next death would freeze again. */
void mf_breaker_thaw(struct mf_broker *b, uint64_t cause)
{
    struct mf_node **nodes = mf_arena_alloc(&b->arena, (b->breaker.n_held + 1) * sizeof(struct mf_node *));
    size_t n = 0;

    if (!b->frozen_by.len)
        return;
    row_thawed(b, cause, OPERATOR, mf_str("an operator said so"));
    while (b->breaker.held.first) {
        nodes[n++] = b->breaker.held.first;
        mf_breaker_let_go(b, b->breaker.held.first);
    }
    for (size_t i = 0; i < n; i++)
        mf_votes_judge_by_word(b, nodes[i]);
    while (b->breaker.counted.first)
        set_counted(b, b->breaker.counted.first, false);
}

/* ------------------------------------------------------------------ a reign */

void mf_breaker_begin(struct mf_broker *b)
{
    mf_ms window = b->config.breaker_window_ms;

    for (size_t i = 0; i < b->nodes.n; i++) {
        struct mf_node *node = b->nodes.items[i];
        mf_ms age = b->wall_ms > node->failed_ms ? b->wall_ms - node->failed_ms : 0;
        enter_domain(b, node);
        if (node->failed_ms && (age < window || replacing(node)))
            count_from(b, node, b->now - (age < window ? age : window));
    }
}

void mf_breaker_free(struct mf_broker *b)
{
    struct mf_domain *domain;
    size_t cursor = 0;

    while (mf_map_next(b->breaker.domains, &cursor, (void **)&domain))
        free(domain);
    mf_map_destroy(&b->breaker.domains);
}

void mf_breaker_check(const struct mf_broker *b)
{
    size_t counted = 0, held = 0, out = 0;

    for (size_t i = 0; i < b->nodes.n; i++) {
        const struct mf_node *node = b->nodes.items[i];
        counted += node->outage.counted;
        held += node->outage.held;
        out += is_out(node);
        MF_CHECK(!node->outage.held || node->doubts.n > 0);
        MF_CHECK(!node->outage.held || node->state != MF_NODE_STATE_FAILED);
    }
    for (const struct mf_node *node = b->breaker.counted.first; node;
         node = node->outage.links[MF_OUT_COUNTED].next)
        counted--;
    for (const struct mf_node *node = b->breaker.held.first; node;
         node = node->outage.links[MF_OUT_HELD].next)
        held--;
    MF_CHECK(counted == 0 && held == 0 && out == b->breaker.n_out);
    MF_CHECK(!b->breaker.counted.first || b->breaker.alarm.timer.place);
    if (b->reigning && !mf_grace(b))
        MF_CHECK(frozen_by(b, BREAKER) ? b->breaker.n_held > 0
                                       : frozen_by(b, OPERATOR) || !b->breaker.n_held);
}
