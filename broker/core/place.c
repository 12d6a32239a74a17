/* place.c - what waits is placed: the group says what it wants of a node, the pool (broker/placement) chooses
 * one, a row says so.
 *
 * The instances of one group are alike, so when one finds no room no other does: a pass costs a look for each
 * group, not for each instance, and nothing at all where no node fits and none has changed. Many that wait,
 * groups or instances, are looked at together, a little later, rather than at every change; so is what a
 * larger outage leaves behind, which is one problem and is solved as one: the neediest first. */
#include "place.h"
#include "admission.h"
#include "blame.h"
#include "check.h"
#include "domains.h"
#include "group_rules.h"
#include "journal.h"
#include "kin.h"
#include "leases.h"
#include "nodes.h"
#include "orders.h"
#include "pooled.h"
#include "protection.h"

#include <stdlib.h>
#include <string.h>

enum { PASS_EVERY_MS = 20, PASS_FREELY = 64, WAITING_FREELY = 1000, OUTAGE = 2, PASSES_AT_ONCE = 4 };

bool mf_place_has_labels(const struct mf_node *node, const struct mf_labels *require)
{
    for (uint32_t i = 0; i < require->n; i++) {
        bool found = false;
        for (uint32_t j = 0; j < node->labels.n && !found; j++)
            found = mf_str_eq(node->labels.items[j].key, require->items[i].key) &&
                    mf_str_eq(node->labels.items[j].value, require->items[i].value);
        if (!found)
            return false;
    }
    return true;
}

/* ------------------------------------------------------------------ what is asked */

static void put(struct mf_place_ask *ask, struct mf_rule rule)
{
    MF_CHECK(ask->ask.n_rules < MF_RULES_MAX);
    ask->rules[ask->ask.n_rules++] = rule;
}

/* Over its tally by a label or the host; over one that counts nothing while there is no group. */
static void put_by(struct mf_broker *b, struct mf_group *group, struct mf_str by, enum mf_rule_kind kind,
                   uint64_t bound, struct mf_place_ask *ask)
{
    uint32_t key = mf_kin_key(b, by);

    put(ask, (struct mf_rule){.kind = kind,
                              .tally = group ? mf_kin_tally(b, group, key) : NULL,
                              .bound = (uint32_t)bound,
                              .key = key});
}

/* No two on one host while another takes it, whatever was said; what was said by label goes before that. */
static void put_preferences(struct mf_broker *b, struct mf_group *group, const struct mf_rec_rules *r,
                            struct mf_place_ask *ask)
{
    static const struct mf_str host = {NULL, 0};

    if (r->spread_by.len && !mf_rules_by_host(r->spread_by))
        put_by(b, group, r->spread_by, MF_RULE_FEW, 0, ask);
    if (r->pack_by.len)
        put_by(b, group, r->pack_by, MF_RULE_MANY, 0, ask);
    if (!r->pack_by.len || !mf_rules_by_host(r->pack_by))
        put_by(b, group, host, MF_RULE_FEW, 0, ask);
}

static void put_limits(struct mf_broker *b, struct mf_group *group, const struct mf_rec_rules *r,
                       struct mf_place_ask *ask)
{
    static const struct mf_str host = {NULL, 0};

    if (r->max_skew)
        put_by(b, group, r->spread_by, MF_RULE_SKEW, r->max_skew, ask);
    if (r->node_max)
        put_by(b, group, host, MF_RULE_MOST, r->node_max, ask);
    for (uint32_t i = 0; i < r->with.n; i++)
        put_by(b, mf_group_active(b, r->with.items[i].group), r->with_by, MF_RULE_WITH, 0, ask);
}

static void put_rules(struct mf_broker *b, struct mf_group *group, const struct mf_rec_rules *r,
                      struct mf_place_ask *ask)
{
    ask->ask = (struct mf_ask){.rules = ask->rules, .shunned = ask->shunned};
    put_preferences(b, group, r, ask);
    put_limits(b, group, r, ask);
}

