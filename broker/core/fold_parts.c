/* fold_parts.c - the bookkeeping that rows and snapshot records share: counts, lists, claims, what is
 * remembered and forgotten. */
#include "admission.h"
#include "fold.h"
#include "check.h"
#include "held.h"
#include "kin.h"
#include "pooled.h"
#include "protection.h"
#include "group_rules.h"
#include "watches.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int mf_fold_bad(char text[256], const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(text, 256, format, args);
    va_end(args);
    return -EINVAL;
}

/* ------------------------------------------------------------------ pending instances, by group */

static void needy_add(struct mf_broker *b, struct mf_group *group)
{
    group->needy_prev = NULL;
    group->needy_next = b->needy;
    if (b->needy)
        b->needy->needy_prev = group;
    b->needy = group;
    b->n_needy++;
}

static void needy_remove(struct mf_broker *b, struct mf_group *group)
{
    *(group->needy_prev ? &group->needy_prev->needy_next : &b->needy) = group->needy_next;
    if (group->needy_next)
        group->needy_next->needy_prev = group->needy_prev;
    b->n_needy--;
}

static void pending_add(struct mf_broker *b, struct mf_instance *inst)
{
    struct mf_group *group = mf_group_of(inst);

    if (group->pending++ == 0)
        needy_add(b, group);
    inst->next = NULL;
    inst->prev = group->pending_last;
    *(group->pending_last ? &group->pending_last->next : &group->pending_first) = inst;
    group->pending_last = inst;
}

static void pending_remove(struct mf_broker *b, struct mf_instance *inst)
{
    struct mf_group *group = mf_group_of(inst);

    *(inst->prev ? &inst->prev->next : &group->pending_first) = inst->next;
    *(inst->next ? &inst->next->prev : &group->pending_last) = inst->prev;
    inst->prev = inst->next = NULL;
    if (--group->pending == 0)
        needy_remove(b, group);
}

static bool must_go(enum mf_instance_state state)
{
    return state == MF_INSTANCE_STATE_TOMBSTONE || state == MF_INSTANCE_STATE_DESTROYING;
}

static bool runs(enum mf_instance_state state)
{
    return state == MF_INSTANCE_STATE_RUNNING || state == MF_INSTANCE_STATE_RETIRING;
}

void mf_fold_tally(struct mf_instance *inst, int by)
{
    struct mf_group *group = mf_group_of(inst);
    uint32_t n = (uint32_t)by;

    if (inst->state == MF_INSTANCE_STATE_RETIRING)
        group->retiring += n;
    if (inst->state == MF_INSTANCE_STATE_TOMBSTONE)
        group->tombstones += n;
    if (inst->state != MF_INSTANCE_STATE_RUNNING)
        return;
    if (inst->slot->index >= group->desired) {
        group->spares_running += mf_instance_well(inst) ? n : 0;
        return;
    }
    group->running += n;
    group->ready += mf_instance_well(inst) ? n : 0;
}

static void tally_all(struct mf_group *group, int by)
{
    for (uint32_t i = 0; i < group->n_slots; i++)
        for (struct mf_instance *inst = group->slots[i]->newest; inst; inst = inst->older)
            mf_fold_tally(inst, by);
}

void mf_fold_resize(struct mf_group *group, uint32_t desired, uint32_t spares)
{
    tally_all(group, -1);
    group->desired = desired;
    group->spares = spares;
    tally_all(group, 1);
}

void mf_fold_set_state(struct mf_broker *b, struct mf_instance *inst, enum mf_instance_state state)
{
    enum mf_instance_state old = inst->state;

    if (old == state)
        return;
    b->count[old]--;
    b->count[state]++;
    if (old == MF_INSTANCE_STATE_PENDING)
        pending_remove(b, inst);
    mf_fold_tally(inst, -1);
    if (inst->node) {
        inst->node->must_go += must_go(state) - must_go(old);
        inst->node->n_births += (state == MF_INSTANCE_STATE_PLACED) - (old == MF_INSTANCE_STATE_PLACED);
        if (runs(state) != runs(old))
            inst->node->digest ^= mf_guest_digest(inst->id);
        mf_pooled_stand(b, inst->node);
    }
    inst->state = state;
    mf_fold_tally(inst, 1);
    mf_watch_touch(b, inst);
    if (state == MF_INSTANCE_STATE_PENDING)
        pending_add(b, inst);
    mf_protection_mind(b, inst);
}

/* ------------------------------------------------------------------ claims on nodes */

