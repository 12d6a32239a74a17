/* Image files are hostile until checked: missing, empty, of another kind, changed, or leading out of the
 * root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "images.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct world {
    char root[64], state[64];
    struct mf_images *images;
    struct mf_rec_image image;
};

static void put(const char *root, const char *name, const void *bytes, size_t len)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static struct mf_digest sha256(const void *bytes, size_t len)
{
    struct mf_digest digest;
    assert_int_equal(EVP_Digest(bytes, len, digest.bytes, NULL, EVP_sha256(), NULL), 1);
    return digest;
}

static void heard_fetched(void *arg, uint64_t ticket, enum mf_errcode code, const char *text)
{
}

static void heard_file(void *arg, const struct mf_msg_file_progress *file, bool tell)
{
}

static int open_images(const char *root, const char *state, struct mf_images **ret_images, char error[512])
{
    const struct mf_images_config config = {
        .root = root,
        .fetch = {
            .state = state, .cache_mib = 64, .stall_s = 5, .fetched = heard_fetched, .file = heard_file}};
    return mf_images_open(&config, ret_images, error);
}

static char kernel[4096], initrd[] = "\x1f\x8b the rest";

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    char error[512];
    snprintf(world->root, sizeof world->root, "/tmp/mf-images-XXXXXX");
    assert_non_null(mkdtemp(world->root));
    memcpy(kernel + 0x202, "HdrS", 4);
    put(world->root, "vmlinuz", kernel, sizeof kernel);
    put(world->root, "initrd", initrd, sizeof initrd);
    snprintf(world->state, sizeof world->state, "/tmp/mf-stock-XXXXXX");
    assert_non_null(mkdtemp(world->state));
    assert_int_equal(open_images(world->root, world->state, &world->images, error), 0);
    world->image = (struct mf_rec_image){.name = mf_str("tiny"),
                                         .kernel = mf_str("vmlinuz"),
                                         .initrd = mf_str("initrd"),
                                         .cmdline = mf_str("quiet"),
                                         .kernel_sha256 = sha256(kernel, sizeof kernel),
                                         .initrd_sha256 = sha256(initrd, sizeof initrd)};
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    char path[128];
    assert_true(mf_images_close(&world->images, 5000));
    assert_null(world->images);
    snprintf(path, sizeof path, "%s/vmlinuz", world->root);
    unlink(path);
    snprintf(path, sizeof path, "%s/initrd", world->root);
    unlink(path);
    snprintf(path, sizeof path, "%s/link", world->root);
    unlink(path);
    rmdir(world->root);
    snprintf(path, sizeof path, "%s/images/sha256", world->state);
    rmdir(path);
    snprintf(path, sizeof path, "%s/images", world->state);
    rmdir(path);
    rmdir(world->state);
    free(world);
    return 0;
}

static void refused(struct world *world, const char *word)
{
    struct mf_image_paths files;
    char error[512] = "";
    assert_true(mf_images_check(world->images, &world->image, 64, &files, error) < 0);
    assert_non_null(strstr(error, "tiny"));
    if (!strstr(error, word))
        fail_msg("'%s' is not in: %s", word, error);
}

static void good_image(void **state)
{
    struct world *world = *state;
    struct mf_image_paths files;
    char error[512], path[128];
    for (int i = 0; i < 2; i++) { /* the second time from memory */
        assert_int_equal(mf_images_check(world->images, &world->image, 64, &files, error), 0);
        snprintf(path, sizeof path, "%s/vmlinuz", world->root);
        assert_string_equal(files.kernel, path);
        assert_string_equal(files.cmdline, "quiet");
    }
}

static void missing(void **state)
{
    struct world *world = *state;
    world->image.kernel = mf_str("nothing");
    refused(world, "No such file");
}

static void empty(void **state)
{
    struct world *world = *state;
    put(world->root, "initrd", "", 0);
    refused(world, "empty");
}

static void truncated(void **state)
{
    struct world *world = *state;
    put(world->root, "vmlinuz", kernel, sizeof kernel - 100);
    refused(world, "digest");
}

