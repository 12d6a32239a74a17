/* cache.c - see cache.h. Entries are few (a node has some tens of images), so they are a list. */
#include "cache.h"
#include "check.h"
#include "listings.h"
#include "program.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { MF_CACHE_MAGIC = 0x63616368, NAME_MAX_BYTES = MF_DIGEST_TEXT + 8, PART_KEPT_MS = 24 * 3600 * 1000 };

struct entry {
    TAILQ_ENTRY(entry) link; /* by use, the least recent first */
    struct mf_digest sha256;
    bool part, busy;         /* busy: a fetch writes it */
    uint64_t bytes, written; /* of a busy part: what it is to have, and has */
    bool sure;
    struct timespec changed;  /* as it was when its bytes were looked at */
    mf_ms looked_at, used_at; /* used_at: wall clock, so that it outlives us as the file's atime */
};

struct mf_cache {
    unsigned magic;
    struct mf_cache_config config;
    char *state;
    int dir;
    TAILQ_HEAD(entries, entry) entries;
};

/* -- names, entries */

void mf_cache_path(const char *state, struct mf_digest sha256, char ret_path[MF_CACHE_PATH])
{
    char text[MF_DIGEST_TEXT];
    mf_str_format(ret_path, MF_CACHE_PATH, "%s/images/sha256/%s", state, mf_digest_text(sha256, text));
}

static const char *name_of(struct mf_digest sha256, bool part, char name[NAME_MAX_BYTES])
{
    char text[MF_DIGEST_TEXT];
    mf_str_format(name, NAME_MAX_BYTES, "%s%s", mf_digest_text(sha256, text), part ? ".part" : "");
    return name;
}

static struct entry *find(const struct mf_cache *self, struct mf_digest sha256, bool part)
{
    struct entry *entry;
    TAILQ_FOREACH(entry, &self->entries, link)
    if (entry->part == part && mf_digest_eq(entry->sha256, sha256))
        return entry;
    return NULL;
}

static void insert_by_use(struct mf_cache *self, struct entry *entry)
{
    struct entry *at;
    TAILQ_FOREACH(at, &self->entries, link)
    if (at->used_at > entry->used_at)
        break;
    if (at)
        TAILQ_INSERT_BEFORE(at, entry, link);
    else
        TAILQ_INSERT_TAIL(&self->entries, entry, link);
}

static struct entry *add(struct mf_cache *self, struct mf_digest sha256, bool part, uint64_t bytes,
                         mf_ms used_at)
{
    struct entry *entry = calloc(1, sizeof *entry);
    MF_CHECK(entry);
    *entry =
        (struct entry){.sha256 = sha256, .part = part, .bytes = bytes, .written = bytes, .used_at = used_at};
    insert_by_use(self, entry);
    return entry;
}

static void forget(struct mf_cache *self, struct entry *entry)
{
    TAILQ_REMOVE(&self->entries, entry, link);
    free(entry);
}

static void unlink_entry(struct mf_cache *self, struct entry *entry)
{
    char name[NAME_MAX_BYTES];
    unlinkat(self->dir, name_of(entry->sha256, entry->part, name), 0);
    forget(self, entry);
}

/* -- opening: what is there. Whatever is no file of ours is left alone; parts that nobody came back for go.
 */

static void take_file(struct mf_cache *self, const char *name, const struct stat *st)
{
    struct mf_digest sha256;
    const char *dot = strchr(name, '.');
    size_t len = dot ? (size_t)(dot - name) : strlen(name);
    if (!S_ISREG(st->st_mode) || (dot && strcmp(dot, ".part") != 0) || !mf_digest_parse(name, len, &sha256))
        return;
    struct entry *entry = add(self, sha256, dot != NULL, (uint64_t)st->st_size,
                              st->st_atim.tv_sec * 1000 + st->st_atim.tv_nsec / 1000000);
    if (dot && mf_wall() - st->st_mtim.tv_sec * 1000 > PART_KEPT_MS)
        unlink_entry(self, entry);
}

