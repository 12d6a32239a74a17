/* test_broker_spares.c - instances beyond desired that take the place of one that fails: by a row, at once,
 * and never of an at-most slot that something is left of. */
#include "broker_stage.h"
#include "check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void provision(struct stage *s, uint64_t count, uint64_t spares, bool apply, enum mf_policy policy)
{
    struct mf_message message = stage_provision_message(s, "web", count);

    message.provision.spares = spares;
    message.provision.apply = apply;
    message.provision.policy = policy;
    stage_client(s, message);
}

static void open_on(struct stage *s, int nodes, uint64_t count, uint64_t spares, enum mf_policy policy)
{
    stage_open(s);
    stage_monitor_hello(s);
    for (int i = 0; i < nodes; i++) {
        stage_hello(s, i, NULL, 0);
        if (policy == MF_POLICY_AT_MOST)
            stage_ask_lease(s, i);
    }
    provision(s, count, spares, false, policy);
    stage_answer_all(s);
    stage_forget_sent(s);
}

static const struct mf_group *web(const struct stage *s)
{
    return s->b->groups.items[0];
}

static int node_of(const struct mf_instance *inst)
{
    return atoi(inst->node->name.ptr + strlen("node-"));
}

static void test_a_death_is_a_promotion(void **state)
{
    struct stage s;
    struct mf_instance *dead, *spare;
    struct mf_uuid id;

    open_on(&s, 3, 2, 1, MF_POLICY_AT_LEAST);
    assert_int_equal(web(&s)->running, 2);
    assert_int_equal(web(&s)->spares_running, 1);
    dead = stage_current(&s, "web", 0);
    spare = stage_current(&s, "web", 2);
    assert_ptr_not_equal(spare->node, dead->node); /* no failure takes both */
    id = spare->id;
    stage_death(&s, node_of(dead), dead->id);
    assert_ptr_equal(stage_current(&s, "web", 0), spare);
    assert_int_equal(spare->generation, 2);
    assert_int_equal(web(&s)->running, 2);
    assert_int_equal(stage_count_rows(&s, MF_EV_SLOT_PROMOTED), 1);
    assert_int_equal(stage_current(&s, "web", 2)->state, MF_INSTANCE_STATE_PLACED); /* the next spare */
    assert_int_equal(stage_current(&s, "web", 2)->born, MF_BIRTH_REASON_PROMOTED);
    assert_true(mf_uuid_eq(spare->id, id));
    stage_answer_all(&s);
    assert_int_equal(web(&s)->spares_running, 1);
    stage_reloads(&s);
    stage_close(&s);
}

static void test_a_node_takes_as_many_as_there_are(void **state)
{
    struct stage s;
    size_t lost = 0;

    open_on(&s, 3, 3, 1, MF_POLICY_AT_LEAST);
    for (uint32_t i = 0; i < 3; i++)
        lost += node_of(stage_current(&s, "web", i)) == 0;
    assert_true(lost >= 1);
    stage_gone(&s, s.worker[0]);
    stage_verdict(&s, 0, MF_VERDICT_FAILED);
    assert_true(stage_count_rows(&s, MF_EV_INSTANCE_LOST) >= lost);
    assert_int_equal(stage_count_rows(&s, MF_EV_SLOT_PROMOTED), lost < 1 ? lost : 1);
    stage_answer_all(&s);
    assert_int_equal(web(&s)->running, 3);
    stage_hello(&s, 0, NULL, 0); /* and its lost ones do not come back */
    stage_answer_all(&s);
    assert_int_equal(web(&s)->running, 3);
    assert_int_equal(web(&s)->spares_running, 1);
    stage_reloads(&s);
    stage_close(&s);
}

