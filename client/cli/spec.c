/* group.yaml into a provision. libyaml gives the nodes with their lines; one table says each key's kind and
 * where it goes. */
#include "spec.h"
#include "mayfly.h"
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum key_kind { KEY_NAME, KEY_NUMBER, KEY_WORD, KEY_LABELS, KEY_TEXT, KEY_FILE };
struct key {
    const char *name;
    enum key_kind kind;
    bool required;
    size_t offset;     /* in struct mf_spec */
    const char *field; /* of provision, for its bounds */
};
#define PROVISION(field) offsetof(struct mf_spec, provision.field)
static const struct key keys[] = {
    {"group", KEY_NAME, true, PROVISION(group), "group"},
    {"count", KEY_NUMBER, true, PROVISION(count), "count"},
    {"min", KEY_NUMBER, false, PROVISION(min), "min"},
    {"image", KEY_NAME, true, PROVISION(image), "image"},
    {"offering", KEY_NAME, true, PROVISION(offering), "offering"},
    {"policy", KEY_WORD, false, PROVISION(policy), "policy"},
    {"spread", KEY_WORD, false, PROVISION(spread), "spread"},
    {"fit", KEY_WORD, false, PROVISION(fit), "fit"},
    {"labels", KEY_LABELS, false, PROVISION(labels), "labels"},
    {"require", KEY_LABELS, false, PROVISION(require), "require"},
    {"user_data", KEY_TEXT, false, PROVISION(user_data), "user_data"},
    {"user_data_file", KEY_FILE, false, offsetof(struct mf_spec, user_data_file), "user_data"},
};
enum { KEYS = sizeof keys / sizeof *keys };

struct reader {
    const char *file;
    yaml_document_t document;
    struct mf_arena *arena;
    struct mf_spec *spec;
    char *error;
};

__attribute__((format(printf, 3, 4))) static int bad(const struct reader *reader, size_t line,
                                                     const char *format, ...)
{
    va_list args;
    int n = snprintf(reader->error, 512, "%s:%zu: ", reader->file, line + 1);
    va_start(args, format);
    if (n > 0 && n < 512)
        vsnprintf(reader->error + n, 512 - (size_t)n, format, args);
    va_end(args);
    return -EINVAL;
}

static const struct mf_field *field_of(const struct key *key)
{
    const struct mf_desc *desc = mf_kind_desc(MF_MSG_PROVISION);
    unsigned i = 0;
    while (strcmp(desc->fields[i].name, key->field))
        i++;
    return &desc->fields[i];
}

static int scalar(const struct reader *reader, const char *name, yaml_node_t *node, struct mf_str *ret_text)
{
    if (node->type != YAML_SCALAR_NODE)
        return bad(reader, node->start_mark.line, "%s: expected a single value, found a %s", name,
                   node->type == YAML_MAPPING_NODE ? "mapping" : "list");
    if (node->data.scalar.length > MF_MESSAGE_MAX)
        return bad(reader, node->start_mark.line, "%s: too long", name);
    *ret_text = mf_str_dup(reader->arena, (struct mf_str){(const char *)node->data.scalar.value,
                                                          (uint32_t)node->data.scalar.length});
    return 0;
}

static bool is_plain(const yaml_node_t *node)
{
    return node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static int read_number(const struct reader *reader, const struct key *key, yaml_node_t *node,
                       struct mf_str text, uint64_t *ret_value)
{
    const struct mf_field *field = field_of(key);
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text.ptr, &end, 10);
    if (!is_plain(node) || !text.len || *text.ptr < '0' || *text.ptr > '9' || end != text.ptr + text.len)
        return bad(reader, node->start_mark.line, "%s: expected a whole number, found \"%.80s\"", key->name,
                   text.ptr);
    if (errno || value < field->min || value > field->max)
        return bad(reader, node->start_mark.line, "%s: %.80s is not within %" PRIu64 "..%" PRIu64, key->name,
                   text.ptr, field->min, field->max);
    *ret_value = value;
    return 0;
}

static int read_word(const struct reader *reader, const struct key *key, yaml_node_t *node,
                     struct mf_str text, unsigned *ret_word)
{
    const struct mf_enum_desc *words = field_of(key)->words;
    char list[128] = "";
    for (unsigned i = 1; i < words->n; i++) {
        if (mf_str_is(text, words->words[i])) {
            *ret_word = i;
            return 0;
        }
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i > 1 ? " or " : "",
                 words->words[i]);
    }
    return bad(reader, node->start_mark.line, "%s: \"%.80s\" is not one of its words: %s", key->name,
               text.ptr, list);
}

static int read_labels(const struct reader *reader, const struct key *key, yaml_node_t *node,
                       struct mf_labels *ret_labels)
{
    struct mf_labels labels = {0};
    if (node->type != YAML_MAPPING_NODE)
        return bad(reader, node->start_mark.line, "%s: expected a mapping, as in {rack: r1}", key->name);
    size_t n = (size_t)(node->data.mapping.pairs.top - node->data.mapping.pairs.start);
    labels.items = mf_arena_alloc(reader->arena, (n + 1) * sizeof *labels.items);
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top;
         pair++) {
        struct mf_label *label = &labels.items[labels.n++];
        yaml_node_t *name = yaml_document_get_node((yaml_document_t *)&reader->document, pair->key);
        yaml_node_t *value = yaml_document_get_node((yaml_document_t *)&reader->document, pair->value);
        if (scalar(reader, key->name, name, &label->key) || scalar(reader, key->name, value, &label->value))
            return -EINVAL;
    }
    *ret_labels = labels;
    return 0;
}

