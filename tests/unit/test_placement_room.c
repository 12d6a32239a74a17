/* test_placement_room.c - the policy `room` against its definition, counted shape by shape. */
#include "room.h"
#include "ids.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

struct side {
    uint32_t vcpus, gib;
};
struct scene {
    uint32_t n_cells;
    struct side whole, before[MF_CELLS_MAX], after[MF_CELLS_MAX];
    uint32_t split_above_gib;
};

static bool is_split(const struct scene *s, uint32_t vcpus, uint32_t gib)
{
    if (s->n_cells < 2)
        return false;
    return vcpus > s->whole.vcpus || gib > s->whole.gib || (s->split_above_gib && gib > s->split_above_gib);
}

/* How many of a shape that is no power of anything fit: by trying. */
static uint64_t fit(struct side free, uint32_t vcpus, uint32_t gib)
{
    uint64_t n = 0;

    for (; free.vcpus >= vcpus && free.gib >= gib; n++)
        free = (struct side){free.vcpus - vcpus, free.gib - gib};
    return n;
}

static uint64_t worth(const struct scene *s, const struct side *cells)
{
    uint64_t sum = 0;
    struct side scarcer = {UINT32_MAX, UINT32_MAX};

    for (uint32_t c = 0; c < s->n_cells; c++)
        scarcer = (struct side){cells[c].vcpus < scarcer.vcpus ? cells[c].vcpus : scarcer.vcpus,
                                cells[c].gib < scarcer.gib ? cells[c].gib : scarcer.gib};
    for (uint32_t ratio = 1; ratio <= 8; ratio *= 2)
        for (uint32_t vcpus = 1; vcpus <= 1024; vcpus *= 2) {
            if (is_split(s, vcpus, vcpus * ratio)) {
                /* what is larger than all cells together fits nowhere; halves of 1 are not sold */
                if (vcpus > 1)
                    sum += vcpus * fit(scarcer, vcpus / 2, vcpus / 2 * ratio);
                else
                    sum += 2 * fit(scarcer, 1, ratio);
                continue;
            }
            for (uint32_t c = 0; c < s->n_cells; c++)
                sum += vcpus * fit(cells[c], vcpus, vcpus * ratio);
        }
    return sum;
}

static float cost(const struct scene *s, double weight_fit, double weight_even)
{
    struct mf_place_policy policy = mf_place_policy_named(MF_POLICY_NAME_ROOM);
    struct mf_cell whole[MF_CELLS_MAX] = {0}, before[MF_CELLS_MAX] = {0}, after[MF_CELLS_MAX] = {0};
    struct mf_amounts capacity = {{0}};
    struct mf_left left = {.capacity = &capacity, .split_above_mib = s->split_above_gib * 1024};

    policy.weights[MF_ROOM_FIT] = weight_fit;
    policy.weights[MF_ROOM_EVEN] = weight_even;
    for (uint32_t c = 0; c < s->n_cells; c++) {
        whole[c] = (struct mf_cell){{s->whole.vcpus, s->whole.gib * 1024}};
        before[c] = (struct mf_cell){{s->before[c].vcpus, s->before[c].gib * 1024}};
        after[c] = (struct mf_cell){{s->after[c].vcpus, s->after[c].gib * 1024}};
        for (int i = 0; i <= MF_MEMORY_MIB; i++) {
            capacity.of[i] += whole[c].of[i];
            left.before.of[i] += before[c].of[i];
            left.after.of[i] += after[c].of[i];
        }
    }
    left.n_cells = s->n_cells > 1 ? s->n_cells : 0;
    if (left.n_cells)
        left.cells = whole, left.cells_before = before, left.cells_after = after;
    return mf_room_cost(&policy, &left);
}

static struct scene any_scene(struct mf_random *r)
{
    struct scene s = {.n_cells = 1 + (uint32_t)mf_random_below(r, 3),
                      .whole = {1 + (uint32_t)mf_random_below(r, 64), 1 + (uint32_t)mf_random_below(r, 200)}};

