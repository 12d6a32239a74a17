/* operators.c - an operator's word: births are kept away from a node or may come again, a node or the blame
 * on an image is forgotten. A word that changes nothing is accepted all the same. */
#include "operators.h"
#include "blame.h"
#include "breaker.h"
#include "check.h"
#include "domains.h"
#include "drain.h"
#include "fold.h"
#include "grace.h"
#include "heal.h"
#include "held.h"
#include "journal.h"
#include "leases.h"
#include "monitors.h"
#include "nodes.h"
#include "orders.h"
#include "out.h"
#include "protection.h"
#include "queries.h"
#include "votes.h"

static struct mf_str node_named(const struct mf_message *m)
{
    switch (m->kind) {
    case MF_MSG_NODE_CORDON:
        return m->node_cordon.node;
    case MF_MSG_NODE_UNCORDON:
        return m->node_uncordon.node;
    case MF_MSG_NODE_DRAIN:
        return m->node_drain.node;
    case MF_MSG_NODE_FORGET:
        return m->node_forget.node;
    case MF_MSG_ADOPT:
        return m->adopt.node;
    case MF_MSG_PURGE:
        return m->purge.node;
    default:
        return (struct mf_str){NULL, 0};
    }
}

void mf_operator_subject(const struct mf_message *m, char text[MF_SUBJECT_MAX])
{
    struct mf_str node = node_named(m);

    if (node.len)
        mf_subject_named("node", node, text);
    else if (m->kind == MF_MSG_IMAGE_RELEASE)
        mf_subject_named("image", m->image_release.image, text);
    else if (m->kind == MF_MSG_MONITOR_FORGET)
        mf_subject_named("monitor", m->monitor_forget.monitor, text);
    else
        mf_str_format(text, MF_SUBJECT_MAX, "cluster");
}

/* ------------------------------------------------------------------ nodes */

static void cordon(struct mf_asked *a, struct mf_node *node)
{
    uint64_t cause = mf_asked_accept(a, mf_nobody, mf_nobody, 0, 0);

    if (!node->cordoned)
        mf_row_node_cordoned(a->b, node, cause, true);
    mf_asked_answer(a);
}

static void uncordon(struct mf_asked *a, struct mf_node *node)
{
    uint64_t cause = mf_asked_accept(a, mf_nobody, mf_nobody, 0, 0);

    if (node->cordoned || (node->draining && !node->leaving))
        cause = mf_row_node_cordoned(a->b, node, cause, false);
    if (!node->leaving)
        mf_drain_end(a->b, node, cause);
    mf_blame_release_node(a->b, node, cause, "an operator's word");
    mf_heap_unset(&a->b->alarms, &node->delay.timer);
    mf_node_try_ready(a->b, node);
    mf_asked_answer(a);
}

/* No list that is only kept in memory may lead to it any more. */
static void unlink_node(struct mf_broker *b, struct mf_node *node)
{
    mf_lease_node_forgotten(b, node);
    mf_votes_forget(b, node);
    mf_breaker_forgotten(b, node);
    mf_blame_forget_node(b, node);
    mf_held_node_forget(b, node);
    mf_domains_session_over(b, node);
    mf_query_forget(b, node);
    mf_orders_forget(b, node);
    mf_monitors_flush(b); /* the last they hear of it is that it failed */
}

static void forget_node(struct mf_broker *b, struct mf_node *node, uint64_t cause)
{
    struct mf_event event = {.kind = MF_EV_NODE_FORGOTTEN,
                             .node_forgotten = {.node = node->name, .machine_id = node->machine_id}};
    const struct mf_uuid *ids;
    char text[MF_SUBJECT_MAX];
    size_t n;

    if (node->state != MF_NODE_STATE_FAILED)
        mf_node_fail(
            b, node,
            &(struct mf_ev_node_failed){.monitor = mf_str("operator"), .evidence = MF_EVIDENCE_CLOSED});
    unlink_node(b, node); /* while it is known what is on it */
    ids = mf_heal_ids(b, node, &n);
    for (size_t i = 0; i < n; i++)
        mf_heal_gone(b, mf_instance_find(b, ids[i]), cause, "its node was forgotten");
    mf_journal(b, cause, &event, mf_subject_named("node", node->name, text));
}

