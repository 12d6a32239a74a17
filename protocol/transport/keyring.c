/* keyring.c - the public halves of a key directory, sorted by key.
 *
 * The directory is looked at again when its modification time moved. That time is only as fine as the
 * kernel's tick, so a change right after a load might not move it: a directory that was young when it was
 * loaded is therefore loaded again. A certificate that turns bad later is left out (its holder is refused)
 * and does not shut out the others. */
#include "keys.h"

#include "certificate.h"
#include "files.h"
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { YOUNG_NS = 100 * 1000 * 1000 };

struct entry {
    char public_z85[41], name[MF_NAME_MAX + 1];
    enum mf_role role;
};
struct mf_keyring {
    char *dir; /* DIR/clients */
    struct entry *entries;
    size_t n;
    struct timespec changed; /* of the directory, when it was loaded */
    bool young;
};
struct loading {
    struct entry *entries;
    size_t n, cap;
    bool strict;
};

static int by_key(const void *a, const void *b)
{
    return memcmp(a, b, 40);
}

/* 1: this entry is to be left out */
static int load_entry(const char *dir, const char *file, struct entry *ret_entry, char error[512])
{
    size_t len = strlen(file);
    if (len < 6 || strcmp(file + len - 5, ".cert") != 0 || file[0] == '.')
        return 1;
    char path[4096];
    struct mf_key key;
    mf_str_format(path, sizeof(path), "%s/%s", dir, file);
    int r = mf_certificate_read(path, MF_CERTIFICATE_PUBLIC, &key, error);
    if (r < 0)
        return r;
    if (strlen(key.name) != len - 5 || memcmp(key.name, file, len - 5) != 0)
        return mf_fail(error, -EINVAL, "%s: holds the key of \"%s\"; a file is named after its key", path,
                       key.name);
    if (key.role == MF_ROLE_BROKER)
        return mf_fail(error, -EINVAL, "%s: a broker's key may not come in as a client", path);
    memcpy(ret_entry->public_z85, key.public_z85, sizeof(ret_entry->public_z85));
    memcpy(ret_entry->name, key.name, sizeof(ret_entry->name));
    ret_entry->role = key.role;
    return 0;
}

static int add_entry(struct loading *loading, const char *dir, const char *file, char error[512])
{
    if (loading->n == loading->cap) {
        size_t cap = loading->cap ? loading->cap * 2 : 64;
        struct entry *entries = realloc(loading->entries, cap * sizeof(*entries));
        if (!entries)
            return mf_fail(error, -ENOMEM, "%s: out of memory", dir);
        loading->entries = entries;
        loading->cap = cap;
    }
    int r = load_entry(dir, file, &loading->entries[loading->n], error);
    if (r == 0)
        loading->n++;
    return r < 0 && loading->strict ? r : 0;
}

/* The same key under two names would have two roles: nobody comes in by it. */
static int drop_doubles(struct loading *loading, const char *dir, char error[512])
{
    size_t kept = 0;
    qsort(loading->entries, loading->n, sizeof(*loading->entries), by_key);
    for (size_t i = 0; i < loading->n;) {
        size_t j = i + 1;
        while (j < loading->n && by_key(&loading->entries[i], &loading->entries[j]) == 0)
            j++;
        if (j > i + 1 && loading->strict)
            return mf_fail(error, -EINVAL, "%s: %s.cert and %s.cert hold the same key; remove one", dir,
                           loading->entries[i].name, loading->entries[i + 1].name);
        if (j == i + 1)
            loading->entries[kept++] = loading->entries[i];
        i = j;
    }
    loading->n = kept;
    return 0;
}

static int scan(const char *dir, struct loading *loading, char error[512])
{
    DIR *d = opendir(dir);
    if (!d)
        return mf_fail(error, -errno, "%s: %s; a key directory is made by: mayfly key init", dir,
                       strerror(errno));
    int r = 0;
    struct dirent *file;
    while (r == 0 && (file = readdir(d)))
        r = add_entry(loading, dir, file->d_name, error);
    closedir(d);
    if (r == 0 && loading->n > 0)
        r = drop_doubles(loading, dir, error);
    return r;
}

static int64_t ns_between(struct timespec a, struct timespec b)
{
    return (b.tv_sec - a.tv_sec) * 1000000000LL + (b.tv_nsec - a.tv_nsec);
}

static int reload(struct mf_keyring *self, bool strict, char error[512])
{
    struct stat st;
    struct timespec now;
    struct loading loading = {.strict = strict};
    if (stat(self->dir, &st) < 0)
        return mf_fail(error, -errno, "%s: %s; a key directory is made by: mayfly key init", self->dir,
                       strerror(errno));
    clock_gettime(CLOCK_REALTIME, &now);
    int r = scan(self->dir, &loading, error);
    if (r < 0) {
        free(loading.entries);
        return r;
    }
    free(self->entries);
    self->entries = loading.entries;
    self->n = loading.n;
    self->changed = st.st_mtim;
    self->young = ns_between(st.st_mtim, now) < YOUNG_NS;
    return 0;
}

int mf_keyring_open(const char *dir, struct mf_keyring **ret_ring, char error[512])
{
    char path[4096];
    if (mf_str_format(path, sizeof(path), "%s/clients", dir).len >= sizeof(path) - 1)
        return mf_fail(error, -ENAMETOOLONG, "%.200s...: the path is too long", dir);
    struct mf_keyring *self = calloc(1, sizeof(*self));
    if (self)
        self->dir = strdup(path);
    int r =
        self && self->dir ? reload(self, true, error) : mf_fail(error, -ENOMEM, "%s: out of memory", path);
    if (r < 0) {
        mf_keyring_close(&self);
        return r;
    }
    *ret_ring = self;
    return 0;
}

void mf_keyring_close(struct mf_keyring **self)
{
    if (!*self)
        return;
    free((*self)->entries);
    free((*self)->dir);
    free(*self);
    *self = NULL;
}

static const struct entry *lookup(const struct mf_keyring *self, const char public_z85[41])
{
    return self->n ? bsearch(public_z85, self->entries, self->n, sizeof(*self->entries), by_key) : NULL;
}

/* A directory that cannot be read any more lets nobody new in, rather than everybody as before. */
static void refresh(struct mf_keyring *self)
{
    char error[512];
    struct stat st;
    if (stat(self->dir, &st) == 0 && ns_between(self->changed, st.st_mtim) == 0 && !self->young)
        return;
    if (reload(self, false, error) < 0)
        self->n = 0;
}

bool mf_keyring_find(struct mf_keyring *self, const char public_z85[41], enum mf_role *ret_role,
                     char ret_name[MF_NAME_MAX + 1])
{
    refresh(self);
    const struct entry *entry = lookup(self, public_z85);
    if (!entry)
        return false;
    *ret_role = entry->role;
    memcpy(ret_name, entry->name, sizeof(entry->name));
    return true;
}
