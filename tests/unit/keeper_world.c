/* keeper_world.c - see keeper_world.h. */
#include "keeper_world.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* SPAWN: to the made-up agent: start a guest of this id whose parent ends; answers its pid */
enum { LIMIT_MS = 10000, SPAWN = 100 };

bool keeper_is_init;
static const char *keeper_program;
static char self_program[4096];

/* ------------------------------------------------------------------ the parts this program plays */

static void become_guest(const char *name, const char *id, int parent_pipe)
{
    dprintf(parent_pipe, "%d", (int)getpid());
    fcntl(parent_pipe, F_SETFD, FD_CLOEXEC); /* its end of file says: the command line is the guest's */
    execl(self_program, name, "guest", "-uuid", id, NULL);
    _exit(127);
}

static pid_t start_guest(const char *name, struct mf_uuid id, bool orphan)
{
    int pipes[2];
    char uuid[MF_UUID_TEXT], text[32] = "";
    if (pipe2(pipes, O_CLOEXEC) < 0)
        return -1;
    mf_uuid_text(id, uuid);
    pid_t child = fork();
    if (child == 0) {
        setsid();
        if (orphan && fork() > 0)
            _exit(0);
        become_guest(name, uuid, pipes[1]);
    }
    close(pipes[1]);
    size_t len = 0;
    for (ssize_t n; (n = read(pipes[0], text + len, sizeof text - 1 - len)) > 0;)
        len += (size_t)n;
    close(pipes[0]);
    if (orphan)
        waitpid(child, NULL, 0);
    return (pid_t)atoi(text);
}

static int connect_control(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    return connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ? -1 : fd;
}

static bool relay(int from, int to)
{
    struct mf_keeper_packet packet;
    if (recv(from, &packet, sizeof packet, 0) != sizeof packet)
        return false;
    if (packet.kind == SPAWN) {
        packet.pid = start_guest("a-guest", packet.id, true);
        to = from;
    }
    return send(to, &packet, sizeof packet, MSG_NOSIGNAL) == sizeof packet;
}

static int be_agent(const char *path)
{
    int control = connect_control(path);
    struct mf_keeper_packet hello = {.pid = getpid()};
    if (control < 0 || send(control, &hello, sizeof hello, MSG_NOSIGNAL) != sizeof hello)
        return 1;
    fcntl(MF_KEEPER_FD, F_SETFD, FD_CLOEXEC);
    for (;;) {
        struct pollfd ready[] = {{.fd = MF_KEEPER_FD, .events = POLLIN}, {.fd = control, .events = POLLIN}};
        if (poll(ready, 2, -1) < 0)
            return 1;
        if (ready[0].revents && !relay(MF_KEEPER_FD, control))
            return 0;
        if (ready[1].revents && !relay(control, MF_KEEPER_FD))
            return 0;
    }
}

/* ------------------------------------------------------------------ a world for a test */

/* Of this run alone: a keeper looks for its guests among all processes, those of a test beside it included.
 */
struct mf_uuid guest_id(unsigned n)
{
    struct mf_uuid id = {{0x01, 0x90, [6] = 0x70, [8] = 0x80, [15] = (uint8_t)n}};
    uint32_t run = (uint32_t)getpid();
    memcpy(&id.bytes[10], &run, sizeof run);
    return id;
}

void wait_readable(int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&ready, 1, LIMIT_MS), 1);
}

struct mf_keeper_packet receive(struct world *w)
{
    struct mf_keeper_packet packet;
    wait_readable(w->agent);
    assert_int_equal(recv(w->agent, &packet, sizeof packet, 0), sizeof packet);
    return packet;
}

void tell(struct world *w, struct mf_keeper_packet packet)
{
    packet.version = MF_KEEPER_VERSION;
    assert_int_equal(send(w->agent, &packet, sizeof packet, MSG_NOSIGNAL), sizeof packet);
}

