/* Rows of instances: I2 (one current generation, one birth for one cause), I4 (nothing is placed where it may
 * not be), I7 (what is said to be gone does not exist). */
#include "model_rows.h"
#include "sim_node.h"
#include <string.h>

/* Not its slot's current generation any more. */
bool mf_sim_is_over(enum mf_instance_state state)
{
    return state == MF_INSTANCE_STATE_GONE || state == MF_INSTANCE_STATE_RETIRING ||
           state == MF_INSTANCE_STATE_LOST || state == MF_INSTANCE_STATE_DESTROYING ||
           state == MF_INSTANCE_STATE_TOMBSTONE;
}

bool mf_sim_must_end(enum mf_instance_state state)
{
    return mf_sim_is_over(state) && state != MF_INSTANCE_STATE_RETIRING;
}

/* Keeps its node from being ready. */
bool mf_sim_keeps_waiting(enum mf_instance_state state)
{
    return state == MF_INSTANCE_STATE_DESTROYING || state == MF_INSTANCE_STATE_TOMBSTONE ||
           state == MF_INSTANCE_STATE_LOST;
}

bool mf_sim_is_current(const struct mf_sim_instance *instance)
{
    return instance->slot->current == instance && !mf_sim_is_over(instance->state);
}

static struct mf_sim_slot *slot_of(struct mf_sim_group *group, uint64_t number)
{
    struct mf_sim_slot *slot = mf_map_get_u64(group->slots, number);
    if (!slot) {
        slot = mf_sim_alloc(sizeof(*slot));
        slot->number = number;
        mf_map_put_u64(group->slots, number, slot);
    }
    return slot;
}

static struct mf_sim_instance *instance_new(struct mf_sim_model *self, struct mf_sim_group *group,
                                            struct mf_uuid id, uint64_t number, uint64_t generation)
{
    struct mf_sim_slot *slot = slot_of(group, number);
    struct mf_sim_instance *instance = mf_sim_alloc(sizeof(*instance));
    char name[200], before[200];
    *instance = (struct mf_sim_instance){.id = id,
                                         .group = group,
                                         .slot = slot,
                                         .generation = generation,
                                         .state = MF_INSTANCE_STATE_PENDING,
                                         .since = self->world->now,
                                         .next = self->living,
                                         .of_list = &self->living};
    if (self->living)
        self->living->of_list = &instance->next;
    self->living = instance;
    mf_sim_instance_name(instance, name);
    if (slot->current && !mf_sim_is_over(slot->current->state))
        mf_sim_fail(self->world, "I2", "%s is born while %s is %s", name,
                    mf_sim_instance_name(slot->current, before),
                    mf_instance_state_word(slot->current->state));
    if (group->state != MF_GROUP_STATE_ACTIVE || number >= group->desired + group->spares)
        mf_sim_fail(self->world, "I2", "%s is born in a group that wants %llu slots (%s)", name,
                    (unsigned long long)(group->desired + group->spares), mf_group_state_word(group->state));
    slot->current = instance;
    instance->before = mf_map_put_uuid(self->instances, id, instance);
    if (instance->before && !instance->before->forgotten)
        mf_sim_fail(self->world, "I6", "%s has the id of another instance", name);
    return instance;
}

static void instance_created(struct mf_sim_model *self, const struct mf_sim_row *row,
                             const struct mf_ev_instance_created *ev)
{
    struct mf_sim_group *group = mf_sim_model_group(self, ev->group_id);
    if (!group)
        return;
    struct mf_sim_slot *slot = slot_of(group, ev->slot);
    const struct mf_sim_instance *instance = instance_new(self, group, ev->id, ev->slot, ev->generation);
    char name[200];
    mf_sim_instance_name(instance, name);
    if (ev->generation <= slot->last_generation)
        mf_sim_fail(self->world, "I2", "%s: generation %llu was given before", name,
                    (unsigned long long)slot->last_generation);
    if (slot->last_cause == row->cause)
        mf_sim_fail(self->world, "I2", "%s is the second birth in its slot caused by row %llu", name,
                    (unsigned long long)row->cause);
    slot->last_generation = ev->generation;
    slot->last_cause = row->cause;
}

