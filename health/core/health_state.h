/* health_state.h - what a monitor's core holds. Private to this folder. */
#ifndef MF_HEALTH_STATE_H
#define MF_HEALTH_STATE_H

#include "arena.h"
#include "checks.h"
#include "counts.h"
#include "doubt.h"
#include "ear.h"
#include "health.h"
#include "map.h"
#include "probes.h"

enum { MF_HEALTH_MAGIC = 0x6d666865 };

struct mf_health {
    unsigned magic;
    struct mf_health_config config;
    mf_ms now;      /* of the last feed */
    mf_ms promised; /* the deadline that was given out after it */
    bool started, linked, welcomed;
    mf_ms hello_ms, alive_ms; /* when each is due */
    bool say_hello, say_alive;
    struct mf_ear_limits limits;
    uint64_t term;
    struct mf_map *ears; /* by name */
    struct mf_heap timers;
    struct mf_doubt doubt;
    struct mf_probes probes;
    struct mf_checks checks;
    struct mf_ear *first_to_say, *last_to_say;
    size_t n_known;
    struct mf_health_counts counts;
    mf_ms pardoned_ms;     /* lateness in all, for the operator */
    struct mf_arena arena; /* of what poll handed out since the last feed */
};

/* When this ear's timer must fire: to judge, to speak or to ask. */
mf_ms mf_health_due(const struct mf_health *self, const struct mf_ear *ear);

#endif
