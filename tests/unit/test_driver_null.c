/* test_driver_null.c - what only simulated guests have: scripted delays and faults, the tool that kills one,
 * and a stand-in whose end is the end of all its guests. */
#include "driver_world.h"
#include "null_script.h"
#include "process.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static const char *program;
static const struct mf_driver_ops *ops = &mf_driver_null;
static char error[512];

static struct mf_driver *open_null(const char *script)
{
    struct mf_driver_config config = {
        .root = mf_world_root, .null_program = program, .script = script, .died = mf_world_died};
    struct mf_driver *driver = NULL;
    if (ops->open(&config, &driver, error) < 0)
        fail_msg("open: %s", error);
    return driver;
}

static int create(struct mf_driver *driver, struct mf_uuid id, int64_t *ret_pid)
{
    struct mf_driver_spec spec = {
        .id = id, .name = "default/g/0#1", .epoch = 1, .vcpus = 1, .memory_mib = 64};
    char text[512];
    return ops->create(driver, &spec, ret_pid, text);
}

static void close_empty(struct mf_driver *driver)
{
    struct mf_driver_guest *guests = NULL;
    size_t n = 0;
    assert_int_equal(ops->list(driver, &guests, &n, error), 0);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(ops->destroy(driver, guests[i].id, 0, error), 0);
    free(guests);
    ops->close(driver);
}

static void test_script(void **state)
{
    struct mf_null_script script;
    assert_int_equal(mf_null_script_parse(NULL, &script, error), 0);
    assert_int_equal(mf_null_script_parse("create=10,destroy=5,boot-fail=0.1,hang-create=1", &script, error),
                     0);
    assert_int_equal(script.create_ms, 10);
    assert_true(script.boot_fail > 0.09 && script.boot_fail < 0.11);
    static const char *const bad[] = {
        "create", "create=", "create=-1",       "create=1x", "boot-fail=2",
        "what=1", "=",       "create-fail=nan", "address=1", "address=10.0.0.256"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(mf_null_script_parse(bad[i], &script, error), -EINVAL);
        assert_memory_equal(error, "script: ", 8);
    }
    struct mf_driver_config config = {.root = mf_world_root, .null_program = program, .script = "what=1"};
    struct mf_driver *driver = NULL;
    assert_int_equal(ops->open(&config, &driver, error), -EINVAL);
}

static void test_no_program(void **state)
{
    struct mf_driver_config config = {.root = mf_world_path("none"),
                                      .null_program = "/nonexistent/mayfly-null"};
    struct mf_driver *driver = NULL;
    assert_true(ops->open(&config, &driver, error) < 0);
    assert_non_null(strstr(error, "/nonexistent/mayfly-null"));
}

static char addresses[2][46]; /* told, by the last byte of the guest's id */

static void told_address(void *arg, struct mf_uuid id, const char *address)
{
    mf_str_format(addresses[id.bytes[15]], sizeof addresses[0], "%s", address);
}

static void test_addresses_are_told_and_listed(void **state)
{
    struct mf_driver_config config = {.root = mf_world_root,
                                      .null_program = program,
                                      .script = "address=10.9.0.255",
                                      .address = told_address};
    struct mf_driver_guest *guests = NULL;
    struct mf_driver *driver = NULL;
    struct mf_uuid first = {{7, [15] = 0}}, second = {{7, [15] = 1}};
    int64_t pid;
    size_t n = 0;
    if (ops->open(&config, &driver, error) < 0)
        fail_msg("open: %s", error);
    assert_int_equal(create(driver, first, &pid) | create(driver, second, &pid), 0);
    MF_WORLD_AWAIT(addresses[0][0] && addresses[1][0], 10000);
    assert_string_equal(addresses[0], "10.9.0.255");
    assert_string_equal(addresses[1], "10.9.1.0");
    ops->close(driver);
    driver = NULL;
    assert_int_equal(ops->open(&config, &driver, error),
                     0); /* another agent: it learns them by its first list */
    assert_int_equal(ops->list(driver, &guests, &n, error), 0);
    assert_int_equal(n, 2);
    for (size_t i = 0; i < n; i++)
        assert_string_equal(guests[i].address, addresses[guests[i].id.bytes[15]]);
    free(guests);
    close_empty(driver);
}

struct hung {
    struct mf_driver *driver;
    struct mf_uuid id;
    int result;
};

static void *hang(void *arg)
{
    struct hung *hung = arg;
    int64_t pid;
    hung->result = create(hung->driver, hung->id, &pid);
    return NULL;
}

