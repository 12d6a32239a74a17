/* test_driver_conformance.c - one suite for every driver, by what it says it can: null, libvirt's
 * test:///default, and real QEMU in an embedded root with the tiny guest. Two phases in two processes: the
 * second finds what the first left behind, as a restarted agent does. */
#include "driver_world.h"
#include "process.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { BOOT_LIMIT_MS = 60000, DEATH_LIMIT_MS = 10000, PARALLEL = 3, ROUNDS = 4 };

static const char *kind, *program, *image;
static char cmdline[1024];
static bool real; /* guests that boot */
static const struct mf_driver_ops *ops;
static struct mf_driver *driver;
static char error[512];

static const char survivor_text[] = "01990000-0000-7000-8000-00000000beef",
                  lost_text[] = "01990000-0000-7000-8000-00000000dead",
                  half_made_text[] = "01990000-0000-7000-8000-0000000000ff";

static int open_driver(void **state)
{
    struct mf_driver_config config = {.root = mf_world_root,
                                      .null_program = program,
                                      .domain_type = "auto",
                                      .cpu_ratio_percent = 400,
                                      .died = mf_world_died};
    if (strcmp(kind, "test") == 0)
        config.uri = "test:///default";
    if (real) /* longer than QEMU's monitor socket allows: it must go by an alias, which must not stay */
        config.root = mf_world_path("a-root-that-is-longer-than-the-monitor-socket-allows");
    mf_ms start = mf_monotonic_ms();
    if (ops->open(&config, &driver, error) < 0) {
        printf("open: %s\n", error);
        return -1;
    }
    printf("%s: open %lld ms, type %s%s%s\n", kind, (long long)(mf_monotonic_ms() - start), ops->type(driver),
           error[0] ? ": " : "", error);
    return 0;
}

static int close_driver(void **state)
{
    if (driver) /* teardown comes after a failed setup as well */
        ops->close(driver);
    driver = NULL;
    return 0;
}

static bool can(unsigned caps)
{
    return (ops->caps(driver) & caps) == caps;
}

/* ---- guests */

struct guest {
    struct mf_uuid id;
    char text[MF_UUID_TEXT], kernel[512], initrd[512], disk[512], console[512], seed[512];
    struct mf_driver_spec spec;
};

static void guest_make(struct guest *guest, struct mf_uuid id, const char *user_data)
{
    memset(guest, 0, sizeof *guest);
    guest->id = id;
    mf_uuid_text(id, guest->text);
    guest->spec = (struct mf_driver_spec){
        .id = id, .name = "default/web/3#1", .epoch = 4, .vcpus = 1, .memory_mib = 128, .disk_mib = 64};
    if (!real)
        return;
    snprintf(guest->kernel, sizeof guest->kernel, "%s/vmlinuz", image);
    snprintf(guest->initrd, sizeof guest->initrd, "%s/initrd", image);
    snprintf(guest->disk, sizeof guest->disk, "%s", mf_world_path("%s.qcow2", guest->text));
    snprintf(guest->console, sizeof guest->console, "%s", mf_world_path("%s.log", guest->text));
    guest->spec.kernel = guest->kernel;
    guest->spec.initrd = guest->initrd;
    guest->spec.cmdline = cmdline;
    guest->spec.disk = guest->disk;
    guest->spec.console = guest->console;
    if (user_data) {
        snprintf(guest->seed, sizeof guest->seed, "%s", mf_world_seed(guest->text, user_data));
        guest->spec.seed = guest->seed;
    }
}

static int64_t create(struct guest *guest)
{
    int64_t pid = -1;
    if (ops->create(driver, &guest->spec, &pid, error) < 0)
        fail_msg("create: %s", error);
    return pid;
}

static void destroy(struct mf_uuid id, uint64_t grace_ms)
{
    if (ops->destroy(driver, id, grace_ms, error) < 0)
        fail_msg("destroy: %s", error);
}

static bool listed(struct mf_uuid id, struct mf_driver_guest *ret_guest)
{
    struct mf_driver_guest *guests = NULL;
    size_t n = 0;
    bool found = false;
    if (ops->list(driver, &guests, &n, error) < 0)
        fail_msg("list: %s", error);
    for (size_t i = 0; i < n && !found; i++)
        if ((found = mf_uuid_eq(guests[i].id, id)))
            *ret_guest = guests[i];
    free(guests);
    return found;
}

