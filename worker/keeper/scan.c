/* scan.c - the search for processes that must not be: those that carry the id of a fenced create, whose pid
 * nobody told, or at a container's end all that are in it. Every process of the machine is looked at, by
 * getdents64 into fixed buffers. The pidfd is opened first and the command line read after: what is killed is
 * what was read. */
#include "keeper.h"
#include "shell_process.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 65536, ENTRIES_BYTES = 32768 };

int mf_keeper_scan_open(struct mf_keeper *self, char error[512])
{
    char self_pid[16] = "";
    self->proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (self->proc < 0) {
        snprintf(error, 512, "/proc: %s", strerror(errno));
        return -errno;
    }
    ssize_t len = readlinkat(self->proc, "self", self_pid, sizeof self_pid - 1);
    if (len > 0 && atoi(self_pid) == getpid())
        return 0;
    snprintf(error, 512,
             "/proc is not of this process's own pid namespace, so guests could not be found there: mount it "
             "(unshare --mount-proc; container runtimes do)");
    return -EINVAL;
}

/* The id after "-uuid" in a command line whose words end in zeros. */
static bool id_of(const char *line, size_t len, struct mf_uuid *ret_id)
{
    for (size_t at = 0; at < len; at += strnlen(line + at, len - at) + 1) {
        const char *word = line + at + sizeof "-uuid";
        if (len - at > sizeof "-uuid" && !strcmp(line + at, "-uuid"))
            return mf_uuid_parse(word, strnlen(word, (size_t)(line + len - word)), ret_id);
    }
    return false;
}

static size_t read_line(struct mf_keeper *self, const char *pid, char line[LINE_MAX_BYTES])
{
    char path[40];
    snprintf(path, sizeof path, "%.20s/cmdline", pid);
    int fd = openat(self->proc, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    size_t len = 0;
    for (ssize_t n; len < LINE_MAX_BYTES && (n = read(fd, line + len, LINE_MAX_BYTES - len)) > 0;)
        len += (size_t)n;
    close(fd);
    return len;
}

static bool is_fenced(struct mf_keeper *self, const char *pid)
{
    static char line[LINE_MAX_BYTES];
    struct mf_uuid id;
    char fds[40];
    size_t len = read_line(self, pid, line);
    if (id_of(line, len, &id) && mf_lease_fences(&self->lease, id))
        return true;
    snprintf(fds, sizeof fds, "%.20s/fd", pid);
    return mf_shell_line(line, len) && mf_shell_owner(self->proc, fds, &id) == 1 &&
           mf_lease_fences(&self->lease, id);
}

static unsigned look_at(struct mf_keeper *self, const char *pid)
{
    if (!is_fenced(self, pid))
        return 0;
    int fd = (int)syscall(SYS_pidfd_open, atoi(pid), 0);
    if (fd < 0)
        return 0;
    if (is_fenced(self, pid) && syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0)
        mf_keeper_log(self, "warning", "process %.20s was killed: its guest's lease is over", pid);
    close(fd);
    return 1;
}

/* One that has ended stays listed until its parent looks. */
static bool lives(struct mf_keeper *self, const char *pid)
{
    char path[40], text[512];
    snprintf(path, sizeof path, "%.20s/stat", pid);
    int fd = openat(self->proc, path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    text[len > 0 ? len : 0] = 0;
    const char *state = strrchr(text, ')');
    return state && state[1] && !strchr("ZX", state[2]);
}

/* Nothing of this namespace is to outlive us, so a pid that is used anew meanwhile is no wrong one. */
static unsigned end_it(struct mf_keeper *self, const char *text)
{
    pid_t pid = atoi(text);
    if (pid <= 1 || pid == self->agent_pid || !lives(self, text))
        return 0;
    kill(pid, SIGKILL);
    return 1;
}

static unsigned each_process(struct mf_keeper *self,
                             unsigned (*visit)(struct mf_keeper *self, const char *pid))
{
    unsigned n_visited = 0;
    static _Alignas(struct dirent64) char entries[ENTRIES_BYTES];
    lseek(self->proc, 0, SEEK_SET);
    for (ssize_t n; (n = getdents64(self->proc, entries, sizeof entries)) > 0;)
        for (ssize_t at = 0; at < n;) {
            const struct dirent64 *entry = (const struct dirent64 *)(entries + at);
            at += entry->d_reclen;
            if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
                n_visited += visit(self, entry->d_name);
        }
    return n_visited;
}

void mf_keeper_scan(struct mf_keeper *self)
{
    (void)each_process(self, look_at);
}

unsigned mf_keeper_kill_all(struct mf_keeper *self)
{
    return each_process(self, end_it);
}
