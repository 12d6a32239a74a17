/* test_placement_choice.c - the choice against looking at every node, and both against simple books: random
 * clusters, random rules, and anything may happen between two decisions. */
#include "placement_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct world w;

/* Every node's opinion is what the books say of it. */
static uint32_t compare_opinions(const struct question *q)
{
    static struct mf_opinion opinions[NODES];
    uint32_t could = 0;

    mf_pool_explain_all(w.pool, &q->ask, opinions);
    for (uint32_t node = 0; node < w.n_end; node++) {
        const struct mf_opinion *of = &opinions[node];
        if (!w.nodes[node].held) {
            assert_int_equal(of->refusal, MF_REFUSALS);
            continue;
        }
        assert_int_equal(of->refusal == MF_REFUSED_NOT, world_allows(&w, q, node));
        if (of->refusal)
            continue;
        could++;
        assert_int_equal(of->rank.level, world_level(&w, q, node));
        assert_true(world_fits_so(&w, q->shape, of->place));
    }
    return could;
}

static void decide(bool thoroughly)
{
    struct question q;
    struct mf_place place, slow;
    struct mf_rank rank, slow_rank;
    struct mf_random *random = chance(&w, 25) ? NULL : &w.random;
    bool found;

    world_ask(&w, &q);
    found = mf_pool_choose(w.pool, &q.ask, random, &place, &rank);
    assert_int_equal(found, mf_pool_choose_slowly(w.pool, &q.ask, random, &slow, &slow_rank));
    if (thoroughly)
        assert_int_equal(found, compare_opinions(&q) > 0);
    if (!found)
        return;
    assert_int_equal(rank.level, slow_rank.level);
    assert_int_equal(rank.bucket, slow_rank.bucket);
    if (!random) {
        assert_int_equal(place.node, slow.node);
        assert_int_equal(place.cells, slow.cells);
    }
    assert_true(world_allows(&w, &q, place.node));
    assert_true(world_fits_so(&w, q.shape, place));
    if (chance(&w, 70))
        world_take(&w, place, q.shape, below(&w, w.n_groups));
}

static void run(uint64_t seed, uint32_t n_nodes, uint32_t n_shapes, uint32_t decisions, bool crowded)
{
    fprintf(stderr, "seed %llu\r", (unsigned long long)seed);
    world_new(&w, seed, n_nodes, n_shapes, crowded);
    for (uint32_t i = 0; crowded && i < 4 * n_nodes; i++)
        world_adopt(&w);
    for (uint32_t i = 0; i < decisions; i++) {
        uint32_t changes = chance(&w, 5) ? below(&w, 60) : below(&w, 3);
        decide(chance(&w, 15));
        while (changes--)
            world_change(&w);
        if (chance(&w, 3))
            world_check_books(&w);
    }
    world_check_books(&w);
    world_free(&w);
}

static uint64_t seeds(uint64_t usual)
{
    const char *text = getenv("MAYFLY_SEEDS");

    return text ? strtoull(text, NULL, 10) : usual;
}

static void test_few_nodes(void **state)
{
    for (uint64_t seed = 1; seed <= seeds(1500); seed++)
        run(seed, 1 + (uint32_t)seed % 12, 4, 60, false);
}

static void test_many_nodes(void **state)
{
    for (uint64_t seed = 100001; seed <= 100000 + seeds(60); seed++)
        run(seed, 50 + (uint32_t)seed * 37 % 250, 12, 300, false);
}

/* So many of each group that the best level is met late, or in a few places only. */
static void test_crowded(void **state)
{
    for (uint64_t seed = 300001; seed <= 300000 + seeds(100); seed++)
        run(seed, 70 + (uint32_t)seed * 37 % 230, 6, 200, true);
}

static void test_more_shapes_than_views(void **state)
{
    for (uint64_t seed = 200001; seed <= 200000 + seeds(15); seed++)
        run(seed, 40, SHAPES, 800, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_few_nodes),
        cmocka_unit_test(test_many_nodes),
        cmocka_unit_test(test_crowded),
        cmocka_unit_test(test_more_shapes_than_views),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
