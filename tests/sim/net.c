/* The network. A connection is two lanes, each a queue whose head has a due time; a lane stalls while its
 * path is cut or its reader is stopped, and goes on afterwards: TCP loses nothing until it breaks. Breaking
 * is noticed by a FIN that travels behind what is in flight (some of which is lost), or by a heartbeat that
 * stays away. */
#include "net.h"
#include "check.h"
#include "map.h"
#include "weather.h"
#include <stdlib.h>
#include <string.h>

/* A lane, and the side that reads it. */
enum { TO_BROKER = MF_SIM_OUT, TO_DIALER = MF_SIM_IN, LANES = MF_SIM_WAYS };

struct packet {
    struct packet *next;
    mf_ms due;
    bool fin;
    struct mf_buf head, body;
};
struct lane {
    struct packet *first, *last;
    struct mf_sim_event event;
};
struct mf_sim_conn {
    struct mf_sim_net *net;
    struct mf_sim_link *link;
    uint64_t handle;
    bool open[LANES]; /* the end that reads this lane believes in the connection */
    struct lane lanes[LANES];
    struct mf_sim_event heartbeat[LANES];
    struct mf_sim_conn **of_path, *path_next, *next; /* on its path, or among the dead */
};
struct mf_sim_net {
    struct mf_sim_world *world;
    const struct mf_sim_listener *calls;
    void *owner;
    struct mf_map *conns;     /* by handle, while an end believes in it */
    struct mf_sim_conn *dead; /* freed when nobody can be looking at them */
    uint64_t next_handle;
    bool broker_up, broker_frozen;
    struct mf_arena arena;
};

static void packet_free(struct packet *packet)
{
    mf_buf_free(&packet->head);
    mf_buf_free(&packet->body);
    free(packet);
}

static struct packet *lane_take(struct lane *lane)
{
    struct packet *packet = lane->first;
    if (packet && !(lane->first = packet->next))
        lane->last = NULL;
    return packet;
}

static void lane_cut(struct mf_sim_world *world, struct lane *lane, size_t keep)
{
    struct packet *rest = NULL;
    struct lane kept = {0};
    for (struct packet *packet; (packet = lane_take(lane));) {
        packet->next = NULL;
        if (keep && keep--) {
            *(kept.last ? &kept.last->next : &kept.first) = packet;
            kept.last = packet;
        } else {
            packet->next = rest;
            rest = packet;
        }
    }
    for (struct packet *next; rest; rest = next) {
        next = rest->next;
        packet_free(rest);
    }
    lane->first = kept.first;
    lane->last = kept.last;
    if (!lane->first)
        mf_sim_cancel(world, &lane->event);
}

static size_t lane_length(const struct lane *lane)
{
    size_t n = 0;
    for (const struct packet *packet = lane->first; packet; packet = packet->next)
        n++;
    return n;
}

static bool reader_frozen(const struct mf_sim_conn *conn, int side)
{
    return side == TO_BROKER ? conn->net->broker_frozen : conn->link->frozen;
}

static bool stalled(const struct mf_sim_conn *conn, int side)
{
    return conn->link->path->cut[side] || reader_frozen(conn, side);
}

static void lane_arm(struct mf_sim_conn *conn, int side)
{
    struct lane *lane = &conn->lanes[side];
    struct mf_sim_world *world = conn->net->world;
    if (lane->first && !mf_sim_is_set(&lane->event) && !stalled(conn, side))
        mf_sim_after(world, &lane->event, lane->first->due - world->now);
}

static struct packet *lane_push(struct mf_sim_conn *conn, int side)
{
    struct mf_sim_world *world = conn->net->world;
    struct lane *lane = &conn->lanes[side];
    struct packet *packet = mf_sim_alloc(sizeof(*packet));
    const struct mf_sim_path *path = conn->link->path;
    packet->due = path->clogged[side] > world->now ? path->clogged[side] : world->now;
    packet->due += path->delay + mf_sim_between(world, 0, path->jitter);
    if (lane->last && packet->due < lane->last->due)
        packet->due = lane->last->due;
    *(lane->last ? &lane->last->next : &lane->first) = packet;
    lane->last = packet;
    return packet;
}

/* Nobody believes in it any more: no event of it is left, its memory waits until nobody can hold it. */
static void bury(struct mf_sim_conn *conn)
{
    struct mf_sim_net *net = conn->net;
    if (conn->open[TO_BROKER] || conn->open[TO_DIALER] || !mf_map_del_u64(net->conns, conn->handle))
        return;
    for (int side = 0; side < LANES; side++) {
        lane_cut(net->world, &conn->lanes[side], 0);
        mf_sim_cancel(net->world, &conn->lanes[side].event);
        mf_sim_cancel(net->world, &conn->heartbeat[side]);
    }
    struct mf_sim_conn **at = conn->of_path;
    while (*at != conn)
        at = &(*at)->path_next;
    *at = conn->path_next;
    conn->next = net->dead;
    net->dead = conn;
}

