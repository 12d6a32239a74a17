/* out.c - two queues: messages that show state wait for the commit of every row made before them, in order;
 * the few that show nothing of it (hello again, store full) do not wait, or a store in trouble could not be
 * told about. */
#include "out.h"
#include "check.h"

#include <stdlib.h>
#include <string.h>

/* Every message struct begins the union. */
static const void *body(const struct mf_message *message)
{
    return &message->provision;
}

static void push(struct mf_broker *b, struct mf_out_queue *queue, uint64_t peer, uint64_t need_seq,
                 const struct mf_message *message)
{
    struct mf_buf buf = {0};
    struct mf_out *out;

    mf_encode(mf_kind_desc(message->kind), body(message), &buf);
    out = mf_calloc(sizeof(*out) + buf.len);
    *out =
        (struct mf_out){.peer = peer, .need_seq = need_seq, .kind = message->kind, .len = (uint32_t)buf.len};
    memcpy(out->bytes, buf.ptr, buf.len);
    mf_buf_free(&buf);
    *(queue->last ? &queue->last->next : &queue->first) = out;
    queue->last = out;
    queue->n++;
}

void mf_send(struct mf_broker *b, uint64_t peer, const struct mf_message *message)
{
    if (peer)
        push(b, &b->behind, peer, b->seq, message);
}

void mf_send_now(struct mf_broker *b, uint64_t peer, const struct mf_message *message)
{
    if (peer)
        push(b, &b->at_once, peer, 0, message);
}

static struct mf_message error_of(struct mf_str request_id, enum mf_errcode code, const char *text)
{
    return (struct mf_message){.kind = MF_MSG_ERROR,
                               .error = {.request_id = request_id,
                                         .code = mf_str(mf_error_code(code)),
                                         .text = mf_str(text),
                                         .retry = mf_error_retry(code)}};
}

void mf_send_error(struct mf_broker *b, uint64_t peer, struct mf_str request_id, enum mf_errcode code,
                   const char *text)
{
    struct mf_message message = error_of(request_id, code, text);

    mf_send(b, peer, &message);
}

void mf_send_error_now(struct mf_broker *b, uint64_t peer, struct mf_str request_id, enum mf_errcode code,
                       const char *text)
{
    struct mf_message message = error_of(request_id, code, text);

    mf_send_now(b, peer, &message);
}

void mf_close(struct mf_broker *b, uint64_t peer)
{
    if (b->n_closes == b->cap_closes) {
        b->cap_closes = b->cap_closes ? b->cap_closes * 2 : 8;
        b->closes = realloc(b->closes, b->cap_closes * sizeof(*b->closes));
        MF_CHECK(b->closes != NULL);
    }
    b->closes[b->n_closes++] = peer;
}

bool mf_out_row(struct mf_broker *b, struct mf_broker_row *ret_row)
{
    struct mf_out_row *row = b->rows;

    if (!row)
        return false;
    b->rows = row->next;
    if (!b->rows)
        b->rows_last = NULL;
    row->next = b->rows_handed;
    b->rows_handed = row;
    *ret_row = row->row;
    return true;
}

bool mf_out_close(struct mf_broker *b, uint64_t *ret_peer)
{
    if (b->n_closes == 0)
        return false;
    *ret_peer = b->closes[0];
    memmove(b->closes, b->closes + 1, --b->n_closes * sizeof(*b->closes));
    return true;
}

static struct mf_out *pop(struct mf_broker *b, struct mf_out_queue *queue)
{
    struct mf_out *out = queue->first;

    if (!out || out->need_seq > b->committed)
        return NULL;
    queue->first = out->next;
    if (!out->next)
        queue->last = NULL;
    queue->n--;
    out->next = b->handed;
    b->handed = out;
    return out;
}

bool mf_out_message(struct mf_broker *b, uint64_t *ret_peer, const struct mf_message **ret_message)
{
    struct mf_out *out = pop(b, &b->at_once);
    struct mf_message *message;
    struct mf_decode_error error;

    if (!out)
        out = pop(b, &b->behind);
    if (!out)
        return false;
    message = mf_arena_alloc(&b->arena, sizeof(*message));
    message->kind = out->kind;
    MF_CHECK(mf_decode(mf_kind_desc(out->kind), (struct mf_str){out->bytes, out->len}, &b->arena,
                       &message->provision, &error) == 0);
    *ret_peer = out->peer;
    *ret_message = message;
    return true;
}

static void free_outs(struct mf_out **list)
{
    while (*list) {
        struct mf_out *out = *list;
        *list = out->next;
        free(out);
    }
}

static void free_rows(struct mf_out_row **list)
{
    while (*list) {
        struct mf_out_row *row = *list;
        *list = row->next;
        free(row);
    }
}

void mf_out_release(struct mf_broker *b)
{
    free_outs(&b->handed);
    free_rows(&b->rows_handed);
    mf_arena_reset(&b->arena);
}

void mf_out_free(struct mf_broker *b)
{
    mf_out_release(b);
    free_outs(&b->behind.first);
    free_outs(&b->at_once.first);
    free_rows(&b->rows);
    free(b->closes);
    mf_arena_free(&b->arena);
}
