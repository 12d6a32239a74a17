/* trace.c - see trace.h. */
#include "trace.h"
#include "check.h"
#include "message.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { LINE_MAX_BYTES = 512, KINDS_MAX = 4096, ROWS_MAX = 100000000 };
static const double LARGEST = 1e6, LATEST_S = 1e12;

struct reader {
    gzFile file;
    const char *path;
    size_t line;
    char text[LINE_MAX_BYTES];
    char *error;
};

static int wrong(const struct reader *self, const char *what)
{
    mf_str_format(self->error, 512, "%s, line %zu: %s", self->path, self->line, what);
    return -EINVAL;
}

static int begin(struct reader *self, const char *path, char error[512])
{
    *self = (struct reader){.path = path, .error = error};
    self->file = gzopen(path, "rb");
    if (self->file)
        return 0;
    mf_str_format(error, 512, "%s: %s", path, strerror(errno));
    return -errno;
}

/* 1, 0 at the end, or -EINVAL. */
static int next_line(struct reader *self)
{
    int code = 0;
    self->line++;
    bool found = gzgets(self->file, self->text, sizeof(self->text)) != NULL;
    size_t n = found ? strlen(self->text) : 0;
    bool whole = n && self->text[n - 1] == '\n';
    if (!whole)
        gzerror(self->file, &code);
    if (code < 0)
        return wrong(self, "it cannot be read on: the gzip data are broken or cut off");
    if (!found)
        return 0;
    if (!whole && n + 1 == sizeof(self->text))
        return wrong(self, "the line is longer than 511 bytes");
    while (n && strchr("\r\n ", self->text[n - 1]))
        self->text[--n] = 0;
    return 1;
}

/* Five numbers with commas between, and nothing else. */
static bool numbers(const char *at, double ret_values[5])
{
    char *end;
    for (int i = 0; i < 5; i++) {
        ret_values[i] = strtod(at, &end);
        if (end == at || !isfinite(ret_values[i]) || *end != (i < 4 ? ',' : 0))
            return false;
        at = end + 1;
    }
    return true;
}

static int kind_of(struct trace *trace, uint32_t vcpus, uint32_t memory_mib)
{
    for (uint32_t i = 0; i < trace->n_kinds; i++)
        if (trace->kinds[i].vcpus == vcpus && trace->kinds[i].memory_mib == memory_mib)
            return (int)i;
    if (trace->n_kinds == KINDS_MAX)
        return -1;
    trace->kinds[trace->n_kinds] = (struct kind){vcpus, memory_mib};
    return (int)trace->n_kinds++;
}

static const char *bad(const double v[5], const struct trace *trace, double first_id)
{
    if (trace->n && v[0] != first_id + (double)trace->n)
        return "the id is not the one before plus one: rows are missing or doubled";
    if (v[1] < 1 || v[1] > LARGEST || v[1] != floor(v[1]))
        return "cpu is no whole number from 1 to 1000000";
    if (v[2] <= 0 || v[2] > LARGEST)
        return "mem is no number of GB above 0 and up to 1000000";
    if (v[3] < 0 || v[3] > LATEST_S)
        return "at is no time from 0 on";
    if (trace->n && (int64_t)v[3] < trace->requests[trace->n - 1].at_s)
        return "at is before the row above: sort the rows by arrival";
    return v[4] < 0 || v[4] > LATEST_S ? "lt is negative or absurd: a lifetime is 0 s or more" : NULL;
}

static int add(struct reader *reader, struct trace *trace, size_t *cap, double *first_id)
{
    double v[5];
    if (!numbers(reader->text, v))
        return wrong(reader, "is not vmid,cpu,mem,at,lt: five numbers with commas between");
    const char *what = bad(v, trace, *first_id);
    if (what)
        return wrong(reader, what);
    if (trace->n == ROWS_MAX)
        return wrong(reader, "more than 100000000 rows are not supported");
    if (trace->n == *cap) {
        *cap = *cap * 2 + 1024;
        trace->requests = realloc(trace->requests, *cap * sizeof(*trace->requests));
        MF_CHECK(trace->requests);
    }
    if (!trace->n)
        *first_id = v[0];
    struct request *request = &trace->requests[trace->n];
    *request = (struct request){.vcpus = (uint32_t)v[1],
                                .memory_mib = (uint32_t)ceil(v[2] * 1024),
                                .at_s = (int64_t)v[3],
                                .life_s = (int64_t)v[4]};
    int kind = kind_of(trace, request->vcpus, request->memory_mib);
    if (kind < 0)
        return wrong(reader, "the trace has more than 4096 sizes of VM");
    request->kind = (uint32_t)kind;
    trace->n++;
    return 0;
}

static int read_rows(struct reader *reader, struct trace *trace)
{
    size_t cap = 0;
    double first_id = 0;
    int r = next_line(reader);
    if (r > 0 && strcmp(reader->text, "vmid,cpu,mem,at,lt") != 0)
        return wrong(reader, "the header is not vmid,cpu,mem,at,lt");
    while (r > 0 && (r = next_line(reader)) > 0)
        if (add(reader, trace, &cap, &first_id) < 0)
            return -EINVAL;
    return r < 0 || trace->n ? r : wrong(reader, "there are no rows");
}

int trace_read(const char *path, struct trace *ret_trace, char error[512])
{
    struct reader reader;
    struct trace trace = {0};
    int r = begin(&reader, path, error);
    if (r < 0)
        return r;
    trace.kinds = calloc(1, KINDS_MAX * sizeof(*trace.kinds));
    r = read_rows(&reader, &trace);
    gzclose(reader.file);
    if (r < 0)
        trace_free(&trace);
    else
        *ret_trace = trace;
    return r;
}

void trace_free(struct trace *self)
{
    free(self->requests);
    free(self->kinds);
    *self = (struct trace){0};
}

int windows_read(const char *path, size_t n, size_t **ret_rows, size_t *ret_n, char error[512])
{
    struct reader reader;
    size_t *rows = NULL, n_rows = 0;
    int r = begin(&reader, path, error);
    if (r < 0)
        return r;
    while ((r = next_line(&reader)) > 0) {
        char *end;
        unsigned long long row = strtoull(reader.text, &end, 10);
        if (end == reader.text || *end || reader.text[0] == '-')
            r = wrong(&reader, "is no row number");
        else if (row >= n)
            r = wrong(&reader, "is beyond the last row of the trace");
        if (r < 0)
            break;
        rows = realloc(rows, (n_rows + 1) * sizeof(*rows));
        MF_CHECK(rows);
        rows[n_rows++] = (size_t)row;
    }
    gzclose(reader.file);
    if (r == 0 && !n_rows)
        r = wrong(&reader, "there are no rows: one row number a line");
    if (r < 0) {
        free(rows);
        return r;
    }
    *ret_rows = rows;
    *ret_n = n_rows;
    return 0;
}
