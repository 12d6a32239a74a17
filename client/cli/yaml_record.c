/* YAML by the message table. */
#include "yaml_record.h"
#include "mayfly.h"
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int mf_yaml_bad(const struct mf_yaml *self, size_t line, const char *format, ...)
{
    va_list args;
    int n = snprintf(self->error, 512, "%s:%zu: ", self->file, line + 1);
    va_start(args, format);
    if (n > 0 && n < 512)
        vsnprintf(self->error + n, 512 - (size_t)n, format, args);
    va_end(args);
    return -EINVAL;
}

yaml_node_t *mf_yaml_node(const struct mf_yaml *self, int index)
{
    return yaml_document_get_node((yaml_document_t *)&self->document, index);
}

int mf_yaml_scalar(const struct mf_yaml *self, const char *name, yaml_node_t *node, struct mf_str *ret_text)
{
    if (node->type != YAML_SCALAR_NODE)
        return mf_yaml_bad(self, node->start_mark.line, "%s: expected a single value, found a %s", name,
                           node->type == YAML_MAPPING_NODE ? "mapping" : "list");
    if (node->data.scalar.length > MF_MESSAGE_MAX)
        return mf_yaml_bad(self, node->start_mark.line, "%s: too long", name);
    *ret_text = mf_str_dup(self->arena, (struct mf_str){(const char *)node->data.scalar.value,
                                                        (uint32_t)node->data.scalar.length});
    return 0;
}

/* -- values */

static bool is_plain(const yaml_node_t *node)
{
    return node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static int read_number(const struct mf_yaml *self, const struct mf_field *field, yaml_node_t *node,
                       struct mf_str text, uint64_t *ret_value)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text.ptr, &end, 10);
    if (!is_plain(node) || !text.len || *text.ptr < '0' || *text.ptr > '9' || end != text.ptr + text.len)
        return mf_yaml_bad(self, node->start_mark.line, "%s: expected a whole number, found \"%.80s\"",
                           field->name, text.ptr);
    if (errno || value < field->min || value > field->max)
        return mf_yaml_bad(self, node->start_mark.line, "%s: %.80s is not within %" PRIu64 "..%" PRIu64,
                           field->name, text.ptr, field->min, field->max);
    *ret_value = value;
    return 0;
}

static int read_bool(const struct mf_yaml *self, const struct mf_field *field, yaml_node_t *node,
                     struct mf_str text, bool *ret_value)
{
    *ret_value = mf_str_is(text, "true");
    return is_plain(node) && (*ret_value || mf_str_is(text, "false"))
               ? 0
               : mf_yaml_bad(self, node->start_mark.line, "%s: expected true or false, found \"%.80s\"",
                             field->name, text.ptr);
}

static int read_word(const struct mf_yaml *self, const struct mf_field *field, yaml_node_t *node,
                     struct mf_str text, unsigned *ret_word)
{
    const struct mf_enum_desc *words = field->words;
    char list[128] = "";
    for (unsigned i = 1; i < words->n; i++) {
        if (mf_str_is(text, words->words[i])) {
            *ret_word = i;
            return 0;
        }
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i > 1 ? " or " : "",
                 words->words[i]);
    }
    return mf_yaml_bad(self, node->start_mark.line, "%s: \"%.80s\" is not one of its words: %s", field->name,
                       text.ptr, list);
}

static int read_text(const struct mf_yaml *self, const struct mf_field *field, yaml_node_t *node,
                     struct mf_str text)
{
    if (field->kind == MF_F_NAME && !mf_name_valid(text))
        return mf_yaml_bad(self, node->start_mark.line,
                           "%s: \"%.80s\" is not a name: 1 to 63 of a-z, 0-9 and -, beginning with a letter "
                           "or digit",
                           field->name, text.ptr);
    if (text.len > field->max)
        return mf_yaml_bad(self, node->start_mark.line, "%s: %u bytes are more than the limit of %" PRIu64,
                           field->name, text.len, field->max);
    return 0;
}

