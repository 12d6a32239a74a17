/* format.h - what a file is, told from its bytes and never from its name: a kernel, an initrd, a disk. */
#ifndef MF_FORMAT_H
#define MF_FORMAT_H

#include "image_files.h"

enum { MF_FORMAT_WHY = 256 };

struct mf_disk { /* as its own bytes say */
    enum mf_disk_format format;
    uint64_t virtual_bytes; /* what a guest sees */
};

/* 0, or -EINVAL with why it is none, as the rest of a sentence ("is not a Linux kernel (bzImage)"). The file
 * is read with pread alone; nothing is read in proportion to what it claims. */
int mf_format_kernel(int fd, char why[MF_FORMAT_WHY]);
int mf_format_initrd(int fd, char why[MF_FORMAT_WHY]);
/* qcow2 version 2 or 3 that stands alone (no backing file, no external data file, no encryption, no
 * snapshots, not dirty, tables within the file); or raw: whole sectors, and none of the formats that a disk
 * comes packed in. At most MF_DISK_MAX_BYTES to a guest. */
#define MF_DISK_MAX_BYTES (UINT64_C(64) << 40)
int mf_format_disk(int fd, struct mf_disk *ret_disk, char why[MF_FORMAT_WHY]);

/* These bytes begin a page of a web server, not a file that anybody would boot. */
bool mf_format_is_page(const void *bytes, size_t len);

#endif
