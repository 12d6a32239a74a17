/* peers.c - the three names of a connection: maps from handle and identity, an array by fd. */
#include "peers.h"
#include "check.h"
#include "map.h"
#include "program.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    GRAVES = 256, /* identities that ended lately; a late message of one of them brings nobody to life */
    IDENTITY_MAX = 256,
    CUT_AFTER_MS = 300,
    LOOK_MS = 1000, /* how often it is looked who is quiet */
    QUIET_LOOKS = 4
};

enum fd_state { FD_UNKNOWN, FD_UP, FD_DOWN };

struct by_fd {
    enum fd_state state;
    struct mf_connection *connection;
};

struct mf_peers {
    void *sockets[MF_ENDPOINTS], *monitors[MF_ENDPOINTS];
    struct mf_map *by_handle, *by_identity;
    struct by_fd *fds;
    size_t n_fds;
    struct mf_connection **gone;
    size_t n_gone, cap_gone;
    uint64_t next_handle;
    uint64_t graves[GRAVES]; /* hashes of endpoint and identity */
    size_t next_grave;
    size_t n_shunned;
    unsigned quiet_max; /* 0: nobody looks */
    mf_ms look_at;
};

struct mf_peers *mf_peers_new(void *client_socket, void *client_monitor, void *worker_socket,
                              void *worker_monitor)
{
    struct mf_peers *self = calloc(1, sizeof(*self));

    MF_CHECK(self);
    self->sockets[MF_ENDPOINT_CLIENT] = client_socket;
    self->sockets[MF_ENDPOINT_WORKER] = worker_socket;
    self->monitors[MF_ENDPOINT_CLIENT] = client_monitor;
    self->monitors[MF_ENDPOINT_WORKER] = worker_monitor;
    self->by_handle = mf_map_new();
    self->by_identity = mf_map_new();
    self->next_handle = 1;
    return self;
}

void mf_connection_destroy(struct mf_connection **self)
{
    if (!*self)
        return;
    free((char *)(*self)->identity.ptr);
    free((char *)(*self)->name.ptr);
    free(*self);
    *self = NULL;
}

void mf_peers_destroy(struct mf_peers **self)
{
    struct mf_connection *connection;
    size_t cursor = 0;

    if (!*self)
        return;
    while (mf_map_next((*self)->by_handle, &cursor, (void **)&connection))
        mf_connection_destroy(&connection);
    while ((connection = mf_peers_take_gone(*self)))
        mf_connection_destroy(&connection);
    mf_map_destroy(&(*self)->by_handle);
    mf_map_destroy(&(*self)->by_identity);
    free((*self)->gone);
    free((*self)->fds);
    free(*self);
    *self = NULL;
}

struct mf_peer mf_connection_peer(const struct mf_connection *self)
{
    return (struct mf_peer){.handle = self->handle, .role = self->role, .name = self->name};
}

/* -- keys and graves */

struct key {
    char bytes[IDENTITY_MAX + 1];
    size_t len;
};

static struct key key_of(enum mf_endpoint endpoint, struct mf_str identity)
{
    struct key key;

    MF_CHECK(identity.len <= IDENTITY_MAX);
    key.bytes[0] = (char)endpoint;
    memcpy(key.bytes + 1, identity.ptr, identity.len);
    key.len = identity.len + 1;
    return key;
}

/* Identities that libzmq makes begin with a zero byte and are never made twice; those that a peer chose may
 * come again. */
static void bury(struct mf_peers *self, enum mf_endpoint endpoint, struct mf_str identity)
{
    struct key key = key_of(endpoint, identity);

    if (identity.len && !identity.ptr[0])
        self->graves[self->next_grave++ % GRAVES] = mf_hash(key.bytes, key.len);
}

static bool buried(const struct mf_peers *self, const struct key *key)
{
    uint64_t hash = mf_hash(key->bytes, key->len);

    for (size_t i = 0; i < GRAVES; i++)
        if (self->graves[i] == hash)
            return true;
    return false;
}

/* -- fds */

static struct by_fd *fd_entry(struct mf_peers *self, int fd)
{
    size_t n = (size_t)fd + 1;

    MF_CHECK(fd >= 0);
    if (n > self->n_fds) {
        n = n > self->n_fds * 2 ? n : self->n_fds * 2;
        self->fds = realloc(self->fds, n * sizeof(*self->fds));
        MF_CHECK(self->fds);
        memset(self->fds + self->n_fds, 0, (n - self->n_fds) * sizeof(*self->fds));
        self->n_fds = n;
    }
    return &self->fds[fd];
}

