/* protection.c - see protection.h. */
#include "protection.h"
#include "admission.h"
#include "check.h"
#include "fold.h"
#include "grace.h"
#include "group_rules.h"
#include "headroom.h"
#include "journal.h"
#include "kin.h"

enum { LOOKS = 20000, SOON_MS = 1, AGAIN_MS = 100 }; /* looks at nodes in one feed: about a millisecond */

struct mf_str mf_protection_level(const struct mf_broker *b, const struct mf_group *group)
{
    return group->rules.headroom.len ? group->rules.headroom : b->headroom;
}

uint64_t mf_protection_lacking(const struct mf_broker *b)
{
    return b->backups ? mf_headroom_unprotected(b->backups) : 0;
}

/* ------------------------------------------------------------------ to whom a backup is due */

/* What runs or is to run; and what is lost, until its successor has a place: its backup is where that one
 * goes. */
static bool is_due(const struct mf_broker *b, const struct mf_instance *inst)
{
    const struct mf_slot *slot = inst->slot;

    if (!inst->node || slot->group->state != MF_GROUP_STATE_ACTIVE ||
        !mf_protection_level(b, slot->group).len)
        return false;
    return inst->current ||
           (inst->state == MF_INSTANCE_STATE_LOST && !(slot->current && slot->current->node));
}

uint32_t mf_protection_number(struct mf_broker *b, struct mf_str level)
{
    if (!b->backups)
        b->backups = mf_headroom_new(b->pool);
    return mf_headroom_level(b->backups, mf_kin_key(b, level));
}

static void add(struct mf_broker *b, struct mf_instance *inst)
{
    struct mf_group *group = mf_group_of(inst);

    if (!group->level || !b->backups)
        group->level = mf_protection_number(b, mf_protection_level(b, group)) + 1;
    if (group->level) /* of more levels than there may be some are not kept; none is admitted */
        inst->promise = mf_headroom_add(b->backups, group->level - 1, group->shape, inst->node->number);
}

void mf_protection_forget(struct mf_broker *b, struct mf_instance *inst)
{
    if (!inst->promise)
        return;
    mf_headroom_drop(b->backups, inst->promise);
    inst->promise = 0;
}

void mf_protection_mind(struct mf_broker *b, struct mf_instance *inst)
{
    if (!b->reigning || !mf_protection_level(b, mf_group_of(inst)).len)
        return;
    for (; inst; inst = inst->older) {
        bool due = is_due(b, inst);
        if (due && !inst->promise)
            add(b, inst);
        else if (!due)
            mf_protection_forget(b, inst);
    }
}

/* ------------------------------------------------------------------ nodes */

void mf_protection_node(struct mf_broker *b, const struct mf_node *node)
{
    if (b->backups)
        mf_headroom_node(b->backups, node->number);
}

void mf_protection_leave(struct mf_broker *b, const struct mf_node *node)
{
    if (b->backups)
        mf_headroom_leave(b->backups, node->number);
}

void mf_protection_return(struct mf_broker *b, struct mf_node *node)
{
    if (!b->backups)
        return;
    for (const struct mf_instance *inst = node->first; inst; inst = inst->next)
        if (inst->promise)
            mf_headroom_home(b->backups, inst->promise, node->number);
    mf_headroom_node(b->backups, node->number);
}

/* ------------------------------------------------------------------ all anew */

static void begin_group(struct mf_broker *b, struct mf_group *group)
{
    for (uint32_t i = 0; i < group->n_slots; i++)
        if (group->slots[i]->newest)
            mf_protection_mind(b, group->slots[i]->newest);
}

static void forget_all(struct mf_broker *b)
{
    struct mf_instance *inst;
    size_t cursor = 0;

    mf_headroom_destroy(&b->backups);
    while (mf_map_next(b->instances, &cursor, (void **)&inst))
        inst->promise = 0;
    for (size_t i = 0; i < b->groups.n; i++)
        ((struct mf_group *)b->groups.items[i])->level = 0;
}

void mf_protection_begin(struct mf_broker *b)
{
    forget_all(b);
    for (size_t i = 0; i < b->groups.n; i++)
        begin_group(b, b->groups.items[i]);
}

void mf_protection_free(struct mf_broker *b)
{
    mf_admission_over(b);
    mf_headroom_destroy(&b->backups);
}

/* ------------------------------------------------------------------ when it is lost */

static bool replaces_lost(const struct mf_instance *inst)
{
    return inst->born == MF_BIRTH_REASON_NODE_FAILED || inst->born == MF_BIRTH_REASON_DIED ||
           inst->born == MF_BIRTH_REASON_UNWELL || inst->born == MF_BIRTH_REASON_BIRTH_FAILED;
}

/* The backup of what it replaces. */
static bool backup_of(const struct mf_broker *b, const struct mf_instance *inst, struct mf_place *ret_place)
{
    for (const struct mf_instance *older = inst->older; older; older = older->older)
        if (older->promise && mf_headroom_claim(b->backups, older->promise, ret_place))
            return true;
    return false;
}

bool mf_protection_place(struct mf_broker *b, const struct mf_instance *inst, const struct mf_place_ask *ask,
                         struct mf_place *ret_place)
{
    struct mf_group *group = mf_group_of(inst);
    struct mf_ask reserve = ask->ask;
    struct mf_rank rank;

