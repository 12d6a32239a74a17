/* Invariants over the whole world: the log (what the broker said), the hypervisors (what is) and the clients
 * (what was promised). */
#include "checks.h"
#include "sim_broker.h"
#include "sim_client.h"
#include "sim_health.h"
#include "sim_node.h"
#include "weather.h"
#include <stdio.h>
#include <string.h>

enum {
    SWEEP_MS = 250,
    COMMIT_BOUND_MS = 2000,  /* a slow commit and its successor */
    VERDICT_BOUND_MS = 8000, /* silence, the monitor's own grace after a welcome, its resends */
    I7_BOUND_MS = 30000      /* ... has told what is not there: three rounds of its own listing */
};

static mf_ms later(mf_ms a, mf_ms b)
{
    return a > b ? a : b;
}

/* I5: what is destroyed, replaced or lost does not run on where it can be heard. */
static void check_i5(struct mf_sim_world *world)
{
    char name[200];
    mf_ms bound = mf_sim_weather_destroy_bound(world->weather);
    for (uint32_t n = 0; n < world->n_nodes; n++) {
        const struct mf_sim_node *node = world->nodes[n];
        mf_ms hears = mf_sim_node_hears_since(node);
        for (size_t i = 0; hears >= 0 && i < node->hypervisor.n; i++) {
            const struct mf_sim_instance *instance = node->hypervisor.guests[i]->instance;
            if (!instance || instance->forgotten || !mf_sim_must_end(instance->state))
                continue;
            if (world->now - later(hears, instance->since) > bound + instance->grace_ms)
                mf_sim_fail(world, "I5", "%s is %s and still runs on %s, which hears the broker since %lld",
                            mf_sim_instance_name(instance, name), mf_instance_state_word(instance->state),
                            node->name, (long long)hears);
        }
    }
}

/* I7: no current instance is recorded on a node that does not have it. */
static void check_i7(struct mf_sim_world *world)
{
    char name[200];
    for (const struct mf_sim_instance *instance = world->model->living; instance; instance = instance->next) {
        if (instance->state != MF_INSTANCE_STATE_RUNNING)
            continue;
        const struct mf_sim_node *node = instance->view->host;
        mf_ms hears = node ? mf_sim_node_hears_since(node) : -1;
        if (hears >= 0 && world->now - later(instance->ended, later(hears, instance->since)) > I7_BOUND_MS &&
            !mf_sim_hypervisor_find(&node->hypervisor, instance->id)) {
            mf_sim_fail(world, "I7", "%s is recorded as running on %s, which does not have it",
                        mf_sim_instance_name(instance, name), node->name);
            return;
        }
    }
}

/* I2: once the successor runs, what was lost must never run again. */
static void check_i2(struct mf_sim_world *world)
{
    char name[200];
    for (const struct mf_sim_instance *instance = world->model->living; instance; instance = instance->next) {
        const struct mf_sim_instance *current = instance->slot->current;
        if (instance->state == MF_INSTANCE_STATE_LOST && current &&
            current->state == MF_INSTANCE_STATE_RUNNING && mf_sim_broker_is_up(world->broker) &&
            !mf_sim_store_is_full(mf_sim_broker_store(world->broker)) &&
            world->now - later(current->since, mf_sim_broker_since(world->broker)) > COMMIT_BOUND_MS)
            mf_sim_fail(world, "I2", "%s is still lost and not a tombstone, while its successor runs",
                        mf_sim_instance_name(instance, name));
    }
}

/* Since when enough monitors hear the broker to agree on a verdict; -1 if they do not. */
static mf_ms monitors_hear_since(const struct mf_sim_world *world)
{
    mf_ms since = -1;
    uint32_t n = 0;
    for (uint32_t i = 0; i < world->n_monitors; i++) {
        mf_ms hears = mf_sim_health_hears_since(world->monitors[i]);
        n += hears >= 0;
        since = later(since, hears);
    }
    return n > world->n_monitors / 2 ? since : -1;
}

/* I8, before faults are over: a node of which nothing is heard is failed in time, unless its verdict is held.
 */
