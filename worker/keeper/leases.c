/* leases.c - the lease's clockwork (lease/lease.h) between the agent's socket, a timer and the guests'
 * processes. The timer runs on CLOCK_BOOTTIME, so that a host that slept through its lease's end fences as it
 * wakes. What a keeper knows is kept in a small file, the lease's end and whom it holds: one that starts
 * again in the same boot fences them in time even if its agent never finds them, and without the file fences
 * what is found. */
#include "keeper.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

struct kept {
    uint8_t boot[16];
    mf_ms until;
};

/* False if it is of another boot, or no file of ours. */
static bool read_kept(struct mf_keeper *self, struct kept *ret_kept)
{
    return self->lease_file >= 0 &&
           pread(self->lease_file, ret_kept, sizeof *ret_kept, 0) == sizeof *ret_kept &&
           memcmp(ret_kept->boot, self->boot, sizeof ret_kept->boot) == 0 &&
           ret_kept->until <= self->now + MF_KEEPER_LEASE_MAX_MS;
}

static off_t place_of(unsigned index)
{
    return (off_t)(sizeof(struct kept) + index * sizeof(struct mf_uuid));
}

static void restore_guests(struct mf_keeper *self)
{
    struct mf_uuid id;
    for (unsigned i = 0; i < MF_KEEPER_GUESTS_MAX; i++)
        if (pread(self->lease_file, &id, sizeof id, place_of(i)) == sizeof id && !mf_uuid_is_zero(id))
            mf_lease_restore(&self->lease, self->now, id);
}

void mf_keeper_lease_note(struct mf_keeper *self, unsigned index, struct mf_uuid id)
{
    if (self->lease_file >= 0 &&
        pwrite(self->lease_file, &id, sizeof id, place_of(index)) != (ssize_t)sizeof id)
        mf_keeper_log(self, "warning", "a guest cannot be written down: %s", strerror(errno));
}

/* What is lost here makes the next keeper fence too early, never too late. */
static void write_kept(struct mf_keeper *self)
{
    struct kept kept = {.until = self->lease.until};
    memcpy(kept.boot, self->boot, sizeof kept.boot);
    if (self->lease_file >= 0 && pwrite(self->lease_file, &kept, sizeof kept, 0) != sizeof kept)
        mf_keeper_log(self, "warning", "the lease cannot be written down: %s", strerror(errno));
}

static void open_file(struct mf_keeper *self)
{
    char path[4096];
    self->lease_file = -1;
    if (!self->options.pid_file)
        return;
    snprintf(path, sizeof path, "%s.lease", self->options.pid_file);
    self->lease_file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (self->lease_file < 0)
        mf_keeper_log(self, "warning", "%s: %s; a keeper that starts again will fence its at-most guests",
                      path, strerror(errno));
}

int mf_keeper_leases_open(struct mf_keeper *self, char error[512])
{
    self->lease_timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (self->lease_timer < 0) {
        snprintf(error, 512, "the lease's timer: %s", strerror(errno));
        return -errno;
    }
    open_file(self);
    struct kept kept = {0};
    bool known = read_kept(self, &kept);
    mf_lease_init(&self->lease, self->lease_entries, MF_KEEPER_LEASES_MAX, (uint64_t)self->started_ms,
                  known ? kept.until : 0);
    if (known)
        restore_guests(self);
    else if (self->lease_file >= 0 && ftruncate(self->lease_file, 0) == 0)
        write_kept(self);
    return mf_keeper_poll(self, self->lease_timer, MF_KEEPER_LEASE, 0);
}

void mf_keeper_lease_granted(struct mf_keeper *self, const struct mf_keeper_packet *packet)
{
    if (mf_lease_granted(&self->lease, self->now, packet->epoch, packet->ask_id, packet->lease_ms))
        write_kept(self);
}

void mf_keeper_intent(struct mf_keeper *self, struct mf_uuid id)
{
    if (!mf_lease_intent(&self->lease, self->now, id))
        mf_keeper_log(self, "error", "more than %d at-most guests: this one is not created",
                      MF_KEEPER_LEASES_MAX);
}

static void clear(struct mf_keeper *self, struct mf_uuid id)
{
    struct mf_keeper_packet packet = {.kind = MF_KEEPER_INTENT_OK, .id = id};
    if (!mf_keeper_agent_send(self, &packet))
        mf_keeper_intent(self, id); /* an agent that is behind hears of the next lease */
}

static void carry_out(struct mf_keeper *self, const struct mf_lease_action *action)
{
    struct mf_keeper_packet ask = {
        .kind = MF_KEEPER_LEASE_ASK, .epoch = action->epoch, .ask_id = action->ask_id};
    switch (action->kind) {
    case MF_LEASE_ASK:
        mf_keeper_agent_send(self, &ask);
        break;
    case MF_LEASE_CLEAR:
        clear(self, action->id);
        break;
    case MF_LEASE_FENCE:
        mf_keeper_fence(self, action->id);
        break;
    case MF_LEASE_SCAN:
        mf_keeper_scan(self);
        break;
    }
}

static void arm(struct mf_keeper *self)
{
    mf_ms at = mf_lease_deadline(&self->lease);
    if (at == self->lease_at)
        return;
    self->lease_at = at;
    struct itimerspec when = {0}; /* at INT64_MAX: none */
    if (at != INT64_MAX)
        when.it_value = (struct timespec){at / 1000, at % 1000 * 1000000 + 1};
    timerfd_settime(self->lease_timer, TFD_TIMER_ABSTIME, &when, NULL);
}

void mf_keeper_lease_run(struct mf_keeper *self)
{
    struct mf_lease_action action;
    while (mf_lease_poll(&self->lease, self->now, &action))
        carry_out(self, &action);
    arm(self);
}

void mf_keeper_lease_rings(struct mf_keeper *self)
{
    uint64_t expirations;
    if (read(self->lease_timer, &expirations, sizeof expirations) < 0)
        return;
    self->lease_at = INT64_MAX; /* it rings once */
}
