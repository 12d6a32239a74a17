/* harden.c - what lets the keeper be in time when the machine is not well: its memory stays in RAM, it runs
 * before what is not real-time, and it knows beforehand whether it can kill by pidfd. What cannot be had is
 * said, and the keeper goes on without it. */
#include "keeper.h"
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { STACK_BYTES = 256 * 1024, PRIORITY = 1 };

#ifdef __SANITIZE_ADDRESS__
enum { LOCK_FLAGS = MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT }; /* its shadow is terabytes of nothing */
#else
enum { LOCK_FLAGS = MCL_CURRENT | MCL_FUTURE };
#endif

/* What will be needed is touched now, so that it is there when it is. */
__attribute__((noinline)) static void touch_stack(void)
{
    volatile char stack[STACK_BYTES];
    for (size_t i = 0; i < sizeof stack; i += 1024)
        stack[i] = 0;
}

/* Whoever is started by us gets the ordinary scheduler back. */
static int raise_priority(void)
{
    struct sched_param param = {.sched_priority = PRIORITY};
    return sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &param) < 0 ? -errno : 0;
}

void mf_keeper_harden(struct mf_keeper *self)
{
    tzset(); /* the first log line would allocate for it */
    touch_stack();
    if (mlockall(LOCK_FLAGS) < 0)
        mf_keeper_log(self, "warning",
                      "memory is not locked (%s): under memory pressure this keeper may be late; raise "
                      "RLIMIT_MEMLOCK",
                      strerror(errno));
    int r = raise_priority();
    if (r < 0)
        mf_keeper_log(self, "warning",
                      "no real-time priority (%s): under load this keeper may be late; raise RLIMIT_RTPRIO",
                      strerror(-r));
}

bool mf_keeper_can_fence(char why_not[128])
{
    int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    bool can = fd >= 0 && syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0) == 0;
    snprintf(why_not, 128, can ? "" : "this kernel lets nobody kill by pidfd: %.60s", strerror(errno));
    if (fd >= 0)
        close(fd);
    return can;
}
