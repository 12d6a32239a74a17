/* checker.h - what truly runs, seen from outside: the checker asks neither the broker nor libvirt.
 *
 * Watching (watch_*.c): every 20 ms it looks at all processes of a dev cluster's guests, at how long their
 * virtual processors ran, at the consoles that beating guests write (deploy/images/tiny, label beat), and at
 * the tables of the null driver's stand-ins. What it saw is kept as spans of time.
 *
 * Judging (judge.c): given the event log at the end, it compares: I2, I3, I5 and I7 of the design. A span is
 * what was certainly so: it begins at the sweep that saw it first and ends at the sweep that saw it last. */
#ifndef MF_CHECKER_H
#define MF_CHECKER_H

#include "map.h"
#include <jansson.h>
#include <stdio.h>
#include <sys/types.h>

struct mf_span {
    mf_ms from, to; /* wall clock */
};
struct mf_spans {
    struct mf_span *items;
    size_t n;
};

struct mf_seen { /* one guest, as its machine shows it */
    struct mf_uuid id;
    char node[64];
    char beat_name[200];    /* what it says of itself on its console */
    struct mf_spans exists; /* a process, or a row of a stand-in */
    struct mf_spans runs;   /* its virtual processor began to run, and it is not stopped */
    struct mf_spans beats;  /* its console grew */
    uint64_t beat;          /* the newest */
    /* of the watch */
    uint64_t exists_sweep, runs_sweep; /* the newest it was seen in */
    bool began;
    pid_t pid;
    int cpu_fd, console_fd; /* its first virtual processor's schedstat, and its console; -1 */
    off_t console_size;
    mf_ms console_ms; /* when it was looked at last */
};

struct mf_watch; /* watch.c */

struct mf_watch_report {
    uint64_t sweeps;
    mf_ms first_ms, last_ms, longest_ms; /* longest: between two sweeps */
};

struct mf_watch *mf_watch_new(const char *state_dir);
void mf_watch_destroy(struct mf_watch **self);
void mf_watch_sweep(struct mf_watch *self);
struct mf_watch_report mf_watch_report(const struct mf_watch *self);
const struct mf_map *mf_watch_seen(const struct mf_watch *self); /* struct mf_seen by id */

/* watch_processes.c, watch_null.c: the two kinds of guests; called once in each sweep */
struct mf_processes;
struct mf_processes *mf_processes_new(const char *state_dir);
void mf_processes_destroy(struct mf_processes **self);
void mf_processes_sweep(struct mf_processes *self, struct mf_watch *watch);
struct mf_stand_ins;
struct mf_stand_ins *mf_stand_ins_new(const char *state_dir);
void mf_stand_ins_destroy(struct mf_stand_ins **self);
void mf_stand_ins_sweep(struct mf_stand_ins *self, struct mf_watch *watch);

/* For these two: a guest is there now, maybe running. */
struct mf_seen *mf_watch_saw(struct mf_watch *self, struct mf_uuid id, const char *node);
void mf_watch_runs(struct mf_watch *self, struct mf_seen *seen);
/* Nobody could look at this node: what was there before is taken to go on. */
void mf_watch_blind(struct mf_watch *self, const char *node);
mf_ms mf_watch_now(const struct mf_watch *self);

size_t mf_read_text(const char *path, char *to, size_t size); /* terminated; 0 if it cannot be read */
char mf_process_state(pid_t pid);                             /* as in /proc/PID/stat; Z if it is gone */

/* judge.c */
struct mf_judge_options {
    mf_ms told_ms;      /* a node that was told needs at most this long */
    mf_ms report_ms;    /* a guest's end is in the log after at most this long; 0: only at the end */
    mf_ms settle_ms;    /* what the log says shortly before the end need not be true yet */
    mf_ms allow_ms;     /* I3: this much is allowed (a whole host was paused) */
    const char *single; /* groups held to I3 whatever their policy, blank-separated; NULL for none */
};
/* Reads events, one JSON object a line, to the end. The verdict, or NULL with a sentence. */
json_t *mf_judge(const struct mf_watch *watch, const struct mf_judge_options *options, FILE *events,
                 char error[512]);

#endif
