/* SHA-256 lists, as sha256sum and BSD's sha256 write them. */
#include "image_digest.h"
#include <errno.h>
#include <string.h>

enum { HEX = 64 };

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool mf_image_digest_parse(struct mf_str text, struct mf_digest *ret_digest)
{
    static const char prefix[] = "sha256:";
    struct mf_digest digest;
    if (text.len == HEX + sizeof prefix - 1 && !memcmp(text.ptr, prefix, sizeof prefix - 1))
        text = (struct mf_str){text.ptr + sizeof prefix - 1, HEX};
    if (text.len != HEX)
        return false;
    for (int i = 0; i < HEX; i += 2) {
        int high = digit(text.ptr[i]), low = digit(text.ptr[i + 1]);
        if (high < 0 || low < 0)
            return false;
        digest.bytes[i / 2] = (uint8_t)(high << 4 | low);
    }
    *ret_digest = digest;
    return true;
}

struct mf_str mf_image_file_name(struct mf_str url)
{
    uint32_t end = 0, begin = 0;
    while (end < url.len && url.ptr[end] != '?' && url.ptr[end] != '#')
        end++;
    for (uint32_t i = 0; i < end; i++)
        if (url.ptr[i] == '/')
            begin = i + 1;
    return (struct mf_str){url.ptr + begin, end - begin};
}

static bool is_named(struct mf_str listed, struct mf_str name)
{
    return mf_str_eq(mf_image_file_name(listed), name);
}

/* One line; false if it is of another file, or of none. */
static bool parse_line(struct mf_str line, struct mf_str name, struct mf_digest *ret_digest)
{
    static const char bsd[] = "SHA256 (", sign[] = ") = ";
    if (line.len && line.ptr[line.len - 1] == '\r')
        line.len--;
    if (line.len > HEX + 2 && line.ptr[HEX] == ' ') {
        struct mf_str rest = {line.ptr + HEX + 2, line.len - HEX - 2};
        return is_named(rest, name) && mf_image_digest_parse((struct mf_str){line.ptr, HEX}, ret_digest);
    }
    uint32_t around = sizeof bsd - 1 + sizeof sign - 1 + HEX;
    if (line.len <= around || memcmp(line.ptr, bsd, sizeof bsd - 1) ||
        memcmp(line.ptr + line.len - HEX - (sizeof sign - 1), sign, sizeof sign - 1))
        return false;
    struct mf_str listed = {line.ptr + sizeof bsd - 1, line.len - around};
    return is_named(listed, name) &&
           mf_image_digest_parse((struct mf_str){line.ptr + line.len - HEX, HEX}, ret_digest);
}

int mf_image_digest_find(struct mf_str sums, struct mf_str url, struct mf_digest *ret_digest)
{
    struct mf_str name = mf_image_file_name(url);
    struct mf_digest digest = {{0}}, found;
    bool any = false;
    for (uint32_t at = 0, end; at < sums.len && name.len; at = end + 1) {
        const char *line_end = memchr(sums.ptr + at, '\n', sums.len - at);
        end = line_end ? (uint32_t)(line_end - sums.ptr) : sums.len;
        if (!parse_line((struct mf_str){sums.ptr + at, end - at}, name, &found))
            continue;
        if (any && !mf_digest_eq(digest, found))
            return -EEXIST;
        digest = found;
        any = true;
    }
    if (any)
        *ret_digest = digest;
    return any ? 0 : -ENOENT;
}
