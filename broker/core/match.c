/* match.c - a node is back: what it has against what is recorded on it. Reboots, reinstatement, tombstones,
 * strangers. */
#include "heal.h"
#include "journal.h"
#include "nodes.h"
#include "orders.h"

#include <stdlib.h>
#include <string.h>

static const char *absent_proof(bool rebooted)
{
    return rebooted ? "its host has booted since" : "absent from inventory";
}

static void match_running(struct mf_broker *b, struct mf_instance *inst, bool rebooted, uint64_t cause)
{
    if (inst->listed == MF_GUEST_STATE_RUNNING || inst->listed == MF_GUEST_STATE_CREATING)
        return;
    if (inst->listed) { /* something of it is left, and must be cleared away */
        mf_heal_destroy(b, inst, cause, "found stopped", 0);
        return;
    }
    mf_heal_died(b, inst, cause, rebooted ? MF_DEATH_HOST_REBOOT : MF_DEATH_ABSENT, (struct mf_str){NULL, 0});
}

/* It came back with less room than what is recorded on it claims. */
static bool is_overfull(const struct mf_node *node)
{
    return node->used.vcpus > node->capacity.vcpus || node->used.memory_mib > node->capacity.memory_mib ||
           node->used.disk_mib > node->capacity.disk_mib;
}

static void match_placed(struct mf_broker *b, struct mf_instance *inst, uint64_t cause)
{
    if (inst->listed == MF_GUEST_STATE_RUNNING) {
        mf_heal_running(b, inst, 0);
    } else if (inst->listed && inst->listed != MF_GUEST_STATE_CREATING) {
        mf_heal_destroy(b, inst, cause, "found stopped", 0);
    } else if (!inst->listed && is_overfull(inst->node)) { /* not begun: another node may take it */
        mf_heal_died(b, inst, cause, MF_DEATH_ABSENT, (struct mf_str){NULL, 0});
    } else {
        mf_row_placed(b, inst, inst->node, cause);
        mf_order_open(b, inst);
    }
}

/* No newer generation runs: this one is current again, and what was to replace it must not run. */
static void reinstate(struct mf_broker *b, struct mf_instance *inst, uint64_t cause)
{
    struct mf_instance *successor = inst->slot->current, *next;
    uint64_t row = mf_row_reinstated(b, inst, cause);

    if (successor)
        mf_heal_end(b, successor, row, "the generation before it was reinstated", 0);
    for (struct mf_instance *other = inst->slot->newest; other; other = next) {
        next = other->older;
        if (other->state == MF_INSTANCE_STATE_LOST)
            mf_row_tombstoned(b, other, row, "another generation was reinstated");
    }
}

static void match_lost(struct mf_broker *b, struct mf_instance *inst, bool rebooted, uint64_t cause)
{
    const struct mf_instance *current = inst->slot->current;

    if (!inst->listed) {
        mf_heal_gone(b, inst, cause, absent_proof(rebooted));
    } else if (inst->listed == MF_GUEST_STATE_RUNNING &&
               !(current && current->state == MF_INSTANCE_STATE_RUNNING)) {
        reinstate(b, inst, cause);
    } else {
        bool replaced = current && current->state == MF_INSTANCE_STATE_RUNNING;
        uint64_t row =
            mf_row_tombstoned(b, inst, cause, replaced ? "its successor runs" : "it does not run any more");
        mf_heal_destroy(b, inst, row, "its node is back and it must not run", 0);
    }
}

static void match_one(struct mf_broker *b, struct mf_instance *inst, bool rebooted, uint64_t cause)
{
    switch ((enum mf_instance_state)inst->state) {
    case MF_INSTANCE_STATE_RUNNING:
        match_running(b, inst, rebooted, cause);
        return;
    case MF_INSTANCE_STATE_PLACED:
        match_placed(b, inst, cause);
        return;
    case MF_INSTANCE_STATE_LOST:
        match_lost(b, inst, rebooted, cause);
        return;
    default:
        if (inst->listed)
            mf_heal_destroy(b, inst, cause, "its node is back and it must not run", inst->grace_ms);
        else
            mf_heal_gone(b, inst, cause, absent_proof(rebooted));
    }
}

