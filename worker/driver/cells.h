/* cells.h - a guest in NUMA cells of its host, as libvirt's XML. In one cell it has that cell's CPUs and
 * memory; in several it is split evenly, and is told so: it has as many cells of its own, each on one of the
 * host's. Pure. */
#ifndef MF_CELLS_H
#define MF_CELLS_H

#include "domain_xml.h"

unsigned mf_cells_count(uint8_t mask);
/* The part of n that the part-th of `count` cells has: even, and what is over goes to the first ones. */
uint64_t mf_cells_share(uint64_t n, unsigned count, unsigned part);

/* A blank and the cpuset= of <vcpu>: its threads run nowhere else. */
void mf_cells_affinity(const struct mf_domain_host *host, struct mf_buf *buf);
/* <vcpupin>s inside <cputune>, of a guest that has no CPUs of its own; false: there is nothing to say. */
bool mf_cells_pinned(const struct mf_driver_spec *spec, const struct mf_domain_host *host);
void mf_cells_pins(const struct mf_driver_spec *spec, const struct mf_domain_host *host, struct mf_buf *buf);
/* <numatune> of a domain. */
void mf_cells_memory(const struct mf_driver_spec *spec, const struct mf_domain_host *host,
                     struct mf_buf *buf);
/* <numa> inside <cpu>. */
void mf_cells_guest(const struct mf_driver_spec *spec, const struct mf_domain_host *host, struct mf_buf *buf);

#endif
