/* test_driver_cells.c - a host's NUMA cells: read from libvirt's capabilities, told as capacity, given to
 * guests as XML, and their CPUs to pinned ones. */
#include "capacity.h"
#include "cells.h"
#include "pins.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char error[512];

/* ---- capabilities, as libvirt writes them */

struct cell { /* memory in MiB, of which so much is in pages of 2 MiB and of 1 GiB */
    unsigned id, cpus, memory, small, large;
};

/* CPUs are numbered through, and each two in a row are a core where `threads`. */
static const char *capabilities_of(const struct cell *cells, unsigned n, bool threads)
{
    static char text[65536];
    size_t at = (size_t)snprintf(text, sizeof text,
                                 "<capabilities><host><cpu><topology sockets='1' cores='2' threads='1'/>"
                                 "<pages unit='KiB' size='4'/></cpu><topology><cells num='%u'>",
                                 n);
    for (unsigned i = 0, cpu = 0; i < n; i++) {
        const struct cell *c = &cells[i];
        at += (size_t)snprintf(
            text + at, sizeof text - at,
            "<cell id='%u'><memory unit='KiB'>%u</memory><pages unit='KiB' size='4'>%u</pages>"
            "<pages unit='KiB' size='2048'>%u</pages><pages unit='KiB' size='1048576'>%u</pages>"
            "<distances><sibling id='0' value='10'/></distances><cpus num='%u'>",
            c->id, c->memory * 1024, (c->memory - c->small - c->large) * 256, c->small / 2, c->large / 1024,
            c->cpus);
        for (unsigned k = 0; k < c->cpus; k++, cpu++)
            at += (size_t)snprintf(text + at, sizeof text - at,
                                   "<cpu id='%u' socket_id='0' core_id='9' siblings='%u,%u'/>", cpu,
                                   threads ? cpu & ~1u : cpu, threads ? cpu | 1u : cpu);
        at += (size_t)snprintf(text + at, sizeof text - at, "</cpus></cell>");
    }
    snprintf(text + at, sizeof text - at, "</cells></topology><cpu id='99'/></host></capabilities>");
    return text;
}

static struct mf_topology read_cells(const struct cell *cells, unsigned n, bool threads)
{
    struct mf_topology topology;
    assert_int_equal(mf_topology_read(&topology, capabilities_of(cells, n, threads), NULL, NULL, error), 0);
    return topology;
}

static void one_two_four_and_eight_cells_are_read(void **state)
{
    for (unsigned n = 1; n <= 8; n *= 2) {
        struct cell cells[8];
        for (unsigned i = 0; i < n; i++)
            cells[i] = (struct cell){i, 4 + i, 1024 * (i + 1), 0, 0};
        struct mf_topology topology = read_cells(cells, n, false);
        assert_int_equal(topology.n_cells, n);
        assert_int_equal(topology.hugepage_kib, 0);
        for (unsigned i = 0; i < n; i++) {
            assert_int_equal(topology.cells[i].cpus, 4 + i);
            assert_int_equal(topology.cells[i].memory_mib, 1024 * (i + 1));
            assert_true(topology.cells[i].one_node);
        }
        assert_int_equal(topology.cpus[topology.n_cpus - 1].cell, n - 1);
        mf_topology_free(&topology);
    }
}

/* The smallest that there are is what guests get; the others are no ordinary memory either. */
static void memory_in_huge_pages_is_no_ordinary_memory(void **state)
{
    static const struct cell cells[] = {{0, 4, 8192, 2048, 1024}, {1, 4, 8192, 0, 2048}};
    struct mf_topology topology = read_cells(cells, 2, false);
    assert_int_equal(topology.hugepage_kib, 2048);
    assert_int_equal(topology.set_aside_mib, 5120);
    assert_true(topology.cells[0].memory_mib == 5120 && topology.cells[0].hugepages_mib == 2048);
    assert_true(topology.cells[1].memory_mib == 6144 && topology.cells[1].hugepages_mib == 0);
    mf_topology_free(&topology);
    static const struct cell large[] = {{0, 4, 8192, 0, 4096}};
    topology = read_cells(large, 1, false);
    assert_int_equal(topology.hugepage_kib, 1048576);
    assert_int_equal(topology.cells[0].hugepages_mib, 4096);
    mf_topology_free(&topology);
}

