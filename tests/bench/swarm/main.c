/* mayfly-swarm - a crowd of nodes for benchmarks; see swarm.h and tests/bench/README.md. */
#include "swarm.h"
#include "check.h"
#include "program.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>
#include <zmq.h>

enum { SOCKETS_MAX = 65000, BATCH = 512, FDS_PER_NODE = 2, FDS_SPARE = 200, IO_THREADS = 8 };

#define TEXT(field, flag, standard, required, doc)                                                           \
    {                                                                                                        \
        flag, MF_SET_STRING, offsetof(struct swarm_settings, field), 0, 4000, standard, required, doc        \
    }
#define NUMBER(field, flag, min, max, standard, doc)                                                         \
    {                                                                                                        \
        flag, MF_SET_INT, offsetof(struct swarm_settings, field), min, max, standard, false, doc             \
    }
static const struct mf_setting table[] = {
    TEXT(state, "state", NULL, true,
         "Directory of a cluster: one that runs is joined, else broker and monitor are started in it."),
    TEXT(broker_args, "broker-args", "", false,
         "More arguments of a broker that is started here, by spaces."),
    TEXT(health_args, "health-args", "", false, "The same of the monitor."),
    TEXT(prefix, "prefix", "swarm", false, "Nodes are named PREFIX-NUMBER."),
    NUMBER(nodes, "nodes", 1, 20000, "100", "How many."),
    NUMBER(racks, "racks", 1, 10000, "10", "Labels rack=r0 ... are dealt in turn."),
    NUMBER(zones, "zones", 0, 1000, "0", "Labels zone=z0 ... are dealt to racks in turn; 0: none."),
    NUMBER(cells, "cells", 0, MF_WORKER_CELLS_MAX, "0",
           "NUMA cells of each node, all alike; fewer than two are not told."),
    NUMBER(vcpus, "vcpus", 1, 1000000, "64", "Of each node."),
    NUMBER(memory_mib, "memory-mib", 1, 1000000000, "65536", "Of each node."),
    NUMBER(disk_mib, "disk-mib", 1, 1000000000, "1048576", "Of each node."),
    NUMBER(create_ms, "create-ms", 0, 600000, "350", "How long a guest's birth takes."),
    NUMBER(destroy_ms, "destroy-ms", 0, 600000, "20", "How long its destroy takes."),
    NUMBER(create_lanes, "create-lanes", 1, 64, "4", "Births at once on one node."),
    NUMBER(joining, "joining", 1, 20000, "200", "Nodes that may be connecting at once."),
    NUMBER(seed, "seed", 0, INT64_MAX, "0", "Of every random choice; 0 takes the time."),
};

void swarm_set(struct swarm *swarm, struct swarm_alarm *alarm, mf_ms when)
{
    mf_heap_set(&swarm->heap, &alarm->timer, when);
}

void swarm_unset(struct swarm *swarm, struct swarm_alarm *alarm)
{
    mf_heap_unset(&swarm->heap, &alarm->timer);
}

void swarm_poll(struct swarm *swarm, int fd, int64_t source, bool edge)
{
    struct epoll_event event = {.events = EPOLLIN | (edge ? (unsigned)EPOLLET : 0),
                                .data.u64 = (uint64_t)source};
    MF_CHECK(epoll_ctl(swarm->epoll, EPOLL_CTL_ADD, fd, &event) == 0);
}

/* Two descriptors a node: its mailbox's and its connection's. */
static int take_limits(const struct swarm *swarm, char error[512])
{
    struct rlimit limit;
    rlim_t need = (rlim_t)swarm->settings.nodes * FDS_PER_NODE + FDS_SPARE;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < need)
        limit.rlim_max = need;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
        return 0;
    mf_str_format(
        error, 512,
        "%llu files must be open at once, and no more than the hard limit may; raise it with ulimit -Hn",
        (unsigned long long)need);
    return -1;
}

