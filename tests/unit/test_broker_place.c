/* test_broker_place.c - where a group says its instances may be, through the broker's own messages: what is
 * refused as said, what is kept to, what waits and why, and that all of it outlives a restart. */
#include "broker_stage.h"
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

/* Node i is in rack r<i / in_rack>, and has cells if asked. */
static void open_racks(struct stage *s, int nodes, int in_rack, uint32_t n_cells)
{
    static struct mf_rec_cell cells[2] = {{.vcpus = 2, .memory_mib = 500}, {.vcpus = 2, .memory_mib = 500}};

    stage_open(s);
    stage_monitor_hello(s);
    for (int i = 0; i < nodes; i++) {
        struct mf_message hello = stage_hello_message(i);
        char rack[16];
        struct mf_label label = {mf_str("rack"), mf_str_format(rack, sizeof(rack), "r%d", i / in_rack)};
        hello.hello.labels = (struct mf_labels){&label, 1};
        hello.hello.cells.items = cells;
        hello.hello.cells.n = n_cells;
        hello.hello.cpu_ratio_percent = n_cells ? 200 : 0;
        stage_hello_as(s, i, hello);
    }
    stage_forget_sent(s);
}

static int node_of(const struct stage *s, const char *group, uint32_t slot)
{
    const struct mf_instance *inst = stage_current(s, group, slot);

    return inst && inst->node ? atoi(inst->node->name.ptr + strlen("node-")) : -1;
}

static char told[1100]; /* with the newest that was accepted */

static void provision(struct stage *s, const char *group, uint64_t count, struct mf_rec_rules rules)
{
    struct mf_message message = stage_provision_message(s, group, count);
    const struct mf_message *answer;

    message.provision.rules = rules;
    stage_client(s, message);
    answer = stage_last(s, STAGE_CLIENT, MF_MSG_ACCEPTED);
    assert_non_null(answer);
    mf_str_format(told, sizeof(told), "%.*s", MF_STR_ARG(answer->accepted.text));
    stage_answer_all(s);
}

static void assert_refused(struct stage *s, struct mf_message message, const char *with)
{
    const struct mf_message *answer;
    char text[1100];

    stage_forget_sent(s);
    stage_client(s, message);
    answer = stage_last(s, STAGE_CLIENT, MF_MSG_ERROR);
    assert_non_null(answer);
    assert_true(mf_str_is(answer->error.code, "invalid"));
    mf_str_format(text, sizeof(text), "%.*s", MF_STR_ARG(answer->error.text));
    if (!strstr(text, with))
        fail_msg("\"%s\" does not say \"%s\"", text, with);
}

static bool says(struct mf_str text, const char *what)
{
    char copy[1100];

    mf_str_format(copy, sizeof(copy), "%.*s", MF_STR_ARG(text));
    return strstr(copy, what) != NULL;
}

static struct mf_rec_group_name named(const char *name)
{
    return (struct mf_rec_group_name){.group = mf_str(name)};
}

static struct mf_str why(struct stage *s, const char *group, uint32_t slot)
{
    const struct mf_message *m;

    stage_forget_sent(s);
    stage_client(
        s, (struct mf_message){.kind = MF_MSG_LIST_INSTANCES,
                               .list_instances = {.request_id = mf_str("why"), .group = mf_str(group)}});
    m = stage_last(s, STAGE_CLIENT, MF_MSG_INSTANCES);
    assert_non_null(m);
    for (uint32_t i = 0; i < m->instances.rows.n; i++)
        if (m->instances.rows.items[i].slot == slot)
            return m->instances.rows.items[i].reason;
    return (struct mf_str){NULL, 0};
}

/* ------------------------------------------------------------------ what can't be meant */

