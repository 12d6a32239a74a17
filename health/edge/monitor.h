/* monitor.h - the world around the ear: one loop over the broker's link, the pulses and the signals. */
#ifndef MF_MONITOR_H
#define MF_MONITOR_H

#include "bus.h"
#include "health.h"
#include "pulse_socket.h"

struct mf_monitor;

/* Takes over `pulses`; `signals` is of mf_signals_open. */
int mf_monitor_open(const struct mf_health_config *config, const char *broker, const struct mf_key *key,
                    struct mf_pulse_socket *pulses, int signals, struct mf_monitor **ret_monitor,
                    char error[512]);
/* Its pages (protocol/http/http.h); before it runs. */
int mf_monitor_serve(struct mf_monitor *self, const char *http, const char *http_file, char error[512]);
/* Until SIGTERM or SIGINT (0) or a fault that cannot be mended (negative errno). */
int mf_monitor_run(struct mf_monitor *self);
void mf_monitor_close(struct mf_monitor **self);
/* The core's state to stderr, for a panic and for SIGHUP. */
void mf_monitor_dump(const struct mf_monitor *self);

#endif
