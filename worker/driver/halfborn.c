/* halfborn.c - what libvirt could not take up again is cleared before it tries. */
#include "halfborn.h"
#include "process.h"
#include "message.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

enum { HEAD = 4096, KILL_LIMIT_MS = 10000, ID_TEXT = 36 };

/* The element that says it is the first of the file, below a comment. */
static bool says_no_pid(int folder, const char *name)
{
    char text[HEAD];
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = 0;
    char *tag = strstr(text, "<domstatus "), *end = tag ? strchr(tag, '>') : NULL;
    if (!end)
        return false;
    *end = 0;
    return strstr(tag, " pid='0'");
}

/* Domains of ours are named ...-UUID. */
static bool id_of(const char *name, struct mf_uuid *ret_id)
{
    size_t len = strlen(name);
    return len > ID_TEXT + 4 && strcmp(name + len - 4, ".xml") == 0 &&
           mf_uuid_parse(name + len - 4 - ID_TEXT, ID_TEXT, ret_id);
}

static bool process_ended(struct mf_uuid id)
{
    pid_t pid;
    while ((pid = mf_process_find_guest(id)) > 0)
        if (mf_process_kill_guest(pid, id, KILL_LIMIT_MS) < 0)
            return false;
    return pid == 0;
}

size_t mf_halfborn_clear(const char *root)
{
    char path[4096];
    struct dirent *entry;
    struct mf_uuid id;
    size_t n = 0;
    mf_str_format(path, sizeof path, "%s/run/qemu", root);
    DIR *folder = opendir(path);
    while (folder && (entry = readdir(folder)))
        if (id_of(entry->d_name, &id) && says_no_pid(dirfd(folder), entry->d_name) && process_ended(id))
            n += unlinkat(dirfd(folder), entry->d_name, 0) == 0;
    if (folder)
        closedir(folder);
    return n;
}
