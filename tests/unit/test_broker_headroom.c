/* test_broker_headroom.c - room that is kept for the loss of any one domain: what would break it is refused,
 * unless an operator overrides; a loss finds its room; and it is said when it is degraded, and when it is
 * restored. */
#include "admission.h"
#include "broker_stage.h"
#include "check.h"
#include "counts.h"
#include "headroom.h"
#include "protection.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* So many a rack, 0: they have no label. */
static void join_with(struct stage *s, int node, int per_rack, uint64_t vcpus)
{
    static char racks[STAGE_NODES][8];
    static struct mf_label labels[STAGE_NODES];
    struct mf_message hello = stage_hello_message(node);

    if (per_rack) {
        snprintf(racks[node], sizeof(racks[node]), "r%d", node / per_rack);
        labels[node] = (struct mf_label){mf_str("rack"), mf_str(racks[node])};
        hello.hello.labels.items = &labels[node];
        hello.hello.labels.n = 1;
    }
    hello.hello.capacity.vcpus = vcpus;
    hello.hello.capacity.memory_mib = 10000;
    stage_hello_as(s, node, hello);
}

static void join(struct stage *s, int node, int per_rack)
{
    join_with(s, node, per_rack, 4);
}

static void open_on(struct stage *s, int nodes, int per_rack)
{
    stage_open(s);
    stage_monitor_hello(s);
    for (int i = 0; i < nodes; i++)
        join(s, i, per_rack);
}

static void set_level(struct stage *s, const char *level)
{
    char id[16];

    snprintf(id, sizeof(id), "h%llu", (unsigned long long)++s->next_request);
    stage_client(s, (struct mf_message){.kind = MF_MSG_HEADROOM,
                                        .headroom = {.request_id = mf_str(id), .level = mf_str(level)}});
}

static const char *refusal(const struct stage *s)
{
    static char code[64];
    const struct mf_message *error = stage_last(s, STAGE_CLIENT, MF_MSG_ERROR);

    snprintf(code, sizeof(code), "none");
    if (error)
        snprintf(code, sizeof(code), "%.*s", MF_STR_ARG(error->error.code));
    return code;
}

/* Asked for so many: are they there? */
static bool scale(struct stage *s, const char *group, uint64_t count, bool override)
{
    struct mf_message message = stage_provision_message(s, group, count);

    stage_forget_sent(s);
    message.provision.apply = true;
    message.provision.override = override;
    stage_client(s, message);
    if (stage_last(s, STAGE_CLIENT, MF_MSG_ERROR))
        return false;
    stage_answer_all(s);
    return true;
}

static void lose(struct stage *s, int node)
{
    stage_gone(s, s->worker[node]);
    stage_verdict(s, node, MF_VERDICT_FAILED);
    stage_pass(s, 100);
    stage_answer_all(s);
}

static uint64_t lacking(const struct stage *s)
{
    return mf_protection_lacking(s->b);
}

static void test_off_by_default(void **state)
{
    struct stage s;

    (void)state;
    open_on(&s, 2, 0);
    assert_true(scale(&s, "web", 8, false));
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 8);
    assert_null(s.b->backups);
    assert_int_equal(stage_count_rows(&s, MF_EV_HEADROOM_DEGRADED), 0);
    stage_close(&s);
}

static void test_what_would_break_it_is_refused(void **state)
{
    struct stage s;
    const struct mf_message *error;
    size_t rows;

    (void)state;
    open_on(&s, 2, 0);
    set_level(&s, "host");
    assert_int_equal(stage_count_rows(&s, MF_EV_HEADROOM_SET), 1);
    assert_true(scale(&s, "web", 4, false)); /* two and two, and two kept on each */
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 4);
    assert_int_equal(lacking(&s), 0);
    rows = stage_count_rows(&s, MF_EV_REQUEST_REFUSED);
    assert_false(scale(&s, "web", 5, false));
    assert_string_equal(refusal(&s), "headroom");
    error = stage_last(&s, STAGE_CLIENT, MF_MSG_ERROR);
    assert_true(error->error.retry);
    assert_non_null(strstr(error->error.text.ptr, "of 1 more, 0 would find"));
    assert_int_equal(stage_count_rows(&s, MF_EV_REQUEST_REFUSED), rows); /* sent again, it may be accepted */
    assert_false(scale(&s, "other", 1, false));
    assert_string_equal(refusal(&s), "headroom");
    assert_true(scale(&s, "web", 3, false));
    assert_true(scale(&s, "web", 4, false));
    assert_int_equal(stage_count_rows(&s, MF_EV_HEADROOM_DEGRADED), 0);
    stage_reloads(&s);
    stage_close(&s);
}

