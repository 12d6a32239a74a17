/* driver_libvirt.c - the libvirt driver: any URI, and by default QEMU run from this very process
 * (qemu:///embed). See driver_libvirt.h for its other files. */
#include "driver_libvirt.h"
#include "check.h"
#include "halfborn.h"
#include "rights.h"

#include <ctype.h>
#include <errno.h>
#include <libvirt/virterror.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int mf_libvirt_error(char error[512], const char *what)
{
    virErrorPtr last = virGetLastError();
    mf_str_format(error, 512, "%s: %s", what, last && last->message ? last->message : "unknown error");
    for (char *p = error; *p; p++)
        if ((unsigned char)*p < 0x20)
            *p = ' ';
    if (last && (last->code == VIR_ERR_INVALID_CONN || last->domain == VIR_FROM_RPC))
        return -ENOTCONN;
    return -EIO;
}

int mf_domain_lookup(virConnectPtr conn, struct mf_uuid id, virDomainPtr *ret_domain, char error[512])
{
    virDomainPtr domain = virDomainLookupByUUID(conn, id.bytes);
    if (domain) {
        *ret_domain = domain;
        return 0;
    }
    int code = virGetLastErrorCode(), r = mf_libvirt_error(error, "cannot look the guest up");
    return code == VIR_ERR_NO_DOMAIN ? -ENOENT : r;
}

bool mf_domain_identity(virDomainPtr domain, struct mf_domain_identity *ret_identity)
{
    memset(ret_identity, 0, sizeof *ret_identity);
    char *element = virDomainGetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, MF_DOMAIN_NAMESPACE, 0);
    bool ours = element && mf_domain_identity_parse(element, ret_identity);
    free(element);
    return ours;
}

/* ---- connections */

/* What can be done about a daemon's socket that does not let us in. */
static const char *remedy(void)
{
    const virErrorPtr last = virGetLastError();
    switch (last && last->code == VIR_ERR_SYSTEM_ERROR ? last->int1 : 0) {
    case ENOENT:
        return "; is libvirtd running, and in a container: is its socket's folder mounted (/run/libvirt)?";
    case EACCES:
    case EPERM:
        return "; the socket lets in its owner and its group: run the worker as root, or in that group "
               "(libvirt)";
    case ECONNREFUSED:
        return "; a socket is there, but nobody serves it: start libvirtd; in a container: mount the "
               "socket's "
               "folder, not the socket, which libvirtd makes anew at its start";
    default:
        return "";
    }
}

static virConnectPtr connect_uri(struct mf_driver *self, char error[512])
{
    virConnectPtr conn = virConnectOpen(self->uri);
    if (!conn) {
        char what[256], said[512];
        const char *hint = self->embed ? "" : remedy();
        mf_str_format(what, sizeof what, "cannot open %s", self->uri);
        mf_libvirt_error(said, what);
        mf_str_format(error, 512, "%.300s%s", said, hint);
        return NULL;
    }
    (void)virConnectSetKeepAlive(conn, 5, 3); /* refused where there is no daemon to keep alive */
    return conn;
}

/* One connection serves all lanes where there is no daemon behind it. */
static int open_lanes(struct mf_driver *self, char error[512])
{
    for (int lane = 0; lane < MF_LANES; lane++) {
        if (lane > 0 && (self->embed || self->test)) {
            virConnectRef(self->lanes[0]);
            self->lanes[lane] = self->lanes[0];
            continue;
        }
        self->lanes[lane] = connect_uri(self, error);
        if (!self->lanes[lane])
            return -EIO;
        self->test = strcmp(virConnectGetType(self->lanes[lane]), "TEST") == 0;
    }
    return 0;
}

virConnectPtr mf_lane_get(struct mf_driver *self, enum mf_lane lane, char error[512])
{
    pthread_mutex_lock(&self->lock);
    virConnectPtr conn = self->lanes[lane];
    virConnectRef(conn);
    pthread_mutex_unlock(&self->lock);
    if (virConnectIsAlive(conn) != 0)
        return conn;
    virConnectClose(conn);
    virConnectPtr fresh = connect_uri(self, error); /* not under the lock: this may take its time */
    if (!fresh)
        return NULL;
    if (lane == MF_LANE_WATCH)
        mf_events_watch(self, fresh);
    virConnectRef(fresh);
    pthread_mutex_lock(&self->lock);
    virConnectPtr old = self->lanes[lane];
    self->lanes[lane] = fresh;
    pthread_mutex_unlock(&self->lock);
    virConnectClose(old);
    return fresh;
}

