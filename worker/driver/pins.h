/* pins.h - which CPUs of the host belong to which pinned guest. Whoever calls holds the lock. */
#ifndef MF_PINS_H
#define MF_PINS_H

#include "domain_xml.h"

struct mf_pin { /* a CPU of the host */
    unsigned cpu;
    int cell;
    bool taken;
    struct mf_uuid owner;
};
struct mf_pins {
    struct mf_pin *all;
    size_t n;
};

/* The host's CPUs, from libvirt's capabilities. */
void mf_pins_read(struct mf_pins *self, const char *capabilities);
void mf_pins_free(struct mf_pins *self);
/* So many CPUs nobody has, of one cell where they fit (the fullest that does), into host. -ENOSPC with a
 * sentence. */
int mf_pins_take(struct mf_pins *self, struct mf_uuid owner, uint64_t n, struct mf_domain_host *host,
                 char error[512]);
void mf_pins_claim(struct mf_pins *self, struct mf_uuid owner, const char *cpus); /* "2,3": it has them */
void mf_pins_give_back(struct mf_pins *self, struct mf_uuid owner);

#endif
