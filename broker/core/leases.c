/* leases.c - time as a proof. A successor of an at-most instance is ordered when each older generation of its
 * slot is proven gone, or is on a node that cannot renew and whose lease is over: its keeper has killed it by
 * then, whether anybody hears of it or not. A node that is connected may renew at any moment, so no time
 * frees it; nor does any time free one whose keeper said that it cannot fence. */
#include "leases.h"
#include "fold.h"
#include "journal.h"
#include "out.h"

/* The clocks of broker and keeper may drift apart by a percent; the rest is for a loop that is late. */
static mf_ms with_margin(mf_ms lease_ms)
{
    return lease_ms + lease_ms / 100 + 500;
}

/* An earlier reign may have forgotten nodes that hold leases: what a slot waited for then, it waits for now,
 * whatever happens to the generation that waits. */
static void wait_on(struct mf_broker *b, const struct mf_group *group)
{
    for (uint32_t i = 0; i < group->n_slots && group->policy == MF_POLICY_AT_MOST; i++) {
        struct mf_slot *slot = group->slots[i];
        if (!slot->current || !slot->current->node)
            slot->leased_until = b->leases_before;
    }
}

void mf_leases_begin(struct mf_broker *b)
{
    mf_ms longest = b->lease_max > b->config.lease_ms ? b->lease_max : b->config.lease_ms;

    if (b->term > 0)
        b->leases_before = b->now + with_margin(longest);
    for (size_t i = 0; i < b->groups.n; i++)
        wait_on(b, b->groups.items[i]);
}

mf_ms mf_lease_renew_ms(const struct mf_broker *b)
{
    return b->config.renew_ms ? b->config.renew_ms : b->config.lease_ms / 5;
}

void mf_lease_ask(struct mf_broker *b, struct mf_node *node, uint64_t ask_id)
{
    node->lease_until = b->now + b->config.lease_ms;
    mf_send_now(b, node->peer,
                &(struct mf_message){.kind = MF_MSG_LEASE_GRANT,
                                     .lease_grant = {.epoch = node->epoch,
                                                     .ask_id = ask_id,
                                                     .term = b->term,
                                                     .lease_ms = (uint64_t)b->config.lease_ms}});
}

mf_ms mf_lease_over(const struct mf_broker *b, const struct mf_node *node)
{
    mf_ms over = node->lease_until + with_margin(b->config.lease_ms) - b->config.lease_ms;

    return node->lease_until && over > b->leases_before ? over : b->leases_before;
}

/* ------------------------------------------------------------------ what a successor waits for */

static void wait_for(struct mf_lease_wait *wait, const struct mf_node *node, uint64_t generation, mf_ms until)
{
    if (until > wait->until)
        *wait = (struct mf_lease_wait){.node = node, .generation = generation, .until = until};
}

bool mf_lease_waits(const struct mf_broker *b, const struct mf_instance *inst, struct mf_lease_wait *ret_wait)
{
    struct mf_lease_wait wait = {.until = b->now};

    if (mf_group_of(inst)->policy != MF_POLICY_AT_MOST)
        return false;
    if (b->restored) /* generations that the copy does not tell of may run anywhere */
        wait_for(&wait, NULL, 0, b->leases_before);
    wait_for(&wait, NULL, 0, inst->slot->leased_until);
    for (const struct mf_instance *older = inst->older; older; older = older->older) {
        const struct mf_node *node = older->node;
        bool timed = node && !mf_node_up(node) && node->fences;
        if (node)
            wait_for(&wait, node, older->generation, timed ? mf_lease_over(b, node) : INT64_MAX);
    }
    *ret_wait = wait;
    return wait.until > b->now;
}

struct mf_str mf_lease_reason(const struct mf_broker *b, const struct mf_lease_wait *wait, char text[256])
{
    if (!wait->node)
        return mf_str_format(
            text, 256,
            "waits until leases granted before this reign, or to forgotten nodes, are over, at "
            "most %lld ms",
            (long long)(wait->until - b->now));
    if (wait->until < INT64_MAX)
        return mf_str_format(text, 256, "waits until the lease of node %.*s is over, at most %lld ms",
                             MF_STR_ARG(wait->node->name), (long long)(wait->until - b->now));
    return mf_str_format(text, 256, "waits until node %.*s%s proves that generation %llu is gone",
                         MF_STR_ARG(wait->node->name), wait->node->fences ? "" : ", which cannot fence,",
                         (unsigned long long)wait->generation);
}

void mf_lease_await(struct mf_broker *b, const struct mf_lease_wait *wait)
{
    bool sooner = !b->lease.timer.place || wait->until < b->lease.timer.when;

    if (wait->until < INT64_MAX && sooner)
        mf_heap_set(&b->alarms, &b->lease.timer, wait->until);
}

/* Before the row that orders it, so that a crash between the two leaves nothing that could run twice. */
void mf_lease_bury(struct mf_broker *b, struct mf_instance *inst)
{
    if (mf_group_of(inst)->policy != MF_POLICY_AT_MOST)
        return;
    for (struct mf_instance *older = inst->older; older; older = older->older)
        if (older->state == MF_INSTANCE_STATE_LOST)
            mf_row_tombstoned(b, older, inst->last_seq,
                              "the lease of its node is over: its successor is ordered");
}

/* ------------------------------------------------------------------ nodes that go */

void mf_lease_node_down(struct mf_broker *b, const struct mf_node *node)
{
    if (node->n_at_most)
        b->room++; /* what waited for its proof may wait for its lease now */
}

void mf_lease_node_forgotten(struct mf_broker *b, const struct mf_node *node)
{
    mf_ms over = mf_lease_over(b, node);

    for (const struct mf_instance *inst = node->first; inst; inst = inst->next)
        if (mf_group_of(inst)->policy == MF_POLICY_AT_MOST && inst->slot->leased_until < over)
            inst->slot->leased_until = over;
    for (const struct mf_stranger *at = node->strangers; at; at = at->next) { /* forgotten before, and back */
        struct mf_group *group = mf_stranger_claims(at) ? mf_group_active(b, mf_str(at->claim.group)) : NULL;
        if (group && at->claim.slot < group->n_slots && group->slots[at->claim.slot]->leased_until < over)
            group->slots[at->claim.slot]->leased_until = over;
    }
}
