/* placement_world.c - see placement_world.h. */
#include "placement_world.h"
#include "check.h"

#include <stdio.h>
#include <string.h>

uint32_t below(struct world *w, uint32_t n)
{
    return (uint32_t)mf_random_below(&w->random, n);
}

bool chance(struct world *w, uint32_t percent)
{
    return below(w, 100) < percent;
}

static struct mf_str word(char text[32], const char *stem, uint32_t n)
{
    snprintf(text, 32, "%s%u", stem, n);
    return mf_str(text);
}

/* ------------------------------------------------------------------ nodes */

static void draw_cells(struct world *w, struct model_node *node)
{
    static const uint32_t counts[] = {0, 0, 1, 2, 2, 2, 4, 8};

    node->n_cells = counts[below(w, 8)];
    for (uint32_t c = 0; c < node->n_cells; c++)
        for (int i = 0; i < MF_CELL_DIMENSIONS; i++) {
            node->cells[c].of[i] = node->capacity.of[i] / node->n_cells;
            if (chance(w, 5))
                node->cells[c].of[i] =
                    (uint32_t)mf_random_below(&w->random, (uint64_t)node->capacity.of[i] + 1);
        }
}

static void draw_node(struct world *w, struct model_node *node)
{
    uint32_t scale = w->tight ? 1 : 4;

    node->capacity = (struct mf_amounts){{4 * scale * (1 + below(w, 4)), 4096 * scale * (1 + below(w, 4)),
                                          chance(w, 50) ? 0 : 2048 * scale, 20000 * scale * (1 + below(w, 3)),
                                          chance(w, 50) ? 0 : 4000, chance(w, 50) ? 0 : 100000,
                                          chance(w, 50) ? 0 : 100000}};
    if (chance(w, 2))
        node->capacity.of[below(w, MF_DIMENSIONS)] = chance(w, 50) ? 0 : UINT32_MAX;
    draw_cells(w, node);
    node->class = w->classes[below(w, w->n_classes)];
    node->fences = chance(w, 70);
    node->shares = chance(w, 40);
    node->instances_max = chance(w, 20) ? below(w, 6) : 1000;
    node->penalty = chance(w, 20) ? (uint8_t)below(w, 256) : 0;
    node->closed = chance(w, 15) ? (uint8_t)(1 + below(w, 5)) : 0;
    for (uint32_t k = 0; k < w->n_keys; k++)
        node->labels[k] = chance(w, 8) ? 0 : w->label_words[k][below(w, k ? 3 : w->n_labels)];
}

static struct mf_pool_node told(const struct model_node *node, uint32_t labels[KEYS])
{
    uint32_t n = 0;

    for (uint32_t k = 0; k < KEYS; k++)
        if (node->labels[k])
            labels[n++] = node->labels[k];
    return (struct mf_pool_node){.capacity = node->capacity,
                                 .cells = node->cells,
                                 .n_cells = node->n_cells,
                                 .class = node->class,
                                 .labels = labels,
                                 .n_labels = n,
                                 .instances_max = node->instances_max,
                                 .fences = node->fences,
                                 .shares = node->shares,
                                 .penalty = node->penalty,
                                 .closed = node->closed};
}

static void add_node(struct world *w)
{
    struct model_node drawn = {.held = true};
    uint32_t labels[KEYS], number;
    struct mf_pool_node node;

    if (w->n_held == w->n_nodes)
        return;
    draw_node(w, &drawn);
    node = told(&drawn, labels);
    number = mf_pool_add(w->pool, &node);
    MF_CHECK(number < NODES && !w->nodes[number].held);
    w->nodes[number] = drawn;
    w->n_end = number + 1 > w->n_end ? number + 1 : w->n_end;
    w->n_held++;
}

static void tally(struct world *w, const struct life *life, bool more)
{
    for (uint32_t k = 0; k <= KEYS; k++)
        mf_tally_count(w->tallies[life->group][k], w->pool, life->place.node, more);
}

static void tally_all_on(struct world *w, uint32_t node, bool more)
{
    for (uint32_t i = 0; i < w->n_lives; i++)
        if (w->lives[i].place.node == node)
            tally(w, &w->lives[i], more);
}

static uint32_t any_node(struct world *w)
{
    uint32_t node;

    do
        node = below(w, w->n_end);
    while (!w->nodes[node].held);
    return node;
}

