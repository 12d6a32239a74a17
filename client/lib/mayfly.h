/* mayfly.h - libmayfly: speak with a Mayfly broker from C. This header is the manual; messages and their
 * fields are those of docs/PROTOCOL.md, as the C structs of message.h.
 *
 *     struct mayfly_options options = {.endpoint = "tcp://127.0.0.1:7400", .key_file = "admin.cert_secret"};
 *     struct mayfly_error error;
 *     struct mayfly *client;
 *     if (mayfly_open(&options, &client, &error))
 *         errx(1, "%s", error.text);
 *     struct mf_message ask = {.kind = MF_MSG_SCALE, .scale = {.group = mf_str("web"), .count = 8}};
 *     struct mayfly_reply reply = {0};
 *     if (mayfly_request(client, &ask, 0, &reply, &error))
 *         errx(1, "%s (%s)", error.text, mf_error_code(error.code));
 *     printf("accepted as event %" PRIu64 "\n", reply.message.accepted.seq);
 *     mayfly_reply_free(&reply);
 *     mayfly_close(&client);
 *
 * The core is asynchronous: mayfly_submit and mayfly_subscribe return at once, mayfly_fd is polled by your
 * loop, and mayfly_process calls back. mayfly_request and mayfly_wait are the blocking convenience over it. A
 * client belongs to one thread.
 *
 * Broken connections are mended inside: the link comes back by itself, every request that has no answer yet
 * is sent again with the same request_id (the broker does it once and answers alike), and every stream goes
 * on at the event after the last one it delivered. So a broker that dies and comes back within a request's
 * time-out is not noticed. */
#ifndef MAYFLY_H
#define MAYFLY_H

#include "message.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    MAYFLY_TIMEOUT_MS = 10000, /* of a request, where none is said */
    MAYFLY_RESEND_MS = 2000,   /* an unanswered request is sent again this often on a living link */
    MAYFLY_CREDIT = 4096,      /* rows a stream may have under way */
    MAYFLY_REQUEST_ID = 33     /* bytes of a request id made here, with the terminating zero */
};

struct mayfly;

struct mayfly_options {
    const char *endpoint; /* the broker's client endpoint, tcp://HOST:PORT */
    const char
        *key_file; /* a secret certificate made by `mayfly key create`; it also says which broker to expect */
    int64_t timeout_ms; /* of requests that do not say their own; 0 is MAYFLY_TIMEOUT_MS */
};

struct mayfly_error {
    enum mf_errcode code;
    bool local; /* found by this library: a bad field, nobody answers, the key is refused. Else the broker
                   says so */
    bool retry; /* the same request may succeed later */
    uint64_t oldest_seq; /* with EXPIRED: the oldest event that can still be had */
    char text[1024];     /* a sentence: what, where, how to mend it */
};

/* Loads the key and begins to connect; whether anybody answers is seen by the first request. 0 or negative
 * errno. */
int mayfly_open(const struct mayfly_options *options, struct mayfly **ret_client,
                struct mayfly_error *ret_error);
/* Forgets what is under way (no callback is called) and nulls the pointer. Not from a callback. */
void mayfly_close(struct mayfly **self);

/* -- blocking */

struct mayfly_reply { /* zero-initialise; holds the memory that the message points into */
    struct mf_message message;
    struct mf_arena arena;
};
void mayfly_reply_free(struct mayfly_reply *self);

/* Send, wait, and give the answer: 0, or negative errno with *ret_error filled: -EINVAL a field breaks the
 * table (nothing was sent), -ETIMEDOUT nobody answered, -EACCES the key is refused, -EREMOTEIO the broker
 * answered `error` (its code is in ret_error). An empty request_id is made here. timeout_ms 0: as the options
 * said. Callbacks of other requests and streams run meanwhile. */
int mayfly_request(struct mayfly *self, const struct mf_message *request, int64_t timeout_ms,
                   struct mayfly_reply *ret_reply, struct mayfly_error *ret_error);

/* -- asynchronous */

/* One of reply and error is NULL. Both are valid during the call only. */
typedef void mayfly_reply_fn(void *arg, const struct mf_message *reply, const struct mayfly_error *error);
/* Queue a request (copied). `done` is called exactly once, unless the client is closed before. 0, or -EINVAL
 * with *ret_error. */
int mayfly_submit(struct mayfly *self, const struct mf_message *request, int64_t timeout_ms,
                  mayfly_reply_fn *done, void *arg, struct mayfly_error *ret_error);

struct mayfly_filter {
    uint64_t from;         /* first seq wanted; 0 is the oldest retained */
    const char *type;      /* only types that start with this; NULL for all */
    const char *subject;   /* only this subject and what is below it; NULL for all */
    uint32_t credit;       /* rows under way at most; 0 is MAYFLY_CREDIT */
    struct mf_uuid log_id; /* history that `from` was told in (status-reply, events); zero: not known. If it
                              is not the broker's, the stream ends with EXPIRED */
};
struct mayfly_notice { /* what a stream tells: a row, that it caught up, or why it ended */
    const struct mf_rec_event_row *row;
    bool live; /* with neither row nor error: all that was durable has been delivered; what follows is live */
    uint64_t next;                    /* the seq to go on from */
    const struct mayfly_error *error; /* EXPIRED, FORBIDDEN...: the stream is over */
};
typedef void mayfly_stream_fn(void *arg, const struct mayfly_notice *notice);
/* Rows come in order, each once, across reconnects. Credit is given back as rows are delivered. Returns the
 * stream's number; 0 if a filter is longer than the protocol allows. */
uint64_t mayfly_subscribe(struct mayfly *self, const struct mayfly_filter *filter, mayfly_stream_fn *notice,
                          void *arg);
void mayfly_unsubscribe(struct mayfly *self,
                        uint64_t stream); /* also from the callback; an unknown stream is ignored */

int mayfly_fd(const struct mayfly
                  *self); /* readable when mayfly_process has work; level-triggered, valid until close */
/* Do what is due without blocking, calling back. 0 or negative errno (the socket is broken: close). Not from
 * a callback. */
int mayfly_process(struct mayfly *self);
/* Block until there was work or timeout_ms is over (negative: for ever), then process. 1 if there was work, 0
 * if not, negative errno. */
int mayfly_wait(struct mayfly *self, int64_t timeout_ms);

/* -- small helpers */

bool mayfly_connected(const struct mayfly *self);
/* 16 random bytes as hex; keep it, and the same request can be asked again after a crash of your own. Returns
 * text. */
const char *mayfly_request_id_make(char text[MAYFLY_REQUEST_ID]);
/* Does a message obey the table? 0, or -EINVAL with a sentence that names the field. */
int mayfly_message_check(const struct mf_message *message, struct mayfly_error *ret_error);

#ifdef __cplusplus
}
#endif

#endif
