/* images.h - requests about images: a name for files, its end, and that nodes fetch them beforehand. */
#ifndef MF_BROKER_IMAGES_H
#define MF_BROKER_IMAGES_H

#include "asked.h"

void mf_image_add(struct mf_asked *a, const struct mf_msg_image_add *m);
void mf_image_remove(struct mf_asked *a, const struct mf_msg_image_remove *m);
void mf_image_warm(struct mf_asked *a, const struct mf_msg_image_warm *m);

#endif
