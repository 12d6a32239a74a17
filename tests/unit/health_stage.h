/* health_stage.h - the ear in virtual time: nodes that pulse and answer probes over a network that can be
 * cut, a broker that tells, and the trace of what the monitor said; times in it are milliseconds since the
 * last mark. */
#ifndef MF_HEALTH_STAGE_H
#define MF_HEALTH_STAGE_H

#include "address.h"
#include "health.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

enum { GUESTS = 8, LOOK_MS = 5 };
enum { NODES = 6, MONITOR = NODES, ON_THE_WAY = 256, PULSE_MS = 200, SILENCE_MS = 1200, GRACE_MS = 30000 };

struct stage_node {
    char name[16], address[32], rack[16];
    uint64_t epoch, counter;
    uint8_t key[MF_PULSE_KEY];
    bool pulsing, agent_dead; /* a keeper that does not pulse does not answer either */
    uint32_t guests;
    mf_ms next;      /* pulse */
    unsigned probed; /* probes that reached it */
    uint64_t nonce;  /* of the last of them */
    unsigned relays; /* relays that it was asked for */
};
struct stage_datagram {
    mf_ms due;
    uint8_t bytes[MF_PULSE_SIZE];
};
struct stage_guest {
    struct mf_uuid id;
    char address[16];
    bool broken, silent, unreachable; /* refuses; does not answer at all; there is no way to it */
    unsigned looked;                  /* looks that reached it */
};
struct stage_look {
    mf_ms due;
    uint64_t number;
    enum mf_look_end how;
    const char *text;
};
struct health_stage {
    struct mf_health *core;
    struct stage_node nodes[NODES];
    mf_ms now, mark;
    struct mf_buf trace;
    unsigned alives; /* said so far, which no trace shows */
    struct mf_msg_monitor_alive last_alive;
    struct mf_msg_monitor_verdict last_verdict;
    bool cut[NODES + 1][NODES + 1]; /* from, to */
    unsigned loss;                  /* percent of datagrams */
    struct mf_random random;
    struct stage_datagram echoes[ON_THE_WAY];
    size_t n_echoes;
    unsigned sent; /* datagrams by the monitor */
    struct stage_guest guests[GUESTS];
    struct stage_look looks[ON_THE_WAY];
    size_t n_looks;
    unsigned begun; /* looks, so far */
};
extern struct health_stage stage;

int stage_begin(void **state); /* cmocka set-up and tear-down */
int stage_end(void **state);
void stage_without_probes(void); /* begin anew with a monitor that asks nobody */
/* So many nodes, ready, connected, pulsing for a second; mark is the moment of their latest pulse. */
void stage_begin_some(size_t n);
void stage_begin_two(void);

void stage_feed(const struct mf_health_event *event);
void stage_feed_kind(enum mf_health_event_kind kind);
void stage_feed_message(const struct mf_message *message);
void stage_feed_bytes(const uint8_t *bytes, size_t len); /* a datagram */
void stage_welcome(void);
void stage_told(struct stage_node *node, bool connected, enum mf_node_state state); /* monitor-node */

/* monitor-guest: one TCP check each second, three failures are too many. */
void stage_told_guest(size_t guest);
void stage_told_guest_as(size_t guest, struct mf_rec_check check);
void stage_withdrawn(size_t guest);

void stage_pulse_bytes(const struct stage_node *node, uint64_t counter, uint8_t ret_bytes[MF_PULSE_SIZE]);
void stage_beat(struct stage_node *node); /* one pulse, now */
void stage_start_pulsing(struct stage_node *node);
/* Nothing passes from one to the other; and both ways. */
void stage_cut_way(size_t from, size_t to);
void stage_cut(size_t a, size_t b);
void stage_heal(void); /* every cut */
/* Until `ms` after the mark: pulses as they are due, the core's deadlines kept to the millisecond. */
void stage_run_to(mf_ms ms);

void stage_set_mark(void); /* and forget the trace */
void stage_assert_trace(const char *expected);
bool stage_said(const char *words); /* in the trace, which stays */

#endif
