/* shell_works.c - see shell_works.h. */
#include "shell_works.h"
#include "agent.h"
#include "check.h"
#include "places.h"
#include "program.h"
#include "seed.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { LOOK_MS = 5000 }; /* between two looks when nothing happens: one may have ended by itself */

static bool wanted(const struct mf_agent_const *fixed)
{
    return fixed->settings->shells > 0 && fixed->caps & MF_DRIVER_HAS_SHELLS;
}

/* ---- the loop */

void mf_shell_open(struct mf_agent *agent)
{
    struct mf_shell_tending *self = &agent->shells;
    uint64_t seed = 0;
    MF_CHECK(getrandom(&seed, sizeof seed, 0) == (ssize_t)sizeof seed);
    mf_random_seed(&self->random, seed);
    self->kinds.each = (unsigned)agent->settings.shells;
    self->kinds.max = (unsigned)agent->settings.shells_max;
    if (agent->settings.shells > 0 && !wanted(&agent->fixed))
        mf_log(MF_LOG_WARNING, "no shells here", "why=\"only the embedded hypervisor makes them\"");
}

static void order_of(struct mf_work *work, const struct mf_shells_kind *kind)
{
    struct mf_decode_error error;
    struct mf_str body = {kind->order.ptr, (uint32_t)kind->order.len};
    int r = mf_decode(mf_kind_desc(MF_MSG_ORDER_CREATE), body, &work->arena, &work->order, &error);
    MF_CHECK(r == 0);
}

static void begin(struct mf_agent *agent, enum mf_shells_step step, const struct mf_shells_kind *kind,
                  struct mf_digest of)
{
    struct mf_shell_tending *self = &agent->shells;
    struct mf_work *work = mf_work_new(agent, MF_WORK_SHELL);
    work->step = step;
    work->shell_kind = of;
    work->id = mf_uuid_make(&self->random, mf_wall());
    order_of(work, kind);
    self->busy = true;
    mf_work_start(agent->pool, work);
}

void mf_shell_tend(struct mf_agent *agent)
{
    struct mf_shell_tending *self = &agent->shells;
    const struct mf_agent_const *fixed = &agent->fixed;
    struct mf_driver_shell there[MF_DRIVER_SHELLS_MAX];
    const struct mf_shells_kind *kind;
    struct mf_digest of;
    if (!wanted(fixed) || self->busy || self->births || agent->stopping || mf_now() < self->due)
        return;
    size_t n = fixed->ops->shells(fixed->driver, there, MF_DRIVER_SHELLS_MAX);
    self->due = mf_now() + LOOK_MS;
    enum mf_shells_step step = mf_shells_next(&self->kinds, mf_now(), there, n, &kind, &of);
    if (step != MF_SHELLS_NOTHING)
        begin(agent, step, kind, of);
}

void mf_shell_born(struct mf_agent *agent, const struct mf_work *create)
{
    struct mf_shell_tending *self = &agent->shells;
    bool ok = create->code == MF_E_OK;
    self->births--;
    self->due = 0;
    self->taken += create->from_shell && ok;
    if (create->has_kind && ok)
        mf_shells_learn(&self->kinds, create->shell_kind, &create->order);
}

void mf_shell_tended(struct mf_agent *agent, const struct mf_work *work)
{
    struct mf_shell_tending *self = &agent->shells;
    bool ok = work->code == MF_E_OK;
    char id[MF_UUID_TEXT], quoted[512];
    self->busy = false;
    self->due = 0;
    if (work->step != MF_SHELLS_MAKE)
        return;
    mf_shells_made(&self->kinds, mf_now(), work->shell_kind, ok);
    self->failed += !ok;
    if (!ok)
        mf_log(MF_LOG_WARNING, "shell failed", "id=%s error=%s", mf_uuid_text(work->id, id),
               mf_log_quote(work->text, quoted));
}

/* ---- a birth takes one over */

bool mf_shell_take(struct mf_work *create, struct mf_birth *birth)
{
    const struct mf_agent_const *fixed = create->fixed;
    char why_not[512];
    if (!wanted(fixed) ||
        fixed->ops->shell_kind(fixed->driver, &birth->spec, &create->shell_kind, why_not) < 0)
        return false;
    create->has_kind = true;
    create->from_shell = fixed->ops->shell_take(fixed->driver, create->shell_kind, &birth->spec.shell);
    return create->from_shell;
}

