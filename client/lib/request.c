/* Requests: kept until answered, sent again on every new link and every MAYFLY_RESEND_MS on a living one,
 * given up at their time-out with a sentence that tells "nobody is there" from "connected, but silent". */
#include "client.h"
#include "check.h"
#include "program.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { FULL_RETRY_MS = 20 }; /* the queue was full: try again so soon */

static struct mf_str *field_id(struct mf_message *message)
{
    const struct mf_desc *desc = mf_kind_desc(message->kind);
    char *body = (char *)&message->error; /* every body begins the union */
    for (unsigned i = 0; i < desc->n_fields; i++)
        if (!strcmp(desc->fields[i].name, "request_id"))
            return (struct mf_str *)(body + desc->fields[i].offset);
    return NULL;
}

/* A deep copy by way of the codec: what was encoded is what will be sent. */
static void copy_message(const struct mf_message *message, struct mf_arena *arena,
                         struct mf_message *ret_copy)
{
    struct mf_buf head = {0}, body = {0};
    struct mf_decode_error error;
    mf_message_encode(message, &head, &body);
    struct mf_str kept_head = mf_str_dup(arena, (struct mf_str){head.ptr, (uint32_t)head.len});
    struct mf_str kept_body = mf_str_dup(arena, (struct mf_str){body.ptr, (uint32_t)body.len});
    MF_CHECK(mf_message_decode(kept_head, kept_body, arena, ret_copy, &error) == 0);
    mf_buf_free(&head);
    mf_buf_free(&body);
}

static struct mf_request **bucket(struct mayfly *self, struct mf_str id)
{
    return &self->requests[mf_hash(id.ptr, id.len) % MF_CLIENT_BUCKETS];
}

static void send_one(struct mayfly *self, struct mf_request *request, mf_ms now)
{
    request->sent = !mf_bus_send(self->socket, (struct mf_str){0}, false, &request->message);
    request->resend_ms = now + (request->sent ? MAYFLY_RESEND_MS : FULL_RETRY_MS);
    mf_client_kick(self);
}

static void note_due(struct mayfly *self, const struct mf_request *request)
{
    mf_ms due = request->end_ms;
    if (self->up && request->resend_ms < due)
        due = request->resend_ms;
    if (due < self->due_ms)
        self->due_ms = due;
    mf_client_wake_at(self, self->due_ms);
}

int mayfly_submit(struct mayfly *self, const struct mf_message *message, int64_t timeout_ms,
                  mayfly_reply_fn *done, void *arg, struct mayfly_error *ret_error)
{
    char made[MAYFLY_REQUEST_ID];
    struct mf_message named = *message;
    MF_MAGIC(self, MF_CLIENT_MAGIC);
    struct mf_str *id = field_id(&named);
    if (!id)
        return mf_client_error(ret_error, MF_E_INVALID, false, -EINVAL,
                               "%s is not a request: it has no request_id",
                               mf_kind_desc(message->kind)->wire);
    if (!id->len)
        *id = mf_str(mayfly_request_id_make(made));
    int r = mayfly_message_check(&named, ret_error);
    if (!r)
        r = mf_client_revive(self, ret_error);
    if (r)
        return r;
    mf_ms now = mf_now();
    struct mf_request *request = calloc(1, sizeof *request);
    MF_CHECK(request);
    copy_message(&named, &request->arena, &request->message);
    request->id = *field_id(&request->message);
    request->timeout_ms = timeout_ms > 0 ? timeout_ms : self->timeout_ms;
    request->end_ms = now + request->timeout_ms;
    request->resend_ms = INT64_MAX;
    request->done = done;
    request->arg = arg;
    struct mf_request **head = bucket(self, request->id);
    request->next = *head;
    *head = request;
    self->n_requests++;
    if (self->up)
        send_one(self, request, now);
    note_due(self, request);
    return 0;
}

static void free_request(struct mf_request *request)
{
    mf_arena_free(&request->arena);
    free(request);
}

/* Take it out first: the callback may submit again. */
static void finish(struct mayfly *self, struct mf_request **link, const struct mf_message *reply,
                   const struct mayfly_error *error)
{
    struct mf_request *request = *link;
    *link = request->next;
    self->n_requests--;
    request->done(request->arg, reply, error);
    free_request(request);
}

void mf_error_from_reply(const struct mf_msg_error *reply, struct mayfly_error *ret_error)
{
    *ret_error = (struct mayfly_error){
        .code = mf_error_value(reply->code), .retry = reply->retry, .oldest_seq = reply->oldest_seq};
    mf_str_format(ret_error->text, sizeof ret_error->text, "%.*s", (int)reply->text.len, reply->text.ptr);
    if (!reply->text.len)
        mf_str_format(ret_error->text, sizeof ret_error->text, "%s", mf_error_sentence(ret_error->code));
}

