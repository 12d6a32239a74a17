/* driver_libvirt_daemon.c - whose processes a daemon's guests are. A worker in a container that has the
 * host's libvirt by its socket, but not the host's processes, can neither watch nor kill them, and nothing of
 * /proc proves them gone: then libvirt's word is all there is. The kernel tells it: of a peer outside of our
 * pid namespace it says pid 0. */
#include "driver_libvirt.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char *const usual[] = {"/run/libvirt/virtqemud-sock", "/run/libvirt/libvirt-sock",
                                    "/var/run/libvirt/virtqemud-sock", "/var/run/libvirt/libvirt-sock"};

static pid_t peer_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (strlen(path) >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    pid_t pid = connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
                        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0
                    ? -errno
                    : peer.pid;
    close(fd);
    return pid;
}

/* As libvirt reads a URI: %XX stands for a byte. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *at = text; *at; to++) {
        unsigned byte;
        bool escaped = at[0] == '%' && isxdigit((unsigned char)at[1]) && isxdigit((unsigned char)at[2]) &&
                       sscanf(at + 1, "%2x", &byte) == 1;
        *to = escaped ? (char)byte : *at;
        at += escaped ? 3 : 1;
    }
    *to = 0;
}

pid_t mf_libvirt_daemon(const char *uri)
{
    char path[512];
    const char *given = strstr(uri, "socket=");
    if (given && (given[-1] == '?' || given[-1] == '&')) {
        given += strlen("socket=");
        mf_str_format(path, sizeof path, "%.*s", (int)strcspn(given, "&"), given);
        unescape(path);
        return peer_of(path);
    }
    pid_t pid = -ENOENT;
    for (size_t i = 0; i < sizeof usual / sizeof *usual && pid < 0; i++)
        pid = peer_of(usual[i]);
    return pid;
}