static void leave_the_living(struct mf_sim_instance *instance)
{
    if (!instance->of_list)
        return;
    *instance->of_list = instance->next;
    if (instance->next)
        instance->next->of_list = instance->of_list;
    instance->of_list = NULL;
    instance->next = NULL;
}

static struct mf_sim_instance *instance_moves(struct mf_sim_model *self, struct mf_uuid id,
                                              enum mf_instance_state state)
{
    struct mf_sim_instance *instance = mf_map_get_uuid(self->instances, id);
    if (!instance) {
        mf_sim_fail(self->world, "I6", "row %llu is about an instance nobody created",
                    (unsigned long long)self->seq);
        return NULL;
    }
    char name[200];
    if (instance->state == MF_INSTANCE_STATE_GONE && state != MF_INSTANCE_STATE_GONE)
        mf_sim_fail(self->world, "I7", "%s is %s after it was gone", mf_sim_instance_name(instance, name),
                    mf_instance_state_word(state));
    if (instance->view)
        instance->view->must_go +=
            (uint32_t)mf_sim_keeps_waiting(state) - (uint32_t)mf_sim_keeps_waiting(instance->state);
    if (instance->state != state)
        instance->since = self->world->now;
    instance->state = state;
    if (state == MF_INSTANCE_STATE_GONE)
        leave_the_living(instance);
    return instance;
}

/* Placed once, and again on the same node only, when that came back without it. */
static bool keeps_from(const struct mf_sim_group *group, const struct mf_sim_group *other)
{
    return (group->apart[0] && strcmp(group->apart, other->name) == 0) ||
           (other->apart[0] && strcmp(other->apart, group->name) == 0);
}

/* I4: nothing is placed where its group, or another, said that it must not be. */
static void check_rules(struct mf_sim_model *self, const struct mf_sim_instance *placed)
{
    const struct mf_sim_group *group = placed->group;
    const struct mf_sim_nodeview *view = placed->view;
    uint64_t there = 0;
    char name[200], other[200];
    if (group->never[0] && strcmp(group->never, view->zone) == 0)
        mf_sim_fail(self->world, "I4", "%s was placed in zone %s, which its group forbids",
                    mf_sim_instance_name(placed, name), view->zone);
    for (const struct mf_sim_instance *at = self->living; at; at = at->next) {
        if (!at->view || at->forgotten)
            continue;
        there += at->group == group && at->view == view;
        if (at->group != group && keeps_from(group, at->group) && strcmp(at->view->zone, view->zone) == 0)
            mf_sim_fail(self->world, "I4", "%s was placed in zone %s, apart from which is to be kept %s",
                        mf_sim_instance_name(placed, name), view->zone, mf_sim_instance_name(at, other));
    }
    if (group->node_max && there > group->node_max)
        mf_sim_fail(self->world, "I4", "%s was placed on %s as one of %llu, and %llu may be there",
                    mf_sim_instance_name(placed, name), view->name, (unsigned long long)there,
                    (unsigned long long)group->node_max);
}

static void instance_placed(struct mf_sim_model *self, struct mf_uuid id, struct mf_str node)
{
    struct mf_sim_instance *instance = instance_moves(self, id, MF_INSTANCE_STATE_PLACED);
    char name[200];
    if (!instance)
        return;
    struct mf_sim_nodeview *view = mf_sim_model_node(self, node);
    bool again = instance->view;
    if (again && instance->view != view)
        mf_sim_fail(self->world, "I2", "%s was placed twice, on %s and %.*s",
                    mf_sim_instance_name(instance, name), instance->view->name, (int)node.len, node.ptr);
    instance->view = view;
    if (again)
        return;
    if (view->state != MF_NODE_STATE_READY || view->cordoned || view->draining || view->quarantined)
        mf_sim_fail(self->world, "I4", "%s was placed on %s, which is %s%s%s%s",
                    mf_sim_instance_name(instance, name), view->name, mf_node_state_word(view->state),
                    view->cordoned ? ", cordoned" : "", view->draining ? ", draining" : "",
                    view->quarantined ? ", quarantined" : "");
    if (self->world->options.profile == MF_SIM_SMALL)
        check_rules(self, instance);
}

