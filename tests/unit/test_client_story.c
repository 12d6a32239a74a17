/* `why` and `--wait`: the chain of causes, and a group as one who waits for it sees it. */
#include "crowd.h"
#include "story.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static struct mf_arena arena;
static struct mf_story story;

static void add(uint64_t seq, uint64_t cause, const char *type, const char *subject)
{
    struct mf_rec_event_row row = {.seq = seq,
                                   .cause = cause,
                                   .time_ms = seq * 10,
                                   .type = mf_str(type),
                                   .subject = mf_str(subject),
                                   .data = mf_str("\x80")};
    mf_story_add(&story, &row, &arena);
}

static int begin(void **state)
{
    add(10, 0, "request.accepted", "default/web");
    add(12, 10, "instance.created", "default/web/3#1");
    add(13, 12, "instance.placed", "default/web/3#1");
    add(20, 13, "instance.running", "default/web/3#1");
    add(31, 30, "instance.lost", "default/web/3#1");
    add(32, 31, "instance.created", "default/web/3#2");
    add(33, 32, "instance.placed", "default/web/3#2");
    add(40, 33, "instance.running", "default/web/3#2");
    add(45, 41, "instance.tombstoned", "default/web/3#1");
    return 0;
}

static int end(void **state)
{
    mf_story_free(&story);
    mf_arena_free(&arena);
    return 0;
}

static struct mf_target target_of(const char *text)
{
    struct mf_target target;
    char error[256];
    assert_int_equal(mf_target_parse(text, &target, error), 0);
    return target;
}

static void newest_is_of_the_newest_generation(void **state)
{
    struct mf_target slot = target_of("web/3"), first = target_of("web/3#1"), none = target_of("web/4");
    assert_int_equal(mf_story_newest(&story, &slot)->row.seq, 40);
    assert_int_equal(mf_story_newest(&story, &first)->row.seq, 45);
    assert_null(mf_story_newest(&story, &none));
}

static void a_group_made_anew_counts_from_one(void **state)
{
    struct mf_target slot = target_of("web/3");
    add(50, 49, "instance.created", "default/web/3#1");
    assert_int_equal(mf_story_newest(&story, &slot)->row.seq, 50);
}

/* Nobody is born there: who took the place was born in another slot. */
static void a_spare_that_came_is_the_newest(void **state)
{
    struct mf_target slot = target_of("web/3");
    add(51, 40, "instance.died", "default/web/3#2");
    add(52, 51, "slot.promoted", "default/web/3#3");
    assert_int_equal(mf_story_newest(&story, &slot)->row.seq, 52);
}

static void chain_asks_for_what_is_missing(void **state)
{
    assert_int_equal(mf_story_mark(&story, 40), 30);
    add(30, 0, "node.failed", "node/node-1");
    assert_int_equal(mf_story_mark(&story, 40), 0);
    mf_story_cut(&story, 0);
    static const uint64_t seqs[] = {30, 31, 32, 33, 40};
    assert_int_equal(story.n, 5);
    for (size_t i = 0; i < story.n; i++) {
        assert_int_equal(story.rows[i].row.seq, seqs[i]);
        assert_true(story.rows[i].chain);
    }
}

static void what_happened_meanwhile_is_kept(void **state)
{
    add(30, 0, "node.failed", "node/node-1");
    add(35, 33, "instance.pending", "default/web/3#2");
    assert_int_equal(mf_story_mark(&story, 40), 0);
    mf_story_cut(&story, 0);
    assert_int_equal(story.n, 6);
    assert_false(mf_story_find(&story, 35)->chain);
    add(20, 13, "instance.running", "default/web/3#1");
    add(19, 13, "instance.pending", "default/web/3#1");
    mf_story_cut(&story, 1);
    assert_int_equal(story.rows[0].row.seq, 20);
}

static void no_circle_is_walked(void **state)
{
    add(60, 61, "a.b", "cluster");
    add(61, 60, "a.b", "cluster");
    assert_int_equal(mf_story_mark(&story, 60), 0);
    assert_int_equal(mf_story_mark(&story, 61), 0);
}

/* -- the crowd */

static struct mf_uuid id_of(unsigned n)
{
    struct mf_uuid id = {{1}};
    id.bytes[15] = (uint8_t)n;
    return id;
}

static void feed(struct mf_crowd *crowd, const struct mf_event *event)
{
    struct mf_buf buf = {0};
    mf_event_encode(event, &buf);
    struct mf_rec_event_row row = {.type = mf_str(mf_kind_desc(event->kind)->wire),
                                   .data = {buf.ptr, (uint32_t)buf.len}};
    mf_crowd_event(crowd, &row);
    mf_buf_free(&buf);
}

