/* choose.c - the best node, without looking at all of them.
 *
 * Without preferences that is any of the view's best bucket that the rules do not refuse. With preferences a
 * node of a worse bucket may have a better level: the walk goes on until it has met the least level that any
 * node could have. When a short walk has not, the nodes of the domains that the first preference ranks best
 * are looked at instead (or those that a MF_RULE_WITH allows at all): they are few when the walk is long.
 * What that does not decide either is decided by walking to the end. Where a walk would be long for sure, the
 * domains come first.
 *
 * By chance among equals means: a walk begins at a node of its bucket drawn at random and takes the first it
 * meets; where domains are gone through, each of the equals is as likely as any other. */
#include "rules.h"

enum { WALK = 64, ROUNDS = 32 };

struct search {
    struct mf_pool *pool;
    const struct mf_view *view;
    const struct mf_rulings *rulings;
    struct mf_random *random; /* NULL: the lowest number of the equals */
    uint64_t least;
    bool found;
    uint32_t node, bucket, n_equal;
    uint64_t level;
};

static void take(struct search *self, uint32_t node, uint32_t bucket, uint64_t level)
{
    self->found = true;
    self->node = node;
    self->bucket = bucket;
    self->level = level;
    self->n_equal = 1;
}

/* ------------------------------------------------------------------ the walk */

/* False: the walk is over, before its end. */
static bool walk_bucket(struct search *self, uint32_t bucket, uint32_t *budget)
{
    const struct mf_bucket *at = mf_view_bucket(self->view, bucket);
    uint32_t i = self->random ? (uint32_t)mf_random_below(self->random, at->n) : 0;

    for (uint32_t left = at->n; left; left--, i = i + 1 < at->n ? i + 1 : 0) {
        uint32_t node = at->nodes[i];
        uint64_t level;
        if (!*budget)
            return false;
        --*budget;
        if (mf_rulings_refuse(self->rulings, node))
            continue;
        level = mf_rulings_level(self->rulings, node);
        if (!self->found || level < self->level ||
            (!self->random && level == self->level && bucket == self->bucket && node < self->node))
            take(self, node, bucket, level);
        if (self->random && level == self->least)
            break;
    }
    return true;
}

static bool walk(struct search *self, uint32_t budget)
{
    uint32_t bucket = BUCKETS;

    self->found = false;
    while ((bucket = mf_view_below(self->view, bucket)) != BUCKETS) {
        if (!walk_bucket(self, bucket, &budget))
            return false;
        if (self->found && self->level == self->least)
            return true;
    }
    return true;
}

/* ------------------------------------------------------------------ domains */

static void consider(struct search *self, uint32_t node)
{
    uint32_t slot = *mf_view_slot(self->pool, self->view, node), bucket = mf_slot_bucket(slot);
    uint64_t level;

    if (!mf_slot_fits(slot) || mf_rulings_refuse(self->rulings, node))
        return;
    level = mf_rulings_level(self->rulings, node);
    if (!self->found || level < self->level || (level == self->level && bucket > self->bucket))
        take(self, node, bucket, level);
    else if (level == self->level && bucket == self->bucket &&
             (self->random ? mf_random_below(self->random, ++self->n_equal) == 0 : node < self->node))
        self->node = node;
}

static void consider_domain(struct search *self, uint32_t key, uint32_t domain)
{
    const struct mf_word *label = &self->pool->words.labels[domain];

    if (!key) {
        consider(self, domain - 1);
        return;
    }
    for (uint32_t i = 0; i < label->n_nodes; i++)
        consider(self, label->nodes[i]);
}

/* The smallest of those in whose domains alone it may be. */
static const struct mf_tally *company_of(const struct search *self)
{
    const struct mf_tally *company = NULL;

    for (uint32_t i = 0; i < self->rulings->n_hard; i++) {
        const struct mf_ruling *ruling = &self->rulings->hard[i];
        if (ruling->kind == MF_RULE_WITH && (!company || ruling->tally->n < company->n))
            company = ruling->tally;
    }
    return company;
}

