/* driver_libvirt_events.c - libvirt's event loop, in a thread of its own for the life of the process, and
 * what it tells of guests. Events may come late and out of order: each is passed on as a hint, and only for
 * guests that nobody is destroying. */
#include "driver_libvirt.h"
#include "check.h"
#include "process.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int start_result;

static void *run_loop(void *arg)
{
    for (;;)
        (void)virEventRunDefaultImpl();
    return NULL;
}

static void silence(void *arg, virErrorPtr error)
{
}

static void start_loop(void)
{
    pthread_t thread;
    virSetErrorFunc(NULL, silence); /* libraries never log: errors come back as text */
    setenv("LIBVIRT_DEBUG", "4",
           0); /* and one line on stderr for every guest that QEMU runs as root is no news */
    if (virInitialize() < 0 || virEventRegisterDefaultImpl() < 0 ||
        pthread_create(&thread, NULL, run_loop, NULL) != 0)
        start_result = -EIO;
    else
        pthread_detach(thread);
}

int mf_events_start(char error[512])
{
    pthread_once(&once, start_loop);
    if (start_result < 0)
        mf_libvirt_error(error, "cannot start libvirt's event loop");
    return start_result;
}

static void tell(struct mf_driver *self, virDomainPtr domain, enum mf_death how, const char *text)
{
    struct mf_uuid id;
    if (!mf_shell_instance(self, domain, &id)) {
        mf_shell_ended(self, domain);
        return;
    }
    pthread_mutex_lock(&self->lock);
    struct mf_guest *guest = mf_guest_get(self, id);
    pid_t pid = guest ? guest->pid : 0;
    bool news = guest ? !guest->destroying && !guest->creating /* a create that fails says so itself */
                      : !mf_guest_ended(self, id);
    pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->lock);
    if (news && pid && how == MF_DEATH_CRASHED)
        (void)mf_process_kill_guest(pid, id,
                                    0); /* it stands still for good: what is told dead must be dead */
    else if (news && pid && mf_process_is_guest(pid, id))
        news = false; /* of an earlier life; of this one the keeper tells when its process has ended */
    if (news && self->config.died)
        self->config.died(self->config.arg, id, how, text);
}

/* Its process is there, and may be for long: whether it is to end is not ours to say. */
static void tell_unwell(struct mf_driver *self, virDomainPtr domain, const char *text)
{
    struct mf_uuid id;
    if (!mf_shell_instance(self, domain, &id))
        return;
    pthread_mutex_lock(&self->lock);
    struct mf_guest *guest = mf_guest_get(self, id);
    bool news = guest && !guest->destroying;
    pthread_mutex_unlock(&self->lock);
    if (news && self->config.unwell)
        self->config.unwell(self->config.arg, id, MF_AILMENT_HUNG, text);
}

static int on_lifecycle(virConnectPtr conn, virDomainPtr domain, int event, int detail, void *arg)
{
    struct mf_driver *self = arg;
    MF_MAGIC(self, MF_DRIVER_LIBVIRT_MAGIC);
    if (event == VIR_DOMAIN_EVENT_CRASHED)
        tell(self, domain, MF_DEATH_CRASHED, "the guest panicked");
    if (event != VIR_DOMAIN_EVENT_STOPPED)
        return 0;
    switch (detail) {
    case VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN:
        tell(self, domain, MF_DEATH_POWEROFF, "the guest powered itself off");
        break;
    case VIR_DOMAIN_EVENT_STOPPED_CRASHED:
        tell(self, domain, MF_DEATH_CRASHED, "the guest crashed");
        break;
    case VIR_DOMAIN_EVENT_STOPPED_DESTROYED:
        tell(self, domain, MF_DEATH_EXITED, "somebody destroyed the domain");
        break;
    default:
        tell(self, domain, MF_DEATH_EXITED, "the hypervisor's process ended");
    }
    return 0;
}

static void on_io_error(virConnectPtr conn, virDomainPtr domain, const char *source, const char *device,
                        int action, void *arg)
{
    char text[256];
    if (action != VIR_DOMAIN_EVENT_IO_ERROR_PAUSE)
        return; /* the guest was told, and decides itself */
    mf_str_format(text, sizeof text, "I/O error on %s (%s): the guest stands still", device, source);
    tell_unwell(arg, domain, text);
}

static void on_watchdog(virConnectPtr conn, virDomainPtr domain, int action, void *arg)
{
    if (action != VIR_DOMAIN_EVENT_WATCHDOG_NONE && action != VIR_DOMAIN_EVENT_WATCHDOG_RESET)
        tell(arg, domain, MF_DEATH_CRASHED, "the guest's watchdog fired");
}

static void watcher_gone(void *arg)
{
    struct mf_driver *self = arg;
    pthread_mutex_lock(&self->lock);
    self->watchers--;
    pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->lock);
}

void mf_events_watch(struct mf_driver *self, virConnectPtr conn)
{
    const struct {
        int event;
        virConnectDomainEventGenericCallback callback;
    } all[] = {{VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle)},
               {VIR_DOMAIN_EVENT_ID_IO_ERROR, VIR_DOMAIN_EVENT_CALLBACK(on_io_error)},
               {VIR_DOMAIN_EVENT_ID_WATCHDOG, VIR_DOMAIN_EVENT_CALLBACK(on_watchdog)}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        int id =
            virConnectDomainEventRegisterAny(conn, NULL, all[i].event, all[i].callback, self, watcher_gone);
        self->callbacks[i] = id; /* -1: this hypervisor has no such event */
        if (id < 0)
            continue;
        pthread_mutex_lock(&self->lock);
        self->watchers++;
        pthread_mutex_unlock(&self->lock);
    }
}

void mf_events_unwatch(struct mf_driver *self)
{
    for (size_t i = 0; i < sizeof self->callbacks / sizeof *self->callbacks; i++) {
        if (self->callbacks[i] >= 0)
            (void)virConnectDomainEventDeregisterAny(self->lanes[MF_LANE_WATCH], self->callbacks[i]);
        self->callbacks[i] = -1;
    }
    /* libvirt lets go of us from its loop; a callback may be running right now. */
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += 5;
    pthread_mutex_lock(&self->lock);
    while (self->watchers && pthread_cond_timedwait(&self->changed, &self->lock, &until) == 0)
        ;
    pthread_mutex_unlock(&self->lock);
}
