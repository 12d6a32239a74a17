/* promises.h - who has which backup, and the lists that say so: those of each standby, those that are new or
 * lost theirs, those that found none. The numbers stay valid while others come and go. */
#ifndef MF_PROMISES_H
#define MF_PROMISES_H

#include <stdint.h>

enum mf_promise_state {
    MF_PROMISE_UNUSED,
    MF_PROMISE_NEW,  /* to look for a backup */
    MF_PROMISE_NONE, /* it found none */
    MF_PROMISE_HELD
};
struct mf_promise {
    uint32_t domain; /* whose loss it is against */
    uint32_t shape, backup, prev, next;
    uint8_t state, level, way;
};
struct mf_promise_list {
    uint32_t first, last;
    uint64_t n;
};
struct mf_promises {
    struct mf_promise *items; /* from 1 on */
    uint32_t n, cap, unused;
};

uint32_t mf_promise_new(struct mf_promises *self);
void mf_promise_free(struct mf_promises *self, uint32_t number);
/* Into or out of a list of those that have no backup. */
void mf_promise_push(struct mf_promises *self, struct mf_promise_list *list, uint32_t number);
void mf_promise_pull(struct mf_promises *self, struct mf_promise_list *list, uint32_t number);
/* Of a standby: any order. */
void mf_promise_link(struct mf_promises *self, uint32_t *first, uint32_t number);
void mf_promise_unlink(struct mf_promises *self, uint32_t *first, uint32_t number);

#endif
