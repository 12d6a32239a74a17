/* bus.c - sockets with their options, messages in and out. */
#include "bus.h"

#include "check.h"
#include "files.h"
#include "sockets.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum {
    FRAMES = 4,                         /* identity, delimiter, head, body */
    FRAME_MAX = MF_MESSAGE_MAX + 65536, /* a connection that sends a larger frame is closed by libzmq */
    HEAD_MAX = 128,
    LINGER_MS = 200, /* what a closing program may still say */
    HANDSHAKE_MS = 10000,
    CONNECT_MS = 2000,
    BACKLOG = 4096,
    KEEPALIVE_IDLE_S = 2, /* of what a server accepts; see set_server */
    KEEPALIVE_EVERY_S = 1,
    KEEPALIVE_COUNT = 3,
    UNACKED_MS = 10000,
    RECONNECT_MS = 10,
    RECONNECT_MAX_MS = 500
};

int mf_thread_start(pthread_t *ret_thread, void *(*run)(void *arg), void *arg)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(ret_thread, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return r;
}

/* -- opening */

static int set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof(value));
}

static int set_options(void *socket, const char *endpoint)
{
    int64_t frame_max = FRAME_MAX;
    int r = zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &frame_max, sizeof(frame_max));
    r |= set_int(socket, ZMQ_SNDHWM, MF_BUS_HWM);
    r |= set_int(socket, ZMQ_RCVHWM, MF_BUS_HWM);
    r |= set_int(socket, ZMQ_LINGER, LINGER_MS);
    r |= set_int(socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
    r |= set_int(socket, ZMQ_IPV6, strchr(endpoint, '[') != NULL);
    return r;
}

/* Whoever connects sends ZMTP's heartbeats; a server only answers them. libzmq keeps the timers of a thread
 * in one list and searches it from its start for every timer it takes back: with heartbeats of its own, or a
 * time to live asked for by its peers, a server of 5000 connections does nothing else (measured). A half-open
 * connection is the kernel's to find, which does not mind their number. */
static int set_server(void *socket, int type, const struct mf_key *key)
{
    int r = set_int(socket, ZMQ_CURVE_SERVER, 1);
    r |= set_int(socket, ZMQ_TCP_KEEPALIVE, 1);
    r |= set_int(socket, ZMQ_TCP_KEEPALIVE_IDLE, KEEPALIVE_IDLE_S);
    r |= set_int(socket, ZMQ_TCP_KEEPALIVE_INTVL, KEEPALIVE_EVERY_S);
    r |= set_int(socket, ZMQ_TCP_KEEPALIVE_CNT, KEEPALIVE_COUNT);
    r |= set_int(socket, ZMQ_TCP_MAXRT, UNACKED_MS);
    r |= zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, key->secret_z85, 41);
    r |= zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, MF_ZAP_DOMAIN, sizeof(MF_ZAP_DOMAIN) - 1);
    r |= set_int(socket, ZMQ_BACKLOG, BACKLOG);
    if (type == ZMQ_ROUTER)
        r |= set_int(socket, ZMQ_ROUTER_MANDATORY, 1);
    return r;
}

static int set_client(void *socket, const struct mf_key *key)
{
    int r = zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, key->broker_z85, 41);
    r |= set_int(socket, ZMQ_HEARTBEAT_IVL, MF_BUS_HEARTBEAT_MS);
    r |= set_int(socket, ZMQ_HEARTBEAT_TIMEOUT, MF_BUS_HEARTBEAT_TIMEOUT_MS);
    r |= zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, key->public_z85, 41);
    r |= zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, key->secret_z85, 41);
    r |= set_int(socket, ZMQ_RECONNECT_IVL, RECONNECT_MS);
    r |= set_int(socket, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS);
    r |= set_int(socket, ZMQ_CONNECT_TIMEOUT, CONNECT_MS);
    return r;
}

/* Without an authenticator libzmq lets every key in. So its absence must be found before the door is opened.
 */
static bool is_guarded(void *context)
{
    void *probe = zmq_socket(context, ZMQ_REP);
    if (!probe)
        return false;
    bool guarded = zmq_bind(probe, MF_ZAP_ENDPOINT) < 0 && zmq_errno() == EADDRINUSE;
    if (!guarded)
        zmq_unbind(probe, MF_ZAP_ENDPOINT); /* now; zmq_close would free the name some time later */
    zmq_close(probe);
    return guarded;
}

