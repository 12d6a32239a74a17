/* probes.c - who is asked about whom, and when it is too much. */
#include "probes.h"

#include "check.h"
#include <stdlib.h>
#include <string.h>

enum { LOOKS = 64 /* candidates that are looked at for a round's peers */ };

void mf_probes_add(struct mf_probes *self, struct mf_ear *ear)
{
    if (self->n == self->cap) {
        self->cap = self->cap ? 2 * self->cap : 64;
        self->ears = realloc(self->ears, self->cap * sizeof(struct mf_ear *));
        MF_CHECK(self->ears);
    }
    self->ears[self->n++] = ear;
}

static struct mf_ear *unqueue(struct mf_probes *self)
{
    struct mf_ear *ear = self->first;
    self->first = ear->next_to_ask;
    if (!self->first)
        self->last = NULL;
    ear->to_ask = false;
    return ear;
}

void mf_probes_forget(struct mf_probes *self)
{
    while (self->first)
        unqueue(self);
    self->n = 0;
}

void mf_probes_free(struct mf_probes *self)
{
    free(self->ears);
    self->ears = NULL;
}

static void queue(struct mf_probes *self, struct mf_ear *ear)
{
    if (ear->to_ask)
        return;
    ear->to_ask = true;
    ear->next_to_ask = NULL;
    if (self->last)
        self->last->next_to_ask = ear;
    else
        self->first = ear;
    self->last = ear;
}

/* -- who is asked */

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
    return b ? common_divisor(b, a % b) : a;
}

/* With it, every number below n is met once. */
static uint64_t pick_stride(struct mf_random *random, uint64_t n)
{
    uint64_t stride;
    do
        stride = 1 + mf_random_below(random, n);
    while (common_divisor(stride, n) != 1);
    return stride;
}

static bool may_be_peer(const struct mf_ear *peer, const struct mf_ear *ear,
                        const struct mf_ear_limits *limits, mf_ms now)
{
    return peer != ear && peer->probe_address.port && peer->told != MF_NODE_STATE_FAILED &&
           !mf_ear_is_quiet(peer, limits, now);
}

static bool shares_rack(const struct mf_ear *a, const struct mf_ear *b)
{
    return a->rack[0] && strcmp(a->rack, b->rack) == 0;
}

/* Nodes that are heard, at random, from other racks as long as there are such: who sits behind the same
 * switch is cut off with it. */
static void pick_peers(struct mf_probes *self, struct mf_ear *ear, const struct mf_ear_limits *limits,
                       mf_ms now)
{
    struct mf_inquiry *inquiry = &ear->inquiry;
    struct mf_ear *near[MF_INQUIRY_PEERS];
    unsigned n_near = 0;
    uint64_t stride = pick_stride(&self->random, self->n), at = mf_random_below(&self->random, self->n);
    for (size_t i = 0; i < self->n && i < LOOKS && inquiry->n_peers < MF_INQUIRY_PEERS; i++) {
        struct mf_ear *peer = self->ears[at];
        at = (at + stride) % self->n;
        if (!may_be_peer(peer, ear, limits, now))
            continue;
        if (!shares_rack(peer, ear))
            inquiry->peers[inquiry->n_peers++] = peer;
        else if (n_near < MF_INQUIRY_PEERS)
            near[n_near++] = peer;
    }
    while (inquiry->n_peers < MF_INQUIRY_PEERS && n_near > 0)
        inquiry->peers[inquiry->n_peers++] = near[--n_near];
}

/* -- when */

static bool has_round_left(struct mf_probes *self, mf_ms now)
{
    uint64_t more = (uint64_t)(now - self->counted_ms) * MF_PROBES_PER_S / 1000;
    if (more > 0) {
        self->rounds_left =
            more > MF_PROBES_BURST - self->rounds_left ? MF_PROBES_BURST : self->rounds_left + more;
        self->counted_ms = now;
    }
    if (self->rounds_left == 0)
        return false;
    self->rounds_left--;
    return true;
}

/* What is too much is put off by chance, so that of thousands no one is left out for long. */
static void put_off(struct mf_probes *self, struct mf_ear *ear, const struct mf_ear_limits *limits, mf_ms now)
{
    mf_ms by = limits->ask_ms + (mf_ms)mf_random_below(&self->random, (uint64_t)limits->ask_ms);
    ear->inquiry.not_before = now + by;
    self->put_off++;
}

void mf_probes_attend(struct mf_probes *self, struct mf_ear *ear, const struct mf_ear_limits *limits,
                      mf_ms now)
{
    if (mf_ear_ask_at(ear, limits) > now)
        return;
    if (ear->to_ask || !has_round_left(self, now)) {
        put_off(self, ear, limits, now);
        return;
    }
    ear->asked = true;
    mf_inquiry_begin_round(&ear->inquiry, &self->random, now);
    pick_peers(self, ear, limits, now);
    queue(self, ear);
}

/* -- what */

static void make_probe(const struct mf_ear *ear, uint64_t nonce, uint8_t ret_bytes[MF_PULSE_SIZE])
{
    struct mf_pulse probe = {.kind = MF_PULSE_PROBE, .epoch = ear->epoch, .nonce = nonce};
    mf_str_format(probe.node, sizeof(probe.node), "%s", ear->name);
    mf_pulse_encode(&probe, ear->key, ret_bytes);
}

static void make_relay(const struct mf_ear *ear, const struct mf_ear *peer, uint64_t nonce,
                       uint8_t ret_bytes[MF_RELAY_SIZE])
{
    struct mf_relay relay = {.head = {.kind = MF_PULSE_RELAY, .epoch = peer->epoch, .nonce = nonce},
                             .port = ear->probe_address.port};
    mf_str_format(relay.head.node, sizeof(relay.head.node), "%s", peer->name);
    memcpy(relay.address, ear->probe_address.host, sizeof(relay.address));
    make_probe(ear, nonce, relay.probe);
    mf_relay_encode(&relay, peer->key, ret_bytes);
}

bool mf_probes_poll(struct mf_probes *self, struct mf_probes_datagram *ret_datagram)
{
    while (self->first && self->first->probe_address.port == 0)
        unqueue(self); /* the broker said so since its round began */
    struct mf_ear *ear = self->first;
    if (!ear)
        return false;
    struct mf_inquiry *inquiry = &ear->inquiry;
    unsigned i = inquiry->next++;
    uint64_t nonce = mf_inquiry_ask(inquiry, i);
    if (i == 0) {
        ret_datagram->address = ear->probe_text;
        ret_datagram->len = MF_PULSE_SIZE;
        make_probe(ear, nonce, ret_datagram->bytes);
    } else {
        ret_datagram->address = inquiry->peers[i - 1]->probe_text;
        ret_datagram->len = MF_RELAY_SIZE;
        make_relay(ear, inquiry->peers[i - 1], nonce, ret_datagram->bytes);
    }
    if (inquiry->next > inquiry->n_peers)
        unqueue(self);
    self->sent++;
    return true;
}
