/* Protocol values as JSON: structs by their table, event data as it came, hostile bytes refused. */
#include "json.h"
#include "output.h"
#include "generate.h"
#include "sentence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static const struct mf_uuid id = {{0x01, 0x8f, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 7}};
#define ID_TEXT "018f0000-0000-7000-8000-000000000007"

static void expect(json_t *json, const char *text)
{
    assert_non_null(json);
    char *got = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
    assert_string_equal(got, text);
    free(got);
    json_decref(json);
}

static void shows_event_data(void **state)
{
    struct mf_buf buf = {0};
    struct mf_event event = {
        .kind = MF_EV_INSTANCE_CREATED,
        .instance_created = {.id = id, .group_id = id, .slot = 3, .generation = 2, .replaces = id}};
    mf_event_encode(&event, &buf);
    struct mf_str data = {buf.ptr, (uint32_t)buf.len};
    const char *text = "{\"id\":\"" ID_TEXT "\",\"group_id\":\"" ID_TEXT
                       "\",\"slot\":3,\"generation\":2,\"replaces\":\"" ID_TEXT "\"}";
    expect(mf_json_msgpack(data, mf_kind_desc(MF_EV_INSTANCE_CREATED)), text);
    expect(mf_json_msgpack(data, NULL), text); /* sixteen bytes under an id's name */
    mf_buf_free(&buf);
}

static void shows_records_inside(void **state)
{
    struct mf_buf buf = {0};
    struct mf_label label = {mf_str("rack"), mf_str("r1")};
    struct mf_event event = {.kind = MF_EV_NODE_JOINED,
                             .node_joined = {.node = mf_str("n"),
                                             .epoch = 1,
                                             .machine_id = mf_str("m"),
                                             .boot_id = mf_str("b"),
                                             .capacity = {.vcpus = 4},
                                             .class = mf_str("standard"),
                                             .labels = {&label, 1},
                                             .driver = mf_str("null")}};
    mf_event_encode(&event, &buf);
    json_t *json =
        mf_json_msgpack((struct mf_str){buf.ptr, (uint32_t)buf.len}, mf_kind_desc(MF_EV_NODE_JOINED));
    expect(json_deep_copy(json_object_get(json, "capacity")),
           "{\"vcpus\":4,\"memory_mib\":0,\"disk_mib\":0}");
    expect(json_deep_copy(json_object_get(json, "labels")), "{\"rack\":\"r1\"}");
    json_decref(json);
    mf_buf_free(&buf);
}

static void shows_rows_with_every_key(void **state)
{
    struct mf_rec_instance_row row = {.id = id,
                                      .group = mf_str("web"),
                                      .slot = 3,
                                      .generation = 1,
                                      .state = MF_INSTANCE_STATE_PENDING,
                                      .image = mf_str("tiny"),
                                      .offering = mf_str("small"),
                                      .created_ms = 5,
                                      .cause = 9};
    expect(
        mf_json_struct(&mf_rec_instance_row_desc, &row),
        "{\"id\":\"" ID_TEXT "\",\"group\":\"web\",\"slot\":3,\"generation\":1,\"state\":\"pending\","
        "\"node\":null,\"image\":\"tiny\","
        "\"offering\":\"small\",\"created_ms\":5,\"running_ms\":null,\"cause\":9,\"reason\":null,"
        "\"current\":false,\"ready_ms\":null,\"address\":null,\"spare\":false,\"born\":null,\"cells\":null}");
}

static void refuses_what_is_not_whole(void **state)
{
    struct mf_buf buf = {0};
    struct mf_event event = {.kind = MF_EV_INSTANCE_CREATED,
                             .instance_created = {.id = id, .group_id = id, .slot = 3, .generation = 2}};
    mf_event_encode(&event, &buf);
    for (size_t n = 0; n < buf.len; n++)
        assert_null(mf_json_msgpack((struct mf_str){buf.ptr, (uint32_t)n}, NULL));
    assert_null(mf_json_msgpack((struct mf_str){"\xdf\xff\xff\xff\xff", 5},
                                NULL)); /* a map of four thousand millions */
    assert_null(mf_json_msgpack((struct mf_str){"\xdd\xff\xff\xff\xff", 5}, NULL));
    mf_buf_free(&buf);
}

static void shows_any_value(void **state)
{
    expect(mf_json_msgpack(mf_str("\xc3"), NULL), "true");
    expect(mf_json_msgpack((struct mf_str){"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", 9}, NULL),
           "\"18446744073709551615\"");
    expect(mf_json_msgpack((struct mf_str){"\xff", 1}, NULL), "-1");
    expect(mf_json_msgpack((struct mf_str){"\xcb\x7f\xf0\0\0\0\0\0\0", 9}, NULL), "null"); /* infinity */
    expect(mf_json_msgpack((struct mf_str){"\x82\x01\x02\xa1k\xc4\x02\xab\xcd", 9}, NULL),
           "{\"k\":\"abcd\"}");
    expect(mf_json_text((struct mf_str){"a\xff\x01", 3}), "\"a\\\\xff\\\\x01\"");
}

