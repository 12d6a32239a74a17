/* listings.h - which cached files instances and shells use: a file "images" in the directory of each,
 * digests, a line each. It goes with its directory, so nothing else has to be kept true. */
#ifndef MF_LISTINGS_H
#define MF_LISTINGS_H

#include "image_files.h"

/* Written before what it lists is used, while a want still holds it. 0 or negative errno with a sentence. */
int mf_listing_write(const char *dir, const struct mf_rec_image *image, char error[512]);

struct mf_listings; /* all of them, as of now */
struct mf_listings *mf_listings_read(const char *state);
bool mf_listings_have(const struct mf_listings *self, struct mf_digest sha256);
void mf_listings_free(struct mf_listings **self);

#endif
