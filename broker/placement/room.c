/* room.c - see room.h.
 *
 * Of one ratio, u = min(vCPUs, memory / ratio) is what a cell can give. Shapes of 2^k vCPUs that sit in one
 * cell get 2^k floor(u / 2^k) of it; a shape that is split over two halves gets twice that of the scarcer
 * cell, by halves. Both are sums over k of u less its lowest k bits, which is k u less a sum that depends on
 * u's ten lowest bits alone: a table. */
#include "room.h"

#include <math.h>

enum { RATIOS = 4, SIZES = 11, LOW = 1 << (SIZES - 1), GIB_BITS = 10 };

struct cell { /* in vCPUs and GiB */
    uint32_t vcpus, gib;
};

/* Over the first k sizes 2^0, 2^1 ...: the sum of u modulo each. */
static uint16_t rests[SIZES + 1][LOW];

static void __attribute__((constructor)) make_rests(void)
{
    for (uint32_t k = 0; k < SIZES; k++)
        for (uint32_t u = 0; u < LOW; u++)
            rests[k + 1][u] = (uint16_t)(rests[k][u] + (u & ((1u << k) - 1)));
}

/* The sum over the first k sizes of u rounded down, and up, to a multiple of each. */
static uint64_t down(uint32_t u, uint32_t k)
{
    return (uint64_t)k * u - rests[k][u % LOW];
}
static uint64_t up(uint32_t u, uint32_t k)
{
    return (uint64_t)k * u + rests[k][-u % LOW];
}

/* ------------------------------------------------------------------ worth */

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* How many sizes of this ratio fit a whole cell of that capacity, or sit in one by the split rule. */
static uint32_t sizes_within(uint32_t vcpus, uint32_t gib, uint32_t ratio)
{
    uint32_t u = least(vcpus, gib >> ratio);

    return u ? least(32 - (uint32_t)__builtin_clz(u), SIZES) : 0;
}

/* Split ones, by halves: size 2^k takes 2^(k-1) of each of two cells, size 1 a whole one of each. */
static uint64_t halves_down(uint32_t u, uint32_t from, uint32_t to)
{
    uint64_t sum = from < to ? 2 * (down(u, to - 1) - down(u, from ? from - 1 : 0)) : 0;

    return from == 0 && to ? sum + 2 * (uint64_t)u : sum;
}
static uint64_t halves_up(uint32_t e, uint32_t from, uint32_t to)
{
    uint64_t sum = from < to ? 2 * (up(e, to - 1) - up(e, from ? from - 1 : 0)) : 0;

    return from == 0 && to ? sum + 2 * (uint64_t)e : sum;
}

struct ladder { /* of one ratio on one node: sizes below `one` sit in a cell, from there to `two` they are
                   split */
    uint32_t one, two;
};

static struct ladder ladder_of(const struct mf_left *left, struct cell whole, uint32_t ratio)
{
    struct ladder ladder;

    ladder.one = sizes_within(whole.vcpus, whole.gib, ratio);
    ladder.two = left->n_cells < 2 ? ladder.one : least(ladder.one + 1, SIZES);
    if (left->n_cells >= 2 && left->split_above_mib) {
        uint32_t unsplit = sizes_within(UINT32_MAX, left->split_above_mib >> GIB_BITS, ratio);
        ladder.one = least(ladder.one, unsplit);
    }
    return ladder;
}

static uint32_t unit(struct cell cell, uint32_t ratio)
{
    return least(cell.vcpus, cell.gib >> ratio);
}

/* ------------------------------------------------------------------ cost */

static struct cell cell_of(const uint32_t *amounts, bool huge)
{
    return (struct cell){amounts[MF_VCPUS], amounts[huge ? MF_HUGEPAGES_MIB : MF_MEMORY_MIB] >> GIB_BITS};
}

