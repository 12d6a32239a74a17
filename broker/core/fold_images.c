/* fold_images.c - what each row means that says what can be provisioned: images and offerings. */
#include "check.h"
#include "fold.h"
#include "held.h"
#include "image_files.h"
#include "offerings.h"
#include "pooled.h"

#include <errno.h>
#include <stdlib.h>

static void own_files(struct mf_rec_image *rec)
{
    rec->name = mf_own_str(rec->name);
    rec->kernel = mf_own_str(rec->kernel);
    rec->initrd = mf_own_str(rec->initrd);
    rec->cmdline = mf_own_str(rec->cmdline);
    rec->disk = mf_own_str(rec->disk);
}

/* What it weighs in a list of all of them. */
static size_t weight(const struct mf_rec_image *rec)
{
    return rec->name.len + rec->kernel.len + rec->initrd.len + rec->cmdline.len + rec->disk.len + 240;
}

static uint32_t free_index(const struct mf_broker *b)
{
    uint32_t word = 0;

    while (b->image_indexes[word] == UINT64_MAX)
        word++;
    return word * 64 + (uint32_t)__builtin_ctzll(~b->image_indexes[word]);
}

struct mf_image *mf_fold_add_image(struct mf_broker *b, const struct mf_rec_image *rec)
{
    struct mf_image *image;

    if (b->images.n >= MF_IMAGES_MAX)
        return NULL;
    image = mf_calloc(sizeof(*image));
    image->retry.kind = MF_ALARM_CANARY;
    image->rec = *rec;
    own_files(&image->rec);
    image->local = !mf_image_fetched(rec);
    image->index = free_index(b);
    b->image_indexes[image->index / 64] |= UINT64_C(1) << image->index % 64;
    b->images_bytes += weight(rec);
    mf_vec_insert(&b->images, mf_named_from(b, &b->images, rec->name), image);
    return image;
}

static void free_image(struct mf_image *image)
{
    mf_free_str(&image->rec.name);
    mf_free_str(&image->rec.kernel);
    mf_free_str(&image->rec.initrd);
    mf_free_str(&image->rec.cmdline);
    mf_free_str(&image->rec.disk);
    free(image->halted);
    free(image->failures);
    free(image->holders.items);
    free(image);
}

/* What is kept only in memory was unlinked before (images.c). */
static void remove_image(struct mf_broker *b, struct mf_image *image)
{
    mf_fold_set_halted(b, image, NULL);
    mf_heap_unset(&b->alarms, &image->retry.timer);
    b->image_indexes[image->index / 64] &= ~(UINT64_C(1) << image->index % 64);
    b->images_bytes -= weight(&image->rec);
    mf_vec_remove(&b->images, image);
    free_image(image);
}

void mf_fold_add_offering(struct mf_broker *b, const struct mf_rec_offering *rec)
{
    struct mf_offering *offering = mf_calloc(sizeof(*offering));

    offering->rec = mf_offering_whole(rec);
    offering->wants = mf_pooled_wants(&offering->rec);
    offering->rec.name = mf_own_str(offering->rec.name);
    offering->rec.class = mf_own_str(offering->rec.class);
    mf_vec_insert(&b->offerings, mf_named_from(b, &b->offerings, rec->name), offering);
}

void mf_fold_free_wares(struct mf_broker *b)
{
    for (size_t i = 0; i < b->images.n; i++)
        free_image(b->images.items[i]);
    for (size_t i = 0; i < b->offerings.n; i++) {
        struct mf_offering *offering = b->offerings.items[i];
        mf_free_str(&offering->rec.name);
        mf_free_str(&offering->rec.class);
        free(offering);
    }
    free(b->images.items);
    free(b->offerings.items);
}

/* ------------------------------------------------------------------ rows */

static int on_added(struct mf_broker *b, const struct mf_ev_image_added *ev, char text[256])
{
    if (mf_image_find(b, ev->image.name))
        return mf_fold_bad(text, "image.added of %.*s, which exists", MF_STR_ARG(ev->image.name));
    if (!mf_fold_add_image(b, &ev->image))
        return mf_fold_bad(text, "image.added of %.*s: more than %d images", MF_STR_ARG(ev->image.name),
                           MF_IMAGES_MAX);
    return 0;
}

bool mf_image_used(const struct mf_broker *b, const struct mf_image *image, struct mf_str *ret_group)
{
    for (size_t i = 0; i < b->groups.n; i++) {
        const struct mf_group *group = b->groups.items[i];
        if (group->image == image) {
            *ret_group = group->name;
            return true;
        }
    }
    return false;
}

static int on_removed(struct mf_broker *b, const struct mf_ev_image_removed *ev, char text[256])
{
    struct mf_image *image = mf_image_find(b, ev->image);
    struct mf_str group;

    if (!image)
        return mf_fold_bad(text, "image.removed of %.*s, which is not there", MF_STR_ARG(ev->image));
    if (mf_image_used(b, image, &group))
        return mf_fold_bad(text, "image.removed of %.*s, which %.*s uses", MF_STR_ARG(ev->image),
                           MF_STR_ARG(group));
    remove_image(b, image);
    return 0;
}

static int on_warming(struct mf_broker *b, const struct mf_ev_image_warming *ev, char text[256])
{
    struct mf_image *image = mf_image_find(b, ev->image);

    if (!image)
        return mf_fold_bad(text, "image.warming of %.*s, which is not there", MF_STR_ARG(ev->image));
    if (ev->stop || !ev->nodes.n)
        image->warm = !ev->stop;
    return 0;
}

static int on_offering(struct mf_broker *b, const struct mf_ev_offering_added *ev, char text[256])
{
    if (mf_offering_find(b, ev->offering.name))
        return mf_fold_bad(text, "offering.added of %.*s, which exists", MF_STR_ARG(ev->offering.name));
    mf_fold_add_offering(b, &ev->offering);
    return 0;
}

int mf_fold_wares(struct mf_broker *b, const struct mf_event *e, char text[256])
{
    switch (e->kind) {
    case MF_EV_IMAGE_ADDED:
        return on_added(b, &e->image_added, text);
    case MF_EV_IMAGE_REMOVED:
        return on_removed(b, &e->image_removed, text);
    case MF_EV_IMAGE_WARMING:
        return on_warming(b, &e->image_warming, text);
    case MF_EV_OFFERING_ADDED:
        return on_offering(b, &e->offering_added, text);
    default:
        return mf_fold_bad(text, "no row of images or offerings");
    }
}
