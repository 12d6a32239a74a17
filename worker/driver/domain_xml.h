/* domain_xml.h - a guest as libvirt's XML, and back: its identity from the domain's own metadata. Pure; every
 * value is escaped, and what XML 1.0 cannot hold (control characters, broken UTF-8) is refused. */
#ifndef MF_DOMAIN_XML_H
#define MF_DOMAIN_XML_H

#include "driver.h"

#define MF_DOMAIN_NAMESPACE "https://mayfly.dev/domain/1"

enum { MF_DOMAIN_NAME = 96, MF_DOMAIN_PATH = 1024 };

/* The domain's name, from the guest's name and id: unique, and safe as part of a file's name. Returns
 * ret_name. */
const char *mf_domain_name(const struct mf_driver_spec *spec, char ret_name[MF_DOMAIN_NAME]);

/* Append the XML of a transient domain. type: "kvm", "qemu" or "test" (which has no devices). 0, or -EINVAL
 * with a sentence. */
int mf_domain_xml(const struct mf_driver_spec *spec, const char *type, struct mf_buf *buf, char error[512]);

struct mf_domain_identity { /* what our metadata element says; empty strings where it says nothing */
    char name[200];
    uint64_t epoch;
    bool at_most;
    char disk[MF_DOMAIN_PATH], console[MF_DOMAIN_PATH];
};
/* From the element as libvirt hands it back; false if it is not ours. */
bool mf_domain_identity_parse(const char *element, struct mf_domain_identity *ret_identity);

#endif
