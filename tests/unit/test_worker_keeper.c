/* A real keeper with a made-up agent: this very program, which only relays packets between the keeper and the
 * test, so that each test speaks as the agent. Guests are this program too, asleep. Nothing here sleeps to
 * win a race: it waits for what must come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "keeper_wire.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    LIMIT_MS = 10000,
    SPAWN = 100
}; /* SPAWN: to the made-up agent: start a guest of this id whose parent ends; answers its pid */

static const char *keeper_program;
static char self_program[4096];

/* ------------------------------------------------------------------ the parts this program plays */

static void become_guest(const char *name, const char *id, int parent_pipe)
{
    dprintf(parent_pipe, "%d", (int)getpid());
    fcntl(parent_pipe, F_SETFD, FD_CLOEXEC); /* its end of file says: the command line is the guest's */
    execl(self_program, name, "guest", id, NULL);
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

struct world {
    char dir[64], control_path[128], pid_path[128];
    int listener, agent, monitor;
    pid_t keeper, agent_pid;
    struct mf_keeper_packet start;
    uint8_t key[MF_PULSE_KEY];
    pid_t guests[16];
    unsigned n_guests, marker;
    bool marking; /* the marker's death is waited for */
};

static struct mf_uuid guest_id(unsigned n)
{
    return (struct mf_uuid){{0x01, 0x90, [6] = 0x70, [8] = 0x80, [15] = (uint8_t)n}};
}

static void wait_readable(int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&ready, 1, LIMIT_MS), 1);
}

static struct mf_keeper_packet receive(struct world *w)
{
    struct mf_keeper_packet packet;
    wait_readable(w->agent);
    assert_int_equal(recv(w->agent, &packet, sizeof packet, 0), sizeof packet);
    return packet;
}

static void tell(struct world *w, struct mf_keeper_packet packet)
{
    packet.version = MF_KEEPER_VERSION;
    assert_int_equal(send(w->agent, &packet, sizeof packet, MSG_NOSIGNAL), sizeof packet);
}

static void accept_agent(struct world *w)
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

static pid_t start_keeper(const char *const *args)
{
    pid_t pid = fork();
    if (pid == 0) {
        execv(keeper_program, (char **)args);
        _exit(127);
    }
    assert_true(pid > 0);
    return pid;
}

