/* process.h - the processes behind guests, and short programs that the driver runs. A pid is never believed
 * alone: a guest's process is one whose command line holds "-uuid" and the guest's id, or a shell's that the
 * guest took over (shell_process.h), which then answers to both ids; and it is killed through a pidfd that
 * was opened before that was checked, so that a reused pid is never hit. Nothing here reaps but the programs
 * it started itself. */
#ifndef MF_PROCESS_H
#define MF_PROCESS_H

#include "ids.h"
#include <sys/types.h>

/* Run argv (found by PATH) with a closed stdin; 0 and *ret_status as of waitpid, or -ETIMEDOUT (it was
 * killed) or another errno. What it said on stderr is cut into `said`, its newlines made blanks. */
int mf_process_run(const char *const argv[], mf_ms limit_ms, int *ret_status, char *said, size_t said_size);

/* Is this the running (not merely unreaped) process of that guest? 1, 0, or a negative errno if that cannot
 * be seen: no proof of either. */
int mf_process_is_guest(pid_t pid, struct mf_uuid id);
/* Look at every process of this machine; 0 if none is the guest's, or a negative errno if not all could be
 * seen and none of those that could is. */
pid_t mf_process_find_guest(struct mf_uuid id);
/* Visit every process that has a "-uuid"; `id` is that one, or of a shell that was taken over the guest's who
 * did; `command_line` is its command line with blanks for zeros. 0, or a
 * negative errno if not all could be seen (those that can are visited all the same). */
int mf_process_each_guest(void (*visit)(void *arg, pid_t pid, struct mf_uuid id, const char *command_line),
                          void *arg);

/* A pidfd of the guest's process, -ESRCH if that is gone, or another errno. */
int mf_process_open_guest(pid_t pid, struct mf_uuid id);
/* Wait until the process of a pidfd has ended; false at the limit. */
bool mf_process_wait(int pidfd, mf_ms limit_ms);
/* SIGKILL and wait; 0 = it runs no more (nor did before), -ETIMEDOUT, or another errno. */
int mf_process_kill_guest(pid_t pid, struct mf_uuid id, mf_ms limit_ms);

mf_ms mf_monotonic_ms(void);
int64_t mf_monotonic_ns(void);

#endif
