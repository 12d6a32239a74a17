/* User-data in a real store: nobody reads it there without the key, and no broker begins with a wrong one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "blobs.h"
#include "scratch.h"
#include "seal.h"
#include "secret.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET "#!/bin/sh\necho hunter2 >/etc/password\n"
static char folder[64], error[512];
static struct mf_store *store;

static const char *path_of(const char *name)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, 128, "%s/%s", folder, name);
    return path;
}

static void open_store(void)
{
    char text[256];
    assert_int_equal(mf_store_sqlite.open(path_of("broker.db"), &store, text), 0);
}

static void close_store(void)
{
    mf_store_sqlite.close(store);
    store = NULL;
}

static int set_up(void **state)
{
    snprintf(folder, sizeof folder, "/tmp/mf-seal-XXXXXX");
    assert_non_null(mkdtemp(folder));
    mkdir(path_of("keys"), 0755);
    mkdir(path_of("state"), 0755);
    open_store();
    return 0;
}

static int tear_down(void **state)
{
    close_store();
    scratch_remove(folder);
    return 0;
}

static int begin(const char *given, struct mf_seal *ret_seal, struct mf_seal_key *ret_key)
{
    *ret_key =
        (struct mf_seal_key){.given = given, .keys_dir = path_of("keys"), .state_dir = path_of("state")};
    return mf_seal_begin(ret_key, &mf_store_sqlite, store, ret_seal, error);
}

static bool file_has(const char *path, const char *text)
{
    static char bytes[1 << 20];
    FILE *file = fopen(path, "r");
    size_t n = file ? fread(bytes, 1, sizeof bytes, file) : 0;
    if (file)
        fclose(file);
    return memmem(bytes, n, text, strlen(text)) != NULL;
}

static struct mf_digest keep(struct mf_blobs *blobs)
{
    char text[256];
    struct mf_str bytes = mf_str(SECRET);
    struct mf_store_blob blob = mf_blobs_keep(blobs, mf_digest_make(bytes.ptr, bytes.len), bytes);
    assert_int_equal(mf_store_sqlite.append(store, NULL, 0, &blob, 1, text), 0);
    free((void *)(uintptr_t)blob.bytes.ptr);
    return blob.digest;
}

static void sealed_and_read_again(void **state)
{
    struct mf_seal seal;
    struct mf_seal_key key;
    struct mf_str bytes;
    struct stat st;
    char text[256];
    assert_int_equal(begin(NULL, &seal, &key), 0);
    assert_true(key.made);
    assert_int_equal(stat(path_of("keys/user-data.secret"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    struct mf_blobs *blobs = mf_blobs_new(&mf_store_sqlite, store, &seal);
    struct mf_digest digest = keep(blobs);
    mf_blobs_destroy(&blobs);
    close_store();
    assert_false(file_has(path_of("broker.db"), "hunter2"));
    open_store();
    assert_int_equal(begin(NULL, &seal, &key), 0);
    assert_false(key.made);
    blobs = mf_blobs_new(&mf_store_sqlite, store, &seal);
    assert_int_equal(mf_blobs_find(blobs, digest, &bytes, text), 0);
    assert_true(mf_str_is(bytes, SECRET));
    mf_blobs_destroy(&blobs);
}

static void without_its_key_nothing_begins(void **state)
{
    struct mf_seal seal;
    struct mf_seal_key key;
    assert_int_equal(begin(NULL, &seal, &key), 0);
    assert_int_equal(rename(path_of("keys/user-data.secret"), path_of("away")), 0);
    assert_int_equal(begin(NULL, &seal, &key), -EACCES);
    assert_non_null(strstr(error, "keys/user-data.secret, which is not there: put that key back"));
    assert_int_equal(access(path_of("keys/user-data.secret"), F_OK), -1); /* no other one is made */
    assert_int_equal(mf_secret_create(path_of("other"), error), 0);
    assert_int_equal(begin(path_of("other"), &seal, &key), -EACCES);
    assert_non_null(strstr(error, "sealed with another key than"));
    assert_int_equal(begin(path_of("away"), &seal, &key), 0);
}

static void what_others_may_read_is_no_key(void **state)
{
    struct mf_seal seal;
    struct mf_seal_key key;
    assert_int_equal(begin(NULL, &seal, &key), 0);
    assert_int_equal(chmod(path_of("keys/user-data.secret"), 0644), 0);
    assert_int_equal(begin(NULL, &seal, &key), -EPERM);
    assert_non_null(strstr(error, "chmod 600"));
}

/* Nobody makes files in /sys. */
static void a_key_directory_that_must_not_be_written(void **state)
{
    struct mf_seal seal;
    struct mf_seal_key key = {.keys_dir = "/sys", .state_dir = path_of("state")};
    assert_int_equal(mf_seal_begin(&key, &mf_store_sqlite, store, &seal, error), 0);
    assert_true(key.made);
    assert_string_equal(key.path, path_of("state/user-data.secret"));
    assert_int_equal(mf_seal_begin(&key, &mf_store_sqlite, store, &seal, error), 0);
    assert_false(key.made);
    key = (struct mf_seal_key){.given = "/sys/no-key", .keys_dir = "/sys", .state_dir = path_of("other")};
    assert_true(mf_seal_begin(&key, &mf_store_sqlite, store, &seal, error) < 0);
}

static void an_older_brokers_blobs(void **state)
{
    struct mf_seal seal;
    struct mf_seal_key key;
    struct mf_str bytes;
    struct mf_store_blob plain = {mf_digest_make(SECRET, strlen(SECRET)), mf_str(SECRET)};
    char text[256];
    assert_int_equal(mf_store_sqlite.append(store, NULL, 0, &plain, 1, text), 0);
    assert_int_equal(begin(NULL, &seal, &key), 0);
    struct mf_blobs *blobs = mf_blobs_new(&mf_store_sqlite, store, &seal);
    assert_int_equal(mf_blobs_find(blobs, plain.digest, &bytes, text), 0);
    assert_true(mf_str_is(bytes, SECRET));
    mf_blobs_destroy(&blobs);
}

static void one_bit_and_it_stays_shut(void **state)
{
    struct mf_seal seal = {{7}};
    struct mf_buf sealed = {0}, opened = {0};
    mf_seal_close(&seal, mf_str(SECRET), &sealed);
    assert_null(memmem(sealed.ptr, sealed.len, "hunter2", 7));
    for (size_t i = 8; i < sealed.len; i++) {
        sealed.ptr[i] ^= 1;
        assert_int_equal(mf_seal_open(&seal, (struct mf_str){sealed.ptr, (uint32_t)sealed.len}, &opened),
                         -EBADMSG);
        sealed.ptr[i] ^= 1;
    }
    for (uint32_t len = 8; len < sealed.len; len++)
        assert_int_equal(mf_seal_open(&seal, (struct mf_str){sealed.ptr, len}, &opened), -EBADMSG);
    assert_int_equal(opened.len, 0);
    assert_int_equal(mf_seal_open(&seal, (struct mf_str){sealed.ptr, (uint32_t)sealed.len}, &opened), 0);
    assert_int_equal(opened.len, strlen(SECRET));
    mf_buf_free(&sealed);
    mf_buf_free(&opened);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sealed_and_read_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_its_key_nothing_begins, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_others_may_read_is_no_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_key_directory_that_must_not_be_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_older_brokers_blobs, set_up, tear_down),
        cmocka_unit_test(one_bit_and_it_stays_shut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
