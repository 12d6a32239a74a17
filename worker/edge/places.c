/* places.c - see places.h. Only plain files stand in an instance's directory, so it is emptied without
 * recursion. */
#include "places.h"
#include "check.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char instances[] = "instances", shells[] = "shells";

static void place_in(const char *state, const char *folder, struct mf_uuid id, char ret_dir[4096])
{
    char text[MF_UUID_TEXT];
    mf_str_format(ret_dir, 4096, "%s/%s/%s", state, folder, mf_uuid_text(id, text));
}

static void place_of(const char *state, struct mf_uuid id, char ret_dir[4096])
{
    place_in(state, instances, id, ret_dir);
}

static int make_dir(const char *path, char error[512])
{
    if (mkdir(path, 0711) == 0 || errno == EEXIST)
        return 0;
    int r = -errno;
    snprintf(error, 512, "%.400s: %s", path, strerror(-r));
    return r;
}

void mf_places_shell(const char *state, struct mf_uuid id, char ret_dir[4096])
{
    place_in(state, shells, id, ret_dir);
}

static int make_in(const char *state, const char *folder, struct mf_uuid id, char ret_dir[4096],
                   char error[512])
{
    mf_str_format(ret_dir, 4096, "%s/%s", state, folder);
    int r = make_dir(ret_dir, error);
    place_in(state, folder, id, ret_dir);
    return r < 0 ? r : make_dir(ret_dir, error);
}

int mf_places_make(const char *state, struct mf_uuid id, char ret_dir[4096], char error[512])
{
    return make_in(state, instances, id, ret_dir, error);
}

int mf_places_make_shell(const char *state, struct mf_uuid id, char ret_dir[4096], char error[512])
{
    return make_in(state, shells, id, ret_dir, error);
}

static void empty_dir(const char *path)
{
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir)
        closedir(dir);
}

static void remove_in(const char *state, const char *folder, struct mf_uuid id)
{
    char path[4096];
    place_in(state, folder, id, path);
    empty_dir(path);
    rmdir(path);
}

void mf_places_remove(const char *state, struct mf_uuid id)
{
    remove_in(state, instances, id);
}

void mf_places_remove_shell(const char *state, struct mf_uuid id)
{
    remove_in(state, shells, id);
}

static unsigned remove_unknown(const char *state, const char *folder,
                               bool (*known)(const void *arg, struct mf_uuid id), const void *arg)
{
    char path[4096];
    unsigned removed = 0;
    mf_str_format(path, sizeof path, "%s/%s", state, folder);
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        struct mf_uuid id;
        if (!mf_uuid_parse(entry->d_name, strlen(entry->d_name), &id) || known(arg, id))
            continue;
        remove_in(state, folder, id);
        removed++;
    }
    if (dir)
        closedir(dir);
    return removed;
}

unsigned mf_places_remove_orphans(const char *state, bool (*known)(const void *arg, struct mf_uuid id),
                                  const void *arg)
{
    return remove_unknown(state, instances, known, arg);
}

unsigned mf_places_remove_old_shells(const char *state, bool (*known)(const void *arg, struct mf_uuid id),
                                     const void *arg)
{
    return remove_unknown(state, shells, known, arg);
}

static int move_files(const char *from, const char *to)
{
    int target = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = target < 0 ? NULL : opendir(from);
    int r = dir ? 0 : -errno;
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") &&
            renameat(dirfd(dir), entry->d_name, target, entry->d_name) < 0)
            r = -errno;
    if (dir)
        closedir(dir);
    if (target >= 0)
        close(target);
    return r;
}

int mf_places_become(const char *state, struct mf_uuid shell, struct mf_uuid id, char error[512])
{
    char from[4096], to[4096];
    place_in(state, shells, shell, from);
    place_of(state, id, to);
    int r = move_files(to, from);
    if (r == 0 && rename(from, to) < 0)
        r = -errno;
    if (r < 0)
        mf_str_format(error, 512, "%.200s cannot become %.200s: %s", from, to, strerror(-r));
    return r;
}

static int read_end(int fd, size_t max, char **ret_bytes, size_t *ret_len)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    size_t size = (size_t)st.st_size < max ? (size_t)st.st_size : max, len = 0;
    char *bytes = malloc(size + 1);
    MF_CHECK(bytes);
    for (ssize_t n;
         len < size && (n = pread(fd, bytes + len, size - len, st.st_size - (off_t)size + (off_t)len)) > 0;)
        len += (size_t)n;
    *ret_bytes = bytes;
    *ret_len = len;
    return 0;
}

int mf_places_console(const char *state, struct mf_uuid id, size_t max, char **ret_bytes, size_t *ret_len)
{
    char dir[4096], path[4200];
    place_of(state, id, dir);
    snprintf(path, sizeof path, "%s/console.log", dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    int r = read_end(fd, max, ret_bytes, ret_len);
    close(fd);
    return r;
}
