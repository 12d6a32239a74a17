/* halfborn.h - guests that were being born when their agent was killed. */
#ifndef MF_HALFBORN_H
#define MF_HALFBORN_H

#include <stddef.h>

/* Libvirt writes a status file of a guest (ROOT/run/qemu/NAME.xml) before it knows the process's pid. Left by
 * an agent that died in between, such a file makes a domain that it can neither reach nor ever end: each
 * destroy waits for a job that nobody finishes. So, before libvirt opens the root: the process, if there is
 * one, is killed and the file removed. Only files that say pid 0 and are named with a guest's id, as ours
 * are, count; one whose process does not die is left. Returns how many were removed. */
size_t mf_halfborn_clear(const char *root);

#endif
