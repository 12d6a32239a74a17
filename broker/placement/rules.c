/* rules.c - see rules.h. */
#include "rules.h"

enum { TALLY_WALK = 256 };

const struct mf_reach *mf_rulings_reach(const struct mf_view *view, uint32_t key)
{
    for (uint32_t i = 0; i < view->n_reaches; i++)
        if (view->reaches[i].key == key)
            return &view->reaches[i];
    MF_CHECK(!"the view reaches into the keys of the rules");
    return NULL;
}

uint32_t mf_rulings_domains(const struct mf_view *view, uint32_t key)
{
    return key ? mf_rulings_reach(view, key)->n_fit : view->n_fit;
}

/* ------------------------------------------------------------------ skew */

/* Of the domains that count, how many there are, and the least that one of them has if all are in the tally.
 */
struct floor {
    uint32_t domains, tallied, least;
};

static void look(struct floor *self, uint32_t count)
{
    self->least = !self->tallied || count < self->least ? count : self->least;
    self->tallied++;
}

static void floor_in_view(const struct mf_pool *pool, const struct mf_view *view,
                          const struct mf_tally *tally, struct floor *floor)
{
    const struct mf_reach *reach = tally->key ? mf_rulings_reach(view, tally->key) : NULL;

    floor->domains = reach ? reach->n_open : view->n_open;
    if (tally->n < floor->domains)
        return; /* one of them has none */
    for (uint32_t i = 0; i < tally->size; i++) {
        uint32_t domain = tally->table[i].domain, ordinal;
        if (!domain)
            continue;
        ordinal = reach ? pool->words.labels[domain].ordinal : domain - 1;
        if (reach ? ordinal < reach->n_words && reach->open[ordinal]
                  : *mf_view_slot(pool, view, ordinal) != SLOT_AWAY)
            look(floor, tally->table[i].count);
    }
}

static uint32_t numbers_end(const struct mf_pool *pool, uint32_t key)
{
    return (key ? pool->words.n_labels : pool->n_rows) + 1;
}

/* The same by looking at every node. */
static void floor_of_all(const struct mf_pool *pool, const struct mf_shape *shape,
                         const struct mf_tally *tally, struct floor *floor)
{
    uint8_t *seen = mf_pool_realloc(NULL, numbers_end(pool, tally->key), 1);

    memset(seen, 0, numbers_end(pool, tally->key));
    for (uint32_t node = 0; node < pool->n_rows; node++) {
        uint32_t domain = tally->key ? mf_pool_domain(pool, node, tally->key) : node + 1, count;
        if (!domain || seen[domain] || !pool->rows[node].held || pool->rows[node].closed ||
            mf_fit_standing(pool, shape, node))
            continue;
        seen[domain] = 1;
        floor->domains++;
        count = mf_tally_count_of(tally, domain);
        if (count)
            look(floor, count);
    }
    free(seen);
}

static uint32_t floor_of(const struct mf_pool *pool, const struct mf_view *view, const struct mf_ask *ask,
                         const struct mf_tally *tally)
{
    struct floor floor = {0};

    if (view)
        floor_in_view(pool, view, tally, &floor);
    else
        floor_of_all(pool, mf_shape_of(pool, ask->shape), tally, &floor);
    return floor.tallied < floor.domains ? 0 : floor.least;
}

/* ------------------------------------------------------------------ making ready */

static uint64_t too_many(const struct mf_pool *pool, const struct mf_view *view, const struct mf_ask *ask,
                         const struct mf_rule *rule, const struct mf_tally *tally)
{
    if (rule->kind == MF_RULE_APART)
        return 1;
    if (rule->kind == MF_RULE_SKEW)
        return (uint64_t)floor_of(pool, view, ask, tally) + rule->bound;
    return rule->bound;
}

static bool is_soft(enum mf_rule_kind kind)
{
    return kind == MF_RULE_FEW || kind == MF_RULE_MANY;
}

