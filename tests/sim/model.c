/* The checkers' fold. Each row is checked as it is folded: I6 (order and causes), I1 (a request's row comes
 * once), I2 (one current generation, one replacement for one cause), I7 (what is said to be gone does not
 * exist). */
#include "model.h"
#include "check.h"
#include "checks.h"
#include "sim_node.h"
#include "sim_trace.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct mf_sim_model *mf_sim_model_new(struct mf_sim_world *world)
{
    struct mf_sim_model *self = mf_sim_alloc(sizeof(*self));
    self->world = world;
    self->groups = mf_map_new();
    self->instances = mf_map_new();
    self->nodes = mf_map_new();
    self->requests = mf_map_new();
    self->offerings = mf_map_new();
    self->strangers = mf_map_new();
    mf_sim_check_begin(self);
    return self;
}

static void free_values(struct mf_map **map)
{
    size_t cursor = 0;
    for (void *value; mf_map_next(*map, &cursor, &value);)
        free(value);
    mf_map_destroy(map);
}

void mf_sim_model_destroy(struct mf_sim_model **self)
{
    struct mf_sim_model *model = *self;
    if (!model)
        return;
    *self = NULL;
    size_t cursor = 0;
    for (void *group; mf_map_next(model->groups, &cursor, &group);)
        free_values(&((struct mf_sim_group *)group)->slots);
    free_values(&model->groups);
    free_values(&model->instances);
    free_values(&model->nodes);
    free_values(&model->requests);
    free_values(&model->offerings);
    mf_map_destroy(&model->strangers);
    mf_arena_free(&model->arena);
    free(model);
}

static void copy_str(char *array, size_t size, struct mf_str str)
{
    mf_str_format(array, size, "%.*s", (int)str.len, str.len ? str.ptr : "");
}

static void copy_zone(char zone[64], struct mf_labels labels)
{
    zone[0] = 0;
    for (uint32_t i = 0; i < labels.n; i++)
        if (mf_str_is(labels.items[i].key, "zone"))
            copy_str(zone, 64, labels.items[i].value);
}

const char *mf_sim_instance_name(const struct mf_sim_instance *instance, char text[200])
{
    snprintf(text, 200, "default/%s/%llu#%llu", instance->group->name,
             (unsigned long long)instance->slot->number, (unsigned long long)instance->generation);
    return text;
}

static bool is_over(enum mf_instance_state state)
{
    return state == MF_INSTANCE_STATE_GONE || state == MF_INSTANCE_STATE_DESTROYING ||
           state == MF_INSTANCE_STATE_TOMBSTONE || state == MF_INSTANCE_STATE_LOST;
}

/* -- rows of groups, requests and nodes */

static void request_row(struct mf_sim_model *self, const struct mf_sim_row *row, struct mf_str key,
                        struct mf_str request_id, bool accepted)
{
    char text[200];
    struct mf_str name = mf_str_format(text, sizeof(text), "%.*s %.*s", (int)key.len, key.ptr,
                                       (int)request_id.len, request_id.ptr);
    const struct mf_sim_request *before = mf_map_get_str(self->requests, name);
    if (before) {
        mf_sim_fail(self->world, "I1", "request %s was done twice, by rows %llu and %llu", text,
                    (unsigned long long)before->seq, (unsigned long long)row->seq);
        return;
    }
    struct mf_sim_request *request = mf_sim_alloc(sizeof(*request));
    *request = (struct mf_sim_request){row->seq, accepted};
    mf_map_put_str(self->requests, name, request);
}

static void group_created(struct mf_sim_model *self, const struct mf_ev_group_created *ev)
{
    struct mf_sim_group *group = mf_sim_alloc(sizeof(*group));
    *group =
        (struct mf_sim_group){.id = ev->group_id, .state = MF_GROUP_STATE_ACTIVE, .desired = ev->desired};
    copy_str(group->name, sizeof(group->name), ev->group);
    copy_zone(group->zone, ev->require);
    const struct mf_rec_resources *size = mf_map_get_str(self->offerings, ev->offering);
    if (mf_sim_model_active_group(self, group->name))
        mf_sim_fail(self->world, "I1", "group %s was created while it exists", group->name);
    if (size)
        group->size = *size;
    else
        mf_sim_fail(self->world, "I1", "group %s was created with an unknown offering", group->name);
    group->slots = mf_map_new();
    mf_map_put_uuid(self->groups, group->id, group);
}

