/* The operator's words. */
#include "operate.h"
#include "model.h"
#include "sim_node.h"
#include <stdio.h>

static struct mf_str text_of(struct mf_sim_entry *entry, const char *text)
{
    return mf_str_dup(&entry->arena, mf_str(text));
}

/* All of these begin with request_id and, where they name one, the node. */
static void about_node(struct mf_sim_entry *entry, enum mf_kind kind, const char *node)
{
    entry->message.kind = kind;
    entry->message.node_cordon.request_id = mf_str(entry->request_id);
    entry->message.node_cordon.node = text_of(entry, node);
}

static void about_cluster(struct mf_sim_entry *entry, enum mf_kind kind)
{
    entry->message.kind = kind;
    entry->message.thaw.request_id = mf_str(entry->request_id);
}

static void about_headroom(struct mf_sim_entry *entry, const char *level)
{
    about_cluster(entry, MF_MSG_HEADROOM);
    entry->message.headroom.level = text_of(entry, level);
}

/* A stranger with a name of ours, on the first node that has one; NULL if there is none. */
static const struct mf_sim_guest *some_stranger(const struct mf_sim_world *world)
{
    for (uint32_t n = 0; mf_map_size(world->model->strangers) && n < world->n_nodes; n++) {
        const struct mf_sim_hypervisor *hypervisor = &world->nodes[n]->hypervisor;
        for (size_t i = 0; i < hypervisor->n; i++) {
            const struct mf_sim_guest *guest = hypervisor->guests[i];
            if (guest->name[0] && (!guest->instance || guest->instance->state == MF_INSTANCE_STATE_GONE) &&
                mf_map_get_uuid(world->model->strangers, guest->id))
                return guest;
        }
    }
    return NULL;
}

static void about_stranger(struct mf_sim_entry *entry, const struct mf_sim_guest *guest, bool adopt)
{
    about_node(entry, adopt ? MF_MSG_ADOPT : MF_MSG_PURGE, guest->node->name);
    if (adopt)
        entry->message.adopt.id = guest->id;
    else
        entry->message.purge.id = guest->id;
}

void mf_sim_operate(struct mf_sim_world *world, struct mf_sim_entry *entry)
{
    const char *node = world->nodes[mf_sim_below(world, world->n_nodes)]->name;
    const struct mf_sim_guest *stranger = some_stranger(world);
    uint64_t dice = mf_sim_below(world, 100);
    if (stranger && dice < 60)
        about_stranger(entry, stranger, dice < 30);
    else if (dice < 20)
        about_node(entry, MF_MSG_NODE_CORDON, node);
    else if (dice < 50)
        about_node(entry, MF_MSG_NODE_UNCORDON, node);
    else if (dice < 75)
        about_node(entry, MF_MSG_NODE_DRAIN, node);
    else if (dice < 80)
        about_node(entry, MF_MSG_NODE_FORGET, node);
    else if (dice < 88)
        about_cluster(entry, MF_MSG_FREEZE);
    else if (dice < 93)
        about_cluster(entry, MF_MSG_THAW);
    else if (dice < 96)
        about_headroom(entry, dice < 95 ? "host" : "rack");
    else if (dice < 98)
        about_node(entry, MF_MSG_IMAGE_RELEASE, "crash");
    else
        about_node(entry, MF_MSG_MONITOR_FORGET, "health-0");
}

/* -- mending */

static const char *held_node(const struct mf_sim_world *world)
{
    size_t cursor = 0;
    for (void *value; mf_map_next(world->model->nodes, &cursor, &value);) {
        const struct mf_sim_nodeview *view = value;
        if (view->state && (view->cordoned || (view->draining && !view->leaving) || view->quarantined))
            return view->name;
    }
    return NULL;
}

static const char *halted_image(const struct mf_sim_world *world)
{
    static const char *const names[] = {"tiny", "crash", "bad"};
    for (int i = 0; i < 3; i++)
        if (mf_map_get_str(world->model->halted, mf_str(names[i])))
            return names[i];
    return NULL;
}

bool mf_sim_operate_mends(const struct mf_sim_world *world)
{
    return world->model->frozen || world->model->headroom || held_node(world) || halted_image(world) || some_stranger(world);
}

void mf_sim_operate_mend(struct mf_sim_world *world, struct mf_sim_entry *entry)
{
    const char *node = held_node(world), *image = halted_image(world);
    const struct mf_sim_guest *stranger = some_stranger(world);
    if (world->model->frozen)
        about_cluster(entry, MF_MSG_THAW);
    else if (world->model->headroom)
        about_headroom(entry, ""); /* what is kept for failures is no room */
    else if (node)
        about_node(entry, MF_MSG_NODE_UNCORDON, node);
    else if (image)
        about_node(entry, MF_MSG_IMAGE_RELEASE, image);
    else if (stranger)
        about_stranger(entry, stranger, false);
}
