/* test_driver_halfborn.c - a root as an agent leaves it that was killed while libvirt started guests: what
 * has no pid yet is cleared with its process, all else stays. */
#include "halfborn.h"
#include "process.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ID    "01a20354-546d-7c56-add1-0c7afe53f452"
#define OTHER "01a20354-5724-7c4d-bae5-d50e4385b078"

static char root[64];

static void path_of(const char *name, char path[256])
{
    snprintf(path, 256, "%s/run/qemu%s%s", root, *name ? "/" : "", name);
}

static int make_root(void **state)
{
    char path[256];
    snprintf(root, sizeof root, "%s", "/tmp/mf-halfborn-XXXXXX");
    if (!mkdtemp(root))
        return -1;
    snprintf(path, sizeof path, "%s/run", root);
    mkdir(path, 0755);
    path_of("", path);
    return mkdir(path, 0755);
}

static int drop_root(void **state)
{
    char path[256];
    path_of("", path);
    rmdir(path);
    snprintf(path, sizeof path, "%s/run", root);
    rmdir(path);
    return rmdir(root);
}

static void put(const char *name, const char *text)
{
    char path[256];
    path_of(name, path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static bool take(const char *name)
{
    char path[256];
    path_of(name, path);
    return unlink(path) == 0;
}

static void test_only_what_has_no_pid(void **state)
{
    put("web-3-1-" ID ".xml",
        "<!--\nWARNING\n-->\n\n<domstatus state='paused' reason='starting up' pid='0'>\n"
        "</domstatus>\n");
    put("web-4-1-" OTHER ".xml", "<domstatus state='running' reason='booted' pid='4711'>\n<x pid='0'/>\n");
    put("foreign.xml", "<domstatus state='paused' reason='starting up' pid='0'>\n");
    put("web-5-1-" OTHER ".xml", "");
    assert_int_equal(mf_halfborn_clear(root), 1);
    assert_false(take("web-3-1-" ID ".xml"));
    assert_true(take("web-4-1-" OTHER ".xml"));
    assert_true(take("foreign.xml"));
    assert_true(take("web-5-1-" OTHER ".xml"));
}

static void test_its_process_ends_too(void **state)
{
    struct mf_uuid id;
    int to[2], from[2], status;
    char byte;
    assert_true(mf_uuid_parse(ID, strlen(ID), &id));
    assert_int_equal(pipe2(to, O_CLOEXEC), 0);
    assert_int_equal(pipe2(from, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(to[0], STDIN_FILENO);
        dup2(from[1], STDOUT_FILENO);
        execl("/bin/sh", "sh", "-c", "echo; read nothing", "sh", "-uuid", ID, NULL);
        _exit(127);
    }
    assert_int_equal(read(from[0], &byte, 1), 1);
    put("web-3-1-" ID ".xml", "<domstatus state='paused' reason='starting up' pid='0'>\n");
    assert_int_equal(mf_halfborn_clear(root), 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(mf_process_find_guest(id), 0);
    close(to[0]), close(to[1]), close(from[0]), close(from[1]);
}

static void test_a_root_never_opened(void **state)
{
    assert_int_equal(mf_halfborn_clear("/nonexistent"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_only_what_has_no_pid),
                                       cmocka_unit_test(test_its_process_ends_too),
                                       cmocka_unit_test(test_a_root_never_opened)};
    return cmocka_run_group_tests(tests, make_root, drop_root);
}
