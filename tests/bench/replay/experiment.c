/* experiment.c - see experiment.h. */
#include "experiment.h"
#include "check.h"
#include "heap.h"
#include "message.h"
#include "pool.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum { AND_SO_MANY = 40 };

struct vm {
    struct mf_timer departs; /* first */
    struct mf_place place;
    const struct request *request;
};
struct bench {
    const struct trace *trace;
    const struct judge *judge;
    struct anchor *anchor; /* it chooses; NULL: the pool does */
    struct mf_pool *pool;
    uint32_t *shapes; /* by kind; 0: not yet asked for */
    struct mf_shape shape;
    struct mf_heap heap;
    struct vm *vms;
    struct mf_random seeded, *random; /* NULL: the lowest of equals */
    int64_t now;
    uint64_t decisions, ns;
};

static void add_servers(struct bench *self, const struct setting *setting)
{
    struct mf_cell cells[MF_CELLS_MAX] = {0};
    struct mf_pool_node node = {.cells = cells,
                                .n_cells = setting->cells,
                                .class = mf_pool_class(self->pool, mf_str("standard")),
                                .instances_max = UINT32_MAX};
    for (uint32_t i = 0; i < setting->cells; i++)
        cells[i] = (struct mf_cell){{setting->cell_vcpus, setting->cell_memory_mib, 0}};
    node.capacity.of[MF_VCPUS] = setting->cells * setting->cell_vcpus;
    node.capacity.of[MF_MEMORY_MIB] = setting->cells * setting->cell_memory_mib;
    for (uint32_t i = 0; i < setting->servers; i++)
        mf_pool_add(self->pool, &node);
    self->shape = (struct mf_shape){.class = node.class, .split_above_mib = setting->split_above_mib};
}

static bool by_chance(enum mf_policy_name name)
{
    return name != MF_POLICY_NAME_FIRST_FIT && name != MF_POLICY_NAME_BALANCE;
}

static void begin(struct bench *self, const struct setting *setting, const struct trace *trace,
                  const struct judge *judge, uint64_t seed, size_t length)
{
    *self = (struct bench){.trace = trace, .judge = judge, .pool = mf_pool_new(&judge->policy)};
    self->shapes = calloc(1, trace->n_kinds * sizeof(*self->shapes));
    self->vms = calloc(1, (length + 1) * sizeof(*self->vms));
    mf_random_seed(&self->seeded, seed);
    self->random = by_chance(judge->policy.name) ? &self->seeded : NULL;
    add_servers(self, setting);
    if (judge->anchor)
        self->anchor = anchor_new(setting->servers, setting->cell_vcpus, setting->cell_memory_mib,
                                  setting->split_above_mib);
}

static void end(struct bench *self)
{
    mf_heap_free(&self->heap);
    mf_pool_destroy(&self->pool);
    anchor_destroy(&self->anchor);
    free(self->shapes);
    free(self->vms);
}

static struct mf_amounts wants(const struct request *request)
{
    struct mf_amounts wants = {{0}};
    wants.of[MF_VCPUS] = request->vcpus;
    wants.of[MF_MEMORY_MIB] = request->memory_mib;
    return wants;
}

static uint64_t clock_ns(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000000 + (uint64_t)at.tv_nsec;
}

static bool choose_in_pool(struct bench *self, const struct request *request, struct mf_place *ret_place)
{
    uint32_t *shape = &self->shapes[request->kind];
    if (!*shape) {
        self->shape.wants = wants(request);
        *shape = mf_pool_shape(self->pool, &self->shape);
    }
    return mf_pool_choose(self->pool, &(struct mf_ask){.shape = *shape}, self->random, ret_place, NULL);
}

static bool choose_by_anchor(struct bench *self, const struct request *request, struct mf_place *ret_place)
{
    struct anchor_place found;
    if (!anchor_choose(self->anchor, self->judge->anchor, request->vcpus, request->memory_mib, &found))
        return false;
    *ret_place = (struct mf_place){found.server, found.cells};
    return true;
}

static bool choose(struct bench *self, const struct request *request, struct mf_place *ret_place)
{
    uint64_t began = clock_ns();
    bool found =
        self->anchor ? choose_by_anchor(self, request, ret_place) : choose_in_pool(self, request, ret_place);
    self->ns += clock_ns() - began;
    self->decisions++;
    return found;
}

/* It comes, or goes. */
static void count(struct bench *self, const struct vm *vm, bool more)
{
    struct mf_amounts amounts = wants(vm->request);
    if (self->anchor)
        anchor_count(self->anchor, (struct anchor_place){vm->place.node, vm->place.cells}, vm->request->vcpus,
                     vm->request->memory_mib, more);
    else if (more)
        mf_pool_take(self->pool, vm->place, &amounts);
    else
        mf_pool_give(self->pool, vm->place, &amounts);
}

static void depart(struct bench *self, int64_t until)
{
    struct vm *vm;
    while ((vm = (struct vm *)mf_heap_take(&self->heap, until)))
        count(self, vm, false);
    self->now = until;
}

static void put(struct bench *self, struct vm *vm, const struct request *request, struct mf_place place)
{
    vm->place = place;
    vm->request = request;
    count(self, vm, true);
    mf_heap_set(&self->heap, &vm->departs, self->now + request->life_s);
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Time moves on until it fits; false if it does when nothing is left to depart. */
static bool place(struct bench *self, struct vm *vm, const struct request *request)
{
    struct mf_place found;
    depart(self, later(self->now, request->at_s));
    while (!choose(self, request, &found)) {
        struct mf_timer *next = mf_heap_first(&self->heap);
        if (!next)
            return false;
        depart(self, next->when);
    }
    put(self, vm, request, found);
    return true;
}

int experiment_length(const struct setting *setting, const struct trace *trace, size_t row,
                      size_t *ret_length, char error[512])
{
    const struct judge first_fit = {.policy = {.name = MF_POLICY_NAME_FIRST_FIT}};
    struct bench self;
    struct mf_place found;
    size_t n = 0;
    begin(&self, setting, trace, &first_fit, 0, trace->n - row);
    while (row + n < trace->n && choose(&self, &trace->requests[row + n], &found) &&
           place(&self, &self.vms[n], &trace->requests[row + n]))
        n++;
    end(&self);
    *ret_length = n + AND_SO_MANY;
    if (row + n + AND_SO_MANY <= trace->n && row + n < trace->n)
        return 0;
    mf_str_format(error, 512, "window %zu: the trace ends before %u servers are full and %d more came", row,
                  setting->servers, AND_SO_MANY);
    return -ENODATA;
}

int experiment_run(const struct setting *setting, const struct trace *trace, size_t row, size_t length,
                   const struct judge *judge, uint64_t seed, struct outcome *ret_outcome, char error[512])
{
    struct bench self;
    struct outcome outcome = {.length = length};
    int r = 0;
    begin(&self, setting, trace, judge, seed, length);
    for (size_t i = 0; i < length && r == 0; i++) {
        const struct request *request = &trace->requests[row + i];
        if (place(&self, &self.vms[i], request)) {
            outcome.wait_s += self.now - request->at_s;
        } else {
            mf_str_format(error, 512, "row %zu: %u vCPUs and %u MiB do not fit an empty server", row + i,
                          request->vcpus, request->memory_mib);
            r = -ERANGE;
        }
    }
    outcome.decisions = self.decisions;
    outcome.choose_ns = self.ns;
    end(&self);
    if (r == 0)
        *ret_outcome = outcome;
    return r;
}
