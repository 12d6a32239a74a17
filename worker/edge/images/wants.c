/* wants.c - who waits for which files. A want needs each file of its image that is a URL; one flight serves
 * all that want a digest from the same URL. Who wants it from another one waits too, and tries that only if
 * the first failed: what one origin lacks another may have. */
#include "check.h"
#include "fetch_private.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool names(const struct mf_want *want, struct mf_digest sha256, const char *url)
{
    struct mf_image_file files[MF_PART_COUNT];
    size_t n = mf_image_files(&want->image, files);
    for (size_t i = 0; i < n; i++)
        if (files[i].url && mf_digest_eq(files[i].sha256, sha256) &&
            (!url || strcmp(files[i].place.ptr, url) == 0))
            return true;
    return false;
}

bool mf_wants_have(const struct mf_fetch *self, struct mf_digest sha256)
{
    const struct mf_want *want;
    TAILQ_FOREACH(want, &self->wants, link)
    if (names(want, sha256, NULL))
        return true;
    return false;
}

static struct mf_flight *flight_of(const struct mf_fetch *self, struct mf_digest sha256)
{
    struct mf_flight *flight;
    TAILQ_FOREACH(flight, &self->flights, link)
    if (mf_digest_eq(flight->sha256, sha256))
        return flight;
    return NULL;
}

static void begin_flight(struct mf_fetch *self, const struct mf_image_file *file, mf_ms now)
{
    if (flight_of(self, file->sha256))
        return;
    struct mf_flight *flight = mf_flight_new(&self->flight_config, file->sha256, file->place.ptr, now);
    TAILQ_INSERT_TAIL(&self->flights, flight, link);
}

static void answer(struct mf_fetch *self, struct mf_want *want, enum mf_errcode code, const char *text)
{
    char sentence[512];
    mf_str_format(sentence, sizeof sentence, "image %.*s: %s", (int)want->image.name.len,
                  want->image.name.ptr, text);
    want->told = true;
    self->config.fetched(self->config.arg, want->ticket, code, code == MF_E_OK ? "" : sentence);
}

/* Begin what is missing; answered when nothing is. */
static void advance(struct mf_fetch *self, struct mf_want *want, mf_ms now)
{
    struct mf_image_file files[MF_PART_COUNT];
    size_t n = mf_image_files(&want->image, files), missing = 0;
    for (size_t i = 0; i < n && !want->told; i++) {
        if (!files[i].url)
            continue;
        if (mf_cache_look(self->cache, files[i].sha256) == MF_CACHE_HERE) {
            mf_cache_touch(self->cache, files[i].sha256);
            continue;
        }
        begin_flight(self, &files[i], now);
        missing++;
    }
    if (missing == 0 && !want->told)
        answer(self, want, MF_E_OK, "");
}

static bool awaited(const struct mf_fetch *self, const struct mf_flight *flight)
{
    const struct mf_want *want;
    TAILQ_FOREACH(want, &self->wants, link)
    if (!want->told && names(want, flight->sha256, flight->url))
        return true;
    return false;
}

static void remove_want(struct mf_wants *wants, struct mf_want *want)
{
    TAILQ_REMOVE(wants, want, link);
    mf_arena_free(&want->arena);
    free(want);
}

static void free_flight(struct mf_fetch *self, struct mf_flight *flight)
{
    TAILQ_REMOVE(&self->flights, flight, link);
    mf_flight_free(&flight);
}

/* Whoever wants the same file from elsewhere has waited for this one: now it is tried there. */
static void cancel(struct mf_fetch *self, struct mf_flight *flight, mf_ms now)
{
    struct mf_digest sha256 = flight->sha256;
    struct mf_want *want;
    if (flight->fetches)
        mf_fetch_tell(self, sha256, MF_IMAGE_PROGRESS_FAILED, flight->have, flight->whole, 0,
                      "nobody waits for it any more");
    free_flight(self, flight);
    TAILQ_FOREACH(want, &self->wants, link)
    if (!want->told && names(want, sha256, NULL))
        advance(self, want, now);
}

static void drop(struct mf_fetch *self, uint64_t ticket, mf_ms now)
{
    struct mf_want *want;
    TAILQ_FOREACH(want, &self->wants, link)
    if (want->ticket == ticket)
        break;
    if (!want)
        return;
    remove_want(&self->wants, want);
    for (struct mf_flight *flight = TAILQ_FIRST(&self->flights), *next; flight; flight = next) {
        next = TAILQ_NEXT(flight, link);
        if (!awaited(self, flight))
            cancel(self, flight, now);
    }
}

void mf_wants_take(struct mf_fetch *self, struct mf_want *command, mf_ms now)
{
    if (command->drop) {
        drop(self, command->ticket, now);
        free(command);
        return;
    }
    TAILQ_INSERT_TAIL(&self->wants, command, link);
    advance(self, command, now);
}

static void tell_end(struct mf_fetch *self, const struct mf_flight *flight, mf_ms now)
{
    uint64_t took = (uint64_t)(now - flight->began_at);
    const char *text = flight->code == MF_E_OK ? "" : flight->error;
    if (flight->code != MF_E_OK)
        mf_fetch_tell(self, flight->sha256, MF_IMAGE_PROGRESS_FAILED, flight->have, flight->whole, took,
                      text);
    else if (flight->fetches)
        mf_fetch_tell(self, flight->sha256, MF_IMAGE_PROGRESS_CACHED, flight->have, flight->have, took, text);
}

void mf_wants_landed(struct mf_fetch *self, struct mf_flight *flight, mf_ms now)
{
    struct mf_want *want;
    tell_end(self, flight, now);
    TAILQ_REMOVE(&self->flights, flight, link);
    TAILQ_FOREACH(want, &self->wants, link)
    {
        if (want->told || !names(want, flight->sha256, NULL))
            continue;
        if (flight->code != MF_E_OK && names(want, flight->sha256, flight->url))
            answer(self, want, flight->code, flight->error);
        else
            advance(self, want, now);
    }
    mf_flight_free(&flight);
    for (struct mf_flight *other = TAILQ_FIRST(&self->flights), *next; other; other = next) {
        next = TAILQ_NEXT(other, link);
        if (!awaited(self, other)) /* of an image that failed for another of its files */
            cancel(self, other, now);
    }
}

void mf_wants_free(struct mf_wants *wants)
{
    while (!TAILQ_EMPTY(wants))
        remove_want(wants, TAILQ_FIRST(wants));
}
