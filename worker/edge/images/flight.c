/* flight.c - see flight.h. Handles are added to and taken from the multi only between its calls, never in a
 * callback. */
#include "flight.h"
#include "check.h"
#include "format.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum {
    SLICE = 8 << 20,
    CHUNK = 1 << 18,
    GROWTH = 16 << 20, /* room asked for at once where the origin does not say how much comes */
    TRIES = 8,         /* in a row that brought nothing new */
    STALL_COUNTS = 3,  /* a try that took long counts for so many */
    BACKOFF_MS = 250,
    BACKOFF_MAX_MS = 8000
};

/* -- ends */

static void end_transfer(struct mf_flight *self)
{
    if (self->easy) {
        MF_CHECK(curl_multi_remove_handle(self->config->multi, self->easy) == CURLM_OK);
        curl_easy_cleanup(self->easy);
    }
    curl_slist_free_all(self->headers);
    self->easy = NULL;
    self->headers = NULL;
}

static void close_file(struct mf_flight *self)
{
    if (self->fd >= 0)
        close(self->fd);
    self->fd = -1;
}

static void succeed(struct mf_flight *self)
{
    close_file(self);
    self->step = MF_FLIGHT_OVER;
    self->code = MF_E_OK;
}

/* For good: what came of it is worth nothing. */
static void fail(struct mf_flight *self, enum mf_errcode code, const char *why)
{
    end_transfer(self);
    close_file(self);
    mf_cache_part_drop(self->config->cache, self->sha256);
    self->step = MF_FLIGHT_OVER;
    self->code = code;
    mf_str_format(self->error, sizeof self->error, "%s: %s", self->shown, why);
}

static void fail_by_errno(struct mf_flight *self, int r, const char *why)
{
    fail(self, r == -ENOSPC || r == -EDQUOT ? MF_E_DISK_FULL : MF_E_INTERNAL, why);
}

/* -- digesting */

static void begin_digest(struct mf_flight *self)
{
    if (!self->md)
        self->md = EVP_MD_CTX_new();
    MF_CHECK(self->md && EVP_DigestInit_ex(self->md, EVP_sha256(), NULL) == 1);
    self->have = 0;
}

static struct mf_digest digest_so_far(const struct mf_flight *self)
{
    struct mf_digest sha256;
    EVP_MD_CTX *copy = EVP_MD_CTX_new();
    MF_CHECK(copy && EVP_MD_CTX_copy_ex(copy, self->md) == 1 &&
             EVP_DigestFinal_ex(copy, sha256.bytes, NULL) == 1);
    EVP_MD_CTX_free(copy);
    return sha256;
}

/* The next slice of what lies in the file: 1 when there is no more of it. */
static int digest_slice(struct mf_flight *self, uint64_t end)
{
    char *chunk = malloc(CHUNK);
    MF_CHECK(chunk);
    ssize_t n = 1;
    for (uint64_t begun = self->have; self->have - begun < SLICE && self->have < end;
         self->have += (uint64_t)n) {
        uint64_t want = end - self->have < CHUNK ? end - self->have : CHUNK;
        if ((n = pread(self->fd, chunk, want, (off_t)self->have)) <= 0)
            break;
        MF_CHECK(EVP_DigestUpdate(self->md, chunk, (size_t)n) == 1);
    }
    int r = n < 0 ? -errno : n == 0 || self->have >= end;
    free(chunk);
    return r;
}

/* -- beginnings */

static void begin_part(struct mf_flight *self)
{
    char error[512];
    if (!*self->url) { /* it was only to be looked at */
        succeed(self);
        return;
    }
    begin_digest(self);
    self->fd = mf_cache_part_open(self->config->cache, self->sha256, &self->left, error);
    if (self->fd < 0) {
        int r = self->fd;
        self->fd = -1;
        fail_by_errno(self, r, error);
        return;
    }
    self->fetches = true;
    self->unproven = self->left > 0;
    self->step = MF_FLIGHT_RESUMING;
}

static void begin_check(struct mf_flight *self)
{
    begin_digest(self);
    self->fd = mf_cache_open_file(self->config->cache, self->sha256);
    self->step = MF_FLIGHT_CHECKING;
    if (self->fd < 0)
        begin_part(self);
}

struct mf_flight *mf_flight_new(struct mf_flight_config *config, struct mf_digest sha256, const char *url,
                                mf_ms now)
{
    struct mf_flight *self = calloc(1, sizeof *self);
    MF_CHECK(self);
    self->config = config;
    self->sha256 = sha256;
    self->url = strdup(url);
    MF_CHECK(self->url);
    self->fd = -1;
    self->began_at = now;
    mf_origin_show(url, self->shown);
    if (mf_cache_look(config->cache, sha256) == MF_CACHE_ABSENT)
        begin_part(self);
    else
        begin_check(self);
    return self;
}

