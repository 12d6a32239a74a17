/* requests.h - a trace of requests, asked of the rehearsed broker at the times it says. */
#ifndef MF_PLAN_REQUESTS_H
#define MF_PLAN_REQUESTS_H

#include "rehearsal.h"
#include "trace.h"

/* Each row is a group of its own, or, where it names one, so many slots more of that; both end when each of
 * its instances has lived life_s. What became of each is in the rows. 0, or -EINVAL with a line's error. */
int mf_requests_run(struct mf_rehearsal *self, const char *path, struct mf_trace *trace, char error[512]);

#endif
