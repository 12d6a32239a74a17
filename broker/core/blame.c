/* blame.c - evidence, and what follows from it.
 *
 * A node is to blame when births of several groups failed on it and none ran since; but a birth whose image
 * had failed on another node before is no evidence against this one. An image is to blame when its births
 * failed on several nodes, none of them to blame itself, and none ran since. A birth that runs disproves
 * births that failed; a guest that lives a while disproves guests that died at once. */
#include "blame.h"
#include "check.h"
#include "journal.h"
#include "nodes.h"
#include "orders.h"

#include <stdlib.h>
#include <string.h>

enum {
    GROUPS_MIN = 3,   /* whose births failed, to blame a node */
    NODES_ENOUGH = 3, /* on which births failed, to blame an image; fewer if there are fewer */
    NODES_MIN = 2,
    QUARANTINE_MS = 60 * 1000,
    QUARANTINE_MAX_MS = 3600 * 1000,
    DELAY_MS = 1000,
    DELAY_MAX_MS = 5 * 60 * 1000,
    TRY_AFTER = 2 /* an image's first wait is that of a slot's so-manieth failure after the first */
};

static mf_ms doubled(struct mf_broker *b, mf_ms first, uint32_t times, mf_ms most)
{
    mf_ms delay = first;

    while (times-- > 0 && delay < most)
        delay *= 2;
    delay = delay - delay / 4 + (mf_ms)mf_random_below(&b->random, (uint64_t)delay / 2 + 1);
    return delay < most ? delay : most;
}

/* ------------------------------------------------------------------ evidence */

struct mf_birth mf_blame_birth(const struct mf_instance *inst)
{
    return (struct mf_birth){.id = inst->id,
                             .group_id = mf_group_of(inst)->id,
                             .node = inst->node,
                             .image = (struct mf_image *)mf_group_of(inst)->image};
}

static void drop(struct mf_failures *failures, uint32_t i)
{
    failures->items[i] = failures->items[--failures->n];
}

static void drop_old(struct mf_failures *failures, mf_ms now)
{
    for (uint32_t i = failures ? failures->n : 0; i-- > 0;)
        if (failures->items[i].at + MF_LATELY_MS <= now)
            drop(failures, i);
}

static void drop_kind(struct mf_failures *failures, bool quick)
{
    for (uint32_t i = failures ? failures->n : 0; i-- > 0;)
        if (failures->items[i].quick == quick)
            drop(failures, i);
}

static void call_witness(struct mf_broker *b, struct mf_failures *failures, const struct mf_instance *inst)
{
    if (!failures || mf_instance_find(b, failures->born))
        return;
    failures->born = inst->id;
    failures->born_at = b->now;
}

/* One that lives long enough speaks against all failures before its birth. */
static void hear_witness(struct mf_broker *b, struct mf_failures *failures)
{
    const struct mf_instance *inst = failures ? mf_instance_find(b, failures->born) : NULL;

    drop_old(failures, b->now);
    if (!inst || (mf_instance_runs(inst) && b->now - failures->born_at < MF_QUICK_DEATH_MS))
        return;
    for (uint32_t i = failures->n; i-- > 0 && mf_instance_runs(inst);)
        if (failures->items[i].at <= failures->born_at)
            drop(failures, i);
    failures->born = (struct mf_uuid){{0}};
}

/* Room for one more: the entry of the same group and node, or a free one, or the oldest. */
static struct mf_failure *entry(struct mf_failures *failures, const struct mf_birth *birth)
{
    struct mf_failure *oldest = &failures->items[0];

    for (uint32_t i = 0; i < failures->n; i++) {
        struct mf_failure *at = &failures->items[i];
        if (at->node == birth->node && mf_uuid_eq(at->group_id, birth->group_id))
            return at;
        if (at->at < oldest->at)
            oldest = at;
    }
    if (failures->n < sizeof(failures->items) / sizeof(*failures->items))
        oldest = &failures->items[failures->n++];
    *oldest = (struct mf_failure){.node = birth->node, .group_id = birth->group_id, .image = birth->image};
    return oldest;
}

static void note(struct mf_broker *b, struct mf_failures **failures, const struct mf_birth *birth, bool quick,
                 bool elsewhere)
{
    struct mf_failure *at;

    if (!*failures)
        *failures = mf_calloc(sizeof(**failures));
    at = entry(*failures, birth);
    at->at = b->now;
    at->births++;
    at->quick = quick;
    at->elsewhere |= elsewhere;
}