static void test_contradictions_are_refused(void **state)
{
    struct stage s;
    struct mf_label rack = {mf_str("rack"), mf_str("r0")};
    struct mf_rec_group_name web = named("web"), db = named("db");
    struct mf_message m;

    open_racks(&s, 2, 1, 0);
#define REFUSED(with, ...)                                                                                   \
    m = stage_provision_message(&s, "web", 1);                                                               \
    m.provision.rules = (struct mf_rec_rules){__VA_ARGS__};                                                  \
    assert_refused(&s, m, with)
    REFUSED("not with spread_by", .spread_by = mf_str("rack"), .pack_by = mf_str("rack"));
    REFUSED("of what?", .max_skew = 1);
    REFUSED("names the group itself", .apart = {&web, 1});
    REFUSED("names the group itself", .with = {&web, 1});
    REFUSED("in apart, too", .apart = {&db, 1}, .with = {&db, 1});
    REFUSED("can be no label's name", .spread_by = mf_str("Rack Nr"));
    REFUSED("without apart", .apart_by = mf_str("rack"));
    REFUSED("without with", .with_by = mf_str("rack"));
    REFUSED("preferred, too", .prefer = {&rack, 1}, .forbid = {&rack, 1});
    m = stage_provision_message(&s, "web", 1);
    m.provision.require = (struct mf_labels){&rack, 1};
    m.provision.rules = (struct mf_rec_rules){.forbid = {&rack, 1}};
    assert_refused(&s, m, "required, too");
    assert_int_equal(s.b->groups.n, 0);
    stage_close(&s);
}

static void test_what_is_not_there_is_said(void **state)
{
    struct stage s;
    struct mf_rec_group_name db = named("db");

    open_racks(&s, 2, 1, 0);
    provision(&s, "web", 1, (struct mf_rec_rules){.spread_by = mf_str("zone")});
    assert_non_null(strstr(told, "a label zone"));
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 1); /* last, not refused */
    provision(&s, "app", 1, (struct mf_rec_rules){.with = {&db, 1}});
    assert_non_null(strstr(told, "db, which is not there"));
    provision(&s, "one", 3, (struct mf_rec_rules){.node_max = 1});
    assert_non_null(strstr(told, "room for 2, and 3"));
    stage_close(&s);
}

static void test_said_again_with_other_rules(void **state)
{
    struct stage s;
    struct mf_message m;

    open_racks(&s, 2, 1, 0);
    provision(&s, "web", 1, (struct mf_rec_rules){.spread_by = mf_str("rack")});
    m = stage_provision_message(&s, "web", 1);
    m.provision.rules = (struct mf_rec_rules){.spread_by = mf_str("rack"), .priority = 50};
    stage_client(&s, m);
    assert_non_null(stage_last(&s, STAGE_CLIENT, MF_MSG_ACCEPTED)); /* 50 is what it was */
    stage_forget_sent(&s);
    m = stage_provision_message(&s, "web", 1);
    stage_client(&s, m);
    assert_true(says(stage_last(&s, STAGE_CLIENT, MF_MSG_ERROR)->error.text, "with another rules"));
    stage_close(&s);
}

/* ------------------------------------------------------------------ what is kept to */

static void count_racks(const struct stage *s, const char *group, uint32_t n, int in_rack, int counts[8])
{
    memset(counts, 0, 8 * sizeof(*counts));
    for (uint32_t i = 0; i < n; i++)
        if (node_of(s, group, i) >= 0)
            counts[node_of(s, group, i) / in_rack]++;
}

/* Eight nodes in a rack of five, one of two, one of one. */
static void test_spread_and_pack_by_rack(void **state)
{
    struct stage s;
    int counts[8];

    open_racks(&s, 8, 3, 0);
    provision(&s, "web", 6, (struct mf_rec_rules){.spread_by = mf_str("rack")});
    count_racks(&s, "web", 6, 3, counts);
    assert_int_equal(counts[0], 2);
    assert_int_equal(counts[1], 2);
    assert_int_equal(counts[2], 2);
    provision(&s, "db", 3, (struct mf_rec_rules){.pack_by = mf_str("rack")});
    count_racks(&s, "db", 3, 3, counts);
    assert_true(counts[0] == 3 || counts[1] == 3 || counts[2] == 3);
    stage_reloads(&s);
    stage_close(&s);
}

static void test_skew_waits_for_its_rack(void **state)
{
    struct stage s;
    int counts[8];

    open_racks(&s, 3, 2, 0); /* four vcpus each: eight in rack r0, four in r1 */
    provision(&s, "web", 12, (struct mf_rec_rules){.spread_by = mf_str("rack"), .max_skew = 1});
    count_racks(&s, "web", 12, 2, counts);
    assert_int_equal(counts[0], 5);
    assert_int_equal(counts[1], 4);
    assert_true(says(why(&s, "web", 11), "0 of 3 nodes: 1 vcpus, 2 skew"));
    {
        struct mf_message hello = stage_hello_message(3);
        struct mf_label label = {mf_str("rack"), mf_str("r1")};
        hello.hello.labels = (struct mf_labels){&label, 1};
        stage_hello_as(&s, 3, hello);
    }
    stage_answer_all(&s);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_PENDING), 0);
    stage_reloads(&s);
    stage_close(&s);
}

