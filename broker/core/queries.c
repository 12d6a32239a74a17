/* queries.c - lists and status. A page ends at so many rows or so many bytes, whichever comes first, and says
 * where the next begins; a cursor is a place in the order, not a position, so that a list that changes
 * meanwhile misses and repeats nothing that stays. */
#include "queries.h"
#include "blame.h"
#include "check.h"
#include "domains.h"
#include "explain.h"
#include "fold.h"
#include "held.h"
#include "leases.h"
#include "nodes.h"
#include "out.h"
#include "place.h"
#include "pooled.h"
#include "protection.h"
#include "requests.h"
#include "votes.h"
#include "watches.h"

#include <stdio.h>
#include <string.h>

enum { PAGE_BYTES = 600 * 1024, ROW_BYTES = 320 };

static uint32_t page_rows(const struct mf_broker *b)
{
    return b->config.list_page < 500 ? b->config.list_page : 500;
}

/* ------------------------------------------------------------------ groups */

/* "name/group_id"; the group after it comes next. */
static size_t groups_after(const struct mf_broker *b, struct mf_str after)
{
    const char *slash = after.len ? memchr(after.ptr, '/', after.len) : NULL;
    struct mf_uuid id = {{0}};
    size_t at;

    if (!slash)
        return mf_groups_from(b, after, id);
    struct mf_str name = {after.ptr, (uint32_t)(slash - after.ptr)};
    mf_uuid_parse(slash + 1, after.len - name.len - 1, &id);
    at = mf_groups_from(b, name, id);
    if (at < b->groups.n) {
        const struct mf_group *group = b->groups.items[at];
        at += mf_str_eq(group->name, name) && mf_uuid_eq(group->id, id);
    }
    return at;
}

static struct mf_rec_group_row group_row(const struct mf_group *group)
{
    return (struct mf_rec_group_row){
        .group_id = group->id,
        .group = group->name,
        .state = group->state,
        .image = group->image->rec.name,
        .offering = group->offering->rec.name,
        .policy = group->policy,
        .spread = group->spread,
        .desired = group->desired,
        .min = group->min,
        .running = group->running,
        .pending = group->pending,
        .labels = group->labels,
        .require = group->require,
        .created_ms = (uint64_t)group->created_ms,
        /* tombstones wait for their nodes' return; nobody needs to wait for them */
        .left = group->living - group->tombstones,
        .spares = group->spares,
        .spares_running = group->spares_running,
        .ready = group->ready,
        .fit = group->fit,
        .rules = group->rules};
}

static void list_groups(struct mf_broker *b, uint64_t peer, const struct mf_msg_list_groups *q)
{
    struct mf_rec_group_row *rows = mf_arena_alloc(&b->arena, page_rows(b) * sizeof(*rows));
    struct mf_message message = {.kind = MF_MSG_GROUPS,
                                 .groups = {.request_id = q->request_id, .seq = b->seq}};
    char next[160], uuid[MF_UUID_TEXT];
    size_t bytes = 0, i;
    uint32_t n = 0;

    for (i = groups_after(b, q->after); i < b->groups.n && n < page_rows(b) && bytes < PAGE_BYTES; i++) {
        const struct mf_group *group = b->groups.items[i];
        rows[n] = group_row(group);
        bytes += mf_encode_size(&mf_rec_group_row_desc, &rows[n++]);
    }
    message.groups.rows.items = rows;
    message.groups.rows.n = n;
    if (i < b->groups.n && n)
        message.groups.next = mf_str_format(next, sizeof(next), "%.*s/%s", MF_STR_ARG(rows[n - 1].group),
                                            mf_uuid_text(rows[n - 1].group_id, uuid));
    mf_send(b, peer, &message);
}

/* ------------------------------------------------------------------ instances */

struct place_in_list { /* of the last instance that was shown */
    struct mf_str group;
    struct mf_uuid group_id;
    uint32_t slot;
    uint64_t generation;
};

static bool parse_place(struct mf_str after, struct place_in_list *ret, char group[64])
{
    char text[256], uuid[MF_UUID_TEXT];
    unsigned long long generation;
    unsigned slot;
    int end = 0;

    mf_str_format(text, sizeof(text), "%.*s", MF_STR_ARG(after));
    if (sscanf(text, "%63[a-z0-9-]/%36[0-9a-fA-F-]/%u#%llu%n", group, uuid, &slot, &generation, &end) != 4 ||
        text[end] || !mf_uuid_parse(uuid, strlen(uuid), &ret->group_id))
        return false;
    ret->group = mf_str(group);
    ret->slot = slot;
    ret->generation = generation;
    return true;
}

