/* heal.c - every way an instance ends, and how its slot is filled again. The rows say all that is durable; a
 * crash between any two of them leaves a state that mf_heal_begin carries on from. */
#include "heal.h"
#include "blame.h"
#include "check.h"
#include "fold.h"
#include "journal.h"
#include "nodes.h"
#include "orders.h"
#include "spares.h"
#include "wellbeing.h"

void mf_heal_gone_saying(struct mf_broker *b, struct mf_instance *inst, uint64_t cause, const char *proof,
                         struct mf_str console)
{
    struct mf_node *node = inst->node;

    mf_row_gone(b, inst, cause, proof, console);
    if (node)
        mf_node_try_ready(b, node);
}

void mf_heal_gone(struct mf_broker *b, struct mf_instance *inst, uint64_t cause, const char *proof)
{
    mf_heal_gone_saying(b, inst, cause, proof, (struct mf_str){NULL, 0});
}

void mf_heal_destroy(struct mf_broker *b, struct mf_instance *inst, uint64_t cause, const char *reason,
                     uint64_t grace_ms)
{
    mf_row_destroying(b, inst, cause, reason, grace_ms);
    mf_order_open(b, inst);
}

void mf_heal_end(struct mf_broker *b, struct mf_instance *inst, uint64_t cause, const char *reason,
                 uint64_t grace_ms)
{
    switch ((enum mf_instance_state)inst->state) {
    case MF_INSTANCE_STATE_PENDING:
        mf_heal_gone(b, inst, cause, "never placed");
        return;
    case MF_INSTANCE_STATE_PLACED:
    case MF_INSTANCE_STATE_RUNNING:
    case MF_INSTANCE_STATE_RETIRING:
        if (mf_node_up(inst->node))
            mf_heal_destroy(b, inst, cause, reason, grace_ms);
        else
            mf_row_tombstoned(b, inst, cause, reason);
        return;
    case MF_INSTANCE_STATE_LOST:
        mf_row_tombstoned(b, inst, cause, reason);
        return;
    default:
        return; /* it is ending already */
    }
}

void mf_heal_died(struct mf_broker *b, struct mf_instance *inst, uint64_t cause,
                  const struct mf_death_told *told)
{
    char proof[64];
    enum mf_death how = told->how;
    bool own = !mf_death_of_node(how);
    bool quick = !inst->running_ms || b->wall_ms - inst->running_ms < MF_QUICK_DEATH_MS;
    uint32_t failures = inst->slot->failures + 1;
    bool charged = own && quick && !inst->node->quarantined_until;
    mf_ms retry = charged && failures > 1 ? mf_backoff(b, failures - 1) : 0;
    struct mf_birth birth = mf_blame_birth(inst);

    if (how == MF_DEATH_ABSENT && mf_group_of(inst)->policy == MF_POLICY_AT_MOST) {
        if (inst->state != MF_INSTANCE_STATE_DESTROYING) /* its proof is asked for already */
            mf_heal_unproven(b, inst, cause ? cause : inst->last_seq, "absent, which is no proof");
        return;
    }
    if (mf_instance_runs(inst) || inst->state == MF_INSTANCE_STATE_PLACED) {
        cause = mf_row_died(b, inst, cause, told, (uint64_t)retry);
        if (own && quick)
            mf_blame_failed(b, &birth, cause, true);
        return;
    }
    mf_str_format(proof, sizeof(proof), "died: %s", mf_death_word(how));
    mf_heal_gone(b, inst, cause ? cause : inst->last_seq, proof);
}

/* No list proves that no process runs: of an at-most slot only a destroy, whose proof looks at the processes,
 * or a reboot of the host does. */
