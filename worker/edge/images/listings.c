/* listings.c - see listings.h. Shells are read before instances: one becomes the other by a rename. */
#include "listings.h"
#include "check.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE = MF_DIGEST_TEXT, BYTES_MAX = MF_PART_COUNT * LINE };

struct mf_listings {
    struct mf_digest *items;
    size_t n, cap;
};

static size_t compose(const struct mf_rec_image *image, char text[BYTES_MAX])
{
    struct mf_image_file files[MF_PART_COUNT];
    size_t n = mf_image_files(image, files), len = 0;
    for (size_t i = 0; i < n; i++)
        if (files[i].url) {
            mf_digest_text(files[i].sha256, text + len);
            len += LINE;
            text[len - 1] = '\n';
        }
    return len;
}

int mf_listing_write(const char *dir, const struct mf_rec_image *image, char error[512])
{
    char path[4200], text[BYTES_MAX + 1];
    size_t len = compose(image, text);
    if (len == 0)
        return 0;
    mf_str_format(path, sizeof path, "%s/images", dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    ssize_t written = fd < 0 ? -1 : write(fd, text, len);
    int r = written == (ssize_t)len ? 0 : written < 0 ? -errno : -ENOSPC;
    if (fd >= 0)
        close(fd);
    if (r < 0)
        snprintf(error, 512, "%.400s: %s", path, strerror(-r));
    return r;
}

static void add(struct mf_listings *self, struct mf_digest sha256)
{
    if (self->n == self->cap) {
        self->cap = self->cap ? 2 * self->cap : 64;
        self->items = realloc(self->items, self->cap * sizeof *self->items);
        MF_CHECK(self->items);
    }
    self->items[self->n++] = sha256;
}

static void read_one(struct mf_listings *self, int below, const char *name)
{
    char path[512], text[BYTES_MAX];
    struct mf_digest sha256;
    mf_str_format(path, sizeof path, "%s/images", name);
    int fd = openat(below, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text);
    for (ssize_t at = 0; at + LINE <= n; at += LINE)
        if (mf_digest_parse(text + at, LINE - 1, &sha256))
            add(self, sha256);
    if (fd >= 0)
        close(fd);
}

static void read_all(struct mf_listings *self, const char *state, const char *below)
{
    char path[4200];
    mf_str_format(path, sizeof path, "%s/%s", state, below);
    DIR *dir = opendir(path);
    for (struct dirent *found; dir && (found = readdir(dir));)
        if (found->d_name[0] != '.')
            read_one(self, dirfd(dir), found->d_name);
    if (dir)
        closedir(dir);
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct mf_digest));
}

struct mf_listings *mf_listings_read(const char *state)
{
    struct mf_listings *self = calloc(1, sizeof *self);
    MF_CHECK(self);
    read_all(self, state, "shells");
    read_all(self, state, "instances");
    if (self->n)
        qsort(self->items, self->n, sizeof *self->items, compare);
    return self;
}

bool mf_listings_have(const struct mf_listings *self, struct mf_digest sha256)
{
    return self->n && bsearch(&sha256, self->items, self->n, sizeof *self->items, compare);
}

void mf_listings_free(struct mf_listings **self)
{
    free((*self)->items);
    free(*self);
    *self = NULL;
}
