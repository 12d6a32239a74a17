/* world.h - a world in virtual time: one clock, one heap of events, one seed, one trace. Everything that
 * happens in a simulated world is an event of its heap; nothing else moves. The same seed makes the same
 * trace, byte for byte. */
#ifndef MF_SIM_WORLD_H
#define MF_SIM_WORLD_H

#include "heap.h"
#include "ids.h"
#include "mask.h"
#include "message.h"
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MF_SIM_OWNER(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* Something that will happen. Part of its owner's struct; a one-shot that was allocated has `drop` to free it
 * when the world ends. */
struct mf_sim_event {
    struct mf_timer timer;
    void (*fire)(struct mf_sim_event *self);
    void (*drop)(struct mf_sim_event *self);
};

enum mf_sim_profile { MF_SIM_SMALL, MF_SIM_MEDIUM, MF_SIM_LARGE };

struct mf_sim_script;
struct mf_sim_options {
    uint64_t seed;
    enum mf_sim_profile profile;
    uint32_t nodes; /* 0: the seed draws how many */
    uint32_t clients;
    mf_ms span_ms;                      /* of the phase with faults; 0: the seed draws it */
    bool trace;                         /* print every line */
    struct mf_sim_mask without;         /* faults that are left out */
    const struct mf_sim_script *script; /* a scenario instead of drawn faults */
};

enum { MF_SIM_TRACE_LINES = 64, MF_SIM_TRACE_LINE = 400 };

struct mf_sim_world {
    struct mf_sim_options options;
    mf_ms now;       /* the world's own clock, from 1 */
    mf_ms wall_base; /* wall clock = wall_base + now */
    struct mf_random random;
    struct mf_heap heap;
    uint64_t fired;
    mf_ms healed;  /* when faults were over; 0 while they are not */
    mf_ms look_ms; /* how often what costs as much as the world is large is looked at; 0: after every step */

    uint64_t trace_lines, trace_hash;
    char trace_ring[MF_SIM_TRACE_LINES][MF_SIM_TRACE_LINE];

    bool failed; /* the first broken invariant */
    char invariant[48], failure[1024];

    struct mf_sim_weather *weather;
    struct mf_sim_faults *faults;
    struct mf_sim_net *net;
    struct mf_sim_model *model;
    struct mf_sim_broker *broker;
    uint32_t n_monitors, n_nodes, n_clients;
    struct mf_sim_health **monitors;
    struct mf_sim_node **nodes;
    struct mf_sim_client **clients;
};

static inline bool mf_sim_healing(const struct mf_sim_world *self)
{
    return self->healed > 0;
}

/* Make a world with all its parts, run it through faults, healing and the last checks. True if every
 * invariant held. */
struct mf_sim_world *mf_sim_world_new(const struct mf_sim_options *options);
void mf_sim_world_destroy(struct mf_sim_world **self);
bool mf_sim_world_run(struct mf_sim_world *self);
mf_ms mf_sim_wall(const struct mf_sim_world *self);

/* For a scenario's runner: let time pass. False if an invariant broke. */
bool mf_sim_world_pass(struct mf_sim_world *self, mf_ms until);
void mf_sim_world_heal(struct mf_sim_world *self); /* faults are over */
/* I8 and what is checked when all is quiet. */
bool mf_sim_world_settle(struct mf_sim_world *self);

/* True once in look_ms: for checks that cost as much as the world is large. */
bool mf_sim_look(const struct mf_sim_world *self, mf_ms *last);

/* Events. `delay_ms` from now; setting one again moves it. */
void mf_sim_after(struct mf_sim_world *self, struct mf_sim_event *event, mf_ms delay_ms);
void mf_sim_cancel(struct mf_sim_world *self, struct mf_sim_event *event);
bool mf_sim_is_set(const struct mf_sim_event *event);

/* Chance: below n (0 when n is 0), between two bounds, true `percent` of the time. */
uint64_t mf_sim_below(struct mf_sim_world *self, uint64_t n);
mf_ms mf_sim_between(struct mf_sim_world *self, mf_ms low, mf_ms high);
bool mf_sim_chance(struct mf_sim_world *self, unsigned percent);

/* One line of the trace; the last ones are kept for a failure. Large worlds keep none unless asked: telling
 * would take longer than living. */
static inline bool mf_sim_traces(const struct mf_sim_world *self)
{
    return self->options.trace || self->options.profile == MF_SIM_SMALL;
}
void mf_sim_trace(struct mf_sim_world *self, const char *who, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void mf_sim_trace_message(struct mf_sim_world *self, const char *from, const char *to,
                          const struct mf_message *message);
void mf_sim_trace_tail(const struct mf_sim_world *self);

/* The invariant is broken: remember the first one, the world stops. */
void mf_sim_fail(struct mf_sim_world *self, const char *invariant, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

void *mf_sim_alloc(size_t size);                                         /* zeroed */
void mf_sim_grow(void **array, size_t n, size_t *cap, size_t item_size); /* room for one more */

#endif
