/* The trace: what happened, one line each, the last lines kept in a ring. Messages are told by walking the
 * message table, so a new field shows up by itself; heartbeats are left out, they would drown the rest. */
#include "sim_trace.h"
#include "world.h"
#include <stdio.h>
#include <string.h>

struct text {
    char *array;
    size_t size, len;
};

static void put(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct text *text, const char *format, ...)
{
    if (text->len + 1 >= text->size)
        return;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text->array + text->len, text->size - text->len, format, args);
    va_end(args);
    text->len += n < 0 ? 0 : (size_t)n;
    if (text->len >= text->size)
        text->len = text->size - 1;
}

/* A list, a label map and a string begin with what is needed to tell how long they are. */
static void put_field(struct text *text, const struct mf_field *field, const char *at)
{
    const uint8_t *bytes = (const uint8_t *)at;
    struct mf_str str;
    uint32_t count;
    switch (field->kind) {
    case MF_F_U64:
        put(text, "%llu", (unsigned long long)*(const uint64_t *)(const void *)at);
        break;
    case MF_F_BOOL:
        put(text, "%s", *(const bool *)(const void *)at ? "yes" : "no");
        break;
    case MF_F_STR:
    case MF_F_NAME:
        str = *(const struct mf_str *)(const void *)at;
        put(text, "%.*s", (int)(str.len > 100 ? 100 : str.len), str.len ? str.ptr : "");
        break;
    case MF_F_UUID:
        put(text, "%02x%02x%02x%02x", bytes[12], bytes[13], bytes[14], bytes[15]);
        break;
    case MF_F_ENUM:
        put(text, "%s", field->words->words[*(const unsigned *)(const void *)at]);
        break;
    case MF_F_LIST: {
        struct {
            void *items;
            uint32_t n;
        } list;
        memcpy(&list, at, sizeof(list));
        put(text, "[%u]", list.n);
        break;
    }
    case MF_F_LABELS:
        memcpy(&count, at + offsetof(struct mf_labels, n), sizeof(count));
        put(text, "{%u}", count);
        break;
    case MF_F_RECORD: {
        char inner[160];
        mf_sim_text_of(field->record, at, inner, sizeof(inner));
        put(text, "(%s)", inner);
        break;
    }
    default:
        put(text, "..");
    }
}

static bool empty(const struct mf_field *field, const char *at)
{
    static const char zero[64];
    size_t size = field->kind == MF_F_BOOL   ? 1
                  : field->kind == MF_F_ENUM ? 4
                  : field->kind == MF_F_UUID ? 16
                                             : 8;
    if (field->kind == MF_F_STR || field->kind == MF_F_NAME)
        return ((const struct mf_str *)(const void *)at)->len == 0;
    if (field->kind == MF_F_RECORD)
        return false;
    return memcmp(at, zero, size) == 0;
}

void mf_sim_text_of(const struct mf_desc *desc, const void *what, char *array, size_t size)
{
    struct text text = {array, size, 0};
    array[0] = 0;
    for (unsigned i = 0; i < desc->n_fields; i++) {
        const struct mf_field *field = &desc->fields[i];
        const char *at = (const char *)what + field->offset;
        if (empty(field, at) || field->kind == MF_F_DIGEST || field->kind == MF_F_BIN ||
            field->kind == MF_F_BLOB)
            continue;
        put(&text, "%s%s=", text.len ? " " : "", field->name);
        put_field(&text, field, at);
    }
}

void mf_sim_trace(struct mf_sim_world *self, const char *who, const char *format, ...)
{
    if (!mf_sim_traces(self))
        return;
    char *line = self->trace_ring[self->trace_lines++ % MF_SIM_TRACE_LINES];
    int head = snprintf(line, MF_SIM_TRACE_LINE, "%9lld %-9s ", (long long)self->now, who);
    va_list args;
    va_start(args, format);
    vsnprintf(line + head, MF_SIM_TRACE_LINE - (size_t)head, format, args);
    va_end(args);
    self->trace_hash = (self->trace_hash ^ mf_hash(line, strlen(line))) * 0x9e3779b97f4a7c15u;
    if (self->options.trace)
        puts(line);
}

static bool is_heartbeat(enum mf_kind kind)
{
    return kind == MF_MSG_WORKER_ALIVE || kind == MF_MSG_ALIVE_ACK || kind == MF_MSG_MONITOR_ALIVE ||
           kind == MF_MSG_CREDIT || kind == MF_MSG_LEASE_ASK || kind == MF_MSG_LEASE_GRANT;
}

void mf_sim_trace_message(struct mf_sim_world *self, const char *from, const char *to,
                          const struct mf_message *message)
{
    if (is_heartbeat(message->kind) || !mf_sim_traces(self))
        return;
    const struct mf_desc *desc = mf_kind_desc(message->kind);
    char text[300];
    mf_sim_text_of(desc, &message->provision, text,
                   sizeof(text)); /* every member of the union begins there */
    mf_sim_trace(self, from, "-> %s %s %s", to, desc->wire, text);
}

void mf_sim_trace_tail(const struct mf_sim_world *self)
{
    uint64_t n = self->trace_lines < MF_SIM_TRACE_LINES ? self->trace_lines : MF_SIM_TRACE_LINES;
    for (uint64_t i = self->trace_lines - n; i < self->trace_lines; i++)
        printf("  %s\n", self->trace_ring[i % MF_SIM_TRACE_LINES]);
}
