/* test_broker_leases.c - at-most: a successor is ordered only when what was before it is proven gone or the
 * lease of its node is over. */
#include "broker_stage.h"
#include "check.h"
#include "describe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { LEASE = 10000, MARGIN = 600 };

static int node_of(const struct mf_instance *inst)
{
    return inst->node->name.ptr[5] - '0';
}

static struct mf_rec_guest runs(const struct mf_instance *inst)
{
    return (struct mf_rec_guest){.id = inst->id, .state = MF_GUEST_STATE_RUNNING};
}

/* Nodes 0..n-1, a monitor, an at-most group db of one that runs under a lease granted now. Its node. */
static int open_leased(struct stage *s, int nodes)
{
    int at;

    stage_open(s);
    s->now = 100000;
    stage_monitor_hello(s);
    for (int i = 0; i < nodes; i++)
        stage_hello(s, i, NULL, 0);
    stage_provision_at_most(s, "db", 1);
    stage_answer_all(s);
    assert_int_equal(stage_count_state(s, MF_INSTANCE_STATE_RUNNING), 1);
    at = node_of(stage_current(s, "db", 0));
    stage_ask_lease(s, at);
    return at;
}

static void fail_node(struct stage *s, int node)
{
    stage_monitor(s, (struct mf_message){.kind = MF_MSG_MONITOR_ALIVE});
    stage_verdict(s, node, MF_VERDICT_FAILED);
}

static enum mf_instance_state state_of(const struct stage *s, struct mf_uuid id)
{
    const struct mf_instance *inst = mf_instance_find(s->b, id);

    return inst ? (enum mf_instance_state)inst->state : MF_INSTANCE_STATE_GONE;
}

static enum mf_instance_state current_state(const struct stage *s)
{
    return (enum mf_instance_state)stage_current(s, "db", 0)->state;
}

static bool row_says(const struct stage *s, enum mf_kind kind, const char *words)
{
    const struct stage_row *row = stage_row_of(s, kind);

    return row && memmem(row->row.data.ptr, row->row.data.len, words, strlen(words));
}

static void test_what_it_costs_is_said(void **state)
{
    struct stage s;
    const struct mf_message *m;

    stage_open(&s);
    stage_hello(&s, 0, NULL, 0);
    m = stage_last(&s, s.worker[0], MF_MSG_WELCOME);
    assert_int_equal(m->welcome.lease_ms, LEASE);
    assert_int_equal(m->welcome.renew_ms, LEASE / 5);
    stage_provision_at_most(&s, "db", 1);
    m = stage_last(&s, STAGE_CLIENT, MF_MSG_ACCEPTED);
    assert_non_null(memmem(m->accepted.text.ptr, m->accepted.text.len, "10000 ms", 8));
    m = stage_last(&s, s.worker[0], MF_MSG_ORDER_CREATE);
    assert_int_equal(m->order_create.policy, MF_POLICY_AT_MOST);
    stage_provision(&s, "web", 1);
    assert_int_equal(stage_last(&s, STAGE_CLIENT, MF_MSG_ACCEPTED)->accepted.text.len, 0);
    assert_int_equal(stage_last(&s, s.worker[0], MF_MSG_ORDER_CREATE)->order_create.policy,
                     MF_POLICY_AT_LEAST);
    stage_close(&s);
}

static void test_only_where_it_can_be_fenced(void **state)
{
    struct stage s;
    struct mf_message hello = stage_hello_message(0);

    stage_open(&s);
    hello.hello.fences = false;
    stage_hello_as(&s, 0, hello);
    stage_provision_at_most(&s, "db", 1);
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_PENDING);
    assert_true(row_says(&s, MF_EV_INSTANCE_PENDING, "1 cannot fence"));
    stage_hello(&s, 1, NULL, 0);
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_PLACED);
    assert_int_equal(node_of(stage_current(&s, "db", 0)), 1);
    stage_close(&s);
}