static void update_node(struct world *w)
{
    uint32_t number = any_node(w), labels[KEYS];
    struct model_node *node = &w->nodes[number], old = *node;
    struct mf_pool_node now;

    draw_node(w, node);
    if (chance(w, 60)) {
        memcpy(node->labels, old.labels, sizeof(node->labels));
        node->class = old.class;
        node->fences = old.fences;
        node->shares = old.shares;
    }
    node->n_cells = old.n_cells; /* what is kept free is by cell */
    memcpy(node->cells, old.cells, sizeof(node->cells));
    tally_all_on(w, number, false);
    now = told(node, labels);
    mf_pool_update(w->pool, number, &now);
    tally_all_on(w, number, true);
}

static void remove_node(struct world *w)
{
    uint32_t node = any_node(w);

    if (w->n_held < 2)
        return;
    tally_all_on(w, node, false);
    for (uint32_t i = 0; i < w->n_lives;)
        if (w->lives[i].place.node == node)
            w->lives[i] = w->lives[--w->n_lives];
        else
            i++;
    mf_pool_remove(w->pool, node);
    w->nodes[node] = (struct model_node){0};
    w->n_held--;
}

/* ------------------------------------------------------------------ shapes */

static void draw_words(struct world *w, uint32_t words[MF_SHAPE_WORDS_MAX], uint32_t percent)
{
    uint32_t n = 0;

    for (uint32_t k = 0; k < w->n_keys; k++)
        if (!w->crowded && chance(w, percent))
            words[n++] = w->label_words[k][below(w, k ? 3 : w->n_labels)];
}

static void draw_shape(struct world *w, struct mf_shape *shape)
{
    static const uint32_t splits[] = {0, 0, 0, 1024, 4096};
    uint32_t size = 1u << below(w, 4);

    memset(shape, 0, sizeof(*shape));
    shape->wants = (struct mf_amounts){{size, 512 * size, 0, 1000 * size}};
    if (chance(w, 20))
        shape->wants.of[MF_HUGEPAGES_MIB] = 512 * size;
    for (int i = MF_FIRST_RATE; i < MF_DIMENSIONS; i++)
        shape->wants.of[i] = chance(w, 70) ? 0 : 300 * size;
    if (chance(w, 2))
        shape->wants.of[below(w, MF_DIMENSIONS)] = UINT32_MAX;
    shape->class = w->classes[below(w, w->n_classes)];
    draw_words(w, shape->require, 6);
    draw_words(w, shape->forbid, 6);
    draw_words(w, shape->prefer, 15);
    shape->image = below(w, IMAGES + 1);
    shape->split_above_mib = splits[below(w, 5)];
    shape->policy = chance(w, 50) ? (uint8_t)below(w, MF_POLICY_NAMES) : 0;
    shape->fences = chance(w, 20);
    shape->pinned = chance(w, 20);
    shape->reserve = chance(w, 30);
}

/* ------------------------------------------------------------------ the world */

void world_new(struct world *w, uint64_t seed, uint32_t n_nodes, uint32_t n_shapes, bool crowded)
{
    struct mf_place_policy policy = {0};
    char text[32];

    *w = (struct world){.n_nodes = n_nodes, .n_shapes = n_shapes, .crowded = crowded};
    mf_random_seed(&w->random, seed);
    policy.name = 1 + below(w, MF_POLICY_NAMES - 1);
    w->pool = mf_pool_new(&policy);
    w->tight = chance(w, 60);
    w->n_classes = crowded ? 1 : 1 + below(w, 3);
    w->n_keys = crowded ? KEYS : below(w, KEYS + 1);
    w->n_labels = 1 + below(w, LABELS_PER_KEY);
    w->n_groups = 1 + below(w, GROUPS_MAX);
    for (uint32_t i = 0; i < w->n_classes; i++)
        w->classes[i] = mf_pool_class(w->pool, word(text, "class", i));
    for (uint32_t k = 0; k < KEYS; k++) {
        struct mf_str key = word(text, "key", k);
        char value[32];
        w->keys[k] = mf_pool_key(w->pool, key);
        for (uint32_t i = 0; i < LABELS_PER_KEY; i++)
            w->label_words[k][i] = mf_pool_label(w->pool, key, word(value, "v", i));
    }
    for (uint32_t i = 0; i < n_shapes; i++) {
        draw_shape(w, &w->shapes[i]);
        w->shape_numbers[i] = mf_pool_shape(w->pool, &w->shapes[i]);
    }
    for (uint32_t g = 0; g < GROUPS_MAX; g++)
        for (uint32_t k = 0; k <= KEYS; k++)
            w->tallies[g][k] = mf_tally_new(k < KEYS ? w->keys[k] : 0);
    do
        add_node(w);
    while (w->n_held < n_nodes && !chance(w, 1));
}

