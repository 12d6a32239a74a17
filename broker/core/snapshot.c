/* snapshot.c - the fold as records, and back. What a record can't say the rows above it will; counts and
 * lists are made again. */
#include "check.h"
#include "fold.h"
#include "group_rules.h"
#include "pooled.h"
#include "state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct sink {
    void (*put)(void *arg, const char *record_id, struct mf_str data);
    void *arg;
    struct mf_buf buf;
};

static void put(struct sink *sink, const struct mf_desc *desc, const char *id, const void *record)
{
    mf_buf_clear(&sink->buf);
    mf_encode(desc, record, &sink->buf);
    sink->put(sink->arg, id, (struct mf_str){sink->buf.ptr, (uint32_t)sink->buf.len});
}
#define PUT(sink, id, ...) put(sink, &mf_rec_##id##_desc, #id, &(struct mf_rec_##id){__VA_ARGS__})

static void put_node(struct sink *sink, const struct mf_node *node)
{
    PUT(sink, snap_node, .node = node->name, .state = node->state, .epoch = node->epoch,
        .machine_id = node->machine_id, .boot_id = node->boot_id, .started_ms = (uint64_t)node->started_ms,
        .capacity = node->capacity, .class = node->class, .labels = node->labels, .driver = node->driver,
        .guests_die_with_me = node->guests_die_with_me, .probe_address = node->probe_address,
        .fences = node->fences, .draining = node->draining, .last_seq = node->last_seq,
        .failed_ms = (uint64_t)node->failed_ms, .cordoned = node->cordoned,
        .quarantined_until_ms = (uint64_t)node->quarantined_until, .quarantines = node->quarantines,
        .flaps = node->flaps, .delayed_until_ms = (uint64_t)node->delayed_until, .leaving = node->leaving,
        .ended = node->ended, .cells = {.items = node->cells, .n = node->n_cells},
        .cpu_ratio_percent = node->cpu_ratio_percent);
    for (const struct mf_stranger *stranger = node->strangers; stranger; stranger = stranger->next)
        PUT(sink, snap_domain, .node = node->name, .id = stranger->id, .name = stranger->name,
            .state = stranger->state, .order_id = stranger->order_id);
}

static void put_image(struct sink *sink, const struct mf_image *image)
{
    PUT(sink, snap_image, .image = image->rec,
        .halted = image->halted ? mf_str(image->halted) : (struct mf_str){NULL, 0}, .halts = image->halts,
        .halted_until_ms = (uint64_t)image->halted_until, .warm = image->warm);
}

static void put_instance(struct sink *sink, const struct mf_instance *inst)
{
    struct mf_str reason = inst->reason ? mf_str(inst->reason) : (struct mf_str){NULL, 0};

    if (inst->told)
        reason = mf_str("waits for room");
    PUT(sink, snap_instance, .id = inst->id, .group_id = mf_group_of(inst)->id, .slot = inst->slot->index,
        .generation = inst->generation, .state = inst->state, .current = inst->current,
        .node = inst->node ? inst->node->name : (struct mf_str){NULL, 0}, .epoch = inst->epoch,
        .order_id = inst->order_id, .cause = inst->cause, .last_seq = inst->last_seq,
        .created_ms = (uint64_t)inst->created_ms, .running_ms = (uint64_t)inst->running_ms,
        .grace_ms = inst->grace_ms, .replaces = inst->replaces, .reason = reason,
        .ready_ms = (uint64_t)inst->ready_ms, .born = inst->born, .cells = inst->cells);
}

static void put_slot(struct sink *sink, const struct mf_slot *slot)
{
    const struct mf_instance *inst = slot->newest;

    PUT(sink, snap_slot, .group_id = slot->group->id, .slot = slot->index, .generation = slot->generation,
        .failures = slot->failures, .not_before_ms = (uint64_t)slot->not_before_ms, .cause = slot->cause,
        .replaces = slot->replaces, .born = slot->born);
    while (inst && inst->older)
        inst = inst->older;
    for (; inst; inst = inst->newer)
        put_instance(sink, inst);
}

static void put_group(struct sink *sink, const struct mf_group *group)
{
    PUT(sink, snap_group, .group_id = group->id, .tenant = group->tenant, .group = group->name,
        .state = group->state, .desired = group->desired, .min = group->min, .image = group->image->rec.name,
        .offering = group->offering->rec.name, .policy = group->policy, .spread = group->spread,
        .fit = group->fit, .labels = group->labels, .require = group->require, .user_data = group->user_data,
        .created_ms = (uint64_t)group->created_ms, .ending_seq = group->ending_seq, .health = group->health,
        .spares = group->spares, .network = group->network, .rules = group->rules);
    for (uint32_t i = 0; i < group->n_slots; i++)
        put_slot(sink, group->slots[i]);
}

