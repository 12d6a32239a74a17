/* bench_headroom.c - what failover headroom costs: a pool of nodes in racks, about three quarters full, and a
 * stream of steps, each the departure of a random instance and one decision; without headroom, with a backup
 * kept for the loss of any one host, and of any one rack. Says what a step costs more with it, what it keeps
 * free, what an instance's backup weighs, and how many requests it refuses; then a rack is
 * lost: until all of it is placed, and until whoever lost his backup has another. Times are of the thread's
 * own, the median of many stretches: on a busy machine the clock of the wall says little. */
#include "bench.h"
#include "headroom.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { RACK = 40, SHAPES = 24, CLASSES = 4, FULL_PERCENT = 75, STRETCH = 50, BATCH = 200, LEVELS = 3 };

struct live {
    struct mf_place place;
    uint32_t shape, number;
};
struct world {
    struct mf_random random;
    struct mf_pool *pool;
    struct mf_headroom *headroom; /* NULL: none is kept */
    uint32_t n_nodes, level;
    struct mf_shape kinds[SHAPES];
    uint32_t shapes[SHAPES];
    struct live *live;
    uint32_t n_live;
    uint64_t memory_mib, refused, decided;
};

static uint32_t class_of(struct world *w, uint32_t i)
{
    char name[16];

    snprintf(name, sizeof(name), "class-%u", i % CLASSES);
    return mf_pool_class(w->pool, mf_str(name));
}

static void add_nodes(struct world *w)
{
    struct mf_cell cells[2] = {{{32, 96000, 0}}, {{32, 96000, 0}}};
    char rack[16];

    for (uint32_t i = 0; i < w->n_nodes; i++) {
        uint32_t label;
        snprintf(rack, sizeof(rack), "r%u", i / RACK);
        label = mf_pool_label(w->pool, mf_str("rack"), mf_str(rack));
        mf_pool_add(w->pool, &(struct mf_pool_node){.capacity = {{64, 192000, 0, 4000000, 0, 0, 0}},
                                                    .cells = cells,
                                                    .n_cells = 2,
                                                    .class = class_of(w, i),
                                                    .labels = &label,
                                                    .n_labels = 1,
                                                    .instances_max = 4096});
    }
}

static void add_shapes(struct world *w)
{
    static const uint32_t vcpus[] = {1, 2, 2, 4, 4, 8}, memory[] = {4000, 4000, 8000, 8000, 16000, 24000};

    for (uint32_t i = 0; i < SHAPES; i++) {
        w->kinds[i] = (struct mf_shape){
            .class = class_of(w, i), .wants = {{vcpus[i / CLASSES], memory[i / CLASSES], 0, 20000, 0, 0, 0}}};
        w->shapes[i] = mf_pool_shape(w->pool, &w->kinds[i]);
    }
}

static void depart(struct world *w)
{
    uint32_t i = (uint32_t)mf_random_below(&w->random, w->n_live);
    struct live gone = w->live[i];

    w->live[i] = w->live[--w->n_live];
    if (w->headroom)
        mf_headroom_drop(w->headroom, gone.number);
    mf_pool_give(w->pool, gone.place, &w->kinds[gone.shape].wants);
    if (w->headroom)
        mf_headroom_node(w->headroom, gone.place.node);
    w->memory_mib -= w->kinds[gone.shape].wants.of[MF_MEMORY_MIB];
}

static bool protect(struct world *w, struct live *born)
{
    mf_headroom_node(w->headroom, born->place.node);
    born->number = mf_headroom_add(w->headroom, w->level, w->shapes[born->shape], born->place.node);
    if (mf_headroom_protect(w->headroom, born->number, &w->random))
        return true;
    mf_headroom_drop(w->headroom, born->number);
    return false;
}

static void arrive(struct world *w)
{
    struct live born = {.shape = (uint32_t)mf_random_below(&w->random, SHAPES)};
    struct mf_ask ask = {.shape = w->shapes[born.shape]};
    struct mf_rank rank;

    w->decided++;
    if (!mf_pool_choose(w->pool, &ask, &w->random, &born.place, &rank)) {
        w->refused++;
        return;
    }
    mf_pool_take(w->pool, born.place, &w->kinds[born.shape].wants);
    if (w->headroom && !protect(w, &born)) {
        mf_pool_give(w->pool, born.place, &w->kinds[born.shape].wants);
        w->refused++;
        return;
    }
    w->live[w->n_live++] = born;
    w->memory_mib += w->kinds[born.shape].wants.of[MF_MEMORY_MIB];
}

static bool is_full(const struct world *w)
{
    return w->memory_mib * 100 >= (uint64_t)w->n_nodes * 192000 * FULL_PERCENT;
}

static void open_world(struct world *w, uint32_t n_nodes, const char *level)
{
    *w = (struct world){.n_nodes = n_nodes, .live = calloc(n_nodes * 32, sizeof(struct live))};
    mf_random_seed(&w->random, 1);
    w->pool = mf_pool_new(&(struct mf_place_policy){.name = MF_POLICY_NAME_SPREAD});
    add_nodes(w);
    add_shapes(w);
    if (!level)
        return;
    w->headroom = mf_headroom_new(w->pool);
    w->level =
        mf_headroom_level(w->headroom, strcmp(level, "host") ? mf_pool_key(w->pool, mf_str(level)) : 0);
}

static void close_world(struct world *w)
{
    mf_headroom_destroy(&w->headroom);
    mf_pool_destroy(&w->pool);
    free(w->live);
}

static double cpu_ns(void)
{
    struct timespec at;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    return (double)at.tv_sec * 1e9 + (double)at.tv_nsec;
}