/* Memory without CPUs belongs to the cell before it, CPUs without memory likewise; the first to the one
 * after. */
static void what_is_no_cell_by_itself_is_joined(void **state)
{
    static const struct cell cells[] = {
        {0, 2, 0, 0, 0}, {2, 2, 4096, 0, 0}, {3, 0, 2048, 1024, 0}, {8, 4, 4096, 0, 0}, {9, 1, 0, 0, 0}};
    struct mf_topology topology = read_cells(cells, 5, false);
    assert_int_equal(topology.n_cells, 2);
    assert_string_equal(topology.cells[0].nodes, "0,2,3");
    assert_string_equal(topology.cells[1].nodes, "8,9");
    assert_false(topology.cells[0].one_node);
    assert_true(topology.cells[0].cpus == 4 && topology.cells[1].cpus == 5);
    assert_true(topology.cells[0].memory_mib == 5120 && topology.cells[0].hugepages_mib == 1024);
    for (unsigned i = 0; i < topology.n_cpus; i++)
        assert_int_equal(topology.cpus[i].cell, topology.cpus[i].id >= 4);
    mf_topology_free(&topology);
}

static bool is_even(const void *arg, unsigned cpu)
{
    return cpu % 2 == 0 && cpu < *(const unsigned *)arg;
}

/* A cell of which it may use no CPU is memory for the others. */
static void only_cpus_that_may_be_used_count(void **state)
{
    static const struct cell cells[] = {{0, 4, 1024, 0, 0}, {1, 4, 1024, 0, 0}, {2, 4, 1024, 0, 0}};
    struct mf_topology topology;
    assert_int_equal(
        mf_topology_read(&topology, capabilities_of(cells, 3, false), is_even, &(unsigned){7}, error), 0);
    assert_true(topology.n_cells == 2 && topology.n_cpus == 4);
    assert_true(topology.cells[0].cpus == 2 && topology.cells[1].cpus == 2);
    assert_true(topology.cells[0].memory_mib == 1024 && topology.cells[1].memory_mib == 2048);
    mf_topology_free(&topology);
}

static void more_than_can_be_told_are_joined(void **state)
{
    struct cell cells[300];
    for (unsigned i = 0; i < 300; i++)
        cells[i] = (struct cell){i, 1, 1024, 0, 0};
    struct mf_topology topology = read_cells(cells, 19, false);
    assert_int_equal(topology.n_cells, 5);
    assert_string_equal(topology.cells[0].nodes, "0,1,2,3");
    assert_string_equal(topology.cells[4].nodes, "16,17,18");
    assert_true(topology.cells[4].cpus == 3 && topology.cells[4].memory_mib == 3072);
    mf_topology_free(&topology);

    assert_int_equal(mf_topology_read(&topology, capabilities_of(cells, 150, false), NULL, NULL, error), 0);
    assert_int_equal(topology.n_cells, 5);
    mf_topology_free(&topology);
}

static void a_host_that_tells_no_cells_has_none(void **state)
{
    static const char *const texts[] = {"", "<capabilities/>", "<topology><cells num='1'><cell id='0'>",
                                        "<cells num='0'></cells>",
                                        "<cells num='1'><cell id='0'><cpus num='0'></cpus></cell></cells>"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct mf_topology topology;
        assert_int_equal(mf_topology_read(&topology, texts[i], NULL, NULL, error), 0);
        assert_true(topology.n_cells == 0 && topology.n_cpus == 0);
        assert_int_equal(mf_topology_check(0, 1, error), -EINVAL);
        mf_topology_free(&topology);
    }
    assert_int_equal(mf_topology_check(2, 3, error), 0);
    assert_int_equal(mf_topology_check(8, 255, error), 0);
    assert_int_equal(mf_topology_check(2, 5, error), -EINVAL);
    assert_non_null(strstr(error, "NUMA cells 0x5 (a bit for each), and this node has 2"));
}

