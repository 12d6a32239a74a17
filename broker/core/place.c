/* place.c - feasible, then one where no birth of the group failed lately, then fewest of the group, then one
 * that has the image, then the fit, then chance among near equals. The nodes stand in the order of how many
 * of the group they have (ranks.h), so a decision looks at few of them.
 *
 * The instances of one group are alike, so when one finds no room no other does: a pass costs a scan for each
 * group, not for each instance. Many that wait, groups or instances, are looked at together, a little later,
 * rather than at every change. */
#include "place.h"
#include "blame.h"
#include "check.h"
#include "domains.h"
#include "held.h"
#include "journal.h"
#include "leases.h"
#include "nodes.h"
#include "orders.h"
#include "ranks.h"

#include <stdlib.h>
#include <string.h>

enum {
    PASS_EVERY_MS = 20,
    PASS_FREELY = 64,
    WAITING_FREELY = 1000,
    SCALE = 1000000,
    NEAR = SCALE / 100,
    MEET = 32
};

enum blocked {
    FITS,
    AWAY,
    JOINING,
    SUSPECT,
    FAILED,
    CORDONED,
    QUARANTINED,
    CLASS,
    LABELS,
    FENCES,
    FULL,
    VCPUS,
    MEMORY,
    DISK,
    N_BLOCKED
};

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

static bool room(uint64_t capacity, uint64_t used, uint64_t more)
{
    return used <= capacity && capacity - used >= more;
}

static enum blocked kept_away(const struct mf_node *node)
{
    if (node->state == MF_NODE_STATE_FAILED)
        return FAILED;
    if (!mf_node_up(node))
        return AWAY;
    if (node->state == MF_NODE_STATE_JOINING)
        return JOINING;
    if (node->state != MF_NODE_STATE_READY)
        return SUSPECT;
    return node->quarantined_until ? QUARANTINED : CORDONED;
}

static enum blocked blocked(const struct mf_node *node, const struct mf_group *group)
{
    const struct mf_rec_offering *o = &group->offering->rec;

    if (!mf_node_schedulable(node))
        return kept_away(node);
    if (!mf_str_eq(node->class, o->class))
        return CLASS;
    if (group->require.n && !mf_place_has_labels(node, &group->require))
        return LABELS;
    if (group->policy == MF_POLICY_AT_MOST && !node->fences)
        return FENCES;
    if (node->n_instances >= MF_NODE_INSTANCES_MAX)
        return FULL;
    if (!room(node->capacity.memory_mib, node->used.memory_mib, o->memory_mib))
        return MEMORY;
    if (!room(node->capacity.vcpus, node->used.vcpus, o->vcpus))
        return VCPUS;
    return room(node->capacity.disk_mib, node->used.disk_mib, o->disk_mib) ? FITS : DISK;
}

/* ------------------------------------------------------------------ preference */

static uint64_t share(uint64_t capacity, uint64_t used, uint64_t more)
{
    return capacity ? (capacity - used - more) * SCALE / capacity : 0;
}

/* The scarcest resource's free share after placing; for best-fit the less the better. */
static uint64_t score(const struct mf_node *node, const struct mf_group *group)
{
    const struct mf_rec_offering *o = &group->offering->rec;
    uint64_t cpu = share(node->capacity.vcpus, node->used.vcpus, o->vcpus);
    uint64_t memory = share(node->capacity.memory_mib, node->used.memory_mib, o->memory_mib);
    uint64_t disk = share(node->capacity.disk_mib, node->used.disk_mib, o->disk_mib);
    uint64_t least = cpu < memory ? cpu : memory;

    least = disk < least ? disk : least;
    return group->fit == MF_FIT_BEST ? SCALE - least : least;
}

struct search {
    const struct mf_broker *b;
    const struct mf_group *group;
    bool wary;    /* pass over nodes where births of the group failed */
    bool shunned; /* one was passed over */
};

/* Of the nodes with equally many of the group, from one of them on: the fitting ones met first. A few dozen
 * of many are as good as all of them, and cost the same in any cluster. */
static size_t meet(struct search *search, const struct mf_ranks *ranks, uint32_t from, uint32_t n,
                   uint32_t start, struct mf_node *ret_met[MEET])
{
    size_t met = 0;

    for (uint32_t i = 0; i < n && met < MEET; i++) {
        struct mf_node *node = ranks->order[from + (start + i) % n];
        if (blocked(node, search->group) != FITS)
            continue;
        if (search->wary && mf_blame_shuns(search->b, search->group, node))
            search->shunned = true;
        else
            ret_met[met++] = node;
    }
    return met;
}