static void forget(struct mf_asked *a, struct mf_node *node)
{
    if (mf_node_up(node)) {
        mf_asked_refuse(a, MF_E_INVALID, "node %.*s is connected; stop its worker first, or drain it",
                        MF_STR_ARG(node->name));
        return;
    }
    forget_node(a->b, node, mf_asked_accept(a, mf_nobody, mf_nobody, 0, 0));
    mf_asked_answer(a);
}

static void drain(struct mf_asked *a, struct mf_node *node)
{
    uint64_t cause = mf_asked_accept(a, mf_nobody, mf_nobody, 0, 0);

    mf_drain_begin(a->b, node, cause);
    mf_asked_answer(a);
}

static void node_request(struct mf_asked *a)
{
    struct mf_node *node = mf_asked_node(a, node_named(a->message));

    if (!node)
        return;
    if (a->message->kind == MF_MSG_NODE_CORDON)
        cordon(a, node);
    else if (a->message->kind == MF_MSG_NODE_UNCORDON)
        uncordon(a, node);
    else if (a->message->kind == MF_MSG_NODE_DRAIN)
        drain(a, node);
    else
        forget(a, node);
}

static void image_release(struct mf_asked *a, struct mf_str name)
{
    struct mf_image *image = mf_image_find(a->b, name);

    if (!image) {
        mf_asked_refuse(a, MF_E_UNKNOWN, "there is no image %.*s; `mayfly image list` shows what there is",
                        MF_STR_ARG(name));
        return;
    }
    mf_blame_release_image(a->b, image, mf_asked_accept(a, mf_nobody, mf_nobody, 0, 0), "an operator's word");
    mf_asked_answer(a);
}

/* ------------------------------------------------------------------ verdicts, monitors */

static void freeze(struct mf_asked *a, struct mf_str reason)
{
    mf_breaker_freeze(a->b, mf_asked_accept(a, mf_nobody, mf_nobody, 0, 0), reason);
    mf_asked_answer(a);
}

/* Within a grace no verdict takes effect, whoever asks for it: a thaw then would freeze again after it. Not
 * remembered: asked again in a moment, it is done. */
static void thaw(struct mf_asked *a)
{
    if (a->b->frozen_by.len && mf_grace(a->b)) {
        mf_send_error_now(a->b, a->peer->handle, a->request_id, MF_E_UNAVAILABLE,
                          "the broker has just started, or was held up itself, and waits for the nodes to be "
                          "heard; say thaw again in a few seconds");
        return;
    }
    mf_breaker_thaw(a->b, mf_asked_accept(a, mf_nobody, mf_nobody, 0, 0));
    mf_asked_answer(a);
}

static void monitor_forget(struct mf_asked *a, struct mf_str name)
{
    struct mf_monitor *monitor = mf_monitor_find(a->b, name);

    if (!monitor) {
        mf_asked_refuse(a, MF_E_UNKNOWN, "there is no monitor %.*s; `mayfly status` shows what there is",
                        MF_STR_ARG(name));
        return;
    }
    if (monitor->heard) {
        mf_asked_refuse(a, MF_E_INVALID, "monitor %.*s is heard; stop it first, then forget it",
                        MF_STR_ARG(name));
        return;
    }
    mf_monitor_forget(a->b, monitor, mf_asked_accept(a, mf_nobody, mf_nobody, 0, 0));
    mf_asked_answer(a);
}

/* ------------------------------------------------------------------ the way in */

void mf_operator_request(struct mf_asked *a)
{
    switch (a->message->kind) {
    case MF_MSG_NODE_CORDON:
    case MF_MSG_NODE_UNCORDON:
    case MF_MSG_NODE_DRAIN:
    case MF_MSG_NODE_FORGET:
        node_request(a);
        return;
    case MF_MSG_IMAGE_RELEASE:
        image_release(a, a->message->image_release.image);
        return;
    case MF_MSG_ADOPT:
        mf_domain_adopt(a, &a->message->adopt);
        return;
    case MF_MSG_PURGE:
        mf_domain_purge(a, &a->message->purge);
        return;
    case MF_MSG_FREEZE:
        freeze(a, a->message->freeze.reason);
        return;
    case MF_MSG_THAW:
        thaw(a);
        return;
    case MF_MSG_HEADROOM:
        mf_protection_request(a, &a->message->headroom);
        return;
    case MF_MSG_MONITOR_FORGET:
        monitor_forget(a, a->message->monitor_forget.monitor);
        return;
    default:
        MF_CHECK(!"every request that changes something is carried out above");
    }
}
