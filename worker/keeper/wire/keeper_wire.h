/* keeper_wire.h - what keeper and agent say to one another over the SOCK_SEQPACKET pair that the keeper makes
 * and the agent inherits as fd 3. One fixed struct per packet: both are of one build on one machine (the
 * version is checked all the same).
 *
 * How an at-most guest is born: INTENT, as soon as it is ordered; the keeper asks for a lease (LEASE_ASK,
 * which the agent passes to the broker, and LEASE_GRANT, which it passes back) and answers INTENT_OK; the
 * guest is made paused and told by WATCH with MF_KEEPER_AT_MOST; only when WATCHED says MF_KEEPER_HELD is it
 * resumed. INTENT_OVER ends it, however the create went.
 *
 * How a worker ends whose guests end with it: END; the agent begins nothing more and says QUIET when nothing
 * is being born; the keeper kills all there is, and says ALL_DEAD when it is gone; the agent tells the
 * broker, and says LEFT. Before that, if it was asked for, DRAIN, which is answered by LEFT too. */
#ifndef MF_KEEPER_WIRE_H
#define MF_KEEPER_WIRE_H

#include "message.h"
#include "pulse.h"

enum { MF_KEEPER_FD = 3, MF_KEEPER_VERSION = 3, MF_KEEPER_MONITORS = 16 };

enum mf_keeper_packet_kind {
    /* keeper to agent */
    MF_KEEPER_START = 1, /* first packet: started_ms, pid (the keeper's own), boot_id, node (if it was told
                            one), probe_port, probe_address (if it can be reached), MF_KEEPER_FENCES or why
                            not in text, and of the last session epoch, term, cluster_id */
    MF_KEEPER_DEATH, /* id, text, MF_KEEPER_FENCED: the guest's process is gone. Repeated until DEATH_SEEN,
                        also to a new agent */
    MF_KEEPER_INTENT_OK, /* id: a lease was asked for and got since the intent came */
    MF_KEEPER_WATCHED,   /* id, MF_KEEPER_HELD: answers a WATCH with MF_KEEPER_AT_MOST */
    MF_KEEPER_LEASE_ASK, /* epoch, ask_id: for the broker */
    MF_KEEPER_DRAIN,     /* remaining_ms: have the node drained; said again to a new agent */
    MF_KEEPER_END,       /* every guest is about to be killed */
    MF_KEEPER_ALL_DEAD,  /* and is */
    /* agent to keeper */
    MF_KEEPER_WATCH,       /* id, pid, MF_KEEPER_AT_MOST: hold its pidfd. The pid is believed only if
                              /proc/PID/cmdline holds the id */
    MF_KEEPER_UNWATCH,     /* id: we destroyed it; its end is no news */
    MF_KEEPER_DEATH_SEEN,  /* id */
    MF_KEEPER_INTENT,      /* id: a create of an at-most guest is ordered */
    MF_KEEPER_INTENT_OVER, /* id: that create was dropped, failed, or led to a guest that is watched */
    MF_KEEPER_LEASE_GRANT, /* epoch, ask_id, lease_ms: from the broker */
    MF_KEEPER_SESSION, /* node, epoch, term, cluster_id, key, pulse_ms, renew_ms, monitors: pulse this from
                          now on */
    MF_KEEPER_READY,   /* the agent has listed and watched all its guests; MF_KEEPER_GUESTS_DIE */
    MF_KEEPER_QUIET,   /* nothing is being born any more */
    MF_KEEPER_LEFT     /* the node is drained; or the broker was told that all are dead */
};
enum mf_keeper_flags {
    MF_KEEPER_FENCES = 1u << 0,    /* START: the keeper can end any guest of this machine by itself */
    MF_KEEPER_AT_MOST = 1u << 1,   /* WATCH: it may run under a lease only */
    MF_KEEPER_HELD = 1u << 2,      /* WATCHED: its process is held and the lease is valid */
    MF_KEEPER_FENCED = 1u << 3,    /* DEATH: the keeper ended it, for the lease was over */
    MF_KEEPER_GUESTS_DIE = 1u << 4 /* READY: the guests end with the keeper */
};
struct mf_keeper_packet {
    uint32_t version, kind, flags;
    struct mf_uuid id;
    int64_t pid;
    mf_ms started_ms, pulse_ms, renew_ms, lease_ms, remaining_ms;
    uint64_t epoch, ask_id;
    uint32_t probe_port, n_monitors;
    uint8_t key[MF_PULSE_KEY];
    char boot_id[65];
    char text[128];
    char monitors[MF_KEEPER_MONITORS][101]; /* HOST:PORT, numeric */
    char node[MF_NAME_MAX + 1];
    char probe_address[101];
    uint64_t term;
    struct mf_uuid cluster_id;
};

#endif