static void put_request(struct sink *sink, const struct mf_request *r)
{
    PUT(sink, snap_request, .seq = r->seq, .time_ms = (uint64_t)r->time_ms, .key = r->key,
        .request_id = r->request_id, .body = r->body, .group_id = r->group_id, .id = r->id, .count = r->count,
        .code = r->code, .text = r->text);
}

uint64_t mf_broker_snapshot(const struct mf_broker *b,
                            void (*put_record)(void *arg, const char *record_id, struct mf_str data),
                            void *arg)
{
    struct sink sink = {.put = put_record, .arg = arg};

    PUT(&sink, snap_meta, .cluster_id = b->cluster_id, .log_id = b->log_id, .term = b->term, .seq = b->seq,
        .epoch = b->epoch, .lease_ms = (uint64_t)b->lease_max, .frozen_by = b->frozen_by,
        .frozen_reason = b->frozen_reason, .frozen_seq = b->frozen_seq, .headroom = b->headroom,
        .headroom_degraded = b->headroom_degraded);
    for (size_t i = 0; i < b->images.n; i++)
        put_image(&sink, b->images.items[i]);
    for (size_t i = 0; i < b->offerings.n; i++)
        PUT(&sink, snap_offering, .offering = ((const struct mf_offering *)b->offerings.items[i])->rec);
    for (size_t i = 0; i < b->nodes.n; i++)
        put_node(&sink, b->nodes.items[i]);
    for (size_t i = 0; i < b->groups.n; i++)
        put_group(&sink, b->groups.items[i]);
    for (const struct mf_request *request = b->request_first; request; request = request->next)
        put_request(&sink, request);
    for (size_t i = 0; i < b->n_monitors; i++)
        PUT(&sink, snap_monitor, .monitor = mf_str(b->monitors[i].name), .heard = b->monitors[i].told_heard,
            .suspended = b->monitors[i].suspended);
    mf_buf_free(&sink.buf);
    return b->seq;
}

/* ------------------------------------------------------------------ back */

static int load_meta(struct mf_broker *b, const struct mf_rec_snap_meta *r, char text[256])
{
    if (!mf_uuid_is_zero(b->cluster_id) || mf_uuid_is_zero(r->cluster_id))
        return mf_fold_bad(text, "snap_meta: a snapshot begins with one of these");
    b->cluster_id = r->cluster_id;
    b->log_id = r->log_id;
    b->term = r->term;
    b->epoch = r->epoch;
    b->seq = b->snapshot_seq = r->seq;
    b->lease_max = (mf_ms)r->lease_ms;
    mf_fold_set_frozen(b, r->frozen_by, r->frozen_reason, r->frozen_seq);
    mf_fold_set_headroom(b, r->headroom);
    b->headroom_degraded = r->headroom_degraded;
    return 0;
}

static int load_image(struct mf_broker *b, const struct mf_rec_snap_image *r, char text[256])
{
    struct mf_image *image;

    if (mf_image_find(b, r->image.name))
        return mf_fold_bad(text, "snap_image: %.*s comes twice", MF_STR_ARG(r->image.name));
    image = mf_fold_add_image(b, &r->image);
    if (!image)
        return mf_fold_bad(text, "snap_image: more than %d images", MF_IMAGES_MAX);
    image->warm = r->warm;
    if (r->halted.len)
        mf_fold_set_halted(b, image, (char *)mf_own_str(r->halted).ptr);
    image->halts = (uint32_t)r->halts;
    image->halted_until = (mf_ms)r->halted_until_ms;
    return 0;
}

static int load_offering(struct mf_broker *b, const struct mf_rec_snap_offering *r, char text[256])
{
    if (mf_offering_find(b, r->offering.name))
        return mf_fold_bad(text, "snap_offering: %.*s comes twice", MF_STR_ARG(r->offering.name));
    mf_fold_add_offering(b, &r->offering);
    return 0;
}