static void test_hang(void **state)
{
    struct mf_driver *driver = open_null("hang-create=1");
    struct hung hung = {driver, mf_world_id(), 1};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, hang, &hung), 0);
    struct mf_driver_guest *guests = NULL;
    size_t n = 0;
    MF_WORLD_AWAIT((free(guests), ops->list(driver, &guests, &n, error) == 0 && n == 1),
                   5000); /* lists while one hangs */
    assert_false(guests[0].running);
    free(guests);
    int64_t pid = 0;
    struct mf_uuid other = mf_world_id();
    assert_int_equal(create(driver, other, &pid), 0); /* and another is made */
    assert_int_equal(ops->destroy(driver, hung.id, 0, error), 0);
    pthread_join(thread, NULL);
    assert_int_equal(hung.result, -ECANCELED);
    close_empty(driver);
}

static void test_faults(void **state)
{
    struct mf_driver *driver = open_null("create=30,create-fail=0.5,seed=3");
    unsigned failed = 0;
    mf_ms start = mf_monotonic_ms();
    for (int i = 0; i < 10; i++) {
        int64_t pid;
        failed += create(driver, mf_world_id(), &pid) < 0;
    }
    assert_in_range(failed, 1, 9);
    assert_true(mf_monotonic_ms() - start >= 290);
    close_empty(driver);

    driver = open_null("boot-fail=1");
    struct mf_uuid id = mf_world_id();
    int64_t pid;
    assert_int_equal(create(driver, id, &pid), 0);
    assert_int_equal(mf_world_await_death(id, 5000), MF_DEATH_CRASHED);
    close_empty(driver);

    driver = open_null("die-after=20");
    id = mf_world_id();
    assert_int_equal(create(driver, id, &pid), 0);
    assert_int_equal(mf_world_await_death(id, 5000), MF_DEATH_POWEROFF);
    close_empty(driver);
}

static struct {
    struct mf_uuid ready, unwell;
} heard;

static void on_ready(void *arg, struct mf_uuid id)
{
    pthread_mutex_lock(arg);
    heard.ready = id;
    pthread_mutex_unlock(arg);
}

static void on_unwell(void *arg, struct mf_uuid id, enum mf_ailment how, const char *text)
{
    pthread_mutex_lock(arg);
    heard.unwell = id;
    pthread_mutex_unlock(arg);
}

static bool was_heard(pthread_mutex_t *lock, const struct mf_uuid *word, struct mf_uuid id)
{
    pthread_mutex_lock(lock);
    bool was = mf_uuid_eq(*word, id);
    pthread_mutex_unlock(lock);
    return was;
}

static void test_wellbeing(void **state)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    struct mf_driver_config config = {.root = mf_world_root,
                                      .null_program = program,
                                      .script = "ready=20,unwell-after=60",
                                      .ready = on_ready,
                                      .unwell = on_unwell,
                                      .arg = &lock};
    struct mf_driver *driver = NULL;
    struct mf_driver_guest *guests = NULL;
    size_t n = 0;
    const struct mf_rec_guest_health health = {.ready = MF_READINESS_PORT};
    struct mf_driver_spec spec = {
        .id = mf_world_id(), .name = "default/g/0#1", .vcpus = 1, .memory_mib = 64, .health = &health};
    int64_t pid;
    assert_int_equal(ops->open(&config, &driver, error), 0);
    assert_int_equal(ops->create(driver, &spec, &pid, error), 0);
    MF_WORLD_AWAIT(was_heard(&lock, &heard.ready, spec.id), 5000);
    assert_int_equal(ops->list(driver, &guests, &n, error), 0);
    assert_true(n == 1 && guests[0].ready);
    free(guests);
    MF_WORLD_AWAIT(was_heard(&lock, &heard.unwell, spec.id), 5000);
    close_empty(driver);
}

static int tool(const char *option, const char *value, const char *how)
{
    const char *const argv[] = {program, "--root", mf_world_root, option, value, "--how", how, NULL};
    char said[256];
    int status = 0;
    assert_int_equal(mf_process_run(argv, 10000, &status, said, sizeof said), 0);
    return status;
}

static void test_tool(void **state)
{
    struct mf_driver *driver = open_null("");
    struct mf_uuid id = mf_world_id();
    int64_t pid;
    char text[MF_UUID_TEXT];
    assert_int_equal(create(driver, id, &pid), 0);
    assert_int_equal(tool("--die", mf_uuid_text(id, text), "poweroff"), 0);
    assert_int_equal(mf_world_await_death(id, 5000), MF_DEATH_POWEROFF);
    assert_int_not_equal(tool("--die", text, "poweroff"), 0); /* there is none any more */
    assert_int_not_equal(tool("--die", "x", "poweroff"), 0);
    assert_int_not_equal(tool("--script", "nonsense", "exited"), 0);
    close_empty(driver);
}

