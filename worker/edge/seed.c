/* seed.c - see seed.h: the documents, and the file they end in. */
#include "seed.h"
#include "files.h"
#include "iso.h"
#include "template.h"
#include "user_data.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
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

void mf_seed_meta_data(const struct mf_seed *seed, struct mf_buf *buf)
{
    const struct mf_msg_order_create *order = seed->order;
    char id[MF_UUID_TEXT];
    int group = (int)order->group.len;
    say(buf, "instance-id: %s\n", mf_uuid_text(order->id, id));
    /* a host name's label has at most 63 bytes: the slot must not be what is cut */
    say(buf, "local-hostname: %.*s-%u\n", group > 57 ? 57 : group, order->group.ptr, (unsigned)order->slot);
    say(buf, "mayfly:\n  name: \"%.*s/%u#%llu\"\n", group, order->group.ptr, (unsigned)order->slot,
        (unsigned long long)order->generation);
    say(buf, "  tenant: \"%.*s\"\n  group: \"%.*s\"\n", (int)order->tenant.len, order->tenant.ptr, group,
        order->group.ptr);
    say(buf, "  slot: %u\n  generation: %llu\n  node: \"%s\"\n", (unsigned)order->slot,
        (unsigned long long)order->generation, seed->node);
    if (order->born)
        say(buf, "  born: \"%s\"\n", mf_birth_reason_word(order->born));
    if (!mf_uuid_is_zero(order->replaces))
        say(buf, "  replaces: \"%s\"\n", mf_uuid_text(order->replaces, id));
    say(buf, "  spare: %s\n", order->spare ? "true" : "false");
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

/* Version 2 is read by every cloud-init since 18.1; the name given to the interface spares the renderers that
 * know it by its name alone. */
void mf_seed_network_config(const struct mf_seed *seed, struct mf_buf *buf)
{
    say(buf, "version: 2\nethernets:\n  eth0:\n    match:\n      macaddress: \"%s\"\n", seed->mac);
    say(buf, "    set-name: eth0\n    dhcp4: true\n");
}

static struct mf_str text_of(const struct mf_buf *buf)
{
    return (struct mf_str){buf->ptr, (uint32_t)buf->len};
}

static int render(const struct mf_seed *seed, struct mf_buf *user_data, char error[512])
{
    const struct mf_msg_order_create *order = seed->order;
    char slot[24], generation[24], id[MF_UUID_TEXT], name[160];
    const struct mf_template_values values = {
        .group = order->group,
        .slot = mf_str_format(slot, sizeof slot, "%u", (unsigned)order->slot),
        .generation =
            mf_str_format(generation, sizeof generation, "%llu", (unsigned long long)order->generation),
        .node = mf_str(seed->node),
        .tenant = order->tenant,
        .id = mf_str(mf_uuid_text(order->id, id)),
        .name = mf_str_format(name, sizeof name, "%.*s/%s#%s", (int)order->group.len, order->group.ptr, slot,
                              generation),
        .labels = order->labels,
    };
    return mf_user_data_render(order->user_data.bytes, &values, user_data, error);
}

static int pack(const struct mf_seed *seed, struct mf_buf *iso, char error[512])
{
    struct mf_buf meta_data = {0}, network = {0}, user_data = {0};
    mf_seed_meta_data(seed, &meta_data);
    mf_seed_network_config(seed, &network);
    int result = render(seed, &user_data, error);
    const struct mf_iso_file files[] = {{"meta-data", text_of(&meta_data)},
                                        {"network-config", text_of(&network)},
                                        {"user-data", text_of(&user_data)},
                                        {"vendor-data", seed->vendor_data}};
    if (result == 0)
        result = mf_iso_make("cidata", files, sizeof files / sizeof *files, iso, error);
    mf_buf_free(&meta_data);
    mf_buf_free(&network);
    mf_buf_free(&user_data);
    return result;
}

static int write_all(int fd, const char *bytes, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = pwrite(fd, bytes + at, len - at, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        at += (size_t)n;
    }
    return 0;
}

/* The rest of a larger file is zeros, whatever it held before. */
static int put(int fd, const struct mf_buf *iso, size_t size)
{
    int result = write_all(fd, iso->ptr, iso->len);
    if (result == 0 && (ftruncate(fd, (off_t)iso->len) < 0 || ftruncate(fd, (off_t)size) < 0))
        result = -errno;
    return result;
}

static int write_seed(const struct mf_seed *seed, int fd, size_t size, char error[512])
{
    struct mf_buf iso = {0};
    int result = pack(seed, &iso, error);
    if (result == 0 && size && iso.len > size) {
        result = -EFBIG;
        snprintf(error, 512, "seed: it needs %zu bytes and has room for %zu", iso.len, size);
    } else if (result == 0 && (result = put(fd, &iso, size ? size : iso.len)) < 0) {
        snprintf(error, 512, "seed: it cannot be written: %s", strerror(-result));
    }
    mf_buf_free(&iso);
    return result;
}

int mf_seed_write(const struct mf_seed *seed, int fd, size_t size, char error[512])
{
    return write_seed(seed, fd, size, error);
}

int mf_seed_make(const struct mf_seed *seed, const char *dir, char error[512])
{
    char path[4096];
    snprintf(path, sizeof path, "%s/seed.iso", dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        int result = -errno;
        snprintf(error, 512, "seed: %.300s: %s", path, strerror(-result));
        return result;
    }
    int result = write_seed(seed, fd, 0, error);
    if (close(fd) < 0 && result == 0) {
        result = -errno;
        snprintf(error, 512, "seed: %.300s: %s", path, strerror(-result));
    }
    if (result < 0)
        unlink(path);
    return result;
}

int mf_seed_vendor_data(const char *path, struct mf_buf *buf, char error[512])
{
    char *text, why[512];
    size_t len;
    int r = mf_file_read(path, MF_USER_DATA_MAX, false, &text, &len, error);
    if (r < 0)
        return r;
    struct mf_str bytes = {text, (uint32_t)len};
    r = mf_user_data_check(bytes, why);
    if (r == 0 && mf_template_is(bytes)) {
        snprintf(why, sizeof why, "templates are for groups' user-data alone");
        r = -EBADMSG;
    }
    if (r < 0)
        snprintf(error, 512, "%.200s: %.300s", path, why);
    else
        mf_buf_append(buf, text, len);
    free(text);
    return r;
}
