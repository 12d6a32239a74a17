/* skew.c - preloaded into a dev cluster's programs: the wall clock of one node jumps.
 *
 * DIR/skew/NODE holds a number of milliseconds, as text; it is added to what every process of that node is
 * told of the wall clock. Which node that is says the command line: a path with /nodes/NODE in it. Clocks
 * that count on (monotonic, since boot) are left alone, as by a host whose date is set. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const char *skew; /* mapped; NULL where nothing jumps */

__attribute__((constructor)) static void find_node(void)
{
    static char text[65536];
    char path[2048], node[64] = "";
    const char *dir = getenv("MAYFLY_SKEW_DIR");
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
    if (fd >= 0)
        close(fd);
    for (ssize_t i = 0; i < n; i++)
        if (!text[i])
            text[i] = ' ';
    const char *at = strstr(text, "/nodes/");
    if (!dir || !at || sscanf(at, "/nodes/%63[a-z0-9-]", node) != 1)
        return;
    snprintf(path, sizeof path, "%s/%s", dir, node);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    void *map = fd >= 0 ? mmap(NULL, 32, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (fd >= 0)
        close(fd);
    skew = map == MAP_FAILED ? NULL : map;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    int r = real(clock, now);
    if (r == 0 && skew && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += strtoll(skew, NULL, 10) / 1000;
    return r;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec exact;
    int r = clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return r;
}

time_t time(time_t *ret)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (ret)
        *ret = now.tv_sec;
    return now.tv_sec;
}
