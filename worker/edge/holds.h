/* holds.h - a create's thread asks the keeper whether its paused guest is held and may run, and waits for the
 * answer, which the loop brings. */
#ifndef MF_HOLDS_H
#define MF_HOLDS_H

#include "ids.h"
#include <pthread.h>

enum { MF_HOLDS_LIMIT_MS = 5000 }; /* a keeper that does not answer in this time does not hold it */

struct mf_hold;
struct mf_holds {
    pthread_mutex_t lock;
    pthread_cond_t answered;
    struct mf_hold *waiting; /* on the stacks of who waits */
};

void mf_holds_init(struct mf_holds *self);
/* From a thread of the pool: true if the keeper holds the process under a valid lease. Fits
 * mf_driver_spec.hold. */
bool mf_holds_ask(void *self, struct mf_uuid id, int64_t pid);
/* From the loop; an answer that nobody waits for is dropped. */
void mf_holds_answer(struct mf_holds *self, struct mf_uuid id, bool held);

#endif
