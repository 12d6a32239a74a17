/* pool.h - the agent's fixed threads, in lanes: a call that hangs in one lane holds up nothing in another.
 * The core never has more jobs under way in a lane than that lane has threads. What is finished comes back to
 * the loop in the order it finished. */
#ifndef MF_POOL_H
#define MF_POOL_H

#include "ids.h"
#include <stdbool.h>

enum mf_lane { MF_LANE_CREATE, MF_LANE_DESTROY, MF_LANE_LIST, MF_LANE_READ, MF_LANE_SHELL, MF_LANE_COUNT };

struct mf_job { /* first member of whatever is posted */
    void (*run)(struct mf_job *self);
    struct mf_job *next;
};

struct mf_pool;
struct mf_pool *mf_pool_new(
    const unsigned threads[MF_LANE_COUNT]); /* NULL if the system has no threads or descriptors left */
void mf_pool_post(struct mf_pool *self, enum mf_lane lane, struct mf_job *job);
void mf_pool_push(struct mf_pool *self, struct mf_job *job); /* finished already; from any thread */
int mf_pool_fd(const struct mf_pool *self);                  /* readable while something is finished */
struct mf_job *mf_pool_take(struct mf_pool *self);           /* the next finished job, or NULL */
/* No new jobs begin; true if every thread ended in time. Else a call hangs: only the process's end helps. */
bool mf_pool_stop(struct mf_pool *self, mf_ms limit_ms);
void mf_pool_free(struct mf_pool **self,
                  void (*drop)(struct mf_job *job)); /* after a stop that succeeded; drop what nobody took */

#endif
