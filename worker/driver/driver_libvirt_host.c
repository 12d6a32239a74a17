/* driver_libvirt_host.c - what a guest gets of this host besides its own spec: its network, CPUs of its own,
 * huge pages, and the sockets that its health is asked by. What the host cannot give is refused here, in one
 * sentence, before libvirt is asked. */
#include "driver_libvirt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

void mf_libvirt_note(struct mf_driver *self, bool *said, const char *text)
{
    pthread_mutex_lock(&self->lock);
    bool news = !*said;
    *said = true;
    pthread_mutex_unlock(&self->lock);
    if (news && self->config.note)
        self->config.note(self->config.arg, text);
}

/* ---- once, at open */

/* An embedded hypervisor has no cgroups of its own (driver_libvirt_embed.c); a daemon of this machine has
 * those that its own file system shows. */
static bool has_cgroups(const struct mf_driver *self)
{
    char path[128], line[256] = "";
    pid_t daemon = self->embed || !self->local ? 0 : mf_libvirt_daemon(self->uri);
    if (daemon <= 0)
        return false;
    mf_str_format(path, sizeof path, "/proc/%d/root/sys/fs/cgroup/cpu", (int)daemon);
    if (access(path, W_OK) == 0)
        return true;
    mf_str_format(path, sizeof path, "/proc/%d/root/sys/fs/cgroup/cgroup.controllers", (int)daemon);
    FILE *file = fopen(path, "re");
    bool has = file && fgets(line, sizeof line, file) && strstr(line, "cpu ");
    if (file)
        fclose(file);
    *strrchr(path, '/') = 0;
    return has && access(path, W_OK) == 0;
}

void mf_libvirt_look_at_host(struct mf_driver *self, virConnectPtr conn)
{
    char *capabilities = virConnectGetCapabilities(conn);
    if (capabilities)
        mf_pins_read(&self->pins, capabilities);
    free(capabilities);
    self->cgroups = has_cgroups(self);
}

/* ---- for each guest */

static int check_hugepages(const struct mf_driver *self, const struct mf_driver_spec *spec, char error[512])
{
    unsigned long long free_pages = 0, kib = 0, value;
    char line[128];
    FILE *file = self->local ? fopen("/proc/meminfo", "re") : NULL;
    if (!file)
        return 0; /* another machine's: libvirt says */
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "HugePages_Free: %llu", &value) == 1)
            free_pages = value;
        if (sscanf(line, "Hugepagesize: %llu", &value) == 1)
            kib = value;
    }
    fclose(file);
    if (free_pages * kib / 1024 >= spec->memory_mib)
        return 0;
    mf_str_format(error, 512,
                  "its memory is to be %llu MiB of huge pages, and this host has %llu MiB of them free; "
                  "vm.nr_hugepages says how many there are",
                  (unsigned long long)spec->memory_mib, free_pages * kib / 1024);
    return -ENOMEM;
}

static int take_cpus(struct mf_driver *self, const struct mf_driver_spec *spec, struct mf_domain_host *host,
                     char error[512])
{
    uint32_t ratio = self->config.cpu_ratio_percent ? self->config.cpu_ratio_percent : 400;
    if (ratio > 100) {
        mf_str_format(error, 512,
                      "a pinned guest needs host CPUs of its own, and this node shares its CPUs "
                      "(cpu-ratio-percent is %u): pinned offerings belong to nodes with 100 (class hpc)",
                      ratio);
        return -ENOTSUP;
    }
    pthread_mutex_lock(&self->lock);
    int r = mf_pins_take(&self->pins, spec->id, spec->vcpus, host, error);
    pthread_mutex_unlock(&self->lock);
    return r;
}

void mf_libvirt_unpin(struct mf_driver *self, struct mf_uuid id)
{
    pthread_mutex_lock(&self->lock);
    mf_pins_give_back(&self->pins, id);
    pthread_mutex_unlock(&self->lock);
}

/* A socket's path has 107 bytes. The root's short name leads to the folder beside it, too. */
int mf_libvirt_socket(const struct mf_driver *self, const char *dir, const char *name, char ret_path[108],
                      char error[512])
{
    char path[4096];
    mf_str_format(path, sizeof path, "%s/%s", dir, name);
    const char *slash = strrchr(self->root, '/');
    size_t parent = slash ? (size_t)(slash - self->root) + 1 : 0;
    if (strlen(path) >= sizeof((struct sockaddr_un *)0)->sun_path && self->alias[0] &&
        strncmp(dir, self->root, parent) == 0)
        mf_str_format(path, sizeof path, "%s/../%s/%s", self->alias, dir + parent, name);
    if (strlen(path) < sizeof((struct sockaddr_un *)0)->sun_path) {
        mf_str_format(ret_path, 108, "%s", path);
        return 0;
    }
    mf_str_format(error, 512, "the path %.200s is too long for a socket: choose a shorter state directory",
                  path);
    return -ENAMETOOLONG;
}

static int find_sockets(const struct mf_driver *self, const struct mf_driver_spec *spec,
                        struct mf_guest_sockets *sockets, struct mf_domain_host *host, char error[512])
{
    const struct mf_rec_guest_health *health = spec->health;
    bool port = health && health->ready == MF_READINESS_PORT,
         agent = health && (health->ready == MF_READINESS_AGENT || health->ping_ms);
    if (!port && !agent)
        return 0;
    if (!spec->dir || !self->local || self->unseen) {
        mf_str_format(error, 512,
                      "whether a guest is well can be asked on the worker's own machine only: give the group "
                      "ready: none, and no ping");
        return -ENOTSUP;
    }
    int r = port ? mf_libvirt_socket(self, spec->dir, MF_READY_SOCKET, sockets->ready, error) : 0;
    if (r == 0 && agent)
        r = mf_libvirt_socket(self, spec->dir, MF_AGENT_SOCKET, sockets->agent, error);
    host->ready_socket = sockets->ready;
    host->agent_socket = sockets->agent;
    return r;
}

int mf_libvirt_host(struct mf_driver *self, const struct mf_driver_spec *spec,
                    struct mf_guest_sockets *sockets, struct mf_domain_host *ret_host, char error[512])
{
    const struct mf_rec_offering *offering = spec->offering;
    struct mf_domain_host host = {.type = self->type, .cgroups = self->cgroups, .cell = -1};
    *sockets = (struct mf_guest_sockets){0};
    host.network = mf_driver_network_find(&self->config, spec->network, error);
    int r = host.network ? 0 : -ENODEV;
    if (r == 0 && !self->test)
        r = find_sockets(self, spec, sockets, &host, error);
    if (r == 0 && offering && offering->hugepages)
        r = check_hugepages(self, spec, error);
    if (r == 0 && offering && offering->pinned)
        r = take_cpus(self, spec, &host, error);
    if (r < 0)
        return r;
    if (!self->cgroups && offering && (offering->cpu_quota_percent || offering->cpu_shares))
        mf_libvirt_note(self, &self->said_cgroups,
                        "this hypervisor has no cgroups: guests share its CPUs evenly, and no quota holds");
    if (host.network->kind == MF_NETWORK_USER && offering && offering->net_bytes_s)
        mf_libvirt_note(self, &self->said_network,
                        "a user-mode network cannot be limited: net_bytes_s holds on the other kinds");
    *ret_host = host;
    return 0;
}