static void test_so_many_on_a_node(void **state)
{
    struct stage s;

    open_racks(&s, 2, 1, 0);
    provision(&s, "web", 5, (struct mf_rec_rules){.node_max = 2});
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 4);
    assert_true(says(why(&s, "web", 4), "0 of 2 nodes: 2 node-max"));
    stage_close(&s);
}

/* It holds both ways, and of one that was there before whoever names it. */
static void test_apart_both_ways(void **state)
{
    struct stage s;
    struct mf_rec_group_name web = named("web"), later = named("later");
    struct mf_rec_rules apart = {.apart = {&web, 1}, .apart_by = mf_str("rack")};

    open_racks(&s, 4, 2, 0);
    provision(&s, "web", 1, (struct mf_rec_rules){0});
    provision(&s, "db", 2, apart);
    assert_int_not_equal(node_of(&s, "web", 0) / 2, node_of(&s, "db", 0) / 2);
    assert_int_equal(node_of(&s, "db", 0) / 2, node_of(&s, "db", 1) / 2);
    stage_scale(&s, "web", 4); /* stays in its rack */
    stage_answer_all(&s);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(node_of(&s, "web", i) / 2, node_of(&s, "web", 0) / 2);
    apart.apart = (__typeof__(apart.apart)){&later, 1};
    provision(&s, "one", 1, apart);
    provision(&s, "later", 1, (struct mf_rec_rules){0}); /* names nobody */
    assert_int_not_equal(node_of(&s, "one", 0) / 2, node_of(&s, "later", 0) / 2);
    stage_reloads(&s);
    stage_close(&s);
}

static void test_apart_with_nowhere_else(void **state)
{
    struct stage s;
    struct mf_rec_group_name web = named("web");

    open_racks(&s, 2, 2, 0);
    provision(&s, "web", 1, (struct mf_rec_rules){0});
    provision(&s, "db", 1, (struct mf_rec_rules){.apart = {&web, 1}, .apart_by = mf_str("rack")});
    assert_true(says(why(&s, "db", 0), "0 of 2 nodes: 2 apart"));
    stage_restart(&s, s.n_rows);
    for (int i = 0; i < 2; i++) {
        struct mf_message hello = stage_hello_message(i);
        struct mf_label label = {mf_str("rack"), mf_str("r0")};
        struct mf_rec_guest guest = {.id = stage_current(&s, "web", 0)->id,
                                     .name = mf_str("default/web/0#1"),
                                     .state = MF_GUEST_STATE_RUNNING};
        hello.hello.labels = (struct mf_labels){&label, 1};
        hello.hello.guests.items = &guest;
        hello.hello.guests.n = node_of(&s, "web", 0) == i;
        stage_hello_as(&s, i, hello);
    }
    stage_answer_all(&s);
    assert_int_equal(node_of(&s, "db", 0), -1);
    stage_destroy(&s, "web");
    stage_answer_all(&s);
    assert_true(node_of(&s, "db", 0) >= 0);
    stage_reloads(&s);
    stage_close(&s);
}

static void test_with_waits_and_follows(void **state)
{
    struct stage s;
    struct mf_rec_group_name db = named("db");

    open_racks(&s, 6, 2, 0);
    provision(&s, "web", 2, (struct mf_rec_rules){.with = {&db, 1}, .with_by = mf_str("rack")});
    assert_true(says(why(&s, "web", 0), "0 of 6 nodes: 6 with"));
    provision(&s, "db", 1, (struct mf_rec_rules){0});
    assert_int_equal(node_of(&s, "web", 0) / 2, node_of(&s, "db", 0) / 2);
    assert_int_equal(node_of(&s, "web", 1) / 2, node_of(&s, "db", 0) / 2);
    stage_reloads(&s);
    stage_close(&s);
}

