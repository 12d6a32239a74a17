/* What a keeper owes to at-most guests: none runs beyond its lease, whether the agent is hung, dead or cut
 * off. Times are printed, not judged: that a guest dies at all without anybody's help, and not before its
 * lease is over, is what each test waits for. */
#include "keeper_world.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    LEASE_MS = 1000,
    LONG_MS = 60000,
    EARLY_US = 200000
}; /* long enough for a machine that is busy with other tests */

/* ------------------------------------------------------------------ speaking as agent and broker */

static void intent(struct world *w, unsigned n)
{
    tell(w, (struct mf_keeper_packet){.kind = MF_KEEPER_INTENT, .id = guest_id(n)});
}

static void grant(struct world *w, const struct mf_keeper_packet *ask, mf_ms lease_ms)
{
    tell(w, (struct mf_keeper_packet){.kind = MF_KEEPER_LEASE_GRANT,
                                      .epoch = ask->epoch,
                                      .ask_id = ask->ask_id,
                                      .lease_ms = lease_ms});
}

/* The next packet of this kind; asks and deaths told again on the way are passed over. */
static struct mf_keeper_packet await(struct world *w, enum mf_keeper_packet_kind kind)
{
    struct mf_keeper_packet packet;
    do
        packet = receive(w);
    while (packet.kind != kind && (packet.kind == MF_KEEPER_LEASE_ASK || packet.kind == MF_KEEPER_DEATH));
    assert_int_equal(packet.kind, kind);
    return packet;
}

static bool hold(struct world *w, unsigned n, pid_t pid)
{
    tell(w, (struct mf_keeper_packet){
                .kind = MF_KEEPER_WATCH, .flags = MF_KEEPER_AT_MOST, .id = guest_id(n), .pid = pid});
    struct mf_keeper_packet answer = await(w, MF_KEEPER_WATCHED);
    assert_int_equal(answer.id.bytes[15], n);
    return answer.flags & MF_KEEPER_HELD;
}

/* Its create may begin under a lease that began after `*ret_began`, the moment of the intent. */
static void clear(struct world *w, unsigned n, mf_ms lease_ms, int64_t *ret_began)
{
    *ret_began = now_us();
    intent(w, n);
    struct mf_keeper_packet ask = await(w, MF_KEEPER_LEASE_ASK);
    grant(w, &ask, lease_ms);
    assert_int_equal(await(w, MF_KEEPER_INTENT_OK).id.bytes[15], n);
}

static pid_t at_most_guest(struct world *w, unsigned n, mf_ms lease_ms, int64_t *ret_began)
{
    pid_t pid = spawn(w, n);
    clear(w, n, lease_ms, ret_began);
    assert_true(hold(w, n, pid));
    return pid;
}

struct two {
    pid_t guest, bystander; /* only the first is under a lease */
    int64_t began;          /* when that was asked for */
};

static struct two one_of_two_held(struct world *w, mf_ms lease_ms)
{
    struct two two = {spawn_stranger(w, 1, "a-guest"), spawn_stranger(w, 2, "a-guest"), 0};
    begin_session(w);
    clear(w, 1, lease_ms, &two.began);
    assert_true(hold(w, 1, two.guest));
    return two;
}