static void shows_a_row_of_the_log(void **state)
{
    struct mf_rec_event_row row = {.seq = 7,
                                   .cause = 0,
                                   .time_ms = 12,
                                   .type = mf_str("newer.kind"),
                                   .subject = mf_str("cluster"),
                                   .data = mf_str("\x81\xa1k\x01")};
    expect(mf_json_event(&row), "{\"seq\":7,\"time_ms\":12,\"type\":\"newer.kind\",\"subject\":\"cluster\","
                                "\"cause\":0,\"data\":{\"k\":1}}");
    row.data = mf_str("\xc1");
    expect(mf_json_event(&row), "{\"seq\":7,\"time_ms\":12,\"type\":\"newer.kind\",\"subject\":\"cluster\","
                                "\"cause\":0,\"data\":null}");
}

static void tells_sentences(void **state)
{
    struct mf_buf buf = {0};
    char text[MF_SENTENCE];
    struct mf_event event = {.kind = MF_EV_NODE_FAILED,
                             .node_failed = {.node = mf_str("node-1"),
                                             .epoch = 2,
                                             .monitor = mf_str("health-0"),
                                             .evidence = MF_EVIDENCE_CLOSED,
                                             .silent_ms = 612,
                                             .closed_ms = 600,
                                             .instances = 2}};
    mf_event_encode(&event, &buf);
    struct mf_rec_event_row row = {.type = mf_str("node.failed"), .data = {buf.ptr, (uint32_t)buf.len}};
    assert_string_equal(
        mf_sentence(&row, text),
        "health-0 says node node-1 is dead (closed); no pulse for 612 ms, its connection closed 600 ms "
        "ago; 2 instances were on it");
    row.data.len--;
    assert_string_equal(mf_sentence(&row, text), "node.failed");
    mf_buf_free(&buf);
}

static void tells_every_kind(void **state)
{
    char text[MF_SENTENCE];
    for (int kind = MF_MSG_COUNT + 1; kind < MF_KIND_COUNT;
         kind++) { /* one with an empty body is told by its name, not by a crash */
        struct mf_rec_event_row row = {.type = mf_str(mf_kind_desc((enum mf_kind)kind)->wire),
                                       .data = mf_str("\x80")};
        assert_true(strlen(mf_sentence(&row, text)) > 0);
    }
}

/* A kind that nobody wrote a sentence for would be told by its wire name alone. */
static void has_a_sentence_for_every_kind(void **state)
{
    struct mf_random random;
    char text[MF_SENTENCE];
    mf_random_seed(&random, 7);
    for (int kind = MF_MSG_COUNT + 1; kind < MF_KIND_COUNT; kind++) {
        struct mf_arena arena = {0};
        struct mf_event event = {.kind = (enum mf_kind)kind};
        struct mf_buf buf = {0};
        const struct mf_desc *desc = mf_kind_desc((enum mf_kind)kind);
        mf_generate(desc, &random, &arena, &event.cluster_created);
        mf_event_encode(&event, &buf);
        struct mf_rec_event_row row = {.type = mf_str(desc->wire), .data = {buf.ptr, (uint32_t)buf.len}};
        assert_string_not_equal(mf_sentence(&row, text), desc->wire);
        mf_buf_free(&buf);
        mf_arena_free(&arena);
    }
}

static void cleans_what_others_say(void **state)
{
    char text[] = "a\033[2Jb\nc\xc2\x9b"
                  "d";
    mf_sentence_clean(text);
    assert_string_equal(text, "a?[2Jb?c?\x9b"
                              "d");
}

static void formats_cells(void **state)
{
    char text[64];
    json_t *value = json_integer(1000);
    assert_string_equal(mf_output_cell(value, MF_COLUMN_AGE, 91000, text, sizeof text), "90s");
    assert_string_equal(mf_output_cell(value, MF_COLUMN_AGE, 0, text, sizeof text), "0s");
    assert_string_equal(mf_output_cell(value, MF_COLUMN_NUMBER, 0, text, sizeof text), "1000");
    json_decref(value);
    value = json_pack("{s:s,s:s}", "rack", "r1", "zone", "a");
    assert_string_equal(mf_output_cell(value, MF_COLUMN_TEXT, 0, text, sizeof text), "rack=r1,zone=a");
    assert_string_equal(mf_output_cell(value, MF_COLUMN_TEXT, 0, text, 8), "rack=r1");
    json_decref(value);
    assert_string_equal(mf_output_cell(json_null(), MF_COLUMN_TEXT, 0, text, sizeof text), "-");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_event_data),
        cmocka_unit_test(shows_records_inside),
        cmocka_unit_test(shows_rows_with_every_key),
        cmocka_unit_test(refuses_what_is_not_whole),
        cmocka_unit_test(shows_any_value),
        cmocka_unit_test(shows_a_row_of_the_log),
        cmocka_unit_test(tells_sentences),
        cmocka_unit_test(tells_every_kind),
        cmocka_unit_test(has_a_sentence_for_every_kind),
        cmocka_unit_test(cleans_what_others_say),
        cmocka_unit_test(formats_cells),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
