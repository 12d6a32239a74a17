/* process.c - see process.h. */
#include "process.h"
#include "check.h"
#include "shell_process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { COMMAND_LINE_MAX = 65536 };

int64_t mf_monotonic_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

mf_ms mf_monotonic_ms(void)
{
    return mf_monotonic_ns() / 1000000;
}

static int pidfd_open_(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    return fd < 0 ? -errno : fd;
}

bool mf_process_wait(int pidfd, mf_ms limit_ms)
{
    mf_ms end = mf_monotonic_ms() + limit_ms;
    for (;;) {
        mf_ms left = end - mf_monotonic_ms();
        struct pollfd pfd = {.fd = pidfd, .events = POLLIN};
        int n = poll(&pfd, 1, left > 0 ? (int)left : 0);
        if (n > 0)
            return true;
        if (n < 0 && errno == EINTR)
            continue;
        if (left <= 0)
            return false;
    }
}

/* ---- short programs */

static int spawn(const char *const argv[], int stderr_fd, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, stderr_fd, 2);
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int r = posix_spawnp(ret_pid, argv[0], &actions, &attr, (char *const *)argv, environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    return -r;
}

static void read_said(int fd, char *said, size_t size)
{
    ssize_t n = pread(fd, said, size - 1, 0);
    said[n > 0 ? n : 0] = 0;
    for (char *p = said; *p; p++)
        if (*p == '\n' || *p == '\r')
            *p = ' ';
    for (size_t len = strlen(said); len && said[len - 1] == ' '; len--)
        said[len - 1] = 0;
}

int mf_process_run(const char *const argv[], mf_ms limit_ms, int *ret_status, char *said, size_t said_size)
{
    said[0] = 0;
    int err_fd = memfd_create("stderr", MFD_CLOEXEC);
    if (err_fd < 0)
        return -errno;
    pid_t pid;
    int r = spawn(argv, err_fd, &pid);
    if (r < 0) {
        close(err_fd);
        return r;
    }
    int pidfd = pidfd_open_(pid); /* our own child, not yet reaped: the pid is surely it */
    bool ended = pidfd >= 0 && mf_process_wait(pidfd, limit_ms);
    if (!ended)
        kill(pid, SIGKILL);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    read_said(err_fd, said, said_size);
    close(err_fd);
    if (pidfd >= 0)
        close(pidfd);
    if (!ended)
        return -ETIMEDOUT;
    *ret_status = status;
    return 0;
}

/* ---- guests' processes */

/* The command line of a process, ended by two zeros; 0 if it has none (gone, a zombie or a kernel thread), or
 * a negative errno: what cannot be read may be anything. */
static ssize_t read_command_line(pid_t pid, char *buffer)
{
    char path[64];
    ssize_t n, len = 0;
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == ESRCH ? 0 : -errno;
    while ((n = read(fd, buffer + len, (size_t)(COMMAND_LINE_MAX - len))) > 0)
        len += n;
    int r = n < 0 && errno != ESRCH ? -errno : 0;
    close(fd);
    buffer[len] = buffer[len + 1] = 0;
    return r < 0 ? r : len;
}

static bool guest_of(const char *line, ssize_t len, struct mf_uuid *ret_id)
{
    for (ssize_t at = 0; at < len; at += (ssize_t)strlen(line + at) + 1) {
        if (strcmp(line + at, "-uuid") != 0)
            continue;
        const char *word = line + at + sizeof "-uuid";
        return at + (ssize_t)sizeof "-uuid" < len && mf_uuid_parse(word, strlen(word), ret_id);
    }
    return false;
}

/* Shells run as the user who makes them, and become guests only where that user can see it. */
static bool of_another_user(pid_t pid)
{
    char path[64];
    struct stat st;
    snprintf(path, sizeof path, "/proc/%d", (int)pid);
    return stat(path, &st) == 0 && st.st_uid != geteuid();
}