static void test_an_ask_is_granted_at_once(void **state)
{
    struct stage s;
    int at = open_leased(&s, 1);
    size_t rows = s.n_rows;
    const struct mf_message *m;

    stage_forget_sent(&s);
    s.hold = true; /* the store is slow */
    stage_ask_lease(&s, at);
    m = stage_last(&s, s.worker[at], MF_MSG_LEASE_GRANT);
    assert_int_equal(m->lease_grant.ask_id, s.next_report);
    assert_int_equal(m->lease_grant.epoch, s.epoch[at]);
    assert_int_equal(m->lease_grant.lease_ms, LEASE);
    assert_int_equal(s.n_rows, rows);
    stage_close(&s);
}

static void test_no_grant_without_the_present_epoch(void **state)
{
    struct stage s;
    int at = open_leased(&s, 2);

    stage_forget_sent(&s);
    s.epoch[at]++;
    stage_ask_lease(&s, at);
    assert_null(stage_last(&s, 0, MF_MSG_LEASE_GRANT));
    assert_non_null(stage_last(&s, s.worker[at], MF_MSG_HELLO_AGAIN));
    s.epoch[at]--;
    s.now += 3000;
    fail_node(&s, at);
    stage_forget_sent(&s);
    stage_ask_lease(&s, at); /* its connection is still there, its epoch is over */
    assert_null(stage_last(&s, 0, MF_MSG_LEASE_GRANT));
    assert_non_null(stage_last(&s, s.worker[at], MF_MSG_HELLO_AGAIN));
    stage_pass(&s, LEASE + MARGIN - 3000); /* nor was anything extended */
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_PLACED);
    stage_close(&s);
}

static void test_a_successor_waits_for_the_lease(void **state)
{
    struct stage s;
    int at = open_leased(&s, 2);
    struct mf_uuid lost = stage_current(&s, "db", 0)->id;

    s.now += 1200;
    s.trace.len = 0;
    fail_node(&s, at);
    assert_int_equal(state_of(&s, lost), MF_INSTANCE_STATE_LOST);
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_PENDING);
    assert_true(row_says(&s, MF_EV_INSTANCE_PENDING, "is over, at most 9400 ms"));
    stage_pass(&s, LEASE + MARGIN - 1200 - 1);
    assert_int_equal(state_of(&s, lost), MF_INSTANCE_STATE_LOST);
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_PENDING);
    stage_forget_sent(&s);
    stage_pass(&s, 1);
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_PLACED);
    assert_int_not_equal(node_of(stage_current(&s, "db", 0)), at);
    assert_non_null(stage_last(&s, s.worker[1 - at], MF_MSG_ORDER_CREATE));
    /* from then on the lost one is never reinstated, and the row that says so is before the order's */
    assert_int_equal(state_of(&s, lost), MF_INSTANCE_STATE_TOMBSTONE);
    assert_int_equal(stage_row_of(&s, MF_EV_INSTANCE_TOMBSTONED)->row.seq + 1,
                     stage_row_of(&s, MF_EV_INSTANCE_PLACED)->row.seq);
    stage_golden(&s, "lease-over");
    stage_close(&s);
}

static void test_renewals_move_the_end(void **state)
{
    struct stage s;
    int at = open_leased(&s, 2);

    stage_pass(&s, 4000);
    stage_ask_lease(&s, at);
    stage_gone(&s, s.worker[at]);
    fail_node(&s, at);
    stage_pass(&s, LEASE + MARGIN - 1);
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_PENDING);
    stage_pass(&s, 1);
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_PLACED);
    stage_close(&s);
}

static void test_a_lease_belongs_to_the_node_not_to_the_epoch(void **state)
{
    struct stage s;
    int at = open_leased(&s, 2);
    struct mf_rec_guest guest = runs(stage_current(&s, "db", 0));

    s.now += 1000;
    stage_hello(&s, at, &guest, 1);
    fail_node(&s, at); /* under the new epoch nothing was asked for, and the old lease runs on */
    stage_pass(&s, LEASE + MARGIN - 1001);
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_PENDING);
    stage_pass(&s, 1);
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_PLACED);
    stage_close(&s);
}

