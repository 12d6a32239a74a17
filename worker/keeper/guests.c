/* guests.c - the guests' processes, held by pidfd: readable means ended, whoever its parent was and whatever
 * the pid is used for next. A death is told at once, with how it ended where it was our child to reap, and
 * told again until the agent has seen it. Several guests may live in one process (the null driver's
 * stand-in): they share its pidfd and die together. An at-most guest has a process of its own, which is
 * killed when the lease is over. */
#include "keeper.h"
#include "shell_process.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct mf_keeper_guest *find(struct mf_keeper *self, struct mf_uuid id)
{
    for (unsigned i = 0; i < self->n_places; i++)
        if (self->guests[i].pid && mf_uuid_eq(self->guests[i].id, id))
            return &self->guests[i];
    return NULL;
}

static struct mf_keeper_guest *place(struct mf_keeper *self)
{
    for (unsigned i = 0; i < self->n_places; i++)
        if (!self->guests[i].pid)
            return &self->guests[i];
    return self->n_places < MF_KEEPER_GUESTS_MAX ? &self->guests[self->n_places++] : NULL;
}

static bool holds(const char *haystack, size_t len, const char *needle)
{
    return memmem(haystack, len, needle, strlen(needle)) != NULL;
}

/* Whose process is it? A pid may have been reused between its birth and this question; the pidfd was opened
 * before, so the answer is about what it holds. */
static bool process_is_of(pid_t pid, struct mf_uuid id)
{
    char path[64], text[32768], uuid[MF_UUID_TEXT];
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t len = 0;
    for (ssize_t n; len < sizeof text && (n = read(fd, text + len, sizeof text - len)) > 0;)
        len += (size_t)n;
    close(fd);
    if (holds(text, len, mf_uuid_text(id, uuid)) || holds(text, len, "mayfly-null"))
        return true;
    struct mf_uuid owner;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    return mf_shell_line(text, len) && mf_shell_owner(AT_FDCWD, path, &owner) == 1 && mf_uuid_eq(owner, id);
}

static const char *how_it_ended(const struct mf_keeper_guest *guest, char text[128])
{
    if (guest->fenced)
        snprintf(text, 128, "process %d was killed by its keeper: the lease was over", (int)guest->pid);
    else if (!guest->known)
        snprintf(text, 128, "process %d is gone", (int)guest->pid);
    else if (WIFSIGNALED(guest->status))
        snprintf(text, 128, "process %d was killed by signal %d", (int)guest->pid, WTERMSIG(guest->status));
    else
        snprintf(text, 128, "process %d exited with status %d", (int)guest->pid, WEXITSTATUS(guest->status));
    return text;
}

static void tell(struct mf_keeper *self, struct mf_keeper_guest *guest)
{
    struct mf_keeper_packet packet = {.kind = MF_KEEPER_DEATH,
                                      .flags = guest->fenced ? MF_KEEPER_FENCED : 0,
                                      .id = guest->id,
                                      .pid = guest->pid};
    how_it_ended(guest, packet.text);
    mf_keeper_agent_send(self, &packet);
    guest->told_at = self->now;
}

static void died(struct mf_keeper *self, struct mf_keeper_guest *guest)
{
    if (guest->dead)
        return;
    guest->dead = true;
    self->n_alive--;
    mf_lease_gone(&self->lease, self->now, guest->id);
    if (guest->at_most)
        mf_keeper_lease_note(self, (unsigned)(guest - self->guests), (struct mf_uuid){0});
    tell(self, guest);
}

/* Everything that lived in this process. */
static void process_ended(struct mf_keeper *self, pid_t pid, bool known, int status)
{
    for (unsigned i = 0; i < self->n_places; i++) {
        struct mf_keeper_guest *guest = &self->guests[i];
        if (guest->pid != pid || guest->dead)
            continue;
        if (guest->pidfd >= 0)
            close(guest->pidfd);
        guest->pidfd = -1;
        guest->known = known;
        guest->status = status;
        died(self, guest);
    }
}

static const struct mf_keeper_guest *holder_of(const struct mf_keeper *self, pid_t pid)
{
    for (unsigned i = 0; i < self->n_places; i++)
        if (self->guests[i].pid == pid && self->guests[i].pidfd >= 0)
            return &self->guests[i];
    return NULL;
}

static struct mf_keeper_guest *take_place(struct mf_keeper *self, struct mf_uuid id, pid_t pid, int pidfd)
{
    struct mf_keeper_guest *guest = place(self);
    if (!guest) {
        mf_keeper_log(self, "error", "more than %d guests: this one is not watched, only listed",
                      MF_KEEPER_GUESTS_MAX);
        if (pidfd >= 0)
            close(pidfd);
        return NULL;
    }
    *guest = (struct mf_keeper_guest){.id = id, .pid = pid, .pidfd = pidfd};
    self->n_alive++;
    if (pidfd >= 0 && mf_keeper_poll(self, pidfd, MF_KEEPER_GUEST, (uint32_t)(guest - self->guests)) < 0)
        mf_keeper_log(self, "error", "a guest's pidfd could not be watched: %s", strerror(errno));
    return guest;
}

static bool has_ended(int pidfd)
{
    struct pollfd ready = {.fd = pidfd, .events = POLLIN};
    return poll(&ready, 1, 0) > 0;
}

