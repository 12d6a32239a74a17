/* rights.h - what this program may do besides being root: a container gives capabilities one by one. */
#ifndef MF_RIGHTS_H
#define MF_RIGHTS_H

#include <stdbool.h>

bool mf_rights_kill_others(void); /* processes of other users */
/* What libvirt wants of a root that starts QEMU itself; anybody else needs nothing. 0, or -EPERM and which is
 * missing. */
int mf_rights_start_qemu(char error[512]);

#endif
