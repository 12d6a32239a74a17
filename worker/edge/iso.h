/* iso.h - small files as an ISO 9660 volume in memory, with Rock Ridge and Joliet names, by libarchive. */
#ifndef MF_ISO_H
#define MF_ISO_H

#include "message.h"

struct mf_iso_file {
    const char *name;
    struct mf_str bytes;
};

/* Append the volume of that label to buf. 0, or negative errno with a sentence. Any thread. */
int mf_iso_make(const char *label, const struct mf_iso_file *files, size_t n, struct mf_buf *buf,
                char error[512]);

#endif
