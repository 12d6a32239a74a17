/* settings_yaml.c - the settings file: one YAML mapping of scalars, and of one mapping of scalars for each
 * LABELS setting.
 *
 * The events of libyaml are read directly, since the schema is a table known only at run time, and since
 * every complaint must name file, line and key. Anchors, aliases, tags and further documents have no use here
 * and are refused. */
#include "settings_values.h"

#include "files.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { CONFIG_MAX = 1 << 20 };

struct reader {
    struct mf_settings *settings;
    const char *path;
    const char *text;
    size_t len;
    yaml_parser_t parser;
    yaml_event_t event; /* the present one */
    bool *seen;
};

static unsigned long line_of(const struct reader *self)
{
    return (unsigned long)self->event.start_mark.line + 1;
}

static bool line_has_tab(const struct reader *self, size_t line)
{
    const char *at = self->text, *end = self->text + self->len;
    while (line-- > 0 && at)
        if ((at = memchr(at, '\n', (size_t)(end - at))))
            at++;
    if (!at)
        return false;
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    return memchr(at, '\t', (size_t)((stop ? stop : end) - at)) != NULL;
}

static int fail_syntax(struct reader *self)
{
    size_t line = self->parser.problem_mark.line;
    const char *hint = "";
    if (line_has_tab(self, line))
        hint = "; the line holds a tab: indent with spaces";
    return mf_settings_fail(self->settings, "%s:%zu: not YAML: %s%s", self->path, line + 1,
                            self->parser.problem ? self->parser.problem : "unreadable", hint);
}

static int next(struct reader *self)
{
    yaml_event_delete(&self->event);
    if (!yaml_parser_parse(&self->parser, &self->event)) {
        memset(&self->event, 0, sizeof(self->event));
        return fail_syntax(self);
    }
    return 0;
}

static const char *scalar(const struct reader *self)
{
    return (const char *)self->event.data.scalar.value;
}

/* A scalar without zero bytes, anchors or tags of its own. */
static int expect_scalar(struct reader *self, const char *what)
{
    if (self->event.type != YAML_SCALAR_EVENT)
        return mf_settings_fail(self->settings,
                                "%s:%lu: %s: a single value is expected here, not a list, mapping or alias",
                                self->path, line_of(self), what);
    if (self->event.data.scalar.anchor ||
        (self->event.data.scalar.tag && !self->event.data.scalar.quoted_implicit))
        return mf_settings_fail(self->settings,
                                "%s:%lu: %s: anchors and tags have no use here; write the value alone",
                                self->path, line_of(self), what);
    if (strlen(scalar(self)) != self->event.data.scalar.length)
        return mf_settings_fail(self->settings, "%s:%lu: %s: holds a zero byte", self->path, line_of(self),
                                what);
    return 0;
}

static bool is_null(const struct reader *self)
{
    return self->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (!*scalar(self) || strcmp(scalar(self), "~") == 0 || strcmp(scalar(self), "null") == 0);
}

static int find_setting(struct reader *self, size_t *ret_index)
{
    const struct mf_settings *s = self->settings;
    const char *key = scalar(self);
    char name[64];
    mf_str_format(name, sizeof(name), "%s", key);
    bool dashed = strchr(key, '-') != NULL;
    for (char *c = name; *c; c++)
        if (*c == '_')
            *c = '-';
    for (size_t i = 0; i < s->n && strlen(key) < sizeof(name); i++)
        if (!dashed && strcmp(s->table[i].name, name) == 0) {
            *ret_index = i;
            return 0;
        }
    char near[64] = "";
    const char *nearest = mf_settings_nearest(s, name);
    mf_str_format(near, sizeof(near), "%s", nearest ? nearest : "");
    for (char *c = near; *c; c++)
        if (*c == '-')
            *c = '_';
    return mf_settings_fail(
        self->settings, "%s:%lu: unknown key \"%.60s\"%s%s%s; --help lists them, written with _ here",
        self->path, line_of(self), key, near[0] ? ", did you mean \"" : "", near, near[0] ? "\"?" : "");
}

