/* A worker that is told to end: the keeper's own order of steps (worker/keeper/ending.c) around the real
 * agent. In worlds whose guests end with their worker it kills them and has that told; elsewhere they live
 * on, but at-most ones, and the agent tells that it will be back. */
#include "sim_node.h"
#include "weather.h"

enum { QUIET_MS = 500, KILL_MS = 2000, LOOK_MS = 10, ANSWER_MS = 1500, STOP_MS = 3000 };

static void tell(struct mf_sim_node *node, const struct mf_worker_event *what)
{
    if (node->core)
        mf_sim_keeper_tell(node, what);
}

static void next_look(struct mf_sim_node *node, mf_ms delay_ms)
{
    mf_sim_after(node->world, &node->keeper.ending, delay_ms);
}

static void stopped(struct mf_sim_node *node)
{
    bool again = node->keeper.again;
    if (mf_sim_weather_die_with_me(node->world->weather))
        mf_sim_node_kill_all(node);
    else
        mf_sim_node_kill_worker(node);
    if (again)
        mf_sim_node_start(node);
}

/* The broker may wait for its return, counted from when it heard of this at the latest. */
static void stop(struct mf_sim_node *node)
{
    struct mf_sim_keeper *keeper = &node->keeper;
    if (mf_sim_weather_die_with_me(node->world->weather) || !node->core) {
        stopped(node);
        return;
    }
    keeper->phase = MF_SIM_STOPPING;
    keeper->phase_until = node->world->now + STOP_MS;
    node->awaited_until = keeper->phase_until + mf_sim_weather_broker(node->world->weather)->agent_grace_ms;
    tell(node, &(struct mf_worker_event){.kind = MF_WORKER_GO});
    next_look(node, LOOK_MS);
}

/* Until the agent has been told, and the broker has answered it or had its time. */
static void look_whether_it_went(struct mf_sim_node *node)
{
    const struct mf_sim_keeper *keeper = &node->keeper;
    bool going = node->core && (keeper->n_mail || mf_worker_going(node->core));
    if (going && node->world->now < keeper->phase_until)
        next_look(node, LOOK_MS);
    else
        stopped(node);
}

static void end(struct mf_sim_node *node)
{
    struct mf_sim_keeper *keeper = &node->keeper;
    bool die = mf_sim_weather_die_with_me(node->world->weather);
    mf_sim_fencer_end(node);
    if (!die || !node->core || node->watched_life != node->life) {
        stop(node);
        return;
    }
    keeper->phase = MF_SIM_ENDING;
    keeper->phase_until = node->world->now + QUIET_MS;
    tell(node, &(struct mf_worker_event){.kind = MF_WORKER_END});
    next_look(node, QUIET_MS);
}

void mf_sim_node_end(struct mf_sim_node *node, mf_ms drain_ms)
{
    struct mf_sim_keeper *keeper = &node->keeper;
    if (!keeper->up || node->frozen)
        return;
    mf_sim_trace(node->world, node->name, "is told to end%s", drain_ms ? ", drained" : "");
    if (keeper->phase == MF_SIM_KEEPING && drain_ms && keeper->epoch) {
        keeper->phase = MF_SIM_DRAINING;
        keeper->phase_until = node->world->now + drain_ms;
        mf_sim_ending_agent_began(node);
        next_look(node, drain_ms);
    } else if (keeper->phase <= MF_SIM_DRAINING) {
        end(node);
    } else {
        stopped(node);
    }
}

void mf_sim_ending_agent_began(struct mf_sim_node *node)
{
    if (node->keeper.phase == MF_SIM_DRAINING)
        tell(node, &(struct mf_worker_event){.kind = MF_WORKER_DRAIN,
                                             .remaining_ms = node->keeper.phase_until - node->world->now});
}

bool mf_sim_ending_without_agent(struct mf_sim_node *node)
{
    if (node->keeper.phase <= MF_SIM_DRAINING)
        return false;
    node->keeper.phase = MF_SIM_TELLING; /* there is nobody to tell */
    next_look(node, 1);
    return true;
}

void mf_sim_ending_action(struct mf_sim_node *node, enum mf_worker_action_kind kind)
{
    struct mf_sim_keeper *keeper = &node->keeper;
    keeper->quiet = keeper->quiet || kind == MF_WORKER_QUIET;
    next_look(node, mf_sim_between(node->world, 1, 12));
}

static void kill_and_look(struct mf_sim_node *node)
{
    struct mf_sim_hypervisor *hypervisor = &node->hypervisor;
    struct mf_sim_keeper *keeper = &node->keeper;
    while (hypervisor->n && !node->world->failed)
        mf_sim_hypervisor_kill(hypervisor, hypervisor->guests[0]->id);
    if (keeper->quiet) {
        keeper->phase = MF_SIM_TELLING;
        keeper->phase_until = node->world->now + ANSWER_MS;
        tell(node, &(struct mf_worker_event){.kind = MF_WORKER_ALL_DEAD});
        next_look(node, ANSWER_MS);
    } else if (node->world->now >= keeper->phase_until) {
        stop(node); /* what was not seen is not claimed */
    } else {
        next_look(node, LOOK_MS);
    }
}

void mf_sim_ending_fires(struct mf_sim_event *event)
{
    struct mf_sim_node *node = MF_SIM_OWNER(event, struct mf_sim_node, keeper.ending);
    struct mf_sim_keeper *keeper = &node->keeper;
    if (node->frozen) {
        next_look(node, 20);
        return;
    }
    switch (keeper->phase) {
    case MF_SIM_KEEPING:
        break;
    case MF_SIM_DRAINING:
        end(node);
        break;
    case MF_SIM_ENDING:
        keeper->phase = MF_SIM_KILLING;
        keeper->phase_until = node->world->now + KILL_MS;
        kill_and_look(node);
        break;
    case MF_SIM_KILLING:
        kill_and_look(node);
        break;
    case MF_SIM_TELLING:
        stop(node);
        break;
    case MF_SIM_STOPPING:
        look_whether_it_went(node);
        break;
    }
}
