/* swarm.h - thousands of nodes in one process, as the broker and the monitors see them: each has a key and a
 * connection of its own, runs the real core of a worker over a hypervisor in memory, pulses, and answers
 * probes. What a kernel would keep apart is shared: one thread, one loop, one UDP socket.
 *
 * main.c opens and turns it, cluster.c finds or starts broker and monitor, node.c is the agent's edge,
 * guests.c its hypervisor, keeper.c pulses, echoes and relays, leases.c its leases, script.c takes commands
 * and tells what it measured. */
#ifndef SWARM_H
#define SWARM_H

#include "bus.h"
#include "heap.h"
#include "lease.h"
#include "map.h"
#include "pulse.h"
#include "worker.h"
#include <netinet/in.h>
#include <stdio.h>
#include <sys/types.h>

struct swarm;

struct swarm_alarm { /* fires at a time of the loop's clock; zero-initialised but for `fire` it is not set */
    struct mf_timer timer;
    void (*fire)(struct swarm *swarm, struct swarm_alarm *alarm);
};
#define SWARM_OWNER(alarm, type, member) ((type *)(void *)((char *)(alarm)-offsetof(type, member)))

enum swarm_node_state {
    SWARM_WAITING, /* its turn to join has not come */
    SWARM_UP,
    SWARM_SILENT, /* cut off: its connection stays open, nothing is read or said; its guests run on */
    SWARM_CRASHED /* its connection is closed and its guests are dead; it returns with another boot */
};

enum { SWARM_LEASES = 64, SWARM_RELAYS = 4096, SWARM_RELAY_MS = 1000 };

struct swarm_node {
    struct swarm *swarm;
    uint32_t index;
    enum swarm_node_state state;
    char name[MF_NAME_MAX + 1], boot_id[40];
    struct mf_key key;
    /* agent */
    struct mf_worker *worker;
    void *socket;
    struct swarm_alarm due;
    bool joining; /* started, and not welcomed yet */
    /* hypervisor */
    struct mf_worker_guest *guests;
    size_t n_guests, cap_guests;
    struct swarm_job *jobs;
    bool listed; /* by the present agent */
    /* keeper */
    struct swarm_alarm beat, stall;
    mf_ms started_ms, stalled_until, pulse_ms;
    uint64_t epoch, term, counter;
    struct mf_uuid cluster_id;
    uint8_t pulse_key[MF_PULSE_KEY], boot[16];
    struct mf_lease lease;
    struct mf_lease_entry lease_entries[SWARM_LEASES];
    struct swarm_alarm lease_due;
    struct sockaddr_in monitors[16];
    size_t n_monitors;
};

struct swarm_settings {
    char *state, *broker_args, *health_args, *prefix;
    int64_t nodes, racks, zones, cells, vcpus, memory_mib, disk_mib, create_ms, destroy_ms, create_lanes,
        joining, seed;
};

struct swarm_counts {
    uint64_t messages, orders, creates, destroys, deaths, beats, echoes, relays, fenced, dropped;
};

struct swarm_relay { /* whose echo goes to whom */
    uint64_t nonce;
    mf_ms expires;
    struct sockaddr_in monitor;
};

struct swarm_cluster { /* broker and monitor: attached to, or our own children */
    char client[256], worker[256], admin_key[4096];
    pid_t broker, health;
};

struct swarm {
    struct swarm_settings settings;
    struct swarm_cluster cluster;
    struct mf_random random;
    struct swarm_node *nodes;
    size_t n_nodes, n_joining, next_join;
    struct swarm_alarm join;
    struct mf_map *by_name;
    void *context;
    struct mf_bus_in in;
    struct mf_arena arena;
    struct mf_heap heap;
    int epoll, signals;
    mf_ms now, opened;
    bool stopping;
    /* the wire of datagrams */
    int udp;
    char probe_address[64];
    unsigned loss_percent;
    struct swarm_relay relays[SWARM_RELAYS];
    mf_ms stall_ms, stall_every_ms;
    struct swarm_counts counts;
    struct swarm_script *script;
};

/* cluster.c: 0, or -1 with the sentence in error */
int swarm_cluster_open(struct swarm *swarm, char error[512]);
void swarm_cluster_close(struct swarm *swarm);
int swarm_cluster_key(const struct swarm *swarm, enum mf_role role, const char *name, struct mf_key *ret_key,
                      char error[512]);

/* main.c */
void swarm_set(struct swarm *swarm, struct swarm_alarm *alarm, mf_ms when);
void swarm_unset(struct swarm *swarm, struct swarm_alarm *alarm);
enum {
    SWARM_SOURCE_SIGNALS = -1,
    SWARM_SOURCE_UDP = -2,
    SWARM_SOURCE_SCRIPT = -3
}; /* others: a node's index */
void swarm_poll(struct swarm *swarm, int fd, int64_t source, bool edge);

/* node.c */
int swarm_node_open(struct swarm_node *node, char error[512]);
void swarm_node_read(struct swarm_node *node);
void swarm_node_kill(struct swarm_node *node, bool crash);
void swarm_node_return(struct swarm_node *node);
void swarm_node_feed(struct swarm_node *node, const struct mf_worker_event *event);
void swarm_node_close(struct swarm_node *node);
bool swarm_node_awake(const struct swarm_node *node); /* up, and not stalled */
void swarm_join_soon(
    struct swarm *swarm); /* those that wait: so many at once that the broker's door is busy, not jammed */

/* guests.c */
void swarm_guests_begin(struct swarm_node *node, const struct mf_worker_action *action);
bool swarm_guests_die(struct swarm_node *node); /* one of them, by itself; false without any */
void swarm_guests_drop_jobs(struct swarm_node *node);
bool swarm_guests_kill(struct swarm_node *node, struct mf_uuid id); /* false if there is none */

/* keeper.c */
int swarm_keeper_open(struct swarm *swarm, char error[512]);
void swarm_keeper_session(struct swarm_node *node, const struct mf_worker_action *action);
void swarm_keeper_start(struct swarm_node *node);
void swarm_keeper_stop(struct swarm_node *node);
void swarm_keeper_stall_soon(struct swarm_node *node);
void swarm_keeper_read(struct swarm *swarm);

/* leases.c */
void swarm_lease_start(struct swarm_node *node);
void swarm_lease_stop(struct swarm_node *node);
bool swarm_lease_action(struct swarm_node *node,
                        const struct mf_worker_action *action);    /* false: not its alone */
bool swarm_lease_hold(struct swarm_node *node, struct mf_uuid id); /* may it run? */
void swarm_lease_gone(struct swarm_node *node, struct mf_uuid id);
void swarm_lease_agent(struct swarm_node *node, bool ready); /* has listed; or has ended */

/* script.c */
void swarm_script_open(struct swarm *swarm);
void swarm_script_read(struct swarm *swarm);
void swarm_script_close(struct swarm *swarm);
void swarm_script_joined(struct swarm *swarm);
void swarm_script_ordered(struct swarm *swarm, const struct mf_msg_order_create *order);

#endif