static bool shuns(const struct mf_broker *b, const struct mf_group *group, const struct mf_node *node)
{
    const struct mf_failures *failures = node->failures;

    for (uint32_t i = 0; failures && i < failures->n; i++)
        if (failures->items[i].at + MF_LATELY_MS > b->now &&
            mf_uuid_eq(failures->items[i].group_id, group->id))
            return true;
    return false;
}

static void accuse(struct mf_broker *b, struct mf_node *node)
{
    if (node->in_accused)
        return;
    node->in_accused = true;
    node->next_accused = b->accused;
    b->accused = node;
}

uint32_t mf_blame_shunned(struct mf_broker *b, const struct mf_group *group,
                          uint32_t ret_nodes[MF_SHUNNED_MAX])
{
    struct mf_node **at = &b->accused, *node;
    uint32_t n = 0;

    while ((node = *at)) {
        drop_old(node->failures, b->now);
        if (n < MF_SHUNNED_MAX && shuns(b, group, node))
            ret_nodes[n++] = node->number;
        if (node->failures->n) {
            at = &node->next_accused;
        } else {
            *at = node->next_accused;
            node->in_accused = false;
        }
    }
    return n;
}

static void forget_accused(struct mf_broker *b, struct mf_node *node)
{
    struct mf_node **at = &b->accused;

    if (!node->in_accused)
        return;
    while (*at != node)
        at = &(*at)->next_accused;
    *at = node->next_accused;
    node->in_accused = false;
}

/* Its births failed on another node as well. */
static bool fails_elsewhere(const struct mf_birth *birth)
{
    const struct mf_failures *failures = birth->image->failures;

    for (uint32_t i = 0; failures && i < failures->n; i++)
        if (failures->items[i].node != birth->node)
            return true;
    return false;
}

/* ------------------------------------------------------------------ nodes */

/* Half of the nodes of its class may be wrong, not more. */
static bool has_others(const struct mf_broker *b, const struct mf_node *accused)
{
    size_t ready = 0, quarantined = 1;

    for (size_t i = 0; i < b->nodes.n; i++) {
        const struct mf_node *node = b->nodes.items[i];
        if (!mf_str_eq(node->class, accused->class))
            continue;
        ready += mf_node_up(node) && node->state == MF_NODE_STATE_READY;
        quarantined += node->quarantined_until != 0;
    }
    return 2 * quarantined <= ready;
}

static void forgive(struct mf_broker *b, struct mf_slot *slot, uint64_t cause, const char *whose)
{
    char text[MF_SUBJECT_MAX];

    mf_journal(
        b, cause,
        &(struct mf_event){
            .kind = MF_EV_SLOT_FORGIVEN,
            .slot_forgiven = {.group_id = slot->group->id, .slot = slot->index, .reason = mf_str(whose)}},
        mf_subject_group(slot->group, text));
}

/* on: of which node; 0: of any. */
static void forgive_group(struct mf_broker *b, struct mf_group *group, uint32_t on, uint64_t cause,
                          const char *whose)
{
    for (uint32_t i = 0; group && i < group->n_slots; i++) {
        struct mf_slot *slot = group->slots[i];
        if (slot->failures && !slot->current && (!on || slot->failed_on == on))
            forgive(b, slot, cause, whose);
    }
}

static void quarantine(struct mf_broker *b, struct mf_node *node, uint64_t cause, uint32_t groups,
                       uint32_t births)
{
    struct mf_failures *failures = node->failures;
    mf_ms rest = doubled(b, QUARANTINE_MS, node->quarantines, QUARANTINE_MAX_MS);
    char reason[256], subject[MF_SUBJECT_MAX];
    struct mf_event event = {
        .kind = MF_EV_NODE_QUARANTINED,
        .node_quarantined = {
            .node = node->name, .groups = groups, .failures = births, .for_ms = (uint64_t)rest}};

    event.node_quarantined.reason = mf_str_format(
        reason, sizeof(reason), "%u births of %u groups failed on it and none ran since", births, groups);
    cause = mf_journal(b, cause, &event, mf_subject_named("node", node->name, subject));
    mf_heap_set(&b->alarms, &node->quarantine.timer, b->now + rest);
    mf_str_format(reason, sizeof(reason), "node %.*s is to blame", MF_STR_ARG(node->name));
    for (uint32_t i = 0; i < failures->n; i++)
        forgive_group(b, mf_group_find(b, failures->items[i].group_id), node->serial, cause, reason);
}

