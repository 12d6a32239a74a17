/* driver_libvirt_guests.c - what this process knows of each guest, and the crumbs: a symbolic link
 * ROOT/guests/ID that points to the guest's disk. A domain that died has vanished from libvirt, metadata and
 * all; the crumb is how its disk is found then. */
#include "driver_libvirt.h"
#include "check.h"
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_TEXT = 4096 };

struct mf_guest *mf_guest_get(struct mf_driver *self, struct mf_uuid id)
{
    return mf_map_get(self->guests, id.bytes, sizeof id.bytes);
}

struct mf_guest *mf_guest_obtain(struct mf_driver *self, struct mf_uuid id)
{
    struct mf_guest *guest = mf_guest_get(self, id);
    if (guest)
        return guest;
    guest = calloc(1, sizeof *guest);
    MF_CHECK(guest);
    guest->id = id;
    mf_map_put(self->guests, id.bytes, sizeof id.bytes, guest);
    return guest;
}

void mf_guest_forget(struct mf_driver *self, struct mf_uuid id)
{
    struct mf_guest *guest = mf_guest_get(self, id);
    if (!guest || guest->creating || guest->destroying)
        return;
    mf_map_del(self->guests, id.bytes, sizeof id.bytes);
    mf_shell_forget(self, id);
    mf_shell_forget(self, guest->shell);
    free(guest);
}

bool mf_guest_ended(const struct mf_driver *self, struct mf_uuid id)
{
    for (unsigned i = 0; i < MF_ENDED_MAX; i++)
        if (mf_uuid_eq(self->ended[i], id))
            return true;
    return false;
}

/* ---- pids */

static pid_t read_pid_file(const char *path)
{
    char text[32] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    return n > 0 ? (pid_t)strtol(text, NULL, 10) : 0;
}

pid_t mf_guest_find_pid(struct mf_driver *self, struct mf_uuid id, const char *domain_name)
{
    if (!self->local || self->unseen)
        return 0;
    char path[PATH_TEXT];
    if (self->embed)
        mf_str_format(path, sizeof path, "%s/run/qemu/%s.pid", self->root, domain_name);
    else
        mf_str_format(path, sizeof path, "/run/libvirt/qemu/%s.pid", domain_name);
    pid_t pid = read_pid_file(path);
    if (pid > 0 && mf_process_is_guest(pid, id) > 0)
        return pid;
    return mf_process_find_guest(id);
}

/* ---- crumbs */

static const char *crumb_path(struct mf_driver *self, struct mf_uuid id, char path[PATH_TEXT])
{
    char text[MF_UUID_TEXT];
    mf_str_format(path, PATH_TEXT, "%s/guests/%s", self->root, mf_uuid_text(id, text));
    return path;
}

int mf_crumb_leave(struct mf_driver *self, struct mf_uuid id, const char *disk, char error[512])
{
    char path[PATH_TEXT];
    crumb_path(self, id, path);
    if (unlink(path) < 0 && errno != ENOENT)
        goto failed;
    if (symlink(disk, path) == 0)
        return 0;
failed:
    mf_str_format(error, 512, "cannot write %s: %s", path, strerror(errno));
    return -EIO;
}

bool mf_crumb_there(struct mf_driver *self, struct mf_uuid id)
{
    char path[PATH_TEXT], target[2];
    return readlink(crumb_path(self, id, path), target, sizeof target) > 0;
}

void mf_crumb_clean(struct mf_driver *self, struct mf_uuid id)
{
    char path[PATH_TEXT], disk[PATH_TEXT];
    ssize_t n = readlink(crumb_path(self, id, path), disk, sizeof disk - 1);
    if (n <= 0)
        return;
    disk[n] = 0;
    if (unlink(disk) == 0 || errno == ENOENT)
        unlink(path);
}
