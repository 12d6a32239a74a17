/* main.c - mayfly-checker: watches a dev cluster until the event log comes in on stdin, then judges.
 *
 *   mayfly events -o json | mayfly-checker --state DIR      judges at once what it sees in one sweep
 *
 * A test starts it with a pipe and writes the log when its story is over. One JSON object on stdout; exit 0
 * if nothing is wrong, 1 if something is, 2 for misuse. */
#include "checker.h"
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

struct options {
    const char *state;
    long interval_ms;
    int progress; /* where each sweep is noted; -1 */
    struct mf_judge_options judge;
};

static const char usage[] =
    "usage: mayfly-checker --state DIR [FLAGS] < EVENTS\n"
    "Watches what truly runs in a dev cluster until events come in, one JSON object a line, as\n"
    "`mayfly events -o json` prints them; then says whether I2, I3, I5 and I7 held.\n"
    "  --interval-ms N   between two sweeps (20)\n"
    "  --told-ms N       a node that was told of an end carries it out within this (10000)\n"
    "  --report-ms N     a guest's end is in the log within this; 0: looked at only at the end (0)\n"
    "  --settle-ms N     what the log says in its last moments may not be true yet (5000)\n"
    "  --allow-ms N      two generations of an at-most slot may overlap so long: a whole host was paused "
    "(0)\n"
    "  --progress FD     after each sweep, its number and time (ms, monotonic) are written there, from its "
    "beginning\n"
    "  --single GROUPS   groups that are held to I3 though they are not at-most, blank-separated\n";

static bool take_number(const char *text, long most, mf_ms *ret)
{
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (errno || *end || end == text || number < 0 || number > most)
        return false;
    *ret = number;
    return true;
}

static int parse(int argc, char **argv, struct options *options)
{
    static const struct option flags[] = {{"state", required_argument, NULL, 's'},
                                          {"interval-ms", required_argument, NULL, 'i'},
                                          {"told-ms", required_argument, NULL, 't'},
                                          {"report-ms", required_argument, NULL, 'r'},
                                          {"settle-ms", required_argument, NULL, 'e'},
                                          {"allow-ms", required_argument, NULL, 'a'},
                                          {"progress", required_argument, NULL, 'p'},
                                          {"single", required_argument, NULL, 'g'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    enum { DAY_MS = 86400000 };
    mf_ms interval = 20, progress = -1;
    bool ok = true;
    for (int flag; ok && (flag = getopt_long(argc, argv, "", flags, NULL)) != -1;) {
        if (flag == 's')
            options->state = optarg;
        else if (flag == 'g')
            options->judge.single = optarg;
        else if (flag == 'h') {
            fputs(usage, stdout);
            exit(0);
        } else
            ok = flag != '?' && take_number(optarg, DAY_MS,
                                            flag == 'i'   ? &interval
                                            : flag == 'p' ? &progress
                                            : flag == 't' ? &options->judge.told_ms
                                            : flag == 'r' ? &options->judge.report_ms
                                            : flag == 'e' ? &options->judge.settle_ms
                                                          : &options->judge.allow_ms);
    }
    options->interval_ms = interval;
    options->progress = (int)progress;
    if (ok && options->state && optind == argc && interval > 0)
        return 0;
    fputs(usage, stderr);
    return -EINVAL;
}

static mf_ms monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/* For who must not go on before it was seen. */
static void note_progress(int fd, uint64_t sweeps)
{
    char text[48];
    int n = snprintf(text, sizeof text, "%020" PRIu64 " %020lld\n", sweeps, (long long)monotonic_ms());
    if (fd >= 0 && pwrite(fd, text, (size_t)n, 0) != n)
        perror("mayfly-checker: --progress");
}

/* Sweeps at even times until stdin has something, or ends. */
static void watch_until_told(struct mf_watch *watch, long interval_ms, int progress)
{
    struct pollfd poll_fd = {.fd = STDIN_FILENO, .events = POLLIN};
    mf_ms next = monotonic_ms();
    uint64_t sweeps = 0;
    do {
        mf_watch_sweep(watch);
        note_progress(progress, ++sweeps);
        next += interval_ms;
        mf_ms now = monotonic_ms();
        next = next < now ? now : next; /* what was missed is not made up for */
        poll(&poll_fd, 1, (int)(next - now));
    } while (!poll_fd.revents);
    mf_watch_sweep(watch);
}

static int say(json_t *verdict)
{
    json_int_t wrong = 0;
    for (const char *const *name = (const char *const[]){"I2", "I3", "I5", "I7", NULL}; *name; name++)
        wrong += json_integer_value(json_object_get(verdict, *name));
    json_dumpf(verdict, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
    fputc('\n', stdout);
    json_decref(verdict);
    return wrong ? 1 : 0;
}

int main(int argc, char **argv)
{
    struct options options = {.judge = {.told_ms = 10000, .settle_ms = 5000}};
    struct rlimit files;
    char error[512], state[PATH_MAX];
    if (parse(argc, argv, &options) < 0)
        return 2;
    if (!realpath(options.state, state)) {
        fprintf(stderr, "mayfly-checker: --state %s: %s\n", options.state, strerror(errno));
        return 2;
    }
    if (!getrlimit(RLIMIT_NOFILE, &files)) { /* two for each guest that was ever seen */
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    (void)!nice(-10); /* where it is allowed: whoever watches must not be the one who waits */
    struct mf_watch *watch = mf_watch_new(state);
    watch_until_told(watch, options.interval_ms, options.progress);
    json_t *verdict = mf_judge(watch, &options.judge, stdin, error);
    mf_watch_destroy(&watch);
    if (verdict)
        return say(verdict);
    fprintf(stderr, "mayfly-checker: %s\n", error);
    return 2;
}
