/* certificate.c - reading and writing certificates through czmq's zconfig. The public half has no secret-key
 * and no broker. */
#include "certificate.h"

#include "files.h"
#include <czmq.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

enum { CERTIFICATE_MAX = 8192 };

bool mf_z85_valid(const char *text)
{
    uint8_t bytes[32];
    bool valid = strlen(text) == 40 && zmq_z85_decode(bytes, text) != NULL;
    sodium_memzero(bytes, sizeof(bytes));
    return valid;
}

static bool is_text(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((text[i] < ' ' || text[i] > '~') && text[i] != '\n' && text[i] != '\t')
            return false;
    return true;
}

static int take_key(zconfig_t *root, const char *path, const char *what, bool required, char ret_z85[41],
                    char error[512])
{
    const char *value = zconfig_get(root, what, "");
    ret_z85[0] = 0;
    if (!*value)
        return required ? mf_fail(error, -EINVAL, "%s: has no %s", path, what + 1) : 0;
    if (!mf_z85_valid(value))
        return mf_fail(error, -EINVAL, "%s: %s is not a key (40 characters of Z85)", path, what + 1);
    memcpy(ret_z85, value, 41);
    return 0;
}

static int take_identity(zconfig_t *root, const char *path, struct mf_key *ret_key, char error[512])
{
    const char *role = zconfig_get(root, "/metadata/role", ""),
               *name = zconfig_get(root, "/metadata/name", "");
    ret_key->role = mf_role_value(mf_str(role));
    if (ret_key->role == MF_ROLE_NONE)
        return mf_fail(error, -EINVAL,
                       "%s: metadata/role \"%.40s\" is no role; make keys with: mayfly key create", path,
                       role);
    if (!mf_name_valid(mf_str(name)))
        return mf_fail(error, -EINVAL, "%s: metadata/name \"%.80s\" is not a name [a-z0-9][a-z0-9-]{0,62}",
                       path, name);
    mf_str_format(ret_key->name, sizeof(ret_key->name), "%s", name);
    return 0;
}

static int take_all(zconfig_t *root, const char *path, bool secret, struct mf_key *ret_key, char error[512])
{
    int r = take_identity(root, path, ret_key, error);
    if (r == 0)
        r = take_key(root, path, "/curve/public-key", true, ret_key->public_z85, error);
    if (r == 0 && secret)
        r = take_key(root, path, "/curve/secret-key", true, ret_key->secret_z85, error);
    if (r == 0 && secret)
        r = take_key(root, path, "/metadata/broker", ret_key->role != MF_ROLE_BROKER, ret_key->broker_z85,
                     error);
    return r;
}

/* A public half that is not its secret's would only show as a handshake that fails without a word. */
static int check_pair(const struct mf_key *key, const char *path, char error[512])
{
    char public_z85[41];
    if (zmq_curve_public(public_z85, key->secret_z85) != 0 || strcmp(public_z85, key->public_z85) != 0)
        return mf_fail(error, -EINVAL, "%s: its public and secret halves do not belong together", path);
    return 0;
}

/* What can be done about a key that is not there, or not for us to read. */
static int explain(const char *path, int code, char error[512])
{
    if (code == -ENOENT)
        return mf_fail(
            error, code,
            "%s: no such file; `mayfly key init` makes a cluster's keys, `mayfly key create` the key "
            "of one program, to be taken to where it runs",
            path);
    if (code == -EACCES)
        return mf_fail(
            error, code,
            "%s: this program runs as user %u and may not read it; give it the file (chown %u), or "
            "a way through the folders above it",
            path, (unsigned)geteuid(), (unsigned)geteuid());
    return code;
}

int mf_certificate_read(const char *path, enum mf_certificate_part part, struct mf_key *ret_key,
                        char error[512])
{
    bool secret = part == MF_CERTIFICATE_SECRET;
    char *text;
    size_t len;
    int r = mf_file_read(path, CERTIFICATE_MAX, secret, &text, &len, error);
    if (r < 0)
        return explain(path, r, error);
    struct mf_key key = {0};
    zconfig_t *root = len > 0 && is_text(text, len) ? zconfig_str_load(text) : NULL;
    if (root)
        r = take_all(root, path, secret, &key, error);
    else
        r = mf_fail(error, -EINVAL, "%s: not a certificate; make keys with: mayfly key create", path);
    if (r == 0 && secret)
        r = check_pair(&key, path, error);
    if (r == 0)
        *ret_key = key;
    zconfig_destroy(&root);
    sodium_memzero(&key, sizeof(key));
    sodium_memzero(text, len);
    free(text);
    return r;
}

int mf_certificate_create(const char *path, enum mf_certificate_part part, const struct mf_key *key,
                          char error[512])
{
    bool secret = part == MF_CERTIFICATE_SECRET;
    zconfig_t *root = zconfig_new("root", NULL);
    if (!root)
        return mf_fail(error, -ENOMEM, "%s: out of memory", path);
    zconfig_put(root, "/metadata/role", mf_role_word(key->role));
    zconfig_put(root, "/metadata/name", key->name);
    if (secret && key->broker_z85[0])
        zconfig_put(root, "/metadata/broker", key->broker_z85);
    zconfig_put(root, "/curve/public-key", key->public_z85);
    if (secret)
        zconfig_put(root, "/curve/secret-key", key->secret_z85);
    char *text = zconfig_str_save(root);
    int r = text ? mf_file_create(path, text, strlen(text), secret ? 0600 : 0644, error)
                 : mf_fail(error, -ENOMEM, "%s: out of memory", path);
    if (text)
        sodium_memzero(text, strlen(text));
    zstr_free(&text);
    zconfig_destroy(&root);
    return r;
}
