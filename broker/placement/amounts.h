/* amounts.h - what nodes have and instances take, in the dimensions that placement counts. */
#ifndef MF_AMOUNTS_H
#define MF_AMOUNTS_H

#include <stdbool.h>
#include <stdint.h>

enum mf_dimension {
    MF_VCPUS,         /* with the node's ratio applied */
    MF_MEMORY_MIB,    /* of ordinary pages */
    MF_HUGEPAGES_MIB, /* of huge pages */
    MF_DISK_MIB,
    MF_DISK_IOPS,
    MF_DISK_KIB_S,
    MF_NET_KIB_S,
    MF_DIMENSIONS
};
/* The last three may be unlimited at a node: a capacity of 0 is no bound there, and none of the others. */
enum { MF_FIRST_RATE = MF_DISK_IOPS };

struct mf_amounts {
    uint32_t of[MF_DIMENSIONS];
};

/* What lies in a NUMA cell: the first three dimensions. */
enum { MF_CELL_DIMENSIONS = MF_HUGEPAGES_MIB + 1, MF_CELLS_MAX = 8 };
struct mf_cell {
    uint32_t of[MF_CELL_DIMENSIONS];
};

#endif
