/* intake.c - a message on its way to the core. In this order: is it two frames of sane size, from a key with
 * a role, on the endpoint of that role, decodable by the table, sendable by that role. Only then does the
 * core see it. Whoever is refused is told why. */
#include "loop_private.h"
#include "check.h"
#include "reply.h"
#include "user_data.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 256 };

/* To whoever sent what `in` holds; an answer that can't be delivered is nobody's loss. */
static void refuse(struct mf_loop *self, enum mf_endpoint endpoint, struct mf_str request_id,
                   enum mf_errcode code, const char *text)
{
    struct mf_message message = mf_reply_error(request_id, code, mf_str(text));

    self->tally.errors[code]++;
    mf_bus_send(self->sockets[endpoint], self->in.identity, self->in.delimiter, &message);
}

static bool sane(struct mf_loop *self, enum mf_endpoint endpoint)
{
    struct mf_bus_in *in = &self->in;

    if (in->malformed)
        refuse(self, endpoint, mf_str(""), MF_E_INVALID,
               "a message is two frames, \"MF1 wire-name\" and a msgpack map of at most 1 MiB; this one was "
               "not");
    else if (in->role == MF_ROLE_NONE || in->role == MF_ROLE_BROKER)
        refuse(self, endpoint, mf_str(""), MF_E_FORBIDDEN, "this key has no role that may speak here");
    else if ((in->role == MF_ROLE_WORKER) != (endpoint == MF_ENDPOINT_WORKER))
        refuse(self, endpoint, mf_request_id_guess(in->body, &self->arena), MF_E_FORBIDDEN,
               endpoint == MF_ENDPOINT_WORKER
                   ? "this is the worker endpoint: connect to the client endpoint"
                   : "this is the client endpoint: workers connect to the worker endpoint");
    else
        return true;
    return false;
}

static bool decode(struct mf_loop *self, enum mf_endpoint endpoint, struct mf_message *ret_message)
{
    struct mf_bus_in *in = &self->in;
    struct mf_decode_error error;
    char text[160];

    if (mf_message_decode(in->head, in->body, &self->arena, ret_message, &error) < 0) {
        refuse(self, endpoint, mf_request_id_guess(in->body, &self->arena), error.code, error.text);
        return false;
    }
    if (mf_may_send(in->role, ret_message->kind))
        return true;
    mf_str_format(text, sizeof(text), "a key of role %s may not send %s", mf_role_word(in->role),
                  mf_kind_desc(ret_message->kind)->wire);
    refuse(self, endpoint, mf_request_id(ret_message), MF_E_FORBIDDEN, text);
    return false;
}

/* The core keeps a provision's user-data by digest alone. The bytes go to the store with the rows that name
 * them, in one commit, and only if there are such rows: a refused request leaves nothing behind. */
static void keep_user_data(struct mf_loop *self, const struct mf_blob *blob)
{
    if (self->n_blobs == self->cap_blobs) {
        self->cap_blobs = self->cap_blobs * 2 + 16;
        self->new_blobs = realloc(self->new_blobs, self->cap_blobs * sizeof(*self->new_blobs));
        MF_CHECK(self->new_blobs);
    }
    self->new_blobs[self->n_blobs++] = mf_blobs_keep(self->blobs, blob->digest, blob->bytes);
}

static void feed_message(struct mf_loop *self, const struct mf_connection *from, struct mf_message *message)
{
    struct mf_broker_event event = {
        .kind = MF_BROKER_MESSAGE, .peer = mf_connection_peer(from), .message = message};
    struct mf_blob *blob = message->kind == MF_MSG_PROVISION ? &message->provision.user_data : NULL;

    if (blob && blob->bytes.len)
        blob->digest = mf_digest_make(blob->bytes.ptr, blob->bytes.len);
    if (mf_request_id(message).len)
        event.body_digest = mf_body_digest(message, &self->scratch);
    self->group_created = false;
    mf_loop_feed(self, &event);
    if (blob && blob->bytes.len && self->group_created)
        keep_user_data(self, blob);
}

/* What is wrapped wrongly would fail at each birth: whoever sends it can still mend it. */
static void hear_provision(struct mf_loop *self, const struct mf_connection *from, struct mf_message *message)
{
    char text[512];

    if (mf_user_data_check(message->provision.user_data.bytes, text) < 0)
        refuse(self, MF_ENDPOINT_CLIENT, message->provision.request_id, MF_E_USER_DATA, text);
    else
        feed_message(self, from, message);
}

static void hear(struct mf_loop *self, const struct mf_connection *from, struct mf_message *message)
{
    switch (message->kind) {
    case MF_MSG_BACKUP:
        if (mf_backups_ask(self->backups, from->handle, &message->backup) == -EAGAIN)
            mf_peers_lose(self->peers, from->handle);
        break;
    case MF_MSG_PROVISION:
        hear_provision(self, from, message);
        break;
    case MF_MSG_SUBSCRIBE:
        mf_streams_reset(self->streams, from->handle, message->subscribe.stream);
        feed_message(self, from, message);
        break;
    case MF_MSG_UNSUBSCRIBE:
        mf_streams_reset(self->streams, from->handle, message->unsubscribe.stream);
        feed_message(self, from, message);
        break;
    default:
        feed_message(self, from, message);
    }
}

static void take(struct mf_loop *self, enum mf_endpoint endpoint)
{
    const struct mf_connection *from;
    struct mf_message message;
    uint64_t handle;
    bool visit;

    mf_arena_reset(&self->arena);
    if (!sane(self, endpoint) || !decode(self, endpoint, &message))
        return;
    self->tally.heard[message.kind]++;
    from = mf_peers_meet(self->peers, endpoint, &self->in, &visit);
    handle = from->handle;
    /* A new connection on an old fd ends the old one: that is told first. A visitor's own end comes after
     * what it said. */
    if (!visit) {
        mf_loop_part(self);
        from = mf_peers_find(self->peers, handle);
    }
    if (from && !from->shunned)
        hear(self, from, &message);
    mf_loop_part(self);
}

bool mf_loop_intake(struct mf_loop *self, enum mf_endpoint endpoint)
{
    for (int i = 0; i < BATCH; i++) {
        int r = mf_bus_recv(self->sockets[endpoint], &self->in);

        if (r <= 0)
            return false;
        take(self, endpoint);
    }
    return true;
}
