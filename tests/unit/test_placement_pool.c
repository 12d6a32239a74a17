/* test_placement_pool.c - room, refusals in their order, and what is absurd. */
#include "placement_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

enum { ROOM_MAX = 400 };

static struct world w;

/* ------------------------------------------------------------------ in random clusters */

/* Put there one by one until none fits, and taken away again. */
static uint32_t fill_up(uint32_t shape)
{
    struct mf_ask ask = {.shape = w.shape_numbers[shape]};
    struct mf_place places[ROOM_MAX];
    uint32_t n = 0;

    while (n < ROOM_MAX && mf_pool_choose(w.pool, &ask, NULL, &places[n], NULL))
        mf_pool_take(w.pool, places[n++], &w.shapes[shape].wants);
    for (uint32_t i = 0; i < n; i++)
        mf_pool_give(w.pool, places[i], &w.shapes[shape].wants);
    return n;
}

static void test_room_is_what_fits(void **state)
{
    for (uint64_t seed = 1; seed <= 150; seed++) {
        world_new(&w, seed, 1 + (uint32_t)seed % 10, 4, false);
        for (uint32_t i = 0; i < 200; i++)
            world_change(&w);
        for (uint32_t shape = 0; shape < w.n_shapes; shape++) {
            uint64_t room = mf_pool_room(w.pool, w.shape_numbers[shape], ROOM_MAX);
            assert_int_equal(room, fill_up(shape));
            assert_int_equal(mf_pool_any(w.pool, w.shape_numbers[shape]), room > 0);
            mf_pool_check(w.pool);
        }
        world_check_books(&w);
        world_free(&w);
    }
}

/* ------------------------------------------------------------------ by hand */

static struct mf_pool *pool;

static uint32_t shape_of(struct mf_shape shape)
{
    return mf_pool_shape(pool, &shape);
}

static enum mf_refusal refusal(uint32_t node, uint32_t shape, const struct mf_rule *rules, uint32_t n)
{
    struct mf_ask ask = {.shape = shape, .rules = rules, .n_rules = n};

    return mf_pool_explain(pool, &ask, node).refusal;
}

static void begin(void)
{
    pool = mf_pool_new(&(struct mf_place_policy){.name = MF_POLICY_NAME_SPREAD});
}

static struct mf_pool_node plain(void)
{
    return (struct mf_pool_node){.capacity = {{8, 8192, 1024, 100000}}, .class = 1, .instances_max = 3};
}

static void test_refusals_in_their_order(void **state)
{
    struct mf_pool_node node = plain();
    uint32_t ssd, number, key;
    struct mf_tally *group;

    begin();
    ssd = mf_pool_label(pool, mf_str("disk"), mf_str("ssd"));
    key = mf_pool_key(pool, mf_str("rack"));
    node.labels = &ssd;
    node.n_labels = 1;
    node.closed = 7;
    number = mf_pool_add(pool, &node);
    assert_int_equal(refusal(number, shape_of((struct mf_shape){.class = 2}), NULL, 0), MF_REFUSED_CLOSED);
    mf_pool_close(pool, number, 0);
    assert_int_equal(refusal(number, shape_of((struct mf_shape){.class = 2, .require = {ssd + 1}}), NULL, 0),
                     MF_REFUSED_CLASS);
    assert_int_equal(
        refusal(number, shape_of((struct mf_shape){.class = 1, .require = {99}, .forbid = {ssd}}), NULL, 0),
        MF_REFUSED_LABELS);
    assert_int_equal(
        refusal(number, shape_of((struct mf_shape){.class = 1, .forbid = {ssd}, .fences = true}), NULL, 0),
        MF_REFUSED_FORBIDDEN);
    assert_int_equal(refusal(number, shape_of((struct mf_shape){.class = 1, .fences = true}), NULL, 0),
                     MF_REFUSED_FENCES);
    node.shares = true;
    mf_pool_update(pool, number, &node);
    mf_pool_close(pool, number, 0);
    assert_int_equal(refusal(number, shape_of((struct mf_shape){.class = 1, .pinned = true}), NULL, 0),
                     MF_REFUSED_SHARES);
    for (int i = 0; i < MF_DIMENSIONS; i++) {
        static const enum mf_refusal expected[] = {MF_REFUSED_VCPUS, MF_REFUSED_MEMORY, MF_REFUSED_HUGEPAGES,
                                                   MF_REFUSED_DISK,  MF_REFUSED_NOT,    MF_REFUSED_NOT,
                                                   MF_REFUSED_NOT};
        struct mf_shape shape = {.class = 1};
        shape.wants.of[i] = UINT32_MAX; /* the rates have no bound here */
        assert_int_equal(refusal(number, shape_of(shape), NULL, 0), expected[i]);
    }
    mf_pool_reserve(pool, number, &(struct mf_amounts){{5}}, NULL, true);
    assert_int_equal(refusal(number, shape_of((struct mf_shape){.class = 1, .wants = {{4, 1}}}), NULL, 0),
                     MF_REFUSED_HEADROOM);
    assert_int_equal(
        refusal(number, shape_of((struct mf_shape){.class = 1, .wants = {{4, 1}}, .reserve = true}), NULL, 0),
        MF_REFUSED_NOT);
    group = mf_tally_new(key);
    assert_int_equal(refusal(number, shape_of((struct mf_shape){.class = 1}),
                             (struct mf_rule[]){{MF_RULE_WITH, group, 0}, {MF_RULE_SKEW, group, 1}}, 2),
                     MF_REFUSED_SKEW);
    assert_int_equal(refusal(number, shape_of((struct mf_shape){.class = 1}),
                             (struct mf_rule[]){{MF_RULE_WITH, NULL, 0}, {MF_RULE_MOST, group, 0}}, 2),
                     MF_REFUSED_WITH);
    mf_tally_destroy(&group);
    mf_pool_destroy(&pool);
}

