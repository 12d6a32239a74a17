/* orders.c - outboxes. Destroys go before creates, each first in, first out; at most so many are unanswered
 * at a node, the rest waits here and not in a socket's buffer. */
#include "orders.h"
#include "blame.h"
#include "check.h"
#include "heal.h"
#include "journal.h"

#include <stdlib.h>

enum { ANSWER_MARGIN_MS = 2000, WAIT_DOUBLINGS = 8 };

mf_ms mf_backoff(struct mf_broker *b, uint32_t n)
{
    mf_ms delay = b->config.backoff_ms;

    while (--n > 0 && delay < b->config.backoff_max_ms)
        delay *= 2;
    if (delay > b->config.backoff_max_ms)
        delay = b->config.backoff_max_ms;
    return delay - delay / 4 + (mf_ms)mf_random_below(&b->random, (uint64_t)delay / 2 + 1);
}

static void step(struct mf_order *order, enum mf_order_event event)
{
    const char *why;
    unsigned next = 0;

    MF_CHECK(mf_life_move(&mf_life_order, order->state, event, &next, &why));
    order->state = next;
}

static bool may(const struct mf_order *order, enum mf_order_event event)
{
    const char *why;
    unsigned next;

    return mf_life_move(&mf_life_order, order->state, event, &next, &why);
}

/* ------------------------------------------------------------------ lists */

static void set_again(struct mf_order *order, bool again)
{
    order->instance->node->again += (uint32_t)again - (uint32_t)order->again;
    order->again = again;
}

static struct mf_orders *list_of(struct mf_order *order)
{
    struct mf_node *node = order->instance->node;

    switch (order->list) {
    case MF_LIST_CREATES:
        return &node->creates;
    case MF_LIST_DESTROYS:
        return &node->destroys;
    case MF_LIST_SENT:
        return &node->sent;
    default:
        return NULL;
    }
}

static void kick(struct mf_broker *b, struct mf_node *node)
{
    if (!mf_node_up(node) || node->in_sendable)
        return;
    node->in_sendable = true;
    node->next_sendable = NULL;
    *(b->sendable_last ? &b->sendable_last->next_sendable : &b->sendable) = node;
    b->sendable_last = node;
}

static void unlink_order(struct mf_broker *b, struct mf_order *order)
{
    struct mf_orders *list = list_of(order);

    if (!list)
        return;
    *(order->prev ? &order->prev->next : &list->first) = order->next;
    *(order->next ? &order->next->prev : &list->last) = order->prev;
    order->prev = order->next = NULL;
    if (order->list == MF_LIST_SENT) {
        set_again(order, false);
        order->instance->node->in_flight--;
        kick(b, order->instance->node);
    }
    order->list = MF_LIST_NONE;
}

static void link_order(struct mf_order *order, enum mf_order_list to)
{
    struct mf_orders *list;

    order->list = to;
    list = list_of(order);
    order->prev = list->last;
    *(list->last ? &list->last->next : &list->first) = order;
    list->last = order;
    if (to == MF_LIST_SENT)
        order->instance->node->in_flight++;
}

/* ------------------------------------------------------------------ life */

void mf_order_open(struct mf_broker *b, struct mf_instance *inst)
{
    struct mf_order *order = mf_calloc(sizeof(*order));

    MF_CHECK(!inst->order && inst->node);
    order->alarm.kind = MF_ALARM_ORDER;
    order->instance = inst;
    order->operation = inst->state == MF_INSTANCE_STATE_PLACED ? MF_OPERATION_CREATE : MF_OPERATION_DESTROY;
    order->wait = b->config.resend_ms;
    order->deadline =
        b->now + (order->operation == MF_OPERATION_CREATE ? b->config.create_ms
                                                          : b->config.destroy_ms + (mf_ms)inst->grace_ms);
    inst->order = order;
    step(order, MF_ORDER_EVENT_OPENED);
    link_order(order, order->operation == MF_OPERATION_CREATE ? MF_LIST_CREATES : MF_LIST_DESTROYS);
    mf_heap_set(&b->alarms, &order->alarm.timer, order->deadline);
    kick(b, inst->node);
}

void mf_order_drop(struct mf_broker *b, struct mf_instance *inst)
{
    struct mf_order *order = inst->order;

    if (!order)
        return;
    step(order, MF_ORDER_EVENT_CLOSED);
    unlink_order(b, order);
    mf_heap_unset(&b->alarms, &order->alarm.timer);
    inst->order = NULL;
    free(order);
}

