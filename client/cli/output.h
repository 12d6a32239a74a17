/* output.h - lists for people and for programs: the rows are JSON objects; a table shows some of their keys.
 */
#ifndef MF_CLI_OUTPUT_H
#define MF_CLI_OUTPUT_H

#include "cli.h"
#include <jansson.h>

enum mf_column_style {
    MF_COLUMN_TEXT,
    MF_COLUMN_NUMBER,
    MF_COLUMN_AGE /* ms since 1970, shown as how long ago */
};
struct mf_column {
    const char *title;
    const char *key; /* "free.vcpus" looks into an object */
    enum mf_column_style style;
};
/* One array, as JSON or as a table; takes the reference. Columns end with a NULL title. Returns the exit
 * code. */
int mf_output_rows(const struct mf_cli *cli, json_t *rows, const struct mf_column *columns, const char *none);
/* An array as JSON, a row a line, so that grep and diff are of use; takes the reference. */
void mf_output_array(json_t *rows);
/* One object as JSON, on several lines; takes the reference. */
void mf_output_object(json_t *object);
void mf_output_line(const json_t *object); /* on one line, flushed: for streams */
/* A value as a table's cell. Writes at most size bytes and returns text. */
const char *mf_output_cell(const json_t *value, enum mf_column_style style, int64_t now_ms, char *text,
                           size_t size);
bool mf_output_color(void); /* stdout is a terminal that may be coloured */

#endif