static int write_seed(struct mf_work *create, struct mf_uuid shell)
{
    const struct mf_agent_const *fixed = create->fixed;
    char dir[4096], path[4200], mac[18];
    mf_places_shell(fixed->settings->state, shell, dir);
    mf_str_format(path, sizeof path, "%s/seed.iso", dir);
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -ESTALE;
    mf_driver_mac(shell, mac);
    const struct mf_seed seed = {.order = &create->order,
                                 .node = fixed->node,
                                 .mac = mac,
                                 .vendor_data = fixed->settings->vendor_bytes};
    int r = mf_seed_write(&seed, fd, MF_SEED_BYTES, create->text);
    close(fd);
    return r == 0 || r == -EBADMSG ? r : -ESTALE;
}

static void end_shell(const struct mf_agent_const *fixed, struct mf_uuid shell)
{
    char ignored[512];
    if (fixed->ops->destroy(fixed->driver, shell, 0, ignored) == 0)
        mf_places_remove_shell(fixed->settings->state, shell);
}

int mf_shell_become(struct mf_work *create, struct mf_birth *birth)
{
    const struct mf_agent_const *fixed = create->fixed;
    int r = write_seed(create, birth->spec.shell);
    if (r == 0 && mf_places_become(fixed->settings->state, birth->spec.shell, create->id, create->text) < 0)
        r = -ESTALE;
    if (r < 0)
        end_shell(fixed, birth->spec.shell);
    if (r == -EBADMSG)
        create->code = MF_E_USER_DATA;
    return r;
}

/* ---- one is made, or ended */

static bool is_there(const void *arg, struct mf_uuid id)
{
    const struct mf_agent_const *fixed = arg;
    struct mf_driver_shell there[MF_DRIVER_SHELLS_MAX];
    size_t n = fixed->ops->shells ? fixed->ops->shells(fixed->driver, there, MF_DRIVER_SHELLS_MAX) : 0;
    for (size_t i = 0; i < n; i++)
        if (mf_uuid_eq(there[i].id, id))
            return true;
    return false;
}

void mf_shell_sweep(const struct mf_agent_const *fixed)
{
    (void)mf_places_remove_old_shells(fixed->settings->state, is_there, fixed);
}

/* A seed of nothing, as large as any. */
static int blank_seed(const char *path, char error[512])
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    int r = fd < 0 || ftruncate(fd, MF_SEED_BYTES) < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    if (r < 0)
        mf_str_format(error, 512, "%.300s: %s", path, strerror(-r));
    return r;
}

/* What earlier ones left that ended by themselves goes first: nobody else makes any. */
static void make_shell(struct mf_work *self)
{
    const struct mf_agent_const *fixed = self->fixed;
    struct mf_birth birth = {0};
    mf_shell_sweep(fixed);
    self->code = MF_E_DRIVER;
    if (mf_places_make_shell(fixed->settings->state, self->id, birth.dir, self->text) < 0)
        return;
    int r = mf_birth_describe(self, &birth);
    if (r == 0)
        r = blank_seed(birth.seed, self->text);
    if (r == 0)
        r = fixed->ops->shell_make(fixed->driver, &birth.spec, self->shell_kind, self->text);
    if (r < 0)
        mf_places_remove_shell(fixed->settings->state, self->id);
    else
        self->code = MF_E_OK;
}

void mf_shell_run(struct mf_work *work)
{
    const struct mf_agent_const *fixed = work->fixed;
    struct mf_uuid shell;
    if (work->step == MF_SHELLS_MAKE)
        make_shell(work);
    else if (fixed->ops->shell_take(fixed->driver, work->shell_kind, &shell))
        end_shell(fixed, shell);
}

void mf_shell_account(const struct mf_agent_const *fixed, struct mf_driver_capacity *capacity)
{
    struct mf_rec_resources shells = {.memory_mib = (uint64_t)fixed->settings->shells_max * MF_SHELL_MIB};
    if (wanted(fixed) && !fixed->settings->memory_mib)
        mf_driver_capacity_less(capacity, &shells);
}