void mf_place_ask(struct mf_broker *b, struct mf_group *group, struct mf_place_ask *ask)
{
    put_rules(b, group, &group->rules, ask);
    for (uint32_t i = 0; i < group->foreign.n; i++)
        put(ask, (struct mf_rule){.kind = MF_RULE_APART, .tally = group->foreign.items[i].tally});
    ask->ask.shape = group->shape;
    ask->ask.n_shunned = mf_blame_shunned(b, group, ask->shunned);
}

void mf_place_ask_rules(struct mf_broker *b, const struct mf_rec_rules *rules, struct mf_place_ask *ask)
{
    put_rules(b, NULL, rules, ask);
    for (uint32_t i = 0; i < rules->apart.n; i++)
        put_by(b, mf_group_active(b, rules->apart.items[i].group), rules->apart_by, MF_RULE_APART, 0, ask);
}

bool mf_place_fits(struct mf_broker *b, const struct mf_slot *slot)
{
    struct mf_random random = b->random; /* nothing is decided here */
    struct mf_place_ask ask;
    struct mf_place place;
    struct mf_rank rank;

    if (slot->group->image->halted || mf_domain_claiming(b, slot)) /* a try is no place to move to */
        return false;
    mf_place_ask(b, slot->group, &ask);
    return mf_pool_choose(b->pool, &ask.ask, &random, &place, &rank);
}

/* ------------------------------------------------------------------ the pass */

/* Of a group that asks for headroom each may have a backup of its own, where the others find no room. */
static bool is_stuck(const struct mf_broker *b, const struct mf_group *group)
{
    return group->stuck == b->room && !mf_protection_level(b, group).len;
}

/* What was lost, and is to have a backup, goes there if nothing else is free. */
static bool choose(struct mf_broker *b, const struct mf_instance *inst, const struct mf_place_ask *ask,
                   struct mf_place *ret_place)
{
    struct mf_group *group = mf_group_of(inst);
    struct mf_rank rank;

    if (mf_admission_place(b, inst, ask, ret_place))
        return true;
    if (group->stuck != b->room && mf_pool_choose(b->pool, &ask->ask, &b->random, ret_place, &rank))
        return true;
    group->stuck = b->room;
    return mf_protection_place(b, inst, ask, ret_place);
}

static bool place(struct mf_broker *b, struct mf_instance *inst, const struct mf_place_ask *ask)
{
    struct mf_group *group = mf_group_of(inst);
    struct mf_lease_wait wait;
    struct mf_place chosen;

    if (mf_lease_waits(b, inst, &wait)) {
        mf_lease_await(b, &wait);
        return false;
    }
    if (is_stuck(b, group) || mf_domain_claiming(b, inst->slot))
        return false;
    if (mf_blame_holds(group->image)) {
        group->stuck = b->room;
        return false;
    }
    if (!choose(b, inst, ask, &chosen))
        return false;
    mf_lease_bury(b, inst);
    mf_row_placed(b, inst, b->by_number[chosen.node], chosen.cells, inst->last_seq);
    mf_admission_placed(b, inst);
    mf_order_open(b, inst);
    mf_blame_tries(b, inst);
    return true;
}

/* Once in each wait. Having no room is the same for all of a group, and costs a look at every node. */
static void tell_why(struct mf_broker *b, struct mf_instance *inst, struct mf_str *no_room, char text[256])
{
    struct mf_lease_wait wait;
    char own[256];

    if (mf_lease_waits(b, inst, &wait) || mf_domain_claiming(b, inst->slot)) {
        mf_row_pending(b, inst, mf_place_reason(b, inst->slot, own));
        return;
    }
    if (!no_room->len)
        *no_room = mf_place_reason(b, inst->slot, text);
    mf_row_pending(b, inst, *no_room);
}

static void place_some(struct mf_broker *b, struct mf_group *group, bool spares,
                       const struct mf_place_ask *ask, struct mf_str *no_room, char text[256])
{
    struct mf_instance *next;

    for (struct mf_instance *inst = group->pending_first; inst; inst = next) {
        next = inst->next;
        if (is_stuck(b, group) && group->pending_last->told)
            return; /* the newest stands last: all of them were told, and none has room */
        if ((inst->slot->index >= group->desired) != spares)
            continue;
        if (!place(b, inst, ask) && !inst->told)
            tell_why(b, inst, no_room, text);
    }
}

