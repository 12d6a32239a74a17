/* main_null_server.c - see main_null_server.h. One thread, one epoll. Nobody is waited for: what a slow
 * reader does not take is queued for it, and a reader that leaves too much lying is cut off. */
#include "main_null_server.h"
#include "check.h"
#include "main_null_guests.h"
#include "main_null_process.h"
#include "message.h"
#include "null_connect.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { QUEUE_MAX = 64 << 20, EVENTS = 64, PATH_TEXT = 4096 };

struct out { /* a packet that did not fit */
    struct out *next;
    size_t len;
    char bytes[];
};
struct peer {
    uint64_t serial;
    int fd;
    bool watching, dead;
    struct out *first, **last;
    size_t queued;
    struct peer *next;
};
struct server {
    int epoll, listener, signals;
    uint64_t serial;
    struct peer *peers;
    struct mf_null_guests *guests;
};

static mf_ms now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (mf_ms)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- open */

static int lock_root(const char *root, char error[512])
{
    char path[PATH_TEXT];
    mf_str_format(path, sizeof path, "%s/%s", root, MF_NULL_LOCK);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644); /* held until the process ends */
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    int r = fd >= 0 && errno == EWOULDBLOCK ? -EEXIST : -errno;
    mf_str_format(error, 512, "cannot lock %s: %s", path,
                  r == -EEXIST ? "another stand-in serves this root" : strerror(-r));
    if (fd >= 0)
        close(fd);
    return r;
}

static void write_pid(const char *root)
{
    char path[PATH_TEXT], text[32];
    mf_str_format(path, sizeof path, "%s/%s", root, MF_NULL_PID);
    struct mf_str line = mf_str_format(text, sizeof text, "%d\n", (int)getpid());
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return;
    if (write(fd, line.ptr, line.len) < 0)
        unlink(path);
    close(fd);
}

int mf_null_server_open(const char *root, int *ret_listener, char error[512])
{
    int r = lock_root(root, error);
    if (r < 0)
        return r;
    struct sockaddr_un address;
    int folder;
    r = mf_null_address(root, &folder, &address);
    if (r == 0) {
        unlinkat(folder, MF_NULL_SOCKET, 0); /* we hold the lock: it is a dead one's */
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 1024) < 0) {
            r = -errno;
            if (fd >= 0)
                close(fd);
        }
        close(folder);
        *ret_listener = fd;
    }
    if (r < 0)
        mf_str_format(error, 512, "cannot listen on %s/%s: %s", root, MF_NULL_SOCKET, strerror(-r));
    else
        write_pid(root);
    return r;
}

/* ---- out */

static void want_write(struct server *self, struct peer *peer, bool write)
{
    struct epoll_event event = {.events = EPOLLIN | (write ? EPOLLOUT : 0), .data.ptr = peer};
    epoll_ctl(self->epoll, EPOLL_CTL_MOD, peer->fd, &event);
}

static void send_peer(struct server *self, struct peer *peer, const char *bytes, size_t len)
{
    if (peer->dead)
        return;
    if (!peer->first) {
        if (send(peer->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)len)
            return;
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS) {
            peer->dead = true;
            return;
        }
        want_write(self, peer, true);
    }
    if (peer->queued + len > QUEUE_MAX) {
        peer->dead = true;
        return;
    }
    struct out *out = malloc(sizeof *out + len);
    MF_CHECK(out);
    *out = (struct out){.len = len};
    memcpy(out->bytes, bytes, len);
    *peer->last = out;
    peer->last = &out->next;
    peer->queued += len;
}

static void send_(void *arg, uint64_t serial, const struct mf_null_packet *packet, const void *rest,
                  size_t rest_len)
{
    struct server *self = arg;
    char bytes[MF_NULL_PACKET];
    MF_CHECK(sizeof *packet + rest_len <= sizeof bytes);
    memcpy(bytes, packet, sizeof *packet);
    if (rest_len)
        memcpy(bytes + sizeof *packet, rest, rest_len);
    for (struct peer *peer = self->peers; peer; peer = peer->next)
        if (serial ? peer->serial == serial : peer->watching)
            send_peer(self, peer, bytes, sizeof *packet + rest_len);
}

