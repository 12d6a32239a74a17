/* fold_instances.c - what each row of an instance means: it asks lives.def for its move, then does what that
 * kind of row alone does. A death empties the slot, a placing claims room. */
#include "fold.h"
#include "check.h"
#include "orders.h"
#include "pooled.h"
#include "protection.h"
#include "watches.h"

#include <errno.h>
#include <stdlib.h>

/* Ask the table for a move without making it yet. */
static int ask_instance(struct mf_broker *b, struct mf_uuid id, enum mf_instance_event event,
                        struct mf_instance **ret_inst, unsigned *ret_next, char text[256])
{
    struct mf_instance *inst = mf_instance_find(b, id);
    const char *why;
    char uuid[MF_UUID_TEXT], subject[MF_SUBJECT_MAX];

    if (!inst)
        return mf_fold_bad(text, "%s of instance %s, which does not exist",
                           mf_life_instance.event_names[event], mf_uuid_text(id, uuid)),
               -EINVAL;
    if (!mf_life_move(&mf_life_instance, inst->state, event, ret_next, &why)) {
        struct mf_str view = mf_subject_instance(inst, subject);
        return mf_fold_bad(text, "%s of %.*s, which is %s: %s", mf_life_instance.event_names[event],
                           MF_STR_ARG(view), mf_instance_state_word(inst->state), why),
               -EINVAL;
    }
    *ret_inst = inst;
    return 0;
}

/* Every row about an instance ends the order that was out for it. */
static void move(struct mf_broker *b, const struct mf_fold_row *row, struct mf_instance *inst, unsigned next)
{
    mf_order_drop(b, inst);
    inst->last_seq = row->seq;
    mf_fold_set_state(b, inst, next);
}

/* The slot has no current generation any more; the next one answers to this row. */
static void vacate(struct mf_broker *b, const struct mf_fold_row *row, struct mf_instance *inst,
                   enum mf_birth_reason born)
{
    struct mf_slot *slot = inst->slot;

    if (!inst->current)
        return;
    inst->current = false;
    slot->current = NULL;
    slot->cause = row->seq;
    slot->replaces = inst->id;
    slot->born = born;
    slot->not_before_ms = 0;
    if (inst->running_ms && row->time_ms - inst->running_ms >= MF_QUICK_DEATH_MS)
        slot->failures = 0;
    mf_fold_push_vacant(b, slot);
}

static void vacate_failed(struct mf_broker *b, const struct mf_fold_row *row, struct mf_instance *inst,
                          enum mf_birth_reason born, uint64_t retry_ms)
{
    if (!inst->current)
        return;
    vacate(b, row, inst, born);
    if (inst->node->quarantined_until)
        return; /* it is to blame */
    inst->slot->failures++;
    inst->slot->failed_on = inst->node->serial;
    if (retry_ms)
        inst->slot->not_before_ms = row->time_ms + (mf_ms)(retry_ms < 86400000 ? retry_ms : 86400000);
}

static void set_reason(struct mf_instance *inst, struct mf_str reason)
{
    struct mf_str copy = mf_own_str(reason);

    free(inst->reason);
    inst->reason = (char *)copy.ptr;
}

static void forget(struct mf_broker *b, const struct mf_fold_row *row, struct mf_instance *inst)
{
    struct mf_group *group = mf_group_of(inst);

    group->last_gone = row->seq;
    if (inst->node)
        mf_fold_attach(b, inst, NULL);
    mf_alarm_unset(b, &inst->boot);
    mf_watch_gone(b, inst);
    mf_fold_unlink(inst);
    mf_map_del_uuid(b->instances, inst->id);
    group->living--;
    free(inst->reason);
    free(inst);
    if (group->state == MF_GROUP_STATE_ENDING)
        mf_fold_doom_if_empty(b, group);
}

