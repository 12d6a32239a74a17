/* test_health_edge.c - the pulse socket on a real loopback, and the whole monitor against a broker played by
 * the test. */
#include "monitor.h"
#include "program.h"
#include "pulse_socket.h"
#include "transport_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

enum { PATIENCE_MS = 10000 };

static char error[512], address[101];

static int open_sender(const char *to)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    const char *colon = strrchr(to, ':');
    in.sin_port = htons((uint16_t)strtol(colon + 1, NULL, 10));
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && connect(fd, (struct sockaddr *)&in, sizeof(in)) == 0);
    return fd;
}

static void test_socket_tells_its_address(void **state)
{
    struct mf_pulse_socket *pulses = NULL;
    assert_int_equal(mf_pulse_socket_open("127.0.0.1:0", "tcp://127.0.0.1:5", &pulses, address, error), 0);
    assert_int_equal(strncmp(address, "127.0.0.1:", 10), 0);
    assert_string_not_equal(address, "127.0.0.1:0");
    mf_pulse_socket_close(&pulses);
    assert_int_equal(mf_pulse_socket_open("*:0", "tcp://127.0.0.1:5", &pulses, address, error), 0);
    assert_int_equal(strncmp(address, "127.0.0.1:", 10), 0);
    mf_pulse_socket_close(&pulses);
    assert_null(pulses);
}

static void test_bad_addresses_are_refused(void **state)
{
    static const char *const bad[] = {
        "",      "localhost",        ":5",          "127.0.0.1:",     "127.0.0.1:x",
        "::1:5", "127.0.0.1:123456", "192.0.2.1:0", "127.0.0.1:65536"};
    struct mf_pulse_socket *pulses = NULL;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        error[0] = 0;
        assert_true(mf_pulse_socket_open(bad[i], "tcp://127.0.0.1:5", &pulses, address, error) < 0);
        assert_true(error[0]);
        assert_null(pulses);
    }
}

