/* format.c - kernels, initrds and raw disks; qcow2 has a file of its own. */
#include "format.h"
#include "qcow2.h"
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECTOR = 512 };

static int refuse(char why[MF_FORMAT_WHY], const char *text)
{
    mf_str_format(why, MF_FORMAT_WHY, "%s", text);
    return -EINVAL;
}

int mf_format_kernel(int fd, char why[MF_FORMAT_WHY])
{
    char magic[4]; /* Documentation/x86/boot.rst: "HdrS" at 0x202 */
    if (pread(fd, magic, sizeof magic, 0x202) == (ssize_t)sizeof magic && memcmp(magic, "HdrS", 4) == 0)
        return 0;
    return refuse(why, "is not a Linux kernel (bzImage)");
}

struct magic {
    const char *bytes;
    size_t n;
    const char *name;
};

static const struct magic packers[] = {
    {"\x1f\x8b", 2, "gzip"},        {"\x28\xb5\x2f\xfd", 4, "zstd"}, {"\xfd\x37\x7a\x58\x5a", 5, "xz"},
    {"\x02\x21\x4c\x18", 4, "lz4"}, {"\x04\x22\x4d\x18", 4, "lz4"},  {"BZh", 3, "bzip2"},
    {"PK\x03\x04", 4, "zip"},
};
static const struct magic cpios[] = {{"070701", 6, "cpio"}, {"070702", 6, "cpio"}};
static const struct magic disks[] = {
    {"KDMV", 4, "VMDK"},
    {"COWD", 4, "VMDK"},
    {"# Disk DescriptorFile", 21, "VMDK"},
    {"vhdxfile", 8, "VHDX"},
    {"conectix", 8, "VHD"},
    {"QED\0", 4, "QED"},
    {"WithoutFreeSpace", 16, "Parallels"},
    {"WithouFreSpacExt", 16, "Parallels"},
    {"OOOM", 4, "an old format of VirtualBox"},
    {"<<< ", 4, "VDI"},
    {"ER\x02\0", 4, "an image of an optical disc (DAA)"},
};

static const char *find_magic(const struct magic *magics, size_t n, const char *head, size_t len)
{
    for (size_t i = 0; i < n; i++)
        if (len >= magics[i].n && memcmp(head, magics[i].bytes, magics[i].n) == 0)
            return magics[i].name;
    return NULL;
}
#define FIND(table, head, len) find_magic(table, sizeof(table) / sizeof *(table), head, len)

int mf_format_initrd(int fd, char why[MF_FORMAT_WHY])
{
    char head[8];
    ssize_t n = pread(fd, head, sizeof head, 0);
    if (n >= 2 && ((FIND(packers, head, (size_t)n) && head[0] != 'P') || FIND(cpios, head, (size_t)n)))
        return 0;
    return refuse(why, "is not an initrd (gzip, zstd, xz, lz4, bzip2 or cpio)");
}

bool mf_format_is_page(const void *bytes, size_t len)
{
    static const char *const heads[] = {"<!doctype", "<html", "<head", "<?xml", "<body"};
    const char *at = bytes, *end = at + len;
    if (len >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0)
        at += 3;
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n'))
        at++;
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        if ((size_t)(end - at) >= strlen(heads[i]) && strncasecmp(at, heads[i], strlen(heads[i])) == 0)
            return true;
    return false;
}

static int check_raw(int fd, uint64_t size, const char *head, size_t len, char why[MF_FORMAT_WHY])
{
    char tail[8] = "";
    const char *name = FIND(disks, head, len);
    if (!name && size >= SECTOR && pread(fd, tail, sizeof tail, (off_t)(size - SECTOR)) == sizeof tail &&
        memcmp(tail, "conectix", 8) == 0)
        name = "VHD"; /* its footer stands at the end */
    if (name) {
        mf_str_format(why, MF_FORMAT_WHY, "is %s; convert it: qemu-img convert -O qcow2", name);
        return -EINVAL;
    }
    if (mf_format_is_page(head, len))
        return refuse(why, "is a web page, not a disk");
    if ((name = FIND(packers, head, len))) {
        mf_str_format(why, MF_FORMAT_WHY, "is packed with %s; unpack it", name);
        return -EINVAL;
    }
    if (size % SECTOR != 0)
        return refuse(
            why, "is neither qcow2 nor whole sectors of 512 bytes, as a raw disk is; it may be cut short");
    return 0;
}

int mf_format_disk(int fd, struct mf_disk *ret_disk, char why[MF_FORMAT_WHY])
{
    char head[SECTOR];
    struct stat st;
    ssize_t n = fstat(fd, &st) < 0 ? -1 : pread(fd, head, sizeof head, 0);
    if (n < 4)
        return refuse(why, n < 0 ? strerror(errno) : "is empty, or all but empty");
    struct mf_disk disk = {MF_DISK_FORMAT_RAW, (uint64_t)st.st_size};
    int r;
    if (memcmp(head, "QFI\xfb", 4) == 0) {
        disk.format = MF_DISK_FORMAT_QCOW2;
        r = mf_qcow2_check(fd, (uint64_t)st.st_size, &disk.virtual_bytes, why);
    } else
        r = check_raw(fd, (uint64_t)st.st_size, head, (size_t)n, why);
    if (r == 0 && disk.virtual_bytes > MF_DISK_MAX_BYTES)
        r = refuse(why, "claims to be a disk of more than 64 TiB");
    if (r == 0)
        *ret_disk = disk;
    return r;
}
