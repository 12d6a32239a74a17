/* group_rules.c - see group_rules.h. */
#include "group_rules.h"

#include <stdlib.h>

enum { PRIORITY = 50 };

/* ------------------------------------------------------------------ as they are kept */

static bool has_priority(const struct mf_rec_rules *rules)
{
    return rules->priority || mf_has(&mf_rec_rules_desc, rules, "priority");
}

uint32_t mf_rules_priority(const struct mf_rec_rules *rules)
{
    return has_priority(rules) ? (uint32_t)rules->priority : PRIORITY;
}

static struct mf_rec_group_name *own_names(const struct mf_rec_group_name *names, uint32_t n)
{
    struct mf_rec_group_name *copy = n ? mf_calloc(n * sizeof(*copy)) : NULL;

    for (uint32_t i = 0; i < n; i++)
        copy[i].group = mf_own_str(names[i].group);
    return copy;
}

static void free_names(struct mf_rec_group_name *names, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        mf_free_str(&names[i].group);
    free(names);
}

/* Said or not said, what means the same is kept the same; of the numbers only priority has a zero of its own.
 */
struct mf_rec_rules mf_own_rules(const struct mf_rec_rules *rules)
{
    struct mf_rec_rules copy = *rules;

    if (mf_rules_priority(rules) == PRIORITY)
        copy.priority = 0;
    if (mf_rules_priority(rules) != 0)
        copy.has = 0;
    copy.prefer = mf_own_labels(rules->prefer);
    copy.forbid = mf_own_labels(rules->forbid);
    copy.spread_by = mf_own_str(rules->spread_by);
    copy.pack_by = mf_own_str(rules->pack_by);
    copy.apart_by = mf_own_str(rules->apart_by);
    copy.with_by = mf_own_str(rules->with_by);
    copy.headroom = mf_own_str(rules->headroom);
    copy.apart.items = own_names(rules->apart.items, rules->apart.n);
    copy.with.items = own_names(rules->with.items, rules->with.n);
    return copy;
}

void mf_free_rules(struct mf_rec_rules *rules)
{
    mf_free_labels(&rules->prefer);
    mf_free_labels(&rules->forbid);
    mf_free_str(&rules->spread_by);
    mf_free_str(&rules->pack_by);
    mf_free_str(&rules->apart_by);
    mf_free_str(&rules->with_by);
    mf_free_str(&rules->headroom);
    free_names(rules->apart.items, rules->apart.n);
    free_names(rules->with.items, rules->with.n);
    *rules = (struct mf_rec_rules){0};
}

/* ------------------------------------------------------------------ are they the same */

bool mf_rules_name(const struct mf_rec_rules *rules, bool apart, struct mf_str group)
{
    const struct mf_rec_group_name *names = apart ? rules->apart.items : rules->with.items;
    uint32_t n = apart ? rules->apart.n : rules->with.n;

    for (uint32_t i = 0; i < n; i++)
        if (mf_str_eq(names[i].group, group))
            return true;
    return false;
}

static bool names_in(const struct mf_rec_rules *a, const struct mf_rec_rules *c)
{
    for (uint32_t i = 0; i < a->apart.n; i++)
        if (!mf_rules_name(c, true, a->apart.items[i].group))
            return false;
    for (uint32_t i = 0; i < a->with.n; i++)
        if (!mf_rules_name(c, false, a->with.items[i].group))
            return false;
    return true;
}

bool mf_rules_eq(const struct mf_rec_rules *a, const struct mf_rec_rules *c)
{
    return mf_labels_eq(a->prefer, c->prefer) && mf_labels_eq(a->forbid, c->forbid) &&
           mf_str_eq(a->spread_by, c->spread_by) && mf_str_eq(a->pack_by, c->pack_by) &&
           mf_str_eq(a->apart_by, c->apart_by) && mf_str_eq(a->with_by, c->with_by) &&
           mf_str_eq(a->headroom, c->headroom) && a->max_skew == c->max_skew && a->node_max == c->node_max &&
           mf_rules_priority(a) == mf_rules_priority(c) && names_in(a, c) && names_in(c, a);
}

