/* main_null_process.h - the process of a simulated at-most guest: it does nothing, but it can be held by a
 * pidfd, found by its command line ("-uuid ID"), stopped and killed as a real one's, without the stand-in and
 * all other guests. It dies with the stand-in. */
#ifndef MF_NULL_PROCESS_H
#define MF_NULL_PROCESS_H

#include "ids.h"
#include <sys/types.h>

/* Stopped, as a guest that is made paused; or negative errno. */
int mf_null_process_start(struct mf_uuid id, pid_t *ret_pid);
void mf_null_process_resume(pid_t pid);
void mf_null_process_kill(pid_t pid); /* and reap: gone when this returns */
pid_t mf_null_process_ended(void);    /* one that ended by itself, reaped; 0 if there is none */
_Noreturn void mf_null_process_be(void);

#endif