/* The guest's place, its process held or already ended; NULL if the process is not the guest's. */
static struct mf_keeper_guest *take(struct mf_keeper *self, struct mf_uuid id, pid_t pid)
{
    bool shared = holder_of(self, pid) != NULL;
    int pidfd = shared ? -1 : (int)syscall(SYS_pidfd_open, pid, 0);
    bool gone = !shared && pidfd < 0 && errno == ESRCH; /* before we could look */
    bool ended = pidfd >= 0 && has_ended(pidfd);        /* its command line is empty by now */
    if (!gone && !ended && ((!shared && pidfd < 0) || !process_is_of(pid, id))) {
        char uuid[MF_UUID_TEXT];
        mf_keeper_log(self, "warning",
                      "process %d is not known to be guest %s; it is not watched, only listed", (int)pid,
                      mf_uuid_text(id, uuid));
        if (pidfd >= 0)
            close(pidfd);
        return NULL;
    }
    struct mf_keeper_guest *guest = take_place(self, id, pid, pidfd);
    if (gone)
        process_ended(self, pid, false, 0);
    return guest;
}

/* Only what we can kill alone may run under a lease; what we cannot hold is looked for, and ended. */
static bool may_run(struct mf_keeper *self, struct mf_uuid id, struct mf_keeper_guest *guest)
{
    if (!guest || (!guest->dead && guest->pidfd < 0))
        mf_lease_refuse(&self->lease, self->now, id);
    if (!guest || guest->pidfd < 0 || has_ended(guest->pidfd))
        return false;
    guest->at_most = true;
    mf_keeper_lease_note(self, (unsigned)(guest - self->guests), guest->id);
    return mf_lease_hold(&self->lease, self->now, guest->id);
}

void mf_keeper_fence(struct mf_keeper *self, struct mf_uuid id)
{
    struct mf_keeper_guest *guest = find(self, id);
    if (!guest || guest->pidfd < 0)
        return;
    char uuid[MF_UUID_TEXT];
    guest->fenced = true;
    if (syscall(SYS_pidfd_send_signal, guest->pidfd, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
        mf_keeper_log(self, "error", "guest %s cannot be killed: %s", mf_uuid_text(id, uuid),
                      strerror(errno));
    else
        mf_keeper_log(self, "warning", "guest %s is ended: its lease is over", mf_uuid_text(id, uuid));
}

/* The guest that held the pidfd for others of its process passes it on. */
static void pass_on(struct mf_keeper *self, struct mf_keeper_guest *from)
{
    for (unsigned i = 0; i < self->n_places; i++) {
        struct mf_keeper_guest *to = &self->guests[i];
        if (to == from || to->pid != from->pid || to->dead)
            continue;
        struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)MF_KEEPER_GUEST << 32 | i};
        epoll_ctl(self->epoll, EPOLL_CTL_MOD, from->pidfd, &event);
        to->pidfd = from->pidfd;
        return;
    }
    close(from->pidfd);
}

static void leave_place(struct mf_keeper *self, struct mf_keeper_guest *guest)
{
    if (guest->pidfd >= 0)
        pass_on(self, guest);
    if (!guest->dead)
        self->n_alive--;
    if (!guest->dead && guest->at_most)
        mf_keeper_lease_note(self, (unsigned)(guest - self->guests), (struct mf_uuid){0});
    *guest = (struct mf_keeper_guest){.pidfd = -1};
}

void mf_keeper_watch(struct mf_keeper *self, struct mf_uuid id, pid_t pid, bool at_most)
{
    struct mf_keeper_guest *guest = find(self, id);
    if (guest && guest->pid != pid) {
        leave_place(self, guest); /* its lease, or its end, goes with the id */
        guest = NULL;
    }
    if (!guest && pid > 1)
        guest = take(self, id, pid);
    /* An agent that finds a guest without its metadata does not know better than who held it before. */
    if (!at_most && mf_lease_state(&self->lease, id) == MF_LEASE_FREE)
        return; /* a death that is not seen yet is told again anyway */
    struct mf_keeper_packet answer = {
        .kind = MF_KEEPER_WATCHED, .flags = may_run(self, id, guest) ? MF_KEEPER_HELD : 0, .id = id};
    mf_keeper_agent_send(self, &answer);
}

void mf_keeper_unwatch(struct mf_keeper *self, struct mf_uuid id)
{
    struct mf_keeper_guest *guest = find(self, id);
    if (!guest || !guest->dead)
        mf_lease_gone(&self->lease, self->now, id);
    if (guest)
        leave_place(self, guest);
}

void mf_keeper_guest_readable(struct mf_keeper *self, uint32_t index)
{
    struct mf_keeper_guest *guest = &self->guests[index];
    if (index >= self->n_places || guest->pidfd < 0 || !has_ended(guest->pidfd))
        return; /* news of whoever had this place when the events were gathered */
    int status = 0;
    bool child = waitpid(guest->pid, &status, WNOHANG) ==
                 guest->pid; /* else it has another parent, or was reaped just now */
    process_ended(self, guest->pid, child, status);
}

void mf_keeper_reaped(struct mf_keeper *self, pid_t pid, int status)
{
    process_ended(self, pid, true, status);
}

void mf_keeper_tell(struct mf_keeper *self, bool all)
{
    for (unsigned i = 0; i < self->n_places; i++) {
        struct mf_keeper_guest *guest = &self->guests[i];
        if (guest->pid && guest->dead && (all || guest->told_at + MF_KEEPER_TELL_MS <= self->now))
            tell(self, guest);
    }
}

mf_ms mf_keeper_tell_at(const struct mf_keeper *self)
{
    mf_ms at = INT64_MAX;
    for (unsigned i = 0; self->agent_fd >= 0 && i < self->n_places; i++) {
        const struct mf_keeper_guest *guest = &self->guests[i];
        if (guest->pid && guest->dead && guest->told_at + MF_KEEPER_TELL_MS < at)
            at = guest->told_at + MF_KEEPER_TELL_MS;
    }
    return at;
}
