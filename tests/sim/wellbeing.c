/* wellbeing.c - what a simulated guest says of itself: that it is well, some time after it began, late or
 * never; and that it is so no more. The agent that lives then hears it; a later one finds it in its list. */
#include "wellbeing.h"
#include "model.h"
#include "sim_node.h"
#include "weather.h"

enum { LATER_MS = 20 };

static void tell(struct mf_sim_guest *guest, enum mf_worker_event_kind kind)
{
    if (guest->node->core)
        mf_sim_agent_feed(guest->node, &(struct mf_worker_event){.kind = kind,
                                                                 .id = guest->id,
                                                                 .ailment = MF_AILMENT_AGENT,
                                                                 .text = mf_str("its agent is silent"),
                                                                 .console = mf_str("...\n")});
}

/* A stopped host does nothing, and who is stopped hears nothing. */
static bool later(struct mf_sim_event *event, struct mf_sim_node *node)
{
    bool stopped = node->frozen || mf_sim_node_agent_stopped(node);
    if (stopped)
        mf_sim_after(node->world, event, LATER_MS);
    return stopped;
}

static void says_fires(struct mf_sim_event *event)
{
    struct mf_sim_guest *guest = MF_SIM_OWNER(event, struct mf_sim_guest, says);
    if (later(event, guest->node))
        return;
    mf_sim_trace(guest->node->world, guest->node->name, "guest %s says that it is well", guest->name);
    guest->ready = true;
    tell(guest, MF_WORKER_READY);
}

static void ails_fires(struct mf_sim_event *event)
{
    struct mf_sim_guest *guest = MF_SIM_OWNER(event, struct mf_sim_guest, ails);
    if (later(event, guest->node) || mf_sim_healing(guest->node->world))
        return;
    mf_sim_trace(guest->node->world, guest->node->name, "guest %s is unwell", guest->name);
    guest->ailing = true;
    tell(guest, MF_WORKER_UNWELL);
}

void mf_sim_wellbeing_begin(struct mf_sim_guest *guest)
{
    struct mf_sim_world *world = guest->node->world;
    mf_ms ready, ails;
    if (!guest->instance || !guest->instance->group->waits_ready)
        return;
    guest->says.fire = says_fires;
    guest->ails.fire = ails_fires;
    ready = mf_sim_weather_guest_ready(world->weather);
    ails = mf_sim_weather_guest_ails(world->weather);
    if (ready >= 0)
        mf_sim_after(world, &guest->says, ready);
    if (ails)
        mf_sim_after(world, &guest->ails, ails);
}

void mf_sim_wellbeing_end(struct mf_sim_guest *guest)
{
    mf_sim_cancel(guest->node->world, &guest->says);
    mf_sim_cancel(guest->node->world, &guest->ails);
}

void mf_sim_wellbeing_look(struct mf_sim_node *node)
{
    for (size_t i = 0; i < node->hypervisor.n && !node->world->failed; i++)
        if (node->hypervisor.guests[i]->ailing)
            tell(node->hypervisor.guests[i], MF_WORKER_UNWELL);
}
