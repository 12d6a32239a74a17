/* image_digest.h - a SHA-256 as people have it: typed, or in the list that is published beside an image. */
#ifndef MF_CLI_IMAGE_DIGEST_H
#define MF_CLI_IMAGE_DIGEST_H

#include "message.h"

/* "sha256:HEX" or HEX, 64 digits in either case. */
bool mf_image_digest_parse(struct mf_str text, struct mf_digest *ret_digest);
/* In a SHA256SUMS ("HEX  NAME", "HEX *NAME", "SHA256 (NAME) = HEX") the digest of the file that this URL or
 * path ends with. 0, or -ENOENT or -EEXIST (there are two, and they differ). */
int mf_image_digest_find(struct mf_str sums, struct mf_str url, struct mf_digest *ret_digest);
struct mf_str mf_image_file_name(struct mf_str url); /* its last part, without a query */

#endif
