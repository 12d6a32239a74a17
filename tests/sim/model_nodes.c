/* Rows of nodes and of what keeps them, an image or the whole cluster waiting: I5 (a node is ready only when
 * nothing that must not run is left on it), I2 (an epoch fails once), I7 (what is said to be gone is). */
#include "model_rows.h"
#include "sim_node.h"
#include <stdio.h>
#include <string.h>

struct mf_sim_nodeview *mf_sim_model_node(struct mf_sim_model *self, struct mf_str name)
{
    struct mf_sim_nodeview *node = mf_map_get_str(self->nodes, name);
    if (!node) {
        unsigned index;
        node = mf_sim_alloc(sizeof(*node));
        mf_sim_model_text(node->name, sizeof(node->name), name);
        if (sscanf(node->name, "node-%u", &index) == 1 && index < self->world->n_nodes)
            node->host = self->world->nodes[index];
        mf_map_put_str(self->nodes, name, node);
    }
    return node;
}

static void node_joined(struct mf_sim_model *self, const struct mf_ev_node_joined *ev)
{
    struct mf_sim_nodeview *node = mf_sim_model_node(self, ev->node);
    if (ev->epoch <= node->epoch)
        mf_sim_fail(self->world, "I6", "%s joined with epoch %llu after %llu", node->name,
                    (unsigned long long)ev->epoch, (unsigned long long)node->epoch);
    node->epoch = ev->epoch;
    node->state = MF_NODE_STATE_JOINING;
    node->draining = node->draining && !node->leaving;
    node->leaving = false;
    node->capacity = ev->capacity;
    mf_sim_model_zone(node->zone, ev->labels);
    if (ev->epoch > self->epoch)
        self->epoch = ev->epoch;
}

static void node_moves(struct mf_sim_model *self, struct mf_str name, uint64_t epoch,
                       enum mf_node_state state)
{
    struct mf_sim_nodeview *node = mf_sim_model_node(self, name);
    if (node->epoch != epoch)
        mf_sim_fail(self->world, "I2", "%s is moved by epoch %llu, it has %llu", node->name,
                    (unsigned long long)epoch, (unsigned long long)node->epoch);
    node->state = state;
}

static const struct mf_sim_instance *left_on(const struct mf_sim_model *self,
                                             const struct mf_sim_nodeview *view)
{
    const struct mf_sim_instance *instance = self->living;
    while (instance && (instance->view != view || !mf_sim_keeps_waiting(instance->state)))
        instance = instance->next;
    return instance;
}

/* Schedulable only when nothing that must not run is left on it. */
static void node_ready(struct mf_sim_model *self, const struct mf_ev_node_ready *ev)
{
    char name[200];
    node_moves(self, ev->node, ev->epoch, MF_NODE_STATE_READY);
    const struct mf_sim_nodeview *view = mf_sim_model_node(self, ev->node);
    const struct mf_sim_instance *left = view->must_go ? left_on(self, view) : NULL;
    if (left)
        mf_sim_fail(self->world, "I5", "%s is ready with %s on it, which is %s", view->name,
                    mf_sim_instance_name(left, name), mf_instance_state_word(left->state));
}

/* A failed one that is heard again must still say hello. */
static void node_recovered(struct mf_sim_model *self, const struct mf_ev_node_recovered *ev)
{
    bool failed = mf_sim_model_node(self, ev->node)->state == MF_NODE_STATE_FAILED;
    node_moves(self, ev->node, ev->epoch, failed ? MF_NODE_STATE_FAILED : MF_NODE_STATE_READY);
}

static void node_failed(struct mf_sim_model *self, struct mf_str name, uint64_t epoch)
{
    if (mf_sim_model_node(self, name)->state == MF_NODE_STATE_FAILED)
        mf_sim_fail(self->world, "I2", "%.*s failed twice in one epoch", (int)name.len, name.ptr);
    node_moves(self, name, epoch, MF_NODE_STATE_FAILED);
}

/* A domain nobody knows is no instance of ours: what is gone never comes back in an inventory. */
static void stranger(struct mf_sim_model *self, struct mf_uuid id)
{
    const struct mf_sim_instance *instance = mf_map_get_uuid(self->instances, id);
    char name[200];
    if (instance && !instance->forgotten)
        mf_sim_fail(self->world, "I7", "%s is called unknown, but it was created and is %s",
                    mf_sim_instance_name(instance, name), mf_instance_state_word(instance->state));
    mf_map_put_uuid(self->strangers, id, self);
}

