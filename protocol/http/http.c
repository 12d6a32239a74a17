/* http.c - libmicrohttpd without a thread of its own: its epoll descriptor is one more in the loop. */
#include "http.h"

#include "check.h"
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BACKLOG = 64,
    /* beyond our own bound, for those that were told to end and have not yet */
    LIMIT = 4 * MF_HTTP_CONNECTIONS
};

struct visit {
    const struct MHD_Connection *connection;
    int fd;
};

struct mf_http {
    struct MHD_Daemon *daemon;
    struct mf_http_pages pages;
    char address[128], file[4096];
    int fd;
    mf_ms now, made_at;
    struct mf_buf metrics;
    struct visit visits[LIMIT]; /* oldest first */
    size_t n_visits;
};

/* -- where */

static int misplaced(const char *address, char error[512])
{
    mf_str_format(
        error, 512,
        "--http: \"%.80s\" is neither \"none\" nor HOST:PORT with a numeric host, as 127.0.0.1:7110 or "
        "[::]:7110",
        address);
    return -EINVAL;
}

/* HOST:PORT to what can be bound; port 0 is allowed. */
static int parse(const char *address, struct addrinfo **ret_info, char error[512])
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
    char host[64];
    const char *colon = strrchr(address, ':');
    size_t len = colon ? (size_t)(colon - address) : 0;
    bool six = len > 2 && address[0] == '[' && address[len - 1] == ']';

    if (len == 0 || len >= sizeof(host) || !colon[1] || strlen(colon + 1) > 5 ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1) || atoi(colon + 1) > UINT16_MAX)
        return misplaced(address, error);
    mf_str_format(host, sizeof(host), "%.*s", (int)(six ? len - 2 : len), six ? address + 1 : address);
    hints.ai_family = six ? AF_INET6 : AF_INET;
    return getaddrinfo(host, colon + 1, &hints, ret_info) == 0 ? 0 : misplaced(address, error);
}

int mf_http_check(const char *address, char error[512])
{
    struct addrinfo *info = NULL;
    int r = strcmp(address, "none") == 0 ? 0 : parse(address, &info, error);

    if (info)
        freeaddrinfo(info);
    return r;
}

static int listen_at(const char *address, int *ret_fd, char error[512])
{
    struct addrinfo *info;
    int one = 1, r = parse(address, &info, error);

    if (r < 0)
        return r;
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (fd < 0 || bind(fd, info->ai_addr, info->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
        r = -errno;
        mf_str_format(error, 512, "cannot serve HTTP at %.80s: %s; choose another place with --http, or none",
                      address, strerror(errno));
        if (fd >= 0)
            close(fd);
    }
    *ret_fd = fd;
    freeaddrinfo(info);
    return r;
}

static void tell_address(struct mf_http *self)
{
    struct sockaddr_storage own;
    socklen_t size = sizeof(own);
    char host[64] = "", port[8] = "";

    getsockname(self->fd, (struct sockaddr *)&own, &size);
    getnameinfo((struct sockaddr *)&own, size, host, sizeof(host), port, sizeof(port),
                NI_NUMERICHOST | NI_NUMERICSERV);
    mf_str_format(self->address, sizeof(self->address), own.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host,
                  port);
}

/* It appears whole or not at all: who waits for the file may read it at once. */
static int write_file(struct mf_http *self, const char *path, char error[512])
{
    char temporary[4096];

    if (!path || !*path)
        return 0;
    mf_str_format(temporary, sizeof(temporary), "%s.new", path);
    FILE *file = fopen(temporary, "we");
    bool ok = file && fprintf(file, "%s\n", self->address) > 0;
    if (file && fclose(file))
        ok = false;
    if (!ok || rename(temporary, path) < 0) {
        mf_str_format(error, 512, "--http-file %.200s: cannot be written: %s", path, strerror(errno));
        return -EIO;
    }
    mf_str_format(self->file, sizeof(self->file), "%s", path);
    return 0;
}

/* -- what */

static enum MHD_Result respond(struct MHD_Connection *connection, unsigned status, const char *type,
                               const char *text, size_t len)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(len, (void *)text, MHD_RESPMEM_MUST_COPY);

    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, "Content-Type", type);
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "Connection", "close");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, "Allow", "GET, HEAD");
    enum MHD_Result r = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return r;
}

static enum MHD_Result say(struct MHD_Connection *connection, unsigned status, const char *text)
{
    char line[600];
    struct mf_str s = mf_str_format(line, sizeof(line), "%s\n", text);

    return respond(connection, status, "text/plain; charset=utf-8", s.ptr, s.len);
}

static enum MHD_Result show_ready(struct mf_http *self, struct MHD_Connection *connection)
{
    char why_not[512] = "";

