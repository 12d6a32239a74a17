/* loop.h - the broker's one loop: all sockets, the core, and news from the store thread. A turn drains what
 * came (bounded), feeds the core, carries out what it hands back, and gives the rows of the turn to the store
 * thread in one piece. */
#ifndef MF_LOOP_H
#define MF_LOOP_H

#include "broker.h"
#include "keys.h"
#include "store.h"

struct mf_loop_options {
    const struct mf_store_engine *engine;
    const char *store_path, *state_dir; /* the directory holds the store, copies for backups, `endpoints` */
    const char *secret_key_file, *keys_dir; /* seal.h: the former may be NULL */
    const struct mf_key *key;               /* the broker's own */
    struct mf_keyring *ring; /* of all who may come in; used by the authenticator's thread from now on */
    const char *client_endpoint, *worker_endpoint, *tail_endpoint;
    const char *http, *http_file; /* protocol/http/http.h */
    struct mf_broker_config core;
    uint64_t retain_rows; /* rows kept below a snapshot, for streams */
};

struct mf_loop;

/* Load the store, begin the reign, bind the endpoints. 0, or negative errno with a sentence. */
int mf_loop_open(const struct mf_loop_options *options, struct mf_loop **ret_loop, char error[512]);
/* "client=tcp://... worker=tcp://... tail=tcp://..." with the real ports; also in DIR/endpoints, a line each.
 */
const char *mf_loop_endpoints(const struct mf_loop *self);
const char *mf_loop_http(const struct mf_loop *self); /* "HOST:PORT", or "none" */
/* Until a signal comes on `signals` (a signalfd), which is then 0; or negative errno when the store has
 * failed, with a sentence. */
int mf_loop_run(struct mf_loop *self, int signals, char error[512]);
/* Commit what is queued, say what that makes true, close. */
void mf_loop_close(struct mf_loop **self);
/* For a panic: the core's state. */
void mf_loop_describe(const struct mf_loop *self, struct mf_buf *buf);

#endif