static void judge_node(struct mf_broker *b, struct mf_node *node, uint64_t cause)
{
    const struct mf_failures *failures = node->failures;
    uint32_t groups = 0, births = 0;

    for (uint32_t i = 0; i < failures->n; i++) {
        groups += !failures->items[i].elsewhere;
        births += failures->items[i].elsewhere ? 0 : failures->items[i].births;
    }
    if (groups >= GROUPS_MIN && has_others(b, node))
        quarantine(b, node, cause, groups, births);
}

void mf_blame_release_node(struct mf_broker *b, struct mf_node *node, uint64_t cause, const char *reason)
{
    if (!node->quarantined_until)
        return;
    mf_heap_unset(&b->alarms, &node->quarantine.timer);
    if (node->failures)
        node->failures->n = 0;
    mf_row_node_released(b, node, cause, reason);
}

void mf_blame_quarantine_over(struct mf_broker *b, struct mf_node *node)
{
    mf_blame_release_node(b, node, node->last_seq, "its time is over");
}

void mf_blame_forget_node(struct mf_broker *b, struct mf_node *node)
{
    mf_heap_unset(&b->alarms, &node->quarantine.timer);
    mf_heap_unset(&b->alarms, &node->delay.timer);
    forget_accused(b, node);
    for (size_t i = 0; i < b->images.n; i++) {
        struct mf_failures *failures = ((struct mf_image *)b->images.items[i])->failures;
        for (uint32_t f = failures ? failures->n : 0; f-- > 0;)
            if (failures->items[f].node == node)
                drop(failures, f);
    }
}

/* What it failed on a node remains evidence against the node. */
void mf_blame_forget_image(struct mf_broker *b, const struct mf_image *image)
{
    for (size_t i = 0; i < b->nodes.n; i++) {
        struct mf_failures *failures = ((struct mf_node *)b->nodes.items[i])->failures;
        for (uint32_t f = 0; failures && f < failures->n; f++)
            if (failures->items[f].image == image)
                failures->items[f].image = NULL;
    }
}

/* ------------------------------------------------------------------ images */

bool mf_blame_holds(const struct mf_image *image)
{
    return image->halted && !image->canary_due;
}

struct mf_str mf_blame_reason(const struct mf_broker *b, const struct mf_image *image, char text[256])
{
    mf_ms rest = image->retry.timer.place ? image->retry.timer.when - b->now : 0;

    if (!mf_uuid_is_zero(image->canary))
        return mf_str_format(text, 256, "image %.*s is halted: %s; one birth tries on",
                             MF_STR_ARG(image->rec.name), image->halted);
    return mf_str_format(text, 256, "image %.*s is halted: %s; the next try in %lld s at most",
                         MF_STR_ARG(image->rec.name), image->halted, (long long)(rest + 999) / 1000);
}

static uint32_t nodes_enough(const struct mf_broker *b)
{
    uint32_t n = 0;

    for (size_t i = 0; i < b->nodes.n && n < NODES_ENOUGH; i++)
        n += mf_node_schedulable(b->nodes.items[i]);
    return n < NODES_MIN ? NODES_MIN : n;
}

/* Nodes that are not to blame themselves. */
static uint32_t nodes_failed_on(const struct mf_failures *failures, uint32_t *ret_births)
{
    uint32_t n = 0;

    *ret_births = 0;
    for (uint32_t i = 0; i < failures->n; i++) {
        const struct mf_failure *at = &failures->items[i];
        bool first = !at->node->quarantined_until;
        for (uint32_t j = 0; j < i && first; j++)
            first = failures->items[j].node != at->node;
        n += first;
        *ret_births += at->node->quarantined_until ? 0 : at->births;
    }
    return n;
}

static uint64_t halt(struct mf_broker *b, struct mf_image *image, uint64_t cause, const char *reason,
                     uint32_t nodes, uint32_t births)
{
    mf_ms rest = mf_backoff(b, image->halts + 1 + TRY_AFTER);
    char subject[MF_SUBJECT_MAX];

    cause = mf_journal(b, cause,
                       &(struct mf_event){.kind = MF_EV_IMAGE_HALTED,
                                          .image_halted = {.image = image->rec.name,
                                                           .reason = mf_str(reason),
                                                           .nodes = nodes,
                                                           .failures = births,
                                                           .retry_ms = (uint64_t)rest}},
                       mf_subject_named("image", image->rec.name, subject));
    image->canary = (struct mf_uuid){{0}};
    image->canary_due = false;
    mf_heap_set(&b->alarms, &image->retry.timer, b->now + rest);
    return cause;
}

