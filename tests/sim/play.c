/* Playing scenarios: each statement is carried out in the simulated world, in which time passes only while
 * something is waited for. */
#include "faults.h"
#include "model.h"
#include "operate.h"
#include "play.h"
#include "sim_broker.h"
#include "sim_client.h"
#include "sim_health.h"
#include "sim_node.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -- saying what went wrong */

bool mf_sim_play_unmet(struct play *self, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(self->why, sizeof(self->why), format, args);
    va_end(args);
    return false;
}

static bool skip(struct play *self, const char *why)
{
    printf("SKIP line %u: %s\n", self->at->line, why);
    self->skips++;
    return true;
}

bool mf_sim_play_unreadable(struct play *self)
{
    return mf_sim_play_unmet(self, "cannot be read; see tests/scenarios/README.md");
}

const char *mf_sim_play_word(const struct play *self, unsigned i)
{
    return i < self->at->n ? self->at->words[i] : "";
}

bool mf_sim_play_is(const struct play *self, unsigned i, const char *text)
{
    return strcmp(mf_sim_play_word(self, i), text) == 0;
}

/* -- time */

bool mf_sim_play_wait(struct play *self, mf_sim_condition *holds, mf_ms limit)
{
    mf_ms until = self->world->now + limit;
    while (!holds(self)) {
        if (self->world->now >= until)
            return false;
        if (!mf_sim_world_pass(self->world, self->world->now + LOOK_MS))
            return false;
    }
    return true;
}

/* -- members by their names */

static struct mf_sim_node *node_named(const struct play *self, const char *name)
{
    for (uint32_t i = 0; i < self->world->n_nodes; i++)
        if (strcmp(self->world->nodes[i]->name, name) == 0)
            return self->world->nodes[i];
    return NULL;
}

static struct mf_sim_health *monitor_named(const struct play *self, const char *name)
{
    unsigned index;
    return sscanf(name, "health-%u", &index) == 1 && index < self->world->n_monitors
               ? self->world->monitors[index]
               : NULL;
}

/* -- requests */

static bool answered(struct play *self)
{
    return mf_sim_client_is_idle(self->world->clients[0]);
}

static struct mf_sim_entry *new_entry(struct play *self)
{
    return mf_sim_client_entry(self->world->clients[0]);
}

/* Asked until answered, but the story goes on after a moment: the broker may be away on purpose. */
static bool ask(struct play *self, struct mf_sim_entry *entry)
{
    mf_sim_client_ask(self->world->clients[0], entry);
    mf_sim_play_wait(self, answered, ANSWER_MS);
    return true;
}

static bool do_provision(struct play *self)
{
    struct mf_sim_entry *entry = new_entry(self);
    struct mf_msg_provision *message = &entry->message.provision;
    const char *policy = mf_sim_statement_option(self->at, "policy"),
               *min = mf_sim_statement_option(self->at, "min"),
               *image = mf_sim_statement_option(self->at, "image"),
               *spread = mf_sim_statement_option(self->at, "spread");
    entry->message.kind = MF_MSG_PROVISION;
    message->request_id = mf_str(entry->request_id);
    message->group = mf_str(mf_sim_play_word(self, 1));
    message->count = strtoull(mf_sim_play_word(self, 2), NULL, 10);
    message->image = mf_str(image ? image : "tiny");
    message->offering = mf_str("small");
    message->min = min ? strtoull(min, NULL, 10) : 0;
    message->policy = policy && strcmp(policy, "at-most") == 0 ? MF_POLICY_AT_MOST : MF_POLICY_UNSET;
    message->spread = spread && strcmp(spread, "host") == 0 ? MF_SPREAD_HOST : MF_SPREAD_UNSET;
    return ask(self, entry);
}

static bool do_scale(struct play *self)
{
    struct mf_sim_entry *entry = new_entry(self);
    entry->message.kind = MF_MSG_SCALE;
    entry->message.scale.request_id = mf_str(entry->request_id);
    entry->message.scale.group = mf_str(mf_sim_play_word(self, 1));
    entry->message.scale.count = strtoull(mf_sim_play_word(self, 2), NULL, 10);
    return ask(self, entry);
}

