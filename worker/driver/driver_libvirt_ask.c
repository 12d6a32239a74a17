/* driver_libvirt_ask.c - guests asked at leisure: does your agent answer, and where are you? Asking an agent
 * that hangs blocks for its time limit, so a few threads of their own do it, on a connection of their own:
 * births, ends and lists never wait for them, and one that hangs holds up no other guest while a thread is
 * free. */
#include "driver_libvirt.h"
#include "check.h"
#include "process.h"

#include <errno.h>
#include <libvirt/libvirt-qemu.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    ASKERS = 4,
    PING_LIMIT_S = 1,
    WAKE_MS = 500, /* until it is ready, an agent is asked this often */
    SEEK_MS = 2000,
    SEEK_AGAIN_MS = 30000, /* an address that is known may change */
    FALL = 3
};

struct asked {
    struct mf_uuid id;
    bool busy, gone; /* a thread has it; and is to free it */
    bool ready, answered, told;
    bool heard; /* its port said that it is ready, while a thread has it */
    struct mf_domain_identity identity;
    uint64_t fails;
    mf_ms ping_at, seek_at; /* `never`: not at all */
    char address[101];
};

struct mf_asks {
    struct mf_driver *driver;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopping;
    struct mf_map *all;
    pthread_t threads[ASKERS];
    unsigned n_threads;
};

static const mf_ms never = INT64_MAX;

/* -- when */

static bool has_agent(const struct asked *asked)
{
    return asked->identity.ready == MF_READINESS_AGENT || asked->identity.ping_ms;
}

static mf_ms next_ping(const struct asked *asked, mf_ms now)
{
    bool waits = asked->identity.ready > MF_READINESS_NONE && !asked->ready;
    if (asked->told)
        return never;
    if (waits)
        return asked->identity.ready == MF_READINESS_AGENT ? now + WAKE_MS : never;
    return asked->identity.ping_ms ? now + (mf_ms)asked->identity.ping_ms : never;
}

static mf_ms due_at(const struct asked *asked)
{
    return asked->ping_at < asked->seek_at ? asked->ping_at : asked->seek_at;
}

static struct asked *most_due(const struct mf_asks *self)
{
    struct asked *best = NULL;
    size_t cursor = 0;
    for (void *at; mf_map_next(self->all, &cursor, &at);) {
        struct asked *asked = at;
        if (!asked->busy && due_at(asked) != never && (!best || due_at(asked) < due_at(best)))
            best = asked;
    }
    return best;
}

/* -- asking */

static bool answers(struct mf_driver *driver, struct mf_uuid id)
{
    char error[512];
    virDomainPtr domain = NULL;
    virConnectPtr conn = mf_lane_get(driver, MF_LANE_ASK, error);
    char *answer = NULL;
    if (conn && mf_guest_lookup(driver, conn, id, &domain, error) == 0) {
        answer = virDomainQemuAgentCommand(domain, "{\"execute\":\"guest-ping\"}", PING_LIMIT_S, 0);
        virDomainFree(domain);
    }
    if (conn)
        virConnectClose(conn);
    free(answer);
    return answer != NULL;
}

static void seek(struct mf_driver *driver, const struct asked *asked, char ret_address[101])
{
    char error[512];
    virDomainPtr domain = NULL;
    virConnectPtr conn = mf_lane_get(driver, MF_LANE_ASK, error);
    ret_address[0] = 0;
    if (conn && mf_guest_lookup(driver, conn, asked->id, &domain, error) == 0) {
        mf_libvirt_find_address(driver, domain, has_agent(asked), ret_address);
        virDomainFree(domain);
    }
    if (conn)
        virConnectClose(conn);
}

/* -- what comes of it; the entry is busy, so that nobody else touches it */

static void say_ready(struct mf_asks *self, struct asked *asked)
{
    const struct mf_driver_config *config = &self->driver->config;
    char mark[MF_DOMAIN_PATH + 8];
    mf_str_format(mark, sizeof mark, "%s/ready", asked->identity.dir);
    (void)mf_ports_mark(mark); /* without it the next agent asks once more */
    asked->ready = true;
    if (config->ready)
        config->ready(config->arg, asked->id);
}

static void say_unwell(struct mf_asks *self, struct asked *asked)
{
    const struct mf_driver_config *config = &self->driver->config;
    char text[128];
    asked->told = true;
    mf_str_format(text, sizeof text, "its guest agent left %llu asks in a row unanswered",
                  (unsigned long long)asked->fails);
    if (config->unwell)
        config->unwell(config->arg, asked->id, MF_AILMENT_AGENT, text);
}

static void ping(struct mf_asks *self, struct asked *asked)
{
    bool answered = answers(self->driver, asked->id);
    uint64_t fall = asked->identity.ping_fall ? asked->identity.ping_fall : FALL;
    asked->answered |= answered;
    asked->fails = answered ? 0 : asked->fails + 1;
    if (answered && asked->identity.ready == MF_READINESS_AGENT && !asked->ready)
        say_ready(self, asked);
    if (asked->fails >= fall && (asked->ready || asked->answered) && asked->identity.ping_ms)
        say_unwell(self, asked);
    asked->ping_at = next_ping(asked, mf_monotonic_ms());
}

