/* test_broker_blame.c - births that fail: what the evidence says of a node, of an image, of neither; and that
 * the innocent pay nothing. */
#include "broker_stage.h"
#include "check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { NODES = 5 };

struct world {
    struct stage s;
    bool poisoned[NODES];   /* births fail there */
    const char *bad[4];     /* images whose births fail everywhere */
    const char *crash[4];   /* images whose guests die at once */
    const char *muddled[4]; /* groups whose user-data is refused at birth */
};

static void add_image(struct stage *s, const char *name)
{
    char id[32];

    snprintf(id, sizeof(id), "i-%s", name);
    stage_client(s, (struct mf_message){.kind = MF_MSG_IMAGE_ADD,
                                        .image_add = {.request_id = mf_str(id),
                                                      .image = {.name = mf_str(name),
                                                                .kernel = mf_str("vmlinuz"),
                                                                .kernel_sha256 = {{1}},
                                                                .initrd = mf_str("initrd"),
                                                                .initrd_sha256 = {{2}}}}});
}

static void open_world(struct world *w, int nodes)
{
    *w = (struct world){0};
    stage_open(&w->s);
    for (int i = 0; i < nodes; i++)
        stage_hello(&w->s, i, NULL, 0);
}

static void provision(struct world *w, const char *group, uint64_t count, const char *image)
{
    struct mf_message m = stage_provision_message(&w->s, group, count);

    if (!mf_image_find(w->s.b, mf_str(image)))
        add_image(&w->s, image);
    m.provision.image = mf_str(image);
    stage_client(&w->s, m);
}

/* A group for each of these letters, all alike. */
static void provision_each(struct world *w, const char *groups, uint64_t count, const char *image)
{
    for (; *groups; groups++)
        provision(w, (const char[]){*groups, 0}, count, image);
}

/* Groups that have nothing in common. */
static void provision_three_images(struct world *w)
{
    provision(w, "a", 1, "x");
    provision(w, "b", 1, "y");
    provision(w, "c", 1, "z");
}

static bool among(const char *const *names, struct mf_str name)
{
    for (int i = 0; i < 4; i++)
        if (names[i] && mf_str_is(name, names[i]))
            return true;
    return false;
}

/* Each order is carried out as the world is. */
static void work(struct world *w)
{
    for (size_t i = 0; i < w->s.n_sent; i++) {
        struct mf_message order = w->s.sent[i].message;
        int node = stage_node_of(&w->s, w->s.sent[i].peer);
        struct mf_str image = order.order_create.image.name;
        if (node < 0 || (order.kind != MF_MSG_ORDER_CREATE && order.kind != MF_MSG_ORDER_DESTROY))
            continue;
        if (order.kind == MF_MSG_ORDER_DESTROY) {
            stage_answer(&w->s, node, &order, "ok");
            continue;
        }
        if (among(w->muddled, order.order_create.group)) {
            stage_answer(&w->s, node, &order, "user-data");
            continue;
        }
        stage_answer(&w->s, node, &order, w->poisoned[node] || among(w->bad, image) ? "driver" : "ok");
        if (among(w->crash, image))
            stage_death(&w->s, node, order.order_create.id);
    }
    stage_forget_sent(&w->s);
}

static void live(struct world *w, mf_ms ms)
{
    for (mf_ms end = w->s.now + ms; w->s.now < end;) {
        work(w);
        stage_pass(&w->s, 100);
    }
}

static const struct mf_node *node(struct world *w, const char *name)
{
    return mf_node_find(w->s.b, mf_str(name));
}

static const struct mf_image *image(struct world *w, const char *name)
{
    return mf_image_find(w->s.b, mf_str(name));
}

/* Births go to node-0 alone, or to all again. */
static void only_node_0(struct world *w, int nodes, bool only)
{
    for (int i = 1; i < nodes; i++) {
        char name[] = {'n', 'o', 'd', 'e', '-', (char)('0' + i), 0};
        stage_operator(&w->s, only ? MF_MSG_NODE_CORDON : MF_MSG_NODE_UNCORDON, name);
    }
}

static size_t running(struct world *w, const char *group)
{
    return mf_group_active(w->s.b, mf_str(group))->running;
}

/* Births of three groups have failed on node-2 of four. */
static void open_poisoned(struct world *w)
{
    open_world(w, 4);
    w->poisoned[2] = true;
    provision_each(w, "abc", 4, "tiny");
    work(w);
}

/* An image that no node of these can boot, ordered a first time. */
static void open_bad(struct world *w, int nodes, uint64_t count)
{
    open_world(w, nodes);
    w->bad[0] = "bad";
    provision(w, "a", count, "bad");
    work(w);
}