static void check_i8_nodes(struct mf_sim_world *world)
{
    const struct mf_sim_model *model = world->model;
    mf_ms hears = later(later(monitors_hear_since(world), model->thawed), model->doubted);
    hears = later(hears, mf_sim_store_roomy_since(mf_sim_broker_store(world->broker)));
    for (uint32_t i = 0; i < world->n_nodes; i++)
        mf_sim_node_look(world->nodes[i]);
    if (monitors_hear_since(world) < 0 || model->frozen || model->doubting ||
        !mf_sim_broker_is_up(world->broker) || mf_sim_store_is_full(mf_sim_broker_store(world->broker)))
        return;
    for (uint32_t i = 0; i < world->n_nodes; i++) {
        const struct mf_sim_node *node = world->nodes[i];
        const struct mf_sim_nodeview *view = mf_map_get_str(world->model->nodes, mf_str(node->name));
        if (!view || view->state == MF_NODE_STATE_FAILED || !view->state || node->silent_since < 0)
            continue;
        mf_ms since = later(later(node->silent_since, hears), mf_sim_broker_since(world->broker));
        since = later(since, node->awaited_until);
        if (world->now - since > VERDICT_BOUND_MS)
            mf_sim_fail(world, "I8", "%s is silent for %lld ms and still %s", node->name,
                        (long long)(world->now - since), mf_node_state_word(view->state));
    }
}

/* ... and an empty slot is filled in time, whatever its old node does: a replacement waits for nobody (of an
 * at-most group it is there, and waits to be placed). */
static void check_i8_slot(struct mf_sim_world *world, const struct mf_sim_group *group, uint64_t number)
{
    const struct mf_sim_slot *slot = mf_map_get_u64(group->slots, number);
    if (!slot || !slot->current || mf_sim_is_current(slot->current))
        return;
    mf_ms since = later(later(slot->current->since, group->changed), mf_sim_broker_since(world->broker));
    since = later(since, mf_sim_store_roomy_since(mf_sim_broker_store(world->broker)));
    mf_ms bound =
        COMMIT_BOUND_MS + 2 * mf_sim_weather_broker(world->weather)->backoff_max_ms; /* with its jitter */
    if (group->policy == MF_POLICY_AT_MOST)
        bound += mf_sim_weather_destroy_bound(world->weather);
    if (world->now - since > bound)
        mf_sim_fail(world, "I8", "slot %s/%llu is empty for %lld ms", group->name, (unsigned long long)number,
                    (long long)(world->now - since));
}

static void check_i8_slots(struct mf_sim_world *world)
{
    size_t cursor = 0;
    if (!mf_sim_broker_is_up(world->broker) || mf_map_size(world->model->strangers) ||
        mf_sim_store_is_full(mf_sim_broker_store(world->broker)))
        return;
    for (void *value; mf_map_next(world->model->groups, &cursor, &value);) {
        const struct mf_sim_group *group = value;
        for (uint64_t i = 0; group->state == MF_GROUP_STATE_ACTIVE && i < group->desired; i++)
            if (!group->crashes && !group->bad)
                check_i8_slot(world, group, i);
    }
}

static void sweep_fires(struct mf_sim_event *event)
{
    struct mf_sim_model *model = MF_SIM_OWNER(event, struct mf_sim_model, sweep);
    mf_sim_after(model->world, event, later(SWEEP_MS, model->world->look_ms));
    check_i5(model->world);
    check_i7(model->world);
    check_i2(model->world);
    check_i8_nodes(model->world);
    check_i8_slots(model->world);
}

void mf_sim_check_begin(struct mf_sim_model *model)
{
    model->sweep.fire = sweep_fires;
    mf_sim_after(model->world, &model->sweep, SWEEP_MS);
}

/* -- I8 */

