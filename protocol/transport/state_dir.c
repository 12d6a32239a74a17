/* state_dir.c - the directory in which a program keeps what must outlive it: looked at before anything else
 * is opened, so that a mount that is missing or read-only is named as that. */
#include "program.h"

#include "files.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int mf_state_dir(const char *path, mode_t mode, char error[512])
{
    if ((mkdir(path, mode) == 0 || errno == EEXIST) && access(path, W_OK | X_OK) == 0)
        return 0;
    int code = errno;
    const char *remedy = "give another --state";
    char text[128];
    if (code == EROFS)
        remedy = "mount something writable there (for a container: a volume), or give another --state";
    else if (code == EACCES)
        remedy =
            mf_str_format(text, sizeof(text),
                          "this program runs as user %u: give it the directory (chown %u), or give another "
                          "--state",
                          (unsigned)geteuid(), (unsigned)geteuid())
                .ptr;
    else if (code == ENOENT)
        remedy = "make the directory above it, or give another --state";
    return mf_fail(error, -code, "the state directory %.200s: %s; %s", path, strerror(code), remedy);
}
