/* test_broker_place.c - where a group says its instances may be, through the broker's own messages: what is
 * refused as said, what is kept to, what waits and why, and that all of it outlives a restart. */
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

/* ------------------------------------------------------------------ what can't be meant */

static void test_contradictions_are_refused(void **state)
{
    struct stage s;
    struct mf_label rack = {mf_str("rack"), mf_str("r0")};
    struct mf_rec_group_name web = place_named("web"), db = place_named("db");
    struct mf_message m;

    place_open_racks(&s, 2, 1, 0);
#define REFUSED(with, ...)                                                                                   \
    m = stage_provision_message(&s, "web", 1);                                                               \
    m.provision.rules = (struct mf_rec_rules){__VA_ARGS__};                                                  \
    place_assert_refused(&s, m, with)
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
    place_assert_refused(&s, m, "required, too");
    assert_int_equal(s.b->groups.n, 0);
    stage_close(&s);
}

static void test_what_is_not_there_is_said(void **state)
{
    struct stage s;
    struct mf_rec_group_name db = place_named("db");

    place_open_racks(&s, 2, 1, 0);
    place_provision(&s, "web", 1, (struct mf_rec_rules){.spread_by = mf_str("zone")});
    assert_non_null(strstr(place_told, "a label zone"));
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 1); /* last, not refused */
    place_provision(&s, "app", 1, (struct mf_rec_rules){.with = {&db, 1}});
    assert_non_null(strstr(place_told, "db, which is not there"));
    place_provision(&s, "one", 3, (struct mf_rec_rules){.node_max = 1});
    assert_non_null(strstr(place_told, "room for 2, and 3"));
    stage_close(&s);
}

static void test_said_again_with_other_rules(void **state)
{
    struct stage s;
    struct mf_message m;

    place_open_racks(&s, 2, 1, 0);
    place_provision(&s, "web", 1, (struct mf_rec_rules){.spread_by = mf_str("rack")});
    m = stage_provision_message(&s, "web", 1);
    m.provision.rules = (struct mf_rec_rules){.spread_by = mf_str("rack"), .priority = 50};
    stage_client(&s, m);
    assert_non_null(stage_last(&s, STAGE_CLIENT, MF_MSG_ACCEPTED)); /* 50 is what it was */
    stage_forget_sent(&s);
    m = stage_provision_message(&s, "web", 1);
    stage_client(&s, m);
    assert_true(place_says(stage_last(&s, STAGE_CLIENT, MF_MSG_ERROR)->error.text, "with another rules"));
    stage_close(&s);
}

/* ------------------------------------------------------------------ what is kept to */

static void count_racks(const struct stage *s, const char *group, uint32_t n, int in_rack, int counts[8])
{
    memset(counts, 0, 8 * sizeof(*counts));
    for (uint32_t i = 0; i < n; i++)
        if (place_node_of(s, group, i) >= 0)
            counts[place_node_of(s, group, i) / in_rack]++;
}

/* Eight nodes in a rack of five, one of two, one of one. */
static void test_spread_and_pack_by_rack(void **state)
{
    struct stage s;
    int counts[8];

    place_open_racks(&s, 8, 3, 0);
    place_provision(&s, "web", 6, (struct mf_rec_rules){.spread_by = mf_str("rack")});
    count_racks(&s, "web", 6, 3, counts);
    assert_int_equal(counts[0], 2);
    assert_int_equal(counts[1], 2);
    assert_int_equal(counts[2], 2);
    place_provision(&s, "db", 3, (struct mf_rec_rules){.pack_by = mf_str("rack")});
    count_racks(&s, "db", 3, 3, counts);
    assert_true(counts[0] == 3 || counts[1] == 3 || counts[2] == 3);
    stage_reloads(&s);
    stage_close(&s);
}