static bool lives(pid_t pid)
{
    char path[64], state = 'X';
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (file && fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
        state = 'X';
    if (file)
        fclose(file);
    return state != 'X' && state != 'Z';
}

static void expect_fenced(pid_t pid, int64_t began, const char *whose)
{
    if (lives(pid))
        wait_until_dead(pid);
    int64_t late = now_us() - began - LEASE_MS * 1000LL;
    /* It counts from when its loop woke, which may be before the intent came where many wait for the
     * processor: early is safe. */
    assert_true(late >= -EARLY_US);
    print_message("%s: dead %lld us after the lease's end\n", whose, (long long)late);
}

/* ------------------------------------------------------------------ the way to a lease */

static void intents_and_grants(void **state)
{
    struct world *w = *state;
    assert_true(w->start.flags & MF_KEEPER_FENCES);
    intent(w, 1); /* before any session: it is asked for when there is one */
    begin_session(w);
    struct mf_keeper_packet first = await(w, MF_KEEPER_LEASE_ASK);
    assert_int_equal(first.epoch, 42);
    struct mf_keeper_packet second = await(w, MF_KEEPER_LEASE_ASK); /* unanswered, it asks again */
    assert_true(second.ask_id > first.ask_id);
    second.epoch = 41;
    grant(w, &second, LONG_MS);
    second.epoch = 42;
    second.ask_id += 1000;
    grant(w, &second, LONG_MS); /* neither is an answer to what it asked */
    second.ask_id -= 1000;
    pid_t pid = spawn(w, 1);
    assert_false(hold(w, 1, pid));
    wait_until_dead(pid);
    int64_t began;
    clear(w, 2, LONG_MS, &began);
    assert_true(hold(w, 2, spawn(w, 2)));
    tell(w, (struct mf_keeper_packet){.kind = MF_KEEPER_INTENT_OVER, .id = guest_id(2)});
    expect_nothing(w);
}

static void only_what_it_can_kill_alone(void **state)
{
    struct world *w = *state;
    int64_t began;
    begin_session(w);
    pid_t stand_in = spawn_stranger(w, 100, "mayfly-null");
    watch(w, 1, stand_in);
    clear(w, 2, LONG_MS, &began);
    assert_false(hold(w, 2, stand_in)); /* it holds other guests */
    assert_false(hold(w, 3, getpid()));
    assert_false(hold(w, 4, 0));
    assert_true(lives(stand_in));
}

/* An agent that knows no pid of what it found, or a wrong one. */
static void what_it_cannot_hold_is_ended(void **state)
{
    struct world *w = *state;
    int64_t began;
    begin_session(w);
    pid_t guest = spawn_stranger(w, 1, "a-guest"), bystander = spawn_stranger(w, 2, "a-guest");
    clear(w, 1, LONG_MS, &began);
    assert_false(hold(w, 1, bystander));
    wait_until_dead(guest);
    assert_true(lives(bystander));
    tell(w, (struct mf_keeper_packet){.kind = MF_KEEPER_UNWATCH, .id = guest_id(1)}); /* proven gone */
    settle(w);
    guest = spawn_stranger(w, 1, "a-guest");
    settle(w);
    assert_true(lives(guest));
}

/* ------------------------------------------------------------------ the end of a lease */

static void agent_hung(void **state)
{
    struct world *w = *state;
    int64_t began;
    begin_session(w);
    pid_t bystander = spawn(w, 2);
    watch(w, 2, bystander);
    pid_t guest = at_most_guest(w, 1, LEASE_MS, &began);
    kill(w->agent_pid, SIGSTOP);
    expect_fenced(guest, began, "agent stopped");
    assert_true(lives(bystander)); /* at-least: no lease, no end */
    kill(w->agent_pid, SIGCONT);
    struct mf_keeper_packet death = await(w, MF_KEEPER_DEATH);
    assert_true(death.flags & MF_KEEPER_FENCED);
    assert_int_equal(death.id.bytes[15], 1);
    assert_non_null(strstr(death.text, "lease"));
    seen(w, 1);
    settle(w);
}

static void agent_dead(void **state)
{
    struct world *w = *state;
    int64_t began;
    begin_session(w);
    pid_t guest = at_most_guest(w, 1, LEASE_MS, &began);
    kill(w->agent_pid, SIGKILL);
    expect_fenced(guest, began, "agent killed");
    accept_agent(w);
    assert_true(await(w, MF_KEEPER_DEATH).flags & MF_KEEPER_FENCED);
}

static void grants_lost(void **state)
{
    struct world *w = *state;
    int64_t began;
    begin_session(w);
    pid_t guest = at_most_guest(w, 1, LEASE_MS, &began);
    struct mf_keeper_packet packet;
    unsigned asks = 0;
    while ((packet = receive(w)).kind == MF_KEEPER_LEASE_ASK)
        asks++;
    assert_true(asks >= 2); /* it went on asking */
    assert_int_equal(packet.kind, MF_KEEPER_DEATH);
    assert_true(packet.flags & MF_KEEPER_FENCED);
    expect_fenced(guest, began, "grants lost");
}

static void a_stopped_guest_is_ended_too(void **state)
{
    struct world *w = *state;
    int64_t began;
    begin_session(w);
    pid_t guest = at_most_guest(w, 1, LEASE_MS, &began);
    kill(guest, SIGSTOP);
    expect_fenced(guest, began, "guest stopped");
}

static void renewals_keep_it(void **state)
{
    struct world *w = *state;
    int64_t began;
    begin_session(w);
    pid_t guest = at_most_guest(w, 1, LEASE_MS, &began);
    for (struct mf_keeper_packet ask; now_us() < began + 3000LL * LEASE_MS;) {
        ask = receive(w);
        assert_int_equal(ask.kind, MF_KEEPER_LEASE_ASK);
        grant(w, &ask, LEASE_MS);
    }
    assert_true(lives(guest));
    tell(w, (struct mf_keeper_packet){.kind = MF_KEEPER_UNWATCH, .id = guest_id(1)}); /* we destroy it */
    kill(guest, SIGKILL);
    settle(w);
}

/* The agent hangs in the middle of a create: the keeper knows no pid, and finds the process by its command
 * line, whenever it appears. */
static void a_create_under_way(void **state)
{
    struct world *w = *state;
    int64_t began;
    begin_session(w);
    clear(w, 1, LEASE_MS, &began);
    pid_t early = spawn(w, 1), other = spawn(w, 2);
    expect_fenced(early, began, "process of a create");
    pid_t late = spawn(w, 1);
    wait_until_dead(late);
    assert_true(lives(other));
    tell(w, (struct mf_keeper_packet){.kind = MF_KEEPER_INTENT_OVER, .id = guest_id(1)});
    settle(w);
    pid_t after = spawn(w, 1); /* of a create that is no more the keeper's business */
    settle(w);
    assert_true(lives(after));
}

/* What a dead agent had begun to make may not come alive under the next one. */
static void an_agent_dies_while_it_creates(void **state)
{
    struct world *w = *state;
    int64_t began;
    begin_session(w);
    pid_t held = at_most_guest(w, 1, LONG_MS, &began);
    clear(w, 2, LONG_MS, &began);
    pid_t half_made = spawn_stranger(w, 2, "a-guest");
    kill(w->agent_pid, SIGKILL);
    wait_until_dead(half_made);
    assert_true(lives(held));
    accept_agent(w);
    tell(w, (struct mf_keeper_packet){.kind = MF_KEEPER_READY});
    assert_true(hold(w, 1, held)); /* found by the new agent */
    assert_true(lives(held));
}

/* ------------------------------------------------------------------ the keeper's own ends */

static void restart(struct world *w)
{
    kill(w->keeper, SIGKILL);
    assert_int_equal(exit_of(w->keeper), -1);
    expect_agent_ended(w);
    start_world_keeper(w, NULL, NULL);
}

static void a_new_keeper_goes_on_with_the_lease(void **state)
{
    struct world *w = *state;
    int64_t began = now_us();
    begin_session(w);
    pid_t guest = spawn_stranger(w, 1, "a-guest");
    intent(w, 1);
    struct mf_keeper_packet ask = await(w, MF_KEEPER_LEASE_ASK);
    grant(w, &ask, 5 * LEASE_MS);
    await(w, MF_KEEPER_INTENT_OK);
    assert_true(hold(w, 1, guest));
    restart(w);
    watch(w, 1, guest); /* found without a word of its policy: what the last keeper knew of it holds */
    assert_true(await(w, MF_KEEPER_WATCHED).flags & MF_KEEPER_HELD);
    tell(w, (struct mf_keeper_packet){.kind = MF_KEEPER_READY});
    wait_until_dead(guest); /* and no longer than that */
    assert_true(now_us() - began >= 5000LL * LEASE_MS - EARLY_US);
}

/* Its agent hangs before it has found a single guest. */
static void a_new_keeper_whose_agent_finds_nothing(void **state)
{
    struct world *w = *state;
    struct two two = one_of_two_held(w, 3 * LEASE_MS);
    restart(w);
    wait_until_dead(two.guest);
    assert_true(now_us() - two.began >= 3000LL * LEASE_MS - EARLY_US);
    assert_true(lives(two.bystander));
}

static void a_new_keeper_that_knows_of_no_lease(void **state)
{
    struct world *w = *state;
    struct two two = one_of_two_held(w, LONG_MS);
    watch(w, 2, two.bystander);
    kill(w->keeper, SIGSTOP);
    assert_int_equal(unlink(w->lease_path), 0);
    restart(w);
    assert_false(hold(w, 1, two.guest));
    wait_until_dead(two.guest);
    watch(w, 2, two.bystander);
    settle(w);
    assert_true(lives(two.bystander));
}

static void a_keeper_that_ends_in_order(void **state)
{
    struct world *w = *state;
    struct two two = one_of_two_held(w, LONG_MS);
    watch(w, 2, two.bystander);
    kill(w->keeper, SIGTERM);
    assert_int_equal(exit_of(w->keeper), 0);
    w->keeper = 0;
    wait_until_dead(two.guest);
    assert_true(lives(two.bystander));
}

/* What the keeper before it left running under a lease has nobody else to end it. */
static void expect_ended_by(struct world *w, const char *const args[], int exit_code)
{
    struct two two = one_of_two_held(w, LONG_MS);
    kill(w->keeper, SIGKILL);
    assert_int_equal(exit_of(w->keeper), -1);
    w->keeper = 0;
    expect_agent_ended(w);
    assert_int_equal(exit_of(start_keeper(args)), exit_code);
    wait_until_dead(two.guest);
    assert_true(lives(two.bystander));
}

static void a_keeper_that_gives_up(void **state)
{
    struct world *w = *state;
    const char *args[] = {"mayfly-keeper", "--boot-id", "a-boot", "--pid-file", w->pid_path, "--agent",
                          "/bin/sh",       "--",        "-c",     "exit 2",     NULL};
    expect_ended_by(w, args, 2);
}

static void a_keeper_that_cannot_start(void **state)
{
    struct world *w = *state;
    char address[32];
    struct sockaddr_in taken = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof taken;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&taken, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&taken, &size), 0);
    snprintf(address, sizeof address, "127.0.0.1:%u", ntohs(taken.sin_port));
    const char *args[] = {"mayfly-keeper", "--boot-id", "a-boot",  "--pid-file", w->pid_path,
                          "--probe-bind",  address,     "--agent", "/bin/sh",    NULL};
    expect_ended_by(w, args, 1);
    close(fd);
}