static struct mf_sim_group *group_of(struct mf_sim_model *self, struct mf_uuid id)
{
    struct mf_sim_group *group = mf_map_get_uuid(self->groups, id);
    if (!group)
        mf_sim_fail(self->world, "I6", "row %llu is about a group nobody created",
                    (unsigned long long)self->seq);
    return group;
}

static struct mf_sim_nodeview *node_of(struct mf_sim_model *self, struct mf_str name)
{
    struct mf_sim_nodeview *node = mf_map_get_str(self->nodes, name);
    if (!node) {
        node = mf_sim_alloc(sizeof(*node));
        copy_str(node->name, sizeof(node->name), name);
        mf_map_put_str(self->nodes, name, node);
    }
    return node;
}

static void node_joined(struct mf_sim_model *self, const struct mf_ev_node_joined *ev)
{
    struct mf_sim_nodeview *node = node_of(self, ev->node);
    if (ev->epoch <= node->epoch)
        mf_sim_fail(self->world, "I6", "%s joined with epoch %llu after %llu", node->name,
                    (unsigned long long)ev->epoch, (unsigned long long)node->epoch);
    node->epoch = ev->epoch;
    node->state = MF_NODE_STATE_JOINING;
    node->capacity = ev->capacity;
    copy_zone(node->zone, ev->labels);
    if (ev->epoch > self->epoch)
        self->epoch = ev->epoch;
}

static void node_moves(struct mf_sim_model *self, struct mf_str name, uint64_t epoch,
                       enum mf_node_state state)
{
    struct mf_sim_nodeview *node = node_of(self, name);
    if (node->epoch != epoch)
        mf_sim_fail(self->world, "I2", "%s is moved by epoch %llu, it has %llu", node->name,
                    (unsigned long long)epoch, (unsigned long long)node->epoch);
    node->state = state;
}

/* Schedulable only when nothing that must not run is left on it. */
static void node_ready(struct mf_sim_model *self, const struct mf_ev_node_ready *ev)
{
    size_t cursor = 0;
    char name[200];
    node_moves(self, ev->node, ev->epoch, MF_NODE_STATE_READY);
    for (void *value; mf_map_next(self->instances, &cursor, &value);) {
        const struct mf_sim_instance *instance = value;
        if (mf_str_is(ev->node, instance->node) && instance->state != MF_INSTANCE_STATE_GONE &&
            is_over(instance->state))
            mf_sim_fail(self->world, "I5", "%s is ready with %s on it, which is %s", instance->node,
                        mf_sim_instance_name(instance, name), mf_instance_state_word(instance->state));
    }
}

/* A failed one that is heard again must still say hello. */
static void node_recovered(struct mf_sim_model *self, const struct mf_ev_node_recovered *ev)
{
    bool failed = node_of(self, ev->node)->state == MF_NODE_STATE_FAILED;
    node_moves(self, ev->node, ev->epoch, failed ? MF_NODE_STATE_FAILED : MF_NODE_STATE_READY);
}

static void node_failed(struct mf_sim_model *self, struct mf_str name, uint64_t epoch)
{
    if (node_of(self, name)->state == MF_NODE_STATE_FAILED)
        mf_sim_fail(self->world, "I2", "%.*s failed twice in one epoch", (int)name.len, name.ptr);
    node_moves(self, name, epoch, MF_NODE_STATE_FAILED);
}

/* -- rows of instances */

