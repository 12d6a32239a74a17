/* watch_processes.c - guests that are processes of this machine.
 *
 * A guest's process has "-uuid" and its id in its command line, and a path below DIR/nodes/NODE. It runs from
 * when its virtual processor has run for a while (a guest that is made paused has a process, too) until it is
 * gone or stopped. A process that was no guest for some seconds is not looked at again. */
#include "check.h"
#include "checker.h"
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SETTLED_MS = 3000, /* a process may become another program after it was forked */
    COMMAND_LINE = 65536,
    BEGAN_NS = 10000000, /* of a virtual processor: setting one up takes 0.3 of these 10 ms */
};

struct process {
    pid_t pid;
    mf_ms first_ms;
    uint64_t sweep;
    bool guest;
    struct mf_uuid id;
    char node[64];
};
struct mf_processes {
    struct mf_map *known; /* by pid */
    char nodes[1024];     /* DIR/nodes/ */
    char *text;
    uint64_t sweep;
};

struct mf_processes *mf_processes_new(const char *state_dir)
{
    struct mf_processes *self = calloc(1, sizeof *self);
    MF_CHECK(self);
    self->known = mf_map_new();
    self->text = malloc(COMMAND_LINE);
    MF_CHECK(self->text);
    snprintf(self->nodes, sizeof self->nodes, "%s/nodes/", state_dir);
    return self;
}

void mf_processes_destroy(struct mf_processes **self)
{
    if (!*self)
        return;
    size_t cursor = 0;
    for (void *process; mf_map_next((*self)->known, &cursor, &process);)
        free(process);
    mf_map_destroy(&(*self)->known);
    free((*self)->text);
    free(*self);
    *self = NULL;
}

/* The command line with blanks for its zeros: -uuid ID, and a path of a node. */
static bool read_guest(struct mf_processes *self, struct process *process)
{
    char path[64], *at;
    size_t n = 0;
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)process->pid);
    size_t len = mf_read_text(path, self->text, COMMAND_LINE);
    for (size_t i = 0; i < len; i++)
        if (!self->text[i])
            self->text[i] = ' ';
    at = strstr(self->text, " -uuid ");
    if (!at || !mf_uuid_parse(at + 7, MF_UUID_TEXT - 1, &process->id))
        return false;
    at = strstr(self->text, self->nodes);
    if (!at)
        return false;
    for (at += strlen(self->nodes); (isalnum((unsigned char)at[n]) || at[n] == '-') && n < 63; n++)
        process->node[n] = at[n];
    process->node[n] = 0;
    return true;
}

/* The time its first virtual processor ran; QEMU names the thread "CPU 0/KVM" or "CPU 0/TCG". */
static int open_cpu(pid_t pid)
{
    char path[128], name[64];
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *tasks = opendir(path);
    int fd = -1;
    for (struct dirent *entry; tasks && fd < 0 && (entry = readdir(tasks));) {
        snprintf(path, sizeof path, "/proc/%d/task/%.20s/comm", (int)pid, entry->d_name);
        if (!mf_read_text(path, name, sizeof name) || strncmp(name, "CPU ", 4) != 0)
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%.20s/schedstat", (int)pid, entry->d_name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
    }
    if (tasks)
        closedir(tasks);
    return fd;
}

static bool has_begun(struct mf_seen *seen)
{
    char text[128];
    if (seen->cpu_fd < 0)
        seen->cpu_fd = open_cpu(seen->pid);
    ssize_t n = seen->cpu_fd >= 0 ? pread(seen->cpu_fd, text, sizeof text - 1, 0) : 0;
    text[n > 0 ? n : 0] = 0;
    return strtoull(text, NULL, 10) > BEGAN_NS;
}

static void look_at_guest(const struct process *process, struct mf_watch *watch)
{
    char state = mf_process_state(process->pid);
    if (strchr("ZXx", state))
        return;
    struct mf_seen *seen = mf_watch_saw(watch, process->id, process->node);
    seen->pid = process->pid;
    if ((seen->began || has_begun(seen)) && state != 'T' && state != 't')
        mf_watch_runs(watch, seen);
}

static void look_at(struct mf_processes *self, pid_t pid, struct mf_watch *watch)
{
    struct process *process = mf_map_get(self->known, &pid, sizeof pid);
    if (!process) {
        process = calloc(1, sizeof *process);
        MF_CHECK(process);
        process->pid = pid;
        process->first_ms = mf_watch_now(watch);
        mf_map_put(self->known, &pid, sizeof pid, process);
    }
    process->sweep = self->sweep;
    if (!process->guest && mf_watch_now(watch) - process->first_ms < SETTLED_MS)
        process->guest = read_guest(self, process);
    if (process->guest)
        look_at_guest(process, watch);
}

/* A pid that is gone may be given to another process later. */
static void forget_gone(struct mf_processes *self)
{
    size_t cursor = 0;
    for (void *item; mf_map_next(self->known, &cursor, &item);) {
        struct process *process = item;
        if (process->sweep == self->sweep)
            continue;
        mf_map_del(self->known, &process->pid, sizeof process->pid);
        free(process);
    }
}

void mf_processes_sweep(struct mf_processes *self, struct mf_watch *watch)
{
    DIR *proc = opendir("/proc");
    MF_CHECK(proc);
    self->sweep++;
    for (struct dirent *entry; (entry = readdir(proc));)
        if (isdigit((unsigned char)entry->d_name[0]))
            look_at(self, (pid_t)atoi(entry->d_name), watch);
    closedir(proc);
    forget_gone(self);
}
