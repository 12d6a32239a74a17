/* agent.c - the agent as the keeper's child: started, spoken to over a packet socket that it inherits as fd
 * 3, started again when it dies (slower and slower while it dies at once), ended in order when the keeper is.
 * An agent never outlives its keeper: two agents of one node would fight. It may be killed at any moment
 * without harm to its guests. */
#include "keeper.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MF_KEEPER_ARGS_MAX = 256 };

_Noreturn static void become_agent(const struct mf_keeper *self, int fd, pid_t keeper)
{
    char *args[MF_KEEPER_ARGS_MAX + 2] = {(char *)self->options.agent};
    for (int i = 0; i < MF_KEEPER_ARGS_MAX && self->options.agent_args[i]; i++)
        args[i + 1] = self->options.agent_args[i];
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != keeper)
        _exit(0); /* it died before we could ask to follow it */
    if (fd == MF_KEEPER_FD)
        fcntl(fd, F_SETFD, 0);
    else
        dup2(fd, MF_KEEPER_FD);
    execvp(args[0], args);
    dprintf(STDERR_FILENO, "mayfly-keeper: cannot start %s: %s\n", args[0], strerror(errno));
    _exit(127);
}

static void greet(struct mf_keeper *self)
{
    struct mf_keeper_packet packet = {
        .kind = MF_KEEPER_START,
        .flags = self->fences ? MF_KEEPER_FENCES : 0,
        .pid = getpid(),
        .started_ms = self->started_ms,
        .epoch = self->epoch,
        .term = self->term,
        .cluster_id = self->cluster_id,
        .probe_port = self->probe_port,
    };
    mf_str_format(packet.boot_id, sizeof packet.boot_id, "%s", self->options.boot_id);
    mf_str_format(packet.text, sizeof packet.text, "%s", self->fences_not);
    mf_str_format(packet.node, sizeof packet.node, "%s", self->options.node);
    mf_str_format(packet.probe_address, sizeof packet.probe_address, "%s", self->probe_address);
    mf_keeper_agent_send(self, &packet);
    mf_keeper_tell(self, true);
    mf_keeper_say_drain(self);
}

static void retry_later(struct mf_keeper *self)
{
    self->agent_at = self->now + self->backoff_ms;
    self->backoff_ms =
        self->backoff_ms * 2 < MF_KEEPER_BACKOFF_MAX_MS ? self->backoff_ms * 2 : MF_KEEPER_BACKOFF_MAX_MS;
}

void mf_keeper_agent_start(struct mf_keeper *self)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
        mf_keeper_log(self, "error", "socketpair: %s", strerror(errno));
        retry_later(self);
        return;
    }
    fcntl(pair[1], F_SETFL, fcntl(pair[1], F_GETFL) & ~O_NONBLOCK);
    pid_t keeper = getpid(), pid = fork();
    if (pid == 0)
        become_agent(self, pair[1], keeper);
    close(pair[1]);
    if (pid < 0) {
        mf_keeper_log(self, "error", "fork: %s", strerror(errno));
        close(pair[0]);
        retry_later(self);
        return;
    }
    self->agent_pid = pid;
    self->agent_fd = pair[0];
    self->agent_ready = false;
    self->agent_since = self->now;
    mf_keeper_poll(self, self->agent_fd, MF_KEEPER_AGENT, 0);
    greet(self);
}

static void close_socket(struct mf_keeper *self)
{
    if (self->agent_fd >= 0)
        close(self->agent_fd);
    self->agent_fd = -1;
}

void mf_keeper_agent_ended(struct mf_keeper *self, int status)
{
    mf_keeper_agent_read(self); /* its last words */
    close_socket(self);
    self->agent_pid = 0;
    self->agent_ready = false;
    mf_lease_agent_ended(&self->lease, self->now);
    mf_keeper_end_without_agent(self);
    if (self->phase == MF_KEEPER_STOPPING)
        return;
    if (WIFEXITED(status) && WEXITSTATUS(status) == MF_KEEPER_EXIT_MISUSE && !self->ever_ready) {
        mf_keeper_log(self, "error", "the agent refuses its settings; giving up");
        mf_keeper_give_up(self, MF_KEEPER_EXIT_MISUSE);
        return;
    }
    if (self->now - self->agent_since >= MF_KEEPER_CALM_MS)
        self->backoff_ms = MF_KEEPER_BACKOFF_MS;
    bool calm = self->now - self->agent_since >= MF_KEEPER_CALM_MS || self->backoff_ms == 0;
    mf_keeper_log(self, "warning",
                  WIFSIGNALED(status) ? "the agent was killed by signal %d; %s"
                                      : "the agent exited with status %d; %s",
                  WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
                  calm ? "starting another" : "starting another soon");
    if (calm) {
        self->agent_at = self->now;
        self->backoff_ms = MF_KEEPER_BACKOFF_MS;
    } else {
        retry_later(self);
    }
}

static void take(struct mf_keeper *self, const struct mf_keeper_packet *packet)
{
    switch (packet->kind) {
    case MF_KEEPER_WATCH:
        mf_keeper_watch(self, packet->id, (pid_t)packet->pid, packet->flags & MF_KEEPER_AT_MOST);
        break;
    case MF_KEEPER_INTENT:
        mf_keeper_intent(self, packet->id);
        break;
    case MF_KEEPER_INTENT_OVER:
        mf_lease_intent_over(&self->lease, self->now, packet->id);
        break;
    case MF_KEEPER_LEASE_GRANT:
        mf_keeper_lease_granted(self, packet);
        break;
    case MF_KEEPER_UNWATCH:
    case MF_KEEPER_DEATH_SEEN:
        mf_keeper_unwatch(self, packet->id);
        break;
    case MF_KEEPER_SESSION:
        mf_keeper_session(self, packet);
        break;
    case MF_KEEPER_READY:
        self->agent_ready = self->ever_ready = true;
        self->guests_die = packet->flags & MF_KEEPER_GUESTS_DIE;
        self->backoff_ms = 0; /* the next death is no crash at start: restart at once */
        mf_lease_agent_ready(&self->lease, self->now);
        break;
    case MF_KEEPER_QUIET:
        mf_keeper_quiet(self);
        break;
    case MF_KEEPER_LEFT:
        mf_keeper_left(self);
        break;
    default:
        break;
    }
}

void mf_keeper_agent_read(struct mf_keeper *self)
{
    while (self->agent_fd >= 0) {
        struct mf_keeper_packet packet;
        ssize_t len = recv(self->agent_fd, &packet, sizeof packet, MSG_DONTWAIT);
        if (len < 0 && errno == EINTR)
            continue;
        if (len < 0 && errno == EAGAIN)
            return;
        if (len <= 0) {
            close_socket(self); /* it ends, or is about to: SIGCHLD will tell */
            return;
        }
        if (len != sizeof packet || packet.version != MF_KEEPER_VERSION) {
            mf_keeper_log(self, "error",
                          "a packet of another version from the agent; is it of the same build?");
            continue;
        }
        packet.node[sizeof packet.node - 1] = 0;
        for (unsigned i = 0; i < MF_KEEPER_MONITORS; i++)
            packet.monitors[i][sizeof packet.monitors[i] - 1] = 0;
        take(self, &packet);
    }
}

bool mf_keeper_agent_send(struct mf_keeper *self, struct mf_keeper_packet *packet)
{
    packet->version = MF_KEEPER_VERSION;
    return self->agent_fd >= 0 &&
           send(self->agent_fd, packet, sizeof *packet, MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof *packet;
}