static void test_skew_waits_for_its_rack(void **state)
{
    struct stage s;
    int counts[8];

    place_open_racks(&s, 3, 2, 0); /* four vcpus each: eight in rack r0, four in r1 */
    place_provision(&s, "web", 12, (struct mf_rec_rules){.spread_by = mf_str("rack"), .max_skew = 1});
    count_racks(&s, "web", 12, 2, counts);
    assert_int_equal(counts[0], 5);
    assert_int_equal(counts[1], 4);
    assert_true(place_says(place_why(&s, "web", 11), "0 of 3 nodes: 1 vcpus, 2 skew"));
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

    place_open_racks(&s, 2, 1, 0);
    place_provision(&s, "web", 5, (struct mf_rec_rules){.node_max = 2});
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 4);
    assert_true(place_says(place_why(&s, "web", 4), "0 of 2 nodes: 2 node-max"));
    stage_close(&s);
}

/* It holds both ways, and of one that was there before whoever names it. */
static void test_apart_both_ways(void **state)
{
    struct stage s;
    struct mf_rec_group_name web = place_named("web"), later = place_named("later");
    struct mf_rec_rules apart = {.apart = {&web, 1}, .apart_by = mf_str("rack")};

    place_open_racks(&s, 4, 2, 0);
    place_provision(&s, "web", 1, (struct mf_rec_rules){0});
    place_provision(&s, "db", 2, apart);
    assert_int_not_equal(place_node_of(&s, "web", 0) / 2, place_node_of(&s, "db", 0) / 2);
    assert_int_equal(place_node_of(&s, "db", 0) / 2, place_node_of(&s, "db", 1) / 2);
    stage_scale(&s, "web", 4); /* stays in its rack */
    stage_answer_all(&s);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(place_node_of(&s, "web", i) / 2, place_node_of(&s, "web", 0) / 2);
    apart.apart = (__typeof__(apart.apart)){&later, 1};
    place_provision(&s, "one", 1, apart);
    place_provision(&s, "later", 1, (struct mf_rec_rules){0}); /* names nobody */
    assert_int_not_equal(place_node_of(&s, "one", 0) / 2, place_node_of(&s, "later", 0) / 2);
    stage_reloads(&s);
    stage_close(&s);
}

static void test_apart_with_nowhere_else(void **state)
{
    struct stage s;
    struct mf_rec_group_name web = place_named("web");

    place_open_racks(&s, 2, 2, 0);
    place_provision(&s, "web", 1, (struct mf_rec_rules){0});
    place_provision(&s, "db", 1, (struct mf_rec_rules){.apart = {&web, 1}, .apart_by = mf_str("rack")});
    assert_true(place_says(place_why(&s, "db", 0), "0 of 2 nodes: 2 apart"));
    stage_restart(&s, s.n_rows);
    for (int i = 0; i < 2; i++) {
        struct mf_message hello = stage_hello_message(i);
        struct mf_label label = {mf_str("rack"), mf_str("r0")};
        struct mf_rec_guest guest = {.id = stage_current(&s, "web", 0)->id,
                                     .name = mf_str("default/web/0#1"),
                                     .state = MF_GUEST_STATE_RUNNING};
        hello.hello.labels = (struct mf_labels){&label, 1};
        hello.hello.guests.items = &guest;
        hello.hello.guests.n = place_node_of(&s, "web", 0) == i;
        stage_hello_as(&s, i, hello);
    }
    stage_answer_all(&s);
    assert_int_equal(place_node_of(&s, "db", 0), -1);
    stage_destroy(&s, "web");
    stage_answer_all(&s);
    assert_true(place_node_of(&s, "db", 0) >= 0);
    stage_reloads(&s);
    stage_close(&s);
}