static size_t warm_first(const struct mf_image *image, struct mf_node *met[MEET], size_t n)
{
    size_t warm = 0;

    for (size_t i = 0; i < n; i++)
        if (mf_held_warm(met[i], image)) {
            struct mf_node *node = met[i];
            met[i] = met[warm];
            met[warm++] = node;
        }
    return warm;
}

/* Of the nodes that have the image, from any of them on, those with so many of the group. */
static size_t meet_warm(struct mf_broker *b, struct search *search, const struct mf_ranks *ranks,
                        uint32_t level, struct mf_node *ret_met[MEET])
{
    const struct mf_vec *holders = &search->group->image->holders;
    size_t start = holders->n ? mf_random_below(&b->random, holders->n) : 0, met = 0;

    for (size_t i = 0; i < holders->n && i < MEET; i++) {
        struct mf_node *node = holders->items[(start + i) % holders->n];
        if (ranks->counts[node->index] == level && blocked(node, search->group) == FITS &&
            !(search->wary && mf_blame_shuns(b, search->group, node)))
            ret_met[met++] = node;
    }
    return met;
}

/* Who has the image need not fetch it: better than any other with equally many of the group. In a large
 * bucket those that were met are a few of many, so the image's own list is looked at, too. */
static size_t prefer_warm(struct mf_broker *b, struct search *search, const struct mf_ranks *ranks,
                          uint32_t level, struct mf_node *met[MEET], size_t n)
{
    struct mf_node *others[MEET];
    size_t warm;

    if (search->group->image->local)
        return n;
    warm = warm_first(search->group->image, met, n);
    if (warm || n < MEET)
        return warm ? warm : n;
    warm = meet_warm(b, search, ranks, level, others);
    memcpy(met, others, warm * sizeof(*met));
    return warm ? warm : n;
}

static struct mf_node *best_of(struct mf_broker *b, const struct mf_group *group, struct mf_node *const *met,
                               size_t n)
{
    uint64_t scores[MEET], best = 0, near = 0;
    struct mf_node *chosen = NULL;

    for (size_t i = 0; i < n; i++) {
        scores[i] = score(met[i], group);
        best = scores[i] > best ? scores[i] : best;
    }
    for (size_t i = 0; i < n; i++)
        if (scores[i] + NEAR >= best && mf_random_below(&b->random, ++near) == 0)
            chosen = met[i];
    return chosen;
}

static struct mf_node *choose_by(struct mf_broker *b, struct mf_group *group, struct search *search)
{
    const struct mf_ranks *ranks = mf_ranks_of(b, group);

    for (uint32_t level = 0; level < ranks->n_levels; level++) {
        uint32_t from = ranks->starts[level], n = ranks->starts[level + 1] - from;
        struct mf_node *met[MEET];
        size_t n_met;

        if (!n)
            continue;
        n_met = meet(search, ranks, from, n, (uint32_t)mf_random_below(&b->random, n), met);
        if (n_met)
            return best_of(b, group, met, prefer_warm(b, search, ranks, level, met, n_met));
    }
    return NULL;
}

/* A node where births of the group failed is the last resort: it may be well again, or never was to blame. */
static struct mf_node *choose(struct mf_broker *b, struct mf_group *group)
{
    struct search search = {.b = b, .group = group, .wary = true};
    struct mf_node *node = choose_by(b, group, &search);

    search.wary = false;
    return node || !search.shunned ? node : choose_by(b, group, &search);
}

bool mf_place_fits(const struct mf_broker *b, const struct mf_slot *slot)
{
    if (slot->group->image->halted || mf_domain_claiming(b, slot)) /* a try is no place to move to */
        return false;
    for (size_t i = 0; i < b->nodes.n; i++)
        if (blocked(b->nodes.items[i], slot->group) == FITS)
            return true;
    return false;
}

/* ------------------------------------------------------------------ the pass */