static int exit_of(pid_t pid)
{
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int open_monitor(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    snprintf(w->dir, sizeof w->dir, "/tmp/mf-keeper-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->control_path, sizeof w->control_path, "%s/control", w->dir);
    snprintf(w->pid_path, sizeof w->pid_path, "%s/keeper.pid", w->dir);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/control", w->dir);
    w->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(w->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(w->listener, 8), 0);
    w->agent = -1;
    w->monitor = open_monitor();
    memset(w->key, 7, sizeof w->key);
    const char *args[] = {"mayfly-keeper", "--node",        "node-0",  "--boot-id",  "a-boot",
                          "--pid-file",    w->pid_path,     "--agent", self_program, "--",
                          "agent",         w->control_path, NULL};
    w->keeper = start_keeper(args);
    accept_agent(w);
    *state = w;
    return 0;
}

static int teardown(void **state)
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
    rmdir(w->dir);
    free(w);
    return 0;
}

/* A guest that is nobody's child but the keeper's, as a daemonized one is. */
static pid_t spawn(struct world *w, unsigned n)
{
    tell(w, (struct mf_keeper_packet){.kind = SPAWN, .id = guest_id(n)});
    struct mf_keeper_packet answer = receive(w);
    assert_int_equal(answer.kind, SPAWN);
    assert_true(answer.pid > 1);
    return w->guests[w->n_guests++] = (pid_t)answer.pid;
}

/* A guest whose parent is the test, as after a keeper's restart. */
static pid_t spawn_stranger(struct world *w, unsigned n, const char *name)
{
    return w->guests[w->n_guests++] = start_guest(name, guest_id(n), false);
}

static void watch(struct world *w, unsigned n, pid_t pid)
{
    tell(w, (struct mf_keeper_packet){.kind = MF_KEEPER_WATCH, .id = guest_id(n), .pid = pid});
}

static void seen(struct world *w, unsigned n)
{
    tell(w, (struct mf_keeper_packet){.kind = MF_KEEPER_DEATH_SEEN, .id = guest_id(n)});
}

enum { MARKERS = 200 }; /* ids from here on only mark a place in the order of packets */

static struct mf_keeper_packet next_news(struct world *w)
{
    struct mf_keeper_packet packet;
    do
        packet = receive(w);
    while (packet.kind == MF_KEEPER_DEATH && packet.id.bytes[15] >= MARKERS &&
           !(w->marking && packet.id.bytes[15] == w->marker));
    return packet;
}

static struct mf_keeper_packet expect_death(struct world *w, unsigned n)
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

static void expect_nothing(struct world *w)
{
    mark(w);
    expect_death(w, w->marker);
    marker_seen(w);
}

/* The same where a death may have been told again meanwhile. */
static void settle(struct world *w)
{
    mark(w);
    while (next_news(w).id.bytes[15] != w->marker)
        ;
    marker_seen(w);
}

static struct mf_pulse next_pulse(struct world *w)
{
    uint8_t bytes[MF_PULSE_SIZE + 1];
    struct mf_pulse pulse;
    wait_readable(w->monitor);
    assert_int_equal(recv(w->monitor, bytes, sizeof bytes, 0), MF_PULSE_SIZE);
    assert_int_equal(mf_pulse_peek(bytes, MF_PULSE_SIZE, &pulse), 0);
    assert_true(mf_pulse_verify(bytes, w->key));
    return pulse;
}

static void begin_session(struct world *w)
{
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    struct mf_keeper_packet packet = {
        .kind = MF_KEEPER_SESSION, .epoch = 42, .term = 3, .pulse_ms = 20, .n_monitors = 1, .node = "node-0"};
    assert_int_equal(getsockname(w->monitor, (struct sockaddr *)&address, &size), 0);
    snprintf(packet.monitors[0], sizeof packet.monitors[0], "127.0.0.1:%u", ntohs(address.sin_port));
    memcpy(packet.key, w->key, sizeof packet.key);
    tell(w, packet);
}

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

/* ------------------------------------------------------------------ tests */

static void greeting(void **state)
{
    struct world *w = *state;
    assert_string_equal(w->start.node, "node-0");
    assert_string_equal(w->start.boot_id, "a-boot");
    assert_int_equal(w->start.pid, w->keeper);
    assert_int_equal(w->start.epoch, 0);
    assert_true(w->start.started_ms > 0 && w->start.probe_port > 0);
    char probe[101], pid[32];
    snprintf(probe, sizeof probe, "127.0.0.1:%u", w->start.probe_port);
    assert_string_equal(w->start.probe_address, probe);
    FILE *file = fopen(w->pid_path, "r");
    assert_non_null(file);
    assert_non_null(fgets(pid, sizeof pid, file));
    fclose(file);
    assert_int_equal(atoi(pid), w->keeper);
}

static void deaths_are_told(void **state)
{
    struct world *w = *state;
    pid_t child = spawn(w, 1), stranger = spawn_stranger(w, 2, "a-guest");
    watch(w, 1, child);
    watch(w, 2, stranger);
    watch(w, 2, stranger); /* twice is once */
    expect_nothing(w);
    int64_t before = now_us();
    kill(child, SIGKILL);
    struct mf_keeper_packet death = expect_death(w, 1);
    print_message("child's death told after %lld us: %s\n", (long long)(now_us() - before), death.text);
    assert_non_null(strstr(death.text, "killed by signal 9"));
    seen(w, 1);
    settle(w);
    before = now_us();
    kill(stranger, SIGKILL);
    death = expect_death(w, 2);
    print_message("stranger's death told after %lld us: %s\n", (long long)(now_us() - before), death.text);
    assert_non_null(strstr(death.text, "is gone"));
    seen(w, 2);
    settle(w);
    expect_nothing(w);
}

static void death_waits_for_an_agent(void **state)
{
    struct world *w = *state;
    pid_t guest = spawn(w, 1);
    watch(w, 1, guest);
    expect_nothing(w);
    kill(w->agent_pid, SIGKILL);
    kill(guest, SIGKILL);
    accept_agent(w);
    expect_death(w, 1);
    expect_death(w, 1); /* not seen yet: told again */
    kill(w->agent_pid, SIGKILL);
    accept_agent(w);
    expect_death(w, 1);
    seen(w, 1);
    settle(w);
    kill(w->agent_pid, SIGKILL);
    accept_agent(w);
    expect_nothing(w);
}

static void what_we_destroy_is_no_news(void **state)
{
    struct world *w = *state;
    pid_t guest = spawn(w, 1);
    watch(w, 1, guest);
    tell(w, (struct mf_keeper_packet){.kind = MF_KEEPER_UNWATCH, .id = guest_id(1)});
    expect_nothing(w); /* the keeper has read it */
    kill(guest, SIGKILL);
    expect_nothing(w);
}

static void wait_until_dead(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    assert_true(fd >= 0);
    wait_readable(fd);
    close(fd);
}

/* A keeper that was held up finds all at once: a guest dead, its place given up, and given to another. */
static void news_of_a_place_is_not_of_its_next_guest(void **state)
{
    struct world *w = *state;
    int status;
    pid_t first = spawn(w, 1);
    watch(w, 1, first);
    expect_nothing(w);
    kill(w->keeper, SIGSTOP);
    assert_int_equal(waitpid(w->keeper, &status, WUNTRACED), w->keeper);
    seen(w, 9); /* of nobody; but so the agent's socket is readable before the guest's pidfd */
    pid_t second = spawn(w, 2);
    kill(first, SIGKILL);
    wait_until_dead(first);
    tell(w, (struct mf_keeper_packet){.kind = MF_KEEPER_UNWATCH, .id = guest_id(1)});
    watch(w, 2, second);
    spawn(w, 3); /* answered: all of the above has reached the keeper */
    kill(w->keeper, SIGCONT);
    expect_nothing(w);
    kill(second, SIGKILL);
    expect_death(w, 2);
}

static void wrong_process_is_not_believed(void **state)
{
    struct world *w = *state;
    pid_t other = spawn(w, 9);
    watch(w, 1, other); /* its command line holds another id */
    watch(w, 2, getpid());
    watch(w, 3, 1);
    watch(w, 4, -5);
    expect_nothing(w);
    kill(other, SIGKILL);
    expect_nothing(w);
}

static void several_guests_in_one_process(void **state)
{
    struct world *w = *state;
    pid_t stand_in = spawn_stranger(w, 100, "mayfly-null");
    for (unsigned n = 1; n <= 4; n++)
        watch(w, n, stand_in);
    tell(w, (struct mf_keeper_packet){.kind = MF_KEEPER_UNWATCH,
                                      .id = guest_id(1)}); /* it held the pidfd for all */
    expect_nothing(w);
    kill(stand_in, SIGKILL);
    for (unsigned n = 2; n <= 4; n++)
        expect_death(w, n);
}

static void pulses(void **state)
{
    struct world *w = *state;
    uint8_t boot[16];
    mf_pulse_boot(mf_str("a-boot"), boot);
    begin_session(w);
    struct mf_pulse first = next_pulse(w), pulse;
    assert_int_equal(first.kind, MF_PULSE_BEAT);
    assert_string_equal(first.node, "node-0");
    assert_int_equal(first.epoch, 42);
    assert_memory_equal(first.boot, boot, sizeof boot);
    assert_int_equal(first.flags & MF_PULSE_AGENT_ALIVE, 0); /* it has not listed its guests yet */
    pid_t guest = spawn(w, 1);
    watch(w, 1, guest);
    tell(w, (struct mf_keeper_packet){.kind = MF_KEEPER_READY});
    do
        pulse = next_pulse(w);
    while (!(pulse.flags & MF_PULSE_AGENT_ALIVE));
    assert_int_equal(pulse.guests, 1);
    assert_true(pulse.counter > first.counter);
    kill(w->agent_pid, SIGKILL);
    do
        pulse = next_pulse(w);
    while (pulse.flags & MF_PULSE_AGENT_ALIVE);
    assert_int_equal(pulse.guests, 1); /* agent dead, guests alive */
    accept_agent(w);
    assert_int_equal(w->start.epoch, 42);
    assert_int_equal(w->start.term, 3);
    kill(guest, SIGKILL);
    do
        pulse = next_pulse(w);
    while (pulse.guests == 1);
    assert_int_equal(pulse.guests, 0);
    expect_death(w, 1);
}

static void send_probe(struct world *w, int fd, uint64_t nonce, uint64_t epoch, const uint8_t *key)
{
    uint8_t bytes[MF_PULSE_SIZE];
    struct mf_pulse probe = {.kind = MF_PULSE_PROBE, .node = "node-0", .epoch = epoch, .nonce = nonce};
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)w->start.probe_port)};
    mf_pulse_encode(&probe, key, bytes);
    assert_int_equal(sendto(fd, bytes, sizeof bytes, 0, (struct sockaddr *)&to, sizeof to), sizeof bytes);
}

