/* trace.c - a strict reader: what is missing, negative, out of order or not understood is told with its line,
 * for a plan made of half a file would look like an answer. */
#include "trace.h"
#include "check.h"
#include "files.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 256 << 20, COUNT_MAX = 10000, COLUMNS_MAX = 5 };
static const double SECONDS_MAX = 3e9; /* a century */

enum column { OFFERING, COUNT, AT_S, LIFE_S, GROUP };
static const char *const titles[COLUMNS_MAX] = {"offering", "count", "at_s", "life_s", "group"};

struct reader {
    const char *path;
    size_t line;
    enum column columns[COLUMNS_MAX];
    size_t n_columns;
    char *error;
};

#define BAD(reader, format, ...)                                                                             \
    mf_fail((reader)->error, -EINVAL, "%.200s:%zu: " format, (reader)->path, (reader)->line, __VA_ARGS__)

static struct mf_str next_cell(struct mf_str *rest)
{
    const char *comma = rest->len ? memchr(rest->ptr, ',', rest->len) : NULL;
    struct mf_str cell = {rest->ptr, comma ? (uint32_t)(comma - rest->ptr) : rest->len};
    uint32_t taken = cell.len + (comma != NULL);

    rest->ptr += taken;
    rest->len -= taken;
    while (cell.len && strchr(" \t", cell.ptr[0]))
        cell.ptr++, cell.len--;
    while (cell.len && strchr(" \t\r", cell.ptr[cell.len - 1]))
        cell.len--;
    return cell;
}

static size_t count_cells(struct mf_str line)
{
    size_t n = 1;

    for (uint32_t i = 0; i < line.len; i++)
        n += line.ptr[i] == ',';
    return n;
}

static int read_title(struct reader *reader, struct mf_str cell)
{
    for (int i = 0; i < COLUMNS_MAX; i++) {
        if (!mf_str_is(cell, titles[i]))
            continue;
        for (size_t j = 0; j < reader->n_columns; j++)
            if (reader->columns[j] == (enum column)i)
                return BAD(reader, "column %s is there twice", titles[i]);
        reader->columns[reader->n_columns++] = (enum column)i;
        return 0;
    }
    return BAD(
        reader,
        "\"%.*s\" is no column of ours; the first line is offering,count,at_s,life_s and perhaps group",
        (int)(cell.len < 60 ? cell.len : 60), cell.ptr);
}

static int read_header(struct reader *reader, struct mf_str line)
{
    size_t n = count_cells(line);
    int r = n > COLUMNS_MAX ? BAD(reader, "%zu columns are more than there are of ours", n) : 0;

    while (r == 0 && n-- > 0)
        r = read_title(reader, next_cell(&line));
    for (int i = OFFERING; r == 0 && i <= LIFE_S; i++) {
        bool found = false;
        for (size_t j = 0; j < reader->n_columns; j++)
            found |= reader->columns[j] == (enum column)i;
        if (!found)
            r = BAD(reader, "the header has no column %s", titles[i]);
    }
    return r;
}

static int read_count(const struct reader *reader, struct mf_str cell, uint64_t *ret_count)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < cell.len && count <= COUNT_MAX; i++) {
        if (cell.ptr[i] < '0' || cell.ptr[i] > '9')
            return BAD(reader, "count: \"%.*s\" is not a whole number", (int)(cell.len < 40 ? cell.len : 40),
                       cell.ptr);
        count = count * 10 + (uint64_t)(cell.ptr[i] - '0');
    }
    if (!count || count > COUNT_MAX)
        return BAD(reader, "count: \"%.*s\" is not within 1..%d", (int)(cell.len < 40 ? cell.len : 40),
                   cell.ptr, COUNT_MAX);
    *ret_count = count;
    return 0;
}

static int read_seconds(const struct reader *reader, const char *title, struct mf_str cell, mf_ms *ret_ms)
{
    char text[48], *end;
    double seconds;

    mf_str_format(text, sizeof(text), "%.*s", (int)cell.len, cell.ptr);
    seconds = strtod(text, &end);
    if (cell.len >= sizeof(text) || *end || end == text || strspn(text, "0123456789.eE+-") != strlen(text) ||
        !isfinite(seconds))
        return BAD(reader, "%s: \"%s\" is not a number of seconds", title, text);
    if (seconds < 0)
        return BAD(reader, "%s: %s is negative", title, text);
    if (seconds > SECONDS_MAX)
        return BAD(reader, "%s: %s is more than a century", title, text);
    *ret_ms = (mf_ms)(seconds * 1000 + 0.5);
    return 0;
}

