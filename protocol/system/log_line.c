/* log_line.c - a line is put together of pieces that fit whole or not at all, so that no cut breaks an
 * escape, a character or the object. The pairs come as logfmt; for JSON they are taken apart again, quotes
 * and escapes undone. */
#include "log_line.h"

#include "codec.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TAIL_MAX = 8 /* ..."} and the end of line */, STAMP_MAX = 32 };

int mf_log_format_choose(const char *flag, enum mf_log_format *ret_format, char error[512])
{
    const char *variable = getenv(MF_LOG_FORMAT_VARIABLE), *word = "logfmt";
    bool flagged = flag && *flag;

    if (flagged || (variable && *variable))
        word = flagged ? flag : variable;
    if (strcmp(word, "logfmt") != 0 && strcmp(word, "json") != 0) {
        mf_str_format(error, 512, "%s: \"%.60s\" is neither logfmt nor json",
                      flagged ? "--log-format" : MF_LOG_FORMAT_VARIABLE, word);
        return -EINVAL;
    }
    *ret_format = *word == 'j' ? MF_LOG_JSON : MF_LOG_LOGFMT;
    return 0;
}

static void put(struct mf_log_line *line, const char *bytes, size_t len)
{
    if (line->full || line->len + len > sizeof(line->bytes) - TAIL_MAX) {
        line->full = true;
        return;
    }
    memcpy(line->bytes + line->len, bytes, len);
    line->len += len;
}

static void put_text(struct mf_log_line *line, const char *text)
{
    put(line, text, strlen(text));
}

static void end(struct mf_log_line *line, const char *tail)
{
    size_t len = strlen(tail);
    memcpy(line->bytes + line->len, tail, len);
    line->len += len;
}