static void instance_running(struct mf_sim_model *self, struct mf_uuid id)
{
    const struct mf_sim_instance *instance = instance_moves(self, id, MF_INSTANCE_STATE_RUNNING);
    char name[200];
    if (instance && instance->slot->current != instance)
        mf_sim_fail(self->world, "I2", "%s runs, but another generation is current",
                    mf_sim_instance_name(instance, name));
}

/* The hypervisor's word comes first, and the guest must really have said so. */
static void instance_ready(struct mf_sim_model *self, struct mf_uuid id)
{
    struct mf_sim_instance *instance = mf_map_get_uuid(self->instances, id);
    char name[200];
    bool may = instance && (instance->state == MF_INSTANCE_STATE_RUNNING ||
                            instance->state == MF_INSTANCE_STATE_RETIRING);
    if (!may || instance->ready || !instance->group->waits_ready)
        mf_sim_fail(self->world, "I7", "%s is said to be ready, and may not be",
                    instance ? mf_sim_instance_name(instance, name) : "an unknown instance");
    else
        instance->ready = true;
}

/* A spare that is well takes a place that nothing has: of an at-most slot nothing else may even run. */
static void slot_promoted(struct mf_sim_model *self, const struct mf_sim_row *row,
                          const struct mf_ev_slot_promoted *ev)
{
    struct mf_sim_instance *instance = mf_map_get_uuid(self->instances, ev->id);
    struct mf_sim_group *group = mf_sim_model_group(self, ev->group_id);
    char name[200];
    if (!instance || !group)
        return;
    struct mf_sim_slot *slot = slot_of(group, ev->slot);
    mf_sim_instance_name(instance, name);
    if (instance->group != group || instance->slot->number != ev->from_slot ||
        ev->from_slot < group->desired || !mf_sim_is_current(instance) || !mf_sim_model_well(instance))
        mf_sim_fail(self->world, "I2", "%s is promoted, but is no spare that is well", name);
    if (ev->slot >= group->desired || ev->generation <= slot->last_generation ||
        slot->last_cause == row->cause || (slot->current && !mf_sim_is_over(slot->current->state)))
        mf_sim_fail(self->world, "I2", "%s is promoted into slot %llu, which is not vacant", name,
                    (unsigned long long)ev->slot);
    slot->last_generation = instance->generation = ev->generation;
    slot->last_cause = row->cause;
    instance->slot->current = NULL;
    mf_sim_model_guest_moves(self, instance, slot);
    slot->current = instance;
}

/* The lost one is current again: its successor must not have run, and is over from here on. */
static void instance_reinstated(struct mf_sim_model *self, struct mf_uuid id)
{
    struct mf_sim_instance *instance = mf_map_get_uuid(self->instances, id);
    char name[200], other[200];
    bool may = instance && (instance->state == MF_INSTANCE_STATE_LOST ||
                            instance->state == MF_INSTANCE_STATE_RETIRING); /* its node, its drain */
    if (instance && !may)
        mf_sim_fail(self->world, "I2", "%s was reinstated, but was %s", mf_sim_instance_name(instance, name),
                    mf_instance_state_word(instance->state));
    instance = instance_moves(self, id, MF_INSTANCE_STATE_RUNNING);
    if (!instance)
        return;
    const struct mf_sim_instance *successor = instance->slot->current;
    if (successor && successor != instance && successor->state == MF_INSTANCE_STATE_RUNNING)
        mf_sim_fail(self->world, "I2", "%s was reinstated while %s runs",
                    mf_sim_instance_name(instance, name), mf_sim_instance_name(successor, other));
    instance->slot->current = instance;
}

/* What is said to be over for good must not exist on its host (and elsewhere it never began). */
static void instance_ended(struct mf_sim_model *self, struct mf_uuid id, struct mf_str proof)
{
    struct mf_sim_instance *instance = instance_moves(self, id, MF_INSTANCE_STATE_GONE);
    char name[200];
    if (!instance)
        return;
    instance->forgotten = proof.len && memmem(proof.ptr, proof.len, "forgotten", 9);
    if (!instance->forgotten && instance->view && instance->view->host &&
        mf_sim_hypervisor_find(&instance->view->host->hypervisor, id))
        mf_sim_fail(self->world, "I7", "%s is said to be over, but it runs on %s",
                    mf_sim_instance_name(instance, name), instance->view->name);
}

