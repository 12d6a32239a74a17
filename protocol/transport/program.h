/* program.h - what every program of ours does alike: flags over a YAML file over defaults, logging to stderr,
 * signals, sd_notify-like readiness, a pid file, a panic hook. Libraries never log; programs do. */
#ifndef MF_PROGRAM_H
#define MF_PROGRAM_H

#include "log_line.h"
#include "message.h"
#include "notify.h"
#include <sys/types.h>

/* One table per program says its settings; `mf_settings_load` reads the command line and --config FILE into a
 * struct. Unknown YAML keys, wrong types and out-of-range values are errors with file, line and key; so are
 * unknown flags (exit 2). */
enum mf_setting_kind {
    MF_SET_STRING,
    MF_SET_INT,
    MF_SET_BOOL,
    MF_SET_MS,
    MF_SET_LABELS /* k=v, repeatable; YAML mapping */
};
struct mf_setting {
    const char *name; /* "pulse-ms": flag --pulse-ms, YAML key pulse_ms */
    enum mf_setting_kind kind;
    size_t offset;        /* STRING: char *; INT, MS: int64_t; BOOL: bool; LABELS: struct mf_labels */
    int64_t min, max;     /* INT, MS; STRING: length */
    const char *standard; /* default as text; NULL: empty/0/required if `required` */
    bool required;
    const char *doc;
};
/* 0; 1 when --help or --version was answered or --check-config found nothing wrong (exit 0); -EINVAL with the
 * message already complete in error (exit 2). Strings and labels are owned by the settings struct's arena. */
int mf_settings_load(const char *program, const char *purpose, const struct mf_setting *table, size_t n,
                     int argc, char **argv, struct mf_arena *arena, void *ret_settings, char error[1024]);

enum mf_log_level { MF_LOG_ERROR, MF_LOG_WARNING, MF_LOG_INFO, MF_LOG_DEBUG };
void mf_log_open(const char *program, const char *name, enum mf_log_level level);
/* --log-format of every program: the flag's word, MAYFLY_LOG_FORMAT's or logfmt; -EINVAL with a sentence. */
#define MF_LOG_FORMAT_DOC                                                                                    \
    "Log lines as logfmt or json; the default is what MAYFLY_LOG_FORMAT says, else logfmt"
int mf_log_format_open(const char *flag, char error[512]);
/* One line: time, level, program, name, msg="...", then the key=value pairs already in `format` (log_line.h).
 */
void mf_log(enum mf_log_level level, const char *message, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Block SIGTERM, SIGINT, SIGHUP (call first of all, before any thread) and return a signalfd of them; SIGPIPE
 * is ignored. */
int mf_signals_open(void);
int mf_signals_read(int fd); /* the signal, or 0 */

/* Make the directory if it is not there, and see that it can be written to. 0, or negative errno with what to
 * do about it. */
int mf_state_dir(const char *path, mode_t mode, char error[512]);
/* Write "PID\n" to path, exclusively locked for the life of the process. -EBUSY if another live process holds
 * it. NULL path: nothing. */
int mf_pidfile(const char *path, char error[512]);
/* Say that the program is ready: to NOTIFY_SOCKET (notify.h), and "ready <text>\n" to the fd in
 * MAYFLY_READY_FD if set, which is then closed. */
void mf_ready(const char *text);

mf_ms mf_now(void);  /* CLOCK_BOOTTIME, ms */
mf_ms mf_wall(void); /* CLOCK_REALTIME, ms */

/* Warn if this machine's wall clock and the broker's, as a welcome tells it (0: it does not), lie far apart.
 */
void mf_clock_compare(uint64_t broker_ms);

#endif