/* ------------------------------------------------------------------ can they be meant */

/* The first name of a label that can be none; NULL if all can. */
static const char *bad_key(const struct mf_rec_rules *r, struct mf_str *ret_key)
{
    const struct {
        const char *field;
        struct mf_str key;
    } keys[] = {{"spread_by", r->spread_by},
                {"pack_by", r->pack_by},
                {"apart_by", r->apart_by},
                {"with_by", r->with_by},
                {"headroom", r->headroom}};

    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
        if (keys[i].key.len && !mf_name_valid(keys[i].key)) {
            *ret_key = keys[i].key;
            return keys[i].field;
        }
    return NULL;
}

static const struct mf_label *in_both(const struct mf_labels *a, const struct mf_labels *c)
{
    for (uint32_t i = 0; i < a->n; i++)
        for (uint32_t j = 0; j < c->n; j++)
            if (mf_str_eq(a->items[i].key, c->items[j].key) &&
                mf_str_eq(a->items[i].value, c->items[j].value))
                return &a->items[i];
    return NULL;
}

static const struct mf_str *named_in_both(const struct mf_rec_rules *r)
{
    for (uint32_t i = 0; i < r->apart.n; i++)
        if (mf_rules_name(r, false, r->apart.items[i].group))
            return &r->apart.items[i].group;
    return NULL;
}

static bool same_domain(struct mf_str a, struct mf_str c)
{
    return mf_str_eq(a, c) || (mf_rules_by_host(a) && mf_rules_by_host(c));
}

/* What is said twice in ways that exclude each other. */
static bool contradicts(const struct mf_rec_rules *r, const struct mf_labels *require, char text[256])
{
    const struct mf_label *never = in_both(require, &r->forbid), *both = in_both(&r->prefer, &r->forbid);
    const struct mf_str *twice = same_domain(r->apart_by, r->with_by) ? named_in_both(r) : NULL;

    if (never)
        mf_str_format(text, 256,
                      "rules.forbid: %.*s=%.*s is required, too; no node can be both; leave one of "
                      "them out",
                      MF_STR_ARG(never->key), MF_STR_ARG(never->value));
    else if (both)
        mf_str_format(text, 256, "rules.forbid: %.*s=%.*s is preferred, too; leave one of them out",
                      MF_STR_ARG(both->key), MF_STR_ARG(both->value));
    else if (r->spread_by.len && r->pack_by.len)
        mf_str_format(text, 256, "rules.pack_by: not with spread_by; say one of them");
    else if (twice)
        mf_str_format(text, 256, "rules.with: %.*s is in apart, too, of the same domain; leave it out of one",
                      MF_STR_ARG(*twice));
    else
        return false;
    return true;
}

bool mf_rules_bad(const struct mf_rec_rules *r, const struct mf_labels *require, struct mf_str group,
                  enum mf_spread spread, char text[256])
{
    struct mf_str key;
    const char *field = bad_key(r, &key);

    if (field)
        mf_str_format(text, 256,
                      "rules.%s: \"%.*s\" can be no label's name; those are made of a-z, 0-9 and -", field,
                      MF_STR_ARG(key));
    else if (r->max_skew && !r->spread_by.len && spread != MF_SPREAD_HOST)
        mf_str_format(text, 256, "rules.max_skew: of what? say spread_by, or spread host");
    else if (mf_rules_name(r, true, group) || mf_rules_name(r, false, group))
        mf_str_format(text, 256, "rules.%s: names the group itself; node_max and spread_by are for that",
                      mf_rules_name(r, true, group) ? "apart" : "with");
    else if (r->apart_by.len && !r->apart.n)
        mf_str_format(text, 256,
                      "rules.apart_by: without apart it says nothing; name the groups, or leave it out");
    else if (r->with_by.len && !r->with.n)
        mf_str_format(text, 256,
                      "rules.with_by: without with it says nothing; name the groups, or leave it out");
    else
        return contradicts(r, require, text);
    return true;
}

