/* pooled.c - see pooled.h. */
#include "pooled.h"
#include "blame.h"
#include "check.h"
#include "kin.h"
#include "nodes.h"
#include "protection.h"

#include <stdlib.h>
#include <string.h>

enum {
    KIB = 1024,
    BIRTHS_FREELY = 4, /* under way on a node: about as many as it works on at once */
    PENALTY_BIRTH = 4, /* for each beyond: a node that is not busy is better, if it is not much fuller */
    PENALTY_FLAP = 32, /* for each failure lately */
    PENALTY_MAX = 255,
    WHOLE_PERCENT = 100 /* of a ratio: beyond it vcpus share CPUs */
};

/* ------------------------------------------------------------------ amounts */

static uint32_t cut(uint64_t amount)
{
    return amount < UINT32_MAX ? (uint32_t)amount : UINT32_MAX;
}

static uint32_t kib(uint64_t bytes) /* of a claim: no less than it is */
{
    return cut(bytes / KIB + (bytes % KIB != 0));
}

struct mf_amounts mf_pooled_capacity(const struct mf_rec_resources *c)
{
    return (struct mf_amounts){.of = {[MF_VCPUS] = cut(c->vcpus),
                                      [MF_MEMORY_MIB] = cut(c->memory_mib),
                                      [MF_HUGEPAGES_MIB] = cut(c->hugepages_mib),
                                      [MF_DISK_MIB] = cut(c->disk_mib),
                                      [MF_DISK_IOPS] = cut(c->disk_iops),
                                      [MF_DISK_KIB_S] = kib(c->disk_bytes_s),
                                      [MF_NET_KIB_S] = kib(c->net_bytes_s)}};
}

struct mf_amounts mf_pooled_wants(const struct mf_rec_offering *o)
{
    return (struct mf_amounts){.of = {[MF_VCPUS] = cut(o->vcpus),
                                      [MF_MEMORY_MIB] = o->hugepages ? 0 : cut(o->memory_mib),
                                      [MF_HUGEPAGES_MIB] = o->hugepages ? cut(o->memory_mib) : 0,
                                      [MF_DISK_MIB] = cut(o->disk_mib),
                                      [MF_DISK_IOPS] = cut(o->disk_iops),
                                      [MF_DISK_KIB_S] = kib(o->disk_bytes_s),
                                      [MF_NET_KIB_S] = kib(o->net_bytes_s)}};
}

static struct mf_rec_resources as_resources(const struct mf_amounts *a)
{
    return (struct mf_rec_resources){.vcpus = a->of[MF_VCPUS],
                                     .memory_mib = a->of[MF_MEMORY_MIB],
                                     .disk_mib = a->of[MF_DISK_MIB],
                                     .hugepages_mib = a->of[MF_HUGEPAGES_MIB],
                                     .disk_iops = a->of[MF_DISK_IOPS],
                                     .disk_bytes_s = (uint64_t)a->of[MF_DISK_KIB_S] * KIB,
                                     .net_bytes_s = (uint64_t)a->of[MF_NET_KIB_S] * KIB};
}

struct mf_rec_resources mf_pooled_used(const struct mf_broker *b, const struct mf_node *node)
{
    struct mf_amounts used = mf_pool_used(b->pool, node->number);

    return as_resources(&used);
}

struct mf_rec_resources mf_pooled_free(const struct mf_broker *b, const struct mf_node *node)
{
    struct mf_amounts used = mf_pool_used(b->pool, node->number), free = mf_pooled_capacity(&node->capacity);

    for (int d = 0; d < MF_DIMENSIONS; d++)
        free.of[d] = free.of[d] > used.of[d] ? free.of[d] - used.of[d] : 0;
    return as_resources(&free);
}

