/* bench_placement.c - decisions of the placement engine in a full cloud: one random instance leaves, one that
 * is like it is placed, at 1 000, 10 000 and 100 000 nodes. Every request has five constraints: class, a
 * required label, few on a rack, few on a host, and apart from another group or at most two on a node.
 *
 * The nodes have two cells, are of four kinds (class and label) and stand in racks of 25 to 40 of one kind;
 * so many instances are kept that they are about four fifths full. Beside it, timed in the same run: the same
 * questions answered by looking at every node. */
#include "pool.h"
#include "bench.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum mix { USUAL, NONE, PACK, SKEW, COMPANY, HUGE_GROUPS, SELDOM, MIXES };
static const char *const MIX_WORDS[MIXES] = {
    "usual",          "no rules",      "pack by rack", "skew by rack", "with another group's racks",
    "groups of 5000", "shapes by Zipf"};

enum { KINDS = 4, PER_NODE = 10, GROUPS_MAX = 3000, GROUP_OF = 50, SHAPES_MAX = 64, SLOW_US = 300000 };

struct group {
    uint32_t shape;
    struct mf_tally *racks, *hosts;
};
struct life {
    struct mf_place place;
    uint32_t group;
};
struct cloud {
    struct mf_pool *pool;
    struct mf_random random;
    enum mix mix;
    uint32_t n_nodes, n_shapes, n_groups, n_lives, n_refused, rack_key;
    struct mf_shape shapes[SHAPES_MAX];
    uint32_t shape_numbers[SHAPES_MAX];
    struct group groups[GROUPS_MAX];
    struct life *lives;
    size_t empty_bytes;
};

static uint32_t below(struct cloud *c, uint32_t n)
{
    return (uint32_t)mf_random_below(&c->random, n);
}

static struct mf_str word(char text[32], const char *stem, uint32_t n)
{
    snprintf(text, 32, "%s%u", stem, n);
    return mf_str(text);
}

