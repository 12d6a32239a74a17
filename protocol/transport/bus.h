/* bus.h - ZeroMQ sockets as Mayfly uses them: CURVE always, heartbeats always (sent by whoever connects),
 * ROUTER mandatory always, high-water marks set, messages of two frames ("MF1 wire-name", body). Nothing here
 * thinks. */
#ifndef MF_BUS_H
#define MF_BUS_H

#include "keys.h"
#include "message.h"

enum { MF_BUS_HWM = 20000, MF_BUS_HEARTBEAT_MS = 2000, MF_BUS_HEARTBEAT_TIMEOUT_MS = 4000 };

/* A server socket (ZMQ_ROUTER or ZMQ_XPUB) bound with CURVE; refused unless the context has its authenticator
 * (mf_zap_start); endpoint may say port *, and ret_endpoint (256 bytes) tells the real one. */
int mf_bus_bind(void *context, int type, const char *endpoint, const struct mf_key *key, void **ret_socket,
                char *ret_endpoint, char error[512]);
/* A DEALER or SUB connected with CURVE; reconnects by itself within 10..500 ms. What is sent while
 * there is no connection waits for the next one. With a monitor_name (of an inproc endpoint, unique in the
 * context) *ret_pair tells its links, as mf_bus_monitor's: it is there before the first attempt, so that no
 * event can be missed. NULL: unwatched. */
int mf_bus_connect(void *context, int type, const char *endpoint, const struct mf_key *key,
                   const char *monitor_name, void **ret_socket, void **ret_pair, char error[512]);

/* Connect again after REFUSED, which libzmq takes for final. Not at once: leave the broker a second or so. 0
 * or negative errno. */
int mf_bus_retry(void *socket, const char *endpoint);

/* One message received. `identity` is empty on a DEALER. `fd` is the connection (ZMQ_SRCFD), `user_id`
 * "role:name" as the authenticator said. A REQ's empty delimiter is accepted. Frames stay valid until the
 * next recv on the same struct. */
struct mf_bus_in {
    struct mf_str identity, head, body;
    int fd;
    enum mf_role role;
    char name[MF_NAME_MAX + 1];
    bool malformed;  /* wrong number of frames or too large; head and body are empty */
    bool delimiter;  /* came with an empty delimiter (a REQ): answer with one */
    void *frames[4]; /* zmq_msg_t storage, private */
};
/* 1 = one message, 0 = none waiting, negative errno. Never blocks. */
int mf_bus_recv(void *socket, struct mf_bus_in *in);
void mf_bus_in_free(struct mf_bus_in *in);
/* Send to identity (empty on a DEALER). 0, -EHOSTUNREACH (no such peer), -EAGAIN (its queue is full). Never
 * blocks. */
int mf_bus_send(void *socket, struct mf_str identity, bool delimiter, const struct mf_message *message);

/* The descriptor that becomes readable when a socket has news (ZMQ_FD). Cheaper to poll than the socket,
 * which costs system calls each time even when it is quiet; but it tells an edge, not a level: read until
 * there is nothing, and look again after any send. */
int mf_bus_fd(void *socket);

/* Connection events of a socket: a PAIR to be polled beside it. `fd` says which connection went DOWN (the
 * ZMQ_SRCFD of its messages); it is -1 for UP and REFUSED, where libzmq does not say. A server's pair also
 * tells ACCEPTED, with the fd. A key that the broker does not know gives REFUSED at the client, and no new
 * attempt until mf_bus_retry; all other failures are tried again. The kernel reuses fds: DOWN is queued
 * before its fd is closed, so whoever sees a message of a new identity on a known fd must drain the pair
 * before it believes that the fd is the new one's; and messages of a connection may still be waiting when its
 * DOWN is read. Only mf_bus_close may close a pair. */
enum mf_bus_link {
    MF_BUS_LINK_UP = 1,
    MF_BUS_LINK_DOWN,
    MF_BUS_LINK_REFUSED /* handshake failed: wrong or unknown key */,
    MF_BUS_LINK_ACCEPTED /* a server's socket took a connection; fd says which; its handshake follows */
};
int mf_bus_monitor(void *context, void *socket, const char *inproc_name, void **ret_pair, char error[512]);
int mf_bus_monitor_recv(void *pair, enum mf_bus_link *ret_link, int *ret_fd); /* 1, 0 none, negative errno */
/* Close a socket and the pair that watches it; either may be NULL; both become NULL. A pair that is closed
 * while its socket still has something to tell would hold up libzmq's I/O thread, and with it every other
 * socket of the context, for ever: so the watching ends first. */
void mf_bus_close(void **socket, void **pair);

#endif
