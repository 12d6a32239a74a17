/* driver_libvirt_host.c - what this host has for guests, and what one gets of it besides its own spec: its
 * network, NUMA cells, CPUs of its own, huge pages, and the sockets that its health is asked by. What the
 * host cannot give is refused here, in one sentence, before libvirt is asked. */
#include "driver_libvirt.h"
#include "capacity.h"
#include "cells.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
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

static int ask_size(struct mf_driver *self, virConnectPtr conn, struct mf_host_size *ret_size,
                    char error[512])
{
    virNodeInfo info;
    struct statvfs fs;
    if (virNodeGetInfo(conn, &info) < 0)
        return mf_libvirt_error(error, "cannot ask for the node's size");
    *ret_size = (struct mf_host_size){.cpus = info.cpus, .memory_mib = info.memory / 1024};
    if (statvfs(self->root, &fs) == 0)
        ret_size->disk_mib = (uint64_t)fs.f_bavail * fs.f_frsize / (1024 * 1024) * 95 / 100;
    return 0;
}

/* ---- a container's cpuset holds for guests that run from this process */

enum { CPUS_MAX = 8192 };

static bool may_run_on(const void *allowed, unsigned cpu)
{
    return cpu < CPUS_MAX && CPU_ISSET_S(cpu, CPU_ALLOC_SIZE(CPUS_MAX), (const cpu_set_t *)allowed);
}

/* libvirt gives its guests all CPUs, whatever this process keeps to: what the kernel leaves of all is asked.
 */
static bool find_allowed(cpu_set_t *allowed)
{
    size_t size = CPU_ALLOC_SIZE(CPUS_MAX);
    cpu_set_t *own = CPU_ALLOC(CPUS_MAX);
    bool known = own && sched_getaffinity(0, size, own) == 0;
    memset(allowed, 0xff, size);
    if (known && sched_setaffinity(0, size, allowed) == 0) {
        known = sched_getaffinity(0, size, allowed) == 0;
        (void)sched_setaffinity(0, size, own);
    } else {
        known = false;
    }
    CPU_FREE(own);
    return known;
}

static void read_topology(struct mf_driver *self, virConnectPtr conn)
{
    char said[512];
    char *capabilities = virConnectGetCapabilities(conn);
    cpu_set_t *allowed = CPU_ALLOC(CPUS_MAX);
    bool known = self->embed && allowed && find_allowed(allowed);
    if (capabilities &&
        mf_topology_read(&self->topology, capabilities, known ? may_run_on : NULL, allowed, said) < 0)
        mf_libvirt_note(self, &self->said_cells, said);
    CPU_FREE(allowed);
    free(capabilities);
}

/* A container that may not say where memory lies (seccomp without CAP_SYS_NICE) has guests that must not try:
 * QEMU would end. Theirs lies where their CPUs first touch it. */
static bool may_bind_memory(void)
{
    enum { DEFAULT_POLICY = 0 };
    return syscall(SYS_set_mempolicy, DEFAULT_POLICY, NULL, 0UL) == 0;
}

int mf_libvirt_look_at_host(struct mf_driver *self, virConnectPtr conn, char error[512])
{
    struct mf_host_size size;
    int r = ask_size(self, conn, &size, error);
    if (r < 0)
        return r;
    read_topology(self, conn);
    if (self->embed && self->topology.n_cells)
        size.cpus = self->topology.n_cpus;
    self->cgroups = has_cgroups(self);
    self->binds = !self->embed || may_bind_memory();
    mf_pins_open(&self->pins, &self->topology, self->config.reserve_cpus);
    return mf_capacity_make(&self->config, &self->topology, &size, &self->capacity, error);
}

/* ---- for each guest */

/* In the cells of the host that it sits in, or in all. -1: this hypervisor does not say. */
static long long free_pages(struct mf_driver *self, virConnectPtr conn, uint8_t cells)
{
    unsigned size = (unsigned)self->topology.hugepage_kib;
    long long pages = 0;
    for (uint32_t i = 0; i < self->topology.n_cells; i++) {
        const char *node = self->topology.cells[i].nodes;
        for (char *end; *node && (!cells || cells >> i & 1); node = *end ? end + 1 : end) {
            unsigned long long count = 0;
            if (virNodeGetFreePages(conn, 1, &size, (int)strtol(node, &end, 10), 1, &count, 0) < 0)
                return -1;
            pages += (long long)count;
        }
    }
    return pages;
}

static int check_hugepages(struct mf_driver *self, virConnectPtr conn, const struct mf_driver_spec *spec,
                           char error[512])
{
    unsigned long long kib = self->topology.hugepage_kib, wanted = spec->memory_mib;
    long long pages = kib ? free_pages(self, conn, spec->cells) : 0;
    if (kib > 1024 && wanted * 1024 % kib) {
        mf_str_format(
            error, 512,
            "its memory is to be huge pages, and %llu MiB are no whole number of this host's (%llu KiB each)",
            wanted, kib);
        return -EINVAL;
    }
    if (pages < 0 || (unsigned long long)pages * kib / 1024 >= wanted)
        return 0;
    mf_str_format(error, 512,
                  "its memory is to be %llu MiB of huge pages, and this host has %llu MiB of them free%s; "
                  "vm.nr_hugepages says how many there are",
                  wanted, (unsigned long long)pages * kib / 1024, spec->cells ? " in its NUMA cells" : "");
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

/* What two guests must have alike to be of one kind. */
int mf_libvirt_host_cells(const struct mf_driver *self, const struct mf_driver_spec *spec,
                          struct mf_domain_host *ret_host, char error[512])
{
    *ret_host = (struct mf_domain_host){.type = self->type,
                                        .cgroups = self->cgroups,
                                        .binds = self->binds,
                                        .cells = spec->cells,
                                        .topology = &self->topology,
                                        .hugepage_kib = self->topology.hugepage_kib};
    return mf_topology_check(self->topology.n_cells, spec->cells, error);
}

int mf_libvirt_host(struct mf_driver *self, virConnectPtr conn, const struct mf_driver_spec *spec,
                    struct mf_guest_sockets *sockets, struct mf_domain_host *ret_host, char error[512])
{
    const struct mf_rec_offering *offering = spec->offering;
    struct mf_domain_host host;
    int r = mf_libvirt_host_cells(self, spec, &host, error);
    *sockets = (struct mf_guest_sockets){0};
    if (r == 0 && !(host.network = mf_driver_network_find(&self->config, spec->network, error)))
        r = -ENODEV;
    if (r == 0 && !self->test)
        r = find_sockets(self, spec, sockets, &host, error);
    if (r == 0 && offering && offering->hugepages)
        r = check_hugepages(self, conn, spec, error);
    if (r == 0 && offering && offering->pinned)
        r = take_cpus(self, spec, &host, error);
    if (r < 0)
        return r;
    if (host.cells && !self->binds)
        mf_libvirt_note(
            self, &self->said_binds,
            "this worker may not say in which NUMA cell memory lies (container: CAP_SYS_NICE lets it): "
            "guests have their cell's CPUs, and memory wherever it is first touched");
    if (!self->cgroups && offering && (offering->cpu_quota_percent || offering->cpu_shares))
        mf_libvirt_note(self, &self->said_cgroups,
                        "this hypervisor has no cgroups: guests share its CPUs evenly, and no quota holds");
    if (host.network->kind == MF_NETWORK_USER && offering && offering->net_bytes_s)
        mf_libvirt_note(self, &self->said_network,
                        "a user-mode network cannot be limited: net_bytes_s holds on the other kinds");
    *ret_host = host;
    return 0;
}
