/* probe.c - second opinions of us: a probe that carries the MAC of our epoch's key is answered by an echo
 * with its nonce. What concerns others is relay.c's. Anything else is answered by silence, so that the socket
 * tells a stranger nothing and amplifies nothing. */
#include "keeper.h"
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void advertise(struct mf_keeper *self)
{
    const char *bind_text = self->options.probe_bind;
    int host_len = (int)(strrchr(bind_text, ':') - bind_text);
    bool any = !strncmp(bind_text, "0.0.0.0:", 8) || !strncmp(bind_text, "[::]:", 5);
    if (self->options.probe_host[0])
        mf_str_format(self->probe_address, sizeof self->probe_address, "%s:%u", self->options.probe_host,
                      self->probe_port);
    else if (!any)
        mf_str_format(self->probe_address, sizeof self->probe_address, "%.*s:%u", host_len, bind_text,
                      self->probe_port);
}

int mf_keeper_probe_open(struct mf_keeper *self, char error[512])
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    int r = mf_keeper_address(self->options.probe_bind, &address);
    if (r == 0) {
        self->probe_family = address.ss_family;
        self->probe = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (self->probe < 0 ||
            bind(self->probe, (struct sockaddr *)&address, mf_keeper_address_size(&address)) < 0 ||
            getsockname(self->probe, (struct sockaddr *)&address, &size) < 0)
            r = -errno;
    }
    if (r < 0) {
        snprintf(error, 512, "--probe-bind %s: %s%s", self->options.probe_bind, strerror(-r),
                 r == -EADDRINUSE ? "; another program has this port"
                                  : "; is it an address of this machine?");
        return r;
    }
    self->probe_port = ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                                           : ((struct sockaddr_in *)&address)->sin_port);
    advertise(self);
    return mf_keeper_poll(self, self->probe, MF_KEEPER_PROBE, 0);
}

static bool ours(const struct mf_keeper *self, const uint8_t *bytes, const struct mf_pulse *probe)
{
    return self->in_session && probe->kind == MF_PULSE_PROBE && probe->epoch == self->epoch &&
           !strcmp(probe->node, self->node) && mf_pulse_verify(bytes, self->key);
}

static void answer(struct mf_keeper *self, uint64_t nonce, const struct sockaddr_storage *from)
{
    uint8_t bytes[MF_PULSE_SIZE];
    struct mf_pulse echo;
    mf_keeper_pulse_fill(self, MF_PULSE_ECHO, &echo);
    echo.nonce = nonce;
    mf_pulse_encode(&echo, self->key, bytes);
    (void)sendto(self->probe, bytes, sizeof bytes, MSG_NOSIGNAL, (const struct sockaddr *)from,
                 mf_keeper_address_size(from));
}

static void take(struct mf_keeper *self, const uint8_t *bytes, size_t len,
                 const struct sockaddr_storage *from)
{
    struct mf_pulse pulse;
    if (len == MF_RELAY_SIZE)
        mf_keeper_relay(self, bytes, len, from);
    else if (len != MF_PULSE_SIZE || mf_pulse_peek(bytes, len, &pulse) < 0)
        return;
    else if (pulse.kind == MF_PULSE_ECHO)
        mf_keeper_relay_echo(self, bytes, &pulse);
    else if (ours(self, bytes, &pulse))
        answer(self, pulse.nonce, from);
}

void mf_keeper_probe_read(struct mf_keeper *self)
{
    uint8_t bytes[MF_RELAY_SIZE + 1];
    for (int i = 0; i < 64; i++) { /* a flood of probes must not keep us from the rest */
        struct sockaddr_storage from = {0};
        socklen_t size = sizeof from;
        ssize_t len = recvfrom(self->probe, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &size);
        if (len < 0 && errno != EINTR)
            return;
        if (len > 0)
            take(self, bytes, (size_t)len, &from);
    }
}