static bool runs(struct mf_uuid id)
{
    struct mf_driver_guest guest;
    return listed(id, &guest) && guest.running;
}

static void assert_gone(const struct guest *guest)
{
    struct mf_driver_guest found;
    assert_false(listed(guest->id, &found));
    assert_int_equal(mf_process_find_guest(guest->id), 0);
    if (guest->spec.disk)
        assert_false(mf_world_exists(guest->spec.disk));
}

static void await_line(const struct guest *guest, const char *line)
{
    mf_ms end = mf_monotonic_ms() + BOOT_LIMIT_MS;
    while (!mf_world_file_has(guest->console, line) && mf_monotonic_ms() < end)
        mf_world_pause();
    if (!mf_world_file_has(guest->console, line))
        fail_msg("the console never said \"%s\"", line);
}

/* ---- the suite */

static void test_capacity(void **state)
{
    struct mf_driver_capacity capacity = {0};
    assert_int_equal(ops->capacity(driver, &capacity, error), 0);
    assert_true(capacity.all.vcpus > 0 && (capacity.all.memory_mib > 0 || strcmp(kind, "test") == 0));
    assert_true(capacity.n_cells != 1 && capacity.n_cells <= MF_DRIVER_CELLS_MAX);
    assert_true(ops->type(driver)[0]);
}

static void test_life(void **state)
{
    struct guest guest;
    struct mf_driver_guest found;
    guest_make(&guest, mf_world_id(), NULL);
    int64_t pid = create(&guest), again;
    assert_true(listed(guest.id, &found));
    assert_true(found.running);
    assert_string_equal(found.name, guest.spec.name);
    if (can(MF_DRIVER_HAS_PID)) {
        assert_true(pid > 1);
        assert_int_equal(found.pid, pid);
        assert_int_equal(kill((pid_t)pid, 0), 0);
    }
    if (can(MF_DRIVER_HAS_DISK))
        assert_true(mf_world_exists(guest.disk));
    again = create(&guest); /* twice is once */
    assert_int_equal(again, pid);
    destroy(guest.id, 0);
    assert_gone(&guest);
    destroy(guest.id, 0);
    destroy(mf_world_id(), 0);             /* unknown */
    assert_false(mf_world_told(guest.id)); /* what we destroy ourselves is no news */
}

static void test_foreign(void **state)
{
    struct mf_driver_guest *guests = NULL;
    size_t n = 0;
    if (strcmp(kind, "test") != 0)
        skip();
    assert_int_equal(ops->list(driver, &guests, &n, error), 0); /* test:///default has a domain of its own */
    assert_int_equal(n, 1);
    assert_string_equal(guests[0].name, "");
    free(guests);
    struct mf_driver_capacity capacity = {
        0}; /* 16 CPUs at 400 percent, less the two of the domain that is not ours */
    assert_int_equal(ops->capacity(driver, &capacity, error), 0);
    assert_int_equal(capacity.all.vcpus, 16 * 4 - 2);
    assert_int_equal(capacity.all.memory_mib, 0); /* it has more than the whole node */
    assert_int_equal(capacity.n_cells, 2);
    assert_int_equal(capacity.cells[0].vcpus, 8 * 4 - 1);
    assert_int_equal(capacity.cells[1].vcpus, 8 * 4 - 1);
}

/* The first cell is everywhere, the eighth nowhere here. */
static void test_cells(void **state)
{
    struct guest guest;
    int64_t pid;
    guest_make(&guest, mf_world_id(), NULL);
    guest.spec.cells = 0x80;
    assert_true(ops->create(driver, &guest.spec, &pid, error) < 0);
    assert_non_null(strstr(error, "NUMA cells 0x80"));
    assert_gone(&guest);
    guest.spec.cells = 1;
    create(&guest);
    destroy(guest.id, 0);
    assert_gone(&guest);
}

/* ---- at-most guests */

struct holding {
    bool may, asked, paused;
    int64_t pid;
};

/* In the creating thread: the guest is there, its process too, and it does not run. */
static bool hold(void *arg, struct mf_uuid id, int64_t pid)
{
    struct holding *holding = arg;
    struct mf_driver_guest found;
    holding->asked = true;
    holding->pid = pid;
    holding->paused = listed(id, &found) && !found.running && found.at_most &&
                      (!can(MF_DRIVER_HAS_PID) || found.pid == pid);
    return holding->may;
}

