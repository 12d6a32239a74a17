/* test_broker_images.c - images by URL, who has them, and what that means for placement; offerings as they
 * truly are. */
#include "broker_stage.h"
#include "check.h"
#include "held.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const char *next_id(struct stage *s)
{
    static char id[32];

    snprintf(id, sizeof(id), "q%llu", (unsigned long long)++s->next_request);
    return id;
}

static void open_with(struct stage *s, int nodes)
{
    stage_open(s);
    for (int i = 0; i < nodes; i++)
        stage_hello(s, i, NULL, 0);
    stage_forget_sent(s);
}

static struct mf_rec_image by_url(const char *name, uint8_t digest)
{
    return (struct mf_rec_image){.name = mf_str(name),
                                 .disk = mf_str("https://images.example/debian.qcow2"),
                                 .disk_sha256 = {{digest}},
                                 .disk_format = MF_DISK_FORMAT_QCOW2};
}

static void add(struct stage *s, struct mf_rec_image image)
{
    stage_client(s, (struct mf_message){.kind = MF_MSG_IMAGE_ADD,
                                        .image_add = {.request_id = mf_str(next_id(s)), .image = image}});
}

static void add_offering(struct stage *s, struct mf_rec_offering offering)
{
    stage_client(
        s, (struct mf_message){.kind = MF_MSG_OFFERING_ADD,
                               .offering_add = {.request_id = mf_str(next_id(s)), .offering = offering}});
}

static void remove_image(struct stage *s, const char *name)
{
    stage_client(
        s, (struct mf_message){.kind = MF_MSG_IMAGE_REMOVE,
                               .image_remove = {.request_id = mf_str(next_id(s)), .image = mf_str(name)}});
}

static void warm(struct stage *s, const char *name, const char *node, bool stop)
{
    struct mf_rec_node_name nodes[] = {{.node = mf_str(node ? node : "")}};
    struct mf_message m = {
        .kind = MF_MSG_IMAGE_WARM,
        .image_warm = {.request_id = mf_str(next_id(s)), .image = mf_str(name), .stop = stop}};

    m.image_warm.nodes.items = nodes;
    m.image_warm.nodes.n = node ? 1 : 0;
    stage_client(s, m);
}

static void progress(struct stage *s, int node, uint8_t digest, enum mf_image_progress state)
{
    stage_worker(
        s, node,
        (struct mf_message){
            .kind = MF_MSG_FILE_PROGRESS,
            .file_progress = {
                .epoch = s->epoch[node], .sha256 = {{digest}}, .state = state, .bytes = 10, .size = 20}});
}

static const struct mf_msg_held *held(struct stage *s, const char *image)
{
    stage_client(s, (struct mf_message){.kind = MF_MSG_LIST_HELD,
                                        .list_held = {.request_id = mf_str("held"), .image = mf_str(image)}});
    return &stage_last(s, STAGE_CLIENT, MF_MSG_HELD)->held;
}

/* The answer to the newest request: NULL if it was accepted. */
static const struct mf_msg_error *refusal(struct stage *s)
{
    for (size_t i = s->n_sent; i-- > 0;) {
        const struct mf_message *m = &s->sent[i].message;
        if (m->kind == MF_MSG_ERROR || m->kind == MF_MSG_ACCEPTED)
            return m->kind == MF_MSG_ERROR ? &m->error : NULL;
    }
    fail_msg("it was not answered");
    return NULL;
}

static bool says(struct mf_str text, const char *part)
{
    return text.len && memmem(text.ptr, text.len, part, strlen(part));
}

static void assert_refused(struct stage *s, const char *code, const char *part)
{
    const struct mf_msg_error *error = refusal(s);

    if (!error)
        fail_msg("accepted: %s", part);
    if (!mf_str_is(error->code, code) || !says(error->text, part))
        fail_msg("%.*s: %.*s", MF_STR_ARG(error->code), MF_STR_ARG(error->text));
    stage_forget_sent(s);
}

/* ------------------------------------------------------------------ what an image may be */