struct page {
    struct mf_broker *b;
    struct mf_rec_instance_row *rows;
    uint32_t n;
    const struct mf_instance *last;
    bool more;
    const struct mf_group *reason_group; /* the reason below is its */
    uint32_t reason_len;
    char reason[256];
};

static struct mf_str reason_of(struct page *page, const struct mf_instance *inst)
{
    struct mf_broker *b = page->b;
    struct mf_lease_wait wait;
    char text[256];

    if (inst->state != MF_INSTANCE_STATE_PENDING) {
        if (inst->order && inst->order->why[0])
            return mf_str(inst->order->why);
        return inst->reason ? mf_str(inst->reason) : (struct mf_str){NULL, 0};
    }
    if (mf_lease_waits(b, inst, &wait))
        return mf_str_dup(&b->arena, mf_lease_reason(b, &wait, text));
    if (page->reason_group != mf_group_of(inst) || mf_map_size(b->claims)) {
        page->reason_len = mf_place_reason(b, inst->slot, page->reason).len;
        page->reason_group = mf_group_of(inst);
    }
    return mf_str_dup(&b->arena, (struct mf_str){page->reason, page->reason_len});
}

static void show(struct page *page, const struct mf_instance *inst)
{
    const struct mf_group *group = mf_group_of(inst);

    if (page->n == page_rows(page->b) || (size_t)page->n * (ROW_BYTES + 255) > PAGE_BYTES) {
        page->more = true;
        return;
    }
    page->last = inst;
    page->rows[page->n++] =
        (struct mf_rec_instance_row){.id = inst->id,
                                     .group = group->name,
                                     .slot = inst->slot->index,
                                     .generation = inst->generation,
                                     .state = inst->state,
                                     .node = inst->node ? inst->node->name : (struct mf_str){NULL, 0},
                                     .image = group->image->rec.name,
                                     .offering = group->offering->rec.name,
                                     .created_ms = (uint64_t)inst->created_ms,
                                     .running_ms = (uint64_t)inst->running_ms,
                                     .cause = inst->cause,
                                     .reason = reason_of(page, inst),
                                     .current = inst->current,
                                     .ready_ms = (uint64_t)inst->ready_ms,
                                     .address = mf_watch_address_of(inst),
                                     .spare = inst->slot->index >= group->desired,
                                     .born = inst->born,
                                     .cells = inst->cells};
}

static void show_group(struct page *page, const struct mf_group *group, uint32_t slot, uint64_t generation)
{
    for (; slot < group->n_slots && !page->more; slot++, generation = 0) {
        const struct mf_instance *inst = group->slots[slot]->newest;
        while (inst && inst->older)
            inst = inst->older;
        for (; inst && !page->more; inst = inst->newer)
            if (inst->generation > generation)
                show(page, inst);
    }
}

/* False if `after` is no answer's next. */
static bool show_from(struct page *page, const struct mf_msg_list_instances *q)
{
    struct mf_broker *b = page->b;
    struct place_in_list after = {.group = q->group};
    char name[64];
    bool inside = parse_place(q->after, &after, name);

    if (q->after.len && !inside)
        return false;
    for (size_t i = mf_groups_from(b, after.group, after.group_id); i < b->groups.n && !page->more; i++) {
        const struct mf_group *group = b->groups.items[i];
        bool here = inside && mf_uuid_eq(group->id, after.group_id);
        if (q->group.len && !mf_str_eq(group->name, q->group))
            break;
        show_group(page, group, here ? after.slot : 0, here ? after.generation : 0);
    }
    return true;
}

static bool group_exists(const struct mf_broker *b, struct mf_str name)
{
    size_t at = mf_groups_from(b, name, (struct mf_uuid){{0}});

    return at < b->groups.n && mf_str_eq(((const struct mf_group *)b->groups.items[at])->name, name);
}