static void flush_peer(struct server *self, struct peer *peer)
{
    while (peer->first) {
        struct out *out = peer->first;
        if (send(peer->fd, out->bytes, out->len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
            peer->dead = errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS;
            return;
        }
        peer->first = out->next;
        peer->queued -= out->len;
        free(out);
    }
    peer->last = &peer->first;
    want_write(self, peer, false);
}

/* ---- in */

static void accept_peers(struct server *self)
{
    for (int fd; (fd = accept4(self->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0;) {
        struct peer *peer = calloc(1, sizeof *peer);
        MF_CHECK(peer);
        *peer = (struct peer){.serial = ++self->serial, .fd = fd, .next = self->peers};
        peer->last = &peer->first;
        self->peers = peer;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
        epoll_ctl(self->epoll, EPOLL_CTL_ADD, fd, &event);
    }
}

static void handle(struct server *self, struct peer *peer, const char *bytes, size_t len)
{
    struct mf_null_packet request;
    char text[MF_NULL_TEXT] = "";
    if (len < sizeof request || len - sizeof request >= sizeof text) {
        peer->dead = true;
        return;
    }
    memcpy(&request, bytes, sizeof request);
    memcpy(text, bytes + sizeof request, len - sizeof request);
    if (request.version != MF_NULL_VERSION) {
        peer->dead = true;
    } else if (request.kind == MF_NULL_WATCH) {
        peer->watching = true;
        struct mf_null_packet yes = {.version = MF_NULL_VERSION, .kind = MF_NULL_DONE};
        send_(self, peer->serial, &yes, NULL, 0);
    } else {
        mf_null_guests_handle(self->guests, now_ms(), peer->serial, &request, text);
    }
}

static void read_peer(struct server *self, struct peer *peer)
{
    char bytes[sizeof(struct mf_null_packet) + MF_NULL_TEXT];
    for (unsigned i = 0; i < EVENTS && !peer->dead; i++) {
        ssize_t n = recv(peer->fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (n > 0)
            handle(self, peer, bytes, (size_t)n);
        else if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
            peer->dead = true;
        if (n < 0 || n > 0)
            return; /* one at a time on a connection: there is no more */
    }
}

static void bury_peers(struct server *self)
{
    for (struct peer **place = &self->peers, *peer; (peer = *place);) {
        if (!peer->dead) {
            place = &peer->next;
            continue;
        }
        *place = peer->next;
        close(peer->fd);
        mf_null_guests_peer_gone(self->guests, peer->serial);
        for (struct out *out; (out = peer->first);) {
            peer->first = out->next;
            free(out);
        }
        free(peer);
    }
}

/* ---- run */

static int wait_ms(const struct server *self)
{
    mf_ms deadline = mf_null_guests_deadline(self->guests), now = now_ms();
    if (deadline == INT64_MAX)
        return -1;
    return deadline <= now ? 0 : deadline - now > 60000 ? 60000 : (int)(deadline - now);
}

/* False when it is told to end. */
static bool read_signals(struct server *self)
{
    struct signalfd_siginfo info;
    while (read(self->signals, &info, sizeof info) == sizeof info)
        if (info.ssi_signo != SIGCHLD)
            return false;
    for (pid_t pid; (pid = mf_null_process_ended());)
        mf_null_guests_process_ended(self->guests, now_ms(), pid);
    return true;
}

static bool turn(struct server *self)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(self->epoll, events, EVENTS, wait_ms(self));
    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr == &self->signals) {
            if (!read_signals(self))
                return false;
            continue;
        }
        if (events[i].data.ptr == &self->listener) {
            accept_peers(self);
            continue;
        }
        struct peer *peer = events[i].data.ptr;
        if (events[i].events & EPOLLOUT)
            flush_peer(self, peer);
        if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            read_peer(self, peer);
    }
    mf_null_guests_tick(self->guests, now_ms());
    bury_peers(self);
    return true;
}

static void watch_fd(struct server *self, int *fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = fd};
    MF_CHECK(epoll_ctl(self->epoll, EPOLL_CTL_ADD, *fd, &event) == 0);
}

int mf_null_server_run(const char *root, int listener)
{
    struct server self = {.listener = listener, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGCHLD);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    self.signals = signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
    MF_CHECK(self.epoll >= 0 && self.signals >= 0);
    self.guests = mf_null_guests_new(send_, &self);
    watch_fd(&self, &self.signals);
    watch_fd(&self, &self.listener);
    while (turn(&self))
        ;
    char path[PATH_TEXT];
    mf_str_format(path, sizeof path, "%s/%s", root, MF_NULL_SOCKET);
    unlink(path);
    mf_str_format(path, sizeof path, "%s/%s", root, MF_NULL_PID);
    unlink(path);
    for (struct peer *peer = self.peers; peer; peer = peer->next)
        peer->dead = true;
    bury_peers(&self);
    mf_null_guests_destroy(&self.guests);
    close(self.signals);
    close(self.epoll);
    close(listener);
    return 0;
}
