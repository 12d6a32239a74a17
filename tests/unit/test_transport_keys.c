/* test_transport_keys.c - key directories, certificates, the keyring. */
#include "transport_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <czmq.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char error[512];

static void init(void)
{
    char keys[FIXTURE_PATH];
    assert_int_equal(mf_keys_init(fixture_path(keys, "keys"), error), 0);
}

static int create(enum mf_role role, const char *name)
{
    char keys[FIXTURE_PATH];
    return mf_keys_create(fixture_path(keys, "keys"), role, name, NULL, error);
}

static int load(const char *file, struct mf_key *ret_key)
{
    char path[FIXTURE_PATH];
    return mf_key_load(fixture_path(path, file), ret_key, error);
}

static unsigned mode_of(const char *file)
{
    char path[FIXTURE_PATH];
    struct stat st;
    assert_int_equal(stat(fixture_path(path, file), &st), 0);
    return st.st_mode & 0777;
}

static void test_init_makes_all_and_only_once(void **state)
{
    char keys[FIXTURE_PATH];
    struct mf_key before, after;
    uint8_t secret[32], again[32];
    init();
    assert_int_equal(mode_of("keys/broker.cert_secret"), 0600);
    assert_int_equal(mode_of("keys/pulse.secret"), 0600);
    assert_int_equal(load("keys/broker.cert_secret", &before), 0);
    assert_int_equal(before.role, MF_ROLE_BROKER);
    assert_int_equal(mf_keys_pulse_secret(fixture_path(keys, "keys"), secret, error), 0);

    assert_int_equal(mf_keys_init(keys, error), -EEXIST);
    assert_non_null(strstr(error, "broker.cert"));
    assert_int_equal(load("keys/broker.cert_secret", &after), 0);
    assert_string_equal(before.secret_z85, after.secret_z85);
    assert_int_equal(mf_keys_pulse_secret(keys, again, error), 0);
    assert_memory_equal(secret, again, 32);
}

static void test_an_unfinished_init_loses_no_secret(void **state)
{
    char keys[FIXTURE_PATH], path[FIXTURE_PATH];
    init();
    unlink(fixture_path(path, "keys/broker.cert"));
    assert_int_equal(mf_keys_init(fixture_path(keys, "keys"), error), -EEXIST);
    assert_non_null(strstr(error, "broker.cert_secret"));
}

static void test_created_key_carries_all_its_holder_needs(void **state)
{
    struct mf_key broker, key;
    init();
    assert_int_equal(create(MF_ROLE_WORKER, "node-1"), 0);
    assert_int_equal(load("keys/broker.cert_secret", &broker), 0);
    assert_int_equal(load("keys/node-1.cert_secret", &key), 0);
    assert_int_equal(key.role, MF_ROLE_WORKER);
    assert_string_equal(key.name, "node-1");
    assert_string_equal(key.broker_z85, broker.public_z85);
    assert_int_equal(mode_of("keys/node-1.cert_secret"), 0600);
    assert_int_equal(mode_of("keys/clients/node-1.cert"), 0644);
}

static void test_key_never_replaces_another(void **state)
{
    init();
    assert_int_equal(create(MF_ROLE_CLIENT, "ann"), 0);
    assert_int_equal(create(MF_ROLE_OPERATOR, "ann"), -EEXIST);
    char path[FIXTURE_PATH];
    unlink(fixture_path(path, "keys/clients/ann.cert"));
    assert_int_equal(create(MF_ROLE_OPERATOR, "ann"), -EEXIST); /* its secret is still there */
    assert_int_not_equal(access(path, F_OK), 0);
}

static void test_bad_names_and_roles_are_refused(void **state)
{
    static const char *const names[] = {
        "",   "A",   "a b",    "../x",
        "-a", "a/b", "broker", "0123456789012345678901234567890123456789012345678901234567890123"};
    init();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_int_equal(create(MF_ROLE_CLIENT, names[i]), -EINVAL);
    assert_int_equal(create(MF_ROLE_BROKER, "ann"), -EINVAL);
    assert_int_equal(create(MF_ROLE_NONE, "ann"), -EINVAL);
}

static void test_create_without_init_says_so(void **state)
{
    assert_int_equal(create(MF_ROLE_CLIENT, "ann"), -ENOENT);
    assert_non_null(strstr(error, "mayfly key init"));
}

static void test_a_secret_that_others_may_read_is_refused(void **state)
{
    struct mf_key key;
    char path[FIXTURE_PATH], keys[FIXTURE_PATH];
    uint8_t secret[32];
    init();
    assert_int_equal(create(MF_ROLE_CLIENT, "ann"), 0);
    chmod(fixture_path(path, "keys/ann.cert_secret"), 0640);
    assert_int_equal(load("keys/ann.cert_secret", &key), -EPERM);
    assert_non_null(strstr(error, "chmod 600"));
    chmod(fixture_path(path, "keys/pulse.secret"), 0604);
    assert_int_equal(mf_keys_pulse_secret(fixture_path(keys, "keys"), secret, error), -EPERM);
}

static void test_bad_certificates_are_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "\x01\x02\x03",
        "metadata\n    role = \"client\"\n",
        "nonsense",
        "metadata\n    role = \"king\"\n    name = \"ann\"\ncurve\n    public-key = \"x\"\n",
        "metadata\n    role = \"client\"\n    name = \"Ann!\"\ncurve\n    public-key = \"x\"\n",
        ("metadata\n    role = \"client\"\n    name = \"ann\"\ncurve\n    public-key = \"too short\"\n    "
         "secret-key = \"x\"\n")};
    struct mf_key key;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        fixture_write("bad.cert_secret", texts[i], 0600);
        error[0] = 0;
        assert_int_equal(load("bad.cert_secret", &key), -EINVAL);
        assert_non_null(strstr(error, "bad.cert_secret"));
    }
    fixture_write("pulse.secret", "0123", 0600);
    uint8_t secret[32];
    assert_int_equal(mf_keys_pulse_secret(fixture_dir(), secret, error), -EINVAL);
    assert_int_equal(load("none.cert_secret", &key), -ENOENT);
}

