/* secret.h - a secret of 32 random bytes, in a file of mode 0600 as 64 hexadecimal digits. */
#ifndef MF_SECRET_H
#define MF_SECRET_H

#include <stdint.h>

int mf_secret_create(const char *path, char error[512]);
/* -ENOENT, -EPERM (others may read it), -EINVAL with a sentence. */
int mf_secret_read(const char *path, uint8_t ret_secret[32], char error[512]);

#endif
