/* test_placement_policy.c - every policy on nodes where it is plain which is better. */
#include "message.h"
#include "pool.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

static struct mf_pool *pool;
static uint32_t shape;

static void begin(enum mf_policy_name name, uint32_t vcpus, uint32_t memory_mib, uint32_t split_above_mib)
{
    struct mf_shape of = {.wants = {{vcpus, memory_mib}}, .class = 1, .split_above_mib = split_above_mib};

    pool = mf_pool_new(&(struct mf_place_policy){.name = name});
    shape = mf_pool_shape(pool, &of);
}

static uint32_t add(uint32_t n_cells, uint32_t vcpus, uint32_t memory_mib)
{
    struct mf_cell cells[2] = {{{vcpus / 2, memory_mib / 2}}, {{vcpus / 2, memory_mib / 2}}};

    return mf_pool_add(pool, &(struct mf_pool_node){.capacity = {{vcpus, memory_mib}},
                                                    .cells = cells,
                                                    .n_cells = n_cells,
                                                    .class = 1,
                                                    .instances_max = 100});
}

static void fill(uint32_t node, uint8_t cells, uint32_t vcpus, uint32_t memory_mib)
{
    mf_pool_take(pool, (struct mf_place){node, cells}, &(struct mf_amounts){{vcpus, memory_mib}});
}

/* The lowest number of the best. */
static struct mf_place chosen(void)
{
    struct mf_place place = {UINT32_MAX, 0};

    mf_pool_choose(pool, &(struct mf_ask){.shape = shape}, NULL, &place, NULL);
    return place;
}

static void expect(uint32_t node, uint8_t cells)
{
    struct mf_place place = chosen();

    assert_int_equal(place.node, node);
    assert_int_equal(place.cells, cells);
    mf_pool_destroy(&pool);
}

static void three_nodes(enum mf_policy_name name)
{
    begin(name, 2, 2048, 0);
    for (int i = 0; i < 3; i++)
        add(0, 16, 16384);
    fill(0, 0, 8, 8192);
    fill(2, 0, 12, 12288);
}

static void test_spread_and_fit(void **state)
{
    three_nodes(MF_POLICY_NAME_SPREAD);
    expect(1, 0);
    three_nodes(MF_POLICY_NAME_BEST_FIT);
    expect(2, 0);
    three_nodes(MF_POLICY_NAME_FIRST_FIT);
    expect(0, 0);
    three_nodes(MF_POLICY_NAME_L2);
    expect(2, 0);
    three_nodes(MF_POLICY_NAME_DOT);
    expect(1, 0);
}

/* Of nodes with as much left, the one where the instance takes what is plentiful. */
static void test_alignment(void **state)
{
    static const enum mf_policy_name names[] = {MF_POLICY_NAME_DOT, MF_POLICY_NAME_ROOM};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        begin(names[i], 1, 8192, 0);
        add(0, 32, 65536);
        add(0, 32, 65536);
        fill(0, 0, 8, 40960);
        fill(1, 0, 20, 16384);
        expect(1, 0);
    }
}

static void test_cells(void **state)
{
    begin(MF_POLICY_NAME_SPREAD, 4, 4096, 0);
    add(2, 32, 65536);
    fill(0, 1, 4, 4096);
    expect(0, 2); /* the freer */
    begin(MF_POLICY_NAME_BEST_FIT, 4, 4096, 0);
    add(2, 32, 65536);
    fill(0, 1, 4, 4096);
    expect(0, 1); /* the fuller */
    begin(MF_POLICY_NAME_BEST_FIT, 4, 40960, 0);
    add(2, 32, 65536);
    expect(0, 3); /* what no cell holds is split */
    begin(MF_POLICY_NAME_BEST_FIT, 4, 12288, 10240);
    add(2, 32, 65536);
    expect(0, 3);
}

/* The rule of arXiv 2504.14946: the node whose cells differ most, its freer cell; split: the first that fits.
 */