    if (!b->backups || !mf_protection_level(b, group).len || !replaces_lost(inst))
        return false;
    reserve.shape = mf_kin_replacement(b, group);
    if (backup_of(b, inst, ret_place) &&
        mf_pool_explain(b->pool, &reserve, ret_place->node).refusal == MF_REFUSED_NOT)
        return true;
    b->desperate = true;
    return b->last_resort && mf_pool_choose(b->pool, &reserve, &b->random, ret_place, &rank);
}

static bool waits_for_its_own(const struct mf_broker *b, const struct mf_group *group)
{
    struct mf_place place;

    for (const struct mf_instance *inst = group->pending_first; inst; inst = inst->next)
        if (backup_of(b, inst, &place))
            return true;
    return false;
}

bool mf_protection_last_resort(struct mf_broker *b)
{
    if (!b->backups || !b->desperate || b->last_resort)
        return b->last_resort;
    for (const struct mf_group *group = b->needy; group; group = group->needy_next)
        if (waits_for_its_own(b, group))
            b->desperate = false;
    return b->last_resort = b->desperate;
}

void mf_protection_passed(struct mf_broker *b)
{
    b->desperate = b->last_resort = false;
}

/* ------------------------------------------------------------------ working it off */

static void tell(struct mf_broker *b)
{
    uint64_t lacking = mf_protection_lacking(b);
    uint64_t protected = b->backups ? mf_headroom_protected(b->backups) : 0;
    struct mf_event degraded = {.kind = MF_EV_HEADROOM_DEGRADED,
                                .headroom_degraded = {.unprotected = lacking, .protected = protected}};
    struct mf_event restored = {.kind = MF_EV_HEADROOM_RESTORED,
                                .headroom_restored = {.protected = protected}};

    if (b->headroom_degraded != (lacking > 0))
        mf_journal(b, 0, lacking ? &degraded : &restored, mf_str("cluster"));
}

static bool work(struct mf_broker *b)
{
    if (b->now >= b->protect_again && mf_headroom_retry(b->backups))
        b->protect_again = b->now + AGAIN_MS;
    return mf_headroom_work(b->backups, &b->random, LOOKS);
}

/* Nothing is judged while nodes that are there have yet to be heard: they would all be missed. */
void mf_protection_settle(struct mf_broker *b)
{
    if (!b->reigning || mf_grace(b) || (!b->backups && !b->headroom_degraded))
        return;
    if (b->backups && work(b)) {
        mf_heap_set(&b->alarms, &b->protect.timer, b->now + SOON_MS);
        return;
    }
    tell(b);
    if (b->backups && mf_headroom_may_retry(b->backups))
        mf_heap_set(&b->alarms, &b->protect.timer,
                    b->protect_again > b->now ? b->protect_again : b->now + SOON_MS);
}

/* ------------------------------------------------------------------ an operator's word */

static bool has_key(const struct mf_node *node, struct mf_str key)
{
    for (uint32_t i = 0; i < node->labels.n; i++)
        if (mf_str_eq(node->labels.items[i].key, key))
            return true;
    return false;
}

static bool is_known(const struct mf_broker *b, struct mf_str level)
{
    bool known = mf_rules_by_host(level);

    for (size_t i = 0; i < b->nodes.n && !known; i++)
        known = has_key(b->nodes.items[i], level);
    return known;
}

static void set_level(struct mf_asked *a, struct mf_str level)
{
    struct mf_event event = {.kind = MF_EV_HEADROOM_SET, .headroom_set = {.level = level}};
    uint64_t cause = mf_asked_accept(a, mf_nobody, mf_nobody, 0, 0);

    if (!mf_str_eq(level, a->b->headroom)) {
        mf_journal(a->b, cause, &event, mf_str("cluster"));
        mf_protection_begin(a->b);
    }
    mf_asked_answer(a);
}

void mf_protection_request(struct mf_asked *a, const struct mf_msg_headroom *headroom)
{
    struct mf_str level = headroom->level;

    if (level.len && !mf_name_valid(level))
        mf_asked_refuse(a, MF_E_INVALID, "\"%.*s\" can be no label's name; say host, or a label as rack",
                        MF_STR_ARG(level));
    else if (!is_known(a->b, level))
        mf_asked_refuse(
            a, MF_E_INVALID,
            "no node that is known has a label %.*s: each would be a domain of its own; say host, or "
            "a label that `mayfly nodes` shows",
            MF_STR_ARG(level));
    else if (level.len && mf_protection_number(a->b, level) == UINT32_MAX)
        mf_asked_refuse(a, MF_E_INVALID, "groups ask for %d other levels already, and more are not kept",
                        MF_HEADROOM_LEVELS);
    else
        set_level(a, level);
}

/* ------------------------------------------------------------------ invariants */

void mf_protection_check(const struct mf_broker *b)
{
    const struct mf_instance *inst;
    uint64_t due = 0;
    size_t cursor = 0;

    if (!b->reigning)
        return;
    while (mf_map_next(b->instances, &cursor, (void **)&inst)) {
        MF_CHECK(!inst->promise || is_due(b, inst));
        MF_CHECK(inst->promise || !is_due(b, inst) || mf_group_of(inst)->level == 0);
        due += inst->promise != 0;
    }
    MF_CHECK(due ==
             (b->backups ? mf_headroom_protected(b->backups) + mf_headroom_unprotected(b->backups) : 0));
    if (b->backups && b->seq % 16 == 0)
        mf_headroom_check(b->backups);
}