static bool not_well(char *ret_why, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static bool not_well(char *ret_why, size_t size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(ret_why, size, format, args);
    va_end(args);
    return false;
}

/* A node that failed too often is kept from being ready for a while. */
static bool is_delayed(const struct mf_sim_world *world, const struct mf_sim_nodeview *view)
{
    return view->state == MF_NODE_STATE_JOINING && view->delayed + 2000 > world->now;
}

static bool nodes_well(struct mf_sim_world *world, char *ret_why, size_t size)
{
    for (uint32_t i = 0; i < world->n_nodes; i++) {
        const struct mf_sim_nodeview *view =
            mf_map_get_str(world->model->nodes, mf_str(world->nodes[i]->name));
        if (!view || (view->state != MF_NODE_STATE_READY && !is_delayed(world, view)))
            return not_well(ret_why, size, "%s is %s", world->nodes[i]->name,
                            view && view->state ? mf_node_state_word(view->state) : "unknown");
    }
    return true;
}

/* What it says, or what another says of it, may keep it waiting where there is room. */
static bool is_picky(const struct mf_sim_world *world, const struct mf_sim_group *group)
{
    struct mf_sim_group *other;
    size_t cursor = 0;
    bool picky =
        group->picky || mf_sim_weather_cells(world->weather); /* no cell may have what the whole has */
    while (mf_map_next(world->model->groups, &cursor, (void **)&other))
        picky |= other->apart[0] && strcmp(other->apart, group->name) == 0;
    return picky;
}

/* Would a guest of this size fit on any node, by what really is there? */
static const char *where_it_fits(struct mf_sim_world *world, const struct mf_sim_group *group)
{
    if (is_picky(world, group))
        return NULL;
    for (uint32_t n = 0; n < world->n_nodes; n++) {
        const struct mf_sim_hypervisor *hypervisor = &world->nodes[n]->hypervisor;
        const struct mf_sim_nodeview *view =
            mf_map_get_str(world->model->nodes, mf_str(world->nodes[n]->name));
        struct mf_rec_resources used = group->size;
        for (size_t i = 0; i < hypervisor->n; i++) {
            used.vcpus += hypervisor->guests[i]->size.vcpus;
            used.memory_mib += hypervisor->guests[i]->size.memory_mib;
            used.disk_mib += hypervisor->guests[i]->size.disk_mib;
        }
        if (used.vcpus <= hypervisor->capacity.vcpus && used.memory_mib <= hypervisor->capacity.memory_mib &&
            used.disk_mib <= hypervisor->capacity.disk_mib &&
            (group->policy != MF_POLICY_AT_MOST || world->nodes[n]->fences) && !is_delayed(world, view) &&
            (!group->zone[0] || strcmp(group->zone, view->zone) == 0) &&
            (!group->never[0] || strcmp(group->never, view->zone) != 0))
            return view->name;
    }
    return NULL;
}

static bool instance_well(struct mf_sim_world *world, const struct mf_sim_instance *instance, char *ret_why,
                          size_t size)
{
    char name[200];
    const char *node = instance->view ? instance->view->name : "no node";
    const char *room;
    mf_sim_instance_name(instance, name);
    bool wanted = instance->group->state == MF_GROUP_STATE_ACTIVE &&
                  instance->slot->number < instance->group->desired + instance->group->spares;
    if (!wanted || instance->slot->current != instance)
        return not_well(ret_why, size, "%s is left over, %s on %s", name,
                        mf_instance_state_word(instance->state), node);
    switch (instance->state) {
    case MF_INSTANCE_STATE_RUNNING:
        if (!mf_sim_hypervisor_find(&instance->view->host->hypervisor, instance->id))
            return not_well(ret_why, size, "%s is recorded on %s but is not there", name, node);
        if (!mf_sim_model_well(instance))
            return not_well(ret_why, size, "%s runs on %s and is not ready", name, node);
        return true;
    case MF_INSTANCE_STATE_PENDING: /* its group's instances are alike: one look a time is enough */
        if (instance->group->no_room != world->now && (room = where_it_fits(world, instance->group)))
            return not_well(ret_why, size, "%s is pending, but %s has room", name, room);
        instance->group->no_room = world->now;
        return true;
    default:
        return not_well(ret_why, size, "%s is %s on %s", name, mf_instance_state_word(instance->state), node);
    }
}

static bool groups_well(struct mf_sim_world *world, char *ret_why, size_t size)
{
    size_t cursor = 0;
    for (void *value; mf_map_next(world->model->groups, &cursor, &value);) {
        const struct mf_sim_group *group = value;
        if (group->state == MF_GROUP_STATE_ENDING)
            return not_well(ret_why, size, "group %s is still ending", group->name);
        uint64_t slots = group->state == MF_GROUP_STATE_ACTIVE ? group->desired + group->spares : 0;
        for (uint64_t i = 0; i < slots; i++) {
            const struct mf_sim_slot *slot = mf_map_get_u64(group->slots, i);
            if (!slot || !slot->current || slot->current->state == MF_INSTANCE_STATE_GONE)
                return not_well(ret_why, size, "slot %s/%llu is empty", group->name, (unsigned long long)i);
        }
    }
    for (const struct mf_sim_instance *instance = world->model->living; instance; instance = instance->next)
        if (!instance_well(world, instance, ret_why, size))
            return false;
    return true;
}

/* Every guest of our name space is someone's, and runs where the log says; others' are left alone. */
static bool guests_well(struct mf_sim_world *world, char *ret_why, size_t size)
{
    for (uint32_t n = 0; n < world->n_nodes; n++) {
        const struct mf_sim_node *node = world->nodes[n];
        for (size_t i = 0; i < node->hypervisor.n; i++) {
            const struct mf_sim_guest *guest = node->hypervisor.guests[i];
            const struct mf_sim_instance *instance = guest->instance;
            if (guest->name[0] &&
                (!instance || instance->state != MF_INSTANCE_STATE_RUNNING || instance->view->host != node))
                return not_well(ret_why, size, "%s runs on %s and should not", guest->name, node->name);
        }
    }
    return true;
}

static bool clients_well(struct mf_sim_world *world, char *ret_why, size_t size)
{
    for (uint32_t i = 0; i < world->n_clients; i++)
        if (!mf_sim_client_is_well(world->clients[i], ret_why, size))
            return false;
    return true;
}

bool mf_sim_check_well(struct mf_sim_world *world, char *ret_why, size_t size)
{
    return nodes_well(world, ret_why, size) && groups_well(world, ret_why, size) &&
           guests_well(world, ret_why, size) && clients_well(world, ret_why, size);
}

/* -- the end */

/* What the broker holds in memory is what it wrote. */
static void check_broker_view(struct mf_sim_world *world)
{
    const struct mf_broker *core = mf_sim_broker_core(world->broker);
    struct mf_broker_instance_view view;
    char name[200];
    size_t cursor = 0, seen = 0, alive = 0;
    while (mf_broker_next_instance(core, &cursor, &view)) {
        const struct mf_sim_instance *instance = mf_map_get_uuid(world->model->instances, view.id);
        const char *node = instance && instance->view ? instance->view->name : "";
        if (!instance || instance->state != view.state || !mf_str_is(view.node, node) ||
            view.current != mf_sim_is_current(instance)) {
            mf_sim_fail(world, "I7", "the broker holds %s as %s on %.*s, its log says %s on %s",
                        instance ? mf_sim_instance_name(instance, name) : "an unknown instance",
                        mf_instance_state_word(view.state), (int)view.node.len,
                        view.node.len ? view.node.ptr : "",
                        instance ? mf_instance_state_word(instance->state) : "nothing", node);
            return;
        }
        seen++;
    }
    for (const struct mf_sim_instance *instance = world->model->living; instance; instance = instance->next)
        alive++;
    if (seen != alive)
        mf_sim_fail(world, "I7", "the broker holds %zu instances, its log has %zu", seen, alive);
}

void mf_sim_check_end(struct mf_sim_world *world)
{
    for (uint32_t i = 0; i < world->n_clients; i++)
        mf_sim_client_check(world->clients[i]);
    check_broker_view(world);
    if (!world->failed)
        mf_sim_broker_check_replay(world->broker);
}
