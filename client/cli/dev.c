/* The directory of a dev cluster: where things are, and what it is. */
#include "dev.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

const char *mf_dev_path(const struct mf_dev *dev, char path[MF_DEV_PATH], const char *format, ...)
{
    va_list args;
    int n = snprintf(path, MF_DEV_PATH, "%s/", dev->dir);
    va_start(args, format);
    vsnprintf(path + n, (size_t)(MF_DEV_PATH - n), format, args); /* dir is at most half of it */
    va_end(args);
    return path;
}

int mf_dev_make_dir(struct mf_cli *cli, const char *path, mode_t mode)
{
    char part[PATH_MAX];
    if (strlen(path) >= sizeof part)
        return mf_cli_fail(cli, "%.100s...: the path is too long", path);
    for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        if (mkdir(part, 0755) && errno != EEXIST)
            return mf_cli_fail(cli, "%s: cannot be made: %s", part, strerror(errno));
    }
    if (mkdir(path, mode) && errno != EEXIST)
        return mf_cli_fail(cli, "%s: cannot be made: %s", path, strerror(errno));
    return 0;
}

int mf_dev_locate(struct mf_cli *cli, bool make, struct mf_dev *ret_dev)
{
    char absolute[PATH_MAX];
    const char *dir = mf_cli_get(cli, "state");
    if (!dir)
        dir = getenv("MAYFLY_DEV_STATE");
    if (!dir || !*dir)
        return mf_cli_misuse(cli, "which cluster? say --state DIR or set MAYFLY_DEV_STATE");
    if (make && mf_dev_make_dir(cli, dir, 0700))
        return MF_EXIT_FAILED;
    if (!realpath(dir, absolute))
        return mf_cli_fail(cli, "%s: %s; mayfly dev up --state %s makes it", dir, strerror(errno), dir);
    if (strlen(absolute) >= sizeof ret_dev->dir || strchr(absolute, '\n'))
        return mf_cli_fail(cli, "%.100s...: take a shorter path, without line ends", absolute);
    *ret_dev = (struct mf_dev){.monitors = 1};
    memcpy(ret_dev->dir, absolute, strlen(absolute) + 1);
    return 0;
}

static bool take_line(struct mf_dev *dev, const char *key, const char *value)
{
    struct {
        const char *key;
        char *to;
        size_t size;
    } texts[] = {{"CLIENT", dev->client, sizeof dev->client},
                 {"WORKER", dev->worker, sizeof dev->worker},
                 {"TAIL", dev->tail, sizeof dev->tail},
                 {"DRIVER", dev->driver, sizeof dev->driver},
                 {"IMAGE_ROOT", dev->image_root, sizeof dev->image_root}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!strcmp(texts[i].key, key) && strlen(value) < texts[i].size) {
            memcpy(texts[i].to, value, strlen(value) + 1);
            return true;
        }
    uint64_t number = strtoull(value, NULL, 10);
    if (!strcmp(key, "NODES"))
        return (dev->nodes = number) <= MF_DEV_NODES_MAX;
    if (!strcmp(key, "MONITORS"))
        return (dev->monitors = number) <= MF_DEV_MONITORS_MAX;
    return !strcmp(key, "SUBNET") && (dev->subnet = (unsigned)number) < 256;
}

int mf_dev_load(struct mf_cli *cli, struct mf_dev *ret_dev)
{
    char path[MF_DEV_PATH], line[MF_DEV_PATH];
    int r = mf_dev_locate(cli, false, ret_dev);
    if (r)
        return r;
    FILE *file = fopen(mf_dev_path(ret_dev, path, "dev.conf"), "re");
    if (!file)
        return mf_cli_fail(cli, "%s is no dev cluster (%s: %s); mayfly dev up --state %s makes one",
                           ret_dev->dir, path, strerror(errno), ret_dev->dir);
    while (!r && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        char *equals = strchr(line, '=');
        if (equals)
            *equals = 0;
        if (!equals || !take_line(ret_dev, line, equals + 1))
            r = mf_cli_fail(cli, "%s: cannot be understood at \"%.80s\"", path, line);
    }
    fclose(file);
    return r;
}

int mf_dev_save(struct mf_cli *cli, const struct mf_dev *dev)
{
    char path[MF_DEV_PATH], tmp[MF_DEV_PATH];
    FILE *file = fopen(mf_dev_path(dev, tmp, "dev.conf.new"), "we");
    bool ok = file && fprintf(file,
                              "CLIENT=%s\nWORKER=%s\nTAIL=%s\nDRIVER=%s\nIMAGE_ROOT=%s\nNODES=%" PRIu64
                              "\nMONITORS=%" PRIu64 "\nSUBNET=%u\n",
                              dev->client, dev->worker, dev->tail, dev->driver, dev->image_root, dev->nodes,
                              dev->monitors, dev->subnet) > 0;
    if (file && fclose(file))
        ok = false;
    if (ok && !rename(tmp, mf_dev_path(dev, path, "dev.conf")))
        return 0;
    return mf_cli_fail(cli, "%s: cannot be written: %s", tmp, strerror(errno));
}

int mf_dev_lock(struct mf_cli *cli, const struct mf_dev *dev)
{
    char path[MF_DEV_PATH];
    int fd = open(mf_dev_path(dev, path, "dev.lock"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return mf_cli_fail(cli, "%s: %s", path, strerror(errno));
    if (!flock(fd, LOCK_EX | LOCK_NB))
        return 0; /* kept open: the lock is the process's */
    close(fd);
    return mf_cli_fail(cli, "another mayfly dev is at work on %s; wait for it", dev->dir);
}

bool mf_dev_name(const struct mf_dev *dev, uint64_t i, char ret_name[64])
{
    uint64_t first = mf_dev_first_node(dev);
    if (i == 0)
        snprintf(ret_name, 64, "broker");
    else if (i < first)
        snprintf(ret_name, 64, "health-%" PRIu64, i - 1);
    else
        snprintf(ret_name, 64, "node-%" PRIu64, i - first);
    return i < first + dev->nodes;
}

uint64_t mf_dev_first_node(const struct mf_dev *dev)
{
    return 1 + dev->monitors;
}

int mf_dev_no_such(struct mf_cli *cli, const struct mf_dev *dev, const char *name)
{
    return mf_cli_misuse(
        cli, "there is no %s; it is broker, health-0 to health-%" PRIu64 " or node-0 to node-%" PRIu64, name,
        dev->monitors - 1, dev->nodes - 1);
}

bool mf_dev_is_name(const struct mf_dev *dev, const char *name)
{
    char known[64];
    for (uint64_t i = 0; mf_dev_name(dev, i, known); i++)
        if (!strcmp(known, name))
            return true;
    return false;
}