/* Of this thread: what others do on the machine does not count. */
static double cpu_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static size_t in_use(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

static uint32_t class_of(struct cloud *c, uint32_t kind)
{
    return mf_pool_class(c->pool, mf_str(kind % 2 ? "io" : "standard"));
}

static uint32_t disk_of(struct cloud *c, uint32_t kind)
{
    return mf_pool_label(c->pool, mf_str("disk"), mf_str(kind / 2 ? "nvme" : "sata"));
}

static void add_nodes(struct cloud *c)
{
    struct mf_cell cells[2] = {{{32, 131072}}, {{32, 131072}}};
    char text[32];

    for (uint32_t node = 0, rack = 0, left = 0, kind = 0; node < c->n_nodes; node++, left--) {
        uint32_t labels[3];
        if (!left) {
            left = 25 + below(c, 16);
            kind = rack++ % KINDS;
        }
        labels[0] = mf_pool_label(c->pool, mf_str("rack"), word(text, "r", rack));
        labels[1] = disk_of(c, kind);
        labels[2] = mf_pool_label(c->pool, mf_str("zone"), word(text, "z", rack % 3));
        mf_pool_add(c->pool, &(struct mf_pool_node){.capacity = {{64, 262144, 0, 4194304}},
                                                    .cells = cells,
                                                    .n_cells = 2,
                                                    .class = class_of(c, kind),
                                                    .labels = labels,
                                                    .n_labels = 3,
                                                    .instances_max = 4096});
    }
}

/* One to twelve vCPUs, five in the mean, with two to eight GiB for each. */
static void make_shapes(struct cloud *c)
{
    static const uint32_t vcpus[] = {5, 1, 8, 6, 4, 2, 12, 3}, gib[] = {4, 8, 2, 4};

    for (uint32_t i = 0; i < c->n_shapes; i++) {
        uint32_t size = i / KINDS, cpus = vcpus[size % 8];
        c->shapes[i] = (struct mf_shape){
            .wants = {{cpus, cpus * gib[(size + size / 8) % 4] * 1024, 0, 20480 * (1 + size % 5)}},
            .class = class_of(c, i % KINDS),
            .require = {disk_of(c, i % KINDS)}};
        c->shape_numbers[i] = mf_pool_shape(c->pool, &c->shapes[i]);
    }
}

static uint32_t rules_of(struct cloud *c, uint32_t group, struct mf_rule rules[3])
{
    struct group *g = &c->groups[group], *other = &c->groups[(group + c->n_groups / 2) % c->n_groups];

    if (c->mix == NONE)
        return 0;
    rules[0] = (struct mf_rule){c->mix == PACK ? MF_RULE_MANY : MF_RULE_FEW, g->racks, 0};
    if (c->mix == SKEW)
        rules[0] = (struct mf_rule){MF_RULE_SKEW, g->racks, 1};
    rules[1] = (struct mf_rule){MF_RULE_FEW, g->hosts, 0};
    rules[2] = group % 2 ? (struct mf_rule){MF_RULE_APART, other->hosts, 0}
                         : (struct mf_rule){MF_RULE_MOST, g->hosts, c->mix == HUGE_GROUPS ? 20 : 2};
    if (c->mix == COMPANY)
        rules[2] = (struct mf_rule){MF_RULE_WITH, other->racks, 0};
    return 3;
}

static bool decide(struct cloud *c, uint32_t group, bool slowly, struct mf_place *ret_place)
{
    struct mf_rule rules[3];
    struct mf_ask ask = {.shape = c->groups[group].shape, .rules = rules};

    ask.n_rules = rules_of(c, group, rules);
    return slowly ? mf_pool_choose_slowly(c->pool, &ask, &c->random, ret_place, NULL)
                  : mf_pool_choose(c->pool, &ask, &c->random, ret_place, NULL);
}

static const struct mf_amounts *wants_of(const struct cloud *c, uint32_t group)
{
    return &c->shapes[group % c->n_shapes].wants;
}

static void settle(struct cloud *c, uint32_t group, struct mf_place place)
{
    mf_pool_take(c->pool, place, wants_of(c, group));
    mf_tally_count(c->groups[group].racks, c->pool, place.node, true);
    mf_tally_count(c->groups[group].hosts, c->pool, place.node, true);
    c->lives[c->n_lives++] = (struct life){place, group};
}

static uint32_t leave(struct cloud *c)
{
    uint32_t i = below(c, c->n_lives);
    struct life life = c->lives[i];

    c->lives[i] = c->lives[--c->n_lives];
    mf_pool_give(c->pool, life.place, wants_of(c, life.group));
    mf_tally_count(c->groups[life.group].racks, c->pool, life.place.node, false);
    mf_tally_count(c->groups[life.group].hosts, c->pool, life.place.node, false);
    return life.group;
}

/* Which group asks next: any; or, as shapes are by group, a few shapes often and most of them seldom. */
static uint32_t next_group(struct cloud *c)
{
    uint32_t shape = c->n_shapes;

    if (c->mix != SELDOM)
        return below(c, c->n_groups);
    while (shape > 1 && below(c, 2))
        shape = 1 + below(c, shape);
    return (c->n_shapes - shape) + c->n_shapes * below(c, c->n_groups / c->n_shapes);
}

static void fill(struct cloud *c, uint32_t n)
{
    struct mf_place place;

    while (c->n_lives < n && c->n_refused < n / 10) {
        uint32_t group = next_group(c);
        if (decide(c, group, false, &place))
            settle(c, group, place);
        else
            c->n_refused++;
    }
}

static void begin(struct cloud *c, uint32_t n_nodes, uint32_t n_shapes, enum mf_policy_name policy,
                  enum mix mix)
{
    uint32_t n = n_nodes * PER_NODE;
    struct mf_place_policy how;

    *c = (struct cloud){.mix = mix, .n_nodes = n_nodes, .n_shapes = n_shapes};
    c->n_groups = mix == HUGE_GROUPS          ? n / 5000 + 2 * n_shapes - 1
                  : n / GROUP_OF < GROUPS_MAX ? n / GROUP_OF
                                              : GROUPS_MAX;
    c->n_groups -= c->n_groups % (2 * n_shapes);
    mf_random_seed(&c->random, 1);
    how = mf_place_policy_named(policy);
    c->pool = mf_pool_new(&how);
    c->rack_key = mf_pool_key(c->pool, mf_str("rack"));
    c->lives = calloc(n + 1, sizeof(*c->lives));
    c->empty_bytes = in_use();
    add_nodes(c);
    make_shapes(c);
    for (uint32_t g = 0; g < c->n_groups; g++)
        c->groups[g] =
            (struct group){c->shape_numbers[g % n_shapes], mf_tally_new(c->rack_key), mf_tally_new(0)};
    c->mix = mix == COMPANY ? USUAL : mix; /* somebody has to be the first */
    fill(c, n);
    c->mix = mix;
}

static void end(struct cloud *c)
{
    for (uint32_t g = 0; g < c->n_groups; g++) {
        mf_tally_destroy(&c->groups[g].racks);
        mf_tally_destroy(&c->groups[g].hosts);
    }
    mf_pool_destroy(&c->pool);
    free(c->lives);
}

struct result {
    double steps_s, step_ns, choose_ns, p50, p99, max, slow_s, full;
};

static double full(const struct cloud *c)
{
    double used = 0, all = 0;

    for (uint32_t node = 0; node < c->n_nodes; node++) {
        used += mf_pool_used(c->pool, node).of[MF_VCPUS];
        all += mf_pool_capacity(c->pool, node).of[MF_VCPUS];
    }
    return used / all;
}

/* Twice the same: the whole step in CPU time, then each decision by the wall clock. */
static void run(struct cloud *c, uint32_t n, struct result *r)
{
    double *us = malloc(n * sizeof(*us)), began = cpu_us(), sum = 0, cost;
    struct mf_place place;

    for (uint32_t i = 0; i < n; i++) {
        uint32_t group = leave(c);
        if (decide(c, group, false, &place))
            settle(c, group, place);
    }
    r->step_ns = (cpu_us() - began) * 1e3 / n;
    r->steps_s = 1e9 / r->step_ns;
    began = bench_us();
    for (uint32_t i = 0; i < n; i++)
        bench_us();
    cost = (bench_us() - began) / n;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t group = leave(c);
        bool found;
        us[i] = bench_us();
        found = decide(c, group, false, &place);
        us[i] = bench_us() - us[i] - cost;
        sum += us[i];
        if (found)
            settle(c, group, place);
    }
    r->choose_ns = sum * 1e3 / n;
    r->p50 = bench_percentile(us, n, 0.5);
    r->p99 = bench_percentile(us, n, 0.99);
    r->max = us[n - 1];
    r->full = full(c);
    free(us);
}