void mf_heal_absent(struct mf_broker *b, struct mf_instance *inst, uint64_t cause, bool rebooted)
{
    bool proven = rebooted || mf_group_of(inst)->policy != MF_POLICY_AT_MOST;
    bool held = inst->state == MF_INSTANCE_STATE_PLACED || mf_instance_runs(inst);

    if (proven && held)
        mf_heal_died(b, inst, cause,
                     &(struct mf_death_told){.how = rebooted ? MF_DEATH_HOST_REBOOT : MF_DEATH_ABSENT});
    else if (proven)
        mf_heal_gone(b, inst, cause, rebooted ? "its host has booted since" : "absent from inventory");
    else
        mf_heal_unproven(b, inst, cause, "absent, which is no proof");
}

/* Its node is there, and must prove it gone. */
void mf_heal_unproven(struct mf_broker *b, struct mf_instance *inst, uint64_t cause, const char *reason)
{
    if (inst->state == MF_INSTANCE_STATE_LOST)
        cause = mf_row_tombstoned(b, inst, cause, reason);
    mf_heal_destroy(b, inst, cause, reason, 0);
}

/* Nobody waits for what is lost; what retires goes on until its successor is well. */
void mf_heal_end_older(struct mf_broker *b, struct mf_instance *inst, uint64_t cause)
{
    bool well = mf_instance_well(inst);
    struct mf_instance *next;

    for (struct mf_instance *older = inst->older; older; older = next) {
        next = older->older;
        if (older->state == MF_INSTANCE_STATE_LOST || (well && older->state == MF_INSTANCE_STATE_RETIRING))
            mf_heal_end(b, older, cause, "its successor runs", 0);
    }
}

void mf_heal_running(struct mf_broker *b, struct mf_instance *inst, uint64_t took_ms)
{
    uint64_t cause = mf_row_running(b, inst, took_ms);

    mf_heal_end_older(b, inst, cause);
    if (mf_instance_well(inst))
        mf_well_born(b, inst);
    else
        mf_well_await(b, inst);
}

/* The number in its name counts, unless it was given before or is no number of ours. */
void mf_heal_adopted(struct mf_broker *b, const struct mf_stranger *stranger, struct mf_slot *slot,
                     uint64_t cause)
{
    enum { AHEAD_MAX = 1000000 };
    uint64_t next = slot->generation + 1, claimed = stranger->claim.generation;
    uint64_t row = mf_row_adopted(b, stranger, slot,
                                  claimed > next && claimed - next < AHEAD_MAX ? claimed : next, cause);

    mf_heal_end_older(b, slot->current, row);
}

/* No newer generation runs: this one is current again, and what was to replace it must not run. */
void mf_heal_reinstate(struct mf_broker *b, struct mf_instance *inst, uint64_t cause)
{
    struct mf_instance *successor = inst->slot->current, *next;
    uint64_t row = mf_row_reinstated(b, inst, cause);

    mf_well_await(b, inst);
    if (successor)
        mf_heal_end(b, successor, row, "the generation before it was reinstated", 0);
    for (struct mf_instance *other = inst->slot->newest; other; other = next) {
        next = other->older;
        if (other->state == MF_INSTANCE_STATE_LOST || other->state == MF_INSTANCE_STATE_RETIRING)
            mf_heal_end(b, other, row, "another generation was reinstated", 0);
    }
}

void mf_heal_birth_failed(struct mf_broker *b, struct mf_instance *inst, struct mf_str code,
                          struct mf_str text)
{
    bool of_group = mf_blame_is_groups(mf_error_value(code));
    bool charged = of_group || !inst->node->quarantined_until;
    mf_ms retry = charged ? mf_backoff(b, inst->slot->failures + 1) : 0;
    struct mf_birth birth = mf_blame_birth(inst);
    uint64_t cause = mf_row_failed(b, inst, code, text, (uint64_t)retry);

    if (mf_group_of(inst)->policy == MF_POLICY_AT_MOST)
        mf_heal_unproven(b, inst, cause, "its birth failed");
    else
        mf_heal_gone(b, inst, cause, "create failed");
    if (!of_group)
        mf_blame_failed(b, &birth, cause, false);
}