/* What a node was blamed for may have been this image alone. */
static void acquit_nodes(struct mf_broker *b, const struct mf_image *image, uint64_t cause)
{
    for (size_t i = 0; i < b->nodes.n && b->quarantined; i++) {
        struct mf_node *node = b->nodes.items[i];
        bool only = node->quarantined_until && node->failures && node->failures->n;
        for (uint32_t f = 0; only && f < node->failures->n; f++)
            only = node->failures->items[f].image == image;
        if (only)
            mf_blame_release_node(b, node, cause, "an image is to blame");
    }
}

/* While guests of other groups run from it, the failures of one are more likely its user-data's. */
static bool is_one_of_many(const struct mf_broker *b, const struct mf_image *image)
{
    const struct mf_failures *failures = image->failures;
    const struct mf_uuid *only = &failures->items[0].group_id;

    for (uint32_t i = 1; i < failures->n; i++)
        if (!mf_uuid_eq(failures->items[i].group_id, *only))
            return false;
    for (size_t i = 0; i < b->groups.n; i++) {
        const struct mf_group *group = b->groups.items[i];
        if (group->image == image && group->running && !mf_uuid_eq(group->id, *only))
            return true;
    }
    return false;
}

static void judge_image(struct mf_broker *b, struct mf_image *image, uint64_t cause)
{
    struct mf_failures *failures = image->failures;
    uint32_t births, nodes = nodes_failed_on(failures, &births);
    char reason[128];

    if (nodes < NODES_MIN || nodes < nodes_enough(b) || is_one_of_many(b, image))
        return;
    mf_str_format(reason, sizeof(reason), "%u births failed on %u nodes and none ran since", births, nodes);
    acquit_nodes(b, image, halt(b, image, cause, reason, nodes, births));
    failures->n = 0;
}

/* Of a halted image only the one that tries on says anything new. */
static void failed_again(struct mf_broker *b, struct mf_image *image, const struct mf_birth *birth,
                         uint64_t cause)
{
    if (mf_uuid_eq(image->canary, birth->id))
        halt(b, image, cause, "the birth that tried on failed, too", 1, 1);
}

void mf_blame_release_image(struct mf_broker *b, struct mf_image *image, uint64_t cause, const char *reason)
{
    char whose[128];

    if (!image->halted)
        return;
    mf_heap_unset(&b->alarms, &image->retry.timer);
    image->canary = (struct mf_uuid){{0}};
    image->canary_due = false;
    if (image->failures)
        image->failures->n = 0;
    cause = mf_row_image_released(b, image, cause, reason);
    mf_str_format(whose, sizeof(whose), "image %.*s was to blame", MF_STR_ARG(image->rec.name));
    for (size_t i = 0; i < b->groups.n; i++) {
        struct mf_group *group = b->groups.items[i];
        if (group->image == image && group->state == MF_GROUP_STATE_ACTIVE)
            forgive_group(b, group, 0, cause, whose);
    }
}

void mf_blame_tries(struct mf_broker *b, const struct mf_instance *inst)
{
    struct mf_image *image = (struct mf_image *)mf_group_of(inst)->image;

    if (!image->halted)
        return;
    image->canary = inst->id;
    image->canary_due = false;
    mf_heap_set(&b->alarms, &image->retry.timer, b->now + MF_QUICK_DEATH_MS);
}

void mf_blame_try_due(struct mf_broker *b, struct mf_image *image)
{
    const struct mf_instance *inst = mf_instance_find(b, image->canary);

    if (!image->halted)
        return;
    if (inst && inst->state == MF_INSTANCE_STATE_RUNNING) {
        mf_blame_release_image(b, image, inst->last_seq, "a guest of it runs and lives");
    } else if (inst && inst->state == MF_INSTANCE_STATE_PLACED) { /* its order has a deadline */
        mf_heap_set(&b->alarms, &image->retry.timer, b->now + MF_QUICK_DEATH_MS);
    } else {
        image->canary = (struct mf_uuid){{0}};
        image->canary_due = true;
        b->room++;
    }
}

/* ------------------------------------------------------------------ what happened */

