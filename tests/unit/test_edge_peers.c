/* test_edge_peers.c - who a message is from when the kernel gives one fd to many in turn. Links are told by
 * hand, in the order in which libzmq tells them: a connection's end before its fd is free, an acceptance
 * before the first message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "peers.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

static void *context, *tell[MF_ENDPOINTS], *hear[MF_ENDPOINTS];
static struct mf_peers *peers;

static int make(void **state)
{
    static const char *const names[] = {"inproc://a", "inproc://b"};

    context = zmq_ctx_new();
    for (int i = 0; i < MF_ENDPOINTS; i++) {
        tell[i] = zmq_socket(context, ZMQ_PAIR);
        hear[i] = zmq_socket(context, ZMQ_PAIR);
        assert_int_equal(zmq_bind(tell[i], names[i]), 0);
        assert_int_equal(zmq_connect(hear[i], names[i]), 0);
    }
    peers = mf_peers_new(NULL, hear[0], NULL, hear[1]);
    return 0;
}

static int unmake(void **state)
{
    mf_peers_destroy(&peers);
    for (int i = 0; i < MF_ENDPOINTS; i++) {
        zmq_close(tell[i]);
        zmq_close(hear[i]);
    }
    zmq_ctx_term(context);
    return 0;
}

static void link_event(enum mf_endpoint endpoint, uint16_t event, uint32_t fd)
{
    char bytes[6];

    memcpy(bytes, &event, 2);
    memcpy(bytes + 2, &fd, 4);
    assert_int_equal(zmq_send(tell[endpoint], bytes, 6, ZMQ_SNDMORE), 6);
    assert_int_equal(zmq_send(tell[endpoint], "tcp://x", 7, 0), 7);
}

static void accepted(uint32_t fd)
{
    link_event(MF_ENDPOINT_WORKER, ZMQ_EVENT_ACCEPTED, fd);
}
static void closed(uint32_t fd)
{
    link_event(MF_ENDPOINT_WORKER, ZMQ_EVENT_DISCONNECTED, fd);
}

/* Identities as libzmq makes them: a zero byte first. Returns the handle. */
static uint64_t speak(const char *identity, int fd, bool *ret_visit)
{
    struct mf_bus_in in = {.identity = {identity, 5}, .fd = fd, .role = MF_ROLE_WORKER, .name = "node-1"};

    return mf_peers_meet(peers, MF_ENDPOINT_WORKER, &in, ret_visit)->handle;
}

static void assert_gone(uint64_t handle)
{
    struct mf_connection *gone = mf_peers_take_gone(peers);

    if (!handle) {
        assert_null(gone);
        return;
    }
    assert_non_null(gone);
    assert_int_equal(gone->handle, handle);
    mf_connection_destroy(&gone);
}

static void one_connection_has_one_handle(void **state)
{
    bool visit;
    uint64_t a;

    accepted(12);
    a = speak("\0aaaa", 12, &visit);
    assert_false(visit);
    assert_int_equal(speak("\0aaaa", 12, &visit), a);
    assert_gone(0);
    closed(12);
    mf_peers_watch(peers);
    assert_gone(a);
    assert_gone(0);
    assert_null(mf_peers_find(peers, a));
}

static void an_fd_used_again_ends_the_first(void **state)
{
    bool visit;
    uint64_t a, b;

    accepted(12);
    a = speak("\0aaaa", 12, &visit);
    closed(12);
    accepted(12);
    b = speak("\0bbbb", 12, &visit); /* before the loop has read the pair */
    assert_false(visit);
    assert_int_not_equal(a, b);
    assert_gone(a);
    mf_peers_watch(peers);
    assert_gone(0);
    assert_non_null(mf_peers_find(peers, b));
}

static void a_silent_connection_on_the_same_fd_harms_nobody(void **state)
{
    bool visit;
    uint64_t b;

    accepted(12);
    closed(12); /* it never spoke */
    accepted(12);
    b = speak("\0bbbb", 12, &visit);
    assert_false(visit);
    mf_peers_watch(peers);
    assert_gone(0);
    closed(12);
    mf_peers_watch(peers);
    assert_gone(b);
}

static void who_left_before_being_heard_is_a_visitor(void **state)
{
    bool visit;
    uint64_t a;

    accepted(12);
    closed(12);
    a = speak("\0aaaa", 12, &visit);
    assert_true(visit);
    assert_null(mf_peers_find(peers, a));
    assert_gone(a);
}

static void a_late_message_does_not_unseat_the_next_one(void **state)
{
    bool visit;
    uint64_t a, b, late;

    accepted(12);
    a = speak("\0aaaa", 12, &visit);
    closed(12);
    accepted(12);
    mf_peers_watch(peers);
    assert_gone(a);
    b = speak("\0bbbb", 12, &visit);
    late = speak("\0aaaa", 12, &visit); /* had been waiting in the socket */
    assert_true(visit);
    assert_gone(late);
    assert_gone(0);
    assert_int_equal(speak("\0bbbb", 12, &visit), b);
    assert_false(visit);
}

