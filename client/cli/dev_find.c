/* Which processes are a name's: by their program and by the paths on their command lines. */
#include "dev.h"
#include "check.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

enum { CMDLINE_MAX = 1 << 17, ROUNDS_MAX = 100, DEATH_MS = 10000 };

struct look { /* what /proc says of one process */
    char program[256];
    char *cmdline;
    size_t len;
    bool stopped;
};

static size_t read_proc(pid_t pid, const char *what, char *to, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, what);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t n;
    while (fd >= 0 && len < size && (n = read(fd, to + len, size - len)) > 0)
        len += (size_t)n;
    if (fd >= 0)
        close(fd);
    return len;
}

/* The program's name by its executable; where that may not be read, by its first argument. */
static void read_program(pid_t pid, struct look *look)
{
    char path[64], target[1024];
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    ssize_t n = readlink(path, target, sizeof target - 1);
    if (n < 0) {
        n = (ssize_t)strnlen(look->cmdline, look->len < sizeof target - 1 ? look->len : sizeof target - 1);
        memcpy(target, look->cmdline, (size_t)n);
    }
    target[n] = 0;
    char *deleted = strstr(target, " (deleted)");
    if (deleted)
        *deleted = 0;
    const char *slash = strrchr(target, '/');
    snprintf(look->program, sizeof look->program, "%.255s", slash ? slash + 1 : target);
}

static bool look_at(pid_t pid, struct look *look)
{
    char stat[512];
    look->len = read_proc(pid, "cmdline", look->cmdline, CMDLINE_MAX);
    if (!look->len)
        return false; /* a kernel thread, a zombie, or gone */
    read_program(pid, look);
    stat[read_proc(pid, "stat", stat, sizeof stat - 1)] = 0;
    const char *after = strrchr(stat, ')');
    look->stopped = after && after[1] == ' ' && after[2] == 'T';
    return true;
}

bool mf_dev_mentions(const char *cmdline, size_t len, const char *path)
{
    size_t n = strlen(path);
    const char *end = cmdline + len;
    for (const char *at = cmdline; (at = memmem(at, (size_t)(end - at), path, n)); at += n)
        if (at + n == end || (!isalnum((unsigned char)at[n]) && at[n] != '-' && at[n] != '.' && at[n] != '_'))
            return true;
    return false;
}

static bool begins(const char *text, const char *with)
{
    return !strncmp(text, with, strlen(with));
}

/* Is it this name's, and as what? Somebody's pager on a log file is not. */
static bool judge(const struct mf_dev *dev, const char *name, const struct look *look,
                  enum mf_dev_role *ret_role)
{
    char path[MF_DEV_PATH];
    if (!begins(name, "node-")) {
        *ret_role = MF_DEV_SERVICE;
        return (!strcmp(look->program, "mayfly-broker") || !strcmp(look->program, "mayfly-health")) &&
               mf_dev_mentions(look->cmdline, look->len, mf_dev_path(dev, path, "run/%s.pid", name));
    }
    if (!mf_dev_mentions(look->cmdline, look->len, mf_dev_path(dev, path, "nodes/%s", name)))
        return false;
    *ret_role = !strcmp(look->program, "mayfly-keeper")  ? MF_DEV_KEEPER
                : !strcmp(look->program, "mayfly-agent") ? MF_DEV_AGENT
                                                         : MF_DEV_GUEST;
    return begins(look->program, "mayfly-") || begins(look->program, "qemu-");
}

static void add(struct mf_dev_processes *list, struct mf_dev_process process)
{
    list->items = realloc(list->items, (list->n + 1) * sizeof *list->items);
    MF_CHECK(list->items);
    size_t at = list->n++;
    for (; at && list->items[at - 1].role > process.role; at--)
        list->items[at] = list->items[at - 1];
    list->items[at] = process;
}

