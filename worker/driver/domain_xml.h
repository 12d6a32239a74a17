/* domain_xml.h - a guest as libvirt's XML, and back: its identity from the domain's own metadata. Pure; every
 * value is escaped, and what XML 1.0 cannot hold (control characters, broken UTF-8) is refused. */
#ifndef MF_DOMAIN_XML_H
#define MF_DOMAIN_XML_H

#include "topology.h"

#define MF_DOMAIN_NAMESPACE "https://mayfly.dev/domain/1"

enum { MF_DOMAIN_NAME = 96, MF_DOMAIN_PATH = 1024, MF_DOMAIN_CPUS = 256 };

/* The domain's name, from the guest's name and id: unique, and safe as part of a file's name. Returns
 * ret_name. */
const char *mf_domain_name(const struct mf_driver_spec *spec, char ret_name[MF_DOMAIN_NAME]);

struct mf_domain_host {                      /* what the driver knows and the spec does not */
    const char *type;                        /* "kvm", "qemu" or "test" (which has no devices) */
    const struct mf_driver_network *network; /* NULL: user */
    bool cgroups;                            /* CPU time can be shared out */
    unsigned cpus[MF_DOMAIN_CPUS], n_cpus;   /* a pinned guest's own */
    bool binds;                              /* where memory lies may be said */
    uint8_t cells;                           /* of the topology, that it sits in; 0: wherever */
    const struct mf_topology *topology;
    uint64_t hugepage_kib;                   /* of which its memory is, where it is to be huge pages */
    const char *ready_socket, *agent_socket; /* absolute paths, or NULL */
};
/* Append the XML of a transient domain. 0, or -EINVAL with a sentence. */
int mf_domain_xml(const struct mf_driver_spec *spec, const struct mf_domain_host *host, struct mf_buf *buf,
                  char error[512]);
/* Append the XML of a guest with nothing but a disk to boot from, to see whether guests of this type do. */
void mf_probe_xml(const char *name, const char *type, const char *disk, struct mf_buf *buf);
/* Append the attributes of our metadata element, each with a blank before it. */
void mf_domain_attributes(const struct mf_driver_spec *spec, const struct mf_domain_host *host,
                          struct mf_buf *buf);

struct mf_domain_identity {  /* what our metadata element says; empty strings where it says nothing */
    struct mf_uuid instance; /* whose domain it is, where that is not the domain's own id */
    char name[200];
    uint64_t epoch;
    bool at_most;
    char disk[MF_DOMAIN_PATH], console[MF_DOMAIN_PATH], dir[MF_DOMAIN_PATH];
    enum mf_readiness ready; /* unset: none */
    uint64_t ping_ms, ping_fall;
    bool reachable; /* its network is not its hypervisor's own: it may have an address */
    char cpus[MF_DOMAIN_CPUS * 5];
};
/* From the element as libvirt hands it back; false if it is not ours. */
bool mf_domain_identity_parse(const char *element, struct mf_domain_identity *ret_identity);

#endif
