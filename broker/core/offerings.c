/* offerings.c - what an instance is given, and that it hurts no neighbour: who says nothing is contained. */
#include "offerings.h"
#include "check.h"
#include "journal.h"
#include "place.h"
#include "pooled.h"
#include "vocabulary.h"

#include <string.h>

enum { DISK_BYTES_S = 64 << 20, DISK_IOPS = 1000, SHARES_PER_VCPU = 100, SHARES_MAX = 10000 };

struct mf_rec_offering mf_offering_whole(const struct mf_rec_offering *rec)
{
    struct mf_rec_offering o = *rec;
    uint64_t shares = o.vcpus * SHARES_PER_VCPU;

    o.has = 0; /* a zero is as good as nothing said */
    if (!o.class.len)
        o.class = mf_str("standard");
    if (!o.disk_bytes_s && !o.uncapped)
        o.disk_bytes_s = DISK_BYTES_S;
    if (!o.disk_iops && !o.uncapped)
        o.disk_iops = DISK_IOPS;
    if (o.disk_burst_percent <= 100)
        o.disk_burst_percent = o.disk_burst_s = 0;
    else if (!o.disk_burst_s)
        o.disk_burst_s = 1;
    if (!o.cpu_shares && !o.pinned)
        o.cpu_shares = shares < SHARES_MAX ? shares : SHARES_MAX;
    if (o.cpu_quota_percent == 100)
        o.cpu_quota_percent = 0;
    return o;
}

/* What it says of itself twice, in two ways; NULL if it does not. As it was asked for. */
static const char *contradiction(const struct mf_rec_offering *o)
{
    if (o->pinned && o->cpu_quota_percent)
        return "pinned gives each vcpu a host CPU of its own, and cpu_quota_percent takes a part of it away; "
               "say one of them";
    if (o->pinned && o->cpu_shares)
        return "a pinned vcpu shares its CPU with nobody: cpu_shares says nothing there; leave it out";
    if (o->uncapped && o->disk_bytes_s && o->disk_iops)
        return "uncapped, and both caps of the disk are given; leave uncapped out";
    if (o->disk_burst_percent && o->disk_burst_percent < 100)
        return "disk_burst_percent is of the caps, so it is above 100, or left out";
    if (o->disk_burst_percent > 100 && o->uncapped && !o->disk_bytes_s && !o->disk_iops)
        return "a burst beyond caps, and uncapped: without a cap there is nothing to go beyond; say one of "
               "them";
    if (o->disk_burst_s && o->disk_burst_percent <= 100)
        return "disk_burst_s says how long, but disk_burst_percent not how much; say both or none";
    return NULL;
}

static bool same(const struct mf_rec_offering *a, const struct mf_rec_offering *c)
{
    struct mf_buf left = {0}, right = {0};
    bool equal;

    mf_encode(&mf_rec_offering_desc, a, &left);
    mf_encode(&mf_rec_offering_desc, c, &right);
    equal = left.len == right.len && !memcmp(left.ptr, right.ptr, left.len);
    mf_buf_free(&left);
    mf_buf_free(&right);
    return equal;
}

/* False, and the request is refused, if it contradicts itself or another of its name, or is one too many. */
static bool acceptable(struct mf_asked *a, const struct mf_rec_offering *said,
                       const struct mf_rec_offering *o, const struct mf_offering *have)
{
    const char *wrong = contradiction(said);
    char text[256];

    if (wrong)
        mf_asked_refuse(a, MF_E_INVALID, "offering %.*s: %s", MF_STR_ARG(o->name), wrong);
    else if (have && !same(&have->rec, o))
        mf_asked_refuse(a, MF_E_EXISTS,
                        "offering %.*s exists with other content; give the new one another name",
                        MF_STR_ARG(o->name));
    else if (!have && mf_vocabulary_full_class(a->b, o->class, text))
        mf_asked_refuse(a, MF_E_UNSUPPORTED, "offering %.*s: %s", MF_STR_ARG(o->name), text);
    else if (!have && a->b->offerings.n >= MF_OFFERINGS_MAX)
        mf_asked_refuse(a, MF_E_UNSUPPORTED, "there are %d offerings already, and no more are supported",
                        MF_OFFERINGS_MAX);
    else
        return true;
    return false;
}