void mf_fold_attach(struct mf_broker *b, struct mf_instance *inst, struct mf_node *node)
{
    struct mf_node *old = inst->node;

    MF_CHECK(!old != !node);
    if (node) {
        inst->node = node;
        inst->next = NULL;
        inst->prev = node->last;
        *(node->last ? &node->last->next : &node->first) = inst;
        node->last = inst;
        node->n_instances++;
        node->n_births += inst->state == MF_INSTANCE_STATE_PLACED;
        node->n_at_most += mf_group_of(inst)->policy == MF_POLICY_AT_MOST;
        node->must_go += must_go(inst->state);
        if (runs(inst->state))
            node->digest ^= mf_guest_digest(inst->id);
        mf_pooled_count(b, inst, true);
        mf_protection_mind(b, inst);
        mf_pooled_stand(b, node);
        return;
    }
    if (runs(inst->state))
        old->digest ^= mf_guest_digest(inst->id);
    mf_protection_forget(b, inst);
    mf_pooled_count(b, inst, false);
    *(inst->prev ? &inst->prev->next : &old->first) = inst->next;
    *(inst->next ? &inst->next->prev : &old->last) = inst->prev;
    old->n_instances--;
    old->n_births -= inst->state == MF_INSTANCE_STATE_PLACED;
    old->n_at_most -= mf_group_of(inst)->policy == MF_POLICY_AT_MOST;
    old->must_go -= must_go(inst->state);
    inst->node = NULL;
    inst->cells = 0;
    mf_pooled_stand(b, old);
    b->room++;
}

/* ------------------------------------------------------------------ things that are added */

void mf_fold_push_vacant(struct mf_broker *b, struct mf_slot *slot)
{
    if (slot->in_vacant || !b->reigning) /* a reign begins by looking at every slot */
        return;
    slot->in_vacant = true;
    slot->next_vacant = NULL;
    *(b->vacant_last ? &b->vacant_last->next_vacant : &b->vacant) = slot;
    b->vacant_last = slot;
}

void mf_fold_doom_if_empty(struct mf_broker *b, struct mf_group *group)
{
    if (group->living || group->in_doomed)
        return;
    group->in_doomed = true;
    group->next_doomed = b->doomed;
    b->doomed = group;
}

struct mf_group *mf_fold_add_group(struct mf_broker *b, struct mf_group *init)
{
    struct mf_group *group = mf_calloc(sizeof(*group));

    *group = *init;
    mf_map_put_uuid(b->groups_by_id, group->id, group);
    mf_vec_insert(&b->groups, mf_groups_from(b, group->name, group->id), group);
    mf_kin_join(b, group);
    return group;
}

struct mf_slot *mf_fold_add_slot(struct mf_broker *b, struct mf_group *group)
{
    struct mf_slot *slot = mf_calloc(sizeof(*slot));

    if ((group->n_slots & (group->n_slots - 1)) == 0) {
        size_t cap = group->n_slots ? group->n_slots * 2 : 1;
        group->slots = realloc(group->slots, cap * sizeof(*group->slots));
        MF_CHECK(group->slots != NULL);
    }
    slot->group = group;
    slot->index = group->n_slots;
    group->slots[group->n_slots++] = slot;
    return slot;
}

void mf_fold_link(struct mf_slot *slot, struct mf_instance *inst, uint64_t generation)
{
    inst->slot = slot;
    inst->generation = generation;
    inst->newer = NULL;
    inst->older = slot->newest;
    if (slot->newest)
        slot->newest->newer = inst;
    slot->newest = inst;
    if (generation > slot->generation)
        slot->generation = generation;
}

void mf_fold_unlink(struct mf_instance *inst)
{
    *(inst->newer ? &inst->newer->older : &inst->slot->newest) = inst->older;
    if (inst->older)
        inst->older->newer = inst->newer;
}

struct mf_instance *mf_fold_add_instance(struct mf_broker *b, struct mf_slot *slot, struct mf_uuid id,
                                         uint64_t generation)
{
    struct mf_instance *inst = mf_calloc(sizeof(*inst));

    inst->id = id;
    mf_fold_link(slot, inst, generation);
    slot->group->living++;
    b->count[MF_INSTANCE_STATE_UNSET]++;
    mf_map_put_uuid(b->instances, id, inst);
    return inst;
}

static void free_node(struct mf_node *node)
{
    mf_free_str(&node->name);
    mf_free_str(&node->machine_id);
    mf_free_str(&node->boot_id);
    mf_free_str(&node->class);
    mf_free_str(&node->driver);
    mf_free_str(&node->probe_address);
    free(node->cells);
    mf_free_labels(&node->labels);
    free(node->doubts.votes);
    while (node->strangers) {
        struct mf_stranger *stranger = node->strangers;
        node->strangers = stranger->next;
        mf_free_str(&stranger->name);
        free(stranger);
    }
    free(node->failures);
    mf_held_free(node);
    free(node);
}

