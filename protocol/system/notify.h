/* notify.h - what systemd, or whoever listens at NOTIFY_SOCKET, is told (sd_notify(3)): ready, alive, ending.
 * A datagram each, without libsystemd: the keeper links nothing. Allocates nothing and never blocks. */
#ifndef MF_NOTIFY_H
#define MF_NOTIFY_H

#include "ids.h"

/* Take NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of the environment, so that no child speaks for us.
 * Before any thread. Without them everything below does nothing. */
void mf_notify_open(void);
void mf_notify_ready(const char *status); /* READY=1, once */
void mf_notify_stopping(void);
/* Every turn: WATCHDOG=1 if half of the watchdog's time has passed since the last, and READY=1 once more if
 * it found no room. When the next is due, INT64_MAX: never. */
mf_ms mf_notify_beat(mf_ms now);

#endif