static void test_forbidden_and_preferred(void **state)
{
    struct stage s;
    struct mf_label r0 = {mf_str("rack"), mf_str("r0")}, r1 = {mf_str("rack"), mf_str("r1")};

    open_racks(&s, 3, 1, 0);
    provision(&s, "web", 8, (struct mf_rec_rules){.forbid = {&r0, 1}});
    for (uint32_t i = 0; i < 8; i++)
        assert_int_not_equal(node_of(&s, "web", i), 0);
    stage_destroy(&s, "web");
    stage_answer_all(&s);
    provision(&s, "db", 1, (struct mf_rec_rules){.prefer = {&r1, 1}});
    assert_int_equal(node_of(&s, "db", 0), 1);
    stage_close(&s);
}

/* A node comes back in another rack, with what it has. */
static void test_another_rack(void **state)
{
    struct stage s;
    struct mf_rec_group_name web = named("web");
    struct mf_message hello = stage_hello_message(0);
    struct mf_label label = {mf_str("rack"), mf_str("r1")};
    struct mf_rec_guest guest = {.name = mf_str("default/web/0#1"), .state = MF_GUEST_STATE_RUNNING};

    open_racks(&s, 1, 1, 0);
    provision(&s, "web", 1, (struct mf_rec_rules){.spread_by = mf_str("rack")});
    provision(&s, "db", 2, (struct mf_rec_rules){.apart = {&web, 1}, .apart_by = mf_str("rack")});
    guest.id = stage_current(&s, "web", 0)->id;
    hello.hello.labels = (struct mf_labels){&label, 1};
    hello.hello.guests.items = &guest;
    hello.hello.guests.n = 1;
    stage_hello_as(&s, 0, hello); /* the tallies agree: the stage checks them after each step */
    for (int i = 3; i-- > 1;) {
        hello = stage_hello_message(i);
        label.value = mf_str(i == 1 ? "r0" : "r1");
        hello.hello.labels = (struct mf_labels){&label, 1};
        stage_hello_as(&s, i, hello);
    }
    stage_answer_all(&s);
    assert_int_equal(node_of(&s, "db", 0), 1);
    assert_int_equal(node_of(&s, "db", 1), 1);
    stage_reloads(&s);
    stage_close(&s);
}

/* ------------------------------------------------------------------ resources */

static void test_cells_are_chosen_and_kept(void **state)
{
    struct stage s;
    const struct mf_message *m;
    uint32_t in[4] = {0};

    open_racks(&s, 1, 1, 2);
    stage_client(&s, stage_provision_message(&s, "web", 4));
    m = stage_last(&s, s.worker[0], MF_MSG_ORDER_CREATE);
    assert_true(m->order_create.cells == 1 || m->order_create.cells == 2);
    stage_answer_all(&s);
    for (uint32_t i = 0; i < 4; i++)
        in[stage_current(&s, "web", i)->cells]++;
    assert_int_equal(in[1], 2);
    assert_int_equal(in[2], 2);
    stage_reloads(&s);
    stage_forget_sent(&s);
    stage_client(
        &s, (struct mf_message){.kind = MF_MSG_LIST_NODES, .list_nodes = {.request_id = mf_str("nodes")}});
    m = stage_last(&s, STAGE_CLIENT, MF_MSG_NODES);
    assert_int_equal(m->nodes.rows.items[0].cells.n, 2);
    assert_int_equal(m->nodes.rows.items[0].cells_free.items[1].vcpus, 0);
    assert_int_equal(m->nodes.rows.items[0].cells_free.items[1].memory_mib, 300);
    assert_int_equal(m->nodes.rows.items[0].cpu_ratio_percent, 200);
    stage_close(&s);
}

static void offer(struct stage *s, struct mf_rec_offering offering)
{
    stage_client(s, (struct mf_message){.kind = MF_MSG_OFFERING_ADD,
                                        .offering_add = {.request_id = offering.name, .offering = offering}});
}

