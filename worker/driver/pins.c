/* pins.c - see pins.h. */
#include "pins.h"
#include "capacity.h"
#include "cells.h"
#include "check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void mf_pins_open(struct mf_pins *self, const struct mf_topology *topology, uint64_t reserved)
{
    uint64_t kept[MF_DRIVER_CELLS_MAX];
    mf_capacity_reserve(topology, reserved, kept);
    self->all = calloc(topology->n_cpus + 1, sizeof *self->all);
    MF_CHECK(self->all);
    for (size_t i = 0; i < topology->n_cpus; i++) {
        const struct mf_host_cpu *cpu = &topology->cpus[i];
        if (kept[cpu->cell])
            kept[cpu->cell]--;
        else
            self->all[self->n++] = (struct mf_pin){.cpu = cpu->id, .cell = cpu->cell, .core = cpu->core};
    }
}

void mf_pins_free(struct mf_pins *self)
{
    free(self->all);
    *self = (struct mf_pins){0};
}

/* -- of the cells of a mask; all of them where it is zero */

static bool within(const struct mf_pin *pin, uint8_t cells)
{
    return !cells || cells >> pin->cell & 1;
}

static uint64_t free_of(const struct mf_pins *self, uint8_t cells)
{
    uint64_t n = 0;
    for (size_t i = 0; i < self->n; i++)
        n += !self->all[i].taken && within(&self->all[i], cells);
    return n;
}

/* 0: none has room for all. */
static uint8_t fullest_with_room(const struct mf_pins *self, uint64_t n)
{
    uint8_t best = 0;
    uint64_t least = UINT64_MAX;
    for (unsigned cell = 0; cell < MF_DRIVER_CELLS_MAX; cell++) {
        uint64_t room = free_of(self, (uint8_t)(1 << cell));
        if (room >= n && room < least) {
            least = room;
            best = (uint8_t)(1 << cell);
        }
    }
    return best;
}

/* -- taking */

static size_t end_of_core(const struct mf_pins *self, size_t at)
{
    size_t end = at + 1;
    while (end < self->n && self->all[end].cell == self->all[at].cell &&
           self->all[end].core == self->all[at].core)
        end++;
    return end;
}

static uint64_t take_of_core(struct mf_pins *self, struct mf_uuid owner, size_t at, uint64_t n,
                             struct mf_domain_host *host)
{
    uint64_t taken = 0;
    for (size_t end = end_of_core(self, at); at < end && taken < n; at++) {
        struct mf_pin *pin = &self->all[at];
        if (pin->taken)
            continue;
        pin->taken = true;
        pin->owner = owner;
        host->cpus[host->n_cpus++] = pin->cpu;
        taken++;
    }
    return taken;
}

/* A core has one owner where that can be: first those that would be used up, then what is left of broken
 * ones. */
static void take_of(struct mf_pins *self, struct mf_uuid owner, uint8_t cells, uint64_t n,
                    struct mf_domain_host *host)
{
    enum { WHOLE, BROKEN, ANY, PASSES };
    for (int pass = WHOLE; pass < PASSES; pass++)
        for (size_t at = 0, end; at < self->n && n; at = end) {
            uint64_t idle = 0;
            end = end_of_core(self, at);
            for (size_t i = at; i < end; i++)
                idle += !self->all[i].taken;
            bool whole = idle == end - at, fits = pass == WHOLE ? whole && idle <= n : pass == ANY || !whole;
            if (fits && within(&self->all[at], cells))
                n -= take_of_core(self, owner, at, n, host);
        }
}

static int no_room(const struct mf_pins *self, uint64_t n, uint8_t cells, char error[512])
{
    char where[48] = "";
    if (cells)
        mf_str_format(where, sizeof where, " in the NUMA cells %#x it was given", cells);
    mf_str_format(error, 512, "%llu host CPUs of its own are wanted%s, and %llu of %zu are nobody's yet",
                  (unsigned long long)n, where, (unsigned long long)free_of(self, cells), self->n);
    return -ENOSPC;
}

int mf_pins_take(struct mf_pins *self, struct mf_uuid owner, uint64_t n, struct mf_domain_host *host,
                 char error[512])
{
    uint8_t given = host->cells;
    if (n > MF_DOMAIN_CPUS || n > free_of(self, given))
        return no_room(self, n, given, error);
    if (!given && host->topology->n_cells > 1) /* of one cell there is nothing to choose */
        host->cells = fullest_with_room(self, n);
    unsigned count = mf_cells_count(host->cells), part = 0;
    for (unsigned cell = 0; cell < MF_DRIVER_CELLS_MAX; cell++)
        if (host->cells >> cell & 1 && free_of(self, (uint8_t)(1 << cell)) < mf_cells_share(n, count, part++))
            return no_room(self, n, given, error);
    if (!host->cells)
        take_of(self, owner, 0, n, host);
    for (unsigned cell = part = 0; cell < MF_DRIVER_CELLS_MAX; cell++)
        if (host->cells >> cell & 1)
            take_of(self, owner, (uint8_t)(1 << cell), mf_cells_share(n, count, part++), host);
    return 0;
}

void mf_pins_claim(struct mf_pins *self, struct mf_uuid owner, const char *cpus)
{
    for (char *end; *cpus; cpus = *end ? end + 1 : end) {
        unsigned cpu = (unsigned)strtoul(cpus, &end, 10);
        if (end == cpus)
            return;
        for (size_t i = 0; i < self->n; i++)
            if (self->all[i].cpu == cpu) {
                self->all[i].taken = true;
                self->all[i].owner = owner;
            }
    }
}

void mf_pins_give_back(struct mf_pins *self, struct mf_uuid owner)
{
    for (size_t i = 0; i < self->n; i++)
        if (self->all[i].taken && mf_uuid_eq(self->all[i].owner, owner))
            self->all[i].taken = false;
}