static int make_nodes(struct swarm *swarm, char error[512])
{
    swarm->n_nodes = (size_t)swarm->settings.nodes;
    swarm->nodes = calloc(swarm->n_nodes, sizeof *swarm->nodes);
    swarm->by_name = mf_map_new();
    MF_CHECK(swarm->nodes);
    for (size_t i = 0; i < swarm->n_nodes; i++) {
        struct swarm_node *node = &swarm->nodes[i];
        node->swarm = swarm;
        node->index = (uint32_t)i;
        if (swarm_node_open(node, error) < 0)
            return -1;
        mf_map_put(swarm->by_name, node->name, strlen(node->name), node);
    }
    return 0;
}

static int open_all(struct swarm *swarm, char error[512])
{
    mf_random_seed(&swarm->random,
                   swarm->settings.seed ? (uint64_t)swarm->settings.seed : (uint64_t)mf_wall());
    swarm->epoll = epoll_create1(EPOLL_CLOEXEC);
    MF_CHECK(swarm->epoll >= 0);
    swarm_poll(swarm, swarm->signals, SWARM_SOURCE_SIGNALS, false);
    if (take_limits(swarm, error) < 0 || swarm_cluster_open(swarm, error) < 0 ||
        swarm_keeper_open(swarm, error) < 0)
        return -1;
    swarm->context = zmq_ctx_new();
    MF_CHECK(swarm->context);
    zmq_ctx_set(swarm->context, ZMQ_MAX_SOCKETS, SOCKETS_MAX);
    zmq_ctx_set(swarm->context, ZMQ_IO_THREADS, IO_THREADS); /* the heartbeats' timers: see bus.c */
    if (make_nodes(swarm, error) < 0)
        return -1;
    swarm->now = swarm->opened = mf_now();
    swarm_script_open(swarm);
    swarm_join_soon(swarm);
    return 0;
}

static void take(struct swarm *swarm, int64_t source)
{
    if (source >= 0)
        swarm_node_read(&swarm->nodes[source]);
    else if (source == SWARM_SOURCE_UDP)
        swarm_keeper_read(swarm);
    else if (source == SWARM_SOURCE_SCRIPT)
        swarm_script_read(swarm);
    else
        while (mf_signals_read(swarm->signals))
            swarm->stopping = true;
}

static int wait_ms(const struct swarm *swarm)
{
    const struct mf_timer *first = mf_heap_first(&swarm->heap);
    mf_ms left = first ? first->when - mf_now() : 1000;
    return left < 0 ? 0 : left < 1000 ? (int)left : 1000;
}

static void turn(struct swarm *swarm)
{
    struct epoll_event events[BATCH];
    struct mf_timer *timer;
    int n = epoll_wait(swarm->epoll, events, BATCH, wait_ms(swarm));
    swarm->now = mf_now();
    while ((timer = mf_heap_take(&swarm->heap, swarm->now))) {
        struct swarm_alarm *alarm = (struct swarm_alarm *)timer;
        alarm->fire(swarm, alarm);
    }
    for (int i = 0; i < n; i++)
        take(swarm, (int64_t)events[i].data.u64);
}

static void close_all(struct swarm *swarm)
{
    swarm_script_close(swarm);
    for (size_t i = 0; i < swarm->n_nodes; i++)
        swarm_node_close(&swarm->nodes[i]);
    if (swarm->context)
        zmq_ctx_term(swarm->context);
    mf_bus_in_free(&swarm->in);
    mf_arena_free(&swarm->arena);
    swarm_cluster_close(swarm);
    mf_map_destroy(&swarm->by_name);
    mf_heap_free(&swarm->heap);
    free(swarm->nodes);
}

int main(int argc, char **argv)
{
    static struct swarm swarm;
    struct mf_arena arena = {0};
    char error[1024] = "";
    swarm.signals = mf_signals_open();
    int r = mf_settings_load("mayfly-swarm", "a crowd of nodes in one process, for benchmarks", table,
                             sizeof table / sizeof *table, argc, argv, &arena, &swarm.settings, error);
    if (r == 0) {
        mf_log_open("mayfly-swarm", swarm.settings.prefix, MF_LOG_INFO);
        r = open_all(&swarm, error);
        while (r == 0 && !swarm.stopping)
            turn(&swarm);
        close_all(&swarm);
    }
    if (r < 0)
        fprintf(stderr, "mayfly-swarm: %s\n", error);
    mf_arena_free(&arena);
    return r < 0;
}