static void list_instances(struct mf_broker *b, uint64_t peer, const struct mf_msg_list_instances *q)
{
    struct page page = {.b = b, .rows = mf_arena_alloc(&b->arena, page_rows(b) * sizeof(*page.rows))};
    struct mf_message message = {.kind = MF_MSG_INSTANCES,
                                 .instances = {.request_id = q->request_id, .seq = b->seq}};
    char next[200], uuid[MF_UUID_TEXT], text[160];

    if (q->group.len && !group_exists(b, q->group)) {
        mf_str_format(text, sizeof(text), "there is no group %.*s; `mayfly groups` shows what there is",
                      MF_STR_ARG(q->group));
        mf_send_error(b, peer, q->request_id, MF_E_UNKNOWN, text);
        return;
    }
    if (!show_from(&page, q)) { /* from the start again, a reader would turn in a circle */
        mf_send_error_now(b, peer, q->request_id, MF_E_INVALID,
                          "list-instances.after: is not the next of an answer; leave it empty to begin");
        return;
    }
    message.instances.rows.items = page.rows;
    message.instances.rows.n = page.n;
    if (page.more) {
        MF_CHECK(page.last); /* a page holds a row at least */
        message.instances.next =
            mf_str_format(next, sizeof(next), "%.*s/%s/%u#%llu", MF_STR_ARG(mf_group_of(page.last)->name),
                          mf_uuid_text(mf_group_of(page.last)->id, uuid), page.last->slot->index,
                          (unsigned long long)page.last->generation);
    }
    mf_send(b, peer, &message);
}

/* ------------------------------------------------------------------ nodes, images, offerings */

static uint64_t minus(uint64_t a, uint64_t c)
{
    return a > c ? a - c : 0;
}

static void free_cells(const struct mf_broker *b, const struct mf_node *node, struct mf_rec_cell *free)
{
    struct mf_cell used[MF_CELLS_MAX];

    mf_pool_used_cells(b->pool, node->number, used);
    for (uint32_t i = 0; i < node->n_cells; i++)
        free[i] = (struct mf_rec_cell){
            .vcpus = minus(node->cells[i].vcpus, used[i].of[MF_VCPUS]),
            .memory_mib = minus(node->cells[i].memory_mib, used[i].of[MF_MEMORY_MIB]),
            .hugepages_mib = minus(node->cells[i].hugepages_mib, used[i].of[MF_HUGEPAGES_MIB])};
}

static long long seconds_to(const struct mf_broker *b, const struct mf_alarm *alarm)
{
    return alarm->timer.place ? (long long)(alarm->timer.when - b->now + 999) / 1000 : 0;
}

static struct mf_str node_reason(struct mf_broker *b, const struct mf_node *node)
{
    char text[128];

    if (node->outage.held)
        return mf_str("held for dead by a majority of monitors, but the cluster is frozen");
    if (node->doubts.contradicted)
        return mf_str("its pulses are not heard, its agent is");
    if (node->state == MF_NODE_STATE_JOINING && node->must_go)
        return mf_str_dup(&b->arena, mf_str_format(text, sizeof(text),
                                                   "%u instances that must not run there are not gone yet",
                                                   node->must_go));
    if (node->state != MF_NODE_STATE_FAILED && !mf_node_up(node))
        return mf_str("its agent is not connected");
    if (node->delay.timer.place)
        return mf_str_dup(&b->arena,
                          mf_str_format(text, sizeof(text), "it failed %u times lately: ready in %lld s",
                                        node->flaps, seconds_to(b, &node->delay)));
    if (node->quarantined_until)
        return mf_str_dup(&b->arena,
                          mf_str_format(text, sizeof(text),
                                        "births of several groups failed on it: none for %lld s more",
                                        seconds_to(b, &node->quarantine)));
    if (node->n_strangers)
        return mf_str_dup(&b->arena,
                          mf_str_format(text, sizeof(text), "%u unknown domains", node->n_strangers));
    return (struct mf_str){NULL, 0};
}

static struct mf_rec_node_row node_row(struct mf_broker *b, const struct mf_node *node)
{
    struct mf_rec_cell *free = mf_arena_alloc(&b->arena, MF_CELLS_MAX * sizeof(*free));

