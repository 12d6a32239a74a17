/* test_driver_guest.c - real QEMU guests that say how they are, are contained, and have what their order
 * says: the libvirt driver in an embedded root, the tiny guest, emulated. Two processes: the second hears
 * what was said while none listened. */
#include "driver_guest.h"
#include "driver_libvirt.h"
#include "process.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { BOOT_LIMIT_MS = 90000, TOLD_MAX = 64 };

static bool private_mounts;

static const char late_text[] = "01990000-0000-7000-8000-00000000aaaa",
                  early_text[] = "01990000-0000-7000-8000-00000000bbbb";

/* ---- what the driver told */

struct told {
    struct mf_uuid id;
    enum mf_ailment how; /* UNSET: it is ready */
    char text[256];
};
static struct told told[TOLD_MAX];
static size_t n_told;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void note_down(struct mf_uuid id, enum mf_ailment how, const char *text)
{
    pthread_mutex_lock(&lock);
    assert_true(n_told < TOLD_MAX);
    told[n_told].id = id;
    told[n_told].how = how;
    snprintf(told[n_told++].text, sizeof told->text, "%s", text);
    pthread_mutex_unlock(&lock);
}

static void on_ready(void *arg, struct mf_uuid id)
{
    note_down(id, MF_AILMENT_UNSET, "");
}

static void on_unwell(void *arg, struct mf_uuid id, enum mf_ailment how, const char *text)
{
    note_down(id, how, text);
}

static char found_at[101]; /* of whoever was found last */

static void on_address(void *arg, struct mf_uuid id, const char *address)
{
    pthread_mutex_lock(&lock);
    snprintf(found_at, sizeof found_at, "%s", address);
    pthread_mutex_unlock(&lock);
}

static bool is_found_at(const char *address)
{
    pthread_mutex_lock(&lock);
    bool is = strcmp(found_at, address) == 0;
    pthread_mutex_unlock(&lock);
    return is;
}

static size_t count(struct mf_uuid id, enum mf_ailment how)
{
    size_t n = 0;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < n_told; i++)
        n += mf_uuid_eq(told[i].id, id) && told[i].how == how;
    pthread_mutex_unlock(&lock);
    return n;
}

static int open_driver(void **state)
{
    static const struct mf_driver_network networks[] = {
        {.name = "taps", .kind = MF_NETWORK_TAP, .source = "mft"}};
    static char leases[512]; /* the driver keeps it; a world's path is soon another */
    snprintf(leases, sizeof leases, "%s", mf_world_path("leases"));
    struct mf_driver_config config = {.root = mf_world_path("libvirt"),
                                      .domain_type = "qemu",
                                      .cpu_ratio_percent = 100,
                                      .died = mf_world_died,
                                      .ready = on_ready,
                                      .unwell = on_unwell,
                                      .address = on_address,
                                      .lease_file = leases,
                                      .networks = networks,
                                      .n_networks = 1};
    return driver_open(&config);
}

/* ---- guests */

static void make(struct guest *guest, struct mf_uuid id, const char *user_data)
{
    char text[MF_UUID_TEXT];
    guest_say(guest, id, mf_world_path("instances-%s", mf_uuid_text(id, text)));
    mkdir(guest->dir, 0711);
    snprintf(guest->seed, sizeof guest->seed, "%s", mf_world_seed(guest->text, user_data));
}

static void refused(struct guest *guest, const char *why)
{
    int64_t pid = 0;
    assert_true(ops->create(driver, &guest->spec, &pid, error) < 0);
    if (!strstr(error, why))
        fail_msg("refused, but with: %s", error);
    assert_false(mf_world_exists(guest->disk));
    assert_int_equal(mf_process_find_guest(guest->id), 0);
}

static void destroy(const struct guest *guest)
{
    if (ops->destroy(driver, guest->id, 0, error) < 0)
        fail_msg("destroy: %s", error);
    assert_false(mf_world_exists(guest->disk));
}

