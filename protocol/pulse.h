/* pulse.h - the datagrams between keeper and monitor: pulses, probes, their echoes, and probes by a peer.
 *
 * One layout, little endian: magic 4 ("MFP1"), kind 4, node name length 1, node name 63 (zero padded), epoch
 * 8, boot id 16 (BLAKE2b of the host's boot_id text), counter 8, flags 4, guests 4, nonce 8, MAC 32. The MAC
 * is BLAKE2b keyed with the epoch's key over all before it (RFC 7693). Encoding and checking allocate
 * nothing: the keeper must pulse when memory is short.
 *
 * A relay asks a peer for a second opinion: the same head (without its MAC) with the peer's name and epoch,
 * then the target's address 16 (IPv6, or IPv4 mapped into it) and port 2, then a whole probe 152 that only
 * the target can check, then the MAC 32 of the peer's key over all of it. The peer sends the probe on and
 * passes the target's echo back as it came: it can neither make one nor change one. The nonce of a relay is
 * its probe's. */
#ifndef MF_PULSE_H
#define MF_PULSE_H

#include "ids.h"
#include "message.h"

enum { MF_PULSE_SIZE = 152, MF_PULSE_KEY = 32, MF_RELAY_SIZE = 322 };
enum mf_pulse_kind { MF_PULSE_BEAT = 1, MF_PULSE_PROBE, MF_PULSE_ECHO, MF_PULSE_RELAY };
enum { MF_PULSE_AGENT_ALIVE = 1u << 0 };

struct mf_pulse {
    enum mf_pulse_kind kind;
    char node[MF_NAME_MAX + 1];
    uint64_t epoch;
    uint8_t boot[16];
    uint64_t counter; /* rises with every pulse of one keeper; a monitor ignores one that does not */
    uint32_t flags;   /* MF_PULSE_AGENT_ALIVE */
    uint32_t guests;  /* alive, by their pidfds */
    uint64_t nonce;   /* of a probe, echoed */
};

void mf_pulse_encode(const struct mf_pulse *pulse, const uint8_t key[MF_PULSE_KEY],
                     uint8_t ret_bytes[MF_PULSE_SIZE]);
/* Read without trusting: fills *ret_pulse so that the key can be looked up by node; -EBADMSG if it is no
 * pulse. */
int mf_pulse_peek(const void *bytes, size_t len, struct mf_pulse *ret_pulse);
/* Constant-time check of the MAC. */
bool mf_pulse_verify(const uint8_t bytes[MF_PULSE_SIZE], const uint8_t key[MF_PULSE_KEY]);

struct mf_relay {
    struct mf_pulse head; /* kind MF_PULSE_RELAY; node and epoch are the peer's; the nonce is the probe's */
    uint8_t address[16];  /* of the target: IPv6, or IPv4 as ::ffff:a.b.c.d */
    uint16_t port;        /* not 0 */
    uint8_t probe[MF_PULSE_SIZE]; /* with the target's MAC; to be sent as it is */
};

void mf_relay_encode(const struct mf_relay *relay, const uint8_t key[MF_PULSE_KEY],
                     uint8_t ret_bytes[MF_RELAY_SIZE]);
/* As mf_pulse_peek; what a relay carries is always a well-formed probe with the relay's nonce. */
int mf_relay_peek(const void *bytes, size_t len, struct mf_relay *ret_relay);
bool mf_relay_verify(const uint8_t bytes[MF_RELAY_SIZE], const uint8_t key[MF_PULSE_KEY]);

/* The key of a node's epoch, derived from the cluster's pulse secret: no key is ever stored or logged. */
void mf_pulse_key(const uint8_t secret[32], struct mf_str node, uint64_t epoch,
                  uint8_t ret_key[MF_PULSE_KEY]);
void mf_pulse_boot(struct mf_str boot_id, uint8_t ret_boot[16]);

#endif
