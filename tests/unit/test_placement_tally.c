/* test_placement_tally.c - tallies against plain arrays, by host and by label. */
#include "check.h"
#include "tally.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

enum { NODES = 200, RACKS = 23, STEPS = 20000 };

static struct mf_pool *new_pool(uint32_t *ret_key)
{
    struct mf_pool *pool = mf_pool_new(&(struct mf_place_policy){.name = MF_POLICY_NAME_SPREAD});
    char text[16];

    *ret_key = mf_pool_key(pool, mf_str("rack"));
    for (uint32_t i = 0; i < NODES; i++) {
        uint32_t label =
            mf_pool_label(pool, mf_str("rack"), mf_str_format(text, sizeof(text), "r%u", i % RACKS));
        mf_pool_add(pool, &(struct mf_pool_node){.capacity = {{4, 4096}},
                                                 .class = 1,
                                                 .labels = &label,
                                                 .n_labels = i % 50 ? 1 : 0,
                                                 .instances_max = 10});
    }
    return pool;
}

static void compare(const struct mf_tally *tally, const uint32_t *counts, uint32_t n)
{
    uint32_t domains = 0, most = 0;

    for (uint32_t i = 0; i < n; i++)
        if (counts[i]) {
            domains++;
            most = counts[i] > most ? counts[i] : most;
        }
    assert_int_equal(tally->n, domains);
    assert_in_range(tally->most, most, domains ? UINT32_MAX : 0);
}

/* First more come than go, then more go than come, to the last. */
static void test_counts(void **state)
{
    uint32_t key, lives[STEPS], n = 0, on[NODES] = {0}, in[RACKS] = {0};
    struct mf_pool *pool = new_pool(&key);
    struct mf_tally *hosts = mf_tally_new(0), *racks = mf_tally_new(key);
    struct mf_random random;

    mf_random_seed(&random, 7);
    for (uint32_t step = 0; step < STEPS || n; step++) {
        bool more = !n || mf_random_below(&random, 100) < (step < STEPS / 2 ? 60 : 30);
        uint32_t at = n ? (uint32_t)mf_random_below(&random, n) : 0, node;
        more = more && step < STEPS;
        node = more ? (uint32_t)(mf_random_below(&random, NODES) * mf_random_below(&random, NODES) / NODES)
                    : lives[at];
        if (more)
            lives[n++] = node;
        else
            lives[at] = lives[--n];
        mf_tally_count(hosts, pool, node, more);
        mf_tally_count(racks, pool, node, more);
        on[node] += more ? 1u : UINT32_MAX;
        if (node % 50)
            in[node % RACKS] += more ? 1u : UINT32_MAX;
        assert_int_equal(mf_tally_at(hosts, pool, node), on[node]);
        assert_int_equal(mf_tally_at(racks, pool, node), node % 50 ? in[node % RACKS] : 0);
        compare(racks, in, RACKS);
        if (step % 50 == 0)
            compare(hosts, on, NODES);
    }
    assert_int_equal(hosts->n, 0);
    assert_true(mf_tally_bytes(hosts) < 4096 + 64);
    mf_tally_destroy(&hosts);
    mf_tally_destroy(&racks);
    assert_null(racks);
    mf_pool_destroy(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_counts)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