static bool by_company(struct search *self)
{
    const struct mf_tally *company = company_of(self);

    if (!company || company->n > mf_rulings_domains(self->view, company->key))
        return false;
    self->found = false;
    for (uint32_t i = 0; i < company->size; i++)
        if (company->table[i].domain)
            consider_domain(self, company->key, company->table[i].domain);
    return true;
}

/* The domains that the first preference goes through: those of its tally, and then there are others with
 * none; or, where it needs company in domains of the same key, those of that. */
static const struct mf_tally *candidates(const struct search *self)
{
    const struct mf_tally *own = self->rulings->soft[0].tally, *company = company_of(self);

    return company && company->key == own->key ? company : own;
}

static uint32_t level_of(const struct mf_ruling *ruling, const struct mf_tally *among, uint32_t i)
{
    return mf_ruling_level(ruling->kind, among == ruling->tally
                                             ? among->table[i].count
                                             : mf_tally_count_of(ruling->tally, among->table[i].domain));
}

struct step { /* of the first preference: a level, and how many domains with a node that fits have it */
    uint32_t level, n;
    bool others; /* those that are no candidates, and yet might be */
};

/* The lowest level from `from` on. */
static struct step next_step(const struct search *self, const struct mf_ruling *ruling,
                             const struct mf_tally *among, uint32_t from)
{
    uint32_t domains = mf_rulings_domains(self->view, among->key), n = 0,
             none = mf_ruling_level(ruling->kind, 0);
    struct step step = {.level = LEVEL_LAST};

    for (uint32_t i = 0; i < among->size; i++) {
        uint32_t domain = among->table[i].domain, level;
        if (!domain || !mf_rulings_fitting(self->pool, self->view, among->key, domain))
            continue;
        n++;
        level = level_of(ruling, among, i);
        if (level >= from && level <= step.level) {
            step.n = level < step.level ? 1 : step.n + 1;
            step.level = level;
        }
    }
    if (among == ruling->tally && n < domains && none >= from && none <= step.level)
        step = (struct step){.level = none, .n = domains - n, .others = true};
    return step;
}

static void consider_candidates(struct search *self, const struct mf_ruling *ruling,
                                const struct mf_tally *among, uint32_t level)
{
    for (uint32_t i = 0; i < among->size; i++)
        if (among->table[i].domain && level_of(ruling, among, i) == level &&
            mf_rulings_fitting(self->pool, self->view, among->key, among->table[i].domain))
            consider_domain(self, among->key, among->table[i].domain);
}

static void consider_others(struct search *self, const struct mf_ruling *ruling)
{
    const struct mf_key *key = &self->pool->words.keys[ruling->tally->key];

    for (uint32_t i = 0; i < key->n_words; i++)
        if (mf_rulings_fitting(self->pool, self->view, ruling->tally->key, key->words[i]) &&
            !mf_tally_count_of(ruling->tally, key->words[i]))
            consider_domain(self, ruling->tally->key, key->words[i]);
}

/* Are the later preferences such that one of a few nodes is as good as any by them? */
static bool easy_beyond_first(const struct search *self)
{
    for (uint32_t i = 1; i < self->rulings->n_soft; i++) {
        const struct mf_ruling *ruling = &self->rulings->soft[i];
        if (ruling->kind == MF_RULE_MANY ||
            8 * (uint64_t)ruling->tally->n > 7 * (uint64_t)mf_rulings_domains(self->view, ruling->tally->key))
            return false;
    }
    return true;
}

/* Nothing passes below this level, as is known now: a walk may come by one of many domains that have it. */
static bool walk_for(struct search *self, const struct mf_ruling *first, struct step step)
{
    uint32_t domains = mf_rulings_domains(self->view, first->tally->key);

    if ((uint64_t)step.n * self->view->n_fit < (uint64_t)WALK * domains || !easy_beyond_first(self))
        return false;
    self->least = (self->least & ((UINT64_C(1) << first->shift) - 1)) | (uint64_t)step.level << first->shift;
    return walk(self, 2 * WALK);
}

