/* kin.c - see kin.h. */
#include "kin.h"
#include "check.h"
#include "group_rules.h"

#include <stdlib.h>

/* ------------------------------------------------------------------ shapes */

static enum mf_policy_name policy_of(enum mf_fit fit)
{
    switch (fit) {
    case MF_FIT_SPREAD:
        return MF_POLICY_NAME_SPREAD;
    case MF_FIT_BEST:
        return MF_POLICY_NAME_BEST_FIT;
    case MF_FIT_ROOM:
        return MF_POLICY_NAME_ROOM;
    case MF_FIT_BALANCE:
        return MF_POLICY_NAME_BALANCE;
    case MF_FIT_L2:
        return MF_POLICY_NAME_L2;
    case MF_FIT_DOT:
        return MF_POLICY_NAME_DOT;
    default:
        return MF_POLICY_NAME_UNSET;
    }
}

static void put_words(struct mf_broker *b, const struct mf_labels *labels, uint32_t words[MF_SHAPE_WORDS_MAX])
{
    MF_CHECK(labels->n <= MF_SHAPE_WORDS_MAX);
    for (uint32_t i = 0; i < labels->n; i++)
        words[i] = mf_pool_label(b->pool, labels->items[i].key, labels->items[i].value);
}

uint32_t mf_kin_shape(struct mf_broker *b, const struct mf_alike *a)
{
    struct mf_shape shape = {.wants = a->offering->wants,
                             .class = mf_pool_class(b->pool, a->offering->rec.class),
                             .image = a->image && !a->image->local ? a->image->index + 1 : 0,
                             .policy = (uint8_t)policy_of(a->fit),
                             .fences = a->policy == MF_POLICY_AT_MOST,
                             .pinned = a->offering->rec.pinned,
                             .reserve = a->reserve};

    put_words(b, a->require, shape.require);
    put_words(b, &a->rules->forbid, shape.forbid);
    put_words(b, &a->rules->prefer, shape.prefer);
    return mf_pool_shape(b->pool, &shape);
}

/* ------------------------------------------------------------------ tallies */

uint32_t mf_kin_key(struct mf_broker *b, struct mf_str by)
{
    return mf_rules_by_host(by) ? 0 : mf_pool_key(b->pool, by);
}

static void fill(const struct mf_broker *b, struct mf_tally *tally, const struct mf_group *group)
{
    for (uint32_t i = 0; i < group->n_slots; i++)
        for (const struct mf_instance *inst = group->slots[i]->newest; inst; inst = inst->older)
            if (inst->node)
                mf_tally_count(tally, b->pool, inst->node->number, true);
}

static struct mf_tally *find(const struct mf_group_tallies *tallies, uint32_t key)
{
    for (uint32_t i = 0; i < tallies->n; i++)
        if (tallies->items[i].key == key)
            return tallies->items[i].tally;
    return NULL;
}

static void drop(struct mf_group_tallies *tallies, uint32_t key)
{
    for (uint32_t i = tallies->n; i-- > 0;)
        if (tallies->items[i].key == key) {
            mf_tally_destroy(&tallies->items[i].tally);
            tallies->items[i] = tallies->items[--tallies->n];
        }
}

static struct mf_tally *add(struct mf_group_tallies *tallies, uint32_t key)
{
    struct mf_tally *tally = mf_tally_new(key);

    tallies->items = realloc(tallies->items, (tallies->n + 1) * sizeof(*tallies->items));
    MF_CHECK(tallies->items);
    tallies->items[tallies->n++] = (struct mf_group_tally){.key = key, .tally = tally};
    return tally;
}

static void free_tallies(struct mf_group_tallies *tallies)
{
    for (uint32_t i = 0; i < tallies->n; i++)
        mf_tally_destroy(&tallies->items[i].tally);
    free(tallies->items);
    *tallies = (struct mf_group_tallies){0};
}

struct mf_tally *mf_kin_tally(struct mf_broker *b, struct mf_group *group, uint32_t key)
{
    struct mf_tally *tally = find(&group->tallies, key);