static bool listed_ready(struct mf_uuid id)
{
    struct mf_driver_guest *guests = NULL;
    size_t n = 0;
    bool ready = false;
    assert_int_equal(ops->list(driver, &guests, &n, error), 0);
    for (size_t i = 0; i < n; i++)
        ready |= mf_uuid_eq(guests[i].id, id) && guests[i].ready;
    free(guests);
    return ready;
}

static bool mark_of(const struct guest *guest)
{
    char path[600];
    snprintf(path, sizeof path, "%s/ready", guest->dir);
    return mf_world_exists(path);
}

/* ---- how they are */

static void it_says_that_it_is_ready(void **state)
{
    struct guest guest;
    make(&guest, mf_world_id(), "#!/bin/sh\ntrue\n");
    guest.health.ready = MF_READINESS_PORT;
    create(&guest);
    assert_false(listed_ready(guest.id));
    MF_WORLD_AWAIT(count(guest.id, MF_AILMENT_UNSET) == 1, BOOT_LIMIT_MS);
    assert_true(mark_of(&guest) && listed_ready(guest.id));
    destroy(&guest);
    assert_int_equal(count(guest.id, MF_AILMENT_UNSET), 1);
}

static void one_whose_user_data_fails_does_not(void **state)
{
    struct guest guest;
    make(&guest, mf_world_id(), "#!/bin/sh\nexit 3\n");
    guest.health.ready = MF_READINESS_PORT;
    create(&guest);
    MF_WORLD_AWAIT(mf_world_file_has(guest.console, "mayfly: not ready"), BOOT_LIMIT_MS);
    assert_int_equal(count(guest.id, MF_AILMENT_UNSET), 0);
    assert_false(mark_of(&guest));
    destroy(&guest);
}

static void a_panic_is_a_crash_with_its_last_words(void **state)
{
    struct guest guest;
    make(&guest, mf_world_id(), "#!/bin/sh\necho 8 >/proc/sys/kernel/printk\necho c >/proc/sysrq-trigger\n");
    create(&guest);
    assert_int_equal(mf_world_await_death(guest.id, BOOT_LIMIT_MS), MF_DEATH_CRASHED);
    assert_true(mf_world_file_has(guest.console, "Kernel panic - not syncing"));
    destroy(&guest);
}

/* As much of a guest agent as libvirt asks for; after some answers it hangs. */
static const char agent[] =
    "#!/bin/sh\n"
    "for p in /sys/class/virtio-ports/*; do\n"
    "  [ \"$(cat $p/name)\" = org.qemu.guest_agent.0 ] && exec 4<>/dev/${p##*/}\n"
    "done\n"
    "serve() {\n"
    "  n=0\n"
    "  while [ $n -lt 4 ]; do\n"
    "    read -r line <&4 || { sleep 0.1; continue; }\n"
    "    case $line in\n"
    "    *guest-sync*) id=${line##*\\\"id\\\":}; id=${id%%[!0-9 ]*}; echo \"{\\\"return\\\": $id}\" >&4 ;;\n"
    "    *guest-ping*) n=$((n + 1)); echo '{\"return\": {}}' >&4 ;;\n"
    "    esac\n"
    "  done\n"
    "  echo agent hangs now\n"
    "  sleep 3600\n"
    "}\n"
    "serve &\n";

static void an_agent_that_hangs_is_an_unwell_guest(void **state)
{
    struct guest guest;
    make(&guest, mf_world_id(), agent);
    guest.health.ready = MF_READINESS_AGENT;
    guest.health.ping_ms = 300;
    guest.health.ping_fall = 2;
    create(&guest);
    MF_WORLD_AWAIT(count(guest.id, MF_AILMENT_UNSET) == 1, BOOT_LIMIT_MS);
    assert_true(mark_of(&guest));
    MF_WORLD_AWAIT(count(guest.id, MF_AILMENT_AGENT) == 1, BOOT_LIMIT_MS);
    assert_true(mf_world_file_has(guest.console, "agent hangs now"));
    destroy(&guest);
    assert_int_equal(count(guest.id, MF_AILMENT_AGENT), 1);
}