bool mf_sim_is_current(const struct mf_sim_instance *instance)
{
    return instance->slot->current == instance && !is_over(instance->state);
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

static void instance_created(struct mf_sim_model *self, const struct mf_sim_row *row,
                             const struct mf_ev_instance_created *ev)
{
    struct mf_sim_group *group = group_of(self, ev->group_id);
    if (!group)
        return;
    struct mf_sim_slot *slot = slot_of(group, ev->slot);
    struct mf_sim_instance *instance = mf_sim_alloc(sizeof(*instance));
    *instance = (struct mf_sim_instance){.id = ev->id,
                                         .group = group,
                                         .slot = slot,
                                         .generation = ev->generation,
                                         .state = MF_INSTANCE_STATE_PENDING,
                                         .since = self->world->now};
    char name[200], before[200];
    mf_sim_instance_name(instance, name);
    if (ev->generation <= slot->last_generation)
        mf_sim_fail(self->world, "I2", "%s: generation %llu was given before", name,
                    (unsigned long long)slot->last_generation);
    if (slot->current && !is_over(slot->current->state))
        mf_sim_fail(self->world, "I2", "%s is born while %s is %s", name,
                    mf_sim_instance_name(slot->current, before),
                    mf_instance_state_word(slot->current->state));
    if (slot->last_cause == row->cause)
        mf_sim_fail(self->world, "I2", "%s is the second birth in its slot caused by row %llu", name,
                    (unsigned long long)row->cause);
    if (group->state != MF_GROUP_STATE_ACTIVE || ev->slot >= group->desired)
        mf_sim_fail(self->world, "I2", "%s is born in a group that wants %llu slots (%s)", name,
                    (unsigned long long)group->desired, mf_group_state_word(group->state));
    slot->last_generation = ev->generation;
    slot->last_cause = row->cause;
    slot->current = instance;
    if (mf_map_put_uuid(self->instances, ev->id, instance))
        mf_sim_fail(self->world, "I6", "%s has the id of another instance", name);
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
    if (instance->state != state)
        instance->since = self->world->now;
    instance->state = state;
    return instance;
}

/* Placed once, and again on the same node only, when that came back without it. */
static void instance_placed(struct mf_sim_model *self, struct mf_uuid id, struct mf_str node)
{
    struct mf_sim_instance *instance = instance_moves(self, id, MF_INSTANCE_STATE_PLACED);
    char name[200];
    if (!instance)
        return;
    bool again = instance->node[0];
    if (again && !mf_str_is(node, instance->node))
        mf_sim_fail(self->world, "I2", "%s was placed twice, on %s and %.*s",
                    mf_sim_instance_name(instance, name), instance->node, (int)node.len, node.ptr);
    copy_str(instance->node, sizeof(instance->node), node);
    if (!again && node_of(self, node)->state != MF_NODE_STATE_READY)
        mf_sim_fail(self->world, "I4", "%s was placed on %s, which is %s",
                    mf_sim_instance_name(instance, name), instance->node,
                    mf_node_state_word(node_of(self, node)->state));
}

static void instance_running(struct mf_sim_model *self, struct mf_uuid id)
{
    const struct mf_sim_instance *instance = instance_moves(self, id, MF_INSTANCE_STATE_RUNNING);
    char name[200];
    if (instance && instance->slot->current != instance)
        mf_sim_fail(self->world, "I2", "%s runs, but another generation is current",
                    mf_sim_instance_name(instance, name));
}

/* The lost one is current again: its successor must not have run, and is over from here on. */
static void instance_reinstated(struct mf_sim_model *self, struct mf_uuid id)
{
    struct mf_sim_instance *instance = mf_map_get_uuid(self->instances, id);
    char name[200], other[200];
    if (instance && instance->state != MF_INSTANCE_STATE_LOST)
        mf_sim_fail(self->world, "I2", "%s was reinstated, but was %s", mf_sim_instance_name(instance, name),
                    mf_instance_state_word(instance->state));
    instance = instance_moves(self, id, MF_INSTANCE_STATE_RUNNING);
    if (!instance)
        return;
    const struct mf_sim_instance *successor = instance->slot->current;
    if (successor != instance && successor->state == MF_INSTANCE_STATE_RUNNING)
        mf_sim_fail(self->world, "I2", "%s was reinstated while %s runs",
                    mf_sim_instance_name(instance, name), mf_sim_instance_name(successor, other));
    instance->slot->current = instance;
}

/* What is said to be over for good must not exist on any host. */
static void instance_ended(struct mf_sim_model *self, struct mf_uuid id)
{
    const struct mf_sim_instance *instance = instance_moves(self, id, MF_INSTANCE_STATE_GONE);
    struct mf_sim_world *world = self->world;
    char name[200];
    for (uint32_t i = 0; instance && i < world->options.nodes; i++)
        if (mf_sim_hypervisor_find(&world->nodes[i]->hypervisor, id))
            mf_sim_fail(world, "I7", "%s is said to be over, but it runs on %s",
                        mf_sim_instance_name(instance, name), world->nodes[i]->name);
}

static void instance_destroying(struct mf_sim_model *self, const struct mf_ev_instance_destroying *ev)
{
    struct mf_sim_instance *instance = instance_moves(self, ev->id, MF_INSTANCE_STATE_DESTROYING);
    if (instance)
        instance->grace_ms = (mf_ms)ev->grace_ms;
}

static void fold_instance(struct mf_sim_model *self, const struct mf_sim_row *row,
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
    case MF_EV_INSTANCE_FAILED:
        instance_moves(self, event->instance_failed.id, MF_INSTANCE_STATE_TOMBSTONE);
        break;
    case MF_EV_INSTANCE_DIED:
        instance_ended(self, event->instance_died.id);
        break;
    case MF_EV_INSTANCE_LOST:
        instance_moves(self, event->instance_lost.id, MF_INSTANCE_STATE_LOST);
        break;
    case MF_EV_INSTANCE_REINSTATED:
        instance_reinstated(self, event->instance_reinstated.id);
        break;
    case MF_EV_INSTANCE_TOMBSTONED:
        instance_moves(self, event->instance_tombstoned.id, MF_INSTANCE_STATE_TOMBSTONE);
        break;
    case MF_EV_INSTANCE_DESTROYING:
        instance_destroying(self, &event->instance_destroying);
        break;
    case MF_EV_INSTANCE_GONE:
        instance_ended(self, event->instance_gone.id);
        break;
    case MF_EV_ORDER_EXPIRED:
        if (event->order_expired.operation == MF_OPERATION_CREATE)
            instance_moves(self, event->order_expired.id, MF_INSTANCE_STATE_TOMBSTONE);
        break;
    default:
        break;
    }
}

