/* Fuzz target: the two frames of a message, and the bodies of events and records. An input is a length byte,
 * frame 0 of that length, then frame 1. A frame 0 that is "event NAME" or "record ID" leads to those
 * decoders. Whatever decodes must encode again, decode to the same and encode to the same bytes. */
#include "check.h"
#include "fuzz.h"
#include "generate.h"

#include <stdlib.h>
#include <string.h>

/* Encode and decode until nothing changes any more: that must be at once. */
static void settle(const struct mf_desc *desc, const void *what)
{
    struct mf_buf first = {0}, second = {0};
    struct mf_decode_error error;
    struct mf_arena arena = {0};
    void *again = malloc(desc->size);

    mf_encode(desc, what, &first);
    MF_CHECK(first.len == mf_encode_size(desc, what));
    MF_CHECK(mf_decode(desc, (struct mf_str){first.ptr, (uint32_t)first.len}, &arena, again, &error) == 0);
    mf_encode(desc, again, &second);
    MF_CHECK(first.len == second.len && memcmp(first.ptr, second.ptr, first.len) == 0);
    free(again);
    mf_arena_free(&arena);
    mf_buf_free(&first);
    mf_buf_free(&second);
}

static const struct mf_desc *record_by_id(struct mf_str id)
{
    for (unsigned i = 0; mf_record_desc(i); i++)
        if (mf_str_is(id, mf_record_desc(i)->id))
            return mf_record_desc(i);
    return NULL;
}

static bool starts(struct mf_str *s, const char *prefix)
{
    uint32_t len = (uint32_t)strlen(prefix);

    if (s->len < len || memcmp(s->ptr, prefix, len) != 0)
        return false;
    *s = (struct mf_str){s->ptr + len, s->len - len};
    return true;
}

static void try_message(struct mf_str head, struct mf_str body)
{
    struct mf_decode_error error = {0};
    struct mf_message message;
    struct mf_arena arena = {0};

    if (mf_message_decode(head, body, &arena, &message, &error) == 0)
        settle(mf_kind_desc(message.kind), &message.provision);
    else
        MF_CHECK(error.code != MF_E_OK && error.text[0] && memchr(error.text, 0, sizeof(error.text)));
    mf_arena_free(&arena);
}

static void try_body(const struct mf_desc *desc, struct mf_str body)
{
    struct mf_decode_error error = {0};
    struct mf_arena arena = {0};
    void *what = malloc(desc->size);

    if (mf_decode(desc, body, &arena, what, &error) == 0)
        settle(desc, what);
    free(what);
    mf_arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct mf_str head, body, name, request_id;
    const struct mf_desc *desc;

    if (len < 1 || bytes[0] > len - 1)
        return 0;
    head = name = (struct mf_str){(const char *)bytes + 1, bytes[0]};
    body = (struct mf_str){(const char *)bytes + 1 + bytes[0], (uint32_t)(len - 1 - bytes[0])};
    desc = starts(&name, "event ")    ? mf_desc_by_wire(name)
           : starts(&name, "record ") ? record_by_id(name)
                                      : NULL;
    if (desc)
        try_body(desc, body);
    else
        try_message(head, body);
    mf_message_request_id(body, &request_id);
    return 0;
}

static const struct mf_desc *desc_at(unsigned index)
{
    if (index < MF_MSG_COUNT - 1)
        return mf_kind_desc((enum mf_kind)(index + 1));
    if (index < MF_KIND_COUNT - 2)
        return mf_kind_desc((enum mf_kind)(index + 2));
    return mf_record_desc(index - (MF_KIND_COUNT - 2));
}

bool mf_fuzz_seed(unsigned index, struct mf_random *random, struct mf_buf *buf, const char **ret_name)
{
    const struct mf_desc *desc = desc_at(index);
    struct mf_arena arena = {0};
    char head[128];
    struct mf_str frame;
    uint8_t length;
    void *what;

    if (!desc)
        return false;
    *ret_name = desc->wire ? desc->wire : desc->id;
    frame = mf_str_format(head, sizeof(head), "%s %s",
                          !desc->wire                 ? "record"
                          : desc->kind > MF_MSG_COUNT ? "event"
                                                      : MF_MAJOR_TAG,
                          *ret_name);
    length = (uint8_t)frame.len;
    mf_buf_append(buf, &length, 1);
    mf_buf_append(buf, frame.ptr, frame.len);
    what = malloc(desc->size);
    mf_generate(desc, random, &arena, what);
    mf_encode(desc, what, buf);
    free(what);
    mf_arena_free(&arena);
    return true;
}
