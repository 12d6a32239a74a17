/* driver_world.c - see driver_world.h. */
#include "driver_world.h"
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

char mf_world_root[64];

/* ---- phases */

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    return remove(path) == 0 || errno == ENOENT ? 0 : -1;
}

static void kill_ours(void *arg, pid_t pid, struct mf_uuid id, const char *command_line)
{
    if (strstr(command_line, mf_world_root))
        (void)mf_process_kill_guest(pid, id, 5000);
}

static void clean(void)
{
    const char *path = mf_world_path("null.pid");
    char text[32] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (read(fd, text, sizeof text - 1) > 0 && atoi(text) > 1)
            kill(atoi(text), SIGKILL);
        close(fd);
    }
    mf_process_each_guest(kill_ours, NULL);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
        ;
    (void)nftw(mf_world_root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static int run_phase(int (*phase)(void))
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        exit(phase() ? 1 : 0);
    }
    for (int status;;) {
        pid_t pid = waitpid(-1, &status, 0);
        if (pid == child)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
        if (pid < 0 && errno != EINTR)
            return 1;
    }
}

int mf_world_run(int (*const phases[])(void), size_t n)
{
    snprintf(mf_world_root, sizeof mf_world_root, "%s", "/tmp/mf-driver-XXXXXX");
    if (!mkdtemp(mf_world_root) || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) {
        perror("driver_world");
        return 1;
    }
    int r = 0;
    for (size_t i = 0; i < n && r == 0; i++)
        r = run_phase(phases[i]);
    clean();
    return r;
}

/* ---- small things */

struct mf_uuid mf_world_id(void)
{
    static struct mf_random random;
    static bool seeded;
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    if (!seeded)
        mf_random_seed(&random, (uint64_t)ts.tv_nsec ^ (uint64_t)getpid() << 32);
    seeded = true;
    return mf_uuid_make(&random, (mf_ms)ts.tv_sec * 1000 + ts.tv_nsec / 1000000);
}

const char *mf_world_path(const char *format, ...)
{
    static char turns[8][512];
    static unsigned turn;
    char *path = turns[turn++ % 8];
    int n = snprintf(path, sizeof turns[0], "%s/", mf_world_root);
    va_list args;
    va_start(args, format);
    vsnprintf(path + n, sizeof turns[0] - (size_t)n, format, args);
    va_end(args);
    return path;
}

bool mf_world_exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

bool mf_world_file_has(const char *path, const char *text)
{
    static char content[1 << 20];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, content, sizeof content);
    if (fd >= 0)
        close(fd);
    return n > 0 && memmem(content, (size_t)n, text, strlen(text));
}

void mf_world_write(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        abort();
    close(fd);
}

const char *mf_world_seed(const char *id, const char *user_data)
{
    char meta[256], said[256];
    const char *folder = mf_world_path("seed-%s", id), *iso = mf_world_path("seed-%s.iso", id);
    mkdir(folder, 0755);
    snprintf(meta, sizeof meta, "instance-id: %s\nlocal-hostname: guest\n", id);
    mf_world_write(mf_world_path("seed-%s/meta-data", id), meta);
    mf_world_write(mf_world_path("seed-%s/user-data", id), user_data);
    const char *const argv[] = {"genisoimage", "-quiet", "-V", "cidata", "-r", "-J", "-o", iso, folder, NULL};
    int status = 0;
    if (mf_process_run(argv, 10000, &status, said, sizeof said) < 0 || status != 0)
        abort();
    return iso;
}

void mf_world_pause(void)
{
    (void)poll(NULL, 0, 5);
}

/* ---- deaths */

struct death {
    struct mf_uuid id;
    enum mf_death how;
};
static struct death deaths[4096];
static size_t n_deaths;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void mf_world_died(void *arg, struct mf_uuid id, enum mf_death how, const char *text)
{
    pthread_mutex_lock(&lock);
    if (n_deaths < sizeof deaths / sizeof *deaths)
        deaths[n_deaths++] = (struct death){id, how};
    pthread_mutex_unlock(&lock);
}

static enum mf_death told(struct mf_uuid id)
{
    enum mf_death how = MF_DEATH_UNSET;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < n_deaths && !how; i++)
        if (mf_uuid_eq(deaths[i].id, id))
            how = deaths[i].how;
    pthread_mutex_unlock(&lock);
    return how;
}

bool mf_world_told(struct mf_uuid id)
{
    return told(id) != MF_DEATH_UNSET;
}

enum mf_death mf_world_await_death(struct mf_uuid id, mf_ms limit_ms)
{
    mf_ms end = mf_monotonic_ms() + limit_ms;
    enum mf_death how;
    while (!(how = told(id)) && mf_monotonic_ms() < end)
        mf_world_pause();
    return how;
}
