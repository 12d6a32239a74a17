/* orders.c - orders as they come in. Three things may be wrong with one (no session, another epoch, a lower
 * term): then, as when the worker ends, it is not acknowledged and moves nothing. One that was answered
 * already is acknowledged and no more: its result is on its way. An at-most create is refused where no keeper
 * could end it. So is a create of a guest whose death is on its way: the broker gave it before it knew, and a
 * life does not come back. */
#include "state.h"

static bool acceptable(struct mf_worker *self, uint64_t epoch, uint64_t term)
{
    bool ours = self->session == MF_SESSION_WELCOMED && epoch == self->epoch && term >= self->term;
    if (!ours || mf_worker_ends(self)) {
        self->ignored++;
        return false;
    }
    self->term = term;
    return true;
}

static void acknowledge(struct mf_worker *self, uint64_t order_id)
{
    struct mf_msg_order_ack *ack = &mf_outbox_say(self, MF_MSG_ORDER_ACK)->order_ack;
    ack->order_id = order_id;
    ack->epoch = self->epoch;
}

/* What exists already is answered by its own life. */
static bool must_refuse(const struct mf_worker *self, const struct mf_msg_order_create *order)
{
    const struct mf_guest *guest = mf_guests_find(self, order->id);
    return order->policy == MF_POLICY_AT_MOST && !self->config.fences &&
           (!guest || guest->life == MF_GUEST_ABSENT);
}

static void refuse(struct mf_worker *self, const struct mf_msg_order_create *order)
{
    char text[MF_WORKER_TEXT_MAX];
    struct mf_held held = {order->order_id, self->now, self->now};
    struct mf_str why = mf_str_format(text, sizeof text, "this node cannot end at-most guests by itself: %s",
                                      self->config.fences_not);
    mf_reports_result(self, mf_guests_add(self, order->id), &held, MF_OPERATION_CREATE, MF_E_UNSUPPORTED, why,
                      (struct mf_str){0});
}

void mf_orders_create(struct mf_worker *self, const struct mf_msg_order_create *order)
{
    if (!acceptable(self, order->epoch, order->term))
        return;
    acknowledge(self, order->order_id);
    if (mf_reports_answers(self, order->order_id) || mf_reports_mourns(self, order->id))
        return;
    if (must_refuse(self, order))
        refuse(self, order);
    else
        mf_guest_feed(self, mf_guests_add(self, order->id), MF_GUEST_ON_ORDER_CREATE,
                      &(struct mf_guest_cause){.create = order});
}

void mf_orders_destroy(struct mf_worker *self, const struct mf_msg_order_destroy *order)
{
    if (!acceptable(self, order->epoch, order->term))
        return;
    acknowledge(self, order->order_id);
    if (mf_reports_answers(self, order->order_id))
        return;
    mf_guest_feed(self, mf_guests_add(self, order->id), MF_GUEST_ON_ORDER_DESTROY,
                  &(struct mf_guest_cause){.destroy = order});
}