static void test_an_image_is_judged(void **state)
{
    static const struct {
        const char *disk, *part;
    } bad[] = {{"ftp://images.example/d", "http://, https:// or file:///"},
               {"https://ann:secret@images.example/d", "user or password"},
               {"https:///d", "names no host"},
               {"https://images.example/a b", "space"},
               {"file://host/d", "file:///PATH"},
               {"file:///srv/../etc/shadow", ".."},
               {"../d", ".."},
               {"a/../../d", ".."},
               {"/etc/shadow", "absolute"}};
    struct stage s;

    open_with(&s, 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct mf_rec_image image = by_url("x", 7);
        image.disk = mf_str(bad[i].disk);
        add(&s, image);
        assert_refused(&s, "invalid", bad[i].part);
    }
    static const char *const good[] = {"http://h/d", "https://h:8443/a/d?token=a@b", "file:///srv/d",
                                       "d/e..f"};
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        char name[24];
        snprintf(name, sizeof(name), "g%zu", i);
        struct mf_rec_image image = by_url(name, 7);
        image.disk = mf_str(good[i]);
        add(&s, image);
        assert_null(refusal(&s));
    }
    stage_reloads(&s);
    stage_close(&s);
}

static void test_an_image_is_whole(void **state)
{
    struct mf_rec_image kernel = {.name = mf_str("x"), .kernel = mf_str("k"), .kernel_sha256 = {{1}}};
    struct mf_rec_image image;
    struct stage s;

    open_with(&s, 0);
    add(&s, (struct mf_rec_image){.name = mf_str("x")});
    assert_refused(&s, "invalid", "neither a kernel nor a disk");
    add(&s, kernel);
    assert_refused(&s, "invalid", "kernel alone");
    image = by_url("x", 1);
    image.disk_sha256 = (struct mf_digest){{0}};
    add(&s, image);
    assert_refused(&s, "invalid", "no sha256");
    image = by_url("x", 1);
    image.disk_format = 0;
    add(&s, image);
    assert_refused(&s, "invalid", "disk_format is missing");
    image = by_url("x", 1);
    image.cmdline = mf_str("quiet");
    add(&s, image);
    assert_refused(&s, "invalid", "command line without a kernel");
    image = by_url("x", 1);
    image.initrd_sha256 = (struct mf_digest){{3}};
    add(&s, image);
    assert_refused(&s, "invalid", "digest, but no file");
    add(&s, by_url("x", 1));
    assert_null(refusal(&s));
    add(&s, by_url("x", 1)); /* the same again */
    assert_null(refusal(&s));
    assert_int_equal(stage_count_rows(&s, MF_EV_IMAGE_ADDED), 2); /* tiny, x */
    image = by_url("x", 1);
    image.disk_format = MF_DISK_FORMAT_RAW;
    add(&s, image);
    assert_refused(&s, "exists", "other content");
    stage_close(&s);
}

static void provision(struct stage *s, const char *group, const char *image, uint64_t count)
{
    struct mf_message m = stage_provision_message(s, group, count);

    m.provision.image = mf_str(image);
    stage_client(s, m);
}

static void test_an_image_is_removed_when_nobody_uses_it(void **state)
{
    struct stage s;

    open_with(&s, 1);
    add(&s, by_url("debian", 5));
    provision(&s, "web", "debian", 1);
    stage_forget_sent(&s);
    remove_image(&s, "debian");
    assert_refused(&s, "in-use", "group web boots image debian");
    remove_image(&s, "other");
    assert_refused(&s, "unknown", "no image other");
    progress(&s, 0, 5, MF_IMAGE_PROGRESS_CACHED);
    stage_destroy(&s, "web");
    stage_answer_all(&s);
    assert_int_equal(stage_count_rows(&s, MF_EV_GROUP_GONE), 1);
    remove_image(&s, "debian");
    assert_null(refusal(&s));
    assert_null(mf_image_find(s.b, mf_str("debian")));
    stage_reloads(&s);
    add(&s, by_url("again", 5)); /* who has the files has them under another name, too */
    assert_int_equal(held(&s, "again")->rows.n, 1);
    stage_reloads(&s);
    stage_close(&s);
}

