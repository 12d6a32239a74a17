/* loop.c - the keeper's one loop: signals, the pulse timer, the probe socket, the agent's socket, the guests'
 * pidfds. */
#include "keeper.h"
#include "notify.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

int mf_keeper_poll(struct mf_keeper *self, int fd, enum mf_keeper_source source, uint32_t index)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)source << 32 | index};
    return epoll_ctl(self->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int open_signals(struct mf_keeper *self)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    self->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return self->signals < 0 ? -errno : mf_keeper_poll(self, self->signals, MF_KEEPER_SIGNALS, 0);
}

/* The agent inherits MAYFLY_READY_FD and writes to it; it must not be fd 3, and our copy must not keep it
 * open for ever. */
static void move_ready_fd(struct mf_keeper *self)
{
    const char *text = getenv("MAYFLY_READY_FD");
    self->ready_fd = text ? atoi(text) : -1;
    if (self->ready_fd <= STDERR_FILENO || self->ready_fd > MF_KEEPER_FD)
        return;
    int moved = fcntl(self->ready_fd, F_DUPFD, 10);
    if (moved < 0)
        return;
    close(self->ready_fd);
    self->ready_fd = moved;
    char number[16];
    snprintf(number, sizeof number, "%d", moved);
    setenv("MAYFLY_READY_FD", number, 1);
}

static void drop_ready_fd(struct mf_keeper *self)
{
    if (self->ready_fd > STDERR_FILENO)
        close(self->ready_fd);
    self->ready_fd = -1;
    unsetenv("MAYFLY_READY_FD");
}

/* A descriptor for each guest. Not more than that: all children inherit the limit, and some walk through it.
 */
static void raise_limits(void)
{
    struct rlimit files;
    rlim_t wanted = 2 * MF_KEEPER_GUESTS_MAX;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur >= wanted)
        return;
    files.rlim_cur = files.rlim_max < wanted ? files.rlim_max : wanted;
    setrlimit(RLIMIT_NOFILE, &files);
}

/* What a keeper before us left running under a lease must not outlive that one: from here on it is ours. */
static int open_leases(struct mf_keeper *self, char error[512])
{
    int r = mf_keeper_pid_file(self->options.pid_file, error);
    if (r == 0)
        r = mf_keeper_scan_open(self, error);
    return r < 0 ? r : mf_keeper_leases_open(self, error);
}

static void end_leases(struct mf_keeper *self)
{
    mf_lease_end(&self->lease, self->now);
    mf_keeper_lease_run(self);
    if (self->lease.n_fenced > 0)
        mf_keeper_scan(self); /* what the agent may have made with its last breath */
}

static int open_all(struct mf_keeper *self, char error[512])
{
    self->epoll = epoll_create1(EPOLL_CLOEXEC);
    int r = self->epoll < 0 ? -errno : open_signals(self);
    if (r == 0 && prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        r = -errno;
    if (r < 0) {
        snprintf(error, 512, "start: %s", strerror(-r));
        return r;
    }
    r = open_leases(self, error);
    if (r < 0)
        return r;
    r = mf_keeper_pulses_open(self, error);
    if (r == 0)
        r = mf_keeper_probe_open(self, error);
    if (r < 0)
        end_leases(self); /* nobody would end them later */
    return r;
}

static void reap(struct mf_keeper *self)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        if (pid == self->agent_pid)
            mf_keeper_agent_ended(self, status);
        else
            mf_keeper_reaped(self, pid, status);
    }
}

static void read_signals(struct mf_keeper *self)
{
    struct signalfd_siginfo info;
    while (read(self->signals, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGCHLD) {
            reap(self);
        } else if (info.ssi_signo != SIGHUP) {
            mf_notify_stopping();
            mf_keeper_end(self);
        }
    }
}

static void dispatch(struct mf_keeper *self, uint64_t tag)
{
    uint64_t expirations;
    switch ((enum mf_keeper_source)(tag >> 32)) {
    case MF_KEEPER_SIGNALS:
        read_signals(self);
        break;
    case MF_KEEPER_TIMER:
        if (read(self->timer, &expirations, sizeof expirations) == sizeof expirations)
            mf_keeper_beat(self); /* one, however many were missed: a burst would be news of the past */
        break;
    case MF_KEEPER_PROBE:
        mf_keeper_probe_read(self);
        break;
    case MF_KEEPER_AGENT:
        mf_keeper_agent_read(self);
        if (self->in_session)
            mf_notify_ready(self->node);
        if (self->in_session && self->ready_fd >= 0)
            drop_ready_fd(self);
        break;
    case MF_KEEPER_GUEST:
        mf_keeper_guest_readable(self, (uint32_t)tag);
        break;
    case MF_KEEPER_LEASE:
        mf_keeper_lease_rings(self);
        break;
    }
}

static void on_time(struct mf_keeper *self)
{
    mf_keeper_end_run(self);
    if (self->phase <= MF_KEEPER_DRAINING && self->agent_pid == 0 && self->now >= self->agent_at)
        mf_keeper_agent_start(self);
    if (self->agent_fd >= 0)
        mf_keeper_tell(self, false);
    mf_keeper_watchdog(self);
}

static int wait_ms(const struct mf_keeper *self)
{
    mf_ms at = mf_keeper_tell_at(self);
    if (mf_keeper_end_at(self) < at)
        at = mf_keeper_end_at(self);
    if (self->phase <= MF_KEEPER_DRAINING && self->agent_pid == 0 && self->agent_at < at)
        at = self->agent_at;
    if (self->watchdog_at < at)
        at = self->watchdog_at;
    mf_ms beat = mf_notify_beat(mf_keeper_now());
    if (beat < at)
        at = beat;
    mf_ms left = at - mf_keeper_now();
    return at == INT64_MAX ? -1 : left < 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

/* The lease comes first in every turn: nothing that may take its time stands before it. */
static void run(struct mf_keeper *self)
{
    while (self->phase != MF_KEEPER_STOPPING || self->agent_pid > 0) {
        self->now = mf_keeper_now();
        mf_keeper_lease_run(self);
        on_time(self);
        struct epoll_event events[64];
        int n = epoll_wait(self->epoll, events, 64, wait_ms(self));
        self->now = mf_keeper_now();
        for (int i = 0; i < n; i++)
            dispatch(self, events[i].data.u64);
    }
    end_leases(self);
    mf_keeper_watchdog(self);
}

int mf_keeper_run(const struct mf_keeper_options *options)
{
    static struct mf_keeper keeper; /* zero, and untouched pages of it cost nothing */
    struct mf_keeper *self = &keeper;
    self->options = *options;
    self->agent_fd = self->ready_fd = self->watchdog = -1;
    self->watchdog_at = self->lease_at = INT64_MAX;
    char error[512];
    mf_str_format(self->node, sizeof self->node, "%s", options->node);
    mf_pulse_boot(mf_str(options->boot_id), self->boot);
    self->started_ms = mf_keeper_wall();
    self->now = self->agent_at = mf_keeper_now();
    raise_limits();
    mf_notify_open();
    move_ready_fd(self);
    if (open_all(self, error) < 0) {
        mf_keeper_log(self, "error", "%s", error);
        return 1;
    }
    mf_keeper_harden(self);
    self->fences = mf_keeper_can_fence(self->fences_not);
    mf_keeper_log(self, "info", "keeping: agent %s, probes answered at %s", options->agent,
                  self->probe_address);
    run(self);
    mf_keeper_end_last(self);
    return self->exit_code;
}
