/* fold_verdicts.c - what rows of the breaker and of monitors mean for the state. */
#include "fold.h"

#include <errno.h>

void mf_fold_set_frozen(struct mf_broker *b, struct mf_str by, struct mf_str reason, uint64_t seq)
{
    struct mf_str own_by = mf_own_str(by), own_reason = mf_own_str(reason);

    mf_free_str(&b->frozen_by);
    mf_free_str(&b->frozen_reason);
    b->frozen_by = own_by;
    b->frozen_reason = own_reason;
    b->frozen_seq = seq;
}

static int on_thawed(struct mf_broker *b, char text[256])
{
    if (!b->frozen_by.len)
        return mf_fold_bad(text, "cluster.thawed while it is not frozen");
    mf_fold_set_frozen(b, (struct mf_str){NULL, 0}, (struct mf_str){NULL, 0}, 0);
    return 0;
}

static int on_held(struct mf_broker *b, const struct mf_fold_row *row, const struct mf_ev_node_held *ev,
                   char text[256])
{
    struct mf_node *node = mf_node_find(b, ev->node);

    if (!node || node->epoch != ev->epoch)
        return mf_fold_bad(text, "node.held of %.*s in an epoch it does not have", MF_STR_ARG(ev->node));
    node->last_seq = row->seq;
    return 0;
}

static int on_suspended(struct mf_broker *b, struct mf_str name, bool suspended, char text[256])
{
    struct mf_monitor *monitor = mf_monitor_find(b, name);

    if (!monitor || monitor->suspended == suspended)
        return mf_fold_bad(text, "monitor %.*s, which is not there, or so already, is suspended or resumed",
                           MF_STR_ARG(name));
    monitor->suspended = suspended;
    return 0;
}

/* Those behind it move up; an armed alarm is known by where it is. */
static int on_forgotten(struct mf_broker *b, struct mf_str name, char text[256])
{
    struct mf_monitor *monitor = mf_monitor_find(b, name), *end = b->monitors + b->n_monitors;

    if (!monitor)
        return mf_fold_bad(text, "monitor.forgotten of %.*s, which nobody knows", MF_STR_ARG(name));
    mf_heap_unset(&b->alarms, &monitor->alarm.timer);
    for (; monitor + 1 < end; monitor++) {
        bool armed = monitor[1].alarm.timer.place;
        mf_ms when = monitor[1].alarm.timer.when;
        mf_heap_unset(&b->alarms, &monitor[1].alarm.timer);
        *monitor = monitor[1];
        if (armed)
            mf_heap_set(&b->alarms, &monitor->alarm.timer, when);
    }
    b->n_monitors--;
    return 0;
}

int mf_fold_verdicts(struct mf_broker *b, const struct mf_fold_row *row, const struct mf_event *e,
                     char text[256])
{
    switch (e->kind) {
    case MF_EV_CLUSTER_FROZEN:
        mf_fold_set_frozen(b, e->cluster_frozen.by, e->cluster_frozen.reason, row->seq);
        return 0;
    case MF_EV_CLUSTER_THAWED:
        return on_thawed(b, text);
    case MF_EV_NODE_HELD:
        return on_held(b, row, &e->node_held, text);
    case MF_EV_MONITOR_SUSPENDED:
        return on_suspended(b, e->monitor_suspended.monitor, true, text);
    case MF_EV_MONITOR_RESUMED:
        return on_suspended(b, e->monitor_resumed.monitor, false, text);
    default:
        return on_forgotten(b, e->monitor_forgotten.monitor, text);
    }
}