static int read_labels(const struct mf_yaml *self, const struct mf_field *field, yaml_node_t *node,
                       struct mf_labels *ret_labels)
{
    struct mf_labels labels = {0};
    if (node->type != YAML_MAPPING_NODE)
        return mf_yaml_bad(self, node->start_mark.line, "%s: expected a mapping, as in {rack: r1}",
                           field->name);
    size_t n = (size_t)(node->data.mapping.pairs.top - node->data.mapping.pairs.start);
    labels.items = mf_arena_alloc(self->arena, (n + 1) * sizeof *labels.items);
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top;
         pair++) {
        struct mf_label *label = &labels.items[labels.n++];
        if (mf_yaml_scalar(self, field->name, mf_yaml_node(self, pair->key), &label->key) ||
            mf_yaml_scalar(self, field->name, mf_yaml_node(self, pair->value), &label->value))
            return -EINVAL;
    }
    *ret_labels = labels;
    return 0;
}

static int read_inner(const struct mf_yaml *self, const struct mf_field *field, yaml_node_t *node,
                      void *record)
{
    struct mf_yaml_lines lines;
    if (node->type != YAML_MAPPING_NODE)
        return mf_yaml_bad(self, node->start_mark.line, "%s: expected a mapping of keys, as in {%s: ...}",
                           field->name, field->record->fields[0].name);
    int r = mf_yaml_record(self, field->record, NULL, node, record, &lines);
    for (unsigned i = 0; !r && i < field->record->n_fields; i++)
        if (field->record->fields[i].required && !lines.at[i])
            r = mf_yaml_bad(self, node->start_mark.line, "%s: %s is missing", field->name,
                            field->record->fields[i].name);
    return r;
}

/* Of a record that is nothing but a name, the name alone will do: [db, cache]. */
static int read_item(const struct mf_yaml *self, const struct mf_field *field, yaml_node_t *node,
                     void *record)
{
    const struct mf_field *only = &field->record->fields[0];
    struct mf_str *text = (struct mf_str *)((char *)record + only->offset);
    if (node->type != YAML_SCALAR_NODE || field->record->n_fields != 1 || only->kind != MF_F_NAME)
        return read_inner(self, field, node, record);
    return mf_yaml_scalar(self, field->name, node, text) ? -EINVAL : read_text(self, only, node, *text);
}

static int read_list(const struct mf_yaml *self, const struct mf_field *field, yaml_node_t *node, void *at)
{
    struct {
        char *items;
        uint32_t n;
    } list = {0};
    if (node->type != YAML_SEQUENCE_NODE)
        return mf_yaml_bad(self, node->start_mark.line,
                           "%s: expected a list, each item beginning with \"- \"", field->name);
    size_t n = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
    if (n > field->max)
        return mf_yaml_bad(self, node->start_mark.line, "%s: %zu are more than the limit of %" PRIu64,
                           field->name, n, field->max);
    list.items = mf_arena_alloc(self->arena, (n + 1) * field->record->size);
    memset(list.items, 0, (n + 1) * field->record->size);
    for (; list.n < n; list.n++)
        if (read_item(self, field, mf_yaml_node(self, node->data.sequence.items.start[list.n]),
                      list.items + list.n * field->record->size))
            return -EINVAL;
    memcpy(at, &list, sizeof list);
    return 0;
}

static int read_value(const struct mf_yaml *self, const struct mf_field *field, yaml_node_t *node, void *at)
{
    struct mf_str text;
    if (field->kind == MF_F_LABELS)
        return read_labels(self, field, node, at);
    if (field->kind == MF_F_RECORD)
        return read_inner(self, field, node, at);
    if (field->kind == MF_F_LIST)
        return read_list(self, field, node, at);
    int r = mf_yaml_scalar(self, field->name, node, &text);
    if (r)
        return r;
    switch (field->kind) {
    case MF_F_U64:
        return read_number(self, field, node, text, at);
    case MF_F_BOOL:
        return read_bool(self, field, node, text, at);
    case MF_F_ENUM:
        return read_word(self, field, node, text, at);
    case MF_F_BLOB:
        ((struct mf_blob *)at)->bytes = text;
        return read_text(self, field, node, text);
    case MF_F_STR:
    case MF_F_NAME:
        *(struct mf_str *)at = text;
        return read_text(self, field, node, text);
    default:
        return mf_yaml_bad(self, node->start_mark.line, "%s: cannot be said in a file", field->name);
    }
}

/* -- records */