/* ---- the URI */

static char *text_dup(const char *text)
{
    char *copy = text ? strdup(text) : NULL;
    MF_CHECK(copy || !text);
    return copy;
}

static char *embed_uri(const char *root)
{
    struct mf_buf buf = {0};
    mf_buf_append(&buf, "qemu:///embed?root=", 19);
    for (; *root; root++) {
        char escaped[4];
        bool plain =
            isascii((unsigned char)*root) && (isalnum((unsigned char)*root) || strchr("/-_.~", *root));
        struct mf_str piece =
            mf_str_format(escaped, sizeof escaped, plain ? "%c" : "%%%02X", (unsigned char)*root);
        mf_buf_append(&buf, piece.ptr, piece.len);
    }
    mf_buf_append(&buf, "", 1);
    return buf.ptr;
}

/* An embedded hypervisor's root is the driver's root: what a URI says otherwise is refused rather than
 * ignored. */
static int choose_uri(struct mf_driver *self, const char *uri, char error[512])
{
    static const char embed[] = "qemu:///embed";
    if (uri && uri[0] && strncmp(uri, embed, sizeof embed - 1) != 0) {
        self->uri = text_dup(uri);
        self->local = strstr(uri, ":///") != NULL && strncmp(uri, "qemu", 4) == 0;
        self->unseen = self->local && mf_libvirt_daemon(uri) == 0;
        return 0;
    }
    self->embed = self->local = true;
    self->uri = embed_uri(self->root);
    const char *rest = uri && uri[0] ? uri + sizeof embed - 1 : "";
    bool same = !rest[0] || strcmp(uri, self->uri) == 0 ||
                (strncmp(rest, "?root=", 6) == 0 && strcmp(rest + 6, self->root) == 0);
    if (!same) {
        mf_str_format(error, 512,
                      "the URI %.150s has another root than this node's own: give \"%s\" alone, or %.150s",
                      uri, embed, self->uri);
        return -EINVAL;
    }
    int r = mf_embed_alias(self->root, self->alias, error);
    if (r == 0 && self->alias[0]) {
        free(self->uri);
        self->uri = embed_uri(self->alias);
    }
    return r;
}

/* ---- open */

/* Debian's libvirt looks its QEMU user up before it reads the configuration that names another one. */
static int check_user(char error[512])
{
    if (geteuid() != 0 || getpwnam("libvirt-qemu"))
        return 0;
    mf_str_format(error, 512,
                  "this machine has no user libvirt-qemu, which libvirt wants even where it is not used: "
                  "\"useradd --system --user-group --groups kvm --home-dir /var/lib/libvirt --no-create-home "
                  "--shell /usr/sbin/nologin libvirt-qemu\" makes it, or the package libvirt-daemon-system");
    return -ENOENT;
}

static int make_folders(struct mf_driver *self, char error[512])
{
    char path[4096];
    mf_str_format(path, sizeof path, "%s/guests", self->root);
    if ((mkdir(self->root, 0755) == 0 || errno == EEXIST) && (mkdir(path, 0755) == 0 || errno == EEXIST))
        return 0;
    int r = -errno;
    mf_str_format(error, 512, "cannot make the folder %.300s: %s", path, strerror(-r));
    return r;
}

/* Asked for by name, KVM must be there: a guest that is emulated after all would be ten times slower than its
 * owner believes. */
static int insist_on_kvm(struct mf_driver *self, virConnectPtr conn, char error[512])
{
    if (self->embed && access("/dev/kvm", R_OK | W_OK) < 0) {
        int code = errno;
        mf_str_format(error, 512,
                      "domain type kvm, but /dev/kvm: %s; let this worker have the device (in a container: "
                      "--device /dev/kvm; else the group kvm), or give --domain-type auto or qemu, which "
                      "emulates",
                      strerror(code));
        return -code;
    }
    if (mf_libvirt_offers_kvm(conn))
        return 0;
    mf_str_format(
        error, 512,
        "domain type kvm, but the hypervisor at %.150s offers none: is virtualisation switched on in "
        "this machine, and its module loaded (modprobe kvm_intel or kvm_amd)? --domain-type auto or "
        "qemu emulates",
        self->uri);
    return -ENODEV;
}