/* ---- capacity */

static const struct cell two[] = {{0, 4, 8192, 1024, 0}, {1, 8, 4096, 0, 0}};
static const struct mf_host_size two_size = {.cpus = 12, .memory_mib = 12288, .disk_mib = 100};

static struct mf_driver_capacity capacity_of(const struct mf_driver_config *config)
{
    struct mf_topology topology = read_cells(two, 2, false);
    struct mf_driver_capacity capacity;
    assert_int_equal(mf_capacity_make(config, &topology, &two_size, &capacity, error), 0);
    mf_topology_free(&topology);
    return capacity;
}

static void what_the_host_keeps_is_off_before_the_ratio(void **state)
{
    struct mf_driver_config config = {.cpu_ratio_percent = 200,
                                      .reserve_cpus = 3,
                                      .reserve_memory_mib = 3000,
                                      .capacity = {.disk_iops = 7, .net_bytes_s = 9}};
    struct mf_driver_capacity c = capacity_of(&config);
    assert_true(c.all.vcpus == 18 && c.all.memory_mib == 12288 - 1024 - 3000 && c.all.disk_mib == 100);
    assert_true(c.all.hugepages_mib == 1024 && c.all.disk_iops == 7 && c.all.net_bytes_s == 9);
    assert_int_equal(c.n_cells, 2);
    assert_true(c.cells[0].vcpus == 4 && c.cells[1].vcpus == 14); /* two of the first, one of the second */
    assert_true(c.cells[0].memory_mib == 7168 - 1500 && c.cells[1].memory_mib == 4096 - 1500);
    assert_true(c.cells[0].hugepages_mib == 1024 && c.cells[1].hugepages_mib == 0);

    config.reserve_memory_mib = 9000; /* what the second has not, the first gives */
    c = capacity_of(&config);
    assert_true(c.cells[1].memory_mib == 0 && c.cells[0].memory_mib == 7168 - (9000 - 4096));
    config.reserve_memory_mib = -1; /* a tenth */
    assert_int_equal(capacity_of(&config).all.memory_mib, 11264 - 1126);
}

static void an_operators_numbers_stand_and_cells_have_their_part(void **state)
{
    struct mf_driver_config config = {
        .cpu_ratio_percent = 400, .reserve_memory_mib = -1, .capacity = {.vcpus = 24, .memory_mib = 5000}};
    struct mf_driver_capacity c = capacity_of(&config);
    assert_true(c.all.vcpus == 24 && c.all.memory_mib == 5000);
    assert_true(c.cells[0].vcpus == 8 && c.cells[1].vcpus == 16);
    assert_in_range(c.cells[0].memory_mib + c.cells[1].memory_mib, 4998, 5000);

    mf_driver_capacity_less(&c, &(struct mf_rec_resources){.vcpus = 3, .memory_mib = 1000000});
    assert_true(c.all.vcpus == 21 && c.cells[0].vcpus + c.cells[1].vcpus == 21);
    assert_true(c.all.memory_mib == 0 && c.cells[0].memory_mib == 0 && c.cells[1].memory_mib == 0);
}

static void a_reserve_that_eats_all_is_refused(void **state)
{
    struct mf_topology topology = read_cells(two, 2, false);
    struct mf_driver_capacity capacity;
    struct mf_driver_config config = {.reserve_memory_mib = 11264};
    assert_int_equal(mf_capacity_make(&config, &topology, &two_size, &capacity, error), -EINVAL);
    assert_string_equal(error,
                        "reserve-memory-mib keeps 11264 MiB for the host, which has 11264 MiB that are not "
                        "huge pages: nothing is left for guests");
    config = (struct mf_driver_config){.reserve_cpus = 12};
    assert_int_equal(mf_capacity_make(&config, &topology, &two_size, &capacity, error), -EINVAL);
    assert_string_equal(error,
                        "reserve-cpus keeps 12 CPUs for the host, which has 12: nothing is left for guests");
    mf_topology_free(&topology);
}