const struct mf_uuid *mf_heal_ids(struct mf_broker *b, const struct mf_node *node, size_t *ret_n)
{
    struct mf_uuid *ids = mf_arena_alloc(&b->arena, (node->n_instances + 1) * sizeof(*ids));
    size_t n = 0;

    for (const struct mf_instance *inst = node->first; inst; inst = inst->next)
        ids[n++] = inst->id;
    *ret_n = n;
    return ids;
}

void mf_heal_node_failed(struct mf_broker *b, struct mf_node *node, uint64_t cause)
{
    struct mf_instance *next;

    for (struct mf_instance *inst = node->first; inst;
         inst = next) { /* none of these rows takes it off its node */
        next = inst->next;
        mf_order_drop(b, inst);
        if (inst->state == MF_INSTANCE_STATE_DESTROYING)
            mf_row_tombstoned(b, inst, cause, "its node failed before it was gone");
        else if (inst->state != MF_INSTANCE_STATE_PLACED && !mf_instance_runs(inst))
            continue;
        else if (inst->current)
            mf_row_lost(b, inst, cause);
        else
            mf_row_tombstoned(b, inst, cause, "it is not its slot's current generation");
    }
}

/* What was on it is dead by fact, whatever its group's policy. */
void mf_heal_node_ended(struct mf_broker *b, struct mf_node *node, uint64_t cause)
{
    size_t n;
    const struct mf_uuid *ids = mf_heal_ids(b, node, &n);

    for (size_t i = 0; i < n; i++) {
        struct mf_instance *inst = mf_instance_find(b, ids[i]);
        mf_order_drop(b, inst);
        mf_heal_died(b, inst, cause, &(struct mf_death_told){.how = MF_DEATH_NODE_ENDED});
    }
}

static void end_chain(struct mf_broker *b, struct mf_slot *slot, uint64_t cause, const char *reason,
                      uint64_t grace_ms)
{
    struct mf_instance *older;

    for (struct mf_instance *inst = slot->newest; inst; inst = older) {
        older = inst->older;
        mf_heal_end(b, inst, cause, reason, grace_ms);
    }
}

void mf_heal_slots_above(struct mf_broker *b, struct mf_group *group, uint64_t cause)
{
    for (uint32_t i = group->n_slots; i-- > mf_group_slots(group);) {
        mf_alarm_unset(b, &group->slots[i]->birth);
        end_chain(b, group->slots[i], cause, "scaled down", 0);
    }
}

void mf_heal_group(struct mf_broker *b, struct mf_group *group, uint64_t cause, uint64_t grace_ms)
{
    for (uint32_t i = 0; i < group->n_slots; i++)
        end_chain(b, group->slots[i], cause, "its group is ended", grace_ms);
}

/* ------------------------------------------------------------------ births */

static bool wanted(const struct mf_slot *slot)
{
    return slot->group->state == MF_GROUP_STATE_ACTIVE && slot->index < mf_group_slots(slot->group) &&
           !slot->current;
}

void mf_heal_birth_due(struct mf_broker *b, struct mf_slot *slot)
{
    if (wanted(slot))
        mf_row_created(b, slot);
}

/* Its node's drain was called off, and the successor that ran already did not get well. */
static bool reinstate_retiring(struct mf_broker *b, struct mf_slot *slot)
{
    for (struct mf_instance *inst = slot->newest; inst; inst = inst->older)
        if (inst->state == MF_INSTANCE_STATE_RETIRING && !inst->node->draining) {
            mf_heal_reinstate(b, inst, slot->cause);
            return true;
        }
    return false;
}

