/* works.c - the calls that block, as the pool's threads make them: births, ends, lists, reading a console,
 * asking for a host's address. A work reads only what is fixed and what was handed to it, and keeps its
 * result until the loop takes it back. */
#include "agent.h"
#include "check.h"
#include "listings.h"
#include "places.h"
#include "program.h"
#include "seed.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct mf_work *mf_work_new(const struct mf_agent *agent, enum mf_work_kind kind)
{
    struct mf_work *self = calloc(1, sizeof *self);
    MF_CHECK(self);
    self->kind = kind;
    self->fixed = &agent->fixed;
    self->began_at = mf_now();
    return self;
}

void mf_work_free(struct mf_work *self)
{
    free(self->log);
    free(self->guests);
    mf_arena_free(&self->arena);
    free(self);
}

/* -- birth */

static int make_seed(struct mf_work *self, const char *dir)
{
    char mac[18];
    mf_driver_mac(self->id, mac);
    const struct mf_seed seed = {.order = &self->order,
                                 .node = self->fixed->node,
                                 .mac = mac,
                                 .vendor_data = self->fixed->settings->vendor_bytes};
    int r = mf_seed_make(&seed, dir, self->text);
    if (r < 0)
        self->code = r == -EBADMSG ? MF_E_USER_DATA : MF_E_DRIVER;
    return r;
}

/* A disk is thin at first: what it may come to take is not there yet, so some must be left. */
static int find_room(struct mf_work *self)
{
    const struct mf_agent_settings *settings = self->fixed->settings;
    int r = mf_images_disk_left(settings->state, (uint64_t)settings->disk_reserve_mib, self->text);
    if (r < 0)
        self->code = MF_E_DISK_FULL;
    return r;
}

/* What it uses is listed before it is used: from then on nothing may evict it. */
static int find_image(struct mf_work *self, const char *dir, struct mf_image_paths *paths)
{
    const struct mf_msg_order_create *order = &self->order;
    int r = mf_listing_write(dir, &order->image, self->text);
    if (r == 0)
        r = mf_images_check(self->fixed->images, &order->image, order->offering.disk_mib, paths, self->text);
    if (r < 0)
        self->code = r == -EINVAL   ? MF_E_IMAGE
                     : r == -EAGAIN ? MF_E_UNAVAILABLE
                     : r == -ENOSPC ? MF_E_DISK_FULL
                                    : MF_E_DRIVER;
    return r;
}

static int prepare(struct mf_work *self, const char *dir, struct mf_image_paths *paths, char seed[4200])
{
    const struct mf_agent_const *fixed = self->fixed;
    bool boots = fixed->caps & MF_DRIVER_HAS_DISK;
    bool looks = boots || (fixed->settings->image_root && *fixed->settings->image_root) ||
                 mf_image_fetched(&self->order.image);
    int r = looks ? find_image(self, dir, paths) : 0;
    mf_str_format(seed, 4200, "%s/seed.iso", dir);
    return r;
}

static const char *path_if(bool boots, const char *path)
{
    return boots && *path ? path : NULL;
}

static void describe(struct mf_work *self, struct mf_birth *birth)
{
    const struct mf_agent_const *fixed = self->fixed;
    const struct mf_msg_order_create *order = &self->order;
    bool boots = fixed->caps & MF_DRIVER_HAS_DISK;
    const struct mf_image_paths *paths = &birth->paths;
    mf_str_format(birth->network, sizeof birth->network, "%.*s", (int)order->network.len,
                  order->network.ptr ? order->network.ptr : "");
    mf_str_format(birth->disk, sizeof birth->disk, "%s/disk.qcow2", birth->dir);
    mf_str_format(birth->console, sizeof birth->console, "%s/console.log", birth->dir);
    struct mf_driver_spec spec = {
        .id = self->id,
        .epoch = order->epoch,
        .at_most = order->policy == MF_POLICY_AT_MOST,
        .hold = mf_holds_ask,
        .hold_arg = fixed->holds,
        .vcpus = order->offering.vcpus,
        .memory_mib = order->offering.memory_mib,
        .disk_mib = order->offering.disk_mib,
        .kernel = path_if(boots, paths->kernel),
        .initrd = path_if(boots, paths->initrd),
        .cmdline = boots && *paths->kernel ? paths->cmdline : NULL,
        .base = path_if(boots, paths->disk),
        .base_format = paths->disk_format,
        .seed = boots ? birth->seed : NULL,
        .disk = boots ? birth->disk : NULL,
        .console = fixed->caps & MF_DRIVER_HAS_CONSOLE ? birth->console : NULL,
        .dir = boots ? birth->dir : NULL,
        .offering = &order->offering,
        .health = &order->health,
        .network = birth->network,
        .cells = (uint8_t)order->cells,
    };
    mf_str_format(spec.name, sizeof spec.name, "%.*s/%.*s/%llu#%llu", (int)order->tenant.len,
                  order->tenant.ptr, (int)order->group.len, order->group.ptr, (unsigned long long)order->slot,
                  (unsigned long long)order->generation);
    birth->spec = spec;
}

int mf_birth_describe(struct mf_work *self, struct mf_birth *birth)
{
    int r = prepare(self, birth->dir, &birth->paths, birth->seed);
    if (r == 0)
        describe(self, birth);
    return r;
}

static int call_driver(struct mf_work *self, const struct mf_birth *birth)
{
    const struct mf_agent_const *fixed = self->fixed;
    int r = fixed->ops->create(fixed->driver, &birth->spec, &self->pid, self->text);
    self->code = r < 0 ? MF_E_DRIVER : MF_E_OK;
    return r;
}

