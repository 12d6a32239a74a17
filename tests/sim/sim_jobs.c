/* What the agent's thread pool does in a simulated world: creates, destroys, lists and log reads take their
 * time, fail, and are half done when the agent dies. A create makes its guest exist some time before it is
 * reported; a list tells what was, not what is. */
#include "check.h"
#include "model.h"
#include "sim_node.h"
#include "weather.h"
#include "wellbeing.h"
#include <stdio.h>
#include <stdlib.h>

struct mf_sim_job {
    struct mf_sim_event event;
    struct mf_sim_node *node;
    enum mf_worker_action_kind kind;
    struct mf_uuid id;
    char name[200];
    struct mf_rec_resources size;
    bool at_most;
    bool halfway; /* create: the guest exists; list: the hypervisor was asked */
    bool held;    /* at-most create: the keeper holds it, and it may be resumed */
    enum mf_errcode code;
    mf_ms rest_ms; /* from halfway to the end */
    uint64_t ask_id, ticket;
    struct mf_worker_guest *guests;
    size_t n_guests;
};

static void job_free(struct mf_sim_job *job)
{
    mf_sim_cancel(job->node->world, &job->event);
    free(job->guests);
    free(job);
}

static void job_remove(struct mf_sim_job *job)
{
    struct mf_sim_node *node = job->node;
    for (size_t i = 0; i < node->n_jobs; i++)
        if (node->jobs[i] == job) {
            node->jobs[i] = node->jobs[--node->n_jobs];
            return;
        }
}

/* -- the halfway points */

static void list_halfway(struct mf_sim_job *job)
{
    const struct mf_sim_hypervisor *hypervisor = &job->node->hypervisor;
    job->n_guests = hypervisor->n;
    job->guests = mf_sim_alloc(sizeof(*job->guests) * (hypervisor->n + 1));
    for (size_t i = 0; i < hypervisor->n; i++) {
        job->guests[i] = (struct mf_worker_guest){.id = hypervisor->guests[i]->id,
                                                  .running = !hypervisor->guests[i]->paused,
                                                  .ready = hypervisor->guests[i]->ready};
        snprintf(job->guests[i].name, sizeof(job->guests[i].name), "%s", hypervisor->guests[i]->name);
    }
}

/* The pidfd of what we destroy becomes readable too: now and then the agent hears of that before its destroy
 * is done. */
static void end_guest(struct mf_sim_hypervisor *hypervisor, struct mf_uuid id)
{
    const struct mf_sim_guest *guest = mf_sim_hypervisor_find(hypervisor, id);
    if (guest && guest->watched && mf_sim_chance(hypervisor->node->world, 30))
        mf_sim_keeper_death(hypervisor->node, id, MF_DEATH_EXITED);
    mf_sim_hypervisor_vanish(hypervisor, id);
}

static void halfway(struct mf_sim_job *job)
{
    struct mf_sim_hypervisor *hypervisor = &job->node->hypervisor;
    job->halfway = true;
    if (job->kind == MF_WORKER_CREATE && job->code == MF_E_OK)
        mf_sim_hypervisor_appear(hypervisor, job->id, job->name, job->size, job->at_most);
    else if (job->kind == MF_WORKER_DESTROY && job->code == MF_E_OK)
        end_guest(hypervisor, job->id);
    else if (job->kind == MF_WORKER_LIST)
        list_halfway(job);
}

/* -- the ends: what the edge tells the core. A pidfd that can't be opened any more is a death too. */

static void watch(struct mf_sim_node *node, struct mf_uuid id)
{
    struct mf_sim_guest *guest = mf_sim_hypervisor_find(&node->hypervisor, id);
    if (guest) {
        guest->watched = true;
        mf_sim_fencer_hold(node, guest);
    } else
        mf_sim_jobs_note_death(node, id, 1);
}