static void test_huge_pages_and_rates(void **state)
{
    struct stage s;
    struct mf_message hello = stage_hello_message(0), m;

    stage_open(&s);
    hello.hello.capacity.hugepages_mib = 512;
    hello.hello.capacity.disk_iops = 2500;
    stage_hello_as(&s, 0, hello);
    offer(&s, (struct mf_rec_offering){.name = mf_str("huge"),
                                       .vcpus = 1,
                                       .memory_mib = 512,
                                       .disk_mib = 1,
                                       .hugepages = true,
                                       .uncapped = true});
    m = stage_provision_message(&s, "huge", 2);
    m.provision.offering = mf_str("huge");
    stage_client(&s, m);
    stage_answer_all(&s);
    assert_int_equal(mf_pooled_used(s.b, s.b->nodes.items[0]).memory_mib, 0);
    assert_int_equal(mf_pooled_used(s.b, s.b->nodes.items[0]).hugepages_mib, 512);
    assert_true(says(why(&s, "huge", 1), "0 of 1 nodes: 1 huge pages"));
    stage_provision(&s, "web", 3); /* 1000 operations per second each, as nothing else was said */
    stage_answer_all(&s);
    assert_true(says(why(&s, "web", 2), "0 of 1 nodes: 1 disk rate"));
    stage_reloads(&s);
    stage_close(&s);
}

/* Whole CPUs are only to be had where vcpus share none; also after a restart. */
static void test_pinned_where_no_cpu_is_shared(void **state)
{
    struct stage s;
    struct mf_message hello = stage_hello_message(0), m;
    char why[256];

    stage_open(&s);
    hello.hello.cpu_ratio_percent = 400;
    stage_hello_as(&s, 0, hello);
    offer(&s, (struct mf_rec_offering){
                  .name = mf_str("whole"), .vcpus = 1, .memory_mib = 64, .disk_mib = 1, .pinned = true});
    m = stage_provision_message(&s, "hpc", 1);
    m.provision.offering = mf_str("whole");
    stage_client(&s, m);
    assert_int_equal(node_of(&s, "hpc", 0), -1);
    assert_true(
        says(mf_place_reason(s.b, mf_group_active(s.b, mf_str("hpc"))->slots[0], why), "1 shared CPUs"));
    stage_reloads(&s);
    hello = stage_hello_message(1);
    hello.hello.cpu_ratio_percent = 100;
    stage_hello_as(&s, 1, hello);
    stage_answer_all(&s);
    assert_int_equal(node_of(&s, "hpc", 0), 1);
    stage_reloads(&s);
    stage_close(&s);
}

static void test_a_capacity_that_cannot_be(void **state)
{
    struct stage s;
    struct mf_message hello = stage_hello_message(0);
    struct mf_rec_cell cells[] = {{.vcpus = 4, .memory_mib = 500}, {.vcpus = 900, .memory_mib = 500}};

    stage_open(&s);
    hello.hello.capacity.vcpus = 0;
    stage_hello_as(&s, 0, hello);
    assert_true(says(stage_last(&s, s.worker[0], MF_MSG_ERROR)->error.text, "no vcpus"));
    hello = stage_hello_message(0);
    hello.hello.cells.items = cells;
    hello.hello.cells.n = 2;
    stage_hello_as(&s, 0, hello);
    assert_true(says(stage_last(&s, s.worker[0], MF_MSG_ERROR)->error.text, "together 904 vcpus"));
    assert_int_equal(s.b->nodes.n, 0);
    hello.hello.cells.n = 0;
    hello.hello.capacity.disk_mib = UINT64_C(1000000000000); /* more than is counted: as much as is counted */
    stage_hello_as(&s, 0, hello);
    stage_provision(&s, "web", 1);
    stage_answer_all(&s);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 1);
    stage_close(&s);
}

/* ------------------------------------------------------------------ who waits */

static uint64_t bit_of_min(void)
{
    const struct mf_desc *desc = mf_kind_desc(MF_MSG_PROVISION);

    for (unsigned f = 0; f < desc->n_fields; f++)
        if (strcmp(desc->fields[f].name, "min") == 0)
            return UINT64_C(1) << f;
    return 0;
}

