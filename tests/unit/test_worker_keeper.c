/* What a keeper owes to every guest: deaths told until they are seen, pulses, echoes, an agent that is
 * started again. */
#include "keeper_world.h"
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

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

static void send_to_keeper(struct world *w, int fd, const void *bytes, size_t len)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)w->start.probe_port)};
    assert_int_equal(sendto(fd, bytes, len, 0, (struct sockaddr *)&to, sizeof to), len);
}

/* One echo comes back of each; and what nobody asked for goes nowhere, whatever its nonce. */
static void relays_one_echo(void **state)
{
    struct world *w = *state;
    uint8_t bytes[MF_RELAY_SIZE], echo_bytes[MF_PULSE_SIZE];
    const uint8_t other_key[MF_PULSE_KEY] = {7};
    struct mf_relay relay = {.head = {.kind = MF_PULSE_RELAY, .node = "node-0", .epoch = 42, .nonce = 77},
                             .address = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};
    struct mf_pulse probe = {.kind = MF_PULSE_PROBE, .node = "node-1", .epoch = 5, .nonce = 77};
    struct mf_pulse echo = {.kind = MF_PULSE_ECHO, .node = "node-1", .epoch = 5, .nonce = 77};
    struct sockaddr_in at;
    socklen_t size = sizeof at;
    int fd = open_monitor(), node = open_monitor();
    begin_session(w);
    next_pulse(w);
    assert_int_equal(getsockname(node, (struct sockaddr *)&at, &size), 0);
    relay.port = ntohs(at.sin_port);
    mf_pulse_encode(&probe, other_key, relay.probe);
    mf_relay_encode(&relay, w->key, bytes);
    send_to_keeper(w, fd, bytes, sizeof bytes);
    wait_readable(node);
    assert_int_equal(recv(node, bytes, sizeof bytes, 0), MF_PULSE_SIZE);
    assert_memory_equal(bytes, relay.probe, MF_PULSE_SIZE);
    mf_pulse_encode(&echo, other_key, echo_bytes);
    send_to_keeper(w, node, echo_bytes, sizeof echo_bytes);
    send_to_keeper(w, node, echo_bytes, sizeof echo_bytes);
    echo.nonce = 0;
    mf_pulse_encode(&echo, other_key, bytes);
    send_to_keeper(w, node, bytes, MF_PULSE_SIZE);
    send_probe(w, fd, 4, 42, w->key);
    wait_readable(fd);
    assert_int_equal(recv(fd, bytes, sizeof bytes, 0), MF_PULSE_SIZE);
    assert_memory_equal(bytes, echo_bytes, MF_PULSE_SIZE);
    wait_readable(fd); /* the next is the keeper's own */
    assert_int_equal(recv(fd, bytes, sizeof bytes, 0), MF_PULSE_SIZE);
    assert_true(mf_pulse_verify(bytes, w->key));
    close(node);
    close(fd);
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

static int run(void)
{
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
        TEST(relays_one_echo),
        TEST(guests_outlive_the_keeper),
        TEST(agent_dies_with_a_killed_keeper),
        TEST(one_keeper_per_pid_file),
        cmocka_unit_test(bad_flags),
        cmocka_unit_test(agent_that_refuses_its_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv)
{
    return world_main(argc, argv, run);
}