void mf_offering_add(struct mf_asked *a, const struct mf_msg_offering_add *m)
{
    const struct mf_offering *have = mf_offering_find(a->b, m->offering.name);
    struct mf_event event = {.kind = MF_EV_OFFERING_ADDED,
                             .offering_added = {.offering = mf_offering_whole(&m->offering)}};
    const struct mf_rec_offering *o = &event.offering_added.offering;
    char text[256];
    uint64_t cause;

    if (!acceptable(a, &m->offering, o, have))
        return;
    cause = mf_asked_accept(a, mf_nobody, mf_nobody, 0, 0);
    if (!have)
        mf_journal(a->b, cause, &event, mf_str(a->subject));
    mf_asked_answer_saying(a, mf_offering_homeless(a->b, o, NULL, text));
}

/* ------------------------------------------------------------------ who could host it */

struct fitting { /* of the nodes of its class and labels */
    uint32_t of_class, n, fit;
    struct mf_amounts most;
};

/* A rate that is not bounded is more than any. */
static uint32_t has(const struct mf_amounts *capacity, int dimension)
{
    return dimension >= MF_FIRST_RATE && !capacity->of[dimension] ? UINT32_MAX : capacity->of[dimension];
}

static bool holds(const struct mf_amounts *capacity, const struct mf_amounts *wants)
{
    for (int d = 0; d < MF_DIMENSIONS; d++)
        if (wants->of[d] > has(capacity, d))
            return false;
    return true;
}

static struct fitting look(const struct mf_broker *b, const struct mf_rec_offering *o,
                           const struct mf_labels *require)
{
    struct mf_amounts wants = mf_pooled_wants(o);
    struct fitting found = {0};

    for (size_t i = 0; i < b->nodes.n; i++) {
        const struct mf_node *node = b->nodes.items[i];
        struct mf_amounts capacity = mf_pooled_capacity(&node->capacity);
        if (!mf_str_eq(node->class, o->class))
            continue;
        found.of_class++;
        if (require && !mf_place_has_labels(node, require))
            continue;
        found.n++;
        found.fit += holds(&capacity, &wants);
        for (int d = 0; d < MF_DIMENSIONS; d++)
            if (has(&capacity, d) > found.most.of[d])
                found.most.of[d] = has(&capacity, d);
    }
    return found;
}

#define HOMELESS "no node that is known now could ever host it: "

static struct mf_str too_small(const struct mf_rec_offering *o, const struct fitting *found, char text[256])
{
    static const char *const units[MF_DIMENSIONS] = {"vcpus",
                                                     "MiB of memory",
                                                     "MiB of huge pages",
                                                     "MiB of disk",
                                                     "operations of its disk per second",
                                                     "KiB/s of its disk",
                                                     "KiB/s of its network"};
    struct mf_amounts wants = mf_pooled_wants(o);

    for (int d = 0; d < MF_DIMENSIONS; d++)
        if (wants.of[d] > found->most.of[d])
            return mf_str_format(text, 256, HOMELESS "it needs %u %s, and the largest of %u has %u",
                                 wants.of[d], units[d], found->n, found->most.of[d]);
    return mf_str_format(text, 256, HOMELESS "none of %u has all that it needs at once", found->n);
}

struct mf_str mf_offering_homeless(const struct mf_broker *b, const struct mf_rec_offering *offering,
                                   const struct mf_labels *require, char text[256])
{
    struct fitting found = look(b, offering, require);

    if (found.fit || !b->nodes.n)
        return (struct mf_str){NULL, 0};
    if (!found.of_class)
        return mf_str_format(text, 256, HOMELESS "none of %zu is of class %.*s", b->nodes.n,
                             MF_STR_ARG(offering->class));
    if (!found.n)
        return mf_str_format(text, 256, HOMELESS "none of %u of class %.*s has the labels it requires",
                             found.of_class, MF_STR_ARG(offering->class));
    return too_small(offering, &found, text);
}
