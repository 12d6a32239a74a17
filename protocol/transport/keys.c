/* keys.c - making and loading keys: a key directory is the whole of who may come in. */
#include "keys.h"

#include "certificate.h"
#include "files.h"
#include "secret.h"
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

static int join(char path[4096], const char *dir, const char *rest, char error[512])
{
    int n = snprintf(path, 4096, "%s/%s", dir, rest);
    if (n < 0 || n >= 4096)
        return mf_fail(error, -ENAMETOOLONG, "%.200s...: the path is too long", dir);
    return 0;
}

static int make_dir(const char *path, mode_t mode, char error[512])
{
    if (mkdir(path, mode) < 0 && errno != EEXIST)
        return mf_fail(error, -errno, "%s: cannot be made: %s", path, strerror(errno));
    return 0;
}

static int make_pair(struct mf_key *key, char error[512])
{
    if (zmq_curve_keypair(key->public_z85, key->secret_z85) != 0)
        return mf_fail(error, -ENOTSUP, "this libzmq was built without CURVE; install one with libsodium");
    return 0;
}

static int create_secret(const char *dir, const char *file, char error[512])
{
    char path[4096];
    int r = join(path, dir, file, error);
    return r < 0 ? r : mf_secret_create(path, error);
}

static int create_certificate(const char *dir, const char *file, enum mf_certificate_part part,
                              const struct mf_key *key, char error[512])
{
    char path[4096];
    int r = join(path, dir, file, error);
    return r < 0 ? r : mf_certificate_create(path, part, key, error);
}

static int create_broker(const char *dir, char error[512])
{
    struct mf_key key = {.role = MF_ROLE_BROKER, .name = "broker"};
    int r = make_pair(&key, error);
    if (r == 0)
        r = create_certificate(dir, "broker.cert_secret", MF_CERTIFICATE_SECRET, &key, error);
    if (r == 0)
        r = create_certificate(dir, "broker.cert", MF_CERTIFICATE_PUBLIC, &key, error);
    sodium_memzero(&key, sizeof(key));
    return r;
}

/* Anything of an earlier init, even of an unfinished one, is left alone: a broker's secret must never be lost
 * to a second run. */
static int check_unused(const char *dir, char error[512])
{
    static const char *const files[] = {"broker.cert", "broker.cert_secret", "pulse.secret",
                                        MF_KEYS_USER_DATA_SECRET};
    char path[4096];
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        int r = join(path, dir, files[i], error);
        if (r < 0)
            return r;
        if (access(path, F_OK) == 0)
            return mf_fail(error, -EEXIST, "%s: exists; this cluster has its keys already", path);
    }
    return 0;
}

int mf_keys_init(const char *dir, char error[512])
{
    char path[4096];
    int r = check_unused(dir, error);
    if (r == 0)
        r = make_dir(dir, 0755, error);
    if (r == 0)
        r = join(path, dir, "clients", error);
    if (r == 0)
        r = make_dir(path, 0755, error);
    if (r == 0)
        r = create_secret(dir, "pulse.secret", error);
    if (r == 0)
        r = create_secret(dir, MF_KEYS_USER_DATA_SECRET, error);
    if (r == 0)
        r = create_broker(dir, error);
    return r;
}

static int check_new_key(const char *dir, enum mf_role role, const char *name, struct mf_key *ret_broker,
                         char error[512])
{
    if (role <= MF_ROLE_NONE || role >= MF_ROLE_BROKER)
        return mf_fail(error, -EINVAL, "the role must be operator, client, reader, worker or monitor");
    if (!mf_name_valid(mf_str(name)))
        return mf_fail(error, -EINVAL,
                       "\"%.80s\" is not a name: 1 to 63 of a-z, 0-9 and -, beginning with a letter or digit",
                       name);
    if (strcmp(name, "broker") == 0)
        return mf_fail(error, -EINVAL, "the name broker is the broker's own; choose another");
    char path[4096];
    int r = join(path, dir, "broker.cert", error);
    if (r < 0)
        return r;
    r = mf_certificate_read(path, MF_CERTIFICATE_PUBLIC, ret_broker, error);
    if (r == -ENOENT)
        return mf_fail(error, r, "%s: no such file; first run: mayfly key init %s", path, dir);
    return r;
}

/* The secret is written first: the public half is what opens the door, and nobody may be let in whose secret
 * was not handed out. */
static int create_halves(const char *public_path, const char *secret_path, const struct mf_key *key,
                         char error[512])
{
    if (access(public_path, F_OK) == 0)
        return mf_fail(error, -EEXIST,
                       "%s: a key of this name exists; remove it first, or choose another name", public_path);
    int r = mf_certificate_create(secret_path, MF_CERTIFICATE_SECRET, key, error);
    if (r < 0)
        return r;
    r = mf_certificate_create(public_path, MF_CERTIFICATE_PUBLIC, key, error);
    if (r < 0)
        unlink(secret_path);
    return r;
}

int mf_keys_create(const char *dir, enum mf_role role, const char *name, const char *out, char error[512])
{
    struct mf_key broker, key = {.role = role};
    int r = check_new_key(dir, role, name, &broker, error);
    if (r < 0)
        return r;
    char file[128], public_path[4096], secret_path[4096];
    mf_str_format(key.name, sizeof(key.name), "%s", name);
    memcpy(key.broker_z85, broker.public_z85, sizeof(key.broker_z85));
    mf_str_format(file, sizeof(file), "clients/%s.cert", name);
    r = join(public_path, dir, file, error);
    mf_str_format(file, sizeof(file), "%s.cert_secret", name);
    if (r == 0)
        r = join(secret_path, dir, file, error);
    if (r == 0)
        r = make_pair(&key, error);
    if (r == 0)
        r = create_halves(public_path, out ? out : secret_path, &key, error);
    sodium_memzero(&key, sizeof(key));
    return r;
}

int mf_key_load(const char *path, struct mf_key *ret_key, char error[512])
{
    return mf_certificate_read(path, MF_CERTIFICATE_SECRET, ret_key, error);
}

int mf_keys_pulse_secret(const char *dir, uint8_t ret_secret[32], char error[512])
{
    char path[4096];
    int r = join(path, dir, "pulse.secret", error);
    return r < 0 ? r : mf_secret_read(path, ret_secret, error);
}