bool mf_blame_is_groups(enum mf_errcode code)
{
    return code == MF_E_USER_DATA;
}

void mf_blame_failed(struct mf_broker *b, const struct mf_birth *birth, uint64_t cause, bool quick)
{
    struct mf_image *image = birth->image;
    bool elsewhere;

    if (image->halted) {
        failed_again(b, image, birth, cause);
        return;
    }
    hear_witness(b, image->failures);
    hear_witness(b, birth->node->failures);
    elsewhere = fails_elsewhere(birth);
    if (!birth->node->quarantined_until) {
        note(b, &birth->node->failures, birth, quick, elsewhere);
        accuse(b, birth->node);
        judge_node(b, birth->node, cause);
    }
    note(b, &image->failures, birth, quick, false);
    judge_image(b, image, cause);
}

/* No answer says something of the node, and only if it is there. */
void mf_blame_expired(struct mf_broker *b, const struct mf_birth *birth, uint64_t cause)
{
    if (birth->image->halted) {
        failed_again(b, birth->image, birth, cause);
    } else if (mf_node_up(birth->node) && !birth->node->quarantined_until) {
        hear_witness(b, birth->node->failures);
        note(b, &birth->node->failures, birth, false, fails_elsewhere(birth));
        accuse(b, birth->node);
        judge_node(b, birth->node, cause);
    }
}

void mf_blame_born(struct mf_broker *b, const struct mf_instance *inst)
{
    struct mf_image *image = (struct mf_image *)mf_group_of(inst)->image;
    struct mf_failures *failures = image->failures;
    const struct mf_instance *canary = mf_instance_find(b, image->canary);

    drop_kind(inst->node->failures, false);
    drop_kind(failures, false);
    call_witness(b, failures, inst);
    call_witness(b, inst->node->failures, inst);
    if (!image->halted)
        return;
    if (canary == inst || !canary || canary->state != MF_INSTANCE_STATE_RUNNING) {
        image->canary = inst->id; /* also one that was ordered before the halt */
        mf_heap_set(&b->alarms, &image->retry.timer, b->now + MF_QUICK_DEATH_MS);
    }
}

/* ------------------------------------------------------------------ nodes that come and go */

uint32_t mf_blame_flaps(const struct mf_broker *b, const struct mf_node *node)
{
    return b->wall_ms - node->failed_ms < MF_LATELY_MS ? node->flaps : 0;
}

void mf_blame_returned(struct mf_broker *b, struct mf_node *node, bool failed, uint64_t cause)
{
    mf_ms rest = node->delayed_until ? node->delayed_until - b->wall_ms : 0;
    char text[MF_SUBJECT_MAX];

    if (failed && mf_blame_flaps(b, node) > 1) {
        rest = doubled(b, DELAY_MS, node->flaps - 2, DELAY_MAX_MS);
        mf_journal(b, cause,
                   &(struct mf_event){.kind = MF_EV_NODE_DELAYED,
                                      .node_delayed = {.node = node->name,
                                                       .epoch = node->epoch,
                                                       .flaps = node->flaps,
                                                       .delay_ms = (uint64_t)rest}},
                   mf_subject_named("node", node->name, text));
    }
    if (rest > 0) /* whatever the wall clock did meanwhile */
        mf_heap_set(&b->alarms, &node->delay.timer, b->now + (rest < DELAY_MAX_MS ? rest : DELAY_MAX_MS));
    else
        mf_heap_unset(&b->alarms, &node->delay.timer);
}

static mf_ms left(const struct mf_broker *b, mf_ms until, mf_ms most)
{
    mf_ms rest = until - b->wall_ms;

    return rest < 0 ? 0 : rest < most ? rest : most;
}

void mf_blame_begin(struct mf_broker *b)
{
    mf_ms most = b->config.backoff_max_ms + b->config.backoff_max_ms / 4;

    for (size_t i = 0; i < b->nodes.n && b->quarantined; i++) {
        struct mf_node *node = b->nodes.items[i];
        if (node->quarantined_until)
            mf_heap_set(&b->alarms, &node->quarantine.timer,
                        b->now + left(b, node->quarantined_until, QUARANTINE_MAX_MS));
    }
    for (size_t i = 0; i < b->images.n && b->images_halted; i++) {
        struct mf_image *image = b->images.items[i];
        if (image->halted)
            mf_heap_set(&b->alarms, &image->retry.timer, b->now + left(b, image->halted_until, most));
    }
}