/* ------------------------------------------------------------------ who has it */

static void test_nodes_tell_what_they_hold(void **state)
{
    struct mf_rec_file_held files[] = {{.sha256 = {{9}}}, {.sha256 = {{5}}}, {.sha256 = {{9}}}};
    struct mf_message hello = stage_hello_message(1);
    const struct mf_msg_held *reply;
    struct stage s;

    open_with(&s, 1);
    add(&s, by_url("debian", 5));
    hello.hello.images.items = files;
    hello.hello.images.n = 3;
    stage_hello_as(&s, 1, hello);
    reply = held(&s, "debian");
    assert_int_equal(reply->rows.n, 1);
    assert_true(mf_str_is(reply->rows.items[0].node, "node-1"));
    assert_int_equal(reply->rows.items[0].state, MF_IMAGE_PROGRESS_CACHED);
    progress(&s, 0, 5, MF_IMAGE_PROGRESS_FETCHING);
    progress(&s, 0, 5, MF_IMAGE_PROGRESS_FETCHING); /* steps are not told */
    reply = held(&s, "debian");
    assert_int_equal(reply->rows.n, 2);
    assert_int_equal(reply->rows.items[0].state, MF_IMAGE_PROGRESS_FETCHING);
    assert_int_equal(reply->rows.items[0].bytes, 10);
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_IMAGE), 1);
    progress(&s, 0, 5, MF_IMAGE_PROGRESS_CACHED);
    progress(&s, 1, 5, MF_IMAGE_PROGRESS_EVICTED);
    assert_int_equal(stage_count_rows(&s, MF_EV_NODE_IMAGE), 3);
    reply = held(&s, "debian");
    assert_int_equal(reply->rows.n, 1);
    assert_true(mf_str_is(reply->rows.items[0].node, "node-0"));
    stage_hello(&s, 0, NULL, 0); /* it came back with an empty cache */
    assert_int_equal(held(&s, "debian")->rows.n, 0);
    assert_int_equal(held(&s, "tiny")->rows.n, 2); /* below the image root: everybody has it */
    stage_reloads(&s);
    stage_close(&s);
}

static void test_an_image_of_several_files_is_held_whole_or_not(void **state)
{
    struct mf_rec_image image = by_url("debian", 5);
    struct stage s;

    image.kernel = mf_str("http://h/vmlinuz");
    image.kernel_sha256 = (struct mf_digest){{6}};
    image.initrd = mf_str("local/initrd"); /* no node fetches that */
    image.initrd_sha256 = (struct mf_digest){{7}};
    open_with(&s, 1);
    add(&s, image);
    progress(&s, 0, 5, MF_IMAGE_PROGRESS_CACHED);
    assert_int_equal(held(&s, "debian")->rows.n, 0);
    assert_false(mf_held_warm(mf_node_find(s.b, mf_str("node-0")), mf_image_find(s.b, mf_str("debian"))));
    progress(&s, 0, 6, MF_IMAGE_PROGRESS_CACHED);
    assert_int_equal(held(&s, "debian")->rows.n, 1);
    progress(&s, 0, 6, MF_IMAGE_PROGRESS_FAILED); /* found rotten when it was looked at again */
    assert_int_equal(held(&s, "debian")->rows.items[0].state, MF_IMAGE_PROGRESS_FAILED);
    stage_close(&s);
}

/* A cache that turns round and round fills no log. */
static void test_a_cache_without_rest_is_told_in_measure(void **state)
{
    struct stage s;

    open_with(&s, 1);
    add(&s, by_url("debian", 5));
    for (int i = 0; i < 3000; i++) {
        progress(&s, 0, 5, i % 2 ? MF_IMAGE_PROGRESS_FAILED : MF_IMAGE_PROGRESS_FETCHING);
        stage_forget_sent(&s);
    }
    assert_in_range(stage_count_rows(&s, MF_EV_NODE_IMAGE), 900, 1100);
    stage_close(&s);
}