static void test_a_burst_is_read_whole(void **state)
{
    enum { BURST = 3000 };
    struct mf_pulse_socket *pulses;
    uint8_t bytes[MF_PULSE_SIZE] = {0};
    size_t total = 0, n, len;
    assert_int_equal(mf_pulse_socket_open("127.0.0.1:0", "tcp://127.0.0.1:5", &pulses, address, error), 0);
    int fd = open_sender(address);
    for (int i = 0; i < BURST; i++)
        assert_int_equal(send(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
    while ((n = mf_pulse_socket_read(pulses)) > 0) {
        assert_non_null(mf_pulse_socket_bytes(pulses, n - 1, &len));
        assert_int_equal(len, sizeof(bytes));
        total += n;
    }
    /* a machine that grants no larger buffer drops, and the next datagram says how many */
    assert_int_equal(send(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
    total += mf_pulse_socket_read(pulses);
    assert_int_equal(total + mf_pulse_socket_dropped(pulses), BURST + 1);
    close(fd);
    mf_pulse_socket_close(&pulses);
}

/* -- the whole monitor */

static struct fixture_server server;
static struct mf_monitor *monitor;
static pthread_t thread;
static int stop_fds[2]; /* what the monitor takes for its signalfd never speaks; it is stopped by a signal's
                           record */

static void *run(void *arg)
{
    return (void *)(intptr_t)mf_monitor_run(arg);
}

static void start_monitor(const struct mf_key *key)
{
    struct mf_health_config config;
    struct mf_pulse_socket *pulses;
    mf_health_config_default(&config);
    mf_str_format(config.name, sizeof(config.name), "%s", key->name);
    assert_int_equal(
        mf_pulse_socket_open("127.0.0.1:0", server.endpoint, &pulses, config.pulse_address, error), 0);
    assert_int_equal(pipe2(stop_fds, O_NONBLOCK | O_CLOEXEC), 0);
    assert_int_equal(mf_monitor_open(&config, server.endpoint, key, pulses, stop_fds[0], &monitor, error), 0);
    assert_int_equal(pthread_create(&thread, NULL, run, monitor), 0);
}

static void stop_monitor(void)
{
    struct signalfd_siginfo info = {.ssi_signo = SIGTERM};
    void *result;
    assert_int_equal(write(stop_fds[1], &info, sizeof(info)), sizeof(info));
    pthread_join(thread, &result);
    assert_int_equal((intptr_t)result, 0);
    mf_monitor_close(&monitor);
    close(stop_fds[0]);
    close(stop_fds[1]);
}

/* The next message of `kind`; others are passed over. */
static void await(struct mf_bus_in *in, struct mf_arena *arena, enum mf_kind kind,
                  struct mf_message *ret_message)
{
    struct mf_decode_error why;
    do {
        while (mf_bus_recv(server.router, in) == 0)
            assert_true(fixture_wait(server.router, PATIENCE_MS));
        assert_false(in->malformed);
        assert_int_equal(mf_message_decode(in->head, in->body, arena, ret_message, &why), 0);
    } while (ret_message->kind != kind);
    assert_int_equal(in->role, MF_ROLE_MONITOR);
}

static const char *probe_address = ""; /* of the node that is told */

static void send_node(const struct mf_bus_in *in, const uint8_t key[MF_PULSE_KEY], bool connected,
                      enum mf_node_state node_state)
{
    struct mf_message message = {.kind = MF_MSG_MONITOR_NODE};
    message.monitor_node = (struct mf_msg_monitor_node){.node = mf_str("node-1"),
                                                        .epoch = 7,
                                                        .pulse_key = {(const char *)key, MF_PULSE_KEY},
                                                        .connected = connected,
                                                        .state = node_state,
                                                        .probe_address = mf_str(probe_address)};
    assert_int_equal(mf_bus_send(server.router, in->identity, false, &message), 0);
}

static void send_welcome(const struct mf_bus_in *in)
{
    struct mf_message message = {.kind = MF_MSG_MONITOR_WELCOME};
    message.monitor_welcome =
        (struct mf_msg_monitor_welcome){.term = 1, .pulse_ms = 50, .silence_ms = 400, .agent_grace_ms = 1000};
    assert_int_equal(mf_bus_send(server.router, in->identity, false, &message), 0);
}

static void send_pulse(int fd, const uint8_t key[MF_PULSE_KEY], uint64_t counter)
{
    struct mf_pulse pulse = {.kind = MF_PULSE_BEAT,
                             .node = "node-1",
                             .epoch = 7,
                             .counter = counter,
                             .flags = MF_PULSE_AGENT_ALIVE};
    uint8_t bytes[MF_PULSE_SIZE];
    mf_pulse_encode(&pulse, key, bytes);
    assert_int_equal(send(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
}

/* Pulse until the monitor says that it hears the node. */
static void pulse_until_heard(struct mf_bus_in *in, struct mf_arena *arena, int fd,
                              const uint8_t key[MF_PULSE_KEY])
{
    struct mf_message message = {0};
    for (uint64_t counter = 1; message.kind != MF_MSG_MONITOR_ALIVE || message.monitor_alive.nodes_heard != 1;
         counter++) {
        struct mf_decode_error why;
        assert_true(counter < 1000);
        send_pulse(fd, key, counter);
        if (!fixture_wait(server.router, 20) || mf_bus_recv(server.router, in) != 1)
            continue;
        assert_int_equal(mf_message_decode(in->head, in->body, arena, &message, &why), 0);
    }
}

static void test_monitor_tells_a_death(void **state)
{
    struct mf_key key;
    struct mf_bus_in in = {0};
    struct mf_arena arena = {0};
    struct mf_message message;
    uint8_t pulse_key[MF_PULSE_KEY] = {9};
    fixture_key(MF_ROLE_MONITOR, "health-0", &key);
    start_monitor(&key);
    await(&in, &arena, MF_MSG_MONITOR_HELLO, &message);
    assert_string_equal(in.name, "health-0");
    char pulse_address[101];
    mf_str_format(pulse_address, sizeof(pulse_address), "%.*s", (int)message.monitor_hello.pulse_address.len,
                  message.monitor_hello.pulse_address.ptr);
    assert_int_equal(zmq_send(server.router, in.identity.ptr, in.identity.len, ZMQ_SNDMORE), in.identity.len);
    assert_int_equal(zmq_send(server.router, "garbage", 7, 0), 7); /* must not disturb it */
    send_welcome(&in);
    send_node(&in, pulse_key, true, MF_NODE_STATE_READY);

    int fd = open_sender(pulse_address);
    pulse_until_heard(&in, &arena, fd, pulse_key);
    send_node(&in, pulse_key, false, MF_NODE_STATE_READY);
    do
        await(&in, &arena, MF_MSG_MONITOR_VERDICT, &message);
    while (message.monitor_verdict.verdict != MF_VERDICT_FAILED);
    assert_true(mf_str_is(message.monitor_verdict.node, "node-1"));
    assert_int_equal(message.monitor_verdict.epoch, 7);
    assert_int_equal(message.monitor_verdict.evidence, MF_EVIDENCE_CLOSED);
    close(fd);
    stop_monitor();
    mf_bus_in_free(&in);
    mf_arena_free(&arena);
}

/* A keeper's side of probing, on a socket of its own: what comes is answered, whoever asks. */
static void answer_probes(int fd, const uint8_t key[MF_PULSE_KEY])
{
    uint8_t bytes[MF_PULSE_SIZE];
    struct sockaddr_storage from;
    socklen_t size = sizeof(from);
    struct mf_pulse pulse;
    while (recvfrom(fd, bytes, sizeof(bytes), MSG_DONTWAIT, (struct sockaddr *)&from, &size) > 0) {
        assert_int_equal(mf_pulse_peek(bytes, sizeof(bytes), &pulse), 0);
        assert_true(pulse.kind == MF_PULSE_PROBE && mf_pulse_verify(bytes, key));
        pulse.kind = MF_PULSE_ECHO;
        pulse.counter = 1000000;
        pulse.flags = MF_PULSE_AGENT_ALIVE;
        mf_pulse_encode(&pulse, key, bytes);
        assert_int_equal(sendto(fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, size), sizeof(bytes));
    }
}

/* Pulses end, probes are answered: the monitor says that it is suspect by the echo, and nothing worse. */
static void test_monitor_hears_an_echo(void **state)
{
    struct mf_key key;
    struct mf_bus_in in = {0};
    struct mf_arena arena = {0};
    struct mf_message message = {0};
    struct mf_decode_error why;
    struct mf_pulse_socket *socket = NULL;
    uint8_t pulse_key[MF_PULSE_KEY] = {9};
    char keeper_address[101], pulse_address[101];
    fixture_key(MF_ROLE_MONITOR, "health-0", &key);
    assert_int_equal(mf_pulse_socket_open("127.0.0.1:0", server.endpoint, &socket, keeper_address, error), 0);
    probe_address = keeper_address;
    start_monitor(&key);
    await(&in, &arena, MF_MSG_MONITOR_HELLO, &message);
    mf_str_format(pulse_address, sizeof(pulse_address), "%.*s", (int)message.monitor_hello.pulse_address.len,
                  message.monitor_hello.pulse_address.ptr);
    send_welcome(&in);
    send_node(&in, pulse_key, true, MF_NODE_STATE_READY);
    int fd = open_sender(pulse_address);
    pulse_until_heard(&in, &arena, fd, pulse_key);
    while (message.kind != MF_MSG_MONITOR_VERDICT || message.monitor_verdict.evidence != MF_EVIDENCE_ECHO) {
        answer_probes(mf_pulse_socket_fd(socket), pulse_key);
        if (!fixture_wait(server.router, 5) || mf_bus_recv(server.router, &in) != 1)
            continue;
        assert_int_equal(mf_message_decode(in.head, in.body, &arena, &message, &why), 0);
    }
    assert_int_equal(message.monitor_verdict.verdict, MF_VERDICT_SUSPECT);
    probe_address = "";
    close(fd);
    stop_monitor();
    mf_pulse_socket_close(&socket);
    mf_bus_in_free(&in);
    mf_arena_free(&arena);
}

static void test_what_cannot_be_sent_is_counted(void **state)
{
    struct mf_pulse_socket *pulses;
    size_t len;
    assert_int_equal(mf_pulse_socket_open("127.0.0.1:0", "tcp://127.0.0.1:5", &pulses, address, error), 0);
    mf_pulse_socket_send(pulses, "node-1:7711", "x", 1);
    mf_pulse_socket_send(pulses, "[::1]:7711", "x", 1); /* not from a socket of IPv4 */
    assert_int_equal(mf_pulse_socket_unsent(pulses), 2);
    mf_pulse_socket_send(pulses, address, "hello", 5); /* to itself */
    assert_int_equal(mf_pulse_socket_unsent(pulses), 2);
    assert_int_equal(mf_pulse_socket_read(pulses), 1);
    assert_memory_equal(mf_pulse_socket_bytes(pulses, 0, &len), "hello", 5);
    mf_pulse_socket_close(&pulses);
}

/* A refusal is final to libzmq: the monitor must knock again by itself, or a key that is made late stays out.
 */
static void test_monitor_comes_in_when_its_key_is_there(void **state)
{
    struct mf_key key;
    struct mf_bus_in in = {0};
    struct mf_arena arena = {0};
    struct mf_message message;
    enum mf_bus_link link = 0;
    int fd;
    char certificate[FIXTURE_PATH], aside[FIXTURE_PATH];
    fixture_key(MF_ROLE_MONITOR, "health-0", &key);
    fixture_path(certificate, "keys/clients/health-0.cert");
    assert_int_equal(rename(certificate, fixture_path(aside, "aside.cert")), 0);
    start_monitor(&key);
    while (link != MF_BUS_LINK_REFUSED) {
        assert_true(fixture_wait(server.links, PATIENCE_MS));
        assert_true(mf_bus_monitor_recv(server.links, &link, &fd) >= 0);
    }
    assert_int_equal(rename(aside, certificate), 0);
    await(&in, &arena, MF_MSG_MONITOR_HELLO, &message);
    assert_string_equal(in.name, "health-0");
    stop_monitor();
    mf_bus_in_free(&in);
    mf_arena_free(&arena);
}

static int begin(void **state)
{
    int r = fixture_begin(state);
    if (r == 0)
        fixture_server_open(&server);
    return r;
}

static int end(void **state)
{
    fixture_server_close(&server);
    return fixture_end(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_socket_tells_its_address),
        cmocka_unit_test(test_bad_addresses_are_refused),
        cmocka_unit_test(test_a_burst_is_read_whole),
        cmocka_unit_test(test_what_cannot_be_sent_is_counted),
        cmocka_unit_test_setup_teardown(test_monitor_tells_a_death, begin, end),
        cmocka_unit_test_setup_teardown(test_monitor_hears_an_echo, begin, end),
        cmocka_unit_test_setup_teardown(test_monitor_comes_in_when_its_key_is_there, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