    s.split_above_gib = mf_random_below(r, 2) ? 1 + (uint32_t)mf_random_below(r, 30) : 0;
    for (uint32_t c = 0; c < s.n_cells; c++)
        s.before[c] = s.after[c] = (struct side){(uint32_t)mf_random_below(r, s.whole.vcpus + 1),
                                                 (uint32_t)mf_random_below(r, s.whole.gib + 1)};
    return s;
}

/* Costs are shares of one constant for takings of one size, so they stand to each other as the losses do. */
static void test_losses(void **state)
{
    struct mf_random r;
    int compared = 0;

    (void)state;
    mf_random_seed(&r, 7);
    for (int i = 0; i < 3000; i++) {
        struct scene s = any_scene(&r), t = s;
        struct side wants = {1 + (uint32_t)mf_random_below(&r, 8), 1 + (uint32_t)mf_random_below(&r, 16)};
        uint64_t of_s, of_t;
        for (uint32_t c = 0; c < t.n_cells; c++)
            t.before[c] = t.after[c] = (struct side){(uint32_t)mf_random_below(&r, s.whole.vcpus + 1),
                                                     (uint32_t)mf_random_below(&r, s.whole.gib + 1)};
        if (s.before[0].vcpus < wants.vcpus || s.before[0].gib < wants.gib ||
            t.before[0].vcpus < wants.vcpus || t.before[0].gib < wants.gib)
            continue;
        s.after[0] = (struct side){s.before[0].vcpus - wants.vcpus, s.before[0].gib - wants.gib};
        t.after[0] = (struct side){t.before[0].vcpus - wants.vcpus, t.before[0].gib - wants.gib};
        of_s = worth(&s, s.before) - worth(&s, s.after);
        of_t = worth(&t, t.before) - worth(&t, t.after);
        assert_true(cost(&s, 0, 0) >= 0 && cost(&s, 0, 0) <= 1);
        if (of_t == 0)
            assert_true(cost(&t, 0, 0) == 0);
        else
            assert_true(fabs(cost(&s, 0, 0) / cost(&t, 0, 0) - (double)of_s / (double)of_t) <
                        1e-3 * (1 + (double)of_s / (double)of_t));
        compared++;
    }
    assert_true(compared > 500);
}

/* On equal losses the fuller node, and the one whose cells stay alike, cost less. */
static void test_weights(void **state)
{
    struct scene fuller = {.n_cells = 1, .whole = {40, 90}, .before = {{8, 84}}, .after = {{8, 80}}};
    struct scene freer = {.n_cells = 1, .whole = {40, 90}, .before = {{8, 90}}, .after = {{8, 86}}};
    struct scene even = {
        .n_cells = 2, .whole = {40, 90}, .before = {{20, 45}, {20, 45}}, .after = {{19, 44}, {20, 45}}};
    struct scene apart = even;

    (void)state;
    assert_true(cost(&fuller, 0, 0) == cost(&freer, 0, 0));
    assert_true(cost(&fuller, 0.6, 0) < cost(&freer, 0.6, 0));
    apart.before[1] = apart.after[1] = (struct side){40, 90};
    apart.split_above_gib = even.split_above_gib = 1000;
    assert_true(cost(&even, 0, 1) < cost(&apart, 0, 1));
}

/* Absurd amounts stay costs. */
static void test_bounds(void **state)
{
    struct scene huge = {
        .n_cells = 1, .whole = {UINT32_MAX, 4194303}, .before = {{UINT32_MAX, 4194303}}, .after = {{0, 0}}};
    struct scene none = {.n_cells = 1};

    (void)state;
    assert_true(cost(&huge, 0.6, 0.3) >= 0 && cost(&huge, 0.6, 0.3) <= 1);
    assert_true(cost(&none, 0.6, 0.3) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_losses), cmocka_unit_test(test_weights),
                                       cmocka_unit_test(test_bounds)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
