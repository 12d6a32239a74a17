/* explain.c - see explain.h. What does not exist is asked about in the same words as what does; only labels
 * and groups that are not there are refused, for nothing could be learnt of them but that. */
#include "explain.h"
#include "admission.h"
#include "group_rules.h"
#include "kin.h"
#include "out.h"
#include "place.h"
#include "protection.h"
#include "requests.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 20, REFUSALS_MAX = 64 };

/* ------------------------------------------------------------------ of what */

struct asked { /* on its way through */
    struct mf_broker *b;
    uint64_t peer;
    const struct mf_msg_explain *q;
    const struct mf_slot *slot; /* of the target; NULL: of none, or of any of a group */
    enum mf_fit fit;
    uint32_t shape; /* made for the answer; 0: the group's own */
    struct mf_place_ask ask;
};

__attribute__((format(printf, 3, 4))) static bool refuse(const struct asked *a, enum mf_errcode code,
                                                         const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    mf_send_error(a->b, a->peer, a->q->request_id, code, text);
    return false;
}

static const char *says_more(const struct mf_msg_explain *q)
{
    const struct mf_rec_rules none = {0};

    if (q->offering.len || q->image.len || q->policy || q->spread || q->fit || q->require.n)
        return "offering, image, policy, spread, fit and require";
    return memcmp(&q->rules, &none, sizeof(none)) ? "rules" : NULL;
}

static bool ask_of_target(struct asked *a)
{
    struct mf_group *group;
    const struct mf_instance *inst = mf_target_find(a->b, a->q->target, &group);
    const char *more = says_more(a->q);

    if (more)
        return refuse(a, MF_E_INVALID,
                      "explain: a target is asked about as it is; leave it out, or leave out %s", more);
    if (inst) {
        group = mf_group_of(inst);
        a->slot = inst->slot;
    }
    if (!group)
        return refuse(a, MF_E_UNKNOWN,
                      "there is no group or instance %.*s; say GROUP, GROUP/SLOT or an instance's id",
                      MF_STR_ARG(a->q->target));
    a->fit = group->fit;
    mf_place_ask(a->b, group, &a->ask);
    return true;
}

static bool has(const struct mf_node *node, struct mf_str key, const struct mf_str *value)
{
    for (uint32_t i = 0; i < node->labels.n; i++)
        if (mf_str_eq(node->labels.items[i].key, key) &&
            (!value || mf_str_eq(node->labels.items[i].value, *value)))
            return true;
    return false;
}

static bool any_has(const struct asked *a, struct mf_str key, const struct mf_str *value)
{
    for (size_t i = 0; i < a->b->nodes.n; i++)
        if (has(a->b->nodes.items[i], key, value))
            return true;
    return false;
}

static bool check_labels(const struct asked *a, const struct mf_labels *labels)
{
    for (uint32_t i = 0; i < labels->n; i++)
        if (!any_has(a, labels->items[i].key, &labels->items[i].value))
            return refuse(a, MF_E_UNKNOWN,
                          "no node has the label %.*s=%.*s; `mayfly nodes` shows what they have",
                          MF_STR_ARG(labels->items[i].key), MF_STR_ARG(labels->items[i].value));
    return true;
}

static bool check_groups(const struct asked *a, const struct mf_rec_group_name *names, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (!mf_group_active(a->b, names[i].group))
            return refuse(a, MF_E_UNKNOWN, "there is no group %.*s; `mayfly groups` shows what there is",
                          MF_STR_ARG(names[i].group));
    return true;
}

/* A domain that no node is in is most likely one that was mistyped; and placement never forgets a word. */
static bool check_rules(const struct asked *a)
{
    const struct mf_rec_rules *r = &a->q->rules;
    const struct mf_str keys[] = {r->spread_by, r->pack_by, r->apart_by, r->with_by};
    char text[256];

    if (mf_rules_bad(r, &a->q->require, (struct mf_str){NULL, 0}, a->q->spread, text))
        return refuse(a, MF_E_INVALID, "explain.rules: %s", text);
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
        if (!mf_rules_by_host(keys[i]) && !any_has(a, keys[i], NULL))
            return refuse(a, MF_E_UNKNOWN, "no node has a label %.*s; `mayfly nodes` shows what they have",
                          MF_STR_ARG(keys[i]));
    return check_labels(a, &a->q->require) && check_labels(a, &r->prefer) && check_labels(a, &r->forbid) &&
           check_groups(a, r->apart.items, r->apart.n) && check_groups(a, r->with.items, r->with.n);
}