static const struct mf_tally *tally_of(struct mf_rulings *self, uint32_t i)
{
    const struct mf_rule *rule = &self->ask->rules[i];

    if (rule->tally)
        return rule->tally;
    self->nothing[i] = (struct mf_tally){.key = rule->key};
    return &self->nothing[i];
}

void mf_rulings_make(const struct mf_pool *self, const struct mf_view *view, const struct mf_ask *ask,
                     struct mf_rulings *ret_rulings)
{
    ret_rulings->pool = self;
    ret_rulings->ask = ask;
    ret_rulings->n_hard = ret_rulings->n_soft = 0;
    MF_CHECK(ask->n_rules <= MF_RULES_MAX && ask->n_shunned <= MF_SHUNNED_MAX);
    for (uint32_t i = 0; i < ask->n_rules; i++) {
        const struct mf_rule *rule = &ask->rules[i];
        const struct mf_tally *tally = tally_of(ret_rulings, i);
        struct mf_ruling *ruling;
        MF_CHECK(!is_soft(rule->kind) || ret_rulings->n_soft < MF_PREFERENCES_MAX);
        ruling = is_soft(rule->kind) ? &ret_rulings->soft[ret_rulings->n_soft++]
                                     : &ret_rulings->hard[ret_rulings->n_hard++];
        *ruling = (struct mf_ruling){.kind = rule->kind, .tally = tally};
        if (tally->key)
            ruling->domains = self->words.keys[tally->key].domains;
        if (is_soft(rule->kind))
            ruling->shift = LEVEL_BITS * (MF_PREFERENCES_MAX - ret_rulings->n_soft);
        else
            ruling->too_many = too_many(self, view, ask, rule, tally);
    }
}

/* Nodes of the view in a domain that fit. */
uint32_t mf_rulings_fitting(const struct mf_pool *pool, const struct mf_view *view, uint32_t key,
                            uint32_t domain)
{
    const struct mf_reach *reach;
    uint32_t ordinal;

    if (!key)
        return mf_slot_fits(*mf_view_slot(pool, view, domain - 1));
    reach = mf_rulings_reach(view, key);
    ordinal = pool->words.labels[domain].ordinal;
    return ordinal < reach->n_words ? reach->fit[ordinal] : 0;
}

/* The fewest that any domain with a node that fits has. Where the tally has fewer domains than there are, one
 * of them is not in it. Else it is counted how many of them are; but not in a large tally, where none is no
 * worse a guess. */
static uint32_t fewest(const struct mf_pool *pool, const struct mf_view *view, const struct mf_tally *tally,
                       uint32_t domains)
{
    uint32_t tallied = 0, fewest = UINT32_MAX;

    if (tally->n < domains || tally->size > TALLY_WALK)
        return 0;
    for (uint32_t i = 0; i < tally->size; i++)
        if (tally->table[i].domain && mf_rulings_fitting(pool, view, tally->key, tally->table[i].domain)) {
            tallied++;
            fewest = tally->table[i].count < fewest ? tally->table[i].count : fewest;
        }
    return tallied < domains ? 0 : fewest;
}

static uint32_t least(const struct mf_pool *pool, const struct mf_ruling *ruling, const struct mf_view *view)
{
    uint32_t domains = mf_rulings_domains(view, ruling->tally->key);

    if (!domains)
        return LEVEL_LAST;
    if (ruling->kind == MF_RULE_FEW)
        return mf_ruling_level(MF_RULE_FEW, fewest(pool, view, ruling->tally, domains));
    return mf_ruling_level(MF_RULE_MANY, ruling->tally->most);
}

uint64_t mf_rulings_least(const struct mf_rulings *self, const struct mf_view *view)
{
    uint64_t level = 0;

    for (uint32_t i = 0; i < self->n_soft; i++)
        level |= (uint64_t)least(self->pool, &self->soft[i], view) << self->soft[i].shift;
    return level;
}