struct sides { /* of a node without cells: one */
    struct cell whole, before[MF_CELLS_MAX], after[MF_CELLS_MAX], taken;
    uint32_t n, touched;
    float left, freest, fullest; /* shares that are free after: mean; of its scarcer resource, by cell */
};

static float share(uint32_t part, uint32_t whole)
{
    return whole ? (float)part / (float)whole : 0;
}

static void look_at(struct sides *self, const uint32_t *whole, const uint32_t *before, const uint32_t *after,
                    bool huge)
{
    int memory = huge ? MF_HUGEPAGES_MIB : MF_MEMORY_MIB;
    struct cell is = cell_of(whole, huge);
    float vcpus = share(after[MF_VCPUS], whole[MF_VCPUS]), gib = share(after[memory], whole[memory]);

    self->whole = (struct cell){least(self->whole.vcpus, is.vcpus), least(self->whole.gib, is.gib)};
    self->before[self->n] = cell_of(before, huge);
    self->after[self->n++] = cell_of(after, huge);
    self->left += (vcpus + gib) / 2;
    self->freest = fmaxf(self->freest, fminf(vcpus, gib));
    self->fullest = fminf(self->fullest, fminf(vcpus, gib));
    if (before[MF_VCPUS] == after[MF_VCPUS] && before[memory] == after[memory])
        return;
    self->touched++;
    self->taken = (struct cell){before[MF_VCPUS] - after[MF_VCPUS],
                                (before[memory] - after[memory] + (1u << GIB_BITS) - 1) >> GIB_BITS};
}

static void look(struct sides *self, const struct mf_left *left, bool huge)
{
    *self = (struct sides){.whole = {UINT32_MAX, UINT32_MAX}, .fullest = 1};
    if (!left->n_cells)
        look_at(self, left->capacity->of, left->before.of, left->after.of, huge);
    for (uint32_t c = 0; c < left->n_cells; c++)
        look_at(self, left->cells[c].of, left->cells_before[c].of, left->cells_after[c].of, huge);
}

/* What is lost of one ratio, and the most that so much taken could lose. */
static uint64_t lost(const struct sides *self, struct ladder ladder, uint32_t ratio, uint64_t *most)
{
    uint32_t scarcer = UINT32_MAX, scarcer_after = UINT32_MAX;
    uint32_t taken = self->taken.gib + (1u << ratio) - 1 < self->taken.gib
                         ? UINT32_MAX
                         : (self->taken.gib + (1u << ratio) - 1) >> ratio;
    uint64_t sum = 0;

    taken = taken > self->taken.vcpus ? taken : self->taken.vcpus;
    for (uint32_t c = 0; c < self->n; c++) {
        uint32_t before = unit(self->before[c], ratio), after = unit(self->after[c], ratio);
        if (before != after)
            sum += down(before, ladder.one) - down(after, ladder.one);
        scarcer = least(scarcer, before);
        scarcer_after = least(scarcer_after, after);
    }
    *most += self->touched * up(taken, ladder.one) + halves_up(taken, ladder.one, ladder.two);
    if (scarcer != scarcer_after)
        sum +=
            halves_down(scarcer, ladder.one, ladder.two) - halves_down(scarcer_after, ladder.one, ladder.two);
    return sum;
}

float mf_room_cost(const struct mf_place_policy *self, const struct mf_left *left)
{
    float fit = (float)self->weights[MF_ROOM_FIT], even = (float)self->weights[MF_ROOM_EVEN];
    struct sides sides;
    uint64_t sum = 0, most = 0;

    look(&sides, left, left->before.of[MF_HUGEPAGES_MIB] != left->after.of[MF_HUGEPAGES_MIB]);
    for (uint32_t ratio = 0; ratio < RATIOS; ratio++)
        sum += lost(&sides, ladder_of(left, sides.whole, ratio), ratio, &most);
    return ((most ? (float)sum / (float)most : 0) + fit * sides.left / (float)sides.n +
            even * (sides.freest - sides.fullest)) /
           (1 + fit + even);
}
