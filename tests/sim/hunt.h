/* hunt.h - many seeds, several processes. A core's panic costs one seed and not the hunt. */
#ifndef MF_SIM_HUNT_H
#define MF_SIM_HUNT_H

#include "world.h"
#include <stdatomic.h>

/* What came of one world; in memory that the parent of a process shares with it. */
struct mf_sim_verdict {
    bool over, clean;
    char invariant[48];
    uint32_t faults; /* numbers given, traits included */
    uint64_t hash, events;
    mf_ms virtual_ms;
};

struct mf_sim_hunt {
    struct mf_sim_options options;
    uint64_t start, count;
    bool one, twice, fresh, rows;
    uint32_t jobs;
    long limit_s;  /* stop in time, 0 for never; at least one seed is run */
    long shrink_s; /* for a failing seed; 0: not at all */
};

/* Run one world in this process. `tells`: on failure, print what broke and the story of its last steps. */
void mf_sim_run(const struct mf_sim_options *options, bool tells, struct mf_sim_verdict *ret_verdict);
/* The same in a child, so that it may die; its output is thrown away if it is not to tell. */
void mf_sim_run_apart(const struct mf_sim_options *options, bool tells, struct mf_sim_verdict *shared);

/* Leave out as many faults as possible so that the same invariant still breaks. */
void mf_sim_shrink(struct mf_sim_options *options, const struct mf_sim_verdict *first, long seconds);

void mf_sim_say_command(const struct mf_sim_options *options);
int mf_sim_hunt(const struct mf_sim_hunt *hunt); /* exit status */

#endif