/* Those about a node have their name where node-cordon has it, those about all none. */
static bool do_operator(struct play *self)
{
    static const struct {
        const char *verb;
        enum mf_kind kind;
    } verbs[] = {{"freeze", MF_MSG_FREEZE},          {"thaw", MF_MSG_THAW},
                 {"drain", MF_MSG_NODE_DRAIN},       {"cordon", MF_MSG_NODE_CORDON},
                 {"uncordon", MF_MSG_NODE_UNCORDON}, {"forget", MF_MSG_NODE_FORGET},
                 {"destroy", MF_MSG_DESTROY}};
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (!mf_sim_play_is(self, 1, verbs[i].verb))
            continue;
        struct mf_sim_entry *entry = new_entry(self);
        entry->message.kind = verbs[i].kind;
        entry->message.node_cordon.request_id = mf_str(entry->request_id);
        if (i > 1)
            entry->message.node_cordon.node = mf_str(mf_sim_play_word(self, 2));
        return ask(self, entry);
    }
    return mf_sim_play_unreadable(self);
}
_Static_assert(offsetof(struct mf_msg_destroy, target) == offsetof(struct mf_msg_node_cordon, node),
               "both follow the request_id");

/* -- faults */

static const struct mf_sim_instance *running_in(const struct mf_sim_group *group, uint64_t slot)
{
    const struct mf_sim_slot *s = group ? mf_map_get_u64(group->slots, slot) : NULL;
    return s && s->current && s->current->state == MF_INSTANCE_STATE_RUNNING ? s->current : NULL;
}

static bool kill_guest(struct play *self, const char *which)
{
    char group[64];
    unsigned long slot;
    if (sscanf(which, "%63[^/]/%lu", group, &slot) != 2)
        return mf_sim_play_unreadable(self);
    const struct mf_sim_instance *instance =
        running_in(mf_sim_model_active_group(self->world->model, group), slot);
    if (!instance || !instance->view->host)
        return mf_sim_play_unmet(self, "%s does not run, so it cannot be killed", which);
    mf_sim_hypervisor_kill(&instance->view->host->hypervisor, instance->id);
    return true;
}

static bool do_kill(struct play *self)
{
    struct mf_sim_node *node = node_named(self, mf_sim_play_word(self, self->at->n - 1));
    struct mf_sim_health *monitor = monitor_named(self, mf_sim_play_word(self, 1));
    if (mf_sim_play_is(self, 1, "guest"))
        return kill_guest(self, mf_sim_play_word(self, 2));
    if (mf_sim_play_is(self, 1, "agent") && node)
        mf_sim_node_kill_agent(node);
    else if (mf_sim_play_is(self, 1, "broker"))
        mf_sim_broker_crash(self->world->broker);
    else if (monitor)
        mf_sim_health_crash(monitor);
    else if (node)
        mf_sim_node_kill_all(node);
    else
        return mf_sim_play_unreadable(self);
    return true;
}

static bool do_stop(struct play *self)
{
    struct mf_sim_node *node = node_named(self, mf_sim_play_word(self, 1));
    if (!node)
        return mf_sim_play_unreadable(self);
    mf_sim_node_end(node, 0);
    return true;
}

static bool stop_or_go(struct play *self, bool stop)
{
    struct mf_sim_node *node = node_named(self, mf_sim_play_word(self, self->at->n - 1));
    struct mf_sim_health *monitor = monitor_named(self, mf_sim_play_word(self, 1));
    if (mf_sim_play_is(self, 1, "broker"))
        mf_sim_broker_freeze(self->world->broker, stop);
    else if (monitor)
        mf_sim_health_freeze(monitor, stop);
    else if (node && mf_sim_play_is(self, 1, "agent"))
        mf_sim_node_freeze_agent(node, stop);
    else if (node)
        mf_sim_node_freeze(node, stop);
    else
        return mf_sim_play_unreadable(self);
    return true;
}