/* One side finds that the connection is over. */
static void side_ends(struct mf_sim_conn *conn, int side)
{
    struct mf_sim_net *net = conn->net;
    if (!conn->open[side])
        return;
    conn->open[side] = false;
    lane_cut(net->world, &conn->lanes[side], 0);
    mf_sim_trace(net->world, side == TO_BROKER ? "broker" : conn->link->name, "connection %llu of %s ended",
                 (unsigned long long)conn->handle, conn->link->name);
    bury(conn);
    if (side == TO_BROKER) {
        net->calls->gone(net->owner, conn->handle);
        return;
    }
    struct mf_sim_link *link = conn->link;
    if (link->conn != conn)
        return;
    link->conn = NULL;
    if (link->wanted)
        mf_sim_after(net->world, &link->dial, mf_sim_between(net->world, 20, 250));
    link->calls->down(link->owner);
}

static void heartbeat_arm(struct mf_sim_conn *conn, int side)
{
    struct mf_sim_world *world = conn->net->world;
    if (conn->open[side] && !mf_sim_is_set(&conn->heartbeat[side]))
        mf_sim_after(world, &conn->heartbeat[side], mf_sim_weather_heartbeat(world->weather));
}

/* Nothing was heard for long: is that still so? A stopped process notices only when it goes on. */
static void heartbeat_fires(struct mf_sim_conn *conn, int side)
{
    if (!conn->open[side])
        return;
    if (reader_frozen(conn, side))
        heartbeat_arm(conn, side);
    else if (conn->link->path->cut[side] || reader_frozen(conn, !side) || !conn->open[!side]) {
        int other = !side;
        side_ends(conn, side);
        if (conn->open[other]) {
            lane_push(conn, other)->fin = true;
            lane_arm(conn, other);
            heartbeat_arm(conn, other);
        }
    }
}

static void heartbeat_broker(struct mf_sim_event *event)
{
    heartbeat_fires(MF_SIM_OWNER(event, struct mf_sim_conn, heartbeat[TO_BROKER]), TO_BROKER);
}

static void heartbeat_dialer(struct mf_sim_event *event)
{
    heartbeat_fires(MF_SIM_OWNER(event, struct mf_sim_conn, heartbeat[TO_DIALER]), TO_DIALER);
}

static void arrive(struct mf_sim_conn *conn, int side, struct packet *packet)
{
    struct mf_sim_net *net = conn->net;
    struct mf_message message;
    struct mf_decode_error error;
    struct mf_str body = {packet->body.ptr, (uint32_t)packet->body.len};
    mf_arena_reset(&net->arena);
    if (mf_message_decode((struct mf_str){packet->head.ptr, (uint32_t)packet->head.len}, body, &net->arena,
                          &message, &error) < 0) {
        mf_sim_fail(net->world, "codec", "what %s was sent does not decode: %.*s %s",
                    side == TO_BROKER ? "the broker" : conn->link->name, (int)packet->head.len,
                    packet->head.ptr, error.text);
        return;
    }
    enum mf_role role = side == TO_BROKER ? conn->link->role : MF_ROLE_BROKER;
    if (!mf_may_send(role, message.kind)) {
        mf_sim_fail(net->world, "I9", "a %s sent %s, which its role may not", mf_role_word(role),
                    mf_kind_desc(message.kind)->wire);
        return;
    }
    if (side == TO_BROKER) {
        mf_sim_trace_message(net->world, conn->link->name, "broker", &message);
        net->calls->message(net->owner, conn->link, conn->handle, &message,
                            mf_digest_make(body.ptr, body.len));
    } else {
        mf_sim_trace_message(net->world, "broker", conn->link->name, &message);
        conn->link->calls->message(conn->link->owner, &message);
    }
}

static void lane_fires(struct mf_sim_conn *conn, int side)
{
    if (stalled(conn, side))
        return; /* going on arms it again */
    struct packet *packet = lane_take(&conn->lanes[side]);
    if (!packet)
        return;
    if (!conn->open[side])
        lane_cut(conn->net->world, &conn->lanes[side], 0);
    else if (packet->fin)
        side_ends(conn, side);
    else
        arrive(conn, side, packet);
    packet_free(packet);
    if (conn->open[side])
        lane_arm(conn, side);
}

