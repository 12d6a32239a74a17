/* root.h - image files below the image root. A path is opened beneath the root (openat2 RESOLVE_BENEATH: no
 * "..", no absolute path, no symlink leads out). The SHA-256 of a file is remembered with its device, inode,
 * size and change time, so that only what changed is read again. Used by several threads at once: one reads a
 * file, the others that need it wait for that one. */
#ifndef MF_IMAGE_ROOT_H
#define MF_IMAGE_ROOT_H

#include "image_files.h"

struct mf_image_root;
/* root: absolute directory; -ENOENT and the like with a sentence when it is none. */
int mf_image_root_open(const char *root, struct mf_image_root **ret_root, char error[512]);
void mf_image_root_close(struct mf_image_root **self);
/* Opened, with its digest checked; a descriptor and its path, or -EINVAL with a sentence. */
int mf_image_root_find(struct mf_image_root *self, const struct mf_image_file *file, char ret_path[4096],
                       char error[400]);

#endif