static void test_a_node_that_returns_in_time_keeps_it(void **state)
{
    struct stage s;
    int at = open_leased(&s, 2);
    struct mf_instance *inst = stage_current(&s, "db", 0);
    struct mf_uuid id = inst->id;
    struct mf_rec_guest guest = runs(inst);

    s.now += 1200;
    fail_node(&s, at);
    stage_pass(&s, 9000);
    stage_hello(&s, at, &guest, 1);
    assert_true(mf_uuid_eq(stage_current(&s, "db", 0)->id, id));
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_RUNNING);
    stage_pass(&s, 60000);
    assert_int_equal(mf_group_active(s.b, mf_str("db"))->living, 1);
    assert_null(stage_last(&s, s.worker[1 - at], MF_MSG_ORDER_CREATE));
    stage_close(&s);
}

static void test_a_node_that_returns_too_late_must_prove_it_gone(void **state)
{
    struct stage s;
    int at = open_leased(&s, 2);
    struct mf_uuid lost = stage_current(&s, "db", 0)->id;
    struct mf_rec_guest guest = runs(stage_current(&s, "db", 0));

    fail_node(&s, at);
    stage_pass(&s, LEASE + MARGIN);
    stage_forget_sent(&s);
    stage_hello(&s, at, &guest, 1); /* before its successor runs, but after it was ordered */
    assert_int_equal(state_of(&s, lost), MF_INSTANCE_STATE_DESTROYING);
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_PLACED);
    assert_int_equal(mf_node_find(s.b, mf_str(at ? "node-1" : "node-0"))->state, MF_NODE_STATE_JOINING);
    stage_answer_all(&s);
    assert_int_equal(state_of(&s, lost), MF_INSTANCE_STATE_GONE);
    assert_int_equal(mf_node_find(s.b, mf_str(at ? "node-1" : "node-0"))->state, MF_NODE_STATE_READY);
    stage_close(&s);
}

static void test_no_time_frees_a_connected_node(void **state)
{
    struct stage s;
    int at = open_leased(&s, 2);
    struct mf_uuid id = stage_current(&s, "db", 0)->id;

    stage_destroy(&s, "db/0"); /* and no answer */
    assert_int_equal(state_of(&s, id), MF_INSTANCE_STATE_DESTROYING);
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_PENDING);
    assert_true(row_says(&s, MF_EV_INSTANCE_PENDING, "proves that generation 1 is gone"));
    stage_pass(&s, 100000);
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_PENDING);
    stage_ask_lease(&s, at);
    stage_gone(&s, s.worker[at]); /* now time counts, though no monitor has said anything */
    stage_pass(&s, LEASE + MARGIN - 1);
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_PENDING);
    stage_pass(&s, 1);
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_PLACED);
    stage_close(&s);
}

static void test_a_proof_frees_at_once(void **state)
{
    struct stage s;
    int at = open_leased(&s, 1);

    stage_forget_sent(&s);
    stage_destroy(&s, "db/0");
    assert_null(stage_last(&s, 0, MF_MSG_ORDER_CREATE));
    stage_answer(&s, at, stage_last(&s, 0, MF_MSG_ORDER_DESTROY), "ok");
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_PLACED);
    stage_answer_all(&s);
    stage_death(&s, at, stage_current(&s, "db", 0)->id);
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_PLACED);
    stage_close(&s);
}

static void test_a_fenced_death_blames_nobody(void **state)
{
    struct stage s;
    int at = open_leased(&s, 1);

    for (int i = 0; i < 3; i++) {
        stage_death_as(&s, at, stage_current(&s, "db", 0)->id, MF_DEATH_FENCED, "");
        assert_int_equal(current_state(&s), MF_INSTANCE_STATE_PLACED);
        stage_answer_all(&s);
    }
    assert_int_equal(stage_current(&s, "db", 0)->slot->failures, 0);
    stage_close(&s);
}

