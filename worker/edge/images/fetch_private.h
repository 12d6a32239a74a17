/* fetch_private.h - what fetch.c (the thread) and wants.c (who waits for what) share. */
#ifndef MF_FETCH_PRIVATE_H
#define MF_FETCH_PRIVATE_H

#include "fetch.h"
#include "flight.h"
#include <pthread.h>

struct mf_want {
    TAILQ_ENTRY(mf_want) link;
    uint64_t ticket;
    bool drop; /* as a command: not a want, but the end of one */
    bool told;
    struct mf_rec_image image;
    struct mf_arena arena;
};
TAILQ_HEAD(mf_wants, mf_want);

struct mf_fetch {
    unsigned magic;
    struct mf_fetch_config config;
    struct mf_flight_config flight_config;
    struct mf_cache *cache;
    CURLM *multi;
    pthread_t thread;

    pthread_mutex_t lock;
    struct mf_wants commands;
    bool stopping;
    struct mf_fetch_counts counts;

    /* the thread's own */
    struct mf_wants wants;
    struct mf_flights flights;
    struct mf_flight *recheck; /* not among the flights; one at a time, and slow */
    mf_ms recheck_at;
};

/* wants.c */
void mf_wants_take(struct mf_fetch *self, struct mf_want *command, mf_ms now);
bool mf_wants_have(const struct mf_fetch *self, struct mf_digest sha256); /* any, answered or not */
/* The flight is over: whoever waited for it goes on, or is told. It is freed. */
void mf_wants_landed(struct mf_fetch *self, struct mf_flight *flight, mf_ms now);
void mf_wants_free(struct mf_wants *wants);

/* fetch.c */
void mf_fetch_tell(struct mf_fetch *self, struct mf_digest sha256, enum mf_image_progress state,
                   uint64_t bytes, uint64_t size, uint64_t took_ms, const char *text);

#endif
