/* driver_libvirt_list.c - what is there: every domain that libvirt knows, and, on this machine, every process
 * of ours that libvirt has lost: what still runs is never told as absent. "Runs" means that libvirt says so
 * and that the process is there. */
#include "driver_libvirt.h"
#include "check.h"
#include "process.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct listing {
    struct mf_driver *driver;
    struct mf_driver_guest *guests;
    size_t n, cap;
    struct mf_rec_resources foreign; /* used by domains that are not ours */
};

static struct mf_driver_guest *add(struct listing *listing)
{
    if (listing->n == listing->cap) {
        listing->cap = listing->cap ? 2 * listing->cap : 16;
        listing->guests = realloc(listing->guests, listing->cap * sizeof *listing->guests);
        MF_CHECK(listing->guests);
    }
    struct mf_driver_guest *guest = &listing->guests[listing->n++];
    memset(guest, 0, sizeof *guest);
    return guest;
}

/* The pid, if its process is really there; remembered for those that are ours. */
static pid_t living_pid(struct mf_driver *self, struct mf_uuid id, virDomainPtr domain, bool ours)
{
    pthread_mutex_lock(&self->lock);
    struct mf_guest *guest = mf_guest_get(self, id);
    pid_t pid = guest ? guest->pid : 0;
    pthread_mutex_unlock(&self->lock);
    if (pid)
        return mf_process_is_guest(pid, id) ? pid : 0; /* also if that cannot be seen */
    pid = mf_guest_find_pid(self, id, virDomainGetName(domain));
    if (pid > 0 && ours) {
        pthread_mutex_lock(&self->lock);
        guest = mf_guest_obtain(self, id);
        if (!guest->creating && !guest->destroying)
            guest->pid = pid;
        pthread_mutex_unlock(&self->lock);
    }
    return pid;
}

static void count_foreign(struct listing *listing, virDomainPtr domain)
{
    virDomainInfo info;
    if (virDomainGetInfo(domain, &info) < 0 || info.state == VIR_DOMAIN_SHUTOFF)
        return;
    listing->foreign.vcpus += info.nrVirtCpu;
    listing->foreign.memory_mib += info.maxMem / 1024;
}

/* What an agent that has just begun knows nothing of. One that is being made, or was ended since libvirt was
 * asked, is not taken up: nobody would let go of it again. */
static void keep_up(struct mf_driver *self, struct mf_uuid id, const struct mf_domain_identity *identity)
{
    pthread_mutex_lock(&self->lock);
    struct mf_guest *guest = mf_guest_get(self, id);
    bool busy = guest && (guest->creating || guest->destroying);
    if (!busy && !mf_guest_ended(self, id)) {
        mf_pins_claim(&self->pins, id, identity->cpus);
        mf_health_watch(self, id, identity);
    }
    pthread_mutex_unlock(&self->lock);
}

static void add_domain(struct listing *listing, virDomainPtr domain)
{
    struct mf_driver *self = listing->driver;
    struct mf_uuid id;
    int state = VIR_DOMAIN_NOSTATE;
    if (virDomainGetUUID(domain, id.bytes) < 0 || virDomainGetState(domain, &state, NULL, 0) < 0)
        return; /* it vanished meanwhile */
    struct mf_domain_identity identity;
    bool ours = mf_domain_identity(domain, &identity);
    if (!ours)
        count_foreign(listing, domain);
    else if (!mf_shell_listed(self, &identity, &id))
        return;
    struct mf_driver_guest *guest = add(listing);
    guest->id = id;
    guest->running = state == VIR_DOMAIN_RUNNING || state == VIR_DOMAIN_BLOCKED ||
                     state == VIR_DOMAIN_SHUTDOWN || state == VIR_DOMAIN_PMSUSPENDED;
    guest->at_most = identity.at_most;
    memcpy(guest->name, identity.name, sizeof guest->name);
    if (self->local && !self->unseen && state != VIR_DOMAIN_SHUTOFF) {
        guest->pid = living_pid(self, id, domain, ours);
        guest->running = guest->running && guest->pid;
    }
    if (!ours || !guest->running)
        return;
    if (identity.console[0] && self->console)
        mf_console_add(self->console, id, identity.console);
    guest->ready = mf_health_is_ready(&identity);
    keep_up(self, id, &identity);
}

/* By where its files lie, or by the crumb that its create left. */
static bool is_ours(struct mf_driver *self, struct mf_uuid id, const char *command_line)
{
    char mark[4096];
    mf_str_format(mark, sizeof mark, "%s/lib/qemu/", self->alias[0] ? self->alias : self->root);
    return (self->embed && strstr(command_line, mark)) || mf_crumb_there(self, id);
}

static void visit_process(void *arg, pid_t pid, struct mf_uuid id, const char *command_line)
{
    struct listing *listing = arg;
    if (!is_ours(listing->driver, id, command_line) || mf_shell_idle_process(id, command_line))
        return;
    for (size_t i = 0; i < listing->n; i++)
        if (mf_uuid_eq(listing->guests[i].id, id))
            return;
    pthread_mutex_lock(&listing->driver->lock);
    struct mf_guest *known = mf_guest_get(listing->driver, id);
    bool busy = known && (known->creating || known->destroying); /* begun or ended since libvirt was asked */
    pthread_mutex_unlock(&listing->driver->lock);
    if (busy)
        return;
    struct mf_driver_guest *guest = add(listing);
    guest->id = id;
    guest->running = true;
    guest->pid = pid;
}

int mf_libvirt_list(struct mf_driver *self, struct mf_driver_guest **ret_guests, size_t *ret_n,
                    char error[512])
{
    MF_MAGIC(self, MF_DRIVER_LIBVIRT_MAGIC);
    error[0] = 0;
    virConnectPtr conn = mf_lane_get(self, MF_LANE_WATCH, error);
    if (!conn)
        return -ENOTCONN;
    struct listing listing = {.driver = self};
    virDomainPtr *domains = NULL;
    int n = virConnectListAllDomains(conn, &domains,
                                     VIR_CONNECT_LIST_DOMAINS_ACTIVE | VIR_CONNECT_LIST_DOMAINS_INACTIVE);
    int r = n < 0 ? mf_libvirt_error(error, "cannot list the guests") : 0;
    for (int i = 0; i < n; i++) {
        add_domain(&listing, domains[i]);
        virDomainFree(domains[i]);
    }
    free(domains);
    virConnectClose(conn);
    if (r < 0)
        return r;
    pthread_mutex_lock(&self->lock);
    self->foreign = listing.foreign;
    pthread_mutex_unlock(&self->lock);
    r = self->local && !self->unseen ? mf_process_each_guest(visit_process, &listing) : 0;
    if (r < 0) {
        mf_str_format(error, 512, "cannot look at all processes: %s", strerror(-r));
        free(listing.guests);
        return r;
    }
    *ret_guests = listing.guests;
    *ret_n = listing.n;
    return 0;
}
