/* test_worker_shells.c - which shells are kept ready, and how a shell's process is told. */
#include "shell_process.h"
#include "shells.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct mf_digest kind(uint8_t n)
{
    return (struct mf_digest){.bytes = {n}};
}

static void learn(struct mf_shells *shells, uint8_t n)
{
    struct mf_msg_order_create order = {.order_id = n,
                                        .epoch = 1,
                                        .term = 1,
                                        .id = {.bytes = {n}},
                                        .remaining_ms = 1000,
                                        .slot = n,
                                        .generation = 1};
    order.tenant = order.group = order.image.name = order.offering.name = mf_str("x");
    order.image.kernel = order.image.initrd = mf_str("k");
    order.offering.vcpus = 1;
    order.offering.memory_mib = order.offering.disk_mib = 64;
    order.user_data.bytes = mf_str("a secret");
    mf_shells_learn(shells, kind(n), &order);
}

/* Shells by the letters of their kinds; a capital is taken. */
static const char *next(const struct mf_shells *shells, mf_ms now, const char *there)
{
    static char text[8];
    struct mf_driver_shell all[MF_DRIVER_SHELLS_MAX] = {0};
    const struct mf_shells_kind *entry;
    struct mf_digest of;
    size_t n = strlen(there);
    for (size_t i = 0; i < n; i++) {
        all[i].taken = there[i] < 'a';
        all[i].kind = kind((uint8_t)(there[i] | 0x20));
    }
    switch (mf_shells_next(shells, now, all, n, &entry, &of)) {
    case MF_SHELLS_MAKE:
        snprintf(text, sizeof text, "+%c", of.bytes[0]);
        return text;
    case MF_SHELLS_DROP:
        snprintf(text, sizeof text, "-%c%c", of.bytes[0], entry->kind.bytes[0]);
        return text;
    case MF_SHELLS_NOTHING:
        break;
    }
    return "";
}

static void test_wanted(void **state)
{
    struct mf_shells shells = {.each = 2, .max = 4};
    assert_string_equal(next(&shells, 0, ""), ""); /* nothing was ever born here */
    learn(&shells, 'a');
    assert_string_equal(next(&shells, 0, ""), "+a");
    assert_string_equal(next(&shells, 0, "a"), "+a");
    assert_string_equal(next(&shells, 0, "aA"), "+a"); /* the taken one is as good as gone */
    assert_string_equal(next(&shells, 0, "aa"), "");
    learn(&shells, 'b');
    assert_string_equal(next(&shells, 0, "a"), "+b"); /* the newest first */
    assert_string_equal(next(&shells, 0, "abb"), "+a");
    assert_string_equal(next(&shells, 0, "aabb"), "");
    learn(&shells, 'c'); /* room for two kinds */
    assert_string_equal(next(&shells, 0, "aabb"), "-ac");
    assert_string_equal(next(&shells, 0, "abb"), "+c");
    assert_string_equal(next(&shells, 0, "abbc"), "-ac");
    assert_string_equal(next(&shells, 0, "bbcc"), "");
    learn(&shells, 'a');
    assert_string_equal(next(&shells, 0, "bbcc"), "-ba");
    assert_string_equal(next(&shells, 0, "ccxx"), "-xa"); /* of a kind that was forgotten */
    assert_string_equal(next(&shells, 0, "AACC"), "");    /* all are on their way out */
    mf_shells_free(&shells);
}

static void test_less_room_than_one_kind_wants(void **state)
{
    struct mf_shells shells = {.each = 3, .max = 4};
    learn(&shells, 'a');
    learn(&shells, 'b');
    assert_string_equal(next(&shells, 0, "bbb"), "+a");
    assert_string_equal(next(&shells, 0, "bbba"), "");
    mf_shells_free(&shells);
}