bool mf_pooled_overfull(const struct mf_broker *b, const struct mf_node *node)
{
    struct mf_amounts used = mf_pool_used(b->pool, node->number);
    struct mf_amounts capacity = mf_pooled_capacity(&node->capacity);

    for (int d = 0; d < MF_DIMENSIONS; d++)
        if (used.of[d] > capacity.of[d] && (d < MF_FIRST_RATE || capacity.of[d]))
            return true;
    return false;
}

/* ------------------------------------------------------------------ nodes */

enum mf_kept_away mf_pooled_kept_away(const struct mf_node *node)
{
    if (mf_node_schedulable(node))
        return MF_KEPT_NOT;
    if (node->state == MF_NODE_STATE_FAILED)
        return MF_KEPT_FAILED;
    if (!mf_node_up(node))
        return MF_KEPT_AWAY;
    if (node->state == MF_NODE_STATE_JOINING)
        return MF_KEPT_JOINING;
    if (node->state != MF_NODE_STATE_READY)
        return MF_KEPT_SUSPECT;
    return node->quarantined_until ? MF_KEPT_QUARANTINED : MF_KEPT_CORDONED;
}

static uint8_t penalty_of(const struct mf_broker *b, const struct mf_node *node)
{
    uint32_t births = node->n_births > BIRTHS_FREELY ? node->n_births - BIRTHS_FREELY : 0;
    uint64_t penalty = (uint64_t)births * PENALTY_BIRTH + (uint64_t)mf_blame_flaps(b, node) * PENALTY_FLAP;

    return penalty < PENALTY_MAX ? (uint8_t)penalty : PENALTY_MAX;
}

static void add_total(struct mf_broker *b, const struct mf_node *node, int64_t sign)
{
    struct mf_amounts capacity = mf_pool_capacity(b->pool, node->number);

    for (int d = 0; d < MF_DIMENSIONS; d++)
        b->total[d] += (uint64_t)(sign * capacity.of[d]);
}

struct words {
    struct mf_cell cells[MF_CELLS_MAX];
    uint32_t labels[64];
};

static struct mf_pool_node describe(struct mf_broker *b, const struct mf_node *node, struct words *words)
{
    MF_CHECK(node->labels.n <= sizeof(words->labels) / sizeof(*words->labels) &&
             node->n_cells <= MF_CELLS_MAX);
    for (uint32_t i = 0; i < node->labels.n; i++)
        words->labels[i] = mf_pool_label(b->pool, node->labels.items[i].key, node->labels.items[i].value);
    for (uint32_t i = 0; i < node->n_cells; i++)
        words->cells[i] = (struct mf_cell){.of = {[MF_VCPUS] = cut(node->cells[i].vcpus),
                                                  [MF_MEMORY_MIB] = cut(node->cells[i].memory_mib),
                                                  [MF_HUGEPAGES_MIB] = cut(node->cells[i].hugepages_mib)}};
    return (struct mf_pool_node){.capacity = mf_pooled_capacity(&node->capacity),
                                 .cells = words->cells,
                                 .n_cells = node->n_cells,
                                 .class = mf_pool_class(b->pool, node->class),
                                 .labels = words->labels,
                                 .n_labels = node->labels.n,
                                 .instances_max = MF_NODE_INSTANCES_MAX,
                                 .fences = node->fences,
                                 .shares = node->cpu_ratio_percent > WHOLE_PERCENT,
                                 .penalty = node->penalty,
                                 .closed = node->closed};
}

static void remember(struct mf_broker *b, struct mf_node *node)
{
    size_t end = mf_pool_end(b->pool);

    if (node->number >= b->n_by_number) {
        b->n_by_number = end + end / 4 + 16;
        b->by_number = realloc(b->by_number, b->n_by_number * sizeof(*b->by_number));
        MF_CHECK(b->by_number);
    }
    b->by_number[node->number] = node;
}

void mf_pooled_add(struct mf_broker *b, struct mf_node *node)
{
    struct words words;
    struct mf_pool_node now;

    node->closed = mf_pooled_kept_away(node);
    now = describe(b, node, &words);
    node->number = mf_pool_add(b->pool, &now);
    remember(b, node);
    add_total(b, node, 1);
    mf_protection_node(b, node);
}

