/* template.c - see template.h. One walk: text is copied, a field is looked up. */
#include "template.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { FIELD_NAME_MAX = 80 };

static const struct {
    const char *name;
    size_t at;
} fields[] = {
    {"group", offsetof(struct mf_template_values, group)},
    {"slot", offsetof(struct mf_template_values, slot)},
    {"generation", offsetof(struct mf_template_values, generation)},
    {"node", offsetof(struct mf_template_values, node)},
    {"tenant", offsetof(struct mf_template_values, tenant)},
    {"id", offsetof(struct mf_template_values, id)},
    {"name", offsetof(struct mf_template_values, name)},
};

struct walk {
    const char *at, *end;
    unsigned line;
    const struct mf_template_values *values;
    struct mf_buf *buf;
    size_t begun; /* of the buffer, before anything was put there */
    char *error;
};

bool mf_template_is(struct mf_str text)
{
    static const size_t len = sizeof MF_TEMPLATE_LINE - 1;
    return text.len >= len && memcmp(text.ptr, MF_TEMPLATE_LINE, len) == 0 &&
           (text.len == len || text.ptr[len] == '\n' || text.ptr[len] == '\r');
}

struct mf_str mf_template_body(struct mf_str text)
{
    const char *newline = memchr(text.ptr, '\n', text.len);
    uint32_t skipped = newline ? (uint32_t)(newline + 1 - text.ptr) : text.len;
    return (struct mf_str){text.ptr + skipped, text.len - skipped};
}

static int refuse(struct walk *walk, const char *what)
{
    snprintf(walk->error, 512, "user-data: template, line %u: %.400s", walk->line, what);
    return -EBADMSG;
}

static int put(struct walk *walk, const char *bytes, size_t len)
{
    if (!walk->values)
        return 0;
    if (walk->buf->len - walk->begun + len > MF_TEMPLATE_MAX)
        return refuse(walk, "with its fields replaced it is longer than 131072 bytes");
    mf_buf_append(walk->buf, bytes, len);
    return 0;
}

/* A value of another line's making must not end a line here. */
static int put_value(struct walk *walk, struct mf_str value)
{
    for (uint32_t i = 0; i < value.len; i++)
        if ((unsigned char)value.ptr[i] < 0x20)
            return refuse(walk, "a label's value holds a line's end or another control character");
    return put(walk, value.ptr, value.len);
}

static int put_label(struct walk *walk, struct mf_str name, struct mf_str key)
{
    char what[FIELD_NAME_MAX + 64];
    if (!walk->values)
        return 0;
    for (uint32_t i = 0; i < walk->values->labels.n; i++)
        if (mf_str_eq(walk->values->labels.items[i].key, key))
            return put_value(walk, walk->values->labels.items[i].value);
    snprintf(what, sizeof what, "{{ %.*s }}: the group has no such label", (int)name.len, name.ptr);
    return refuse(walk, what);
}

static int put_field(struct walk *walk, struct mf_str name)
{
    char what[FIELD_NAME_MAX + 160];
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (mf_str_is(name, fields[i].name)) {
            struct mf_str value = {0};
            if (walk->values)
                memcpy(&value, (const char *)walk->values + fields[i].at, sizeof value);
            return put(walk, value.ptr, value.len);
        }
    if (name.len > 7 && memcmp(name.ptr, "labels.", 7) == 0)
        return put_label(walk, name, (struct mf_str){name.ptr + 7, name.len - 7});
    snprintf(what, sizeof what,
             "{{ %.*s }} is no field: group, slot, generation, node, tenant, id, name or labels.KEY",
             (int)name.len, name.ptr);
    return refuse(walk, what);
}

static void skip_blanks(struct walk *walk)
{
    while (walk->at < walk->end && (*walk->at == ' ' || *walk->at == '\t'))
        walk->at++;
}

static bool take_braces(struct walk *walk)
{
    skip_blanks(walk);
    if (walk->end - walk->at < 2 || memcmp(walk->at, "}}", 2) != 0)
        return false;
    walk->at += 2;
    return true;
}

static bool in_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("._-/", c));
}

static int quoted_text(struct walk *walk)
{
    const char *begin = ++walk->at;
    while (walk->at < walk->end && *walk->at != '"' && *walk->at != '\n')
        walk->at++;
    size_t len = (size_t)(walk->at - begin);
    if (walk->at == walk->end || *walk->at++ != '"' || !take_braces(walk))
        return refuse(walk, "a quoted text does not end as in {{ \"text\" }}");
    return put(walk, begin, len);
}

/* Behind the opening braces. What stands there is told only if it can be a field's name. */
static int one_field(struct walk *walk)
{
    skip_blanks(walk);
    if (walk->at < walk->end && *walk->at == '"')
        return quoted_text(walk);
    struct mf_str name = {walk->at, 0};
    while (walk->at < walk->end && in_name(*walk->at))
        walk->at++;
    name.len = (uint32_t)(walk->at - name.ptr);
    if (name.len == 0 || name.len > FIELD_NAME_MAX || !take_braces(walk))
        return refuse(walk, "{{ and }} hold no field's name; braces that are meant as such: {{ \"{{\" }}");
    return put_field(walk, name);
}

static int plain_text(struct walk *walk)
{
    const char *begin = walk->at;
    for (; walk->at < walk->end; walk->at++) {
        if (walk->end - walk->at >= 2 && walk->at[0] == '{' && walk->at[1] == '{')
            break;
        walk->line += *walk->at == '\n';
    }
    return put(walk, begin, (size_t)(walk->at - begin));
}

int mf_template_render(struct mf_str text, const struct mf_template_values *values, struct mf_buf *buf,
                       char error[512])
{
    struct mf_str body = mf_template_body(text);
    struct walk walk = {.at = body.ptr,
                        .end = body.ptr + body.len,
                        .line = 2,
                        .values = values,
                        .buf = buf,
                        .begun = buf ? buf->len : 0,
                        .error = error};
    int r = plain_text(&walk);
    while (r == 0 && walk.at < walk.end) {
        walk.at += 2;
        r = one_field(&walk);
        if (r == 0)
            r = plain_text(&walk);
    }
    return r;
}