static void a_small_host_of_one_cell_tells_none(void **state)
{
    static const struct cell one[] = {{0, 1, 600, 0, 0}};
    struct mf_topology topology = read_cells(one, 1, false);
    struct mf_driver_capacity capacity;
    assert_int_equal(
        mf_capacity_make(&(struct mf_driver_config){.cpu_ratio_percent = 10, .reserve_memory_mib = -1},
                         &topology, &(struct mf_host_size){1, 600, 1}, &capacity, error),
        0);
    assert_true(capacity.n_cells == 0 && capacity.all.vcpus == 1 && capacity.all.memory_mib == 300);
    mf_topology_free(&topology);
}

/* ---- a guest's XML */

static struct mf_driver_spec guest_of(uint64_t vcpus, const struct mf_rec_offering *offering)
{
    return (struct mf_driver_spec){
        .id.bytes = {1}, .name = "default/g/0#1", .vcpus = vcpus, .memory_mib = 101, .offering = offering};
}

static void says(const struct mf_driver_spec *spec, const struct mf_domain_host *host, const char *part,
                 bool is)
{
    struct mf_buf buf = {0};
    assert_int_equal(mf_domain_xml(spec, host, &buf, error), 0);
    if (!!strstr(buf.ptr, part) != is)
        fail_msg("%s %s in %s", part, is ? "is not" : "is", buf.ptr);
    mf_buf_free(&buf);
}

static void a_guest_sits_in_the_cells_it_is_given(void **state)
{
    static const struct cell cells[] = {{0, 2, 1024, 0, 0}, {4, 2, 1024, 0, 0}, {5, 2, 1024, 0, 0}};
    struct mf_topology topology = read_cells(cells, 3, false);
    struct mf_domain_host host = {.type = "kvm", .binds = true, .topology = &topology};
    struct mf_driver_spec spec = guest_of(3, NULL);
    says(&spec, &host, "numa", false);
    says(&spec, &host, "<vcpu>3</vcpu>", true);
    host.cells = 2;
    says(&spec, &host, "<vcpu placement='static' cpuset='2,3'>3</vcpu>", true);
    says(&spec, &host, "<numatune><memory mode='preferred' nodeset='4'/></numatune>", true);
    says(&spec, &host, "vcpupin", false);
    host.cells = 5;
    says(&spec, &host, "<vcpu placement='static' cpuset='0,1,4,5'>3</vcpu>", true);
    says(&spec, &host,
         "<numatune><memnode cellid='0' mode='preferred' nodeset='0'/>"
         "<memnode cellid='1' mode='preferred' nodeset='5'/></numatune>",
         true);
    says(&spec, &host,
         "<cputune><vcpupin vcpu='0' cpuset='0,1'/><vcpupin vcpu='1' cpuset='0,1'/>"
         "<vcpupin vcpu='2' cpuset='4,5'/></cputune>",
         true);
    says(&spec, &host,
         "<numa><cell id='0' cpus='0-1' memory='51' unit='MiB'/><cell id='1' cpus='2-2' memory='50' "
         "unit='MiB'/>"
         "</numa></cpu>",
         true);
    spec = guest_of(1, NULL); /* one CPU cannot be in two cells, its memory can */
    says(&spec, &host, "<memory mode='interleave' nodeset='0,5'/>", true);
    says(&spec, &host, "<numa>", false);
    host.binds = false; /* a container that may not */
    spec = guest_of(2, NULL);
    says(&spec, &host, "numatune", false);
    says(&spec, &host, "<vcpupin vcpu='1' cpuset='4,5'/>", true);
    says(&spec, &host, "<numa>", true);
    mf_topology_free(&topology);
}

