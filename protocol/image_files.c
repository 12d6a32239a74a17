/* image_files.c - see image_files.h. */
#include "image_files.h"
#include <strings.h>

const char *mf_image_part_word(enum mf_image_part part)
{
    static const char *const words[] = {"kernel", "initrd", "disk"};
    return words[part];
}

bool mf_image_is_url(struct mf_str place)
{
    static const struct mf_str schemes[] = {{"http://", 7}, {"https://", 8}, {"file://", 7}};
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        if (place.len > schemes[i].len && strncasecmp(place.ptr, schemes[i].ptr, schemes[i].len) == 0)
            return true;
    return false;
}

size_t mf_image_files(const struct mf_rec_image *image, struct mf_image_file ret_files[MF_PART_COUNT])
{
    const struct mf_image_file all[MF_PART_COUNT] = {
        {MF_PART_KERNEL, image->kernel, image->kernel_sha256, false},
        {MF_PART_INITRD, image->initrd, image->initrd_sha256, false},
        {MF_PART_DISK, image->disk, image->disk_sha256, false},
    };
    size_t n = 0;
    for (size_t i = 0; i < MF_PART_COUNT; i++)
        if (all[i].place.len > 0) {
            ret_files[n] = all[i];
            ret_files[n].url = mf_image_is_url(all[i].place);
            n++;
        }
    return n;
}

bool mf_image_fetched(const struct mf_rec_image *image)
{
    return mf_image_is_url(image->kernel) || mf_image_is_url(image->initrd) || mf_image_is_url(image->disk);
}

void mf_image_dup(struct mf_arena *arena, const struct mf_rec_image *image, struct mf_rec_image *ret_image)
{
    *ret_image = *image;
    ret_image->name = mf_str_dup(arena, image->name);
    ret_image->kernel = mf_str_dup(arena, image->kernel);
    ret_image->initrd = mf_str_dup(arena, image->initrd);
    ret_image->disk = mf_str_dup(arena, image->disk);
    ret_image->cmdline = mf_str_dup(arena, image->cmdline);
}

bool mf_image_eq(const struct mf_rec_image *a, const struct mf_rec_image *b)
{
    return mf_str_eq(a->name, b->name) && mf_str_eq(a->kernel, b->kernel) &&
           mf_str_eq(a->initrd, b->initrd) && mf_str_eq(a->disk, b->disk) &&
           mf_str_eq(a->cmdline, b->cmdline) && a->disk_format == b->disk_format &&
           mf_digest_eq(a->kernel_sha256, b->kernel_sha256) &&
           mf_digest_eq(a->initrd_sha256, b->initrd_sha256) && mf_digest_eq(a->disk_sha256, b->disk_sha256);
}
