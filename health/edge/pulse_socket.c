/* pulse_socket.c - datagrams in batches, with a buffer for a burst of thousands (the default holds a few
 * hundred), and the kernel's own count of what it had to drop. */
#include "pulse_socket.h"

#include "address.h"
#include "files.h"
#include "message.h"
#include "pulse.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DATAGRAM_MAX = MF_PULSE_SIZE + 8 /* so that a longer one is seen to be longer */ };

struct mf_pulse_socket {
    int fd, family;
    uint32_t dropped;
    uint64_t unsent;
    struct mmsghdr headers[MF_PULSE_SOCKET_BATCH];
    struct iovec vectors[MF_PULSE_SOCKET_BATCH];
    uint8_t bytes[MF_PULSE_SOCKET_BATCH][DATAGRAM_MAX];
    uint8_t controls[MF_PULSE_SOCKET_BATCH][CMSG_SPACE(sizeof(uint32_t))];
};

/* HOST:PORT in two, brackets taken off */
static int split(const char *address, char host[256], char port[16], char error[512])
{
    const char *colon = strrchr(address, ':');
    size_t len = colon ? (size_t)(colon - address) : 0;
    if (!colon || len == 0 || len > 250 || !colon[1] || strlen(colon + 1) > 5 ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1) || strtol(colon + 1, NULL, 10) > 65535)
        return mf_fail(error, -EINVAL, "\"%.120s\" is not HOST:PORT", address);
    if (address[0] == '[' && address[len - 1] == ']') {
        address++;
        len -= 2;
    } else if (memchr(address, ':', len)) {
        return mf_fail(error, -EINVAL, "\"%.120s\": an IPv6 host stands in brackets, as in [::1]:7000",
                       address);
    }
    mf_str_format(host, 256, "%.*s", (int)len, address);
    mf_str_format(port, 16, "%s", colon + 1);
    return 0;
}

static int resolve(const char *address, bool passive, struct addrinfo **ret_info, char error[512])
{
    char host[256], port[16];
    int r = split(address, host, port, error);
    if (r < 0)
        return r;
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_DGRAM,
                             .ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : 0)};
    bool any = strcmp(host, "*") == 0;
    if (any)
        hints.ai_family = AF_INET;
    r = getaddrinfo(any ? NULL : host, port, &hints, ret_info);
    if (r != 0)
        return mf_fail(error, -ENOENT, "%s: %s", address, gai_strerror(r));
    return 0;
}

static bool is_wildcard(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET)
        return ((const struct sockaddr_in *)address)->sin_addr.s_addr == htonl(INADDR_ANY);
    return IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)address)->sin6_addr);
}

/* The local address from which packets to `peer` leave: connecting a datagram socket sends nothing, but
 * chooses it. */
static int local_towards(const char *peer, struct sockaddr_storage *ret_address, char error[512])
{
    const char *host = strstr(peer, "://");
    struct addrinfo *info = NULL;
    int r = resolve(host ? host + 3 : peer, false, &info, error);
    if (r < 0)
        return r;
    socklen_t size = sizeof(*ret_address);
    int fd = socket(info->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, info->ai_addr, info->ai_addrlen) < 0 ||
        getsockname(fd, (struct sockaddr *)ret_address, &size) < 0)
        r = mf_fail(error, -errno, "no local address leads to %s: %s; say --pulse-advertise HOST:PORT", peer,
                    strerror(errno));
    if (fd >= 0)
        close(fd);
    freeaddrinfo(info);
    return r;
}

static int tell_address(int fd, const char *peer, char ret_address[101], char error[512])
{
    struct sockaddr_storage own, towards;
    socklen_t size = sizeof(own);
    char host[NI_MAXHOST], port[NI_MAXSERV];
    if (getsockname(fd, (struct sockaddr *)&own, &size) < 0)
        return mf_fail(error, -errno, "pulse socket: %s", strerror(errno));
    bool wildcard = is_wildcard(&own);
    int r = wildcard ? local_towards(peer, &towards, error) : 0;
    if (r < 0)
        return r;
    r = getnameinfo((struct sockaddr *)&own, size, NULL, 0, port, sizeof(port),
                    NI_NUMERICSERV | NI_NUMERICHOST);
    if (r == 0)
        r = getnameinfo((struct sockaddr *)(wildcard ? &towards : &own), sizeof(own), host, sizeof(host),
                        NULL, 0, NI_NUMERICHOST | NI_NUMERICSERV);
    if (r != 0)
        return mf_fail(error, -EINVAL, "pulse socket: %s", gai_strerror(r));
    mf_str_format(ret_address, 101, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
    return 0;
}

static void set_options(int fd)
{
    int size = MF_PULSE_SOCKET_BYTES, one = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)); /* as much as the system allows */
    setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &one, sizeof(one));
}

