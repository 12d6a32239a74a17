/* images.c - an image is a name for files that are known by their digests. Where they come from is a hint
 * that everybody may read, so it holds no password; what they are is looked at by the workers, who have
 * them. */
#include "images.h"
#include "blame.h"
#include "check.h"
#include "fold.h"
#include "held.h"
#include "image_files.h"
#include "journal.h"

#include <string.h>

enum { IMAGES_BYTES_MAX = 900 * 1024 }; /* in a list of all of them */

/* ------------------------------------------------------------------ what an image may be */

static bool starts(struct mf_str s, const char *with)
{
    return s.len >= strlen(with) && !memcmp(s.ptr, with, strlen(with));
}

static struct mf_str from(struct mf_str s, uint32_t at)
{
    return (struct mf_str){s.ptr + at, s.len - at};
}

static bool climbs(struct mf_str path)
{
    for (uint32_t at = 0, end; at <= path.len; at = end + 1) {
        for (end = at; end < path.len && path.ptr[end] != '/';)
            end++;
        if (end - at == 2 && !memcmp(path.ptr + at, "..", 2))
            return true;
    }
    return false;
}

static bool is_printed(struct mf_str s)
{
    for (uint32_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] <= ' ' || s.ptr[i] == 0x7f)
            return false;
    return true;
}

static const char *bad_http(struct mf_str rest)
{
    uint32_t host = 0;

    while (host < rest.len && !memchr("/?#", rest.ptr[host], 3))
        host++;
    if (host && memchr(rest.ptr, '@', host))
        return "has a user or password in it, which everybody who reads events would see; let the origin "
               "trust the nodes in another way";
    return host && rest.ptr[0] != ':' ? NULL : "names no host";
}

static const char *bad_url(struct mf_str url)
{
    if (!is_printed(url))
        return "has a space or a control character in it; write that as %20 and the like";
    if (starts(url, "http://"))
        return bad_http(from(url, 7));
    if (starts(url, "https://"))
        return bad_http(from(url, 8));
    if (!starts(url, "file://"))
        return "is of a kind that nodes cannot fetch; it is http://, https:// or file:///";
    if (!starts(url, "file:///") || url.len == 8)
        return "is no file of the node; write file:///PATH";
    return climbs(url) ? "climbs by .. ; write the path as it is" : NULL;
}

static const char *bad_file(struct mf_str file)
{
    if (memmem(file.ptr, file.len, "://", 3))
        return bad_url(file); /* also of a kind that is none of ours */
    if (!is_printed(file))
        return "has a space or a control character in its path";
    if (file.ptr[0] == '/')
        return "is an absolute path; write it relative to the image root, or as file:///PATH";
    return climbs(file) ? "leaves the image root by .." : NULL;
}

static const char *bad_part(struct mf_str file, struct mf_digest sha256)
{
    if (!file.len)
        return mf_digest_is_zero(sha256) ? NULL : "has a digest, but no file";
    if (mf_digest_is_zero(sha256))
        return "has no sha256; without it nobody could tell what was fetched";
    return bad_file(file);
}

static const char *bad_whole(const struct mf_rec_image *rec)
{
    if (!rec->kernel.len && !rec->disk.len)
        return "it has neither a kernel nor a disk to boot from";
    if (rec->kernel.len && !rec->initrd.len && !rec->disk.len)
        return "a kernel alone has no root: add an initrd, or a disk";
    if (rec->initrd.len && !rec->kernel.len)
        return "an initrd without a kernel is read by nobody; add the kernel";
    if (rec->cmdline.len && !rec->kernel.len)
        return "a command line without a kernel is read by nobody: the disk's boot loader has its own";
    if (rec->disk.len && !rec->disk_format)
        return "disk_format is missing: qcow2 or raw";
    if (rec->disk_format && !rec->disk.len)
        return "it has a disk_format, but no disk";
    return NULL;
}

/* False, and the request is refused, if it is no image. */
static bool acceptable(struct mf_asked *a, const struct mf_rec_image *rec)
{
    const struct {
        const char *name;
        struct mf_str file;
        struct mf_digest sha256;
    } parts[] = {{"kernel", rec->kernel, rec->kernel_sha256},
                 {"initrd", rec->initrd, rec->initrd_sha256},
                 {"disk", rec->disk, rec->disk_sha256}};
    const char *wrong;

    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
        wrong = bad_part(parts[i].file, parts[i].sha256);
        if (wrong) {
            mf_asked_refuse(a, MF_E_INVALID, "image %.*s: its %s %s", MF_STR_ARG(rec->name), parts[i].name,
                            wrong);
            return false;
        }
    }
    wrong = bad_whole(rec);
    if (wrong)
        mf_asked_refuse(a, MF_E_INVALID, "image %.*s: %s", MF_STR_ARG(rec->name), wrong);
    return !wrong;
}

