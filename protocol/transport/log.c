/* log.c - one line, one write(2), to stderr, in logfmt. A line longer than its buffer is cut and says so. */
#include "program.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 4096 };

static struct {
    char program[64], name[MF_NAME_MAX + 1];
    enum mf_log_level level;
} identity = {.program = "mayfly", .level = MF_LOG_INFO};

struct line {
    char bytes[LINE_MAX_BYTES];
    size_t len;
};

void mf_log_open(const char *program, const char *name, enum mf_log_level level)
{
    mf_str_format(identity.program, sizeof(identity.program), "%s", program);
    mf_str_format(identity.name, sizeof(identity.name), "%s", name ? name : "");
    identity.level = level;
}

static void put(struct line *line, const char *bytes, size_t len)
{
    size_t room = sizeof(line->bytes) - 8 - line->len; /* for "...\n" and an escape */
    if (len > room)
        len = room;
    memcpy(line->bytes + line->len, bytes, len);
    line->len += len;
}

/* Nothing that came from outside may begin a line of its own or move a terminal's cursor. */
static void put_safe(struct line *line, const char *text, bool quoted)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        char escape[5] = "";
        if (c == '\n')
            strncpy(escape, "\\n", 3);
        else if (c < ' ' || c == 0x7f)
            mf_str_format(escape, sizeof(escape), "\\x%02x", c);
        else if (quoted && (c == '"' || c == '\\'))
            mf_str_format(escape, sizeof(escape), "\\%c", c);
        if (escape[0])
            put(line, escape, strlen(escape));
        else
            put(line, text, 1);
    }
}

static void put_head(struct line *line, enum mf_log_level level)
{
    static const char *const words[] = {"error", "warning", "info", "debug"};
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    char head[256];
    struct mf_str s = mf_str_format(
        head, sizeof(head), "time=%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ level=%s program=%s%s%s msg=\"",
        tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, now.tv_nsec / 1000000,
        words[level], identity.program, identity.name[0] ? " name=" : "", identity.name);
    put(line, s.ptr, s.len);
}

void mf_log(enum mf_log_level level, const char *message, const char *format, ...)
{
    if (level > identity.level)
        return;
    struct line line = {.len = 0};
    char pairs[LINE_MAX_BYTES] = "";
    if (format) {
        va_list args;
        va_start(args, format);
        vsnprintf(pairs, sizeof(pairs), format, args);
        va_end(args);
    }
    put_head(&line, level);
    put_safe(&line, message, true);
    put(&line, "\" ", pairs[0] ? 2 : 1);
    put_safe(&line, pairs, false);
    if (line.len >= sizeof(line.bytes) - 8) {
        memcpy(line.bytes + line.len, "...", 3);
        line.len += 3;
    }
    line.bytes[line.len++] = '\n';
    ssize_t written = write(STDERR_FILENO, line.bytes, line.len);
    (void)written; /* where would one complain */
}

const char *mf_log_quote(const char *text, char quoted[512])
{
    struct line line = {.len = 0};
    put(&line, "\"", 1);
    put_safe(&line, text, true);
    if (line.len > 512 - 2)
        line.len = 512 - 2;
    /* never end in the middle of an escape, which would swallow the closing quote */
    size_t backslashes = 0;
    while (backslashes + 1 < line.len && line.bytes[line.len - 1 - backslashes] == '\\')
        backslashes++;
    line.len -= backslashes % 2;
    memcpy(quoted, line.bytes, line.len);
    quoted[line.len] = '"';
    quoted[line.len + 1] = 0;
    return quoted;
}
