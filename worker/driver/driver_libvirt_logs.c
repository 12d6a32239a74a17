/* driver_libvirt_logs.c - what QEMU said of itself, ROOT/log/qemu/NAME-ID.log. libvirt makes one for each
 * domain of a root of our own and leaves it; it goes with its guest. */
#include "driver_libvirt.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { ID_TEXT = MF_UUID_TEXT - 1 };

static DIR *open_folder(const struct mf_driver *self)
{
    char path[4096];
    mf_str_format(path, sizeof path, "%s/log/qemu", self->root);
    return self->embed ? opendir(path) : NULL;
}

static bool id_of(const char *name, struct mf_uuid *ret_id)
{
    static const char suffix[] = ".log";
    size_t len = strlen(name), end = sizeof suffix - 1;
    return len > ID_TEXT + end && strcmp(name + len - end, suffix) == 0 &&
           mf_uuid_parse(name + len - end - ID_TEXT, ID_TEXT, ret_id);
}

void mf_log_remove(struct mf_driver *self, struct mf_uuid id)
{
    struct dirent *entry;
    struct mf_uuid its;
    DIR *folder = mf_uuid_is_zero(id) ? NULL : open_folder(self);
    while (folder && (entry = readdir(folder)))
        if (id_of(entry->d_name, &its) && mf_uuid_eq(its, id))
            unlinkat(dirfd(folder), entry->d_name, 0);
    if (folder)
        closedir(folder);
}

void mf_logs_sweep(struct mf_driver *self)
{
    struct dirent *entry;
    struct mf_uuid id;
    virDomainPtr domain;
    char ignored[512];
    DIR *folder = open_folder(self);
    while (folder && (entry = readdir(folder))) {
        if (!id_of(entry->d_name, &id))
            continue;
        int r = mf_domain_lookup(self->lanes[MF_LANE_WATCH], id, &domain, ignored);
        if (r == 0)
            virDomainFree(domain);
        else if (r == -ENOENT)
            unlinkat(dirfd(folder), entry->d_name, 0);
    }
    if (folder)
        closedir(folder);
}