/* One that is known is told again each time: an agent that began anew may not have listed its guest when it
 * was told first. */
static void look_for(struct mf_asks *self, struct asked *asked)
{
    const struct mf_driver_config *config = &self->driver->config;
    char address[101];
    seek(self->driver, asked, address);
    asked->seek_at = mf_monotonic_ms() + (address[0] ? SEEK_AGAIN_MS : SEEK_MS);
    if (!address[0] && !asked->address[0])
        return;
    mf_str_format(asked->address, sizeof asked->address, "%s", address);
    if (config->address)
        config->address(config->arg, asked->id, address);
}

/* -- the threads */

static void wait_until(struct mf_asks *self, mf_ms at)
{
    struct timespec until = {.tv_sec = at / 1000, .tv_nsec = at % 1000 * 1000000};
    if (at == never)
        pthread_cond_wait(&self->changed, &self->lock);
    else
        pthread_cond_timedwait(&self->changed, &self->lock, &until);
}

static void become_ready(struct asked *asked)
{
    asked->ready = true;
    asked->heard = false;
    asked->ping_at = next_ping(asked, mf_monotonic_ms());
}

static void serve(struct mf_asks *self, struct asked *asked, mf_ms now)
{
    bool pings = asked->ping_at <= now;
    asked->busy = true;
    pthread_mutex_unlock(&self->lock);
    if (pings)
        ping(self, asked);
    else
        look_for(self, asked);
    pthread_mutex_lock(&self->lock);
    asked->busy = false;
    if (asked->heard)
        become_ready(asked);
    if (asked->gone)
        free(asked);
    pthread_cond_broadcast(&self->changed);
}

static void *run(void *arg)
{
    struct mf_asks *self = arg;
    pthread_mutex_lock(&self->lock);
    while (!self->stopping) {
        struct asked *asked = most_due(self);
        mf_ms now = mf_monotonic_ms();
        if (asked && due_at(asked) <= now)
            serve(self, asked, now);
        else
            wait_until(self, asked ? due_at(asked) : never);
    }
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

struct mf_asks *mf_asks_new(struct mf_driver *driver)
{
    struct mf_asks *self = calloc(1, sizeof *self);
    MF_CHECK(self);
    self->driver = driver;
    self->all = mf_map_new();
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->changed, &attr);
    pthread_condattr_destroy(&attr);
    while (self->n_threads < ASKERS && pthread_create(&self->threads[self->n_threads], NULL, run, self) == 0)
        self->n_threads++;
    if (self->n_threads < ASKERS)
        mf_asks_destroy(&self);
    return self;
}

void mf_asks_destroy(struct mf_asks **self)
{
    struct mf_asks *asks = *self;
    if (!asks)
        return;
    *self = NULL;
    pthread_mutex_lock(&asks->lock);
    asks->stopping = true;
    pthread_cond_broadcast(&asks->changed);
    pthread_mutex_unlock(&asks->lock);
    while (asks->n_threads)
        pthread_join(asks->threads[--asks->n_threads], NULL);
    size_t cursor = 0;
    for (void *asked; mf_map_next(asks->all, &cursor, &asked);)
        free(asked);
    mf_map_destroy(&asks->all);
    pthread_cond_destroy(&asks->changed);
    pthread_mutex_destroy(&asks->lock);
    free(asks);
}

void mf_asks_add(struct mf_asks *self, struct mf_uuid id, const struct mf_domain_identity *identity,
                 bool ready)
{
    bool reachable = identity->reachable;
    if (!reachable && identity->ready != MF_READINESS_AGENT && !identity->ping_ms)
        return;
    pthread_mutex_lock(&self->lock);
    if (!mf_map_get_uuid(self->all, id)) {
        struct asked *asked = calloc(1, sizeof *asked);
        MF_CHECK(asked);
        asked->id = id;
        asked->identity = *identity;
        asked->ready = ready;
        asked->ping_at = next_ping(asked, mf_monotonic_ms());
        asked->seek_at = reachable ? mf_monotonic_ms() + SEEK_MS / 2 : never;
        mf_map_put_uuid(self->all, id, asked);
        pthread_cond_signal(&self->changed);
    }
    pthread_mutex_unlock(&self->lock);
}

void mf_asks_ready(struct mf_asks *self, struct mf_uuid id)
{
    pthread_mutex_lock(&self->lock);
    struct asked *asked = mf_map_get_uuid(self->all, id);
    if (asked && asked->busy)
        asked->heard = true;
    else if (asked)
        become_ready(asked);
    pthread_cond_signal(&self->changed);
    pthread_mutex_unlock(&self->lock);
}

void mf_asks_remove(struct mf_asks *self, struct mf_uuid id)
{
    pthread_mutex_lock(&self->lock);
    struct asked *asked = mf_map_del_uuid(self->all, id);
    if (asked && asked->busy)
        asked->gone = true;
    else
        free(asked);
    pthread_mutex_unlock(&self->lock);
}
