/* console.c - see console.h.
 *
 * Cutting must not lose what QEMU appends meanwhile. Where the file system can take whole blocks out of a
 * file's head (ext4, xfs: collapse range), nothing can be lost. Elsewhere the tail is read, the file cut to
 * nothing and the tail put back: what the guest says between the two may be lost, and its next line comes
 * after, since QEMU's descriptor appends. */
#include "console.h"
#include "check.h"
#include "map.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct mf_console {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    bool stopping;
    struct mf_map *paths; /* id to char * */
};

static int copy_and_truncate(int fd, off_t size)
{
    char *tail = malloc(MF_CONSOLE_KEEP);
    MF_CHECK(tail);
    int r = 0;
    ssize_t n = pread(fd, tail, MF_CONSOLE_KEEP, size - MF_CONSOLE_KEEP);
    if (n < 0 || ftruncate(fd, 0) < 0 || write(fd, tail, (size_t)n) != n)
        r = -errno;
    free(tail);
    return r;
}

int mf_console_trim(const char *path)
{
    int fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    struct stat st;
    int r = 0;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > MF_CONSOLE_LIMIT) {
        off_t block = st.st_blksize > 0 ? st.st_blksize : 4096;
        off_t cut = (st.st_size - MF_CONSOLE_KEEP) / block * block;
        if (fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, cut) < 0)
            r = copy_and_truncate(fd, st.st_size);
    }
    close(fd);
    return r;
}

/* A copy of the paths, so that trimming does not hold the lock. */
static char **copy_paths(struct mf_console *self, size_t *ret_n)
{
    char **paths = malloc((mf_map_size(self->paths) + 1) * sizeof *paths), *path;
    MF_CHECK(paths);
    size_t cursor = 0, n = 0;
    while (mf_map_next(self->paths, &cursor, (void **)&path))
        MF_CHECK(paths[n++] = strdup(path));
    *ret_n = n;
    return paths;
}

static void *run(void *arg)
{
    struct mf_console *self = arg;
    pthread_mutex_lock(&self->lock);
    while (!self->stopping) {
        if (!mf_map_size(self->paths)) {
            pthread_cond_wait(&self->wake, &self->lock);
            continue;
        }
        size_t n;
        char **paths = copy_paths(self, &n);
        pthread_mutex_unlock(&self->lock);
        for (size_t i = 0; i < n; i++) {
            (void)mf_console_trim(paths[i]); /* a disk without room today may have some in a second */
            free(paths[i]);
        }
        free(paths);
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += 1;
        pthread_mutex_lock(&self->lock);
        while (!self->stopping && pthread_cond_timedwait(&self->wake, &self->lock, &until) == 0)
            ;
    }
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

struct mf_console *mf_console_new(void)
{
    struct mf_console *self = calloc(1, sizeof *self);
    MF_CHECK(self);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->wake, &attr);
    pthread_condattr_destroy(&attr);
    self->paths = mf_map_new();
    if (pthread_create(&self->thread, NULL, run, self) == 0)
        return self;
    mf_map_destroy(&self->paths);
    free(self);
    return NULL;
}

void mf_console_destroy(struct mf_console **self)
{
    struct mf_console *console = *self;
    if (!console)
        return;
    *self = NULL;
    pthread_mutex_lock(&console->lock);
    console->stopping = true;
    pthread_cond_signal(&console->wake);
    pthread_mutex_unlock(&console->lock);
    pthread_join(console->thread, NULL);
    size_t cursor = 0;
    for (void *path; mf_map_next(console->paths, &cursor, &path);)
        free(path);
    mf_map_destroy(&console->paths);
    pthread_cond_destroy(&console->wake);
    pthread_mutex_destroy(&console->lock);
    free(console);
}

void mf_console_add(struct mf_console *self, struct mf_uuid id, const char *path)
{
    char *copy = strdup(path);
    MF_CHECK(copy);
    pthread_mutex_lock(&self->lock);
    free(mf_map_put(self->paths, id.bytes, sizeof id.bytes, copy));
    if (mf_map_size(self->paths) == 1)
        pthread_cond_signal(&self->wake);
    pthread_mutex_unlock(&self->lock);
}

void mf_console_remove(struct mf_console *self, struct mf_uuid id)
{
    pthread_mutex_lock(&self->lock);
    free(mf_map_del(self->paths, id.bytes, sizeof id.bytes));
    pthread_mutex_unlock(&self->lock);
}
