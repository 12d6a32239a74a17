/* containment.h - what keeps a guest from harming its neighbours, as libvirt's XML: caps of its disks, of its
 * network, its share of the CPUs, or CPUs of its own. Pure. */
#ifndef MF_CONTAINMENT_H
#define MF_CONTAINMENT_H

#include "domain_xml.h"

/* Without a word of the offering's: enough to boot and to work, and little enough that eight such guests
 * leave a plain disk usable. */
enum { MF_CONTAINMENT_BYTES_S = 64 * 1024 * 1024, MF_CONTAINMENT_IOPS = 1000 };

/* An <iotune> inside <disk>. All disks of a guest share one bucket. NULL: an offering that says nothing. */
void mf_containment_disk(const struct mf_rec_offering *offering, struct mf_buf *buf);
/* A <bandwidth> inside <interface>. */
void mf_containment_network(const struct mf_rec_offering *offering, struct mf_buf *buf);
/* <cputune>, <numatune> and <memoryBacking> of a domain. */
void mf_containment_cpu(const struct mf_driver_spec *spec, const struct mf_domain_host *host,
                        struct mf_buf *buf);

#endif