static void group_moves(struct mf_sim_model *self, struct mf_uuid id, enum mf_group_state state)
{
    struct mf_sim_group *group = group_of(self, id);
    if (group)
        group->state = state;
}

static void offering_added(struct mf_sim_model *self, const struct mf_rec_offering *offering)
{
    struct mf_rec_resources *size = mf_sim_alloc(sizeof(*size));
    *size = (struct mf_rec_resources){
        .vcpus = offering->vcpus, .memory_mib = offering->memory_mib, .disk_mib = offering->disk_mib};
    free(mf_map_put_str(self->offerings, offering->name, size));
}

/* A domain nobody knows is no instance of ours: what is gone never comes back in an inventory. */
static void stranger(struct mf_sim_model *self, struct mf_uuid id)
{
    const struct mf_sim_instance *instance = mf_map_get_uuid(self->instances, id);
    char name[200];
    if (instance)
        mf_sim_fail(self->world, "I7", "%s is called unknown, but it was created and is %s",
                    mf_sim_instance_name(instance, name), mf_instance_state_word(instance->state));
    mf_map_put_uuid(self->strangers, id, self);
}

static void fold(struct mf_sim_model *self, const struct mf_sim_row *row, const struct mf_event *event)
{
    struct mf_sim_group *group;
    switch (event->kind) {
    case MF_EV_REQUEST_ACCEPTED:
        request_row(self, row, event->request_accepted.key, event->request_accepted.request_id, true);
        break;
    case MF_EV_REQUEST_REFUSED:
        request_row(self, row, event->request_refused.key, event->request_refused.request_id, false);
        break;
    case MF_EV_OFFERING_ADDED:
        offering_added(self, &event->offering_added.offering);
        break;
    case MF_EV_GROUP_CREATED:
        group_created(self, &event->group_created);
        break;
    case MF_EV_GROUP_SCALED:
        if ((group = group_of(self, event->group_scaled.group_id)))
            group->desired = event->group_scaled.desired, group->changed = self->world->now;
        break;
    case MF_EV_GROUP_ENDING:
        group_moves(self, event->group_ending.group_id, MF_GROUP_STATE_ENDING);
        break;
    case MF_EV_GROUP_GONE:
        group_moves(self, event->group_gone.group_id, MF_GROUP_STATE_GONE);
        break;
    case MF_EV_NODE_JOINED:
        node_joined(self, &event->node_joined);
        break;
    case MF_EV_NODE_READY:
        node_ready(self, &event->node_ready);
        break;
    case MF_EV_NODE_SUSPECT:
        node_moves(self, event->node_suspect.node, event->node_suspect.epoch, MF_NODE_STATE_SUSPECT);
        break;
    case MF_EV_NODE_RECOVERED:
        node_recovered(self, &event->node_recovered);
        break;
    case MF_EV_NODE_FAILED:
        node_failed(self, event->node_failed.node, event->node_failed.epoch);
        break;
    case MF_EV_DOMAIN_UNKNOWN:
        stranger(self, event->domain_unknown.id);
        break;
    default:
        fold_instance(self, row, event);
    }
}