static int load_node(struct mf_broker *b, const struct mf_rec_snap_node *r, char text[256])
{
    struct mf_node *node;

    if (mf_node_find(b, r->node))
        return mf_fold_bad(text, "snap_node: %.*s comes twice", MF_STR_ARG(r->node));
    if (b->nodes.n >= MF_POOL_NODES_MAX)
        return mf_fold_bad(text, "snap_node: more than %d nodes", MF_POOL_NODES_MAX);
    node = mf_fold_add_node(b, r->node);
    node->state = r->state;
    node->epoch = r->epoch;
    node->last_seq = r->last_seq;
    node->machine_id = mf_own_str(r->machine_id);
    node->boot_id = mf_own_str(r->boot_id);
    node->started_ms = (mf_ms)r->started_ms;
    node->capacity = r->capacity;
    node->class = mf_own_str(r->class);
    mf_fold_set_cells(node, r->cells.items, r->cells.n);
    node->cpu_ratio_percent = (uint32_t)r->cpu_ratio_percent;
    node->driver = mf_own_str(r->driver);
    node->guests_die_with_me = r->guests_die_with_me;
    node->fences = r->fences;
    mf_fold_set_draining(b, node, r->draining);
    node->leaving = r->leaving;
    node->ended = r->ended;
    node->probe_address = mf_own_str(r->probe_address);
    node->failed_ms = (mf_ms)r->failed_ms;
    node->cordoned = r->cordoned;
    node->quarantined_until = (mf_ms)r->quarantined_until_ms;
    b->quarantined += node->quarantined_until != 0;
    node->quarantines = (uint32_t)r->quarantines;
    node->flaps = (uint32_t)r->flaps;
    node->delayed_until = (mf_ms)r->delayed_until_ms;
    if (node->epoch > b->epoch)
        b->epoch = node->epoch;
    mf_pooled_stand(b, node);
    mf_pooled_relabel(b, node, r->labels);
    return 0;
}

static int load_domain(struct mf_broker *b, const struct mf_rec_snap_domain *r, char text[256])
{
    struct mf_node *node = mf_node_find(b, r->node);

    if (!node || mf_stranger_find(b, node, r->id))
        return mf_fold_bad(text, "snap_domain: it has no node, or comes twice");
    mf_fold_add_stranger(b, node, r->id, r->name, r->state, r->order_id);
    return 0;
}

static int load_group(struct mf_broker *b, const struct mf_rec_snap_group *r, char text[256])
{
    struct mf_image *image = mf_image_find(b, r->image);
    struct mf_offering *offering = mf_offering_find(b, r->offering);

    if (!image || !offering || mf_group_find(b, r->group_id))
        return mf_fold_bad(text, "snap_group: %.*s has no image or offering, or comes twice",
                           MF_STR_ARG(r->group));
    mf_fold_add_group(
        b, &(struct mf_group){.id = r->group_id,
                              .tenant = mf_own_str(r->tenant),
                              .name = mf_own_str(r->group),
                              .state = r->state,
                              .desired = (uint32_t)r->desired,
                              .min = (uint32_t)r->min,
                              .image = image,
                              .offering = offering,
                              .policy = r->policy,
                              .spread = r->spread,
                              .fit = r->fit,
                              .labels = mf_own_labels(r->labels),
                              .require = mf_own_labels(r->require),
                              .user_data = r->user_data,
                              .health = mf_own_health(r->health),
                              .spares = (uint32_t)r->spares,
                              .network = mf_own_str(r->network.len ? r->network : mf_str("default")),
                              .created_ms = (mf_ms)r->created_ms,
                              .ending_seq = r->ending_seq,
                              .rules = mf_own_rules(&r->rules)});
    return 0;
}

static int load_slot(struct mf_broker *b, const struct mf_rec_snap_slot *r, char text[256])
{
    struct mf_group *group = mf_group_find(b, r->group_id);
    struct mf_slot *slot;

    if (!group || r->slot != group->n_slots)
        return mf_fold_bad(text, "snap_slot: slot %llu is out of place", (unsigned long long)r->slot);
    slot = mf_fold_add_slot(b, group);
    slot->generation = r->generation;
    slot->failures = (uint32_t)r->failures;
    slot->not_before_ms = (mf_ms)r->not_before_ms;
    slot->cause = r->cause;
    slot->replaces = r->replaces;
    slot->born = (uint8_t)r->born;
    return 0;
}

static bool needs_node(enum mf_instance_state state)
{
    return state != MF_INSTANCE_STATE_PENDING;
}

static void fill_instance(struct mf_instance *inst, const struct mf_rec_snap_instance *r)
{
    inst->current = r->current;
    inst->epoch = r->epoch;
    inst->order_id = r->order_id;
    inst->cause = r->cause;
    inst->last_seq = r->last_seq;
    inst->created_ms = (mf_ms)r->created_ms;
    inst->running_ms = (mf_ms)r->running_ms;
    inst->grace_ms = (uint32_t)r->grace_ms;
    inst->replaces = r->replaces;
    inst->born = (uint8_t)r->born;
    inst->ready_ms = (mf_ms)r->ready_ms;
    inst->cells = (uint8_t)r->cells;
    if (inst->state == MF_INSTANCE_STATE_PENDING)
        inst->told = r->reason.len > 0;
    else if (r->reason.len)
        inst->reason = (char *)mf_own_str(r->reason).ptr;
}