/* ------------------------------------------------------------------ warm */

static void test_births_go_where_the_image_is(void **state)
{
    struct stage s;

    open_with(&s, 8);
    add(&s, by_url("debian", 5));
    progress(&s, 3, 5, MF_IMAGE_PROGRESS_CACHED);
    progress(&s, 6, 5, MF_IMAGE_PROGRESS_CACHED);
    for (int i = 0; i < 6; i++) {
        char group[16];
        snprintf(group, sizeof(group), "g%d", i);
        provision(&s, group, "debian", 1);
        const struct mf_str node = stage_current(&s, group, 0)->node->name;
        assert_true(mf_str_is(node, "node-3") || mf_str_is(node, "node-6"));
    }
    provision(&s, "wide", "debian", 8); /* and yet one on each: fewest of the group comes first */
    for (uint32_t i = 0; i < 8; i++)
        for (uint32_t j = 0; j < i; j++)
            assert_ptr_not_equal(stage_current(&s, "wide", i)->node, stage_current(&s, "wide", j)->node);
    stage_close(&s);
}

/* Of many nodes a decision looks at a few; those that have the image are looked for. */
static void test_few_holders_among_many_nodes_are_found(void **state)
{
    struct stage s;

    stage_open(&s);
    for (int i = 0; i < 400; i++) {
        char name[24];
        struct mf_message hello = stage_hello_message(0);
        snprintf(name, sizeof(name), "wide-%d", i);
        hello.hello.machine_id = mf_str(name);
        stage_say(&s, 5000 + (uint64_t)i, MF_ROLE_WORKER, name, hello);
        stage_forget_sent(&s);
    }
    add(&s, by_url("debian", 5));
    const struct mf_node *node = mf_node_find(s.b, mf_str("wide-250"));
    stage_say(
        &s, node->peer, MF_ROLE_WORKER, "wide-250",
        (struct mf_message){
            .kind = MF_MSG_FILE_PROGRESS,
            .file_progress = {.epoch = node->epoch, .sha256 = {{5}}, .state = MF_IMAGE_PROGRESS_CACHED}});
    for (int i = 0; i < 4; i++) {
        char group[16];
        snprintf(group, sizeof(group), "g%d", i);
        provision(&s, group, "debian", 1);
        assert_ptr_equal(stage_current(&s, group, 0)->node, node);
        stage_forget_sent(&s);
    }
    provision(&s, "full", "debian", 1); /* and when they are full, any other */
    assert_non_null(stage_current(&s, "full", 0)->node);
    stage_close(&s);
}

static void test_warm_up(void **state)
{
    struct stage s;

    open_with(&s, 3);
    stage_gone(&s, s.worker[2]);
    add(&s, by_url("debian", 5));
    warm(&s, "other", NULL, false);
    assert_refused(&s, "unknown", "no image other");
    warm(&s, "debian", "node-9", false);
    assert_refused(&s, "unknown", "no node node-9");
    warm(&s, "debian", "node-1", true);
    assert_refused(&s, "invalid", "stop is for all");
    warm(&s, "debian", "node-1", false);
    assert_int_equal(stage_count_sent(&s, MF_MSG_IMAGE_FETCH), 1);
    assert_int_equal(stage_node_of(&s, s.sent[s.n_sent - 2].peer), 1);
    assert_int_equal(stage_count_rows(&s, MF_EV_IMAGE_WARMING), 1);
    assert_false(mf_image_find(s.b, mf_str("debian"))->warm);
    progress(&s, 1, 5, MF_IMAGE_PROGRESS_CACHED);
    stage_forget_sent(&s);
    warm(&s, "debian", NULL, false); /* node-1 has it, node-2 is away */
    assert_int_equal(stage_count_sent(&s, MF_MSG_IMAGE_FETCH), 1);
    stage_reloads(&s);
    stage_forget_sent(&s);
    stage_hello(&s, 2, NULL, 0); /* who joins later fetches it then */
    assert_int_equal(stage_count_sent(&s, MF_MSG_IMAGE_FETCH), 1);
    warm(&s, "debian", NULL, true);
    stage_reloads(&s);
    stage_forget_sent(&s);
    stage_hello(&s, 3, NULL, 0);
    assert_int_equal(stage_count_sent(&s, MF_MSG_IMAGE_FETCH), 0);
    warm(&s, "tiny", NULL, false);
    assert_true(says(stage_last(&s, STAGE_CLIENT, MF_MSG_ACCEPTED)->accepted.text, "nothing is fetched"));
    assert_int_equal(stage_count_sent(&s, MF_MSG_IMAGE_FETCH), 0);
    stage_close(&s);
}

