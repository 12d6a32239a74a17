/* http.h - the pages that a program shows to whoever watches over it: /healthz, /readyz, /metrics. Served
 * from the program's own loop, so that an answer proves that the loop turns, and no thread but the loop's
 * touches what the pages are about.
 *
 * Whoever asks is a stranger: GET and HEAD alone, a few KiB of header, a few seconds, a few connections (one
 * more ends the oldest, so that those who say nothing keep nobody out). */
#ifndef MF_HTTP_H
#define MF_HTTP_H

#include "message.h"

enum {
    MF_HTTP_CONNECTIONS = 16,
    MF_HTTP_HEADER_BYTES = 8 << 10, /* of a request, and all that a connection may hold */
    MF_HTTP_IDLE_S = 5,
    MF_HTTP_FRESH_MS = 100 /* metrics are made anew at most so often, however often they are asked for */
};

struct mf_http_pages { /* called by mf_http_serve alone */
    bool (*ready)(void *arg, char why_not[512]);
    void (*metrics)(void *arg, struct mf_buf *buf);
    void *arg;
};

struct mf_http;

/* Of every program: --http and --http-file. */
#define MF_HTTP_DOC                                                                                          \
    "Where /healthz, /readyz and /metrics are served, numeric HOST:PORT (port 0 takes a free one), or none"
#define MF_HTTP_FILE_DOC "Write the HOST:PORT that was bound here; removed at the end"

int mf_http_check(const char *address, char error[512]); /* is it one, or "none" */
/* "none": *ret_http is NULL, which all below take. 0, or negative errno with a sentence. */
int mf_http_open(const char *address, const char *file, const struct mf_http_pages *pages,
                 struct mf_http **ret_http, char error[512]);
const char *mf_http_address(const struct mf_http *self); /* as bound; "none" */
int mf_http_fd(const struct mf_http *self);              /* readable: serve; -1: never */
/* How long the loop may wait before it serves, at most this long (-1: for ever). */
long mf_http_wait(struct mf_http *self, long most_ms);
/* Every turn, with what the poll said of the descriptor; returns at once where nothing is due. */
void mf_http_serve(struct mf_http *self, bool readable, mf_ms now);
void mf_http_close(struct mf_http **self);

#endif