void mf_orders_session(struct mf_broker *b, struct mf_node *node)
{
    kick(b, node);
}

static void take_out(struct mf_node **list, const struct mf_node *node)
{
    while (*list && *list != node)
        list = &(*list)->next_sendable;
    if (*list)
        *list = node->next_sendable;
}

void mf_orders_forget(struct mf_broker *b, struct mf_node *node)
{
    take_out(&b->uncommitted, node);
    take_out(&b->sendable, node);
    b->sendable_last = b->sendable;
    while (b->sendable_last && b->sendable_last->next_sendable)
        b->sendable_last = b->sendable_last->next_sendable;
}

void mf_order_acked(struct mf_broker *b, struct mf_node *node, uint64_t order_id)
{
    struct mf_order *order = node->sent.first;

    while (order && order->instance->order_id != order_id)
        order = order->next;
    if (!order || !may(order, MF_ORDER_EVENT_ACKED))
        return;
    step(order, MF_ORDER_EVENT_ACKED);
    set_again(order, false);
    mf_heap_set(&b->alarms, &order->alarm.timer, order->deadline + ANSWER_MARGIN_MS);
}

void mf_order_failed(struct mf_broker *b, struct mf_instance *inst, struct mf_str why)
{
    struct mf_order *order = inst->order;

    if (!order || !may(order, MF_ORDER_EVENT_FAILED))
        return;
    step(order, MF_ORDER_EVENT_FAILED);
    unlink_order(b, order);
    if (inst->tries < UINT8_MAX)
        inst->tries++;
    mf_str_format(order->why, sizeof(order->why), "again, the destroy failed: %.*s", MF_STR_ARG(why));
    mf_heap_set(&b->alarms, &order->alarm.timer, b->now + mf_backoff(b, inst->tries));
}

/* Nobody needs to wait for a node that is away: the next hello settles what is a tombstone. */
static void give_up(struct mf_broker *b, struct mf_instance *inst, uint64_t cause)
{
    if (inst->state == MF_INSTANCE_STATE_DESTROYING)
        mf_row_tombstoned(b, inst, cause, "its node is away");
}

static void expire(struct mf_broker *b, struct mf_order *order)
{
    struct mf_instance *inst = order->instance;
    bool create = order->operation == MF_OPERATION_CREATE;
    bool charged = create && !inst->node->quarantined_until;
    mf_ms retry = charged ? mf_backoff(b, inst->slot->failures + 1) : 0;
    struct mf_birth birth = mf_blame_birth(inst);
    uint64_t cause = mf_row_expired(b, order, (uint64_t)retry); /* closes the order */

    if (create)
        mf_blame_expired(b, &birth, cause);
    if (!mf_node_up(inst->node)) {
        give_up(b, inst, cause);
        return;
    }
    mf_heal_destroy(b, inst, cause, create ? "its create order expired" : "its destroy order expired",
                    inst->grace_ms);
}

void mf_order_alarm(struct mf_broker *b, struct mf_order *order)
{
    struct mf_instance *inst = order->instance;

    if (order->state == MF_ORDER_STATE_RETRY) {
        char why[sizeof(order->why)];
        mf_str_format(why, sizeof(why), "%s", order->why);
        if (mf_node_up(inst->node))
            mf_heal_destroy(b, inst, inst->last_seq, why, 0);
        else
            give_up(b, inst, inst->last_seq);
        return;
    }
    if (b->now >= order->deadline + (order->state == MF_ORDER_STATE_ACKED ? ANSWER_MARGIN_MS : 0)) {
        expire(b, order);
        return;
    }
    set_again(order, order->list == MF_LIST_SENT);
    mf_heap_set(&b->alarms, &order->alarm.timer, order->deadline);
    kick(b, inst->node);
}

/* ------------------------------------------------------------------ sending */

static struct mf_str user_data_none(void)
{
    return (struct mf_str){NULL, 0};
}

/* How far the group is below its min. */
static uint64_t need(const struct mf_group *group)
{
    uint32_t running = group->running + group->retiring;

    return running < group->min ? group->min - running : 0;
}

/* It may have come back with fewer than it had. */
static uint64_t cells_of(const struct mf_instance *inst)
{
    return inst->cells & ((1u << inst->node->n_cells) - 1);
}