/* Its disk has no room for what it writes. */
static void a_disk_that_fails_is_an_unwell_guest(void **state)
{
    struct guest guest;
    const char *small = mf_world_path("small");
    make(&guest, mf_world_id(), "#!/bin/sh\ndd if=/dev/urandom of=/dev/vda bs=64k count=512\nsync\n");
    mkdir(small, 0755);
    if (!private_mounts || mount("none", small, "tmpfs", 0, "size=1m") < 0)
        skip(); /* not allowed to mount here */
    snprintf(guest.disk, sizeof guest.disk, "%s/disk.qcow2", small);
    create(&guest);
    mf_ms end = mf_monotonic_ms() + BOOT_LIMIT_MS;
    while (!count(guest.id, MF_AILMENT_HUNG) && mf_monotonic_ms() < end)
        mf_world_pause();
    size_t n = count(guest.id, MF_AILMENT_HUNG);
    destroy(&guest);
    umount(small);
    assert_true(n > 0);
}

/* ---- what they have */

static virDomainPtr domain_of(const struct guest *guest)
{
    virDomainPtr domain = NULL;
    assert_int_equal(mf_domain_lookup(driver->lanes[0], guest->id, &domain, error), 0);
    return domain;
}

static uint64_t tune(virDomainPtr domain, const char *disk, const char *field)
{
    virTypedParameter params[64];
    unsigned long long value = 0;
    int n = 64;
    assert_int_equal(virDomainGetBlockIoTune(domain, disk, params, &n, 0), 0);
    virTypedParamsGetULLong(params, n, field, &value);
    virTypedParamsClear(params, n);
    return value;
}

static void nobody_is_without_caps(void **state)
{
    struct guest guest;
    make(&guest, mf_world_id(), "");
    guest.offering.disk_iops = 300;
    guest.offering.disk_burst_percent = 200;
    guest.offering.disk_burst_s = 5;
    create(&guest);
    virDomainPtr domain = domain_of(&guest);
    assert_int_equal(tune(domain, "vda", VIR_DOMAIN_BLOCK_IOTUNE_TOTAL_BYTES_SEC), 64 << 20);
    assert_int_equal(tune(domain, "vda", VIR_DOMAIN_BLOCK_IOTUNE_TOTAL_BYTES_SEC_MAX), 128 << 20);
    assert_int_equal(tune(domain, "vda", VIR_DOMAIN_BLOCK_IOTUNE_TOTAL_IOPS_SEC), 300);
    assert_int_equal(tune(domain, "vda", VIR_DOMAIN_BLOCK_IOTUNE_TOTAL_IOPS_SEC_MAX_LENGTH), 5);
    assert_int_equal(tune(domain, "vdb", VIR_DOMAIN_BLOCK_IOTUNE_TOTAL_IOPS_SEC), 300);
    virDomainFree(domain);
    destroy(&guest);
}

static void a_pinned_guest_has_its_own_cpu(void **state)
{
    struct guest guest, other;
    unsigned char map[128] = {0};
    make(&guest, mf_world_id(), "");
    make(&other, mf_world_id(), "");
    guest.offering.pinned = other.offering.pinned = true;
    create(&guest);
    virDomainPtr domain = domain_of(&guest);
    assert_int_equal(virDomainGetVcpuPinInfo(domain, 1, map, sizeof map, 0), 1);
    unsigned bits = 0;
    for (size_t i = 0; i < sizeof map; i++)
        bits += (unsigned)__builtin_popcount(map[i]);
    assert_int_equal(bits, 1);
    virDomainFree(domain);
    other.spec.vcpus = driver->pins.n; /* one of them is the first one's */
    refused(&other, "host CPUs of its own are wanted");
    destroy(&guest);
    for (size_t i = 0; i < driver->pins.n; i++)
        assert_false(driver->pins.all[i].taken);
}

