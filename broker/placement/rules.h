/* rules.h - an ask's rules, made ready to be looked at for one node after another. */
#ifndef MF_RULES_H
#define MF_RULES_H

#include "tally.h"
#include "view.h"

enum {
    LEVEL_BITS = 15,                    /* of a level's number for each preference */
    LEVEL_LAST = (1 << LEVEL_BITS) - 1, /* in no domain */
    LEVEL_SHUNNED_BIT = LEVEL_BITS * MF_PREFERENCES_MAX
};
_Static_assert(LEVEL_SHUNNED_BIT < 64, "a level is 64 bits");

struct mf_ruling {
    enum mf_rule_kind kind;
    const struct mf_tally *tally;
    const uint32_t *domains; /* by node; NULL: ask the pool */
    uint32_t shift;          /* of its part in the level */
    uint64_t too_many;       /* SKEW, MOST, APART: refused from so many on */
};
struct mf_rulings {
    const struct mf_pool *pool;
    const struct mf_ask *ask;
    struct mf_ruling hard[MF_RULES_MAX], soft[MF_PREFERENCES_MAX];
    struct mf_tally nothing[MF_RULES_MAX]; /* for rules without a tally */
    uint32_t n_hard, n_soft;
};

static inline uint32_t mf_rule_key(const struct mf_rule *rule)
{
    return rule->tally ? rule->tally->key : rule->key;
}

/* view: the ask's shape's, that reaches into every key of the rules; NULL: every node is looked at instead.
 */
void mf_rulings_make(const struct mf_pool *self, const struct mf_view *view, const struct mf_ask *ask,
                     struct mf_rulings *ret_rulings);
/* No node of the view can have a lower level. */
uint64_t mf_rulings_least(const struct mf_rulings *self, const struct mf_view *view);
/* How many domains of the tally's key the view has with a node that fits. */
uint32_t mf_rulings_domains(const struct mf_view *view, uint32_t key);
uint32_t mf_rulings_fitting(const struct mf_pool *pool, const struct mf_view *view, uint32_t key,
                            uint32_t domain);
const struct mf_reach *mf_rulings_reach(const struct mf_view *view, uint32_t key);

static inline uint32_t mf_ruling_domain(const struct mf_rulings *self, const struct mf_ruling *ruling,
                                        uint32_t node)
{
    if (ruling->domains)
        return ruling->domains[node];
    return ruling->tally->key ? mf_pool_domain(self->pool, node, ruling->tally->key) : node + 1;
}

static inline uint32_t mf_ruling_level(enum mf_rule_kind kind, uint32_t count)
{
    count = count < LEVEL_LAST - 1 ? count : LEVEL_LAST - 1;
    return kind == MF_RULE_FEW ? count : LEVEL_LAST - 1 - count;
}

static inline uint64_t mf_rulings_level(const struct mf_rulings *self, uint32_t node)
{
    uint64_t level = 0;

    for (uint32_t i = 0; i < self->n_soft; i++) {
        const struct mf_ruling *ruling = &self->soft[i];
        uint32_t domain = mf_ruling_domain(self, ruling, node);
        uint64_t part =
            domain ? mf_ruling_level(ruling->kind, mf_tally_count_of(ruling->tally, domain)) : LEVEL_LAST;
        level |= part << ruling->shift;
    }
    for (uint32_t i = 0; i < self->ask->n_shunned; i++)
        if (self->ask->shunned[i] == node)
            return level | UINT64_C(1) << LEVEL_SHUNNED_BIT;
    return level;
}

static inline bool mf_ruling_refuses(const struct mf_rulings *self, const struct mf_ruling *ruling,
                                     uint32_t node)
{
    uint32_t domain = mf_ruling_domain(self, ruling, node), count;

    if (!domain)
        return ruling->kind == MF_RULE_SKEW || ruling->kind == MF_RULE_WITH;
    count = mf_tally_count_of(ruling->tally, domain);
    return ruling->kind == MF_RULE_WITH ? count == 0 : count >= ruling->too_many;
}

static inline bool mf_rulings_refuse(const struct mf_rulings *self, uint32_t node)
{
    for (uint32_t i = 0; i < self->n_hard; i++)
        if (mf_ruling_refuses(self, &self->hard[i], node))
            return true;
    return false;
}

#endif
