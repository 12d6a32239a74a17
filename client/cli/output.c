/* Tables by libsmartcols, JSON by jansson, both of the same rows. */
#include "output.h"
#include "check.h"
#include <inttypes.h>
#include <libsmartcols/libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CELL_SIZE = 1024 };

static const json_t *find(const json_t *row, const char *key)
{
    char part[64];
    const char *dot;
    while ((dot = strchr(key, '.'))) {
        snprintf(part, sizeof part, "%.*s", (int)(dot - key), key);
        row = json_object_get(row, part);
        key = dot + 1;
    }
    return json_object_get(row, key);
}

static const char *age(int64_t ms, char *text, size_t size)
{
    int64_t s = ms / 1000;
    if (ms < 0)
        snprintf(text, size, "0s");
    else if (s < 120)
        snprintf(text, size, "%" PRId64 "s", s);
    else if (s < 7200)
        snprintf(text, size, "%" PRId64 "m", s / 60);
    else if (s < 172800)
        snprintf(text, size, "%" PRId64 "h", s / 3600);
    else
        snprintf(text, size, "%" PRId64 "d", s / 86400);
    return text;
}

static void pairs(const json_t *object, char *text, size_t size)
{
    const char *key;
    json_t *value;
    size_t n = 0;
    *text = 0;
    json_object_foreach((json_t *)object, key, value)
    {
        char cell[128];
        if (n < size)
            n += (size_t)snprintf(text + n, size - n, "%s%s=%s", n ? "," : "", key,
                                  mf_output_cell(value, MF_COLUMN_TEXT, 0, cell, sizeof cell));
    }
}

const char *mf_output_cell(const json_t *value, enum mf_column_style style, int64_t now_ms, char *text,
                           size_t size)
{
    *text = 0;
    if (style == MF_COLUMN_AGE && json_is_integer(value))
        return age(now_ms - json_integer_value(value), text, size);
    if (json_is_string(value))
        snprintf(text, size, "%s", json_string_value(value));
    else if (json_is_integer(value))
        snprintf(text, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        snprintf(text, size, "%.1f", json_real_value(value));
    else if (json_is_boolean(value))
        snprintf(text, size, "%s", json_is_true(value) ? "yes" : "no");
    else if (json_is_object(value))
        pairs(value, text, size);
    return *text ? text : "-";
}

static int64_t wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

static struct libscols_table *make_table(const struct mf_column *columns)
{
    scols_init_debug(0);
    struct libscols_table *table = scols_new_table();
    MF_CHECK(table);
    if (!isatty(STDOUT_FILENO))
        scols_table_set_termforce(table, SCOLS_TERMFORCE_NEVER); /* a pipe gets every column whole */
    for (const struct mf_column *column = columns; column->title; column++)
        MF_CHECK(scols_table_new_column(table, column->title, 0,
                                        column->style == MF_COLUMN_NUMBER ? SCOLS_FL_RIGHT : 0));
    return table;
}

static void print_table(const json_t *rows, const struct mf_column *columns)
{
    struct libscols_table *table = make_table(columns);
    int64_t now = wall_ms();
    char text[CELL_SIZE];
    for (size_t i = 0; i < json_array_size(rows); i++) {
        struct libscols_line *line = scols_table_new_line(table, NULL);
        MF_CHECK(line);
        for (size_t c = 0; columns[c].title; c++)
            MF_CHECK(!scols_line_set_data(line, c,
                                          mf_output_cell(find(json_array_get(rows, i), columns[c].key),
                                                         columns[c].style, now, text, sizeof text)));
    }
    scols_print_table(table);
    scols_unref_table(table);
}

int mf_output_rows(const struct mf_cli *cli, json_t *rows, const struct mf_column *columns, const char *none)
{
    if (cli->json)
        mf_output_array(rows);
    else if (json_array_size(rows))
        print_table(rows, columns);
    else
        printf("%s\n", none);
    if (!cli->json)
        json_decref(rows);
    return MF_EXIT_OK;
}

void mf_output_array(json_t *rows)
{
    size_t n = json_array_size(rows);
    putchar('[');
    for (size_t i = 0; i < n; i++) {
        printf(i ? ",\n " : "\n ");
        json_dumpf(json_array_get(rows, i), stdout, 0);
    }
    printf(n ? "\n]\n" : "]\n");
    json_decref(rows);
}

void mf_output_object(json_t *object)
{
    json_dumpf(object, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(object);
}

void mf_output_line(const json_t *object)
{
    json_dumpf(object, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
}

bool mf_output_color(void)
{
    const char *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") && !getenv("NO_COLOR");
}
