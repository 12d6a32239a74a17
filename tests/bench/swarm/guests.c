/* guests.c - a hypervisor in memory: a guest is a line in a table, a birth takes as long as it is told to. */
#include "swarm.h"
#include "check.h"
#include <stdlib.h>
#include <string.h>

struct swarm_job {
    struct swarm_alarm alarm; /* first */
    struct swarm_job *next;
    struct swarm_node *node;
    enum mf_worker_action_kind kind;
    struct mf_uuid id;
    char name[200];
    uint64_t ask_id, ticket;
    bool at_most;
};

static struct mf_worker_guest *find(struct swarm_node *node, struct mf_uuid id)
{
    for (size_t i = 0; i < node->n_guests; i++)
        if (mf_uuid_eq(node->guests[i].id, id))
            return &node->guests[i];
    return NULL;
}

static void add(struct swarm_node *node, const struct swarm_job *job)
{
    if (find(node, job->id))
        return;
    if (node->n_guests == node->cap_guests) {
        node->cap_guests = node->cap_guests * 2 + 8;
        node->guests = realloc(node->guests, node->cap_guests * sizeof *node->guests);
        MF_CHECK(node->guests);
    }
    struct mf_worker_guest *guest = &node->guests[node->n_guests++];
    *guest = (struct mf_worker_guest){.id = job->id, .running = true};
    memcpy(guest->name, job->name, sizeof guest->name);
}

bool swarm_guests_kill(struct swarm_node *node, struct mf_uuid id)
{
    struct mf_worker_guest *guest = find(node, id);
    if (guest)
        *guest = node->guests[--node->n_guests];
    return guest != NULL;
}

static void take_away(struct swarm_node *node, struct mf_uuid id)
{
    swarm_guests_kill(node, id);
    swarm_lease_gone(node, id);
}

/* -- ends */

/* An at-most guest is resumed only if the keeper says that its lease holds. */
static struct mf_worker_event end_of_birth(struct swarm_job *job)
{
    struct swarm_node *node = job->node;
    struct mf_worker_event event = {
        .kind = MF_WORKER_JOB_DONE, .id = job->id, .operation = MF_OPERATION_CREATE};
    if (job->at_most && !swarm_lease_hold(node, job->id)) {
        swarm_lease_gone(node, job->id);
        event.code = MF_E_UNAVAILABLE;
        event.text = mf_str("its lease was over before it was born");
        return event;
    }
    add(node, job);
    node->swarm->counts.creates++;
    return event;
}

static void listed(struct swarm_node *node)
{
    if (!node->listed)
        swarm_lease_agent(node, true);
    node->listed = true;
}

static struct mf_worker_event end_of_list(const struct swarm_job *job)
{
    static struct mf_rec_cell cells[MF_WORKER_CELLS_MAX];
    const struct swarm_node *node = job->node;
    const struct swarm_settings *s = &node->swarm->settings;
    size_t n = s->cells > 1 ? (size_t)s->cells : 0;
    for (size_t i = 0; i < n; i++)
        cells[i] =
            (struct mf_rec_cell){.vcpus = (uint64_t)s->vcpus / n, .memory_mib = (uint64_t)s->memory_mib / n};
    return (struct mf_worker_event){.kind = MF_WORKER_LISTED,
                                    .capacity = {.vcpus = (uint64_t)s->vcpus,
                                                 .memory_mib = (uint64_t)s->memory_mib,
                                                 .disk_mib = (uint64_t)s->disk_mib},
                                    .cells = cells,
                                    .n_cells = n,
                                    .guests = node->guests,
                                    .n_guests = node->n_guests,
                                    .list_ticket = job->ticket};
}

static struct mf_worker_event end_of(struct swarm_job *job)
{
    struct swarm_node *node = job->node;
    switch (job->kind) {
    case MF_WORKER_CREATE:
        return end_of_birth(job);
    case MF_WORKER_DESTROY:
        take_away(node, job->id);
        node->swarm->counts.destroys++;
        return (struct mf_worker_event){
            .kind = MF_WORKER_JOB_DONE, .id = job->id, .operation = MF_OPERATION_DESTROY};
    case MF_WORKER_LIST:
        listed(node);
        return end_of_list(job);
    default:
        return (struct mf_worker_event){
            .kind = MF_WORKER_LOG, .ask_id = job->ask_id, .log = mf_str("a guest of the swarm\n")};
    }
}

static void unlink_job(struct swarm_job *job)
{
    struct swarm_job **at = &job->node->jobs;
    while (*at != job)
        at = &(*at)->next;
    *at = job->next;
}

static void finish(struct swarm *swarm, struct swarm_alarm *alarm)
{
    struct swarm_job *job = SWARM_OWNER(alarm, struct swarm_job, alarm);
    struct swarm_node *node = job->node;
    if (node->state != SWARM_UP)
        return; /* it ends when its node is back, with all else of that time */
    if (!swarm_node_awake(node)) {
        swarm_set(swarm, alarm, node->stalled_until);
        return;
    }
    struct mf_worker_event event = end_of(job);
    unlink_job(job);
    free(job);
    swarm_node_feed(node, &event);
    swarm_node_read(node);
}

/* -- beginnings */

static mf_ms duration(const struct swarm_settings *s, enum mf_worker_action_kind kind)
{
    return kind == MF_WORKER_CREATE ? s->create_ms : kind == MF_WORKER_DESTROY ? s->destroy_ms : 0;
}

static void name_it(struct swarm_job *job, const struct mf_msg_order_create *order)
{
    mf_str_format(job->name, sizeof job->name, "%.*s/%.*s/%llu#%llu", (int)order->tenant.len,
                  order->tenant.ptr, (int)order->group.len, order->group.ptr, (unsigned long long)order->slot,
                  (unsigned long long)order->generation);
}

void swarm_guests_begin(struct swarm_node *node, const struct mf_worker_action *action)
{
    bool known = action->kind == MF_WORKER_CREATE || action->kind == MF_WORKER_DESTROY ||
                 action->kind == MF_WORKER_LIST || action->kind == MF_WORKER_READ_LOG;
    if (!known)
        return;
    struct swarm_job *job = calloc(1, sizeof *job);
    MF_CHECK(job);
    *job = (struct swarm_job){.alarm.fire = finish,
                              .next = node->jobs,
                              .node = node,
                              .kind = action->kind,
                              .id = action->kind == MF_WORKER_CREATE ? action->order->id : action->id,
                              .ask_id = action->ask_id,
                              .ticket = action->list_ticket};
    if (action->kind == MF_WORKER_CREATE) {
        name_it(job, action->order);
        job->at_most = action->order->policy == MF_POLICY_AT_MOST;
    }
    node->jobs = job;
    swarm_set(node->swarm, &job->alarm, node->swarm->now + duration(&node->swarm->settings, job->kind));
}

void swarm_guests_drop_jobs(struct swarm_node *node)
{
    while (node->jobs) {
        struct swarm_job *job = node->jobs;
        node->jobs = job->next;
        swarm_unset(node->swarm, &job->alarm);
        free(job);
    }
}

bool swarm_guests_die(struct swarm_node *node)
{
    if (!node->n_guests || node->state != SWARM_UP)
        return false;
    struct mf_uuid id = node->guests[mf_random_below(&node->swarm->random, node->n_guests)].id;
    take_away(node, id);
    node->swarm->counts.deaths++;
    swarm_node_feed(node, &(struct mf_worker_event){.kind = MF_WORKER_DIED,
                                                    .id = id,
                                                    .how = MF_DEATH_EXITED,
                                                    .text = mf_str("as the script says")});
    return true;
}