static void test_an_operator_overrides(void **state)
{
    struct stage s;
    struct mf_message message;

    (void)state;
    open_on(&s, 2, 0);
    set_level(&s, "host");
    assert_true(scale(&s, "web", 4, false));
    message = stage_provision_message(&s, "more", 1);
    message.provision.override = true;
    stage_say(&s, 77, MF_ROLE_CLIENT, "bob", message);
    assert_non_null(stage_last(&s, 77, MF_MSG_ERROR));
    assert_true(scale(&s, "web", 6, true));
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_PENDING), 2); /* what is kept is kept */
    assert_int_equal(lacking(&s), 0);
    stage_close(&s);
}

static void test_a_lost_host_finds_its_room(void **state)
{
    struct stage s;

    (void)state;
    open_on(&s, 3, 0);
    set_level(&s, "host");
    assert_true(scale(&s, "web", 8, false));
    assert_false(scale(&s, "web", 9, false));
    lose(&s, 0);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 8); /* two nodes, full */
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_PENDING), 0);
    assert_int_equal(stage_count_rows(&s, MF_EV_HEADROOM_DEGRADED), 1);
    assert_int_equal(lacking(&s), 8);
    join(&s, 0, 0); /* it is empty, and so a backup for either of the two */
    stage_answer_all(&s);
    stage_pass(&s, 1000);
    assert_int_equal(lacking(&s), 0);
    assert_int_equal(stage_count_rows(&s, MF_EV_HEADROOM_RESTORED), 1);
    assert_int_equal(stage_count_rows(&s, MF_EV_HEADROOM_DEGRADED), 1);
    stage_reloads(&s);
    stage_close(&s);
}

/* One group asks for itself; another, that does not, has to leave its room alone. */
static void test_a_group_asks_for_itself(void **state)
{
    struct stage s;
    struct mf_message message;
    char text[256];
    struct mf_str reason;

    (void)state;
    open_on(&s, 4, 2);
    message = stage_provision_message(&s, "db", 6);
    message.provision.rules.headroom = mf_str("rack");
    message.provision.rules.spread_by = mf_str("rack");
    stage_client(&s, message);
    stage_answer_all(&s);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 6);
    assert_true(scale(&s, "web", 8, false)); /* 16 in all, 6 used, 3 kept in each rack */
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 10);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_PENDING), 4);
    reason = mf_place_reason(s.b, stage_current(&s, "web", 7)->slot, text);
    assert_non_null(strstr(reason.ptr, "headroom"));
    lose(&s, 0);
    lose(&s, 1);
    for (uint32_t slot = 0; slot < 6; slot++) {
        const struct mf_instance *inst = stage_current(&s, "db", slot);
        assert_int_equal(inst->state, MF_INSTANCE_STATE_RUNNING);
        assert_true(mf_node_up(inst->node));
    }
    stage_close(&s);
}

static void test_it_outlives_the_broker(void **state)
{
    struct stage s;

    (void)state;
    open_on(&s, 2, 0);
    set_level(&s, "host");
    assert_true(scale(&s, "web", 4, false));
    stage_restart(&s, s.n_rows);
    stage_monitor_hello(&s);
    assert_true(mf_str_is(s.b->headroom, "host"));
    assert_false(scale(&s, "web", 5, false)); /* nobody is back yet: it can't be known */
    assert_string_equal(refusal(&s), "headroom");
    for (int i = 0; i < 2; i++) {
        struct mf_rec_guest guests[4] = {0};
        uint32_t n = 0;
        for (uint32_t slot = 0; slot < 4; slot++) {
            const struct mf_instance *inst = stage_current(&s, "web", slot);
            if (atoi(inst->node->name.ptr + strlen("node-")) == i)
                guests[n++] = (struct mf_rec_guest){.id = inst->id, .state = MF_GUEST_STATE_RUNNING};
        }
        stage_hello(&s, i, guests, n);
    }
    stage_pass(&s, STAGE_GRACE + 1000);
    assert_int_equal(lacking(&s), 0);
    assert_int_equal(stage_count_rows(&s, MF_EV_HEADROOM_DEGRADED), 0);
    assert_false(scale(&s, "web", 5, false));
    stage_reloads(&s);
    stage_close(&s);
}