/* Nor does libvirt prefer two nodes at once. */
static void who_pays_for_locality_has_it_or_is_not_born(void **state)
{
    static const struct cell cells[] = {{0, 2, 1024, 0, 0}, {1, 2, 1024, 0, 0}, {2, 0, 512, 0, 0}};
    static const struct mf_rec_offering huge = {.hugepages = true}, plain = {0};
    struct mf_topology topology = read_cells(cells, 3, false);
    struct mf_domain_host host = {
        .type = "qemu", .binds = true, .topology = &topology, .cells = 1, .hugepage_kib = 1048576};
    struct mf_driver_spec spec = guest_of(1, &huge);
    says(&spec, &host, "<memory mode='strict' nodeset='0'/>", true);
    says(&spec, &host, "<hugepages><page size='1048576' unit='KiB'/></hugepages>", true);
    host.cells = 3;
    spec = guest_of(2, &huge);
    spec.memory_mib = 3072; /* in whole pages, each part */
    says(&spec, &host, "memory='2048' unit='MiB'/><cell id='1' cpus='1-1' memory='1024' unit='MiB'/>", true);
    spec.memory_mib = 1024;
    says(&spec, &host, "<numa>", false);
    host.cells = 1;
    spec = guest_of(1, &plain);
    says(&spec, &host, "<memory mode='preferred' nodeset='0'/>", true);
    host.cells = 2;
    says(&spec, &host, "<memory mode='strict' nodeset='1,2'/>", true);
    host.cells = 3;
    host.n_cpus = 2;
    host.cpus[1] = 3;
    spec = guest_of(2, &plain);
    says(&spec, &host, "<memnode cellid='0' mode='strict' nodeset='0'/>", true);
    says(&spec, &host, "<cputune><vcpupin vcpu='0' cpuset='0'/><vcpupin vcpu='1' cpuset='3'/><emulatorpin",
         true);
    says(&spec, &host, "placement=", false);
    mf_topology_free(&topology);
}

/* ---- pins */

static const struct mf_uuid a = {.bytes = {1}}, b = {.bytes = {2}}, c = {.bytes = {3}};

static int take(struct mf_pins *pins, const struct mf_topology *topology, struct mf_uuid owner, uint64_t n,
                uint8_t cells, struct mf_domain_host *ret_host)
{
    *ret_host = (struct mf_domain_host){.topology = topology, .cells = cells};
    return mf_pins_take(pins, owner, n, ret_host, error);
}

static void pinned_guests_fill_cells(void **state)
{
    static const struct cell cells[] = {{0, 2, 1024, 0, 0}, {1, 4, 1024, 0, 0}};
    struct mf_topology topology = read_cells(cells, 2, false);
    struct mf_pins pins = {0};
    struct mf_domain_host host;
    mf_pins_open(&pins, &topology, 0);
    assert_int_equal(pins.n, 6);
    assert_int_equal(take(&pins, &topology, a, 2, 0, &host), 0); /* the fullest cell that has room */
    assert_true(host.cells == 1 && host.n_cpus == 2 && host.cpus[0] == 0 && host.cpus[1] == 1);
    assert_int_equal(take(&pins, &topology, b, 3, 0, &host), 0);
    assert_true(host.cells == 2 && host.n_cpus == 3 && host.cpus[0] == 2);
    assert_int_equal(take(&pins, &topology, c, 2, 0, &host), -ENOSPC);
    assert_string_equal(error, "2 host CPUs of its own are wanted, and 1 of 6 are nobody's yet");
    mf_pins_give_back(&pins, a);
    assert_int_equal(take(&pins, &topology, c, 3, 0, &host), 0); /* where it fits nowhere whole: anywhere */
    assert_true(host.cells == 0 && host.n_cpus == 3);
    mf_pins_give_back(&pins, c);
    mf_pins_claim(&pins, c, "0,1,"); /* as a domain's metadata says */
    mf_pins_claim(&pins, a, "x");
    assert_int_equal(take(&pins, &topology, a, 2, 0, &host), -ENOSPC);
    mf_pins_free(&pins);
    mf_topology_free(&topology);
}