static void lane_broker(struct mf_sim_event *event)
{
    lane_fires(MF_SIM_OWNER(event, struct mf_sim_conn, lanes[TO_BROKER].event), TO_BROKER);
}

static void lane_dialer(struct mf_sim_event *event)
{
    lane_fires(MF_SIM_OWNER(event, struct mf_sim_conn, lanes[TO_DIALER].event), TO_DIALER);
}

/* `side` ends the connection on purpose: the other end loses a part of what was in flight and then reads the
 * end. */
static void side_closes(struct mf_sim_conn *conn, int side, bool silent)
{
    struct mf_sim_world *world = conn->net->world;
    int other = !side;
    conn->open[side] = false;
    lane_cut(world, &conn->lanes[side], 0);
    if (!conn->open[other]) {
        bury(conn);
        return;
    }
    lane_cut(world, &conn->lanes[other],
             silent ? 0 : mf_sim_below(world, lane_length(&conn->lanes[other]) + 1));
    if (!silent)
        lane_push(conn, other)->fin = true;
    lane_arm(conn, other);
    heartbeat_arm(conn, other);
}

static void conn_free(struct mf_sim_conn *conn)
{
    for (int side = 0; side < LANES; side++)
        for (struct packet *packet; (packet = lane_take(&conn->lanes[side]));)
            packet_free(packet);
    free(conn);
}

static struct mf_sim_conn *conn_new(struct mf_sim_link *link)
{
    struct mf_sim_net *net = link->world->net;
    struct mf_sim_conn *conn = mf_sim_alloc(sizeof(*conn));
    *conn = (struct mf_sim_conn){.net = net,
                                 .link = link,
                                 .handle = ++net->next_handle,
                                 .open = {true, true},
                                 .of_path = &link->path->conns,
                                 .path_next = link->path->conns};
    link->path->conns = conn;
    conn->lanes[TO_BROKER].event.fire = lane_broker;
    conn->lanes[TO_DIALER].event.fire = lane_dialer;
    conn->heartbeat[TO_BROKER].fire = heartbeat_broker;
    conn->heartbeat[TO_DIALER].fire = heartbeat_dialer;
    mf_map_put_u64(net->conns, conn->handle, conn);
    return conn;
}

static void free_dead(struct mf_sim_net *net)
{
    for (struct mf_sim_conn *conn; (conn = net->dead);) {
        net->dead = conn->next;
        conn_free(conn);
    }
}

/* An event of its own: nobody below is in the middle of a dead connection. */
static void dial(struct mf_sim_event *event)
{
    struct mf_sim_link *link = MF_SIM_OWNER(event, struct mf_sim_link, dial);
    struct mf_sim_net *net = link->world->net;
    free_dead(net);
    if (!link->wanted || link->conn)
        return;
    if (link->frozen || mf_sim_path_is_cut(link->path) || !net->broker_up || net->broker_frozen) {
        mf_sim_after(link->world, &link->dial, mf_sim_between(link->world, 50, 250));
        return;
    }
    link->conn = conn_new(link);
    mf_sim_trace(link->world, link->name, "connection %llu is up", (unsigned long long)link->conn->handle);
    link->calls->up(link->owner);
}

struct mf_sim_net *mf_sim_net_new(struct mf_sim_world *world)
{
    struct mf_sim_net *self = mf_sim_alloc(sizeof(*self));
    self->world = world;
    self->conns = mf_map_new();
    return self;
}

void mf_sim_net_destroy(struct mf_sim_net **self)
{
    struct mf_sim_net *net = *self;
    if (!net)
        return;
    *self = NULL;
    size_t cursor = 0;
    for (void *conn; mf_map_next(net->conns, &cursor, &conn);)
        conn_free(conn);
    mf_map_destroy(&net->conns);
    free_dead(net);
    mf_arena_free(&net->arena);
    free(net);
}

void mf_sim_net_listen(struct mf_sim_net *self, const struct mf_sim_listener *calls, void *owner)
{
    self->calls = calls;
    self->owner = owner;
}

void mf_sim_net_broker_up(struct mf_sim_net *self)
{
    self->broker_up = true;
}

void mf_sim_net_broker_down(struct mf_sim_net *self)
{
    self->broker_up = self->broker_frozen = false;
    size_t cursor = 0;
    for (void *value; mf_map_next(self->conns, &cursor, &value);) {
        struct mf_sim_conn *conn = value;
        if (conn->open[TO_BROKER])
            side_closes(conn, TO_BROKER, false);
    }
}

