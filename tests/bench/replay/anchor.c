/* anchor.c - see anchor.h. */
#include "anchor.h"
#include "check.h"

#include <math.h>
#include <stdlib.h>

struct cell {
    int64_t vcpus, memory_mib; /* free */
};
struct server {
    struct cell cells[2];
};
struct anchor {
    uint32_t n;
    double vcpus, memory_mib;
    uint32_t split_above_mib;
    struct server *servers;
};

struct anchor *anchor_new(uint32_t servers, uint32_t cell_vcpus, uint32_t cell_memory_mib,
                          uint32_t split_above_mib)
{
    struct anchor *self = calloc(1, sizeof(*self));
    MF_CHECK(self);
    *self = (struct anchor){servers, cell_vcpus, cell_memory_mib, split_above_mib,
                            calloc(servers, sizeof(*self->servers))};
    MF_CHECK(self->servers);
    for (uint32_t i = 0; i < servers; i++)
        self->servers[i].cells[0] = self->servers[i].cells[1] = (struct cell){cell_vcpus, cell_memory_mib};
    return self;
}

void anchor_destroy(struct anchor **self)
{
    if (*self)
        free((*self)->servers);
    free(*self);
    *self = NULL;
}

static bool holds(const struct cell *cell, int64_t vcpus, int64_t memory_mib)
{
    return cell->vcpus >= vcpus && cell->memory_mib >= memory_mib;
}

static bool fits(const struct server *server, uint8_t cells, uint32_t vcpus, uint32_t memory_mib)
{
    if (cells == 3)
        return holds(&server->cells[0], vcpus / 2, memory_mib / 2) &&
               holds(&server->cells[1], vcpus / 2, memory_mib / 2);
    return holds(&server->cells[cells - 1], vcpus, memory_mib);
}

static bool first_fit(const struct anchor *self, bool split, uint32_t vcpus, uint32_t memory_mib,
                      struct anchor_place *ret_place)
{
    for (uint32_t i = 0; i < self->n; i++)
        for (uint8_t cells = split ? 3 : 1; cells <= (split ? 3 : 2); cells++)
            if (fits(&self->servers[i], cells, vcpus, memory_mib)) {
                *ret_place = (struct anchor_place){i, cells};
                return true;
            }
    return false;
}

/* As doubles: in exact numbers more servers would be equal, and other ones be taken. */
static double freedom(const struct anchor *self, const struct cell *cell)
{
    return fmin((double)cell->vcpus / self->vcpus, (double)cell->memory_mib / self->memory_mib);
}

static bool balance_fit(const struct anchor *self, uint32_t vcpus, uint32_t memory_mib,
                        struct anchor_place *ret_place)
{
    double widest = 0;
    bool found = false;
    for (uint32_t i = 0; i < self->n; i++) {
        const struct server *server = &self->servers[i];
        double left = freedom(self, &server->cells[0]), right = freedom(self, &server->cells[1]);
        uint8_t freer = right > left ? 2 : 1, other = 3 - freer;
        if (!fits(server, freer, vcpus, memory_mib) && !fits(server, other, vcpus, memory_mib))
            continue;
        if (fabs(left - right) <= widest)
            continue;
        widest = fabs(left - right);
        *ret_place = (struct anchor_place){i, fits(server, freer, vcpus, memory_mib) ? freer : other};
        found = true;
    }
    return found || first_fit(self, false, vcpus, memory_mib, ret_place);
}

bool anchor_choose(const struct anchor *self, enum anchor_name name, uint32_t vcpus, uint32_t memory_mib,
                   struct anchor_place *ret_place)
{
    bool split = memory_mib > self->split_above_mib;
    if (name == ANCHOR_BALANCE_FIT && !split)
        return balance_fit(self, vcpus, memory_mib, ret_place);
    return first_fit(self, split, vcpus, memory_mib, ret_place);
}

void anchor_count(struct anchor *self, struct anchor_place place, uint32_t vcpus, uint32_t memory_mib,
                  bool more)
{
    int64_t shares = place.cells == 3 ? 2 : 1, sign = more ? -1 : 1;
    for (int c = 0; c < 2; c++)
        if (place.cells & 1 << c) {
            self->servers[place.server].cells[c].vcpus += sign * (int64_t)vcpus / shares;
            self->servers[place.server].cells[c].memory_mib += sign * (int64_t)memory_mib / shares;
        }
}
