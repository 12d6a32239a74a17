/* images.h - image files below the image root, verified before first use: never trusted by name.
 *
 * A path is opened beneath the root (openat2 RESOLVE_BENEATH: no "..", no absolute path, no symlink leads
 * out). The SHA-256 of a file is remembered with its device, inode, size and change time, so that only what
 * changed is read again. Used by several threads at once: one reads a file, the others that need it wait for
 * that one. */
#ifndef MF_IMAGES_H
#define MF_IMAGES_H

#include "message.h"

struct mf_images;

/* root: absolute directory; -ENOENT and the like with a sentence when it is none. */
int mf_images_open(const char *root, struct mf_images **ret_images, char error[512]);
void mf_images_close(struct mf_images **self);

struct mf_image_files { /* absolute paths, checked */
    char kernel[4096], initrd[4096], cmdline[1025];
};
/* 0, or -EINVAL with a sentence that names the image, the file and the remedy: missing, empty, not what its
 * digest says, not a kernel (no "HdrS" of the Linux boot protocol), not an initrd (neither gzip, zstd, xz,
 * lz4, bzip2 nor cpio). */
int mf_images_check(struct mf_images *self, const struct mf_rec_image *image,
                    struct mf_image_files *ret_files, char error[512]);

#endif
