/* place.c - feasible, then fewest of the group, then the fit, then chance among near equals. A plain scan of
 * the nodes: some 60 us at ten thousand of them.
 *
 * The instances of one group are alike, so when one finds no room no other does: a pass costs a scan for each
 * group, not for each instance. Many waiting groups are looked at together, a little later, rather than at
 * every change. */
#include "place.h"
#include "check.h"
#include "journal.h"
#include "orders.h"

#include <stdlib.h>
#include <string.h>

enum { PASS_EVERY_MS = 20, PASS_FREELY = 64, SCALE = 1000000, NEAR = SCALE / 100 };

enum blocked { FITS, AWAY, JOINING, SUSPECT, FAILED, CLASS, LABELS, FULL, VCPUS, MEMORY, DISK, N_BLOCKED };

static bool has_labels(const struct mf_node *node, const struct mf_labels *require)
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

static enum blocked blocked(const struct mf_node *node, const struct mf_group *group)
{
    const struct mf_rec_offering *o = &group->offering->rec;

    if (node->state == MF_NODE_STATE_FAILED)
        return FAILED;
    if (!mf_node_up(node))
        return AWAY;
    if (node->state == MF_NODE_STATE_JOINING)
        return JOINING;
    if (node->state != MF_NODE_STATE_READY)
        return SUSPECT;
    if (!mf_str_eq(node->class, o->class))
        return CLASS;
    if (group->require.n && !has_labels(node, &group->require))
        return LABELS;
    if (node->n_instances >= MF_NODE_INSTANCES_MAX)
        return FULL;
    if (!room(node->capacity.memory_mib, node->used.memory_mib, o->memory_mib))
        return MEMORY;
    if (!room(node->capacity.vcpus, node->used.vcpus, o->vcpus))
        return VCPUS;
    return room(node->capacity.disk_mib, node->used.disk_mib, o->disk_mib) ? FITS : DISK;
}

/* ------------------------------------------------------------------ preference */

/* How many of this group are on each node; kept by the fold while the same group is placed. */
static void count_group(struct mf_broker *b, const struct mf_group *group)
{
    if (b->nodes.n == 0 || (b->spread_group == group && b->spread_cap >= b->nodes.n))
        return;
    if (b->spread_cap < b->nodes.n) {
        b->spread_cap = b->nodes.n * 2;
        free(b->spread_counts);
        b->spread_counts = mf_calloc(b->spread_cap * sizeof(*b->spread_counts));
    }
    memset(b->spread_counts, 0, b->spread_cap * sizeof(*b->spread_counts));
    b->spread_group = group;
    for (uint32_t i = 0; i < group->n_slots; i++)
        for (const struct mf_instance *inst = group->slots[i]->newest; inst; inst = inst->older)
            if (inst->node)
                b->spread_counts[inst->node->index]++;
}

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

static struct mf_node *choose(struct mf_broker *b, const struct mf_group *group)
{
    uint32_t fewest = UINT32_MAX;
    uint64_t best = 0, near = 0;
    struct mf_node *chosen = NULL;

    count_group(b, group);
    for (size_t i = 0; i < b->nodes.n; i++) {
        const struct mf_node *node = b->nodes.items[i];
        uint32_t count = b->spread_counts[node->index];
        if (count > fewest || blocked(node, group) != FITS)
            continue;
        uint64_t s = score(node, group);
        if (count < fewest || s > best)
            best = s;
        fewest = count;
    }
    for (size_t i = 0; i < b->nodes.n && fewest != UINT32_MAX; i++) {
        struct mf_node *node = b->nodes.items[i];
        if (b->spread_counts[node->index] != fewest || blocked(node, group) != FITS ||
            score(node, group) + NEAR < best)
            continue;
        if (mf_random_below(&b->random, ++near) == 0)
            chosen = node;
    }
    return chosen;
}

/* ------------------------------------------------------------------ the pass */

bool mf_place_claimed(const struct mf_broker *b, const struct mf_slot *slot, const struct mf_node **ret_node)
{
    for (size_t i = 0; i < b->nodes.n && b->n_claims; i++) {
        const struct mf_node *node = b->nodes.items[i];
        for (size_t c = 0; c < node->n_claims; c++)
            if (node->claims[c].slot == slot->index && mf_str_is(slot->group->name, node->claims[c].group)) {
                *ret_node = node;
                return true;
            }
    }
    return false;
}

static bool place(struct mf_broker *b, struct mf_instance *inst)
{
    struct mf_group *group = mf_group_of(inst);
    const struct mf_node *claimant;
    struct mf_node *node;

    if (mf_place_claimed(b, inst->slot, &claimant) || group->stuck == b->room)
        return false;
    node = choose(b, group);
    if (!node) {
        group->stuck = b->room;
        return false;
    }
    mf_row_placed(b, inst, node, inst->last_seq);
    MF_CHECK(room(node->capacity.vcpus, node->used.vcpus, 0) &&
             room(node->capacity.memory_mib, node->used.memory_mib, 0) &&
             room(node->capacity.disk_mib, node->used.disk_mib, 0));
    mf_order_open(b, inst);
    return true;
}

static void place_group(struct mf_broker *b, struct mf_group *group)
{
    struct mf_str reason = {NULL, 0};
    struct mf_instance *next;
    char text[256];

    for (struct mf_instance *inst = group->pending_first; inst; inst = next) {
        next = inst->next;
        if (group->stuck == b->room && group->pending_last->told)
            return; /* the newest stands last: all of them were told, and none has room */
        if (place(b, inst) || inst->told)
            continue;
        if (!reason.len || b->n_claims) /* the same for all of them, unless a slot is claimed */
            reason = mf_place_reason(b, inst->slot, text);
        mf_row_pending(b, inst, reason);
    }
}

/* Below its min first, then by the age of what waits longest. */
static int needier(const void *left, const void *right)
{
    const struct mf_group *a = *(struct mf_group *const *)left, *c = *(struct mf_group *const *)right;
    bool need_a = a->running < a->min, need_c = c->running < c->min;

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
    if (!b->needy || (!b->newborn && b->placed_room == b->room))
        return;
    if (b->n_needy <= PASS_FREELY || b->now >= b->place_at + PASS_EVERY_MS)
        pass(b);
    else
        mf_heap_set(&b->alarms, &b->place.timer, b->place_at + PASS_EVERY_MS);
}

/* ------------------------------------------------------------------ why not */

struct mf_str mf_place_reason(const struct mf_broker *b, const struct mf_slot *slot, char text[256])
{
    static const char *const words[N_BLOCKED] = {"could take it", "away",   "joining", "suspect",
                                                 "failed",        "class",  "labels",  "full",
                                                 "vcpus",         "memory", "disk"};
    size_t counts[N_BLOCKED] = {0}, at;
    const struct mf_node *claimant;
    const char *comma = ":";

    if (mf_place_claimed(b, slot, &claimant))
        return mf_str_format(text, 256,
                             "an unknown domain on %.*s claims to be of this slot; destroy it there",
                             MF_STR_ARG(claimant->name));
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