void world_free(struct world *w)
{
    for (uint32_t g = 0; g < GROUPS_MAX; g++)
        for (uint32_t k = 0; k <= KEYS; k++)
            mf_tally_destroy(&w->tallies[g][k]);
    for (uint32_t i = 0; i < w->n_shapes; i++)
        mf_pool_shape_drop(w->pool, w->shape_numbers[i]);
    mf_pool_destroy(&w->pool);
}

static uint32_t share(uint32_t amount, uint32_t n)
{
    return (uint32_t)(((uint64_t)amount + n - 1) / n);
}

static void book(struct world *w, const struct life *life, int sign)
{
    struct model_node *node = &w->nodes[life->place.node];
    uint32_t shares = (uint32_t)__builtin_popcount(life->place.cells);

    node->n_instances += (uint32_t)sign;
    for (int i = 0; i < MF_DIMENSIONS; i++)
        node->used[i] += (uint64_t)(sign * (int64_t)life->wants.of[i]);
    for (uint32_t c = 0; c < MF_CELLS_MAX; c++)
        for (int i = 0; i < MF_CELL_DIMENSIONS && (life->place.cells >> c & 1); i++)
            node->cells_used[c][i] += (uint64_t)(sign * (int64_t)share(life->wants.of[i], shares));
}

void world_take(struct world *w, struct mf_place place, uint32_t shape, uint32_t group)
{
    struct life *life = &w->lives[w->n_lives];

    if (w->n_lives == LIVES)
        return;
    *life = (struct life){place, w->shapes[shape].wants, group};
    w->n_lives++;
    mf_pool_take(w->pool, place, &life->wants);
    book(w, life, 1);
    tally(w, life, true);
}

void world_give(struct world *w, uint32_t number)
{
    struct life life = w->lives[number];

    w->lives[number] = w->lives[--w->n_lives];
    mf_pool_give(w->pool, life.place, &life.wants);
    book(w, &life, -1);
    tally(w, &life, false);
}

static void reserve(struct world *w)
{
    uint32_t number = any_node(w);
    struct model_node *node = &w->nodes[number];
    bool more = chance(w, 50);
    struct mf_amounts amounts = {{0}};
    struct mf_cell cells[MF_CELLS_MAX] = {{{0}}};

    for (int i = 0; i < MF_DIMENSIONS; i++)
        amounts.of[i] = more ? below(w, 1 + 1000 * (i > 0)) : node->reserved.of[i];
    for (uint32_t c = 0; c < node->n_cells; c++)
        for (int i = 0; i < MF_CELL_DIMENSIONS; i++)
            cells[c].of[i] = more ? below(w, 1 + 500 * (i > 0)) : node->cells_reserved[c].of[i];
    mf_pool_reserve(w->pool, number, &amounts, cells, more);
    for (int i = 0; i < MF_DIMENSIONS; i++)
        node->reserved.of[i] += more ? amounts.of[i] : -amounts.of[i];
    for (uint32_t c = 0; c < node->n_cells; c++)
        for (int i = 0; i < MF_CELL_DIMENSIONS; i++)
            node->cells_reserved[c].of[i] += more ? cells[c].of[i] : -cells[c].of[i];
}

static void warm(struct world *w)
{
    uint32_t number = any_node(w), image = 1 + below(w, IMAGES);

    if (chance(w, 5)) {
        mf_pool_image_forgotten(w->pool, image);
        for (uint32_t i = 0; i < w->n_end; i++)
            w->nodes[i].warm[image] = false;
        return;
    }
    w->nodes[number].warm[image] = chance(w, 70);
    mf_pool_warm(w->pool, number, image, w->nodes[number].warm[image]);
}

/* Adopted guests are where they are, whether they fit or not. */
void world_adopt(struct world *w)
{
    uint32_t node = any_node(w), n_cells = w->nodes[node].n_cells;

    world_take(w, (struct mf_place){node, n_cells && chance(w, 80) ? (uint8_t)(1u << below(w, n_cells)) : 0},
               below(w, w->n_shapes), below(w, w->n_groups));
}

static void renew_shape(struct world *w)
{
    uint32_t i = below(w, w->n_shapes);

    mf_pool_shape_drop(w->pool, w->shape_numbers[i]);
    draw_shape(w, &w->shapes[i]);
    w->shape_numbers[i] = mf_pool_shape(w->pool, &w->shapes[i]);
}

