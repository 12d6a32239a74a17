/* looker.h - looks at guests: TCP connections and HTTP requests, all at once and none of them waited for. It
 * lives in the monitor's loop: one descriptor to poll, and a bounded piece of work each turn. */
#ifndef MF_LOOKER_H
#define MF_LOOKER_H

#include "health.h"

enum { MF_LOOKER_BODY_MAX = 65536 }; /* bytes of an answer that are read before it is cut off */

struct mf_looker;

/* What became of a look; called from begin and turn. `text`: what was seen. */
typedef void mf_looker_done(void *arg, uint64_t number, enum mf_look_end how, const char *text);

int mf_looker_open(mf_looker_done *done, void *arg, struct mf_looker **ret_looker, char error[512]);
void mf_looker_close(struct mf_looker **self);  /* what is under way has no end any more */
int mf_looker_fd(const struct mf_looker *self); /* readable: a turn has work to do */
void mf_looker_begin(struct mf_looker *self, const struct mf_health_look *look);
/* Serves what is ready and what is due, and tells of what ended. */
void mf_looker_turn(struct mf_looker *self, mf_ms now);
mf_ms mf_looker_deadline(const struct mf_looker *self); /* INT64_MAX: none */

#endif
