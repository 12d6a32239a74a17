/* What a disk is, told from its bytes: qcow2 images made to harm or torn in every way, and what is not raw.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "format.h"

#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CLUSTER = 65536, CLUSTERS = 4, FILE_BYTES = CLUSTER * CLUSTERS };

static uint8_t bytes[FILE_BYTES];
static int fd;

static void put(size_t at, uint64_t value, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        bytes[at + i] = (uint8_t)(value >> 8 * (n - 1 - i));
}

/* As `qemu-img create -f qcow2` lays one out: header, refcount table, refcount block, L1 table. */
static void make_good(void)
{
    memset(bytes, 0, sizeof bytes);
    memcpy(bytes, "QFI\xfb", 4);
    put(4, 3, 4);
    put(20, 16, 4);
    put(24, 64 << 20, 8);
    put(36, 1, 4);
    put(40, 3 * CLUSTER, 8);
    put(48, 1 * CLUSTER, 8);
    put(56, 1, 4);
    put(96, 4, 4);
    put(100, 104, 4);
}

static int look(size_t size, struct mf_disk *ret_disk, char why[MF_FORMAT_WHY])
{
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(pwrite(fd, bytes, size, 0), size);
    return mf_format_disk(fd, ret_disk, why);
}

static void refused_with(size_t size, const char *word)
{
    struct mf_disk disk;
    char why[MF_FORMAT_WHY] = "";
    assert_true(look(size, &disk, why) < 0);
    if (!strstr(why, word))
        fail_msg("'%s' is not in: %s", word, why);
}

#define REFUSED(change, word) (make_good(), change, refused_with(FILE_BYTES, word))

static void good_ones(void **state)
{
    struct mf_disk disk;
    char why[MF_FORMAT_WHY] = "";
    make_good();
    assert_int_equal(look(FILE_BYTES, &disk, why), 0);
    assert_int_equal(disk.format, MF_DISK_FORMAT_QCOW2);
    assert_int_equal(disk.virtual_bytes, 64 << 20);
    put(4, 2, 4); /* version 2 ends at byte 72 */
    memset(bytes + 72, 0, 32);
    assert_int_equal(look(FILE_BYTES, &disk, why), 0);
    make_good();
    put(104, 0x6803f857, 4); /* a table of feature names */
    put(108, 48, 4);
    assert_int_equal(look(FILE_BYTES, &disk, why), 0);
    memset(bytes, 0, 4096);
    assert_int_equal(look(4096, &disk, why), 0);
    assert_int_equal(disk.format, MF_DISK_FORMAT_RAW);
    assert_int_equal(disk.virtual_bytes, 4096);
}

static void made_by_qemu_img(void **state)
{
    char path[] = "/tmp/mf-format-XXXXXX", why[MF_FORMAT_WHY] = "";
    char *const argv[] = {"qemu-img", "create", "-q", "-f", "qcow2", path, "3G", NULL};
    struct mf_disk disk;
    int file = mkstemp(path), status = -1;
    pid_t pid;
    assert_int_equal(posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ), 0);
    assert_true(waitpid(pid, &status, 0) == pid && status == 0);
    assert_int_equal(mf_format_disk(file, &disk, why), 0);
    assert_int_equal(disk.virtual_bytes, UINT64_C(3) << 30);
    close(file);
    unlink(path);
}

static void what_leads_elsewhere(void **state)
{
    REFUSED((put(8, 512, 8), put(16, 11, 4), memcpy(bytes + 512, "/etc/shadow", 11)), "backing file");
    REFUSED((put(8, UINT64_MAX, 8)), "backing file");
    REFUSED(put(72, 4, 8), "external data file");
    REFUSED((put(104, 0x44415441, 4), put(108, 11, 4), memcpy(bytes + 112, "/etc/shadow", 11)),
            "external data file");
}

static void what_needs_more(void **state)
{
    REFUSED(put(32, 1, 4), "encrypted");
    REFUSED(put(32, 2, 4), "encrypted");
    REFUSED((put(104, 0x0537be77, 4), put(108, 16, 4)), "encrypted");
    REFUSED(put(72, 1, 8), "qemu-img check");
    REFUSED(put(72, 2, 8), "qemu-img check");
    REFUSED(put(72, 1 << 9, 8), "not known");
    REFUSED(put(60, 1, 4), "snapshots");
    REFUSED(put(4, 1, 4), "version");
    REFUSED(put(4, 4, 4), "version");
}