static int on_created(struct mf_broker *b, const struct mf_fold_row *row,
                      const struct mf_ev_instance_created *ev, char text[256])
{
    struct mf_group *group = mf_group_find(b, ev->group_id);
    struct mf_instance *inst;
    struct mf_slot *slot;

    if (!group || group->state != MF_GROUP_STATE_ACTIVE)
        return mf_fold_bad(text, "instance.created in a group that is not active");
    if (ev->slot >= group->n_slots || group->slots[ev->slot]->current)
        return mf_fold_bad(text, "instance.created in slot %llu, which is filled or not there",
                           (unsigned long long)ev->slot);
    slot = group->slots[ev->slot];
    if (ev->generation <= slot->generation || mf_instance_find(b, ev->id))
        return mf_fold_bad(text, "instance.created with an identity that was given before");
    inst = mf_fold_add_instance(b, slot, ev->id, ev->generation);
    inst->replaces = ev->replaces;
    inst->born = (uint8_t)ev->born;
    inst->cause = row->cause;
    inst->last_seq = row->seq;
    inst->created_ms = row->time_ms;
    inst->current = true;
    slot->current = inst;
    slot->not_before_ms = 0;
    mf_fold_set_state(b, inst, MF_INSTANCE_STATE_PENDING);
    b->newborn = true;
    return 0;
}

static int on_pending(struct mf_broker *b, const struct mf_fold_row *row,
                      const struct mf_ev_instance_pending *ev, char text[256])
{
    struct mf_instance *inst;
    unsigned next;

    if (ask_instance(b, ev->id, MF_INSTANCE_EVENT_PENDING, &inst, &next, text))
        return -EINVAL;
    inst->last_seq = row->seq; /* its place among the waiting stays */
    inst->told = true;
    return 0;
}

/* Of an at-most slot, an older generation that might be reinstated, or that nobody has ended. */
static bool may_live(const struct mf_instance *older)
{
    for (; older; older = older->older)
        if (older->state != MF_INSTANCE_STATE_TOMBSTONE && older->state != MF_INSTANCE_STATE_DESTROYING)
            return true;
    return false;
}

static int on_placed(struct mf_broker *b, const struct mf_fold_row *row,
                     const struct mf_ev_instance_placed *ev, char text[256])
{
    struct mf_node *node = mf_node_find(b, ev->node);
    struct mf_instance *inst;
    unsigned next;

    if (ask_instance(b, ev->id, MF_INSTANCE_EVENT_PLACED, &inst, &next, text))
        return -EINVAL;
    if (!node || node->epoch != ev->epoch || (inst->node && inst->node != node))
        return mf_fold_bad(text, "instance.placed on a node or epoch that is not there");
    if (mf_group_of(inst)->policy == MF_POLICY_AT_MOST && may_live(inst->older))
        return mf_fold_bad(text,
                           "instance.placed of an at-most group while an older generation is not ended");
    move(b, row, inst, next);
    if (!inst->node) {
        inst->cells = (uint8_t)ev->cells;
        mf_fold_attach(b, inst, node);
    }
    inst->epoch = ev->epoch;
    inst->order_id = row->seq;
    inst->told = false;
    return 0;
}

static int on_running(struct mf_broker *b, const struct mf_fold_row *row,
                      const struct mf_ev_instance_running *ev, char text[256])
{
    struct mf_instance *inst;
    unsigned next;

    if (ask_instance(b, ev->id, MF_INSTANCE_EVENT_RUNNING, &inst, &next, text))
        return -EINVAL;
    if (!inst->node || !mf_str_eq(inst->node->name, ev->node))
        return mf_fold_bad(text, "instance.running on another node than it was placed on");
    move(b, row, inst, next);
    inst->epoch = ev->epoch;
    inst->order_id = 0;
    if (!inst->running_ms)
        inst->running_ms = row->time_ms;
    if (!inst->node->quarantined_until)
        inst->node->quarantines = 0;
    return 0;
}

static int on_ready(struct mf_broker *b, const struct mf_fold_row *row, const struct mf_ev_instance_ready *ev,
                    char text[256])
{
    struct mf_instance *inst;
    unsigned next;

    if (ask_instance(b, ev->id, MF_INSTANCE_EVENT_READY, &inst, &next, text))
        return -EINVAL;
    mf_alarm_unset(b, &inst->boot);
    mf_fold_tally(inst, -1);
    inst->ready_ms = row->time_ms;
    mf_fold_tally(inst, 1);
    mf_watch_touch(b, inst);
    inst->last_seq = row->seq;
    return 0;
}

