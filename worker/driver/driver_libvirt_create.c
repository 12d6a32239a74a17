/* driver_libvirt_create.c - a guest is made: its disk, its XML, its domain. All or nothing: a create that
 * fails, or that a destroy overtook, leaves nothing behind. */
#include "driver_libvirt.h"
#include "check.h"
#include "process.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DISK_LIMIT_MS = 30000, KILL_LIMIT_MS = 5000 };

/* Ours to make? 0 and the entry marked; or -EBUSY while it is being destroyed. Waits for another create of
 * the same guest. */
static int begin(struct mf_driver *self, struct mf_uuid id, char error[512])
{
    pthread_mutex_lock(&self->lock);
    struct mf_guest *guest = mf_guest_obtain(self, id);
    while (guest->creating) {
        pthread_cond_wait(&self->changed, &self->lock);
        guest = mf_guest_obtain(self, id);
    }
    int r = guest->destroying ? -EBUSY : 0;
    if (r == 0) {
        guest->creating = true;
        guest->cancelled = false;
    } else {
        mf_str_format(error, 512, "the guest is being destroyed");
    }
    pthread_mutex_unlock(&self->lock);
    return r;
}

static bool cancelled(struct mf_driver *self, struct mf_uuid id)
{
    pthread_mutex_lock(&self->lock);
    bool is = mf_guest_get(self, id)->cancelled;
    pthread_mutex_unlock(&self->lock);
    return is;
}

static void end(struct mf_driver *self, struct mf_uuid id, int r, pid_t pid)
{
    pthread_mutex_lock(&self->lock);
    struct mf_guest *guest = mf_guest_get(self, id);
    guest->creating = false;
    guest->pid = r == 0 ? pid : 0;
    if (r < 0)
        mf_guest_forget(self, id);
    pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->lock);
}

/* An at-most guest that nobody resumed: whose create that was has left. */
static bool is_half_made(virDomainPtr domain)
{
    struct mf_domain_identity identity;
    int state = VIR_DOMAIN_NOSTATE;
    return mf_domain_identity(domain, &identity) && identity.at_most &&
           virDomainGetState(domain, &state, NULL, 0) == 0 && state == VIR_DOMAIN_PAUSED;
}

/* 1 if it runs already, 0 if it is to be made, or an error. */
static int already(struct mf_driver *self, virConnectPtr conn, struct mf_uuid id, pid_t *ret_pid,
                   char error[512])
{
    virDomainPtr domain;
    int r = mf_guest_lookup(self, conn, id, &domain, error);
    if (r == -ENOENT) {
        error[0] = 0;
        /* A crumb without a domain: an earlier life's process may be there that libvirt knows nothing of. */
        pid_t lost = self->local && !self->unseen && mf_crumb_there(self, id) ? mf_process_find_guest(id) : 0;
        r = lost > 0 ? mf_process_kill_guest(lost, id, KILL_LIMIT_MS) : lost;
        if (r < 0)
            mf_str_format(error, 512, "whether an earlier process of it is here is not known: %s",
                          strerror(-r));
        return r;
    }
    if (r < 0)
        return r;
    r = virDomainIsActive(domain);
    if (r == 1 && is_half_made(domain)) {
        mf_str_format(error, 512, "a domain \"%s\" with this id is here, half made; destroy it first",
                      virDomainGetName(domain));
        r = -EEXIST;
    } else if (r == 1)
        *ret_pid = mf_guest_find_pid(self, id, virDomainGetName(domain));
    else if (r == 0) {
        mf_str_format(error, 512,
                      "a domain \"%s\" with this id is defined here but not running; destroy it first",
                      virDomainGetName(domain));
        r = -EEXIST;
    } else
        r = mf_libvirt_error(error, "cannot ask whether the guest runs");
    virDomainFree(domain);
    return r;
}

static int check_files(const struct mf_driver_spec *spec, char error[512])
{
    const char *const files[] = {spec->kernel, spec->initrd, spec->seed, spec->base};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (files[i] && access(files[i], R_OK) < 0) {
            int r = -errno;
            mf_str_format(error, 512, "cannot read %.300s: %s", files[i], strerror(-r));
            return r;
        }
    return 0;
}

static int make_disk(struct mf_driver *self, const struct mf_driver_spec *spec, char error[512])
{
    char size[32], said[256];
    mf_str_format(size, sizeof size, "%" PRIu64 "M", spec->disk_mib ? spec->disk_mib : 1);
    const char *const
        empty[] = {"qemu-img", "create", "-q", "-f", "qcow2", spec->disk, size, NULL},
        *const overlay[] = {
            "qemu-img", "create",   "-q",       "-f", "qcow2", "-F", mf_disk_format_word(spec->base_format),
            "-b",       spec->base, spec->disk, size, NULL};
    const char *const *argv = spec->base ? overlay : empty;
    int status = 0, r = mf_crumb_leave(self, spec->id, spec->disk, error);
    if (r < 0)
        return r;
    r = mf_process_run(argv, DISK_LIMIT_MS, &status, said, sizeof said);
    if (r < 0)
        mf_str_format(error, 512, "cannot run qemu-img (package qemu-utils): %s", strerror(-r));
    else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        mf_str_format(error, 512, "cannot make the disk %.200s: %s", spec->disk,
                      said[0] ? said : "qemu-img failed");
        r = -EIO;
    }
    return r;
}

