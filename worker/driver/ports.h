/* ports.h - hears guests say that they are well: a line "ready" on the virtio-serial port org.mayfly.ready,
 * which is a UNIX socket here. One thread reads all of them.
 *
 * Nothing that a guest says is lost while no agent listens: its write waits until somebody connects. That it
 * was heard is kept as an empty file (the mark), so that the next agent knows. Once heard, the port is
 * closed: a guest may go on saying it, and waits. */
#ifndef MF_PORTS_H
#define MF_PORTS_H

#include "ids.h"
#include <stdbool.h>

enum { MF_PORT_LINE = 64 }; /* longer lines are nothing of ours */

struct mf_ports;

/* `said` is called from the thread, once for each guest. NULL if no thread or descriptor can be had. */
struct mf_ports *mf_ports_new(void (*said)(void *arg, struct mf_uuid id), void *arg);
void mf_ports_destroy(struct mf_ports **self);
/* Listen; again is fine. The socket need not be there yet. */
void mf_ports_add(struct mf_ports *self, struct mf_uuid id, const char *socket, const char *mark);
void mf_ports_remove(struct mf_ports *self, struct mf_uuid id); /* fine if unknown */
/* Make the mark; 0 or negative errno. */
int mf_ports_mark(const char *mark);

#endif
