/* driver_libvirt_embed.c - a hypervisor of our own: QEMU run by libvirt's driver inside this process, with
 * all its files under one root, so that several live side by side on one machine and no daemon is needed. */
#include "driver_libvirt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* QEMU's monitor is a UNIX socket at ROOT/lib/qemu/domain-NNNNN-<20 bytes of the name>/monitor.sock, of at
 * most 107 bytes. */
enum { ROOT_MAX = 51, PATH_TEXT = 4096 };

int mf_libvirt_write(const char *path, const void *bytes, size_t len)
{
    char temporary[PATH_TEXT];
    mf_str_format(temporary, sizeof temporary, "%s.new", path);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    int r = write(fd, bytes, len) == (ssize_t)len ? 0 : -EIO;
    close(fd);
    if (r == 0 && rename(temporary, path) < 0)
        r = -errno;
    return r;
}

/* No log daemon (stdio_handler), no cgroups of libvirt's own (38 ms at every create), no change of owner or
 * label of files that the worker made itself. Read by libvirt when the root is first opened. */
int mf_embed_prepare(const char *root, char error[512])
{
    static const char conf[] = "# Written by the Mayfly agent at every start.\n"
                               "stdio_handler = \"file\"\n"
                               "security_driver = \"none\"\n"
                               "cgroup_controllers = [ ]\n"
                               "remember_owner = 0\n";
    static const char as_root[] = "user = \"root\"\n"
                                  "group = \"root\"\n"
                                  "dynamic_ownership = 0\n";
    char path[PATH_TEXT], text[sizeof conf + sizeof as_root];
    mf_str_format(path, sizeof path, "%s/etc", root);
    int r = mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0;
    mf_str_format(path, sizeof path, "%s/etc/qemu.conf", root);
    mf_str_format(text, sizeof text, "%s%s", conf, geteuid() == 0 ? as_root : "");
    if (r == 0)
        r = mf_libvirt_write(path, text, strlen(text));
    if (r < 0)
        mf_str_format(error, 512, "cannot write %s: %s", path, strerror(-r));
    return r;
}

/* ---- a root whose path is too long */

static int alias_folder(char folder[PATH_TEXT])
{
    const char *runtime = getenv("XDG_RUNTIME_DIR"); /* never a folder that everybody writes to */
    if (geteuid() == 0)
        runtime = "/run";
    if (!runtime || runtime[0] != '/')
        return -ENAMETOOLONG;
    mf_str_format(folder, PATH_TEXT, "%s/mayfly", runtime);
    return mkdir(folder, 0755) == 0 || errno == EEXIST ? 0 : -errno;
}

int mf_embed_alias(const char *root, char ret_alias[MF_EMBED_ALIAS], char error[512])
{
    char folder[PATH_TEXT], alias[PATH_TEXT], fresh[PATH_TEXT];
    ret_alias[0] = 0;
    if (strlen(root) <= ROOT_MAX)
        return 0;
    int r = alias_folder(folder);
    mf_str_format(alias, sizeof alias, "%s/%016llx", folder, (unsigned long long)mf_hash(root, strlen(root)));
    mf_str_format(fresh, sizeof fresh, "%s.%d", alias, (int)getpid());
    if (r == 0 && strlen(alias) > ROOT_MAX)
        r = -ENAMETOOLONG;
    if (r == 0 && (symlink(root, fresh) < 0 || rename(fresh, alias) < 0))
        r = -errno;
    if (r < 0) {
        mf_str_format(error, 512,
                      "the driver's root is %zu bytes long, %d fit under QEMU's monitor socket, and no alias "
                      "can be made: %s; "
                      "choose a shorter path for %.200s",
                      strlen(root), ROOT_MAX, strerror(-r), root);
        return r;
    }
    mf_str_format(fresh, sizeof fresh, "%s/alias",
                  root); /* so that whoever removes the root knows what else to remove */
    unlink(fresh);
    if (symlink(alias, fresh) < 0) {
        r = -errno;
        mf_str_format(error, 512, "cannot write %.300s: %s", fresh, strerror(-r));
        return r;
    }
    mf_str_format(ret_alias, MF_EMBED_ALIAS, "%s", alias);
    return 0;
}

void mf_embed_drop_alias(const char *alias)
{
    char folder[MF_EMBED_ALIAS];
    unlink(alias);
    mf_str_format(folder, sizeof folder, "%s", alias);
    *strrchr(folder, '/') = 0;
    rmdir(folder); /* if it was the last */
}