/* By priority, then whoever is below its min, then what is hardest to find room for, then the older. */
static void test_the_order_of_what_waits(void **state)
{
    static const char *const asked[] = {"older", "newer", "large", "needy", "first"};
    static const char *const placed[] = {"first", "needy", "large", "older", "newer"};
    struct mf_message hello = stage_hello_message(0), m;
    uint64_t order = 0;
    struct stage s;

    stage_open(&s);
    offer(&s, (struct mf_rec_offering){.name = mf_str("twice"), .vcpus = 2, .memory_mib = 16, .disk_mib = 1});
    for (int i = 0; i < 5; i++) {
        m = stage_provision_message(&s, asked[i], 1);
        m.provision.min = strcmp(asked[i], "needy") == 0;
        m.provision.has |= bit_of_min();
        m.provision.rules.priority = strcmp(asked[i], "first") == 0 ? 60 : 0;
        if (strcmp(asked[i], "large") == 0)
            m.provision.offering = mf_str("twice");
        stage_client(&s, m);
        stage_pass(&s, 5);
    }
    hello.hello.capacity.vcpus = 8;
    stage_hello_as(&s, 0, hello);
    for (int i = 0; i < 5; i++) {
        const struct mf_instance *inst = stage_current(&s, placed[i], 0);
        assert_true(inst->order_id > order);
        order = inst->order_id;
    }
    stage_close(&s);
}

static void test_a_flaky_node_is_the_last(void **state)
{
    struct stage s;

    open_racks(&s, 2, 1, 0);
    for (int i = 0; i < 2; i++) {
        stage_gone(&s, s.worker[0]);
        stage_verdict(&s, 0, MF_VERDICT_FAILED);
        stage_hello(&s, 0, NULL, 0);
        stage_pass(&s, 5000);
    }
    for (int i = 0; i < 4; i++) {
        char name[8];
        mf_str_format(name, sizeof(name), "g%d", i);
        stage_provision(&s, name, 1);
        stage_answer_all(&s);
    }
    assert_int_equal(node_of(&s, "g0", 0), 1);
    stage_close(&s);
}

/* Whom others keep away from has a rule for each label by which they do: there is an end to them. */
static void test_kept_apart_by_so_many_labels(void **state)
{
    struct mf_rec_group_name web = {.group = mf_str("web")};
    struct mf_message message;
    struct stage s;
    char name[32], label[32];

    open_racks(&s, 4, 2, 0);
    for (int i = 0; i < MF_RULE_DOMAINS_MAX; i++) {
        struct mf_rec_rules rules = {.apart = {.items = &web, .n = 1},
                                     .apart_by = mf_str_format(label, sizeof(label), "label-%d", i)};
        if (i == 0)
            rules.apart_by = mf_str("host");
        mf_str_format(name, sizeof(name), "foe-%d", i);
        provision(&s, name, 1, rules);
    }
    message = stage_provision_message(&s, "one-more", 1);
    message.provision.rules.apart.items = &web;
    message.provision.rules.apart.n = 1;
    message.provision.rules.apart_by = mf_str("power");
    assert_refused(&s, message, "rules.apart_by: groups are kept apart by 8 labels already");
    provision(&s, "by-host", 1, (struct mf_rec_rules){.apart = {.items = &web, .n = 1}});
    stage_provision(&s, "web", 4);
    stage_answer_all(&s);
    assert_true(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING) > MF_RULE_DOMAINS_MAX);
    stage_reloads(&s);
    stage_close(&s);
}

