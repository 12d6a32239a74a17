/* heap.h - a binary heap of deadlines, for cores that hold many timers. A node is part of the caller's
 * struct, so arming a timer allocates only when the heap grows. Equal deadlines come in the order they were
 * set: the same feed gives the same order. */
#ifndef MF_HEAP_H
#define MF_HEAP_H

#include "ids.h"
#include <stdbool.h>
#include <stddef.h>

struct mf_timer { /* zero-initialised is not set */
    mf_ms when;
    uint64_t order; /* private */
    size_t place;   /* private: index + 1, 0 when not set */
};
struct mf_heap { /* zero-initialised is empty */
    struct mf_timer **items;
    size_t n, cap;
    uint64_t next_order;
};

void mf_heap_set(struct mf_heap *self, struct mf_timer *timer, mf_ms when); /* sets or moves it */
void mf_heap_unset(struct mf_heap *self, struct mf_timer *timer);           /* fine if not set */
struct mf_timer *mf_heap_first(const struct mf_heap *self); /* NULL if empty; stays in the heap */
struct mf_timer *mf_heap_take(struct mf_heap *self,
                              mf_ms now); /* removes and returns one with when <= now, or NULL */
void mf_heap_free(struct mf_heap *self);  /* the timers are the caller's */

#endif
