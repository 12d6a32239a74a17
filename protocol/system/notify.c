/* notify.c - one socket per process, as there is one environment. */
#include "notify.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { AGAIN_MS = 50 };

static struct {
    int fd; /* -1: nobody listens */
    struct sockaddr_un to;
    socklen_t to_len;
    mf_ms interval_ms, beat_at; /* interval 0: no watchdog */
    bool ready;
    char unsaid[300]; /* the word of being ready, while whoever listens has no room for it */
} notify = {.fd = -1};

/* /path, or @name for an abstract one. Anything else (vsock) has no meaning for a service. */
static bool take_address(const char *text)
{
    size_t len = strlen(text);
    if ((text[0] != '/' && text[0] != '@') || len < 2 || len >= sizeof(notify.to.sun_path))
        return false;
    notify.to.sun_family = AF_UNIX;
    memcpy(notify.to.sun_path, text, len + 1);
    notify.to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    if (text[0] == '@')
        notify.to.sun_path[0] = 0; /* its name is what follows, without a zero at its end */
    else
        notify.to_len++;
    return true;
}

static mf_ms watchdog_ms(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    if (!usec || (pid && atoll(pid) != getpid()))
        return 0;
    return atoll(usec) / 2000;
}

void mf_notify_open(void)
{
    const char *address = getenv("NOTIFY_SOCKET");
    if (address && take_address(address))
        notify.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (notify.fd >= 0)
        notify.interval_ms = watchdog_ms();
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

/* Whoever listens may be slow or gone: that must not hold us up. False if it may be tried again. */
static bool say(const char *text)
{
    return notify.fd < 0 ||
           sendto(notify.fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&notify.to,
                  notify.to_len) >= 0 ||
           errno != EAGAIN;
}

/* The one word that must arrive: without it a start is never over. */
static void say_unsaid(void)
{
    if (notify.unsaid[0] && say(notify.unsaid))
        notify.unsaid[0] = 0;
}

void mf_notify_ready(const char *status)
{
    if (notify.ready)
        return;
    notify.ready = true;
    snprintf(notify.unsaid, sizeof(notify.unsaid), "READY=1\nSTATUS=%.250s", status);
    say_unsaid();
}

void mf_notify_stopping(void)
{
    say("STOPPING=1");
}

mf_ms mf_notify_beat(mf_ms now)
{
    say_unsaid();
    if (notify.interval_ms > 0 && now >= notify.beat_at) {
        say("WATCHDOG=1");
        notify.beat_at = now + notify.interval_ms;
    }
    if (notify.unsaid[0])
        return now + AGAIN_MS;
    return notify.interval_ms > 0 ? notify.beat_at : INT64_MAX;
}
