/* health.h - the ear: who is alive, who only looks dead. A pure core, as broker.h. It judges silence; facts
 * and decisions are others'.
 *
 * Rules (default: pulse 200 ms, silence 1200 ms, grace 30 s): a node whose connection is closed (the broker
 * says so) and that has not pulsed for 3 intervals is failed; one that is silent alone is suspect at 3
 * intervals and failed at silence_ms; one whose pulses say "agent dead" for longer than the grace is failed.
 * Once two pulses are missing a node is probed, directly and through peers: whoever answers is not dead, and
 * stays suspect. A monitor that hears too few of the nodes whose connection is open doubts itself and judges
 * nobody. A verdict names an epoch. Every node gets a fresh full grace after monitor-welcome (a broker or a
 * link came back); this monitor's own lateness is counted as heard time. docs/DETECTION.md has every case.
 *
 * It also looks at guests from outside, where their groups ask for that (checks.h). */
#ifndef MF_HEALTH_H
#define MF_HEALTH_H

#include "message.h"
#include "networks.h"
#include "pulse.h"

struct mf_health;

struct mf_health_config {
    char name[MF_NAME_MAX + 1];
    char pulse_address[101]; /* told to the broker */
    mf_ms tick_ms;           /* own loop's beat; default 10 */
    mf_ms late_ms;           /* a beat later than this pardons every node by the lateness; default 50 */
    mf_ms hello_ms;          /* monitor-hello is sent again until welcomed; default 500 */
    mf_ms alive_ms;          /* monitor-alive interval; default 500 */
    mf_ms verdict_resend_ms; /* a verdict is sent again until monitor-node shows its effect; default 300 */
    mf_ms verdict_slow_ms;   /* the same, after it was said 3 times; default 1000 */
    bool probe;              /* ask for second opinions; default true */
    mf_ms ask_ms;            /* between two rounds of probes while nothing is known; default 100 */
    mf_ms ask_slow_ms;       /* and once it is; default 500 */
    uint64_t seed;           /* of the choice of peers, of nonces and of jitter; another at every start */
    struct mf_networks check_networks; /* guests elsewhere are not looked at */
    uint32_t check_guests;             /* guests looked at, at most; default 10000 */
    uint32_t check_looks;              /* looks under way at once, at most; default 256 */
};
void mf_health_config_default(struct mf_health_config *ret_config);

enum mf_health_event_kind {
    MF_HEALTH_TICK,
    MF_HEALTH_LINK_UP, /* the connection to the broker is up (again) */
    MF_HEALTH_LINK_DOWN,
    MF_HEALTH_MESSAGE, /* from the broker: monitor-welcome, monitor-node, monitor-guest, error */
    MF_HEALTH_PULSE,   /* bytes, len: a datagram as it came, unverified: a pulse or an echo */
    MF_HEALTH_LOOKED   /* look, how, text: what became of a look. Every look has its end */
};
enum mf_look_end {
    MF_LOOK_PASSED,
    MF_LOOK_FAILED,
    MF_LOOK_VOID /* this host could not look: that says nothing of the guest */
};
struct mf_health_event {
    enum mf_health_event_kind kind;
    const struct mf_message *message;
    const void *bytes;
    size_t len;
    uint64_t look;
    enum mf_look_end how;
    const char *text; /* why it did not pass */
};
enum { MF_GUEST_ADDRESS = 46 };
struct mf_health_look {
    uint64_t number;
    const char *address; /* numeric, without a port */
    uint16_t port;
    enum mf_check_kind kind;
    const char *path; /* of http */
    mf_ms timeout_ms;
};
enum mf_health_action_kind {
    MF_HEALTH_SEND,     /* message, to the broker */
    MF_HEALTH_DATAGRAM, /* address, bytes, len: from the socket that pulses come in by, so that answers do */
    MF_HEALTH_LOOK      /* look: at a guest; then feed LOOKED */
};
struct mf_health_action {
    enum mf_health_action_kind kind;
    const struct mf_message *message;
    const char *address; /* HOST:PORT, numeric (protocol/address.h) */
    const void *bytes;
    size_t len;
    struct mf_health_look look;
};

struct mf_health *mf_health_new(const struct mf_health_config *config);
void mf_health_destroy(struct mf_health **self);
void mf_health_feed(struct mf_health *self, mf_ms now, const struct mf_health_event *event);
bool mf_health_poll(struct mf_health *self, struct mf_health_action *ret_action);
mf_ms mf_health_deadline(const struct mf_health *self);
void mf_health_check(const struct mf_health *self);
void mf_health_describe(const struct mf_health *self, struct mf_buf *buf);

#endif
