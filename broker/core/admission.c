/* admission.c - what asks for headroom is admitted only where all of it finds a place, and a backup: it is
 * tried on the pool itself, and given back. Where each of them would go is remembered until they are placed,
 * so that what was found is what becomes of it, and not what chance makes of it the second time. */
#include "admission.h"
#include "check.h"
#include "grace.h"
#include "group_rules.h"
#include "headroom.h"
#include "kin.h"
#include "out.h"
#include "place.h"
#include "pooled.h"
#include "protection.h"

#include <stdlib.h>

enum { COUNTED_MAX = 256 }; /* one by one, of how many more fit */

struct ghost { /* of an instance that is not there yet */
    struct mf_instance inst;
    struct mf_admitted where;
};
struct trial {
    struct mf_broker *b;
    struct mf_slot slot; /* of them all */
    uint32_t level;
    struct ghost *ghosts;
    uint64_t n;
};

static bool find(struct trial *trial, struct ghost *ghost)
{
    struct mf_broker *b = trial->b;
    struct mf_place_ask ask;
    struct mf_rank rank;

    mf_place_ask(b, trial->slot.group, &ask);
    if (!mf_pool_choose(b->pool, &ask.ask, &b->random, &ghost->where.place, &rank))
        return false;
    ghost->inst = (struct mf_instance){.slot = &trial->slot,
                                       .node = b->by_number[ghost->where.place.node],
                                       .cells = ghost->where.place.cells};
    mf_pooled_count(b, &ghost->inst, true);
    ghost->inst.promise = mf_headroom_add(b->backups, trial->level, ask.ask.shape, ghost->where.place.node);
    return mf_headroom_protect(b->backups, ghost->inst.promise, &b->random) &&
           mf_headroom_backup(b->backups, ghost->inst.promise, &ghost->where.backup);
}

static void give_back(struct trial *trial, uint64_t n)
{
    while (n-- > 0) {
        struct ghost *ghost = &trial->ghosts[n];
        if (!ghost->inst.node)
            continue;
        mf_headroom_drop(trial->b->backups, ghost->inst.promise);
        mf_pooled_count(trial->b, &ghost->inst, false);
    }
}

/* How many of so many find a place and a backup. */
static struct trial try(struct mf_broker *b, struct mf_group *group, uint32_t level, uint64_t n)
{
    struct trial trial = {
        .b = b, .slot.group = group, .level = level, .ghosts = mf_calloc((n + 1) * sizeof(struct ghost))};
    uint64_t tried = 0;

    for (bool found = true; found && tried < n; tried++) {
        found = find(&trial, &trial.ghosts[tried]);
        trial.n += found;
    }
    give_back(&trial, tried);
    return trial;
}

/* ------------------------------------------------------------------ what was admitted */

void mf_admission_over(struct mf_broker *b)
{
    free(b->admission.items);
    b->admission = (struct mf_admission){0};
}

static void remember(struct mf_broker *b, const struct trial *trial)
{
    mf_admission_over(b);
    b->admission.items = mf_calloc((trial->n + 1) * sizeof(*b->admission.items));
    b->admission.n = (uint32_t)trial->n;
    for (uint32_t i = 0; i < b->admission.n; i++)
        b->admission.items[i] = trial->ghosts[i].where;
}

void mf_admission_of(struct mf_broker *b, const struct mf_group *group)
{
    if (b->admission.n && !b->admission.group) /* what is kept may be another's, who is not placed yet */
        b->admission.group = group;
}

bool mf_admission_place(struct mf_broker *b, const struct mf_instance *inst, const struct mf_place_ask *ask,
                        struct mf_place *ret_place)
{
    struct mf_admission *admission = &b->admission;
    struct mf_opinion opinion;

    if (!admission->n || admission->group != mf_group_of(inst) || admission->next == admission->n)
        return false;
    *ret_place = admission->items[admission->next++].place;
    if (!mf_pool_holds(b->pool, ret_place->node))
        return false;
    opinion = mf_pool_explain(b->pool, &ask->ask, ret_place->node);
    return opinion.refusal == MF_REFUSED_NOT && opinion.place.cells == ret_place->cells;
}

