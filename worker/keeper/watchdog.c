/* watchdog.c - a watchdog device that guards the keeper while at-most guests run: if keeper and agent both
 * die, nobody else would end them. It is opened with the first such guest and closed in order ('V') with the
 * last, so that it never resets a machine for an at-least group. */
#include "keeper.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/watchdog.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void open_device(struct mf_keeper *self)
{
    int seconds = MF_KEEPER_WATCHDOG_S;
    self->watchdog = open(self->options.watchdog, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (self->watchdog >= 0) {
        (void)ioctl(self->watchdog, WDIOC_SETTIMEOUT, &seconds); /* a device that cannot keeps its own */
        mf_keeper_log(self, "info", "%s guards this keeper while at-most guests run", self->options.watchdog);
    } else if (!self->watchdog_failed) {
        mf_keeper_log(self, "error", "%s: %s; nothing guards this keeper", self->options.watchdog,
                      strerror(errno));
    }
    self->watchdog_failed = self->watchdog < 0;
}

static void write_byte(struct mf_keeper *self, char byte)
{
    if (write(self->watchdog, &byte, 1) != 1)
        mf_keeper_log(self, "error", "%s: %s", self->options.watchdog, strerror(errno));
}

void mf_keeper_watchdog(struct mf_keeper *self)
{
    bool wanted = self->options.watchdog && self->lease.n_held + self->lease.n_fenced > 0;
    if (!wanted) {
        self->watchdog_at = INT64_MAX;
        if (self->watchdog < 0)
            return;
        write_byte(self, 'V');
        close(self->watchdog);
        self->watchdog = -1;
        return;
    }
    if (self->now < self->watchdog_at && self->watchdog_at != INT64_MAX)
        return;
    self->watchdog_at = self->now + MF_KEEPER_WATCHDOG_MS;
    if (self->watchdog < 0)
        open_device(self);
    if (self->watchdog >= 0)
        write_byte(self, '.');
}
