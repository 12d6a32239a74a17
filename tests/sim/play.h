/* play.h - a scenario being played. Private to play.c and expect.c. */
#ifndef MF_SIM_PLAY_H
#define MF_SIM_PLAY_H

#include "map.h"
#include "script.h"
#include "world.h"

enum {
    SUBSCRIBERS = 4,
    UP_MS = 30000,    /* until every node is ready */
    ANSWER_MS = 3000, /* a request may stay unanswered, then the story goes on */
    LOOK_MS = 10
};

struct play {
    struct mf_sim_world *world;
    const struct mf_sim_script *script;
    const struct mf_sim_statement *at;
    uint64_t mark;              /* newest row at the mark */
    struct mf_map *generations; /* at the mark: "group/slot" to generation */
    uint32_t n_subscribers, skips;
    char why[512];
};

bool mf_sim_play_unmet(struct play *self, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool mf_sim_play_unreadable(struct play *self);
const char *mf_sim_play_word(const struct play *self, unsigned i); /* "" if there is none */
bool mf_sim_play_is(const struct play *self, unsigned i, const char *text);

/* Time passes until it holds, or the limit is over, or an invariant is broken. */
typedef bool mf_sim_condition(struct play *self);
bool mf_sim_play_wait(struct play *self, mf_sim_condition *holds, mf_ms limit);

bool mf_sim_play_mark(struct play *self);
bool mf_sim_play_expect(struct play *self);

#endif
