/* pulses.c - the heartbeat: one signed datagram to every monitor each pulse_ms, from the first session on.
 * What a send answers is of no interest: a monitor that is away comes back, and the next pulse is 200 ms off.
 * Nothing here allocates. */
#include "keeper.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

int mf_keeper_pulses_open(struct mf_keeper *self, char error[512])
{
    self->timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    self->sender4 = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    self->sender6 = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                           0); /* -1 where there is no IPv6: no harm */
    if (self->timer < 0 || self->sender4 < 0) {
        snprintf(error, 512, "the pulses' timer and socket: %s", strerror(errno));
        return -errno;
    }
    self->counter = (uint64_t)self->started_ms; /* rises over restarts too */
    return mf_keeper_poll(self, self->timer, MF_KEEPER_TIMER, 0);
}

void mf_keeper_session(struct mf_keeper *self, const struct mf_keeper_packet *packet)
{
    if (packet->pulse_ms < 10 || packet->n_monitors > MF_KEEPER_MONITORS ||
        !mf_name_valid(mf_str(packet->node))) {
        mf_keeper_log(self, "error", "the agent told a session that makes no sense; it is not taken");
        return;
    }
    self->in_session = true;
    mf_str_format(self->node, sizeof self->node, "%s", packet->node);
    self->epoch = packet->epoch;
    self->term = packet->term;
    self->cluster_id = packet->cluster_id;
    memcpy(self->key, packet->key, sizeof self->key);
    self->n_monitors = 0;
    for (unsigned i = 0; i < packet->n_monitors; i++) {
        if (mf_keeper_address(packet->monitors[i], &self->monitors[self->n_monitors]) == 0)
            self->n_monitors++;
        else
            mf_keeper_log(self, "warning", "monitor address %s is not numeric HOST:PORT; not pulsed to",
                          packet->monitors[i]);
    }
    self->pulse_ms = packet->pulse_ms;
    mf_lease_session(&self->lease, self->now, packet->epoch, packet->renew_ms);
    struct timespec interval = {packet->pulse_ms / 1000, packet->pulse_ms % 1000 * 1000000};
    struct itimerspec when = {.it_interval = interval, .it_value = interval};
    timerfd_settime(self->timer, 0, &when, NULL);
    mf_keeper_beat(self); /* the epoch is heard at once */
}

void mf_keeper_pulse_fill(struct mf_keeper *self, enum mf_pulse_kind kind, struct mf_pulse *ret_pulse)
{
    *ret_pulse = (struct mf_pulse){
        .kind = kind,
        .epoch = self->epoch,
        .counter = ++self->counter,
        .flags = self->agent_pid > 0 && self->agent_ready ? MF_PULSE_AGENT_ALIVE : 0,
        .guests = self->n_alive,
    };
    mf_str_format(ret_pulse->node, sizeof ret_pulse->node, "%s", self->node);
    memcpy(ret_pulse->boot, self->boot, sizeof ret_pulse->boot);
}

void mf_keeper_beat(struct mf_keeper *self)
{
    struct mf_pulse pulse;
    uint8_t bytes[MF_PULSE_SIZE];
    if (self->all_dead)
        return; /* the end is told: nothing is to sound like life */
    mf_keeper_pulse_fill(self, MF_PULSE_BEAT, &pulse);
    mf_pulse_encode(&pulse, self->key, bytes);
    for (unsigned i = 0; i < self->n_monitors; i++) {
        const struct sockaddr_storage *to = &self->monitors[i];
        int fd = to->ss_family == AF_INET6 ? self->sender6 : self->sender4;
        (void)sendto(fd, bytes, sizeof bytes, MSG_NOSIGNAL, (const struct sockaddr *)to,
                     mf_keeper_address_size(to));
    }
}