/* A host is full by its number of instances, whatever it has left. */
static void test_full(void **state)
{
    struct mf_pool_node node = plain();
    uint32_t shape, number;

    begin();
    number = mf_pool_add(pool, &node);
    shape = shape_of((struct mf_shape){.class = 1});
    for (int i = 0; i < 3; i++)
        mf_pool_take(pool, (struct mf_place){number, 0}, &(struct mf_amounts){{0}});
    assert_int_equal(refusal(number, shape, NULL, 0), MF_REFUSED_FULL);
    assert_int_equal(mf_pool_room(pool, shape, 10), 0);
    assert_false(mf_pool_any(pool, shape));
    mf_pool_give(pool, (struct mf_place){number, 0}, &(struct mf_amounts){{0}});
    assert_true(mf_pool_any(pool, shape));
    mf_pool_destroy(&pool);
}

static void test_absurd_amounts(void **state)
{
    static const uint32_t sizes[] = {0, 1, UINT32_MAX};

    begin();
    for (uint32_t i = 0; i < 27; i++) {
        struct mf_cell cells[2] = {{{sizes[i % 3], sizes[i / 3 % 3]}}, {{sizes[i / 9], 1}}};
        mf_pool_add(pool,
                    &(struct mf_pool_node){.capacity = {{sizes[i % 3], sizes[i / 3 % 3], 0, sizes[i / 9]}},
                                           .cells = cells,
                                           .n_cells = i % 2 ? 2 : 0,
                                           .class = 1,
                                           .instances_max = UINT32_MAX});
    }
    for (uint32_t i = 0; i < 27; i++) {
        struct mf_shape shape = {.class = 1,
                                 .wants = {{sizes[i % 3], sizes[i / 3 % 3], 0, sizes[i / 9], sizes[i % 3]}}};
        struct mf_ask ask = {.shape = shape_of(shape)};
        struct mf_place place;
        for (uint32_t n = 0; n < 40 && mf_pool_choose(pool, &ask, NULL, &place, NULL); n++)
            mf_pool_take(pool, place, &shape.wants);
        mf_pool_take(pool, (struct mf_place){i, 0xff}, &shape.wants); /* in cells it does not have */
        mf_pool_room(pool, ask.shape, UINT64_MAX);
        mf_pool_check(pool);
        mf_pool_give(pool, (struct mf_place){i, 0xff}, &shape.wants);
    }
    mf_pool_destroy(&pool);
}