static int fail_endpoint(void *socket, const char *what, const char *endpoint, char error[512])
{
    int code = zmq_errno();
    if (socket)
        zmq_close(socket);
    const char *hint = "";
    if (code == EINVAL || code == EPROTONOSUPPORT || code == ENODEV)
        hint = "; an endpoint looks like tcp://HOST:PORT";
    else if (code == EADDRINUSE)
        hint = "; another program has this port";
    return mf_fail(error, -code, "cannot %s %s: %s%s", what, endpoint, zmq_strerror(code), hint);
}

/* libzmq takes a port's lower 16 bits and says nothing. What is not TCP is its own to judge. */
static int check_port(const char *what, const char *endpoint, bool any, char error[512])
{
    if (strncmp(endpoint, "tcp://", 6) != 0)
        return 0;
    const char *port = strrchr(endpoint, ':') + 1;
    size_t digits = strspn(port, "0123456789");
    long number = digits > 0 && digits <= 5 && port[digits] == 0 ? strtol(port, NULL, 10) : -1;
    if ((number > 0 && number <= 65535) || (any && (number == 0 || strcmp(port, "*") == 0)))
        return 0;
    return mf_fail(
        error, -EINVAL,
        "cannot %s %.200s: a port is a number from 1 to 65535%s; an endpoint looks like tcp://HOST:PORT",
        what, endpoint, any ? ", or * for any" : "");
}

int mf_bus_bind(void *context, int type, const char *endpoint, const struct mf_key *key, void **ret_socket,
                char *ret_endpoint, char error[512])
{
    if (!key->secret_z85[0])
        return mf_fail(error, -EINVAL, "cannot bind %s: the key has no secret half", endpoint);
    int r = check_port("bind", endpoint, true, error);
    if (r < 0)
        return r;
    if (!is_guarded(context))
        return mf_fail(error, -ENOTCONN, "cannot bind %s: no authenticator guards this context", endpoint);
    void *socket = zmq_socket(context, type);
    if (!socket || set_options(socket, endpoint) != 0 || set_server(socket, type, key) != 0 ||
        zmq_bind(socket, endpoint) < 0)
        return fail_endpoint(socket, "bind", endpoint, error);
    size_t size = 256;
    if (ret_endpoint && zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, ret_endpoint, &size) < 0)
        return fail_endpoint(socket, "bind", endpoint, error);
    *ret_socket = socket;
    return 0;
}

int mf_bus_connect(void *context, int type, const char *endpoint, const struct mf_key *key,
                   const char *monitor_name, void **ret_socket, void **ret_pair, char error[512])
{
    void *pair = NULL;
    if (!key->secret_z85[0] || !key->broker_z85[0])
        return mf_fail(error, -EINVAL, "cannot connect to %s: the key has no %s", endpoint,
                       key->secret_z85[0] ? "broker to expect" : "secret half");
    int r = check_port("connect to", endpoint, false, error);
    if (r < 0)
        return r;
    void *socket = zmq_socket(context, type);
    if (!socket || set_options(socket, endpoint) != 0 || set_client(socket, key) != 0)
        return fail_endpoint(socket, "connect to", endpoint, error);
    r = monitor_name ? mf_bus_monitor(context, socket, monitor_name, &pair, error) : 0;
    if (r < 0) {
        zmq_close(socket);
        return r;
    }
    if (zmq_connect(socket, endpoint) < 0) {
        r = fail_endpoint(socket, "connect to", endpoint, error);
        if (pair)
            zmq_close(pair);
        return r;
    }
    *ret_socket = socket;
    if (monitor_name)
        *ret_pair = pair;
    return 0;
}

int mf_bus_retry(void *socket, const char *endpoint)
{
    zmq_disconnect(socket, endpoint); /* may have gone by itself */
    return zmq_connect(socket, endpoint) < 0 ? -zmq_errno() : 0;
}

/* -- receiving */

static zmq_msg_t *frame(const struct mf_bus_in *in, size_t i)
{
    return in->frames[i];
}

static struct mf_str frame_str(const struct mf_bus_in *in, size_t i)
{
    return (struct mf_str){zmq_msg_data(frame(in, i)), (uint32_t)zmq_msg_size(frame(in, i))};
}