static void make_at_most(struct guest *guest, struct holding *holding)
{
    guest_make(guest, mf_world_id(), NULL);
    guest->spec.at_most = true;
    guest->spec.hold = hold;
    guest->spec.hold_arg = holding;
}

static void test_at_most(void **state)
{
    struct guest guest;
    struct mf_driver_guest found;
    struct holding holding = {.may = true};
    int64_t pid;
    make_at_most(&guest, &holding);
    if (!can(MF_DRIVER_FENCEABLE)) {
        assert_int_equal(ops->create(driver, &guest.spec, &pid, error), -ENOTSUP);
        assert_gone(&guest);
        return;
    }
    pid = create(&guest);
    assert_true(holding.asked && holding.paused);
    assert_true(listed(guest.id, &found));
    assert_true(found.running && found.at_most);
    assert_string_equal(found.name, guest.spec.name);
    if (can(MF_DRIVER_HAS_PID))
        assert_true(pid == holding.pid &&
                    mf_process_is_guest((pid_t)pid, guest.id)); /* its own, not a shared one */
    holding.asked = false;
    assert_int_equal(create(&guest), pid); /* runs already: nobody is asked again */
    assert_false(holding.asked);
    if (real)
        await_line(&guest, "mayfly: ready");
    destroy(guest.id, 0);
    assert_gone(&guest);
}

static void test_at_most_denied(void **state)
{
    struct guest guest;
    struct holding holding = {.may = false};
    int64_t pid;
    if (!can(MF_DRIVER_FENCEABLE))
        skip();
    make_at_most(&guest, &holding);
    assert_true(ops->create(driver, &guest.spec, &pid, error) < 0);
    assert_true(holding.asked && holding.paused);
    assert_non_null(strstr(error, "keeper"));
    assert_gone(&guest);
}

/* What a keeper does at the lease's end. */
static void test_at_most_killed(void **state)
{
    struct guest guest;
    struct holding holding = {.may = true};
    if (!can(MF_DRIVER_FENCEABLE | MF_DRIVER_HAS_EVENTS))
        skip();
    make_at_most(&guest, &holding);
    assert_int_equal(kill((pid_t)create(&guest), SIGKILL), 0);
    assert_int_equal(mf_world_await_death(guest.id, DEATH_LIMIT_MS), MF_DEATH_EXITED);
    assert_false(runs(guest.id));
    destroy(guest.id, 0);
    assert_gone(&guest);
}

static void *create_thread(void *arg);

static bool hold_for_ever(void *arg, struct mf_uuid id, int64_t pid)
{
    sem_post(arg);
    while (arg)
        pause();
    return false;
}

static void test_leave_half_made(void **state)
{
    static struct guest guest;
    static sem_t asked;
    struct mf_uuid id;
    pthread_t thread;
    if (!can(MF_DRIVER_SURVIVES | MF_DRIVER_FENCEABLE))
        skip();
    assert_true(mf_uuid_parse(half_made_text, strlen(half_made_text), &id));
    guest_make(&guest, id, NULL);
    guest.spec.at_most = true;
    guest.spec.hold = hold_for_ever;
    guest.spec.hold_arg = &asked;
    sem_init(&asked, 0, 0);
    assert_int_equal(pthread_create(&thread, NULL, create_thread, &guest), 0);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += BOOT_LIMIT_MS / 1000;
    assert_int_equal(sem_timedwait(&asked, &until), 0);
    assert_true(!can(MF_DRIVER_HAS_PID) || mf_process_find_guest(id) > 1);
}

static void test_half_made_is_gone(void **state)
{
    struct guest guest;
    struct mf_uuid id;
    if (!can(MF_DRIVER_SURVIVES))
        skip();
    assert_true(mf_uuid_parse(half_made_text, strlen(half_made_text), &id));
    guest_make(&guest, id, NULL);
    assert_gone(&guest);
}

