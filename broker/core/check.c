/* check.c - the invariants as assertions. Each is a named function; what is counted incrementally is counted
 * again from nothing. */
#include "check.h"
#include "breaker.h"
#include "fold.h"
#include "held.h"
#include "watches.h"
#include "leases.h"
#include "protection.h"
#include "pooled.h"
#include "state.h"

/* I1: a remembered request is found by its id, once, and its row is in the log. */
static void check_i1_requests(const struct mf_broker *b)
{
    size_t n = 0;

    for (const struct mf_request *r = b->request_first; r; r = r->next, n++) {
        MF_CHECK(r->seq <= b->seq);
        MF_CHECK(mf_request_find(b, r->key, r->request_id) == r);
        if (!r->next)
            MF_CHECK(b->request_last == r);
    }
    MF_CHECK(n == b->n_requests && n == mf_map_size(b->requests));
}

/* I2: at most one current generation in a slot; a slot beyond desired, or in an ending group, has none. */
static void check_i2_slot(const struct mf_broker *b, const struct mf_slot *slot)
{
    size_t current = 0;

    for (const struct mf_instance *inst = slot->newest; inst; inst = inst->older) {
        current += inst->current;
        MF_CHECK(inst->slot == slot && inst->generation <= slot->generation);
        MF_CHECK(!inst->older || inst->older->generation < inst->generation);
        MF_CHECK(!inst->older || inst->older->newer == inst);
        MF_CHECK(inst->current == (slot->current == inst));
        MF_CHECK(mf_instance_find(b, inst->id) == inst);
        bool lives = inst->state == MF_INSTANCE_STATE_PENDING || inst->state == MF_INSTANCE_STATE_PLACED ||
                     inst->state == MF_INSTANCE_STATE_RUNNING;
        MF_CHECK(inst->state != MF_INSTANCE_STATE_GONE && inst->state != MF_INSTANCE_STATE_UNSET);
        if (b->reigning)
            MF_CHECK(inst->current == lives);
        MF_CHECK((inst->node == NULL) == (inst->state == MF_INSTANCE_STATE_PENDING));
        MF_CHECK(inst->cause < inst->last_seq && inst->last_seq <= b->seq); /* I6 */
    }
    MF_CHECK(current <= 1 && (current == 1) == (slot->current != NULL));
    if (!b->reigning)
        return;
    if (slot->group->state != MF_GROUP_STATE_ACTIVE || slot->index >= mf_group_slots(slot->group))
        MF_CHECK(!slot->current);
    else if (!slot->current) /* it waits for its time, and for nothing else */
        MF_CHECK(slot->birth && slot->birth->alarm.timer.place);
}

/* A successor that time frees is looked at in time. */
static void check_lease_wait(const struct mf_broker *b, const struct mf_instance *inst)
{
    struct mf_lease_wait wait;
    bool due =
        inst->state == MF_INSTANCE_STATE_PENDING && mf_lease_waits(b, inst, &wait) && wait.until < INT64_MAX;
    bool no_room = mf_group_of(inst)->stuck == b->room; /* looked at when that changes, lease or not */

    if (due && !no_room && !b->place.timer.place) /* else a pass is due that will see to it */
        MF_CHECK(b->lease.timer.place && b->lease.timer.when <= wait.until);
}

/* I3, as far as one room can know: of an at-most slot one generation is ordered or runs, and then every older
 * one is being ended: nothing brings it back. */
static void check_i3_slot(const struct mf_broker *b, const struct mf_slot *slot)
{
    size_t lives = 0;

    for (const struct mf_instance *inst = slot->newest; inst; inst = inst->older) {
        bool ending =
            inst->state == MF_INSTANCE_STATE_TOMBSTONE || inst->state == MF_INSTANCE_STATE_DESTROYING;
        bool ordered = inst->state == MF_INSTANCE_STATE_PLACED || mf_instance_runs(inst);
        MF_CHECK(!b->reigning || lives == 0 || ending);
        MF_CHECK(inst->state != MF_INSTANCE_STATE_RETIRING);
        MF_CHECK(!b->reigning || !ordered || inst->current);
        lives += ordered;
        if (b->reigning)
            check_lease_wait(b, inst);
    }
}

static void check_group(const struct mf_broker *b, const struct mf_group *group)
{
    uint32_t living = 0, running = 0, retiring = 0, pending = 0, waiting = 0, tombstones = 0;
    uint32_t ready = 0, spares = 0;

    MF_CHECK(mf_group_find(b, group->id) == group && group->min <= group->desired);
    for (uint32_t i = 0; i < group->n_slots; i++) {
        check_i2_slot(b, group->slots[i]);
        if (group->policy == MF_POLICY_AT_MOST)
            check_i3_slot(b, group->slots[i]);
        for (const struct mf_instance *inst = group->slots[i]->newest; inst; inst = inst->older) {
            living++;
            running += inst->state == MF_INSTANCE_STATE_RUNNING && i < group->desired;
            ready += mf_instance_well(inst) && i < group->desired;
            spares += mf_instance_well(inst) && i >= group->desired;
            if (b->reigning && inst->state == MF_INSTANCE_STATE_RUNNING)
                MF_CHECK(mf_instance_well(inst) || inst->boot); /* it has a limit */
            retiring += inst->state == MF_INSTANCE_STATE_RETIRING;
            pending += inst->state == MF_INSTANCE_STATE_PENDING;
            tombstones += inst->state == MF_INSTANCE_STATE_TOMBSTONE;
        }
    }
    for (const struct mf_instance *inst = group->pending_first; inst; inst = inst->next)
        waiting++;
    MF_CHECK(living == group->living && running == group->running && pending == group->pending);
    MF_CHECK(retiring == group->retiring && ready == group->ready && spares == group->spares_running);
    MF_CHECK(waiting == pending && tombstones == group->tombstones);
    if (b->reigning && group->state == MF_GROUP_STATE_ENDING)
        MF_CHECK(living > 0);
}

