/* sim_node.h - one simulated hypervisor host: its guests, the keeper that pulses and reports deaths, and the
 * agent's edge around the real worker core. Each may die without the others: the agent alone, the worker
 * (keeper and agent), all processes, the host. */
#ifndef MF_SIM_NODE_H
#define MF_SIM_NODE_H

#include "clock.h"
#include "fencer.h"
#include "hypervisor.h"
#include "lease.h"
#include "net.h"
#include "pulse.h"
#include "worker.h"
#include "world.h"

enum { MF_SIM_LEASE_PLACES = 64 };
struct mf_sim_job;
enum mf_sim_phase {
    MF_SIM_KEEPING,
    MF_SIM_DRAINING,
    MF_SIM_ENDING,
    MF_SIM_KILLING,
    MF_SIM_TELLING,
    MF_SIM_STOPPING
};
struct mf_sim_keeper {
    bool up;
    mf_ms started_ms, pulse_ms;
    uint64_t epoch, counter; /* epoch 0: no session yet */
    uint64_t term;           /* remembered for the next agent, as the epoch */
    struct mf_uuid cluster_id;
    uint8_t key[MF_PULSE_KEY];
    struct mf_sim_host monitors[4];
    size_t n_monitors;
    struct { /* probes sent on for a monitor: whose echo goes to whom */
        uint64_t nonce;
        struct mf_sim_host from;
        mf_ms until;
    } relays[16];
    size_t next_relay;
    struct mf_worker_event *mail; /* not yet told to the agent; deaths are kept for the next one */
    size_t n_mail, cap_mail;
    struct mf_lease lease;
    struct mf_lease_entry entries[MF_SIM_LEASE_PLACES];
    struct mf_sim_event beat, tell, restart, lease_tick, ending;
    enum mf_sim_phase phase; /* of its own end */
    mf_ms phase_until;
    bool quiet, again; /* nothing is being born; it is started again when it has ended */
};
struct mf_sim_node {
    struct mf_sim_world *world;
    uint32_t index;
    char name[MF_NAME_MAX + 1], machine_id[65], boot_id[65];
    uint32_t boots, starts;
    bool frozen;       /* the whole host, its guests too */
    bool agent_frozen; /* only the agent */
    bool fences;       /* its keeper can end guests by itself */
    bool poisoned;     /* every create fails */
    bool slow, full;   /* its driver takes long; its disk takes no guest */
    bool stocked;      /* its image cache has what it once fetched */
    struct mf_sim_clock clock;
    mf_ms disturbed;     /* the last time anything kept it from hearing the broker */
    mf_ms silent_since;  /* neither broker nor monitor hear anything of it since; -1 while they may */
    mf_ms awaited_until; /* it ended in order and said that it would be back: no longer is its silence none */
    struct mf_sim_path to_broker, to_peers, *to_monitors;
    struct mf_sim_hypervisor hypervisor;
    struct mf_sim_keeper keeper;
    /* the agent */
    struct mf_worker *core;      /* NULL while it is dead */
    uint64_t life, watched_life; /* watched_life: the last one whose first list came in */
    mf_ms checked;
    struct mf_sim_link link;
    struct mf_sim_event tick;
    struct mf_sim_job **jobs;
    size_t n_jobs, cap_jobs;
};

struct mf_sim_node *mf_sim_node_new(struct mf_sim_world *world, uint32_t index); /* comes up with the world */
void mf_sim_node_destroy(struct mf_sim_node **self);

void mf_sim_node_kill_agent(struct mf_sim_node *self); /* the keeper starts another one soon */
void mf_sim_node_kill_worker(
    struct mf_sim_node *self); /* keeper and agent; guests live on, unless they end with it */
void mf_sim_node_end(struct mf_sim_node *self, mf_ms drain_ms); /* the worker is told to end */
void mf_sim_node_kill_all(struct mf_sim_node *self);            /* keeper, agent, guests; the host lives on */
void mf_sim_node_power_off(struct mf_sim_node *self);           /* the host; nobody is told */
void mf_sim_node_start(struct mf_sim_node *self);               /* the worker again, where it is down */
void mf_sim_node_reboot(struct mf_sim_node *self);              /* as start, after a power-off: a new boot */
void mf_sim_node_freeze(struct mf_sim_node *self, bool frozen);
void mf_sim_node_freeze_agent(struct mf_sim_node *self, bool frozen);
bool mf_sim_node_agent_stopped(const struct mf_sim_node *self);
/* Whom a cut concerns: bits. */
enum { MF_SIM_BROKER = 1, MF_SIM_MONITORS = 2, MF_SIM_PEERS = 4, MF_SIM_EVERYBODY = 7 };
void mf_sim_node_cut(struct mf_sim_node *self, unsigned whom, enum mf_sim_way way, bool cut);
void mf_sim_node_clog(struct mf_sim_node *self, unsigned whom, enum mf_sim_way way, mf_ms for_ms);
void mf_sim_node_heal(struct mf_sim_node *self); /* its paths, its host, its driver and its processes */
void mf_sim_node_set_wall(struct mf_sim_node *self, mf_ms skew);

/* Since when the node hears the broker without a break; -1 if it does not. */
mf_ms mf_sim_node_hears_since(const struct mf_sim_node *self);

void mf_sim_node_look(struct mf_sim_node *self); /* keeps silent_since */

/* A guest ended by itself. */
void mf_sim_node_guest_died(struct mf_sim_node *self, struct mf_uuid id, bool watched);

/* -- inside the node: keeper.c and sim_node.c */
void mf_sim_keeper_start(struct mf_sim_node *node);
void mf_sim_keeper_stop(struct mf_sim_node *node);
void mf_sim_keeper_session(struct mf_sim_node *node, const struct mf_worker_action *action);
void mf_sim_keeper_agent_ended(struct mf_sim_node *node);
void mf_sim_keeper_agent_began(struct mf_sim_node *node);
void mf_sim_keeper_death(struct mf_sim_node *node, struct mf_uuid id, enum mf_death how);
void mf_sim_keeper_tell(struct mf_sim_node *node, const struct mf_worker_event *what); /* soon, in order */
void mf_sim_keeper_datagram(struct mf_sim_node *node, struct mf_sim_host from, const void *bytes, size_t len);
void mf_sim_ending_agent_began(struct mf_sim_node *node);
bool mf_sim_ending_without_agent(struct mf_sim_node *node); /* false: it goes on, another one will come */
void mf_sim_ending_action(struct mf_sim_node *node, enum mf_worker_action_kind kind);
void mf_sim_ending_fires(struct mf_sim_event *event);
void mf_sim_agent_start(struct mf_sim_node *node);
void mf_sim_agent_stop(struct mf_sim_node *node, bool silent);
void mf_sim_agent_feed(struct mf_sim_node *node, const struct mf_worker_event *event);
/* -- inside the agent: sim_agent.c and sim_jobs.c */
void mf_sim_jobs_begin(struct mf_sim_node *node, const struct mf_worker_action *action);
void mf_sim_jobs_drop(struct mf_sim_node *node, bool host_lives); /* what was half done is done or not */
void mf_sim_images_action(struct mf_sim_node *node, const struct mf_worker_action *action);
void mf_sim_jobs_note_death(struct mf_sim_node *node, struct mf_uuid id, mf_ms delay_ms);

#endif
