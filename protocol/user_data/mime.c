/* mime.c - see mime.h. A reader of lines walks one message; a multipart one is a message for each of its
 * parts, so the reader calls itself, to a depth that is bounded. */
#include "mime.h"
#include "user_data.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { BOUNDARY_MAX = 70, /* RFC 2046, 5.1.1 */ HEADER_MAX = 998 /* RFC 5322, 2.1.1, of an unfolded one */ };

struct reader {
    const char *at, *end;
    unsigned line, parts;
    char *error;
};

struct multipart { /* what a part is in */
    const struct multipart *outer;
    char boundary[BOUNDARY_MAX + 1];
    size_t len;
};

enum mark { MARK_NONE, MARK_PART, MARK_END };

static int refuse(struct reader *reader, const char *what)
{
    snprintf(reader->error, 512, "user-data: MIME, line %u: %.300s", reader->line, what);
    return -EBADMSG;
}

/* The next line without its end; false behind the last one. */
static bool next_line(struct reader *reader, struct mf_str *ret_line)
{
    if (reader->at == reader->end)
        return false;
    const char *begin = reader->at, *newline = memchr(begin, '\n', (size_t)(reader->end - begin));
    const char *stop = newline ? newline : reader->end;
    reader->at = newline ? newline + 1 : reader->end;
    reader->line++;
    if (stop > begin && stop[-1] == '\r')
        stop--;
    *ret_line = (struct mf_str){begin, (uint32_t)(stop - begin)};
    return true;
}

static enum mark mark_of(const struct multipart *in, struct mf_str line)
{
    if (line.len < in->len + 2 || memcmp(line.ptr, "--", 2) != 0 ||
        memcmp(line.ptr + 2, in->boundary, in->len) != 0)
        return MARK_NONE;
    struct mf_str rest = {line.ptr + 2 + in->len, line.len - 2 - (uint32_t)in->len};
    bool ends = rest.len >= 2 && memcmp(rest.ptr, "--", 2) == 0;
    for (uint32_t i = ends ? 2 : 0; i < rest.len; i++)
        if (rest.ptr[i] != ' ' && rest.ptr[i] != '\t')
            return MARK_NONE;
    return ends ? MARK_END : MARK_PART;
}

static bool is_header(const char *text, const char *name)
{
    size_t len = strlen(name);
    return strncasecmp(text, name, len) == 0 && text[len] == ':';
}

/* The value of a parameter of a header, without its quotes; false if it has none of that name. */
static bool parameter(const char *header, const char *name, char ret_value[HEADER_MAX + 1])
{
    size_t len = strlen(name);
    for (const char *at = strchr(header, ';'); at; at = strchr(at, ';')) {
        at += 1 + strspn(at + 1, " \t");
        if (strncasecmp(at, name, len) != 0 || at[len] != '=')
            continue;
        at += len + 1;
        bool quotes = *at == '"';
        at += quotes;
        snprintf(ret_value, HEADER_MAX + 1, "%.*s", (int)strcspn(at, quotes ? "\"" : "; \t"), at);
        return true;
    }
    return false;
}

/* Headers, up to the empty line; Content-Type is kept, its folded lines as one. */
static int read_headers(struct reader *reader, char ret_type[HEADER_MAX + 1])
{
    struct mf_str line;
    bool in_type = false;
    size_t len = 0;
    ret_type[0] = 0;
    while (next_line(reader, &line) && line.len) {
        bool folded = line.ptr[0] == ' ' || line.ptr[0] == '\t';
        char text[HEADER_MAX + 1];
        if (line.len + (folded ? len : 0) > HEADER_MAX)
            return refuse(reader, "a header is longer than 998 bytes");
        snprintf(text, sizeof text, "%.*s", (int)line.len, line.ptr);
        if (!folded && !memchr(text, ':', line.len))
            return refuse(reader, "this is no header, and no empty line ended the headers");
        in_type = folded ? in_type : is_header(text, "Content-Type");
        if (in_type)
            len = folded ? len + (size_t)snprintf(ret_type + len, HEADER_MAX + 1 - len, "%s", text)
                         : (size_t)snprintf(ret_type, HEADER_MAX + 1, "%s", text + sizeof "Content-Type");
    }
    return 0;
}

static int read_message(struct reader *reader, const struct multipart *in, unsigned depth,
                        enum mark *ret_mark);

/* Up to a line that marks the end of what this is in, of whatever depth: a part that forgot its own end. */
static int skip_body(struct reader *reader, const struct multipart *in, enum mark *ret_mark)
{
    struct mf_str line;
    *ret_mark = MARK_NONE;
    while (next_line(reader, &line)) {
        if (in && (*ret_mark = mark_of(in, line)) != MARK_NONE)
            return 0;
        for (const struct multipart *outer = in ? in->outer : NULL; outer; outer = outer->outer)
            if (mark_of(outer, line) != MARK_NONE)
                return refuse(reader,
                              "a part within another has no end: --BOUNDARY-- is missing before this");
    }
    return in ? refuse(reader, "the text ends within a part: its --BOUNDARY-- is missing") : 0;
}

static int read_parts(struct reader *reader, const struct multipart *self, unsigned depth)
{
    enum mark mark;
    int r = skip_body(reader, self, &mark); /* the preamble */
    while (r == 0 && mark == MARK_PART) {
        if (++reader->parts > MF_USER_DATA_PARTS_MAX)
            return refuse(reader, "it has more than 256 parts");
        r = read_message(reader, self, depth + 1, &mark);
    }
    return r;
}

static int begin_multipart(struct reader *reader, const char *type, const struct multipart *in,
                           struct multipart *ret_self)
{
    char boundary[HEADER_MAX + 1];
    if (!parameter(type, "boundary", boundary) || !boundary[0])
        return refuse(reader, "the Content-Type above is multipart and names no boundary");
    if (strlen(boundary) > BOUNDARY_MAX)
        return refuse(reader, "the boundary is longer than 70 bytes");
    ret_self->outer = in;
    ret_self->len = strlen(boundary);
    memcpy(ret_self->boundary, boundary, ret_self->len + 1);
    return 0;
}

static int read_message(struct reader *reader, const struct multipart *in, unsigned depth,
                        enum mark *ret_mark)
{
    char type[HEADER_MAX + 1];
    struct multipart self;
    if (depth > MF_USER_DATA_DEPTH_MAX)
        return refuse(reader, "parts hold parts hold parts: more than 4 deep");
    int r = read_headers(reader, type);
    if (r < 0)
        return r;
    if (strncasecmp(type + strspn(type, " \t"), "multipart/", 10) == 0) {
        r = begin_multipart(reader, type, in, &self);
        if (r == 0)
            r = read_parts(reader, &self, depth);
        if (r < 0)
            return r;
    }
    return skip_body(reader, in, ret_mark); /* or the epilogue */
}

bool mf_mime_is(struct mf_str text)
{
    static const char *const first[] = {"Content-Type:", "MIME-Version:"};
    for (size_t i = 0; i < sizeof first / sizeof *first; i++)
        if (text.len >= strlen(first[i]) && strncasecmp(text.ptr, first[i], strlen(first[i])) == 0)
            return true;
    return false;
}

int mf_mime_check(struct mf_str text, char error[512])
{
    struct reader reader = {.at = text.ptr, .end = text.ptr + text.len, .error = error};
    enum mark mark;
    return read_message(&reader, NULL, 0, &mark);
}
