/* What really runs, against what the log says: a guest begins, its processors run or rest, it ends. */
#include "model.h"
#include "sim_node.h"
#include <string.h>

struct mf_sim_instance *mf_sim_model_guest_begins(struct mf_sim_model *self, const char *node,
                                                  struct mf_uuid id, const char *name)
{
    struct mf_sim_instance *instance = mf_map_get_uuid(self->instances, id);
    char expected[200];
    if (!instance)
        mf_sim_fail(self->world, "I7", "%s begins on %s, but the log does not know it", name, node);
    else if (!instance->view || strcmp(instance->view->name, node) != 0)
        mf_sim_fail(self->world, "I7", "%s begins on %s, it was placed on %s", name, node,
                    instance->view ? instance->view->name : "no node");
    else if (instance->state == MF_INSTANCE_STATE_GONE && !instance->forgotten)
        mf_sim_fail(self->world, "I5", "%s begins on %s after it was said to be over", name, node);
    else if (strcmp(mf_sim_instance_name(instance, expected), name) != 0)
        mf_sim_fail(self->world, "I7", "%s begins under the name %s", expected, name);
    return instance;
}

void mf_sim_model_guest_ends(struct mf_sim_model *self, struct mf_uuid id)
{
    struct mf_sim_instance *instance = mf_map_get_uuid(self->instances, id);
    if (instance)
        instance->ended = self->world->now;
}

/* -- I3 */

static bool excused(const struct mf_sim_guest *guest)
{
    return guest->unguarded || guest->node->hypervisor.excused > guest->node->world->now;
}

void mf_sim_model_check_i3(struct mf_sim_model *self, const struct mf_sim_guest *guest)
{
    const struct mf_sim_slot *slot = guest->instance->slot;
    bool single =
        guest->instance->group->policy == MF_POLICY_AT_MOST || guest->instance->group == self->watched;
    for (uint32_t i = 0; single && !excused(guest) && i < slot->n_runs && i < MF_SIM_RUNS; i++)
        if (slot->runs[i] != guest && !excused(slot->runs[i]))
            mf_sim_fail(self->world, "I3", "%s runs on %s while %s runs on %s", guest->name,
                        guest->node->name, slot->runs[i]->name, slot->runs[i]->node->name);
}

void mf_sim_model_guest_runs(struct mf_sim_model *self, struct mf_sim_guest *guest)
{
    struct mf_sim_slot *slot = guest->instance->slot;
    if (slot->n_runs < MF_SIM_RUNS)
        slot->runs[slot->n_runs] = guest;
    slot->n_runs++;
    mf_sim_model_check_i3(self, guest);
}

void mf_sim_model_guest_rests(struct mf_sim_model *self, struct mf_sim_guest *guest)
{
    struct mf_sim_slot *slot = guest->instance->slot;
    uint32_t i = 0, last = --slot->n_runs;
    while (i < MF_SIM_RUNS && slot->runs[i] != guest)
        i++;
    if (i < MF_SIM_RUNS)
        slot->runs[i] = last < MF_SIM_RUNS ? slot->runs[last] : NULL;
}

void mf_sim_model_guest_moves(struct mf_sim_model *self, struct mf_sim_instance *instance,
                              struct mf_sim_slot *slot)
{
    struct mf_sim_node *host = instance->view->host;
    struct mf_sim_guest *guest = host ? mf_sim_hypervisor_find(&host->hypervisor, instance->id) : NULL;
    bool runs = guest && guest->running;
    if (runs)
        mf_sim_model_guest_rests(self, guest);
    instance->slot = slot;
    if (runs)
        mf_sim_model_guest_runs(self, guest);
}

bool mf_sim_model_well(const struct mf_sim_instance *instance)
{
    return instance->state == MF_INSTANCE_STATE_RUNNING && (instance->ready || !instance->group->waits_ready);
}

bool mf_sim_model_crashes(const struct mf_sim_instance *instance)
{
    return instance && instance->group->crashes && !mf_sim_healing(instance->group->world);
}
