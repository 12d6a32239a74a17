/* raw.h - the floor under a birth: overlay, seed and virDomainCreateXML with the worker's own XML, on an
 * embedded libvirt, with nothing of Mayfly around it. */
#ifndef MF_BENCH_RAW_H
#define MF_BENCH_RAW_H

#include "ids.h"
#include <libvirt/libvirt.h>

struct raw {
    virConnectPtr connection;
    const char *dir, *kernel, *initrd;
    struct mf_random random;
};
struct raw_guest {
    struct mf_uuid id;
    virDomainPtr domain;
    char disk[600], seed[600], console[600];
};

/* Opens DIR/libvirt; the first create on it takes seconds more. */
void raw_open(struct raw *self, const char *dir, const char *kernel, const char *initrd);
/* Names what the guest will be; raw_create may then be called from several threads at once. */
void raw_name(struct raw *self, struct raw_guest *ret_guest);
void raw_create(struct raw *self, struct raw_guest *guest);
void raw_destroy(struct raw_guest *guest);

/* Only a process in which libvirt's QEMU driver is not at work may reap its orphans promptly: runs `measure`
 * in a child, reaps, and returns its exit code. */
int raw_under_reaper(int (*measure)(int argc, char **argv), int argc, char **argv);

#endif
