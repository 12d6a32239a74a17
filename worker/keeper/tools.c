/* tools.c - the little that the keeper needs for itself, because it may not link what the others share. */
#include "keeper.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

static int parse_port(const char *text, in_port_t *ret_port)
{
    char *end;
    errno = 0;
    unsigned long port = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || port > 65535)
        return -EINVAL;
    *ret_port = htons((uint16_t)port);
    return 0;
}

int mf_keeper_address(const char *text, struct sockaddr_storage *ret_address)
{
    char host[64];
    const char *colon = strrchr(text, ':');
    if (!colon)
        return -EINVAL;
    bool six = text[0] == '[';
    size_t len = (size_t)(colon - text);
    if (six && (len < 3 || text[len - 1] != ']'))
        return -EINVAL;
    mf_str_format(host, sizeof host, "%.*s", (int)(six ? len - 2 : len), six ? text + 1 : text);
    struct sockaddr_storage address = {0};
    struct sockaddr_in *in4 = (struct sockaddr_in *)&address;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&address;
    address.ss_family = six ? AF_INET6 : AF_INET;
    if (inet_pton(address.ss_family, host, six ? (void *)&in6->sin6_addr : (void *)&in4->sin_addr) != 1)
        return -EINVAL;
    if (parse_port(colon + 1, six ? &in6->sin6_port : &in4->sin_port) < 0)
        return -EINVAL;
    *ret_address = address;
    return 0;
}

socklen_t mf_keeper_address_size(const struct sockaddr_storage *address)
{
    return address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

/* The descriptor stays open, and the lock held, as long as the process lives. */
int mf_keeper_pid_file(const char *path, char error[512])
{
    if (!path)
        return 0;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
        int r = -errno;
        snprintf(error, 512, "pid file %s: %s; give a --pid-file that can be written", path, strerror(-r));
        return r;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        snprintf(error, 512, "pid file %s: another live process holds it", path);
        close(fd);
        return -EBUSY;
    }
    char text[24];
    int len = snprintf(text, sizeof text, "%d\n", (int)getpid());
    if (ftruncate(fd, 0) < 0 || write(fd, text, (size_t)len) != len) {
        snprintf(error, 512, "pid file %s: %s", path, strerror(errno));
        close(fd);
        return -EIO;
    }
    return 0;
}

static mf_ms clock_ms(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (mf_ms)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

mf_ms mf_keeper_now(void)
{
    return clock_ms(CLOCK_BOOTTIME);
}

mf_ms mf_keeper_wall(void)
{
    return clock_ms(CLOCK_REALTIME);
}

void mf_keeper_log(const struct mf_keeper *self, const char *level, const char *format, ...)
{
    char text[900];
    struct mf_log_line line;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    struct mf_log_words words = {mf_keeper_wall(), level, "mayfly-keeper", self->node, text, NULL};
    mf_log_line(&line, self->options.log_format, &words);
    struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&ready, 1, 0) > 0 && write(STDERR_FILENO, line.bytes, line.len) < 0)
        return; /* nobody reads what we say: a full pipe must not hold us up */
}
