/* capacity.h - what of a host may be scheduled: what it has, less what it keeps for itself, times the ratio;
 * in all and in each NUMA cell. Pure. */
#ifndef MF_CAPACITY_H
#define MF_CAPACITY_H

#include "topology.h"

struct mf_host_size { /* as its hypervisor says */
    uint64_t cpus, memory_mib, disk_mib;
};

/* The CPUs of each cell that the host keeps for itself, as evenly as may be. */
void mf_capacity_reserve(const struct mf_topology *topology, uint64_t cpus,
                         uint64_t ret_cpus[MF_DRIVER_CELLS_MAX]);
/* 0, or -EINVAL with a sentence: what is kept eats all. */
int mf_capacity_make(const struct mf_driver_config *config, const struct mf_topology *topology,
                     const struct mf_host_size *size, struct mf_driver_capacity *ret_capacity,
                     char error[512]);
/* A capacity of which nothing lies anywhere, in so many cells alike; fewer than two are none. */
void mf_capacity_split(struct mf_driver_capacity *self, uint32_t n_cells);

#endif
