/* ports.c - see ports.h. */
#include "ports.h"
#include "check.h"
#include "map.h"
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { PORT_RETRY_MS = 250, PORT_EVENTS = 64, WAKE = 0 };

struct port {
    struct mf_uuid id;
    uint64_t serial; /* what epoll knows it by: it may be gone when its event is read */
    int fd;          /* -1: not connected */
    mf_ms retry_at;
    char socket[108], *mark;
    char line[MF_PORT_LINE];
    size_t len; /* MF_PORT_LINE: too long, wait for its end */
};

struct mf_ports {
    void (*said)(void *arg, struct mf_uuid id);
    void *arg;
    int epoll, wake;
    pthread_t thread;
    pthread_mutex_t lock;
    bool stopping;
    uint64_t serial;
    struct mf_map *by_id, *by_serial;
};

int mf_ports_mark(const char *mark)
{
    int fd = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

static void hang_up(struct port *port)
{
    if (port->fd >= 0)
        close(port->fd); /* epoll forgets it */
    port->fd = -1;
    port->len = 0;
    port->retry_at = mf_monotonic_ms() + PORT_RETRY_MS;
}

static void drop(struct mf_ports *self, struct port *port)
{
    hang_up(port);
    mf_map_del_uuid(self->by_id, port->id);
    mf_map_del_u64(self->by_serial, port->serial);
    free(port->mark);
    free(port);
}

static void dial(struct mf_ports *self, struct port *port)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = port->serial};
    memcpy(address.sun_path, port->socket, strlen(port->socket) + 1);
    port->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (port->fd < 0 || connect(port->fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        epoll_ctl(self->epoll, EPOLL_CTL_ADD, port->fd, &event) < 0)
        hang_up(port);
}

/* Dials who is due; how long until the next is, -1: nobody waits. */
static int dial_all(struct mf_ports *self)
{
    mf_ms now = mf_monotonic_ms(), next = -1;
    size_t cursor = 0;
    for (void *at; mf_map_next(self->by_id, &cursor, &at);) {
        struct port *port = at;
        if (port->fd < 0 && port->retry_at <= now)
            dial(self, port);
        if (port->fd < 0 && (next < 0 || port->retry_at - now < next))
            next = port->retry_at - now > 1 ? port->retry_at - now : 1;
    }
    return (int)next;
}

/* One byte more; true if it ended the line that all wait for. */
static bool hear(struct port *port, char c)
{
    if (c != '\n') {
        if (port->len < MF_PORT_LINE)
            port->line[port->len++] = c;
        return false;
    }
    size_t len = port->len;
    port->len = 0;
    if (len && len < MF_PORT_LINE && port->line[len - 1] == '\r')
        len--;
    return len == 5 && memcmp(port->line, "ready", 5) == 0;
}

/* True if it said so: the mark is there, and the port is gone. */
static bool read_port(struct mf_ports *self, struct port *port, struct mf_uuid *ret_id)
{
    char bytes[256];
    ssize_t n = recv(port->fd, bytes, sizeof bytes, 0);
    if (n <= 0) {
        if (n == 0 || (errno != EAGAIN && errno != EINTR))
            hang_up(port);
        return false;
    }
    for (ssize_t i = 0; i < n; i++)
        if (hear(port, bytes[i])) {
            (void)mf_ports_mark(port->mark); /* without it the next agent hears it once more */
            *ret_id = port->id;
            drop(self, port);
            return true;
        }
    return false;
}

static void take(struct mf_ports *self, uint64_t serial)
{
    struct mf_uuid id;
    pthread_mutex_lock(&self->lock);
    struct port *port = mf_map_get_u64(self->by_serial, serial);
    bool ready = port && port->fd >= 0 && read_port(self, port, &id);
    pthread_mutex_unlock(&self->lock);
    if (ready)
        self->said(self->arg, id);
}

static void *run(void *arg)
{
    struct mf_ports *self = arg;
    struct epoll_event events[PORT_EVENTS];
    for (;;) {
        pthread_mutex_lock(&self->lock);
        bool stopping = self->stopping;
        int wait = dial_all(self);
        pthread_mutex_unlock(&self->lock);
        if (stopping)
            return NULL;
        int n = epoll_wait(self->epoll, events, PORT_EVENTS, wait);
        for (int i = 0; i < n; i++) {
            uint64_t count;
            if (events[i].data.u64 != WAKE)
                take(self, events[i].data.u64);
            else if (read(self->wake, &count, sizeof count) < 0)
                continue;
        }
    }
}

static void wake(struct mf_ports *self)
{
    uint64_t one = 1;
    if (write(self->wake, &one, sizeof one) < 0)
        return; /* full: it is awake */
}

struct mf_ports *mf_ports_new(void (*said)(void *arg, struct mf_uuid id), void *arg)
{
    struct mf_ports *self = calloc(1, sizeof *self);
    MF_CHECK(self);
    self->said = said;
    self->arg = arg;
    self->epoll = epoll_create1(EPOLL_CLOEXEC);
    self->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    self->by_id = mf_map_new();
    self->by_serial = mf_map_new();
    pthread_mutex_init(&self->lock, NULL);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = WAKE};
    if (self->epoll >= 0 && self->wake >= 0 &&
        epoll_ctl(self->epoll, EPOLL_CTL_ADD, self->wake, &event) == 0 &&
        pthread_create(&self->thread, NULL, run, self) == 0)
        return self;
    self->stopping = true;
    if (self->epoll >= 0)
        close(self->epoll);
    if (self->wake >= 0)
        close(self->wake);
    mf_map_destroy(&self->by_id);
    mf_map_destroy(&self->by_serial);
    free(self);
    return NULL;
}

void mf_ports_destroy(struct mf_ports **self)
{
    struct mf_ports *ports = *self;
    if (!ports)
        return;
    *self = NULL;
    pthread_mutex_lock(&ports->lock);
    ports->stopping = true;
    pthread_mutex_unlock(&ports->lock);
    wake(ports);
    pthread_join(ports->thread, NULL);
    size_t cursor = 0;
    for (void *port; mf_map_next(ports->by_id, &cursor, &port);)
        drop(ports, port);
    mf_map_destroy(&ports->by_id);
    mf_map_destroy(&ports->by_serial);
    close(ports->epoll);
    close(ports->wake);
    pthread_mutex_destroy(&ports->lock);
    free(ports);
}

void mf_ports_add(struct mf_ports *self, struct mf_uuid id, const char *socket, const char *mark)
{
    pthread_mutex_lock(&self->lock);
    if (!mf_map_get_uuid(self->by_id, id) && strlen(socket) < sizeof((struct port *)0)->socket) {
        struct port *port = calloc(1, sizeof *port);
        MF_CHECK(port && (port->mark = strdup(mark)));
        port->id = id;
        port->fd = -1;
        port->serial = ++self->serial;
        mf_str_format(port->socket, sizeof port->socket, "%s", socket);
        mf_map_put_uuid(self->by_id, id, port);
        mf_map_put_u64(self->by_serial, port->serial, port);
    }
    pthread_mutex_unlock(&self->lock);
    wake(self);
}

void mf_ports_remove(struct mf_ports *self, struct mf_uuid id)
{
    pthread_mutex_lock(&self->lock);
    struct port *port = mf_map_get_uuid(self->by_id, id);
    if (port)
        drop(self, port);
    pthread_mutex_unlock(&self->lock);
}