static void stranger_gone(struct mf_sim_model *self, const struct mf_ev_domain_gone *ev)
{
    const struct mf_sim_nodeview *view = mf_sim_model_node(self, ev->node);
    mf_map_del_uuid(self->strangers, ev->id);
    if (view->host && mf_sim_hypervisor_find(&view->host->hypervisor, ev->id))
        mf_sim_fail(self->world, "I7", "a domain is said to be gone from %s, but it runs there", view->name);
}

/* What comes under its name later begins anew. */
static void node_forgotten(struct mf_sim_nodeview *view)
{
    view->state = MF_NODE_STATE_UNSET;
    view->cordoned = view->draining = view->leaving = view->quarantined = false;
}

/* An operator's is a cordon as well, and stays one. */
static void node_draining(struct mf_sim_nodeview *view, bool leaving)
{
    view->draining = true;
    view->leaving = leaving;
    view->cordoned = view->cordoned || !leaving;
}

/* A drain that is its worker's wish goes on. */
static void node_uncordoned(struct mf_sim_nodeview *view)
{
    view->cordoned = false;
    view->draining = view->draining && view->leaving;
}

static void freeze_moves(struct mf_sim_model *self, bool frozen)
{
    self->frozen = frozen;
    self->thawed = self->world->now;
}

static void image_moves(struct mf_sim_model *self, struct mf_str image, bool halted)
{
    if (halted)
        mf_map_put_str(self->halted, image, self);
    else
        mf_map_del_str(self->halted, image);
}

/* The life of a node. */
static bool fold_life(struct mf_sim_model *self, const struct mf_event *event)
{
    switch (event->kind) {
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
        return false;
    }
    return true;
}

/* What an operator or the blame says of a node, and what keeps the whole cluster or an image waiting. */
void mf_sim_model_node_row(struct mf_sim_model *self, const struct mf_sim_row *row,
                           const struct mf_event *event)
{
    switch (event->kind) {
    case MF_EV_CLUSTER_FROZEN:
    case MF_EV_CLUSTER_THAWED:
        freeze_moves(self, event->kind == MF_EV_CLUSTER_FROZEN);
        break;
    case MF_EV_HEADROOM_SET:
        self->headroom = event->headroom_set.level.len > 0;
        break;
    case MF_EV_MONITOR_SUSPENDED:
    case MF_EV_MONITOR_RESUMED:
        self->doubting += event->kind == MF_EV_MONITOR_SUSPENDED ? 1u : -1u;
        self->doubted = self->world->now;
        break;
    case MF_EV_NODE_CORDONED:
        mf_sim_model_node(self, event->node_cordoned.node)->cordoned = true;
        break;
    case MF_EV_NODE_UNCORDONED:
        node_uncordoned(mf_sim_model_node(self, event->node_uncordoned.node));
        break;
    case MF_EV_NODE_DRAINING:
        node_draining(mf_sim_model_node(self, event->node_draining.node), event->node_draining.leaving);
        break;
    case MF_EV_NODE_QUARANTINED:
        mf_sim_model_node(self, event->node_quarantined.node)->quarantined = true;
        break;
    case MF_EV_NODE_RELEASED:
        mf_sim_model_node(self, event->node_released.node)->quarantined = false;
        break;
    case MF_EV_NODE_DELAYED:
        mf_sim_model_node(self, event->node_delayed.node)->delayed =
            self->world->now + (mf_ms)event->node_delayed.delay_ms;
        break;
    case MF_EV_NODE_FORGOTTEN:
        node_forgotten(mf_sim_model_node(self, event->node_forgotten.node));
        break;
    case MF_EV_IMAGE_HALTED:
        image_moves(self, event->image_halted.image, true);
        break;
    case MF_EV_IMAGE_RELEASED:
        image_moves(self, event->image_released.image, false);
        break;
    case MF_EV_DOMAIN_GONE:
        stranger_gone(self, &event->domain_gone);
        break;
    default:
        if (!fold_life(self, event))
            mf_sim_model_instance_row(self, row, event);
    }
}