static void place_group(struct mf_broker *b, struct mf_group *group)
{
    struct mf_str no_room = {NULL, 0};
    struct mf_place_ask ask;
    char text[256];

    if (!mf_pool_any(b->pool, group->shape))
        group->stuck = b->room;
    mf_place_ask(b, group, &ask);
    place_some(b, group, false, &ask, &no_room, text);
    if (group->spares)
        place_some(b, group, true, &ask, &no_room, text);
}

struct needy {
    struct mf_group *group;
    uint32_t priority;
    bool need;     /* below its min */
    uint64_t size; /* of an instance: the largest share of a mean node, in millionths */
};

static struct needy needy_of(const struct mf_broker *b, struct mf_group *group)
{
    struct needy needy = {.group = group,
                          .priority = mf_rules_priority(&group->rules),
                          .need = group->running + group->retiring < group->min};

    for (int d = 0; d < MF_DIMENSIONS; d++) {
        uint64_t wants = group->offering->wants.of[d];
        uint64_t share = b->total[d] ? wants * 1000000 / (b->total[d] / b->nodes.n + 1) : 0;
        needy.size = share > needy.size ? share : needy.size;
    }
    return needy;
}

static int needier(const void *left, const void *right)
{
    const struct needy *a = left, *c = right;
    const struct mf_instance *first = a->group->pending_first, *other = c->group->pending_first;

    if (a->priority != c->priority)
        return a->priority > c->priority ? -1 : 1;
    if (a->need != c->need)
        return a->need ? -1 : 1;
    if (a->size != c->size)
        return a->size > c->size ? -1 : 1;
    if (first->created_ms != other->created_ms)
        return first->created_ms < other->created_ms ? -1 : 1;
    return mf_uuid_cmp(first->id, other->id);
}

void mf_place_now(struct mf_broker *b)
{
    size_t n = 0;
    struct needy *groups = mf_arena_alloc(&b->arena, (b->n_needy + 1) * sizeof(*groups));

    b->newborn = false;
    b->placed_room = b->room;
    b->place_at = b->now;
    mf_heap_unset(&b->alarms, &b->place.timer);
    for (struct mf_group *group = b->needy; group; group = group->needy_next)
        groups[n++] = needy_of(b, group);
    qsort(groups, n, sizeof(*groups), needier);
    for (size_t i = 0; i < n; i++)
        place_group(b, groups[i].group);
    for (size_t i = 0; i < n && mf_protection_last_resort(b); i++)
        place_group(b, groups[i].group);
    mf_protection_passed(b);
    mf_admission_over(b);
}

/* What one pass placed may be what another group waited for, to be with it. */
static void passes(struct mf_broker *b)
{
    for (int i = 0; i < PASSES_AT_ONCE && (i == 0 || (b->needy && b->placed_room != b->room)); i++)
        mf_place_now(b);
    if (b->needy && b->placed_room != b->room)
        mf_heap_set(&b->alarms, &b->place.timer, b->place_at + PASS_EVERY_MS);
}

void mf_place_pass(struct mf_broker *b)
{
    bool few = b->n_needy <= PASS_FREELY && b->count[MF_INSTANCE_STATE_PENDING] <= WAITING_FREELY &&
               b->breaker.n_out < OUTAGE;

    if (!b->needy || (!b->newborn && b->placed_room == b->room))
        return;
    if (few || b->now >= b->place_at + PASS_EVERY_MS)
        passes(b);
    else
        mf_heap_set(&b->alarms, &b->place.timer, b->place_at + PASS_EVERY_MS);
}

/* ------------------------------------------------------------------ why not */

