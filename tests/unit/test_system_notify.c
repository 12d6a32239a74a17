/* test_system_notify.c - what systemd hears. The address is taken once per process: each case is a child. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "notify.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char where[64];             /* as NOTIFY_SOCKET has it */
static int full_fds[2] = {-1, -1}; /* readable once the child's queue was found full */

static int listen_at(bool abstract)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    snprintf(where, sizeof(where), "%s/mf-notify-%d", abstract ? "@" : "/tmp", (int)getpid());
    memcpy(address.sun_path, where, strlen(where));
    if (abstract)
        address.sun_path[0] = 0;
    else
        unlink(where);
    assert_int_equal(bind(fd, (struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(where) + !abstract)),
                     0);
    return fd;
}

/* All that a program says, one line for each datagram. */
static const char *said_by(bool abstract, void (*program)(void))
{
    static char text[4096];
    size_t len = 0;
    int fd = listen_at(abstract), status;
    pid_t pid = fork();

    if (pid == 0) {
        setenv("NOTIFY_SOCKET", where, 1);
        program();
        _exit(0);
    }
    if (full_fds[0] >= 0) { /* it waits for room: make some before it ends */
        assert_int_equal(read(full_fds[0], text, 1), 1);
        while (!strstr(text, "READY=1")) {
            ssize_t n = recv(fd, text, sizeof(text) - 2, 0);
            assert_true(n > 0);
            memcpy(text + n, "|", 2);
        }
        len = strlen(text);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    for (ssize_t n; (n = recv(fd, text + len, sizeof(text) - 2 - len, MSG_DONTWAIT)) > 0;) {
        len += (size_t)n;
        text[len++] = '|';
    }
    text[len] = 0;
    close(fd);
    if (!abstract)
        unlink(where);
    return text;
}

static void a_life(void)
{
    setenv("WATCHDOG_USEC", "1000000", 1);
    setenv("WATCHDOG_PID", "1", 1); /* another's */
    mf_notify_open();
    if (getenv("NOTIFY_SOCKET") || getenv("WATCHDOG_USEC") || getenv("WATCHDOG_PID"))
        _exit(9); /* a child would speak for us */
    if (mf_notify_beat(0) != INT64_MAX)
        _exit(8); /* no watchdog is ours */
    mf_notify_ready("up");
    mf_notify_ready("again");
    mf_notify_stopping();
}

static void a_guarded_life(void)
{
    setenv("WATCHDOG_USEC", "1000000", 1);
    char pid[16];
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    setenv("WATCHDOG_PID", pid, 1);
    mf_notify_open();
    if (mf_notify_beat(7000) != 7500 || mf_notify_beat(7499) != 7500 || mf_notify_beat(7600) != 8100)
        _exit(7);
}

/* Whoever listens does not read: nothing waits for it. */
static void nobody_reads(void)
{
    mf_notify_open();
    for (int i = 0; i < 10000; i++)
        mf_notify_stopping();
}

/* A queue that is full when we are ready: the word waits for room. */
static void ready_to_a_full_queue(void)
{
    mf_notify_open();
    for (int i = 0; i < 10000; i++)
        mf_notify_stopping();
    mf_notify_ready("up");
    if (mf_notify_beat(7000) != 7050)
        _exit(7);
    if (write(full_fds[1], "", 1) != 1) /* it may be read now */
        _exit(6);
    while (mf_notify_beat(8000) != INT64_MAX)
        poll(NULL, 0, 1);
}

static void no_address(void)
{
    setenv("NOTIFY_SOCKET", "vsock:2:1", 1);
    mf_notify_open();
    mf_notify_ready("up");
    setenv("NOTIFY_SOCKET", "@", 1);
    mf_notify_open();
    mf_notify_ready("up");
}

static void test_ready_and_stopping(void **state)
{
    assert_string_equal(said_by(false, a_life), "READY=1\nSTATUS=up|STOPPING=1|");
    assert_string_equal(said_by(true, a_life), "READY=1\nSTATUS=up|STOPPING=1|");
}

static void test_the_watchdog_is_fed_at_half_its_time(void **state)
{
    assert_string_equal(said_by(true, a_guarded_life), "WATCHDOG=1|WATCHDOG=1|");
}

static void test_ready_arrives_all_the_same(void **state)
{
    assert_int_equal(pipe(full_fds), 0);
    assert_non_null(strstr(said_by(true, ready_to_a_full_queue), "READY=1\nSTATUS=up|"));
    close(full_fds[0]);
    close(full_fds[1]);
    full_fds[0] = -1;
}

static void test_nobody_is_waited_for(void **state)
{
    assert_true(strncmp(said_by(true, nobody_reads), "STOPPING=1|", 11) == 0);
    assert_string_equal(said_by(false, no_address), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ready_and_stopping),
        cmocka_unit_test(test_the_watchdog_is_fed_at_half_its_time),
        cmocka_unit_test(test_ready_arrives_all_the_same),
        cmocka_unit_test(test_nobody_is_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