static void bombs(void **state)
{
    REFUSED(put(24, UINT64_C(1) << 60, 8), "64 TiB");
    REFUSED(put(24, UINT64_MAX & ~UINT64_C(511), 8), "64 TiB");
    REFUSED(put(24, 0, 8), "no size");
    REFUSED(put(24, UINT64_C(1) << 40, 8), "clusters"); /* its L1 table is too small for that */
    REFUSED(put(36, UINT32_MAX, 4), "clusters");
    REFUSED(put(56, UINT32_MAX, 4), "reference counts");
}

static void torn_ones(void **state)
{
    REFUSED(put(20, 8, 4), "clusters");
    REFUSED(put(20, 22, 4), "clusters");
    REFUSED(put(20, UINT32_MAX, 4), "clusters");
    REFUSED(put(40, FILE_BYTES, 8), "within the file");
    REFUSED(put(40, UINT64_MAX - 65535, 8), "within the file");
    REFUSED(put(40, 3 * CLUSTER + 8, 8), "within the file");
    REFUSED(put(40, 0, 8), "within the file");
    REFUSED(put(48, 4 * CLUSTER, 8), "within the file");
    REFUSED(put(56, 0, 4), "reference counts");
    REFUSED(put(96, 7, 4), "broken header");
    REFUSED(put(100, 72, 4), "broken header");
    REFUSED(put(100, UINT32_MAX - 7, 4), "broken header");
    REFUSED((put(104, 1, 4), put(108, UINT32_MAX, 4)), "broken header");
    make_good();
    refused_with(3 * CLUSTER, "cut short");
    refused_with(100, "cut short");
    refused_with(40, "cut short");
    refused_with(4, "cut short");
    refused_with(3, "empty");
}

static void not_raw_either(void **state)
{
    static const struct {
        const char *head;
        size_t n;
        const char *word;
    } heads[] = {
        {"KDMV", 4, "VMDK"},
        {"# Disk DescriptorFile", 21, "VMDK"},
        {"vhdxfile", 8, "VHDX"},
        {"<<< Oracle VM", 13, "VDI"},
        {"\x1f\x8b", 2, "gzip"},
        {"\xfd\x37\x7a\x58\x5a", 5, "xz"},
        {"\n <!DOCTYPE html>", 17, "web page"},
        {"<HTML>", 6, "web page"},
    };
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        memset(bytes, 0, 4096);
        memcpy(bytes, heads[i].head, heads[i].n);
        refused_with(4096, heads[i].word);
    }
    memset(bytes, 0, 4096);
    memcpy(bytes + 4096 - 512, "conectix", 8);
    refused_with(4096, "VHD");
    memset(bytes, 0, 4096);
    refused_with(4095, "512");
}

/* Whatever a mutation makes of a good one: refused, or within every bound. */
static void mutations(void **state)
{
    struct mf_disk disk;
    char why[MF_FORMAT_WHY];
    uint64_t random = 88172645463325252u;
    for (unsigned round = 0; round < 20000; round++) {
        make_good();
        for (unsigned n = 0; n < 1 + round % 4; n++) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            bytes[4 + random % 140] = (uint8_t)(random >> 32);
        }
        assert_int_equal(pwrite(fd, bytes, 256, 0), 256);
        if (mf_format_disk(fd, &disk, why) < 0)
            continue;
        assert_true(disk.virtual_bytes > 0 && disk.virtual_bytes <= MF_DISK_MAX_BYTES);
        assert_memory_equal(bytes + 8, "\0\0\0\0\0\0\0\0", 8);
        assert_true(bytes[7] == 2 || (bytes[79] & 4) == 0);
    }
}

static int setup(void **state)
{
    char path[] = "/tmp/mf-format-XXXXXX";
    fd = mkstemp(path);
    unlink(path);
    make_good();
    return fd < 0 || pwrite(fd, bytes, FILE_BYTES, 0) != FILE_BYTES;
}

static int teardown(void **state)
{
    return close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        TEST(good_ones), TEST(made_by_qemu_img), TEST(what_leads_elsewhere), TEST(what_needs_more),
        TEST(bombs),     TEST(torn_ones),        TEST(not_raw_either),       TEST(mutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