static int choose_type(struct mf_driver *self, char error[512])
{
    virConnectPtr conn = self->lanes[MF_LANE_WATCH];
    const char *kind = virConnectGetType(conn), *wanted = self->config.domain_type;
    const char *type = NULL;
    if (self->test)
        type = "test";
    else if (!kind || strcmp(kind, "QEMU") != 0) {
        mf_str_format(
            error, 512,
            "%s is a hypervisor of type %s, which cannot boot a kernel and an initrd: give a qemu URI",
            self->uri, kind ? kind : "unknown");
        return -ENOTSUP;
    } else if (!wanted || !wanted[0] || strcmp(wanted, "auto") == 0) {
        type = mf_libvirt_kvm_or_qemu(self, conn, error);
    } else if (strcmp(wanted, "kvm") == 0) {
        int r = insist_on_kvm(self, conn, error);
        if (r < 0)
            return r;
        type = "kvm";
    } else if (strcmp(wanted, "qemu") == 0) {
        type = "qemu";
    } else {
        mf_str_format(error, 512, "unknown domain type \"%s\": give auto, kvm or qemu", wanted);
        return -EINVAL;
    }
    mf_str_format(self->type, sizeof self->type, "%s", type);
    return 0;
}

/* libvirt asks QEMU what it can do before the first guest, for seconds on a new root: done now, so that a
 * node that says it is ready is ready. */
static int warm_up(struct mf_driver *self, char error[512])
{
    if (self->test)
        return 0;
    char *text =
        virConnectGetDomainCapabilities(self->lanes[MF_LANE_CREATE], NULL, "x86_64", "q35", self->type, 0);
    if (!text)
        return mf_libvirt_error(error, "this hypervisor cannot run a q35 guest");
    free(text);
    return 0;
}

/* Guests that an earlier agent made: their consoles must be kept bounded again. Those that it did not resume
 * are nobody's. */
static void adopt(struct mf_driver *self)
{
    struct mf_driver_guest *guests = NULL;
    size_t n = 0;
    char ignored[512];
    mf_shells_settle(self);
    mf_logs_sweep(self);
    if (mf_libvirt_list(self, &guests, &n, ignored) < 0)
        return;
    for (size_t i = 0; i < n; i++)
        if (guests[i].at_most && !guests[i].running)
            (void)mf_libvirt_destroy(self, guests[i].id, 0, ignored);
    free(guests);
}

static void release(struct mf_driver *self)
{
    mf_health_stop(self);
    for (int lane = 0; lane < MF_LANES; lane++)
        if (self->lanes[lane])
            virConnectClose(self->lanes[lane]);
    mf_console_destroy(&self->console);
    mf_pins_free(&self->pins);
    mf_topology_free(&self->topology);
    size_t cursor = 0;
    for (void *guest; mf_map_next(self->guests, &cursor, &guest);)
        free(guest);
    mf_map_destroy(&self->guests);
    cursor = 0;
    for (void *shell; mf_map_next(self->shells, &cursor, &shell);)
        free(shell);
    mf_map_destroy(&self->shells);
    free((char *)self->config.domain_type);
    free(self->uri);
    free(self->root);
    pthread_cond_destroy(&self->changed);
    pthread_mutex_destroy(&self->lock);
    self->magic = 0;
    free(self);
}

static struct mf_driver *make(const struct mf_driver_config *config)
{
    struct mf_driver *self = calloc(1, sizeof *self);
    MF_CHECK(self);
    self->magic = MF_DRIVER_LIBVIRT_MAGIC;
    self->config = *config;
    self->config.domain_type = text_dup(config->domain_type);
    self->root = text_dup(config->root);
    self->guests = mf_map_new();
    self->shells = mf_map_new();
    for (size_t i = 0; i < sizeof self->callbacks / sizeof *self->callbacks; i++)
        self->callbacks[i] = -1;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->changed, &attr);
    pthread_condattr_destroy(&attr);
    return self;
}