static void test_a_list_is_no_proof(void **state)
{
    struct stage s;
    int at = open_leased(&s, 2);
    struct mf_uuid id = stage_current(&s, "db", 0)->id;

    stage_forget_sent(&s);
    stage_hello(&s, at, NULL, 0);
    assert_int_equal(state_of(&s, id), MF_INSTANCE_STATE_DESTROYING);
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_PENDING);
    assert_null(stage_last(&s, 0, MF_MSG_ORDER_CREATE));
    stage_answer_all(&s);
    assert_int_equal(state_of(&s, id), MF_INSTANCE_STATE_GONE);
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_RUNNING);
    /* the same of one that was lost */
    at = node_of(stage_current(&s, "db", 0));
    id = stage_current(&s, "db", 0)->id;
    stage_ask_lease(&s, at);
    fail_node(&s, at);
    stage_hello(&s, at, NULL, 0);
    assert_int_equal(state_of(&s, id), MF_INSTANCE_STATE_DESTROYING);
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_PENDING);
    stage_close(&s);
}

static void test_absent_said_twice_is_one_destroy(void **state)
{
    struct stage s;
    int at = open_leased(&s, 2);
    struct mf_uuid id = stage_current(&s, "db", 0)->id;

    stage_death_as(&s, at, id, MF_DEATH_ABSENT, "");
    assert_int_equal(state_of(&s, id), MF_INSTANCE_STATE_DESTROYING);
    size_t rows = s.n_rows;
    stage_death_as(&s, at, id, MF_DEATH_ABSENT, "");
    assert_int_equal(s.n_rows, rows);
    assert_int_equal(stage_count_sent(&s, MF_MSG_ORDER_DESTROY), 1);
    stage_answer_all(&s);
    assert_int_equal(state_of(&s, id), MF_INSTANCE_STATE_GONE);
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_RUNNING);
    stage_close(&s);
}

static void test_a_reboot_is_a_proof(void **state)
{
    struct stage s;
    int at = open_leased(&s, 2);
    struct mf_message hello = stage_hello_message(at);

    hello.hello.boot_id = mf_str("boot-2");
    stage_hello_as(&s, at, hello);
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_PLACED);
    assert_int_equal(mf_group_active(s.b, mf_str("db"))->living, 1);
    stage_close(&s);
}

static void test_a_failed_birth_is_no_proof(void **state)
{
    struct stage s;

    stage_open(&s);
    stage_hello(&s, 0, NULL, 0);
    stage_hello(&s, 1, NULL, 0);
    stage_provision_at_most(&s, "db", 1);
    const struct mf_message *create = stage_last(&s, 0, MF_MSG_ORDER_CREATE);
    int at = stage_node_of(&s, s.sent[s.n_sent - 1].peer);
    stage_answer(&s, at, create, "driver");
    assert_int_equal(stage_count_state(&s, MF_INSTANCE_STATE_DESTROYING), 1);
    stage_pass(&s, 5000); /* the back-off is over */
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_PENDING);
    stage_answer_all(&s);
    assert_int_equal(stage_current(&s, "db", 0)->generation, 2);
    assert_int_not_equal(current_state(&s), MF_INSTANCE_STATE_PENDING);
    stage_close(&s);
}

static void test_a_keeper_that_cannot_fence_is_not_freed_by_time(void **state)
{
    struct stage s;
    int at = open_leased(&s, 2);
    struct mf_message hello = stage_hello_message(at);
    struct mf_rec_guest guest = runs(stage_current(&s, "db", 0));

    hello.hello.fences = false;
    hello.hello.guests.items = &guest;
    hello.hello.guests.n = 1;
    stage_hello_as(&s, at, hello);
    fail_node(&s, at);
    stage_pass(&s, 10 * LEASE);
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_PENDING);
    hello.hello.boot_id = mf_str("boot-2");
    hello.hello.guests.n = 0;
    stage_hello_as(&s, at, hello);
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_PLACED);
    stage_close(&s);
}

