/* test_driver_daemon.c - whose processes a libvirt daemon's guests are: the kernel tells, by the pid of who
 * listens on its socket, and what cannot be seen is neither watched nor fenced. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "driver_libvirt.h"
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

struct daemon {
    char dir[32], uri[128];
    struct sockaddr_un address;
    int listener;
};

static int setup(void **state)
{
    struct daemon *d = calloc(1, sizeof *d);
    snprintf(d->dir, sizeof d->dir, "/tmp/mf-daemon-XXXXXX");
    assert_non_null(mkdtemp(d->dir));
    d->address.sun_family = AF_UNIX;
    snprintf(d->address.sun_path, sizeof d->address.sun_path, "%s/sock", d->dir);
    snprintf(d->uri, sizeof d->uri, "qemu+unix:///system?mode=direct&socket=%s/sock&x=1", d->dir);
    d->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(d->listener, (struct sockaddr *)&d->address, sizeof d->address), 0);
    assert_int_equal(listen(d->listener, 8), 0);
    *state = d;
    return 0;
}

static int teardown(void **state)
{
    struct daemon *d = *state;
    close(d->listener);
    unlink(d->address.sun_path);
    assert_int_equal(rmdir(d->dir), 0);
    free(d);
    return 0;
}

static void of_our_own_namespace(void **state)
{
    const struct daemon *d = *state;
    assert_int_equal(mf_libvirt_daemon(d->uri), getpid());
}

/* A URI's text may be escaped, and libvirt reads it so. */
static void of_an_escaped_path(void **state)
{
    const struct daemon *d = *state;
    char uri[256] = "qemu:///system?socket=";
    for (const char *at = d->address.sun_path; *at; at++)
        mf_str_format(uri + strlen(uri), 8, *at == '/' || *at == 's' ? "%%%02x" : "%c", *at);
    assert_int_equal(mf_libvirt_daemon(uri), getpid());
}

/* As a worker in a container sees the libvirt of its host. */
static void of_another_namespace(void **state)
{
    const struct daemon *d = *state;
    int status;
    pid_t child = fork();
    if (child == 0) {
        if (unshare(CLONE_NEWPID) < 0)
            _exit(77);
        pid_t inside = fork();
        if (inside == 0)
            _exit(mf_libvirt_daemon(d->uri) == 0 ? 42 : 1);
        _exit(waitpid(inside, &status, 0) == inside && WIFEXITED(status) ? WEXITSTATUS(status) : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WEXITSTATUS(status) == 77) {
        print_message("SKIPPED: no right to make a pid namespace here\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 42);
}

static void nobody_listens(void **state)
{
    const struct daemon *d = *state;
    char uri[128];
    snprintf(uri, sizeof uri, "qemu:///system?socket=%s/none", d->dir);
    assert_true(mf_libvirt_daemon(uri) < 0);
}

static void what_is_unseen_is_not_fenced(void **state)
{
    struct mf_driver seen = {.local = true}, unseen = {.local = true, .unseen = true},
                     own = {.local = true, .embed = true};
    assert_int_equal(mf_libvirt_caps(&unseen) & (MF_DRIVER_FENCEABLE | MF_DRIVER_HAS_PID | MF_DRIVER_OWN), 0);
    assert_true(mf_libvirt_caps(&unseen) & MF_DRIVER_UNSEEN);
    assert_true(mf_libvirt_caps(&unseen) & MF_DRIVER_HAS_EVENTS);
    assert_false(mf_libvirt_caps(&seen) & (MF_DRIVER_UNSEEN | MF_DRIVER_OWN));
    assert_true(mf_libvirt_caps(&seen) & MF_DRIVER_HAS_PID);
    assert_true(mf_libvirt_caps(&own) & MF_DRIVER_OWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(of_our_own_namespace, setup, teardown),
        cmocka_unit_test_setup_teardown(of_an_escaped_path, setup, teardown),
        cmocka_unit_test_setup_teardown(of_another_namespace, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_listens, setup, teardown),
        cmocka_unit_test(what_is_unseen_is_not_fenced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
