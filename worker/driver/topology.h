/* topology.h - the host's CPUs and NUMA cells, as libvirt's capabilities tell them. Pure.
 *
 * A cell here is what a guest can be put into: one with CPUs and with memory. What has only one of them
 * (memory of an expander, a socket without DIMMs) is joined to the cell before it, and where there are more
 * than can be told, neighbours are joined until there are not: so the cells' sum is the host, whatever it is
 * made of. */
#ifndef MF_TOPOLOGY_H
#define MF_TOPOLOGY_H

#include "driver.h"

enum { MF_HOST_NODES = 256 };

struct mf_host_cpu {
    unsigned id, cell; /* cell: index of `cells` */
    unsigned core;     /* the least id of those that share its core */
};
struct mf_host_cell {
    char
        nodes[MF_HOST_NODES]; /* the host's own numbers of it, as libvirt's node sets have them: "0", "2,3" */
    bool one_node;
    uint64_t cpus, memory_mib; /* memory in ordinary pages */
    uint64_t hugepages_mib;    /* in pages of the topology's size */
};
struct mf_topology {
    struct mf_host_cpu *cpus; /* by cell, core and id */
    size_t n_cpus;
    struct mf_host_cell cells[MF_DRIVER_CELLS_MAX];
    uint32_t n_cells; /* 0: the host tells none, or none that can be used */
    uint64_t
        hugepage_kib; /* the page that guests get: the smallest of which any are set aside; 0: none are */
    uint64_t set_aside_mib; /* in huge pages of any size */
};

/* Of the CPUs those that `may` says; NULL: all. 0, or a negative errno with a sentence: then the host is one
 * without cells. */
int mf_topology_read(struct mf_topology *self, const char *capabilities,
                     bool (*may)(const void *arg, unsigned cpu), const void *arg, char error[512]);
void mf_topology_free(struct mf_topology *self);
/* Does the host have every cell of the mask? 0, or -EINVAL with a sentence. */
int mf_topology_check(uint32_t n_cells, uint8_t mask, char error[512]);

#endif