/* ------------------------------------------------------------------ add, remove */

void mf_image_add(struct mf_asked *a, const struct mf_msg_image_add *m)
{
    struct mf_broker *b = a->b;
    struct mf_image *image = mf_image_find(b, m->image.name);
    struct mf_event event = {.kind = MF_EV_IMAGE_ADDED, .image_added = {.image = m->image}};
    uint64_t cause;

    if (!acceptable(a, &m->image))
        return;
    if (image && !mf_image_eq(&image->rec, &m->image)) {
        mf_asked_refuse(a, MF_E_EXISTS, "image %.*s exists with other content; give the new one another name",
                        MF_STR_ARG(m->image.name));
        return;
    }
    if (!image && (b->images.n >= MF_IMAGES_MAX || b->images_bytes > IMAGES_BYTES_MAX)) {
        mf_asked_refuse(a, MF_E_UNSUPPORTED,
                        "there are %zu images already, and no more are supported; remove some", b->images.n);
        return;
    }
    cause = mf_asked_accept(a, mf_nobody, mf_nobody, 0, 0);
    if (!image) {
        mf_journal(b, cause, &event, mf_str(a->subject));
        mf_held_image_added(b, mf_image_find(b, m->image.name));
    }
    mf_asked_answer(a);
}

static struct mf_image *named(struct mf_asked *a, struct mf_str name)
{
    struct mf_image *image = mf_image_find(a->b, name);

    if (!image)
        mf_asked_refuse(a, MF_E_UNKNOWN, "there is no image %.*s; `mayfly image list` shows what there is",
                        MF_STR_ARG(name));
    return image;
}

void mf_image_remove(struct mf_asked *a, const struct mf_msg_image_remove *m)
{
    struct mf_broker *b = a->b;
    struct mf_image *image = named(a, m->image);
    struct mf_event event = {.kind = MF_EV_IMAGE_REMOVED, .image_removed = {.image = m->image}};
    struct mf_str group;
    uint64_t cause;

    if (!image)
        return;
    if (mf_image_used(b, image, &group)) {
        mf_asked_refuse(
            a, MF_E_IN_USE,
            "group %.*s boots image %.*s, and each of its births needs it; destroy the group first",
            MF_STR_ARG(group), MF_STR_ARG(m->image));
        return;
    }
    cause = mf_asked_accept(a, mf_nobody, mf_nobody, 0, 0);
    mf_blame_forget_image(b, image);
    mf_held_image_forget(b, image);
    mf_journal(b, cause, &event, mf_str(a->subject));
    mf_asked_answer(a);
}

/* ------------------------------------------------------------------ warm */

static bool nodes_known(struct mf_asked *a, const struct mf_msg_image_warm *m)
{
    for (uint32_t i = 0; i < m->nodes.n; i++)
        if (!mf_asked_node(a, m->nodes.items[i].node))
            return false;
    return true;
}

static void fetch(struct mf_broker *b, const struct mf_image *image, const struct mf_msg_image_warm *m)
{
    for (uint32_t i = 0; i < m->nodes.n; i++)
        mf_held_fetch(b, mf_node_find(b, m->nodes.items[i].node), image);
    for (size_t i = 0; i < b->nodes.n && !m->nodes.n; i++)
        mf_held_fetch(b, b->nodes.items[i], image);
}

void mf_image_warm(struct mf_asked *a, const struct mf_msg_image_warm *m)
{
    struct mf_image *image = named(a, m->image);
    struct mf_event event = {.kind = MF_EV_IMAGE_WARMING,
                             .image_warming = {.image = m->image, .stop = m->stop}};
    uint64_t cause;

    if (!image || !nodes_known(a, m))
        return;
    if (m->stop && m->nodes.n) {
        mf_asked_refuse(a, MF_E_INVALID, "stop is for all nodes that join from now on; name none with it");
        return;
    }
    memcpy(&event.image_warming.nodes, &m->nodes, sizeof(m->nodes));
    cause = mf_asked_accept(a, mf_nobody, mf_nobody, 0, 0);
    if (m->nodes.n || image->warm == m->stop)
        mf_journal(a->b, cause, &event, mf_str(a->subject));
    if (!m->stop)
        fetch(a->b, image, m);
    mf_asked_answer_saying(a,
                           image->local && !m->stop
                               ? mf_str("every node has its files below its image root: nothing is fetched")
                               : (struct mf_str){NULL, 0});
}
