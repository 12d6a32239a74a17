/* monitor_private.h - the monitor's own struct, for its files: monitor.c (turns), metrics.c (what it shows).
 */
#ifndef MF_MONITOR_PRIVATE_H
#define MF_MONITOR_PRIVATE_H

#include "counts.h"
#include "exposition.h"
#include "http.h"
#include "looker.h"
#include "monitor.h"

struct mf_monitor {
    unsigned magic;
    struct mf_health *core;
    struct mf_pulse_socket *pulses;
    struct mf_looker *looker;
    void *context, *socket, *pair;
    int signals;
    struct mf_bus_in in;
    struct mf_arena arena;
    char broker[256];
    uint32_t dropped;
    uint64_t unsent;
    mf_ms unsent_ms; /* when it may be said again that probes cannot be sent */
    mf_ms retry_ms;  /* when to try again after a refusal; 0: none */
    mf_ms warn_ms;   /* when to say that nobody answers, unless somebody does */
    struct mf_http *http;
    struct mf_histogram turns;
    bool ready, stop, refused, linked;
};

/* metrics.c: for struct mf_http_pages */
void mf_monitor_metrics(void *monitor, struct mf_buf *buf);
bool mf_monitor_ready(void *monitor, char why_not[512]);

#endif