static int bind_socket(const char *address, int *ret_fd, char error[512])
{
    struct addrinfo *info = NULL;
    int r = resolve(address, true, &info, error);
    if (r < 0)
        return r;
    int fd = socket(info->ai_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, info->ai_addr, info->ai_addrlen) < 0) {
        r = mf_fail(error, -errno, "%s: pulses cannot be received there: %s%s", address, strerror(errno),
                    errno == EADDRINUSE ? "; another program has this port: give another --pulse-bind"
                                        : "; give an address of this machine as --pulse-bind");
        if (fd >= 0)
            close(fd);
    } else {
        set_options(fd);
        *ret_fd = fd;
    }
    freeaddrinfo(info);
    return r;
}

static struct mf_pulse_socket *make(int fd)
{
    struct mf_pulse_socket *self = calloc(1, sizeof(*self));
    if (!self)
        return NULL;
    socklen_t size = sizeof(self->family);
    self->fd = fd;
    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &self->family, &size);
    for (size_t i = 0; i < MF_PULSE_SOCKET_BATCH; i++) {
        self->vectors[i] = (struct iovec){self->bytes[i], DATAGRAM_MAX};
        self->headers[i].msg_hdr =
            (struct msghdr){.msg_iov = &self->vectors[i], .msg_iovlen = 1, .msg_control = self->controls[i]};
    }
    return self;
}

int mf_pulse_socket_open(const char *bind_address, const char *peer, struct mf_pulse_socket **ret_socket,
                         char ret_address[101], char error[512])
{
    int fd = -1;
    int r = bind_socket(bind_address, &fd, error);
    if (r < 0)
        return r;
    r = tell_address(fd, peer, ret_address, error);
    struct mf_pulse_socket *self = r == 0 ? make(fd) : NULL;
    if (r == 0 && !self)
        r = mf_fail(error, -ENOMEM, "pulse socket: out of memory");
    if (r < 0)
        close(fd);
    else
        *ret_socket = self;
    return r;
}

void mf_pulse_socket_close(struct mf_pulse_socket **self)
{
    if (!*self)
        return;
    close((*self)->fd);
    free(*self);
    *self = NULL;
}

int mf_pulse_socket_fd(const struct mf_pulse_socket *self)
{
    return self->fd;
}

static void take_dropped(struct mf_pulse_socket *self, struct msghdr *header)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL)
            memcpy(&self->dropped, CMSG_DATA(c), sizeof(self->dropped));
}

size_t mf_pulse_socket_read(struct mf_pulse_socket *self)
{
    for (size_t i = 0; i < MF_PULSE_SOCKET_BATCH; i++)
        self->headers[i].msg_hdr.msg_controllen = sizeof(self->controls[i]);
    int n = recvmmsg(self->fd, self->headers, MF_PULSE_SOCKET_BATCH, MSG_DONTWAIT, NULL);
    if (n <= 0)
        return 0;
    take_dropped(self, &self->headers[n - 1].msg_hdr);
    return (size_t)n;
}

const void *mf_pulse_socket_bytes(const struct mf_pulse_socket *self, size_t i, size_t *ret_len)
{
    *ret_len = self->headers[i].msg_len;
    return self->bytes[i];
}

/* Into the form that this socket takes; 0 if it reaches no such host. */
static socklen_t socket_address(int family, const struct mf_address *address,
                                struct sockaddr_storage *ret_address)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(address->port)};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(address->port)};
    memcpy(&in6.sin6_addr, address->host, sizeof(in6.sin6_addr));
    memcpy(&in.sin_addr, address->host + 12, sizeof(in.sin_addr));
    if (family == AF_INET6)
        memcpy(ret_address, &in6, sizeof(in6));
    else if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr))
        memcpy(ret_address, &in, sizeof(in));
    else
        return 0;
    return family == AF_INET6 ? sizeof(in6) : sizeof(in);
}

void mf_pulse_socket_send(struct mf_pulse_socket *self, const char *text, const void *bytes, size_t len)
{
    struct mf_address address;
    struct sockaddr_storage to;
    socklen_t size = mf_address_parse(text, &address) == 0 ? socket_address(self->family, &address, &to) : 0;
    if (size == 0 ||
        sendto(self->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&to, size) < 0)
        self->unsent++;
}

uint64_t mf_pulse_socket_unsent(const struct mf_pulse_socket *self)
{
    return self->unsent;
}

uint32_t mf_pulse_socket_dropped(const struct mf_pulse_socket *self)
{
    return self->dropped;
}
