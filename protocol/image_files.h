/* image_files.h - the files that an image is made of, as its record says: where each comes from (a URL, which
 * a worker fetches into its cache; or a path below its image root) and what its bytes must be. */
#ifndef MF_IMAGE_FILES_H
#define MF_IMAGE_FILES_H

#include "message.h"

enum mf_image_part { MF_PART_KERNEL, MF_PART_INITRD, MF_PART_DISK, MF_PART_COUNT };
struct mf_image_file {
    enum mf_image_part part;
    struct mf_str place;
    struct mf_digest sha256;
    bool url;
};
/* Those that the image has, in the order of the parts; how many. Strings are the record's. */
size_t mf_image_files(const struct mf_rec_image *image, struct mf_image_file ret_files[MF_PART_COUNT]);
bool mf_image_is_url(struct mf_str place);               /* http://, https:// or file://, in any case */
bool mf_image_fetched(const struct mf_rec_image *image); /* one of its files at least is a URL */
const char *mf_image_part_word(enum mf_image_part part); /* "kernel", "initrd", "disk" */

/* A copy with all strings in the arena. */
void mf_image_dup(struct mf_arena *arena, const struct mf_rec_image *image, struct mf_rec_image *ret_image);
/* The same name, files, digests, format and command line. */
bool mf_image_eq(const struct mf_rec_image *a, const struct mf_rec_image *b);

#endif