static void test_failures_back_off(void **state)
{
    struct mf_shells shells = {.each = 1, .max = 4};
    learn(&shells, 'a');
    learn(&shells, 'b');
    mf_shells_made(&shells, 1000, kind('b'), false);
    assert_string_equal(next(&shells, 1000, ""), "+a"); /* the others do not wait */
    assert_string_equal(next(&shells, 1000, "a"), "");
    assert_string_equal(next(&shells, 11000, "a"), "+b");
    for (int i = 0; i < 70; i++)
        mf_shells_made(&shells, 1000, kind('b'), false);
    assert_string_equal(next(&shells, 300999, "a"), "");
    assert_string_equal(next(&shells, 301000, "a"), "+b");
    mf_shells_made(&shells, 301000, kind('b'), true);
    assert_string_equal(next(&shells, 301000, "a"), "+b");
    mf_shells_made(&shells, 0, kind('z'), false); /* forgotten meanwhile */
    mf_shells_free(&shells);
}

/* The kind used longest ago is forgotten for a new one, and no secret is kept. */
static void test_kinds_are_bounded(void **state)
{
    struct mf_shells shells = {.each = 1, .max = 64};
    for (uint8_t n = 'a'; n < 'a' + MF_SHELLS_KINDS; n++)
        learn(&shells, n);
    learn(&shells, 'a');
    learn(&shells, 'z');
    char all[MF_SHELLS_KINDS + 1] = "";
    for (size_t i = 0; i < MF_SHELLS_KINDS; i++) {
        all[i] = (char)shells.kinds[i].kind.bytes[0];
        assert_null(memmem(shells.kinds[i].order.ptr, shells.kinds[i].order.len, "secret", 6));
    }
    assert_non_null(strchr(all, 'a'));
    assert_null(strchr(all, 'b'));
    assert_non_null(strchr(all, 'z'));
    mf_shells_free(&shells);
}

/* ---- processes */

#define ID "01990000-0000-7000-8000-0000000000aa"

static bool line(const char *name)
{
    char text[256];
    int n =
        snprintf(text, sizeof text, "qemu%c-name%cguest=%s,debug-threads=on%c-uuid%c" ID, 0, 0, name, 0, 0);
    return mf_shell_line(text, (size_t)n + 1);
}

static void test_line(void **state)
{
    assert_true(line("mayfly-shell-" ID));
    assert_false(line("web-0-1-" ID));
    assert_false(line("mayfly-shell-0-1-" ID)); /* a group has that name */
    assert_false(line("mayfly-shell-" ID "-1"));
    assert_false(line("mayfly-shell-"));
    assert_false(mf_shell_line("", 0));
    assert_false(mf_shell_line("guest=mayfly-shell-" ID, 30)); /* cut short */
}

static int owner(const char *folder, const char *file, struct mf_uuid *ret_id)
{
    char root[] = "/tmp/mf-shells-XXXXXX", path[256], fds[64];
    struct mf_uuid none = {0};
    assert_non_null(mkdtemp(root));
    *ret_id = none;
    snprintf(path, sizeof path, "%s/%s", root, folder);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/%s/" ID, root, folder);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/%s/" ID "/%s", root, folder, file);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    unlink(path); /* deleted or not: the name is what it was */
    snprintf(fds, sizeof fds, "/proc/%d/fd", (int)getpid());
    int r = mf_shell_owner(AT_FDCWD, fds, ret_id);
    close(fd);
    snprintf(path, sizeof path, "%s/%s/" ID, root, folder);
    rmdir(path);
    *strrchr(path, '/') = 0;
    rmdir(path);
    rmdir(root);
    return r;
}

static void test_owner(void **state)
{
    struct mf_uuid id, found;
    assert_true(mf_uuid_parse(ID, strlen(ID), &id));
    assert_int_equal(owner("instances", "disk.qcow2", &found), 1);
    assert_true(mf_uuid_eq(found, id));
    assert_int_equal(owner("shells", "console.log", &found), 1);
    assert_true(mf_uuid_eq(found, id));
    assert_int_equal(owner("images", "disk.qcow2", &found),
                     0); /* a base that lies in such a folder is no proof */
    assert_int_equal(mf_shell_owner(AT_FDCWD, "/proc/0/fd", &found), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_wanted),
                                       cmocka_unit_test(test_less_room_than_one_kind_wants),
                                       cmocka_unit_test(test_failures_back_off),
                                       cmocka_unit_test(test_kinds_are_bounded),
                                       cmocka_unit_test(test_line),
                                       cmocka_unit_test(test_owner)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