/* ------------------------------------------------------------------ a node */

static void test_a_poisoned_node(void **state)
{
    struct world w;

    open_poisoned(&w);
    assert_int_equal(stage_count_rows(&w.s, MF_EV_NODE_QUARANTINED), 1);
    assert_true(node(&w, "node-2")->quarantined_until > 0);
    assert_int_equal(stage_count_rows(&w.s, MF_EV_SLOT_FORGIVEN), 3);
    work(&w); /* at once, elsewhere */
    assert_int_equal(running(&w, "a") + running(&w, "b") + running(&w, "c"), 12);
    assert_int_equal(stage_count_rows(&w.s, MF_EV_IMAGE_HALTED), 0);
    provision(&w, "d", 1, "tiny");
    assert_int_equal(stage_current(&w.s, "d", 0)->state, MF_INSTANCE_STATE_PENDING); /* the others are full */
    stage_destroy(&w.s, "d");
    stage_reloads(&w.s);
    stage_pass(&w.s, 80000); /* 60 s, give or take */
    assert_int_equal(node(&w, "node-2")->quarantined_until, 0);
    for (uint64_t count = 3; count <= 4; count++) {
        stage_scale(&w.s, "a", count);
        stage_scale(&w.s, "b", count);
        stage_scale(&w.s, "c", count);
        if (count == 3)
            work(&w);
    }
    assert_int_equal(node(&w, "node-2")->n_instances, 3); /* tried again */
    work(&w);
    work(&w);
    assert_true(node(&w, "node-2")->quarantined_until - (mf_ms)w.s.b->wall_ms > 80000); /* and longer */
    assert_int_equal(running(&w, "a") + running(&w, "b") + running(&w, "c"), 12);
    stage_reloads(&w.s);
    stage_close(&w.s);
}

/* What was ordered before the quarantine fails after it, and is charged to nobody else. */
static void test_failures_under_quarantine(void **state)
{
    struct world w;

    open_world(&w, 4);
    w.poisoned[0] = true;
    only_node_0(&w, 4, true);
    provision_each(&w, "abcd", 1, "tiny");
    only_node_0(&w, 4, false);
    work(&w);
    assert_int_equal(stage_count_rows(&w.s, MF_EV_INSTANCE_FAILED), 4);
    assert_int_equal(stage_count_rows(&w.s, MF_EV_SLOT_FORGIVEN), 3);
    assert_int_equal(stage_current(&w.s, "d", 0)->slot->failures, 0);
    assert_int_equal(stage_count_state(&w.s, MF_INSTANCE_STATE_RUNNING), 4); /* and all of it at once */
    stage_reloads(&w.s);
    stage_close(&w.s);
}

static void test_one_group_does_not_blame_a_node(void **state)
{
    struct world w;

    open_world(&w, 3);
    w.poisoned[0] = true;
    provision(&w, "a", 12, "tiny");
    live(&w, 5000);
    assert_int_equal(stage_count_rows(&w.s, MF_EV_NODE_QUARANTINED), 0);
    stage_close(&w.s);
}

/* One group alone proves nothing, but its next birth goes where none of it failed. */
static void test_a_group_shuns_where_it_failed(void **state)
{
    struct world w;

    open_world(&w, 3);
    w.poisoned[0] = true;
    provision(&w, "web", 3, "tiny");
    live(&w, 3000);
    assert_int_equal(stage_count_state(&w.s, MF_INSTANCE_STATE_RUNNING), 3);
    stage_close(&w.s);
}

static void test_a_birth_that_runs_clears_the_node(void **state)
{
    struct world w;

    open_world(&w, 3);
    for (int i = 0; i < 8; i++) { /* every group fails there once; between them something runs */
        char name[] = {'g', (char)('0' + i), 0};
        w.poisoned[0] = w.poisoned[1] = w.poisoned[2] = i % 2 == 0;
        provision(&w, name, 1, "tiny");
        work(&w);
        stage_operator(&w.s, MF_MSG_NODE_CORDON, "node-1");
        stage_operator(&w.s, MF_MSG_NODE_CORDON, "node-2");
        w.poisoned[0] = w.poisoned[1] = w.poisoned[2] = false;
        live(&w, 2000);
        stage_operator(&w.s, MF_MSG_NODE_UNCORDON, "node-1");
        stage_operator(&w.s, MF_MSG_NODE_UNCORDON, "node-2");
    }
    assert_int_equal(stage_count_rows(&w.s, MF_EV_NODE_QUARANTINED), 0);
    stage_close(&w.s);
}