static int open_(const struct mf_driver_config *config, struct mf_driver **ret_driver, char error[512])
{
    error[0] = 0;
    if (!config->root || config->root[0] != '/') {
        mf_str_format(error, 512, "the driver's root must be an absolute path");
        return -EINVAL;
    }
    struct mf_driver *self = make(config);
    int r = make_folders(self, error);
    if (r == 0)
        r = choose_uri(self, config->uri, error);
    if (r == 0 && self->embed)
        r = check_user(error);
    if (r == 0 && self->embed)
        r = mf_rights_start_qemu(error);
    if (r == 0 && self->embed)
        r = mf_embed_prepare(self->root, error);
    if (r == 0 && self->embed)
        (void)mf_halfborn_clear(self->root); /* what it leaves shows in the list, and its destroy tells why */
    if (r == 0)
        r = mf_events_start(error);
    if (r == 0)
        r = open_lanes(self, error);
    if (r == 0)
        r = choose_type(self, error);
    if (r == 0)
        r = warm_up(self, error);
    if (r == 0)
        r = mf_libvirt_look_at_host(self, self->lanes[MF_LANE_WATCH], error);
    if (r == 0)
        r = mf_health_start(self, error);
    if (r == 0 && self->local && !(self->console = mf_console_new())) {
        mf_str_format(error, 512, "cannot start a thread");
        r = -EAGAIN;
    }
    if (r < 0) {
        release(self);
        return r;
    }
    mf_events_watch(self, self->lanes[MF_LANE_WATCH]);
    adopt(self);
    *ret_driver = self;
    return 0;
}

/* The alias is needed for as long as a guest lives: libvirt wrote it into what it will read when the next
 * agent adopts them. */
static void drop_alias(struct mf_driver *self)
{
    struct mf_driver_guest *guests = NULL;
    size_t n = 0;
    char ignored[512];
    if (self->alias[0] && mf_libvirt_list(self, &guests, &n, ignored) == 0 && n == 0)
        mf_embed_drop_alias(self->alias);
    free(guests);
}

static void close_(struct mf_driver *self)
{
    MF_MAGIC(self, MF_DRIVER_LIBVIRT_MAGIC);
    mf_shells_end(self);
    drop_alias(self);
    mf_events_unwatch(self);
    release(self);
}

unsigned mf_libvirt_caps(const struct mf_driver *self)
{
    unsigned always = MF_DRIVER_HAS_EVENTS;
    if (self->test)
        return always;
    always |= MF_DRIVER_SURVIVES | MF_DRIVER_HAS_ACPI;
    if (!self->local)
        return always;
    always |=
        MF_DRIVER_HAS_DISK | MF_DRIVER_HAS_CONSOLE | (self->embed ? MF_DRIVER_OWN | MF_DRIVER_HAS_SHELLS : 0);
    if (self->unseen)
        return always | MF_DRIVER_UNSEEN;
    if (self->embed || mf_rights_kill_others()) /* a daemon's QEMU is another user's process */
        always |= MF_DRIVER_FENCEABLE;
    return always | MF_DRIVER_HAS_PID;
}

static const char *type(const struct mf_driver *self)
{
    return self->type;
}

/* What domains that are not ours use, as of the last list, is taken off. An operator's own number is meant as
 * it stands. */
static int capacity(struct mf_driver *self, struct mf_driver_capacity *ret_capacity, char error[512])
{
    pthread_mutex_lock(&self->lock);
    struct mf_rec_resources foreign = self->foreign;
    pthread_mutex_unlock(&self->lock);
    if (self->config.capacity.vcpus)
        foreign.vcpus = 0;
    if (self->config.capacity.memory_mib)
        foreign.memory_mib = 0;
    *ret_capacity = self->capacity;
    mf_driver_capacity_less(ret_capacity, &foreign);
    return 0;
}

const struct mf_driver_ops mf_driver_libvirt = {.name = "libvirt",
                                                .open = open_,
                                                .close = close_,
                                                .caps = mf_libvirt_caps,
                                                .type = type,
                                                .capacity = capacity,
                                                .create = mf_libvirt_create,
                                                .destroy = mf_libvirt_destroy,
                                                .list = mf_libvirt_list,
                                                .shell_kind = mf_libvirt_shell_kind,
                                                .shell_make = mf_libvirt_shell_make,
                                                .shell_take = mf_libvirt_shell_take,
                                                .shells = mf_libvirt_shells};
