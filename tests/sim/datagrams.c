/* Datagrams: lost, late, doubled, out of order, cut and clogged like everything else on their way. */
#include "check.h"
#include "net.h"
#include "pulse.h"
#include "sim_health.h"
#include "sim_node.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HOSTS_OF_A_NET = 250 };

const char *mf_sim_host_address(struct mf_sim_host self, char text[32])
{
    if (self.monitor)
        snprintf(text, 32, "10.0.0.%u:7700", self.index + 1);
    else
        snprintf(text, 32, "10.1.%u.%u:7800", self.index / HOSTS_OF_A_NET, self.index % HOSTS_OF_A_NET + 1);
    return text;
}

bool mf_sim_host_at(const struct mf_sim_world *world, const char *address, struct mf_sim_host *ret_host)
{
    unsigned kind, high, low, port;
    if (sscanf(address, "10.%u.%u.%u:%u", &kind, &high, &low, &port) != 4 || kind > 1 || !low)
        return false;
    *ret_host = (struct mf_sim_host){kind == 0, high * HOSTS_OF_A_NET + low - 1};
    return port == (kind ? 7800 : 7700) && ret_host->index < (kind ? world->n_nodes : world->n_monitors);
}

struct datagram {
    struct mf_sim_event event;
    struct mf_sim_world *world;
    struct mf_sim_host from, to;
    size_t len;
    char bytes[MF_RELAY_SIZE];
};
struct leg {
    struct mf_sim_path *path;
    enum mf_sim_way way;
};

/* Between a monitor and a node lies that node's path; between two nodes each one's own to its peers. */
static unsigned legs_of(const struct mf_sim_world *world, struct mf_sim_host from, struct mf_sim_host to,
                        struct leg legs[2])
{
    if (from.monitor || to.monitor) {
        if (from.monitor && to.monitor)
            return 0;
        struct mf_sim_node *node = world->nodes[from.monitor ? to.index : from.index];
        legs[0] = (struct leg){&node->to_monitors[from.monitor ? from.index : to.index],
                               from.monitor ? MF_SIM_IN : MF_SIM_OUT};
        return 1;
    }
    legs[0] = (struct leg){&world->nodes[from.index]->to_peers, MF_SIM_OUT};
    legs[1] = (struct leg){&world->nodes[to.index]->to_peers, MF_SIM_IN};
    return 2;
}

static bool passes(const struct leg *legs, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (legs[i].path->cut[legs[i].way])
            return false;
    return n > 0;
}

static void datagram_drop(struct mf_sim_event *event)
{
    free(MF_SIM_OWNER(event, struct datagram, event));
}

static void datagram_fires(struct mf_sim_event *event)
{
    struct datagram *datagram = MF_SIM_OWNER(event, struct datagram, event);
    struct mf_sim_world *world = datagram->world;
    struct leg legs[2];
    if (passes(legs, legs_of(world, datagram->from, datagram->to, legs))) {
        if (datagram->to.monitor)
            mf_sim_health_datagram(world->monitors[datagram->to.index], datagram->bytes, datagram->len);
        else
            mf_sim_keeper_datagram(world->nodes[datagram->to.index], datagram->from, datagram->bytes,
                                   datagram->len);
    }
    free(datagram);
}

static void datagram_send(struct mf_sim_world *world, const struct datagram *what, const struct leg *legs,
                          unsigned n)
{
    struct datagram *datagram = malloc(sizeof(*datagram));
    mf_ms delay = 0;
    MF_CHECK(datagram);
    memcpy(datagram, what, offsetof(struct datagram, bytes) + what->len);
    for (unsigned i = 0; i < n; i++) {
        const struct mf_sim_path *path = legs[i].path;
        if (path->clogged[legs[i].way] > world->now + delay)
            delay = path->clogged[legs[i].way] - world->now;
        delay += path->delay + mf_sim_between(world, 0, path->jitter);
    }
    mf_sim_after(world, &datagram->event, delay);
}

void mf_sim_net_datagram(struct mf_sim_world *world, struct mf_sim_host from, struct mf_sim_host to,
                         const void *bytes, size_t len)
{
    struct leg legs[2];
    unsigned n = legs_of(world, from, to, legs);
    struct datagram datagram = {.event = {.fire = datagram_fires, .drop = datagram_drop},
                                .world = world,
                                .from = from,
                                .to = to,
                                .len = len};
    MF_CHECK(len <= sizeof(datagram.bytes));
    if (!passes(legs, n) || mf_sim_chance(world, legs[0].path->loss))
        return;
    memcpy(datagram.bytes, bytes, len);
    datagram_send(world, &datagram, legs, n);
    if (mf_sim_chance(world, legs[0].path->twice))
        datagram_send(world, &datagram, legs, n);
}