/* Half of the nodes may be wrong, not more: the last are never shut. */
static void test_a_lonely_node_is_not_shut(void **state)
{
    struct world w;

    open_world(&w, 1);
    w.poisoned[0] = true;
    provision_three_images(&w);
    live(&w, 10000);
    assert_int_equal(stage_count_rows(&w.s, MF_EV_NODE_QUARANTINED), 0);
    w.poisoned[0] = false;
    live(&w, 70000);
    assert_int_equal(running(&w, "a") + running(&w, "b") + running(&w, "c"), 3);
    stage_close(&w.s);
}

static void test_an_operator_ends_a_quarantine(void **state)
{
    struct world w;

    open_poisoned(&w);
    assert_true(node(&w, "node-2")->quarantined_until > 0);
    stage_operator(&w.s, MF_MSG_NODE_UNCORDON, "node-2");
    assert_int_equal(stage_count_rows(&w.s, MF_EV_NODE_RELEASED), 1);
    assert_int_equal(node(&w, "node-2")->quarantined_until, 0);
    stage_reloads(&w.s);
    stage_close(&w.s);
}

/* It lasts across a reign, and no jump of the wall clock makes it longer than an hour. */
static void test_a_quarantine_outlives_the_reign(void **state)
{
    struct world w;

    open_poisoned(&w);
    stage_restart(&w.s, w.s.n_rows);
    for (int i = 0; i < 4; i++)
        stage_hello(&w.s, i, NULL, 0);
    assert_true(node(&w, "node-2")->quarantined_until > 0);
    stage_pass(&w.s, 80000);
    assert_int_equal(node(&w, "node-2")->quarantined_until, 0);
    stage_close(&w.s);
}

/* ------------------------------------------------------------------ an image */

static void test_a_bad_image(void **state)
{
    struct world w;
    size_t orders;

    open_world(&w, 4);
    w.bad[0] = "bad";
    provision(&w, "a", 8, "bad");
    provision(&w, "good", 4, "tiny");
    work(&w);
    work(&w);
    assert_int_equal(stage_count_rows(&w.s, MF_EV_IMAGE_HALTED), 1);
    assert_non_null(image(&w, "bad")->halted);
    assert_int_equal(running(&w, "good"), 4);
    assert_int_equal(stage_count_rows(&w.s, MF_EV_NODE_QUARANTINED), 0);
    stage_reloads(&w.s);
    orders = stage_count_rows(&w.s, MF_EV_INSTANCE_PLACED);
    live(&w, 120000); /* one birth at a time tries on, ever more seldom */
    assert_true(stage_count_rows(&w.s, MF_EV_INSTANCE_PLACED) - orders < 10);
    assert_true(stage_count_rows(&w.s, MF_EV_INSTANCE_PLACED) - orders >= 3);
    provision(&w, "b", 1, "bad"); /* the waiting say why */
    assert_int_equal(stage_current(&w.s, "b", 0)->state, MF_INSTANCE_STATE_PENDING);
    stage_reloads(&w.s);
    w.bad[0] = NULL; /* mended */
    live(&w, 100000);
    assert_null(image(&w, "bad")->halted);
    assert_int_equal(stage_count_rows(&w.s, MF_EV_IMAGE_RELEASED), 1);
    assert_int_equal(running(&w, "a") + running(&w, "b"), 9);
    stage_reloads(&w.s);
    stage_close(&w.s);
}

static void test_a_crash_looping_image(void **state)
{
    struct world w;

    open_world(&w, 4);
    w.crash[0] = "crash";
    provision(&w, "a", 4, "crash");
    provision(&w, "good", 4, "tiny");
    live(&w, 10000);
    assert_non_null(image(&w, "crash")->halted);
    assert_null(image(&w, "tiny")->halted);
    assert_int_equal(running(&w, "good"), 4);
    assert_int_equal(stage_count_rows(&w.s, MF_EV_NODE_QUARANTINED), 0);
    live(&w, 300000); /* a birth that runs is not enough for its release: it must live */
    assert_int_equal(stage_count_rows(&w.s, MF_EV_IMAGE_RELEASED), 0);
    w.crash[0] = NULL;
    live(&w, 100000);
    assert_null(image(&w, "crash")->halted);
    assert_int_equal(running(&w, "a"), 4);
    stage_close(&w.s);
}

/* One group's slots fail while others of the same image run: the image is not to blame. */
static void test_others_of_the_image_run(void **state)
{
    struct world w;

    open_world(&w, 4);
    provision(&w, "good", 4, "tiny");
    live(&w, 20000);
    w.crash[0] = "tiny";
    provision(&w, "a", 2, "tiny"); /* its user-data is bad, say */
    live(&w, 30000);
    assert_int_equal(stage_count_rows(&w.s, MF_EV_IMAGE_HALTED), 0);
    provision(&w, "b", 2, "tiny"); /* but if that of another group fails as well... */
    live(&w, 60000);
    assert_non_null(image(&w, "tiny")->halted);
    stage_close(&w.s);
}