static bool do_freeze(struct play *self)
{
    return stop_or_go(self, true);
}

static bool do_thaw(struct play *self)
{
    return stop_or_go(self, false);
}

static bool do_start(struct play *self)
{
    struct mf_sim_node *node = node_named(self, mf_sim_play_word(self, 1));
    struct mf_sim_health *monitor = monitor_named(self, mf_sim_play_word(self, 1));
    if (mf_sim_play_is(self, 1, "broker"))
        mf_sim_broker_start(self->world->broker);
    else if (monitor)
        mf_sim_health_start(monitor);
    else if (node)
        mf_sim_node_start(node);
    else
        return mf_sim_play_unreadable(self);
    return true;
}

/* The way between two members, if it is one the simulator has, and whether `a` is the one it belongs to. */
static struct mf_sim_path *path_between(struct play *self, const char *a, const char *b, bool *ret_forward)
{
    for (int turn = 0; turn < 2; turn++) {
        const char *owner = turn ? b : a, *other = turn ? a : b;
        struct mf_sim_node *node = node_named(self, owner);
        unsigned index;
        *ret_forward = !turn;
        if (strcmp(other, "broker") == 0 && monitor_named(self, owner))
            return mf_sim_health_path(monitor_named(self, owner));
        if (node && strcmp(other, "broker") == 0)
            return &node->to_broker;
        if (node && strcmp(other, "peers") == 0)
            return &node->to_peers;
        if (node && monitor_named(self, other) && sscanf(other, "health-%u", &index) == 1)
            return &node->to_monitors[index];
    }
    return NULL;
}

static bool cut_or_heal(struct play *self, bool cut, bool both)
{
    bool forward;
    struct mf_sim_path *path =
        path_between(self, mf_sim_play_word(self, 1), mf_sim_play_word(self, 2), &forward);
    if (!path)
        return skip(self, "only ways between a node and broker, monitor or peers, and a monitor and the "
                          "broker, are cut here");
    if (both || forward)
        mf_sim_path_cut(path, MF_SIM_OUT, cut);
    if (both || !forward)
        mf_sim_path_cut(path, MF_SIM_IN, cut);
    for (uint32_t i = 0; i < self->world->n_nodes; i++)
        self->world->nodes[i]->disturbed = self->world->now;
    return true;
}

static bool do_cut(struct play *self)
{
    return cut_or_heal(self, true, !mf_sim_play_is(self, 3, "oneway"));
}

static bool do_heal(struct play *self)
{
    struct mf_sim_world *world = self->world;
    if (!mf_sim_play_is(self, 1, "all"))
        return cut_or_heal(self, false, true);
    for (uint32_t i = 0; i < world->n_nodes; i++)
        for (int way = 0; way < MF_SIM_WAYS; way++)
            mf_sim_node_cut(world->nodes[i], MF_SIM_EVERYBODY, (enum mf_sim_way)way, false);
    for (uint32_t i = 0; i < world->n_monitors; i++)
        mf_sim_path_heal(mf_sim_health_path(world->monitors[i]));
    return true;
}

static bool do_clock(struct play *self)
{
    struct mf_sim_node *node = node_named(self, mf_sim_play_word(self, 1));
    mf_ms by;
    if (!node || !mf_sim_script_time(mf_sim_play_word(self, 2), &by))
        return mf_sim_play_unreadable(self);
    mf_sim_node_set_wall(node, node->clock.wall_skew + by);
    return true;
}

static bool do_driver(struct play *self)
{
    struct mf_sim_node *node = node_named(self, mf_sim_play_word(self, 1));
    if (!node)
        return mf_sim_play_unreadable(self);
    node->poisoned = mf_sim_play_is(self, 2, "fail");
    node->slow = mf_sim_play_is(self, 2, "slow");
    return true;
}

static bool do_disk(struct play *self)
{
    struct mf_sim_node *node = node_named(self, mf_sim_play_word(self, 1));
    if (mf_sim_play_is(self, 1, "broker"))
        mf_sim_broker_fill_disk(self->world->broker, mf_sim_play_is(self, 2, "full"));
    else if (node)
        node->full = mf_sim_play_is(self, 2, "full");
    else
        return mf_sim_play_unreadable(self);
    return true;
}