static void test_bad_spec(void **state)
{
    struct guest guest;
    int64_t pid;
    if (strcmp(kind, "null") == 0)
        skip();
    guest_make(&guest, mf_world_id(), NULL);
    snprintf(guest.spec.name, sizeof guest.spec.name, "%s", "default/we\x01b/3#1");
    assert_int_equal(ops->create(driver, &guest.spec, &pid, error), -EINVAL);
    assert_gone(&guest);
    if (!can(MF_DRIVER_HAS_DISK))
        return;
    guest_make(&guest, mf_world_id(), NULL);
    guest.spec.kernel = "/nonexistent/vmlinuz";
    assert_int_equal(ops->create(driver, &guest.spec, &pid, error), -ENOENT);
    assert_non_null(strstr(error, "/nonexistent/vmlinuz"));
    assert_gone(&guest);
    mf_world_write(mf_world_path("not-a-kernel"), "this is not a kernel");
    guest.spec.kernel = mf_world_path("not-a-kernel"); /* only QEMU finds that out */
    assert_true(ops->create(driver, &guest.spec, &pid, error) < 0);
    printf("a bad kernel: %s\n", error);
    assert_gone(&guest);
    guest_make(&guest, mf_world_id(), NULL);
    guest.spec.disk = "/nonexistent/disk.qcow2";
    assert_true(ops->create(driver, &guest.spec, &pid, error) < 0);
    assert_non_null(strstr(error, "/nonexistent/disk.qcow2"));
    assert_gone(&guest);
}

static void test_hostile_names(void **state)
{
    struct guest guest;
    struct mf_driver_guest found;
    guest_make(&guest, mf_world_id(), NULL);
    snprintf(guest.spec.name, sizeof guest.spec.name, "%s",
             "default/<a b='&amp;\"'> epoch='9' ../\xe2\x82\xac/1#1");
    create(&guest);
    assert_true(listed(guest.id, &found));
    assert_string_equal(found.name, guest.spec.name);
    destroy(guest.id, 0);
    assert_gone(&guest);
}

static void *create_thread(void *arg)
{
    struct guest *guest = arg;
    int64_t pid = 0;
    char text[512];
    return ops->create(driver, &guest->spec, &pid, text) == 0 ? guest : NULL;
}

static void *destroy_thread(void *arg)
{
    struct guest *guest = arg;
    char text[512];
    return ops->destroy(driver, guest->id, 0, text) == 0 ? guest : NULL;
}

static void in_parallel(struct guest *guests, void *(*work)(void *))
{
    pthread_t threads[PARALLEL];
    for (int i = 0; i < PARALLEL; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &guests[i]), 0);
    for (int i = 0; i < PARALLEL; i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_ptr_equal(result, &guests[i]);
    }
}

static void create_and_destroy_together(void)
{
    struct guest guests[PARALLEL];
    for (int i = 0; i < PARALLEL; i++)
        guest_make(&guests[i], mf_world_id(), NULL);
    in_parallel(guests, create_thread);
    for (int i = 0; i < PARALLEL; i++)
        assert_true(runs(guests[i].id));
    in_parallel(guests, destroy_thread);
    for (int i = 0; i < PARALLEL; i++)
        assert_gone(&guests[i]);
}

/* More than once: a child forked while another thread allocates hung about one round in twenty (asan_fork.c).
 */
static void test_parallel(void **state)
{
    for (int i = 0; i < ROUNDS; i++)
        create_and_destroy_together();
}

/* A destroy that comes while the create is under way wins, whatever the create had done by then. */
static void test_overtaken(void **state)
{
    struct guest guest;
    pthread_t thread;
    void *result;
    if (!real)
        skip();
    guest_make(&guest, mf_world_id(), NULL);
    assert_int_equal(pthread_create(&thread, NULL, create_thread, &guest), 0);
    MF_WORLD_AWAIT(mf_world_exists(guest.disk), 10000);
    destroy(guest.id, 0);
    pthread_join(thread, &result);
    assert_gone(&guest);
}

static void test_killed(void **state)
{
    struct guest guest;
    if (!real || !can(MF_DRIVER_HAS_PID | MF_DRIVER_HAS_EVENTS))
        skip();
    guest_make(&guest, mf_world_id(), NULL);
    int64_t pid = create(&guest);
    assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
    assert_int_equal(mf_world_await_death(guest.id, DEATH_LIMIT_MS), MF_DEATH_EXITED);
    assert_false(runs(guest.id));
    assert_true(mf_world_exists(guest.disk)); /* what vanished left its disk: destroy still finds it */
    destroy(guest.id, 0);
    assert_gone(&guest);
}

