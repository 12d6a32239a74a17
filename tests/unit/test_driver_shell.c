/* test_driver_shell.c - shells of the libvirt driver on real QEMU, with the tiny guest: one is made, and
 * becomes a guest that knows nothing of having been one. The second process finds what the first left, as a
 * restarted agent does: a guest that was a shell, shells that nobody took, and those whose taking was cut
 * off. */
#include "driver_guest.h"
#include "process.h"
#include "shell_process.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { BOOT_LIMIT_MS = 60000, SEED_BYTES = 1 << 20 };

static const char survivor_text[] = "01990000-0000-7000-8000-00000000beef",
                  renamed_text[] = "01990000-0000-7000-8000-0000000000aa",
                  held_text[] = "01990000-0000-7000-8000-0000000000bb",
                  idle_text[] = "01990000-0000-7000-8000-0000000000cc",
                  survivor_shell_text[] = "01990000-0000-7000-8000-0000000001dd",
                  renamed_shell_text[] = "01990000-0000-7000-8000-0000000001aa",
                  held_shell_text[] = "01990000-0000-7000-8000-0000000001bb";

static int open_driver(void **state)
{
    struct mf_driver_config config = {.root = mf_world_path("libvirt"),
                                      .domain_type = "qemu",
                                      .cpu_ratio_percent = 400,
                                      .died = mf_world_died};
    return driver_open(&config);
}

/* ---- guests and shells */

static struct mf_uuid id_of(const char *text)
{
    struct mf_uuid id;
    assert_true(mf_uuid_parse(text, strlen(text), &id));
    return id;
}

static void say(struct guest *guest, const char *folder, struct mf_uuid id)
{
    char text[MF_UUID_TEXT];
    mkdir(mf_world_path("%s", folder), 0755);
    guest_say(guest, id, mf_world_path("%s/%s", folder, mf_uuid_text(id, text)));
}

static struct mf_digest kind_of(const struct guest *guest)
{
    struct mf_digest kind;
    if (ops->shell_kind(driver, &guest->spec, &kind, error) < 0)
        fail_msg("shell_kind: %s", error);
    return kind;
}

static void shell_make(struct guest *shell, struct mf_uuid id)
{
    say(shell, "shells", id);
    mkdir(shell->dir, 0755);
    int fd = open(shell->seed, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && ftruncate(fd, SEED_BYTES) == 0);
    close(fd);
    if (ops->shell_make(driver, &shell->spec, kind_of(shell), error) < 0)
        fail_msg("shell_make: %s", error);
}

static void copy(const char *from, const char *to)
{
    static char bytes[SEED_BYTES];
    int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CLOEXEC);
    ssize_t n = read(in, bytes, sizeof bytes);
    assert_true(n > 0 && write(out, bytes, (size_t)n) == n);
    close(in);
    close(out);
}

/* What the agent does: the seed into the shell's own file, the folder to the guest's name. */
static void become(struct guest *guest, struct mf_uuid id, const struct guest *shell, const char *user_data)
{
    say(guest, "instances", id);
    copy(mf_world_seed(guest->text, user_data), shell->seed);
    if (rename(shell->dir, guest->dir) < 0)
        fail_msg("rename: %s", strerror(errno));
    guest->spec.shell = shell->id;
}

