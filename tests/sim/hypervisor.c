/* The guests of one node. A guest that appears is checked at once: it must be known to the broker, not be
 * gone, and fit. */
#include "hypervisor.h"
#include "model.h"
#include "sim_node.h"
#include "weather.h"
#include "wellbeing.h"
#include <stdlib.h>
#include <string.h>

enum { WAKING_MS = 50 }; /* I3: what a whole-host pause may cost */

/* I3, at the moment a guest begins or goes on to run. */
static void begins_to_run(struct mf_sim_guest *guest)
{
    if (guest->running || guest->paused || guest->node->frozen || !guest->instance)
        return;
    guest->running = true;
    mf_sim_model_guest_runs(guest->node->world->model, guest);
}

static void ceases_to_run(struct mf_sim_guest *guest)
{
    if (guest->running)
        mf_sim_model_guest_rests(guest->node->world->model, guest);
    guest->running = false;
}

static void woken_fires(struct mf_sim_event *event)
{
    struct mf_sim_hypervisor *self = MF_SIM_OWNER(event, struct mf_sim_hypervisor, woken);
    for (size_t i = 0; i < self->n; i++)
        if (self->guests[i]->running)
            mf_sim_model_check_i3(self->node->world->model, self->guests[i]);
}

void mf_sim_hypervisor_freeze(struct mf_sim_hypervisor *self, bool frozen)
{
    struct mf_sim_world *world = self->node->world;
    if (!frozen) {
        self->excused = world->now + WAKING_MS;
        mf_sim_after(world, &self->woken, WAKING_MS + 1);
    }
    for (size_t i = 0; i < self->n; i++) {
        if (frozen)
            ceases_to_run(self->guests[i]);
        else
            begins_to_run(self->guests[i]);
    }
}

void mf_sim_hypervisor_init(struct mf_sim_hypervisor *self, struct mf_sim_node *node,
                            struct mf_rec_resources capacity)
{
    *self = (struct mf_sim_hypervisor){.node = node, .capacity = capacity, .woken.fire = woken_fires};
}

static void guest_free(struct mf_sim_guest *guest)
{
    mf_sim_cancel(guest->node->world, &guest->end);
    mf_sim_wellbeing_end(guest);
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
        if (self->guests[i]->instance && self->guests[i]->instance->forgotten)
            continue; /* an operator said that it would not come back */
        used.vcpus += self->guests[i]->size.vcpus;
        used.memory_mib += self->guests[i]->size.memory_mib;
        used.disk_mib += self->guests[i]->size.disk_mib;
    }
    if (self->crowded)
        return;
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
    else if (!mf_sim_healing(node->world))
        mf_sim_hypervisor_kill(&node->hypervisor, guest->id);
}

static struct mf_sim_guest *put(struct mf_sim_hypervisor *self, struct mf_uuid id, const char *name,
                                struct mf_rec_resources size)
{
    struct mf_sim_guest *guest = mf_sim_alloc(sizeof(*guest));
    *guest = (struct mf_sim_guest){
        .id = id, .size = size, .born = self->node->world->now, .node = self->node, .end.fire = end_fires};
    mf_str_format(guest->name, sizeof(guest->name), "%s", name);
    void *guests = self->guests;
    mf_sim_grow(&guests, self->n, &self->cap, sizeof(*self->guests));
    self->guests = guests;
    return self->guests[self->n++] = guest;
}

static void draw_life(struct mf_sim_guest *guest)
{
    struct mf_sim_world *world = guest->node->world;
    mf_ms life = mf_sim_weather_guest_life(world->weather);
    if (mf_sim_model_crashes(guest->instance))
        life = mf_sim_between(world, 1, 400);
    if (life)
        mf_sim_after(world, &guest->end, life);
    mf_sim_wellbeing_begin(guest);
}

struct mf_sim_guest *mf_sim_hypervisor_appear(struct mf_sim_hypervisor *self, struct mf_uuid id,
                                              const char *name, struct mf_rec_resources size, bool at_most)
{
    struct mf_sim_world *world = self->node->world;
    struct mf_sim_guest *guest = mf_sim_hypervisor_find(self, id);
    if (guest)
        return guest;
    guest = put(self, id, name, size);
    guest->at_most = guest->paused = at_most;
    mf_sim_trace(world, self->node->name, "guest %s begins%s", name, at_most ? ", paused" : "");
    guest->instance = mf_sim_model_guest_begins(world->model, self->node->name, id, name);
    check_fits(self);
    begins_to_run(guest);
    if (!at_most)
        draw_life(guest);
    return guest;
}

void mf_sim_hypervisor_resume(struct mf_sim_hypervisor *self, struct mf_uuid id)
{
    struct mf_sim_guest *guest = mf_sim_hypervisor_find(self, id);
    if (!guest || !guest->paused)
        return;
    mf_sim_trace(self->node->world, self->node->name, "guest %s is resumed", guest->name);
    guest->paused = false;
    begins_to_run(guest);
    draw_life(guest);
}

void mf_sim_hypervisor_plant(struct mf_sim_hypervisor *self, struct mf_uuid id, const char *name)
{
    if (*name)
        mf_sim_trace(self->node->world, self->node->name, "somebody starts a domain named %s", name);
    put(self, id, name, (struct mf_rec_resources){0});
}

void mf_sim_hypervisor_vanish(struct mf_sim_hypervisor *self, struct mf_uuid id)
{
    size_t i = place_of(self, id);
    if (i == self->n)
        return;
    mf_sim_trace(self->node->world, self->node->name, "guest %s ends", self->guests[i]->name);
    ceases_to_run(self->guests[i]);
    bool held = self->guests[i]->watched && self->node->keeper.up;
    mf_sim_model_guest_ends(self->node->world->model, id);
    guest_free(self->guests[i]);
    memmove(&self->guests[i], &self->guests[i + 1], (--self->n - i) * sizeof(*self->guests));
    if (held)
        mf_sim_fencer_gone(self->node, id);
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