/* A birth that did not end well is one that failed; what was well for a while has died. */
static int on_unwell(struct mf_broker *b, const struct mf_fold_row *row,
                     const struct mf_ev_instance_unwell *ev, char text[256])
{
    struct mf_instance *inst;
    unsigned next;

    if (ask_instance(b, ev->id, MF_INSTANCE_EVENT_UNWELL, &inst, &next, text))
        return -EINVAL;
    mf_alarm_unset(b, &inst->boot);
    if (ev->how == MF_AILMENT_BOOT || row->time_ms - inst->running_ms < MF_QUICK_DEATH_MS)
        vacate_failed(b, row, inst, MF_BIRTH_REASON_UNWELL, ev->retry_ms);
    else
        vacate(b, row, inst, MF_BIRTH_REASON_UNWELL);
    move(b, row, inst, next);
    set_reason(inst, mf_str("it was unwell"));
    return 0;
}

/* The same guest: only where it stands changes. What it was the spare in is to be filled again. */
static int on_promoted(struct mf_broker *b, const struct mf_fold_row *row,
                       const struct mf_ev_slot_promoted *ev, char text[256])
{
    struct mf_group *group = mf_group_find(b, ev->group_id);
    struct mf_instance *inst;
    struct mf_slot *slot, *from;
    unsigned next;

    if (ask_instance(b, ev->id, MF_INSTANCE_EVENT_PROMOTED, &inst, &next, text))
        return -EINVAL;
    from = inst->slot;
    if (from->group != group || !inst->current || from->index < group->desired || ev->slot >= group->desired)
        return mf_fold_bad(text, "slot.promoted of what is no spare of that group, or into no slot of it");
    slot = group->slots[ev->slot];
    if (slot->current || ev->generation <= slot->generation ||
        (group->policy == MF_POLICY_AT_MOST && slot->newest))
        return mf_fold_bad(text, "slot.promoted into slot %u, which is not free", slot->index);
    mf_fold_tally(inst, -1);
    mf_fold_unlink(inst);
    from->current = NULL;
    from->cause = row->seq;
    from->replaces = (struct mf_uuid){{0}};
    from->born = MF_BIRTH_REASON_PROMOTED;
    from->not_before_ms = 0;
    mf_fold_push_vacant(b, from);
    mf_fold_link(slot, inst, ev->generation);
    slot->current = inst;
    slot->not_before_ms = 0;
    inst->last_seq = row->seq;
    mf_fold_tally(inst, 1);
    mf_protection_mind(b, inst);
    return 0;
}

static int on_failed(struct mf_broker *b, const struct mf_fold_row *row,
                     const struct mf_ev_instance_failed *ev, char text[256])
{
    struct mf_instance *inst;
    unsigned next;

    if (ask_instance(b, ev->id, MF_INSTANCE_EVENT_FAILED, &inst, &next, text))
        return -EINVAL;
    vacate_failed(b, row, inst, MF_BIRTH_REASON_BIRTH_FAILED, ev->retry_ms);
    move(b, row, inst, next);
    set_reason(inst, mf_str("its birth failed"));
    return 0;
}

static int on_died(struct mf_broker *b, const struct mf_fold_row *row, const struct mf_ev_instance_died *ev,
                   char text[256])
{
    struct mf_instance *inst;
    unsigned next;

    if (ask_instance(b, ev->id, MF_INSTANCE_EVENT_DIED, &inst, &next, text))
        return -EINVAL;
    if (mf_death_of_node(ev->how) ||
        (inst->running_ms && row->time_ms - inst->running_ms >= MF_QUICK_DEATH_MS))
        vacate(b, row, inst, MF_BIRTH_REASON_DIED); /* or a life long enough */
    else
        vacate_failed(b, row, inst, MF_BIRTH_REASON_DIED, ev->retry_ms);
    move(b, row, inst, next);
    forget(b, row, inst);
    return 0;
}

static int on_lost(struct mf_broker *b, const struct mf_fold_row *row, const struct mf_ev_instance_lost *ev,
                   char text[256])
{
    struct mf_instance *inst;
    unsigned next;

    if (ask_instance(b, ev->id, MF_INSTANCE_EVENT_LOST, &inst, &next, text))
        return -EINVAL;
    vacate(b, row, inst, MF_BIRTH_REASON_NODE_FAILED);
    move(b, row, inst, next);
    inst->order_id = 0;
    return 0;
}

