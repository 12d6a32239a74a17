/* bench_core.c - the broker's core alone, with a million instances on ten thousand nodes: made by the events
 * that make them in life (provisions, hellos, results), then written as a snapshot and loaded again. Says
 * what an instance weighs and how long a restart takes. */
#include "bench.h"
#include "core_world.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GROUP_MAX = 10000 };

static void provision(struct core_world *w, size_t group, size_t count)
{
    char name[32];

    snprintf(name, sizeof(name), "group-%zu", group);
    core_client(w, (struct mf_message){.kind = MF_MSG_PROVISION,
                                       .provision = {.request_id = mf_str(name),
                                                     .group = mf_str(name),
                                                     .count = count,
                                                     .image = mf_str("tiny"),
                                                     .offering = mf_str("small")}});
    core_answer_all(w);
}

static size_t in_use(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

static struct mf_broker_config config_of(void)
{
    struct mf_broker_config config;

    mf_broker_config_default(&config);
    config.seed = 1;
    config.snapshot_rows = 0;
    return config;
}

static size_t count_running(const struct mf_broker *b)
{
    struct mf_broker_instance_view view;
    size_t cursor = 0, n = 0;

    while (mf_broker_next_instance(b, &cursor, &view))
        n += view.state == MF_INSTANCE_STATE_RUNNING;
    return n;
}

/* What is in use before and after the nodes come, and then the instances. */
static struct core_world *populate(size_t n_instances, size_t n_nodes, size_t ret_in_use[3])
{
    static const struct mf_rec_resources capacity = {
        .vcpus = 512, .memory_mib = 524288, .disk_mib = 10485760};
    struct mf_broker_config config = config_of();
    struct core_world *w = core_world_new(&config);

    core_name_things(w);
    ret_in_use[0] = in_use();
    for (uint64_t peer = 1; peer <= n_nodes; peer++)
        core_join(w, peer, capacity, "r1");
    ret_in_use[1] = in_use();
    for (size_t made = 0; made < n_instances; made += GROUP_MAX)
        provision(w, made / GROUP_MAX, n_instances - made < GROUP_MAX ? n_instances - made : GROUP_MAX);
    core_feed(w, (struct mf_broker_event){.kind = MF_BROKER_TICK});
    ret_in_use[2] = in_use();
    return w;
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
    struct mf_broker_config config = config_of();
    struct mf_broker *b = mf_broker_new(&config);
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
    size_t n_instances = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    size_t n_nodes = argc > 2 ? strtoull(argv[2], NULL, 10) : 10000;
    struct core_world *w;
    FILE *file = tmpfile();
    double began = bench_us(), made, saved, loaded, started;
    size_t used[3], base, reloaded;

    if (!file || n_instances == 0 || n_nodes == 0 || n_nodes > 1 << 17)
        bench_die("usage: bench-core [INSTANCES [NODES]]");
    w = populate(n_instances, n_nodes, used);
    made = bench_us();
    if (count_running(w->b) != n_instances)
        bench_die("%zu of %zu instances run", count_running(w->b), n_instances);
    mf_broker_snapshot(w->b, put, file);
    saved = bench_us();
    mf_broker_destroy(&w->b);
    base = in_use();
    loaded = bench_us();
    w->b = load(file);
    started = bench_us();
    w->seq = mf_broker_seq(w->b);
    core_feed(w, (struct mf_broker_event){.kind = MF_BROKER_START});
    reloaded = in_use();
    printf("{\"bench\": \"core\", \"instances\": %zu, \"nodes\": %zu, \"bytes_per_node\": %zu, "
           "\"bytes_per_instance\": %zu, "
           "\"bytes_per_instance_loaded\": %zu, \"snapshot_bytes_per_instance\": %ld, \"make_s\": %.1f, "
           "\"save_s\": %.2f, \"load_s\": %.2f, \"start_s\": %.2f}\n",
           n_instances, n_nodes, (used[1] - used[0]) / n_nodes, (used[2] - used[1]) / n_instances,
           (reloaded - base) / n_instances, ftell(file) / (long)n_instances, (made - began) / 1e6,
           (saved - made) / 1e6, (started - loaded) / 1e6, (bench_us() - started) / 1e6);
    if (count_running(w->b) != n_instances)
        bench_die("%zu of %zu instances were loaded", count_running(w->b), n_instances);
    core_world_free(&w);
    fclose(file);
    return 0;
}