static void changed_after_it_was_known(void **state)
{
    struct world *world = *state;
    struct mf_image_paths files;
    char error[512];
    assert_int_equal(mf_images_check(world->images, &world->image, 64, &files, error), 0);
    kernel[0] = 'x';
    put(world->root, "vmlinuz", kernel, sizeof kernel);
    kernel[0] = 0;
    refused(world, "digest");
}

static void of_another_kind(void **state)
{
    struct world *world = *state;
    world->image.kernel = mf_str("initrd");
    world->image.kernel_sha256 = world->image.initrd_sha256;
    refused(world, "not a Linux kernel");
}

static void html_for_an_initrd(void **state)
{
    struct world *world = *state;
    put(world->root, "initrd", "<html>", 6);
    world->image.initrd_sha256 = sha256("<html>", 6);
    refused(world, "not an initrd");
}

static void ways_out_of_the_root(void **state)
{
    struct world *world = *state;
    char link[128];
    world->image.kernel = mf_str("../etc/passwd");
    refused(world, "leads out");
    world->image.kernel = mf_str("/etc/passwd");
    refused(world, "leads out");
    snprintf(link, sizeof link, "%s/link", world->root);
    assert_int_equal(symlink("/etc/passwd", link), 0);
    world->image.kernel = mf_str("link");
    refused(world, "leads out");
    world->image.kernel = mf_str(".");
    refused(world, "regular file");
}

static void disks(void **state)
{
    struct world *world = *state;
    struct mf_image_paths files;
    char error[512], path[128];
    static char sectors[4096];
    put(world->root, "disk", sectors, sizeof sectors);
    world->image = (struct mf_rec_image){
        .name = mf_str("tiny"), .disk = mf_str("disk"), .disk_sha256 = sha256(sectors, sizeof sectors)};
    assert_int_equal(mf_images_check(world->images, &world->image, 1, &files, error), 0);
    assert_int_equal(files.disk_format, MF_DISK_FORMAT_RAW);
    assert_string_equal(files.kernel, "");
    world->image.disk_format = MF_DISK_FORMAT_QCOW2;
    refused(world, "is raw, not qcow2 as the image says");
    world->image.disk_format = MF_DISK_FORMAT_RAW;
    assert_true(mf_images_check(world->images, &world->image, 0, &files, error) < 0);
    assert_non_null(strstr(error, "take a bigger one"));
    snprintf(path, sizeof path, "%s/disk", world->root);
    unlink(path);
}

static void not_in_the_cache(void **state)
{
    struct world *world = *state;
    struct mf_image_paths files;
    char error[512];
    world->image.kernel = mf_str("https://user:secret@origin.example/vmlinuz?token=secret");
    assert_int_equal(mf_images_check(world->images, &world->image, 64, &files, error), -EAGAIN);
    assert_non_null(strstr(error, "https://origin.example/vmlinuz is not in this node's cache"));
    assert_null(strstr(error, "secret"));
}

static void room(void **state)
{
    struct world *world = *state;
    char error[512] = "";
    assert_int_equal(mf_images_disk_left(world->state, 0, error), 0);
    assert_int_equal(mf_images_disk_left(world->state, UINT64_C(1) << 40, error), -ENOSPC);
    assert_non_null(strstr(error, "disk-reserve-mib"));
}

static void no_root(void **state)
{
    struct mf_images *images = NULL;
    char error[512];
    assert_true(open_images("/nonexistent/images", "/tmp", &images, error) < 0);
    assert_null(images);
    assert_non_null(strstr(error, "/nonexistent/images"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        TEST(good_image),
        TEST(missing),
        TEST(empty),
        TEST(truncated),
        TEST(changed_after_it_was_known),
        TEST(of_another_kind),
        TEST(html_for_an_initrd),
        TEST(ways_out_of_the_root),
        TEST(disks),
        TEST(not_in_the_cache),
        TEST(room),
        cmocka_unit_test(no_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