static int find_field(const struct mf_desc *desc, const struct mf_yaml_keys *keys, struct mf_str name)
{
    for (unsigned i = 0; i < desc->n_fields; i++)
        if (mf_str_is(name, desc->fields[i].name))
            return keys && keys->is && !keys->is(&desc->fields[i]) ? -1 : (int)i;
    return -1;
}

static int read_pair(const struct mf_yaml *self, const struct mf_desc *desc, const struct mf_yaml_keys *keys,
                     const yaml_node_pair_t *pair, void *record, struct mf_yaml_lines *lines)
{
    yaml_node_t *name = mf_yaml_node(self, pair->key), *value = mf_yaml_node(self, pair->value);
    struct mf_str text;
    if (mf_yaml_scalar(self, "key", name, &text))
        return -EINVAL;
    int i = find_field(desc, keys, text);
    if (i < 0) {
        int r = keys && keys->other ? keys->other(self, text, value, keys->arg) : 0;
        return r > 0   ? 0
               : r < 0 ? r
                       : mf_yaml_bad(self, name->start_mark.line, "unknown key \"%.80s\"", text.ptr);
    }
    const struct mf_field *field = &desc->fields[i];
    if (lines->at[i])
        return mf_yaml_bad(self, name->start_mark.line, "%s is said twice, first on line %zu", field->name,
                           lines->at[i]);
    lines->at[i] = name->start_mark.line + 1;
    *(uint64_t *)record |= UINT64_C(1) << i; /* has: also what is as the default is was said */
    return read_value(self, field, value, (char *)record + field->offset);
}

int mf_yaml_record(const struct mf_yaml *self, const struct mf_desc *desc, const struct mf_yaml_keys *keys,
                   yaml_node_t *node, void *record, struct mf_yaml_lines *ret_lines)
{
    *ret_lines = (struct mf_yaml_lines){0};
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top;
         pair++) {
        int r = read_pair(self, desc, keys, pair, record, ret_lines);
        if (r)
            return r;
    }
    return 0;
}

int mf_yaml_check(const struct mf_yaml *self, const struct mf_message *message, const char *within,
                  const struct mf_desc *desc, const struct mf_yaml_lines *lines)
{
    struct mayfly_error error;
    if (!mayfly_message_check(message, &error))
        return 0;
    const char *field = strncmp(error.text, within, strlen(within)) ? NULL : error.text + strlen(within);
    for (unsigned i = 0; field && i < desc->n_fields; i++) { /* "provision.labels: ...": that key's line */
        size_t len = strlen(desc->fields[i].name);
        if (lines->at[i] && !strncmp(field, desc->fields[i].name, len) && strchr(":.[", field[len]))
            return mf_yaml_bad(self, lines->at[i] - 1, "%s", field);
    }
    return mf_yaml_bad(self, 0, "%s", error.text);
}

/* -- documents */

static int syntax_error(const struct mf_yaml *self, const yaml_parser_t *parser, struct mf_str text)
{
    const char *at = text.ptr, *end = text.ptr + text.len;
    for (size_t line = 0; line < parser->problem_mark.line && at < end; line++)
        at = (const char *)memchr(at, '\n', (size_t)(end - at))
                 ? (const char *)memchr(at, '\n', (size_t)(end - at)) + 1
                 : end;
    while (at < end && *at == ' ')
        at++;
    if (at < end && *at == '\t')
        return mf_yaml_bad(self, parser->problem_mark.line, "a tab where YAML wants spaces");
    return mf_yaml_bad(self, parser->problem_mark.line, "%s%s%s",
                       parser->problem ? parser->problem : "is not YAML", parser->context ? " " : "",
                       parser->context ? parser->context : "");
}

int mf_yaml_open(struct mf_yaml *self, const char *file, struct mf_str text, struct mf_arena *arena,
                 char error[512])
{
    yaml_parser_t parser;
    int r = 0;
    *self = (struct mf_yaml){.file = file, .arena = arena, .error = error};
    if (!yaml_parser_initialize(&parser))
        return mf_yaml_bad(self, 0, "no memory to read it");
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.ptr, text.len);
    if (!yaml_parser_load(&parser, &self->document))
        r = syntax_error(self, &parser, text);
    yaml_parser_delete(&parser);
    return r;
}

void mf_yaml_close(struct mf_yaml *self)
{
    yaml_document_delete(&self->document);
}