/* ------------------------------------------------------------------ the watchdog */

static char next_byte(int fifo)
{
    char byte = 0;
    wait_readable(fifo);
    assert_int_equal(read(fifo, &byte, 1), 1);
    return byte;
}

static void watchdog(void **state)
{
    struct world *w = *state;
    char path[96];
    int64_t began;
    snprintf(path, sizeof path, "%s/watchdog", w->dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    int fifo = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    kill(w->keeper, SIGTERM);
    assert_int_equal(exit_of(w->keeper), 0);
    start_world_keeper(w, "--watchdog", path);
    begin_session(w);
    watch(w, 2, spawn(w, 2));
    settle(w);
    struct pollfd ready = {.fd = fifo, .events = POLLIN};
    assert_int_equal(poll(&ready, 1, 0), 0); /* an at-least guest: no reason to reset the machine */
    pid_t guest = at_most_guest(w, 1, LEASE_MS, &began);
    assert_int_equal(next_byte(fifo), '.');
    wait_until_dead(guest);
    char byte;
    do
        byte = next_byte(fifo);
    while (byte == '.');
    assert_int_equal(byte, 'V');
    close(fifo);
    unlink(path);
}

/* ------------------------------------------------------------------ second opinions of others */

static void send_relay(struct world *w, int fd, uint64_t nonce, int target, const uint8_t *key,
                       uint64_t epoch)
{
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    const uint8_t target_key[MF_PULSE_KEY] = {9};
    uint8_t bytes[MF_RELAY_SIZE];
    struct mf_pulse probe = {.kind = MF_PULSE_PROBE, .node = "node-7", .epoch = 5, .nonce = nonce};
    struct mf_relay relay = {
        .head = {.kind = MF_PULSE_RELAY, .node = "node-0", .epoch = epoch, .nonce = nonce},
        .address = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};
    assert_int_equal(getsockname(target, (struct sockaddr *)&address, &size), 0);
    relay.port = ntohs(address.sin_port);
    mf_pulse_encode(&probe, target_key, relay.probe);
    mf_relay_encode(&relay, key, bytes);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)w->start.probe_port)};
    assert_int_equal(sendto(fd, bytes, sizeof bytes, 0, (struct sockaddr *)&to, sizeof to), sizeof bytes);
}