void accept_agent(struct world *w)
{
    struct mf_keeper_packet hello;
    wait_readable(w->listener);
    if (w->agent >= 0)
        close(w->agent);
    w->agent = accept4(w->listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(w->agent >= 0);
    wait_readable(w->agent);
    assert_int_equal(recv(w->agent, &hello, sizeof hello, 0), sizeof hello);
    w->agent_pid = (pid_t)hello.pid;
    w->start = receive(w);
    assert_int_equal(w->start.kind, MF_KEEPER_START);
}

pid_t start_keeper(const char *const *args)
{
    pid_t pid =
        keeper_is_init ? (pid_t)syscall(SYS_clone, CLONE_NEWPID | CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0) : fork();
    if (pid == 0) {
        if (keeper_is_init && (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
                               mount("proc", "/proc", "proc", 0, NULL) < 0))
            _exit(126);
        execv(keeper_program, (char **)args);
        _exit(127);
    }
    assert_true(pid > 0);
    return pid;
}

int exit_of(pid_t pid)
{
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int open_monitor(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

void start_world_keeper(struct world *w, const char *flag, const char *value)
{
    const char *args[] = {"mayfly-keeper",
                          "--node",
                          "node-0",
                          "--boot-id",
                          "a-boot",
                          "--pid-file",
                          w->pid_path,
                          "--agent",
                          self_program,
                          flag ? flag : "--",
                          flag ? value : "agent",
                          flag ? "--" : w->control_path,
                          flag ? "agent" : NULL,
                          flag ? w->control_path : NULL,
                          NULL};
    w->keeper = start_keeper(args);
    accept_agent(w);
}

int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    snprintf(w->dir, sizeof w->dir, "/tmp/mf-keeper-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->control_path, sizeof w->control_path, "%s/control", w->dir);
    snprintf(w->pid_path, sizeof w->pid_path, "%s/keeper.pid", w->dir);
    snprintf(w->lease_path, sizeof w->lease_path, "%s.lease", w->pid_path);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/control", w->dir);
    w->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(w->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(w->listener, 8), 0);
    w->agent = -1;
    w->monitor = open_monitor();
    memset(w->key, 7, sizeof w->key);
    start_world_keeper(w, NULL, NULL);
    *state = w;
    return 0;
}

int teardown(void **state)
{
    struct world *w = *state;
    if (w->keeper > 0) {
        kill(w->keeper, SIGTERM);
        assert_int_equal(exit_of(w->keeper), 0);
    }
    for (unsigned i = 0; i < w->n_guests; i++) {
        kill(w->guests[i], SIGKILL);
        waitpid(w->guests[i], NULL, WNOHANG);
    }
    close(w->agent);
    close(w->listener);
    close(w->monitor);
    unlink(w->control_path);
    unlink(w->pid_path);
    unlink(w->lease_path);
    assert_int_equal(rmdir(w->dir), 0);
    free(w);
    return 0;
}

/* A guest that is nobody's child but the keeper's, as a daemonized one is. */
pid_t spawn(struct world *w, unsigned n)
{
    tell(w, (struct mf_keeper_packet){.kind = SPAWN, .id = guest_id(n)});
    struct mf_keeper_packet answer;
    do
        answer = receive(w);
    while (answer.kind == MF_KEEPER_LEASE_ASK);
    assert_int_equal(answer.kind, SPAWN);
    assert_true(answer.pid > 1);
    return w->guests[w->n_guests++] = (pid_t)answer.pid;
}

/* A guest whose parent is the test, as after a keeper's restart. */
pid_t spawn_stranger(struct world *w, unsigned n, const char *name)
{
    return w->guests[w->n_guests++] = start_guest(name, guest_id(n), false);
}

void watch(struct world *w, unsigned n, pid_t pid)
{
    tell(w, (struct mf_keeper_packet){.kind = MF_KEEPER_WATCH, .id = guest_id(n), .pid = pid});
}

void seen(struct world *w, unsigned n)
{
    tell(w, (struct mf_keeper_packet){.kind = MF_KEEPER_DEATH_SEEN, .id = guest_id(n)});
}

struct mf_keeper_packet next_news(struct world *w)
{
    struct mf_keeper_packet packet;
    do
        packet = receive(w);
    while (packet.kind == MF_KEEPER_LEASE_ASK || /* due again: the machine is busy */
           (packet.kind == MF_KEEPER_DEATH && packet.id.bytes[15] >= MARKERS &&
            !(w->marking && packet.id.bytes[15] == w->marker)));
    return packet;
}

struct mf_keeper_packet expect_death(struct world *w, unsigned n)
{
    struct mf_keeper_packet packet = next_news(w);
    assert_int_equal(packet.kind, MF_KEEPER_DEATH);
    assert_int_equal(packet.id.bytes[15], n);
    return packet;
}

/* Have the keeper tell the death of a process that never was. Packets keep their order: it has done all we
 * said before. */
static void mark(struct world *w)
{
    pid_t gone = fork();
    if (gone == 0)
        _exit(0);
    waitpid(gone, NULL, 0);
    w->marker = w->marker == 0 || w->marker == 255 ? MARKERS : w->marker + 1;
    w->marking = true;
    watch(w, w->marker, gone);
}

/* Told again after this, as to an agent that died before it passed this on, it is no news. */
static void marker_seen(struct world *w)
{
    w->marking = false;
    seen(w, w->marker);
}

void expect_nothing(struct world *w)
{
    mark(w);
    expect_death(w, w->marker);
    marker_seen(w);
}

/* The same where a death may have been told again meanwhile. */
void settle(struct world *w)
{
    mark(w);
    while (next_news(w).id.bytes[15] != w->marker)
        ;
    marker_seen(w);
}

struct mf_pulse next_pulse(struct world *w)
{
    uint8_t bytes[MF_PULSE_SIZE + 1];
    struct mf_pulse pulse;
    wait_readable(w->monitor);
    assert_int_equal(recv(w->monitor, bytes, sizeof bytes, 0), MF_PULSE_SIZE);
    assert_int_equal(mf_pulse_peek(bytes, MF_PULSE_SIZE, &pulse), 0);
    assert_true(mf_pulse_verify(bytes, w->key));
    return pulse;
}

void begin_session(struct world *w)
{
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    struct mf_keeper_packet packet = {.kind = MF_KEEPER_SESSION,
                                      .epoch = 42,
                                      .term = 3,
                                      .pulse_ms = 20,
                                      .renew_ms = 100,
                                      .n_monitors = 1,
                                      .node = "node-0"};
    assert_int_equal(getsockname(w->monitor, (struct sockaddr *)&address, &size), 0);
    snprintf(packet.monitors[0], sizeof packet.monitors[0], "127.0.0.1:%u", ntohs(address.sin_port));
    memcpy(packet.key, w->key, sizeof packet.key);
    tell(w, packet);
}

int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

void wait_until_dead(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0 && errno == ESRCH)
        return; /* and reaped */
    assert_true(fd >= 0);
    wait_readable(fd);
    close(fd);
}

/* A socket that is closed with packets unread ends in a reset. */
void expect_agent_ended(struct world *w)
{
    struct mf_keeper_packet packet;
    wait_readable(w->agent);
    ssize_t len = recv(w->agent, &packet, sizeof packet, 0);
    assert_true(len == 0 || (len < 0 && errno == ECONNRESET));
}

int world_main(int argc, char **argv, int (*run)(void))
{
    ssize_t n = readlink("/proc/self/exe", self_program, sizeof self_program - 1);
    self_program[n > 0 ? n : 0] = 0;
    if (argc == 4 && !strcmp(argv[1], "guest"))
        for (;;)
            pause();
    if (argc == 3 && !strcmp(argv[1], "agent"))
        return be_agent(argv[2]);
    keeper_program = argc > 1 ? argv[1] : "bin/mayfly-keeper";
    signal(SIGPIPE, SIG_IGN);
    return run();
}
