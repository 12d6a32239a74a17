/* What placement thinks, asked by messages: of what is, of what is not, and how many more fit. */
#include "broker_stage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants these first */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void hello_in_rack(struct stage *s, int node, const char *rack)
{
    struct mf_message hello = stage_hello_message(node);
    struct mf_label label = {mf_str("rack"), mf_str(rack)};

    hello.hello.labels = (struct mf_labels){&label, 1};
    stage_hello_as(s, node, hello);
}

/* Two racks of two, 4 vcpus each. */
static void open_racks(struct stage *s)
{
    stage_open(s);
    hello_in_rack(s, 0, "r0");
    hello_in_rack(s, 1, "r1");
    hello_in_rack(s, 2, "r0");
    hello_in_rack(s, 3, "r1");
}

static const struct mf_msg_explained *ask(struct stage *s, struct mf_msg_explain explain)
{
    const struct mf_message *reply;

    explain.request_id = mf_str("e");
    stage_forget_sent(s);
    stage_client(s, (struct mf_message){.kind = MF_MSG_EXPLAIN, .explain = explain});
    reply = stage_last(s, STAGE_CLIENT, MF_MSG_EXPLAINED);
    if (!reply)
        fail_msg("%.*s", MF_STR_ARG(stage_last(s, STAGE_CLIENT, MF_MSG_ERROR)->error.text));
    mf_broker_check(s->b);
    return &reply->explained;
}

static void refused(struct stage *s, struct mf_msg_explain explain, enum mf_errcode code, const char *why)
{
    const struct mf_message *reply;
    char text[512];

    explain.request_id = mf_str("e");
    stage_forget_sent(s);
    stage_client(s, (struct mf_message){.kind = MF_MSG_EXPLAIN, .explain = explain});
    reply = stage_last(s, STAGE_CLIENT, MF_MSG_ERROR);
    assert_non_null(reply);
    mf_str_format(text, sizeof(text), "%.*s", MF_STR_ARG(reply->error.text));
    assert_true(mf_str_is(reply->error.code, mf_error_code(code)));
    if (!strstr(text, why))
        fail_msg("\"%s\" does not hold \"%s\"", text, why);
    mf_broker_check(s->b);
}

static uint64_t refusals(const struct mf_msg_explained *e, const char *word)
{
    for (uint32_t i = 0; i < e->refusals.n; i++)
        if (mf_str_is(e->refusals.items[i].refusal, word))
            return e->refusals.items[i].nodes;
    return 0;
}

static bool could(const struct mf_msg_explained *e, const char *node)
{
    for (uint32_t i = 0; i < e->rows.n; i++)
        if (mf_str_is(e->rows.items[i].node, node))
            return !e->rows.items[i].refusal.len;
    fail_msg("%s is not in the answer", node);
    return false;
}

static const struct mf_msg_explain small = {.offering = {"small", 5}};

static void of_a_group(void **state)
{
    struct stage s;
    struct mf_message web;
    const struct mf_msg_explained *e;
    const char *chosen;

    open_racks(&s);
    web = stage_provision_message(&s, "web", 3);
    web.provision.spread = MF_SPREAD_HOST;
    stage_client(&s, web);
    stage_answer_all(&s);
    e = ask(&s, (struct mf_msg_explain){.target = mf_str("web")});
    assert_int_equal(e->nodes, 4);
    assert_int_equal(e->candidates, 4);
    assert_int_equal(e->rows.n, 4);
    assert_int_equal(e->refusals.n, 0);
    assert_int_equal(e->rows.items[0].level, 0);
    assert_true(e->rows.items[1].level > 0); /* the only one without one of web is the best */
    assert_true(e->fit.len > 0);
    char first[64];
    mf_str_format(first, sizeof(first), "%.*s", MF_STR_ARG(e->rows.items[0].node));
    stage_scale(&s, "web", 4);
    chosen = stage_current(&s, "web", 3)->node->name.ptr;
    assert_string_equal(first, chosen); /* and so it is */
    stage_close(&s);
}

/* A node without the label is in no domain, also while there is nothing to count in any. */
static void of_a_wish_by_label(void **state)
{
    struct stage s;
    struct mf_msg_explain wish = small;
    const struct mf_msg_explained *e;

    stage_open(&s);
    hello_in_rack(&s, 1, "r1");
    stage_hello(&s, 0, NULL, 0);
    wish.rules.spread_by = mf_str("rack");
    e = ask(&s, wish);
    assert_int_equal(e->candidates, 2);
    assert_true(mf_str_is(e->rows.items[0].node, "node-1"));
    assert_true(e->rows.items[1].level > e->rows.items[0].level);
    wish.rules.max_skew = 1;
    e = ask(&s, wish);
    assert_int_equal(e->candidates, 1);
    assert_int_equal(refusals(e, "skew"), 1);
    stage_close(&s);
}