static void test_frozen(void **state)
{
    struct guest guest;
    if (!real)
        skip();
    guest_make(&guest, mf_world_id(), NULL);
    int64_t pid = create(&guest);
    assert_int_equal(kill((pid_t)pid, SIGSTOP), 0);
    mf_ms start = mf_monotonic_ms();
    destroy(guest.id, 0);
    printf("%s: a stopped process was destroyed in %lld ms\n", kind, (long long)(mf_monotonic_ms() - start));
    assert_gone(&guest);
}

static void test_boot(void **state)
{
    struct guest guest;
    if (!real || !can(MF_DRIVER_HAS_CONSOLE))
        skip();
    guest_make(&guest, mf_world_id(), "#!/bin/sh\necho \"user-data of $(hostname)\"\n");
    create(&guest);
    mf_ms start = mf_monotonic_ms();
    await_line(&guest, "mayfly: ready");
    printf("%s: ready %lld ms after create\n", kind, (long long)(mf_monotonic_ms() - start));
    char line[128];
    snprintf(line, sizeof line, "mayfly: instance-id %s", guest.text);
    assert_true(mf_world_file_has(guest.console, line));
    assert_true(mf_world_file_has(guest.console, "user-data of guest"));
    start = mf_monotonic_ms();
    destroy(guest.id, 30000); /* grace: the power button is answered long before */
    printf("%s: the power button was answered and all gone in %lld ms\n", kind,
           (long long)(mf_monotonic_ms() - start));
    assert_true(mf_monotonic_ms() - start < 25000);
    assert_true(mf_world_file_has(guest.console, "mayfly: power button"));
    assert_gone(&guest);
}

static void test_poweroff(void **state)
{
    struct guest guest;
    if (!real || !can(MF_DRIVER_HAS_EVENTS))
        skip();
    guest_make(&guest, mf_world_id(), "#!/bin/sh\npoweroff -f\n");
    create(&guest);
    assert_int_equal(mf_world_await_death(guest.id, BOOT_LIMIT_MS), MF_DEATH_POWEROFF);
    assert_false(runs(guest.id));
    destroy(guest.id, 0);
    assert_gone(&guest);
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void test_times(void **state)
{
    enum { N = 5 };
    int64_t creates[N], destroys[N];
    for (int i = 0; i < N; i++) {
        struct guest guest;
        guest_make(&guest, mf_world_id(), NULL);
        int64_t start = mf_monotonic_ns();
        create(&guest);
        creates[i] = mf_monotonic_ns() - start;
        start = mf_monotonic_ns();
        destroy(guest.id, 0);
        destroys[i] = mf_monotonic_ns() - start;
    }
    qsort(creates, N, sizeof *creates, by_value);
    qsort(destroys, N, sizeof *destroys, by_value);
    printf("%s: create %.3f ms, destroy %.3f ms (medians of %d)\n", kind, (double)creates[N / 2] / 1e6,
           (double)destroys[N / 2] / 1e6, N);
}

/* ---- what outlives a process */

static void test_leave(void **state)
{
    struct guest guest;
    struct mf_uuid id;
    if (!can(MF_DRIVER_SURVIVES))
        skip();
    assert_true(mf_uuid_parse(survivor_text, strlen(survivor_text), &id));
    guest_make(&guest, id, NULL);
    create(&guest);
}

static void test_found_again(void **state)
{
    struct guest guest;
    struct mf_driver_guest found;
    struct mf_uuid id;
    if (!can(MF_DRIVER_SURVIVES))
        skip();
    assert_true(mf_uuid_parse(survivor_text, strlen(survivor_text), &id));
    assert_true(listed(id, &found));
    assert_true(found.running);
    assert_string_equal(found.name, "default/web/3#1");
    if (can(MF_DRIVER_HAS_PID))
        assert_true(found.pid > 1);
    guest_make(&guest, id, NULL);
    int64_t pid = create(&guest); /* runs already */
    assert_int_equal(pid, found.pid);
    if (real)
        await_line(&guest, "mayfly: ready"); /* its console went on without us */
    if (real)
        kill((pid_t)pid, SIGKILL);
    if (real)
        assert_int_equal(mf_world_await_death(id, DEATH_LIMIT_MS), MF_DEATH_EXITED);
    destroy(id, 0);
    assert_gone(&guest);
}

/* libvirt forgets a guest whose state files are gone; the guest does not stop for that. */
static void test_leave_lost(void **state)
{
    struct guest guest;
    struct mf_uuid id;
    if (!real)
        skip();
    assert_true(mf_uuid_parse(lost_text, strlen(lost_text), &id));
    guest_make(&guest, id, NULL);
    create(&guest);
    assert_int_equal(
        unlink(mf_world_path("a-root-that-is-longer-than-the-monitor-socket-allows/run/qemu/web-3-1-%s.xml",
                             lost_text)),
        0);
}

static void test_lost_is_not_absent(void **state)
{
    struct guest guest;
    struct mf_driver_guest found;
    struct mf_uuid id;
    if (!real)
        skip();
    assert_true(mf_uuid_parse(lost_text, strlen(lost_text), &id));
    guest_make(&guest, id, NULL);
    assert_true(listed(id, &found));
    assert_true(found.running && mf_process_is_guest((pid_t)found.pid, id));
    destroy(id, 0);
    assert_gone(&guest);
}

static void test_reopen(void **state)
{
    struct guest guest;
    if (!can(MF_DRIVER_SURVIVES))
        skip();
    guest_make(&guest, mf_world_id(), NULL);
    create(&guest);
    close_driver(NULL);
    assert_int_equal(open_driver(NULL), 0);
    assert_true(runs(guest.id));
    destroy(guest.id, 0);
    assert_gone(&guest);
}

/* ---- phases */

static int first(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_capacity),       cmocka_unit_test(test_foreign),
        cmocka_unit_test(test_cells),          cmocka_unit_test(test_life),
        cmocka_unit_test(test_bad_spec),       cmocka_unit_test(test_hostile_names),
        cmocka_unit_test(test_parallel),       cmocka_unit_test(test_overtaken),
        cmocka_unit_test(test_killed),         cmocka_unit_test(test_frozen),
        cmocka_unit_test(test_boot),           cmocka_unit_test(test_poweroff),
        cmocka_unit_test(test_times),          cmocka_unit_test(test_at_most),
        cmocka_unit_test(test_at_most_denied), cmocka_unit_test(test_at_most_killed),
        cmocka_unit_test(test_leave),          cmocka_unit_test(test_leave_lost),
        cmocka_unit_test(test_leave_half_made)};
    return cmocka_run_group_tests_name("conformance, first process", tests, open_driver, close_driver);
}