void world_change(struct world *w)
{
    uint32_t what = below(w, 100), node = any_node(w);

    if (what < 50 && w->n_lives)
        world_give(w, below(w, w->n_lives));
    else if (what < 55)
        world_adopt(w);
    else if (what < 65)
        mf_pool_close(w->pool, node,
                      w->nodes[node].closed = chance(w, 70) ? 0 : (uint8_t)(1 + below(w, 200)));
    else if (what < 70)
        mf_pool_penalise(w->pool, node, w->nodes[node].penalty = chance(w, 50) ? 0 : (uint8_t)below(w, 256));
    else if (what < 80)
        warm(w);
    else if (what < 87)
        reserve(w);
    else if (what < 92)
        update_node(w);
    else if (what < 94)
        remove_node(w);
    else if (what < 98)
        add_node(w);
    else
        renew_shape(w);
}

/* ------------------------------------------------------------------ questions */

void world_ask(struct world *w, struct question *q)
{
    uint32_t n_soft = 0;

    *q = (struct question){.shape = below(w, w->n_shapes)};
    q->ask.shape = w->shape_numbers[q->shape];
    q->ask.rules = q->rules;
    q->ask.shunned = q->shunned;
    q->ask.n_rules = w->crowded ? 1 + below(w, 4) : chance(w, 20) ? 0 : below(w, 6);
    for (uint32_t i = 0; i < q->ask.n_rules; i++) {
        struct mf_rule *rule = &q->rules[i];
        do
            rule->kind = chance(w, 50) ? MF_RULE_FEW : below(w, MF_RULE_WITH + 1);
        while (rule->kind <= MF_RULE_MANY && n_soft == MF_PREFERENCES_MAX);
        n_soft += rule->kind <= MF_RULE_MANY;
        q->groups[i] = below(w, w->n_groups);
        q->keys[i] = below(w, KEYS + 1);
        rule->tally = chance(w, 3) ? NULL : w->tallies[q->groups[i]][q->keys[i]];
        rule->key = rule->tally || q->keys[i] == KEYS ? 0 : w->keys[q->keys[i]];
        rule->bound = 1 + below(w, 4);
    }
    q->ask.n_shunned = chance(w, 80) ? 0 : below(w, MF_SHUNNED_MAX);
    for (uint32_t i = 0; i < q->ask.n_shunned; i++)
        q->shunned[i] = below(w, w->n_end);
}

static uint32_t domain_of(const struct world *w, uint32_t key, uint32_t node)
{
    return key < KEYS ? w->nodes[node].labels[key] : node + 1;
}

static bool stands(const struct world *w, const struct mf_shape *shape, uint32_t number)
{
    const struct model_node *node = &w->nodes[number];
    bool so = node->held && node->class == shape->class && (!shape->fences || node->fences) &&
              !(shape->pinned && node->shares);

    for (uint32_t i = 0; i < KEYS; i++) {
        bool needed = false, banned = false;
        for (uint32_t k = 0; k < KEYS; k++) {
            needed = needed || node->labels[k] == shape->require[i];
            banned = banned || (shape->forbid[i] && node->labels[k] == shape->forbid[i]);
        }
        so = so && (!shape->require[i] || needed) && !banned;
    }
    return so;
}

static uint32_t count_in(const struct world *w, const struct question *q, uint32_t rule, uint32_t domain)
{
    uint32_t n = 0;

    if (!q->rules[rule].tally)
        return 0;
    for (uint32_t i = 0; i < w->n_lives; i++)
        n += w->lives[i].group == q->groups[rule] &&
             domain_of(w, q->keys[rule], w->lives[i].place.node) == domain;
    return n;
}

static uint32_t fewest(const struct world *w, const struct question *q, uint32_t rule)
{
    uint32_t least = UINT32_MAX;

    for (uint32_t node = 0; node < w->n_end; node++) {
        uint32_t domain = domain_of(w, q->keys[rule], node), n;
        if (!domain || w->nodes[node].closed || !stands(w, &w->shapes[q->shape], node))
            continue;
        n = count_in(w, q, rule, domain);
        least = n < least ? n : least;
    }
    return least;
}

static bool rule_allows(const struct world *w, const struct question *q, uint32_t i, uint32_t node)
{
    uint32_t domain = domain_of(w, q->keys[i], node), n;

    if (q->rules[i].kind <= MF_RULE_MANY)
        return true;
    if (!domain)
        return q->rules[i].kind == MF_RULE_MOST || q->rules[i].kind == MF_RULE_APART;
    n = count_in(w, q, i, domain);
    switch (q->rules[i].kind) {
    case MF_RULE_SKEW:
        return n + 1 <= fewest(w, q, i) + q->rules[i].bound;
    case MF_RULE_MOST:
        return n < q->rules[i].bound;
    case MF_RULE_APART:
        return n == 0;
    default:
        return n > 0;
    }
}