    if (!tally) {
        tally = add(&group->tallies, key);
        fill(b, tally, group);
    }
    return tally;
}

static bool clings(struct mf_broker *b, const struct mf_group *group, const struct mf_group *to, uint32_t key)
{
    return mf_rules_name(&group->rules, false, to->name) && mf_kin_key(b, group->rules.with_by) == key;
}

/* By itself, or by one that must be with it. */
static bool is_needed(struct mf_broker *b, const struct mf_group *group, uint32_t key)
{
    if (!key || key == mf_kin_key(b, group->rules.spread_by) || key == mf_kin_key(b, group->rules.pack_by))
        return true;
    for (size_t i = 0; i < b->clinging.n; i++)
        if (clings(b, b->clinging.items[i], group, key))
            return true;
    return false;
}

static void let_go(struct mf_broker *b, const struct mf_rec_group_name *names, uint32_t n, struct mf_str by)
{
    uint32_t key = mf_kin_key(b, by);

    for (uint32_t i = 0; i < n; i++) {
        struct mf_group *group = mf_group_active(b, names[i].group);
        if (group && !is_needed(b, group, key))
            drop(&group->tallies, key);
    }
}

void mf_kin_let_go(struct mf_broker *b, const struct mf_rec_rules *rules)
{
    let_go(b, rules->with.items, rules->with.n, rules->with_by);
    let_go(b, rules->apart.items, rules->apart.n, rules->apart_by);
}

void mf_kin_count(struct mf_broker *b, const struct mf_instance *inst, bool more)
{
    const struct mf_group *group = mf_group_of(inst);
    uint32_t node = inst->node->number;

    for (uint32_t i = 0; i < group->tallies.n; i++)
        mf_tally_count(group->tallies.items[i].tally, b->pool, node, more);
    for (uint32_t i = 0; i < group->n_foes; i++)
        mf_tally_count(find(&group->foes[i].group->foreign, group->foes[i].key), b->pool, node, more);
    if (more && b->clinging.n)
        b->room++; /* for those that must be with it */
}

/* ------------------------------------------------------------------ who must not be near whom */

static bool is_foe(const struct mf_group *group, const struct mf_group *of, uint32_t key)
{
    for (uint32_t i = 0; i < group->n_foes; i++)
        if (group->foes[i].group == of && group->foes[i].key == key)
            return true;
    return false;
}

static void keep_from(const struct mf_broker *b, struct mf_group *group, struct mf_group *foe, uint32_t key)
{
    struct mf_tally *tally = find(&group->foreign, key);

    group->foes = realloc(group->foes, (group->n_foes + 1) * sizeof(*group->foes));
    MF_CHECK(group->foes);
    group->foes[group->n_foes++] = (struct mf_foe){.group = foe, .key = key};
    fill(b, tally ? tally : add(&group->foreign, key), foe);
}

static void make_foes(const struct mf_broker *b, struct mf_group *group, struct mf_group *other, uint32_t key)
{
    if (group == other || is_foe(group, other, key))
        return;
    keep_from(b, group, other, key);
    keep_from(b, other, group, key);
}

/* Also one that ends, for as long as anything of it is left. */
static void meet_named(struct mf_broker *b, struct mf_group *group, struct mf_str name)
{
    uint32_t key = mf_kin_key(b, group->rules.apart_by);

    for (size_t i = mf_groups_from(b, name, (struct mf_uuid){{0}}); i < b->groups.n; i++) {
        struct mf_group *other = b->groups.items[i];
        if (!mf_str_eq(other->name, name))
            return;
        make_foes(b, group, other, key);
    }
}

static void meet_aloof(struct mf_broker *b, struct mf_group *group)
{
    for (size_t i = 0; i < b->aloof.n; i++) {
        struct mf_group *other = b->aloof.items[i];
        if (mf_rules_name(&other->rules, true, group->name))
            make_foes(b, group, other, mf_kin_key(b, other->rules.apart_by));
    }
}