static void make_frames(struct mf_bus_in *in)
{
    for (size_t i = 0; i < FRAMES; i++) {
        if (in->frames[i]) {
            zmq_msg_close(frame(in, i));
        } else {
            in->frames[i] = malloc(sizeof(zmq_msg_t));
            MF_CHECK(in->frames[i]);
        }
        zmq_msg_init(frame(in, i));
    }
}

void mf_bus_in_free(struct mf_bus_in *in)
{
    for (size_t i = 0; i < FRAMES; i++) {
        if (in->frames[i])
            zmq_msg_close(frame(in, i));
        free(in->frames[i]);
        in->frames[i] = NULL;
    }
}

/* Frames past the fourth are read and dropped. Number of frames (FRAMES + 1: more), 0 none waiting, negative
 * errno. */
static int receive_frames(void *socket, struct mf_bus_in *in)
{
    zmq_msg_t spare;
    int n = 0;
    bool more = true;
    while (more) {
        zmq_msg_t *to = n < FRAMES ? frame(in, (size_t)n) : &spare;
        if (to == &spare)
            zmq_msg_init(&spare);
        if (zmq_msg_recv(to, socket, ZMQ_DONTWAIT) < 0)
            return zmq_errno() == EAGAIN && n == 0 ? 0 : -zmq_errno();
        more = zmq_msg_more(to);
        if (to == &spare)
            zmq_msg_close(&spare);
        if (n <= FRAMES)
            n++;
    }
    return n;
}

/* "role:name", which only our own authenticator can have set */
static void take_user(struct mf_bus_in *in, const char *user_id)
{
    const char *colon = user_id ? strchr(user_id, ':') : NULL;
    in->role = MF_ROLE_NONE;
    in->name[0] = 0;
    if (!colon || strlen(colon + 1) > MF_NAME_MAX)
        return;
    in->role = mf_role_value((struct mf_str){user_id, (uint32_t)(colon - user_id)});
    mf_str_format(in->name, sizeof(in->name), "%s", colon + 1);
}

static void take_message(struct mf_bus_in *in, size_t first, size_t n)
{
    in->delimiter = n > first && zmq_msg_size(frame(in, first)) == 0;
    first += in->delimiter;
    in->malformed = n != first + 2 || zmq_msg_size(frame(in, first)) > HEAD_MAX ||
                    zmq_msg_size(frame(in, first + 1)) > MF_MESSAGE_MAX;
    in->head = in->malformed ? (struct mf_str){0} : frame_str(in, first);
    in->body = in->malformed ? (struct mf_str){0} : frame_str(in, first + 1);
}

int mf_bus_recv(void *socket, struct mf_bus_in *in)
{
    int type;
    size_t size = sizeof(type);
    if (zmq_getsockopt(socket, ZMQ_TYPE, &type, &size) < 0)
        return -zmq_errno();
    make_frames(in);
    int n = receive_frames(socket, in);
    if (n <= 0)
        return n;
    bool routed = type == ZMQ_ROUTER;
    in->identity = routed ? frame_str(in, 0) : (struct mf_str){0};
    zmq_msg_t *last = frame(in, n < FRAMES ? (size_t)n - 1 : FRAMES - 1);
    in->fd = zmq_msg_get(last, ZMQ_SRCFD);
    take_user(in, zmq_msg_gets(last, "User-Id"));
    take_message(in, routed, (size_t)n);
    return 1;
}

/* -- sending */

/* Only the first frame can be refused: libzmq takes a message whole or not at all. */
static int send_frame(void *socket, struct mf_str bytes, bool more)
{
    if (zmq_send(socket, bytes.ptr, bytes.len, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) >= 0)
        return 0;
    return -zmq_errno();
}

static void free_body(void *data, void *hint)
{
    free(data);
}

/* The encoder's memory becomes the frame's: a body is never copied. */
static int send_body(void *socket, struct mf_buf *body)
{
    zmq_msg_t message;
    if (zmq_msg_init_data(&message, body->ptr, body->len, free_body, NULL) < 0)
        return -zmq_errno();
    *body = (struct mf_buf){0};
    if (zmq_msg_send(&message, socket, ZMQ_DONTWAIT) >= 0)
        return 0;
    int r = -zmq_errno();
    zmq_msg_close(&message);
    return r;
}