static void test_balance(void **state)
{
    begin(MF_POLICY_NAME_BALANCE, 2, 2048, 10240);
    for (int i = 0; i < 3; i++)
        add(2, 80, 184320);
    expect(0, 1);
    begin(MF_POLICY_NAME_BALANCE, 2, 2048, 10240);
    for (int i = 0; i < 3; i++)
        add(2, 80, 184320);
    fill(1, 1, 2, 1024);
    fill(2, 2, 4, 9216);
    expect(2, 1);
    begin(MF_POLICY_NAME_BALANCE, 2, 20480, 10240);
    for (int i = 0; i < 3; i++)
        add(2, 80, 184320);
    fill(2, 2, 4, 9216);
    expect(0, 3);
}

/* A step of one CPU of 40, or of one GB of 90, is a step of the score. */
static void test_steps(void **state)
{
    begin(MF_POLICY_NAME_BALANCE, 1, 1024, 10240);
    for (uint32_t i = 0; i < 90; i++) {
        add(2, 80, 184320);
        fill(i, 1, 1, (i + 1) * 1024 < 92160 - 1024 ? (i + 1) * 1024 : 1024);
    }
    expect(87, 2);
}

static void test_scores_stay_in_bounds(void **state)
{
    static const uint32_t odd[] = {0, 1, 7, UINT32_MAX - 1, UINT32_MAX};
    struct mf_random random;

    mf_random_seed(&random, 3);
    for (int i = 0; i < 20000; i++) {
        struct mf_place_policy policy = {.name = 1 + (int)mf_random_below(&random, MF_POLICY_NAMES - 1)};
        struct mf_amounts capacity, wants;
        struct mf_cell cells[2], before[2], after[2];
        struct mf_left left = {.capacity = &capacity,
                               .cells = cells,
                               .cells_before = before,
                               .cells_after = after,
                               .n_cells = (uint32_t)mf_random_below(&random, 3)};
        for (int d = 0; d < MF_DIMENSIONS; d++) {
            capacity.of[d] = odd[mf_random_below(&random, 5)];
            left.before.of[d] = odd[mf_random_below(&random, 5)];
            left.before.of[d] = left.before.of[d] < capacity.of[d] ? left.before.of[d] : capacity.of[d];
            left.after.of[d] =
                left.before.of[d] ? left.before.of[d] - (uint32_t)mf_random_below(&random, 2) : 0;
            wants.of[d] = left.before.of[d] - left.after.of[d];
        }
        for (int c = 0; c < 2; c++)
            for (int d = 0; d < MF_CELL_DIMENSIONS; d++) {
                cells[c].of[d] = capacity.of[d];
                before[c].of[d] = left.before.of[d];
                after[c].of[d] = left.after.of[d];
            }
        assert_true(mf_place_policy_score(&policy, &wants, &left) < MF_SCORES);
    }
}

static void test_names_and_weights(void **state)
{
    struct mf_place_policy policy = {.name = MF_POLICY_NAME_ROOM};
    char error[256];

    for (int name = MF_POLICY_NAME_UNSET + 1; name < MF_POLICY_NAMES; name++)
        assert_int_equal(mf_place_policy_find(mf_place_policy_word(name)), name);
    assert_int_equal(mf_place_policy_find("worst"), MF_POLICY_NAME_UNSET);
    assert_string_equal(mf_place_policy_word(MF_POLICY_NAMES), "");
    assert_int_equal(mf_place_policy_check(&policy, error), 0);
    policy.weights[2] = NAN;
    assert_int_equal(mf_place_policy_check(&policy, error), -EINVAL);
    assert_non_null(strstr(error, "weight 3"));
    policy.weights[2] = -1;
    assert_int_equal(mf_place_policy_check(&policy, error), -EINVAL);
    policy.weights[2] = INFINITY;
    assert_int_equal(mf_place_policy_check(&policy, error), -EINVAL);
    policy.weights[2] = 1e300; /* beyond what scores are reckoned in */
    assert_int_equal(mf_place_policy_check(&policy, error), -EINVAL);
    policy.weights[2] = 1e6;
    assert_int_equal(mf_place_policy_check(&policy, error), 0);
    policy.name = MF_POLICY_NAMES;
    assert_int_equal(mf_place_policy_check(&policy, error), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spread_and_fit),
        cmocka_unit_test(test_alignment),
        cmocka_unit_test(test_cells),
        cmocka_unit_test(test_balance),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_scores_stay_in_bounds),
        cmocka_unit_test(test_names_and_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