/* I7, as far as one room can know: what is recorded on a node is in an epoch that it had, and an order is out
 * exactly where one is due. */
static bool successor_runs(const struct mf_instance *inst)
{
    const struct mf_instance *current = inst->slot->current;

    return current && current->state == MF_INSTANCE_STATE_RUNNING;
}

static void check_i7_instance(const struct mf_broker *b, const struct mf_node *node,
                              const struct mf_instance *inst)
{
    bool due = inst->state == MF_INSTANCE_STATE_PLACED || inst->state == MF_INSTANCE_STATE_DESTROYING;

    MF_CHECK(inst->node == node && inst->epoch <= node->epoch);
    MF_CHECK(!inst->order || due);
    if (b->reigning && mf_node_up(node) && due)
        MF_CHECK(inst->order && inst->epoch == node->epoch);
    if (b->reigning && node->state == MF_NODE_STATE_FAILED)
        MF_CHECK(inst->state == MF_INSTANCE_STATE_LOST || inst->state == MF_INSTANCE_STATE_TOMBSTONE);
    if (b->reigning)
        MF_CHECK(inst->state != MF_INSTANCE_STATE_RETIRING || node->draining || successor_runs(inst));
    if (b->reigning && mf_node_up(node))
        MF_CHECK(inst->state != MF_INSTANCE_STATE_LOST && inst->state != MF_INSTANCE_STATE_TOMBSTONE);
    if (inst->order)
        MF_CHECK(inst->order->instance == inst && inst->order->alarm.timer.place != 0);
}

static void check_orders(const struct mf_node *node)
{
    uint32_t sent = 0, again = 0;

    for (const struct mf_order *order = node->sent.first; order; order = order->next) {
        MF_CHECK(order->state == MF_ORDER_STATE_SENT || order->state == MF_ORDER_STATE_ACKED);
        sent++;
        again += order->again;
    }
    for (const struct mf_order *order = node->creates.first; order; order = order->next)
        MF_CHECK(order->state == MF_ORDER_STATE_QUEUED && order->operation == MF_OPERATION_CREATE);
    for (const struct mf_order *order = node->destroys.first; order; order = order->next)
        MF_CHECK(order->state == MF_ORDER_STATE_QUEUED && order->operation == MF_OPERATION_DESTROY);
    MF_CHECK(sent == node->in_flight && again == node->again);
}

static void check_node(const struct mf_broker *b, const struct mf_node *node)
{
    uint32_t n = 0, must_go = 0, at_most = 0, births = 0;

    for (const struct mf_instance *inst = node->first; inst; inst = inst->next) {
        check_i7_instance(b, node, inst);
        n++;
        births += inst->state == MF_INSTANCE_STATE_PLACED;
        at_most += mf_group_of(inst)->policy == MF_POLICY_AT_MOST;
        must_go += inst->state == MF_INSTANCE_STATE_TOMBSTONE || inst->state == MF_INSTANCE_STATE_DESTROYING;
    }
    MF_CHECK(n == node->n_instances && must_go == node->must_go && at_most == node->n_at_most);
    MF_CHECK(births == node->n_births);
    MF_CHECK(node->epoch <= b->epoch && mf_node_find(b, node->name) == node);
    MF_CHECK(!mf_node_up(node) || node->state != MF_NODE_STATE_FAILED);
    check_orders(node);
}

/* I6: the rows that wait for the store are numbered without a gap up to the newest. (The fold checks each row
 * as it is made.) */
static void check_i6_rows(const struct mf_broker *b)
{
    uint64_t seq = 0;

    for (const struct mf_out_row *row = b->rows; row; row = row->next) {
        MF_CHECK(seq == 0 || row->row.seq == seq + 1);
        MF_CHECK(row->row.cause < row->row.seq);
        seq = row->row.seq;
    }
    MF_CHECK(seq == 0 || seq == b->seq);
    MF_CHECK(b->committed <= b->seq);
}

static void check_counts(const struct mf_broker *b)
{
    size_t count[MF_ENUM_COUNT_instance_state] = {0}, cursor = 0, total = 0;
    const struct mf_instance *inst;

    while (mf_map_next(b->instances, &cursor, (void **)&inst)) {
        count[inst->state]++;
        total++;
    }
    for (int s = MF_INSTANCE_STATE_PENDING; s < MF_INSTANCE_STATE_GONE; s++)
        MF_CHECK(count[s] == b->count[s]);
    for (size_t i = 0; i < b->groups.n; i++)
        total -= ((const struct mf_group *)b->groups.items[i])->living;
    MF_CHECK(total == 0);
}

void mf_broker_check(const struct mf_broker *b)
{
    size_t strangers = 0;

    check_i1_requests(b);
    for (size_t i = 0; i < b->groups.n; i++)
        check_group(b, b->groups.items[i]);
    for (size_t i = 0; i < b->nodes.n; i++) {
        check_node(b, b->nodes.items[i]);
        strangers += ((const struct mf_node *)b->nodes.items[i])->n_strangers;
    }
    check_i6_rows(b);
    check_counts(b);
    mf_breaker_check(b);
    mf_protection_check(b);
    mf_pooled_check(b);
    mf_held_check(b);
    mf_watches_check(b);
    MF_CHECK(strangers == b->n_strangers && strangers == mf_map_size(b->strangers));
    MF_CHECK(!b->reigning ||
             (!b->vacant && !b->doomed)); /* a log may end before a group.gone; the next reign writes it */
}