    free_cells(b, node, free);
    return (struct mf_rec_node_row){.node = node->name,
                                    .state = node->state,
                                    .connected = mf_node_up(node),
                                    .epoch = node->epoch,
                                    .capacity = node->capacity,
                                    .free = mf_pooled_free(b, node),
                                    .cells = {.items = node->cells, .n = node->n_cells},
                                    .cells_free = {.items = free, .n = node->n_cells},
                                    .cpu_ratio_percent = node->cpu_ratio_percent,
                                    .class = node->class,
                                    .labels = node->labels,
                                    .instances = node->n_instances,
                                    .driver = node->driver,
                                    .cordoned = node->cordoned,
                                    .draining = node->draining || node->leaving,
                                    .quarantined = node->quarantined_until != 0,
                                    .flaps = mf_blame_flaps(b, node),
                                    .unknown = node->n_strangers,
                                    .fences = node->fences,
                                    .lease_ms = minus((uint64_t)mf_lease_over(b, node), (uint64_t)b->now),
                                    .reason = node_reason(b, node)};
}

static void list_nodes(struct mf_broker *b, uint64_t peer, const struct mf_msg_list_nodes *q)
{
    struct mf_rec_node_row *rows = mf_arena_alloc(&b->arena, page_rows(b) * sizeof(*rows));
    struct mf_message message = {.kind = MF_MSG_NODES, .nodes = {.request_id = q->request_id, .seq = b->seq}};
    size_t bytes = 0, i = mf_named_from(b, &b->nodes, q->after);
    uint32_t n = 0;

    if (q->after.len && mf_node_find(b, q->after))
        i++;
    for (; i < b->nodes.n && n < page_rows(b) && bytes < PAGE_BYTES; i++) {
        rows[n] = node_row(b, b->nodes.items[i]);
        bytes += mf_encode_size(&mf_rec_node_row_desc, &rows[n++]);
    }
    message.nodes.rows.items = rows;
    message.nodes.rows.n = n;
    if (i < b->nodes.n && n)
        message.nodes.next = rows[n - 1].node;
    mf_send(b, peer, &message);
}

static void list_images(struct mf_broker *b, uint64_t peer, struct mf_str request_id)
{
    struct mf_rec_image *rows = mf_arena_alloc(&b->arena, (b->images.n + 1) * sizeof(*rows));
    struct mf_message message = {.kind = MF_MSG_IMAGES, .images = {.request_id = request_id, .seq = b->seq}};

    for (size_t i = 0; i < b->images.n; i++)
        rows[i] = ((const struct mf_image *)b->images.items[i])->rec;
    message.images.rows.items = rows;
    message.images.rows.n = (uint32_t)b->images.n;
    mf_send(b, peer, &message);
}

static void list_offerings(struct mf_broker *b, uint64_t peer, struct mf_str request_id)
{
    struct mf_rec_offering *rows = mf_arena_alloc(&b->arena, (b->offerings.n + 1) * sizeof(*rows));
    struct mf_message message = {.kind = MF_MSG_OFFERINGS,
                                 .offerings = {.request_id = request_id, .seq = b->seq}};

    for (size_t i = 0; i < b->offerings.n; i++)
        rows[i] = ((const struct mf_offering *)b->offerings.items[i])->rec;
    message.offerings.rows.items = rows;
    message.offerings.rows.n = (uint32_t)b->offerings.n;
    mf_send(b, peer, &message);
}

/* ------------------------------------------------------------------ status */

static void fill_monitors(struct mf_broker *b, struct mf_msg_status_reply *reply,
                          struct mf_rec_monitor_row *rows)
{
    for (size_t i = 0; i < b->n_monitors; i++) {
        const struct mf_monitor *monitor = &b->monitors[i];
        rows[i] = (struct mf_rec_monitor_row){.monitor = mf_str(monitor->name),
                                              .heard = monitor->heard,
                                              .age_ms = (uint64_t)(b->now - monitor->heard_at),
                                              .nodes_heard = monitor->nodes_heard,
                                              .nodes_known = monitor->nodes_known,
                                              .suspended = monitor->suspended};
        reply->heard |= monitor->heard;
    }
    reply->monitors.items = rows;
    reply->monitors.n = (uint32_t)b->n_monitors;
}