void mf_node_match(struct mf_broker *b, struct mf_node *node, struct mf_guests guests, bool rebooted,
                   uint64_t cause)
{
    const struct mf_uuid *ids;
    size_t n;

    for (struct mf_instance *inst = node->first; inst; inst = inst->next) {
        mf_order_drop(b, inst); /* orders die with their epoch */
        inst->listed = 0;
        inst->tries = 0;
    }
    for (uint32_t i = 0; i < guests.n; i++) {
        struct mf_instance *inst = mf_instance_find(b, guests.items[i].id);
        if (inst && inst->node == node)
            inst->listed = guests.items[i].state;
    }
    ids = mf_heal_ids(b, node, &n);
    for (size_t i = n; i-- > 0;) { /* the newest first: it is the one to reinstate */
        struct mf_instance *inst = mf_instance_find(b, ids[i]);
        if (inst)
            match_one(b, inst, rebooted, cause);
    }
    mf_node_claims(b, node, guests, cause);
}

/* Digits up to `stop` (0: the end), no more than fit; NULL if there is anything else. */
static const char *parse_number(const char *at, char stop, uint64_t max, uint64_t *ret_number)
{
    uint64_t number = 0;

    if (*at < '0' || *at > '9')
        return NULL;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (number > (max - (uint64_t)(*at - '0')) / 10)
            return NULL;
        number = number * 10 + (uint64_t)(*at - '0');
    }
    *ret_number = number;
    return *at == stop ? at + (stop != 0) : NULL;
}

/* "group/slot#generation" or "tenant/group/slot#generation". A name that is nearly one claims nothing. */
static bool parse_claim(struct mf_str name, struct mf_claim *ret_claim)
{
    char text[256], *slash, *group;
    const char *at;
    uint64_t slot, generation;

    mf_str_format(text, sizeof(text), "%.*s", MF_STR_ARG(name));
    slash = strrchr(text, '/');
    at = slash ? parse_number(slash + 1, '#', MF_SLOTS_MAX - 1, &slot) : NULL;
    if (!at || !parse_number(at, 0, UINT64_MAX, &generation))
        return false;
    *slash = 0;
    group = strchr(text, '/');
    if (group)
        *group++ = 0;
    if ((group && !mf_name_valid(mf_str(group))) || !mf_name_valid(mf_str(text)))
        return false;
    mf_str_format(ret_claim->group, sizeof(ret_claim->group), "%s", group ? group : text);
    ret_claim->slot = (uint32_t)slot;
    return true;
}

static void add_claim(struct mf_broker *b, struct mf_node *node, const struct mf_rec_guest *guest)
{
    bool lives = guest->state == MF_GUEST_STATE_RUNNING || guest->state == MF_GUEST_STATE_CREATING;
    struct mf_claim claim;

    if (!lives || !parse_claim(guest->name, &claim))
        return;
    node->claims[node->n_claims++] = claim;
    b->n_claims++;
}

/* Domains that nobody knows are told and left alone. While one lives and says it is of a slot, that slot is
 * not born again. */
void mf_node_claims(struct mf_broker *b, struct mf_node *node, struct mf_guests guests, uint64_t cause)
{
    enum { LOOK_EVERY_MS = 10000 };

    if (node->n_claims)
        b->room++; /* perhaps they are fewer now */
    b->n_claims -= node->n_claims;
    node->n_claims = node->n_unknown = 0;
    free(node->claims);
    node->claims = mf_calloc((guests.n + 1) * sizeof(*node->claims));
    for (uint32_t i = 0; i < guests.n; i++) {
        const struct mf_rec_guest *guest = &guests.items[i];
        const struct mf_instance *inst = mf_instance_find(b, guest->id);
        if ((inst && inst->node == node) || guest->state == MF_GUEST_STATE_DESTROYING)
            continue;
        node->n_unknown++;
        if (cause)
            mf_row_domain_unknown(b, node, cause, guest);
        add_claim(b, node, guest);
    }
    if (node->n_claims) {
        mf_heap_set(&b->alarms, &node->look.timer, b->now + LOOK_EVERY_MS);
    } else {
        free(node->claims);
        node->claims = NULL;
        mf_heap_unset(&b->alarms, &node->look.timer);
    }
}