static void probes(void **state)
{
    struct world *w = *state;
    const uint8_t forged[MF_PULSE_KEY] = {1};
    uint8_t bytes[MF_PULSE_SIZE];
    struct mf_pulse echo;
    int fd = open_monitor();
    send_probe(w, fd, 1, 42, w->key); /* no session yet */
    begin_session(w);
    next_pulse(w);
    send_probe(w, fd, 2, 42, forged);
    send_probe(w, fd, 3, 41, w->key); /* of another epoch */
    send_probe(w, fd, 4, 42, w->key);
    wait_readable(fd); /* one socket, one order: the first answer is the only one there will be */
    assert_int_equal(recv(fd, bytes, sizeof bytes, 0), MF_PULSE_SIZE);
    assert_true(mf_pulse_verify(bytes, w->key));
    assert_int_equal(mf_pulse_peek(bytes, sizeof bytes, &echo), 0);
    assert_int_equal(echo.kind, MF_PULSE_ECHO);
    assert_int_equal(echo.nonce, 4);
    assert_string_equal(echo.node, "node-0");
    close(fd);
}

/* A socket that is closed with packets unread ends in a reset. */
static void expect_agent_ended(struct world *w)
{
    struct mf_keeper_packet packet;
    wait_readable(w->agent);
    ssize_t len = recv(w->agent, &packet, sizeof packet, 0);
    assert_true(len == 0 || (len < 0 && errno == ECONNRESET));
}

