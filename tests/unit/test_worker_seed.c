/* The seed that a guest reads: a real ISO, its meta-data safe whatever the labels
 * hold, its mode 0600. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "seed.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
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
    order.born = MF_BIRTH_REASON_NODE_FAILED;
    order.user_data.bytes = mf_str("#!/bin/sh\necho a-secret\n");
    return order;
}

static struct mf_msg_order_create the_order;

static struct mf_seed seed(void)
{
    the_order = order();
    return (struct mf_seed){.order = &the_order,
                            .node = "node-1",
                            .mac = "52:54:00:99:80:57",
                            .vendor_data = mf_str("#cloud-config\n# of the house\n")};
}

static void meta_data_is_one_document(void **state)
{
    struct mf_seed s = seed();
    struct mf_buf buf = {0};
    mf_seed_meta_data(&s, &buf);
    mf_buf_append(&buf, "", 1);
    assert_non_null(strstr(buf.ptr, "instance-id: 01890a5d-ac96-774b-bcce-b302099a8057\n"));
    assert_non_null(strstr(buf.ptr, "local-hostname: web-3\n"));
    assert_non_null(strstr(buf.ptr, "name: \"web/3#2\"\n"));
    assert_non_null(strstr(buf.ptr, "node: \"node-1\"\n"));
    assert_non_null(strstr(buf.ptr, "born: \"node-failed\"\n"));
    assert_non_null(strstr(buf.ptr, "replaces: \"01890a5d-ac96-774b-bcce-b302099a8057\"\n"));
    assert_non_null(strstr(buf.ptr, "spare: false\n"));
    assert_non_null(strstr(buf.ptr, "\"tier\": \"fro\\\"nt\\x0a- x\"\n"));
    mf_buf_free(&buf);
}

static void the_network_is_known_by_its_address(void **state)
{
    struct mf_seed s = seed();
    struct mf_buf buf = {0};
    mf_seed_network_config(&s, &buf);
    mf_buf_append(&buf, "", 1);
    assert_non_null(strstr(buf.ptr, "version: 2\n"));
    assert_non_null(strstr(buf.ptr, "macaddress: \"52:54:00:99:80:57\"\n"));
    assert_non_null(strstr(buf.ptr, "dhcp4: true\n"));
    mf_buf_free(&buf);
}

static char *read_all(int fd, size_t *ret_len)
{
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    char *bytes = malloc((size_t)st.st_size);
    assert_int_equal(pread(fd, bytes, (size_t)st.st_size, 0), st.st_size);
    *ret_len = (size_t)st.st_size;
    return bytes;
}

static void assert_is_the_seed(const char *bytes, size_t len)
{
    assert_memory_equal(bytes + 0x8001, "CD001", 5);   /* ECMA-119: the primary volume descriptor */
    assert_memory_equal(bytes + 0x8028, "CIDATA ", 7); /* which may hold no small letters; Joliet does */
    assert_non_null(memmem(bytes, len, "echo a-secret", 13));
    assert_non_null(memmem(bytes, len, "# of the house", 14));
    static const char *const names[] = {"meta-data", "user-data", "vendor-data", "network-config"};
    for (size_t i = 0; i < 4; i++) /* Rock Ridge: NM, its length, version 1, no flags, the name as it is */
        assert_non_null(memmem(bytes, len, names[i], strlen(names[i])));
}