static void end_list(struct mf_sim_job *job)
{
    struct mf_sim_node *node = job->node;
    const struct mf_rec_resources *capacity = &node->hypervisor.capacity;
    struct mf_rec_cell cells[2] = {
        {.vcpus = capacity->vcpus / 2, .memory_mib = capacity->memory_mib / 2},
        {.vcpus = capacity->vcpus - capacity->vcpus / 2, .memory_mib = capacity->memory_mib / 2}};
    mf_sim_agent_feed(node,
                      &(struct mf_worker_event){.kind = MF_WORKER_LISTED,
                                                .capacity = *capacity,
                                                .cells = cells,
                                                .n_cells = mf_sim_weather_cells(node->world->weather) ? 2 : 0,
                                                .guests = job->guests,
                                                .n_guests = job->n_guests,
                                                .code = job->code,
                                                .list_ticket = job->ticket});
    if (job->code != MF_E_OK || node->watched_life == node->life)
        return; /* an agent has its keeper watch what its first list finds, and after that what it makes */
    node->watched_life = node->life;
    for (size_t i = 0; i < job->n_guests && !node->world->failed; i++)
        if (job->guests[i].name[0])
            watch(node, job->guests[i].id);
    mf_sim_wellbeing_look(node);
    mf_sim_fencer_agent_ready(node);
}

static void end_job(struct mf_sim_job *job)
{
    struct mf_sim_node *node = job->node;
    bool create = job->kind == MF_WORKER_CREATE, ok = job->code == MF_E_OK;
    mf_sim_agent_feed(
        node, &(struct mf_worker_event){.kind = MF_WORKER_JOB_DONE,
                                        .id = job->id,
                                        .code = job->code,
                                        .operation = create ? MF_OPERATION_CREATE : MF_OPERATION_DESTROY,
                                        .text = mf_str(ok ? "" : "the simulated hypervisor failed")});
    if (create && ok && !job->at_most && !node->world->failed)
        watch(node, job->id);
}

/* An at-most guest was made paused; only when the keeper holds it under a lease is it resumed, a little
 * later. */
static bool hold_and_resume(struct mf_sim_job *job)
{
    struct mf_sim_node *node = job->node;
    struct mf_sim_guest *guest = mf_sim_hypervisor_find(&node->hypervisor, job->id);
    if (job->held) {
        mf_sim_hypervisor_resume(&node->hypervisor, job->id);
        job->code = guest ? MF_E_OK : MF_E_DRIVER;
        return true;
    }
    if (guest)
        guest->watched = true;
    job->held = guest && mf_sim_fencer_hold(node, guest);
    job->code = job->held ? MF_E_OK : MF_E_DRIVER;
    if (job->held)
        mf_sim_after(node->world, &job->event, mf_sim_weather_resume(node->world->weather));
    return !job->held;
}

static void end_log(struct mf_sim_job *job)
{
    mf_sim_agent_feed(job->node, &(struct mf_worker_event){.kind = MF_WORKER_LOG,
                                                           .ask_id = job->ask_id,
                                                           .code = MF_E_OK,
                                                           .log = mf_str("hello from the guest\n")});
}

static void job_fires(struct mf_sim_event *event)
{
    struct mf_sim_job *job = MF_SIM_OWNER(event, struct mf_sim_job, event);
    struct mf_sim_node *node = job->node;
    if (mf_sim_node_agent_stopped(node)) {
        mf_sim_after(node->world, event, 20);
        return;
    }
    if (!job->halfway) {
        halfway(job);
        mf_sim_after(node->world, event, job->rest_ms);
        return;
    }
    if (job->at_most && job->code == MF_E_OK && !hold_and_resume(job))
        return;
    job_remove(job);
    if (job->kind == MF_WORKER_LIST)
        end_list(job);
    else if (job->kind == MF_WORKER_READ_LOG)
        end_log(job);
    else
        end_job(job);
    job_free(job);
}

/* -- beginnings */

static void describe_order(struct mf_sim_job *job, const struct mf_msg_order_create *order)
{
    snprintf(job->name, sizeof(job->name), "%.*s/%.*s/%llu#%llu", (int)order->tenant.len, order->tenant.ptr,
             (int)order->group.len, order->group.ptr, (unsigned long long)order->slot,
             (unsigned long long)order->generation);
    job->size = (struct mf_rec_resources){.vcpus = order->offering.vcpus,
                                          .memory_mib = order->offering.memory_mib,
                                          .disk_mib = order->offering.disk_mib};
}

static void check_alone(struct mf_sim_node *node, const struct mf_sim_job *job)
{
    for (size_t i = 0; i < node->n_jobs; i++)
        if (mf_uuid_eq(node->jobs[i]->id, job->id) && node->jobs[i]->kind != MF_WORKER_READ_LOG)
            mf_sim_fail(node->world, "jobs", "%s works twice at once on %s", node->name,
                        job->name[0] ? job->name : node->jobs[i]->name);
}