static void born(struct mf_crowd *crowd, unsigned n, uint64_t slot, uint64_t generation)
{
    feed(crowd, &(struct mf_event){
                    .kind = MF_EV_INSTANCE_CREATED,
                    .instance_created = {
                        .id = id_of(n), .group_id = id_of(99), .slot = slot, .generation = generation}});
}

static void runs(struct mf_crowd *crowd, unsigned n)
{
    feed(crowd, &(struct mf_event){.kind = MF_EV_INSTANCE_RUNNING,
                                   .instance_running = {.id = id_of(n), .node = mf_str("a"), .epoch = 1}});
}

static void crowd_follows_a_replacement(void **state)
{
    struct mf_crowd crowd = {0};
    born(&crowd, 1, 0, 1);
    born(&crowd, 2, 1, 1);
    assert_int_equal(mf_crowd_count(&crowd, 2).pending, 2);
    runs(&crowd, 1);
    assert_false(mf_crowd_complete(&crowd, 2));
    runs(&crowd, 2);
    assert_true(mf_crowd_complete(&crowd, 2));
    feed(&crowd, &(struct mf_event){.kind = MF_EV_INSTANCE_LOST,
                                    .instance_lost = {.id = id_of(2), .node = mf_str("a"), .epoch = 1}});
    born(&crowd, 3, 1, 2);
    assert_false(mf_crowd_complete(&crowd, 2));
    runs(&crowd, 3);
    assert_true(mf_crowd_complete(&crowd, 2)); /* the lost one still waits for its node */
    mf_crowd_free(&crowd);
}

static void crowd_waits_for_the_highest_to_go(void **state)
{
    struct mf_crowd crowd = {0};
    for (unsigned i = 0; i < 3; i++) {
        born(&crowd, i + 1, i, 1);
        runs(&crowd, i + 1);
    }
    assert_false(mf_crowd_complete(&crowd, 2));
    feed(&crowd, &(struct mf_event){.kind = MF_EV_INSTANCE_GONE,
                                    .instance_gone = {.id = id_of(3), .proof = mf_str("absent")}});
    assert_true(mf_crowd_complete(&crowd, 2));
    assert_false(mf_crowd_has(&crowd, id_of(3)));
    mf_crowd_free(&crowd);
}

static void crowd_takes_a_reinstated_one_back(void **state)
{
    struct mf_crowd crowd = {0};
    born(&crowd, 1, 0, 1);
    runs(&crowd, 1);
    feed(&crowd, &(struct mf_event){.kind = MF_EV_INSTANCE_LOST,
                                    .instance_lost = {.id = id_of(1), .node = mf_str("a"), .epoch = 1}});
    born(&crowd, 2, 0, 2);
    feed(&crowd,
         &(struct mf_event){.kind = MF_EV_INSTANCE_REINSTATED,
                            .instance_reinstated = {.id = id_of(1), .node = mf_str("a"), .epoch = 2}});
    assert_true(mf_crowd_complete(&crowd, 1));
    mf_crowd_free(&crowd);
}

static void crowd_knows_its_own_group(void **state)
{
    struct mf_crowd crowd = {.group_id = id_of(99)};
    feed(&crowd, &(struct mf_event){.kind = MF_EV_GROUP_GONE, .group_gone = {.group_id = id_of(98)}});
    assert_false(crowd.gone);
    feed(&crowd, &(struct mf_event){.kind = MF_EV_GROUP_GONE, .group_gone = {.group_id = id_of(99)}});
    assert_true(crowd.gone);
    mf_crowd_free(&crowd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(newest_is_of_the_newest_generation, begin, end),
        cmocka_unit_test_setup_teardown(a_group_made_anew_counts_from_one, begin, end),
        cmocka_unit_test_setup_teardown(a_spare_that_came_is_the_newest, begin, end),
        cmocka_unit_test_setup_teardown(chain_asks_for_what_is_missing, begin, end),
        cmocka_unit_test_setup_teardown(what_happened_meanwhile_is_kept, begin, end),
        cmocka_unit_test_setup_teardown(no_circle_is_walked, begin, end),
        cmocka_unit_test(crowd_follows_a_replacement),
        cmocka_unit_test(crowd_waits_for_the_highest_to_go),
        cmocka_unit_test(crowd_takes_a_reinstated_one_back),
        cmocka_unit_test(crowd_knows_its_own_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
