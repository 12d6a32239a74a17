/* census.c - see census.h. */
#include "census.h"
#include "check.h"
#include "nodes.h"
#include "place.h"
#include "pooled.h"

static json_t *text(struct mf_str s)
{
    json_t *value = json_stringn(s.ptr ? s.ptr : "", s.len);

    MF_CHECK(value); /* what the table calls a string is UTF-8 */
    return value;
}

static json_t *resources(const struct mf_rec_resources *r)
{
    return json_pack("{sIsIsI}", "vcpus", (json_int_t)r->vcpus, "memory_mib", (json_int_t)r->memory_mib,
                     "disk_mib", (json_int_t)r->disk_mib);
}

static json_t *node_row(const struct mf_broker *b, const struct mf_node *node)
{
    struct mf_rec_resources used = mf_pooled_used(b, node);

    return json_pack("{ss sb sI so so}", "state", mf_node_state_word(node->state), "schedulable",
                     mf_node_schedulable(node), "instances", (json_int_t)node->n_instances, "used",
                     resources(&used), "capacity", resources(&node->capacity));
}

static void add(struct mf_rec_resources *sum, const struct mf_rec_resources *r)
{
    sum->vcpus += r->vcpus;
    sum->memory_mib += r->memory_mib;
    sum->disk_mib += r->disk_mib;
}

static json_t *totals(const struct mf_broker *b)
{
    struct mf_rec_resources used = {0}, capacity = {0};
    size_t schedulable = 0, running = b->count[MF_INSTANCE_STATE_RUNNING];

    for (size_t i = 0; i < b->nodes.n; i++) {
        const struct mf_node *node = b->nodes.items[i];
        if (!mf_node_schedulable(node))
            continue;
        struct mf_rec_resources claimed = mf_pooled_used(b, node);
        schedulable++;
        add(&used, &claimed);
        add(&capacity, &node->capacity);
    }
    running += b->count[MF_INSTANCE_STATE_RETIRING];
    return json_pack("{sI sI sI sI sI so so}", "nodes", (json_int_t)b->nodes.n, "nodes_schedulable",
                     (json_int_t)schedulable, "groups", (json_int_t)b->groups.n, "running",
                     (json_int_t)running, "pending", (json_int_t)b->count[MF_INSTANCE_STATE_PENDING], "used",
                     resources(&used), "capacity", resources(&capacity));
}

static json_t *nodes(const struct mf_broker *b)
{
    json_t *all = json_object();

    for (size_t i = 0; i < b->nodes.n; i++) {
        const struct mf_node *node = b->nodes.items[i];
        json_object_setn_new(all, node->name.ptr, node->name.len, node_row(b, node));
    }
    return all;
}

static json_t *group_row(struct mf_broker *b, const struct mf_group *group)
{
    json_t *row = json_pack("{sI sI sI}", "desired", (json_int_t)group->desired, "running",
                            (json_int_t)group->running, "pending", (json_int_t)group->pending);
    char reason[256];

    if (group->pending_first)
        json_object_set_new(row, "reason", text(mf_place_reason(b, group->pending_first->slot, reason)));
    return row;
}

static json_t *groups(struct mf_broker *b)
{
    json_t *all = json_object();

    for (size_t i = 0; i < b->groups.n; i++) {
        const struct mf_group *group = b->groups.items[i];
        if (group->state == MF_GROUP_STATE_ACTIVE)
            json_object_setn_new(all, group->name.ptr, group->name.len, group_row(b, group));
    }
    return all;
}

static json_t *capacity_row(const struct mf_msg_capacities *all, const struct mf_rec_capacity_row *row)
{
    json_t *json = json_pack("{sI sI}", "fit", (json_int_t)row->fit, "nodes", (json_int_t)row->nodes);

    if (all->headroom.len)
        json_object_set_new(json, "fit_headroom", json_integer((json_int_t)row->fit_headroom));
    return json;
}

static json_t *capacity(struct mf_rehearsal *rehearsal)
{
    const struct mf_msg_capacities *reply = &rehearsal->reply.capacities;
    json_t *all = json_object();
    char error[512];

    if (mf_rehearsal_ask(rehearsal, (struct mf_message){.kind = MF_MSG_CAPACITY}, error) < 0)
        return all;
    for (uint32_t i = 0; i < reply->rows.n; i++)
        json_object_setn_new(all, reply->rows.items[i].offering.ptr, reply->rows.items[i].offering.len,
                             capacity_row(reply, &reply->rows.items[i]));
    return all;
}

json_t *mf_census(struct mf_rehearsal *rehearsal)
{
    struct mf_broker *b = rehearsal->b;

    return json_pack("{so so so so}", "totals", totals(b), "nodes", nodes(b), "groups", groups(b), "capacity",
                     capacity(rehearsal));
}
