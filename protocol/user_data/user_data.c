/* user_data.c - see user_data.h. The kinds are cloud-init's own, told apart as it does: by how they begin. */
#include "user_data.h"
#include "check.h"
#include "mime.h"
#include "template.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

enum { GZIP_WINDOW = 15 + 16 /* zlib: the largest window, a gzip header */, PIECE = 16384 };

static int refuse(char error[512], const char *what)
{
    snprintf(error, 512, "user-data: %s", what);
    return -EBADMSG;
}

static bool begins(struct mf_str bytes, const char *with)
{
    size_t len = strlen(with);
    return bytes.len >= len && memcmp(bytes.ptr, with, len) == 0;
}

static bool is_text(struct mf_str bytes)
{
    static const char *const kinds[] = {"#!",       "#cloud-config", "#cloud-boothook", "#part-handler",
                                        "#include", "## template:"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (begins(bytes, kinds[i]))
            return true;
    return mf_mime_is(bytes);
}

static int check_plain(struct mf_str bytes, char error[512])
{
    if (is_text(bytes) && memchr(bytes.ptr, 0, bytes.len))
        return refuse(error, "it begins as text and holds a zero byte; binary data goes into a file that it "
                             "fetches, or into a base64 part");
    return mf_mime_is(bytes) ? mf_mime_check(bytes, error) : 0;
}

/* One member, or several in a row, as gzip itself reads them. */
static int inflate_all(z_stream *z, struct mf_buf *buf, char error[512])
{
    char piece[PIECE];
    for (int r = Z_OK;;) {
        z->next_out = (unsigned char *)piece;
        z->avail_out = sizeof piece;
        r = inflate(z, Z_NO_FLUSH);
        if (r == Z_BUF_ERROR)
            return refuse(error, "its gzip is cut short");
        if (r != Z_OK && r != Z_STREAM_END)
            return refuse(error, "its gzip is damaged");
        size_t made = sizeof piece - z->avail_out;
        if (buf->len + made > MF_USER_DATA_INFLATED_MAX)
            return refuse(error, "unpacked, its gzip is more than 1 MiB; let it fetch what is large");
        mf_buf_append(buf, piece, made);
        if (r == Z_STREAM_END && z->avail_in == 0)
            return 0;
        if (r == Z_STREAM_END && inflateReset(z) != Z_OK)
            return refuse(error, "its gzip is damaged");
    }
}

static int unpack(struct mf_str bytes, struct mf_buf *buf, char error[512])
{
    z_stream z = {.next_in = (unsigned char *)(uintptr_t)bytes.ptr, .avail_in = bytes.len};
    MF_CHECK(inflateInit2(&z, GZIP_WINDOW) == Z_OK);
    int r = inflate_all(&z, buf, error);
    inflateEnd(&z);
    return r;
}

static int check_gzip(struct mf_str bytes, char error[512])
{
    struct mf_buf inside = {0};
    int r = unpack(bytes, &inside, error);
    struct mf_str text = {inside.ptr, (uint32_t)inside.len};
    if (r == 0 && begins(text, "\x1f\x8b"))
        r = refuse(error, "it is gzip within gzip");
    if (r == 0 && mf_template_is(text))
        r = refuse(error, "a template cannot be packed: its first line must be seen");
    if (r == 0)
        r = check_plain(text, error);
    mf_buf_free(&inside);
    return r;
}

int mf_user_data_check(struct mf_str bytes, char error[512])
{
    if (begins(bytes, "\x1f\x8b"))
        return check_gzip(bytes, error);
    int r = check_plain(bytes, error);
    if (r < 0 || !mf_template_is(bytes))
        return r;
    r = mf_template_render(bytes, NULL, NULL, error);
    return r < 0 ? r : check_plain(mf_template_body(bytes), error);
}

int mf_user_data_render(struct mf_str bytes, const struct mf_template_values *values, struct mf_buf *buf,
                        char error[512])
{
    int r = mf_user_data_check(bytes, error);
    if (r < 0 || !mf_template_is(bytes)) {
        if (r == 0)
            mf_buf_append(buf, bytes.ptr, bytes.len);
        return r;
    }
    size_t begun = buf->len;
    r = mf_template_render(bytes, values, buf, error);
    struct mf_str made = {buf->ptr ? buf->ptr + begun : NULL, (uint32_t)(buf->len - begun)};
    return r < 0 ? r : check_plain(made, error);
}