void mf_sim_net_broker_freeze(struct mf_sim_net *self, bool frozen)
{
    self->broker_frozen = frozen;
    size_t cursor = 0;
    for (void *value; mf_map_next(self->conns, &cursor, &value);) {
        if (frozen)
            heartbeat_arm(value, TO_DIALER);
        else
            lane_arm(value, TO_BROKER);
    }
}

void mf_sim_link_init(struct mf_sim_link *self, struct mf_sim_world *world, struct mf_sim_path *path,
                      enum mf_role role, const char *name, const struct mf_sim_link_calls *calls, void *owner)
{
    *self = (struct mf_sim_link){.world = world, .path = path, .role = role, .calls = calls, .owner = owner};
    mf_str_format(self->name, sizeof(self->name), "%s", name);
    self->dial.fire = dial;
}

void mf_sim_link_open(struct mf_sim_link *self)
{
    self->wanted = true;
    if (!self->conn && !mf_sim_is_set(&self->dial))
        mf_sim_after(self->world, &self->dial, mf_sim_between(self->world, 1, 30));
}

void mf_sim_link_close(struct mf_sim_link *self, bool silent)
{
    struct mf_sim_conn *conn = self->conn;
    self->wanted = false;
    self->conn = NULL;
    mf_sim_cancel(self->world, &self->dial);
    if (conn && conn->open[TO_DIALER])
        side_closes(conn, TO_DIALER, silent);
}

bool mf_sim_link_is_up(const struct mf_sim_link *self)
{
    return self->conn && self->conn->open[TO_BROKER];
}

static void send_on(struct mf_sim_conn *conn, int side, const struct mf_message *message)
{
    struct packet *packet = lane_push(conn, side);
    mf_message_encode(message, &packet->head, &packet->body);
    MF_CHECK(packet->body.len <= MF_MESSAGE_MAX);
    lane_arm(conn, side);
}

void mf_sim_link_send(struct mf_sim_link *self, const struct mf_message *message)
{
    if (self->conn && self->conn->open[TO_BROKER])
        send_on(self->conn, TO_BROKER, message);
}

void mf_sim_link_freeze(struct mf_sim_link *self, bool frozen)
{
    self->frozen = frozen;
    if (!self->conn)
        return;
    if (frozen)
        heartbeat_arm(self->conn, TO_BROKER);
    else
        lane_arm(self->conn, TO_DIALER);
}

void mf_sim_link_break(struct mf_sim_link *self)
{
    struct mf_sim_conn *conn = self->conn;
    if (!conn || !conn->open[TO_DIALER])
        return;
    int first = mf_sim_chance(self->world, 50) ? TO_BROKER : TO_DIALER;
    if (!conn->open[first] || reader_frozen(conn, first))
        return;
    int other = !first;
    side_ends(conn, first);
    if (!conn->open[other])
        return;
    lane_cut(self->world, &conn->lanes[other],
             mf_sim_below(self->world, lane_length(&conn->lanes[other]) + 1));
    lane_push(conn, other)->fin = true;
    lane_arm(conn, other);
}

void mf_sim_net_send(struct mf_sim_net *self, uint64_t handle, const struct mf_message *message)
{
    struct mf_sim_conn *conn = mf_map_get_u64(self->conns, handle);
    if (conn && conn->open[TO_BROKER] && conn->open[TO_DIALER])
        send_on(conn, TO_DIALER, message);
}

void mf_sim_net_close(struct mf_sim_net *self, uint64_t handle)
{
    struct mf_sim_conn *conn = mf_map_get_u64(self->conns, handle);
    if (conn && conn->open[TO_BROKER])
        side_closes(conn, TO_BROKER, false);
}

/* -- paths */

void mf_sim_path_cut(struct mf_sim_path *self, enum mf_sim_way way, bool cut)
{
    self->cut[way] = cut;
    for (struct mf_sim_conn *conn = self->conns; conn; conn = conn->path_next) {
        if (cut)
            heartbeat_arm(conn, (int)way);
        else
            lane_arm(conn, (int)way);
    }
}

void mf_sim_path_clog(struct mf_sim_world *world, struct mf_sim_path *self, enum mf_sim_way way, mf_ms for_ms)
{
    self->clogged[way] = world->now + for_ms;
}

void mf_sim_path_heal(struct mf_sim_path *self)
{
    self->loss = self->twice = 0;
    self->delay = self->jitter = 1;
    for (int way = 0; way < MF_SIM_WAYS; way++) {
        self->clogged[way] = 0;
        mf_sim_path_cut(self, (enum mf_sim_way)way, false);
    }
}
