/* reply.c - works on any kind by its descriptor, so that a new request needs nothing here. */
#include "reply.h"
#include <string.h>

struct mf_message mf_reply_error(struct mf_str request_id, enum mf_errcode code, struct mf_str text)
{
    return (struct mf_message){.kind = MF_MSG_ERROR,
                               .error = {.request_id = request_id,
                                         .code = mf_str(mf_error_code(code)),
                                         .text = text,
                                         .retry = mf_error_retry(code)}};
}

static const struct mf_field *request_id_field(enum mf_kind kind)
{
    const struct mf_desc *desc = mf_kind_desc(kind);

    for (unsigned i = 0; i < desc->n_fields; i++)
        if (!strcmp(desc->fields[i].name, "request_id"))
            return &desc->fields[i];
    return NULL;
}

/* All bodies share the union's address. */
static struct mf_str *request_id_place(struct mf_message *message)
{
    const struct mf_field *field = request_id_field(message->kind);

    return field ? (struct mf_str *)((char *)&message->provision + field->offset) : NULL;
}

struct mf_str mf_request_id(const struct mf_message *message)
{
    const struct mf_str *place = request_id_place((struct mf_message *)message);

    return place ? *place : (struct mf_str){"", 0};
}

/* `status` is a request with nothing but its id; all else in the body is unknown to it and skipped. */
struct mf_str mf_request_id_guess(struct mf_str body, struct mf_arena *arena)
{
    struct mf_msg_status status;
    struct mf_decode_error error;

    if (mf_decode(mf_kind_desc(MF_MSG_STATUS), body, arena, &status, &error) < 0)
        return (struct mf_str){"", 0};
    return status.request_id;
}

struct mf_digest mf_body_digest(const struct mf_message *message, struct mf_buf *scratch)
{
    struct mf_message copy = *message;
    struct mf_str *place = request_id_place(&copy);
    struct mf_buf head = {0};
    struct mf_digest digest;

    if (place)
        *place = mf_str("-");
    copy.provision.has = 0; /* of any kind: what is present with its zero value is written as if absent */
    mf_buf_clear(scratch);
    mf_message_encode(&copy, &head, scratch);
    mf_buf_append(scratch, head.ptr, head.len);
    digest = mf_digest_make(scratch->ptr, scratch->len);
    mf_buf_free(&head);
    return digest;
}
