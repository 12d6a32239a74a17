/* An image from the command line. What comes by URL is known by the digest that its origin publishes; what
 * lies below the image root is read here. */
#include "image_options.h"
#include "image_digest.h"
#include "image_file.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUMS_MAX = 1 << 20 };

struct part {
    const char *name; /* of its option */
    enum mf_local_part part;
    const char *said;
    struct mf_str *file;
    struct mf_digest *sha256;
};

static const char *image_root(const struct mf_cli *cli)
{
    const char *root = mf_cli_get(cli, "image-root");
    return root ? root : getenv("MAYFLY_IMAGE_ROOT");
}

/* Of a part its own option, of the only thing that has a URL the plain one. */
static int take_digest(struct mf_cli *cli, const struct part *part, bool only)
{
    char option[32];
    struct mf_str sums;
    const char *file = mf_cli_get(cli, "digest-file"), *text;
    snprintf(option, sizeof option, "%s-digest", part->name);
    text = mf_cli_get(cli, option);
    if (!text && only)
        text = mf_cli_get(cli, "digest");
    if (text)
        return mf_image_digest_parse(mf_str(text), part->sha256)
                   ? 0
                   : mf_cli_misuse(cli,
                                   "%s: is no SHA-256: 64 hexadecimal digits, with sha256: before them "
                                   "or without",
                                   text);
    if (!file)
        return mf_cli_misuse(cli,
                             "--%s %s: which digest does its origin publish? say --%s sha256:HEX, or "
                             "--digest-file SHA256SUMS",
                             part->name, part->said, only ? "digest" : option);
    int r = mf_cli_read_file(cli, file, SUMS_MAX, "too large for a list of digests", &sums);
    if (r)
        return r;
    r = mf_image_digest_find(sums, mf_str(part->said), part->sha256);
    struct mf_str name = mf_image_file_name(mf_str(part->said));
    if (r)
        return mf_cli_fail(cli,
                           r == -EEXIST ? "%s: names %.*s twice, with different digests"
                                        : "%s: has no line with a SHA-256 of %.*s",
                           file, (int)name.len, name.ptr);
    return 0;
}

static bool ends(const char *text, const char *with)
{
    struct mf_str name = mf_image_file_name(mf_str(text));
    return name.len >= strlen(with) && !memcmp(name.ptr + name.len - strlen(with), with, strlen(with));
}

static int take_format(const struct mf_cli *cli, const char *said, struct mf_rec_image *image)
{
    const char *word = mf_cli_get(cli, "disk-format");
    enum mf_disk_format by_name = ends(said, ".qcow2") ? MF_DISK_FORMAT_QCOW2
                                  : ends(said, ".raw") ? MF_DISK_FORMAT_RAW
                                                       : MF_DISK_FORMAT_UNSET;
    image->disk_format = word ? mf_disk_format_value(mf_str(word)) : by_name;
    if (word && !image->disk_format)
        return mf_cli_misuse(cli, "--disk-format %s: it is qcow2 or raw", word);
    return image->disk_format
               ? 0
               : mf_cli_misuse(cli, "is %s qcow2 or raw? its name does not tell: say --disk-format", said);
}

static int read_local(struct mf_cli *cli, const struct part *part, struct mf_rec_image *image)
{
    const char *root = image_root(cli), *word = mf_cli_get(cli, "disk-format");
    struct mf_local_file *file = mf_arena_alloc(&cli->arena, sizeof *file);
    struct mf_digest published;
    char option[32], error[1024];
    snprintf(option, sizeof option, "%s-digest", part->name);
    const char *text = mf_cli_get(cli, option);
    if (!root || !*root)
        return mf_cli_misuse(
            cli, "where do the nodes have their images? say --image-root DIR or set MAYFLY_IMAGE_ROOT");
    if (mf_image_file_read(root, part->said, part->part, file, error))
        return mf_cli_fail(cli, "%s", error);
    if (text && (!mf_image_digest_parse(mf_str(text), &published) || !mf_digest_eq(published, file->sha256)))
        return mf_cli_fail(cli, "%s: is not what --%s says", part->said, option);
    *part->file = mf_str(file->path);
    *part->sha256 = file->sha256;
    if (part->part != MF_IMAGE_DISK)
        return 0;
    image->disk_format = file->format;
    return !word || mf_disk_format_value(mf_str(word)) == file->format
               ? 0
               : mf_cli_fail(cli, "%s: is %s by what it holds, not %s", part->said,
                             mf_disk_format_word(file->format), word);
}

static int take_part(struct mf_cli *cli, const struct part *part, bool only, struct mf_rec_image *image)
{
    if (!part->said)
        return 0;
    if (!strstr(part->said, "://"))
        return read_local(cli, part, image);
    *part->file = mf_str(part->said);
    int r = part->part == MF_IMAGE_DISK ? take_format(cli, part->said, image) : 0;
    return r ? r : take_digest(cli, part, only);
}

static int check_usage(const struct mf_cli *cli)
{
    const char *kernel = mf_cli_get(cli, "kernel"), *initrd = mf_cli_get(cli, "initrd"),
               *disk = mf_cli_get(cli, "disk"), *url = mf_cli_get(cli, "url");
    if (disk && url)
        return mf_cli_misuse(cli, "--url is the same as --disk; say one of them");
    if (!kernel && !disk && !url)
        return mf_cli_misuse(cli, "what does it boot? say --kernel and --initrd, or --disk (or --url)");
    if (kernel && !initrd && !disk && !url)
        return mf_cli_misuse(cli, "--initrd is missing (or a --disk)");
    if (!kernel && (initrd || mf_cli_get(cli, "cmdline")))
        return mf_cli_misuse(cli, "--kernel is missing; without one the disk's own boot loader starts, and "
                                  "reads neither --initrd nor --cmdline");
    return 0;
}

int mf_cli_image(struct mf_cli *cli, struct mf_rec_image *ret_image)
{
    struct mf_rec_image image = {.name = mf_str(cli->args[0])};
    const char *disk = mf_cli_get(cli, "disk"), *cmdline = mf_cli_get(cli, "cmdline");
    const struct part parts[] = {
        {"kernel", MF_IMAGE_KERNEL, mf_cli_get(cli, "kernel"), &image.kernel, &image.kernel_sha256},
        {"initrd", MF_IMAGE_INITRD, mf_cli_get(cli, "initrd"), &image.initrd, &image.initrd_sha256},
        {"disk", MF_IMAGE_DISK, disk ? disk : mf_cli_get(cli, "url"), &image.disk, &image.disk_sha256}};
    int r = check_usage(cli), urls = 0;
    for (size_t i = 0; i < 3; i++)
        urls += parts[i].said && strstr(parts[i].said, "://");
    if (!r && !urls && (mf_cli_get(cli, "digest") || mf_cli_get(cli, "digest-file")))
        r = mf_cli_misuse(cli, "nothing of it comes by URL: the digests of local files are made here");
    if (!r && urls > 1 && mf_cli_get(cli, "digest"))
        r = mf_cli_misuse(cli, "--digest of which? say --kernel-digest, --initrd-digest, --disk-digest, or "
                               "--digest-file");
    for (size_t i = 0; i < 3 && !r; i++)
        r = take_part(cli, &parts[i], urls == 1, &image);
    if (!r && cmdline)
        image.cmdline = mf_str(cmdline);
    if (!r)
        *ret_image = image;
    return r;
}