/* The worker saw that the group's own user-data is to blame: however many fail, wherever, nobody else pays.
 */
static void test_user_data_is_the_groups_own(void **state)
{
    struct world w;

    open_world(&w, 4);
    w.muddled[0] = "a";
    w.muddled[1] = "b";
    w.muddled[2] = "c";
    provision_each(&w, "abc", 8, "tiny");
    live(&w, 30000);
    assert_true(stage_count_rows(&w.s, MF_EV_INSTANCE_FAILED) > 24);
    assert_true(stage_count_rows(&w.s, MF_EV_INSTANCE_FAILED) < 24 * 12); /* they back off */
    assert_int_equal(stage_count_rows(&w.s, MF_EV_IMAGE_HALTED), 0);
    assert_int_equal(stage_count_rows(&w.s, MF_EV_NODE_QUARANTINED), 0);
    provision(&w, "d", 4, "tiny");
    work(&w);
    assert_int_equal(running(&w, "d"), 4);
    stage_reloads(&w.s);
    stage_close(&w.s);
}

/* It ran for long, and then every birth of it fails: those that still run do not speak for the new ones. */
static void test_an_image_that_went_bad(void **state)
{
    struct world w;

    open_world(&w, 4);
    provision(&w, "a", 4, "tiny");
    live(&w, 60000);
    w.bad[0] = "tiny";
    stage_scale(&w.s, "a", 8);
    live(&w, 3000);
    assert_non_null(image(&w, "tiny")->halted);
    assert_int_equal(running(&w, "a"), 4);
    w.bad[0] = NULL;
    live(&w, 60000);
    assert_int_equal(running(&w, "a"), 8);
    stage_close(&w.s);
}

/* A failure here and there, and births that live between them. */
static void test_failures_that_lives_disprove(void **state)
{
    struct world w;

    open_world(&w, 4);
    for (int i = 0; i < 6; i++) {
        char name[] = {'g', (char)('0' + i), 0};
        w.crash[0] = "tiny";
        provision(&w, name, 1, "tiny");
        work(&w);
        w.crash[0] = NULL;
        live(&w, 15000);
        assert_int_equal(running(&w, name), 1);
    }
    assert_int_equal(stage_count_rows(&w.s, MF_EV_IMAGE_HALTED), 0);
    stage_close(&w.s);
}

/* With one node there is no telling whose fault it is: the slots back off, nothing is shut. */
static void test_one_node_blames_no_image(void **state)
{
    struct world w;

    open_world(&w, 1);
    w.bad[0] = "bad";
    provision(&w, "a", 3, "bad");
    live(&w, 20000);
    assert_int_equal(stage_count_rows(&w.s, MF_EV_IMAGE_HALTED), 0);
    stage_close(&w.s);
}

static void test_two_nodes_are_enough_when_there_are_two(void **state)
{
    struct world w;

    open_bad(&w, 2, 2);
    assert_int_equal(stage_count_rows(&w.s, MF_EV_IMAGE_HALTED), 1);
    stage_close(&w.s);
}

static void test_an_operator_releases_an_image(void **state)
{
    struct world w;

    open_bad(&w, 4, 8);
    assert_non_null(image(&w, "bad")->halted);
    w.bad[0] = NULL;
    stage_operator(&w.s, MF_MSG_IMAGE_RELEASE, "bad");
    assert_null(image(&w, "bad")->halted);
    work(&w);
    work(&w);
    assert_int_equal(running(&w, "a"), 8); /* forgiven, too: nobody waits for its back-off */
    stage_reloads(&w.s);
    stage_close(&w.s);
}

static void test_a_halt_outlives_the_reign(void **state)
{
    struct world w;

    open_bad(&w, 4, 8);
    stage_restart(&w.s, w.s.n_rows);
    for (int i = 0; i < 4; i++)
        stage_hello(&w.s, i, NULL, 0);
    assert_non_null(image(&w, "bad")->halted);
    work(&w);
    w.bad[0] = NULL;
    live(&w, 150000);
    assert_null(image(&w, "bad")->halted);
    assert_int_equal(running(&w, "a"), 8);
    stage_close(&w.s);
}

