/* works.c - the calls that block, as the pool's threads make them: births, ends, lists, reading a console,
 * asking for a host's address. A work reads only what is fixed and what was handed to it, and keeps its
 * result until the loop takes it back. */
#include "agent.h"
#include "check.h"
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
    free(self);
}

/* -- birth */

static int prepare(struct mf_work *self, const char *dir, struct mf_image_files *files, char seed[4200])
{
    const struct mf_agent_const *fixed = self->fixed;
    bool boots = fixed->caps & MF_DRIVER_HAS_DISK;
    if (boots && !fixed->images) {
        mf_str_format(self->text, sizeof self->text, "this node has no image root; set image-root");
        self->code = MF_E_IMAGE;
        return -EINVAL;
    }
    if (fixed->images && mf_images_check(fixed->images, &self->order.image, files, self->text) < 0) {
        self->code = MF_E_IMAGE;
        return -EINVAL;
    }
    if (boots && mf_seed_make(&self->order, fixed->node, dir, self->text) < 0) {
        self->code = MF_E_DRIVER;
        return -EIO;
    }
    mf_str_format(seed, 4200, "%s/seed.iso", dir);
    return 0;
}

static int call_driver(struct mf_work *self, const char *dir, const struct mf_image_files *files,
                       const char *seed)
{
    const struct mf_agent_const *fixed = self->fixed;
    const struct mf_msg_order_create *order = &self->order;
    bool boots = fixed->caps & MF_DRIVER_HAS_DISK;
    char disk[4200], console[4200];
    mf_str_format(disk, sizeof disk, "%s/disk.qcow2", dir);
    mf_str_format(console, sizeof console, "%s/console.log", dir);
    struct mf_driver_spec spec = {
        .id = order->id,
        .epoch = order->epoch,
        .at_most = order->policy == MF_POLICY_AT_MOST,
        .hold = mf_holds_ask,
        .hold_arg = fixed->holds,
        .vcpus = order->offering.vcpus,
        .memory_mib = order->offering.memory_mib,
        .disk_mib = order->offering.disk_mib,
        .kernel = boots ? files->kernel : NULL,
        .initrd = boots ? files->initrd : NULL,
        .cmdline = boots ? files->cmdline : NULL,
        .seed = boots ? seed : NULL,
        .disk = boots ? disk : NULL,
        .console = fixed->caps & MF_DRIVER_HAS_CONSOLE ? console : NULL,
    };
    mf_str_format(spec.name, sizeof spec.name, "%.*s/%.*s/%llu#%llu", (int)order->tenant.len,
                  order->tenant.ptr, (int)order->group.len, order->group.ptr, (unsigned long long)order->slot,
                  (unsigned long long)order->generation);
    int r = fixed->ops->create(fixed->driver, &spec, &self->pid, self->text);
    self->code = r < 0 ? MF_E_DRIVER : MF_E_OK;
    return r;
}

static void run_create(struct mf_work *self)
{
    const struct mf_agent_const *fixed = self->fixed;
    bool files_needed = fixed->caps & (MF_DRIVER_HAS_DISK | MF_DRIVER_HAS_CONSOLE);
    char dir[4096] = "", seed[4200] = "";
    struct mf_image_files files = {0};
    if (files_needed && mf_places_make(fixed->settings->state, self->id, dir, self->text) < 0) {
        self->code = MF_E_DRIVER;
        return;
    }
    int r = prepare(self, dir, &files, seed);
    if (r == 0)
        r = call_driver(self, dir, &files, seed);
    if (r < 0 && files_needed)
        mf_places_remove(fixed->settings->state, self->id);
}

/* -- the other calls */

static void run_destroy(struct mf_work *self)
{
    const struct mf_agent_const *fixed = self->fixed;
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
    if (!fixed->sweep->over)
        mf_places_remove_orphans(fixed->settings->state, is_listed, self);
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
        [MF_WORK_READ_LOG] = run_read_log, [MF_WORK_RESOLVE] = run_resolve,
    };
    runs[self->kind](self);
}

void mf_work_start(struct mf_pool *pool, struct mf_work *self)
{
    static const enum mf_lane lanes[] = {
        [MF_WORK_CREATE] = MF_LANE_CREATE, [MF_WORK_DESTROY] = MF_LANE_DESTROY, [MF_WORK_LIST] = MF_LANE_LIST,
        [MF_WORK_READ_LOG] = MF_LANE_READ, [MF_WORK_RESOLVE] = MF_LANE_READ,
    };
    self->job.run = run;
    mf_pool_post(pool, lanes[self->kind], &self->job);
}