void mf_flight_free(struct mf_flight **self)
{
    struct mf_flight *flight = *self;
    end_transfer(flight);
    if (flight->step == MF_FLIGHT_RESUMING)
        mf_cache_part_leave(flight->config->cache, flight->sha256, flight->left);
    else if (flight->step == MF_FLIGHT_SENDING || flight->step == MF_FLIGHT_PAUSED)
        mf_cache_part_leave(flight->config->cache, flight->sha256, flight->have);
    close_file(flight);
    EVP_MD_CTX_free(flight->md);
    free(flight->url);
    free(flight);
    *self = NULL;
}

/* -- the transfer */

/* One that nothing must follow: what comes is worth nothing, or there is no room for it. */
static size_t stop(struct mf_flight *self, enum mf_errcode code, const char *why)
{
    self->code = code;
    snprintf(self->error, sizeof self->error, "%s", why);
    return 0;
}

static bool make_room(struct mf_flight *self, size_t n)
{
    char error[512];
    curl_off_t comes = -1;
    uint64_t after = self->have + n;
    if (self->whole == 0 &&
        curl_easy_getinfo(self->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &comes) == CURLE_OK && comes > 0)
        self->whole = self->have + (uint64_t)comes;
    uint64_t whole = self->whole > after ? self->whole : after + GROWTH;
    if (mf_cache_part_room(self->config->cache, self->sha256, self->have, whole, error) == 0)
        return true;
    if (self->whole <= after &&
        mf_cache_part_room(self->config->cache, self->sha256, self->have, after, error) == 0)
        return true;
    stop(self, MF_E_DISK_FULL, error);
    return false;
}

static size_t take(char *bytes, size_t one, size_t n, void *arg)
{
    struct mf_flight *self = arg;
    if (self->have == 0 && mf_format_is_page(bytes, n))
        return stop(self, MF_E_IMAGE, "the origin sends a web page instead of the file; is the URL right?");
    if (!make_room(self, n))
        return 0;
    for (size_t at = 0; at < n;) {
        ssize_t written = pwrite(self->fd, bytes + at, n - at, (off_t)(self->have + at));
        if (written <= 0)
            return stop(self, errno == ENOSPC || errno == EDQUOT ? MF_E_DISK_FULL : MF_E_INTERNAL,
                        strerror(errno));
        at += (size_t)written;
    }
    MF_CHECK(EVP_DigestUpdate(self->md, bytes, n) == 1);
    self->have += n;
    return n;
}

static void keep_validator(struct mf_flight *self, const char *line, size_t len, const char *name)
{
    size_t skip = strlen(name);
    if (len <= skip || strncasecmp(line, name, skip) != 0)
        return;
    while (skip < len && line[skip] == ' ')
        skip++;
    while (len > skip && (line[len - 1] == '\r' || line[len - 1] == '\n'))
        len--;
    if (len - skip < sizeof self->validator && strncmp(line + skip, "W/", 2) != 0)
        mf_str_format(self->validator, sizeof self->validator, "%.*s", (int)(len - skip), line + skip);
}

/* Strong validators alone: an ETag, else the date. Each answer of a redirection begins anew. */
static size_t take_header(char *line, size_t one, size_t n, void *arg)
{
    struct mf_flight *self = arg;
    if (n > 5 && strncmp(line, "HTTP/", 5) == 0)
        self->validator[0] = 0;
    if (self->validator[0] != '"')
        keep_validator(self, line, n, "ETag:");
    if (!self->validator[0])
        keep_validator(self, line, n, "Last-Modified:");
    return n;
}

static void set_range(struct mf_flight *self)
{
    char header[300];
    if (self->have == 0)
        return;
    curl_easy_setopt(self->easy, CURLOPT_RESUME_FROM_LARGE, (curl_off_t)self->have);
    if (self->validator[0]) {
        snprintf(header, sizeof header, "If-Range: %s", self->validator);
        self->headers = curl_slist_append(NULL, header);
        curl_easy_setopt(self->easy, CURLOPT_HTTPHEADER, self->headers);
    } else
        self->unproven = true;
}

