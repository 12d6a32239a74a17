/* What people write and read of births: times, checks, digests, waiting, sentences. */
#include "crowd.h"
#include "generate.h"
#include "guest_options.h"
#include "image_digest.h"
#include "overlap.h"
#include "sentence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static void times(void **state)
{
    static const char *const bad[] = {"", "s", "5y", "5 s", "-1", "1.5s", "9999999999999"};
    uint64_t ms = 0;
    assert_true(mf_duration_parse(mf_str("1500ms"), &ms) && ms == 1500);
    assert_true(mf_duration_parse(mf_str("30s"), &ms) && ms == 30000);
    assert_true(mf_duration_parse(mf_str("30"), &ms) && ms == 30000);
    assert_true(mf_duration_parse(mf_str("5m"), &ms) && ms == 300000);
    assert_true(mf_duration_parse(mf_str("1h"), &ms) && ms == 3600000);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(mf_duration_parse(mf_str(bad[i]), &ms));
}

static void checks(void **state)
{
    static const struct {
        const char *text, *why;
    } bad[] = {{"tcp", "begins with"},
               {"udp:53", "begins with"},
               {"tcp:", "port"},
               {"tcp:0", "port"},
               {"tcp:65536", "port"},
               {"tcp:80x", "port"},
               {"tcp:80/x", "only http"},
               {"tcp:80,rise=2", "rise"},
               {"tcp:80,every", "every"},
               {"tcp:80,every=soon", "a time"},
               {"tcp:80,fall=0", "1 to 100"},
               {"tcp:80,", "is not one of"},
               {"http:80/a,fall=101", "1 to 100"}};
    struct mf_rec_check check;
    char error[256];
    assert_int_equal(mf_check_parse("tcp:80", &check, error), 0);
    assert_int_equal(check.kind, MF_CHECK_KIND_TCP);
    assert_int_equal(check.port, 80);
    assert_int_equal(check.every_ms, 0);
    assert_int_equal(mf_check_parse("http:8080/healthz?a=b,every=2s,timeout=500ms,fall=7", &check, error), 0);
    assert_true(mf_str_is(check.path, "/healthz?a=b"));
    assert_int_equal(check.every_ms, 2000);
    assert_int_equal(check.timeout_ms, 500);
    assert_int_equal(check.fall, 7);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(mf_check_parse(bad[i].text, &check, error), -EINVAL);
        if (!strstr(error, bad[i].why))
            fail_msg("%s: \"%s\" does not hold \"%s\"", bad[i].text, error, bad[i].why);
    }
}

#define ONES  "1111111111111111111111111111111111111111111111111111111111111111"
#define TWOS  "2222222222222222222222222222222222222222222222222222222222222222"
#define MIXED "aAbBcCdDeEfF0123456789abcdefABCDEF0123456789abcdefABCDEF01234567"

static void digests(void **state)
{
    struct mf_digest digest;
    assert_true(mf_image_digest_parse(mf_str(ONES), &digest));
    assert_int_equal(digest.bytes[31], 0x11);
    assert_true(mf_image_digest_parse(mf_str("sha256:" MIXED), &digest));
    assert_int_equal(digest.bytes[0], 0xaa);
    assert_false(mf_image_digest_parse(mf_str("sha512:" ONES), &digest));
    assert_false(mf_image_digest_parse(mf_str(ONES "1"), &digest));
    assert_false(mf_image_digest_parse(mf_str("g" ONES), &digest));
    assert_false(mf_image_digest_parse(mf_str(""), &digest));
}

static void lists_of_digests(void **state)
{
    static const char sums[] = "# of today\n" ONES "  debian.qcow2\n" TWOS " *sub/debian.raw\r\n"
                               "SHA256 (other.img) = " TWOS "\n" ONES "  other.img.sig\n" ONES
                               "  twice\n" TWOS "  twice\n" ONES "  same\n" ONES " *same";
    struct mf_str text = mf_str(sums);
    struct mf_digest digest;
    assert_int_equal(mf_image_digest_find(text, mf_str("https://h/a/debian.qcow2?token=x/y"), &digest), 0);
    assert_int_equal(digest.bytes[0], 0x11);
    assert_int_equal(mf_image_digest_find(text, mf_str("https://h/debian.raw"), &digest), 0);
    assert_int_equal(digest.bytes[0], 0x22);
    assert_int_equal(mf_image_digest_find(text, mf_str("file:///srv/other.img"), &digest), 0);
    assert_int_equal(digest.bytes[0], 0x22);
    assert_int_equal(mf_image_digest_find(text, mf_str("http://h/same"), &digest), 0);
    assert_int_equal(mf_image_digest_find(text, mf_str("http://h/twice"), &digest), -EEXIST);
    assert_int_equal(mf_image_digest_find(text, mf_str("http://h/ebian.qcow2"), &digest), -ENOENT);
    assert_int_equal(mf_image_digest_find(text, mf_str("http://h/"), &digest), -ENOENT);
    for (uint32_t n = 0; n <= text.len; n++) /* whatever is cut off: the sanitizers judge */
        mf_image_digest_find((struct mf_str){sums, n}, mf_str("http://h/debian.raw"), &digest);
}

