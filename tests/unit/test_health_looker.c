/* test_health_looker.c - looks at servers on a real loopback: good ones, bad ones, and those that never end.
 */
#include "looker.h"
#include "program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE_MS = 10000, LOOKS = 64 };

/* -- a server that says one thing to everybody */

static struct server {
    int fd;
    uint16_t port;
    const char *answer; /* NULL: nothing, and the connection stays open */
    size_t padding;     /* bytes after it; SIZE_MAX: without end */
    char asked[2048];   /* the last request */
    unsigned served;
    pthread_t thread;
} server;

static void pour(int fd)
{
    char zeros[4096] = {0};
    for (size_t left = server.padding; left > 0;) {
        size_t n = left < sizeof(zeros) ? left : sizeof(zeros);
        if (send(fd, zeros, n, MSG_NOSIGNAL) < 0)
            return;
        left -= server.padding == SIZE_MAX ? 0 : n;
    }
}

static void *serve(void *arg)
{
    int fd, held[LOOKS], n_held = 0;
    while ((fd = accept(server.fd, NULL, NULL)) >= 0) {
        if (!server.answer) {
            held[n_held++] = fd;
            continue;
        }
        ssize_t n = recv(fd, server.asked, sizeof(server.asked) - 1, 0);
        server.asked[n > 0 ? n : 0] = 0;
        server.served++;
        (void)!send(fd, server.answer, strlen(server.answer), MSG_NOSIGNAL);
        pour(fd);
        close(fd);
    }
    while (n_held)
        close(held[--n_held]);
    return NULL;
}

static void start_server(const char *answer, size_t padding)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(in);
    server = (struct server){.answer = answer, .padding = padding};
    server.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(server.fd >= 0 && bind(server.fd, (struct sockaddr *)&in, size) == 0);
    assert_int_equal(listen(server.fd, 128), 0);
    assert_int_equal(getsockname(server.fd, (struct sockaddr *)&in, &size), 0);
    server.port = ntohs(in.sin_port);
    assert_int_equal(pthread_create(&server.thread, NULL, serve, NULL), 0);
}

static void stop_server(void)
{
    shutdown(server.fd, SHUT_RDWR);
    pthread_join(server.thread, NULL);
    close(server.fd);
}

/* -- the looker, and what it said */

static struct mf_looker *looker;
static struct {
    enum mf_look_end how[LOOKS];
    char text[LOOKS][100];
    unsigned n;
} ends;

static void done(void *arg, uint64_t number, enum mf_look_end how, const char *text)
{
    assert_true(number >= 1 && number <= LOOKS);
    ends.how[number - 1] = how;
    mf_str_format(ends.text[number - 1], sizeof(ends.text[0]), "%s", text);
    ends.n++;
}

static void run_until(unsigned n)
{
    mf_ms limit = mf_now() + PATIENCE_MS;
    while (ends.n < n) {
        mf_ms now = mf_now(), due = mf_looker_deadline(looker);
        struct pollfd item = {.fd = mf_looker_fd(looker), .events = POLLIN};
        assert_true(now < limit);
        (void)poll(&item, 1, due < now ? 0 : due - now < 100 ? (int)(due - now) : 100);
        mf_looker_turn(looker, mf_now());
    }
}

static void begin(uint64_t number, enum mf_check_kind kind, uint16_t port, const char *path, mf_ms timeout_ms)
{
    mf_looker_begin(looker, &(struct mf_health_look){.number = number,
                                                     .address = "127.0.0.1",
                                                     .port = port,
                                                     .kind = kind,
                                                     .path = path,
                                                     .timeout_ms = timeout_ms});
}

static void look(enum mf_check_kind kind, const char *path, enum mf_look_end how, const char *text)
{
    memset(&ends, 0, sizeof(ends));
    begin(1, kind, server.port, path, 2000);
    run_until(1);
    assert_string_equal(ends.text[0], text);
    assert_int_equal(ends.how[0], how);
}

static unsigned count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static int set_up(void **state)
{
    char error[512];
    memset(&ends, 0, sizeof(ends));
    return mf_looker_open(done, NULL, &looker, error);
}

static int tear_down(void **state)
{
    mf_looker_close(&looker);
    assert_null(looker);
    return 0;
}

/* -- tests */

static void test_good_answers_pass(void **state)
{
    setenv("http_proxy", "http://127.0.0.1:1", 1); /* nobody's business here */
    start_server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0);
    look(MF_CHECK_KIND_HTTP, "/healthz?full=1&a=b", MF_LOOK_PASSED, "answered 200");
    assert_non_null(strstr(server.asked, "GET /healthz?full=1&a=b HTTP/1.1\r\n"));
    look(MF_CHECK_KIND_HTTP, "", MF_LOOK_PASSED, "answered 200");
    assert_non_null(strstr(server.asked, "GET / HTTP/1.1\r\n"));
    look(MF_CHECK_KIND_HTTP, "/../x", MF_LOOK_PASSED, "answered 200");
    assert_non_null(strstr(server.asked, "GET /../x HTTP/1.1\r\n"));
    unsetenv("http_proxy");
    stop_server();
}

static void test_a_redirect_is_an_answer(void **state)
{
    start_server("HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n", 0);
    look(MF_CHECK_KIND_HTTP, "/", MF_LOOK_PASSED, "answered 302");
    stop_server();
    assert_int_equal(server.served, 1);
}