static bool place(struct mf_broker *b, struct mf_instance *inst)
{
    struct mf_group *group = mf_group_of(inst);
    struct mf_lease_wait wait;
    struct mf_node *node;

    if (mf_lease_waits(b, inst, &wait)) {
        mf_lease_await(b, &wait);
        return false;
    }
    if (group->stuck == b->room || mf_domain_claiming(b, inst->slot))
        return false;
    node = mf_blame_holds(group->image) ? NULL : choose(b, group);
    if (!node) {
        group->stuck = b->room;
        return false;
    }
    mf_lease_bury(b, inst);
    mf_row_placed(b, inst, node, inst->last_seq);
    MF_CHECK(room(node->capacity.vcpus, node->used.vcpus, 0) &&
             room(node->capacity.memory_mib, node->used.memory_mib, 0) &&
             room(node->capacity.disk_mib, node->used.disk_mib, 0));
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

static void place_some(struct mf_broker *b, struct mf_group *group, bool spares, struct mf_str *no_room,
                       char text[256])
{
    struct mf_instance *next;

    for (struct mf_instance *inst = group->pending_first; inst; inst = next) {
        next = inst->next;
        if (group->stuck == b->room && group->pending_last->told)
            return; /* the newest stands last: all of them were told, and none has room */
        if ((inst->slot->index >= group->desired) != spares)
            continue;
        if (!place(b, inst) && !inst->told)
            tell_why(b, inst, no_room, text);
    }
}

static void place_group(struct mf_broker *b, struct mf_group *group)
{
    struct mf_str no_room = {NULL, 0};
    char text[256];

    place_some(b, group, false, &no_room, text);
    if (group->spares)
        place_some(b, group, true, &no_room, text);
}

/* Below its min first, then by the age of what waits longest. */
static int needier(const void *left, const void *right)
{
    const struct mf_group *a = *(struct mf_group *const *)left, *c = *(struct mf_group *const *)right;
    bool need_a = a->running + a->retiring < a->min, need_c = c->running + c->retiring < c->min;

    if (need_a != need_c)
        return need_a ? -1 : 1;
    if (a->pending_first->created_ms != c->pending_first->created_ms)
        return a->pending_first->created_ms < c->pending_first->created_ms ? -1 : 1;
    return mf_uuid_cmp(a->pending_first->id, c->pending_first->id);
}

static void pass(struct mf_broker *b)
{
    size_t n = 0;
    struct mf_group **groups = mf_arena_alloc(&b->arena, (b->n_needy + 1) * sizeof(*groups));

    b->newborn = false;
    b->placed_room = b->room;
    b->place_at = b->now;
    mf_heap_unset(&b->alarms, &b->place.timer);
    for (struct mf_group *group = b->needy; group; group = group->needy_next)
        groups[n++] = group;
    qsort(groups, n, sizeof(*groups), needier);
    for (size_t i = 0; i < n; i++)
        place_group(b, groups[i]);
}

void mf_place_pass(struct mf_broker *b)
{
    bool few = b->n_needy <= PASS_FREELY && b->count[MF_INSTANCE_STATE_PENDING] <= WAITING_FREELY;

    if (!b->needy || (!b->newborn && b->placed_room == b->room))
        return;
    if (few || b->now >= b->place_at + PASS_EVERY_MS)
        pass(b);
    else
        mf_heap_set(&b->alarms, &b->place.timer, b->place_at + PASS_EVERY_MS);
}

/* ------------------------------------------------------------------ why not */

struct mf_str mf_place_reason(const struct mf_broker *b, const struct mf_slot *slot, char text[256])
{
    static const char *const words[N_BLOCKED] = {
        "could take it", "away",   "joining",      "suspect", "failed", "cordoned", "quarantined",
        "class",         "labels", "cannot fence", "full",    "vcpus",  "memory",   "disk"};
    size_t counts[N_BLOCKED] = {0}, at;
    const struct mf_stranger *claimant = mf_domain_claiming(b, slot);
    struct mf_lease_wait wait;
    const char *comma = ":";

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
    for (size_t i = 0; i < b->nodes.n; i++)
        counts[blocked(b->nodes.items[i], slot->group)]++;
    at = mf_str_format(text, 256, "%zu of %zu nodes", counts[FITS], b->nodes.n).len;
    for (int i = FITS + 1; i < N_BLOCKED; i++)
        if (counts[i]) {
            at += mf_str_format(text + at, 256 - at, "%s %zu %s", comma, counts[i], words[i]).len;
            comma = ",";
        }
    return (struct mf_str){text, (uint32_t)at};
}