static int read_value(const struct reader *reader, const struct key *key, yaml_node_t *node)
{
    void *at = (char *)reader->spec + key->offset;
    struct mf_str text;
    if (key->kind == KEY_LABELS)
        return read_labels(reader, key, node, at);
    int r = scalar(reader, key->name, node, &text);
    if (r)
        return r;
    switch (key->kind) {
    case KEY_NUMBER:
        return read_number(reader, key, node, text, at);
    case KEY_WORD:
        return read_word(reader, key, node, text, at);
    case KEY_TEXT:
        ((struct mf_blob *)at)->bytes = text;
        return text.len <= MF_USER_DATA_MAX
                   ? 0
                   : bad(reader, node->start_mark.line, "user_data: %u bytes are more than the limit of %d",
                         text.len, MF_USER_DATA_MAX);
    case KEY_FILE:
        *(const char **)at = text.ptr;
        return text.len ? 0 : bad(reader, node->start_mark.line, "user_data_file: names no file");
    default:
        *(struct mf_str *)at = text;
        return mf_name_valid(text) ? 0
                                   : bad(reader, node->start_mark.line,
                                         "%s: \"%.80s\" is not a name: 1 to 63 of a-z, 0-9 and -, beginning "
                                         "with a letter or digit",
                                         key->name, text.ptr);
    }
}

static int read_pairs(const struct reader *reader, yaml_node_t *root, size_t lines[KEYS])
{
    for (yaml_node_pair_t *pair = root->data.mapping.pairs.start; pair < root->data.mapping.pairs.top;
         pair++) {
        yaml_node_t *name = yaml_document_get_node((yaml_document_t *)&reader->document, pair->key);
        struct mf_str text;
        unsigned i = 0;
        int r = scalar(reader, "key", name, &text);
        if (r)
            return r;
        while (i < KEYS && !mf_str_is(text, keys[i].name))
            i++;
        if (i == KEYS)
            return bad(reader, name->start_mark.line, "unknown key \"%.80s\"", text.ptr);
        if (lines[i])
            return bad(reader, name->start_mark.line, "%s is said twice, first on line %zu", keys[i].name,
                       lines[i]);
        lines[i] = name->start_mark.line + 1;
        r = read_value(reader, &keys[i],
                       yaml_document_get_node((yaml_document_t *)&reader->document, pair->value));
        if (r)
            return r;
    }
    return 0;
}

static int check_whole(const struct reader *reader, const size_t lines[KEYS])
{
    struct mayfly_error error;
    struct mf_message message = {.kind = MF_MSG_PROVISION, .provision = reader->spec->provision};
    for (unsigned i = 0; i < KEYS; i++)
        if (keys[i].required && !lines[i])
            return bad(reader, 0, "%s is missing", keys[i].name);
    if (lines[KEYS - 1] && lines[KEYS - 2])
        return bad(reader, lines[KEYS - 1] - 1,
                   "user_data_file: there is user_data already; say one of them");
    message.provision.request_id = mf_str("unsent");
    if (!mayfly_message_check(&message, &error))
        return 0;
    for (unsigned i = 0; i < KEYS; i++) { /* "provision.labels: ...": the line of that key */
        const char *field = strchr(error.text, '.');
        if (field && !strncmp(field + 1, keys[i].name, strlen(keys[i].name)) &&
            field[1 + strlen(keys[i].name)] == ':')
            return bad(reader, lines[i] - 1, "%s", field + 1);
    }
    return bad(reader, 0, "%s", error.text);
}

static int read_document(struct reader *reader)
{
    size_t lines[KEYS] = {0}; /* 1-based; 0: not said */
    yaml_node_t *root = yaml_document_get_root_node(&reader->document);
    if (!root)
        return bad(reader, 0, "is empty; it needs group, count, image and offering");
    if (root->type != YAML_MAPPING_NODE)
        return bad(reader, root->start_mark.line, "expected a mapping of keys, as in \"group: web\"");
    int r = read_pairs(reader, root, lines);
    return r ? r : check_whole(reader, lines);
}

static int syntax_error(const struct reader *reader, const yaml_parser_t *parser, struct mf_str text)
{
    const char *at = text.ptr, *end = text.ptr + text.len;
    for (size_t line = 0; line < parser->problem_mark.line && at < end; line++)
        at = (const char *)memchr(at, '\n', (size_t)(end - at))
                 ? (const char *)memchr(at, '\n', (size_t)(end - at)) + 1
                 : end;
    while (at < end && *at == ' ')
        at++;
    if (at < end && *at == '\t')
        return bad(reader, parser->problem_mark.line, "a tab where YAML wants spaces");
    return bad(reader, parser->problem_mark.line, "%s%s%s", parser->problem ? parser->problem : "is not YAML",
               parser->context ? " " : "", parser->context ? parser->context : "");
}

int mf_spec_parse(const char *file, struct mf_str text, struct mf_arena *arena, struct mf_spec *ret_spec,
                  char error[512])
{
    struct mf_spec spec = {0};
    struct reader reader = {.file = file, .arena = arena, .spec = &spec, .error = error};
    yaml_parser_t parser;
    int r;
    if (!yaml_parser_initialize(&parser))
        return bad(&reader, 0, "no memory to read it");
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.ptr, text.len);
    if (!yaml_parser_load(&parser, &reader.document)) {
        r = syntax_error(&reader, &parser, text);
    } else {
        r = read_document(&reader);
        yaml_document_delete(&reader.document);
    }
    yaml_parser_delete(&parser);
    if (!r)
        *ret_spec = spec;
    return r;
}