/* A slot that failed waits on the monotonic clock; the wall clock, which the log keeps, may jump. */
static void fill(struct mf_broker *b, struct mf_slot *slot)
{
    mf_ms wait = slot->not_before_ms - b->wall_ms,
          most = b->config.backoff_max_ms + b->config.backoff_max_ms / 4;

    if (!wanted(slot) || reinstate_retiring(b, slot) || mf_spare_promote(b, slot))
        return;
    if (slot->not_before_ms == 0 || wait <= 0)
        mf_row_created(b, slot);
    else
        mf_alarm_set(b, &slot->birth, MF_ALARM_BIRTH, slot, b->now + (wait < most ? wait : most));
}

void mf_heal_births(struct mf_broker *b)
{
    while (b->vacant) {
        struct mf_slot *slot = b->vacant;
        b->vacant = slot->next_vacant;
        if (!b->vacant)
            b->vacant_last = NULL;
        slot->in_vacant = false;
        fill(b, slot);
    }
}

void mf_heal_groups_gone(struct mf_broker *b)
{
    while (b->doomed)
        mf_row_group_gone(b, b->doomed);
}

/* ------------------------------------------------------------------ a reign begins */

static void finish_retiring(struct mf_broker *b, struct mf_instance *inst)
{
    const struct mf_instance *current = inst->slot->current;

    if (inst->node->state == MF_NODE_STATE_FAILED)
        mf_row_tombstoned(b, inst, inst->node->last_seq, "its node failed");
    else if (current && mf_instance_well(current))
        mf_heal_end(b, inst, current->last_seq, "its successor runs", 0);
    else if (!inst->node->draining && !(current && current->state == MF_INSTANCE_STATE_RUNNING))
        mf_heal_reinstate(b, inst, inst->node->last_seq);
}

/* An instance that a row made non-current, before the row that ends it was written. */
static void finish_instance(struct mf_broker *b, struct mf_instance *inst)
{
    struct mf_group *group = mf_group_of(inst);
    struct mf_node *node = inst->node;

    if (group->state == MF_GROUP_STATE_ENDING)
        mf_heal_end(b, inst, group->ending_seq, "its group is ended", 0);
    else if (inst->slot->index >= mf_group_slots(group))
        mf_heal_end(b, inst, inst->last_seq, "scaled down", 0);
    else if (inst->state == MF_INSTANCE_STATE_RETIRING)
        finish_retiring(b, inst);
    else if (!inst->current && inst->state != MF_INSTANCE_STATE_LOST)
        mf_heal_end(b, inst, inst->last_seq, "it is not its slot's current generation", 0);
    else if (inst->current && node && node->state == MF_NODE_STATE_FAILED)
        mf_row_lost(b, inst, node->last_seq);
    else if (inst->state == MF_INSTANCE_STATE_LOST && inst->slot->current &&
             inst->slot->current->state == MF_INSTANCE_STATE_RUNNING)
        mf_row_tombstoned(b, inst, inst->slot->current->last_seq, "its successor runs");
    else if (inst->state == MF_INSTANCE_STATE_PLACED)
        mf_order_open(b, inst); /* its node has yet to come back; if it does not, the order expires */
}

static void finish_slot(struct mf_broker *b, struct mf_slot *slot)
{
    struct mf_instance *older;

    for (struct mf_instance *inst = slot->newest; inst; inst = older) {
        older = inst->older;
        if (inst->state == MF_INSTANCE_STATE_DESTROYING && inst->node->state == MF_NODE_STATE_FAILED)
            mf_row_tombstoned(b, inst, inst->node->last_seq, "its node failed before it was gone");
        else
            finish_instance(b, inst);
    }
    if (slot->current)
        mf_well_await(b, slot->current);
    mf_fold_push_vacant(b, slot);
}

void mf_heal_begin(struct mf_broker *b)
{
    for (size_t i = 0; i < b->groups.n; i++) {
        struct mf_group *group = b->groups.items[i];
        for (uint32_t s = 0; s < group->n_slots; s++)
            finish_slot(b, group->slots[s]);
        if (group->state == MF_GROUP_STATE_ENDING)
            mf_fold_doom_if_empty(b, group);
    }
}