void mf_admission_placed(struct mf_broker *b, const struct mf_instance *inst)
{
    const struct mf_admission *admission = &b->admission;

    if (admission->next && admission->group == mf_group_of(inst) && inst->promise)
        mf_headroom_protect_at(b->backups, inst->promise, admission->items[admission->next - 1].backup);
}

/* ------------------------------------------------------------------ a request */

static bool refuse(struct mf_asked *a, const char *text)
{
    mf_send_error(a->b, a->peer->handle, a->request_id, MF_E_HEADROOM, text);
    return false;
}

static bool refuse_too_few(struct mf_asked *a, struct mf_str level, uint64_t found, uint64_t wanted)
{
    char text[256];

    mf_str_format(
        text, sizeof(text),
        "headroom %.*s: of %llu more, %llu would find both a place and a backup outside their %.*s; ask "
        "for fewer, add nodes, or have an operator override it",
        MF_STR_ARG(level), (unsigned long long)wanted, (unsigned long long)found, MF_STR_ARG(level));
    return refuse(a, text);
}

/* Levels that nobody asks for any more are forgotten when there is no place for another. */
static uint32_t number_of(struct mf_broker *b, struct mf_str level)
{
    uint32_t number = mf_protection_number(b, level);

    if (number != UINT32_MAX)
        return number;
    mf_protection_begin(b);
    return mf_protection_number(b, level);
}

static bool admit(struct mf_asked *a, struct mf_group *group, struct mf_str level, uint64_t more)
{
    struct mf_broker *b = a->b;
    struct trial trial;

    if (mf_grace(b))
        return refuse(
            a, "the broker has just started, and what headroom there is shows when its nodes are back; "
               "send it again in a few seconds");
    if (b->admission.n) /* what was admitted before is placed before it is tried what there is room for */
        mf_place_now(b);
    trial = try(b, group, mf_protection_number(b, level), more);
    if (trial.n == more)
        remember(b, &trial);
    free(trial.ghosts);
    return trial.n == more || refuse_too_few(a, level, trial.n, more);
}

bool mf_admission_ask(struct mf_asked *a, struct mf_group *group, uint64_t more, bool override)
{
    struct mf_str level = mf_protection_level(a->b, group);

    if (override && a->peer->role != MF_ROLE_OPERATOR)
        mf_asked_refuse(a, MF_E_FORBIDDEN, "only an operator may override headroom");
    else if (!level.len || !more)
        return true;
    else if (number_of(a->b, level) == UINT32_MAX)
        mf_asked_refuse(
            a, MF_E_INVALID,
            "rules.headroom: groups ask for %d other levels already, and more are not kept; use one of "
            "them",
            MF_HEADROOM_LEVELS);
    else
        return override || admit(a, group, level, more);
    return false;
}

bool mf_admission_ask_new(struct mf_asked *a, struct mf_group *probe, bool override)
{
    bool admitted;

    mf_kin_join(a->b, probe);
    admitted = mf_admission_ask(a, probe, mf_group_slots(probe), override);
    mf_kin_leave(a->b, probe);
    return admitted;
}

/* ------------------------------------------------------------------ how many more */

uint64_t mf_admission_room(struct mf_broker *b, const struct mf_offering *offering)
{
    struct mf_group probe = {.offering = offering, .policy = MF_POLICY_AT_LEAST};
    uint32_t level = mf_protection_number(b, b->headroom), reserve;
    uint64_t room = 0, bound;
    struct trial trial;

    if (level == UINT32_MAX)
        return 0;
    mf_kin_join(b, &probe);
    reserve = mf_kin_replacement(b, &probe);
    bound = mf_headroom_bound(b->backups, level, probe.shape, reserve);
    trial = try(b, &probe, level, bound < COUNTED_MAX ? bound : COUNTED_MAX);
    room = trial.n < COUNTED_MAX ? trial.n : bound;
    free(trial.ghosts);
    mf_kin_leave(b, &probe);
    return room;
}
