/* bench_core.c - the broker's core alone, with a million instances on ten thousand nodes: made by the events
 * that make them in life (provisions, hellos, results), then written as a snapshot and loaded again. Says
 * what an instance weighs and how long a restart takes. */
#include "broker.h"
#include "bench.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GROUP_MAX = 10000, ANSWERS = 1 << 20 };

struct answer {
    uint64_t peer, epoch, order_id;
    struct mf_uuid id;
};
struct world {
    struct mf_broker *b;
    size_t n_nodes, n_instances;
    mf_ms now;
    uint64_t seq; /* newest row that was handed out */
    uint64_t *epochs;
    struct answer *answers;
    size_t n_answers;
    uint64_t next_report;
};

static void feed_one(struct world *w, struct mf_broker_event *event)
{
    struct mf_broker_action action;

    event->wall_ms = 1700000000000 + w->now;
    mf_broker_feed(w->b, w->now, event);
    while (mf_broker_poll(w->b, &action)) {
        if (action.kind == MF_BROKER_APPEND)
            w->seq = action.row.seq;
        else if (action.kind == MF_BROKER_SEND && action.message->kind == MF_MSG_WELCOME)
            w->epochs[action.peer - 1] = action.message->welcome.epoch;
        else if (action.kind == MF_BROKER_SEND && action.message->kind == MF_MSG_ORDER_CREATE)
            w->answers[w->n_answers++ % ANSWERS] =
                (struct answer){.peer = action.peer,
                                .epoch = action.message->order_create.epoch,
                                .order_id = action.message->order_create.order_id,
                                .id = action.message->order_create.id};
    }
}

static void feed(struct world *w, struct mf_broker_event event)
{
    w->now++;
    feed_one(w, &event);
    while (mf_broker_committed(w->b) < w->seq)
        feed_one(w, &(struct mf_broker_event){.kind = MF_BROKER_COMMITTED, .seq = w->seq});
}

static void say(struct world *w, uint64_t peer, enum mf_role role, const char *name, struct mf_message m)
{
    feed(w, (struct mf_broker_event){.kind = MF_BROKER_MESSAGE,
                                     .peer = {.handle = peer, .role = role, .name = mf_str(name)},
                                     .message = &m,
                                     .body_digest = mf_digest_make(&peer, sizeof(peer))});
}

static const char *node_name(uint64_t peer, char text[32])
{
    snprintf(text, 32, "node-%llu", (unsigned long long)peer);
    return text;
}

static void join(struct world *w, uint64_t peer)
{
    char name[32], machine[64];
    struct mf_label labels[] = {{mf_str("rack"), mf_str("r1")}, {mf_str("zone"), mf_str("z1")}};

    snprintf(machine, sizeof(machine), "%032llx", (unsigned long long)peer);
    say(w, peer, MF_ROLE_WORKER, node_name(peer, name),
        (struct mf_message){.kind = MF_MSG_HELLO,
                            .hello = {.machine_id = mf_str(machine),
                                      .boot_id = mf_str("0f7a4d9a-6a0e-4c53-9a53-1f1f2a0f3c11"),
                                      .started_ms = 1,
                                      .capacity = {.vcpus = 512, .memory_mib = 524288, .disk_mib = 10485760},
                                      .class = mf_str("standard"),
                                      .labels = {labels, 2},
                                      .driver = mf_str("libvirt/qemu"),
                                      .fences = true}});
}

static void answer_all(struct world *w)
{
    for (size_t i = 0; i < w->n_answers; i++) {
        struct answer *a = &w->answers[i % ANSWERS];
        char name[32];
        if (w->n_answers - i > ANSWERS)
            bench_die("more than %d orders are out at once", ANSWERS);
        say(w, a->peer, MF_ROLE_WORKER, node_name(a->peer, name),
            (struct mf_message){.kind = MF_MSG_ORDER_RESULT,
                                .order_result = {.report_id = ++w->next_report,
                                                 .order_id = a->order_id,
                                                 .epoch = a->epoch,
                                                 .id = a->id,
                                                 .operation = MF_OPERATION_CREATE,
                                                 .code = mf_str("ok")}});
    }
    w->n_answers = 0;
}

static void provision(struct world *w, size_t group, size_t count)
{
    char name[32];

    snprintf(name, sizeof(name), "group-%zu", group);
    say(w, UINT64_MAX, MF_ROLE_OPERATOR, "ann",
        (struct mf_message){.kind = MF_MSG_PROVISION,
                            .provision = {.request_id = mf_str(name),
                                          .group = mf_str(name),
                                          .count = count,
                                          .image = mf_str("tiny"),
                                          .offering = mf_str("small")}});
    answer_all(w);
}