static void test_many(void **state)
{
    enum { N = 2000 };
    static struct mf_uuid ids[N];
    static int64_t took[N];
    struct mf_driver *driver = open_null("");
    for (int i = 0; i < N; i++) {
        int64_t pid, start = mf_monotonic_ns();
        ids[i] = mf_world_id();
        assert_int_equal(create(driver, ids[i], &pid), 0);
        took[i] = mf_monotonic_ns() - start;
    }
    struct mf_driver_guest *guests;
    size_t n;
    assert_int_equal(ops->list(driver, &guests, &n, error), 0);
    assert_int_equal(n, N);
    assert_string_equal(guests[N - 1].name, "default/g/0#1");
    free(guests);
    int64_t sum = 0;
    for (int i = 0; i < N; i++)
        sum += took[i];
    printf("null: create %.1f us in the mean\n", (double)sum / N / 1000);
    close_empty(driver);
}

static void test_stand_in_dies(void **state)
{
    struct mf_driver *driver = open_null("");
    struct mf_uuid a = mf_world_id(), b = mf_world_id();
    int64_t pid = 0, again = 0;
    assert_int_equal(create(driver, a, &pid), 0);
    assert_true(pid > 1);
    assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
    assert_int_equal(mf_world_await_death(a, 5000), MF_DEATH_EXITED);
    assert_int_equal(create(driver, b, &again), 0); /* a new one is started, empty */
    assert_true(again > 1 && again != pid);
    struct mf_driver_guest *guests;
    size_t n;
    assert_int_equal(ops->list(driver, &guests, &n, error), 0);
    assert_int_equal(n, 1);
    free(guests);
    assert_int_equal(tool("--die", mf_uuid_text(b, (char[MF_UUID_TEXT]){0}), "crashed"), 0);
    assert_int_equal(mf_world_await_death(b, 5000), MF_DEATH_CRASHED); /* and watched as well */
    close_empty(driver);
}

static void test_long_root(void **state)
{
    char name[201];
    memset(name, 'r', 200);
    name[200] = 0;
    const char *root = mf_world_path("%s", name);
    struct mf_driver_config config = {.root = root, .null_program = program};
    struct mf_driver *driver = NULL;
    assert_int_equal(ops->open(&config, &driver, error), 0); /* longer than a socket's path may be */
    int64_t pid = 0;
    assert_int_equal(create(driver, mf_world_id(), &pid), 0);
    assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
    ops->close(driver);
}

static void test_cells(void **state)
{
    struct mf_driver *driver = open_null("cells=4,hugepages=1024");
    struct mf_driver_capacity capacity;
    assert_int_equal(ops->capacity(driver, &capacity, error), 0);
    assert_true(capacity.n_cells == 4 && capacity.all.hugepages_mib == 1024);
    assert_int_equal(capacity.cells[3].hugepages_mib, 256);
    assert_int_equal(4 * capacity.cells[0].vcpus, capacity.all.vcpus);
    struct mf_driver_spec spec = {
        .id = mf_world_id(), .name = "default/g/0#1", .epoch = 1, .vcpus = 1, .memory_mib = 64, .cells = 16};
    int64_t pid;
    assert_int_equal(ops->create(driver, &spec, &pid, error), -EINVAL);
    spec.cells = 9;
    assert_int_equal(ops->create(driver, &spec, &pid, error), 0);
    close_empty(driver);
    struct mf_driver_config config = {.root = mf_world_root, .null_program = program, .script = "cells=9"};
    assert_int_equal(ops->open(&config, &driver, error), -EINVAL);
    assert_string_equal(error, "script: cells: at most 8");
}

static int phase(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cells),        cmocka_unit_test(test_script),
        cmocka_unit_test(test_no_program),   cmocka_unit_test(test_addresses_are_told_and_listed),
        cmocka_unit_test(test_hang),         cmocka_unit_test(test_faults),
        cmocka_unit_test(test_wellbeing),    cmocka_unit_test(test_tool),
        cmocka_unit_test(test_many),         cmocka_unit_test(test_long_root),
        cmocka_unit_test(test_stand_in_dies)};
    return cmocka_run_group_tests_name("driver_null", tests, NULL, NULL);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: test_driver_null PATH-OF-MAYFLY-NULL\n");
        return 2;
    }
    program = argv[1];
    int (*const phases[])(void) = {phase};
    return mf_world_run(phases, 1);
}
