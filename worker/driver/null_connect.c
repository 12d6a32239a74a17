/* null_connect.c - how both sides name the socket: through a descriptor of its folder, since a socket's path
 * may be at most 107 bytes long and a root's may be longer. */
#include "null_connect.h"
#include "message.h"
#include "null_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

int mf_null_address(const char *root, int *ret_folder, struct sockaddr_un *ret_address)
{
    int folder = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return -errno;
    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    mf_str_format(ret_address->sun_path, sizeof ret_address->sun_path, "/proc/self/fd/%d/%s", folder,
                  MF_NULL_SOCKET);
    *ret_folder = folder;
    return 0;
}

int mf_null_connect(const char *root)
{
    struct sockaddr_un address;
    int folder = -1, r = mf_null_address(root, &folder, &address);
    if (r < 0)
        return r;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        r = -errno;
    else if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        r = -errno;
        close(fd);
    }
    close(folder);
    return r < 0 ? r : fd;
}