static bool ask_of_wish(struct asked *a)
{
    const struct mf_msg_explain *q = a->q;
    const struct mf_image *image = q->image.len ? mf_image_find(a->b, q->image) : NULL;
    const struct mf_offering *offering = mf_offering_find(a->b, q->offering);

    if (!q->offering.len)
        return refuse(a, MF_E_INVALID, "explain: say a target or an offering");
    if (!offering)
        return refuse(a, MF_E_UNKNOWN,
                      "there is no offering %.*s; `mayfly offering list` shows what there is",
                      MF_STR_ARG(q->offering));
    if (q->image.len && !image)
        return refuse(a, MF_E_UNKNOWN, "there is no image %.*s; `mayfly image list` shows what there is",
                      MF_STR_ARG(q->image));
    if (!check_rules(a))
        return false;
    a->fit = q->fit;
    a->shape = mf_kin_shape(a->b, &(struct mf_alike){.offering = offering,
                                                     .image = image,
                                                     .require = &q->require,
                                                     .rules = &q->rules,
                                                     .policy = q->policy,
                                                     .fit = q->fit});
    mf_place_ask_rules(a->b, &q->rules, &a->ask);
    a->ask.ask.shape = a->shape;
    return true;
}

/* ------------------------------------------------------------------ what is thought */

struct candidate {
    const struct mf_node *node;
    const struct mf_opinion *opinion;
};

static int by_rank(const void *left, const void *right)
{
    const struct candidate *a = left, *c = right;
    const struct mf_rank *x = &a->opinion->rank, *y = &c->opinion->rank;

    if (a->opinion->refusal != c->opinion->refusal)
        return a->opinion->refusal < c->opinion->refusal ? -1 : 1;
    if (!a->opinion->refusal && x->level != y->level)
        return x->level < y->level ? -1 : 1;
    if (!a->opinion->refusal && x->bucket != y->bucket)
        return x->bucket > y->bucket ? -1 : 1;
    return mf_str_cmp(a->node->name, c->node->name);
}

static struct candidate *rank_all(const struct mf_broker *b, const struct mf_opinion *opinions)
{
    struct candidate *all = mf_calloc((b->nodes.n + 1) * sizeof(*all));

    for (size_t i = 0; i < b->nodes.n; i++) {
        const struct mf_node *node = b->nodes.items[i];
        all[i] = (struct candidate){.node = node, .opinion = &opinions[node->number]};
    }
    qsort(all, b->nodes.n, sizeof(*all), by_rank);
    return all;
}

static bool shunned(const struct mf_ask *ask, const struct mf_node *node)
{
    for (uint32_t i = 0; i < ask->n_shunned; i++)
        if (ask->shunned[i] == node->number)
            return true;
    return false;
}

/* All but one: a score of 0 is one, no refusal is none. */
static uint64_t all_but(const struct mf_desc *desc, const char *name)
{
    uint64_t has = UINT64_MAX;

    for (unsigned i = 0; i < desc->n_fields; i++)
        if (strcmp(desc->fields[i].name, name) == 0)
            has &= ~(UINT64_C(1) << i);
    return has;
}

static struct mf_rec_candidate_row candidate_row(const struct mf_ask *ask, const struct candidate *c,
                                                 uint64_t level)
{
    const struct mf_opinion *o = c->opinion;
    struct mf_rec_candidate_row row = {.node = c->node->name};

    if (o->refusal) {
        row.refusal = mf_str(mf_place_word(o->refusal, c->node->closed));
        return row;
    }
    row.has = all_but(&mf_rec_candidate_row_desc, "refusal");
    row.score = o->score;
    row.level = level;
    row.preferred = o->preferred;
    row.warm = o->warm != 0;
    row.shunned = shunned(ask, c->node);
    row.cells = o->place.cells;
    return row;
}

/* Levels as they follow one another: the best is 0. Their own numbers say nothing to anybody else. */
static uint32_t fill_rows(const struct mf_ask *ask, const struct candidate *all, size_t n,
                          struct mf_rec_candidate_row *rows)
{
    uint64_t level = 0;

    for (size_t i = 0; i < n; i++) {
        if (i && all[i].opinion->rank.level != all[i - 1].opinion->rank.level)
            level++;
        rows[i] = candidate_row(ask, &all[i], level);
    }
    return (uint32_t)n;
}

static void count_refusal(struct mf_msg_explained *e, const char *word)
{
    for (uint32_t i = 0; i < e->refusals.n; i++)
        if (mf_str_is(e->refusals.items[i].refusal, word)) {
            e->refusals.items[i].nodes++;
            return;
        }
    e->refusals.items[e->refusals.n++] = (struct mf_rec_refusal_row){.refusal = mf_str(word), .nodes = 1};
}

static int by_count(const void *left, const void *right)
{
    const struct mf_rec_refusal_row *a = left, *c = right;

    return a->nodes != c->nodes ? (a->nodes > c->nodes ? -1 : 1) : mf_str_cmp(a->refusal, c->refusal);
}

