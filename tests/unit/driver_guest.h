/* driver_guest.h - the tiny guest on real QEMU, for tests of the libvirt driver that need more of one than
 * the conformance suite: one driver, and guests with a folder each. */
#ifndef MF_DRIVER_GUEST_H
#define MF_DRIVER_GUEST_H

#include "driver_world.h"

extern const struct mf_driver_ops *const ops; /* libvirt's */
extern struct mf_driver *driver;
extern char error[512];

struct guest {
    struct mf_uuid id;
    char text[MF_UUID_TEXT], kernel[512], initrd[512], dir[512], disk[600], console[600], seed[600];
    struct mf_rec_offering offering;
    struct mf_rec_guest_health health;
    struct mf_driver_spec spec;
};

/* The folder of the tiny guest; false: no real guest can run here. */
bool guest_image(const char *folder);
int driver_open(const struct mf_driver_config *config); /* cmocka's answer */
int driver_close(void **state);

void guest_say(struct guest *self, struct mf_uuid id, const char *dir); /* its files are below it */
int64_t create(const struct guest *self);                               /* it must */

#endif
