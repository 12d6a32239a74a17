/* encode.c - structs to msgpack maps, row by row of the table. What it is given is ours: a value that breaks
 * its row is a bug. */
#include "check.h"
#include "codec.h"

#include <msgpack.h>
#include <string.h>

static void pack_record(msgpack_packer *packer, const struct mf_desc *desc, const void *what);

static int write_buf(void *buf, const char *bytes, size_t len)
{
    mf_buf_append(buf, bytes, len);
    return 0;
}

static int write_nothing(void *size, const char *bytes, size_t len)
{
    *(size_t *)size += len;
    return 0;
}

static void pack_text(msgpack_packer *packer, struct mf_str s)
{
    msgpack_pack_str(packer, s.len);
    msgpack_pack_str_body(packer, s.ptr, s.len);
}

static void pack_bytes(msgpack_packer *packer, const void *bytes, size_t len)
{
    msgpack_pack_bin(packer, len);
    msgpack_pack_bin_body(packer, bytes, len);
}

static void pack_labels(msgpack_packer *packer, const struct mf_labels *labels)
{
    msgpack_pack_map(packer, labels->n);
    for (uint32_t i = 0; i < labels->n; i++) {
        pack_text(packer, labels->items[i].key);
        pack_text(packer, labels->items[i].value);
    }
}

static void pack_list(msgpack_packer *packer, const struct mf_desc *desc, const struct mf_list_any *list)
{
    msgpack_pack_array(packer, list->n);
    for (uint32_t i = 0; i < list->n; i++)
        pack_record(packer, desc, (const char *)list->items + i * desc->size);
}

static void pack_value(msgpack_packer *packer, const struct mf_field *field, const void *at)
{
    const struct mf_str *s = at;

    switch (field->kind) {
    case MF_F_U64:
        msgpack_pack_uint64(packer, *(const uint64_t *)at);
        break;
    case MF_F_BOOL:
        if (*(const bool *)at)
            msgpack_pack_true(packer);
        else
            msgpack_pack_false(packer);
        break;
    case MF_F_STR:
    case MF_F_NAME:
        pack_text(packer, *s);
        break;
    case MF_F_BIN:
        pack_bytes(packer, s->ptr, s->len);
        break;
    case MF_F_UUID:
    case MF_F_DIGEST:
        pack_bytes(packer, at, field->max);
        break;
    case MF_F_ENUM:
        pack_text(packer, mf_str(mf_enum_word(field->words, *(const unsigned *)at)));
        break;
    case MF_F_LABELS:
        pack_labels(packer, at);
        break;
    case MF_F_RAW:
        packer->callback(packer->data, s->ptr, s->len); /* is msgpack already */
        break;
    case MF_F_BLOB:
        pack_bytes(packer, ((const struct mf_blob *)at)->bytes.ptr, ((const struct mf_blob *)at)->bytes.len);
        break;
    case MF_F_RECORD:
        pack_record(packer, field->record, at);
        break;
    case MF_F_LIST:
        pack_list(packer, field->record, at);
        break;
    }
}

static void assert_field(const struct mf_desc *desc, const struct mf_field *field, const void *what)
{
    char why[160], text[256];

    if (mf_field_check(field, what, why) == MF_E_OK)
        return;
    mf_str_format(text, sizeof(text), "encoding %s.%s: %s", desc->wire ? desc->wire : desc->id, field->name,
                  why);
    mf_panic(__FILE__, __LINE__, __func__, text);
}

static void pack_record(msgpack_packer *packer, const struct mf_desc *desc, const void *what)
{
    uint64_t present = 0;

    for (unsigned i = 0; i < desc->n_fields; i++)
        if (mf_field_present(desc, i, what))
            present |= UINT64_C(1) << i;
    msgpack_pack_map(packer, (size_t)__builtin_popcountll(present));
    for (unsigned i = 0; i < desc->n_fields; i++) {
        const struct mf_field *field = &desc->fields[i];

        if (!(present >> i & 1))
            continue;
        assert_field(desc, field, what);
        pack_text(packer, mf_str(field->name));
        pack_value(packer, field, (const char *)what + field->offset);
    }
}

void mf_encode(const struct mf_desc *desc, const void *what, struct mf_buf *buf)
{
    msgpack_packer packer;

    msgpack_packer_init(&packer, buf, write_buf);
    pack_record(&packer, desc, what);
}

size_t mf_encode_size(const struct mf_desc *desc, const void *what)
{
    msgpack_packer packer;
    size_t size = 0;

    msgpack_packer_init(&packer, &size, write_nothing);
    pack_record(&packer, desc, what);
    return size;
}

void mf_message_encode(const struct mf_message *message, struct mf_buf *ret_head, struct mf_buf *ret_body)
{
    const struct mf_desc *desc = mf_kind_desc(message->kind);

    MF_CHECK(message->kind < MF_MSG_COUNT);
    mf_buf_append(ret_head, MF_MAJOR_TAG " ", strlen(MF_MAJOR_TAG) + 1);
    mf_buf_append(ret_head, desc->wire, strlen(desc->wire));
    mf_encode(desc, &message->provision, ret_body); /* every member of the union begins there */
}

void mf_event_encode(const struct mf_event *event, struct mf_buf *buf)
{
    MF_CHECK(event->kind > MF_MSG_COUNT);
    mf_encode(mf_kind_desc(event->kind), &event->cluster_created, buf);
}
