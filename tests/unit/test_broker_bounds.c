/* test_broker_bounds.c - what rules, labels and names may cost: every number of them has an end, is told in
 * words, and is given back with who asked for it. */
#include "place_stage.h"
#include "check.h"
#include "group_rules.h"
#include "place.h"
#include "pooled.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Whom others keep away from has a rule for each label by which they do: there is an end to them. */
static void test_kept_apart_by_so_many_labels(void **state)
{
    struct mf_rec_group_name web = {.group = mf_str("web")};
    struct mf_message message;
    struct stage s;
    char name[32], label[32];

    place_open_racks(&s, 4, 2, 0);
    for (int i = 0; i < MF_RULE_DOMAINS_MAX; i++) {
        struct mf_rec_rules rules = {.apart = {.items = &web, .n = 1},
                                     .apart_by = mf_str_format(label, sizeof(label), "label-%d", i)};
        if (i == 0)
            rules.apart_by = mf_str("host");
        mf_str_format(name, sizeof(name), "foe-%d", i);
        place_provision(&s, name, 1, rules);
    }
    message = stage_provision_message(&s, "one-more", 1);
    message.provision.rules.apart.items = &web;
    message.provision.rules.apart.n = 1;
    message.provision.rules.apart_by = mf_str("power");
    place_assert_refused(&s, message, "rules.apart_by: groups are kept apart by 8 labels already");
    place_provision(&s, "by-host", 1, (struct mf_rec_rules){.apart = {.items = &web, .n = 1}});
    stage_provision(&s, "web", 4);
    stage_answer_all(&s);
    assert_true(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING) > MF_RULE_DOMAINS_MAX);
    stage_reloads(&s);
    stage_close(&s);
}

/* Each label by which others want to be with a group is one more count of every one of it. */
static void test_kept_together_by_so_many_labels(void **state)
{
    struct mf_rec_group_name web = place_named("web");
    struct mf_message message;
    struct stage s;
    char name[32], label[32];

    place_open_racks(&s, 4, 2, 0);
    place_provision(&s, "web", 1, (struct mf_rec_rules){0});
    for (int i = 0; i < MF_RULE_DOMAINS_MAX; i++) {
        struct mf_rec_rules rules = {.with = {&web, 1},
                                     .with_by = mf_str_format(label, sizeof(label), "label-%d", i)};
        mf_str_format(name, sizeof(name), "friend-%d", i);
        place_provision(&s, name, 1, rules);
    }
    message = stage_provision_message(&s, "one-more", 1);
    message.provision.rules = (struct mf_rec_rules){.with = {&web, 1}, .with_by = mf_str("power")};
    place_assert_refused(&s, message, "rules.with_by: groups are kept together by 8 labels already");
    stage_destroy(&s, "friend-3");
    place_provision(&s, "one-more", 1, message.provision.rules);
    stage_close(&s);
}

/* Names that are not there yet, as many as a provision may have of them. */
static struct mf_message with_new_names(struct stage *s, int from, char names[32][16])
{
    static struct mf_label labels[32];
    struct mf_message message = stage_provision_message(s, "new", 1);

    for (int i = 0; i < 32; i++)
        labels[i] =
            (struct mf_label){mf_str_format(names[i], sizeof(names[i]), "name-%d", from + i), mf_str("x")};
    message.provision.rules.prefer = (struct mf_labels){labels, 16};
    message.provision.rules.forbid = (struct mf_labels){labels + 16, 16};
    return message;
}

struct copy {
    struct stage_record records[256];
    size_t n;
};

static void keep(void *arg, const char *id, struct mf_str data)
{
    struct copy *copy = arg;
    struct stage_record *record = &copy->records[copy->n++];

    assert_true(copy->n <= sizeof(copy->records) / sizeof(*copy->records));
    mf_str_format(record->id, sizeof(record->id), "%s", id);
    mf_buf_append(&record->data, data.ptr, data.len);
}

/* What loads a snapshot has place for this name. */
static bool forgets_when_loaded(const struct stage *s, struct mf_str name)
{
    struct copy copy = {0};
    struct mf_broker *loaded;
    bool takes;

    mf_broker_snapshot(s->b, keep, &copy);
    loaded = stage_load(s, copy.records, copy.n, s->n_rows);
    takes = mf_pool_takes_key(loaded->pool, name) && !mf_pool_takes_key(s->b->pool, name);
    mf_broker_destroy(&loaded);
    while (copy.n)
        mf_buf_free(&copy.records[--copy.n].data);
    return takes;
}

/* Placement forgets no name while it lives: nobody makes it remember ever new ones. */
static void test_names_have_an_end(void **state)
{
    char names[32][16];
    struct mf_label label = {mf_str("brand-new"), mf_str("x")};
    struct mf_message hello = stage_hello_message(4);
    struct mf_rec_group_name web = place_named("web");
    struct mf_message message;
    struct stage s;

    place_open_racks(&s, 4, 2, 0);
    for (int i = 0; i < MF_POOL_KEYS_MAX / 32; i++) {
        stage_client(&s, with_new_names(&s, 32 * i, names));
        stage_answer_all(&s);
        stage_destroy(&s, "new");
        stage_answer_all(&s);
    }
    place_assert_refused(&s, with_new_names(&s, MF_POOL_KEYS_MAX, names),
                         "there were 1024 names of labels before");
    message = stage_provision_message(&s, "web", 1);
    message.provision.rules.spread_by = label.key;
    place_assert_refused(&s, message, "rules.spread_by: brand-new is new");
    hello.hello.labels = (struct mf_labels){&label, 1};
    stage_hello_as(&s, 4, hello);
    assert_null(mf_node_find(s.b, mf_str("node-4")));
    label = (struct mf_label){mf_str("rack"), mf_str("r9")};
    stage_hello_as(&s, 4, hello);
    assert_non_null(mf_node_find(s.b, mf_str("node-4")));
    place_provision(&s, "web", 1, (struct mf_rec_rules){.spread_by = mf_str("rack")});
    place_provision(&s, "db", 1, (struct mf_rec_rules){.apart = {&web, 1}, .apart_by = mf_str("rack")});
    assert_true(forgets_when_loaded(&s, mf_str("brand-new")));
    stage_close(&s);
}

