/* qcow2.h - the header of a qcow2 image (docs/interop/qcow2.txt of QEMU), read as a stranger's claim. */
#ifndef MF_QCOW2_H
#define MF_QCOW2_H

#include "format.h"

/* 0 and what size a guest sees, or -EINVAL with why not, as the rest of a sentence. At most a cluster is
 * read. */
int mf_qcow2_check(int fd, uint64_t file_bytes, uint64_t *ret_virtual_bytes, char why[MF_FORMAT_WHY]);

#endif