static int read_name(const struct reader *reader, const char *title, struct mf_str cell,
                     struct mf_str *ret_name)
{
    if (!mf_name_valid(cell))
        return BAD(reader, "%s: \"%.*s\" is not a name: 1 to 63 of a-z, 0-9 and -", title,
                   (int)(cell.len < 60 ? cell.len : 60), cell.ptr);
    *ret_name = cell;
    return 0;
}

static int read_cell(const struct reader *reader, enum column column, struct mf_str cell,
                     struct mf_trace_row *row)
{
    int r;

    if (!cell.len && column != LIFE_S && column != GROUP)
        return BAD(reader, "%s is empty", titles[column]);
    switch (column) {
    case OFFERING:
        return read_name(reader, "offering", cell, &row->offering);
    case COUNT:
        return read_count(reader, cell, &row->count);
    case AT_S:
        return read_seconds(reader, "at_s", cell, &row->at);
    case LIFE_S:
        r = cell.len ? read_seconds(reader, "life_s", cell, &row->life) : 0;
        return r == 0 && cell.len && !row->life
                   ? BAD(reader, "life_s: 0 is no life; leave it %s", "empty for what stays")
                   : r;
    case GROUP:
        return cell.len ? read_name(reader, "group", cell, &row->group) : 0;
    }
    return 0;
}

static int read_row(const struct reader *reader, struct mf_str line, struct mf_trace *trace)
{
    struct mf_trace_row *row = &trace->rows[trace->n];
    size_t cells = count_cells(line);
    int r = 0;

    row->line = reader->line;
    if (cells != reader->n_columns)
        return BAD(reader, "it has %zu values, and the header %zu", cells, reader->n_columns);
    for (size_t i = 0; r == 0 && i < reader->n_columns; i++)
        r = read_cell(reader, reader->columns[i], next_cell(&line), row);
    if (r == 0 && trace->n && row->at < trace->rows[trace->n - 1].at)
        r = BAD(reader, "at_s is before that of line %zu; sort the rows by time",
                trace->rows[trace->n - 1].line);
    trace->n += r == 0;
    return r;
}

static bool blank(struct mf_str line)
{
    return next_cell(&line).len == 0 && line.len == 0;
}

static size_t count_lines(const char *text)
{
    size_t n = 1;

    for (; (text = strchr(text, '\n')); text++)
        n++;
    return n;
}

static int read_lines(struct reader *reader, const char *text, struct mf_trace *trace)
{
    size_t gap = 0;
    int r = 0;

    for (const char *at = text; r == 0 && *at;) {
        struct mf_str line = {at, (uint32_t)strcspn(at, "\n")};
        at += line.len + (at[line.len] == '\n');
        reader->line++;
        if (blank(line)) {
            gap = gap ? gap : reader->line;
            continue;
        }
        if (gap)
            return reader->line = gap, BAD(reader, "it is empty, and there are %s", "rows below it");
        r = reader->n_columns ? read_row(reader, line, trace) : read_header(reader, line);
    }
    if (r == 0 && !trace->n)
        r = BAD(reader, "there is %s in it", "no request");
    return r;
}

int mf_trace_read(const char *path, struct mf_arena *arena, struct mf_trace *ret_trace, char error[512])
{
    struct reader reader = {.path = path, .error = error};
    struct mf_trace trace = {0};
    char *text = NULL, *kept;
    size_t len;
    int r = mf_file_read(path, FILE_MAX, false, &text, &len, error);

    if (r < 0)
        return r;
    kept = mf_arena_alloc(arena, len + 1);
    memcpy(kept, text, len);
    free(text);
    if (strlen(kept) != len)
        return mf_fail(error, -EINVAL, "%.200s: it has zero bytes; it is no CSV file", path);
    trace.rows = calloc(count_lines(kept), sizeof(*trace.rows));
    MF_CHECK(trace.rows);
    r = read_lines(&reader, kept, &trace);
    if (r < 0)
        free(trace.rows);
    else
        *ret_trace = trace;
    return r;
}
