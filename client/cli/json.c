/* Protocol values as JSON. Bytes from the wire are walked by msgpack-c only after the bounded validator has
 * seen them. */
#include "json.h"
#include "check.h"
#include <inttypes.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *mf_json_u64(uint64_t value)
{
    char text[24];
    if (value <= INT64_MAX)
        return json_integer((json_int_t)value);
    snprintf(text, sizeof text, "%" PRIu64, value);
    return json_string(text);
}

json_t *mf_json_text(struct mf_str text)
{
    json_t *json = json_stringn(text.ptr ? text.ptr : "", text.len);
    if (json)
        return json;
    char *shown = malloc(4 * (size_t)text.len + 1);
    MF_CHECK(shown);
    size_t n = 0;
    for (uint32_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        n += (size_t)snprintf(shown + n, 5, c >= 0x20 && c < 0x7f ? "%c" : "\\x%02x", c);
    }
    json = json_stringn(shown, n);
    free(shown);
    return json;
}

static json_t *hex(const char *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    char *text = malloc(2 * len + 1);
    MF_CHECK(text);
    for (size_t i = 0; i < len; i++) {
        text[2 * i] = digits[(unsigned char)bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    json_t *json = json_stringn(text, 2 * len);
    free(text);
    return json;
}

static json_t *uuid(const void *bytes)
{
    struct mf_uuid id;
    char text[MF_UUID_TEXT];
    memcpy(&id, bytes, sizeof id);
    return json_string(mf_uuid_text(id, text));
}

/* -- structs */

static json_t *labels_json(const struct mf_labels *labels)
{
    json_t *object = json_object();
    for (uint32_t i = 0; i < labels->n; i++) {
        char key[MF_NAME_MAX + 1];
        mf_str_format(key, sizeof key, "%.*s", (int)labels->items[i].key.len, labels->items[i].key.ptr);
        json_object_set_new(object, key, mf_json_text(labels->items[i].value));
    }
    return object;
}

static json_t *list_json(const struct mf_field *field, const void *at)
{
    struct {
        char *items;
        uint32_t n;
    } list;
    memcpy(&list, at, sizeof list);
    json_t *array = json_array();
    mf_json_rows(array, field->record, list.items, list.n);
    return array;
}

static json_t *string_or_null(const struct mf_field *field, struct mf_str value)
{
    return value.len || field->required ? mf_json_text(value) : json_null();
}

static json_t *field_json(const struct mf_field *field, const void *at, bool has)
{
    unsigned word;
    switch (field->kind) {
    case MF_F_U64:
        return field->required || has || *(const uint64_t *)at ? mf_json_u64(*(const uint64_t *)at)
                                                               : json_null();
    case MF_F_BOOL:
        return json_boolean(*(const bool *)at);
    case MF_F_STR:
    case MF_F_NAME:
        return string_or_null(field, *(const struct mf_str *)at);
    case MF_F_BIN:
        return hex(((const struct mf_str *)at)->ptr, ((const struct mf_str *)at)->len);
    case MF_F_UUID:
        return mf_uuid_is_zero(*(const struct mf_uuid *)at) ? json_null() : uuid(at);
    case MF_F_DIGEST:
        return mf_digest_is_zero(*(const struct mf_digest *)at) ? json_null()
                                                                : hex(at, sizeof(struct mf_digest));
    case MF_F_ENUM:
        word = *(const unsigned *)at;
        return word && word < field->words->n ? json_string(field->words->words[word]) : json_null();
    case MF_F_LABELS:
        return labels_json(at);
    case MF_F_RAW:
        return mf_json_msgpack(*(const struct mf_str *)at, NULL);
    case MF_F_BLOB:
        return mf_json_u64(((const struct mf_blob *)at)->bytes.len);
    case MF_F_RECORD:
        return mf_json_struct(field->record, at);
    case MF_F_LIST:
        return list_json(field, at);
    }
    return json_null();
}

json_t *mf_json_struct(const struct mf_desc *desc, const void *what)
{
    uint64_t has = *(const uint64_t *)what; /* every struct begins with it */
    json_t *object = json_object();
    for (unsigned i = 0; i < desc->n_fields; i++) {
        const struct mf_field *field = &desc->fields[i];
        json_t *value = field_json(field, (const char *)what + field->offset, has >> i & 1);
        json_object_set_new(object, field->name, value ? value : json_null());
    }
    return object;
}

void mf_json_rows(json_t *array, const struct mf_desc *record, const void *items, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        json_array_append_new(array, mf_json_struct(record, (const char *)items + i * record->size));
}

/* -- msgpack */

static json_t *walk(const msgpack_object *value, const struct mf_field *field);

static const struct mf_field *field_of(const struct mf_desc *desc, const char *name, size_t len)
{
    for (unsigned i = 0; desc && i < desc->n_fields; i++)
        if (strlen(desc->fields[i].name) == len && !memcmp(desc->fields[i].name, name, len))
            return &desc->fields[i];
    return NULL;
}

/* Without a table: sixteen bytes under a name that our ids have are a UUID. */
static bool names_an_id(const char *name, size_t len)
{
    static const char *const ids[] = {"id", "group_id", "replaces", "cluster_id", "log_id"};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        if (strlen(ids[i]) == len && !memcmp(ids[i], name, len))
            return true;
    return false;
}

static json_t *map_json(const msgpack_object_map *map, const struct mf_desc *desc)
{
    json_t *object = json_object();
    for (uint32_t i = 0; i < map->size; i++) {
        const msgpack_object *key = &map->ptr[i].key, *value = &map->ptr[i].val;
        if (key->type != MSGPACK_OBJECT_STR)
            continue; /* none of ours */
        const struct mf_field *field = field_of(desc, key->via.str.ptr, key->via.str.size);
        json_t *json = !field && value->type == MSGPACK_OBJECT_BIN && value->via.bin.size == 16 &&
                               names_an_id(key->via.str.ptr, key->via.str.size)
                           ? uuid(value->via.bin.ptr)
                           : walk(value, field);
        json_t *name = mf_json_text((struct mf_str){key->via.str.ptr, key->via.str.size});
        json_object_set_new(object, json_string_value(name), json);
        json_decref(name);
    }
    return object;
}

static json_t *array_json(const msgpack_object_array *array, const struct mf_field *field)
{
    msgpack_object item;
    json_t *list = json_array();
    for (uint32_t i = 0; i < array->size; i++) {
        item = array->ptr[i];
        if (item.type == MSGPACK_OBJECT_MAP)
            json_array_append_new(list, map_json(&item.via.map, field ? field->record : NULL));
        else
            json_array_append_new(list, walk(&item, NULL));
    }
    return list;
}

static json_t *walk(const msgpack_object *value, const struct mf_field *field)
{
    switch (value->type) {
    case MSGPACK_OBJECT_BOOLEAN:
        return json_boolean(value->via.boolean);
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        return mf_json_u64(value->via.u64);
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        return json_integer(value->via.i64);
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        return json_real(value->via.f64) ?: json_null(); /* JSON has no infinities */
    case MSGPACK_OBJECT_STR:
        return mf_json_text((struct mf_str){value->via.str.ptr, value->via.str.size});
    case MSGPACK_OBJECT_BIN:
        if (field && field->kind == MF_F_UUID && value->via.bin.size == sizeof(struct mf_uuid))
            return uuid(value->via.bin.ptr);
        return hex(value->via.bin.ptr, value->via.bin.size);
    case MSGPACK_OBJECT_EXT:
        return hex(value->via.ext.ptr, value->via.ext.size);
    case MSGPACK_OBJECT_ARRAY:
        return array_json(&value->via.array, field);
    case MSGPACK_OBJECT_MAP:
        return map_json(&value->via.map, field && field->kind == MF_F_RECORD ? field->record : NULL);
    default:
        return json_null();
    }
}

json_t *mf_json_msgpack(struct mf_str bytes, const struct mf_desc *desc)
{
    msgpack_unpacked unpacked;
    json_t *json = NULL;
    if (!mf_msgpack_valid(bytes))
        return NULL;
    msgpack_unpacked_init(&unpacked);
    if (msgpack_unpack_next(&unpacked, bytes.ptr, bytes.len, NULL) == MSGPACK_UNPACK_SUCCESS)
        json = unpacked.data.type == MSGPACK_OBJECT_MAP ? map_json(&unpacked.data.via.map, desc)
                                                        : walk(&unpacked.data, NULL);
    msgpack_unpacked_destroy(&unpacked);
    return json;
}

json_t *mf_json_event(const struct mf_rec_event_row *row)
{
    json_t *data = mf_json_msgpack(row->data, mf_desc_by_wire(row->type)), *object = json_object();
    json_object_set_new(object, "seq", mf_json_u64(row->seq));
    json_object_set_new(object, "time_ms", mf_json_u64(row->time_ms));
    json_object_set_new(object, "type", mf_json_text(row->type));
    json_object_set_new(object, "subject", mf_json_text(row->subject));
    json_object_set_new(object, "cause", mf_json_u64(row->cause));
    json_object_set_new(object, "data", data ? data : json_null());
    return object;
}

json_t *mf_json_cells(const json_t *row)
{
    json_int_t cells = json_integer_value(json_object_get(row, "cells"));
    char text[32] = "";
    for (int cell = 0; cell < 8; cell++)
        if (cells >> cell & 1)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s%d", *text ? "," : "", cell);
    return json_string(text);
}
