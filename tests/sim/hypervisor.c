/* The guests of one node. A guest that appears is checked at once: it must be known to the broker, not be
 * gone, and fit. */
#include "hypervisor.h"
#include "faults.h"
#include "model.h"
#include "sim_node.h"
#include <stdlib.h>
#include <string.h>

void mf_sim_hypervisor_init(struct mf_sim_hypervisor *self, struct mf_sim_node *node,
                            struct mf_rec_resources capacity)
{
    *self = (struct mf_sim_hypervisor){.node = node, .capacity = capacity};
}

static void guest_free(struct mf_sim_guest *guest)
{
    mf_sim_cancel(guest->node->world, &guest->end);
    free(guest);
}

void mf_sim_hypervisor_free(struct mf_sim_hypervisor *self)
{
    for (size_t i = 0; i < self->n; i++)
        free(self->guests[i]);
    free(self->guests);
}

static size_t place_of(const struct mf_sim_hypervisor *self, struct mf_uuid id)
{
    size_t i = 0;
    while (i < self->n && !mf_uuid_eq(self->guests[i]->id, id))
        i++;
    return i;
}

struct mf_sim_guest *mf_sim_hypervisor_find(const struct mf_sim_hypervisor *self, struct mf_uuid id)
{
    size_t i = place_of(self, id);
    return i < self->n ? self->guests[i] : NULL;
}

static void check_fits(const struct mf_sim_hypervisor *self)
{
    struct mf_rec_resources used = {0};
    for (size_t i = 0; i < self->n; i++) {
        used.vcpus += self->guests[i]->size.vcpus;
        used.memory_mib += self->guests[i]->size.memory_mib;
        used.disk_mib += self->guests[i]->size.disk_mib;
    }
    if (used.vcpus > self->capacity.vcpus || used.memory_mib > self->capacity.memory_mib ||
        used.disk_mib > self->capacity.disk_mib)
        mf_sim_fail(self->node->world, "I4",
                    "%s has %zu guests with %llu vcpus, %llu MiB; it has room for %llu, %llu",
                    self->node->name, self->n, (unsigned long long)used.vcpus,
                    (unsigned long long)used.memory_mib, (unsigned long long)self->capacity.vcpus,
                    (unsigned long long)self->capacity.memory_mib);
}

static void end_fires(struct mf_sim_event *event)
{
    struct mf_sim_guest *guest = MF_SIM_OWNER(event, struct mf_sim_guest, end);
    struct mf_sim_node *node = guest->node;
    if (node->frozen)
        mf_sim_after(node->world, event, 50); /* a stopped guest does nothing, not even die */
    else if (!node->world->healing)
        mf_sim_hypervisor_kill(&node->hypervisor, guest->id);
}

void mf_sim_hypervisor_appear(struct mf_sim_hypervisor *self, struct mf_uuid id, const char *name,
                              struct mf_rec_resources size)
{
    struct mf_sim_world *world = self->node->world;
    if (mf_sim_hypervisor_find(self, id))
        return;
    struct mf_sim_guest *guest = mf_sim_alloc(sizeof(*guest));
    *guest = (struct mf_sim_guest){
        .id = id, .size = size, .born = world->now, .node = self->node, .end.fire = end_fires};
    mf_str_format(guest->name, sizeof(guest->name), "%s", name);
    void *guests = self->guests;
    mf_sim_grow(&guests, self->n, &self->cap, sizeof(*self->guests));
    self->guests = guests;
    self->guests[self->n++] = guest;
    if (!*name)
        return;
    mf_sim_trace(world, self->node->name, "guest %s begins", name);
    mf_sim_model_guest_begins(world->model, self->node->name, id, name);
    check_fits(self);
    mf_ms life = mf_sim_faults_guest_life(world->faults);
    if (life)
        mf_sim_after(world, &guest->end, life);
}

void mf_sim_hypervisor_vanish(struct mf_sim_hypervisor *self, struct mf_uuid id)
{
    size_t i = place_of(self, id);
    if (i == self->n)
        return;
    mf_sim_trace(self->node->world, self->node->name, "guest %s ends", self->guests[i]->name);
    mf_sim_model_guest_ends(self->node->world->model, id);
    guest_free(self->guests[i]);
    memmove(&self->guests[i], &self->guests[i + 1], (--self->n - i) * sizeof(*self->guests));
}

void mf_sim_hypervisor_vanish_all(struct mf_sim_hypervisor *self)
{
    while (self->n)
        mf_sim_hypervisor_vanish(self, self->guests[0]->id);
}

void mf_sim_hypervisor_kill(struct mf_sim_hypervisor *self, struct mf_uuid id)
{
    const struct mf_sim_guest *guest = mf_sim_hypervisor_find(self, id);
    if (!guest)
        return;
    bool watched = guest->watched;
    mf_sim_trace(self->node->world, self->node->name, "guest %s dies by itself", guest->name);
    mf_sim_hypervisor_vanish(self, id);
    mf_sim_node_guest_died(self->node, id, watched);
}