    if (self->pages.ready(self->pages.arg, why_not))
        return say(connection, MHD_HTTP_OK, "ready");
    return say(connection, MHD_HTTP_SERVICE_UNAVAILABLE, why_not);
}

static enum MHD_Result show_metrics(struct mf_http *self, struct MHD_Connection *connection)
{
    if (self->metrics.len == 0 || self->now - self->made_at >= MF_HTTP_FRESH_MS) {
        mf_buf_clear(&self->metrics);
        self->pages.metrics(self->pages.arg, &self->metrics);
        self->made_at = self->now;
    }
    return respond(connection, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", self->metrics.ptr,
                   self->metrics.len);
}

static enum MHD_Result answer(void *arg, struct MHD_Connection *connection, const char *path,
                              const char *method, const char *version, const char *upload, size_t *upload_len,
                              void **context)
{
    struct mf_http *self = arg;

    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return say(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "GET or HEAD");
    if (strcmp(path, "/healthz") == 0)
        return say(connection, MHD_HTTP_OK, "ok");
    if (strcmp(path, "/readyz") == 0)
        return show_ready(self, connection);
    if (strcmp(path, "/metrics") == 0)
        return show_metrics(self, connection);
    return say(connection, MHD_HTTP_NOT_FOUND, "there are /healthz, /readyz and /metrics");
}

/* -- who */

static void begin_visit(struct mf_http *self, struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

    MF_CHECK(self->n_visits < LIMIT && info);
    self->visits[self->n_visits++] = (struct visit){connection, info->connect_fd};
    if (self->n_visits > MF_HTTP_CONNECTIONS) /* the oldest that was not told yet */
        shutdown(self->visits[self->n_visits - 1 - MF_HTTP_CONNECTIONS].fd, SHUT_RDWR);
}

static void end_visit(struct mf_http *self, const struct MHD_Connection *connection)
{
    size_t i = 0;

    while (i < self->n_visits && self->visits[i].connection != connection)
        i++;
    if (i == self->n_visits)
        return;
    memmove(&self->visits[i], &self->visits[i + 1], (self->n_visits - i - 1) * sizeof(self->visits[0]));
    self->n_visits--;
}

static void notice(void *arg, struct MHD_Connection *connection, void **context,
                   enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        begin_visit(arg, connection);
    else
        end_visit(arg, connection);
}

/* -- the loop's side */

static int start(struct mf_http *self, char error[512])
{
    self->daemon = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, answer, self, MHD_OPTION_LISTEN_SOCKET,
                                    self->fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)LIMIT,
                                    MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)MF_HTTP_IDLE_S,
                                    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MF_HTTP_HEADER_BYTES,
                                    MHD_OPTION_NOTIFY_CONNECTION, notice, self, MHD_OPTION_END);
    if (self->daemon)
        return 0;
    mf_str_format(error, 512, "cannot serve HTTP at %.80s: libmicrohttpd does not start", self->address);
    return -EIO;
}

int mf_http_open(const char *address, const char *file, const struct mf_http_pages *pages,
                 struct mf_http **ret_http, char error[512])
{
    int fd = -1, r = strcmp(address, "none") == 0 ? 0 : listen_at(address, &fd, error);

    *ret_http = NULL;
    if (fd < 0 || r < 0)
        return r;
    struct mf_http *self = calloc(1, sizeof(*self));
    MF_CHECK(self);
    self->pages = *pages;
    self->fd = fd;
    tell_address(self);
    r = start(self, error);
    if (r < 0)
        close(fd); /* else it is the daemon's */
    else
        r = write_file(self, file, error);
    if (r < 0)
        mf_http_close(&self);
    *ret_http = self;
    return r;
}

const char *mf_http_address(const struct mf_http *self)
{
    return self ? self->address : "none";
}

int mf_http_fd(const struct mf_http *self)
{
    return self ? MHD_get_daemon_info(self->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd : -1;
}

long mf_http_wait(struct mf_http *self, long most_ms)
{
    MHD_UNSIGNED_LONG_LONG left;

    if (!self || MHD_get_timeout(self->daemon, &left) != MHD_YES)
        return most_ms;
    return most_ms >= 0 && (MHD_UNSIGNED_LONG_LONG)most_ms < left ? most_ms : (long)left;
}

void mf_http_serve(struct mf_http *self, bool readable, mf_ms now)
{
    if (!self || (!readable && mf_http_wait(self, -1) != 0))
        return;
    self->now = now;
    MHD_run(self->daemon);
}

void mf_http_close(struct mf_http **self)
{
    struct mf_http *http = *self;

    if (!http)
        return;
    if (http->daemon)
        MHD_stop_daemon(http->daemon);
    if (http->file[0])
        unlink(http->file);
    mf_buf_free(&http->metrics);
    free(http);
    *self = NULL;
}