static void an_iso_and_nothing_else(void **state)
{
    char dir[] = "/tmp/mf-seed-XXXXXX", path[128], error[512];
    assert_non_null(mkdtemp(dir));
    struct mf_seed s = seed();
    if (mf_seed_make(&s, dir, error) < 0)
        fail_msg("%s", error);
    snprintf(path, sizeof path, "%s/seed.iso", dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    size_t len;
    char *bytes = read_all(fd, &len);
    assert_is_the_seed(bytes, len);
    free(bytes);
    close(fd);
    DIR *listing = opendir(dir);
    int files = 0;
    while (readdir(listing))
        files++;
    closedir(listing);
    assert_int_equal(files, 3); /* with . and .. */
    unlink(path);
    rmdir(dir);
}

/* What a prepared file held before is gone, and its size is what it was. */
static void into_a_prepared_file(void **state)
{
    static char before[MF_SEED_BYTES];
    char error[512];
    FILE *file = tmpfile();
    memset(before, 'x', sizeof before);
    assert_int_equal(fwrite(before, sizeof before, 1, file), 1);
    assert_int_equal(fflush(file), 0);
    struct mf_seed s = seed();
    if (mf_seed_write(&s, fileno(file), MF_SEED_BYTES, error) < 0)
        fail_msg("%s", error);
    size_t len;
    char *bytes = read_all(fileno(file), &len);
    assert_int_equal(len, MF_SEED_BYTES);
    assert_is_the_seed(bytes, len);
    assert_null(memmem(bytes, len, "xxxxxxxx", 8));
    free(bytes);
    assert_int_equal(mf_seed_write(&s, fileno(file), 4096, error), -EFBIG);
    assert_non_null(strstr(error, "room for 4096"));
    fclose(file);
}

/* The largest of everything that the tables let through. */
static void the_largest_has_room(void **state)
{
    static char user_data[65536], vendor[65536], value[255];
    static struct mf_label most[64];
    struct mf_seed s = seed();
    char error[512];
    memset(value, 1, sizeof value); /* four bytes each, once quoted */
    for (size_t i = 0; i < 64; i++)
        most[i] = (struct mf_label){{value, 63}, {value, sizeof value}};
    the_order.labels = (struct mf_labels){most, 64};
    the_order.user_data.bytes = (struct mf_str){user_data, sizeof user_data};
    s.vendor_data = (struct mf_str){vendor, sizeof vendor};
    FILE *file = tmpfile();
    if (mf_seed_write(&s, fileno(file), MF_SEED_BYTES, error) < 0)
        fail_msg("%s", error);
    fclose(file);
}

static void a_template_is_filled_in(void **state)
{
    struct mf_seed s = seed();
    char error[512];
    the_order.user_data.bytes =
        mf_str("## template: mayfly\n#!/bin/sh\n# {{ name }} {{ tenant }} {{ node }} {{ id }}\n");
    FILE *file = tmpfile();
    if (mf_seed_write(&s, fileno(file), MF_SEED_BYTES, error) < 0)
        fail_msg("%s", error);
    size_t len;
    char *bytes = read_all(fileno(file), &len);
    static const char made[] = "#!/bin/sh\n# web/3#2 default node-1 01890a5d-ac96-774b-bcce-b302099a8057\n";
    assert_non_null(memmem(bytes, len, made, sizeof made - 1));
    assert_null(memmem(bytes, len, "template: mayfly", 16));
    free(bytes);
    fclose(file);
    the_order.user_data.bytes = mf_str("## template: mayfly\na-secret {{ labels.nope }}\n");
    assert_int_equal(mf_seed_make(&s, "/tmp", error), -EBADMSG);
    assert_non_null(strstr(error, "{{ labels.nope }}"));
    assert_null(strstr(error, "a-secret"));
    assert_int_equal(access("/tmp/seed.iso", F_OK), -1);
}

static void the_operators_own_file(void **state)
{
    char path[] = "/tmp/mf-vendor-XXXXXX", error[512];
    struct mf_buf buf = {0};
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "#cloud-config\n", 14), 14);
    assert_int_equal(mf_seed_vendor_data(path, &buf, error), 0);
    assert_int_equal(buf.len, 14);
    assert_int_equal(write(fd, "", 1), 1); /* its zero */
    assert_int_equal(mf_seed_vendor_data(path, &buf, error), -EBADMSG);
    assert_non_null(strstr(error, "zero byte"));
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(pwrite(fd, "## template: mayfly\n", 20, 0), 20);
    assert_int_equal(mf_seed_vendor_data(path, &buf, error), -EBADMSG);
    assert_non_null(strstr(error, path));
    assert_int_equal(ftruncate(fd, 65537), 0);
    assert_int_equal(mf_seed_vendor_data(path, &buf, error), -EFBIG);
    assert_int_equal(mf_seed_vendor_data("/nonexistent", &buf, error), -ENOENT);
    mf_buf_free(&buf);
    close(fd);
    unlink(path);
}

static void no_directory(void **state)
{
    char error[512];
    struct mf_seed s = seed();
    assert_true(mf_seed_make(&s, "/nonexistent", error) < 0);
    assert_non_null(strstr(error, "/nonexistent/seed.iso"));
    assert_null(strstr(error, "a-secret"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(meta_data_is_one_document), cmocka_unit_test(the_network_is_known_by_its_address),
        cmocka_unit_test(an_iso_and_nothing_else),   cmocka_unit_test(into_a_prepared_file),
        cmocka_unit_test(the_largest_has_room),      cmocka_unit_test(a_template_is_filled_in),
        cmocka_unit_test(the_operators_own_file),    cmocka_unit_test(no_directory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
