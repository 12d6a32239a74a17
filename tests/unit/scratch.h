/* scratch.h - what tests do to files that the code under test believes in. Each asserts that it could. */
#ifndef SCRATCH_H
#define SCRATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

void scratch_remove(const char *path); /* with all that is below */
void scratch_write(const char *path, const void *bytes, size_t len);
void scratch_copy(const char *from, const char *to, size_t len);    /* its first bytes */
void scratch_poke(const char *path, off_t offset, bool keep_times); /* one byte becomes an x */
void scratch_age(const char *path, long seconds); /* made, if it is not there; written so long ago */

#endif
