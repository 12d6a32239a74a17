/* Files of images: missing, empty, swapped, outside the root, and what is right. */
#include "image_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64], outside[64];

static void put(const char *dir, const char *name, const void *bytes, size_t len)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    fclose(file);
}

static int begin(void **state)
{
    char kernel[1024] = {0}, sub[128];
    memcpy(kernel + 0x1fe, "\x55\xaa", 2);
    memcpy(kernel + 0x202, "HdrS", 4);
    snprintf(root, sizeof root, "%s", "/tmp/mayfly-image-XXXXXX");
    snprintf(outside, sizeof outside, "%s", "/tmp/mayfly-outside-XXXXXX");
    if (!mkdtemp(root) || !mkdtemp(outside))
        return -1;
    snprintf(sub, sizeof sub, "%s/sub", root);
    mkdir(sub, 0755);
    put(root, "sub/vmlinuz", kernel, sizeof kernel);
    put(root, "initrd", "070701", 6);
    put(root, "empty", "", 0);
    put(root, "text", "hello", 5);
    put(outside, "vmlinuz", kernel, sizeof kernel);
    return 0;
}

static int end(void **state)
{
    static const char *const files[] = {"sub/vmlinuz", "sub", "initrd", "empty", "text", "link", "disk", "."};
    char path[128];
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", root, files[i]);
        remove(path);
    }
    snprintf(path, sizeof path, "%s/vmlinuz", outside);
    remove(path);
    remove(outside);
    remove(root);
    return 0;
}

static void takes_what_is_right(void **state)
{
    struct mf_local_file file;
    char error[1024], path[128], text[MF_DIGEST_TEXT];
    assert_int_equal(mf_image_file_read(root, "sub/vmlinuz", MF_IMAGE_KERNEL, &file, error), 0);
    assert_string_equal(file.path, "sub/vmlinuz");
    snprintf(path, sizeof path, "%s/sub/../initrd", root);
    assert_int_equal(mf_image_file_read(root, path, MF_IMAGE_INITRD, &file, error), 0);
    assert_string_equal(file.path, "initrd");
    assert_string_equal(mf_digest_text(file.sha256, text),
                        "1bedd860d8637811e93dea2ca7cfb68d0d985d265edd9e58aa3eb8248a12d13e");
}

static void refuses(const char *name, enum mf_local_part part, const char *why)
{
    struct mf_local_file file;
    char error[1024] = "";
    assert_true(mf_image_file_read(root, name, part, &file, error) < 0);
    if (!strstr(error, why))
        fail_msg("\"%s\" does not hold \"%s\"", error, why);
}

static void refuses_what_is_wrong(void **state)
{
    char path[128], link[128];
    refuses("missing", MF_IMAGE_KERNEL, "No such file");
    refuses("empty", MF_IMAGE_KERNEL, "is empty");
    refuses("sub", MF_IMAGE_KERNEL, "not a regular file");
    refuses("text", MF_IMAGE_KERNEL, "is not a kernel");
    refuses("text", MF_IMAGE_INITRD, "is not an initrd");
    refuses("initrd", MF_IMAGE_KERNEL, "swapped");
    refuses("sub/vmlinuz", MF_IMAGE_INITRD, "swapped");
    snprintf(path, sizeof path, "%s/vmlinuz", outside);
    refuses(path, MF_IMAGE_KERNEL, "outside the image root");
    snprintf(link, sizeof link, "%s/link", root);
    assert_int_equal(symlink(path, link), 0);
    refuses("link", MF_IMAGE_KERNEL, "outside the image root");
}

/* What a disk is, is read from it. */
static void looks_into_disks(void **state)
{
    unsigned char qcow2[512] = {'Q', 'F', 'I', 0xfb, 0, 0, 0, 3}, raw[1024] = {0};
    struct mf_local_file file;
    char error[1024];
    put(root, "disk", qcow2, sizeof qcow2);
    assert_int_equal(mf_image_file_read(root, "disk", MF_IMAGE_DISK, &file, error), 0);
    assert_int_equal(file.format, MF_DISK_FORMAT_QCOW2);
    put(root, "disk", raw, sizeof raw);
    assert_int_equal(mf_image_file_read(root, "disk", MF_IMAGE_DISK, &file, error), 0);
    assert_int_equal(file.format, MF_DISK_FORMAT_RAW);
    put(root, "disk", raw, sizeof raw - 1);
    refuses("disk", MF_IMAGE_DISK, "512-byte sectors");
    put(root, "disk", qcow2, 40);
    refuses("disk", MF_IMAGE_DISK, "cut short");
    qcow2[79] = 4;
    put(root, "disk", qcow2, sizeof qcow2);
    refuses("disk", MF_IMAGE_DISK, "another file");
    qcow2[79] = 0;
    qcow2[14] = 1;
    put(root, "disk", qcow2, sizeof qcow2);
    refuses("disk", MF_IMAGE_DISK, "backing file");
    put(root, "disk", "<!DOCTYPE html>", 15);
    refuses("disk", MF_IMAGE_DISK, "web page");
    put(root, "disk", "\x1f\x8b....", 6);
    refuses("disk", MF_IMAGE_DISK, "unpack it");
    put(root, "disk", "KDMV....", 8);
    refuses("disk", MF_IMAGE_DISK, "VMware");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(takes_what_is_right),
                                       cmocka_unit_test(looks_into_disks),
                                       cmocka_unit_test(refuses_what_is_wrong)};
    return cmocka_run_group_tests(tests, begin, end);
}