static void guests_outlive_the_keeper(void **state)
{
    struct world *w = *state;
    pid_t guest = spawn_stranger(w, 1, "a-guest");
    watch(w, 1, guest);
    expect_nothing(w);
    kill(w->keeper, SIGTERM);
    assert_int_equal(exit_of(w->keeper), 0);
    w->keeper = 0;
    assert_int_equal(kill(guest, 0), 0);
    expect_agent_ended(w);
}

static void agent_dies_with_a_killed_keeper(void **state)
{
    struct world *w = *state;
    kill(w->keeper, SIGKILL);
    assert_int_equal(exit_of(w->keeper), -1);
    w->keeper = 0;
    expect_agent_ended(w);
}

static void one_keeper_per_pid_file(void **state)
{
    struct world *w = *state;
    const char *args[] = {"mayfly-keeper", "--pid-file", w->pid_path, "--agent", "/bin/true", NULL};
    assert_int_equal(exit_of(start_keeper(args)), 1);
}

static void bad_flags(void **state)
{
    const char *name[] = {"mayfly-keeper", "--node", "Not A Name", NULL};
    assert_int_equal(exit_of(start_keeper(name)), 2);
    const char *bind_to[] = {"mayfly-keeper", "--probe-bind", "localhost:1", NULL};
    assert_int_equal(exit_of(start_keeper(bind_to)), 2);
    const char *stray[] = {"mayfly-keeper", "stray", NULL};
    assert_int_equal(exit_of(start_keeper(stray)), 2);
}

static void agent_that_refuses_its_settings(void **state)
{
    const char *args[] = {"mayfly-keeper", "--agent", "/bin/sh", "--", "-c", "exit 2", NULL};
    assert_int_equal(exit_of(start_keeper(args)), 2);
}

int main(int argc, char **argv)
{
    ssize_t n = readlink("/proc/self/exe", self_program, sizeof self_program - 1);
    self_program[n > 0 ? n : 0] = 0;
    if (argc == 3 && !strcmp(argv[1], "guest"))
        for (;;)
            pause();
    if (argc == 3 && !strcmp(argv[1], "agent"))
        return be_agent(argv[2]);
    keeper_program = argc > 1 ? argv[1] : "bin/mayfly-keeper";
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        TEST(greeting),
        TEST(deaths_are_told),
        TEST(death_waits_for_an_agent),
        TEST(what_we_destroy_is_no_news),
        TEST(news_of_a_place_is_not_of_its_next_guest),
        TEST(wrong_process_is_not_believed),
        TEST(several_guests_in_one_process),
        TEST(pulses),
        TEST(probes),
        TEST(guests_outlive_the_keeper),
        TEST(agent_dies_with_a_killed_keeper),
        TEST(one_keeper_per_pid_file),
        cmocka_unit_test(bad_flags),
        cmocka_unit_test(agent_that_refuses_its_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