static void test_off_again(void **state)
{
    struct stage s;

    (void)state;
    open_on(&s, 2, 0);
    assert_true(scale(&s, "web", 6, false));
    set_level(&s, "host");
    assert_int_equal(stage_count_rows(&s, MF_EV_HEADROOM_DEGRADED), 1);
    assert_in_range(lacking(&s), 2, 4); /* of three and three one fits at the other */
    stage_reloads(&s);
    set_level(&s, "");
    assert_int_equal(stage_count_rows(&s, MF_EV_HEADROOM_RESTORED), 1);
    assert_true(scale(&s, "web", 8, false));
    stage_reloads(&s);
    stage_close(&s);
}

static void test_levels_that_can_be_none(void **state)
{
    struct stage s;

    (void)state;
    open_on(&s, 2, 0);
    set_level(&s, "No Label");
    assert_string_equal(refusal(&s), "invalid");
    stage_forget_sent(&s);
    set_level(&s, "rack");
    assert_string_equal(refusal(&s), "invalid");
    assert_int_equal(stage_count_rows(&s, MF_EV_HEADROOM_SET), 0);
    stage_close(&s);
}

/* Eight are kept at most; those of groups that are gone don't count. */
static void test_levels_are_bounded(void **state)
{
    struct stage s;
    char name[24], level[24];

    (void)state;
    open_on(&s, 20, 0);
    for (int i = 0; i <= MF_HEADROOM_LEVELS + 2; i++) {
        struct mf_message message;
        snprintf(name, sizeof(name), "g%d", i);
        snprintf(level, sizeof(level), "level%d", i);
        message = stage_provision_message(&s, name, 1);
        message.provision.rules.headroom = mf_str(level);
        stage_forget_sent(&s);
        stage_client(&s, message);
        assert_string_equal(refusal(&s), i == MF_HEADROOM_LEVELS ? "invalid" : "none");
        stage_answer_all(&s);
        if (i >= MF_HEADROOM_LEVELS) {
            snprintf(name, sizeof(name), "g%d", i - MF_HEADROOM_LEVELS);
            stage_destroy(&s, name);
            stage_answer_all(&s);
        }
    }
    assert_int_equal(lacking(&s), 0);
    stage_close(&s);
}

static void test_a_guest_that_dies_takes_nothing(void **state)
{
    struct stage s;
    struct mf_broker_counts counts;

    (void)state;
    open_on(&s, 3, 0);
    set_level(&s, "host");
    assert_true(scale(&s, "web", 8, false));
    stage_pass(&s, 20000); /* a long life */
    for (uint32_t slot = 0; slot < 8; slot++) {
        const struct mf_instance *inst = stage_current(&s, "web", slot);
        stage_death(&s, atoi(inst->node->name.ptr + strlen("node-")), inst->id);
        stage_answer_all(&s);
        stage_pass(&s, 100);
    }
    stage_pass(&s, 5000);
    stage_answer_all(&s);
    stage_pass(&s, 1000);
    mf_broker_count(s.b, &counts);
    assert_int_equal(counts.protected, 8);
    assert_int_equal(counts.unprotected, 0);
    stage_close(&s);
}

static void provision(struct stage *s, const char *group, uint64_t count, const char *rack, const char *level,
                      uint64_t priority)
{
    struct mf_message message = stage_provision_message(s, group, count);
    struct mf_label label = {mf_str("rack"), mf_str(rack)};

    message.provision.require = (struct mf_labels){&label, *rack ? 1 : 0};
    message.provision.rules.headroom = mf_str(level);
    message.provision.rules.priority = priority;
    message.provision.override = true;
    stage_client(s, message);
    stage_answer_all(s);
}

/* Who has no backup does not take another's, however high his priority. */
static void test_a_backup_is_its_own(void **state)
{
    struct stage s;

    (void)state;
    open_on(&s, 1, 1);
    provision(&s, "db", 2, "", "host", 50);
    join(&s, 1, 1);
    stage_pass(&s, 200);
    assert_int_equal(lacking(&s), 0);
    provision(&s, "fill", 2, "r1", "", 50);
    provision(&s, "web", 2, "", "host", 100);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 6);
    assert_int_equal(lacking(&s), 2);
    lose(&s, 0);
    for (uint32_t slot = 0; slot < 2; slot++) {
        assert_int_equal(stage_current(&s, "db", slot)->state, MF_INSTANCE_STATE_RUNNING);
        assert_int_equal(stage_current(&s, "web", slot)->state, MF_INSTANCE_STATE_PENDING);
    }
    stage_destroy(&s, "fill");
    stage_answer_all(&s);
    stage_pass(&s, 1000);
    stage_answer_all(&s);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 4);
    stage_close(&s);
}

