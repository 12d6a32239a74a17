/* story.h - `mayfly why`: the chain of causes of an event, from its root, with what else happened to the
 * subject meanwhile. Pure: the rows were fetched before. */
#ifndef MF_CLI_STORY_H
#define MF_CLI_STORY_H

#include "target.h"

struct mf_story_row { /* a row of the log that outlives its message, and its place in the story */
    struct mf_rec_event_row row;
    bool chain; /* a link of the chain of causes; else it happened meanwhile */
};
struct mf_story {
    struct mf_story_row *rows; /* by seq, none twice */
    size_t n, cap;
};

void mf_story_add(struct mf_story *self, const struct mf_rec_event_row *row,
                  struct mf_arena *arena); /* copies */
void mf_story_free(struct mf_story *self);
const struct mf_story_row *mf_story_find(const struct mf_story *self, uint64_t seq); /* NULL if not there */
/* The event that the question is about: the newest of the subject; of a slot, of its newest generation. NULL
 * if there is none. */
const struct mf_story_row *mf_story_newest(const struct mf_story *self, const struct mf_target *target);
/* Mark the chain that ends in `seq`. Returns the seq of the first cause that is not among the rows (fetch and
 * add it, then ask again), or 0 when the root is reached. */
uint64_t mf_story_mark(struct mf_story *self, uint64_t seq);
/* Forget what is neither in the chain nor between its root and its end, but for the last `before` rows before
 * the root. */
void mf_story_cut(struct mf_story *self, size_t before);

#endif
