/* process.c - what a program is to the system around it: signals, a pid file, readiness, clocks. */
#include "program.h"

#include "files.h"
#include <czmq.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

int mf_signals_open(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    signal(SIGPIPE, SIG_IGN);
    zsys_handler_set(NULL); /* czmq would take SIGINT and SIGTERM for itself */
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

int mf_signals_read(int fd)
{
    struct signalfd_siginfo info;
    return read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info) ? (int)info.ssi_signo : 0;
}

static int fail_held(int fd, const char *path, char error[512])
{
    char text[32] = "";
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    text[n > 0 ? strcspn(text, "\n") : 0] = 0;
    return mf_fail(error, -EBUSY, "%s: held by a running process (pid %s); stop that one first", path,
                   text[0] ? text : "unknown");
}

static int write_pid(int fd, const char *path, char error[512])
{
    char text[32];
    struct mf_str s = mf_str_format(text, sizeof(text), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, s.ptr, s.len, 0) != (ssize_t)s.len)
        return mf_fail(error, -errno, "%s: cannot be written: %s", path, strerror(errno));
    return 0;
}

/* The descriptor stays open on purpose: its lock is the claim, and ends with the process however that ends.
 */
int mf_pidfile(const char *path, char error[512])
{
    if (!path || !*path)
        return 0;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return mf_fail(error, -errno, "%s: cannot be opened: %s; give a --pid-file that can be written", path,
                       strerror(errno));
    int r = flock(fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
    if (r == -EWOULDBLOCK)
        r = fail_held(fd, path, error);
    else if (r < 0)
        mf_fail(error, r, "%s: cannot be locked: %s", path, strerror(-r));
    else
        r = write_pid(fd, path, error);
    if (r < 0)
        close(fd);
    return r;
}

void mf_ready(const char *text)
{
    const char *value = getenv("MAYFLY_READY_FD");
    char *end;
    mf_notify_ready(text);
    long fd = value ? strtol(value, &end, 10) : -1;
    if (fd <= STDERR_FILENO || fd > 65535 || *end)
        return;
    unsetenv("MAYFLY_READY_FD"); /* it is ours alone, not our children's */
    dprintf((int)fd, "ready %s\n", text);
    close((int)fd);
}

static mf_ms clock_ms(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

mf_ms mf_now(void)
{
    return clock_ms(CLOCK_BOOTTIME);
}

mf_ms mf_wall(void)
{
    return clock_ms(CLOCK_REALTIME);
}