/* A reply holds what one message may, whatever rules there are to tell. */
static void test_lists_of_long_rules(void **state)
{
    char words[32][64], name[32];
    struct mf_label labels[32];
    struct mf_message message;
    const struct mf_message *reply;
    struct mf_buf head = {0}, body = {0};
    struct stage s;

    place_open_racks(&s, 2, 1, 0);
    for (int i = 0; i < 32; i++) {
        mf_str_format(words[i], sizeof(words[i]), "%02d%061d", i, 0);
        labels[i] = (struct mf_label){mf_str(words[i]), mf_str(words[i])};
    }
    for (int i = 0; i < 300; i++) {
        mf_str_format(name, sizeof(name), "g-%d", i);
        message = stage_provision_message(&s, name, 1);
        message.provision.rules.prefer = (struct mf_labels){labels, 16};
        message.provision.rules.forbid = (struct mf_labels){labels + 16, 16};
        stage_client(&s, message);
    }
    assert_int_equal(s.b->groups.n, 300);
    stage_forget_sent(&s);
    stage_client(
        &s, (struct mf_message){.kind = MF_MSG_LIST_GROUPS, .list_groups = {.request_id = mf_str("all")}});
    reply = stage_last(&s, STAGE_CLIENT, MF_MSG_GROUPS);
    assert_non_null(reply);
    mf_message_encode(reply, &head, &body);
    assert_true(body.len <= MF_MESSAGE_MAX);
    assert_true(reply->groups.rows.n > 0 && reply->groups.next.len > 0);
    mf_buf_free(&head);
    mf_buf_free(&body);
    stage_close(&s);
}

/* What groups that are gone wanted of one that stays costs that one nothing, however many they were. */
static void test_who_kept_away_is_forgotten(void **state)
{
    struct mf_rec_group_name web = place_named("web");
    struct stage s;
    char label[32];

    place_open_racks(&s, 4, 2, 0);
    place_provision(&s, "web", 2, (struct mf_rec_rules){0});
    for (int i = 0; i < 2 * MF_RULES_MAX; i++) {
        struct mf_rec_rules rules = {.apart = {&web, 1},
                                     .apart_by = mf_str_format(label, sizeof(label), "label-%d", i)};
        place_provision(&s, "foe", 1, rules);
        stage_scale(&s, "web", 2 - i % 2);
        stage_answer_all(&s);
        stage_destroy(&s, "foe");
        stage_answer_all(&s);
    }
    assert_int_equal(mf_group_active(s.b, mf_str("web"))->foreign.n, 0);
    place_provision(&s, "foe", 1, (struct mf_rec_rules){.apart = {&web, 1}, .apart_by = mf_str("rack")});
    assert_true(place_node_of(&s, "foe", 0) / 2 != place_node_of(&s, "web", 0) / 2);
    stage_reloads(&s);
    stage_close(&s);
}

/* The same of those that wanted to be with it. */
static void test_who_clung_is_forgotten(void **state)
{
    struct mf_rec_group_name web = place_named("web");
    uint32_t own;
    struct stage s;

    place_open_racks(&s, 4, 2, 0);
    place_provision(&s, "web", 2, (struct mf_rec_rules){0});
    own = mf_group_active(s.b, mf_str("web"))->tallies.n;
    place_provision(&s, "friend", 1, (struct mf_rec_rules){.with = {&web, 1}, .with_by = mf_str("rack")});
    assert_int_equal(mf_group_active(s.b, mf_str("web"))->tallies.n, own + 1);
    stage_destroy(&s, "friend");
    stage_answer_all(&s);
    assert_true(mf_group_active(s.b, mf_str("web"))->tallies.n <= own);
    stage_client(&s,
                 (struct mf_message){.kind = MF_MSG_EXPLAIN,
                                     .explain = {.request_id = mf_str("e"),
                                                 .offering = mf_str("small"),
                                                 .rules = {.with = {&web, 1}, .with_by = mf_str("rack")}}});
    assert_non_null(stage_last(&s, STAGE_CLIENT, MF_MSG_EXPLAINED));
    assert_true(mf_group_active(s.b, mf_str("web"))->tallies.n <= own);
    place_provision(&s, "friend", 1, (struct mf_rec_rules){.with = {&web, 1}, .with_by = mf_str("rack")});
    assert_true(place_node_of(&s, "friend", 0) >= 0);
    stage_reloads(&s);
    stage_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kept_apart_by_so_many_labels),
        cmocka_unit_test(test_kept_together_by_so_many_labels),
        cmocka_unit_test(test_names_have_an_end),
        cmocka_unit_test(test_lists_of_long_rules),
        cmocka_unit_test(test_who_kept_away_is_forgotten),
        cmocka_unit_test(test_who_clung_is_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