static bool has_left(uint32_t capacity, uint64_t used, uint32_t reserved, uint32_t wants)
{
    return used + reserved + wants <= capacity || wants == 0;
}

static bool cell_has(const struct model_node *node, const struct mf_shape *shape, uint32_t c, uint32_t shares)
{
    bool has = true;

    for (int i = 0; i < MF_CELL_DIMENSIONS; i++)
        has = has &&
              has_left(node->cells[c].of[i], node->cells_used[c][i],
                       shape->reserve ? 0 : node->cells_reserved[c].of[i], share(shape->wants.of[i], shares));
    return has;
}

static bool splits(const struct model_node *node, const struct mf_shape *shape)
{
    uint64_t memory = (uint64_t)shape->wants.of[MF_MEMORY_MIB] + shape->wants.of[MF_HUGEPAGES_MIB];
    bool one_holds = false;

    for (uint32_t c = 0; c < node->n_cells; c++)
        one_holds = one_holds || (node->cells[c].of[0] >= shape->wants.of[0] &&
                                  node->cells[c].of[1] >= shape->wants.of[1] &&
                                  node->cells[c].of[2] >= shape->wants.of[2]);
    return node->n_cells > 1 && (shape->split_above_mib ? memory > shape->split_above_mib : !one_holds);
}

static uint32_t ways(const struct world *w, const struct mf_shape *shape, uint32_t number)
{
    const struct model_node *node = &w->nodes[number];
    uint32_t all = (1u << node->n_cells) - 1, bits = 0, split = splits(node, shape);

    for (int i = 0; i < MF_DIMENSIONS; i++)
        if (!(i >= MF_FIRST_RATE && !node->capacity.of[i]) &&
            !has_left(node->capacity.of[i], node->used[i], shape->reserve ? 0 : node->reserved.of[i],
                      shape->wants.of[i]))
            return 0;
    for (uint32_t c = 0; c < node->n_cells; c++)
        if (cell_has(node, shape, c, split ? node->n_cells : 1))
            bits |= 1u << c;
    if (!node->n_cells)
        return UINT32_MAX;
    return split ? (bits == all ? all : 0) : bits;
}

bool world_fits_so(const struct world *w, uint32_t shape, struct mf_place place)
{
    const struct model_node *node = &w->nodes[place.node];
    uint32_t could = ways(w, &w->shapes[shape], place.node);

    if (!node->n_cells)
        return could && !place.cells;
    return splits(node, &w->shapes[shape]) ? could && place.cells == could
                                           : __builtin_popcount(place.cells) == 1 && (place.cells & could);
}

bool world_allows(const struct world *w, const struct question *q, uint32_t number)
{
    const struct mf_shape *shape = &w->shapes[q->shape];
    const struct model_node *node = &w->nodes[number];

    if (node->closed || !stands(w, shape, number) || node->n_instances >= node->instances_max ||
        !ways(w, shape, number))
        return false;
    for (uint32_t i = 0; i < q->ask.n_rules; i++)
        if (!rule_allows(w, q, i, number))
            return false;
    return true;
}

uint64_t world_level(const struct world *w, const struct question *q, uint32_t node)
{
    uint64_t level = 0;
    int shift = 15 * MF_PREFERENCES_MAX;

    for (uint32_t i = 0; i < q->ask.n_rules; i++) {
        uint32_t domain = domain_of(w, q->keys[i], node), n;
        if (q->rules[i].kind > MF_RULE_MANY)
            continue;
        n = count_in(w, q, i, domain);
        shift -= 15;
        level += (uint64_t)(!domain ? 32767 : q->rules[i].kind == MF_RULE_FEW ? n : 32766 - n) << shift;
    }
    for (uint32_t i = 0; i < q->ask.n_shunned; i++)
        if (q->shunned[i] == node)
            return level | UINT64_C(1) << 15 * MF_PREFERENCES_MAX;
    return level;
}

void world_check_books(const struct world *w)
{
    mf_pool_check(w->pool);
    for (uint32_t node = 0; node < w->n_end; node++) {
        struct mf_amounts used;
        MF_CHECK(mf_pool_holds(w->pool, node) == w->nodes[node].held);
        if (!w->nodes[node].held)
            continue;
        used = mf_pool_used(w->pool, node);
        for (int i = 0; i < MF_DIMENSIONS; i++)
            MF_CHECK(used.of[i] ==
                     (w->nodes[node].used[i] < UINT32_MAX ? w->nodes[node].used[i] : UINT32_MAX));
    }
}
