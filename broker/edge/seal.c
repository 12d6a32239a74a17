/* seal.c - see seal.h. Sealed bytes: MARK, a nonce, the secretbox. */
#include "seal.h"
#include "check.h"
#include "secret.h"
#include <errno.h>
#include <sodium.h>
#include <string.h>
#include <unistd.h>

enum {
    MARK_LEN = 8,
    NONCE = crypto_secretbox_NONCEBYTES,
    HEAD = MARK_LEN + NONCE,
    MAC = crypto_secretbox_MACBYTES
};

/* No kind of user-data begins so. */
static const char MARK[MARK_LEN] = {'\0', 'M', 'F', 'S', 'E', 'A', 'L', '1'};
static const char KNOWN[] = "mayfly: user-data is sealed";

struct mf_digest mf_seal_digest(void)
{
    return mf_digest_make(KNOWN, sizeof(KNOWN) - 1);
}

void mf_seal_close(const struct mf_seal *self, struct mf_str bytes, struct mf_buf *buf)
{
    static const uint8_t room[4096];
    size_t begun = buf->len;
    uint8_t nonce[NONCE], *box;

    randombytes_buf(nonce, sizeof(nonce));
    mf_buf_append(buf, MARK, MARK_LEN);
    mf_buf_append(buf, nonce, sizeof(nonce));
    for (size_t left = MAC + bytes.len; left;) {
        size_t n = left < sizeof(room) ? left : sizeof(room);
        mf_buf_append(buf, room, n);
        left -= n;
    }
    box = (uint8_t *)buf->ptr + begun + HEAD;
    crypto_secretbox_easy(box, (const uint8_t *)bytes.ptr, bytes.len, nonce, self->key);
}

int mf_seal_open(const struct mf_seal *self, struct mf_str sealed, struct mf_buf *buf)
{
    const uint8_t *at = (const uint8_t *)sealed.ptr;
    size_t begun = buf->len;

    if (sealed.len < MARK_LEN || memcmp(at, MARK, MARK_LEN) != 0) {
        mf_buf_append(buf, sealed.ptr, sealed.len);
        return 0;
    }
    if (sealed.len < HEAD + MAC)
        return -EBADMSG;
    mf_buf_append(buf, at + HEAD, sealed.len - HEAD); /* room; opened in place */
    if (crypto_secretbox_open_easy((uint8_t *)buf->ptr + begun, at + HEAD, sealed.len - HEAD, at + MARK_LEN,
                                   self->key) < 0) {
        buf->len = begun;
        return -EBADMSG;
    }
    buf->len -= MAC;
    return 0;
}

/* ------------------------------------------------------------------ the key */

static void choose(struct mf_seal_key *self, const char *dir)
{
    if (self->given)
        mf_str_format(self->path, sizeof(self->path), "%s", self->given);
    else
        mf_str_format(self->path, sizeof(self->path), "%s/user-data.secret", dir);
}

static int read_key(struct mf_seal_key *where, struct mf_seal *ret_seal, char error[512])
{
    int r;

    choose(where, where->state_dir);
    r = mf_secret_read(where->path, ret_seal->key, error);
    if (r != -ENOENT || where->given)
        return r;
    choose(where, where->keys_dir);
    return mf_secret_read(where->path, ret_seal->key, error);
}

/* A key directory that must not be written is as good as any: its copy of the key is not with the store, but
 * this one's is with the state, and that is said. */
static int make_key(struct mf_seal_key *where, struct mf_seal *ret_seal, char error[512])
{
    int r;

    choose(where, where->keys_dir);
    r = mf_secret_create(where->path, error);
    if (!where->given && (r == -EROFS || r == -EACCES || r == -EPERM)) {
        choose(where, where->state_dir);
        r = mf_secret_create(where->path, error);
    }
    return r < 0 ? r : mf_secret_read(where->path, ret_seal->key, error);
}

/* ------------------------------------------------------------------ what the store remembers */

static int refuse(char error[512], const char *path, const char *what)
{
    mf_str_format(
        error, 512,
        "the store holds user-data that was sealed with another key than %.300s%s: put that key back, "
        "or name it by --secret-key-file",
        path, what);
    return -EACCES;
}

static int check_known(const struct mf_seal *seal, struct mf_str sealed, const char *path, char error[512])
{
    struct mf_buf known = {0};
    int r = mf_seal_open(seal, sealed, &known);

    mf_buf_free(&known);
    return r < 0 ? refuse(error, path, "") : 0;
}

static int remember(const struct mf_store_engine *engine, struct mf_store *store, const struct mf_seal *seal,
                    char error[512])
{
    struct mf_buf sealed = {0};
    struct mf_store_blob blob = {.digest = mf_seal_digest()};
    char text[256] = "";
    int r;

    mf_seal_close(seal, mf_str(KNOWN), &sealed);
    blob.bytes = (struct mf_str){sealed.ptr, (uint32_t)sealed.len};
    r = engine->append(store, NULL, 0, &blob, 1, text);
    if (r < 0)
        mf_str_format(error, 512, "%s", text);
    mf_buf_free(&sealed);
    return r;
}

int mf_seal_begin(struct mf_seal_key *key, const struct mf_store_engine *engine, struct mf_store *store,
                  struct mf_seal *ret_seal, char error[512])
{
    struct mf_buf known = {0};
    char text[256] = "";
    int was = engine->blob(store, mf_seal_digest(), &known, text), r;

    MF_CHECK(sodium_init() >= 0);
    key->made = false;
    if (was < 0 && was != -ENOENT) {
        mf_str_format(error, 512, "%s", text);
        return was;
    }
    r = read_key(key, ret_seal, error);
    if (r == -ENOENT && was == 0)
        r = refuse(error, key->path, ", which is not there");
    else if (r == -ENOENT)
        key->made = (r = make_key(key, ret_seal, error)) == 0;
    if (r == 0)
        r = was == 0
                ? check_known(ret_seal, (struct mf_str){known.ptr, (uint32_t)known.len}, key->path, error)
                : remember(engine, store, ret_seal, error);
    mf_buf_free(&known);
    return r;
}