/* An operator's word: the stranger is ours. */
static void instance_adopted(struct mf_sim_model *self, const struct mf_ev_instance_adopted *ev)
{
    struct mf_sim_group *group = mf_sim_model_group(self, ev->group_id);
    if (!group)
        return;
    struct mf_sim_instance *instance = instance_new(self, group, ev->id, ev->slot, ev->generation);
    instance->state = MF_INSTANCE_STATE_RUNNING;
    instance->ready = group->waits_ready; /* an operator's word */
    instance->view = mf_sim_model_node(self, ev->node);
    if (ev->generation > instance->slot->last_generation)
        instance->slot->last_generation = ev->generation;
    mf_map_del_uuid(self->strangers, ev->id);
    struct mf_sim_guest *guest =
        instance->view->host ? mf_sim_hypervisor_find(&instance->view->host->hypervisor, ev->id) : NULL;
    if (!guest)
        return;
    guest->instance = instance;
    guest->size = group->size;
    guest->node->hypervisor.crowded = true;
}

static void instance_destroying(struct mf_sim_model *self, const struct mf_ev_instance_destroying *ev)
{
    struct mf_sim_instance *instance = instance_moves(self, ev->id, MF_INSTANCE_STATE_DESTROYING);
    if (instance)
        instance->grace_ms = (mf_ms)ev->grace_ms;
}

void mf_sim_model_instance_row(struct mf_sim_model *self, const struct mf_sim_row *row,
                               const struct mf_event *event)
{
    switch (event->kind) {
    case MF_EV_INSTANCE_CREATED:
        instance_created(self, row, &event->instance_created);
        break;
    case MF_EV_INSTANCE_PENDING:
        instance_moves(self, event->instance_pending.id, MF_INSTANCE_STATE_PENDING);
        break;
    case MF_EV_INSTANCE_PLACED:
        instance_placed(self, event->instance_placed.id, event->instance_placed.node);
        break;
    case MF_EV_INSTANCE_RUNNING:
        instance_running(self, event->instance_running.id);
        break;
    case MF_EV_INSTANCE_READY:
        instance_ready(self, event->instance_ready.id);
        break;
    case MF_EV_INSTANCE_UNWELL:
        instance_moves(self, event->instance_unwell.id, MF_INSTANCE_STATE_TOMBSTONE);
        break;
    case MF_EV_SLOT_PROMOTED:
        slot_promoted(self, row, &event->slot_promoted);
        break;
    case MF_EV_INSTANCE_FAILED:
        instance_moves(self, event->instance_failed.id, MF_INSTANCE_STATE_TOMBSTONE);
        break;
    case MF_EV_INSTANCE_DIED:
        instance_ended(self, event->instance_died.id, (struct mf_str){0});
        break;
    case MF_EV_INSTANCE_LOST:
        instance_moves(self, event->instance_lost.id, MF_INSTANCE_STATE_LOST);
        break;
    case MF_EV_INSTANCE_REINSTATED:
        instance_reinstated(self, event->instance_reinstated.id);
        break;
    case MF_EV_INSTANCE_SUPERSEDED:
        instance_moves(self, event->instance_superseded.id, MF_INSTANCE_STATE_RETIRING);
        break;
    case MF_EV_INSTANCE_ADOPTED:
        instance_adopted(self, &event->instance_adopted);
        break;
    case MF_EV_INSTANCE_TOMBSTONED:
        instance_moves(self, event->instance_tombstoned.id, MF_INSTANCE_STATE_TOMBSTONE);
        break;
    case MF_EV_INSTANCE_DESTROYING:
        instance_destroying(self, &event->instance_destroying);
        break;
    case MF_EV_INSTANCE_GONE:
        instance_ended(self, event->instance_gone.id, event->instance_gone.proof);
        break;
    case MF_EV_ORDER_EXPIRED:
        if (event->order_expired.operation == MF_OPERATION_CREATE)
            instance_moves(self, event->order_expired.id, MF_INSTANCE_STATE_TOMBSTONE);
        break;
    default:
        break;
    }
}