struct mf_node *mf_fold_add_node(struct mf_broker *b, struct mf_str name)
{
    struct mf_node *node = mf_calloc(sizeof(*node));

    node->name = mf_own_str(name);
    node->serial = ++b->next_serial;
    node->look.kind = MF_ALARM_LOOK;
    node->quarantine.kind = MF_ALARM_QUARANTINE;
    node->delay.kind = MF_ALARM_DELAY;
    node->doubts.alarm.kind = MF_ALARM_DOUBT;
    mf_vec_insert(&b->nodes, mf_named_from(b, &b->nodes, name), node);
    mf_pooled_add(b, node);
    return node;
}

/* What is kept only in memory was unlinked before (operators.c). */
void mf_fold_remove_node(struct mf_broker *b, struct mf_node *node)
{
    mf_fold_set_draining(b, node, false);
    while (node->strangers)
        mf_fold_drop_stranger(b, node->strangers);
    b->quarantined -= node->quarantined_until != 0;
    mf_pooled_remove(b, node);
    mf_vec_remove(&b->nodes, node);
    free_node(node);
}

void mf_fold_set_cells(struct mf_node *node, const struct mf_rec_cell *cells, uint32_t n)
{
    free(node->cells);
    node->cells = n ? mf_calloc(n * sizeof(*cells)) : NULL;
    node->n_cells = n;
    for (uint32_t i = 0; i < n; i++)
        node->cells[i] = cells[i];
}

void mf_fold_set_draining(struct mf_broker *b, struct mf_node *node, bool draining)
{
    struct mf_node **at = &b->draining;

    if (node->draining == draining)
        return;
    node->draining = draining;
    while (*at && *at != node)
        at = &(*at)->next_draining;
    *at = draining ? node : node->next_draining;
    node->next_draining = NULL;
    mf_pooled_stand(b, node);
}

struct mf_monitor *mf_monitor_find(struct mf_broker *b, struct mf_str name)
{
    for (size_t i = 0; i < b->n_monitors; i++)
        if (mf_str_is(name, b->monitors[i].name))
            return &b->monitors[i];
    return NULL;
}

struct mf_monitor *mf_fold_monitor(struct mf_broker *b, struct mf_str name)
{
    struct mf_monitor *monitor = mf_monitor_find(b, name);

    if (monitor || b->n_monitors == MF_MONITORS_MAX)
        return monitor;
    monitor = &b->monitors[b->n_monitors++];
    *monitor = (struct mf_monitor){.alarm.kind = MF_ALARM_MONITOR, .id = ++b->next_monitor};
    mf_str_format(monitor->name, sizeof(monitor->name), "%.*s", MF_STR_ARG(name));
    return monitor;
}

/* ------------------------------------------------------------------ remembered requests */

enum { KEY_MAX = 80 + 1 + 64 };
static size_t request_key(struct mf_str key, struct mf_str request_id, char bytes[KEY_MAX])
{
    MF_CHECK(key.len + request_id.len + 1 <= KEY_MAX);
    memcpy(bytes, key.ptr, key.len);
    bytes[key.len] = 0;
    memcpy(bytes + key.len + 1, request_id.ptr, request_id.len);
    return key.len + 1 + request_id.len;
}

struct mf_request *mf_request_find(const struct mf_broker *b, struct mf_str key, struct mf_str request_id)
{
    char bytes[KEY_MAX];

    return mf_map_get(b->requests, bytes, request_key(key, request_id, bytes));
}

static void link_request(struct mf_broker *b, struct mf_request *request)
{
    request->next = NULL;
    *(b->request_last ? &b->request_last->next : &b->request_first) = request;
    b->request_last = request;
}

static struct mf_request *unlink_first(struct mf_broker *b)
{
    struct mf_request *request = b->request_first;

    b->request_first = request->next;
    if (!request->next)
        b->request_last = NULL;
    return request;
}

static void free_request(struct mf_request *request)
{
    mf_free_str(&request->key);
    mf_free_str(&request->request_id);
    mf_free_str(&request->code);
    mf_free_str(&request->text);
    free(request);
}

/* A log may hold an id twice: the broker that wrote it forgot ids sooner than this one is told to. The newer
 * counts. */
static void unlink_request(struct mf_broker *b, struct mf_request *request)
{
    struct mf_request **at = &b->request_first;

    while (*at != request)
        at = &(*at)->next;
    *at = request->next;
    b->request_last = b->request_first;
    while (b->request_last && b->request_last->next)
        b->request_last = b->request_last->next;
    b->n_requests--;
    free_request(request);
}