static void add_gone(struct mf_peers *self, struct mf_connection *connection)
{
    if (self->n_gone == self->cap_gone) {
        self->cap_gone = self->cap_gone * 2 + 16;
        self->gone = realloc(self->gone, self->cap_gone * sizeof(*self->gone));
        MF_CHECK(self->gone);
    }
    self->gone[self->n_gone++] = connection;
}

static void end(struct mf_peers *self, struct mf_connection *connection, bool bury_it)
{
    struct key key = key_of(connection->endpoint, connection->identity);
    struct by_fd *place = connection->fd >= 0 ? fd_entry(self, connection->fd) : NULL;

    mf_map_del_u64(self->by_handle, connection->handle);
    mf_map_del(self->by_identity, key.bytes, key.len);
    if (place && place->connection == connection)
        place->connection = NULL;
    if (bury_it)
        bury(self, connection->endpoint, connection->identity);
    self->n_shunned -= connection->shunned;
    add_gone(self, connection);
}

struct mf_connection *mf_peers_take_gone(struct mf_peers *self)
{
    struct mf_connection *first;

    if (!self->n_gone)
        return NULL;
    first = self->gone[0];
    memmove(self->gone, self->gone + 1, --self->n_gone * sizeof(*self->gone));
    return first;
}

static void take_link(struct mf_peers *self, enum mf_bus_link link, int fd)
{
    struct by_fd *place;

    if (fd < 0 || (link != MF_BUS_LINK_DOWN && link != MF_BUS_LINK_ACCEPTED))
        return;
    place = fd_entry(self, fd);
    if (place->connection)
        end(self, place->connection, true); /* also on ACCEPTED: the fd is another's now */
    place->state = link == MF_BUS_LINK_DOWN ? FD_DOWN : FD_UP;
}

void mf_peers_watch(struct mf_peers *self)
{
    enum mf_bus_link link;
    int fd;

    for (int i = 0; i < MF_ENDPOINTS; i++)
        while (mf_bus_monitor_recv(self->monitors[i], &link, &fd) > 0)
            take_link(self, link, fd);
}

/* -- meeting */

static struct mf_str own(struct mf_str s)
{
    char *copy = malloc(s.len + 1);

    MF_CHECK(copy);
    if (s.len)
        memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return (struct mf_str){copy, s.len};
}

static struct mf_connection *make(struct mf_peers *self, enum mf_endpoint endpoint,
                                  const struct mf_bus_in *in)
{
    struct mf_connection *connection = calloc(1, sizeof(*connection));

    MF_CHECK(connection);
    connection->handle = self->next_handle++;
    connection->endpoint = endpoint;
    connection->fd = in->fd;
    connection->role = in->role;
    connection->identity = own(in->identity);
    connection->name = own(mf_str(in->name));
    return connection;
}

static bool same(const struct mf_connection *connection, const struct mf_bus_in *in)
{
    return connection->fd == in->fd && connection->role == in->role && mf_str_is(connection->name, in->name);
}

static struct mf_connection *meet_new(struct mf_peers *self, const struct key *key, enum mf_endpoint endpoint,
                                      const struct mf_bus_in *in, bool *ret_visit)
{
    struct mf_connection *connection = make(self, endpoint, in);
    struct by_fd *place = in->fd >= 0 ? fd_entry(self, in->fd) : NULL;

    *ret_visit = buried(self, key) || (place && place->state == FD_DOWN);
    if (*ret_visit) {
        add_gone(self, connection);
        return connection;
    }
    if (place && place->connection)
        end(self, place->connection, true);
    if (place)
        place->connection = connection;
    mf_map_put_u64(self->by_handle, connection->handle, connection);
    mf_map_put(self->by_identity, key->bytes, key->len, connection);
    return connection;
}

struct mf_connection *mf_peers_meet(struct mf_peers *self, enum mf_endpoint endpoint,
                                    const struct mf_bus_in *in, bool *ret_visit)
{
    struct key key = key_of(endpoint, in->identity);
    struct mf_connection *connection = mf_map_get(self->by_identity, key.bytes, key.len);

    *ret_visit = false;
    if (!connection || !same(connection, in)) {
        mf_peers_watch(self); /* what happened to this fd before this message is in the pairs by now */
        connection = mf_map_get(self->by_identity, key.bytes, key.len);
        if (connection)
            end(self, connection, false); /* the identity came again on another connection */
        connection = meet_new(self, &key, endpoint, in, ret_visit);
    }
    connection->delimiter = in->delimiter;
    connection->heard = true;
    return connection;
}