static void consider_step(struct search *self, const struct mf_ruling *first, const struct mf_tally *among,
                          struct step step)
{
    self->found = false;
    if (step.others)
        consider_others(self, first);
    else
        consider_candidates(self, first, among, step.level);
}

/* Level by level of the first preference. Whatever passes on the first of them that has any is the best,
 * unless it is shunned. */
static bool by_preference(struct search *self)
{
    const struct mf_ruling *first = self->rulings->soft;
    const struct mf_tally *among;

    if (!self->rulings->n_soft)
        return false;
    among = candidates(self);
    for (uint32_t round = 0, from = 0; round < ROUNDS; round++) {
        struct step step = next_step(self, first, among, from);
        if (step.level == LEVEL_LAST || (step.others && !first->tally->key))
            return false; /* others that are nodes by themselves a walk finds as soon */
        if (walk_for(self, first, step))
            return true;
        consider_step(self, first, among, step);
        if (self->found && !(self->level >> LEVEL_SHUNNED_BIT))
            return true;
        from = step.level + 1;
    }
    return false;
}

/* ------------------------------------------------------------------ the choice */

/* Is what is liked best in so few places that a walk would not soon come by? */
static bool few_places(const struct search *self)
{
    const struct mf_ruling *first = self->rulings->soft;

    return self->rulings->n_soft && first->tally->n && first->tally->key &&
           (first->kind == MF_RULE_MANY || !easy_beyond_first(self));
}

static void search_all(struct search *self)
{
    if (self->view->n_fit > WALK && few_places(self) && by_preference(self))
        return;
    if (!walk(self, WALK) && !by_preference(self) && !by_company(self))
        walk(self, UINT32_MAX);
}

static struct mf_place place_at(const struct mf_pool *self, uint32_t shape, uint32_t node)
{
    struct mf_fitting fit;

    mf_fit_now(self, mf_shape_of(self, shape), node, &fit);
    MF_CHECK(!fit.refusal);
    return (struct mf_place){node, fit.cells};
}

static struct mf_view *view_for(struct mf_pool *self, const struct mf_ask *ask)
{
    struct mf_view *view;

    if (!mf_pool_any(self, ask->shape))
        return NULL;
    view = self->views[self->shapes[ask->shape].view];
    for (uint32_t i = 0; i < ask->n_rules; i++)
        if (mf_rule_key(&ask->rules[i]))
            mf_view_reach(self, view, mf_rule_key(&ask->rules[i]));
    return view;
}

bool mf_pool_choose(struct mf_pool *self, const struct mf_ask *ask, struct mf_random *random,
                    struct mf_place *ret_place, struct mf_rank *ret_rank)
{
    struct mf_view *view = view_for(self, ask);
    struct mf_rulings rulings;
    struct search search;

    if (!view)
        return false;
    mf_rulings_make(self, view, ask, &rulings);
    random = mf_pool_takes_first(self, ask->shape) ? NULL : random;
    search = (struct search){.pool = self, .view = view, .rulings = &rulings, .random = random};
    search.least = mf_rulings_least(&rulings, view);
    search_all(&search);
    mf_views_catch_up(self);
    if (!search.found)
        return false;
    *ret_place = place_at(self, ask->shape, search.node);
    if (ret_rank)
        *ret_rank = (struct mf_rank){search.level, search.bucket};
    return true;
}

bool mf_pool_any(struct mf_pool *self, uint32_t shape)
{
    struct mf_shape_row *row = &self->shapes[shape];

    mf_shape_of(self, shape);
    if (row->none_at == self->grown)
        return false;
    if (mf_view_of(self, shape)->n_fit)
        return true;
    row->none_at = self->grown;
    return false;
}