static int read_labels(struct reader *self, size_t index, const char *key)
{
    if (self->event.type != YAML_MAPPING_START_EVENT)
        return mf_settings_fail(
            self->settings, "%s:%lu: %s: a mapping is expected, one \"key: value\" a line below it, indented",
            self->path, line_of(self), key);
    char name[MF_NAME_MAX + 2], where[5000];
    int r;
    while ((r = next(self)) == 0 && self->event.type != YAML_MAPPING_END_EVENT) {
        if ((r = expect_scalar(self, key)) < 0)
            return r;
        mf_str_format(name, sizeof(name), "%s", scalar(self));
        mf_str_format(where, sizeof(where), "%s:%lu: %s", self->path, line_of(self), key);
        if ((r = next(self)) < 0 || (r = expect_scalar(self, name)) < 0)
            return r;
        if ((r = mf_settings_put_label(self->settings, index, mf_str(name), mf_str(scalar(self)), where)) < 0)
            return r;
    }
    return r;
}

static int check_type(struct reader *self, const struct mf_setting *s, const char *key)
{
    if (is_null(self))
        return mf_settings_fail(self->settings, "%s:%lu: %s: has no value; give one or remove the line",
                                self->path, line_of(self), key);
    bool quoted = self->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    if (quoted && s->kind != MF_SET_STRING)
        return mf_settings_fail(self->settings,
                                "%s:%lu: %s: a %s is expected, not a string; take the quotes away",
                                self->path, line_of(self), key,
                                s->kind == MF_SET_BOOL ? "true or false"
                                : s->kind == MF_SET_MS ? "time"
                                                       : "number");
    return 0;
}

static int read_value(struct reader *self, size_t index, const char *key)
{
    const struct mf_setting *s = &self->settings->table[index];
    if (s->kind == MF_SET_LABELS)
        return read_labels(self, index, key);
    char where[5000];
    mf_str_format(where, sizeof(where), "%s:%lu: %s", self->path, line_of(self), key);
    int r = expect_scalar(self, key);
    if (r == 0)
        r = check_type(self, s, key);
    if (r == 0)
        r = mf_settings_put(self->settings, index, scalar(self), where);
    return r;
}

static int read_pair(struct reader *self)
{
    char key[64];
    size_t index = 0;
    int r = expect_scalar(self, "a key");
    if (r == 0)
        r = find_setting(self, &index);
    if (r < 0)
        return r;
    mf_str_format(key, sizeof(key), "%s", scalar(self));
    if (self->seen[index])
        return mf_settings_fail(self->settings, "%s:%lu: %s: given twice; remove one", self->path,
                                line_of(self), key);
    self->seen[index] = self->settings->given[index] = true;
    r = next(self);
    return r == 0 ? read_value(self, index, key) : r;
}

static int read_document(struct reader *self)
{
    int r;
    while ((r = next(self)) == 0 &&
           (self->event.type == YAML_STREAM_START_EVENT || self->event.type == YAML_DOCUMENT_START_EVENT))
        ;
    if (r < 0 || self->event.type == YAML_STREAM_END_EVENT)
        return r; /* an empty file says nothing, which is fine */
    if (self->event.type != YAML_MAPPING_START_EVENT)
        return mf_settings_fail(self->settings, "%s:%lu: a settings file is lines of \"key: value\"",
                                self->path, line_of(self));
    while ((r = next(self)) == 0 && self->event.type != YAML_MAPPING_END_EVENT)
        if ((r = read_pair(self)) < 0)
            return r;
    while (r == 0 && self->event.type != YAML_STREAM_END_EVENT) {
        r = next(self);
        if (r == 0 && self->event.type == YAML_DOCUMENT_START_EVENT)
            return mf_settings_fail(self->settings, "%s:%lu: a second document; a settings file has one",
                                    self->path, line_of(self));
    }
    return r;
}

int mf_settings_read_yaml(struct mf_settings *settings, const char *path)
{
    struct reader self = {.settings = settings, .path = path};
    char error[512], *text;
    if (mf_file_read(path, CONFIG_MAX, false, &text, &self.len, error) < 0)
        return mf_settings_fail(settings, "--config: %s", error);
    self.text = text;
    self.seen = mf_arena_alloc(settings->arena, settings->n ? settings->n : 1);
    int r = -ENOMEM;
    if (yaml_parser_initialize(&self.parser)) {
        yaml_parser_set_input_string(&self.parser, (const unsigned char *)text, self.len);
        r = read_document(&self);
        yaml_event_delete(&self.event);
        yaml_parser_delete(&self.parser);
    }
    free(text);
    return r;
}