/* The instance that a shell's process became: 1, 0 if it is none (yet), or a negative errno. */
static int taken_by(pid_t pid, const char *line, ssize_t len, struct mf_uuid own, struct mf_uuid *ret_id)
{
    char path[64];
    if (!mf_shell_line(line, (size_t)len))
        return 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    int r = mf_shell_owner(AT_FDCWD, path, ret_id);
    if ((r == -EACCES || r == -EPERM) && of_another_user(pid))
        return 0;
    return r == 1 ? !mf_uuid_eq(*ret_id, own) : r;
}

int mf_process_is_guest(pid_t pid, struct mf_uuid id)
{
    char *line = malloc(COMMAND_LINE_MAX + 2);
    MF_CHECK(line);
    struct mf_uuid own, instance;
    ssize_t len = read_command_line(pid, line);
    int is = len < 0 ? (int)len : guest_of(line, len, &own);
    if (is > 0 && !mf_uuid_eq(own, id)) {
        is = taken_by(pid, line, len, own, &instance);
        is = is > 0 ? mf_uuid_eq(instance, id) : is;
    }
    free(line);
    return is;
}

/* As a text with blanks for zeros. */
static void blank(char *line, ssize_t len)
{
    for (ssize_t i = 0; i + 1 < len; i++)
        if (!line[i])
            line[i] = ' ';
}

int mf_process_each_guest(void (*visit)(void *arg, pid_t pid, struct mf_uuid id, const char *command_line),
                          void *arg)
{
    DIR *dir = opendir("/proc");
    if (!dir)
        return -errno;
    char *line = malloc(COMMAND_LINE_MAX + 2);
    MF_CHECK(line);
    int r = 0;
    for (struct dirent *entry; errno = 0, (entry = readdir(dir));) {
        char *end;
        long pid = strtol(entry->d_name, &end, 10);
        struct mf_uuid id, instance;
        if (*end || pid <= 0)
            continue;
        ssize_t len = read_command_line((pid_t)pid, line);
        r = len < 0 ? (int)len : r;
        if (!guest_of(line, len, &id))
            continue;
        int taken = taken_by((pid_t)pid, line, len, id, &instance);
        r = taken < 0 ? taken : r;
        blank(line, len);
        visit(arg, (pid_t)pid, taken > 0 ? instance : id, line);
    }
    r = errno ? -errno : r;
    free(line);
    closedir(dir);
    return r;
}

struct finding {
    struct mf_uuid id;
    pid_t pid;
};

static void visit_find(void *arg, pid_t pid, struct mf_uuid id, const char *command_line)
{
    struct finding *finding = arg;
    char mark[sizeof "-uuid " + MF_UUID_TEXT] = "-uuid ";
    mf_uuid_text(finding->id, mark + sizeof "-uuid " - 1);
    if (mf_uuid_eq(id, finding->id) || strstr(command_line, mark)) /* a shell has two ids */
        finding->pid = pid;
}

pid_t mf_process_find_guest(struct mf_uuid id)
{
    struct finding finding = {.id = id};
    int r = mf_process_each_guest(visit_find, &finding);
    return finding.pid ? finding.pid : r;
}

int mf_process_open_guest(pid_t pid, struct mf_uuid id)
{
    int fd = pidfd_open_(pid);
    if (fd < 0)
        return fd;
    int is = mf_process_is_guest(pid, id); /* checked after opening: what we hold is what we checked */
    if (is > 0)
        return fd;
    close(fd);
    return is < 0 ? is : -ESRCH;
}

int mf_process_kill_guest(pid_t pid, struct mf_uuid id, mf_ms limit_ms)
{
    int fd = mf_process_open_guest(pid, id);
    if (fd < 0)
        return fd == -ESRCH ? 0 : fd;
    int r = 0;
    if (syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) < 0)
        r = errno == ESRCH ? 0 : -errno;
    else if (!mf_process_wait(fd, limit_ms))
        r = -ETIMEDOUT;
    close(fd);
    return r;
}
