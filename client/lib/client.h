/* client.h - inside libmayfly: one connection, its unanswered requests and its streams. */
#ifndef MF_CLIENT_H
#define MF_CLIENT_H

#include "bus.h"
#include "mayfly.h"

enum { MF_CLIENT_MAGIC = 0x6d66636c, MF_CLIENT_BUCKETS = 256, MF_CLIENT_DROPS = 4 };

struct mf_request { /* sent, not yet answered */
    struct mf_request *next;
    struct mf_message message; /* a deep copy in arena, for sending again */
    struct mf_arena arena;
    struct mf_str id;
    mf_ms end_ms, resend_ms; /* when to give up, when to send again */
    int64_t timeout_ms;
    bool sent;
    mayfly_reply_fn *done;
    void *arg;
};

struct mf_stream {
    struct mf_stream *next;
    uint64_t number, cursor; /* cursor: the next seq to deliver */
    uint32_t window, owed;   /* credit in all, and delivered rows whose credit was not given back yet */
    bool asked, ended;
    mf_ms retry_ms; /* the queue was full: ask again then */
    char type[64], subject[256];
    struct mf_uuid log_id; /* history of the cursor; zero until it is known */
    mayfly_stream_fn *notice;
    void *arg;
};

struct mayfly {
    unsigned magic;
    char endpoint[256];
    struct mf_key key;
    int64_t timeout_ms;
    void *context, *socket, *monitor;
    int epoll_fd, timer_fd, kick_fd;
    mf_ms timer_ms; /* what timer_fd is set to; INT64_MAX: nothing */
    bool up, ever_up, processing;
    mf_ms assume_ms;  /* speak then even if no link was told; 0: done */
    bool dead;        /* refused: this socket will not connect any more */
    unsigned sockets; /* opened so far */
    unsigned drops;   /* connections closed in the handshake, since the link was last up */
    struct mf_request *requests[MF_CLIENT_BUCKETS];
    size_t n_requests;
    mf_ms due_ms; /* no request is due before */
    struct mf_stream *streams;
    uint64_t last_stream;
    struct mf_bus_in in;
    struct mf_arena arena; /* of the message in hand */
};

/* client.c */
void mf_client_wake_at(struct mayfly *self, mf_ms when);
int mf_client_revive(
    struct mayfly *self,
    struct mayfly_error *ret_error);      /* before asking something new: a new socket if this one is dead */
void mf_client_kick(struct mayfly *self); /* after a send: the socket may hold unread messages that its fd
                                             does not show any more */
__attribute__((format(printf, 5, 6))) int mf_client_error(struct mayfly_error *ret_error,
                                                          enum mf_errcode code, bool retry, int result,
                                                          const char *format, ...);

/* request.c */
void mf_requests_send(struct mayfly *self, bool all); /* what was never sent, or all: the link is new */
void mf_requests_due(struct mayfly *self, mf_ms now); /* resend and give up */
void mf_requests_fail(struct mayfly *self, const struct mayfly_error *error);
void mf_requests_answer(struct mayfly *self, struct mf_str id, const struct mf_message *reply);
void mf_requests_free(struct mayfly *self);
void mf_error_from_reply(const struct mf_msg_error *reply, struct mayfly_error *ret_error);

/* stream.c */
void mf_streams_resume(struct mayfly *self); /* the link is new: ask for each again */
void mf_streams_pump(struct mayfly *self, mf_ms now);
void mf_streams_rows(struct mayfly *self, const struct mf_msg_events *events);
void mf_streams_error(struct mayfly *self, uint64_t number,
                      const struct mayfly_error *error); /* number 0: all */
void mf_streams_sweep(struct mayfly *self, bool all);

#endif
