/* test_transport_log.c - log lines, pid files, readiness, signals. */
#include "program.h"
#include "transport_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char output[16384];

static int saved = -1, pipe_fds[2];

static void capture_begin(void)
{
    assert_int_equal(pipe(pipe_fds), 0);
    saved = dup(STDERR_FILENO);
    dup2(pipe_fds[1], STDERR_FILENO);
    close(pipe_fds[1]);
}

static const char *capture_end(void)
{
    dup2(saved, STDERR_FILENO);
    close(saved);
    ssize_t n = read(pipe_fds[0], output, sizeof(output) - 1);
    output[n > 0 ? n : 0] = 0;
    close(pipe_fds[0]);
    return output;
}

static void test_a_line_is_logfmt(void **state)
{
    mf_log_open("prog", "n-1", MF_LOG_INFO);
    capture_begin();
    mf_log(MF_LOG_WARNING, "he said \"no\" \\", "node=%s n=%d", "node-1", 3);
    mf_log(MF_LOG_DEBUG, "unheard", NULL);
    const char *line = capture_end();
    assert_int_equal(strncmp(line, "time=2", 6), 0);
    assert_non_null(strstr(
        line, "Z level=warning program=prog name=n-1 msg=\"he said \\\"no\\\" \\\\\" node=node-1 n=3\n"));
    assert_null(strstr(line, "unheard"));
}

static void test_nothing_from_outside_begins_a_line(void **state)
{
    char quoted[512];
    capture_begin();
    mf_log(MF_LOG_ERROR, "a\nlevel=info", "error=%s", mf_log_quote("b\n\x1b[2J\"c\"", quoted));
    mf_log(MF_LOG_ERROR, "x", "raw=%s", "y\nz");
    const char *line = capture_end();
    assert_non_null(strstr(line, "msg=\"a\\nlevel=info\" error=\"b\\n\\x1b[2J\\\"c\\\"\"\n"));
    assert_non_null(strstr(line, "raw=y\\nz\n"));
}

static void test_long_lines_are_cut(void **state)
{
    char *longer = calloc(1, 10000);
    memset(longer, '"', 9999);
    capture_begin();
    mf_log(MF_LOG_ERROR, longer, "k=%s", longer);
    const char *line = capture_end();
    assert_true(strlen(line) <= 4096);
    assert_string_equal(line + strlen(line) - 4, "...\n");
    for (size_t i = 400; i < 600; i++) {
        char quoted[512];
        memset(longer, 'x', 9999);
        memset(longer + i, '\\', 9999 - i);
        mf_log_quote(longer, quoted);
        size_t len = strlen(quoted), backslashes = 0;
        assert_int_equal(quoted[len - 1], '"');
        while (quoted[len - 2 - backslashes] == '\\')
            backslashes++;
        assert_int_equal(backslashes % 2, 0);
    }
    free(longer);
}

static void test_pidfile_belongs_to_one(void **state)
{
    char path[FIXTURE_PATH], error[512] = "", text[32] = "";
    fixture_path(path, "x.pid");
    assert_int_equal(mf_pidfile(NULL, error), 0);
    pid_t child = fork();
    if (child == 0) { /* the holder of the lock ends with its process */
        int r = mf_pidfile(path, error);
        raise(SIGSTOP);
        _exit(r != 0);
    }
    int status;
    waitpid(child, &status, WUNTRACED);
    assert_true(WIFSTOPPED(status));
    assert_int_equal(mf_pidfile(path, error), -EBUSY);
    mf_str_format(text, sizeof(text), "(pid %ld)", (long)child);
    assert_non_null(strstr(error, text));
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    assert_int_equal(mf_pidfile(path, error), 0);
    int fd = open(path, O_RDONLY);
    memset(text, 0, sizeof(text));
    assert_true(read(fd, text, sizeof(text) - 1) > 0);
    close(fd);
    assert_int_equal(atol(text), getpid());
    assert_true(mf_pidfile(fixture_path(path, "no/such/x.pid"), error) < 0);
}

static void test_ready_is_said_once(void **state)
{
    int fds[2];
    char number[16], text[64] = "";
    assert_int_equal(pipe(fds), 0);
    mf_str_format(number, sizeof(number), "%d", fds[1]);
    setenv("MAYFLY_READY_FD", number, 1);
    mf_ready("broker");
    assert_null(getenv("MAYFLY_READY_FD"));
    assert_int_equal(read(fds[0], text, sizeof(text) - 1), 13);
    assert_string_equal(text, "ready broker\n");
    assert_int_equal(read(fds[0], text, sizeof(text)), 0); /* closed */
    mf_ready("again");
    setenv("MAYFLY_READY_FD", "2x", 1);
    mf_ready("nonsense");
    unsetenv("MAYFLY_READY_FD");
    close(fds[0]);
}

static void test_signals_come_by_descriptor(void **state)
{
    int fd = mf_signals_open();
    assert_true(fd >= 0);
    assert_int_equal(mf_signals_read(fd), 0);
    kill(getpid(), SIGTERM);
    assert_int_equal(mf_signals_read(fd), SIGTERM);
    kill(getpid(), SIGPIPE);
    assert_int_equal(mf_signals_read(fd), 0);
    close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_begin, fixture_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_line_is_logfmt),   TEST(test_nothing_from_outside_begins_a_line),
        TEST(test_long_lines_are_cut), TEST(test_pidfile_belongs_to_one),
        TEST(test_ready_is_said_once), TEST(test_signals_come_by_descriptor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