static int on_reinstated(struct mf_broker *b, const struct mf_fold_row *row,
                         const struct mf_ev_instance_reinstated *ev, char text[256])
{
    struct mf_instance *inst;
    struct mf_slot *slot;
    unsigned next;

    if (ask_instance(b, ev->id, MF_INSTANCE_EVENT_REINSTATED, &inst, &next, text))
        return -EINVAL;
    slot = inst->slot;
    if (slot->current && slot->current->state == MF_INSTANCE_STATE_RUNNING)
        return mf_fold_bad(text, "instance.reinstated while its successor runs");
    if (slot->current && slot->current->node && slot->group->policy == MF_POLICY_AT_MOST)
        return mf_fold_bad(text, "instance.reinstated of an at-most group while its successor is ordered");
    if (slot->current)
        slot->current->current = false; /* the next row ends it */
    slot->current = inst;
    slot->not_before_ms = 0;
    inst->current = true;
    inst->epoch = ev->epoch;
    move(b, row, inst, next);
    set_reason(inst, (struct mf_str){NULL, 0});
    if (!inst->running_ms)
        inst->running_ms = row->time_ms;
    return 0;
}

static int on_superseded(struct mf_broker *b, const struct mf_fold_row *row,
                         const struct mf_ev_instance_superseded *ev, char text[256])
{
    struct mf_instance *inst;
    unsigned next;

    if (ask_instance(b, ev->id, MF_INSTANCE_EVENT_SUPERSEDED, &inst, &next, text))
        return -EINVAL;
    if (mf_group_of(inst)->policy == MF_POLICY_AT_MOST)
        return mf_fold_bad(text, "instance.superseded of an at-most group");
    vacate(b, row, inst, MF_BIRTH_REASON_DRAINED);
    move(b, row, inst, next);
    set_reason(inst, ev->reason);
    return 0;
}

static int on_adopted(struct mf_broker *b, const struct mf_fold_row *row,
                      const struct mf_ev_instance_adopted *ev, char text[256])
{
    struct mf_group *group = mf_group_find(b, ev->group_id);
    struct mf_node *node = mf_node_find(b, ev->node);
    struct mf_stranger *stranger = node ? mf_stranger_find(b, node, ev->id) : NULL;
    struct mf_slot *slot = group && ev->slot < group->n_slots ? group->slots[ev->slot] : NULL;
    struct mf_instance *inst;

    if (!stranger || !slot || slot->current || group->policy == MF_POLICY_AT_MOST ||
        group->state != MF_GROUP_STATE_ACTIVE)
        return mf_fold_bad(text,
                           "instance.adopted of a domain that is not there, or into a slot that is not free");
    if (ev->generation <= slot->generation || mf_instance_find(b, ev->id))
        return mf_fold_bad(text, "instance.adopted with an identity that was given before");
    mf_fold_drop_stranger(b, stranger);
    inst = mf_fold_add_instance(b, slot, ev->id, ev->generation);
    inst->cause = row->cause;
    inst->last_seq = row->seq;
    inst->created_ms = inst->running_ms = row->time_ms;
    if (mf_group_waits_ready(group))
        inst->ready_ms = row->time_ms; /* by an operator's word */
    inst->epoch = ev->epoch;
    inst->current = true;
    slot->current = inst;
    slot->not_before_ms = 0;
    mf_fold_set_state(b, inst, MF_INSTANCE_STATE_RUNNING);
    mf_fold_attach(b, inst, node);
    node->shrunk = mf_pooled_overfull(b, node); /* it may not fit: it runs there all the same */
    return 0;
}

static int on_tombstoned(struct mf_broker *b, const struct mf_fold_row *row,
                         const struct mf_ev_instance_tombstoned *ev, char text[256])
{
    struct mf_instance *inst;
    unsigned next;

    if (ask_instance(b, ev->id, MF_INSTANCE_EVENT_TOMBSTONED, &inst, &next, text))
        return -EINVAL;
    vacate(b, row, inst, MF_BIRTH_REASON_DESTROYED);
    move(b, row, inst, next);
    inst->order_id = 0;
    set_reason(inst, ev->reason);
    return 0;
}

