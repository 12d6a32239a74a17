/* Instance directories: made, emptied, swept of orphans, their console read from its end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "places.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct mf_uuid one = {{1}}, two = {{2}};

static void put(const char *dir, const char *name, const char *text)
{
    char path[4300];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static bool only_two(const void *arg, struct mf_uuid id)
{
    return mf_uuid_eq(id, two);
}

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static void places(void **state)
{
    char root[] = "/tmp/mf-places-XXXXXX", dir_one[4096], dir_two[4096], other[64], error[512], *bytes;
    size_t len;
    assert_non_null(mkdtemp(root));
    assert_int_equal(mf_places_make(root, one, dir_one, error), 0);
    assert_int_equal(mf_places_make(root, one, dir_one, error), 0); /* again is fine */
    assert_int_equal(mf_places_make(root, two, dir_two, error), 0);
    put(dir_one, "disk.qcow2", "x");
    put(dir_two, "console.log", "0123456789");
    assert_int_equal(mf_places_console(root, two, 4, &bytes, &len), 0);
    assert_int_equal(len, 4);
    assert_memory_equal(bytes, "6789", 4);
    free(bytes);
    assert_int_equal(mf_places_console(root, two, 400, &bytes, &len), 0);
    assert_int_equal(len, 10);
    free(bytes);
    assert_int_equal(mf_places_console(root, one, 4, &bytes, &len), -ENOENT);
    snprintf(other, sizeof other, "%s/instances/not-a-uuid", root);
    assert_int_equal(mkdir(other, 0700), 0);
    assert_int_equal(mf_places_remove_orphans(root, only_two, NULL), 1);
    assert_false(exists(dir_one));
    assert_true(exists(dir_two));
    assert_true(exists(other)); /* whatever it is, it is not ours to delete */
    mf_places_remove(root, two);
    mf_places_remove(root, two);
    assert_false(exists(dir_two));
    rmdir(other);
    snprintf(other, sizeof other, "%s/instances", root);
    rmdir(other);
    assert_int_equal(rmdir(root), 0);
}

static void a_link_is_no_console(void **state)
{
    char root[] = "/tmp/mf-places-XXXXXX", dir[4096], path[4200], error[512], *bytes;
    size_t len;
    assert_non_null(mkdtemp(root));
    assert_int_equal(mf_places_make(root, one, dir, error), 0);
    snprintf(path, sizeof path, "%s/console.log", dir);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_int_equal(mf_places_console(root, one, 100, &bytes, &len), -ELOOP);
    mf_places_remove(root, one);
    assert_false(exists(dir));
    snprintf(path, sizeof path, "%s/instances", root);
    rmdir(path);
    rmdir(root);
}

static void no_state_directory(void **state)
{
    char dir[4096], error[512];
    assert_true(mf_places_make("/nonexistent", one, dir, error) < 0);
    assert_non_null(strstr(error, "/nonexistent/instances"));
    assert_int_equal(mf_places_remove_orphans("/nonexistent", only_two, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(places), cmocka_unit_test(a_link_is_no_console),
                                       cmocka_unit_test(no_state_directory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