/* A public half of another key would only show as a handshake that never succeeds. */
static void test_halves_must_belong_together(void **state)
{
    struct mf_key ann, bob, key;
    char text[1024];
    init();
    assert_int_equal(create(MF_ROLE_CLIENT, "ann"), 0);
    assert_int_equal(create(MF_ROLE_CLIENT, "bob"), 0);
    assert_int_equal(load("keys/ann.cert_secret", &ann), 0);
    assert_int_equal(load("keys/bob.cert_secret", &bob), 0);
    mf_str_format(text, sizeof(text),
                  "metadata\n    role = \"client\"\n    name = \"ann\"\n    broker = \"%s\"\ncurve\n    "
                  "public-key = \"%s\"\n"
                  "    secret-key = \"%s\"\n",
                  ann.broker_z85, ann.public_z85, bob.secret_z85);
    fixture_write("mixed.cert_secret", text, 0600);
    assert_int_equal(load("mixed.cert_secret", &key), -EINVAL);
}

static void test_czmq_reads_our_certificates(void **state)
{
    char path[FIXTURE_PATH];
    struct mf_key key;
    init();
    assert_int_equal(create(MF_ROLE_CLIENT, "ann"), 0);
    assert_int_equal(load("keys/ann.cert_secret", &key), 0);
    zcert_t *cert = zcert_load(fixture_path(path, "keys/ann.cert_secret"));
    assert_non_null(cert);
    assert_string_equal(zcert_public_txt(cert), key.public_z85);
    assert_string_equal(zcert_secret_txt(cert), key.secret_z85);
    assert_string_equal(zcert_meta(cert, "role"), "client");
    zcert_destroy(&cert);
}

static bool find(struct mf_keyring *ring, const struct mf_key *key, enum mf_role *ret_role)
{
    char name[MF_NAME_MAX + 1];
    bool found = mf_keyring_find(ring, key->public_z85, ret_role, name);
    if (found)
        assert_string_equal(name, key->name);
    return found;
}

static void test_ring_follows_its_directory(void **state)
{
    struct mf_keyring *ring;
    struct mf_key ann, bob;
    enum mf_role role;
    char keys[FIXTURE_PATH], path[FIXTURE_PATH];
    init();
    fixture_key(MF_ROLE_CLIENT, "ann", &ann);
    assert_int_equal(mf_keyring_open(fixture_path(keys, "keys"), &ring, error), 0);
    assert_true(find(ring, &ann, &role));
    assert_int_equal(role, MF_ROLE_CLIENT);
    fixture_key(MF_ROLE_READER, "bob", &bob); /* within the same tick of the file system's clock */
    assert_true(find(ring, &bob, &role));
    assert_int_equal(role, MF_ROLE_READER);
    unlink(fixture_path(path, "keys/clients/ann.cert"));
    struct timespec later[2] = {{.tv_sec = 2000000000}, {.tv_sec = 2000000000}};
    utimensat(AT_FDCWD, fixture_path(path, "keys/clients"), later, 0);
    assert_false(find(ring, &ann, &role));
    assert_true(find(ring, &bob, &role));
    mf_keyring_close(&ring);
    assert_null(ring);
}

static void test_ring_refuses_what_is_ambiguous(void **state)
{
    struct mf_keyring *ring = NULL;
    struct mf_key ann;
    char keys[FIXTURE_PATH], text[512];
    init();
    fixture_key(MF_ROLE_CLIENT, "ann", &ann);
    mf_str_format(text, sizeof(text),
                  "metadata\n    role = \"operator\"\n    name = \"eve\"\ncurve\n    public-key = \"%s\"\n",
                  ann.public_z85);
    fixture_write("keys/clients/eve.cert", text, 0644);
    assert_int_equal(mf_keyring_open(fixture_path(keys, "keys"), &ring, error), -EINVAL);
    assert_non_null(strstr(error, "same key"));
    fixture_write("keys/clients/eve.cert", "garbage", 0644);
    assert_int_equal(mf_keyring_open(keys, &ring, error), -EINVAL);
    fixture_write("keys/clients/eve.cert", text, 0644);
    char path[FIXTURE_PATH], other[FIXTURE_PATH];
    rename(fixture_path(path, "keys/clients/eve.cert"), fixture_path(other, "keys/clients/mallory.cert"));
    assert_int_equal(mf_keyring_open(keys, &ring, error), -EINVAL);
    assert_non_null(strstr(error, "named after"));
    assert_int_equal(mf_keyring_open(fixture_path(keys, "nowhere"), &ring, error), -ENOENT);
    assert_null(ring);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_begin, fixture_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_init_makes_all_and_only_once),
        TEST(test_an_unfinished_init_loses_no_secret),
        TEST(test_created_key_carries_all_its_holder_needs),
        TEST(test_key_never_replaces_another),
        TEST(test_bad_names_and_roles_are_refused),
        TEST(test_create_without_init_says_so),
        TEST(test_a_secret_that_others_may_read_is_refused),
        TEST(test_bad_certificates_are_refused),
        TEST(test_halves_must_belong_together),
        TEST(test_czmq_reads_our_certificates),
        TEST(test_ring_follows_its_directory),
        TEST(test_ring_refuses_what_is_ambiguous),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