static int scan(struct mf_cache *self)
{
    DIR *dir = fdopendir(dup(self->dir));
    if (!dir)
        return -errno;
    struct stat st;
    for (struct dirent *found; (found = readdir(dir));)
        if (fstatat(self->dir, found->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            take_file(self, found->d_name, &st);
    closedir(dir);
    return 0;
}

static int make_dir(const char *state, const char *below, char error[512])
{
    char path[MF_CACHE_PATH];
    mf_str_format(path, sizeof path, "%s/%s", state, below);
    if (mkdir(path, 0711) == 0 || errno == EEXIST)
        return 0;
    int r = -errno;
    snprintf(error, 512, "%.400s: %s", path, strerror(-r));
    return r;
}

int mf_cache_open(const struct mf_cache_config *config, struct mf_cache **ret_cache, char error[512])
{
    char path[MF_CACHE_PATH];
    int r = make_dir(config->state, "images", error);
    if (r == 0)
        r = make_dir(config->state, "images/sha256", error);
    if (r < 0)
        return r;
    struct mf_cache *self = calloc(1, sizeof *self);
    MF_CHECK(self);
    *self = (struct mf_cache){.magic = MF_CACHE_MAGIC, .config = *config, .state = strdup(config->state)};
    MF_CHECK(self->state);
    TAILQ_INIT(&self->entries);
    mf_str_format(path, sizeof path, "%s/images/sha256", self->state);
    self->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    r = self->dir < 0 ? -errno : scan(self);
    if (r < 0) {
        snprintf(error, 512, "%.400s: %s", path, strerror(-r));
        mf_cache_close(&self);
        return r;
    }
    *ret_cache = self;
    return 0;
}

void mf_cache_close(struct mf_cache **self)
{
    if (!*self)
        return;
    MF_MAGIC(*self, MF_CACHE_MAGIC);
    while (!TAILQ_EMPTY(&(*self)->entries))
        forget(*self, TAILQ_FIRST(&(*self)->entries));
    if ((*self)->dir >= 0)
        close((*self)->dir);
    free((*self)->state);
    free(*self);
    *self = NULL;
}

void mf_cache_each(const struct mf_cache *self,
                   void (*tell)(void *arg, struct mf_digest sha256, uint64_t bytes), void *arg)
{
    const struct entry *entry;
    TAILQ_FOREACH(entry, &self->entries, link)
    if (!entry->part)
        tell(arg, entry->sha256, entry->bytes);
}

uint64_t mf_cache_bytes(const struct mf_cache *self)
{
    uint64_t bytes = 0;
    const struct entry *entry;
    TAILQ_FOREACH(entry, &self->entries, link)
    bytes += entry->bytes > entry->written ? entry->bytes : entry->written;
    return bytes;
}

/* -- whole files */

static bool unchanged(const struct entry *entry, const struct stat *st)
{
    return entry->sure && entry->bytes == (uint64_t)st->st_size &&
           entry->changed.tv_sec == st->st_mtim.tv_sec && entry->changed.tv_nsec == st->st_mtim.tv_nsec;
}

enum mf_cache_state mf_cache_look(struct mf_cache *self, struct mf_digest sha256)
{
    char name[NAME_MAX_BYTES];
    struct stat st;
    struct entry *entry = find(self, sha256, false);
    if (!entry)
        return MF_CACHE_ABSENT;
    if (fstatat(self->dir, name_of(sha256, false, name), &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISREG(st.st_mode)) {
        forget(self, entry);
        return MF_CACHE_ABSENT;
    }
    entry->sure = unchanged(entry, &st);
    entry->bytes = entry->written = (uint64_t)st.st_size;
    return entry->sure ? MF_CACHE_HERE : MF_CACHE_UNSURE;
}

void mf_cache_touch(struct mf_cache *self, struct mf_digest sha256)
{
    char name[NAME_MAX_BYTES];
    struct entry *entry = find(self, sha256, false);
    if (!entry)
        return;
    const struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}};
    utimensat(self->dir, name_of(sha256, false, name), times, AT_SYMLINK_NOFOLLOW);
    entry->used_at = mf_wall();
    TAILQ_REMOVE(&self->entries, entry, link);
    insert_by_use(self, entry);
}

int mf_cache_open_file(struct mf_cache *self, struct mf_digest sha256)
{
    char name[NAME_MAX_BYTES];
    int fd = openat(self->dir, name_of(sha256, false, name), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : fd;
}

void mf_cache_vouch(struct mf_cache *self, struct mf_digest sha256, mf_ms now)
{
    char name[NAME_MAX_BYTES];
    struct stat st;
    struct entry *entry = find(self, sha256, false);
    if (!entry || fstatat(self->dir, name_of(sha256, false, name), &st, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    entry->sure = true;
    entry->changed = st.st_mtim;
    entry->bytes = entry->written = (uint64_t)st.st_size;
    entry->looked_at = now;
}

void mf_cache_drop(struct mf_cache *self, struct mf_digest sha256)
{
    struct entry *entry = find(self, sha256, false);
    if (entry)
        unlink_entry(self, entry);
}

bool mf_cache_stalest(struct mf_cache *self, mf_ms before, struct mf_digest *ret_sha256)
{
    const struct entry *entry, *oldest = NULL;
    TAILQ_FOREACH(entry, &self->entries, link)
    if (!entry->part && entry->looked_at <= before && (!oldest || entry->looked_at < oldest->looked_at) &&
        !self->config.needed(self->config.arg, entry->sha256))
        oldest = entry;
    if (oldest)
        *ret_sha256 = oldest->sha256;
    return oldest != NULL;
}

/* -- room */

static bool free_bytes(const struct mf_cache *self, uint64_t *ret_bytes)
{
    struct statvfs fs;
    if (fstatvfs(self->dir, &fs) < 0)
        return false;
    *ret_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    return true;
}

static uint64_t still_to_come(const struct mf_cache *self)
{
    uint64_t bytes = 0;
    const struct entry *entry;
    TAILQ_FOREACH(entry, &self->entries, link)
    if (entry->busy && entry->bytes > entry->written)
        bytes += entry->bytes - entry->written;
    return bytes;
}

/* With so many bytes less than there are. */
static bool fits_without(const struct mf_cache *self, uint64_t spared)
{
    uint64_t left;
    return mf_cache_bytes(self) <= self->config.max_bytes + spared &&
           (!free_bytes(self, &left) || left + spared >= still_to_come(self) + self->config.reserve_bytes);
}

static bool may_go(const struct mf_cache *self, const struct entry *entry, const struct mf_listings *listed)
{
    return entry->part ? !entry->busy
                       : !self->config.needed(self->config.arg, entry->sha256) &&
                             !mf_listings_have(listed, entry->sha256);
}

static uint64_t sparable(const struct mf_cache *self, const struct mf_listings *listed)
{
    uint64_t bytes = 0;
    const struct entry *entry;
    TAILQ_FOREACH(entry, &self->entries, link)
    bytes += may_go(self, entry, listed) ? entry->bytes : 0;
    return bytes;
}

/* Parts first, then what was used longest ago. */
static struct entry *next_to_go(struct mf_cache *self, const struct mf_listings *listed)
{
    struct entry *entry, *first = NULL;
    TAILQ_FOREACH(entry, &self->entries, link)
    if (may_go(self, entry, listed) && (!first || (entry->part && !first->part)))
        first = entry;
    return first;
}

static void evict(struct mf_cache *self, struct entry *entry)
{
    struct entry gone = *entry;
    unlink_entry(self, entry);
    if (!gone.part)
        self->config.evicted(self->config.arg, gone.sha256, gone.bytes);
}

static int no_room(const struct mf_cache *self, uint64_t whole, char error[512])
{
    uint64_t left = 0;
    const uint64_t mib = 1 << 20;
    if (whole > self->config.max_bytes)
        snprintf(error, 512, "it has %llu MiB, more than the whole image cache; raise image-cache-mib (%llu)",
                 (unsigned long long)((whole + mib - 1) / mib),
                 (unsigned long long)(self->config.max_bytes / mib));
    else if (free_bytes(self, &left) && left < still_to_come(self) + self->config.reserve_bytes)
        snprintf(
            error, 512,
            "no space for it: %llu MiB are free, %llu are to come and %llu kept (disk-reserve-mib); free "
            "some below %.200s",
            (unsigned long long)(left / mib), (unsigned long long)(still_to_come(self) / mib),
            (unsigned long long)(self->config.reserve_bytes / mib), self->state);
    else
        snprintf(error, 512,
                 "no room for it in the image cache (image-cache-mib %llu): all else there is in use",
                 (unsigned long long)(self->config.max_bytes / mib));
    return -ENOSPC;
}

int mf_cache_part_room(struct mf_cache *self, struct mf_digest sha256, uint64_t bytes, uint64_t whole,
                       char error[512])
{
    struct entry *part = find(self, sha256, true), *entry;
    MF_CHECK(part && part->busy);
    part->written = bytes;
    part->bytes = whole > bytes ? whole : bytes;
    if (fits_without(self, 0))
        return 0;
    struct mf_listings *listed = mf_listings_read(self->state);
    if (fits_without(self, sparable(self, listed))) /* nothing need go for what will not fit */
        while (!fits_without(self, 0) && (entry = next_to_go(self, listed)))
            evict(self, entry);
    mf_listings_free(&listed);
    return fits_without(self, 0) ? 0 : no_room(self, part->bytes, error);
}

/* -- parts */

int mf_cache_part_open(struct mf_cache *self, struct mf_digest sha256, uint64_t *ret_bytes, char error[512])
{
    char name[NAME_MAX_BYTES];
    struct stat st;
    name_of(sha256, true, name);
    int fd = openat(self->dir, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0 || fstat(fd, &st) < 0) {
        int r = -errno;
        snprintf(error, 512, "%.400s/images/sha256/%s: %s", self->state, name, strerror(-r));
        if (fd >= 0)
            close(fd);
        return r;
    }
    struct entry *entry = find(self, sha256, true);
    if (!entry)
        entry = add(self, sha256, true, 0, mf_wall());
    MF_CHECK(!entry->busy);
    entry->busy = true;
    *ret_bytes = entry->bytes = entry->written = (uint64_t)st.st_size;
    return fd;
}

int mf_cache_part_publish(struct mf_cache *self, struct mf_digest sha256, int fd, mf_ms now, char error[512])
{
    char from[NAME_MAX_BYTES], to[NAME_MAX_BYTES];
    struct entry *part = find(self, sha256, true), *old = find(self, sha256, false);
    MF_CHECK(part && part->busy);
    name_of(sha256, true, from);
    name_of(sha256, false, to);
    if (fchmod(fd, 0644) < 0 || fsync(fd) < 0 || renameat(self->dir, from, self->dir, to) < 0 ||
        fsync(self->dir) < 0) {
        int r = -errno;
        snprintf(error, 512, "%.400s/images/sha256/%s: %s", self->state, to, strerror(-r));
        return r;
    }
    if (old)
        forget(self, old);
    part->part = part->busy = false;
    mf_cache_vouch(self, sha256, now);
    mf_cache_touch(self, sha256);
    return 0;
}

void mf_cache_part_leave(struct mf_cache *self, struct mf_digest sha256, uint64_t bytes)
{
    struct entry *entry = find(self, sha256, true);
    if (!entry)
        return;
    entry->busy = false;
    entry->bytes = entry->written = bytes;
    if (bytes == 0)
        unlink_entry(self, entry);
}

void mf_cache_part_drop(struct mf_cache *self, struct mf_digest sha256)
{
    struct entry *entry = find(self, sha256, true);
    if (entry)
        unlink_entry(self, entry);
}