static void test_a_forgotten_node_holds_its_lease(void **state)
{
    struct stage s;
    int at = open_leased(&s, 2);

    stage_gone(&s, s.worker[at]);
    fail_node(&s, at);
    stage_pass(&s, 1000);
    stage_client(&s, (struct mf_message){.kind = MF_MSG_NODE_FORGET,
                                         .node_forget = {.request_id = mf_str("forget"),
                                                         .node = mf_str(at ? "node-1" : "node-0")}});
    assert_int_equal(s.b->nodes.n, 1);
    assert_int_equal(mf_group_active(s.b, mf_str("db"))->living, 1); /* the successor alone */
    stage_pass(&s, LEASE + MARGIN - 1001);
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_PENDING);
    stage_pass(&s, 1);
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_PLACED);
    stage_close(&s);
}

static void test_a_new_reign_knows_of_no_forgotten_node(void **state)
{
    struct stage s;
    int at = open_leased(&s, 2);

    stage_gone(&s, s.worker[at]);
    fail_node(&s, at);
    stage_client(&s, (struct mf_message){.kind = MF_MSG_NODE_FORGET,
                                         .node_forget = {.request_id = mf_str("forget"),
                                                         .node = mf_str(at ? "node-1" : "node-0")}});
    stage_restart(&s, s.n_rows);
    stage_hello(&s, 1 - at, NULL, 0);
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_PENDING);
    stage_pass(&s, LEASE + MARGIN);
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_PLACED);
    stage_close(&s);
}

/* Scaled away and back, the slot's next generation answers to a row of this reign, and waits all the same. */
static void test_a_new_reign_waits_also_for_slots_that_come_back(void **state)
{
    struct stage s;
    int at = open_leased(&s, 2);

    stage_gone(&s, s.worker[at]);
    fail_node(&s, at);
    stage_operator(&s, MF_MSG_NODE_FORGET, at ? "node-1" : "node-0");
    stage_restart(&s, s.n_rows);
    stage_hello(&s, 1 - at, NULL, 0);
    stage_scale(&s, "db", 0);
    assert_null(stage_current(&s, "db", 0));
    stage_scale(&s, "db", 1);
    stage_pass(&s, LEASE + MARGIN - 1);
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_PENDING);
    stage_pass(&s, 1);
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_PLACED);
    stage_close(&s);
}

/* Between two forgettings the node was back and renewed its lease, for what is a stranger by then. */
static void test_a_node_forgotten_again_holds_its_lease(void **state)
{
    struct stage s;
    int at = open_leased(&s, 2);
    struct mf_rec_guest guest = runs(stage_current(&s, "db", 0));
    const char *name = at ? "node-1" : "node-0";

    guest.name = mf_str("default/db/0#1");
    stage_gone(&s, s.worker[at]);
    stage_operator(&s, MF_MSG_NODE_FORGET, name);
    stage_pass(&s, 5000);
    stage_hello(&s, at, &guest, 1);
    for (int i = 0; i < 10; i++) {
        stage_ask_lease(&s, at);
        stage_pass(&s, 2000);
    }
    stage_ask_lease(&s, at);
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_PENDING);
    stage_gone(&s, s.worker[at]);
    stage_operator(&s, MF_MSG_NODE_FORGET, name);
    assert_int_equal(s.b->nodes.n, 1);
    stage_pass(&s, LEASE + MARGIN - 1);
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_PENDING);
    stage_pass(&s, 1);
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_PLACED);
    stage_close(&s);
}

static void test_lists_tell(void **state)
{
    struct stage s;
    int at = open_leased(&s, 2);
    const struct mf_rec_node_row *row;
    const struct mf_msg_instances *list;
    struct mf_str reason;

    stage_client(&s, (struct mf_message){.kind = MF_MSG_STATUS, .status = {.request_id = mf_str("s")}});
    assert_int_equal(stage_last(&s, STAGE_CLIENT, MF_MSG_STATUS_REPLY)->status_reply.lease_ms, LEASE);
    s.now += 1000;
    stage_client(&s,
                 (struct mf_message){.kind = MF_MSG_LIST_NODES, .list_nodes = {.request_id = mf_str("n")}});
    row = stage_last(&s, STAGE_CLIENT, MF_MSG_NODES)->nodes.rows.items;
    assert_true(row[at].fences && row[1 - at].fences);
    assert_int_equal(row[at].lease_ms, LEASE + MARGIN - 1000);
    assert_int_equal(row[1 - at].lease_ms, 0);
    fail_node(&s, at);
    stage_client(&s, (struct mf_message){.kind = MF_MSG_LIST_INSTANCES,
                                         .list_instances = {.request_id = mf_str("i")}});
    list = &stage_last(&s, STAGE_CLIENT, MF_MSG_INSTANCES)->instances;
    reason = list->rows.items[1].reason;
    assert_int_equal(list->rows.items[1].state, MF_INSTANCE_STATE_PENDING);
    assert_non_null(memmem(reason.ptr, reason.len, "at most 9600 ms", 15));
    stage_close(&s);
}

