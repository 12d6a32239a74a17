/* files.c - reading and making small files.
 *
 * A new file is written under a temporary name, synced and then linked to its own name: link(2) refuses to
 * replace, so two who make the same key at once cannot overwrite one another, and nobody ever sees half a
 * key. */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int mf_fail(char error[512], int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(error, 512, format, args);
    va_end(args);
    return code;
}

static int check_file(int fd, const char *path, size_t max, bool secret, char error[512])
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return mf_fail(error, -errno, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return mf_fail(error, -EINVAL, "%s: not a regular file", path);
    if ((size_t)st.st_size > max)
        return mf_fail(error, -EFBIG, "%s: %lld bytes are more than the %zu expected here", path,
                       (long long)st.st_size, max);
    if (secret && (st.st_mode & 077))
        return mf_fail(error, -EPERM, "%s: mode %03o lets others read a secret; run: chmod 600 %s", path,
                       (unsigned)(st.st_mode & 0777), path);
    return 0;
}

static ssize_t read_all(int fd, char *buffer, size_t size)
{
    size_t len = 0;
    while (len < size) {
        ssize_t n = read(fd, buffer + len, size - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    return (ssize_t)len;
}

int mf_file_read(const char *path, size_t max, bool secret, char **ret_text, size_t *ret_len, char error[512])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return mf_fail(error, -errno, "%s: %s", path, strerror(errno));
    char *text = NULL;
    ssize_t len = check_file(fd, path, max, secret, error);
    if (len == 0) {
        text = malloc(max + 1);
        len = text ? read_all(fd, text, max) : -ENOMEM;
        if (len < 0)
            mf_fail(error, (int)len, "%s: %s", path, strerror((int)-len));
    }
    close(fd);
    if (len < 0) {
        free(text);
        return (int)len;
    }
    text[len] = 0;
    *ret_text = text;
    if (ret_len)
        *ret_len = (size_t)len;
    return 0;
}

static int write_synced(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, text, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        text += n;
        len -= (size_t)n;
    }
    return fsync(fd) < 0 ? -errno : 0;
}

int mf_file_create(const char *path, const char *text, size_t len, mode_t mode, char error[512])
{
    char temporary[4096];
    int r = snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path);
    if (r < 0 || (size_t)r >= sizeof(temporary))
        return mf_fail(error, -ENAMETOOLONG, "%.200s...: the path is too long", path);
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return mf_fail(error, -errno, "%s: cannot be made: %s", path, strerror(errno));
    r = write_synced(fd, text, len);
    if (r == 0 && fchmod(fd, mode) < 0)
        r = -errno;
    close(fd);
    if (r == 0 && link(temporary, path) < 0)
        r = -errno;
    unlink(temporary);
    if (r == -EEXIST)
        return mf_fail(error, r, "%s: exists already; it is never overwritten", path);
    if (r < 0)
        return mf_fail(error, r, "%s: cannot be made: %s", path, strerror(-r));
    return 0;
}