/* A rack of which no node is open holds nobody back. */
static void test_skew_without_the_closed(void **state)
{
    struct mf_tally *racks;
    struct mf_place place;
    struct mf_rule rule;
    struct mf_ask ask;

    begin();
    racks = mf_tally_new(mf_pool_key(pool, mf_str("rack")));
    for (uint32_t i = 0; i < 6; i++) {
        struct mf_pool_node node = plain();
        uint32_t label = mf_pool_label(pool, mf_str("rack"),
                                       mf_str(i % 3 == 0   ? "a"
                                              : i % 3 == 1 ? "b"
                                                           : "c"));
        node.labels = &label;
        node.n_labels = 1;
        mf_pool_add(pool, &node);
    }
    rule = (struct mf_rule){MF_RULE_SKEW, racks, 1};
    ask = (struct mf_ask){
        .shape = shape_of((struct mf_shape){.class = 1, .wants = {{1, 1}}}), .rules = &rule, .n_rules = 1};
    mf_tally_count(racks, pool, 0, true);
    mf_tally_count(racks, pool, 1, true);
    assert_true(mf_pool_choose(pool, &ask, NULL, &place, NULL));
    assert_int_equal(place.node, 2); /* c has none */
    mf_pool_close(pool, 2, 1);
    mf_pool_close(pool, 5, 1);
    assert_true(mf_pool_choose(pool, &ask, NULL, &place, NULL));
    assert_int_equal(place.node, 0);
    mf_pool_close(pool, 5, 0);
    assert_true(mf_pool_choose(pool, &ask, NULL, &place, NULL));
    assert_int_equal(place.node, 5);
    mf_tally_destroy(&racks);
    mf_pool_destroy(&pool);
}

/* Ten thousand draws among ten equals: a thousand each, give or take six standard deviations. */
static void test_chance_among_equals(void **state)
{
    struct mf_rule few = {MF_RULE_FEW, NULL, 0};
    uint32_t drawn[10] = {0};
    struct mf_random random;
    struct mf_place place;

    begin();
    for (int i = 0; i < 10; i++) {
        struct mf_pool_node node = plain();
        mf_pool_add(pool, &node);
    }
    mf_random_seed(&random, 1);
    for (uint32_t i = 0; i < 10000; i++) {
        struct mf_ask ask = {.rules = &few, .n_rules = i % 2};
        ask.shape = i ? 1 : shape_of((struct mf_shape){.class = 1, .wants = {{1, 1}}});
        assert_true(mf_pool_choose(pool, &ask, &random, &place, NULL));
        drawn[place.node]++;
    }
    for (int i = 0; i < 10; i++)
        assert_in_range(drawn[i], 820, 1180);
    mf_pool_destroy(&pool);
}

static void test_shapes_are_counted(void **state)
{
    struct mf_shape shape = {.class = 1, .wants = {{1}}};
    uint32_t a, b;

    begin();
    a = mf_pool_shape(pool, &shape);
    assert_int_equal(mf_pool_shape(pool, &shape), a);
    shape.wants.of[0] = 2;
    b = mf_pool_shape(pool, &shape);
    assert_int_not_equal(a, b);
    mf_pool_shape_drop(pool, a);
    mf_pool_shape_drop(pool, a);
    shape.wants.of[0] = 3;
    assert_int_equal(mf_pool_shape(pool, &shape), a); /* its number is free */
    mf_pool_check(pool);
    mf_pool_destroy(&pool);
}

/* Values of a label and classes have an end; what is known is taken for ever. */
static void test_words_have_an_end(void **state)
{
    struct mf_place_policy policy = mf_place_policy_named(MF_POLICY_NAME_ROOM);
    struct mf_pool *many = mf_pool_new(&policy);
    char text[16];

    for (uint32_t i = 0; i < MF_POOL_LABELS_MAX; i++) {
        struct mf_str value = {(const char *)&i, sizeof(i)};
        assert_true(mf_pool_takes_label(many, mf_str("rack"), value));
        mf_pool_label(many, mf_str("rack"), value);
    }
    assert_false(mf_pool_takes_label(many, mf_str("rack"), mf_str("r-new")));
    assert_true(mf_pool_takes_key(many, mf_str("zone")));
    for (int i = 0; i < MF_POOL_CLASSES_MAX; i++) {
        struct mf_str name = mf_str_format(text, sizeof(text), "c%d", i);
        assert_true(mf_pool_takes_class(many, name));
        mf_pool_class(many, name);
    }
    assert_false(mf_pool_takes_class(many, mf_str("c-new")));
    assert_true(mf_pool_takes_class(many, mf_str("c0")));
    mf_pool_destroy(&many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_room_is_what_fits),
        cmocka_unit_test(test_refusals_in_their_order),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_absurd_amounts),
        cmocka_unit_test(test_skew_without_the_closed),
        cmocka_unit_test(test_chance_among_equals),
        cmocka_unit_test(test_shapes_are_counted),
        cmocka_unit_test(test_words_have_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