static void test_warmth_outlives_the_broker(void **state)
{
    struct stage s;

    open_with(&s, 1);
    add(&s, by_url("debian", 5));
    warm(&s, "debian", NULL, false);
    stage_restart(&s, s.n_rows);
    stage_forget_sent(&s);
    stage_hello(&s, 0, NULL, 0);
    assert_int_equal(stage_count_sent(&s, MF_MSG_IMAGE_FETCH), 1);
    stage_close(&s);
}

/* The order to fetch shows a row that must be durable first. */
static void test_nothing_is_fetched_before_it_is_durable(void **state)
{
    struct stage s;

    open_with(&s, 1);
    add(&s, by_url("debian", 5));
    s.hold = true;
    warm(&s, "debian", NULL, false);
    assert_int_equal(stage_count_sent(&s, MF_MSG_IMAGE_FETCH), 0);
    stage_commit(&s, mf_broker_seq(s.b));
    assert_int_equal(stage_count_sent(&s, MF_MSG_IMAGE_FETCH), 1);
    stage_close(&s);
}

static void test_a_forgotten_node_holds_nothing(void **state)
{
    struct stage s;

    open_with(&s, 2);
    add(&s, by_url("debian", 5));
    progress(&s, 0, 5, MF_IMAGE_PROGRESS_CACHED);
    progress(&s, 1, 5, MF_IMAGE_PROGRESS_CACHED);
    stage_gone(&s, s.worker[0]);
    stage_operator(&s, MF_MSG_NODE_FORGET, "node-0");
    assert_int_equal(held(&s, "debian")->rows.n, 1);
    assert_int_equal(mf_image_find(s.b, mf_str("debian"))->holders.n, 1);
    stage_close(&s);
}

/* ------------------------------------------------------------------ offerings */

static const struct mf_rec_offering *offering(struct stage *s, const char *name)
{
    const struct mf_offering *found = mf_offering_find(s->b, mf_str(name));

    return found ? &found->rec : NULL;
}

static struct mf_rec_offering plain(const char *name)
{
    return (struct mf_rec_offering){.name = mf_str(name), .vcpus = 2, .memory_mib = 100, .disk_mib = 100};
}

static void test_an_offering_contains_who_says_nothing(void **state)
{
    const struct mf_rec_offering *o;
    struct mf_rec_offering wanted;
    struct stage s;

    open_with(&s, 0);
    add_offering(&s, plain("web"));
    o = offering(&s, "web");
    assert_int_equal(o->disk_bytes_s, 64 << 20);
    assert_int_equal(o->disk_iops, 1000);
    assert_int_equal(o->cpu_shares, 200);
    assert_true(mf_str_is(o->class, "standard"));
    wanted = plain("web");
    wanted.disk_iops = 1000; /* what it is already, said */
    add_offering(&s, wanted);
    assert_null(refusal(&s));
    wanted.disk_iops = 999;
    add_offering(&s, wanted);
    assert_refused(&s, "exists", "other content");
    wanted = plain("io");
    wanted.uncapped = true;
    add_offering(&s, wanted);
    o = offering(&s, "io");
    assert_true(o->uncapped && !o->disk_bytes_s && !o->disk_iops);
    wanted = plain("burst");
    wanted.disk_burst_percent = 400;
    add_offering(&s, wanted);
    assert_int_equal(offering(&s, "burst")->disk_burst_s, 1);
    stage_reloads(&s);
    stage_close(&s);
}

