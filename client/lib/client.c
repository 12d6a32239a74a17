/* The connection: one DEALER, its monitor, a timer, and one epoll descriptor over them that the caller polls.
 * A ZeroMQ descriptor tells of changes only, so everything is drained before it is polled again, and whoever
 * sends kicks. */
#include "client.h"
#include "check.h"
#include "program.h"
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <zmq.h>

enum {
    DRAIN_MAX = 4096, /* messages in one process call: then others have their turn */
    ASSUME_MS = 250   /* the monitor begins after the socket, so it may have missed the first link: then speak
                         unasked */
};

int mf_client_error(struct mayfly_error *ret_error, enum mf_errcode code, bool retry, int result,
                    const char *format, ...)
{
    va_list args;
    *ret_error = (struct mayfly_error){.code = code, .local = true, .retry = retry};
    va_start(args, format);
    vsnprintf(ret_error->text, sizeof ret_error->text, format, args);
    va_end(args);
    return result;
}

static int watch(struct mayfly *self, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(self->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static int socket_fd(void *socket, int *ret_fd)
{
    size_t size = sizeof *ret_fd;
    return zmq_getsockopt(socket, ZMQ_FD, ret_fd, &size) ? -zmq_errno() : 0;
}

static int watch_socket(struct mayfly *self, void *socket)
{
    int fd, r = socket_fd(socket, &fd);
    return r ? r : watch(self, fd);
}

static int open_descriptors(struct mayfly *self, struct mayfly_error *ret_error)
{
    self->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    self->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    self->kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int r = self->epoll_fd < 0 || self->timer_fd < 0 || self->kick_fd < 0 ? -errno : 0;
    if (!r)
        r = watch(self, self->timer_fd);
    if (!r)
        r = watch(self, self->kick_fd);
    return r ? mf_client_error(ret_error, MF_E_INTERNAL, true, r, "no descriptors for a connection: %s",
                               strerror(-r))
             : 0;
}

static int open_socket(struct mayfly *self, struct mayfly_error *ret_error)
{
    char text[512] = "", name[64];
    snprintf(name, sizeof name, "mayfly-link-%p-%u", (void *)self, ++self->sockets);
    int r = mf_bus_connect(self->context, ZMQ_DEALER, self->endpoint, &self->key, name, &self->socket,
                           &self->monitor, text);
    if (!r)
        r = watch_socket(self, self->socket);
    if (!r)
        r = watch_socket(self, self->monitor);
    if (r)
        return mf_client_error(ret_error, MF_E_UNAVAILABLE, false, r, "%s: %s", self->endpoint,
                               *text ? text : strerror(-r));
    self->dead = false;
    self->ever_up = false;
    self->assume_ms = mf_now() + ASSUME_MS;
    mf_client_wake_at(self, self->assume_ms);
    return 0;
}

int mayfly_open(const struct mayfly_options *options, struct mayfly **ret_client,
                struct mayfly_error *ret_error)
{
    char text[512] = "";
    if (!options->endpoint || !*options->endpoint)
        return mf_client_error(ret_error, MF_E_INVALID, false, -EINVAL,
                               "no broker address: say tcp://HOST:PORT");
    if (!options->key_file || !*options->key_file)
        return mf_client_error(ret_error, MF_E_INVALID, false, -EINVAL,
                               "no key: name the secret certificate that `mayfly key create` made");
    struct mayfly *self = calloc(1, sizeof *self);
    MF_CHECK(self);
    self->magic = MF_CLIENT_MAGIC;
    self->epoll_fd = self->timer_fd = self->kick_fd = -1;
    self->timer_ms = self->due_ms = INT64_MAX;
    self->timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : MAYFLY_TIMEOUT_MS;
    snprintf(self->endpoint, sizeof self->endpoint, "%s", options->endpoint);
    int r = mf_key_load(options->key_file, &self->key, text);
    if (r) {
        mf_client_error(ret_error, MF_E_INVALID, false, r, "%s", text);
        mayfly_close(&self);
        return r;
    }
    self->context = zmq_ctx_new();
    MF_CHECK(self->context);
    r = open_descriptors(self, ret_error);
    if (!r)
        r = open_socket(self, ret_error);
    if (r) {
        mayfly_close(&self);
        return r;
    }
    *ret_client = self;
    return 0;
}

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

static void unwatch(struct mayfly *self, void *socket)
{
    int fd;
    if (socket && !socket_fd(socket, &fd))
        epoll_ctl(self->epoll_fd, EPOLL_CTL_DEL, fd,
                  NULL); /* ZeroMQ closes it later, in a thread of its own */
}

static void close_link(struct mayfly *self)
{
    int linger = 0;
    unwatch(self, self->socket);
    unwatch(self, self->monitor);
    if (self->socket)
        zmq_setsockopt(self->socket, ZMQ_LINGER, &linger, sizeof linger);
    mf_bus_close(&self->socket, &self->monitor);
}

int mf_client_revive(struct mayfly *self, struct mayfly_error *ret_error)
{
    if (!self->dead)
        return 0;
    close_link(self);
    return open_socket(self, ret_error);
}

void mayfly_close(struct mayfly **self)
{
    struct mayfly *c = *self;
    if (!c)
        return;
    MF_MAGIC(c, MF_CLIENT_MAGIC);
    MF_CHECK(!c->processing);
    mf_requests_free(c);
    mf_streams_sweep(c, true);
    close_link(c);
    close_fd(c->epoll_fd);
    close_fd(c->timer_fd);
    close_fd(c->kick_fd);
    if (c->context)
        zmq_ctx_term(c->context);
    mf_bus_in_free(&c->in);
    mf_arena_free(&c->arena);
    explicit_bzero(&c->key, sizeof c->key);
    free(c);
    *self = NULL;
}

void mf_client_wake_at(struct mayfly *self, mf_ms when)
{
    if (when >= self->timer_ms)
        return;
    struct itimerspec spec = {.it_value = {.tv_sec = when / 1000, .tv_nsec = when % 1000 * 1000000 + 1}};
    MF_CHECK(timerfd_settime(self->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL) == 0);
    self->timer_ms = when;
}

void mf_client_kick(struct mayfly *self)
{
    uint64_t one = 1;
    if (write(self->kick_fd, &one, sizeof one) < 0)
        MF_CHECK(errno == EAGAIN); /* it is kicked already */
}

static void clear_fd(int fd)
{
    uint64_t count;
    if (read(fd, &count, sizeof count) < 0)
        MF_CHECK(errno == EAGAIN || errno == EINTR || errno == ECANCELED);
}

/* A socket whose handshake was refused does not try again. What is asked next gets a new one: the key may
 * have been made meanwhile. */
static void fail_all(struct mayfly *self, const struct mayfly_error *error)
{
    self->dead = true;
    self->drops = 0;
    mf_requests_fail(self, error);
    mf_streams_error(self, 0, error);
}

static void refused(struct mayfly *self)
{
    struct mayfly_error error;
    mf_client_error(&error, MF_E_FORBIDDEN, false, 0,
                    "the broker at %s refuses the key %s:%s: it is not in the broker's key directory; make "
                    "one there with `mayfly key create`",
                    self->endpoint, mf_role_word(self->key.role), self->key.name);
    fail_all(self, &error);
}

/* Closed before it was up: a broker that expects to be called by another name does so, silently. Once may be
 * a broker that died. */
static void dropped(struct mayfly *self)
{
    struct mayfly_error error;
    if (++self->drops < MF_CLIENT_DROPS)
        return;
    mf_client_error(&error, MF_E_FORBIDDEN, false, 0,
                    "something at %s takes the connection but drops the handshake: the key %s:%s was made "
                    "for another broker, or this is not a "
                    "client endpoint of Mayfly",
                    self->endpoint, mf_role_word(self->key.role), self->key.name);
    fail_all(self, &error);
}

static void link_up(struct mayfly *self)
{
    self->up = self->ever_up = true;
    self->drops = 0;
    mf_requests_send(self, true);
    mf_streams_resume(self);
}

/* Nothing was told yet. A socket without a link only queues, and what is sent twice is done once. */
static void assume_link(struct mayfly *self, mf_ms now)
{
    if (self->ever_up || self->dead || !self->assume_ms)
        return;
    if (now < self->assume_ms) {
        mf_client_wake_at(self, self->assume_ms);
        return;
    }
    self->assume_ms = 0;
    mf_requests_send(self, true);
    self->up = true;
    mf_streams_resume(self);
    self->up = false;
}

static bool take_links(struct mayfly *self)
{
    enum mf_bus_link link;
    int fd;
    bool any = false;
    while (self->monitor && mf_bus_monitor_recv(self->monitor, &link, &fd) > 0) {
        any = true;
        if (link == MF_BUS_LINK_REFUSED) {
            refused(self);
            continue;
        }
        bool was_up = self->up;
        self->up = false;
        if (link == MF_BUS_LINK_UP)
            link_up(self);
        else if (!was_up && !self->dead)
            dropped(self);
    }
    return any;
}

static struct mf_str reply_id(const struct mf_message *reply)
{
    const struct mf_desc *desc = mf_kind_desc(reply->kind);
    const char *body = (const char *)&reply->error; /* every body begins the union */
    for (unsigned i = 0; i < desc->n_fields; i++)
        if (!strcmp(desc->fields[i].name, "request_id"))
            return *(const struct mf_str *)(body + desc->fields[i].offset);
    return (struct mf_str){0};
}

static void dispatch(struct mayfly *self, const struct mf_message *message)
{
    if (message->kind == MF_MSG_EVENTS) {
        mf_streams_rows(self, &message->events);
        return;
    }
    if (message->kind == MF_MSG_ERROR && message->error.stream) {
        struct mayfly_error error;
        mf_error_from_reply(&message->error, &error);
        mf_streams_error(self, message->error.stream, &error);
        return;
    }
    mf_requests_answer(self, reply_id(message), message);
}

static int take_messages(struct mayfly *self)
{
    for (int i = 0; i < DRAIN_MAX && self->socket; i++) {
        struct mf_message message;
        struct mf_decode_error error;
        int r = mf_bus_recv(self->socket, &self->in);
        if (r <= 0)
            return r;
        mf_arena_reset(&self->arena);
        if (!self->ever_up)
            self->up = self->ever_up = true; /* its beginning was not told */
        /* what cannot be read is of a newer broker or not for us: requests that wait for it time out and say
         * so */
        if (!self->in.malformed &&
            !mf_message_decode(self->in.head, self->in.body, &self->arena, &message, &error))
            dispatch(self, &message);
    }
    if (self->socket)
        mf_client_kick(self); /* there is more */
    return 0;
}

int mayfly_process(struct mayfly *self)
{
    MF_MAGIC(self, MF_CLIENT_MAGIC);
    MF_CHECK(!self->processing);
    self->processing = true;
    clear_fd(self->kick_fd);
    clear_fd(self->timer_fd);
    self->timer_ms = INT64_MAX;
    take_links(self);
    int r = take_messages(self);
    if (take_links(self)) /* their sends may have swallowed what the descriptor had to tell */
        mf_client_kick(self);
    mf_ms now = mf_now();
    assume_link(self, now);
    mf_requests_due(self, now);
    mf_streams_pump(self, now);
    self->processing = false;
    mf_streams_sweep(self, false);
    return r < 0 ? r : 0;
}

int mayfly_wait(struct mayfly *self, int64_t timeout_ms)
{
    struct pollfd poll_fd = {.fd = self->epoll_fd, .events = POLLIN};
    int limit = timeout_ms < 0 ? -1 : timeout_ms > INT32_MAX ? INT32_MAX : (int)timeout_ms;
    int r = poll(&poll_fd, 1, limit);
    if (r < 0)
        return errno == EINTR ? 0 : -errno;
    if (!r)
        return 0;
    r = mayfly_process(self);
    return r < 0 ? r : 1;
}

int mayfly_fd(const struct mayfly *self)
{
    return self->epoll_fd;
}

bool mayfly_connected(const struct mayfly *self)
{
    return self->up;
}

const char *mayfly_request_id_make(char text[MAYFLY_REQUEST_ID])
{
    uint8_t bytes[16];
    MF_CHECK(getrandom(bytes, sizeof bytes, 0) == sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    return text;
}
