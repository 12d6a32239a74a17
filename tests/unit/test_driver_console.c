/* test_driver_console.c - a serial log is cut at its head while somebody appends, and keeps its newest bytes.
 */
#include "console.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void fill(int fd, unsigned lines)
{
    for (unsigned i = 0; i < lines; i++)
        assert_int_equal(dprintf(fd, "%015u\n", i), 16);
}

static void test_trim(void **state)
{
    char folder[] = "/tmp/mf-console-XXXXXX", path[64], last[17] = "";
    struct stat st;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/log", folder);
    assert_int_equal(mf_console_trim(path), 0); /* none yet */
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    fill(fd, MF_CONSOLE_KEEP / 16);
    assert_int_equal(mf_console_trim(path), 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, MF_CONSOLE_KEEP); /* below the limit: untouched */
    fill(fd, MF_CONSOLE_LIMIT / 16);
    assert_int_equal(mf_console_trim(path), 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_in_range(st.st_size, MF_CONSOLE_KEEP, MF_CONSOLE_KEEP + 65536);
    fill(fd, 1); /* the writer's descriptor goes on at the new end */
    int in = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(in, last, 16, st.st_size - 16), 16);
    assert_int_equal(atoi(last), MF_CONSOLE_LIMIT / 16 - 1);
    assert_int_equal(pread(in, last, 16, st.st_size), 16);
    assert_int_equal(atoi(last), 0);
    close(in);
    close(fd);
    unlink(path);
    rmdir(folder);
}

static void test_thread(void **state)
{
    struct mf_uuid id = {{1}};
    struct mf_console *console = mf_console_new();
    mf_console_add(console, id, "/nonexistent/a");
    mf_console_add(console, id, "/nonexistent/b");
    mf_console_remove(console, id);
    mf_console_remove(console, id);
    mf_console_add(console, id, "/nonexistent/a");
    mf_console_destroy(&console);
    assert_null(console);
    mf_console_destroy(&console);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_trim), cmocka_unit_test(test_thread)};
    return cmocka_run_group_tests_name("driver_console", tests, NULL, NULL);
}
