/* Starting programs: each in its own session, its log in a file, its readiness told through a pipe. */
#include "dev.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { READY_FD = 10, ARGS_MAX = 256, LOG_TAIL = 2000, LOG_LINES = 12, BEAT_MS = 200 };

static volatile sig_atomic_t interrupted;

static void on_signal(int signal_number)
{
    interrupted = 1;
}

void mf_dev_catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

bool mf_dev_interrupted(void)
{
    return interrupted;
}

int64_t mf_dev_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

bool mf_dev_program(const char *name, char path[MF_DEV_PATH])
{
    char self[PATH_MAX];
    const char *bin = getenv("MAYFLY_BIN");
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n < 0 ? 0 : n] = 0;
    char *slash = strrchr(self, '/');
    if (slash)
        *slash = 0;
    snprintf(path, MF_DEV_PATH, "%.1800s/%s", bin && *bin ? bin : self, name);
    return !access(path, X_OK);
}

int mf_dev_write_command(struct mf_cli *cli, const struct mf_dev *dev, const char *name,
                         const char *const *args)
{
    char path[MF_DEV_PATH];
    FILE *file = fopen(mf_dev_path(dev, path, "run/%s.cmd", name), "we");
    bool ok = file;
    for (; ok && *args; args++)
        ok = !strchr(*args, '\n') && fprintf(file, "%s\n", *args) >= 0;
    if (file && fclose(file))
        ok = false;
    return ok ? 0
              : mf_cli_fail(cli, "%s: cannot be written (%s), or an argument has a line end", path,
                            strerror(errno));
}

/* One argument a line. The text is in the arena. */
static int read_command(struct mf_cli *cli, const char *path, char *args[ARGS_MAX])
{
    struct mf_str text;
    int n = 0;
    if (mf_cli_read_file(cli, path, 1 << 20, "too large", &text))
        return MF_EXIT_FAILED;
    for (char *line = (char *)text.ptr, *end; *line && n < ARGS_MAX - 1; line = end + 1) {
        end = strchr(line, '\n');
        if (!end)
            break;
        *end = 0;
        args[n++] = line;
    }
    args[n] = NULL;
    return n ? 0 : mf_cli_fail(cli, "%s: says no command", path);
}

static _Noreturn void become(char *const args[], int log_fd, int ready_fd, int net_fd)
{
    char number[16];
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    if (net_fd >= 0 && setns(net_fd, CLONE_NEWNET)) {
        dprintf(log_fd, "mayfly dev: cannot enter the network namespace: %s\n", strerror(errno));
        _exit(127);
    }
    int null_fd = open("/dev/null", O_RDONLY);
    dup2(null_fd, STDIN_FILENO);
    dup2(log_fd, STDOUT_FILENO);
    dup2(log_fd, STDERR_FILENO);
    if (ready_fd >= 0) {
        dup2(ready_fd, READY_FD);
        fcntl(READY_FD, F_SETFD, 0); /* it may have had this number before, and would be closed */
        snprintf(number, sizeof number, "%d", READY_FD);
        setenv("MAYFLY_READY_FD", number, 1);
    }
    close_range(3, READY_FD - 1, 0);
    close_range(ready_fd >= 0 ? READY_FD + 1 : READY_FD, ~0u, 0);
    execv(args[0], args);
    dprintf(STDERR_FILENO, "mayfly dev: cannot run %s: %s\n", args[0], strerror(errno));
    _exit(127);
}

static int open_log(struct mf_cli *cli, const struct mf_dev *dev, const char *name)
{
    char path[MF_DEV_PATH];
    int fd =
        open(mf_dev_path(dev, path, "log/%s.log", name), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0)
        mf_cli_fail(cli, "%s: %s", path, strerror(errno));
    return fd;
}

static void close_all(int log_fd, int net_fd)
{
    if (log_fd >= 0)
        close(log_fd);
    if (net_fd >= 0)
        close(net_fd);
}