static int send_all(void *socket, struct mf_str identity, bool delimiter, const struct mf_buf *head,
                    struct mf_buf *body)
{
    int r = 0;
    if (identity.len > 0)
        r = send_frame(socket, identity, true);
    if (r == 0 && delimiter)
        r = send_frame(socket, (struct mf_str){"", 0}, true);
    if (r == 0)
        r = send_frame(socket, (struct mf_str){head->ptr, (uint32_t)head->len}, true);
    if (r == 0)
        r = send_body(socket, body);
    return r;
}

int mf_bus_send(void *socket, struct mf_str identity, bool delimiter, const struct mf_message *message)
{
    struct mf_buf head = {0}, body = {0};
    mf_message_encode(message, &head, &body);
    int r = send_all(socket, identity, delimiter, &head, &body);
    mf_buf_free(&head);
    mf_buf_free(&body);
    return r;
}

/* -- links */

int mf_bus_monitor(void *context, void *socket, const char *inproc_name, void **ret_pair, char error[512])
{
    char endpoint[256];
    int events = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED |
                 ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL;
    mf_str_format(endpoint, sizeof(endpoint), "inproc://%s", inproc_name);
    if (zmq_socket_monitor(socket, endpoint, events) < 0)
        return fail_endpoint(NULL, "watch", endpoint, error);
    void *pair = zmq_socket(context, ZMQ_PAIR);
    if (!pair || set_int(pair, ZMQ_LINGER, 0) != 0 || set_int(pair, ZMQ_RCVHWM, 0) != 0 ||
        zmq_connect(pair, endpoint) < 0)
        return fail_endpoint(pair, "watch", endpoint, error);
    *ret_pair = pair;
    return 0;
}

int mf_bus_fd(void *socket)
{
    int fd = -1;
    size_t size = sizeof(fd);
    MF_CHECK(zmq_getsockopt(socket, ZMQ_FD, &fd, &size) == 0);
    return fd;
}

void mf_bus_close(void **socket, void **pair)
{
    if (*socket)
        zmq_socket_monitor(*socket, NULL, 0);
    if (*pair)
        zmq_close(*pair);
    if (*socket)
        zmq_close(*socket);
    *socket = *pair = NULL;
}

static enum mf_bus_link link_of(unsigned event)
{
    switch (event) {
    case ZMQ_EVENT_ACCEPTED:
        return MF_BUS_LINK_ACCEPTED;
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
        return MF_BUS_LINK_UP;
    case ZMQ_EVENT_DISCONNECTED:
        return MF_BUS_LINK_DOWN;
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
        return MF_BUS_LINK_REFUSED;
    default:
        return 0;
    }
}

/* One event: 1, 0 none, negative errno. *ret_event is 0 for what we do not know. */
static int receive_event(void *pair, uint16_t *ret_event, uint32_t *ret_value)
{
    uint8_t bytes[6];
    char address[256];
    int n = zmq_recv(pair, bytes, sizeof(bytes), ZMQ_DONTWAIT);
    if (n < 0)
        return zmq_errno() == EAGAIN ? 0 : -zmq_errno();
    *ret_event = 0;
    if (n == (int)sizeof(bytes)) {
        memcpy(ret_event, bytes, sizeof(*ret_event));
        memcpy(ret_value, bytes + 2, sizeof(*ret_value));
    }
    int more = 0;
    size_t size = sizeof(more);
    while (zmq_getsockopt(pair, ZMQ_RCVMORE, &more, &size) == 0 && more)
        if (zmq_recv(pair, address, sizeof(address), ZMQ_DONTWAIT) < 0)
            return -zmq_errno();
    return 1;
}

int mf_bus_monitor_recv(void *pair, enum mf_bus_link *ret_link, int *ret_fd)
{
    uint16_t event;
    uint32_t value;
    int r;
    while ((r = receive_event(pair, &event, &value)) == 1) {
        enum mf_bus_link link = link_of(event);
        if (!link)
            continue;
        *ret_link = link;
        *ret_fd = link == MF_BUS_LINK_DOWN || link == MF_BUS_LINK_ACCEPTED ? (int)value : -1;
        return 1;
    }
    return r;
}