static void test_with_waits_and_follows(void **state)
{
    struct stage s;
    struct mf_rec_group_name db = place_named("db");

    place_open_racks(&s, 6, 2, 0);
    place_provision(&s, "web", 2, (struct mf_rec_rules){.with = {&db, 1}, .with_by = mf_str("rack")});
    assert_true(place_says(place_why(&s, "web", 0), "0 of 6 nodes: 6 with"));
    place_provision(&s, "db", 1, (struct mf_rec_rules){0});
    assert_int_equal(place_node_of(&s, "web", 0) / 2, place_node_of(&s, "db", 0) / 2);
    assert_int_equal(place_node_of(&s, "web", 1) / 2, place_node_of(&s, "db", 0) / 2);
    stage_reloads(&s);
    stage_close(&s);
}

static void test_forbidden_and_preferred(void **state)
{
    struct stage s;
    struct mf_label r0 = {mf_str("rack"), mf_str("r0")}, r1 = {mf_str("rack"), mf_str("r1")};

    place_open_racks(&s, 3, 1, 0);
    place_provision(&s, "web", 8, (struct mf_rec_rules){.forbid = {&r0, 1}});
    for (uint32_t i = 0; i < 8; i++)
        assert_int_not_equal(place_node_of(&s, "web", i), 0);
    stage_destroy(&s, "web");
    stage_answer_all(&s);
    place_provision(&s, "db", 1, (struct mf_rec_rules){.prefer = {&r1, 1}});
    assert_int_equal(place_node_of(&s, "db", 0), 1);
    stage_close(&s);
}

/* A node comes back in another rack, with what it has. */
static void test_another_rack(void **state)
{
    struct stage s;
    struct mf_rec_group_name web = place_named("web");
    struct mf_message hello = stage_hello_message(0);
    struct mf_label label = {mf_str("rack"), mf_str("r1")};
    struct mf_rec_guest guest = {.name = mf_str("default/web/0#1"), .state = MF_GUEST_STATE_RUNNING};

    place_open_racks(&s, 1, 1, 0);
    place_provision(&s, "web", 1, (struct mf_rec_rules){.spread_by = mf_str("rack")});
    place_provision(&s, "db", 2, (struct mf_rec_rules){.apart = {&web, 1}, .apart_by = mf_str("rack")});
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
    assert_int_equal(place_node_of(&s, "db", 0), 1);
    assert_int_equal(place_node_of(&s, "db", 1), 1);
    stage_reloads(&s);
    stage_close(&s);
}

/* ------------------------------------------------------------------ resources */

static void test_cells_are_chosen_and_kept(void **state)
{
    struct stage s;
    const struct mf_message *m;
    uint32_t in[4] = {0};

    place_open_racks(&s, 1, 1, 2);
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
    assert_true(place_says(place_why(&s, "huge", 1), "0 of 1 nodes: 1 huge pages"));
    stage_provision(&s, "web", 3); /* 1000 operations per second each, as nothing else was said */
    stage_answer_all(&s);
    assert_true(place_says(place_why(&s, "web", 2), "0 of 1 nodes: 1 disk rate"));
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
    assert_int_equal(place_node_of(&s, "hpc", 0), -1);
    assert_true(place_says(mf_place_reason(s.b, mf_group_active(s.b, mf_str("hpc"))->slots[0], why),
                           "1 shared CPUs"));
    stage_reloads(&s);
    hello = stage_hello_message(1);
    hello.hello.cpu_ratio_percent = 100;
    stage_hello_as(&s, 1, hello);
    stage_answer_all(&s);
    assert_int_equal(place_node_of(&s, "hpc", 0), 1);
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
    assert_true(place_says(stage_last(&s, s.worker[0], MF_MSG_ERROR)->error.text, "no vcpus"));
    hello = stage_hello_message(0);
    hello.hello.cells.items = cells;
    hello.hello.cells.n = 2;
    stage_hello_as(&s, 0, hello);
    assert_true(place_says(stage_last(&s, s.worker[0], MF_MSG_ERROR)->error.text, "together 904 vcpus"));
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

    place_open_racks(&s, 2, 1, 0);
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
    assert_int_equal(place_node_of(&s, "g0", 0), 1);
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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