static void ask_origin(struct mf_flight *self)
{
    char error[256];
    self->easy = curl_easy_init();
    MF_CHECK(self->easy);
    self->whole = 0;
    self->said[0] = 0;
    set_range(self);
    curl_easy_setopt(self->easy, CURLOPT_PRIVATE, self);
    curl_easy_setopt(self->easy, CURLOPT_ERRORBUFFER, self->said);
    curl_easy_setopt(self->easy, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(self->easy, CURLOPT_WRITEDATA, self);
    curl_easy_setopt(self->easy, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(self->easy, CURLOPT_HEADERDATA, self);
    int r = mf_origin_prepare(self->easy, self->url, &self->config->limits, error);
    CURLMcode added = r == 0 ? curl_multi_add_handle(self->config->multi, self->easy) : CURLM_OK;
    if (r == 0 && added == CURLM_OK) {
        self->step = MF_FLIGHT_SENDING;
        return;
    }
    curl_easy_cleanup(self->easy);
    self->easy = NULL;
    fail(self, r < 0 ? MF_E_IMAGE : MF_E_INTERNAL, r < 0 ? error : curl_multi_strerror(added));
}

static void pause_till_next(struct mf_flight *self, mf_ms now)
{
    mf_ms delay = BACKOFF_MS;
    for (unsigned i = 1; i < self->failures && delay < BACKOFF_MAX_MS; i++)
        delay *= 2;
    self->retry_at = now + (delay < BACKOFF_MAX_MS ? delay : BACKOFF_MAX_MS);
    self->step = MF_FLIGHT_PAUSED;
}

static void start_over(struct mf_flight *self)
{
    begin_digest(self);
    self->unproven = false;
    self->validator[0] = 0;
    if (ftruncate(self->fd, 0) < 0)
        fail_by_errno(self, -errno, strerror(errno));
}

static void publish(struct mf_flight *self, mf_ms now)
{
    char error[512];
    int r = mf_cache_part_publish(self->config->cache, self->sha256, self->fd, now, error);
    if (r < 0)
        fail_by_errno(self, r, error);
    else
        succeed(self);
}

static void finish(struct mf_flight *self, mf_ms now)
{
    char is[MF_DIGEST_TEXT], wanted[MF_DIGEST_TEXT], why[256];
    struct mf_digest sha256 = digest_so_far(self);
    if (mf_digest_eq(sha256, self->sha256)) {
        publish(self, now);
        return;
    }
    if (self->unproven) { /* a part of it may be of another file */
        start_over(self);
        if (self->step != MF_FLIGHT_OVER)
            pause_till_next(self, now);
        return;
    }
    snprintf(
        why, sizeof why,
        "the %llu bytes there have digest %.16s..., not %.16s...; the file at the origin was changed or cut "
        "short, or the image's digest is wrong",
        (unsigned long long)self->have, mf_digest_text(sha256, is), mf_digest_text(self->sha256, wanted));
    fail(self, MF_E_IMAGE, why);
}

static void try_again(struct mf_flight *self, enum mf_origin_verdict verdict, const char *why, mf_ms now)
{
    if (self->have > self->most)
        self->failures = 0;
    else
        self->failures += verdict == MF_ORIGIN_STALLED ? STALL_COUNTS : 1;
    self->most = self->have > self->most ? self->have : self->most;
    if (self->failures >= TRIES) {
        char text[400];
        snprintf(text, sizeof text, "%s; tried again and again, in vain", why);
        fail(self, MF_E_IMAGE, text);
        return;
    }
    mf_str_format(self->error, sizeof self->error, "%s: %s; it is tried again", self->shown, why);
    if (verdict == MF_ORIGIN_AFRESH)
        start_over(self);
    if (self->step != MF_FLIGHT_OVER)
        pause_till_next(self, now);
}

void mf_flight_sent(struct mf_flight *self, CURLcode code, mf_ms now)
{
    char why[256], own[512];
    enum mf_origin_verdict verdict = mf_origin_judge(self->easy, code, self->said, why);
    end_transfer(self);
    if (self->code != MF_E_OK) { /* we ended it ourselves */
        snprintf(own, sizeof own, "%s", self->error);
        fail(self, self->code, own);
        return;
    }
    self->error[0] = 0;
    if (verdict == MF_ORIGIN_DONE ||
        (verdict == MF_ORIGIN_AFRESH && mf_digest_eq(digest_so_far(self), self->sha256)))
        finish(self, now);
    else if (verdict == MF_ORIGIN_NEVER)
        fail(self, MF_E_IMAGE, why);
    else
        try_again(self, verdict, why, now);
}

/* -- slices */

static void check(struct mf_flight *self, mf_ms now)
{
    int r = digest_slice(self, UINT64_MAX);
    if (r == 0)
        return;
    if (r > 0 && mf_digest_eq(digest_so_far(self), self->sha256)) {
        mf_cache_vouch(self->config->cache, self->sha256, now);
        succeed(self);
        return;
    }
    close_file(self);
    mf_cache_drop(self->config->cache, self->sha256);
    self->damaged = true;
    begin_part(self);
}

static void resume(struct mf_flight *self, mf_ms now)
{
    int r = digest_slice(self, self->left);
    if (r == 0)
        return;
    if (r > 0 && self->have > 0 && mf_digest_eq(digest_so_far(self), self->sha256)) {
        publish(self, now); /* all of it had come */
        return;
    }
    if (r < 0 || self->have < self->left)
        start_over(self);
    if (self->step != MF_FLIGHT_OVER)
        ask_origin(self);
}

void mf_flight_step(struct mf_flight *self, mf_ms now)
{
    if (self->step == MF_FLIGHT_CHECKING)
        check(self, now);
    else if (self->step == MF_FLIGHT_RESUMING)
        resume(self, now);
    else if (self->step == MF_FLIGHT_PAUSED && now >= self->retry_at)
        ask_origin(self);
}