/* ------------------------------------------------------------------ reigns */

static void test_a_new_reign_waits_a_whole_lease(void **state)
{
    struct stage s;
    int at = open_leased(&s, 2);

    fail_node(&s, at);
    s.now += 9000;
    s.config.lease_ms = 5000; /* shorter from now on, which says nothing of what was granted */
    stage_restart(&s, s.n_rows);
    stage_monitor_hello(&s);
    stage_hello(&s, 1 - at, NULL, 0);
    stage_pass(&s, LEASE + MARGIN - 1);
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_PENDING);
    stage_pass(&s, 1);
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_PLACED);
    stage_close(&s);
}

static void test_a_new_reign_does_not_make_new_groups_wait(void **state)
{
    struct stage s;
    int at = open_leased(&s, 2);

    stage_restart(&s, s.n_rows);
    stage_hello(&s, 1 - at, NULL, 0);
    stage_provision_at_most(&s, "new", 1);
    assert_int_equal(stage_current(&s, "new", 0)->state, MF_INSTANCE_STATE_PLACED);
    stage_close(&s);
}

/* The copy tells of generation 1. What it does not tell: that it died, and that another runs on a node which
 * has not come back yet. */
static void test_a_restored_history_waits_whatever_it_proves(void **state)
{
    struct stage s;
    int at = open_leased(&s, 3);

    mf_broker_destroy(&s.b);
    s.started = false;
    s.config.seed++;
    s.b = stage_load(&s, NULL, 0, 0);
    stage_feed(&s, (struct mf_broker_event){.kind = MF_BROKER_START, .restored = true});
    stage_restart(&s, s.n_rows); /* as mayfly-broker --restore does */
    stage_forget_sent(&s);
    stage_hello(&s, at, NULL, 0);
    stage_answer_all(&s);
    assert_int_equal(stage_current(&s, "db", 0)->generation, 2);
    stage_pass(&s, LEASE + MARGIN - 1);
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_PENDING);
    stage_pass(&s, 1);
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_PLACED);
    stage_close(&s);
}

static void test_a_returning_node_ends_the_wait_of_a_new_reign(void **state)
{
    struct stage s;
    int at = open_leased(&s, 2);
    struct mf_rec_guest guest = runs(stage_current(&s, "db", 0));

    fail_node(&s, at);
    stage_restart(&s, s.n_rows);
    stage_hello(&s, at, &guest, 1);
    assert_int_equal(current_state(&s), MF_INSTANCE_STATE_RUNNING);
    assert_int_equal(stage_current(&s, "db", 0)->generation, 1);
    stage_close(&s);
}

static struct stage_record records[256];
static size_t n_records;
static void record(void *arg, const char *id, struct mf_str data)
{
    struct stage_record *r = &records[n_records++];

    *r = (struct stage_record){0};
    snprintf(r->id, sizeof(r->id), "%s", id);
    mf_buf_append(&r->data, data.ptr, data.len);
}

static void test_a_snapshot_knows_the_longest_lease(void **state)
{
    struct stage s;
    struct mf_broker *loaded;
    struct mf_buf lived = {0}, again = {0};

    open_leased(&s, 2);
    n_records = 0;
    mf_broker_snapshot(s.b, record, NULL);
    s.config.lease_ms = 5000;
    loaded = stage_load(&s, records, n_records, s.n_rows);
    assert_int_equal(loaded->lease_max, LEASE);
    mf_describe_fold(s.b, &lived);
    mf_describe_fold(loaded, &again);
    assert_int_equal(lived.len, again.len);
    assert_memory_equal(lived.ptr, again.ptr, lived.len);
    mf_buf_free(&lived);
    mf_buf_free(&again);
    mf_broker_destroy(&loaded);
    while (n_records)
        mf_buf_free(&records[--n_records].data);
    stage_close(&s);
}