static void fill_create(struct mf_broker *b, const struct mf_order *order, struct mf_message *message)
{
    const struct mf_instance *inst = order->instance;
    const struct mf_group *group = mf_group_of(inst);
    mf_ms left = order->deadline - b->now;

    message->kind = MF_MSG_ORDER_CREATE;
    message->order_create = (struct mf_msg_order_create){.order_id = inst->order_id,
                                                         .epoch = inst->epoch,
                                                         .term = b->term,
                                                         .remaining_ms = left > 0 ? (uint64_t)left : 1,
                                                         .id = inst->id,
                                                         .tenant = group->tenant,
                                                         .group = group->name,
                                                         .group_id = group->id,
                                                         .slot = inst->slot->index,
                                                         .generation = inst->generation,
                                                         .replaces = inst->replaces,
                                                         .offering = group->offering->rec,
                                                         .image = group->image->rec,
                                                         .labels = group->labels,
                                                         .policy = group->policy,
                                                         .need = need(group),
                                                         .health = group->health,
                                                         .network = group->network,
                                                         .born = inst->born,
                                                         .spare = inst->slot->index >= group->desired,
                                                         .cells = cells_of(inst),
                                                         .user_data = {group->user_data, user_data_none()}};
}

static void fill_destroy(struct mf_broker *b, const struct mf_order *order, struct mf_message *message)
{
    const struct mf_instance *inst = order->instance;
    mf_ms left = order->deadline - b->now;

    message->kind = MF_MSG_ORDER_DESTROY;
    message->order_destroy = (struct mf_msg_order_destroy){.order_id = inst->order_id,
                                                           .epoch = inst->epoch,
                                                           .term = b->term,
                                                           .remaining_ms = left > 0 ? (uint64_t)left : 1,
                                                           .id = inst->id,
                                                           .grace_ms = inst->grace_ms,
                                                           .evidence = inst->evidence};
}

/* What this node is to be sent next: what was not acknowledged, then destroys, then creates. *ret_wait: there
 * is something, but its row is not committed yet. */
static struct mf_order *next_of(const struct mf_broker *b, struct mf_node *node, bool *ret_wait)
{
    *ret_wait = false;
    for (struct mf_order *order = node->sent.first; order && node->again; order = order->next)
        if (order->again)
            return order;
    if (node->in_flight >= b->config.orders_per_node)
        return NULL;
    if (node->destroys.first && node->destroys.first->instance->order_id <= b->committed)
        return node->destroys.first;
    if (node->creates.first && node->creates.first->instance->order_id <= b->committed)
        return node->creates.first;
    *ret_wait = node->destroys.first || node->creates.first;
    return NULL;
}

static void sent(struct mf_broker *b, struct mf_order *order)
{
    mf_ms at = b->now + order->wait;

    step(order, MF_ORDER_EVENT_SENT);
    set_again(order, false);
    if (order->list != MF_LIST_SENT) {
        unlink_order(b, order);
        link_order(order, MF_LIST_SENT);
    }
    if (order->wait < WAIT_DOUBLINGS * b->config.resend_ms)
        order->wait *= 2;
    mf_heap_set(&b->alarms, &order->alarm.timer, at < order->deadline ? at : order->deadline);
}

static void take_first(struct mf_broker *b)
{
    struct mf_node *node = b->sendable;

    b->sendable = node->next_sendable;
    if (!b->sendable)
        b->sendable_last = NULL;
    node->next_sendable = NULL;
}

bool mf_orders_next(struct mf_broker *b, uint64_t *ret_peer, const struct mf_message **ret_message)
{
    while (b->sendable) {
        struct mf_node *node = b->sendable;
        bool wait = false;
        struct mf_order *order = mf_node_up(node) ? next_of(b, node, &wait) : NULL;

        if (order) {
            struct mf_message *message = mf_arena_alloc(&b->arena, sizeof(*message));
            if (order->operation == MF_OPERATION_CREATE)
                fill_create(b, order, message);
            else
                fill_destroy(b, order, message);
            sent(b, order);
            *ret_peer = node->peer;
            *ret_message = message;
            return true;
        }
        take_first(b);
        if (wait) { /* stays marked, until something is committed */
            node->next_sendable = b->uncommitted;
            b->uncommitted = node;
        } else {
            node->in_sendable = false;
        }
    }
    return false;
}

void mf_orders_committed(struct mf_broker *b)
{
    while (b->uncommitted) {
        struct mf_node *node = b->uncommitted;
        b->uncommitted = node->next_sendable;
        node->in_sendable = false;
        kick(b, node);
    }
}