static void test_an_offering_does_not_contradict_itself(void **state)
{
    struct mf_rec_offering wanted;
    struct stage s;

    open_with(&s, 0);
    wanted = plain("x");
    wanted.pinned = true;
    wanted.cpu_quota_percent = 50;
    add_offering(&s, wanted);
    assert_refused(&s, "invalid", "pinned");
    wanted = plain("x");
    wanted.uncapped = true;
    wanted.disk_burst_percent = 300;
    add_offering(&s, wanted);
    assert_refused(&s, "invalid", "burst");
    wanted = plain("x");
    wanted.disk_burst_s = 30;
    add_offering(&s, wanted);
    assert_refused(&s, "invalid", "disk_burst_percent not how much");
    wanted = plain("x");
    wanted.disk_burst_percent = 50;
    add_offering(&s, wanted);
    assert_refused(&s, "invalid", "above 100");
    wanted = plain("x");
    wanted.uncapped = true;
    wanted.disk_iops = wanted.disk_bytes_s = 5;
    add_offering(&s, wanted);
    assert_refused(&s, "invalid", "uncapped");
    assert_null(offering(&s, "x"));
    stage_close(&s);
}

static struct mf_str accepted_text(struct stage *s)
{
    const struct mf_message *m = stage_last(s, STAGE_CLIENT, MF_MSG_ACCEPTED);

    assert_non_null(m);
    return m->accepted.text;
}

static void test_what_nobody_could_host_is_said(void **state)
{
    struct mf_rec_offering wanted = plain("early");
    struct mf_message message;
    struct mf_label rack[] = {{mf_str("rack"), mf_str("r9")}};
    struct stage s;

    stage_open(&s);
    wanted.class = mf_str("hpc");
    add_offering(&s, wanted); /* no node is known: who could tell? */
    assert_int_equal(accepted_text(&s).len, 0);
    stage_hello(&s, 0, NULL, 0);
    wanted.name = mf_str("hpc");
    add_offering(&s, wanted);
    assert_true(says(accepted_text(&s), "none of 1 is of class hpc"));
    wanted = plain("huge");
    wanted.vcpus = 64;
    add_offering(&s, wanted);
    assert_true(says(accepted_text(&s), "it needs 64 vcpus, and the largest of 1 has 4"));
    add_offering(&s, plain("fits"));
    assert_int_equal(accepted_text(&s).len, 0);
    message = stage_provision_message(&s, "far", 1);
    message.provision.offering = mf_str("huge");
    message.provision.policy = MF_POLICY_AT_MOST;
    stage_client(&s, message);
    assert_true(says(accepted_text(&s), "could ever host it") && says(accepted_text(&s), "at-most"));
    message = stage_provision_message(&s, "racked", 1);
    message.provision.require = (struct mf_labels){rack, 1};
    stage_client(&s, message);
    assert_true(says(accepted_text(&s), "labels it requires"));
    stage_provision(&s, "near", 1);
    assert_int_equal(accepted_text(&s).len, 0);
    stage_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_image_is_judged),
        cmocka_unit_test(test_an_image_is_whole),
        cmocka_unit_test(test_an_image_is_removed_when_nobody_uses_it),
        cmocka_unit_test(test_nodes_tell_what_they_hold),
        cmocka_unit_test(test_an_image_of_several_files_is_held_whole_or_not),
        cmocka_unit_test(test_a_cache_without_rest_is_told_in_measure),
        cmocka_unit_test(test_births_go_where_the_image_is),
        cmocka_unit_test(test_few_holders_among_many_nodes_are_found),
        cmocka_unit_test(test_warm_up),
        cmocka_unit_test(test_warmth_outlives_the_broker),
        cmocka_unit_test(test_nothing_is_fetched_before_it_is_durable),
        cmocka_unit_test(test_a_forgotten_node_holds_nothing),
        cmocka_unit_test(test_an_offering_contains_who_says_nothing),
        cmocka_unit_test(test_an_offering_does_not_contradict_itself),
        cmocka_unit_test(test_what_nobody_could_host_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
