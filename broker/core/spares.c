/* spares.c - see spares.h. An at-most slot takes a spare only when nothing of it is left anywhere. */
#include "spares.h"
#include "domains.h"
#include "heal.h"
#include "journal.h"
#include "nodes.h"

static bool may_take(const struct mf_broker *b, const struct mf_slot *slot)
{
    const struct mf_group *group = slot->group;

    if (group->state != MF_GROUP_STATE_ACTIVE || slot->index >= group->desired || mf_domain_claiming(b, slot))
        return false;
    return group->policy != MF_POLICY_AT_MOST ||
           (!slot->newest && b->now >= slot->leased_until && b->now >= b->leases_before);
}

/* On a node in good standing: the next failure might be that one's. */
static bool is_fit(const struct mf_instance *inst)
{
    return inst && mf_instance_well(inst) && mf_node_schedulable(inst->node);
}

static void promote(struct mf_broker *b, struct mf_instance *inst, struct mf_slot *slot)
{
    uint64_t cause = mf_row_promoted(b, inst, slot);

    mf_alarm_unset(b, &slot->birth);
    mf_heal_end_older(b, inst, cause);
}

bool mf_spare_promote(struct mf_broker *b, struct mf_slot *slot)
{
    const struct mf_group *group = slot->group;

    if (!group->spares_running || !may_take(b, slot))
        return false;
    for (uint32_t i = group->desired; i < mf_group_slots(group); i++) {
        struct mf_instance *spare = group->slots[i]->current;
        if (!is_fit(spare))
            continue;
        promote(b, spare, slot);
        return true;
    }
    return false;
}

/* What waits for room has never been anywhere. */
static bool waits(struct mf_slot *slot)
{
    return !slot->current || (slot->current->state == MF_INSTANCE_STATE_PENDING && slot->current->told);
}

void mf_spare_offer(struct mf_broker *b, struct mf_instance *inst)
{
    const struct mf_group *group = mf_group_of(inst);

    if (inst->slot->index < group->desired || !inst->current || !is_fit(inst))
        return;
    for (uint32_t i = 0; i < group->desired && group->running < group->desired; i++) {
        struct mf_slot *slot = group->slots[i];
        if (!waits(slot) || !may_take(b, slot))
            continue;
        if (slot->current)
            mf_heal_gone(b, slot->current, inst->last_seq, "never placed: a spare takes its place");
        promote(b, inst, slot);
        return;
    }
}
