/* drain.c - what a draining node still has is looked at after every change: what runs is superseded, what is
 * being born is ended, and when nothing is left node.drained says so. Whatever comes back to the node (a lost
 * instance that is reinstated) is found by the next look. */
#include "drain.h"
#include "heal.h"
#include "journal.h"
#include "leaving.h"
#include "place.h"

static const char *const why = "its node is being drained";

static void row_draining(struct mf_broker *b, const struct mf_node *node, uint64_t cause, bool leaving,
                         uint64_t remaining_ms)
{
    char text[MF_SUBJECT_MAX];

    mf_journal(b, cause,
               &(struct mf_event){
                   .kind = MF_EV_NODE_DRAINING,
                   .node_draining = {.node = node->name, .leaving = leaving, .remaining_ms = remaining_ms}},
               mf_subject_named("node", node->name, text));
}

static void row_drained(struct mf_broker *b, const struct mf_node *node, uint64_t cause)
{
    char text[MF_SUBJECT_MAX];

    mf_journal(b, cause, &(struct mf_event){.kind = MF_EV_NODE_DRAINED, .node_drained = {.node = node->name}},
               mf_subject_named("node", node->name, text));
}

static void supersede(struct mf_broker *b, const struct mf_instance *inst, uint64_t cause)
{
    char text[MF_SUBJECT_MAX];

    mf_journal(b, cause,
               &(struct mf_event){.kind = MF_EV_INSTANCE_SUPERSEDED,
                                  .instance_superseded = {.id = inst->id, .reason = mf_str(why)}},
               mf_subject_instance(inst, text));
}

static bool runs(const struct mf_slot *slot)
{
    return slot->current && slot->current->state == MF_INSTANCE_STATE_RUNNING;
}

/* An at-most group with no slot to spare (min = desired) can't be drained without one less for a while; so
 * one less is what it must bear, as it does when a node dies. */
static bool can_spare(struct mf_group *group)
{
    uint32_t floor = group->min < group->desired ? group->min : group->desired - 1;

    if (group->moving && (group->moving->index >= group->desired || runs(group->moving)))
        group->moving = NULL;
    return !group->moving && group->running > floor;
}

static void end_at_most(struct mf_broker *b, struct mf_instance *inst, uint64_t cause)
{
    struct mf_group *group = mf_group_of(inst);

    if (!can_spare(group) || !mf_place_fits(b, inst->slot))
        return;
    group->moving = inst->slot;
    mf_heal_end(b, inst, cause, why, 0);
}

static void drain_instance(struct mf_broker *b, struct mf_instance *inst, uint64_t cause)
{
    if (inst->state == MF_INSTANCE_STATE_PLACED)
        mf_heal_end(b, inst, cause, why, 0);
    else if (inst->state != MF_INSTANCE_STATE_RUNNING)
        return;
    else if (mf_group_of(inst)->policy == MF_POLICY_AT_MOST)
        end_at_most(b, inst, cause);
    else
        supersede(b, inst, cause);
}

/* While its agent is away nothing of it is ended: it returns, or fails and its instances are lost. */
static void drain_node(struct mf_broker *b, struct mf_node *node)
{
    uint64_t cause = node->last_seq;
    struct mf_instance *next;

    for (struct mf_instance *inst = mf_node_up(node) ? node->first : NULL; inst; inst = next) {
        next = inst->next; /* none of these rows takes it off its node */
        drain_instance(b, inst, cause);
    }
    if (node->n_instances)
        return;
    row_drained(b, node, cause);
    mf_leaving_drained(b, node);
}

void mf_drain_begin(struct mf_broker *b, struct mf_node *node, uint64_t cause)
{
    if (!node->draining || node->leaving)
        row_draining(b, node, cause, false, 0);
}

void mf_drain_begin_leaving(struct mf_broker *b, struct mf_node *node, uint64_t remaining_ms)
{
    row_draining(b, node, 0, true, remaining_ms);
}

/* What was to be replaced stays: it runs, and its successor does not yet. */
void mf_drain_end(struct mf_broker *b, struct mf_node *node, uint64_t cause)
{
    struct mf_instance *next;

    for (struct mf_instance *inst = node->first; inst; inst = next) {
        next = inst->next;
        if (inst->state == MF_INSTANCE_STATE_RETIRING && !runs(inst->slot))
            mf_heal_reinstate(b, inst, cause);
    }
}

void mf_drain_pass(struct mf_broker *b)
{
    struct mf_node *next;

    if (!b->draining || b->drained_seq == b->seq)
        return;
    for (struct mf_node *node = b->draining; node; node = next) {
        next = node->next_draining;
        drain_node(b, node);
    }
    b->drained_seq = b->seq;
}
