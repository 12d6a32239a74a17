/* files.h - small files whole, for keys and settings: reading with a bound, writing so that a crash leaves
 * all or nothing. */
#ifndef MF_FILES_H
#define MF_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The whole of a regular file of at most `max` bytes, zero-terminated, to be freed. `secret` refuses a file
 * that anybody but its owner may read. 0 or negative errno with a sentence. */
int mf_file_read(const char *path, size_t max, bool secret, char **ret_text, size_t *ret_len,
                 char error[512]);
/* Make a new file; -EEXIST if there is one. It appears whole or not at all. */
int mf_file_create(const char *path, const char *text, size_t len, mode_t mode, char error[512]);
/* printf into error[512]; returns code */
int mf_fail(char error[512], int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
