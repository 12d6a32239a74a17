/* images.c - see images.h. */
#include "images.h"
#include "cache.h"
#include "check.h"
#include "format.h"
#include "origin.h"
#include "root.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { MF_IMAGES_MAGIC = 0x696d6773 };

struct mf_images {
    unsigned magic;
    char *state;
    struct mf_image_root *root; /* NULL: none */
    struct mf_fetch *fetch;
};

int mf_images_open(const struct mf_images_config *config, struct mf_images **ret_images, char error[512])
{
    struct mf_images *self = calloc(1, sizeof *self);
    MF_CHECK(self);
    self->magic = MF_IMAGES_MAGIC;
    self->state = strdup(config->fetch.state);
    MF_CHECK(self->state);
    int r = config->root ? mf_image_root_open(config->root, &self->root, error) : 0;
    if (r == 0)
        r = mf_fetch_open(&config->fetch, &self->fetch, error);
    if (r < 0)
        mf_images_close(&self, 0);
    else
        *ret_images = self;
    return r;
}

bool mf_images_close(struct mf_images **self, mf_ms limit_ms)
{
    if (!*self)
        return true;
    MF_MAGIC(*self, MF_IMAGES_MAGIC);
    if (!mf_fetch_close(&(*self)->fetch, limit_ms))
        return false;
    if ((*self)->root)
        mf_image_root_close(&(*self)->root);
    free((*self)->state);
    free(*self);
    *self = NULL;
    return true;
}

struct mf_fetch *mf_images_fetch(struct mf_images *self)
{
    MF_MAGIC(self, MF_IMAGES_MAGIC);
    return self->fetch;
}

int mf_images_disk_left(const char *state, uint64_t reserve_mib, char error[512])
{
    struct statvfs fs;
    if (statvfs(state, &fs) < 0)
        return 0; /* what comes next will say it better */
    uint64_t left = ((uint64_t)fs.f_bavail * fs.f_frsize) >> 20;
    if (left >= reserve_mib)
        return 0;
    mf_str_format(
        error, 512,
        "%llu MiB are free below %s, less than what is kept (disk-reserve-mib %llu); free some, or end "
        "guests",
        (unsigned long long)left, state, (unsigned long long)reserve_mib);
    return -ENOSPC;
}

/* -- one image */

static int open_file(struct mf_images *self, const struct mf_image_file *file, char ret_path[4096],
                     char shown[MF_ORIGIN_TEXT], char why[400])
{
    mf_str_format(shown, MF_ORIGIN_TEXT, "%.*s", (int)file->place.len, file->place.ptr);
    if (!file->url && !self->root) {
        mf_str_format(why, 400, "%s %s: this node has no image root; set image-root, or give a URL",
                      mf_image_part_word(file->part), shown);
        return -EINVAL;
    }
    if (!file->url)
        return mf_image_root_find(self->root, file, ret_path, why);
    mf_origin_show(file->place.ptr, shown);
    mf_cache_path(self->state, file->sha256, ret_path);
    int fd = open(ret_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0)
        return fd;
    mf_str_format(why, 400, "%s is not in this node's cache any more", shown);
    return -EAGAIN;
}

static int check_disk(int fd, const struct mf_rec_image *image, uint64_t disk_mib, struct mf_disk *ret_disk,
                      char why[MF_FORMAT_WHY])
{
    int r = mf_format_disk(fd, ret_disk, why);
    if (r < 0)
        return r;
    if (image->disk_format && image->disk_format != ret_disk->format) {
        mf_str_format(why, MF_FORMAT_WHY, "is %s, not %s as the image says",
                      mf_disk_format_word(ret_disk->format), mf_disk_format_word(image->disk_format));
        return -EINVAL;
    }
    if (ret_disk->virtual_bytes > disk_mib << 20) {
        mf_str_format(why, MF_FORMAT_WHY,
                      "is a disk of %llu MiB, and the offering's has %llu; take a bigger one",
                      (unsigned long long)((ret_disk->virtual_bytes + (1 << 20) - 1) >> 20),
                      (unsigned long long)disk_mib);
        return -EINVAL;
    }
    return 0;
}

static int check_format(int fd, enum mf_image_part part, const struct mf_rec_image *image, uint64_t disk_mib,
                        struct mf_disk *ret_disk, char why[MF_FORMAT_WHY])
{
    if (part == MF_PART_KERNEL)
        return mf_format_kernel(fd, why);
    return part == MF_PART_INITRD ? mf_format_initrd(fd, why)
                                  : check_disk(fd, image, disk_mib, ret_disk, why);
}

static int check_one(struct mf_images *self, const struct mf_rec_image *image,
                     const struct mf_image_file *file, uint64_t disk_mib, char ret_path[4096],
                     struct mf_disk *ret_disk, char why[600])
{
    char shown[MF_ORIGIN_TEXT], not_so[MF_FORMAT_WHY];
    int fd = open_file(self, file, ret_path, shown, why);
    if (fd < 0)
        return fd;
    int r = check_format(fd, file->part, image, disk_mib, ret_disk, not_so);
    close(fd);
    if (r < 0)
        mf_str_format(why, 600, "%s %s %s", mf_image_part_word(file->part), shown, not_so);
    return r;
}

int mf_images_check(struct mf_images *self, const struct mf_rec_image *image, uint64_t disk_mib,
                    struct mf_image_paths *ret_paths, char error[512])
{
    MF_MAGIC(self, MF_IMAGES_MAGIC);
    struct mf_image_paths paths = {0};
    char *const places[] = {paths.kernel, paths.initrd, paths.disk}, why[600];
    struct mf_image_file files[MF_PART_COUNT];
    struct mf_disk disk = {0};
    size_t n = mf_image_files(image, files);
    for (size_t i = 0; i < n; i++) {
        int r = check_one(self, image, &files[i], disk_mib, places[files[i].part], &disk, why);
        if (r < 0) {
            mf_str_format(error, 512, "image %.*s: %s", (int)image->name.len, image->name.ptr, why);
            return r;
        }
    }
    paths.disk_format = disk.format;
    paths.disk_virtual_bytes = disk.virtual_bytes;
    mf_str_format(paths.cmdline, sizeof paths.cmdline, "%.*s", (int)image->cmdline.len, image->cmdline.ptr);
    *ret_paths = paths;
    return 0;
}