static void test_scaling_makes_members_of_spares_and_back(void **state)
{
    struct stage s;
    struct mf_instance *spare;

    open_on(&s, 3, 1, 2, MF_POLICY_AT_LEAST);
    spare = stage_current(&s, "web", 1);
    stage_scale(&s, "web", 2);
    assert_int_equal(web(&s)->running, 2); /* at once */
    assert_ptr_equal(stage_current(&s, "web", 1), spare);
    stage_answer_all(&s);
    assert_int_equal(web(&s)->spares_running, 2);
    stage_scale(&s, "web", 1);
    assert_int_equal(web(&s)->running, 1);
    stage_answer_all(&s);
    assert_int_equal(web(&s)->spares_running, 2);
    assert_int_equal(web(&s)->living, 3);
    provision(&s, 1, 0, true, MF_POLICY_AT_LEAST);
    stage_answer_all(&s);
    assert_int_equal(web(&s)->living, 1);
    stage_reloads(&s);
    stage_close(&s);
}

static void test_at_most_takes_one_only_after_a_proven_end(void **state)
{
    struct stage s;
    struct mf_instance *first, *spare;

    open_on(&s, 3, 1, 1, MF_POLICY_AT_MOST);
    first = stage_current(&s, "web", 0);
    spare = stage_current(&s, "web", 1);
    stage_gone(&s, s.worker[node_of(first)]);
    stage_verdict(&s, node_of(first), MF_VERDICT_FAILED);
    assert_int_equal(stage_count_rows(&s, MF_EV_SLOT_PROMOTED), 0); /* it may yet run there */
    assert_ptr_not_equal(stage_current(&s, "web", 0), spare);
    stage_close(&s);
    open_on(&s, 3, 1, 1, MF_POLICY_AT_MOST);
    first = stage_current(&s, "web", 0);
    spare = stage_current(&s, "web", 1);
    stage_pass(&s, 30000); /* nothing of earlier reigns is left */
    for (int i = 0; i < 3; i++)
        stage_ask_lease(&s, i);
    stage_death(&s, node_of(first), first->id);
    assert_ptr_equal(stage_current(&s, "web", 0), spare);
    stage_close(&s);
}

static void test_a_spare_that_is_not_ready_is_none(void **state)
{
    struct stage s;
    struct mf_message message;
    struct mf_instance *first;

    stage_open(&s);
    stage_monitor_hello(&s);
    for (int i = 0; i < 3; i++)
        stage_hello(&s, i, NULL, 0);
    message = stage_provision_message(&s, "web", 1);
    message.provision.spares = 1;
    message.provision.health.ready = MF_READINESS_PORT;
    stage_client(&s, message);
    stage_answer_all(&s);
    stage_forget_sent(&s);
    first = stage_current(&s, "web", 0);
    stage_death(&s, node_of(first), first->id);
    assert_int_equal(stage_count_rows(&s, MF_EV_SLOT_PROMOTED), 0);
    assert_int_equal(stage_current(&s, "web", 0)->state, MF_INSTANCE_STATE_PLACED);
    stage_close(&s);
}

/* Two of four vcpus are in use on each of three nodes; the fourth node's end leaves members without room. */
static void test_members_before_spares(void **state)
{
    struct stage s;

    stage_open(&s);
    stage_monitor_hello(&s);
    stage_hello(&s, 0, NULL, 0);
    provision(&s, 4, 4, false, MF_POLICY_AT_LEAST); /* room for four */
    stage_answer_all(&s);
    assert_int_equal(stage_count_rows(&s, MF_EV_SLOT_PROMOTED), 0); /* they had the room at once */
    assert_int_equal(web(&s)->running, 4);
    assert_int_equal(web(&s)->spares_running, 0);
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_PENDING), 4);
    stage_death(&s, 0, stage_current(&s, "web", 0)->id);
    stage_answer_all(&s);
    stage_pass(&s, 5000);
    stage_answer_all(&s);
    assert_int_equal(web(&s)->running, 4);
    assert_int_equal(web(&s)->spares_running, 0);
    stage_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_death_is_a_promotion),
        cmocka_unit_test(test_a_node_takes_as_many_as_there_are),
        cmocka_unit_test(test_scaling_makes_members_of_spares_and_back),
        cmocka_unit_test(test_at_most_takes_one_only_after_a_proven_end),
        cmocka_unit_test(test_a_spare_that_is_not_ready_is_none),
        cmocka_unit_test(test_members_before_spares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