/* What the target gets: its nonce, and who passed it on. */
static uint64_t receive_probe(int target, struct sockaddr_in *ret_from)
{
    uint8_t bytes[MF_PULSE_SIZE + 1];
    struct mf_pulse probe;
    socklen_t size = sizeof *ret_from;
    wait_readable(target);
    assert_int_equal(recvfrom(target, bytes, sizeof bytes, 0, (struct sockaddr *)ret_from, &size),
                     MF_PULSE_SIZE);
    assert_int_equal(mf_pulse_peek(bytes, MF_PULSE_SIZE, &probe), 0);
    assert_int_equal(probe.kind, MF_PULSE_PROBE);
    return probe.nonce;
}

static void send_echo(int target, const struct sockaddr_in *to, uint64_t nonce)
{
    const uint8_t target_key[MF_PULSE_KEY] = {9};
    uint8_t bytes[MF_PULSE_SIZE];
    struct mf_pulse echo = {.kind = MF_PULSE_ECHO, .node = "node-7", .epoch = 5, .nonce = nonce};
    mf_pulse_encode(&echo, target_key, bytes);
    assert_int_equal(sendto(target, bytes, sizeof bytes, 0, (const struct sockaddr *)to, sizeof *to),
                     sizeof bytes);
}

static void relays(void **state)
{
    struct world *w = *state;
    const uint8_t forged[MF_PULSE_KEY] = {1};
    struct sockaddr_in peer;
    struct mf_pulse echo;
    uint8_t bytes[MF_PULSE_SIZE + 1];
    int monitor = open_monitor(), target = open_monitor();
    begin_session(w);
    next_pulse(w);
    send_relay(w, monitor, 1, target, forged, 42);
    send_relay(w, monitor, 2, target, w->key, 41); /* of another epoch */
    send_relay(w, monitor, 3, target, w->key, 42);
    send_relay(w, monitor, 3, target, w->key, 42); /* twice is once */
    send_relay(w, monitor, 4, target, w->key, 42);
    assert_int_equal(receive_probe(target, &peer), 3); /* one socket, one order: nothing else was passed on */
    assert_int_equal(receive_probe(target, &peer), 4);
    send_echo(target, &peer, 2); /* nobody asked */
    send_echo(target, &peer, 4);
    send_echo(target, &peer, 4);
    send_echo(target, &peer, 3);
    for (unsigned i = 0; i < 2; i++) {
        const uint8_t target_key[MF_PULSE_KEY] = {9};
        wait_readable(monitor);
        assert_int_equal(recv(monitor, bytes, sizeof bytes, 0), MF_PULSE_SIZE);
        assert_int_equal(mf_pulse_peek(bytes, MF_PULSE_SIZE, &echo), 0);
        assert_true(mf_pulse_verify(bytes, target_key)); /* as the target made it */
        assert_int_equal(echo.nonce, i == 0 ? 4 : 3);
    }
    close(monitor);
    close(target);
}

