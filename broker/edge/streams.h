/* streams.h - reads of event streams. The core owns cursor, filter and credit and asks for one read at a time
 * of each stream; here the rows are fetched (from memory when they are recent, else from the store),
 * filtered, and sent in messages of bounded size. A reader whose queue is full is tried again later; it slows
 * only itself. */
#ifndef MF_STREAMS_H
#define MF_STREAMS_H

#include "broker.h"
#include "peers.h"
#include "recent.h"

enum {
    MF_STREAM_BYTES = 256 << 10,
    MF_STREAM_LOOK = 4096 /* rows looked at, and sent at most, in one step */
};

struct mf_streams;

struct mf_streams *mf_streams_new(const struct mf_store_engine *engine, struct mf_store *store,
                                  const struct mf_recent *recent, struct mf_peers *peers);
void mf_streams_destroy(struct mf_streams **self);
void mf_streams_add(struct mf_streams *self,
                    const struct mf_broker_action *action); /* a STREAM_READ; copied */
/* The number begins anew or ends (subscribe, unsubscribe): a read that waits for it is given back to the core
 * with nothing sent. */
void mf_streams_reset(struct mf_streams *self, uint64_t peer, uint64_t stream);
void mf_streams_forget(struct mf_streams *self,
                       uint64_t peer); /* who is gone: nothing of it is left, nothing given back */

enum mf_stream_step { MF_STREAM_IDLE, MF_STREAM_DONE, MF_STREAM_LOST, MF_STREAM_FAILED };
/* One read of the next stream in turn. DONE: *ret_event is to be fed. LOST: ret_event->peer.handle is gone.
 * FAILED: the store, with text. `committed` is the newest durable row. */
enum mf_stream_step mf_streams_step(struct mf_streams *self, mf_ms now, uint64_t committed,
                                    struct mf_broker_event *ret_event, char text[256]);
/* When a step may be worth while again: 0 now, INT64_MAX nothing waits. */
mf_ms mf_streams_deadline(const struct mf_streams *self);

#endif
