/* match.c - a node is back: what it has against what is recorded on it. Reboots, reinstatement, tombstones,
 * strangers. */
#include "heal.h"
#include "journal.h"
#include "nodes.h"
#include "orders.h"
#include "pooled.h"
#include "wellbeing.h"

#include <stdlib.h>
#include <string.h>

static void match_running(struct mf_broker *b, struct mf_instance *inst, bool rebooted, uint64_t cause)
{
    if (inst->listed == MF_GUEST_STATE_RUNNING || inst->listed == MF_GUEST_STATE_CREATING)
        return;
    if (inst->listed) { /* something of it is left, and must be cleared away */
        mf_heal_destroy(b, inst, cause, "found stopped", 0);
        return;
    }
    mf_heal_absent(b, inst, cause, rebooted);
}

static void match_placed(struct mf_broker *b, struct mf_instance *inst, bool rebooted, uint64_t cause)
{
    if (inst->listed == MF_GUEST_STATE_RUNNING) {
        mf_heal_running(b, inst, 0);
    } else if (inst->listed && inst->listed != MF_GUEST_STATE_CREATING) {
        mf_heal_destroy(b, inst, cause, "found stopped", 0);
    } else if (!inst->listed && mf_pooled_overfull(b, inst->node)) { /* not begun: another node may take it */
        mf_heal_absent(b, inst, cause, rebooted);
    } else {
        mf_row_placed(b, inst, inst->node, inst->cells, cause);
        mf_order_open(b, inst);
    }
}

static void match_lost(struct mf_broker *b, struct mf_instance *inst, bool rebooted, uint64_t cause)
{
    const struct mf_instance *current = inst->slot->current;

    if (!inst->listed) {
        mf_heal_absent(b, inst, cause, rebooted);
    } else if (inst->listed == MF_GUEST_STATE_RUNNING &&
               !(current && current->state == MF_INSTANCE_STATE_RUNNING)) {
        mf_heal_reinstate(b, inst, cause);
    } else {
        bool replaced = current && current->state == MF_INSTANCE_STATE_RUNNING;
        uint64_t row =
            mf_row_tombstoned(b, inst, cause, replaced ? "its successor runs" : "it does not run any more");
        mf_heal_destroy(b, inst, row, "its node is back and it must not run", 0);
    }
}

static void match_one(struct mf_broker *b, struct mf_instance *inst, bool rebooted, uint64_t cause)
{
    switch ((enum mf_instance_state)inst->state) {
    case MF_INSTANCE_STATE_RUNNING:
    case MF_INSTANCE_STATE_RETIRING:
        match_running(b, inst, rebooted, cause);
        return;
    case MF_INSTANCE_STATE_PLACED:
        match_placed(b, inst, rebooted, cause);
        return;
    case MF_INSTANCE_STATE_LOST:
        match_lost(b, inst, rebooted, cause);
        return;
    default:
        if (inst->listed)
            mf_heal_destroy(b, inst, cause, "its node is back and it must not run", inst->grace_ms);
        else
            mf_heal_absent(b, inst, cause, rebooted);
    }
}

void mf_node_match(struct mf_broker *b, struct mf_node *node, struct mf_guests guests, bool rebooted,
                   uint64_t cause)
{
    const struct mf_uuid *ids;
    size_t n;

    for (struct mf_instance *inst = node->first; inst; inst = inst->next) {
        mf_order_drop(b, inst); /* orders die with their epoch */
        inst->listed = 0;
        inst->tries = 0;
    }
    for (uint32_t i = 0; i < guests.n; i++) {
        struct mf_instance *inst = mf_instance_find(b, guests.items[i].id);
        if (inst && inst->node == node)
            inst->listed = guests.items[i].state;
    }
    ids = mf_heal_ids(b, node, &n);
    for (size_t i = n; i-- > 0;) { /* the newest first: it is the one to reinstate */
        struct mf_instance *inst = mf_instance_find(b, ids[i]);
        if (inst)
            match_one(b, inst, rebooted, cause);
    }
    for (uint32_t i = 0; i < guests.n; i++) {
        struct mf_instance *inst = guests.items[i].ready ? mf_instance_find(b, guests.items[i].id) : NULL;
        if (inst && inst->node == node)
            mf_well_ready(b, inst);
    }
}

void mf_node_match_missing(struct mf_broker *b, struct mf_node *node, uint64_t cause)
{
    size_t n;
    const struct mf_uuid *ids = mf_heal_ids(b, node, &n);

    for (size_t i = 0; i < n; i++) {
        struct mf_instance *inst = mf_instance_find(b, ids[i]);
        if (inst && mf_instance_runs(inst))
            match_running(b, inst, false, cause);
    }
}
