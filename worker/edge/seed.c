/* NoCloud seeds: two small files, one genisoimage. */
#include "seed.h"
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void say(struct mf_buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct mf_buf *buf, const char *format, ...)
{
    char line[256];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    mf_buf_append(buf, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

/* A YAML double-quoted scalar: whatever a label holds, it stays one string. */
static void quoted(struct mf_buf *buf, struct mf_str s)
{
    mf_buf_append(buf, "\"", 1);
    for (uint32_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c == '"' || c == '\\')
            say(buf, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            say(buf, "\\x%02x", c);
        else
            mf_buf_append(buf, &s.ptr[i], 1);
    }
    mf_buf_append(buf, "\"", 1);
}

void mf_seed_meta_data(const struct mf_msg_order_create *order, const char *node, struct mf_buf *buf)
{
    char id[MF_UUID_TEXT];
    int group = (int)order->group.len;
    say(buf, "instance-id: %s\n", mf_uuid_text(order->id, id));
    /* a host name's label has at most 63 bytes: the slot must not be what is cut */
    say(buf, "local-hostname: %.*s-%u\n", group > 57 ? 57 : group, order->group.ptr, (unsigned)order->slot);
    say(buf, "mayfly:\n  name: \"%.*s/%u#%llu\"\n", group, order->group.ptr, (unsigned)order->slot,
        (unsigned long long)order->generation);
    say(buf, "  tenant: %.*s\n  group: %.*s\n", (int)order->tenant.len, order->tenant.ptr, group,
        order->group.ptr);
    say(buf, "  slot: %u\n  generation: %llu\n  node: %s\n", (unsigned)order->slot,
        (unsigned long long)order->generation, node);
    if (!mf_uuid_is_zero(order->replaces))
        say(buf, "  replaces: %s\n", mf_uuid_text(order->replaces, id));
    if (order->labels.n)
        say(buf, "  labels:\n");
    for (uint32_t i = 0; i < order->labels.n; i++) {
        say(buf, "    ");
        quoted(buf, order->labels.items[i].key);
        say(buf, ": ");
        quoted(buf, order->labels.items[i].value);
        say(buf, "\n");
    }
}

static int write_file(const char *path, const void *bytes, size_t len, char error[512])
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    ssize_t written = 0;
    for (size_t at = 0; fd >= 0 && at < len; at += (size_t)written)
        if ((written = write(fd, (const char *)bytes + at, len - at)) <= 0)
            break;
    int result = fd < 0 || (len && written <= 0) ? -(errno ? errno : EIO) : 0;
    if (fd >= 0 && close(fd) < 0 && result == 0)
        result = -errno;
    if (result < 0)
        snprintf(error, 512, "seed: %s: %s", path, strerror(-result));
    return result;
}

static int pack(const char *iso, const char *meta_data, const char *user_data, char error[512])
{
    char map_meta[4200], map_user[4200], said[256];
    snprintf(map_meta, sizeof map_meta, "meta-data=%s", meta_data);
    snprintf(map_user, sizeof map_user, "user-data=%s", user_data);
    const char *argv[] = {"genisoimage", "-quiet", "-output",       iso,      "-volid", "cidata",
                          "-joliet",     "-rock",  "-graft-points", map_meta, map_user, NULL};
    int status;
    int result = mf_process_run(argv, 30000, &status, said, sizeof said);
    if (result == 0 && status == 0)
        return 0;
    snprintf(error, 512, "seed: genisoimage: %s%s", result < 0 ? strerror(-result) : said,
             result == -ENOENT ? "; install genisoimage" : "");
    return result < 0 ? result : -EIO;
}

int mf_seed_make(const struct mf_msg_order_create *order, const char *node, const char *dir, char error[512])
{
    char iso[4096], meta_data[4096], user_data[4096];
    snprintf(iso, sizeof iso, "%s/seed.iso", dir);
    snprintf(meta_data, sizeof meta_data, "%s/meta-data", dir);
    snprintf(user_data, sizeof user_data, "%s/user-data", dir);
    struct mf_buf buf = {0};
    mf_seed_meta_data(order, node, &buf);
    int result = write_file(iso, "", 0, error); /* with its mode, before it holds anything */
    if (result == 0)
        result = write_file(meta_data, buf.ptr, buf.len, error);
    if (result == 0)
        result = write_file(user_data, order->user_data.bytes.ptr, order->user_data.bytes.len, error);
    if (result == 0)
        result = pack(iso, meta_data, user_data, error);
    mf_buf_free(&buf);
    unlink(meta_data);
    unlink(user_data);
    if (result < 0)
        unlink(iso);
    return result;
}
