/* bench_rack_loss.c - a rack of 40 nodes with 2 000 instances fails among 1 000 nodes: what the broker's core
 * takes from the first verdict to the last order, and of it what choosing nodes takes (measured around the
 * pool's functions by the linker's --wrap). The breaker, which would hold most of the verdicts, is off. */
#include "bench.h"
#include "core_world.h"
#include "pool.h"

#include <stdio.h>
#include <stdlib.h>

enum { NODES = 1000, IN_RACK = 40, GROUPS = 500, OF_GROUP = 100, MONITOR = 1 << 20, LOST_RACK = 7 };

static double placing_us;
static size_t n_chosen;

bool __real_mf_pool_choose(struct mf_pool *self, const struct mf_ask *ask, struct mf_random *random,
                           struct mf_place *ret_place, struct mf_rank *ret_rank);
bool __wrap_mf_pool_choose(struct mf_pool *self, const struct mf_ask *ask, struct mf_random *random,
                           struct mf_place *ret_place, struct mf_rank *ret_rank);
bool __wrap_mf_pool_choose(struct mf_pool *self, const struct mf_ask *ask, struct mf_random *random,
                           struct mf_place *ret_place, struct mf_rank *ret_rank)
{
    double began = bench_us();
    bool found = __real_mf_pool_choose(self, ask, random, ret_place, ret_rank);

    placing_us += bench_us() - began;
    n_chosen++;
    return found;
}

void __real_mf_pool_take(struct mf_pool *self, struct mf_place place, const struct mf_amounts *wants);
void __wrap_mf_pool_take(struct mf_pool *self, struct mf_place place, const struct mf_amounts *wants);
void __wrap_mf_pool_take(struct mf_pool *self, struct mf_place place, const struct mf_amounts *wants)
{
    double began = bench_us();

    __real_mf_pool_take(self, place, wants);
    placing_us += bench_us() - began;
}

bool __real_mf_pool_any(struct mf_pool *self, uint32_t shape);
bool __wrap_mf_pool_any(struct mf_pool *self, uint32_t shape);
bool __wrap_mf_pool_any(struct mf_pool *self, uint32_t shape)
{
    double began = bench_us();
    bool any = __real_mf_pool_any(self, shape);

    placing_us += bench_us() - began;
    return any;
}

static void provision(struct core_world *w, int group)
{
    char name[32], offering[16];
    struct mf_message m = {.kind = MF_MSG_PROVISION};

    snprintf(name, sizeof(name), "group-%d", group);
    snprintf(offering, sizeof(offering), "size-%d", group % 4);
    m.provision = (struct mf_msg_provision){.request_id = mf_str(name),
                                            .group = mf_str(name),
                                            .count = OF_GROUP,
                                            .image = mf_str("tiny"),
                                            .offering = mf_str(offering)};
    m.provision.rules.spread_by = mf_str(group % 2 ? "rack" : "");
    m.provision.rules.node_max = group % 5 == 0 ? 8 : 0;
    core_client(w, m);
    core_answer_all(w);
}

static void offer(struct core_world *w)
{
    for (int i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof(name), "size-%d", i);
        core_client(w, (struct mf_message){.kind = MF_MSG_OFFERING_ADD,
                                           .offering_add = {.request_id = mf_str(name),
                                                            .offering = {.name = mf_str(name),
                                                                         .vcpus = 1 + (uint64_t)i,
                                                                         .memory_mib = 512 << i,
                                                                         .disk_mib = 4096}}});
    }
}

static void monitor(struct core_world *w, struct mf_message m)
{
    core_say(w, MONITOR, MF_ROLE_MONITOR, "health-0", m);
}

static void populate(struct core_world *w)
{
    static const struct mf_rec_resources capacity = {
        .vcpus = 192, .memory_mib = 262144, .disk_mib = 10485760};

    core_name_things(w);
    offer(w);
    monitor(w, (struct mf_message){.kind = MF_MSG_MONITOR_HELLO,
                                   .monitor_hello = {.pulse_address = mf_str("127.0.0.1:1")}});
    for (uint64_t peer = 1; peer <= NODES; peer++) {
        char rack[16];
        snprintf(rack, sizeof(rack), "r%d", (int)(peer - 1) / IN_RACK);
        core_join(w, peer, capacity, rack);
    }
    for (int i = 0; i < GROUPS; i++)
        provision(w, i);
    for (int i = 0; i < 1000;
         i++) { /* no grace of the beginning, and nothing that was just heard contradicts */
        w->now += 9;
        core_feed(w, (struct mf_broker_event){.kind = MF_BROKER_TICK});
    }
    monitor(w, (struct mf_message){.kind = MF_MSG_MONITOR_ALIVE,
                                   .monitor_alive = {.nodes_heard = NODES, .nodes_known = NODES}});
}

/* All of it in one moment of the broker's clock. */
static void lose(struct core_world *w)
{
    mf_ms at;

    for (uint64_t peer = LOST_RACK * IN_RACK + 1; peer <= (LOST_RACK + 1) * IN_RACK; peer++)
        core_feed(w, (struct mf_broker_event){.kind = MF_BROKER_PEER_GONE, .peer.handle = peer});
    at = w->now;
    for (uint64_t peer = LOST_RACK * IN_RACK + 1; peer <= (LOST_RACK + 1) * IN_RACK; peer++) {
        char name[32];
        w->now = at;
        monitor(w, (struct mf_message){.kind = MF_MSG_MONITOR_VERDICT,
                                       .monitor_verdict = {.silent_ms = 1200,
                                                           .node = mf_str(core_node(peer, name)),
                                                           .epoch = w->epochs[peer - 1],
                                                           .verdict = MF_VERDICT_FAILED,
                                                           .evidence = MF_EVIDENCE_CLOSED}});
    }
    while (mf_broker_deadline(w->b) <= w->now + 25) /* what is placed together a moment later */
        core_feed(w, (struct mf_broker_event){.kind = MF_BROKER_TICK});
}

static size_t count(const struct mf_broker *b, enum mf_instance_state state)
{
    struct mf_broker_instance_view view;
    size_t cursor = 0, n = 0;

    while (mf_broker_next_instance(b, &cursor, &view))
        n += view.state == state;
    return n;
}

int main(void)
{
    struct mf_broker_config config;
    struct core_world *w;
    double began, took;
    size_t lost;

    mf_broker_config_default(&config);
    config.seed = 1;
    config.snapshot_rows = 0;
    config.breaker_nodes = 0;
    w = core_world_new(&config);
    populate(w);
    placing_us = 0;
    n_chosen = 0;
    began = bench_us();
    lose(w);
    took = bench_us() - began;
    lost = count(w->b, MF_INSTANCE_STATE_LOST);
    if (!lost || w->n_answers != lost)
        bench_die("%zu instances were lost, %zu are ordered", lost, w->n_answers);
    printf("{\"bench\": \"rack-loss\", \"nodes\": %d, \"lost_nodes\": %d, \"lost\": %zu, \"ordered\": %zu, "
           "\"decisions\": %zu, \"placing_ms\": %.2f, \"whole_ms\": %.2f}\n",
           NODES, IN_RACK, lost, w->n_answers, n_chosen, placing_us / 1e3, took / 1e3);
    core_world_free(&w);
    return 0;
}