struct took { /* nanoseconds: of a request, and of a request and the departure that made room for it */
    double request, step;
};

static struct took stretch(struct world *w)
{
    uint64_t before = w->decided;
    double begun = cpu_ns(), requests = 0;

    for (int i = 0; i < STRETCH; i++) {
        double from;
        for (int k = 0; k < BATCH; k++)
            depart(w);
        from = cpu_ns();
        while (!is_full(w))
            arrive(w);
        requests += cpu_ns() - from;
    }
    return (struct took){requests / (double)(w->decided - before),
                         (cpu_ns() - begun) / (double)(w->decided - before)};
}

static void fill(struct world *w, uint32_t stretches)
{
    while (!is_full(w))
        arrive(w);
    for (uint32_t i = 0; i < stretches / 4; i++)
        stretch(w);
    w->refused = w->decided = 0;
}

/* Where there is free room, else at its backup. */
static bool reborn(struct world *w, struct live *live)
{
    struct live born = *live;
    struct mf_ask ask = {.shape = w->shapes[live->shape]};
    struct mf_rank rank;

    if (!mf_pool_choose(w->pool, &ask, &w->random, &born.place, &rank) &&
        !mf_headroom_claim(w->headroom, live->number, &born.place))
        return false;
    mf_headroom_drop(w->headroom, live->number);
    mf_pool_take(w->pool, born.place, &w->kinds[born.shape].wants);
    mf_headroom_node(w->headroom, born.place.node);
    born.number = mf_headroom_add(w->headroom, w->level, w->shapes[born.shape], born.place.node);
    *live = born;
    return true;
}

/* A whole rack: its instances are placed as one batch, then whoever lost his backup gets another. */
static void lose_rack(struct world *w, uint32_t rack)
{
    uint32_t lost = 0, placed = 0;
    double from, then;

    for (uint32_t i = rack * RACK; i < (rack + 1) * RACK; i++)
        mf_pool_close(w->pool, i, 1);
    from = cpu_ns();
    for (uint32_t i = rack * RACK; i < (rack + 1) * RACK; i++)
        mf_headroom_node(w->headroom, i);
    for (uint32_t i = 0; i < w->n_live; i++)
        if (w->live[i].place.node / RACK == rack) {
            lost++;
            placed += reborn(w, &w->live[i]);
        }
    then = cpu_ns();
    while (mf_headroom_work(w->headroom, &w->random, 1000000))
        ;
    printf(", \"rack_lost\": %u, \"placed\": %u, \"placed_ms\": %.2f, \"protected_again_ms\": %.2f, "
           "\"unprotected\": %llu",
           lost, placed, (then - from) / 1e6, (cpu_ns() - then) / 1e6,
           (unsigned long long)mf_headroom_unprotected(w->headroom));
}

static double kept_share(const struct world *w)
{
    uint64_t kept = 0;

    for (uint32_t i = 0; i < w->n_nodes; i++)
        kept += mf_headroom_kept(w->headroom, i).of[MF_MEMORY_MIB];
    return (double)kept / ((double)w->n_nodes * 192000);
}

static double median(const struct took *took, const struct took *off, uint32_t n, bool request)
{
    double *ns = calloc(n, sizeof(*ns)), middle;

    for (uint32_t i = 0; i < n; i++)
        ns[i] =
            request ? took[i].request - (off ? off[i].request : 0) : took[i].step - (off ? off[i].step : 0);
    middle = bench_percentile(ns, n, 0.5);
    free(ns);
    return middle;
}

static void show_one(struct world *w, const char *level, const struct took *took, const struct took *off,
                     uint32_t n)
{
    printf("{\"bench\": \"headroom\", \"nodes\": %u, \"level\": \"%s\", \"instances\": %u, \"request_ns\": "
           "%.0f, "
           "\"request_more_ns\": %.0f, \"step_ns\": %.0f, \"step_more_ns\": %.0f, \"refused\": %llu",
           w->n_nodes, level ? level : "off", w->n_live, median(took, NULL, n, true),
           median(took, off, n, true), median(took, NULL, n, false), median(took, off, n, false),
           (unsigned long long)w->refused);
    if (w->headroom) {
        printf(", \"kept_percent\": %.2f, \"bytes_per_instance\": %.1f", 100 * kept_share(w),
               (double)mf_headroom_bytes(w->headroom) / w->n_live);
        lose_rack(w, 7);
    }
    printf("}\n");
}

/* In turn, so that each has its share of whatever else the machine does. */
static void show(uint32_t n_nodes, uint32_t stretches)
{
    static const char *const levels[LEVELS] = {NULL, "host", "rack"};
    struct world worlds[LEVELS];
    struct took *took[LEVELS];

    for (int i = 0; i < LEVELS; i++) {
        open_world(&worlds[i], n_nodes, levels[i]);
        fill(&worlds[i], stretches);
        took[i] = calloc(stretches, sizeof(**took));
    }
    for (uint32_t r = 0; r < stretches; r++)
        for (int i = 0; i < LEVELS; i++)
            took[i][r] = stretch(&worlds[i]);
    for (int i = 0; i < LEVELS; i++) {
        show_one(&worlds[i], levels[i], took[i], took[0], stretches);
        close_world(&worlds[i]);
    }
    for (int i = 0; i < LEVELS; i++)
        free(took[i]);
}

int main(int argc, char **argv)
{
    uint32_t stretches = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 100;
    static const uint32_t sizes[] = {1000, 10000, 100000};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
        show(sizes[i], stretches);
    return 0;
}
