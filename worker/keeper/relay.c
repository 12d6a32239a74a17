/* relay.c - second opinions for a monitor that does not hear another node: it asks us to probe that node.
 * What we send on was made by the monitor and signed with the other node's key, and its echo goes back as it
 * came, to nobody but who asked: we can neither make an opinion nor change one. One datagram leaves for each
 * authentic one that came, and not more than the table holds per second. */
#include "keeper.h"
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

/* Nonce 0 is that of a place whose echo came: nobody may answer it again. */
static struct mf_keeper_relay *find(struct mf_keeper *self, uint64_t nonce)
{
    for (unsigned i = 0; nonce != 0 && i < MF_KEEPER_RELAYS; i++)
        if (self->relays[i].expires > self->now && self->relays[i].nonce == nonce)
            return &self->relays[i];
    return NULL;
}

static struct mf_keeper_relay *place(struct mf_keeper *self)
{
    for (unsigned i = 0; i < MF_KEEPER_RELAYS; i++)
        if (self->relays[i].expires <= self->now)
            return &self->relays[i];
    return NULL;
}

/* Of the family of our socket; false if that cannot reach it. */
static bool address_of(const struct mf_keeper *self, const struct mf_relay *relay,
                       struct sockaddr_storage *ret_address)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(relay->port)};
    struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = htons(relay->port)};
    memcpy(&in6.sin6_addr, relay->address, sizeof relay->address);
    memcpy(&in4.sin_addr, relay->address + 12, 4);
    memset(ret_address, 0, sizeof *ret_address);
    if (self->probe_family == AF_INET6)
        memcpy(ret_address, &in6, sizeof in6);
    else
        memcpy(ret_address, &in4, sizeof in4);
    return self->probe_family == AF_INET6 || IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr);
}

void mf_keeper_relay(struct mf_keeper *self, const uint8_t *bytes, size_t len,
                     const struct sockaddr_storage *from)
{
    struct mf_relay relay;
    struct sockaddr_storage to;
    if (!self->in_session || mf_relay_peek(bytes, len, &relay) < 0 || relay.head.epoch != self->epoch ||
        strcmp(relay.head.node, self->node) != 0 || !mf_relay_verify(bytes, self->key) ||
        !address_of(self, &relay, &to))
        return;
    struct mf_keeper_relay *place_ = place(self);
    if (!place_ || find(self, relay.head.nonce))
        return;
    *place_ = (struct mf_keeper_relay){
        .nonce = relay.head.nonce, .expires = self->now + MF_KEEPER_RELAY_MS, .monitor = *from};
    (void)sendto(self->probe, relay.probe, sizeof relay.probe, MSG_NOSIGNAL, (struct sockaddr *)&to,
                 mf_keeper_address_size(&to));
}

void mf_keeper_relay_echo(struct mf_keeper *self, const uint8_t bytes[MF_PULSE_SIZE],
                          const struct mf_pulse *echo)
{
    struct mf_keeper_relay *relay = find(self, echo->nonce);
    if (!relay)
        return;
    (void)sendto(self->probe, bytes, MF_PULSE_SIZE, MSG_NOSIGNAL, (struct sockaddr *)&relay->monitor,
                 mf_keeper_address_size(&relay->monitor));
    relay->nonce = 0; /* one echo; its place is free when its second is over */
}