static void a_chosen_identity_may_come_again(void **state)
{
    bool visit;
    uint64_t a, b;

    accepted(12);
    a = speak("mine!", 12, &visit);
    accepted(13);
    b = speak("mine!", 13, &visit);
    assert_false(visit);
    assert_int_not_equal(a, b);
    assert_gone(a);
    closed(12);
    mf_peers_watch(peers);
    assert_gone(0);
    closed(13);
    mf_peers_watch(peers);
    assert_gone(b);
}

static void another_name_is_another_peer(void **state)
{
    struct mf_bus_in in = {.identity = {"\0aaaa", 5}, .fd = 12, .role = MF_ROLE_WORKER, .name = "node-1"};
    uint64_t a, b;
    bool visit;

    a = mf_peers_meet(peers, MF_ENDPOINT_WORKER, &in, &visit)->handle;
    memcpy(in.name, "node-2", 7);
    b = mf_peers_meet(peers, MF_ENDPOINT_WORKER, &in, &visit)->handle;
    assert_int_not_equal(a, b);
    assert_gone(a);
    mf_peers_lose(peers, b);
    mf_peers_lose(peers, b);
    assert_gone(b);
    assert_gone(0);
}

static void the_same_identity_on_two_endpoints(void **state)
{
    struct mf_bus_in in = {.identity = {"\0aaaa", 5}, .fd = 20, .role = MF_ROLE_CLIENT, .name = "alice"};
    bool visit;
    uint64_t a = speak("\0aaaa", 12, &visit),
             b = mf_peers_meet(peers, MF_ENDPOINT_CLIENT, &in, &visit)->handle;

    assert_int_not_equal(a, b);
    assert_gone(0);
}

static void the_shunned_are_cut_later(void **state)
{
    bool visit;
    uint64_t a;

    accepted(4000);
    a = speak("\0aaaa", 4000, &visit);
    assert_true(mf_peers_deadline(peers) == INT64_MAX);
    mf_peers_shun(peers, a, 1000);
    assert_true(mf_peers_find(peers, a)->shunned);
    assert_in_range(mf_peers_deadline(peers), 1001, 5000);
    mf_peers_tick(peers,
                  mf_peers_deadline(peers)); /* fd 4000 is nobody's here: the cut fails and does no harm */
    assert_true(mf_peers_deadline(peers) == INT64_MAX);
    closed(4000);
    mf_peers_watch(peers);
    assert_gone(a);
}

/* A worker that stands still keeps its connection; nobody else would end it. */
static void the_quiet_are_cut(void **state)
{
    bool visit;
    uint64_t a, b;
    mf_ms now = 5000000;

    accepted(4000);
    accepted(4001);
    a = speak("\0aaaa", 4000, &visit);
    b = speak("\0bbbb", 4001, &visit);
    mf_peers_expect(peers, 1000);
    mf_peers_tick(peers, now); /* a pause of ours, however long, is one look */
    assert_false(mf_peers_find(peers, a)->shunned);
    for (int i = 0; i < 5; i++) {
        assert_false(mf_peers_find(peers, a)->shunned);
        assert_in_range(mf_peers_deadline(peers), now + 1, now + 1000);
        speak("\0bbbb", 4001, &visit);
        mf_peers_tick(peers, now = mf_peers_deadline(peers));
    }
    assert_true(mf_peers_find(peers, a)->shunned);
    assert_false(mf_peers_find(peers, b)->shunned);
}

/* The kernel's buffer tells a reader that reads from one that does not; libzmq's queue would take all. */
static void a_full_kernel_buffer_is_seen(void **state)
{
    char bytes[4096] = {0};
    int ends[2];
    bool visit;
    uint64_t a;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    accepted((uint32_t)ends[0]);
    a = speak("\0aaaa", ends[0], &visit);
    assert_true(mf_peers_takes(peers, a));
    while (write(ends[0], bytes, sizeof(bytes)) > 0)
        ;
    assert_false(mf_peers_takes(peers, a));
    while (read(ends[1], bytes, sizeof(bytes)) > 0)
        ;
    assert_true(mf_peers_takes(peers, a));
    close(ends[1]); /* who left is no reason to wait: sending tells */
    assert_true(mf_peers_takes(peers, a));
    closed((uint32_t)ends[0]);
    mf_peers_watch(peers);
    assert_gone(a);
    close(ends[0]);
    assert_true(mf_peers_takes(peers, a));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_connection_has_one_handle),
        TEST(an_fd_used_again_ends_the_first),
        TEST(a_silent_connection_on_the_same_fd_harms_nobody),
        TEST(who_left_before_being_heard_is_a_visitor),
        TEST(a_late_message_does_not_unseat_the_next_one),
        TEST(a_chosen_identity_may_come_again),
        TEST(another_name_is_another_peer),
        TEST(the_same_identity_on_two_endpoints),
        TEST(the_shunned_are_cut_later),
        TEST(the_quiet_are_cut),
        TEST(a_full_kernel_buffer_is_seen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
