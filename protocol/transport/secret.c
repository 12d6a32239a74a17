/* secret.c - see secret.h. */
#include "secret.h"

#include "files.h"
#include <errno.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int mf_secret_create(const char *path, char error[512])
{
    char hex[66];
    uint8_t secret[32];
    if (sodium_init() < 0)
        return mf_fail(error, -ENOTSUP, "libsodium found no random source");
    randombytes_buf(secret, sizeof(secret));
    sodium_bin2hex(hex, sizeof(hex), secret, sizeof(secret));
    hex[64] = '\n';
    int r = mf_file_create(path, hex, 65, 0600, error);
    sodium_memzero(secret, sizeof(secret));
    sodium_memzero(hex, sizeof(hex));
    return r;
}

int mf_secret_read(const char *path, uint8_t ret_secret[32], char error[512])
{
    char *text;
    size_t len, n = 0;
    int r = mf_file_read(path, 128, true, &text, &len, error);
    if (r < 0)
        return r;
    uint8_t secret[32];
    bool good = (len == 64 || (len == 65 && text[64] == '\n')) &&
                sodium_hex2bin(secret, sizeof(secret), text, 64, NULL, &n, NULL) == 0 && n == sizeof(secret);
    if (good)
        memcpy(ret_secret, secret, sizeof(secret));
    else
        r = mf_fail(error, -EINVAL, "%s: not 64 hexadecimal digits", path);
    sodium_memzero(text, len);
    sodium_memzero(secret, sizeof(secret));
    free(text);
    return r;
}