/* The one that tries on ends otherwise: another one takes its turn. */
static void test_a_canary_that_is_destroyed(void **state)
{
    struct world w;

    open_bad(&w, 4, 8);
    while (mf_uuid_is_zero(image(&w, "bad")->canary)) /* not answered: it stays ordered */
        stage_pass(&w.s, 100);
    stage_destroy(&w.s, "a");
    w.bad[0] = NULL;
    provision(&w, "b", 1, "bad");
    live(&w, 60000);
    assert_null(image(&w, "bad")->halted);
    assert_int_equal(running(&w, "b"), 1);
    stage_close(&w.s);
}

/* ------------------------------------------------------------------ both, and neither */

/* Three images that are each bad, first seen on one node by chance: it may be shut for them once, and no node
 * after it. */
static void test_bad_images_do_not_shut_node_after_node(void **state)
{
    struct world w;

    open_world(&w, 5);
    w.bad[0] = "x";
    w.bad[1] = "y";
    w.bad[2] = "z";
    only_node_0(&w, 5, true);
    provision_three_images(&w);
    only_node_0(&w, 5, false);
    live(&w, 200000);
    assert_true(stage_count_rows(&w.s, MF_EV_NODE_QUARANTINED) <= 1);
    assert_non_null(image(&w, "x")->halted);
    assert_non_null(image(&w, "y")->halted);
    assert_non_null(image(&w, "z")->halted);
    stage_close(&w.s);
}

/* Three groups of one bad image shut the node they were tried on first; when the image turns out to be at
 * fault, the node is let go. */
static void test_a_node_is_acquitted(void **state)
{
    struct world w;

    open_world(&w, 5);
    w.bad[0] = "bad";
    only_node_0(&w, 5, true);
    provision_each(&w, "abc", 1, "bad");
    only_node_0(&w, 5, false);
    live(&w, 20000);
    assert_int_equal(stage_count_rows(&w.s, MF_EV_NODE_QUARANTINED), 1);
    assert_non_null(image(&w, "bad")->halted);
    assert_int_equal(node(&w, "node-0")->quarantined_until, 0);
    stage_close(&w.s);
}

/* A node that answers no order is to blame like one that fails them. */
static void test_orders_that_nobody_answers(void **state)
{
    struct world w;

    open_world(&w, 4);
    only_node_0(&w, 4, true);
    provision_three_images(&w);
    stage_forget_sent(&w.s);
    only_node_0(&w, 4, false);
    stage_pass(&w.s, w.s.config.create_ms + 5000);
    assert_true(node(&w, "node-0")->quarantined_until > 0);
    stage_forget_sent(&w.s);
    live(&w, 3000);
    stage_close(&w.s);
}

static void test_the_need_travels(void **state)
{
    struct world w;
    struct mf_message m;

    open_world(&w, 2);
    m = stage_provision_message(&w.s, "a", 3);
    m.provision.min = 2;
    stage_client(&w.s, m);
    const struct mf_message *order = stage_last(&w.s, 0, MF_MSG_ORDER_CREATE);
    assert_int_equal(order->order_create.need, 2);
    work(&w);
    stage_scale(&w.s, "a", 4);
    order = stage_last(&w.s, 0, MF_MSG_ORDER_CREATE);
    assert_int_equal(order->order_create.need, 0);
    stage_close(&w.s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_poisoned_node),
        cmocka_unit_test(test_failures_under_quarantine),
        cmocka_unit_test(test_one_group_does_not_blame_a_node),
        cmocka_unit_test(test_a_group_shuns_where_it_failed),
        cmocka_unit_test(test_a_birth_that_runs_clears_the_node),
        cmocka_unit_test(test_a_lonely_node_is_not_shut),
        cmocka_unit_test(test_an_operator_ends_a_quarantine),
        cmocka_unit_test(test_a_quarantine_outlives_the_reign),
        cmocka_unit_test(test_a_bad_image),
        cmocka_unit_test(test_a_crash_looping_image),
        cmocka_unit_test(test_others_of_the_image_run),
        cmocka_unit_test(test_user_data_is_the_groups_own),
        cmocka_unit_test(test_an_image_that_went_bad),
        cmocka_unit_test(test_failures_that_lives_disprove),
        cmocka_unit_test(test_one_node_blames_no_image),
        cmocka_unit_test(test_two_nodes_are_enough_when_there_are_two),
        cmocka_unit_test(test_an_operator_releases_an_image),
        cmocka_unit_test(test_a_halt_outlives_the_reign),
        cmocka_unit_test(test_a_canary_that_is_destroyed),
        cmocka_unit_test(test_bad_images_do_not_shut_node_after_node),
        cmocka_unit_test(test_a_node_is_acquitted),
        cmocka_unit_test(test_orders_that_nobody_answers),
        cmocka_unit_test(test_the_need_travels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
