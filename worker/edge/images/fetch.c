/* fetch.c - see fetch.h. The thread waits in curl_multi_poll; a command wakes it. */
#include "fetch_private.h"
#include "check.h"
#include "program.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    MF_FETCH_MAGIC = 0x66657463,
    PROGRESS_MS = 1000,
    IDLE_MS = 60000,
    CONNECT_MS = 10000,
    RECHECK_SLICE_MS = 200, /* between two slices of 8 MiB: 40 MB/s at most */
    CONNECTIONS_MAX = 32
};

/* -- what is told; the flights' counts are shared with whoever shows them */

static void tell(struct mf_fetch *self, const struct mf_msg_file_progress *file, bool news)
{
    pthread_mutex_lock(&self->lock);
    self->counts.cache_bytes = mf_cache_bytes(self->cache);
    self->counts.fetches_done += news && file->state == MF_IMAGE_PROGRESS_CACHED;
    self->counts.fetched_bytes += news && file->state == MF_IMAGE_PROGRESS_CACHED ? file->bytes : 0;
    self->counts.evicted += file->state == MF_IMAGE_PROGRESS_EVICTED;
    pthread_mutex_unlock(&self->lock);
    self->config.file(self->config.arg, file, news);
}

void mf_fetch_tell(struct mf_fetch *self, struct mf_digest sha256, enum mf_image_progress state,
                   uint64_t bytes, uint64_t size, uint64_t took_ms, const char *text)
{
    char cut[256];
    struct mf_msg_file_progress file = {.sha256 = sha256,
                                        .state = state,
                                        .bytes = bytes,
                                        .size = size,
                                        .took_ms = took_ms,
                                        .text = mf_str_format(cut, sizeof cut, "%s", text)};
    tell(self, &file, true);
}

static void found(void *arg, struct mf_digest sha256, uint64_t bytes)
{
    struct mf_msg_file_progress file = {
        .sha256 = sha256, .state = MF_IMAGE_PROGRESS_CACHED, .bytes = bytes, .size = bytes};
    tell(arg, &file, false);
}

static void evicted(void *arg, struct mf_digest sha256, uint64_t bytes)
{
    mf_fetch_tell(arg, sha256, MF_IMAGE_PROGRESS_EVICTED, bytes, bytes, 0, "");
}

static bool needed(void *arg, struct mf_digest sha256)
{
    const struct mf_fetch *self = arg;
    return mf_wants_have(self, sha256);
}

static void tell_damage(struct mf_fetch *self, struct mf_flight *flight)
{
    if (!flight->damaged)
        return;
    flight->damaged = false;
    pthread_mutex_lock(&self->lock);
    self->counts.damaged++;
    pthread_mutex_unlock(&self->lock);
    mf_fetch_tell(self, flight->sha256, MF_IMAGE_PROGRESS_FAILED, 0, 0, 0,
                  "the file in this node's cache was damaged; dropped");
}

/* At its beginning, then once a second; and with why it is tried again, as soon as it is. */
static void tell_progress(struct mf_fetch *self, struct mf_flight *flight, mf_ms now)
{
    tell_damage(self, flight);
    if (flight->step != MF_FLIGHT_SENDING && flight->step != MF_FLIGHT_PAUSED)
        return;
    if (flight->told_at && now < flight->told_at + PROGRESS_MS)
        return;
    flight->told_at = now;
    mf_fetch_tell(self, flight->sha256, MF_IMAGE_PROGRESS_FETCHING, flight->have, flight->whole, 0,
                  flight->error);
}

/* -- the slow look at what is not in use */