void mf_pooled_remove(struct mf_broker *b, struct mf_node *node)
{
    add_total(b, node, -1);
    mf_protection_leave(b, node);
    mf_pool_remove(b->pool, node->number);
    b->by_number[node->number] = NULL;
    b->room++; /* the fewest of any domain may be more now */
}

void mf_pooled_update(struct mf_broker *b, struct mf_node *node)
{
    struct words words;
    struct mf_pool_node now = describe(b, node, &words);

    add_total(b, node, -1);
    mf_protection_leave(b, node);
    mf_pool_update(b->pool, node->number, &now);
    mf_protection_return(b, node);
    add_total(b, node, 1);
    node->shrunk = mf_pooled_overfull(b, node);
    b->room++;
}

void mf_pooled_relabel(struct mf_broker *b, struct mf_node *node, struct mf_labels labels)
{
    bool same = mf_labels_eq(node->labels, labels);

    for (const struct mf_instance *inst = node->first; inst && !same; inst = inst->next)
        mf_kin_count(b, inst, false);
    mf_free_labels(&node->labels);
    node->labels = mf_own_labels(labels);
    mf_pooled_update(b, node);
    for (const struct mf_instance *inst = node->first; inst && !same; inst = inst->next)
        mf_kin_count(b, inst, true);
}

void mf_pooled_stand(struct mf_broker *b, struct mf_node *node)
{
    uint8_t closed = mf_pooled_kept_away(node), penalty = penalty_of(b, node);

    if (node->closed != closed) {
        node->closed = closed;
        mf_pool_close(b->pool, node->number, closed);
        mf_protection_node(b, node);
        b->room++;
    }
    if (node->penalty != penalty) {
        node->penalty = penalty;
        mf_pool_penalise(b->pool, node->number, penalty);
    }
}

/* ------------------------------------------------------------------ instances */

void mf_pooled_count(struct mf_broker *b, const struct mf_instance *inst, bool more)
{
    const struct mf_amounts *wants = &mf_group_of(inst)->offering->wants;
    struct mf_place place = {.node = inst->node->number, .cells = inst->cells};

    if (more)
        mf_pool_take(b->pool, place, wants);
    else
        mf_pool_give(b->pool, place, wants);
    mf_protection_node(b, inst->node);
    mf_kin_count(b, inst, more);
}

/* ------------------------------------------------------------------ invariants */

static void check_node(const struct mf_broker *b, const struct mf_node *node)
{
    struct mf_amounts used = mf_pool_used(b->pool, node->number), claimed = {0};
    struct mf_amounts told = mf_pool_capacity(b->pool, node->number);
    struct mf_amounts capacity = mf_pooled_capacity(&node->capacity);

    MF_CHECK(mf_pool_holds(b->pool, node->number) && b->by_number[node->number] == node);
    for (const struct mf_instance *inst = node->first; inst; inst = inst->next)
        for (int d = 0; d < MF_DIMENSIONS; d++)
            claimed.of[d] = cut((uint64_t)claimed.of[d] + mf_group_of(inst)->offering->wants.of[d]);
    MF_CHECK(memcmp(&used, &claimed, sizeof(used)) == 0);
    MF_CHECK(memcmp(&told, &capacity, sizeof(told)) == 0);
    if (b->reigning)
        MF_CHECK(node->closed == mf_pooled_kept_away(node));
    MF_CHECK(node->shrunk || !mf_pooled_overfull(b, node)); /* I4 */
}

void mf_pooled_check(const struct mf_broker *b)
{
    for (size_t i = 0; i < b->nodes.n; i++)
        check_node(b, b->nodes.items[i]);
    if (b->seq % 16 == 0)
        mf_pool_check(b->pool);
    mf_kin_check(b);
}
