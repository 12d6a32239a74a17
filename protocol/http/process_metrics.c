/* process_metrics.c - what the kernel says of this process. */
#include "exposition.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct stat_line { /* of /proc/self/stat, from field 14 on; proc(5) */
    unsigned long utime, stime, vsize;
    unsigned long long started;
    long threads, pages;
};

static bool read_stat(struct stat_line *ret_line)
{
    char text[1024];
    FILE *file = fopen("/proc/self/stat", "re");
    size_t n = file ? fread(text, 1, sizeof(text) - 1, file) : 0;

    if (file)
        fclose(file);
    text[n] = 0;
    const char *rest = strrchr(text, ')'); /* the name before it may hold anything */
    return rest &&
           sscanf(rest + 1,
                  " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %ld %*d %llu %lu %ld",
                  &ret_line->utime, &ret_line->stime, &ret_line->threads, &ret_line->started,
                  &ret_line->vsize, &ret_line->pages) == 6;
}

/* Newer kernels say it as the directory's size. */
static double count_fds(void)
{
    struct stat st;
    double n = 0;

    if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0)
        return (double)st.st_size;
    DIR *dir = opendir("/proc/self/fd");
    for (const struct dirent *entry; dir && (entry = readdir(dir));)
        n += entry->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return n > 0 ? n - 1 : 0; /* the directory itself */
}

static double seconds(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Once: the wall clock may jump, the start does not. */
static double started_at(unsigned long long ticks)
{
    static double at;

    if (at == 0)
        at = seconds(CLOCK_REALTIME) - seconds(CLOCK_BOOTTIME) + (double)ticks / (double)sysconf(_SC_CLK_TCK);
    return at;
}

void mf_metrics_process(struct mf_buf *buf)
{
    struct stat_line line;
    struct rlimit files = {0};
    double tick = (double)sysconf(_SC_CLK_TCK);

    mf_metric_begin(buf, "mayfly_build_info", MF_GAUGE, "Always 1; the version is its label.");
    mf_metric_sample(buf, "mayfly_build_info", "version", MAYFLY_VERSION, 1);
    if (!read_stat(&line))
        return;
    getrlimit(RLIMIT_NOFILE, &files);
    mf_metric_one(buf, "process_cpu_seconds_total", MF_COUNTER, "CPU time of the process, user and system.",
                  (double)(line.utime + line.stime) / tick);
    mf_metric_one(buf, "process_resident_memory_bytes", MF_GAUGE, "Resident memory of the process.",
                  (double)line.pages * (double)sysconf(_SC_PAGESIZE));
    mf_metric_one(buf, "process_virtual_memory_bytes", MF_GAUGE, "Virtual memory of the process.",
                  (double)line.vsize);
    mf_metric_one(buf, "process_start_time_seconds", MF_GAUGE, "When the process began, since 1970.",
                  started_at(line.started));
    mf_metric_one(buf, "process_threads", MF_GAUGE, "Threads of the process.", (double)line.threads);
    mf_metric_one(buf, "process_open_fds", MF_GAUGE, "Open descriptors.", count_fds());
    mf_metric_one(buf, "process_max_fds", MF_GAUGE, "Descriptors that may be open.", (double)files.rlim_cur);
}
