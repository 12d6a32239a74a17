/* log_line.h - one line of a program's log, as logfmt or as one JSON object. Who writes it where is the
 * program's. Nothing here allocates. */
#ifndef MF_LOG_LINE_H
#define MF_LOG_LINE_H

#include "message.h"

enum mf_log_format { MF_LOG_LOGFMT, MF_LOG_JSON };

/* What MAYFLY_LOG_FORMAT says is the default of --log-format; logfmt without either. A word that is neither
 * format is -EINVAL with a sentence. */
#define MF_LOG_FORMAT_VARIABLE "MAYFLY_LOG_FORMAT"
int mf_log_format_choose(const char *flag, enum mf_log_format *ret_format, char error[512]);

struct mf_log_words {
    mf_ms wall_ms;
    const char *level, *program, *name, *message; /* name: may be empty */
    const char *pairs; /* key=value, values quoted by mf_log_quote where that is needed; may be NULL */
};
struct mf_log_line {
    char bytes[4096]; /* with the end of line; not terminated */
    size_t len;
    bool full; /* what came after did not fit */
};
/* Bytes from outside begin no line, move no cursor and end no string. A line that is too long is cut and says
 * so by "...". JSON: every value is a string; a key of the pairs that the head has already gets a "_". */
void mf_log_line(struct mf_log_line *ret_line, enum mf_log_format format, const struct mf_log_words *words);

/* A value of such a pair, quoted and escaped: mf_log(..., "error=%s", mf_log_quote(error, quoted)). Returns
 * quoted. */
const char *mf_log_quote(const char *text, char quoted[512]);

#endif