static void check_order(struct mf_sim_model *self, const struct mf_sim_row *row)
{
    const struct mf_desc *desc = mf_kind_desc(row->kind);
    if (row->seq != self->seq + 1)
        mf_sim_fail(self->world, "I6", "row %llu follows row %llu", (unsigned long long)row->seq,
                    (unsigned long long)self->seq);
    if (row->cause >= row->seq)
        mf_sim_fail(self->world, "I6", "row %llu is caused by row %llu", (unsigned long long)row->seq,
                    (unsigned long long)row->cause);
    bool either =
        row->kind == MF_EV_INSTANCE_DIED; /* told by a worker it is a root, found at a joining it is not */
    if (!either && desc->root != (row->cause == 0))
        mf_sim_fail(self->world, "I6", "row %llu (%s) has cause %llu, but is %s root",
                    (unsigned long long)row->seq, desc->wire, (unsigned long long)row->cause,
                    desc->root ? "a" : "no");
}

void mf_sim_model_row(struct mf_sim_model *self, const struct mf_sim_row *row)
{
    struct mf_event event;
    struct mf_decode_error error;
    mf_arena_reset(&self->arena);
    if (mf_event_decode(row->kind, row->data, &self->arena, &event, &error) < 0) {
        mf_sim_fail(self->world, "codec", "row %llu does not decode: %s", (unsigned long long)row->seq,
                    error.text);
        return;
    }
    char text[240];
    mf_sim_text_of(mf_kind_desc(row->kind), &event.cluster_created, text, sizeof(text));
    mf_sim_trace(self->world, "log", "%llu <- %llu %s %.*s %s", (unsigned long long)row->seq,
                 (unsigned long long)row->cause, mf_kind_desc(row->kind)->wire, (int)row->subject.len,
                 row->subject.ptr, text);
    check_order(self, row);
    self->seq = row->seq;
    fold(self, row, &event);
}

uint64_t mf_sim_model_seq(const struct mf_sim_model *self)
{
    return self->seq;
}

bool mf_sim_model_epoch_known(const struct mf_sim_model *self, uint64_t epoch)
{
    return epoch <= self->epoch;
}

void mf_sim_model_guest_begins(struct mf_sim_model *self, const char *node, struct mf_uuid id,
                               const char *name)
{
    const struct mf_sim_instance *instance = mf_map_get_uuid(self->instances, id);
    char expected[200];
    if (!instance)
        mf_sim_fail(self->world, "I7", "%s begins on %s, but the log does not know it", name, node);
    else if (strcmp(instance->node, node) != 0)
        mf_sim_fail(self->world, "I7", "%s begins on %s, it was placed on %s", name, node, instance->node);
    else if (instance->state == MF_INSTANCE_STATE_GONE)
        mf_sim_fail(self->world, "I5", "%s begins on %s after it was said to be over", name, node);
    else if (strcmp(mf_sim_instance_name(instance, expected), name) != 0)
        mf_sim_fail(self->world, "I7", "%s begins under the name %s", expected, name);
}

void mf_sim_model_guest_ends(struct mf_sim_model *self, struct mf_uuid id)
{
    struct mf_sim_instance *instance = mf_map_get_uuid(self->instances, id);
    if (instance)
        instance->ended = self->world->now;
}

struct mf_sim_group *mf_sim_model_active_group(const struct mf_sim_model *self, const char *name)
{
    size_t cursor = 0;
    for (void *value; mf_map_next(self->groups, &cursor, &value);) {
        struct mf_sim_group *group = value;
        if (group->state == MF_GROUP_STATE_ACTIVE && strcmp(group->name, name) == 0)
            return group;
    }
    return NULL;
}

const struct mf_sim_request *mf_sim_model_request(const struct mf_sim_model *self, const char *key,
                                                  const char *request_id)
{
    char text[200];
    return mf_map_get_str(self->requests, mf_str_format(text, sizeof(text), "%s %s", key, request_id));
}
