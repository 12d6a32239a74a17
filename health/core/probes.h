/* probes.h - second opinions: quiet nodes are probed, directly and through peers that are heard. How much is
 * asked is bounded, and nothing waits for an answer. Private to this folder. */
#ifndef MF_PROBES_H
#define MF_PROBES_H

#include "ear.h"

enum { MF_PROBES_PER_S = 2000, MF_PROBES_BURST = 400 }; /* rounds; 4 datagrams each */

struct mf_probes {
    struct mf_random random;
    struct mf_ear **ears; /* all that may be peers */
    size_t n, cap;
    uint64_t rounds_left;
    mf_ms counted_ms; /* until when rounds_left is counted */
    struct mf_ear *first, *last;
    uint64_t sent, put_off, answered; /* datagrams, rounds, echoes */
};

struct mf_probes_datagram {
    const char *address;
    uint8_t bytes[MF_RELAY_SIZE];
    size_t len;
};

void mf_probes_add(struct mf_probes *self, struct mf_ear *ear);
void mf_probes_forget(struct mf_probes *self); /* every ear, and every round that is not sent */
void mf_probes_free(struct mf_probes *self);
/* Ask about it if that is due. */
void mf_probes_attend(struct mf_probes *self, struct mf_ear *ear, const struct mf_ear_limits *limits,
                      mf_ms now);
/* The next datagram to send. */
bool mf_probes_poll(struct mf_probes *self, struct mf_probes_datagram *ret_datagram);

#endif