static void status(struct mf_broker *b, uint64_t peer, const struct mf_msg_status *q)
{
    struct mf_rec_monitor_row rows[MF_MONITORS_MAX];
    struct mf_message message = {
        .kind = MF_MSG_STATUS_REPLY,
        .status_reply = {.request_id = q->request_id,
                         .cluster_id = b->cluster_id,
                         .log_id = b->log_id,
                         .term = b->term,
                         .seq = b->seq,
                         .oldest_seq = b->oldest,
                         .version = mf_str(MAYFLY_VERSION),
                         .up_ms = (uint64_t)(b->now - b->started),
                         .groups = b->groups.n,
                         .running =
                             b->count[MF_INSTANCE_STATE_RUNNING] + b->count[MF_INSTANCE_STATE_RETIRING],
                         .pending = b->count[MF_INSTANCE_STATE_PENDING],
                         .placed = b->count[MF_INSTANCE_STATE_PLACED],
                         .ending = b->count[MF_INSTANCE_STATE_LOST] + b->count[MF_INSTANCE_STATE_TOMBSTONE] +
                                   b->count[MF_INSTANCE_STATE_DESTROYING],
                         .lease_ms = (uint64_t)b->config.lease_ms,
                         .images_halted = b->images_halted,
                         .unknown_domains = b->n_strangers,
                         .drifts = b->drifts,
                         .nodes = b->nodes.n}};

    for (size_t i = 0; i < b->nodes.n; i++) {
        const struct mf_node *node = b->nodes.items[i];
        message.status_reply.nodes_ready += mf_node_schedulable(node);
    }
    fill_monitors(b, &message.status_reply, rows);
    message.status_reply.frozen = b->frozen_by.len > 0;
    message.status_reply.frozen_reason = b->frozen_reason;
    message.status_reply.held = b->breaker.n_held;
    message.status_reply.quorum = mf_quorum(b);
    message.status_reply.headroom = b->headroom;
    message.status_reply.unprotected = mf_protection_lacking(b);
    if (!b->full) {
        mf_send(b, peer, &message);
        return;
    }
    /* Behind its rows it would wait until the trouble that it is to tell of is over. It names nothing that
     * was not durable when it was last told of; its counts may be ahead. */
    message.status_reply.full = true;
    message.status_reply.seq = b->committed;
    message.status_reply.uncommitted = b->seq - b->committed;
    mf_send_now(b, peer, &message);
}

/* ------------------------------------------------------------------ the way in */

static struct mf_str request_id_of(const struct mf_message *m)
{
    struct mf_str id; /* it is the first field of every query */

    memcpy(&id, &m->list_groups.request_id, sizeof(id));
    return id;
}

void mf_query_message(struct mf_broker *b, const struct mf_peer *peer, const struct mf_message *m)
{
    if (b->behind.n >= MF_OUT_MAX) {
        mf_send_error_now(b, peer->handle, request_id_of(m), MF_E_UNAVAILABLE,
                          "too many answers wait for the store; send it again in a while");
        return;
    }
    switch (m->kind) {
    case MF_MSG_LIST_GROUPS:
        list_groups(b, peer->handle, &m->list_groups);
        return;
    case MF_MSG_LIST_INSTANCES:
        list_instances(b, peer->handle, &m->list_instances);
        return;
    case MF_MSG_LIST_NODES:
        list_nodes(b, peer->handle, &m->list_nodes);
        return;
    case MF_MSG_LIST_IMAGES:
        list_images(b, peer->handle, m->list_images.request_id);
        return;
    case MF_MSG_LIST_HELD:
        mf_held_list(b, peer->handle, &m->list_held);
        return;
    case MF_MSG_LIST_OFFERINGS:
        list_offerings(b, peer->handle, m->list_offerings.request_id);
        return;
    case MF_MSG_LIST_DOMAINS:
        mf_domains_list(b, peer->handle, m->list_domains.request_id);
        return;
    case MF_MSG_EXPLAIN:
        mf_explain(b, peer->handle, &m->explain);
        return;
    case MF_MSG_CAPACITY:
        mf_explain_capacity(b, peer->handle, m->capacity.request_id);
        return;
    case MF_MSG_STATUS:
        status(b, peer->handle, &m->status);
        return;
    case MF_MSG_LOGS:
        mf_query_logs(b, peer->handle, &m->logs);
        return;
    default:
        mf_send_error_now(b, peer->handle, request_id_of(m), MF_E_INTERNAL,
                          "this request is not for this part of the broker");
    }
}