static size_t idle_shells(void)
{
    struct mf_driver_shell shells[MF_DRIVER_SHELLS_MAX];
    return ops->shells(driver, shells, MF_DRIVER_SHELLS_MAX);
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

static void await_line(const struct guest *guest, const char *line)
{
    mf_ms end = mf_monotonic_ms() + BOOT_LIMIT_MS;
    while (!mf_world_file_has(guest->console, line) && mf_monotonic_ms() < end)
        mf_world_pause();
    if (!mf_world_file_has(guest->console, line))
        fail_msg("the console never said \"%s\"", line);
}

static void assert_gone(struct mf_uuid id)
{
    char text[MF_UUID_TEXT];
    struct mf_driver_guest found;
    mf_uuid_text(id, text);
    assert_false(listed(id, &found));
    assert_int_equal(mf_process_find_guest(id), 0);
    assert_false(mf_world_exists(mf_world_path("libvirt/guests/%s", text)));
}

static void destroy(struct mf_uuid id)
{
    if (ops->destroy(driver, id, 0, error) < 0)
        fail_msg("destroy: %s", error);
    assert_gone(id);
}

/* ---- one process */

/* Nobody is told of it; whoever asks for what it is not finds nothing. */
static void test_idle(void **state)
{
    struct guest shell;
    struct mf_driver_guest found;
    struct mf_uuid taken, none;
    shell_make(&shell, mf_world_id());
    assert_int_equal(idle_shells(), 1);
    assert_false(listed(shell.id, &found));
    assert_true(mf_process_find_guest(shell.id) > 0);
    struct mf_digest other = kind_of(&shell);
    other.bytes[0] ^= 1;
    assert_false(ops->shell_take(driver, other, &none));
    assert_true(ops->shell_take(driver, kind_of(&shell), &taken));
    assert_true(mf_uuid_eq(taken, shell.id));
    assert_false(ops->shell_take(driver, kind_of(&shell), &none)); /* once */
    destroy(shell.id);
    assert_int_equal(idle_shells(), 0);
    assert_false(mf_world_exists(shell.disk));
    assert_false(mf_world_told(shell.id));
}

static void test_kinds(void **state)
{
    struct guest a, b;
    say(&a, "instances", mf_world_id());
    say(&b, "instances", mf_world_id());
    b.spec.epoch = 9;
    b.spec.at_most = true;
    snprintf(b.spec.name, sizeof b.spec.name, "other/db/0#7");
    assert_true(mf_digest_eq(kind_of(&a), kind_of(&b)));
    b.spec.disk_mib++;
    assert_false(mf_digest_eq(kind_of(&a), kind_of(&b)));
    b.spec.disk_mib--;
    b.spec.memory_mib++;
    assert_false(mf_digest_eq(kind_of(&a), kind_of(&b)));
    b.spec.memory_mib--;
    b.spec.base = "/images/one";
    assert_false(mf_digest_eq(kind_of(&a), kind_of(&b)));
    b.spec.base = NULL;
    b.spec.network = "lan";
    assert_false(mf_digest_eq(kind_of(&a), kind_of(&b)));
    b.spec.network = NULL;
    struct mf_rec_offering offering = {.disk_iops = 100};
    b.spec.offering = &offering;
    assert_false(mf_digest_eq(kind_of(&a), kind_of(&b)));
    offering.pinned = true;
    struct mf_digest kind;
    assert_int_equal(ops->shell_kind(driver, &b.spec, &kind, error), -ENOTSUP);
}

static void test_become(void **state)
{
    struct guest shell, guest;
    struct mf_driver_guest found;
    struct mf_uuid taken;
    shell_make(&shell, mf_world_id());
    assert_true(ops->shell_take(driver, kind_of(&shell), &taken));
    become(&guest, mf_world_id(), &shell, "#!/bin/sh\necho marker-$((6 * 7))\n");
    mf_ms began = mf_monotonic_ms();
    int64_t pid = create(&guest);
    printf("a shell became a guest in %lld ms\n", (long long)(mf_monotonic_ms() - began));
    assert_int_equal(idle_shells(), 0);
    assert_true(listed(guest.id, &found));
    assert_true(found.running && found.pid == pid);
    assert_string_equal(found.name, "default/web/3#1");
    assert_false(listed(shell.id, &found));
    assert_true(mf_process_is_guest((pid_t)pid, guest.id) == 1);
    assert_int_equal(mf_process_find_guest(guest.id), pid);
    guest.spec.shell = (struct mf_uuid){0};
    assert_int_equal(create(&guest), pid); /* twice is once */
    char line[64];
    snprintf(line, sizeof line, "mayfly: instance-id %s", guest.text); /* QEMU sees what was written since */
    await_line(&guest, line);
    await_line(&guest, "marker-42");
    destroy(guest.id);
    assert_false(mf_world_exists(guest.disk));
    assert_false(mf_world_told(guest.id) || mf_world_told(shell.id));
    assert_gone(shell.id);
}

/* A process that dies is the guest's death, told under its own id. */
static void test_dies(void **state)
{
    struct guest shell, guest;
    struct mf_uuid taken;
    shell_make(&shell, mf_world_id());
    assert_true(ops->shell_take(driver, kind_of(&shell), &taken));
    become(&guest, mf_world_id(), &shell, "#!/bin/sh\n");
    int64_t pid = create(&guest);
    assert_int_equal(mf_process_kill_guest((pid_t)pid, guest.id, 5000), 0);
    assert_int_equal(mf_world_await_death(guest.id, 10000), MF_DEATH_EXITED);
    assert_false(mf_world_told(shell.id));
    destroy(guest.id);
    assert_false(mf_world_exists(guest.disk));
}

/* It ended before anybody took it, or after: a create that names it fails, and leaves nothing. */
static void test_stale(void **state)
{
    struct guest shell, guest;
    struct mf_uuid taken;
    int64_t pid;
    shell_make(&shell, mf_world_id());
    assert_int_equal(mf_process_kill_guest(mf_process_find_guest(shell.id), shell.id, 5000), 0);
    MF_WORLD_AWAIT(idle_shells() == 0, 10000);
    shell_make(&shell, mf_world_id());
    assert_true(ops->shell_take(driver, kind_of(&shell), &taken));
    become(&guest, mf_world_id(), &shell, "#!/bin/sh\n");
    assert_int_equal(mf_process_kill_guest(mf_process_find_guest(shell.id), shell.id, 5000), 0);
    assert_int_equal(ops->create(driver, &guest.spec, &pid, error), -ESTALE);
    assert_gone(guest.id);
    assert_gone(shell.id);
    assert_int_equal(idle_shells(), 0);
}

static bool deny(void *arg, struct mf_uuid id, int64_t pid)
{
    *(int64_t *)arg = pid;
    return false;
}

static void test_at_most(void **state)
{
    struct guest shell, guest;
    struct mf_uuid taken;
    int64_t pid, held = 0;
    shell_make(&shell, mf_world_id());
    assert_true(ops->shell_take(driver, kind_of(&shell), &taken));
    become(&guest, mf_world_id(), &shell, "#!/bin/sh\n");
    guest.spec.at_most = true;
    guest.spec.hold = deny;
    guest.spec.hold_arg = &held;
    assert_int_equal(ops->create(driver, &guest.spec, &pid, error), -ECANCELED);
    assert_true(held > 1);
    assert_gone(guest.id);
    assert_gone(shell.id);
}

/* ---- what a process leaves that is killed */

static void test_leave(void **state)
{
    struct guest shell, guest;
    struct mf_uuid taken;
    shell_make(&shell, id_of(survivor_shell_text));
    assert_true(ops->shell_take(driver, kind_of(&shell), &taken));
    become(&guest, id_of(survivor_text), &shell, "#!/bin/sh\nwhile :; do echo alive; sleep 1; done &\n");
    create(&guest);
    await_line(&guest, "alive");
    /* renamed, and nothing more */
    shell_make(&shell, id_of(renamed_shell_text));
    become(&guest, id_of(renamed_text), &shell, "#!/bin/sh\n");
    shell_make(&shell, id_of(idle_text));
}

/* Its identity is set, and it is not let run. */
static bool end_here(void *arg, struct mf_uuid id, int64_t pid)
{
    fflush(NULL);
    _exit(0);
}

static void test_leave_held(void **state)
{
    struct guest shell, guest;
    int64_t pid;
    shell_make(&shell, id_of(held_shell_text));
    become(&guest, id_of(held_text), &shell, "#!/bin/sh\n");
    guest.spec.at_most = true;
    guest.spec.hold = end_here;
    (void)ops->create(driver, &guest.spec, &pid, error);
    fail();
}

/* ---- and the next finds */

static void test_found(void **state)
{
    struct mf_driver_guest found;
    struct guest guest;
    char second_line[] = "alive\r\nalive\r\n";
    assert_true(listed(id_of(survivor_text), &found));
    assert_true(found.running && found.pid > 1);
    assert_string_equal(found.name, "default/web/3#1");
    say(&guest, "instances", id_of(survivor_text));
    await_line(&guest, second_line);
    assert_int_equal(create(&guest), found.pid);
    assert_int_equal(mf_process_kill_guest((pid_t)found.pid, guest.id, 5000), 0);
    assert_int_equal(mf_world_await_death(guest.id, 10000), MF_DEATH_EXITED);
    destroy(guest.id);
    assert_false(mf_world_exists(guest.disk));
}

static void test_others_are_gone(void **state)
{
    const char *const texts[] = {renamed_text,    renamed_shell_text, held_text,
                                 held_shell_text, idle_text,          survivor_shell_text};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i] != survivor_shell_text)
            assert_gone(id_of(texts[i]));
        else
            assert_false(mf_world_exists(mf_world_path("libvirt/guests/%s", texts[i])));
    assert_int_equal(idle_shells(), 0);
}

static void test_close_ends_them(void **state)
{
    struct guest shell;
    shell_make(&shell, mf_world_id());
    driver_close(state);
    assert_int_equal(mf_process_find_guest(shell.id), 0);
}

static int first(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kinds),  cmocka_unit_test(test_idle),
                                       cmocka_unit_test(test_become), cmocka_unit_test(test_dies),
                                       cmocka_unit_test(test_stale),  cmocka_unit_test(test_at_most)};
    return cmocka_run_group_tests_name("shells", tests, open_driver, driver_close);
}

static int leaving(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_leave), cmocka_unit_test(test_leave_held)};
    return cmocka_run_group_tests_name("shells, process that is killed", tests, open_driver, driver_close);
}

static int finding(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_others_are_gone), cmocka_unit_test(test_found),
                                       cmocka_unit_test(test_close_ends_them)};
    return cmocka_run_group_tests_name("shells, restarted process", tests, open_driver, driver_close);
}

int main(int argc, char **argv)
{
    int (*const phases[])(void) = {first, leaving, finding};
    if (!guest_image(argc > 1 ? argv[1] : ""))
        return 77;
    return mf_world_run(phases, sizeof phases / sizeof *phases);
}