/* Each label by which others want to be with a group is one more count of every one of it. */
static void test_kept_together_by_so_many_labels(void **state)
{
    struct mf_rec_group_name web = named("web");
    struct mf_message message;
    struct stage s;
    char name[32], label[32];

    open_racks(&s, 4, 2, 0);
    provision(&s, "web", 1, (struct mf_rec_rules){0});
    for (int i = 0; i < MF_RULE_DOMAINS_MAX; i++) {
        struct mf_rec_rules rules = {.with = {&web, 1},
                                     .with_by = mf_str_format(label, sizeof(label), "label-%d", i)};
        mf_str_format(name, sizeof(name), "friend-%d", i);
        provision(&s, name, 1, rules);
    }
    message = stage_provision_message(&s, "one-more", 1);
    message.provision.rules = (struct mf_rec_rules){.with = {&web, 1}, .with_by = mf_str("power")};
    assert_refused(&s, message, "rules.with_by: groups are kept together by 8 labels already");
    stage_destroy(&s, "friend-3");
    provision(&s, "one-more", 1, message.provision.rules);
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
    struct mf_rec_group_name web = named("web");
    struct mf_message message;
    struct stage s;

    open_racks(&s, 4, 2, 0);
    for (int i = 0; i < MF_POOL_KEYS_MAX / 32; i++) {
        stage_client(&s, with_new_names(&s, 32 * i, names));
        stage_answer_all(&s);
        stage_destroy(&s, "new");
        stage_answer_all(&s);
    }
    assert_refused(&s, with_new_names(&s, MF_POOL_KEYS_MAX, names), "there were 1024 names of labels before");
    message = stage_provision_message(&s, "web", 1);
    message.provision.rules.spread_by = label.key;
    assert_refused(&s, message, "rules.spread_by: brand-new is new");
    hello.hello.labels = (struct mf_labels){&label, 1};
    stage_hello_as(&s, 4, hello);
    assert_null(mf_node_find(s.b, mf_str("node-4")));
    label = (struct mf_label){mf_str("rack"), mf_str("r9")};
    stage_hello_as(&s, 4, hello);
    assert_non_null(mf_node_find(s.b, mf_str("node-4")));
    provision(&s, "web", 1, (struct mf_rec_rules){.spread_by = mf_str("rack")});
    provision(&s, "db", 1, (struct mf_rec_rules){.apart = {&web, 1}, .apart_by = mf_str("rack")});
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

    open_racks(&s, 2, 1, 0);
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
    struct mf_rec_group_name web = named("web");
    struct stage s;
    char label[32];

    open_racks(&s, 4, 2, 0);
    provision(&s, "web", 2, (struct mf_rec_rules){0});
    for (int i = 0; i < 2 * MF_RULES_MAX; i++) {
        struct mf_rec_rules rules = {.apart = {&web, 1},
                                     .apart_by = mf_str_format(label, sizeof(label), "label-%d", i)};
        provision(&s, "foe", 1, rules);
        stage_scale(&s, "web", 2 - i % 2);
        stage_answer_all(&s);
        stage_destroy(&s, "foe");
        stage_answer_all(&s);
    }
    assert_int_equal(mf_group_active(s.b, mf_str("web"))->foreign.n, 0);
    provision(&s, "foe", 1, (struct mf_rec_rules){.apart = {&web, 1}, .apart_by = mf_str("rack")});
    assert_true(node_of(&s, "foe", 0) / 2 != node_of(&s, "web", 0) / 2);
    stage_reloads(&s);
    stage_close(&s);
}

/* The same of those that wanted to be with it. */
static void test_who_clung_is_forgotten(void **state)
{
    struct mf_rec_group_name web = named("web");
    uint32_t own;
    struct stage s;

    open_racks(&s, 4, 2, 0);
    provision(&s, "web", 2, (struct mf_rec_rules){0});
    own = mf_group_active(s.b, mf_str("web"))->tallies.n;
    provision(&s, "friend", 1, (struct mf_rec_rules){.with = {&web, 1}, .with_by = mf_str("rack")});
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
    provision(&s, "friend", 1, (struct mf_rec_rules){.with = {&web, 1}, .with_by = mf_str("rack")});
    assert_true(node_of(&s, "friend", 0) >= 0);
    stage_reloads(&s);
    stage_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contradictions_are_refused),
        cmocka_unit_test(test_what_is_not_there_is_said),
        cmocka_unit_test(test_said_again_with_other_rules),
        cmocka_unit_test(test_spread_and_pack_by_rack),
        cmocka_unit_test(test_skew_waits_for_its_rack),
        cmocka_unit_test(test_so_many_on_a_node),
        cmocka_unit_test(test_apart_both_ways),
        cmocka_unit_test(test_apart_with_nowhere_else),
        cmocka_unit_test(test_with_waits_and_follows),
        cmocka_unit_test(test_forbidden_and_preferred),
        cmocka_unit_test(test_another_rack),
        cmocka_unit_test(test_cells_are_chosen_and_kept),
        cmocka_unit_test(test_huge_pages_and_rates),
        cmocka_unit_test(test_pinned_where_no_cpu_is_shared),
        cmocka_unit_test(test_a_capacity_that_cannot_be),
        cmocka_unit_test(test_the_order_of_what_waits),
        cmocka_unit_test(test_a_flaky_node_is_the_last),
        cmocka_unit_test(test_kept_apart_by_so_many_labels),
        cmocka_unit_test(test_kept_together_by_so_many_labels),
        cmocka_unit_test(test_names_have_an_end),
        cmocka_unit_test(test_lists_of_long_rules),
        cmocka_unit_test(test_who_kept_away_is_forgotten),
        cmocka_unit_test(test_who_clung_is_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
