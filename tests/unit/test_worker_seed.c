/* The seed that a guest reads: a real ISO with a real genisoimage, its meta-data safe whatever the labels
 * hold, its mode 0600. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "seed.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct mf_label labels[] = {{{"tier", 4}, {"fro\"nt\n- x", 10}}};

static struct mf_msg_order_create order(void)
{
    struct mf_msg_order_create order = {.tenant = mf_str("default"),
                                        .group = mf_str("web"),
                                        .slot = 3,
                                        .generation = 2,
                                        .labels = {labels, 1}};
    assert_true(mf_uuid_parse("01890a5d-ac96-774b-bcce-b302099a8057", 36, &order.id));
    order.replaces = order.id;
    order.user_data.bytes = mf_str("#!/bin/sh\necho a-secret\n");
    return order;
}

static void meta_data_is_one_document(void **state)
{
    struct mf_msg_order_create o = order();
    struct mf_buf buf = {0};
    mf_seed_meta_data(&o, "node-1", &buf);
    mf_buf_append(&buf, "", 1);
    assert_non_null(strstr(buf.ptr, "instance-id: 01890a5d-ac96-774b-bcce-b302099a8057\n"));
    assert_non_null(strstr(buf.ptr, "local-hostname: web-3\n"));
    assert_non_null(strstr(buf.ptr, "name: \"web/3#2\"\n"));
    assert_non_null(strstr(buf.ptr, "node: node-1\n"));
    assert_non_null(strstr(buf.ptr, "\"tier\": \"fro\\\"nt\\x0a- x\"\n"));
    mf_buf_free(&buf);
}

static void an_iso_and_nothing_else(void **state)
{
    char dir[] = "/tmp/mf-seed-XXXXXX", path[128], error[512];
    assert_non_null(mkdtemp(dir));
    struct mf_msg_order_create o = order();
    if (mf_seed_make(&o, "node-1", dir, error) < 0)
        fail_msg("%s", error);
    snprintf(path, sizeof path, "%s/seed.iso", dir);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    char *bytes = malloc((size_t)st.st_size);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fread(bytes, 1, (size_t)st.st_size, file), st.st_size);
    fclose(file);
    assert_memory_equal(bytes + 0x8001, "CD001", 5); /* ECMA-119: the primary volume descriptor */
    assert_memory_equal(bytes + 0x8028, "cidata ", 7);
    assert_non_null(memmem(bytes, (size_t)st.st_size, "echo a-secret", 13));
    free(bytes);
    DIR *listing = opendir(dir);
    int files = 0;
    while (readdir(listing))
        files++;
    closedir(listing);
    assert_int_equal(files, 3); /* with . and .. */
    unlink(path);
    rmdir(dir);
}

static void no_directory(void **state)
{
    char error[512];
    struct mf_msg_order_create o = order();
    assert_true(mf_seed_make(&o, "node-1", "/nonexistent", error) < 0);
    assert_non_null(strstr(error, "/nonexistent/seed.iso"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(meta_data_is_one_document),
                                       cmocka_unit_test(an_iso_and_nothing_else),
                                       cmocka_unit_test(no_directory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