/* -- subscribers */

static bool was_expired(struct play *self)
{
    return mf_sim_client_was_expired(self->world->clients[self->n_subscribers]);
}

static bool do_subscribe(struct play *self)
{
    bool expired = mf_sim_play_is(self, 1, "expired");
    if (self->n_subscribers == SUBSCRIBERS)
        return skip(self, "no more subscribers here");
    mf_sim_client_subscribe(self->world->clients[++self->n_subscribers], 1, !expired);
    if (expired && !mf_sim_play_wait(self, was_expired, 20000))
        return mf_sim_play_unmet(self, "a cursor below retention was not refused");
    return true;
}

/* -- the whole */

static bool carry_out(struct play *self)
{
    static const struct {
        const char *verb;
        bool (*act)(struct play *self);
    } verbs[] = {{"provision", do_provision}, {"scale", do_scale},
                 {"kill", do_kill},           {"stop", do_stop},
                 {"freeze", do_freeze},       {"thaw", do_thaw},
                 {"start", do_start},         {"cut", do_cut},
                 {"heal", do_heal},           {"clock", do_clock},
                 {"driver", do_driver},       {"disk", do_disk},
                 {"operator", do_operator},   {"subscribe", do_subscribe},
                 {"mark", mf_sim_play_mark},  {"expect", mf_sim_play_expect}};
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        if (mf_sim_play_is(self, 0, verbs[i].verb))
            return verbs[i].act(self);
    return mf_sim_play_unreadable(self);
}

static bool all_ready(struct play *self)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < self->world->n_nodes; i++) {
        const struct mf_sim_nodeview *view =
            mf_map_get_str(self->world->model->nodes, mf_str(self->world->nodes[i]->name));
        n += view && view->state == MF_NODE_STATE_READY;
    }
    return n == self->world->n_nodes && answered(self);
}

static bool play(struct play *self)
{
    struct mf_sim_world *world = self->world;
    if (!mf_sim_play_wait(self, all_ready, UP_MS))
        return mf_sim_play_unmet(self, "the cluster does not come up");
    mf_sim_world_pass(world, world->now + 2000); /* its monitors hear it */
    for (unsigned i = 0; i < self->script->n && !world->failed; i++) {
        self->at = &self->script->statements[i];
        mf_sim_trace(world, "story", "%u: %s", self->at->line, self->at->text);
        if (!carry_out(self))
            return false;
    }
    if (world->failed)
        return false;
    mf_sim_world_heal(world);
    return mf_sim_world_settle(world);
}

static void tell(const struct play *self)
{
    const struct mf_sim_world *world = self->world;
    if (world->failed)
        printf("%s: %s broken at %lld ms: %s\n", self->script->path, world->invariant, (long long)world->now,
               world->failure);
    else
        printf("%s line %u: %s: %s (at %lld ms)\n", self->script->path, self->at ? self->at->line : 0,
               self->at ? self->at->text : "", self->why, (long long)world->now);
    mf_sim_trace_tail(world);
}

int mf_sim_play(const char *path, uint64_t seed, bool trace)
{
    static struct mf_sim_script script;
    char error[512];
    if (mf_sim_script_read(&script, path, error) < 0)
        return printf("%s\n", error), 2;
    struct mf_sim_options options = {
        .seed = seed, .clients = 1 + SUBSCRIBERS, .trace = trace, .script = &script};
    struct play self = {.script = &script, .generations = mf_map_new()};
    self.world = mf_sim_world_new(&options);
    bool good = play(&self);
    if (!good)
        tell(&self);
    printf("scenario %s seed %llu %s, %u skipped\n", path, (unsigned long long)seed, good ? "ok" : "FAILED",
           self.skips);
    mf_map_destroy(&self.generations);
    mf_sim_world_destroy(&self.world);
    return good ? 0 : 1;
}