static void count(struct mf_broker *b, const struct candidate *all, struct mf_msg_explained *e)
{
    e->refusals.items = mf_arena_alloc(&b->arena, REFUSALS_MAX * sizeof(*e->refusals.items));
    for (size_t i = 0; i < b->nodes.n; i++)
        if (all[i].opinion->refusal)
            count_refusal(e, mf_place_word(all[i].opinion->refusal, all[i].node->closed));
        else
            e->candidates++;
    qsort(e->refusals.items, e->refusals.n, sizeof(*e->refusals.items), by_count);
}

/* ------------------------------------------------------------------ the answers */

/* What keeps it from a node that could take it. */
static struct mf_str waits(const struct asked *a, uint64_t candidates, char text[256])
{
    const struct mf_instance *current = a->slot ? a->slot->current : NULL;

    if (!candidates || !current || current->state != MF_INSTANCE_STATE_PENDING)
        return (struct mf_str){NULL, 0};
    return mf_place_reason(a->b, a->slot, text);
}

static struct mf_str fit_of(const struct asked *a)
{
    return mf_str(a->fit ? mf_fit_word(a->fit) : mf_place_policy_word(a->b->config.placement.name));
}

static void answer(struct asked *a)
{
    struct mf_broker *b = a->b;
    struct mf_opinion *opinions = mf_calloc((mf_pool_end(b->pool) + 1) * sizeof(*opinions));
    struct mf_message message = {
        .kind = MF_MSG_EXPLAINED,
        .explained = {.request_id = a->q->request_id, .seq = b->seq, .nodes = b->nodes.n, .fit = fit_of(a)}};
    struct mf_msg_explained *e = &message.explained;
    size_t n = a->q->rows ? a->q->rows : ROWS;
    struct candidate *all;
    char text[256];

    mf_pool_explain_all(b->pool, &a->ask.ask, opinions);
    all = rank_all(b, opinions);
    n = n < b->nodes.n ? n : b->nodes.n;
    e->rows.items = mf_arena_alloc(&b->arena, (n + 1) * sizeof(*e->rows.items));
    e->rows.n = fill_rows(&a->ask.ask, all, n, e->rows.items);
    count(b, all, e);
    e->reason = waits(a, e->candidates, text);
    mf_send(b, a->peer, &message);
    free(all);
    free(opinions);
}

void mf_explain(struct mf_broker *b, uint64_t peer, const struct mf_msg_explain *q)
{
    struct asked a = {.b = b, .peer = peer, .q = q};

    if (q->target.len ? ask_of_target(&a) : ask_of_wish(&a))
        answer(&a);
    if (!a.shape)
        return;
    mf_pool_shape_drop(b->pool, a.shape);
    mf_kin_let_go(b, &q->rules);
}

/* ------------------------------------------------------------------ how many more */

static struct mf_rec_capacity_row capacity_row(struct mf_broker *b, const struct mf_offering *offering)
{
    const struct mf_labels none = {0};
    const struct mf_rec_rules no_rules = {0};
    struct mf_rec_capacity_row row = {.offering = offering->rec.name};
    uint32_t shape = mf_kin_shape(b, &(struct mf_alike){.offering = offering,
                                                        .require = &none,
                                                        .rules = &no_rules,
                                                        .policy = MF_POLICY_AT_LEAST,
                                                        .reserve = true});

    row.fit = mf_pool_room(b->pool, shape, UINT64_MAX);
    for (size_t i = 0; row.fit && i < b->nodes.n; i++)
        row.nodes += mf_pool_room_at(b->pool, shape, ((const struct mf_node *)b->nodes.items[i])->number) > 0;
    mf_pool_shape_drop(b->pool, shape);
    if (b->headroom.len) {
        row.fit_headroom = mf_admission_room(b, offering);
        row.has = UINT64_MAX; /* also when it is none */
    }
    return row;
}

void mf_explain_capacity(struct mf_broker *b, uint64_t peer, struct mf_str request_id)
{
    struct mf_rec_capacity_row *rows = mf_arena_alloc(&b->arena, (b->offerings.n + 1) * sizeof(*rows));
    struct mf_message message = {.kind = MF_MSG_CAPACITIES,
                                 .capacities = {.request_id = request_id,
                                                .seq = b->seq,
                                                .headroom = b->headroom,
                                                .unprotected = mf_protection_lacking(b)}};

    for (size_t i = 0; i < b->offerings.n; i++)
        rows[i] = capacity_row(b, b->offerings.items[i]);
    message.capacities.rows.items = rows;
    message.capacities.rows.n = (uint32_t)b->offerings.n;
    mf_send(b, peer, &message);
}