static void test_bad_answers_fail(void **state)
{
    start_server("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", 0);
    look(MF_CHECK_KIND_HTTP, "/", MF_LOOK_FAILED, "answered 503");
    stop_server();
    start_server("SSH-2.0-OpenSSH_9.2\r\n", 0);
    look(MF_CHECK_KIND_HTTP, "/", MF_LOOK_FAILED, "answered, but not in HTTP");
    stop_server();
    start_server("", 0);
    look(MF_CHECK_KIND_HTTP, "/", MF_LOOK_FAILED, "Server returned nothing (no headers, no data)");
    stop_server();
}

static void test_a_body_without_end_is_cut_off(void **state)
{
    start_server("HTTP/1.1 200 OK\r\n\r\n", SIZE_MAX);
    look(MF_CHECK_KIND_HTTP, "/", MF_LOOK_PASSED, "answered 200");
    stop_server();
    start_server("HTTP/1.1 500 Oops\r\n\r\n", SIZE_MAX);
    look(MF_CHECK_KIND_HTTP, "/", MF_LOOK_FAILED, "answered 500");
    stop_server();
    start_server("HTTP/1.1 200 OK\r\nX: ", SIZE_MAX); /* headers without end */
    memset(&ends, 0, sizeof(ends));
    begin(1, MF_CHECK_KIND_HTTP, server.port, "/", 2000);
    run_until(1);
    assert_int_equal(ends.how[0], MF_LOOK_FAILED);
    stop_server();
}

static void test_silence_fails_at_the_timeout(void **state)
{
    start_server(NULL, 0);
    mf_ms began = mf_now();
    begin(1, MF_CHECK_KIND_HTTP, server.port, "/", 300);
    run_until(1);
    assert_true(mf_now() - began >= 290);
    assert_int_equal(ends.how[0], MF_LOOK_FAILED);
    assert_string_equal(ends.text[0], "Timeout was reached");
    look(MF_CHECK_KIND_TCP, "", MF_LOOK_PASSED, "connected"); /* it is connected to all the same */
    stop_server();
}

static void test_a_closed_port_is_refused(void **state)
{
    start_server("", 0);
    stop_server();
    look(MF_CHECK_KIND_TCP, "", MF_LOOK_FAILED, "Connection refused");
    look(MF_CHECK_KIND_HTTP, "/", MF_LOOK_FAILED, "Connection refused");
}

static void test_a_path_is_no_way_into_the_request(void **state)
{
    start_server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0);
    memset(&ends, 0, sizeof(ends));
    begin(1, MF_CHECK_KIND_HTTP, server.port, "/ HTTP/1.1\r\nHost: x\r\n\r\nDELETE /", 2000);
    run_until(1);
    assert_int_not_equal(ends.how[0], MF_LOOK_PASSED);
    look(MF_CHECK_KIND_HTTP, "@192.0.2.1:1/x", MF_LOOK_PASSED,
         "answered 200"); /* still to whom it was said */
    stop_server();
    assert_null(strstr(server.asked, "DELETE"));
}

static void test_many_at_once_and_nothing_is_left(void **state)
{
    start_server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0);
    look(MF_CHECK_KIND_HTTP, "/", MF_LOOK_PASSED, "answered 200");
    unsigned fds = count_fds();
    for (unsigned round = 0; round < 5; round++) {
        memset(&ends, 0, sizeof(ends));
        for (uint64_t i = 1; i <= LOOKS; i++)
            begin(i, i % 2 ? MF_CHECK_KIND_HTTP : MF_CHECK_KIND_TCP, server.port, "/", 5000);
        run_until(LOOKS);
        for (unsigned i = 0; i < LOOKS; i++)
            assert_int_equal(ends.how[i], MF_LOOK_PASSED);
    }
    assert_true(count_fds() <= fds + 1); /* one the server may be at */
    stop_server();
}

static void test_closing_ends_what_is_under_way(void **state)
{
    char error[512];
    start_server(NULL, 0);
    unsigned fds = count_fds();
    for (uint64_t i = 1; i <= 8; i++)
        begin(i, MF_CHECK_KIND_HTTP, server.port, "/", 5000);
    mf_looker_turn(looker, mf_now());
    mf_looker_close(&looker);
    stop_server();
    assert_int_equal(ends.n, 0);
    assert_int_equal(mf_looker_open(done, NULL, &looker, error), 0);
    assert_true(count_fds() <= fds);
}

static void test_no_socket_to_give_is_no_failure_of_the_guest(void **state)
{
    struct rlimit was, none;
    start_server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    none = was;
    none.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    begin(1, MF_CHECK_KIND_HTTP, server.port, "/", 1000);
    begin(2, MF_CHECK_KIND_TCP, server.port, "", 1000);
    run_until(2);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    assert_int_equal(ends.how[0], MF_LOOK_VOID);
    assert_int_equal(ends.how[1], MF_LOOK_VOID);
    stop_server();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_good_answers_pass),
        TEST(test_a_redirect_is_an_answer),
        TEST(test_bad_answers_fail),
        TEST(test_a_body_without_end_is_cut_off),
        TEST(test_silence_fails_at_the_timeout),
        TEST(test_a_closed_port_is_refused),
        TEST(test_a_path_is_no_way_into_the_request),
        TEST(test_many_at_once_and_nothing_is_left),
        TEST(test_closing_ends_what_is_under_way),
        TEST(test_no_socket_to_give_is_no_failure_of_the_guest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