static void overlaps(void **state)
{
    static const struct {
        const char *before, *now;
        uint32_t same;
    } cases[] = {{"", "abc", 0},        {"abc", "abcd", 3},  {"abc", "abc", 3},  {"abcd", "cde", 2},
                 {"abc", "xyz", 0},     {"abc", "", 0},      {"aaaa", "aab", 2}, {"abab", "ababc", 4},
                 {"xaab", "aabaab", 3}, {"abcabc", "abc", 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(mf_overlap(mf_str(cases[i].before), mf_str(cases[i].now)), cases[i].same);
}

/* -- waiting */

static void tell(struct mf_crowd *crowd, const struct mf_event *event)
{
    struct mf_buf data = {0};
    mf_event_encode(event, &data);
    struct mf_rec_event_row row = {.type = mf_str(mf_kind_desc(event->kind)->wire),
                                   .data = {data.ptr, (uint32_t)data.len}};
    mf_crowd_event(crowd, &row);
    mf_buf_free(&data);
}

static struct mf_uuid id_of(uint8_t n)
{
    return (struct mf_uuid){{n}};
}

static void list(struct mf_crowd *crowd, uint8_t id, uint64_t slot, uint64_t ready_ms)
{
    mf_crowd_list(crowd, &(struct mf_rec_instance_row){.id = id_of(id),
                                                       .slot = slot,
                                                       .generation = 1,
                                                       .state = MF_INSTANCE_STATE_RUNNING,
                                                       .current = true,
                                                       .ready_ms = ready_ms});
}

static void waits_until_all_are_well(void **state)
{
    struct mf_crowd crowd = {.wait_ready = true, .spares = 1};
    struct mf_event ready = {.kind = MF_EV_INSTANCE_READY,
                             .instance_ready = {.id = id_of(2), .node = mf_str("n"), .epoch = 1}};
    list(&crowd, 1, 0, 5);
    list(&crowd, 2, 1, 0);
    assert_false(mf_crowd_complete(&crowd, 2)); /* it runs, and has not said that it is well */
    tell(&crowd, &ready);
    assert_true(mf_crowd_complete(&crowd, 2));
    list(&crowd, 3, 2, 5); /* a spare is above, and may stay */
    assert_true(mf_crowd_complete(&crowd, 2));
    list(&crowd, 4, 3, 5); /* what is above that has to go */
    assert_false(mf_crowd_complete(&crowd, 2));
    mf_crowd_free(&crowd);
}

static void a_spare_takes_the_place_of_the_unwell(void **state)
{
    struct mf_crowd crowd = {.spares = 1};
    struct mf_event unwell = {.kind = MF_EV_INSTANCE_UNWELL,
                              .instance_unwell = {.id = id_of(1),
                                                  .node = mf_str("n"),
                                                  .epoch = 1,
                                                  .how = MF_AILMENT_HUNG,
                                                  .text = mf_str("its watchdog rang")}};
    struct mf_event promoted = {.kind = MF_EV_SLOT_PROMOTED,
                                .slot_promoted = {.id = id_of(2),
                                                  .group_id = id_of(9),
                                                  .slot = 0,
                                                  .generation = 2,
                                                  .from_slot = 1,
                                                  .replaces = id_of(1)}};
    list(&crowd, 1, 0, 5);
    list(&crowd, 2, 1, 5);
    assert_true(mf_crowd_complete(&crowd, 1));
    tell(&crowd, &unwell);
    assert_false(mf_crowd_complete(&crowd, 1));
    assert_string_equal(crowd.trouble, "its watchdog rang");
    tell(&crowd, &promoted);
    assert_true(mf_crowd_complete(&crowd, 1));
    mf_crowd_free(&crowd);
}

/* -- sentences */

static void expect(const struct mf_event *event, const char *part)
{
    struct mf_buf data = {0};
    char text[MF_SENTENCE];
    mf_event_encode(event, &data);
    struct mf_rec_event_row row = {.type = mf_str(mf_kind_desc(event->kind)->wire),
                                   .data = {data.ptr, (uint32_t)data.len}};
    mf_sentence(&row, text);
    if (!strstr(text, part))
        fail_msg("\"%s\" does not hold \"%s\"", text, part);
    for (const char *c = text; *c; c++)
        assert_true((unsigned char)*c >= 0x20 && *c != 0x7f);
    mf_buf_free(&data);
}

static void sentences(void **state)
{
    struct mf_rec_node_name nodes[] = {{.node = mf_str("node-1")}, {.node = mf_str("node-2")}};
    struct mf_event warming = {.kind = MF_EV_IMAGE_WARMING, .image_warming = {.image = mf_str("debian")}};
    struct mf_event cache = {.kind = MF_EV_NODE_IMAGE,
                             .node_image = {.node = mf_str("node-1"),
                                            .epoch = 1,
                                            .sha256 = {{0xab}},
                                            .image = mf_str("debian"),
                                            .state = MF_IMAGE_PROGRESS_CACHED,
                                            .bytes = 77,
                                            .took_ms = 9}};
    struct mf_event unwell = {.kind = MF_EV_INSTANCE_UNWELL,
                              .instance_unwell = {.id = id_of(1),
                                                  .node = mf_str("node-1"),
                                                  .epoch = 1,
                                                  .how = MF_AILMENT_BOOT,
                                                  .text = mf_str("\033[2J"),
                                                  .console = mf_str("\033[2Jsecret")}};
    expect(&warming, "image debian is to be fetched by every node, and by each that joins");
    warming.image_warming.nodes.items = nodes;
    warming.image_warming.nodes.n = 2;
    expect(&warming, "by node-1, node-2");
    warming = (struct mf_event){.kind = MF_EV_IMAGE_WARMING,
                                .image_warming = {.image = mf_str("debian"), .stop = true}};
    expect(&warming, "need not fetch image debian any more");
    expect(&(struct mf_event){.kind = MF_EV_IMAGE_REMOVED, .image_removed = {.image = mf_str("debian")}},
           "image debian is forgotten");
    expect(&cache, "node node-1 has a file of image debian (sha256 ab0000000000), 77 bytes, in 9 ms");
    cache.node_image.state = MF_IMAGE_PROGRESS_FAILED;
    cache.node_image.text = mf_str("404 Not Found");
    expect(&cache, "could not fetch");
    expect(&cache, "404 Not Found");
    cache.node_image.state = MF_IMAGE_PROGRESS_EVICTED;
    cache.node_image.image = (struct mf_str){0};
    expect(&cache, "made room of the file sha256 ab0000000000");
    expect(&unwell, "it was not ready in time on node-1 and is replaced: ?[2J");
    expect(&unwell, "the end of its output was kept (mayfly logs)");
    expect(&(struct mf_event){.kind = MF_EV_INSTANCE_READY,
                              .instance_ready = {.id = id_of(1), .node = mf_str("node-1"), .epoch = 1}},
           "it says that it is well, on node-1");
    expect(&(struct mf_event){.kind = MF_EV_SLOT_PROMOTED,
                              .slot_promoted = {.id = id_of(1),
                                                .group_id = id_of(2),
                                                .slot = 3,
                                                .generation = 4,
                                                .from_slot = 6}},
           "the spare of slot 6 takes its place: it is generation 4 of slot 3");
}

/* No event of the table is told by its bare name: whoever adds one says it. */
static void every_event_has_a_sentence(void **state)
{
    for (int kind = MF_MSG_COUNT + 1; kind < MF_KIND_COUNT; kind++) {
        const struct mf_desc *desc = mf_kind_desc(kind);
        struct mf_random random;
        struct mf_arena arena = {0};
        struct mf_event event = {.kind = kind};
        struct mf_buf data = {0};
        char text[MF_SENTENCE];
        mf_random_seed(&random, (uint64_t)kind);
        mf_generate(desc, &random, &arena, &event.cluster_created);
        mf_event_encode(&event, &data);
        struct mf_rec_event_row row = {.type = mf_str(desc->wire), .data = {data.ptr, (uint32_t)data.len}};
        if (!strcmp(mf_sentence(&row, text), desc->wire))
            fail_msg("%s has no sentence", desc->wire);
        mf_buf_free(&data);
        mf_arena_free(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times),
        cmocka_unit_test(checks),
        cmocka_unit_test(digests),
        cmocka_unit_test(lists_of_digests),
        cmocka_unit_test(overlaps),
        cmocka_unit_test(waits_until_all_are_well),
        cmocka_unit_test(a_spare_takes_the_place_of_the_unwell),
        cmocka_unit_test(sentences),
        cmocka_unit_test(every_event_has_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