/* What the node's own driver and the image make of it. */
static mf_ms creation(struct mf_sim_node *node, struct mf_sim_job *job,
                      const struct mf_msg_order_create *order)
{
    mf_ms whole = mf_sim_weather_create(node->world->weather, &job->code);
    describe_order(job, order);
    job->id = order->id;
    job->at_most = order->policy == MF_POLICY_AT_MOST;
    if (node->poisoned || node->full || (mf_str_is(order->image.name, "bad") && !mf_sim_healing(node->world)))
        job->code = MF_E_DRIVER;
    return node->slow ? whole + mf_sim_between(node->world, 2000, 6000) : whole;
}

static mf_ms duration(struct mf_sim_node *node, struct mf_sim_job *job, const struct mf_worker_action *action)
{
    struct mf_sim_weather *weather = node->world->weather;
    switch (action->kind) {
    case MF_WORKER_CREATE:
        return creation(node, job, action->order);
    case MF_WORKER_DESTROY:
        job->id = action->id;
        return mf_sim_weather_destroy_job(weather, &job->code) +
               (mf_sim_chance(node->world, 50) ? (mf_ms)action->grace_ms : 0);
    default:
        return mf_sim_weather_list(weather, &job->code);
    }
}

void mf_sim_jobs_begin(struct mf_sim_node *node, const struct mf_worker_action *action)
{
    struct mf_sim_job *job = mf_sim_alloc(sizeof(*job));
    *job = (struct mf_sim_job){.event.fire = job_fires,
                               .node = node,
                               .kind = action->kind,
                               .ask_id = action->ask_id,
                               .ticket = action->list_ticket};
    mf_ms whole = duration(node, job, action);
    if (job->kind == MF_WORKER_CREATE || job->kind == MF_WORKER_DESTROY) {
        mf_sim_trace(node->world, node->name, "begins to %s %02x%02x%02x%02x",
                     job->kind == MF_WORKER_CREATE ? "create" : "destroy", job->id.bytes[12],
                     job->id.bytes[13], job->id.bytes[14], job->id.bytes[15]);
        check_alone(node, job);
    }
    void *jobs = node->jobs;
    mf_sim_grow(&jobs, node->n_jobs, &node->cap_jobs, sizeof(*node->jobs));
    node->jobs = jobs;
    node->jobs[node->n_jobs++] = job;
    job->rest_ms = mf_sim_between(node->world, 0, whole);
    mf_sim_after(node->world, &job->event, whole - job->rest_ms);
}

void mf_sim_jobs_drop(struct mf_sim_node *node, bool host_lives)
{
    while (node->n_jobs) {
        struct mf_sim_job *job = node->jobs[--node->n_jobs];
        if (host_lives && !job->halfway && job->kind != MF_WORKER_LIST && mf_sim_chance(node->world, 50))
            halfway(job);
        job_free(job);
    }
}

/* -- the hypervisor's own event of a death, to the agent that was alive then */

struct note {
    struct mf_sim_event event;
    struct mf_sim_node *node;
    uint64_t life;
    struct mf_uuid id;
};

static void note_drop(struct mf_sim_event *event)
{
    free(MF_SIM_OWNER(event, struct note, event));
}

static void note_fires(struct mf_sim_event *event)
{
    struct note *note = MF_SIM_OWNER(event, struct note, event);
    struct mf_sim_node *node = note->node;
    if (mf_sim_node_agent_stopped(node) && node->life == note->life) {
        mf_sim_after(node->world, event, 20);
        return;
    }
    bool again =
        mf_sim_hypervisor_find(&node->hypervisor, note->id) != NULL; /* a driver looks before it tells */
    if (node->core && node->life == note->life && !again)
        mf_sim_agent_feed(node, &(struct mf_worker_event){.kind = MF_WORKER_DIED,
                                                          .id = note->id,
                                                          .how = MF_DEATH_EXITED,
                                                          .text = mf_str("the hypervisor says so")});
    free(note);
}

void mf_sim_jobs_note_death(struct mf_sim_node *node, struct mf_uuid id, mf_ms delay_ms)
{
    struct note *note = mf_sim_alloc(sizeof(*note));
    *note = (struct note){
        .event = {.fire = note_fires, .drop = note_drop}, .node = node, .life = node->life, .id = id};
    mf_sim_after(node->world, &note->event, delay_ms);
}