static int load_instance(struct mf_broker *b, const struct mf_rec_snap_instance *r, char text[256])
{
    struct mf_group *group = mf_group_find(b, r->group_id);
    struct mf_node *node = r->node.len ? mf_node_find(b, r->node) : NULL;
    struct mf_instance *inst;
    struct mf_slot *slot;

    if (!group || r->slot >= group->n_slots || mf_instance_find(b, r->id))
        return mf_fold_bad(text, "snap_instance: it has no group or slot, or comes twice");
    slot = group->slots[r->slot];
    if (needs_node(r->state) != (node != NULL) || (r->current && slot->current) ||
        r->generation > slot->generation || (slot->newest && slot->newest->generation >= r->generation) ||
        r->state == MF_INSTANCE_STATE_GONE)
        return mf_fold_bad(text, "snap_instance: %.*s/%llu#%llu contradicts what stands before it",
                           MF_STR_ARG(group->name), (unsigned long long)r->slot,
                           (unsigned long long)r->generation);
    inst = mf_fold_add_instance(b, slot, r->id, r->generation);
    mf_fold_set_state(b, inst, r->state);
    mf_fold_tally(inst, -1);
    fill_instance(inst, r);
    mf_fold_tally(inst, 1);
    if (inst->current)
        slot->current = inst;
    if (node) {
        mf_fold_attach(b, inst, node);
        node->shrunk = mf_pooled_overfull(b, node);
    }
    return 0;
}

static int load_request(struct mf_broker *b, const struct mf_rec_snap_request *r, char text[256])
{
    mf_fold_add_request(b, &(struct mf_request){.seq = r->seq,
                                                .time_ms = (mf_ms)r->time_ms,
                                                .key = r->key,
                                                .request_id = r->request_id,
                                                .body = r->body,
                                                .group_id = r->group_id,
                                                .id = r->id,
                                                .count = (uint32_t)r->count,
                                                .code = r->code,
                                                .text = r->text});
    return 0;
}

static int load_monitor(struct mf_broker *b, const struct mf_rec_snap_monitor *r, char text[256])
{
    struct mf_monitor *monitor = mf_fold_monitor(b, r->monitor);

    if (!monitor)
        return mf_fold_bad(text, "snap_monitor: more than %d monitors", MF_MONITORS_MAX);
    monitor->told_heard = r->heard;
    monitor->suspended = r->suspended;
    return 0;
}

/* One decode and one loader for each kind of record. */
#define LOAD(id, loader)                                                                                     \
    if (mf_str_is(record_id, #id)) {                                                                         \
        struct mf_rec_##id record;                                                                           \
        if (mf_decode(&mf_rec_##id##_desc, data, &arena, &record, &error))                                   \
            rc = mf_fold_bad(text, "%s: %.200s", #id, error.text);                                           \
        else                                                                                                 \
            rc = loader(b, &record, text);                                                                   \
        mf_arena_free(&arena);                                                                               \
        return rc;                                                                                           \
    }

int mf_broker_load_snapshot(struct mf_broker *b, struct mf_str record_id, struct mf_str data, char text[256])
{
    struct mf_arena arena = {0};
    struct mf_decode_error error;
    int rc;

    MF_CHECK(!b->reigning);
    LOAD(snap_meta, load_meta)
    if (mf_uuid_is_zero(b->cluster_id))
        return mf_fold_bad(text, "a snapshot does not begin with snap_meta");
    LOAD(snap_image, load_image)
    LOAD(snap_offering, load_offering)
    LOAD(snap_node, load_node)
    LOAD(snap_domain, load_domain)
    LOAD(snap_group, load_group)
    LOAD(snap_slot, load_slot)
    LOAD(snap_instance, load_instance)
    LOAD(snap_request, load_request)
    LOAD(snap_monitor, load_monitor)
    return mf_fold_bad(text, "a record %.*s, which this version does not know; use a newer broker",
                       (int)(record_id.len < 64 ? record_id.len : 64), record_id.ptr);
}

int mf_broker_load_row(struct mf_broker *b, const struct mf_broker_row *row, char text[256])
{
    struct mf_fold_row place = {.seq = row->seq, .cause = row->cause, .time_ms = row->time_ms};
    struct mf_arena arena = {0};
    struct mf_decode_error error;
    struct mf_event event;
    int rc;

    MF_CHECK(!b->reigning);
    if (row->kind <= MF_MSG_COUNT || row->kind >= MF_KIND_COUNT)
        return mf_fold_bad(text, "row %llu is of a kind that this version does not know; use a newer broker",
                           (unsigned long long)row->seq);
    if (mf_event_decode(row->kind, row->data, &arena, &event, &error))
        rc = mf_fold_bad(text, "row %llu: %.200s", (unsigned long long)row->seq, error.text);
    else
        rc = mf_fold(b, &place, &event, text);
    if (rc == 0 && b->oldest == 0)
        b->oldest = row->seq;
    mf_arena_free(&arena);
    return rc;
}
