/* test_driver_process.c - no process of a guest is claimed gone that could only not be looked at. */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ID "01a20354-546d-7c56-add1-0c7afe53f453"

struct other {
    struct mf_uuid id;
    pid_t pid;
    int stdin_fd;
};

/* It has spoken, so its command line is its own. */
static struct other other_start(void)
{
    struct other other;
    int to[2], from[2];
    char byte;
    assert_true(mf_uuid_parse(ID, strlen(ID), &other.id));
    assert_int_equal(pipe2(to, O_CLOEXEC), 0);
    assert_int_equal(pipe2(from, O_CLOEXEC), 0);
    other.pid = fork();
    if (other.pid == 0) {
        dup2(to[0], STDIN_FILENO);
        dup2(from[1], STDOUT_FILENO);
        execl("/bin/sh", "sh", "-c", "echo; read nothing", "sh", "-uuid", ID, NULL);
        _exit(127);
    }
    assert_int_equal(read(from[0], &byte, 1), 1);
    close(to[0]), close(from[0]), close(from[1]);
    other.stdin_fd = to[1];
    return other;
}

static void other_wait(const struct other *other, int *ret_status)
{
    assert_int_equal(waitpid(other->pid, ret_status, 0), other->pid);
    close(other->stdin_fd);
}

static void test_found_and_killed(void **state)
{
    struct other other = other_start();
    int status;
    assert_int_equal(mf_process_find_guest(other.id), other.pid);
    assert_int_equal(mf_process_is_guest(other.pid, other.id), 1);
    assert_int_equal(mf_process_is_guest(getpid(), other.id), 0);
    assert_int_equal(mf_process_kill_guest(other.pid, other.id, 10000), 0);
    assert_int_equal(mf_process_find_guest(other.id), 0); /* not yet reaped, and no more a process of it */
    other_wait(&other, &status);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(mf_process_kill_guest(other.pid, other.id, 10000), 0);
}

static void test_what_cannot_be_seen_is_not_gone(void **state)
{
    struct other other = other_start();
    struct rlimit old, none;
    int status;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    pid_t found = mf_process_find_guest(other.id);
    int is = mf_process_is_guest(other.pid, other.id);
    int killed = mf_process_kill_guest(other.pid, other.id, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(found, -EMFILE);
    assert_int_equal(is, -EMFILE);
    assert_int_equal(killed, -EMFILE);
    assert_int_equal(mf_process_kill_guest(other.pid, other.id, 10000), 0);
    other_wait(&other, &status);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_found_and_killed),
                                       cmocka_unit_test(test_what_cannot_be_seen_is_not_gone)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
