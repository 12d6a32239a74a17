/* image_file.h - a file of an image, looked at before it gets a name: is it there, is it what it says, where
 * is it below the image root, what is its SHA-256. */
#ifndef MF_CLI_IMAGE_FILE_H
#define MF_CLI_IMAGE_FILE_H

#include "message.h"

enum mf_local_part { MF_IMAGE_KERNEL, MF_IMAGE_INITRD, MF_IMAGE_DISK };
struct mf_local_file {
    char path[256]; /* relative to the root */
    struct mf_digest sha256;
    enum mf_disk_format format; /* of a disk, by what it holds */
};
/* `file` absolute, relative to the working directory, or relative to the root. 0 or negative errno with a
 * sentence. */
int mf_image_file_read(const char *root, const char *file, enum mf_local_part part,
                       struct mf_local_file *ret_file, char error[1024]);

#endif
