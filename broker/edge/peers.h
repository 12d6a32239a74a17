/* peers.h - who is at the other end. The core knows a connection by a handle that is never used again; libzmq
 * knows it by a routing identity; the kernel by an fd, which it soon uses again. Here the three are kept in
 * step, so that the core hears of each connection's end once, and of nobody else's.
 *
 * A connection's end is told by its socket's monitor pair (fd only), or by a message of another identity on
 * the same fd, or by a send that finds nobody. A message may still be waiting when its connection's end has
 * been told: it is taken as a short visit. */
#ifndef MF_PEERS_H
#define MF_PEERS_H

#include "broker.h"
#include "bus.h"

enum mf_endpoint { MF_ENDPOINT_CLIENT, MF_ENDPOINT_WORKER, MF_ENDPOINTS };

struct mf_connection {
    uint64_t handle;
    enum mf_endpoint endpoint;
    int fd;
    enum mf_role role;
    bool delimiter;               /* it talks as a REQ does */
    bool shunned;                 /* to be closed: what it says is not heard any more */
    mf_ms close_ms;               /* of a shunned one: when its fd is shut */
    bool heard;                   /* since the last look at who is quiet */
    unsigned quiet;               /* looks in a row that found it so */
    struct mf_str identity, name; /* owned */
};

struct mf_peers;

struct mf_peers *mf_peers_new(void *client_socket, void *client_monitor, void *worker_socket,
                              void *worker_monitor);
void mf_peers_destroy(struct mf_peers **self); /* not the sockets */
struct mf_peer mf_connection_peer(const struct mf_connection *self);

/* Read the monitor pairs. Afterwards take who is gone, one by one: the caller frees each with
 * mf_connection_destroy. */
void mf_peers_watch(struct mf_peers *self);
struct mf_connection *mf_peers_take_gone(struct mf_peers *self); /* NULL: none */
void mf_connection_destroy(struct mf_connection **self);

/* The connection that a message came on, known or new. A new one may end others (take_gone), and may itself
 * be gone already: then *ret_visit is true and it is in the list of the gone, to be taken after the message
 * was heard. */
struct mf_connection *mf_peers_meet(struct mf_peers *self, enum mf_endpoint endpoint,
                                    const struct mf_bus_in *in, bool *ret_visit);
size_t mf_peers_count(const struct mf_peers *self);
struct mf_connection *mf_peers_find(const struct mf_peers *self, uint64_t handle); /* NULL if gone */

/* 0; -EHOSTUNREACH: it is gone now (take_gone); -EAGAIN: its queue is full, nothing was changed. */
int mf_peers_send(struct mf_peers *self, uint64_t handle, const struct mf_message *message);
/* False while the connection's kernel buffer is full. Rows of a stream wait here for it: libzmq would take
 * them into memory by the thousand, for a reader that may never come for them. */
bool mf_peers_takes(const struct mf_peers *self, uint64_t handle);
void mf_peers_lose(struct mf_peers *self, uint64_t handle); /* take it for gone */
/* Hear it no more, and cut its connection a moment later, when what was just sent to it has left. */
void mf_peers_shun(struct mf_peers *self, uint64_t handle, mf_ms now);
/* Workers say something every alive_ms: from now on one that is quiet for four times as long, and at least
 * four seconds, is shunned. What stands still (a stopped process) keeps its connection open, and its node
 * looks connected. */
void mf_peers_expect(struct mf_peers *self, mf_ms alive_ms);
mf_ms mf_peers_deadline(const struct mf_peers *self); /* of the next cut or look; INT64_MAX if none */
void mf_peers_tick(struct mf_peers *self, mf_ms now);

#endif
