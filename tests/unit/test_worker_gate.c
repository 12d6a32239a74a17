/* What a create must wait for: a lease, if its group is at-most; a lane; and its turn, the neediest first.
 * And what worker-alive tells. */
#include "worker_trace.h"

static void fences(struct mf_worker_config *config)
{
    config->fences = true;
}

static struct trace *welcomed(void (*configure)(struct mf_worker_config *config))
{
    struct trace *t = trace_new(configure);
    trace_listed(t, "");
    trace_up(t);
    trace_listed(t, "");
    trace_welcome(t, 1, 5);
    trace_skip(t);
    return t;
}

static void at_most(struct trace *t, uint64_t order, unsigned id)
{
    trace_create_as(t, order, id, 60000, MF_POLICY_AT_MOST, 0);
}

static void at_most_waits_for_its_lease(void **state)
{
    struct trace *t = welcomed(fences);
    at_most(t, 11, 1);
    trace_create(t, 12, 2, 60000); /* it waits for nobody */
    trace_expect(t, "1000 say order-ack 11 epoch=1\n1000 lease-want 1\n"
                    "1000 say order-ack 12 epoch=1\n1000 create 2\n");
    trace_lease_ask(t, 1, 7);
    trace_lease_grant(t, 1, 5, 7);
    trace_expect(
        t, "1000 say lease-ask 7 epoch=1\n1000 lease-grant 7 epoch=1 for=10000\n"); /* the keeper judges */
    trace_lease_ready(t, 1);
    trace_expect(t, "1000 create 1\n");
    trace_lease_ready(t, 1);
    trace_done(t, MF_OPERATION_CREATE, 1, MF_E_OK);
    trace_expect(t, "1000 lease-over 1\n1000 say order-result #1 order=11 epoch=1 create 1 ok took=0\n");
    trace_free(&t);
}

/* Two lanes, three that wait for a lease: they hold no lane up. */
static void what_waits_takes_no_lane(void **state)
{
    struct trace *t = welcomed(fences);
    for (unsigned id = 1; id <= 3; id++)
        at_most(t, 10 + id, id);
    trace_skip(t);
    trace_create(t, 21, 4, 60000);
    trace_create(t, 22, 5, 60000);
    trace_expect(
        t, "1000 say order-ack 21 epoch=1\n1000 create 4\n1000 say order-ack 22 epoch=1\n1000 create 5\n");
    trace_lease_ready(t, 2);
    trace_expect(t, "");
    trace_done(t, MF_OPERATION_CREATE, 4, MF_E_OK);
    trace_expect(t, "1000 say order-result #1 order=21 epoch=1 create 4 ok took=0\n1000 create 2\n");
    trace_free(&t);
}

static void an_intent_ends_with_its_order(void **state)
{
    struct trace *t = welcomed(fences);
    trace_create_as(t, 11, 1, 300, MF_POLICY_AT_MOST, 0); /* runs out */
    at_most(t, 12, 2);                                    /* destroyed before it began */
    at_most(t, 13, 3);                                    /* its epoch ends */
    at_most(t, 14, 4);                                    /* fails */
    trace_lease_ready(t, 4);
    trace_skip(t);
    trace_done(t, MF_OPERATION_CREATE, 4, MF_E_DRIVER);
    trace_expect(t, "1000 lease-over 4\n"
                    "1000 say order-result #1 order=14 epoch=1 create 4 driver (it broke) took=0\n");
    trace_destroy(t, 22, 2);
    trace_expect(
        t, "1000 say order-ack 22 epoch=1\n1000 lease-over 2\n"
           "1000 say order-result #2 order=12 epoch=1 create 2 deadline (destroyed before it began) took=0\n"
           "1000 destroy 2 grace=0\n");
    trace_pass(t, 300);
    trace_expect(
        t, "1300 lease-over 1\n"
           "1300 say order-result #3 order=11 epoch=1 create 1 deadline (its time ran out while it waited "
           "for a lease; it was not begun) took=300\n");
    trace_hello_again(t);
    trace_skip(t);
    trace_listed(t, "");
    trace_expect(t, "1300 lease-over 3\n1300 say hello term=5 epoch=1 [2:destroying]\n");
    trace_lease_ready(t, 3); /* too late: nobody wants it */
    trace_expect(t, "");
    trace_free(&t);
}

static void asks_and_grants_of_other_sessions(void **state)
{
    struct trace *t = welcomed(fences);
    trace_lease_ask(t, 2, 7); /* of an epoch that is not ours */
    trace_lease_grant(t, 2, 5, 7);
    trace_lease_grant(t, 1, 4, 7); /* of a lower term */
    trace_expect(t, "");
    assert_int_equal(mf_worker_ignored(t->worker), 2);
    trace_down(t);
    trace_lease_ask(t, 1, 8);
    trace_lease_grant(t, 1, 5, 8);
    trace_expect(t, "");
    trace_free(&t);
}

static void fences_not(struct mf_worker_config *config)
{
    mf_str_format(config->fences_not, sizeof config->fences_not, "a remote hypervisor");
}

static void at_most_is_refused_where_nobody_could_end_it(void **state)
{
    struct trace *t = welcomed(fences_not);
    at_most(t, 11, 1);
    trace_expect(
        t, "1000 say order-ack 11 epoch=1\n"
           "1000 say order-result #1 order=11 epoch=1 create 1 unsupported (this node cannot end at-most "
           "guests by itself: a remote hypervisor) took=0\n");
    trace_free(&t);
}

static void needy(struct trace *t, unsigned id, uint64_t need)
{
    trace_create_as(t, 10 + id, id, 60000, MF_POLICY_AT_LEAST, need);
}