static void tells_cells(struct guest *guest, uint8_t cells, uint64_t vcpus, const char *answer)
{
    make(guest, mf_world_id(),
         "#!/bin/sh\nmkdir -p /sys\nmount -t sysfs sysfs /sys 2>/dev/null\n"
         "echo \"cells: $(cat /sys/devices/system/node/online)\"\n");
    guest->spec.cells = cells;
    guest->spec.vcpus = vcpus;
    create(guest);
    MF_WORLD_AWAIT(mf_world_file_has(guest->console, answer), BOOT_LIMIT_MS);
}

static void a_guest_sits_in_its_cell(void **state)
{
    struct guest guest;
    tells_cells(&guest, 1, 1, "cells: 0\r");
    destroy(&guest);
}

/* A host of one cell is told to the driver as two with a CPU each: its guest has two cells of its own. */
static void a_guest_of_two_cells_has_two(void **state)
{
    struct mf_topology *topology = &driver->topology;
    struct guest guest;
    unsigned char maps[2] = {0};
    if (topology->n_cells != 1 || topology->n_cpus != 2)
        skip();
    topology->cells[1] = topology->cells[0];
    topology->n_cells = 2;
    topology->cpus[1].cell = 1;
    tells_cells(&guest, 3, 2, "cells: 0-1\r");
    virDomainPtr domain = domain_of(&guest);
    assert_int_equal(virDomainGetVcpuPinInfo(domain, 2, maps, 1, 0), 2);
    virDomainFree(domain);
    assert_int_equal(maps[0], 1 << topology->cpus[0].id);
    assert_int_equal(maps[1], 1 << topology->cpus[1].id);
    destroy(&guest);
    topology->n_cells = 1;
    topology->cpus[1].cell = 0;
}

static void its_memory_is_huge_pages_where_there_are_any(void **state)
{
    struct guest guest;
    if (!driver->topology.hugepage_kib)
        skip(); /* vm.nr_hugepages is 0 here */
    make(&guest, mf_world_id(), "");
    guest.offering.hugepages = true;
    guest.spec.cells = 1;
    create(&guest);
    MF_WORLD_AWAIT(mf_world_file_has(guest.console, "mayfly: ready"), BOOT_LIMIT_MS);
    destroy(&guest);
}

static void what_the_host_has_not_is_refused(void **state)
{
    struct guest guest;
    make(&guest, mf_world_id(), "");
    guest.spec.network = "moon";
    refused(&guest, "this node knows no network \"moon\"");
    guest.spec.network = NULL;
    guest.offering.hugepages = true;
    guest.spec.memory_mib = 1 << 20;
    refused(&guest, "huge pages");
    guest.offering = (struct mf_rec_offering){.pinned = true};
    driver->config.cpu_ratio_percent = 400;
    refused(&guest, "shares its CPUs");
    driver->config.cpu_ratio_percent = 100;
}

static void a_tap_is_named_after_the_guest_and_a_lease_tells_its_address(void **state)
{
    struct guest guest;
    char path[128];
    make(&guest, mf_world_id(), "");
    guest.spec.network = "taps";
    const uint8_t *b = guest.id.bytes;
    snprintf(path, sizeof path, "/sys/class/net/mft%02x%02x%02x", b[13], b[14], b[15]);
    if (access("/dev/net/tun", R_OK | W_OK) < 0)
        skip(); /* no taps on this machine */
    create(&guest);
    assert_true(mf_world_exists(path));
    char lease[256];
    snprintf(lease, sizeof lease,
             "1 52:54:00:00:00:01 10.9.8.1 other *\nbroken\n1 52:54:00:%02X:%02x:%02x 10.9.8.6 old *\n"
             "1 52:54:00:%02x:%02x:%02x 10.9.8.7 guest *\n1 52:54:00:%02x:%02x:%02x nonsense guest *\n",
             b[13], b[14], b[15], b[13], b[14], b[15], b[13], b[14], b[15]);
    mf_world_write(mf_world_path("leases"), lease);
    MF_WORLD_AWAIT(is_found_at("10.9.8.7"), 20000);
    destroy(&guest);
    assert_false(mf_world_exists(path));
}

