/* node.c - the agent's edge: the real core between its own connection and a hypervisor in memory. */
#include "swarm.h"
#include "bench.h"
#include "program.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <zmq.h>

/* -- what the core wants */

static void connect_anew(struct swarm_node *node)
{
    struct swarm *swarm = node->swarm;
    char error[512];
    void *none = NULL;
    if (node->socket)
        mf_bus_close(&node->socket, &none);
    if (mf_bus_connect(swarm->context, ZMQ_DEALER, swarm->cluster.worker, &node->key, NULL, &node->socket,
                       NULL, error) < 0)
        bench_die("%s", error);
    zmq_setsockopt(node->socket, ZMQ_LINGER, &(int){0}, sizeof(int));
    swarm_poll(swarm, mf_bus_fd(node->socket), node->index, true);
}

static void carry_out(struct swarm_node *node, const struct mf_worker_action *action)
{
    if (swarm_lease_action(node, action))
        return;
    switch (action->kind) {
    case MF_WORKER_SEND:
        mf_bus_send(node->socket, (struct mf_str){0}, false,
                    action->message); /* a full queue: it is said again */
        break;
    case MF_WORKER_RECONNECT:
        connect_anew(node);
        swarm_node_feed(node, &(struct mf_worker_event){.kind = MF_WORKER_LINK_DOWN});
        swarm_node_feed(node, &(struct mf_worker_event){.kind = MF_WORKER_LINK_UP});
        break;
    case MF_WORKER_SESSION:
        swarm_keeper_session(node, action);
        break;
    default:
        swarm_guests_begin(node, action);
    }
}

static void note_welcome(struct swarm_node *node)
{
    struct swarm *swarm = node->swarm;
    if (!node->joining || !mf_worker_welcomed(node->worker))
        return;
    node->joining = false;
    swarm->n_joining--;
    swarm_join_soon(swarm);
}

static void pump(struct swarm_node *node)
{
    struct mf_worker_action action;
    while (node->worker && mf_worker_poll(node->worker, &action))
        carry_out(node, &action);
    if (!node->worker)
        return;
    mf_ms deadline = mf_worker_deadline(node->worker);
    if (deadline == INT64_MAX)
        swarm_unset(node->swarm, &node->due);
    else
        swarm_set(node->swarm, &node->due, deadline);
    note_welcome(node);
}

void swarm_node_feed(struct swarm_node *node, const struct mf_worker_event *event)
{
    mf_worker_feed(node->worker, node->swarm->now, event);
    pump(node);
}

bool swarm_node_awake(const struct swarm_node *node)
{
    return node->state == SWARM_UP && node->swarm->now >= node->stalled_until;
}

/* A timer that comes due during a stall is late, as everything else of a stalled machine. */
static void tick(struct swarm *swarm, struct swarm_alarm *alarm)
{
    struct swarm_node *node = SWARM_OWNER(alarm, struct swarm_node, due);
    if (swarm_node_awake(node)) {
        swarm_node_feed(node, &(struct mf_worker_event){.kind = MF_WORKER_TICK});
        swarm_node_read(node); /* what was sent may have hidden news from the descriptor */
    } else {
        swarm_set(swarm, alarm, node->stalled_until);
    }
}

/* -- what the broker says */

static void take(struct swarm_node *node)
{
    struct swarm *swarm = node->swarm;
    struct mf_message message;
    struct mf_decode_error error;
    mf_arena_reset(&swarm->arena);
    if (swarm->in.malformed ||
        mf_message_decode(swarm->in.head, swarm->in.body, &swarm->arena, &message, &error) < 0)
        bench_die("the broker said what we do not understand");
    swarm->counts.messages++;
    if (message.kind == MF_MSG_ORDER_CREATE)
        swarm_script_ordered(swarm, &message.order_create);
    swarm_node_feed(node, &(struct mf_worker_event){.kind = MF_WORKER_MESSAGE, .message = &message});
}

void swarm_node_read(struct swarm_node *node)
{
    void *socket = node->socket; /* a message may make us connect anew */
    while (socket && node->socket == socket && swarm_node_awake(node) &&
           mf_bus_recv(socket, &node->swarm->in) > 0)
        take(node);
}

/* -- a node's life */

int swarm_node_open(struct swarm_node *node, char error[512])
{
    mf_str_format(node->name, sizeof node->name, "%s-%u", node->swarm->settings.prefix, node->index);
    mf_str_format(node->boot_id, sizeof node->boot_id, "boot-%s-1", node->name);
    node->due.fire = tick;
    swarm_lease_start(node);
    return swarm_cluster_key(node->swarm, MF_ROLE_WORKER, node->name, &node->key, error);
}