static int bear(struct mf_work *self, bool may_take_shell)
{
    const struct mf_agent_const *fixed = self->fixed;
    bool files_needed =
        fixed->caps & (MF_DRIVER_HAS_DISK | MF_DRIVER_HAS_CONSOLE) || mf_image_fetched(&self->order.image);
    struct mf_birth birth = {0};
    if (files_needed && find_room(self) < 0)
        return -ENOSPC;
    if (files_needed && mf_places_make(fixed->settings->state, self->id, birth.dir, self->text) < 0) {
        self->code = MF_E_DRIVER;
        return -EIO;
    }
    int r = mf_birth_describe(self, &birth);
    if (r == 0 && may_take_shell && mf_shell_take(self, &birth))
        r = mf_shell_become(self, &birth);
    else if (r == 0 && fixed->caps & MF_DRIVER_HAS_DISK)
        r = make_seed(self, birth.dir);
    if (r == 0)
        r = call_driver(self, &birth);
    if (r < 0 && files_needed)
        mf_places_remove(fixed->settings->state, self->id);
    return r;
}

/* A shell that proves to be no good costs a birth nothing but its head start. */
static void run_create(struct mf_work *self)
{
    if (bear(self, true) != -ESTALE || !self->from_shell)
        return;
    self->text[0] = 0;
    self->from_shell = false;
    (void)bear(self, false);
}

/* -- the other calls */

/* What is not there is no evidence, and keeps nothing from being ended. */
static void read_evidence(struct mf_work *self)
{
    size_t max = self->bytes;
    self->bytes = 0;
    if (max && self->fixed->caps & MF_DRIVER_HAS_CONSOLE)
        (void)mf_places_console(self->fixed->settings->state, self->id, max, &self->log, &self->bytes);
}

static void run_destroy(struct mf_work *self)
{
    const struct mf_agent_const *fixed = self->fixed;
    read_evidence(self);
    if (fixed->ops->destroy(fixed->driver, self->id, self->grace_ms, self->text) < 0) {
        self->code = MF_E_DRIVER;
        return;
    }
    mf_places_remove(fixed->settings->state, self->id);
}

static bool is_listed(const void *arg, struct mf_uuid id)
{
    const struct mf_work *self = arg;
    for (size_t i = 0; i < self->n_guests; i++)
        if (mf_uuid_eq(self->guests[i].id, id))
            return true;
    return false;
}

/* A first list that hung may come back when guests are being made that it knows nothing of. */
static void sweep(struct mf_work *self)
{
    const struct mf_agent_const *fixed = self->fixed;
    pthread_mutex_lock(&fixed->sweep->lock);
    if (!fixed->sweep->over) {
        mf_places_remove_orphans(fixed->settings->state, is_listed, self);
        mf_shell_sweep(fixed);
    }
    pthread_mutex_unlock(&fixed->sweep->lock);
}

static void run_list(struct mf_work *self)
{
    const struct mf_agent_const *fixed = self->fixed;
    if (fixed->ops->list(fixed->driver, &self->guests, &self->n_guests, self->text) < 0 ||
        fixed->ops->capacity(fixed->driver, &self->capacity, self->text) < 0) {
        self->code = MF_E_DRIVER;
        return;
    }
    mf_shell_account(fixed, &self->capacity);
    if (self->sweep)
        sweep(self);
}

static void run_read_log(struct mf_work *self)
{
    size_t max = self->bytes;
    self->bytes = 0;
    if (!(self->fixed->caps & MF_DRIVER_HAS_CONSOLE)) {
        self->code = MF_E_UNSUPPORTED;
        return;
    }
    int r = mf_places_console(self->fixed->settings->state, self->id, max, &self->log, &self->bytes);
    self->code = r == 0 ? MF_E_OK : r == -ENOENT ? MF_E_UNKNOWN : MF_E_DRIVER;
}

/* HOST:PORT to numbers, in place; what cannot be found stays as it is, and the keeper says so. */
static void resolve(char address[101])
{
    char host[101];
    const char *colon = strrchr(address, ':');
    if (!colon || address[0] == '[')
        return;
    mf_str_format(host, sizeof host, "%.*s", (int)(colon - address), address);
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM}, *found = NULL;
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
        return;
    char number[64], port[8];
    if (getnameinfo(found->ai_addr, found->ai_addrlen, number, sizeof number, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV | NI_DGRAM) == 0)
        mf_str_format(address, 101, found->ai_family == AF_INET6 ? "[%s]:%s" : "%s:%s", number, port);
    freeaddrinfo(found);
}

static void run_resolve(struct mf_work *self)
{
    for (uint32_t i = 0; i < self->session.n_monitors; i++)
        resolve(self->session.monitors[i]);
}

static void run(struct mf_job *job)
{
    struct mf_work *self = (struct mf_work *)job;
    static void (*const runs[])(struct mf_work *) = {
        [MF_WORK_CREATE] = run_create,     [MF_WORK_DESTROY] = run_destroy, [MF_WORK_LIST] = run_list,
        [MF_WORK_READ_LOG] = run_read_log, [MF_WORK_RESOLVE] = run_resolve, [MF_WORK_SHELL] = mf_shell_run,
    };
    runs[self->kind](self);
}

void mf_work_start(struct mf_pool *pool, struct mf_work *self)
{
    static const enum mf_lane lanes[] = {
        [MF_WORK_CREATE] = MF_LANE_CREATE, [MF_WORK_DESTROY] = MF_LANE_DESTROY,
        [MF_WORK_LIST] = MF_LANE_LIST,     [MF_WORK_READ_LOG] = MF_LANE_READ,
        [MF_WORK_RESOLVE] = MF_LANE_READ,  [MF_WORK_SHELL] = MF_LANE_SHELL,
    };
    self->job.run = run;
    mf_pool_post(pool, lanes[self->kind], &self->job);
}