static void done_then_begins(struct trace *t, unsigned done, unsigned report, const char *begins)
{
    char expected[200];
    trace_done(t, MF_OPERATION_CREATE, done, MF_E_OK);
    mf_str_format(expected, sizeof expected,
                  "1000 say order-result #%u order=%u epoch=1 create %u ok took=0\n%s", report, 10 + done,
                  done, begins);
    trace_expect(t, expected);
}

static void the_neediest_goes_first(void **state)
{
    struct trace *t = welcomed(fences);
    needy(t, 1, 0);
    needy(t, 2, 0); /* both lanes */
    needy(t, 3, 1);
    needy(t, 4, 5);
    needy(t, 5, 5);
    trace_create_as(t, 16, 6, 60000, MF_POLICY_AT_MOST, 9); /* neediest, but without a lease */
    trace_skip(t);
    done_then_begins(t, 1, 1, "1000 create 4\n");
    done_then_begins(t, 2, 2, "1000 create 5\n"); /* of equals the first */
    done_then_begins(t, 4, 3, "1000 create 3\n");
    done_then_begins(t, 5, 4, "");
    trace_lease_ready(t, 6);
    trace_expect(t, "1000 create 6\n");
    trace_free(&t);
}

/* ---- worker-alive */

static struct mf_msg_worker_alive next_alive(struct trace *t)
{
    struct mf_msg_worker_alive alive = {0};
    struct mf_worker_action action;
    t->now += 1000;
    mf_worker_feed(t->worker, t->now, &(struct mf_worker_event){.kind = MF_WORKER_TICK});
    while (mf_worker_poll(t->worker, &action))
        if (action.kind == MF_WORKER_SEND && action.message->kind == MF_MSG_WORKER_ALIVE)
            alive = action.message->worker_alive;
    assert_int_equal(alive.epoch, 1);
    return alive;
}

static void alive_tells_the_view(void **state)
{
    struct trace *t = trace_welcomed("1 2 3- 4?");
    struct mf_msg_worker_alive alive = next_alive(t);
    assert_int_equal(alive.running, 2);
    assert_true(alive.digest == (mf_guest_digest(trace_id(1)) ^ mf_guest_digest(trace_id(2))));
    trace_destroy(t, 9, 1); /* it may still run, but is not to be counted */
    alive = next_alive(t);
    assert_int_equal(alive.running, 1);
    assert_true(alive.digest == mf_guest_digest(trace_id(2)));
    trace_feed(t,
               (struct mf_worker_event){.kind = MF_WORKER_DIED, .id = trace_id(2), .how = MF_DEATH_FENCED});
    alive = next_alive(t);
    assert_true(alive.running == 0 && alive.digest == 0);
    trace_free(&t);
}

static void alive_tells_the_room(void **state)
{
    struct trace *t = trace_new(NULL);
    struct mf_worker_event listed = {.kind = MF_WORKER_LISTED, .capacity = {.vcpus = 8, .memory_mib = 100}};
    listed.list_ticket = t->ticket;
    trace_feed(t, listed);
    trace_up(t);
    listed.list_ticket = t->ticket;
    listed.capacity.vcpus = 6; /* somebody else's guest took two */
    trace_feed(t, listed);
    trace_welcome(t, 1, 5);
    struct mf_msg_worker_alive alive = next_alive(t);
    assert_int_equal(alive.capacity.vcpus, 6);
    assert_int_equal(alive.capacity.memory_mib, 100);
    trace_free(&t);
}

static void of_150_percent(struct mf_worker_config *config)
{
    config->cpu_ratio_percent = 150;
}

/* As they were last listed: a domain that is not ours is off them, too. */
static void hello_tells_the_cells(void **state)
{
    struct trace *t = trace_new(of_150_percent);
    struct mf_rec_cell cells[] = {{.vcpus = 4, .memory_mib = 100, .hugepages_mib = 32}, {.vcpus = 6}};
    struct mf_worker_event listed = {.kind = MF_WORKER_LISTED, .cells = cells, .n_cells = 2};
    listed.list_ticket = t->ticket;
    trace_feed(t, listed);
    cells[1].vcpus = 5;
    trace_up(t);
    trace_skip(t);
    listed.list_ticket = t->ticket;
    trace_feed(t, listed);
    trace_expect(t, "1000 say hello term=0 epoch=0 cell=4/100/32 cell=5/0/0 ratio=150 []\n");
    trace_free(&t);
}

/* ---- a list that hangs */

static void a_hung_list_is_given_up(void **state)
{
    struct trace *t = trace_new(NULL);
    trace_up(t);
    trace_skip(t);
    uint64_t hung = t->ticket;
    trace_pass(t, 31000);
    assert_true(t->ticket == hung + 1); /* another was begun */
    trace_skip(t);
    trace_listed_of(t, hung, "1"); /* the one that hung: of before */
    trace_expect(t, "");
    trace_listed(t, "1 2");
    trace_expect(t, "32000 say hello term=0 epoch=0 [1:running 2:running]\n");
    trace_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_most_waits_for_its_lease),
        cmocka_unit_test(what_waits_takes_no_lane),
        cmocka_unit_test(an_intent_ends_with_its_order),
        cmocka_unit_test(asks_and_grants_of_other_sessions),
        cmocka_unit_test(at_most_is_refused_where_nobody_could_end_it),
        cmocka_unit_test(the_neediest_goes_first),
        cmocka_unit_test(alive_tells_the_view),
        cmocka_unit_test(alive_tells_the_room),
        cmocka_unit_test(hello_tells_the_cells),
        cmocka_unit_test(a_hung_list_is_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