static void pinned_guests_have_cpus_of_the_cells_they_are_given(void **state)
{
    static const struct cell cells[] = {{0, 4, 1024, 0, 0}, {1, 4, 1024, 0, 0}, {2, 4, 1024, 0, 0}};
    struct mf_topology topology = read_cells(cells, 3, false);
    struct mf_pins pins = {0};
    struct mf_domain_host host;
    mf_pins_open(&pins, &topology, 0);
    assert_int_equal(take(&pins, &topology, a, 3, 4, &host), 0);
    assert_true(host.n_cpus == 3 && host.cpus[0] == 8 && host.cpus[2] == 10);
    assert_int_equal(take(&pins, &topology, b, 5, 5, &host),
                     -ENOSPC);                                   /* three and two, and the other has one */
    assert_int_equal(take(&pins, &topology, b, 3, 5, &host), 0); /* evenly: two and one */
    assert_true(host.n_cpus == 3 && host.cpus[1] == 1 && host.cpus[2] == 11);
    assert_int_equal(take(&pins, &topology, c, 1, 4, &host), -ENOSPC);
    assert_string_equal(error,
                        "1 host CPUs of its own are wanted in the NUMA cells 0x4 it was given, and 0 of 12 "
                        "are nobody's yet");
    assert_int_equal(take(&pins, &topology, c, 4, 2, &host), 0);
    mf_pins_free(&pins);
    mf_topology_free(&topology);
}

static void whole_cores_go_first_and_the_hosts_own_never(void **state)
{
    static const struct cell cells[] = {{0, 8, 1024, 0, 0}};
    struct mf_topology topology = read_cells(cells, 1, true);
    struct mf_pins pins = {0};
    struct mf_domain_host host;
    mf_pins_open(&pins, &topology, 2); /* 0 and 1, a core */
    assert_int_equal(pins.n, 6);
    assert_int_equal(take(&pins, &topology, a, 1, 0, &host), 0);
    assert_true(host.cells == 0 && host.cpus[0] == 2);
    assert_int_equal(take(&pins, &topology, b, 3, 0, &host), 0); /* a core, and what is left of a's */
    assert_true(host.cpus[0] == 4 && host.cpus[1] == 5 && host.cpus[2] == 3);
    assert_int_equal(take(&pins, &topology, c, 2, 0, &host), 0);
    assert_true(host.cpus[0] == 6 && host.cpus[1] == 7);
    mf_pins_free(&pins);
    mf_topology_free(&topology);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_two_four_and_eight_cells_are_read),
        cmocka_unit_test(memory_in_huge_pages_is_no_ordinary_memory),
        cmocka_unit_test(what_is_no_cell_by_itself_is_joined),
        cmocka_unit_test(only_cpus_that_may_be_used_count),
        cmocka_unit_test(more_than_can_be_told_are_joined),
        cmocka_unit_test(a_host_that_tells_no_cells_has_none),
        cmocka_unit_test(what_the_host_keeps_is_off_before_the_ratio),
        cmocka_unit_test(an_operators_numbers_stand_and_cells_have_their_part),
        cmocka_unit_test(a_reserve_that_eats_all_is_refused),
        cmocka_unit_test(a_small_host_of_one_cell_tells_none),
        cmocka_unit_test(a_guest_sits_in_the_cells_it_is_given),
        cmocka_unit_test(who_pays_for_locality_has_it_or_is_not_born),
        cmocka_unit_test(pinned_guests_fill_cells),
        cmocka_unit_test(pinned_guests_have_cpus_of_the_cells_they_are_given),
        cmocka_unit_test(whole_cores_go_first_and_the_hosts_own_never),
    };
    return cmocka_run_group_tests_name("driver_cells", tests, NULL, NULL);
}