static void recheck(struct mf_fetch *self, mf_ms now)
{
    struct mf_digest sha256;
    mf_ms period = self->config.recheck_s * 1000;
    if (period == 0 || now < self->recheck_at)
        return;
    self->recheck_at = now + RECHECK_SLICE_MS;
    if (!self->recheck && mf_cache_stalest(self->cache, now - period, &sha256))
        self->recheck = mf_flight_new(&self->flight_config, sha256, "", now);
    else if (!self->recheck)
        self->recheck_at = now + (period < IDLE_MS ? period : IDLE_MS);
    if (!self->recheck)
        return;
    if (mf_wants_have(self, self->recheck->sha256) && self->recheck->step == MF_FLIGHT_CHECKING)
        mf_flight_free(&self->recheck); /* whoever wants it looks for itself */
    else if (self->recheck->step == MF_FLIGHT_CHECKING)
        mf_flight_step(self->recheck, now);
    if (self->recheck && self->recheck->step != MF_FLIGHT_CHECKING) {
        tell_damage(self, self->recheck);
        mf_flight_free(&self->recheck);
    }
}

/* -- the loop */

static void take_commands(struct mf_fetch *self, mf_ms now)
{
    struct mf_wants commands = TAILQ_HEAD_INITIALIZER(commands);
    pthread_mutex_lock(&self->lock);
    TAILQ_CONCAT(&commands, &self->commands, link);
    pthread_mutex_unlock(&self->lock);
    for (struct mf_want *command; (command = TAILQ_FIRST(&commands));) {
        TAILQ_REMOVE(&commands, command, link);
        mf_wants_take(self, command, now);
    }
}

static void step_all(struct mf_fetch *self, mf_ms now)
{
    struct mf_flight *flight;
    TAILQ_FOREACH(flight, &self->flights, link)
    {
        mf_flight_step(flight, now);
        tell_progress(self, flight, now);
    }
}

static void take_transfers(struct mf_fetch *self, mf_ms now)
{
    int running, left;
    MF_CHECK(curl_multi_perform(self->multi, &running) == CURLM_OK);
    for (CURLMsg *said; (said = curl_multi_info_read(self->multi, &left));) {
        struct mf_flight *flight = NULL;
        if (said->msg == CURLMSG_DONE &&
            curl_easy_getinfo(said->easy_handle, CURLINFO_PRIVATE, (char **)&flight) == CURLE_OK)
            mf_flight_sent(flight, said->data.result, now);
    }
}

static void count_failure(struct mf_fetch *self, const struct mf_flight *flight)
{
    pthread_mutex_lock(&self->lock);
    self->counts.fetches_failed += flight->code != MF_E_OK;
    pthread_mutex_unlock(&self->lock);
}

static void land(struct mf_fetch *self, mf_ms now)
{
    struct mf_flight *flight;
    do {
        TAILQ_FOREACH(flight, &self->flights, link)
        if (flight->step == MF_FLIGHT_OVER)
            break;
        if (flight) {
            count_failure(self, flight);
            mf_wants_landed(self, flight, now);
        }
    } while (flight);
}

static int wait_ms(const struct mf_fetch *self, mf_ms now)
{
    mf_ms until = now + IDLE_MS;
    const struct mf_flight *flight;
    if (self->config.recheck_s && self->recheck_at < until)
        until = self->recheck_at;
    TAILQ_FOREACH(flight, &self->flights, link)
    {
        mf_ms at = flight->step == MF_FLIGHT_SENDING  ? flight->told_at + PROGRESS_MS
                   : flight->step == MF_FLIGHT_PAUSED ? flight->retry_at
                                                      : now;
        if (at < until)
            until = at;
    }
    return until > now ? (int)(until - now) : 0;
}

static bool stopping(struct mf_fetch *self)
{
    size_t n = 0;
    const struct mf_flight *flight;
    TAILQ_FOREACH(flight, &self->flights, link)
    n++;
    pthread_mutex_lock(&self->lock);
    bool stop = self->stopping;
    self->counts.under_way = n;
    pthread_mutex_unlock(&self->lock);
    return stop;
}

static void *run(void *arg)
{
    struct mf_fetch *self = arg;
    while (!stopping(self)) {
        mf_ms now = mf_now();
        take_commands(self, now);
        step_all(self, now);
        take_transfers(self, now);
        land(self, now);
        recheck(self, now);
        MF_CHECK(curl_multi_poll(self->multi, NULL, 0, wait_ms(self, mf_now()), NULL) == CURLM_OK);
    }
    return NULL;
}

/* -- from outside */

