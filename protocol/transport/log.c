/* log.c - one line, one write(2), to stderr. */
#include "program.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static struct {
    char program[64], name[MF_NAME_MAX + 1];
    enum mf_log_level level;
    enum mf_log_format format;
} identity = {.program = "mayfly", .level = MF_LOG_INFO};

void mf_log_open(const char *program, const char *name, enum mf_log_level level)
{
    mf_str_format(identity.program, sizeof(identity.program), "%s", program);
    mf_str_format(identity.name, sizeof(identity.name), "%s", name ? name : "");
    identity.level = level;
}

int mf_log_format_open(const char *flag, char error[512])
{
    return mf_log_format_choose(flag, &identity.format, error);
}

void mf_log(enum mf_log_level level, const char *message, const char *format, ...)
{
    static const char *const levels[] = {"error", "warning", "info", "debug"};
    struct mf_log_line line;
    char pairs[sizeof(line.bytes)] = "";
    if (level > identity.level)
        return;
    if (format) {
        va_list args;
        va_start(args, format);
        vsnprintf(pairs, sizeof(pairs), format, args);
        va_end(args);
    }
    struct mf_log_words words = {mf_wall(), levels[level], identity.program, identity.name, message, pairs};
    mf_log_line(&line, identity.format, &words);
    ssize_t written = write(STDERR_FILENO, line.bytes, line.len);
    (void)written; /* where would one complain */
}