static void of_a_wish(void **state)
{
    struct stage s;
    struct mf_label r1 = {mf_str("rack"), mf_str("r1")};
    struct mf_msg_explain wish = small;
    const struct mf_msg_explained *e;
    uint64_t seq;

    open_racks(&s);
    seq = mf_broker_seq(s.b);
    wish.require = (struct mf_labels){&r1, 1};
    e = ask(&s, wish);
    assert_int_equal(e->candidates, 2);
    assert_int_equal(refusals(e, "labels"), 2);
    assert_true(could(e, "node-1") && could(e, "node-3") && !could(e, "node-0"));
    wish = small;
    wish.rules.forbid = (struct mf_labels){&r1, 1};
    e = ask(&s, wish);
    assert_int_equal(refusals(e, "forbidden labels"), 2);
    wish = small;
    wish.rules.prefer = (struct mf_labels){&r1, 1};
    e = ask(&s, wish);
    assert_int_equal(e->candidates, 4);
    assert_int_equal(e->rows.items[0].preferred, 1);
    assert_int_equal(e->rows.items[3].preferred, 0);
    wish.rows = 1;
    e = ask(&s, wish);
    assert_int_equal(e->rows.n, 1);
    assert_int_equal(e->candidates, 4);
    assert_int_equal(mf_broker_seq(s.b), seq); /* nothing is placed, nothing is written */
    stage_close(&s);
}

static void near_and_apart(void **state)
{
    struct stage s;
    struct mf_rec_group_name web = {.group = mf_str("web")};
    struct mf_msg_explain wish = small;
    const struct mf_msg_explained *e;
    const char *node;

    open_racks(&s);
    stage_provision(&s, "web", 1);
    stage_answer_all(&s);
    node = stage_current(&s, "web", 0)->node->name.ptr;
    wish.rules.apart.items = &web;
    wish.rules.apart.n = 1;
    e = ask(&s, wish);
    assert_int_equal(refusals(e, "apart"), 1);
    assert_false(could(e, node));
    wish.rules.apart_by = mf_str("rack");
    assert_int_equal(refusals(ask(&s, wish), "apart"), 2);
    wish = small;
    wish.rules.with.items = &web;
    wish.rules.with.n = 1;
    e = ask(&s, wish);
    assert_int_equal(refusals(e, "with"), 3);
    assert_true(could(e, node));
    stage_close(&s);
}

static void as_many_rules_as_there_may_be(void **state)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    struct mf_rec_group_name apart[8], with[8];
    struct mf_msg_explain wish = small;
    struct stage s;
    char other[8][16];

    open_racks(&s);
    for (int i = 0; i < 8; i++) {
        snprintf(other[i], sizeof(other[i]), "x%d", i);
        stage_provision(&s, names[i], 1);
        stage_provision(&s, other[i], 1);
        apart[i] = (struct mf_rec_group_name){.group = mf_str(names[i])};
        with[i] = (struct mf_rec_group_name){.group = mf_str(other[i])};
    }
    wish.rules = (struct mf_rec_rules){.apart = {.items = apart, .n = 8},
                                       .with = {.items = with, .n = 8},
                                       .spread_by = mf_str("rack"),
                                       .max_skew = 1,
                                       .node_max = 1};
    assert_int_equal(ask(&s, wish)->candidates, 0);
    stage_close(&s);
}

static void says_what_keeps_births_away(void **state)
{
    struct stage s;
    struct mf_msg_explain wish = small;
    const struct mf_msg_explained *e;

    open_racks(&s);
    stage_operator(&s, MF_MSG_NODE_CORDON, "node-0");
    stage_gone(&s, s.worker[1]);
    e = ask(&s, wish);
    assert_int_equal(e->candidates, 2);
    assert_int_equal(refusals(e, "cordoned"), 1);
    assert_int_equal(refusals(e, "away"), 1);
    stage_provision(&s, "web", 8);
    stage_answer_all(&s);
    stage_provision(&s, "more", 1);
    e = ask(&s, (struct mf_msg_explain){.target = mf_str("more/0")});
    assert_int_equal(e->candidates, 0);
    assert_int_equal(refusals(e, "vcpus"), 2);
    stage_close(&s);
}

