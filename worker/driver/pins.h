/* pins.h - which CPUs of the host belong to which pinned guest. Whoever calls holds the lock. */
#ifndef MF_PINS_H
#define MF_PINS_H

#include "domain_xml.h"

struct mf_pin { /* a CPU of the host */
    unsigned cpu, cell, core;
    bool taken;
    struct mf_uuid owner;
};
struct mf_pins {
    struct mf_pin *all; /* by cell and core */
    size_t n;
};

/* The host's CPUs but for those that it keeps for itself. */
void mf_pins_open(struct mf_pins *self, const struct mf_topology *topology, uint64_t reserved);
void mf_pins_free(struct mf_pins *self);
/* So many CPUs nobody has, whole cores first, into host: evenly of the cells that it says; where it says
 * none, of one cell where they fit (the fullest that does, which it says then), else of any. -ENOSPC with a
 * sentence. */
int mf_pins_take(struct mf_pins *self, struct mf_uuid owner, uint64_t n, struct mf_domain_host *host,
                 char error[512]);
void mf_pins_claim(struct mf_pins *self, struct mf_uuid owner, const char *cpus); /* "2,3": it has them */
void mf_pins_give_back(struct mf_pins *self, struct mf_uuid owner);

#endif
