/* The checkers' fold. Each row is checked as it is folded: here I6 (order and causes) and I1 (a request's row
 * comes once, an offering exists); the rest beside. */
#include "model.h"
#include "checks.h"
#include "model_rows.h"
#include "rows.h"
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
    self->halted = mf_map_new();
    mf_sim_check_begin(self);
    return self;
}

static void free_instances(struct mf_map *map)
{
    size_t cursor = 0;
    for (void *value; mf_map_next(map, &cursor, &value);)
        for (struct mf_sim_instance *before; (before = ((struct mf_sim_instance *)value)->before);) {
            ((struct mf_sim_instance *)value)->before = before->before;
            free(before);
        }
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
    free_instances(model->instances);
    free_values(&model->instances);
    free_values(&model->nodes);
    free_values(&model->requests);
    free_values(&model->offerings);
    mf_map_destroy(&model->strangers);
    mf_map_destroy(&model->halted);
    mf_arena_free(&model->arena);
    free(model);
}

void mf_sim_model_text(char *array, size_t size, struct mf_str str)
{
    mf_str_format(array, size, "%.*s", (int)str.len, str.len ? str.ptr : "");
}

void mf_sim_model_zone(char zone[64], struct mf_labels labels)
{
    zone[0] = 0;
    for (uint32_t i = 0; i < labels.n; i++)
        if (mf_str_is(labels.items[i].key, "zone"))
            mf_sim_model_text(zone, 64, labels.items[i].value);
}

const char *mf_sim_instance_name(const struct mf_sim_instance *instance, char text[200])
{
    snprintf(text, 200, "default/%s/%llu#%llu", instance->group->name,
             (unsigned long long)instance->slot->number, (unsigned long long)instance->generation);
    return text;
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
    *group = (struct mf_sim_group){.world = self->world,
                                   .id = ev->group_id,
                                   .state = MF_GROUP_STATE_ACTIVE,
                                   .policy = ev->policy,
                                   .crashes = mf_str_is(ev->image, "crash"),
                                   .bad = mf_str_is(ev->image, "bad"),
                                   .min = ev->min,
                                   .desired = ev->desired,
                                   .spares = ev->spares,
                                   .waits_ready = ev->health.ready > MF_READINESS_NONE};
    mf_sim_model_text(group->name, sizeof(group->name), ev->group);
    mf_sim_model_zone(group->zone, ev->require);
    mf_sim_model_zone(group->never, ev->rules.forbid);
    if (ev->rules.apart.n)
        mf_sim_model_text(group->apart, sizeof(group->apart), ev->rules.apart.items[0].group);
    group->node_max = ev->rules.node_max;
    group->picky = ev->rules.max_skew || ev->rules.with.n || group->apart[0] || group->node_max;
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

struct mf_sim_group *mf_sim_model_group(struct mf_sim_model *self, struct mf_uuid id)
{
    struct mf_sim_group *group = mf_map_get_uuid(self->groups, id);
    if (!group)
        mf_sim_fail(self->world, "I6", "row %llu is about a group nobody created",
                    (unsigned long long)self->seq);
    return group;
}

static void group_moves(struct mf_sim_model *self, struct mf_uuid id, enum mf_group_state state)
{
    struct mf_sim_group *group = mf_sim_model_group(self, id);
    if (group)
        group->state = state;
}

static void group_scaled(struct mf_sim_group *group, const struct mf_ev_group_scaled *ev, mf_ms now)
{
    group->desired = ev->desired;
    group->changed = now;
    if (ev->spares_too)
        group->spares = ev->spares;
}

static void offering_added(struct mf_sim_model *self, const struct mf_rec_offering *offering)
{
    struct mf_rec_resources *size = mf_sim_alloc(sizeof(*size));
    *size = (struct mf_rec_resources){
        .vcpus = offering->vcpus, .memory_mib = offering->memory_mib, .disk_mib = offering->disk_mib};
    free(mf_map_put_str(self->offerings, offering->name, size));
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
        if ((group = mf_sim_model_group(self, event->group_scaled.group_id)))
            group_scaled(group, &event->group_scaled, self->world->now);
        break;
    case MF_EV_GROUP_ENDING:
        group_moves(self, event->group_ending.group_id, MF_GROUP_STATE_ENDING);
        break;
    case MF_EV_GROUP_GONE:
        group_moves(self, event->group_gone.group_id, MF_GROUP_STATE_GONE);
        break;
    default:
        mf_sim_model_node_row(self, row, event);
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
        row->kind == MF_EV_INSTANCE_DIED || /* told by a worker it is a root, found at a joining it is not */
        row->kind == MF_EV_NODE_DRAINING;   /* asked for by a worker likewise, by an operator not */
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
    char text[240] = "";
    if (mf_sim_traces(self->world))
        mf_sim_text_of(mf_kind_desc(row->kind), &event.cluster_created, text, sizeof(text));
    mf_sim_trace(self->world, "log", "%llu <- %llu %s %.*s %s", (unsigned long long)row->seq,
                 (unsigned long long)row->cause, mf_kind_desc(row->kind)->wire, (int)row->subject.len,
                 row->subject.ptr, text);
    check_order(self, row);
    self->seq = row->seq;
    mf_sim_rows_event(row->kind);
    fold(self, row, &event);
    if (self->on_row)
        self->on_row(self->owner, row, &event);
}

uint64_t mf_sim_model_seq(const struct mf_sim_model *self)
{
    return self->seq;
}

bool mf_sim_model_epoch_known(const struct mf_sim_model *self, uint64_t epoch)
{
    return epoch <= self->epoch;
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