void mf_dev_find(const struct mf_dev *dev, const char *name, struct mf_dev_processes *ret_processes)
{
    struct look look = {.cmdline = malloc(CMDLINE_MAX)};
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    *ret_processes = (struct mf_dev_processes){0};
    MF_CHECK(look.cmdline && proc);
    while ((entry = readdir(proc))) {
        struct mf_dev_process process = {.pid = (pid_t)atoi(entry->d_name)};
        if (process.pid <= 1 || process.pid == getpid() || !look_at(process.pid, &look) ||
            !judge(dev, name, &look, &process.role))
            continue;
        process.pidfd = pidfd_open(process.pid, 0);
        if (process.pidfd < 0)
            continue;
        /* the descriptor is of whoever has the pid now: look again */
        if (look_at(process.pid, &look) && judge(dev, name, &look, &process.role)) {
            process.stopped = look.stopped;
            add(ret_processes, process);
        } else {
            close(process.pidfd);
        }
    }
    closedir(proc);
    free(look.cmdline);
}

void mf_dev_processes_free(struct mf_dev_processes *self)
{
    for (size_t i = 0; i < self->n; i++)
        close(self->items[i].pidfd);
    free(self->items);
    *self = (struct mf_dev_processes){0};
}

static bool await_death(int pidfd, int limit_ms)
{
    struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN};
    int r;
    while ((r = poll(&poll_fd, 1, limit_ms)) < 0 && errno == EINTR)
        ;
    return r > 0;
}

/* The keeper first and waited for, so that nothing is restarted; then the agent, so that nothing is born;
 * then the guests at once. */
static size_t kill_found(const struct mf_dev_processes *found, bool agent_only)
{
    size_t n = 0;
    for (size_t i = 0; i < found->n; i++) {
        const struct mf_dev_process *process = &found->items[i];
        if (agent_only && process->role != MF_DEV_AGENT)
            continue;
        n += !pidfd_send_signal(process->pidfd, SIGKILL, NULL, 0);
        if (process->role != MF_DEV_GUEST)
            await_death(process->pidfd, DEATH_MS);
    }
    for (size_t i = 0; i < found->n; i++)
        if (!agent_only && found->items[i].role == MF_DEV_GUEST)
            await_death(found->items[i].pidfd, DEATH_MS);
    return n;
}

size_t mf_dev_kill(const struct mf_dev *dev, const char *name, bool agent_only)
{
    size_t n = 0;
    for (int round = 0; round < ROUNDS_MAX;
         round++) { /* what was being forked when we looked is seen the next time */
        struct mf_dev_processes found;
        mf_dev_find(dev, name, &found);
        size_t killed = kill_found(&found, agent_only);
        mf_dev_processes_free(&found);
        n += killed;
        if (!killed || agent_only) /* an agent is restarted: one is enough */
            break;
    }
    return n;
}

size_t mf_dev_end(const struct mf_dev *dev, const char *name, int limit_ms)
{
    struct mf_dev_processes found;
    size_t n = 0;
    mf_dev_find(dev, name, &found);
    for (size_t i = 0; i < found.n; i++) {
        n += !pidfd_send_signal(found.items[i].pidfd, SIGTERM, NULL, 0);
        pidfd_send_signal(found.items[i].pidfd, SIGCONT, NULL, 0); /* a frozen one hears nothing */
        await_death(found.items[i].pidfd, limit_ms);
    }
    mf_dev_processes_free(&found);
    mf_dev_kill(dev, name, false);
    return n;
}

size_t mf_dev_freeze(const struct mf_dev *dev, const char *name, bool thaw)
{
    struct mf_dev_processes found;
    size_t n = 0;
    mf_dev_find(dev, name, &found);
    for (size_t i = 0; i < found.n; i++) /* frozen from the keeper down, thawed from the guests up */
        n += !pidfd_send_signal(found.items[thaw ? found.n - 1 - i : i].pidfd, thaw ? SIGCONT : SIGSTOP, NULL,
                                0);
    mf_dev_processes_free(&found);
    return n;
}