int mf_dev_spawn(struct mf_cli *cli, const struct mf_dev *dev, const char *name,
                 struct mf_dev_start *ret_start)
{
    char path[MF_DEV_PATH], *args[ARGS_MAX];
    int pipe_fds[2], log_fd, net_fd;
    if (read_command(cli, mf_dev_path(dev, path, "run/%s.cmd", name), args))
        return MF_EXIT_FAILED;
    if (access(args[0], X_OK))
        return mf_cli_fail(cli, "%s: %s; build it, or set MAYFLY_BIN to where the programs are", args[0],
                           strerror(errno));
    if (mf_dev_net_open(cli, dev, name, &net_fd))
        return MF_EXIT_FAILED;
    log_fd = open_log(cli, dev, name);
    if (log_fd < 0 || pipe2(pipe_fds, O_CLOEXEC)) {
        if (log_fd >= 0)
            mf_cli_fail(cli, "no pipe: %s", strerror(errno));
        close_all(log_fd, net_fd);
        return MF_EXIT_FAILED;
    }
    fflush(NULL);
    pid_t pid = fork();
    if (!pid)
        become(args, log_fd, pipe_fds[1], net_fd);
    close_all(log_fd, net_fd);
    close(pipe_fds[1]);
    *ret_start = (struct mf_dev_start){.pid = pid, .ready_fd = pipe_fds[0]};
    snprintf(ret_start->name, sizeof ret_start->name, "%s", name);
    return pid < 0 ? mf_cli_fail(cli, "cannot fork: %s", strerror(errno)) : 0;
}

void mf_dev_show_log(const struct mf_dev *dev, const char *name)
{
    char path[MF_DEV_PATH], text[LOG_TAIL + 1];
    int fd = open(mf_dev_path(dev, path, "log/%s.log", name), O_RDONLY | O_CLOEXEC), lines = 0;
    if (fd < 0)
        return;
    off_t size = lseek(fd, 0, SEEK_END);
    ssize_t n = pread(fd, text, LOG_TAIL, size > LOG_TAIL ? size - LOG_TAIL : 0);
    close(fd);
    text[n < 0 ? 0 : n] = 0;
    char *from = text + strlen(text);
    while (from > text && (from[-1] != '\n' || lines++ < LOG_LINES))
        from--;
    fprintf(stderr, "--- the end of %s\n%s---\n", path, from);
}

static void set_ready(struct mf_dev_start *start)
{
    start->ready = true;
    close(start->ready_fd);
    start->ready_fd = -1;
}

/* The pipe has something: "ready ...", or its end, which a program that dies gives. */
static int take_word(struct mf_cli *cli, const struct mf_dev *dev, struct mf_dev_start *start)
{
    char text[1024];
    int status = 0;
    ssize_t n = read(start->ready_fd, text, sizeof text);
    if (n < 0 && errno == EINTR)
        return 0;
    if (n > 0 && text[0] == 'r') {
        set_ready(start);
        return 0;
    }
    set_ready(start);
    if (waitpid(start->pid, &status, WNOHANG) == start->pid && WIFEXITED(status))
        mf_cli_fail(cli, "%s ended with exit code %d before it was ready", start->name, WEXITSTATUS(status));
    else
        mf_cli_fail(cli, "%s ended before it was ready", start->name);
    mf_dev_show_log(dev, start->name);
    return MF_EXIT_FAILED;
}

int mf_dev_await(struct mf_cli *cli, const struct mf_dev *dev, struct mf_dev_start *starts, size_t n,
                 int64_t until_ms)
{
    for (size_t i = 0; i < n; i++) {
        struct mf_dev_start *start = &starts[i];
        while (!start->ready) {
            struct pollfd poll_fd = {.fd = start->ready_fd, .events = POLLIN};
            int r = poll(&poll_fd, 1, BEAT_MS);
            if (interrupted)
                return mf_cli_fail(cli, "interrupted");
            if (r > 0 && take_word(cli, dev, start))
                return MF_EXIT_FAILED;
            if (!start->ready && mf_dev_now_ms() > until_ms) {
                mf_cli_fail(cli, "%s is not ready in time (--timeout)", start->name);
                mf_dev_show_log(dev, start->name);
                return MF_EXIT_FAILED;
            }
        }
    }
    return 0;
}

int mf_dev_run_tool(struct mf_cli *cli, const struct mf_dev *dev, const char *log_name, char *const args[])
{
    int status = 0, log_fd = open_log(cli, dev, log_name);
    if (log_fd < 0)
        return MF_EXIT_FAILED;
    fflush(NULL);
    pid_t pid = fork();
    if (!pid)
        become(args, log_fd, -1, -1);
    close(log_fd);
    if (pid < 0)
        return mf_cli_fail(cli, "cannot fork: %s", strerror(errno));
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        if (interrupted)
            kill(pid, SIGTERM); /* our own child, not yet waited for: the pid is its */
    return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : MF_EXIT_FAILED;
}
