/* images.h - the files that guests boot from, verified before first use: never trusted by name. Those that
 * are URLs are fetched into a cache (fetch.h), those that are paths lie below the image root (root.h); both
 * are checked for what they are (format.h) right before each use. */
#ifndef MF_IMAGES_H
#define MF_IMAGES_H

#include "fetch.h"

struct mf_images;
struct mf_images_config {
    const char *root; /* absolute directory; NULL: there are no files but fetched ones */
    struct mf_fetch_config fetch;
};

/* 0, or negative errno with a sentence. */
int mf_images_open(const struct mf_images_config *config, struct mf_images **ret_images, char error[512]);
bool mf_images_close(struct mf_images **self, mf_ms limit_ms); /* as mf_fetch_close */
struct mf_fetch *mf_images_fetch(struct mf_images *self);
/* The reserve of the file system where instances live is gone: 0, or -ENOSPC with a sentence. */
int mf_images_disk_left(const char *state, uint64_t reserve_mib, char error[512]);

struct mf_image_paths { /* absolute paths, checked; empty: the image has none */
    char kernel[4096], initrd[4096], disk[4096], cmdline[1025];
    enum mf_disk_format disk_format;
    uint64_t disk_virtual_bytes;
};
/* From any thread. What is fetched must be held by a want or a listing meanwhile. 0; -EINVAL with a sentence
 * that names the image, the file and the remedy: missing, empty, not what its digest says, not a kernel, an
 * initrd, a disk that stands alone, not of the format that the image says, or bigger than the offering's
 * disk; -EAGAIN if a fetched file is not there any more. */
int mf_images_check(struct mf_images *self, const struct mf_rec_image *image, uint64_t disk_mib,
                    struct mf_image_paths *ret_paths, char error[512]);

#endif