static void add_offering(struct stage *s, const char *name, uint64_t vcpus)
{
    struct mf_rec_offering offering = {
        .name = mf_str(name), .vcpus = vcpus, .memory_mib = 200, .disk_mib = 10, .class = mf_str("standard")};

    stage_client(s, (struct mf_message){.kind = MF_MSG_OFFERING_ADD,
                                        .offering_add = {.request_id = mf_str(name), .offering = offering}});
}

static bool grow(struct stage *s, const char *offering, uint64_t count)
{
    struct mf_message message = stage_provision_message(s, offering, count);

    stage_forget_sent(s);
    message.provision.offering = mf_str(offering);
    message.provision.apply = true;
    stage_client(s, message);
    if (stage_last(s, STAGE_CLIENT, MF_MSG_ERROR))
        return false;
    stage_answer_all(s);
    return true;
}

/* However tight it is, what was admitted without an override has its backups as soon as it is placed. */
static void test_what_is_admitted_is_protected(void **state)
{
    static const char *const names[] = {"small", "two", "three"};
    struct mf_random random;

    (void)state;
    mf_random_seed(&random, 5);
    for (int seed = 0; seed < 60; seed++) {
        uint64_t counts[3] = {0};
        struct stage s;
        open_on(&s, 0, 0);
        for (int i = 0; i < 3 + seed % 6; i++)
            join_with(&s, i, seed % 3, 3 + mf_random_below(&random, 10));
        add_offering(&s, "two", 2);
        add_offering(&s, "three", 3);
        set_level(&s, seed % 3 ? "rack" : "host");
        for (int refused = 0; refused < 6;) {
            uint64_t which = mf_random_below(&random, 3), more = 1 + mf_random_below(&random, 12);
            bool grown = grow(&s, names[which], counts[which] + more);
            counts[which] += grown ? more : 0;
            refused += !grown;
            assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING),
                             counts[0] + counts[1] + counts[2]);
            assert_int_equal(lacking(&s), 0);
        }
        assert_string_equal(refusal(&s), "headroom");
        stage_close(&s);
    }
}

static void test_how_many_more(void **state)
{
    struct stage s;
    const struct mf_offering *offering;

    (void)state;
    open_on(&s, 4, 0);
    set_level(&s, "host");
    offering = s.b->offerings.items[0];
    assert_int_equal(mf_admission_room(s.b, offering), 12);
    assert_true(scale(&s, "web", 5, false));
    assert_int_equal(mf_admission_room(s.b, offering), 7);
    assert_true(scale(&s, "web", 12, false));
    assert_int_equal(mf_admission_room(s.b, offering), 0);
    mf_broker_check(s.b);
    stage_close(&s);
}

/* Where so much waits that placement takes its time, another's request comes between: what was admitted stays
 * with whom it was admitted for, and goes with it. */
static void test_what_was_admitted_is_its_own(void **state)
{
    struct mf_label nowhere = {mf_str("nowhere"), mf_str("x")};
    struct mf_message message;
    struct stage s;
    char name[32];

    (void)state;
    open_on(&s, 4, 0);
    for (int i = 0; i < 70; i++) {
        snprintf(name, sizeof(name), "wait-%d", i);
        message = stage_provision_message(&s, name, 1);
        message.provision.require = (struct mf_labels){&nowhere, 1};
        stage_client(&s, message);
    }
    message = stage_provision_message(&s, "db", 2);
    message.provision.rules.headroom = mf_str("host");
    stage_client(&s, message);
    assert_int_equal(s.b->admission.n, 2);
    assert_ptr_equal(s.b->admission.group, mf_group_active(s.b, mf_str("db")));
    stage_provision(&s, "web", 2);
    assert_ptr_equal(s.b->admission.group, mf_group_active(s.b, mf_str("db")));
    stage_destroy(&s, "db");
    assert_int_equal(s.b->admission.n, 0);
    stage_pass(&s, 100);
    stage_answer_all(&s);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_RUNNING), 2);
    stage_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_off_by_default),
        cmocka_unit_test(test_what_would_break_it_is_refused),
        cmocka_unit_test(test_an_operator_overrides),
        cmocka_unit_test(test_a_lost_host_finds_its_room),
        cmocka_unit_test(test_a_group_asks_for_itself),
        cmocka_unit_test(test_it_outlives_the_broker),
        cmocka_unit_test(test_off_again),
        cmocka_unit_test(test_levels_that_can_be_none),
        cmocka_unit_test(test_levels_are_bounded),
        cmocka_unit_test(test_a_guest_that_dies_takes_nothing),
        cmocka_unit_test(test_a_backup_is_its_own),
        cmocka_unit_test(test_what_is_admitted_is_protected),
        cmocka_unit_test(test_how_many_more),
        cmocka_unit_test(test_what_was_admitted_is_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
