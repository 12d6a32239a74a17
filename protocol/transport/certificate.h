/* certificate.h - one key as a file, in the format of czmq's zcert (ZPL), so that any ZeroMQ binding can read
 * it. */
#ifndef MF_CERTIFICATE_H
#define MF_CERTIFICATE_H

#include "keys.h"

enum mf_certificate_part { MF_CERTIFICATE_PUBLIC, MF_CERTIFICATE_SECRET };

int mf_certificate_read(const char *path, enum mf_certificate_part part, struct mf_key *ret_key,
                        char error[512]);
int mf_certificate_create(const char *path, enum mf_certificate_part part, const struct mf_key *key,
                          char error[512]);
bool mf_z85_valid(const char *text); /* 40 characters that decode to 32 bytes */

#endif
