/* cluster.c - the broker and the monitor that the swarm joins: those of a directory where some run, or two
 * children of ours. */
#include "swarm.h"
#include "check.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <unistd.h>

enum { PATH = 4096, ARGS_MAX = 64, READY_MS = 60000 };

static int fail(char error[512], const char *what, const char *path)
{
    mf_str_format(error, 512, "%s %.300s: %s", what, path, strerror(errno));
    return -1;
}

static const char *path_of(const struct swarm *swarm, char path[PATH], const char *tail)
{
    mf_str_format(path, PATH, "%s/%s", swarm->settings.state, tail);
    return path;
}

int swarm_cluster_key(const struct swarm *swarm, enum mf_role role, const char *name, struct mf_key *ret_key,
                      char error[512])
{
    char keys[PATH], path[PATH + 80];
    mf_str_format(path, sizeof path, "%s/%s.cert_secret", path_of(swarm, keys, "keys"), name);
    if (access(path, F_OK) != 0 && mf_keys_create(keys, role, name, NULL, error) < 0)
        return -1;
    return mf_key_load(path, ret_key, error) < 0 ? -1 : 0;
}

static int make_keys(struct swarm *swarm, char error[512])
{
    char path[PATH];
    struct mf_key key;
    path_of(swarm, path, "keys/broker.cert");
    if (access(path, F_OK) != 0 && mf_keys_init(path_of(swarm, path, "keys"), error) < 0)
        return -1;
    if (swarm_cluster_key(swarm, MF_ROLE_OPERATOR, "admin", &key, error) < 0)
        return -1;
    path_of(swarm, swarm->cluster.admin_key, "keys/admin.cert_secret");
    return swarm_cluster_key(swarm, MF_ROLE_MONITOR, "health-0", &key, error);
}

/* The broker writes where it listens, and takes it away when it ends in order. */
static int read_endpoints(struct swarm *swarm, char error[512])
{
    char path[PATH], line[300];
    FILE *file = fopen(path_of(swarm, path, "broker/endpoints"), "re");
    if (!file)
        return fail(error, "cannot read", path);
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        if (!strncmp(line, "CLIENT=", 7))
            mf_str_format(swarm->cluster.client, sizeof swarm->cluster.client, "%s", line + 7);
        else if (!strncmp(line, "WORKER=", 7))
            mf_str_format(swarm->cluster.worker, sizeof swarm->cluster.worker, "%s", line + 7);
    }
    fclose(file);
    return 0;
}

/* -- children */

static _Noreturn void become(char *const args[], const char *log, int ready)
{
    char number[16];
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    dup2(fd, STDERR_FILENO);
    dup2(fd, STDOUT_FILENO);
    dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
    mf_str_format(number, sizeof number, "%d", fcntl(ready, F_DUPFD, 10));
    setenv("MAYFLY_READY_FD", number, 1);
    execv(args[0], args);
    dprintf(STDERR_FILENO, "cannot run %s: %s\n", args[0], strerror(errno));
    _exit(127);
}

static int await_ready(int fd, const char *log, char error[512])
{
    char text[1024] = "";
    struct pollfd item = {.fd = fd, .events = POLLIN};
    bool ready = poll(&item, 1, READY_MS) > 0 && read(fd, text, sizeof text - 1) > 0 && text[0] == 'r';
    close(fd);
    if (!ready)
        mf_str_format(error, 512, "a program was not ready in time; its log is %.300s", log);
    return ready ? 0 : -1;
}

static void split(char *text, char *args[ARGS_MAX], size_t *n)
{
    char *rest = NULL;
    for (char *word = strtok_r(text, " ", &rest); word && *n < ARGS_MAX - 1;
         word = strtok_r(NULL, " ", &rest))
        args[(*n)++] = word;
}

static int start(struct swarm *swarm, const char *program, const char *const fixed[], char *more,
                 pid_t *ret_pid, char error[512])
{
    char self[PATH] = "", path[PATH + 64], log[PATH];
    char *args[ARGS_MAX] = {path};
    const char *bin = getenv("MAYFLY_BIN");
    int pipe_fds[2];
    size_t n = 1;
    if (!bin && readlink("/proc/self/exe", self, sizeof self - 1) > 0)
        *strrchr(self, '/') = 0;
    mf_str_format(path, sizeof path, "%s%s/%s", bin ? bin : self, bin ? "" : "/../bin", program);
    for (size_t i = 0; fixed[i]; i++)
        args[n++] = (char *)fixed[i];
    split(more, args, &n);
    mf_str_format(log, sizeof log, "%s/log/%s.log", swarm->settings.state, program);
    if (access(path, X_OK) != 0 || pipe2(pipe_fds, O_CLOEXEC) < 0)
        return fail(error, "cannot run", path);
    *ret_pid = fork();
    if (!*ret_pid)
        become(args, log, pipe_fds[1]);
    close(pipe_fds[1]);
    return await_ready(pipe_fds[0], log, error);
}

static int start_both(struct swarm *swarm, char error[512])
{
    char state[PATH], keys[PATH], key[PATH];
    path_of(swarm, state, "broker");
    path_of(swarm, keys, "keys");
    path_of(swarm, key, "keys/health-0.cert_secret");
    const char *const broker[] = {"--state",  state,
                                  "--keys",   keys,
                                  "--client", "tcp://127.0.0.1:*",
                                  "--worker", "tcp://127.0.0.1:*",
                                  "--tail",   "tcp://127.0.0.1:*",
                                  "--http",   "none",
                                  NULL};
    if (start(swarm, "mayfly-broker", broker, swarm->settings.broker_args, &swarm->cluster.broker, error) <
            0 ||
        read_endpoints(swarm, error) < 0)
        return -1;
    const char *const health[] = {"--broker", swarm->cluster.client, "--key",       key,      "--name",
                                  "health-0", "--pulse-bind",        "127.0.0.1:0", "--http", "none",
                                  NULL};
    return start(swarm, "mayfly-health", health, swarm->settings.health_args, &swarm->cluster.health, error);
}

int swarm_cluster_open(struct swarm *swarm, char error[512])
{
    char path[PATH];
    static const char *const folders[] = {"", "log"};
    for (size_t i = 0; i < 2; i++)
        if (mkdir(path_of(swarm, path, folders[i]), 0755) < 0 && errno != EEXIST)
            return fail(error, "cannot make", path);
    if (make_keys(swarm, error) < 0)
        return -1;
    if (access(path_of(swarm, path, "broker/endpoints"), F_OK) == 0)
        return read_endpoints(swarm, error);
    return start_both(swarm, error);
}

void swarm_cluster_close(struct swarm *swarm)
{
    pid_t pids[] = {swarm->cluster.health, swarm->cluster.broker};
    for (size_t i = 0; i < 2; i++)
        if (pids[i] > 0) {
            kill(pids[i], SIGTERM);
            waitpid(pids[i], NULL, 0);
        }
}
