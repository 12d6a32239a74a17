/* watch.c - sweeps, and what they saw. */
#include "check.h"
#include "checker.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct mf_watch {
    struct mf_watch_report report;
    struct mf_map *seen;
    struct mf_processes *processes;
    struct mf_stand_ins *stand_ins;
    char dir[1024];
    mf_ms now;
};

static mf_ms wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

struct mf_watch *mf_watch_new(const char *state_dir)
{
    struct mf_watch *self = calloc(1, sizeof *self);
    MF_CHECK(self);
    snprintf(self->dir, sizeof self->dir, "%s", state_dir);
    self->seen = mf_map_new();
    self->processes = mf_processes_new(state_dir);
    self->stand_ins = mf_stand_ins_new(state_dir);
    return self;
}

static void seen_free(struct mf_seen *seen)
{
    if (seen->cpu_fd >= 0)
        close(seen->cpu_fd);
    if (seen->console_fd >= 0)
        close(seen->console_fd);
    free(seen->exists.items);
    free(seen->runs.items);
    free(seen->beats.items);
    free(seen);
}

void mf_watch_destroy(struct mf_watch **self)
{
    if (!*self)
        return;
    size_t cursor = 0;
    for (void *seen; mf_map_next((*self)->seen, &cursor, &seen);)
        seen_free(seen);
    mf_map_destroy(&(*self)->seen);
    mf_processes_destroy(&(*self)->processes);
    mf_stand_ins_destroy(&(*self)->stand_ins);
    free(*self);
    *self = NULL;
}

/* -- spans */

static void span_begin(struct mf_spans *spans, mf_ms from, mf_ms to)
{
    spans->items = realloc(spans->items, (spans->n + 1) * sizeof *spans->items);
    MF_CHECK(spans->items);
    spans->items[spans->n++] = (struct mf_span){.from = from, .to = to};
}

/* Seen in this sweep; a span goes on if it was seen in the one before as well. */
static void span_see(struct mf_spans *spans, uint64_t *last_sweep, uint64_t sweep, mf_ms now)
{
    if (spans->n && *last_sweep + 1 >= sweep)
        spans->items[spans->n - 1].to = now;
    else
        span_begin(spans, now, now);
    *last_sweep = sweep;
}

struct mf_seen *mf_watch_saw(struct mf_watch *self, struct mf_uuid id, const char *node)
{
    struct mf_seen *seen = mf_map_get_uuid(self->seen, id);
    if (!seen) {
        seen = calloc(1, sizeof *seen);
        MF_CHECK(seen);
        seen->id = id;
        seen->cpu_fd = seen->console_fd = -1;
        snprintf(seen->node, sizeof seen->node, "%s", node);
        mf_map_put(self->seen, id.bytes, sizeof id.bytes, seen);
    }
    span_see(&seen->exists, &seen->exists_sweep, self->report.sweeps, self->now);
    return seen;
}

void mf_watch_runs(struct mf_watch *self, struct mf_seen *seen)
{
    seen->began = true;
    span_see(&seen->runs, &seen->runs_sweep, self->report.sweeps, self->now);
}

/* The span is neither ended nor made longer: seen again, it goes on. */
void mf_watch_blind(struct mf_watch *self, const char *node)
{
    size_t cursor = 0;
    uint64_t before = self->report.sweeps - 1;
    for (void *item; mf_map_next(self->seen, &cursor, &item);) {
        struct mf_seen *seen = item;
        if (strcmp(seen->node, node) != 0)
            continue;
        if (seen->exists_sweep == before)
            seen->exists_sweep++;
        if (seen->runs_sweep == before)
            seen->runs_sweep++;
    }
}

mf_ms mf_watch_now(const struct mf_watch *self)
{
    return self->now;
}

/* -- consoles */

static void open_console(struct mf_watch *self, struct mf_seen *seen)
{
    char path[1400], id[MF_UUID_TEXT];
    snprintf(path, sizeof path, "%s/nodes/%s/instances/%s/console.log", self->dir, seen->node,
             mf_uuid_text(seen->id, id));
    seen->console_fd = open(path, O_RDONLY | O_CLOEXEC);
    seen->console_ms = self->now;
}

/* The newest whole line of the form "mayfly: beat NAME NUMBER"; the tail of what came is enough. */
static bool find_beat(struct mf_seen *seen, char *text)
{
    static const char word[] = "mayfly: beat ";
    bool found = false;
    for (char *at = text, *end; (at = strstr(at, word)); at = end) {
        char name[200];
        unsigned long long number;
        at += sizeof word - 1;
        end = at;
        if (!strchr(at, '\n') || sscanf(at, "%199s %llu", name, &number) != 2)
            continue;
        snprintf(seen->beat_name, sizeof seen->beat_name, "%s", name);
        found = found || number > seen->beat;
        seen->beat = number > seen->beat ? number : seen->beat;
    }
    return found;
}

/* It beat at some moment after the look before and up to now: the span that is certain begins now, when the
 * first was seen, and ends at the look before the last. */
static void note_beat(struct mf_seen *seen, mf_ms before, mf_ms now)
{
    if (!seen->beats.n)
        span_begin(&seen->beats, now, now);
    else if (before > seen->beats.items[0].to)
        seen->beats.items[0].to = before;
}

static void read_console(struct mf_watch *self, struct mf_seen *seen)
{
    char text[4096];
    if (seen->console_fd < 0)
        open_console(self, seen);
    off_t size = seen->console_fd >= 0 ? lseek(seen->console_fd, 0, SEEK_END) : 0;
    if (size != seen->console_size) {
        off_t from = size > (off_t)sizeof text - 1 ? size - (off_t)sizeof text + 1 : 0;
        ssize_t n = pread(seen->console_fd, text, sizeof text - 1, from);
        text[n > 0 ? n : 0] = 0;
        seen->console_size = size;
        if (find_beat(seen, text))
            note_beat(seen, seen->console_ms, self->now);
    }
    seen->console_ms = self->now;
}

/* -- a sweep */

void mf_watch_sweep(struct mf_watch *self)
{
    struct mf_watch_report *report = &self->report;
    self->now = wall_ms();
    report->sweeps++;
    if (!report->first_ms)
        report->first_ms = self->now;
    else if (self->now - report->last_ms > report->longest_ms)
        report->longest_ms = self->now - report->last_ms;
    report->last_ms = self->now;
    mf_processes_sweep(self->processes, self);
    mf_stand_ins_sweep(self->stand_ins, self);
    size_t cursor = 0;
    for (void *item; mf_map_next(self->seen, &cursor, &item);) {
        struct mf_seen *seen = item;
        if (seen->pid && seen->exists_sweep == report->sweeps)
            read_console(self, seen);
    }
}

struct mf_watch_report mf_watch_report(const struct mf_watch *self)
{
    return self->report;
}

const struct mf_map *mf_watch_seen(const struct mf_watch *self)
{
    return self->seen;
}

/* -- /proc */

size_t mf_read_text(const char *path, char *to, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t n;
    while (fd >= 0 && len < size - 1 && (n = read(fd, to + len, size - 1 - len)) > 0)
        len += (size_t)n;
    if (fd >= 0)
        close(fd);
    to[len] = 0;
    return len;
}

char mf_process_state(pid_t pid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    mf_read_text(path, text, sizeof text);
    const char *after = strrchr(text, ')');
    return after && after[1] == ' ' ? after[2] : 'Z';
}
