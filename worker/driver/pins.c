/* pins.c - see pins.h. */
#include "pins.h"
#include "check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void add(struct mf_pins *self, unsigned cpu, int cell)
{
    self->all = realloc(self->all, (self->n + 1) * sizeof *self->all);
    MF_CHECK(self->all);
    self->all[self->n++] = (struct mf_pin){.cpu = cpu, .cell = cell};
}

void mf_pins_read(struct mf_pins *self, const char *capabilities)
{
    static const char cell_mark[] = "<cell id='", cpu_mark[] = "<cpu id='";
    const char *end = strstr(capabilities, "</topology>");
    int cell = 0;
    for (const char *at = capabilities; end && (at = strchr(at, '<')) && at < end; at++) {
        if (strncmp(at, cell_mark, sizeof cell_mark - 1) == 0)
            cell = (int)strtol(at + sizeof cell_mark - 1, NULL, 10);
        else if (strncmp(at, cpu_mark, sizeof cpu_mark - 1) == 0)
            add(self, (unsigned)strtoul(at + sizeof cpu_mark - 1, NULL, 10), cell);
    }
}

void mf_pins_free(struct mf_pins *self)
{
    free(self->all);
    *self = (struct mf_pins){0};
}

static uint64_t free_of(const struct mf_pins *self, int cell, bool any)
{
    uint64_t n = 0;
    for (size_t i = 0; i < self->n; i++)
        n += !self->all[i].taken && (any || self->all[i].cell == cell);
    return n;
}

/* -1: none has room for all. */
static int fullest_with_room(const struct mf_pins *self, uint64_t n)
{
    int best = -1;
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < self->n; i++) {
        uint64_t room = free_of(self, self->all[i].cell, false);
        if (room >= n && room < least) {
            least = room;
            best = self->all[i].cell;
        }
    }
    return best;
}

static bool several_cells(const struct mf_pins *self)
{
    for (size_t i = 1; i < self->n; i++)
        if (self->all[i].cell != self->all[0].cell)
            return true;
    return false;
}

int mf_pins_take(struct mf_pins *self, struct mf_uuid owner, uint64_t n, struct mf_domain_host *host,
                 char error[512])
{
    uint64_t room = free_of(self, 0, true);
    if (n > room || n > MF_DOMAIN_CPUS) {
        mf_str_format(error, 512, "%llu host CPUs of its own are wanted, and %llu of %zu are nobody's yet",
                      (unsigned long long)n, (unsigned long long)room, self->n);
        return -ENOSPC;
    }
    int cell = fullest_with_room(self, n);
    host->cell = several_cells(self) ? cell : -1; /* of one cell there is nothing to choose */
    for (size_t i = 0; i < self->n && host->n_cpus < n; i++) {
        struct mf_pin *pin = &self->all[i];
        if (pin->taken || (cell >= 0 && pin->cell != cell))
            continue;
        pin->taken = true;
        pin->owner = owner;
        host->cpus[host->n_cpus++] = pin->cpu;
    }
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