static void run_slowly(struct cloud *c, struct result *r)
{
    double began = bench_us();
    struct mf_place place;
    uint32_t n = 0;

    do
        decide(c, below(c, c->n_groups), true, &place), n++;
    while (bench_us() < began + SLOW_US);
    r->slow_s = n * 1e6 / (bench_us() - began);
}

static void measure(uint32_t n_nodes, uint32_t n_shapes, enum mf_policy_name policy, enum mix mix,
                    uint32_t steps, const char *comma)
{
    static struct cloud c;
    struct result r;
    uint64_t tallies = 0;

    begin(&c, n_nodes, n_shapes, policy, mix);
    run(&c, steps, &r);
    run_slowly(&c, &r);
    for (uint32_t g = 0; g < c.n_groups; g++)
        tallies += mf_tally_bytes(c.groups[g].racks) + mf_tally_bytes(c.groups[g].hosts);
    printf(
        "{\"mix\": \"%s\", \"nodes\": %u, \"shapes\": %u, \"groups\": %u, \"instances\": %u, \"full\": %.2f, "
        "\"steps_per_s\": %.0f, \"step_ns\": %.0f, \"choose_ns\": %.0f, \"choose_p50_us\": %.2f, "
        "\"choose_p99_us\": %.2f, \"choose_max_us\": %.0f, \"scan_per_s\": %.0f, \"bytes_per_node\": %.0f, "
        "\"bytes_per_instance\": %.1f, \"heap_per_node\": %.0f}%s",
        MIX_WORDS[mix], n_nodes, n_shapes, c.n_groups, c.n_lives, r.full, r.steps_s, r.step_ns, r.choose_ns,
        r.p50, r.p99, r.max, r.slow_s, (double)mf_pool_bytes(c.pool) / n_nodes, (double)tallies / c.n_lives,
        (double)(in_use() - c.empty_bytes - tallies) / n_nodes, comma);
    fflush(stdout);
    end(&c);
}

int main(int argc, char **argv)
{
    static const uint32_t sizes[] = {1000, 10000, 100000}, shapes[] = {4, 24, 64};
    enum mf_policy_name policy = mf_place_policy_find(argc > 1 ? argv[1] : "room");
    uint32_t steps = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 1000000;
    uint32_t only = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 0;
    uint32_t of_shapes = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : 16;

    if (!policy || !steps || only > MF_POOL_NODES_MAX || of_shapes % KINDS || !of_shapes ||
        of_shapes > SHAPES_MAX)
        bench_die("usage: bench-placement [POLICY [STEPS [NODES [SHAPES, a multiple of 4]]]]");
    if (only) {
        measure(only, of_shapes, policy, USUAL, steps, "\n");
        return 0;
    }
    printf("{\"bench\": \"placement\", \"policy\": \"%s\", \"by_nodes\": [", mf_place_policy_word(policy));
    for (int i = 0; i < 3; i++)
        measure(sizes[i], 16, policy, USUAL, steps, i < 2 ? ", " : "], \"by_shapes\": [");
    for (int i = 0; i < 3; i++)
        measure(10000, shapes[i], policy, USUAL, steps, i < 2 ? ", " : "], \"by_rules\": [");
    for (enum mix mix = NONE; mix < MIXES; mix++)
        measure(10000, 16, policy, mix, steps, mix + 1 < MIXES ? ", " : "]}\n");
    return 0;
}
