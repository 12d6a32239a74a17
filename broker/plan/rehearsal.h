/* rehearsal.h - the real broker core on a copy of its state, in a world where all goes well: every worker
 * that had not failed is connected, every order is carried out the moment it is given, one monitor's word
 * counts. Time is virtual. What it then does on being told that a rack is lost, it would do. */
#ifndef MF_REHEARSAL_H
#define MF_REHEARSAL_H

#include "state.h"

struct mf_move { /* a birth that found its node while it was looked at */
    uint32_t step;
    mf_ms at;                        /* since the step began */
    const char *group, *node, *from; /* from: the node of what it replaces; NULL: of nothing, or not known */
    uint32_t slot;
    uint64_t generation;
    enum mf_birth_reason born;
};

struct mf_rehearsal {
    struct mf_broker *b;
    mf_ms now, wall; /* wall: what the clock on it shows at virtual zero */
    uint64_t handed; /* newest row that the core made */
    struct player {
        char name[MF_NAME_MAX + 1];
        uint64_t epoch;
    } * players; /* the workers; a player's handle is its index and a bit */
    size_t n_players, cap_players;
    struct answer *answers; /* what the workers have yet to say */
    size_t n_answers, cap_answers;
    uint64_t next_id;
    struct mf_arena reply_arena;
    struct mf_message reply; /* to what the operator asked last */
    /* what is looked at */
    uint32_t step;          /* from 1 on; 0: nothing is noted */
    mf_ms step_at, last_at; /* when it began, when the newest row was made */
    struct mf_move *moves;
    size_t n_moves, cap_moves;
    struct mf_map *left;          /* node of an instance that ends, by id */
    struct mf_map *names;         /* every name once, zero-terminated */
    struct mf_arena arena, words; /* words: of one hello */
    void (*placed)(void *arg, const struct mf_instance *inst);
    void *placed_arg;
};

/* Its times are set to those of a world where nobody is late; the rest of the config holds. */
void mf_rehearsal_init(struct mf_rehearsal *self, const struct mf_broker_config *config);
void mf_rehearsal_free(struct mf_rehearsal *self);
/* After loading into b: the reign begins, the workers come, what was due happens. wall: the copy's time. */
void mf_rehearsal_begin(struct mf_rehearsal *self, mf_ms wall);
/* From here on births are noted, as those of the next step. */
void mf_rehearsal_step(struct mf_rehearsal *self);
void mf_rehearsal_until(struct mf_rehearsal *self, mf_ms then); /* time passes */
void mf_rehearsal_settle(struct mf_rehearsal *self);            /* until nothing happens any more */

/* The wait to see that nothing happens any more is no part of a step that goes on. */
void mf_rehearsal_skip_idle(struct mf_rehearsal *self);

/* An operator's word; its request_id is made here. The reply is in self->reply until the next one. 0, or
 * -EINVAL with what the broker said. */
int mf_rehearsal_ask(struct mf_rehearsal *self, struct mf_message message, char error[512]);
/* What a node's worker would say of itself now, in the arena; and saying it, or something else. */
struct mf_msg_hello mf_rehearsal_words(struct mf_rehearsal *self, const struct mf_node *node);
void mf_rehearsal_hello(struct mf_rehearsal *self, struct mf_str name, const struct mf_msg_hello *hello);
void mf_rehearsal_hang_up(struct mf_rehearsal *self, struct mf_node *const *nodes,
                          size_t n); /* their connections close */
/* All at once, and their guests with them. */
void mf_rehearsal_lose(struct mf_rehearsal *self, struct mf_node *const *nodes, size_t n);
const char *mf_rehearsal_name(struct mf_rehearsal *self, struct mf_str name); /* kept for good */

#endif