static void post(struct mf_fetch *self, struct mf_want *command)
{
    pthread_mutex_lock(&self->lock);
    TAILQ_INSERT_TAIL(&self->commands, command, link);
    pthread_mutex_unlock(&self->lock);
    curl_multi_wakeup(self->multi);
}

void mf_fetch_want(struct mf_fetch *self, uint64_t ticket, const struct mf_rec_image *image)
{
    MF_MAGIC(self, MF_FETCH_MAGIC);
    struct mf_want *want = calloc(1, sizeof *want);
    MF_CHECK(want);
    want->ticket = ticket;
    mf_image_dup(&want->arena, image, &want->image);
    post(self, want);
}

void mf_fetch_drop(struct mf_fetch *self, uint64_t ticket)
{
    MF_MAGIC(self, MF_FETCH_MAGIC);
    struct mf_want *end = calloc(1, sizeof *end);
    MF_CHECK(end);
    end->ticket = ticket;
    end->drop = true;
    post(self, end);
}

void mf_fetch_count(struct mf_fetch *self, struct mf_fetch_counts *ret_counts)
{
    MF_MAGIC(self, MF_FETCH_MAGIC);
    pthread_mutex_lock(&self->lock);
    *ret_counts = self->counts;
    pthread_mutex_unlock(&self->lock);
}

static void free_all(struct mf_fetch *self)
{
    if (self->recheck)
        mf_flight_free(&self->recheck);
    while (!TAILQ_EMPTY(&self->flights)) {
        struct mf_flight *flight = TAILQ_FIRST(&self->flights);
        TAILQ_REMOVE(&self->flights, flight, link);
        mf_flight_free(&flight);
    }
    mf_wants_free(&self->wants);
    mf_wants_free(&self->commands);
    mf_cache_close(&self->cache);
    if (self->multi)
        curl_multi_cleanup(self->multi);
    pthread_mutex_destroy(&self->lock);
    free(self);
    curl_global_cleanup();
}

static int start(struct mf_fetch *self, char error[512])
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 1 << 20);
    int r = -pthread_create(&self->thread, &attributes, run, self);
    pthread_attr_destroy(&attributes);
    if (r < 0)
        snprintf(error, 512, "no thread for the image cache: %s", strerror(-r));
    return r;
}

int mf_fetch_open(const struct mf_fetch_config *config, struct mf_fetch **ret_fetch, char error[512])
{
    MF_CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    struct mf_fetch *self = calloc(1, sizeof *self);
    MF_CHECK(self);
    self->magic = MF_FETCH_MAGIC;
    self->config = *config;
    pthread_mutex_init(&self->lock, NULL);
    TAILQ_INIT(&self->commands);
    TAILQ_INIT(&self->wants);
    TAILQ_INIT(&self->flights);
    self->multi = curl_multi_init();
    MF_CHECK(self->multi);
    curl_multi_setopt(self->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)CONNECTIONS_MAX);
    struct mf_cache_config cache = {.state = config->state,
                                    .max_bytes = config->cache_mib << 20,
                                    .reserve_bytes = config->reserve_mib << 20,
                                    .needed = needed,
                                    .evicted = evicted,
                                    .arg = self};
    int r = mf_cache_open(&cache, &self->cache, error);
    if (r == 0) {
        self->flight_config = (struct mf_flight_config){
            self->cache, self->multi, {CONNECT_MS, (long)config->stall_s, config->ca_file}};
        mf_cache_each(self->cache, found, self);
        r = start(self, error);
    }
    if (r < 0)
        free_all(self);
    else
        *ret_fetch = self;
    return r;
}

bool mf_fetch_close(struct mf_fetch **self, mf_ms limit_ms)
{
    struct timespec until;
    if (!*self)
        return true;
    MF_MAGIC(*self, MF_FETCH_MAGIC);
    pthread_mutex_lock(&(*self)->lock);
    (*self)->stopping = true;
    pthread_mutex_unlock(&(*self)->lock);
    curl_multi_wakeup((*self)->multi);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += limit_ms / 1000;
    if (pthread_timedjoin_np((*self)->thread, NULL, &until) != 0)
        return false;
    free_all(*self);
    *self = NULL;
    return true;
}