/* No kernel, no seed: the disk's own boot loader, which switches the machine off, on an overlay of it. */
static void a_disk_boots_by_itself(void **state)
{
    static const uint8_t power_off[] = {0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef, 0xf4, 0xeb, 0xfd};
    uint8_t sector[512] = {0};
    struct guest guest;
    const char *base = mf_world_path("base.raw");
    memcpy(sector, power_off, sizeof power_off);
    sector[510] = 0x55;
    sector[511] = 0xaa;
    FILE *file = fopen(base, "we");
    assert_true(file && fwrite(sector, 1, sizeof sector, file) == sizeof sector && fclose(file) == 0);
    assert_int_equal(truncate(base, 1 << 20), 0);
    make(&guest, mf_world_id(), "");
    guest.spec.kernel = guest.spec.initrd = guest.spec.cmdline = NULL;
    guest.spec.base = base;
    guest.spec.base_format = MF_DISK_FORMAT_RAW;
    create(&guest);
    assert_int_equal(mf_world_await_death(guest.id, BOOT_LIMIT_MS), MF_DEATH_POWEROFF);
    destroy(&guest);
    assert_true(mf_world_exists(base));
}

/* ---- two lives of an agent */

static void make_known(struct guest *guest, const char *text, const char *user_data)
{
    struct mf_uuid id;
    assert_true(mf_uuid_parse(text, strlen(text), &id));
    make(guest, id, user_data);
    guest->health.ready = MF_READINESS_PORT;
}

static void some_are_left(void **state)
{
    struct guest late, early;
    make_known(&late, late_text, "#!/bin/sh\nwhile [ ! -e /sys/class/net/eth0 ]; do sleep 1; done\n");
    make_known(&early, early_text, "");
    create(&early);
    MF_WORLD_AWAIT(count(early.id, MF_AILMENT_UNSET) == 1, BOOT_LIMIT_MS);
    create(&late); /* it boots, and says so, when nobody listens */
}

static void nothing_said_is_lost(void **state)
{
    struct guest late, early;
    make_known(&late, late_text, "");
    make_known(&early, early_text, "");
    assert_true(listed_ready(early.id));
    MF_WORLD_AWAIT(count(late.id, MF_AILMENT_UNSET) == 1, BOOT_LIMIT_MS);
    assert_true(listed_ready(late.id));
    assert_int_equal(count(early.id, MF_AILMENT_UNSET), 0); /* told in an earlier life of ours */
    destroy(&late);
    destroy(&early);
}

static int first(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_says_that_it_is_ready),
        cmocka_unit_test(one_whose_user_data_fails_does_not),
        cmocka_unit_test(a_panic_is_a_crash_with_its_last_words),
        cmocka_unit_test(an_agent_that_hangs_is_an_unwell_guest),
        cmocka_unit_test(a_disk_that_fails_is_an_unwell_guest),
        cmocka_unit_test(nobody_is_without_caps),
        cmocka_unit_test(a_pinned_guest_has_its_own_cpu),
        cmocka_unit_test(a_guest_sits_in_its_cell),
        cmocka_unit_test(a_guest_of_two_cells_has_two),
        cmocka_unit_test(its_memory_is_huge_pages_where_there_are_any),
        cmocka_unit_test(what_the_host_has_not_is_refused),
        cmocka_unit_test(a_tap_is_named_after_the_guest_and_a_lease_tells_its_address),
        cmocka_unit_test(a_disk_boots_by_itself),
        cmocka_unit_test(some_are_left),
    };
    return cmocka_run_group_tests_name("guest, first process", tests, open_driver, driver_close);
}

static int second(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_said_is_lost)};
    return cmocka_run_group_tests_name("guest, second process", tests, open_driver, driver_close);
}

int main(int argc, char **argv)
{
    if (!guest_image(argc > 1 ? argv[1] : ""))
        return 77;
    /* What is mounted here goes with us, however we end. */
    private_mounts = unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
    int (*const phases[])(void) = {first, second};
    return mf_world_run(phases, 2);
}