void mf_requests_answer(struct mayfly *self, struct mf_str id, const struct mf_message *reply)
{
    struct mayfly_error error;
    for (struct mf_request **link = bucket(self, id); *link; link = &(*link)->next) {
        if (!mf_str_eq((*link)->id, id))
            continue;
        if (reply->kind != MF_MSG_ERROR) {
            finish(self, link, reply, NULL);
            return;
        }
        mf_error_from_reply(&reply->error, &error);
        finish(self, link, NULL, &error);
        return;
    }
}

static void give_up(struct mayfly *self, struct mf_request **link)
{
    struct mayfly_error error;
    const struct mf_request *request = *link;
    if (self->up)
        mf_client_error(&error, MF_E_UNAVAILABLE, true, 0,
                        "connected to %s, but %s was not answered within %" PRId64
                        " ms: is the broker overloaded or frozen? see its log",
                        self->endpoint, mf_kind_desc(request->message.kind)->wire, request->timeout_ms);
    else
        mf_client_error(&error, MF_E_UNAVAILABLE, true, 0,
                        "nobody answers at %s within %" PRId64
                        " ms: is the broker up, is the address its client endpoint%s?",
                        self->endpoint, request->timeout_ms,
                        self->ever_up ? "" : ", and is the key made for it");
    finish(self, link, NULL, &error);
}

void mf_requests_due(struct mayfly *self, mf_ms now)
{
    if (now < self->due_ms) {
        mf_client_wake_at(self, self->due_ms);
        return;
    }
    for (unsigned i = 0; i < MF_CLIENT_BUCKETS; i++) {
        struct mf_request **link = &self->requests[i];
        while (*link) {
            struct mf_request *request = *link;
            if (request->end_ms <= now) {
                give_up(self, link);
                link = &self->requests[i]; /* the callback may have changed the chain */
                continue;
            }
            if (self->up && request->resend_ms <= now)
                send_one(self, request, now);
            link = &request->next;
        }
    }
    self->due_ms = INT64_MAX;
    for (unsigned i = 0; i < MF_CLIENT_BUCKETS; i++)
        for (struct mf_request *request = self->requests[i]; request; request = request->next)
            note_due(self, request);
}

void mf_requests_send(struct mayfly *self, bool all)
{
    mf_ms now = mf_now();
    for (unsigned i = 0; i < MF_CLIENT_BUCKETS; i++)
        for (struct mf_request *request = self->requests[i]; request; request = request->next)
            if (all || !request->sent) {
                send_one(self, request, now);
                note_due(self, request);
            }
}

void mf_requests_fail(struct mayfly *self, const struct mayfly_error *error)
{
    for (unsigned i = 0; i < MF_CLIENT_BUCKETS; i++) {
        struct mf_request *chain = self->requests[i]; /* what a callback submits is not failed with it */
        self->requests[i] = NULL;
        while (chain)
            finish(self, &chain, NULL, error);
    }
}

void mf_requests_free(struct mayfly *self)
{
    for (unsigned i = 0; i < MF_CLIENT_BUCKETS; i++)
        while (self->requests[i]) {
            struct mf_request *request = self->requests[i];
            self->requests[i] = request->next;
            free_request(request);
        }
}

struct wait {
    struct mayfly_reply *reply;
    struct mayfly_error *error;
    bool done, failed;
};

static void collect(void *arg, const struct mf_message *reply, const struct mayfly_error *error)
{
    struct wait *wait = arg;
    wait->done = true;
    wait->failed = error;
    if (error)
        *wait->error = *error;
    else
        copy_message(reply, &wait->reply->arena, &wait->reply->message);
}

static int result_of(const struct mayfly_error *error)
{
    if (!error->local)
        return -EREMOTEIO;
    return error->code == MF_E_FORBIDDEN ? -EACCES : error->code == MF_E_UNAVAILABLE ? -ETIMEDOUT : -EINVAL;
}

int mayfly_request(struct mayfly *self, const struct mf_message *request, int64_t timeout_ms,
                   struct mayfly_reply *ret_reply, struct mayfly_error *ret_error)
{
    struct wait wait = {.reply = ret_reply, .error = ret_error};
    MF_CHECK(!self->processing);
    int r = mayfly_submit(self, request, timeout_ms, collect, &wait, ret_error);
    while (!r && !wait.done)
        if (mayfly_wait(self, -1) < 0)
            return mf_client_error(ret_error, MF_E_INTERNAL, true, -EIO, "the socket to %s broke",
                                   self->endpoint);
    return r ? r : wait.failed ? result_of(ret_error) : 0;
}

void mayfly_reply_free(struct mayfly_reply *self)
{
    mf_arena_free(&self->arena);
    *self = (struct mayfly_reply){0};
}