static void put_stamp(struct mf_log_line *line, mf_ms wall_ms)
{
    char stamp[STAMP_MAX + 16];
    struct tm tm;
    time_t seconds = (time_t)(wall_ms / 1000);
    gmtime_r(&seconds, &tm);
    size_t len = strftime(stamp, STAMP_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(stamp + len, sizeof(stamp) - len, ".%03dZ", (int)(wall_ms % 1000));
    put_text(line, stamp);
}

/* -- logfmt */

/* Nothing that came from outside may begin a line of its own or move a terminal's cursor. */
static void put_safe(struct mf_log_line *line, const char *text, bool quoted)
{
    for (; *text && !line->full; text++) {
        unsigned char c = (unsigned char)*text;
        char escape[8] = {*text};
        if (c == '\n')
            memcpy(escape, "\\n", 3);
        else if (c < ' ' || c == 0x7f)
            snprintf(escape, sizeof(escape), "\\x%02x", c);
        else if (quoted && (c == '"' || c == '\\'))
            snprintf(escape, sizeof(escape), "\\%c", c);
        put_text(line, escape);
    }
}

static void make_logfmt(struct mf_log_line *line, const struct mf_log_words *words)
{
    put_text(line, "time=");
    put_stamp(line, words->wall_ms);
    put_text(line, " level=");
    put_text(line, words->level);
    put_text(line, " program=");
    put_text(line, words->program);
    if (words->name[0]) {
        put_text(line, " name=");
        put_safe(line, words->name, false);
    }
    put_text(line, " msg=\"");
    put_safe(line, words->message, true);
    put_text(line, "\"");
    if (words->pairs && *words->pairs) {
        put_text(line, " ");
        put_safe(line, words->pairs, false);
    }
    end(line, line->full ? "...\n" : "\n");
}

const char *mf_log_quote(const char *text, char quoted[512])
{
    struct mf_log_line line = {.len = 0};
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

/* -- JSON */

/* How many bytes the character at `text` has; 0 if it is none. */
static size_t character(const char *text, size_t left)
{
    unsigned char lead = (unsigned char)*text;
    size_t len = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (len > left || !mf_utf8_valid((struct mf_str){text, (uint32_t)len}))
        return 0;
    return len;
}

static void put_json(struct mf_log_line *line, const char *text, size_t len)
{
    for (size_t i = 0; i < len && !line->full;) {
        unsigned char c = (unsigned char)text[i];
        size_t n = character(text + i, len - i);
        char escape[8];
        if (n == 0)
            put_text(line, "\xef\xbf\xbd"); /* U+FFFD stands for what is no character */
        else if (c < ' ' || c == 0x7f)
            snprintf(escape, sizeof(escape), "\\u%04x", c), put_text(line, escape);
        else if (c == '"' || c == '\\')
            put(line, (const char[]){'\\', (char)c}, 2);
        else
            put(line, text + i, n);
        i += n ? n : 1;
    }
}

/* What finds no room leaves its trace at the end of the string before it. */
static void say_cut(struct mf_log_line *line)
{
    line->len--;
    end(line, "...\"");
}

/* `,"key":"`, or nothing of it. A key that the head has already gets a "_". */
static bool open_string(struct mf_log_line *line, const char *key, size_t len, bool of_head)
{
    static const char *const head[] = {"time", "level", "program", "name", "msg"};
    struct mf_log_line piece = {.len = 0};
    bool taken = false;
    for (size_t i = 0; !of_head && i < sizeof(head) / sizeof(head[0]); i++)
        taken |= strlen(head[i]) == len && memcmp(key, head[i], len) == 0;
    put_text(&piece, line->len == 0 ? "{\"" : ",\"");
    put_json(&piece, key, len);
    put_text(&piece, taken ? "_\":\"" : "\":\"");
    if (line->full)
        return false;
    line->full = piece.full;
    put(line, piece.bytes, piece.len);
    if (line->full)
        say_cut(line);
    return !line->full;
}

static void close_string(struct mf_log_line *line, bool open)
{
    if (open)
        end(line, line->full ? "...\"" : "\"");
}

static void put_member(struct mf_log_line *line, const char *key, const char *value)
{
    bool open = open_string(line, key, strlen(key), true);
    put_json(line, value, strlen(value));
    close_string(line, open);
}

/* Undoes mf_log_quote; where the quoted text ends. */
static const char *unquote(const char *at, char text[4096], size_t *ret_len)
{
    size_t len = 0;
    for (at++; *at && *at != '"' && len < 4096; at++) {
        unsigned byte;
        if (*at != '\\' || !at[1]) {
            text[len++] = *at;
        } else if (at[1] == 'x' && isxdigit((unsigned char)at[2]) && isxdigit((unsigned char)at[3]) &&
                   sscanf(at + 2, "%2x", &byte) == 1) {
            text[len++] = (char)byte;
            at += 3;
        } else {
            text[len++] = (char)(at[1] == 'n' ? '\n' : at[1]);
            at++;
        }
    }
    *ret_len = len;
    return *at == '"' ? at + 1 : at;
}

static const char *put_value(struct mf_log_line *line, const char *at)
{
    char text[4096];
    size_t len = strcspn(at, " ");
    if (*at != '"') {
        put_json(line, at, len);
        return at + len;
    }
    at = unquote(at, text, &len);
    put_json(line, text, len);
    return at;
}

/* A word without a key belongs to the value before it: somebody did not quote. */
static void put_pairs(struct mf_log_line *line, const char *at)
{
    bool open = false;
    while (at += strspn(at, " "), *at && !line->full) {
        size_t key = strcspn(at, " =\"");
        if (key > 0 && at[key] == '=') {
            close_string(line, open);
            open = open_string(line, at, key, false);
            at += key + 1;
        } else if (open) {
            put(line, " ", 1);
        } else {
            open = open_string(line, "more", 4, false);
        }
        at = put_value(line, at);
    }
    close_string(line, open);
}

static void make_json(struct mf_log_line *line, const struct mf_log_words *words)
{
    bool open = open_string(line, "time", 4, true);
    put_stamp(line, words->wall_ms);
    close_string(line, open);
    put_member(line, "level", words->level);
    put_member(line, "program", words->program);
    if (words->name[0])
        put_member(line, "name", words->name);
    put_member(line, "msg", words->message);
    if (words->pairs)
        put_pairs(line, words->pairs);
    end(line, "}\n");
}

void mf_log_line(struct mf_log_line *ret_line, enum mf_log_format format, const struct mf_log_words *words)
{
    ret_line->len = 0;
    ret_line->full = false;
    if (format == MF_LOG_JSON)
        make_json(ret_line, words);
    else
        make_logfmt(ret_line, words);
}
