/* test_driver_kvm.c - whether guests of a type boot is tried with a guest: by real QEMU, emulated, for that
 * boots everywhere that QEMU is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "driver_libvirt.h"
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LONG_MS = 60000 };

struct hypervisor {
    char root[32], note[512];
    struct mf_driver driver;
    virConnectPtr conn;
};

/* A process has one embedded hypervisor. */
static int setup(void **state)
{
    struct hypervisor *h = calloc(1, sizeof *h);
    char uri[64];
    *state = h;
    snprintf(h->root, sizeof h->root, "/tmp/mf-kvm-XXXXXX");
    assert_non_null(mkdtemp(h->root));
    if (geteuid() != 0 || access("/usr/bin/qemu-system-x86_64", X_OK) < 0)
        return 0; /* the tests say so */
    assert_int_equal(mf_embed_prepare(h->root, h->note), 0);
    assert_int_equal(mf_events_start(h->note), 0);
    snprintf(uri, sizeof uri, "qemu:///embed?root=%s", h->root);
    h->conn = virConnectOpen(uri);
    assert_non_null(h->conn);
    h->driver = (struct mf_driver){.local = true, .root = h->root, .uri = (char *)"qemu:///there"};
    return 0;
}

static int drop(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    return remove(path);
}

static int teardown(void **state)
{
    struct hypervisor *h = *state;
    if (h->conn)
        virConnectClose(h->conn);
    (void)nftw(h->root, drop, 16, FTW_DEPTH | FTW_PHYS);
    free(h);
    return 0;
}

static int begin(void **state)
{
    struct hypervisor *h = *state;
    h->note[0] = 0;
    return 0;
}

static struct hypervisor *needed(void **state)
{
    struct hypervisor *h = *state;
    if (!h->conn) {
        print_message("SKIPPED: wants root and qemu-system-x86\n");
        skip();
    }
    return h;
}

static void nothing_is_left(struct hypervisor *h)
{
    char path[64];
    snprintf(path, sizeof path, "%s/probe.img", h->root);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(virConnectNumOfDomains(h->conn), 0);
    assert_int_equal(virConnectNumOfDefinedDomains(h->conn), 0);
}

static void a_guest_that_boots(void **state)
{
    struct hypervisor *h = needed(state);
    bool boots = mf_libvirt_boots(h->conn, h->root, "qemu", LONG_MS, h->note);
    assert_string_equal(h->note, "");
    assert_true(boots);
    nothing_is_left(h);
}

static void a_guest_that_takes_too_long(void **state)
{
    struct hypervisor *h = needed(state);
    assert_false(mf_libvirt_boots(h->conn, h->root, "qemu", 0, h->note));
    assert_non_null(strstr(h->note, "no guest booted with it within 0 ms"));
    nothing_is_left(h);
}

static void a_guest_that_cannot_be_started(void **state)
{
    struct hypervisor *h = needed(state);
    assert_false(mf_libvirt_boots(h->conn, h->root, "xen", LONG_MS, h->note));
    assert_non_null(strstr(h->note, "starts no guest with it"));
    nothing_is_left(h);
}

/* What a worker left that was killed while it tried. */
static void another_s_remains_are_no_hindrance(void **state)
{
    struct hypervisor *h = needed(state);
    struct mf_buf xml = {0};
    char name[64], disk[64];
    snprintf(name, sizeof name, "mayfly-probe-%016llx",
             (unsigned long long)mf_hash(h->root, strlen(h->root)));
    snprintf(disk, sizeof disk, "%s/probe.img", h->root);
    mf_probe_xml(name, "qemu", disk, &xml);
    virDomainPtr old = virDomainDefineXML(h->conn, xml.ptr);
    assert_non_null(old);
    virDomainFree(old);
    mf_buf_free(&xml);
    assert_true(mf_libvirt_boots(h->conn, h->root, "qemu", LONG_MS, h->note));
    nothing_is_left(h);
}

/* A daemon's word decides, whatever this process sees of /dev/kvm; test:///default offers none. */
static void a_daemon_that_offers_none(void **state)
{
    struct hypervisor *h = *state;
    virConnectPtr conn = virConnectOpen("test:///default");
    assert_non_null(conn);
    struct mf_driver driver = {.local = true, .root = h->root, .uri = (char *)"qemu:///there"};
    assert_string_equal(mf_libvirt_kvm_or_qemu(&driver, conn, h->note), "qemu");
    assert_string_equal(h->note, "the hypervisor at qemu:///there offers no KVM: guests are emulated");
    virConnectClose(conn);
}

static void what_came_of_it_is_remembered(void **state)
{
    struct hypervisor *h = needed(state);
    char path[64];
    if (!mf_libvirt_offers_kvm(h->conn)) {
        print_message("SKIPPED: libvirt offers no KVM here\n");
        skip();
    }
    const char *type = mf_libvirt_kvm_or_qemu(&h->driver, h->conn, h->note);
    assert_int_equal(strcmp(type, "kvm") == 0, h->note[0] == 0);
    nothing_is_left(h);
    snprintf(path, sizeof path, "%s/domain-type-of-daemon", h->root);
    assert_int_equal(access(path, F_OK), 0);
    assert_string_equal(mf_libvirt_kvm_or_qemu(&h->driver, h->conn, h->note), type);
    if (strcmp(type, "qemu") == 0)
        assert_non_null(strstr(h->note, "remove "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_guest_that_boots, begin),
        cmocka_unit_test_setup(a_guest_that_takes_too_long, begin),
        cmocka_unit_test_setup(a_guest_that_cannot_be_started, begin),
        cmocka_unit_test_setup(another_s_remains_are_no_hindrance, begin),
        cmocka_unit_test_setup(a_daemon_that_offers_none, begin),
        cmocka_unit_test_setup(what_came_of_it_is_remembered, begin),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