static int no_alias_stays(void **state)
{
    char alias[128] = "";
    close_driver(state);
    ssize_t n = real ? readlink(mf_world_path("a-root-that-is-longer-than-the-monitor-socket-allows/alias"),
                                alias, 127)
                     : 0;
    return n > 0 && mf_world_exists(alias) ? -1 : 0;
}

static int second(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_half_made_is_gone), cmocka_unit_test(test_lost_is_not_absent),
        cmocka_unit_test(test_found_again), cmocka_unit_test(test_life), cmocka_unit_test(test_reopen)};
    return cmocka_run_group_tests_name("conformance, restarted process", tests, open_driver, no_alias_stays);
}

static const char *why_not(void)
{
    struct stat st;
    char kernel[512], line[512];
    if (!real)
        return NULL;
    snprintf(kernel, sizeof kernel, "%s/vmlinuz", image);
    if (geteuid() != 0)
        return "real guests need root";
    if (stat("/usr/bin/qemu-system-x86_64", &st) < 0)
        return "qemu-system-x86 is not installed";
    snprintf(line, sizeof line, "%s/cmdline", image);
    FILE *file = fopen(line, "re");
    if (file) {
        if (fgets(cmdline, sizeof cmdline, file))
            cmdline[strcspn(cmdline, "\n")] = 0;
        fclose(file);
    }
    if (stat(kernel, &st) < 0 || !cmdline[0])
        return "there is no tiny guest: run deploy/images/tiny/build.sh";
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr,
                "usage: test_driver_conformance null|test|qemu PATH-OF-MAYFLY-NULL FOLDER-OF-TINY-GUEST\n");
        return 2;
    }
    kind = argv[1];
    program = argv[2];
    image = argv[3];
    real = strcmp(kind, "qemu") == 0;
    ops = mf_driver_by_name(strcmp(kind, "null") == 0 ? "null" : "libvirt");
    const char *why = why_not();
    if (why) {
        printf("SKIPPED: %s\n", why);
        return 77;
    }
    int (*const phases[])(void) = {first, second};
    return mf_world_run(phases, sizeof phases / sizeof *phases);
}