static uint32_t shape_of(struct mf_broker *b, const struct mf_group *group, bool reserve)
{
    return mf_kin_shape(b, &(struct mf_alike){.offering = group->offering,
                                              .image = group->image,
                                              .require = &group->require,
                                              .rules = &group->rules,
                                              .policy = group->policy,
                                              .fit = group->fit,
                                              .reserve = reserve});
}

uint32_t mf_kin_replacement(struct mf_broker *b, struct mf_group *group)
{
    if (!group->replacement)
        group->replacement = shape_of(b, group, true);
    return group->replacement;
}

void mf_kin_join(struct mf_broker *b, struct mf_group *group)
{
    group->shape = shape_of(b, group, false);
    meet_aloof(b, group);
    for (uint32_t i = 0; i < group->rules.apart.n; i++)
        meet_named(b, group, group->rules.apart.items[i].group);
    if (group->rules.apart.n)
        mf_vec_insert(&b->aloof, b->aloof.n, group);
    if (group->rules.with.n)
        mf_vec_insert(&b->clinging, b->clinging.n, group);
}

static bool has_foe_by(const struct mf_group *group, uint32_t key)
{
    for (uint32_t i = 0; i < group->n_foes; i++)
        if (group->foes[i].key == key)
            return true;
    return false;
}

/* With its tally, if that was of no other: each is a rule of every ask. */
static void forget_foe(struct mf_group *group, const struct mf_group *foe)
{
    for (uint32_t i = group->n_foes; i-- > 0;) {
        uint32_t key = group->foes[i].key;
        if (group->foes[i].group != foe)
            continue;
        group->foes[i] = group->foes[--group->n_foes];
        if (!has_foe_by(group, key))
            drop(&group->foreign, key);
    }
}

void mf_kin_free(struct mf_group *group)
{
    free_tallies(&group->tallies);
    free_tallies(&group->foreign);
    free(group->foes);
    group->foes = NULL;
    group->n_foes = 0;
}

void mf_kin_leave(struct mf_broker *b, struct mf_group *group)
{
    for (uint32_t i = 0; i < group->n_foes; i++)
        forget_foe(group->foes[i].group, group);
    if (group->rules.apart.n)
        mf_vec_remove(&b->aloof, group);
    if (group->rules.with.n)
        mf_vec_remove(&b->clinging, group);
    mf_kin_let_go(b, &group->rules);
    mf_pool_shape_drop(b->pool, group->shape);
    if (group->replacement)
        mf_pool_shape_drop(b->pool, group->replacement);
    mf_kin_free(group);
}

/* ------------------------------------------------------------------ invariants */

static void check_tally(const struct mf_broker *b, const struct mf_group_tally *kept,
                        const struct mf_group *const *groups, uint32_t n)
{
    struct mf_tally *counted = mf_tally_new(kept->key);

    for (uint32_t i = 0; i < n; i++)
        fill(b, counted, groups[i]);
    for (size_t i = 0; i < b->nodes.n; i++) {
        uint32_t node = ((const struct mf_node *)b->nodes.items[i])->number;
        MF_CHECK(mf_tally_at(kept->tally, b->pool, node) == mf_tally_at(counted, b->pool, node));
    }
    mf_tally_destroy(&counted);
}

static void check_foreign(const struct mf_broker *b, const struct mf_group *group,
                          const struct mf_group_tally *kept)
{
    const struct mf_group **foes = mf_calloc((group->n_foes + 1) * sizeof(*foes));
    uint32_t n = 0;

    for (uint32_t i = 0; i < group->n_foes; i++) {
        MF_CHECK(is_foe(group->foes[i].group, group, group->foes[i].key));
        if (group->foes[i].key == kept->key)
            foes[n++] = group->foes[i].group;
    }
    check_tally(b, kept, foes, n);
    free(foes);
}

void mf_kin_check(const struct mf_broker *b)
{
    const struct mf_group *group = b->groups.n ? b->groups.items[b->seq % b->groups.n] : NULL;

    for (uint32_t i = 0; group && i < group->tallies.n; i++)
        check_tally(b, &group->tallies.items[i], &group, 1);
    for (uint32_t i = 0; group && i < group->foreign.n; i++)
        check_foreign(b, group, &group->foreign.items[i]);
}