/* A relay is not answered by more than it cost: beyond the table nothing leaves. */
static void relays_are_bounded(void **state)
{
    struct world *w = *state;
    struct sockaddr_in peer;
    int monitor = open_monitor(), target = open_monitor();
    begin_session(w);
    next_pulse(w);
    kill(w->keeper, SIGSTOP); /* all of them come within one second */
    for (uint64_t nonce = 1; nonce <= 100; nonce++)
        send_relay(w, monitor, nonce, target, w->key, 42);
    kill(w->keeper, SIGCONT);
    for (uint64_t nonce = 1; nonce <= 64; nonce++)
        assert_int_equal(receive_probe(target, &peer), nonce);
    expect_nothing(w); /* it has read all that came before this packet, or will not take it any more */
    struct pollfd ready = {.fd = target, .events = POLLIN};
    assert_int_equal(poll(&ready, 1, 0), 0);
    close(monitor);
    close(target);
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        TEST(intents_and_grants),
        TEST(only_what_it_can_kill_alone),
        TEST(what_it_cannot_hold_is_ended),
        TEST(agent_hung),
        TEST(agent_dead),
        TEST(grants_lost),
        TEST(a_stopped_guest_is_ended_too),
        TEST(renewals_keep_it),
        TEST(a_create_under_way),
        TEST(an_agent_dies_while_it_creates),
        TEST(a_new_keeper_goes_on_with_the_lease),
        TEST(a_new_keeper_whose_agent_finds_nothing),
        TEST(a_new_keeper_that_knows_of_no_lease),
        TEST(a_keeper_that_ends_in_order),
        TEST(a_keeper_that_gives_up),
        TEST(a_keeper_that_cannot_start),
        TEST(watchdog),
        TEST(relays),
        TEST(relays_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv)
{
    return world_main(argc, argv, run);
}
