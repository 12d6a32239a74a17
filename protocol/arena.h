/* arena.h - memory that is freed all at once. Used for decoded messages and for everything a core hands out
 * until its next feed. */
#ifndef MF_ARENA_H
#define MF_ARENA_H

#include <stddef.h>

struct mf_arena { /* zero-initialised is empty */
    struct mf_arena_block *head;
    size_t used; /* bytes handed out since the last reset */
};

void *mf_arena_alloc(struct mf_arena *self,
                     size_t size); /* zeroed, aligned for anything; aborts when memory is exhausted */
void mf_arena_reset(struct mf_arena *self); /* forgets all, keeps the first block */
void mf_arena_free(struct mf_arena *self);

#endif
