/* keeper_wire.h - what keeper and agent say to one another over the SOCK_SEQPACKET pair that the keeper makes
 * and the agent inherits as fd 3. One fixed struct per packet: both are of one build on one machine (the
 * version is checked all the same). */
#ifndef MF_KEEPER_WIRE_H
#define MF_KEEPER_WIRE_H

#include "message.h"
#include "pulse.h"

enum { MF_KEEPER_FD = 3, MF_KEEPER_VERSION = 1, MF_KEEPER_MONITORS = 16 };

enum mf_keeper_packet_kind {
    /* keeper to agent */
    MF_KEEPER_START = 1, /* first packet: started_ms, pid (the keeper's own), boot_id, node (if it was told
                            one), probe_port, probe_address (if it can be reached), and of the last session
                            epoch, term, cluster_id */
    MF_KEEPER_DEATH, /* id, text: the guest's process is gone. Repeated until DEATH_SEEN, also to a new agent
                      */
    /* agent to keeper */
    MF_KEEPER_WATCH, /* id, pid: hold its pidfd. The pid is believed only if /proc/PID/cmdline holds the id */
    MF_KEEPER_UNWATCH,    /* id: we destroyed it; its end is no news */
    MF_KEEPER_DEATH_SEEN, /* id */
    MF_KEEPER_SESSION,    /* node, epoch, term, cluster_id, key, pulse_ms, monitors: pulse this from now on */
    MF_KEEPER_READY       /* the agent has listed and watched all its guests */
};
struct mf_keeper_packet {
    uint32_t version, kind;
    struct mf_uuid id;
    int64_t pid;
    mf_ms started_ms, pulse_ms;
    uint64_t epoch;
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