/* Paused it is; whether it may run is not ours to say. */
static int ask_keeper(const struct mf_driver_spec *spec, pid_t pid, char error[512])
{
    if (pid < 0) {
        mf_str_format(error, 512, "its process cannot be seen, so its keeper could not end it: %s",
                      strerror(-pid));
        return pid;
    }
    if (!spec->hold(spec->hold_arg, spec->id, pid)) {
        mf_str_format(error, 512, "its keeper does not let it run: the lease is over");
        return -ECANCELED;
    }
    return 0;
}

static bool was_shell(const struct mf_driver_spec *spec)
{
    return !mf_uuid_is_zero(spec->shell);
}

static int let_run(const struct mf_driver_spec *spec, virDomainPtr domain, pid_t pid, char error[512])
{
    int r = spec->at_most ? ask_keeper(spec, pid, error) : 0;
    if (r == 0 && was_shell(spec) && pid <= 0) { /* nobody could prove its end */
        mf_str_format(error, 512, "the shell's process is not known to be this guest's");
        r = -ESTALE;
    }
    return r == 0 && virDomainResume(domain) < 0 ? mf_libvirt_error(error, "cannot resume the guest") : r;
}

static void look_after(struct mf_driver *self, const struct mf_driver_spec *spec, virDomainPtr domain)
{
    struct mf_domain_identity identity;
    if (mf_domain_identity(domain, &identity))
        mf_health_watch(self, spec->id, &identity);
}

static int make_domain(virConnectPtr conn, const struct mf_driver_spec *spec,
                       const struct mf_domain_host *host, virDomainPtr *ret_domain, char error[512])
{
    struct mf_buf xml = {0};
    bool paused = spec->at_most || spec->as_shell;
    int r = mf_domain_xml(spec, host, &xml, error);
    if (r == 0) {
        *ret_domain = virDomainCreateXML(conn, xml.ptr, paused ? VIR_DOMAIN_START_PAUSED : VIR_DOMAIN_NONE);
        r = *ret_domain ? 0 : mf_libvirt_error(error, "cannot start the guest");
    }
    mf_buf_free(&xml);
    return r;
}

static int start(struct mf_driver *self, virConnectPtr conn, const struct mf_driver_spec *spec,
                 const struct mf_domain_host *host, pid_t *ret_pid, char error[512])
{
    virDomainPtr domain;
    int r = was_shell(spec) ? mf_shell_claim(self, conn, spec, host, &domain, error)
                            : make_domain(conn, spec, host, &domain, error);
    if (r < 0)
        return r;
    *ret_pid = mf_guest_find_pid(self, spec->id, virDomainGetName(domain));
    if (spec->at_most || was_shell(spec))
        r = let_run(spec, domain, *ret_pid, error);
    if (cancelled(self, spec->id)) {
        mf_str_format(error, 512, "the guest was destroyed while it was being made");
        r = -ECANCELED;
    }
    if (r < 0)
        (void)virDomainDestroy(domain);
    else if (!spec->as_shell)
        look_after(self, spec, domain);
    virDomainFree(domain);
    return r;
}

static int make(struct mf_driver *self, virConnectPtr conn, const struct mf_driver_spec *spec, pid_t *ret_pid,
                char error[512])
{
    struct mf_buf xml = {0}; /* a spec that cannot be said is refused before anything is made */
    struct mf_guest_sockets sockets;
    struct mf_domain_host host;
    int r = mf_libvirt_host(self, conn, spec, &sockets, &host, error);
    if (r == 0)
        r = mf_domain_xml(spec, &host, &xml, error);
    mf_buf_free(&xml);
    bool disk = spec->disk && self->local;
    if (r == 0 && self->local)
        r = check_files(spec, error);
    if (r == 0 && disk && !was_shell(spec))
        r = make_disk(self, spec, error);
    if (r == 0 && cancelled(self, spec->id)) {
        mf_str_format(error, 512, "the guest was destroyed while it was being made");
        r = -ECANCELED;
    }
    if (r == 0)
        r = start(self, conn, spec, &host, ret_pid, error);
    if (r < 0)
        mf_libvirt_unpin(self, spec->id);
    if (r < 0 && disk)
        mf_crumb_clean(self, spec->id);
    if (r < 0)
        mf_log_remove(self, spec->id);
    else if (was_shell(spec))
        mf_crumb_clean(self, spec->shell); /* it has been let run */
    return r;
}

int mf_libvirt_create(struct mf_driver *self, const struct mf_driver_spec *spec, int64_t *ret_pid,
                      char error[512])
{
    MF_MAGIC(self, MF_DRIVER_LIBVIRT_MAGIC);
    char ignored[512];
    error[0] = 0;
    pid_t pid = 0;
    if (spec->at_most && !(mf_libvirt_caps(self) & MF_DRIVER_FENCEABLE)) {
        mf_str_format(error, 512,
                      "%.200s: at-most guests need a hypervisor on this machine whose processes this "
                      "user may kill",
                      self->uri);
        return -ENOTSUP;
    }
    int r = begin(self, spec->id, error);
    if (r < 0)
        return r;
    virConnectPtr conn = mf_lane_get(self, MF_LANE_CREATE, error);
    r = conn ? already(self, conn, spec->id, &pid, error) : -ENOTCONN;
    bool made = r == 0 && (r = make(self, conn, spec, &pid, error)) == 0;
    if (r == 1)
        r = 0;
    if (conn)
        virConnectClose(conn);
    if (r == 0 && spec->console && self->console && !spec->as_shell)
        mf_console_add(self->console, spec->id, spec->console);
    if (pid < 0)
        pid = 0; /* libvirt tells of its end */
    end(self, spec->id, r, pid);
    if (was_shell(spec) && !made)
        (void)mf_libvirt_destroy(self, spec->shell, 0, ignored);
    if (r == 0)
        *ret_pid = pid;
    return r;
}
