/* scratch.c - see scratch.h. */
#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

void scratch_remove(const char *path)
{
    assert_int_equal(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

void scratch_write(const char *path, const void *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && write(fd, bytes, len) == (ssize_t)len && close(fd) == 0);
}

void scratch_copy(const char *from, const char *to, size_t len)
{
    char *bytes = malloc(len);
    int fd = open(from, O_RDONLY | O_CLOEXEC);
    assert_true(bytes && fd >= 0 && read(fd, bytes, len) == (ssize_t)len && close(fd) == 0);
    scratch_write(to, bytes, len);
    free(bytes);
}

void scratch_poke(const char *path, off_t offset, bool keep_times)
{
    struct stat st;
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0 && fstat(fd, &st) == 0 && pwrite(fd, "x", 1, offset) == 1);
    if (keep_times)
        assert_int_equal(futimens(fd, (const struct timespec[]){st.st_atim, st.st_mtim}), 0);
    close(fd);
}

void scratch_age(const char *path, long seconds)
{
    struct timespec then = {.tv_sec = time(NULL) - seconds};
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && futimens(fd, (const struct timespec[]){then, then}) == 0 && close(fd) == 0);
}