/* A failure, a lease that ends and a return, told up to any row and carried on from by another reign. */
static void test_any_crash_is_carried_on_from(void **state)
{
    struct stage s, again;
    char text[256];
    int at = open_leased(&s, 2);
    struct mf_rec_guest guest = runs(stage_current(&s, "db", 0));

    fail_node(&s, at);
    stage_pass(&s, LEASE + MARGIN);
    stage_answer_all(&s);
    stage_hello(&s, at, &guest, 1);
    stage_answer_all(&s);
    assert_int_equal(mf_group_active(s.b, mf_str("db"))->living, 1);
    for (size_t keep = 4; keep <= s.n_rows; keep++) {
        stage_raw(&again);
        for (size_t i = 0; i < keep; i++)
            assert_int_equal(mf_broker_load_row(again.b, &s.rows[i].row, text), 0);
        stage_feed(&again, (struct mf_broker_event){.kind = MF_BROKER_START});
        stage_hello(&again, 1 - at, NULL, 0);
        stage_answer_all(&again);
        stage_pass(&again, 5000);
        stage_hello(&again, at, NULL, 0);
        for (int i = 0; i < 30; i++) {
            stage_answer_all(&again);
            stage_pass(&again, 1000);
        }
        if (mf_group_active(again.b, mf_str("db")))
            assert_int_equal(stage_count_state(&again, MF_INSTANCE_STATE_RUNNING), 1);
        assert_int_equal(stage_count_state(&again, MF_INSTANCE_STATE_LOST), 0);
        stage_close(&again);
    }
    stage_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_it_costs_is_said),
        cmocka_unit_test(test_only_where_it_can_be_fenced),
        cmocka_unit_test(test_an_ask_is_granted_at_once),
        cmocka_unit_test(test_no_grant_without_the_present_epoch),
        cmocka_unit_test(test_a_successor_waits_for_the_lease),
        cmocka_unit_test(test_renewals_move_the_end),
        cmocka_unit_test(test_a_lease_belongs_to_the_node_not_to_the_epoch),
        cmocka_unit_test(test_a_node_that_returns_in_time_keeps_it),
        cmocka_unit_test(test_a_node_that_returns_too_late_must_prove_it_gone),
        cmocka_unit_test(test_no_time_frees_a_connected_node),
        cmocka_unit_test(test_a_proof_frees_at_once),
        cmocka_unit_test(test_a_fenced_death_blames_nobody),
        cmocka_unit_test(test_a_list_is_no_proof),
        cmocka_unit_test(test_absent_said_twice_is_one_destroy),
        cmocka_unit_test(test_a_reboot_is_a_proof),
        cmocka_unit_test(test_a_failed_birth_is_no_proof),
        cmocka_unit_test(test_a_keeper_that_cannot_fence_is_not_freed_by_time),
        cmocka_unit_test(test_a_forgotten_node_holds_its_lease),
        cmocka_unit_test(test_a_new_reign_knows_of_no_forgotten_node),
        cmocka_unit_test(test_a_new_reign_waits_also_for_slots_that_come_back),
        cmocka_unit_test(test_a_node_forgotten_again_holds_its_lease),
        cmocka_unit_test(test_lists_tell),
        cmocka_unit_test(test_a_new_reign_waits_a_whole_lease),
        cmocka_unit_test(test_a_new_reign_does_not_make_new_groups_wait),
        cmocka_unit_test(test_a_restored_history_waits_whatever_it_proves),
        cmocka_unit_test(test_a_returning_node_ends_the_wait_of_a_new_reign),
        cmocka_unit_test(test_a_snapshot_knows_the_longest_lease),
        cmocka_unit_test(test_any_crash_is_carried_on_from),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
