/* Image files are hostile until checked: missing, empty, of another kind, changed, or leading out of the
 * root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "images.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct world {
    char root[64];
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
    assert_int_equal(mf_images_open(world->root, &world->images, error), 0);
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
    mf_images_close(&world->images);
    assert_null(world->images);
    snprintf(path, sizeof path, "%s/vmlinuz", world->root);
    unlink(path);
    snprintf(path, sizeof path, "%s/initrd", world->root);
    unlink(path);
    snprintf(path, sizeof path, "%s/link", world->root);
    unlink(path);
    rmdir(world->root);
    free(world);
    return 0;
}

static void refused(struct world *world, const char *word)
{
    struct mf_image_files files;
    char error[512] = "";
    assert_true(mf_images_check(world->images, &world->image, &files, error) < 0);
    assert_non_null(strstr(error, "tiny"));
    if (!strstr(error, word))
        fail_msg("'%s' is not in: %s", word, error);
}

static void good_image(void **state)
{
    struct world *world = *state;
    struct mf_image_files files;
    char error[512], path[128];
    for (int i = 0; i < 2; i++) { /* the second time from memory */
        assert_int_equal(mf_images_check(world->images, &world->image, &files, error), 0);
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
    struct mf_image_files files;
    char error[512];
    assert_int_equal(mf_images_check(world->images, &world->image, &files, error), 0);
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

static void no_root(void **state)
{
    struct mf_images *images = NULL;
    char error[512];
    assert_true(mf_images_open("/nonexistent/images", &images, error) < 0);
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
        cmocka_unit_test(no_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
