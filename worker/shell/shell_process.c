/* shell_process.c - see shell_process.h. */
#include "shell_process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { ID_TEXT = MF_UUID_TEXT - 1, PATH_BYTES = 4096 };

/* libvirt's word is "guest=NAME,debug-threads=on": NAME must be a shell's and nothing longer, since a group
 * may have a name that begins like it. */
bool mf_shell_line(const char *line, size_t len)
{
    static const char mark[] = "guest=" MF_SHELL_NAME "-";
    struct mf_uuid id;
    const char *found = memmem(line, len, mark, sizeof mark - 1);
    if (!found)
        return false;
    const char *name = found + sizeof mark - 1;
    size_t left = (size_t)(line + len - name);
    return left > ID_TEXT && mf_uuid_parse(name, ID_TEXT, &id) && (!name[ID_TEXT] || name[ID_TEXT] == ',');
}

static bool ends_with(const char *path, const char *end, const char *word)
{
    size_t len = strlen(word);
    return (size_t)(end - path) >= len && memcmp(end - len, word, len) == 0;
}

/* .../instances/ID/file: what follows the file's name does not matter ("(deleted)"). */
static bool owner_of(const char *path, struct mf_uuid *ret_id)
{
    const char *file = strrchr(path, '/');
    if (!file || file - path < ID_TEXT || !mf_uuid_parse(file - ID_TEXT, ID_TEXT, ret_id))
        return false;
    return ends_with(path, file - ID_TEXT, "/instances/") || ends_with(path, file - ID_TEXT, "/shells/");
}

static bool owner_by(int folder, const char *fd, struct mf_uuid *ret_id)
{
    char path[PATH_BYTES];
    ssize_t n = fd[0] == '.' ? 0 : readlinkat(folder, fd, path, sizeof path - 1);
    path[n > 0 ? n : 0] = 0;
    return n > 0 && owner_of(path, ret_id);
}

int mf_shell_owner(int at, const char *fds, struct mf_uuid *ret_id)
{
    _Alignas(struct dirent64) char entries[2048];
    int folder = openat(at, fds, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return errno == ENOENT || errno == ESRCH ? 0 : -errno;
    ssize_t n;
    bool found = false;
    while (!found && (n = getdents64(folder, entries, sizeof entries)) > 0)
        for (ssize_t next = 0; next < n && !found;) {
            const struct dirent64 *entry = (const struct dirent64 *)(entries + next);
            next += entry->d_reclen;
            found = owner_by(folder, entry->d_name, ret_id);
        }
    int r = found ? 1 : n < 0 && errno != ENOENT && errno != ESRCH ? -errno : 0;
    close(folder);
    return r;
}
