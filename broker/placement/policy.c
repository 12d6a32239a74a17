/* policy.c - the scores. Shares are of the node's capacity, and where the node has cells, of the cells' own
 * for what lies in cells; a dimension that the node has none of, or has without bound, counts for nothing. */
#include "policy.h"
#include "room.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const WORDS[MF_POLICY_NAMES] = {[MF_POLICY_NAME_SPREAD] = "spread",
                                                   [MF_POLICY_NAME_BEST_FIT] = "best-fit",
                                                   [MF_POLICY_NAME_FIRST_FIT] = "first-fit",
                                                   [MF_POLICY_NAME_L2] = "l2",
                                                   [MF_POLICY_NAME_DOT] = "dot",
                                                   [MF_POLICY_NAME_BALANCE] = "balance",
                                                   [MF_POLICY_NAME_ROOM] = "room"};

const char *mf_place_policy_word(enum mf_policy_name name)
{
    return name < MF_POLICY_NAMES && WORDS[name] ? WORDS[name] : "";
}

enum mf_policy_name mf_place_policy_find(const char *word)
{
    for (enum mf_policy_name name = MF_POLICY_NAME_UNSET + 1; name < MF_POLICY_NAMES; name++)
        if (strcmp(WORDS[name], word) == 0)
            return name;
    return MF_POLICY_NAME_UNSET;
}

struct mf_place_policy mf_place_policy_named(enum mf_policy_name name)
{
    struct mf_place_policy policy = {.name = name};

    if (name == MF_POLICY_NAME_ROOM)
        policy.weights[MF_ROOM_FIT] = 0.6, policy.weights[MF_ROOM_EVEN] = 0.3;
    return policy;
}

int mf_place_policy_check(const struct mf_place_policy *self, char error[256])
{
    if (self->name == MF_POLICY_NAME_UNSET || self->name >= MF_POLICY_NAMES) {
        snprintf(error, 256, "no such placement policy");
        return -EINVAL;
    }
    for (int i = 0; i < MF_POLICY_WEIGHTS_MAX; i++)
        if (!(self->weights[i] >= 0 && self->weights[i] <= MF_POLICY_WEIGHT_MAX)) { /* nor NaN */
            snprintf(error, 256, "weight %d of placement policy %s is %g; a weight is a number from 0 to %g",
                     i + 1, WORDS[self->name], self->weights[i], MF_POLICY_WEIGHT_MAX);
            return -EINVAL;
        }
    return 0;
}

/* A share in whole steps; a little is added so that what is equal in arithmetic is equal in steps. */
static uint32_t steps(float share)
{
    float step = share * (MF_SCORES - 1) + 1e-3f;

    return step <= 0 ? 0 : step >= MF_SCORES - 1 ? MF_SCORES - 1 : (uint32_t)step;
}

static float share(uint32_t part, uint32_t whole)
{
    return (float)part / (float)whole;
}

/* ------------------------------------------------------------------ the scarcest resource */

/* Of those the instance wants, where it would sit. */
static float scarcest(const struct mf_amounts *wants, const struct mf_left *left)
{
    float least = 1;

    for (int i = left->n_cells ? MF_CELL_DIMENSIONS : 0; i < MF_DIMENSIONS; i++)
        if (wants->of[i] && left->capacity->of[i])
            least = fminf(least, share(left->after.of[i], left->capacity->of[i]));
    for (uint32_t c = 0; c < left->n_cells; c++)
        for (int i = 0; i < MF_CELL_DIMENSIONS; i++)
            if (left->cells_after[c].of[i] != left->cells_before[c].of[i])
                least = fminf(least, share(left->cells_after[c].of[i], left->cells[c].of[i]));
    return least;
}

/* ------------------------------------------------------------------ what remains */

/* Of all it has, the share that is left, squared; the mean of it. */
static float remains(const struct mf_left *left)
{
    float sum = 0;
    int n = 0;

    for (int i = left->n_cells ? MF_CELL_DIMENSIONS : 0; i < MF_DIMENSIONS; i++)
        if (left->capacity->of[i]) {
            float is = share(left->after.of[i], left->capacity->of[i]);
            sum += is * is;
            n++;
        }
    for (uint32_t c = 0; c < left->n_cells; c++)
        for (int i = 0; i < MF_CELL_DIMENSIONS; i++)
            if (left->cells[c].of[i]) {
                float is = share(left->cells_after[c].of[i], left->cells[c].of[i]);
                sum += is * is;
                n++;
            }
    return n ? sum / (float)n : 0;
}

/* ------------------------------------------------------------------ alignment */

static void align(uint32_t wants, uint32_t free, uint32_t whole, float *dot, float *norm)
{
    float wanted = share(wants, whole);

    *dot += wanted * share(free, whole);
    *norm += wanted;
}

/* The product of what is wanted and what is free, over that of an empty node. */
static float aligned(const struct mf_amounts *wants, const struct mf_left *left)
{
    float dot = 0, norm = 0;

    for (int i = left->n_cells ? MF_CELL_DIMENSIONS : 0; i < MF_DIMENSIONS; i++)
        if (wants->of[i] && left->capacity->of[i])
            align(wants->of[i], left->before.of[i], left->capacity->of[i], &dot, &norm);
    for (uint32_t c = 0; c < left->n_cells; c++)
        for (int i = 0; i < MF_CELL_DIMENSIONS; i++) {
            uint32_t taken = left->cells_before[c].of[i] - left->cells_after[c].of[i];
            if (taken)
                align(taken, left->cells_before[c].of[i], left->cells[c].of[i], &dot, &norm);
        }
    return norm > 0 ? dot / norm : 0;
}

/* ------------------------------------------------------------------ balance */

static float cell_free(const struct mf_left *left, uint32_t c)
{
    float least = 1;

    for (int i = 0; i <= MF_MEMORY_MIB; i++)
        if (left->cells[c].of[i])
            least = fminf(least, share(left->cells_before[c].of[i], left->cells[c].of[i]));
    return least;
}

/* How far apart a node's cells are; whatever takes all of them finds every node equal. */
static float apart(const struct mf_left *left)
{
    float least = 1, most = 0;
    uint32_t touched = 0;

    for (uint32_t c = 0; c < left->n_cells; c++) {
        float is = cell_free(left, c);
        least = fminf(least, is);
        most = fmaxf(most, is);
        touched += memcmp(&left->cells_before[c], &left->cells_after[c], sizeof(left->cells_after[c])) != 0;
    }
    return touched > 1 || most < least ? 0 : most - least;
}

uint32_t mf_place_policy_score(const struct mf_place_policy *self, const struct mf_amounts *wants,
                               const struct mf_left *left)
{
    switch (self->name) {
    case MF_POLICY_NAME_SPREAD:
        return steps(scarcest(wants, left));
    case MF_POLICY_NAME_BEST_FIT:
        return steps(1 - scarcest(wants, left));
    case MF_POLICY_NAME_L2:
        return steps(1 - sqrtf(remains(left)));
    case MF_POLICY_NAME_DOT:
        return steps(aligned(wants, left));
    case MF_POLICY_NAME_BALANCE:
        return steps(apart(left));
    case MF_POLICY_NAME_ROOM:
        return MF_SCORES - 1 -
               (uint32_t)fminf(MF_SCORES - 1, ceilf((MF_SCORES - 1) * mf_room_cost(self, left) - 1e-4f));
    default:
        return 0;
    }
}