size_t mf_peers_count(const struct mf_peers *self)
{
    return mf_map_size(self->by_handle);
}

struct mf_connection *mf_peers_find(const struct mf_peers *self, uint64_t handle)
{
    return mf_map_get_u64(self->by_handle, handle);
}

/* -- sending and parting */

int mf_peers_send(struct mf_peers *self, uint64_t handle, const struct mf_message *message)
{
    struct mf_connection *connection = mf_peers_find(self, handle);
    int r;

    if (!connection)
        return 0; /* its end was told, or is about to be */
    r = mf_bus_send(self->sockets[connection->endpoint], connection->identity, connection->delimiter,
                    message);
    if (r < 0 && r != -EAGAIN) {
        end(self, connection, true);
        return -EHOSTUNREACH;
    }
    return r;
}

bool mf_peers_takes(const struct mf_peers *self, uint64_t handle)
{
    const struct mf_connection *connection = mf_peers_find(self, handle);
    struct pollfd item = {.fd = connection ? connection->fd : -1, .events = POLLOUT};

    return item.fd < 0 || poll(&item, 1, 0) != 0;
}

void mf_peers_lose(struct mf_peers *self, uint64_t handle)
{
    struct mf_connection *connection = mf_peers_find(self, handle);

    if (connection)
        end(self, connection, false);
}

void mf_peers_shun(struct mf_peers *self, uint64_t handle, mf_ms now)
{
    struct mf_connection *connection = mf_peers_find(self, handle);

    if (!connection || connection->shunned)
        return;
    connection->shunned = true;
    connection->close_ms = now + CUT_AFTER_MS;
    self->n_shunned++;
}

void mf_peers_expect(struct mf_peers *self, mf_ms alive_ms)
{
    unsigned looks = (unsigned)(4 * alive_ms / LOOK_MS) + 1;

    self->quiet_max = looks > QUIET_LOOKS ? looks : QUIET_LOOKS;
}

/* Silence is counted in looks, not by the clock: a pause of our own is one look, however long it was. */
static void look(struct mf_peers *self, mf_ms now)
{
    struct mf_connection *connection;
    size_t cursor = 0;

    while (mf_map_next(self->by_handle, &cursor, (void **)&connection)) {
        connection->quiet = connection->heard ? 0 : connection->quiet + 1;
        connection->heard = false;
        if (connection->endpoint != MF_ENDPOINT_WORKER || connection->shunned ||
            connection->quiet < self->quiet_max)
            continue;
        mf_log(MF_LOG_WARNING, "a worker says nothing any more; its connection is cut", "node=%.*s",
               (int)connection->name.len, connection->name.ptr);
        mf_peers_shun(self, connection->handle, now);
    }
    self->look_at = now + LOOK_MS;
}

mf_ms mf_peers_deadline(const struct mf_peers *self)
{
    struct mf_connection *connection;
    size_t cursor = 0;
    mf_ms first = self->quiet_max ? self->look_at : INT64_MAX;

    if (!self->n_shunned)
        return first;
    while (mf_map_next(self->by_handle, &cursor, (void **)&connection))
        if (connection->shunned && connection->close_ms < first)
            first = connection->close_ms;
    return first;
}

/* A ROUTER cannot drop one of its peers; but the connection's fd is this process's, and shutting it down ends
 * it as the other side's leaving would. The pairs are read first, so that the fd is this connection's still.
 */
void mf_peers_tick(struct mf_peers *self, mf_ms now)
{
    struct mf_connection *connection;
    size_t cursor = 0;

    if (mf_peers_deadline(self) > now)
        return;
    if (self->quiet_max && self->look_at <= now)
        look(self, now);
    if (!self->n_shunned)
        return;
    mf_peers_watch(self);
    while (mf_map_next(self->by_handle, &cursor, (void **)&connection)) {
        if (!connection->shunned || connection->close_ms > now)
            continue;
        if (connection->fd >= 0)
            shutdown(connection->fd, SHUT_RDWR);
        connection->close_ms = INT64_MAX; /* cut; its end will be told */
    }
}
