/* The map, the heap, the arena and the buffer that the cores stand on, each against a plain model. */
#include "arena.h"
#include "heap.h"
#include "map.h"
#include "message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { KEYS = 500, STEPS = 40000 };

/* Some keys fit in place, some do not. */
static struct mf_str key_of(int i, char text[80])
{
    return mf_str_format(text, 80, i % 2 ? "k%d" : "a-key-that-has-memory-of-its-own-%d", i);
}

static void assert_walk_is_in_order(const struct mf_map *map, const long *birth)
{
    size_t cursor = 0, n = 0;
    long last = -1;
    void *value;

    while (mf_map_next(map, &cursor, &value)) {
        long born = birth[(uintptr_t)value - 1];

        assert_true(born > last);
        last = born;
        n++;
    }
    assert_int_equal(n, mf_map_size(map));
}

/* Value i + 1, as a pointer that is never followed, stands for key i. */
static void *value_of(int i)
{
    return (void *)(uintptr_t)(i + 1);
}

static void the_map_does_what_a_plain_array_does(void **state)
{
    struct mf_map *map = mf_map_new();
    static bool there[KEYS];
    static long birth[KEYS];
    struct mf_random random;
    size_t n = 0;

    mf_random_seed(&random, 11);
    for (long step = 0; step < STEPS; step++) {
        int i = (int)mf_random_below(&random, KEYS);
        char text[80];
        struct mf_str key = key_of(i, text);

        assert_ptr_equal(mf_map_get_str(map, key), there[i] ? value_of(i) : NULL);
        if (mf_random_below(&random, 2)) {
            assert_ptr_equal(mf_map_put_str(map, key, value_of(i)), there[i] ? value_of(i) : NULL);
            if (!there[i])
                birth[i] = step, n++;
            there[i] = true;
        } else {
            assert_ptr_equal(mf_map_del_str(map, key), there[i] ? value_of(i) : NULL);
            n -= there[i];
            there[i] = false;
        }
        assert_int_equal(mf_map_size(map), n);
        if (step % 500 == 0)
            assert_walk_is_in_order(map, birth);
    }
    mf_map_clear(map);
    assert_int_equal(mf_map_size(map), 0);
    mf_map_destroy(&map);
    assert_null(map);
    mf_map_destroy(&map);
}

static void a_walk_may_delete_and_put(void **state)
{
    struct mf_map *map = mf_map_new();
    size_t cursor = 0;
    int visited = 0;
    void *value;

    for (uint64_t i = 0; i < 100; i++)
        mf_map_put_u64(map, i, value_of((int)i));
    while (mf_map_next(map, &cursor, &value)) {
        uint64_t i = (uint64_t)(uintptr_t)value - 1;

        visited++;
        mf_map_del_u64(map, i);
        if (i % 2 == 0 && i < 100)
            mf_map_del_u64(map, i + 1); /* not reached yet: will not be visited */
        if (i < 100)
            mf_map_put_u64(map, 1000 + i, value_of(1000 + (int)i)); /* will be */
    }
    assert_int_equal(visited, 100);
    assert_int_equal(mf_map_size(map), 0);
    mf_map_destroy(&map);
}

static void keys_are_copied_and_come_back(void **state)
{
    struct mf_map *map = mf_map_new();
    char name[] = "node-1";
    struct mf_uuid id = {{1, 2, 3}};
    struct mf_str key;
    size_t cursor = 0;
    void *value;

    mf_map_put_str(map, mf_str(name), name);
    name[0] = 'X';
    assert_ptr_equal(mf_map_get_str(map, mf_str("node-1")), name);
    assert_true(mf_map_next_key(map, &cursor, &key, &value) && mf_str_is(key, "node-1"));
    assert_null(mf_map_put_uuid(map, id, &id));
    assert_ptr_equal(mf_map_get_uuid(map, id), &id);
    assert_ptr_equal(mf_map_del_uuid(map, id), &id);
    assert_null(mf_map_del_uuid(map, id));
    mf_map_destroy(&map);
}

static void the_heap_gives_deadlines_in_order(void **state)
{
    enum { TIMERS = 300 };
    static struct mf_timer timers[TIMERS];
    struct mf_heap heap = {0};
    struct mf_random random;
    struct mf_timer *taken;
    mf_ms last = INT64_MIN;
    int left = TIMERS;

    mf_random_seed(&random, 12);
    for (int i = 0; i < TIMERS; i++)
        mf_heap_set(&heap, &timers[i], (mf_ms)mf_random_below(&random, 50));
    for (int i = 0; i < TIMERS; i += 3)
        mf_heap_set(&heap, &timers[i], (mf_ms)mf_random_below(&random, 50));
    for (int i = 0; i < TIMERS; i += 5, left--)
        mf_heap_unset(&heap, &timers[i]);
    mf_heap_unset(&heap, &timers[0]);
    assert_null(mf_heap_take(&heap, -1));
    for (uint64_t order = 0; (taken = mf_heap_take(&heap, 1000)); left--) {
        assert_true(taken->when > last || (taken->when == last && taken->order > order));
        last = taken->when;
        order = taken->order;
    }
    assert_int_equal(left, 0);
    assert_null(mf_heap_first(&heap));
    mf_heap_free(&heap);
}

static void the_arena_gives_zeroed_aligned_memory(void **state)
{
    struct mf_arena arena = {0};

    for (int round = 0; round < 3; round++) {
        for (size_t size = 0; size < 20000; size += 1 + size / 3) {
            char *at = mf_arena_alloc(&arena, size);

            assert_int_equal((uintptr_t)at % 16, 0);
            for (size_t i = 0; i < size; i++)
                assert_int_equal(at[i], 0);
            memset(at, 0xff, size);
        }
        assert_true(arena.used > 40000);
        mf_arena_reset(&arena);
        assert_int_equal(arena.used, 0);
    }
    mf_arena_free(&arena);
    mf_arena_free(&arena);
}

static void the_buffer_grows_and_keeps_its_memory(void **state)
{
    struct mf_buf buf = {0};

    for (int i = 0; i < 10000; i++)
        mf_buf_append(&buf, &i, sizeof(i));
    assert_int_equal(buf.len, 10000 * sizeof(int));
    for (int i = 0, got; i < 10000; i++) {
        memcpy(&got, buf.ptr + (size_t)i * sizeof(i), sizeof(i));
        assert_int_equal(got, i);
    }
    size_t cap = buf.cap;
    mf_buf_clear(&buf);
    mf_buf_append(&buf, NULL, 0);
    assert_int_equal(buf.len, 0);
    assert_int_equal(buf.cap, cap);
    mf_buf_free(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_map_does_what_a_plain_array_does),
        cmocka_unit_test(a_walk_may_delete_and_put),
        cmocka_unit_test(keys_are_copied_and_come_back),
        cmocka_unit_test(the_heap_gives_deadlines_in_order),
        cmocka_unit_test(the_arena_gives_zeroed_aligned_memory),
        cmocka_unit_test(the_buffer_grows_and_keeps_its_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