static void configure(const struct swarm_node *node, struct mf_worker_config *ret_config)
{
    const struct swarm_settings *s = &node->swarm->settings;
    mf_worker_config_default(ret_config);
    mf_str_format(ret_config->node, sizeof ret_config->node, "%s", node->name);
    mf_str_format(ret_config->machine_id, sizeof ret_config->machine_id, "machine-%.50s", node->name);
    mf_str_format(ret_config->boot_id, sizeof ret_config->boot_id, "%s", node->boot_id);
    mf_str_format(ret_config->class, sizeof ret_config->class, "standard");
    mf_str_format(ret_config->driver, sizeof ret_config->driver, "null/swarm");
    mf_str_format(ret_config->probe_address, sizeof ret_config->probe_address, "%s",
                  node->swarm->probe_address);
    ret_config->fences = true;
    ret_config->create_lanes = (uint32_t)s->create_lanes;
    ret_config->started_ms = node->started_ms;
    ret_config->epoch = node->epoch;
    ret_config->term = node->term;
    ret_config->cluster_id = node->cluster_id;
}

static void start(struct swarm_node *node)
{
    struct mf_worker_config config;
    const struct swarm_settings *s = &node->swarm->settings;
    char rack[16], zone[16];
    unsigned of_rack = node->index % (unsigned)s->racks;
    struct mf_label labels[] = {{mf_str("rack"), mf_str_format(rack, sizeof rack, "r%u", of_rack)},
                                {mf_str("zone"), mf_str_format(zone, sizeof zone, "z%u",
                                                               s->zones ? of_rack % (unsigned)s->zones : 0)}};
    node->state = SWARM_UP;
    node->started_ms = mf_wall();
    configure(node, &config);
    config.labels = (struct mf_labels){labels, s->zones ? 2 : 1};
    node->worker = mf_worker_new(&config);
    node->joining = true;
    node->swarm->n_joining++;
    swarm_keeper_start(node);
    connect_anew(node);
    swarm_node_feed(node, &(struct mf_worker_event){.kind = MF_WORKER_LINK_UP});
    swarm_node_feed(node, &(struct mf_worker_event){.kind = MF_WORKER_TICK});
    swarm_node_read(node);
}

static void join_more(struct swarm *swarm, struct swarm_alarm *alarm)
{
    for (; swarm->next_join < swarm->n_nodes && swarm->n_joining < (size_t)swarm->settings.joining;
         swarm->next_join++)
        if (swarm->nodes[swarm->next_join].state == SWARM_WAITING)
            start(&swarm->nodes[swarm->next_join]);
    if (!swarm->n_joining)
        swarm_script_joined(swarm);
}

void swarm_join_soon(struct swarm *swarm)
{
    swarm->join.fire = join_more;
    swarm_set(swarm, &swarm->join, swarm->now);
}

static void end_agent(struct swarm_node *node)
{
    void *none = NULL;
    swarm_unset(node->swarm, &node->due);
    swarm_guests_drop_jobs(node);
    node->listed = false;
    mf_worker_destroy(&node->worker);
    if (node->socket)
        mf_bus_close(&node->socket, &none);
    node->swarm->n_joining -= node->joining;
    node->joining = false;
}

void swarm_node_kill(struct swarm_node *node, bool crash)
{
    swarm_keeper_stop(node);
    swarm_unset(node->swarm, &node->due);
    node->swarm->n_joining -= node->joining;
    node->joining = false;
    node->state = crash ? SWARM_CRASHED : SWARM_SILENT;
    if (!crash)
        return;
    end_agent(node);
    swarm_lease_stop(node);
    node->n_guests = 0;
    mf_str_format(node->boot_id, sizeof node->boot_id, "boot-%.20s-%llx", node->name,
                  (unsigned long long)mf_random_next(&node->swarm->random));
}

/* Of a node that was cut off the agent is new, too: what it held in memory is of no use to a later time. */
void swarm_node_return(struct swarm_node *node)
{
    if (node->state == SWARM_SILENT) {
        end_agent(node);
        swarm_lease_agent(node, false);
    } else {
        swarm_lease_start(node);
    }
    node->state = SWARM_WAITING;
    node->swarm->next_join = 0;
    swarm_join_soon(node->swarm);
}

void swarm_node_close(struct swarm_node *node)
{
    end_agent(node);
    swarm_lease_stop(node);
    free(node->guests);
}
