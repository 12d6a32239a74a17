/* driver_libvirt_destroy.c - a guest is ended, and proven gone: libvirt does not list it and no process has
 * its id.
 *
 * The process is killed by pidfd first and libvirt is told after: that works for one that is stopped or hung
 * as well, for which libvirt alone takes many seconds, and for one that libvirt has lost. */
#include "driver_libvirt.h"
#include "check.h"
#include "process.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { GONE_LIMIT_MS = 15000, KILL_LIMIT_MS = 10000, LOOK_MS = 20 };

static void wait_changed(struct mf_driver *self, mf_ms limit_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += limit_ms * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&self->changed, &self->lock, &until);
}

static void begin(struct mf_driver *self, struct mf_uuid id)
{
    pthread_mutex_lock(&self->lock);
    struct mf_guest *guest = mf_guest_obtain(self, id);
    guest->destroying++;
    guest->cancelled = true; /* matters only while a create is under way */
    pthread_mutex_unlock(&self->lock);
}

static void end(struct mf_driver *self, struct mf_uuid id, int r)
{
    pthread_mutex_lock(&self->lock);
    struct mf_guest *guest = mf_guest_get(self, id);
    guest->destroying--;
    if (r == 0) {
        self->ended[self->n_ended++ % MF_ENDED_MAX] = id;
        mf_guest_forget(self, id);
    }
    pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->lock);
}

static pid_t known_pid(struct mf_driver *self, struct mf_uuid id, virDomainPtr domain)
{
    pthread_mutex_lock(&self->lock);
    pid_t pid = mf_guest_get(self, id)->pid;
    pthread_mutex_unlock(&self->lock);
    if (!pid && domain)
        pid = mf_guest_find_pid(self, id, virDomainGetName(domain));
    return pid;
}

/* The power button, and time for the guest to answer it. */
static void ask_nicely(struct mf_driver *self, virDomainPtr domain, struct mf_uuid id, pid_t pid,
                       uint64_t grace_ms)
{
    if (virDomainShutdownFlags(domain, VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN) < 0 &&
        virDomainShutdown(domain) < 0)
        return;
    int fd = pid > 0 ? mf_process_open_guest(pid, id) : -1;
    if (fd >= 0) {
        (void)mf_process_wait(fd, (mf_ms)grace_ms);
        close(fd);
        return;
    }
    mf_ms limit = mf_monotonic_ms() + (mf_ms)grace_ms;
    while (mf_monotonic_ms() < limit && virDomainIsActive(domain) == 1) {
        pthread_mutex_lock(&self->lock);
        wait_changed(self, LOOK_MS);
        pthread_mutex_unlock(&self->lock);
    }
}

static int end_domain(virDomainPtr domain, char error[512])
{
    if (virDomainDestroy(domain) < 0) {
        int code = virGetLastErrorCode(), r = mf_libvirt_error(error, "libvirt cannot destroy the guest");
        if (code != VIR_ERR_NO_DOMAIN && code != VIR_ERR_OPERATION_INVALID)
            return r;
    }
    if (virDomainIsPersistent(domain) == 1 &&
        virDomainUndefineFlags(domain, VIR_DOMAIN_UNDEFINE_MANAGED_SAVE |
                                           VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA |
                                           VIR_DOMAIN_UNDEFINE_NVRAM) < 0 &&
        virDomainUndefine(domain) < 0)
        return mf_libvirt_error(error, "libvirt cannot undefine the guest");
    return 0;
}

static int kill_process(pid_t pid, struct mf_uuid id, char error[512])
{
    int r = mf_process_kill_guest(pid, id, KILL_LIMIT_MS);
    if (r < 0)
        mf_str_format(error, 512, "cannot kill the guest's process %d: %s", (int)pid, strerror(-r));
    return r;
}

/* One round: 0 = gone, -EAGAIN = look again, or an error. */
static int round_(struct mf_driver *self, virConnectPtr conn, struct mf_uuid id, uint64_t *grace_ms,
                  char error[512])
{
    virDomainPtr domain = NULL;
    int r = mf_guest_lookup(self, conn, id, &domain, error);
    if (r < 0 && r != -ENOENT)
        return r;
    pid_t pid = known_pid(self, id, domain);
    if (domain && *grace_ms && virDomainIsActive(domain) == 1)
        ask_nicely(self, domain, id, pid, *grace_ms);
    *grace_ms = 0;
    r = 0;
    if (!pid && self->local && !self->unseen && !domain)
        pid = mf_process_find_guest(id);
    if (pid > 0)
        r = kill_process(pid, id, error);
    else if (pid < 0) {
        r = pid;
        mf_str_format(error, 512, "whether the guest's process runs cannot be seen: %s", strerror(-r));
    }
    if (domain) {
        if (r == 0 || r == -EPERM) /* another user's process: its daemon may do what we may not */
            r = end_domain(domain, error);
        virDomainFree(domain);
        return r < 0 ? r : -EAGAIN; /* the next round sees it unlisted */
    }
    return r;
}

static bool being_made(struct mf_driver *self, struct mf_uuid id, mf_ms wait_ms)
{
    pthread_mutex_lock(&self->lock);
    bool is = mf_guest_get(self, id)->creating;
    if (is && wait_ms) {
        wait_changed(self, wait_ms);
        is = mf_guest_get(self, id)->creating;
    }
    pthread_mutex_unlock(&self->lock);
    return is;
}

static int end_guest(struct mf_driver *self, virConnectPtr conn, struct mf_uuid id, uint64_t grace_ms,
                     char error[512])
{
    mf_ms limit = mf_monotonic_ms() + (mf_ms)grace_ms + GONE_LIMIT_MS;
    for (unsigned rounds = 0;; rounds++) {
        int r = round_(self, conn, id, &grace_ms, error);
        if (r == 0 && !being_made(self, id, LOOK_MS))
            return 0;
        if (r < 0 && r != -EAGAIN && mf_monotonic_ms() >= limit)
            return r;
        if (mf_monotonic_ms() >= limit) {
            mf_str_format(error, 512, "the guest is still there after %d ms", GONE_LIMIT_MS);
            return -ETIMEDOUT;
        }
        if (rounds > 0) { /* libvirt needs a moment to see the end of the process; its event wakes us */
            pthread_mutex_lock(&self->lock);
            wait_changed(self, LOOK_MS);
            pthread_mutex_unlock(&self->lock);
        }
    }
}

int mf_libvirt_destroy(struct mf_driver *self, struct mf_uuid id, uint64_t grace_ms, char error[512])
{
    MF_MAGIC(self, MF_DRIVER_LIBVIRT_MAGIC);
    error[0] = 0;
    begin(self, id);
    virConnectPtr conn = mf_lane_get(self, MF_LANE_DESTROY, error);
    int r = conn ? end_guest(self, conn, id, grace_ms, error) : -ENOTCONN;
    if (conn)
        virConnectClose(conn);
    if (r == 0) {
        if (self->console)
            mf_console_remove(self->console, id);
        mf_health_unwatch(self, id);
        mf_libvirt_unpin(self, id);
        mf_crumb_clean(self, id);
        mf_log_remove(self, id);
        mf_log_remove(self, mf_guest_shell(self, id));
        error[0] = 0;
    }
    end(self, id, r);
    return r;
}
