/* leaving.c - see leaving.h. A worker whose guests died by its own hand has proven that, as one that boots
 * anew does: nothing is suspected, held, counted or waited for. A drain that it asks for is an operator's in
 * all but its end, which is the node's next hello. */
#include "leaving.h"
#include "drain.h"
#include "nodes.h"
#include "out.h"

static void answer(struct mf_broker *b, uint64_t peer, uint64_t epoch, bool guests_dead)
{
    mf_send(b, peer,
            &(struct mf_message){.kind = MF_MSG_LEFT, .left = {.epoch = epoch, .guests_dead = guests_dead}});
}

static void drain(struct mf_broker *b, struct mf_node *node, uint64_t remaining_ms)
{
    node->asks_left = true;
    if (node->draining)
        return;
    if (node->leaving)
        mf_leaving_drained(b, node);
    else
        mf_drain_begin_leaving(b, node, remaining_ms);
}

static void ended(struct mf_broker *b, struct mf_node *node)
{
    uint64_t peer = node->peer;

    mf_node_fail(b, node,
                 &(struct mf_ev_node_failed){.monitor = mf_str("worker"), .evidence = MF_EVIDENCE_ENDED});
    answer(b, peer, node->epoch, true);
}

/* A restart or an upgrade: the guests of an agent that died have as long, and nobody kills them for less.
 * Kept in memory: a new reign judges them as it finds them. */
static void comes_back(struct mf_broker *b, struct mf_node *node)
{
    node->back_by = b->now + b->config.agent_grace_ms;
    answer(b, node->peer, node->epoch, false);
}

void mf_leaving(struct mf_broker *b, struct mf_node *node, const struct mf_msg_leaving *leaving)
{
    if (leaving->guests_dead)
        ended(b, node);
    else if (leaving->drain)
        drain(b, node, leaving->remaining_ms);
    else
        comes_back(b, node);
}

bool mf_leaving_again(struct mf_broker *b, const struct mf_peer *peer, const struct mf_msg_leaving *leaving)
{
    const struct mf_node *node = mf_node_find(b, peer->name);

    if (!node || !node->ended || node->epoch != leaving->epoch || node->welcomed != peer->handle)
        return false;
    answer(b, peer->handle, node->epoch, leaving->guests_dead);
    return true;
}

void mf_leaving_drained(struct mf_broker *b, struct mf_node *node)
{
    if (node->asks_left)
        answer(b, node->peer, node->epoch, false);
}
