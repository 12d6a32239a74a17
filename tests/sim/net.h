/* net.h - the network of a simulated world. Connections as a ZeroMQ DEALER over TCP makes them: in order,
 * reconnecting by themselves, losing what is in flight when they break; a broken one is noticed by each side
 * at its own time. Datagrams are lost, late, doubled and out of order. Every message really passes the codec:
 * bytes travel, not structs. */
#ifndef MF_SIM_NET_H
#define MF_SIM_NET_H

#include "world.h"

/* One host's way to another. OUT is from the host that owns it. */
enum mf_sim_way { MF_SIM_OUT, MF_SIM_IN, MF_SIM_WAYS };
struct mf_sim_conn;
struct mf_sim_path {
    bool cut[MF_SIM_WAYS]; /* nothing passes; what was sent on a connection waits, as TCP would resend it */
    mf_ms clogged[MF_SIM_WAYS]; /* what is sent before this comes after it */
    unsigned loss;              /* percent of datagrams */
    unsigned twice;             /* percent of datagrams that come twice */
    mf_ms delay, jitter;        /* one way */
    struct mf_sim_conn *conns;  /* that go this way */
};
static inline bool mf_sim_path_is_cut(const struct mf_sim_path *self)
{
    return self->cut[MF_SIM_OUT] || self->cut[MF_SIM_IN];
}
void mf_sim_path_cut(struct mf_sim_path *self, enum mf_sim_way way, bool cut);
void mf_sim_path_clog(struct mf_sim_world *world, struct mf_sim_path *self, enum mf_sim_way way,
                      mf_ms for_ms);
void mf_sim_path_heal(struct mf_sim_path *self); /* nothing is cut, clogged or lost any more */

/* Who may be at the end of a datagram. */
struct mf_sim_host {
    bool monitor; /* else a node */
    uint32_t index;
};
const char *mf_sim_host_address(struct mf_sim_host self, char text[32]);
bool mf_sim_host_at(const struct mf_sim_world *world, const char *address, struct mf_sim_host *ret_host);
/* From one host's socket to another's. */
void mf_sim_net_datagram(struct mf_sim_world *world, struct mf_sim_host from, struct mf_sim_host to,
                         const void *bytes, size_t len);

struct mf_sim_link_calls {
    void (*up)(void *owner);
    void (*down)(void *owner);
    void (*message)(void *owner, const struct mf_message *message);
};
/* The dialling end: one process's connection to the broker, opened again whenever it breaks. */
struct mf_sim_link {
    struct mf_sim_world *world;
    struct mf_sim_path *path;
    enum mf_role role;
    char name[MF_NAME_MAX + 1];
    const struct mf_sim_link_calls *calls;
    void *owner;
    bool wanted; /* the process lives and wants it */
    bool frozen; /* the process is stopped: nothing is read, nothing noticed */
    struct mf_sim_conn *conn;
    struct mf_sim_event dial;
};

/* What the broker's end is told. */
struct mf_sim_listener {
    void (*message)(void *owner, const struct mf_sim_link *link, uint64_t handle,
                    const struct mf_message *message, struct mf_digest body_digest);
    void (*gone)(void *owner, uint64_t handle);
};

struct mf_sim_net *mf_sim_net_new(struct mf_sim_world *world);
void mf_sim_net_destroy(struct mf_sim_net **self);
void mf_sim_net_listen(struct mf_sim_net *self, const struct mf_sim_listener *calls, void *owner);
void mf_sim_net_broker_up(struct mf_sim_net *self);
void mf_sim_net_broker_down(struct mf_sim_net *self); /* every connection breaks */
void mf_sim_net_broker_freeze(struct mf_sim_net *self, bool frozen);

void mf_sim_link_init(struct mf_sim_link *self, struct mf_sim_world *world, struct mf_sim_path *path,
                      enum mf_role role, const char *name, const struct mf_sim_link_calls *calls,
                      void *owner);
void mf_sim_link_open(struct mf_sim_link *self);
/* The process ends or reconnects. `silent`: its host lost power, nobody tells the other end. */
void mf_sim_link_close(struct mf_sim_link *self, bool silent);
bool mf_sim_link_is_up(const struct mf_sim_link *self);
void mf_sim_link_send(struct mf_sim_link *self,
                      const struct mf_message *message); /* lost if the link is down */
void mf_sim_link_freeze(struct mf_sim_link *self, bool frozen);
void mf_sim_link_break(struct mf_sim_link *self); /* both ends notice, each at its own time */

/* From the broker to a connection; lost if it is gone. */
void mf_sim_net_send(struct mf_sim_net *self, uint64_t handle, const struct mf_message *message);
void mf_sim_net_close(struct mf_sim_net *self, uint64_t handle);

#endif
