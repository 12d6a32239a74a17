/* Files of images: digest by OpenSSL, and the first bytes, so that a truncated download or a swapped argument
 * is found here and not by a guest that does not boot. */
#include "image_file.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEAD = 1024, CHUNK = 1 << 18 };

__attribute__((format(printf, 3, 4))) static int refuse(char error[1024], int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(error, 1024, format, args);
    va_end(args);
    return code;
}

static bool starts(const unsigned char *head, size_t n, size_t at, const char *magic, size_t len)
{
    return n >= at + len && !memcmp(head + at, magic, len);
}

static bool is_kernel(const unsigned char *head, size_t n)
{
    return (starts(head, n, 0x1fe, "\x55\xaa", 2) && starts(head, n, 0x202, "HdrS", 4)) /* x86 bzImage */
           || starts(head, n, 0x38, "ARM\x64", 4) || starts(head, n, 0, "\177ELF", 4);
}

static bool is_initrd(const unsigned char *head, size_t n)
{
    static const struct {
        const char *magic;
        size_t len;
    } kinds[] = {{"070701", 6},
                 {"070702", 6},
                 {"\x1f\x8b", 2},
                 {"\x28\xb5\x2f\xfd", 4},
                 {"\xfd"
                  "7zXZ",
                  5},
                 {"\x02\x21\x4c\x18", 4},
                 {"BZh", 3},
                 {"\x5d\0\0", 3},
                 {"\x89"
                  "LZO",
                  4}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (starts(head, n, 0, kinds[i].magic, kinds[i].len))
            return true;
    return false;
}

static uint64_t big_endian(const unsigned char *bytes, int n)
{
    uint64_t value = 0;
    for (int i = 0; i < n; i++)
        value = value << 8 | bytes[i];
    return value;
}

/* A guest's overlay stands on the image alone: what names another file is refused. */
static const char *bad_qcow2(const unsigned char *head, size_t n)
{
    if (n < 104 || big_endian(head + 4, 4) < 2 || big_endian(head + 4, 4) > 3)
        return "is cut short, or of a version of qcow2 that is not known";
    if (big_endian(head + 8, 8))
        return "has a backing file; make one file of it (qemu-img convert -O qcow2)";
    if (big_endian(head + 4, 4) == 3 && head[79] & 4)
        return "keeps its data in another file; make one file of it (qemu-img convert -O qcow2)";
    return NULL;
}

static const char *bad_raw(const unsigned char *head, size_t n, uint64_t size)
{
    static const struct {
        const char *magic;
        size_t len;
        const char *why;
    } others[] = {{"KDMV", 4, "is a VMware disk; convert it (qemu-img convert -O qcow2)"},
                  {"# Disk DescriptorFile", 21, "is a VMware disk; convert it (qemu-img convert -O qcow2)"},
                  {"vhdxfile", 8, "is a Hyper-V disk; convert it (qemu-img convert -O qcow2)"},
                  {"<!", 2, "is a web page; is the address of the download right?"},
                  {"<html", 5, "is a web page; is the address of the download right?"}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (starts(head, n, 0, others[i].magic, others[i].len))
            return others[i].why;
    if (is_initrd(head, n))
        return "is compressed, or an archive; unpack it first";
    return size % 512 ? "is no whole number of 512-byte sectors, so no disk; is the download whole?" : NULL;
}

static const char *bad_disk(const unsigned char *head, size_t n, uint64_t size, enum mf_disk_format *ret)
{
    bool qcow2 = starts(head, n, 0, "QFI\xfb", 4);
    *ret = qcow2 ? MF_DISK_FORMAT_QCOW2 : MF_DISK_FORMAT_RAW;
    return qcow2 ? bad_qcow2(head, n) : bad_raw(head, n, size);
}

static int digest(int fd, const char *file, unsigned char *head, size_t *ret_head,
                  struct mf_digest *ret_sha256, char error[1024])
{
    char *chunk = malloc(CHUNK);
    EVP_MD_CTX *sha = EVP_MD_CTX_new();
    int r = chunk && sha && EVP_DigestInit_ex(sha, EVP_sha256(), NULL)
                ? 0
                : refuse(error, -ENOMEM, "no memory for a digest");
    *ret_head = 0;
    while (!r) {
        ssize_t n = read(fd, chunk, CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            r = refuse(error, -errno, "%s: cannot be read: %s", file, strerror(errno));
        if (n <= 0)
            break;
        size_t more = *ret_head + (size_t)n > HEAD ? HEAD - *ret_head : (size_t)n;
        memcpy(head + *ret_head, chunk, more);
        *ret_head += more;
        if (!EVP_DigestUpdate(sha, chunk, (size_t)n))
            r = refuse(error, -EIO, "%s: the digest failed", file);
    }
    if (!r && !EVP_DigestFinal_ex(sha, ret_sha256->bytes, NULL))
        r = refuse(error, -EIO, "%s: the digest failed", file);
    EVP_MD_CTX_free(sha);
    free(chunk);
    return r;
}

static int look(const char *path, const char *file, enum mf_local_part part, struct mf_local_file *ret_file,
                char error[1024])
{
    unsigned char head[HEAD];
    size_t n = 0;
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return refuse(error, -errno, "%s: %s", file, strerror(errno));
    int r = 0;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode))
        r = refuse(error, -EINVAL, "%s: is not a regular file", file);
    else if (!st.st_size)
        r = refuse(error, -EINVAL, "%s: is empty", file);
    else
        r = digest(fd, file, head, &n, &ret_file->sha256, error);
    close(fd);
    if (!r && part == MF_IMAGE_KERNEL && !is_kernel(head, n))
        r = refuse(error, -EINVAL, "%s: is not a kernel (no bzImage, arm64 Image or ELF header)%s", file,
                   is_initrd(head, n) ? "; it looks like an initrd: are --kernel and --initrd swapped?"
                                      : "; is the download whole?");
    if (!r && part == MF_IMAGE_INITRD && !is_initrd(head, n))
        r = refuse(error, -EINVAL, "%s: is not an initrd (no cpio archive, plain or compressed)%s", file,
                   is_kernel(head, n) ? "; it looks like a kernel: are --kernel and --initrd swapped?"
                                      : "; is the download whole?");
    const char *wrong =
        !r && part == MF_IMAGE_DISK ? bad_disk(head, n, (uint64_t)st.st_size, &ret_file->format) : NULL;
    if (wrong)
        r = refuse(error, -EINVAL, "%s: %s", file, wrong);
    return r;
}

/* As given, from the working directory; else below the root. */
static char *resolve(const char *root, const char *file)
{
    char below[PATH_MAX];
    char *path = realpath(file, NULL);
    if (path || *file == '/' || snprintf(below, sizeof below, "%s/%s", root, file) >= (int)sizeof below)
        return path;
    return realpath(below, NULL);
}

int mf_image_file_read(const char *root, const char *file, enum mf_local_part part,
                       struct mf_local_file *ret_file, char error[1024])
{
    char *top = realpath(root, NULL);
    if (!top)
        return refuse(error, -errno, "the image root %s: %s", root, strerror(errno));
    char *path = resolve(top, file);
    size_t len = strlen(top);
    int r = 0;
    if (!path)
        r = refuse(error, -errno, "%s: %s", file, strerror(errno));
    else if (strncmp(path, top, len) || path[len] != '/')
        r = refuse(error, -EINVAL,
                   "%s: lies outside the image root %s; put it below, where every node has it", file, top);
    else if (strlen(path + len + 1) >= sizeof ret_file->path)
        r = refuse(error, -ENAMETOOLONG, "%s: its path below the image root is longer than 255 bytes", file);
    if (!r)
        r = look(path, file, part, ret_file, error);
    if (!r)
        snprintf(ret_file->path, sizeof ret_file->path, "%s", path + len + 1);
    free(path);
    free(top);
    return r;
}