const char *mf_place_word(enum mf_refusal refusal, uint8_t closed)
{
    static const char *const kept[] = {[MF_KEPT_NOT] = "closed",
                                       [MF_KEPT_AWAY] = "away",
                                       [MF_KEPT_JOINING] = "joining",
                                       [MF_KEPT_SUSPECT] = "suspect",
                                       [MF_KEPT_FAILED] = "failed",
                                       [MF_KEPT_CORDONED] = "cordoned",
                                       [MF_KEPT_QUARANTINED] = "quarantined"};
    static const char *const words[MF_REFUSALS] = {[MF_REFUSED_NOT] = "could take it",
                                                   [MF_REFUSED_CLASS] = "class",
                                                   [MF_REFUSED_LABELS] = "labels",
                                                   [MF_REFUSED_FORBIDDEN] = "forbidden labels",
                                                   [MF_REFUSED_FENCES] = "cannot fence",
                                                   [MF_REFUSED_SHARES] = "shared CPUs",
                                                   [MF_REFUSED_FULL] = "full",
                                                   [MF_REFUSED_VCPUS] = "vcpus",
                                                   [MF_REFUSED_MEMORY] = "memory",
                                                   [MF_REFUSED_HUGEPAGES] = "huge pages",
                                                   [MF_REFUSED_DISK] = "disk",
                                                   [MF_REFUSED_DISK_RATE] = "disk rate",
                                                   [MF_REFUSED_NETWORK] = "network rate",
                                                   [MF_REFUSED_CELLS] = "cells",
                                                   [MF_REFUSED_HEADROOM] = "headroom",
                                                   [MF_REFUSED_SKEW] = "skew",
                                                   [MF_REFUSED_MOST] = "node-max",
                                                   [MF_REFUSED_APART] = "apart",
                                                   [MF_REFUSED_WITH] = "with"};

    return refusal == MF_REFUSED_CLOSED ? kept[closed] : words[refusal];
}

struct tally_of_words {
    size_t kept[MF_KEPT_QUARANTINED + 1], refused[MF_REFUSALS];
};

static struct tally_of_words count_refusals(struct mf_broker *b, const struct mf_place_ask *ask)
{
    uint32_t end = mf_pool_end(b->pool);
    struct mf_opinion *opinions = mf_calloc((end + 1) * sizeof(*opinions));
    struct tally_of_words counts = {0};

    mf_pool_explain_all(b->pool, &ask->ask, opinions);
    for (uint32_t i = 0; i < end; i++)
        if (opinions[i].refusal == MF_REFUSED_CLOSED)
            counts.kept[b->by_number[i]->closed]++;
        else if (opinions[i].refusal != MF_REFUSALS)
            counts.refused[opinions[i].refusal]++;
    free(opinions);
    return counts;
}

static size_t say(char text[256], size_t at, size_t n, const char *word)
{
    if (!n)
        return at;
    return at + mf_str_format(text + at, 256 - at, "%s %zu %s", strchr(text, ':') ? "," : ":", n, word).len;
}

static struct mf_str say_refusals(struct mf_broker *b, struct mf_group *group, char text[256])
{
    struct tally_of_words counts;
    struct mf_place_ask ask;
    size_t at;

    mf_place_ask(b, group, &ask);
    counts = count_refusals(b, &ask);
    at = mf_str_format(text, 256, "%zu of %zu nodes", counts.refused[MF_REFUSED_NOT], b->nodes.n).len;
    for (uint8_t i = MF_KEPT_AWAY; i <= MF_KEPT_QUARANTINED; i++)
        at = say(text, at, counts.kept[i], mf_place_word(MF_REFUSED_CLOSED, i));
    for (int i = MF_REFUSED_CLASS; i < MF_REFUSALS; i++)
        at = say(text, at, counts.refused[i], mf_place_word((enum mf_refusal)i, 0));
    return (struct mf_str){text, (uint32_t)at};
}

struct mf_str mf_place_reason(struct mf_broker *b, const struct mf_slot *slot, char text[256])
{
    const struct mf_stranger *claimant = mf_domain_claiming(b, slot);
    struct mf_lease_wait wait;

    if (slot->current && mf_lease_waits(b, slot->current, &wait))
        return mf_lease_reason(b, &wait, text);
    if (claimant)
        return mf_str_format(text, 256,
                             "an unknown domain on %.*s claims to be of this slot; `mayfly adopt` or "
                             "`mayfly purge` it",
                             MF_STR_ARG(claimant->node->name));
    if (mf_blame_holds(slot->group->image))
        return mf_blame_reason(b, slot->group->image, text);
    if (b->nodes.n == 0)
        return mf_str_format(text, 256, "no node has ever joined");
    return say_refusals(b, slot->group, text);
}