static void says_why_it_waits_all_the_same(void **state)
{
    struct stage s;
    const struct mf_msg_explained *e;

    open_racks(&s);
    stage_provision_at_most(&s, "db", 1);
    stage_answer_all(&s);
    int node = stage_node_of(&s, stage_current(&s, "db", 0)->node->peer);
    stage_ask_lease(&s, node);
    stage_monitor_hello(&s);
    stage_gone(&s, s.worker[node]);
    stage_verdict(&s, node, MF_VERDICT_FAILED);
    assert_int_equal(stage_current(&s, "db", 0)->state, MF_INSTANCE_STATE_PENDING);
    e = ask(&s, (struct mf_msg_explain){.target = mf_str("db/0")});
    assert_int_equal(e->candidates, 3);
    assert_true(e->reason.len > 0);
    assert_int_equal(ask(&s, (struct mf_msg_explain){.target = mf_str("db")})->reason.len, 0);
    stage_close(&s);
}

static void refuses_what_is_not(void **state)
{
    struct stage s;
    struct mf_label r1 = {mf_str("rack"), mf_str("r1")};
    struct mf_msg_explain wish = small;

    open_racks(&s);
    stage_provision(&s, "web", 1);
    refused(&s, (struct mf_msg_explain){0}, MF_E_INVALID, "say a target or an offering");
    refused(&s, (struct mf_msg_explain){.target = mf_str("db")}, MF_E_UNKNOWN, "no group or instance db");
    refused(&s, (struct mf_msg_explain){.target = mf_str("web/7")}, MF_E_UNKNOWN,
            "no group or instance web/7");
    refused(&s, (struct mf_msg_explain){.target = mf_str("web"), .offering = mf_str("small")}, MF_E_INVALID,
            "as it is");
    refused(&s, (struct mf_msg_explain){.target = mf_str("web"), .rules = {.node_max = 1}}, MF_E_INVALID,
            "leave out rules");
    refused(&s, (struct mf_msg_explain){.offering = mf_str("huge")}, MF_E_UNKNOWN, "no offering huge");
    wish.image = mf_str("none");
    refused(&s, wish, MF_E_UNKNOWN, "no image none");
    wish = small;
    wish.rules.spread_by = mf_str("zone");
    refused(&s, wish, MF_E_UNKNOWN, "no node has a label zone");
    wish.rules.spread_by = mf_str("rack");
    wish.rules.pack_by = mf_str("rack");
    refused(&s, wish, MF_E_INVALID, "explain.rules: ");
    wish = small;
    wish.require = wish.rules.forbid = (struct mf_labels){&r1, 1};
    refused(&s, wish, MF_E_INVALID, "explain.rules: ");
    stage_close(&s);
}

static const struct mf_rec_capacity_row *capacity_of(struct stage *s, const char *offering)
{
    const struct mf_message *reply;

    stage_forget_sent(s);
    stage_client(s, (struct mf_message){.kind = MF_MSG_CAPACITY, .capacity = {.request_id = mf_str("c")}});
    reply = stage_last(s, STAGE_CLIENT, MF_MSG_CAPACITIES);
    assert_non_null(reply);
    for (uint32_t i = 0; i < reply->capacities.rows.n; i++)
        if (mf_str_is(reply->capacities.rows.items[i].offering, offering))
            return &reply->capacities.rows.items[i];
    fail_msg("%s is not in the answer", offering);
    return NULL;
}

static void capacity_is_what_fits(void **state)
{
    struct stage s;

    open_racks(&s);
    stage_client(
        &s, (struct mf_message){
                .kind = MF_MSG_OFFERING_ADD,
                .offering_add = {
                    .request_id = mf_str("big"),
                    .offering = {.name = mf_str("big"), .vcpus = 3, .memory_mib = 100, .disk_mib = 100}}});
    assert_int_equal(capacity_of(&s, "small")->fit, 16);
    assert_int_equal(capacity_of(&s, "big")->fit, 4);
    assert_int_equal(capacity_of(&s, "big")->nodes, 4);
    stage_provision(&s, "web", 6); /* two on two of them, one on the others */
    stage_answer_all(&s);
    assert_int_equal(capacity_of(&s, "small")->fit, 10);
    assert_int_equal(capacity_of(&s, "big")->fit, capacity_of(&s, "big")->nodes);
    stage_operator(&s, MF_MSG_NODE_CORDON, "node-0");
    assert_true(capacity_of(&s, "small")->fit < 10);
    assert_int_equal(capacity_of(&s, "small")->nodes, 3);
    stage_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_a_group),
        cmocka_unit_test(of_a_wish),
        cmocka_unit_test(of_a_wish_by_label),
        cmocka_unit_test(near_and_apart),
        cmocka_unit_test(as_many_rules_as_there_may_be),
        cmocka_unit_test(says_what_keeps_births_away),
        cmocka_unit_test(says_why_it_waits_all_the_same),
        cmocka_unit_test(refuses_what_is_not),
        cmocka_unit_test(capacity_is_what_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