static void name_things(struct world *w)
{
    say(w, UINT64_MAX, MF_ROLE_OPERATOR, "ann",
        (struct mf_message){.kind = MF_MSG_IMAGE_ADD,
                            .image_add = {.request_id = mf_str("i"),
                                          .image = {.name = mf_str("tiny"),
                                                    .kernel = mf_str("tiny/vmlinuz"),
                                                    .kernel_sha256 = {{1}},
                                                    .initrd = mf_str("tiny/initrd"),
                                                    .initrd_sha256 = {{2}}}}});
    say(w, UINT64_MAX, MF_ROLE_OPERATOR, "ann",
        (struct mf_message){
            .kind = MF_MSG_OFFERING_ADD,
            .offering_add = {
                .request_id = mf_str("o"),
                .offering = {.name = mf_str("small"), .vcpus = 1, .memory_mib = 1024, .disk_mib = 4096}}});
}

static size_t in_use(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

static struct mf_broker *new_broker(void)
{
    struct mf_broker_config config;

    mf_broker_config_default(&config);
    config.seed = 1;
    config.snapshot_rows = 0;
    return mf_broker_new(&config);
}

static size_t count_running(const struct mf_broker *b)
{
    struct mf_broker_instance_view view;
    size_t cursor = 0, n = 0;

    while (mf_broker_next_instance(b, &cursor, &view))
        n += view.state == MF_INSTANCE_STATE_RUNNING;
    return n;
}

/* Returns bytes in use before the first instance. */
static size_t populate(struct world *w)
{
    size_t before;

    w->b = new_broker();
    w->epochs = calloc(w->n_nodes, sizeof(*w->epochs));
    w->answers = calloc(ANSWERS, sizeof(*w->answers));
    feed(w, (struct mf_broker_event){.kind = MF_BROKER_START});
    name_things(w);
    for (uint64_t peer = 1; peer <= w->n_nodes; peer++)
        join(w, peer);
    before = in_use();
    for (size_t made = 0; made < w->n_instances; made += GROUP_MAX)
        provision(w, made / GROUP_MAX, w->n_instances - made < GROUP_MAX ? w->n_instances - made : GROUP_MAX);
    feed(w, (struct mf_broker_event){.kind = MF_BROKER_TICK});
    return before;
}

/* ------------------------------------------------------------------ the snapshot, in a file of its own */

static void put(void *arg, const char *id, struct mf_str data)
{
    FILE *file = arg;
    uint8_t id_len = (uint8_t)strlen(id);

    if (fwrite(&id_len, 1, 1, file) != 1 || fwrite(id, 1, id_len, file) != id_len ||
        fwrite(&data.len, sizeof(data.len), 1, file) != 1 || fwrite(data.ptr, 1, data.len, file) != data.len)
        bench_die("the snapshot's file takes no more");
}

static struct mf_broker *load(FILE *file)
{
    struct mf_broker *b = new_broker();
    char id[256], bytes[65536], text[256];
    uint32_t len;
    uint8_t id_len;

    rewind(file);
    while (fread(&id_len, 1, 1, file) == 1) {
        if (fread(id, 1, id_len, file) != id_len || fread(&len, sizeof(len), 1, file) != 1 ||
            len > sizeof(bytes) || fread(bytes, 1, len, file) != len)
            bench_die("the snapshot's file is torn");
        if (mf_broker_load_snapshot(b, (struct mf_str){id, id_len}, (struct mf_str){bytes, len}, text))
            bench_die("%s", text);
    }
    return b;
}

int main(int argc, char **argv)
{
    struct world w = {.n_instances = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000,
                      .n_nodes = argc > 2 ? strtoull(argv[2], NULL, 10) : 10000};
    FILE *file = tmpfile();
    double began = bench_us(), made, saved, loaded, started;
    size_t before, after, base, reloaded;

    if (!file || w.n_instances == 0 || w.n_nodes == 0)
        bench_die("usage: bench-core [INSTANCES [NODES]]");
    before = populate(&w);
    after = in_use();
    made = bench_us();
    if (count_running(w.b) != w.n_instances)
        bench_die("%zu of %zu instances run", count_running(w.b), w.n_instances);
    mf_broker_snapshot(w.b, put, file);
    saved = bench_us();
    mf_broker_destroy(&w.b);
    base = in_use();
    loaded = bench_us();
    w.b = load(file);
    started = bench_us();
    w.seq = mf_broker_seq(w.b);
    feed(&w, (struct mf_broker_event){.kind = MF_BROKER_START});
    reloaded = in_use();
    printf("{\"bench\": \"core\", \"instances\": %zu, \"nodes\": %zu, \"bytes_per_instance\": %zu, "
           "\"bytes_per_instance_loaded\": %zu, \"snapshot_bytes_per_instance\": %ld, \"make_s\": %.1f, "
           "\"save_s\": %.2f, \"load_s\": %.2f, \"start_s\": %.2f}\n",
           w.n_instances, w.n_nodes, (after - before) / w.n_instances, (reloaded - base) / w.n_instances,
           ftell(file) / (long)w.n_instances, (made - began) / 1e6, (saved - made) / 1e6,
           (started - loaded) / 1e6, (bench_us() - started) / 1e6);
    if (count_running(w.b) != w.n_instances)
        bench_die("%zu of %zu instances were loaded", count_running(w.b), w.n_instances);
    mf_broker_destroy(&w.b);
    fclose(file);
    free(w.epochs);
    free(w.answers);
    return 0;
}
