/* drift.c - compared cheaply and often, looked into seldom. What an inventory contradicts is healed like what
 * a hello contradicts; a difference that no inventory explains is asked about ever more seldom. */
#include "drift.h"
#include "domains.h"
#include "fold.h"
#include "journal.h"
#include "out.h"

enum {
    ASK_AFTER = 3,
    ASK_AFTER_MAX = 60,
    LOOK_EVERY_MS = 10000,
    CAPACITY_MS = 1000,
    CAPACITY_DEBT_MS = 10000
};

void mf_drift_begin(struct mf_node *node)
{
    node->ask_id = 0;
    node->ask_drift = node->digests = false;
    node->drifting = 0;
    node->drift_limit = ASK_AFTER;
}

static void ask(struct mf_broker *b, struct mf_node *node)
{
    node->ask_id = ++b->next_ask;
    mf_send_now(b, node->peer,
                &(struct mf_message){.kind = MF_MSG_INVENTORY_ASK,
                                     .inventory_ask = {.ask_id = node->ask_id, .epoch = node->epoch}});
}

void mf_drift_look(struct mf_broker *b, struct mf_node *node)
{
    if (!mf_node_up(node) || !node->strangers)
        return;
    ask(b, node);
    mf_heap_set(&b->alarms, &node->look.timer, b->now + LOOK_EVERY_MS);
}

/* Under an order that is out the worker may be ahead of its answers. */
static bool is_busy(const struct mf_node *node)
{
    return node->creates.first || node->destroys.first || node->sent.first || mf_domains_purging(node);
}

/* ------------------------------------------------------------------ worker-alive */

static bool same(const struct mf_rec_resources *a, const struct mf_rec_resources *c)
{
    return a->vcpus == c->vcpus && a->memory_mib == c->memory_mib && a->disk_mib == c->disk_mib &&
           a->hugepages_mib == c->hugepages_mib && a->disk_iops == c->disk_iops &&
           a->disk_bytes_s == c->disk_bytes_s && a->net_bytes_s == c->net_bytes_s;
}

static void measure(struct mf_broker *b, struct mf_node *node, const struct mf_rec_resources *capacity)
{
    struct mf_event event = {
        .kind = MF_EV_NODE_CAPACITY,
        .node_capacity = {.node = node->name, .epoch = node->epoch, .capacity = *capacity}};
    char text[MF_SUBJECT_MAX];

    if (same(capacity, &node->capacity) || !mf_afford(b, &node->capacity_paid, CAPACITY_MS, CAPACITY_DEBT_MS))
        return;
    event.node_capacity.capacity.has = 0;
    mf_journal(b, 0, &event, mf_subject_named("node", node->name, text));
}

static void compare(struct mf_broker *b, struct mf_node *node, uint64_t digest)
{
    if (digest == node->digest) {
        node->drifting = 0;
        node->drift_limit = ASK_AFTER;
        return;
    }
    if (is_busy(node)) {
        node->drifting = 0;
        return;
    }
    if (++node->drifting < node->drift_limit)
        return;
    node->drifting = 0;
    node->ask_drift = true;
    ask(b, node);
}

void mf_drift_alive(struct mf_broker *b, struct mf_node *node, const struct mf_msg_worker_alive *alive)
{
    const struct mf_desc *desc = mf_kind_desc(MF_MSG_WORKER_ALIVE);

    if (mf_has(desc, alive, "capacity"))
        measure(b, node, &alive->capacity);
    node->digests |= alive->digest || mf_has(desc, alive, "digest");
    if (node->digests) /* one that is not there is that of nothing */
        compare(b, node, alive->digest);
}

/* ------------------------------------------------------------------ inventory */

static uint64_t mark(struct mf_broker *b, struct mf_node *node, struct mf_guests guests)
{
    uint64_t extra = 0;

    for (struct mf_instance *inst = node->first; inst; inst = inst->next)
        inst->listed = 0;
    for (uint32_t i = 0; i < guests.n; i++) {
        const struct mf_rec_guest *guest = &guests.items[i];
        struct mf_instance *inst = mf_instance_find(b, guest->id);
        if (inst && inst->node == node)
            inst->listed = guest->state;
        else
            extra += guest->state == MF_GUEST_STATE_RUNNING && mf_domain_is_strange(b, node, guest) &&
                     !mf_stranger_find(b, node, guest->id);
    }
    return extra;
}

static bool is_missing(const struct mf_instance *inst)
{
    return mf_instance_runs(inst) && inst->listed != MF_GUEST_STATE_RUNNING &&
           inst->listed != MF_GUEST_STATE_CREATING;
}

static uint64_t tell(struct mf_broker *b, struct mf_node *node, uint64_t missing, uint64_t extra)
{
    struct mf_event event = {
        .kind = MF_EV_NODE_DRIFT,
        .node_drift = {.node = node->name, .epoch = node->epoch, .missing = missing, .extra = extra}};
    char text[MF_SUBJECT_MAX];

    b->drifts++;
    return mf_journal(b, 0, &event, mf_subject_named("node", node->name, text));
}

/* True if the inventory explains why the digests differ. */
static bool heal(struct mf_broker *b, struct mf_node *node, struct mf_guests guests)
{
    uint64_t extra = mark(b, node, guests), missing = 0, cause;
    struct mf_instance *inst;

    for (inst = node->first; inst; inst = inst->next)
        missing += is_missing(inst);
    if (missing + extra == 0)
        return false;
    cause = tell(b, node, missing, extra);
    mf_node_match_missing(b, node, cause);
    return true;
}

void mf_drift_inventory(struct mf_broker *b, struct mf_node *node, const struct mf_msg_inventory *inventory)
{
    struct mf_guests guests = {inventory->guests.items, inventory->guests.n};
    bool drift = node->ask_drift;

    if (!node->ask_id || inventory->ask_id != node->ask_id)
        return; /* nobody asked for it, or it was asked for again since */
    node->ask_id = 0;
    node->ask_drift = false;
    if (mf_node_in_debt(b, node))
        return;
    if (drift && !is_busy(node) && !heal(b, node, guests) && node->drift_limit < ASK_AFTER_MAX)
        node->drift_limit *= 2;
    mf_node_charge(b, node, mf_domains_match(b, node, guests, MF_LIST_LATER, node->last_seq));
}