static int on_destroying(struct mf_broker *b, const struct mf_fold_row *row,
                         const struct mf_ev_instance_destroying *ev, char text[256])
{
    struct mf_instance *inst;
    unsigned next;

    if (ask_instance(b, ev->id, MF_INSTANCE_EVENT_DESTROYING, &inst, &next, text))
        return -EINVAL;
    if (!inst->node || !mf_str_eq(inst->node->name, ev->node))
        return mf_fold_bad(text, "instance.destroying on another node than it is on");
    vacate(b, row, inst, MF_BIRTH_REASON_DESTROYED);
    move(b, row, inst, next);
    inst->epoch = ev->epoch;
    inst->order_id = row->seq;
    inst->grace_ms = (uint32_t)ev->grace_ms;
    set_reason(inst, ev->reason);
    return 0;
}

static int on_gone(struct mf_broker *b, const struct mf_fold_row *row, const struct mf_ev_instance_gone *ev,
                   char text[256])
{
    struct mf_instance *inst;
    unsigned next;

    if (ask_instance(b, ev->id, MF_INSTANCE_EVENT_GONE, &inst, &next, text))
        return -EINVAL;
    vacate(b, row, inst, inst->born);
    move(b, row, inst, next);
    forget(b, row, inst);
    return 0;
}

static int on_expired(struct mf_broker *b, const struct mf_fold_row *row,
                      const struct mf_ev_order_expired *ev, char text[256])
{
    struct mf_instance *inst;
    unsigned next;

    if (ask_instance(b, ev->id, MF_INSTANCE_EVENT_EXPIRED, &inst, &next, text))
        return -EINVAL;
    if (ev->operation == MF_OPERATION_CREATE)
        vacate_failed(b, row, inst, MF_BIRTH_REASON_BIRTH_FAILED, ev->retry_ms);
    move(b, row, inst, next);
    inst->order_id = 0;
    if (ev->operation == MF_OPERATION_CREATE)
        set_reason(inst, mf_str("its create order expired"));
    return 0;
}

int mf_fold_instance(struct mf_broker *b, const struct mf_fold_row *row, const struct mf_event *e,
                     char text[256])
{
    switch (e->kind) {
    case MF_EV_INSTANCE_CREATED:
        return on_created(b, row, &e->instance_created, text);
    case MF_EV_INSTANCE_PENDING:
        return on_pending(b, row, &e->instance_pending, text);
    case MF_EV_INSTANCE_PLACED:
        return on_placed(b, row, &e->instance_placed, text);
    case MF_EV_INSTANCE_RUNNING:
        return on_running(b, row, &e->instance_running, text);
    case MF_EV_INSTANCE_READY:
        return on_ready(b, row, &e->instance_ready, text);
    case MF_EV_INSTANCE_UNWELL:
        return on_unwell(b, row, &e->instance_unwell, text);
    case MF_EV_SLOT_PROMOTED:
        return on_promoted(b, row, &e->slot_promoted, text);
    case MF_EV_INSTANCE_FAILED:
        return on_failed(b, row, &e->instance_failed, text);
    case MF_EV_INSTANCE_DIED:
        return on_died(b, row, &e->instance_died, text);
    case MF_EV_INSTANCE_LOST:
        return on_lost(b, row, &e->instance_lost, text);
    case MF_EV_INSTANCE_REINSTATED:
        return on_reinstated(b, row, &e->instance_reinstated, text);
    case MF_EV_INSTANCE_SUPERSEDED:
        return on_superseded(b, row, &e->instance_superseded, text);
    case MF_EV_INSTANCE_ADOPTED:
        return on_adopted(b, row, &e->instance_adopted, text);
    case MF_EV_INSTANCE_TOMBSTONED:
        return on_tombstoned(b, row, &e->instance_tombstoned, text);
    case MF_EV_INSTANCE_DESTROYING:
        return on_destroying(b, row, &e->instance_destroying, text);
    case MF_EV_INSTANCE_GONE:
        return on_gone(b, row, &e->instance_gone, text);
    case MF_EV_ORDER_EXPIRED:
        return on_expired(b, row, &e->order_expired, text);
    default:
        return mf_fold_bad(text, "a row of a kind that is not about instances");
    }
}