void mf_fold_add_request(struct mf_broker *b, const struct mf_request *init)
{
    struct mf_request *request = mf_calloc(sizeof(*request)), *old;
    char bytes[KEY_MAX];

    *request = *init;
    request->key = mf_own_str(init->key);
    request->request_id = mf_own_str(init->request_id);
    request->code = mf_own_str(init->code);
    request->text = mf_own_str(init->text);
    link_request(b, request);
    b->n_requests++;
    old = mf_map_put(b->requests, bytes, request_key(init->key, init->request_id, bytes), request);
    if (old)
        unlink_request(b, old);
}

/* Its work is done when the group is gone or has every slot running. */
static bool done(const struct mf_broker *b, const struct mf_request *request)
{
    const struct mf_group *group = mf_group_find(b, request->group_id);

    return !group || (group->state == MF_GROUP_STATE_ACTIVE && group->running >= group->desired);
}

/* The list is by time, except that what was kept for its unfinished work goes to the end and is looked at
 * again when the others before it have had their time: a few steps for each row, and the same at each replay.
 */
void mf_fold_forget_requests(struct mf_broker *b, mf_ms wall_ms)
{
    char bytes[KEY_MAX];

    for (int steps = 0; steps < 4; steps++) {
        struct mf_request *request = b->request_first;
        if (!request || request->time_ms + b->config.request_keep_ms > wall_ms)
            return;
        unlink_first(b);
        if (!done(b, request)) {
            link_request(b, request);
            continue;
        }
        mf_map_del(b->requests, bytes, request_key(request->key, request->request_id, bytes));
        b->n_requests--;
        free_request(request);
    }
}

/* ------------------------------------------------------------------ the end */

void mf_fold_free_group(struct mf_broker *b, struct mf_group *group)
{
    mf_map_del_uuid(b->groups_by_id, group->id);
    mf_vec_remove(&b->groups, group);
    mf_kin_leave(b, group);
    if (b->admission.group == group)
        mf_admission_over(b);
    for (struct mf_slot **at = &b->vacant; *at;) { /* none of its slots may stay in the list of vacant ones */
        if ((*at)->group == group)
            *at = (*at)->next_vacant;
        else
            at = &(*at)->next_vacant;
    }
    b->vacant_last = b->vacant;
    while (b->vacant_last && b->vacant_last->next_vacant)
        b->vacant_last = b->vacant_last->next_vacant;
    for (uint32_t i = 0; i < group->n_slots; i++) {
        mf_alarm_unset(b, &group->slots[i]->birth);
        free(group->slots[i]);
    }
    free(group->slots);
    mf_free_str(&group->tenant);
    mf_free_str(&group->name);
    mf_free_str(&group->network);
    mf_free_health(&group->health);
    mf_free_labels(&group->labels);
    mf_free_labels(&group->require);
    mf_free_rules(&group->rules);
    free(group);
}

static void free_instances(struct mf_broker *b)
{
    struct mf_instance *inst;
    size_t cursor = 0;

    while (mf_map_next(b->instances, &cursor, (void **)&inst)) /* the heap still moves timers of orders */
        mf_alarm_unset(b, &inst->boot);
    cursor = 0;
    while (mf_map_next(b->instances, &cursor, (void **)&inst)) {
        free(inst->order);
        free(inst->reason);
        free(inst);
    }
    mf_map_destroy(&b->instances);
}

void mf_fold_free(struct mf_broker *b)
{
    b->vacant = b->vacant_last = NULL;
    while (b->groups.n) /* takes timers out of the heap, which still moves those of orders: these go after */
        mf_fold_free_group(b, b->groups.items[b->groups.n - 1]);
    free_instances(b);
    for (size_t i = 0; i < b->nodes.n; i++)
        free_node(b->nodes.items[i]);
    mf_fold_free_wares(b);
    while (b->request_first)
        free_request(unlink_first(b));
    mf_map_destroy(&b->groups_by_id);
    mf_map_destroy(&b->requests);
    mf_map_destroy(&b->strangers);
    mf_map_destroy(&b->claims);
    mf_fold_set_frozen(b, (struct mf_str){NULL, 0}, (struct mf_str){NULL, 0}, 0);
    mf_fold_set_headroom(b, (struct mf_str){NULL, 0});
    mf_pool_destroy(&b->pool);
    free(b->by_number);
    free(b->aloof.items);
    free(b->clinging.items);
    free(b->groups.items);
    free(b->nodes.items);
}
