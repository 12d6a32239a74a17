/* flight.h - one file on its way into the cache: what lies there already is looked at first, then as much as
 * is missing is read from its origin, digested as it comes, and published if it is what it should be. Stepped
 * by the fetching thread, a slice at a time, so that one file's digest holds up no other's transfer. */
#ifndef MF_FLIGHT_H
#define MF_FLIGHT_H

#include "cache.h"
#include "origin.h"
#include <openssl/evp.h>
#include <sys/queue.h>

enum mf_flight_step {
    MF_FLIGHT_CHECKING, /* the file in the cache is digested */
    MF_FLIGHT_RESUMING, /* what an earlier fetch left is digested */
    MF_FLIGHT_SENDING,  /* the origin sends */
    MF_FLIGHT_PAUSED,   /* until the next try */
    MF_FLIGHT_OVER      /* code says how it went */
};

struct mf_flight_config { /* of all flights */
    struct mf_cache *cache;
    CURLM *multi;
    struct mf_origin_limits limits;
};

struct mf_flight {
    TAILQ_ENTRY(mf_flight) link;
    struct mf_flight_config *config;
    struct mf_digest sha256;
    char *url, shown[MF_ORIGIN_TEXT];
    enum mf_flight_step step;
    enum mf_errcode code;
    char error[512];

    int fd; /* of the part, or of the file that is checked; -1 */
    EVP_MD_CTX *md;
    uint64_t have, whole; /* bytes here, in order and digested but while resuming; in all, 0 if unknown */
    uint64_t left;        /* RESUMING: bytes of the part */
    bool unproven;        /* what was resumed may be of another file */
    bool damaged;         /* what the cache had was not what it should be */
    bool fetches;         /* it has to come, at least in part */

    CURL *easy;
    struct curl_slist *headers;
    char said[CURL_ERROR_SIZE],
        validator[256]; /* If-Range: what the origin calls the file that we have a part of */
    unsigned failures;  /* in a row without a byte more than ever before */
    uint64_t most;
    mf_ms began_at, retry_at, told_at;
};
TAILQ_HEAD(mf_flights, mf_flight);

/* url: empty if the file in the cache is only to be looked at. */
struct mf_flight *mf_flight_new(struct mf_flight_config *config, struct mf_digest sha256, const char *url,
                                mf_ms now);
/* A slice; afterwards look at `step`. */
void mf_flight_step(struct mf_flight *self, mf_ms now);
/* The transfer of its easy handle is done. */
void mf_flight_sent(struct mf_flight *self, CURLcode code, mf_ms now);
/* Whatever it holds is let go; a part stays, to be resumed. */
void mf_flight_free(struct mf_flight **self);

#endif