static bool among(const struct mf_str *keys, uint32_t n, struct mf_str key)
{
    for (uint32_t i = 0; i < n; i++)
        if (same_domain(keys[i], key))
            return true;
    return false;
}

/* Do these groups name as many domains as may be named, and none of them is this? */
static bool no_more(const struct mf_vec *groups, bool apart, struct mf_str by)
{
    struct mf_str keys[MF_RULE_DOMAINS_MAX];
    uint32_t n = 0;

    for (size_t i = 0; i < groups->n; i++) {
        const struct mf_rec_rules *rules = &((const struct mf_group *)groups->items[i])->rules;
        struct mf_str key = apart ? rules->apart_by : rules->with_by;
        if (n < MF_RULE_DOMAINS_MAX && !among(keys, n, key))
            keys[n++] = key;
    }
    return n == MF_RULE_DOMAINS_MAX && !among(keys, n, by);
}

bool mf_rules_domains_full(const struct mf_broker *b, const struct mf_rec_rules *rules, char text[256])
{
    bool apart = rules->apart.n && no_more(&b->aloof, true, rules->apart_by);

    if (!apart && (!rules->with.n || !no_more(&b->clinging, false, rules->with_by)))
        return false;
    mf_str_format(text, 256,
                  "rules.%s_by: groups are kept %s by %d labels already, and by no more; use one of those",
                  apart ? "apart" : "with", apart ? "apart" : "together", MF_RULE_DOMAINS_MAX);
    return true;
}

/* ------------------------------------------------------------------ what to mind */

static bool node_has_key(const struct mf_node *node, struct mf_str key)
{
    for (uint32_t i = 0; i < node->labels.n; i++)
        if (mf_str_eq(node->labels.items[i].key, key))
            return true;
    return false;
}

static bool unknown_key(const struct mf_broker *b, struct mf_str key)
{
    for (size_t i = 0; i < b->nodes.n && !mf_rules_by_host(key); i++)
        if (node_has_key(b->nodes.items[i], key))
            return false;
    return b->nodes.n && !mf_rules_by_host(key);
}

static struct mf_str unknown_label(const struct mf_broker *b, const struct mf_rec_rules *r)
{
    const struct mf_str keys[] = {r->spread_by, r->pack_by, r->apart_by, r->with_by, r->headroom};

    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
        if (unknown_key(b, keys[i]))
            return keys[i];
    for (uint32_t i = 0; i < r->prefer.n; i++)
        if (unknown_key(b, r->prefer.items[i].key))
            return r->prefer.items[i].key;
    for (uint32_t i = 0; i < r->forbid.n; i++)
        if (unknown_key(b, r->forbid.items[i].key))
            return r->forbid.items[i].key;
    return (struct mf_str){NULL, 0};
}

static struct mf_str unknown_partner(const struct mf_broker *b, const struct mf_rec_rules *r)
{
    for (uint32_t i = 0; i < r->with.n; i++)
        if (!mf_group_active(b, r->with.items[i].group))
            return r->with.items[i].group;
    return (struct mf_str){NULL, 0};
}

struct mf_str mf_rules_mind(const struct mf_broker *b, const struct mf_rec_rules *r, uint64_t count,
                            char text[256])
{
    struct mf_str label = unknown_label(b, r), partner = unknown_partner(b, r);

    if (label.len)
        return mf_str_format(text, 256, "no node that is known now has a label %.*s", MF_STR_ARG(label));
    if (partner.len)
        return mf_str_format(text, 256,
                             "it is to be with group %.*s, which is not there: it waits for that one",
                             MF_STR_ARG(partner));
    if (r->node_max && b->nodes.n && count > r->node_max * b->nodes.n)
        return mf_str_format(
            text, 256, "node_max %llu on %zu nodes is room for %llu, and %llu are wanted: the others wait",
            (unsigned long long)r->node_max, b->nodes.n, (unsigned long long)(r->node_max * b->nodes.n),
            (unsigned long long)count);
    return (struct mf_str){NULL, 0};
}
