/* fold.c - what each row means: groups, requests, nodes, the reign. fold_instances.c has the rows of
 * instances, fold_parts.c the bookkeeping that they share. */
#include "fold.h"
#include "check.h"
#include "group_rules.h"
#include "pooled.h"
#include "watches.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------ groups, requests */

static int on_group_created(struct mf_broker *b, const struct mf_fold_row *row,
                            const struct mf_ev_group_created *ev, char text[256])
{
    struct mf_image *image = mf_image_find(b, ev->image);
    struct mf_offering *offering = mf_offering_find(b, ev->offering);
    struct mf_group *group;

    if (!image || !offering)
        return mf_fold_bad(text, "group.created with an image or offering that does not exist");
    if (mf_group_find(b, ev->group_id) || mf_group_active(b, ev->group))
        return mf_fold_bad(text, "group.created with an identity or a name that is taken");
    group = mf_fold_add_group(
        b, &(struct mf_group){.id = ev->group_id,
                              .tenant = mf_own_str(ev->tenant),
                              .name = mf_own_str(ev->group),
                              .state = MF_GROUP_STATE_ACTIVE,
                              .desired = (uint32_t)ev->desired,
                              .min = (uint32_t)ev->min,
                              .image = image,
                              .offering = offering,
                              .policy = ev->policy,
                              .spread = ev->spread,
                              .fit = ev->fit,
                              .labels = mf_own_labels(ev->labels),
                              .require = mf_own_labels(ev->require),
                              .user_data = ev->user_data,
                              .health = mf_own_health(ev->health),
                              .spares = (uint32_t)ev->spares,
                              .network = mf_own_str(ev->network.len ? ev->network : mf_str("default")),
                              .rules = mf_own_rules(&ev->rules),
                              .created_ms = row->time_ms});
    for (uint32_t i = 0; i < mf_group_slots(group); i++) {
        struct mf_slot *slot = mf_fold_add_slot(b, group);
        slot->cause = row->seq;
        slot->born = MF_BIRTH_REASON_WANTED;
        mf_fold_push_vacant(b, slot);
    }
    return 0;
}

static int ask_group(struct mf_broker *b, struct mf_uuid id, enum mf_group_event event,
                     struct mf_group **ret_group, unsigned *ret_next, char text[256])
{
    struct mf_group *group = mf_group_find(b, id);
    const char *why;

    if (!group)
        return mf_fold_bad(text, "%s of a group that does not exist", mf_life_group.event_names[event]),
               -EINVAL;
    if (!mf_life_move(&mf_life_group, group->state, event, ret_next, &why))
        return mf_fold_bad(text, "%s of %.*s, which is %s: %s", mf_life_group.event_names[event],
                           MF_STR_ARG(group->name), mf_group_state_word(group->state), why),
               -EINVAL;
    *ret_group = group;
    return 0;
}

static int on_group_scaled(struct mf_broker *b, const struct mf_fold_row *row,
                           const struct mf_ev_group_scaled *ev, char text[256])
{
    struct mf_group *group;
    uint32_t old;
    unsigned next;

    if (ask_group(b, ev->group_id, MF_GROUP_EVENT_SCALED, &group, &next, text))
        return -EINVAL;
    old = mf_group_slots(group);
    mf_fold_resize(group, (uint32_t)ev->desired, ev->spares_too ? (uint32_t)ev->spares : group->spares);
    group->min = (uint32_t)ev->min;
    for (uint32_t i = old; i < mf_group_slots(group); i++) {
        struct mf_slot *slot = i < group->n_slots ? group->slots[i] : mf_fold_add_slot(b, group);
        slot->cause = row->seq;
        slot->replaces = (struct mf_uuid){{0}};
        slot->born = MF_BIRTH_REASON_WANTED;
        slot->not_before_ms = 0;
        mf_fold_push_vacant(b, slot);
    }
    return 0;
}

static int on_group_ending(struct mf_broker *b, const struct mf_fold_row *row,
                           const struct mf_ev_group_ending *ev, char text[256])
{
    struct mf_group *group;
    unsigned next;

    if (ask_group(b, ev->group_id, MF_GROUP_EVENT_ENDING, &group, &next, text))
        return -EINVAL;
    group->state = next;
    group->ending_seq = row->seq;
    for (uint32_t i = 0; i < group->n_slots; i++)
        mf_alarm_unset(b, &group->slots[i]->birth);
    mf_fold_doom_if_empty(b, group);
    return 0;
}

static int on_group_gone(struct mf_broker *b, const struct mf_fold_row *row,
                         const struct mf_ev_group_gone *ev, char text[256])
{
    struct mf_group *group, **at;
    unsigned next;

    if (ask_group(b, ev->group_id, MF_GROUP_EVENT_GONE, &group, &next, text))
        return -EINVAL;
    if (group->living)
        return mf_fold_bad(text, "group.gone of %.*s while it has instances", MF_STR_ARG(group->name));
    for (at = &b->doomed; *at && *at != group; at = &(*at)->next_doomed)
        ;
    if (*at)
        *at = group->next_doomed;
    mf_fold_free_group(b, group);
    return 0;
}

static int on_accepted(struct mf_broker *b, const struct mf_fold_row *row,
                       const struct mf_ev_request_accepted *ev, char text[256])
{
    mf_fold_add_request(b, &(struct mf_request){.seq = row->seq,
                                                .time_ms = row->time_ms,
                                                .key = ev->key,
                                                .request_id = ev->request_id,
                                                .body = ev->body,
                                                .group_id = ev->group_id,
                                                .id = ev->id,
                                                .count = (uint32_t)ev->count});
    return 0;
}

static int on_refused(struct mf_broker *b, const struct mf_fold_row *row,
                      const struct mf_ev_request_refused *ev, char text[256])
{
    mf_fold_add_request(b, &(struct mf_request){.seq = row->seq,
                                                .time_ms = row->time_ms,
                                                .key = ev->key,
                                                .request_id = ev->request_id,
                                                .body = ev->body,
                                                .code = ev->code,
                                                .text = ev->text});
    return 0;
}

/* ------------------------------------------------------------------ nodes, monitors, the reign */

static void replace(struct mf_str *own, struct mf_str by)
{
    mf_free_str(own);
    *own = mf_own_str(by);
}

static int on_joined(struct mf_broker *b, const struct mf_fold_row *row, const struct mf_ev_node_joined *ev,
                     char text[256])
{
    struct mf_node *node = mf_node_find(b, ev->node);
    const char *why;
    unsigned next;

    if (ev->epoch <= b->epoch)
        return mf_fold_bad(text, "node.joined with epoch %llu, which is not new",
                           (unsigned long long)ev->epoch);
    if (!mf_life_move(&mf_life_node, node ? node->state : MF_NODE_STATE_UNSET, MF_NODE_EVENT_JOINED, &next,
                      &why))
        return mf_fold_bad(text, "node.joined: %s", why);
    if (!node && b->nodes.n >= MF_POOL_NODES_MAX)
        return mf_fold_bad(text, "node.joined of %.*s: more than %d nodes", MF_STR_ARG(ev->node),
                           MF_POOL_NODES_MAX);
    if (!node)
        node = mf_fold_add_node(b, ev->node);
    b->epoch = node->epoch = ev->epoch;
    for (struct mf_instance *inst = node->first; inst; inst = inst->next)
        mf_watch_touch(b, inst); /* its address is to be told anew */
    node->state = next;
    node->last_seq = row->seq;
    node->started_ms = (mf_ms)ev->started_ms;
    replace(&node->machine_id, ev->machine_id);
    replace(&node->boot_id, ev->boot_id);
    replace(&node->class, ev->class);
    replace(&node->driver, ev->driver);
    replace(&node->probe_address, ev->probe_address);
    node->guests_die_with_me = ev->guests_die_with_me;
    node->fences = ev->fences;
    node->capacity = ev->capacity;
    mf_fold_set_cells(node, ev->cells.items, ev->cells.n);
    node->cpu_ratio_percent = (uint32_t)ev->cpu_ratio_percent;
    node->recovered_told = node->ended = false;
    if (node->leaving)
        mf_fold_set_draining(b, node, false);
    node->leaving = false;
    mf_pooled_stand(b, node);
    mf_pooled_relabel(b, node, ev->labels);
    return 0;
}

static void note_failure(struct mf_node *node, mf_ms time_ms, enum mf_evidence evidence)
{
    node->ended = evidence == MF_EVIDENCE_ENDED;
    if (!node->ended) /* who ends in order does not flap */
        mf_fold_count_failure(node, time_ms);
}

static int move_node(struct mf_broker *b, const struct mf_fold_row *row, struct mf_str name, uint64_t epoch,
                     enum mf_node_event event, char text[256])
{
    struct mf_node *node = mf_node_find(b, name);
    const char *why;
    unsigned next;

    if (!node || node->epoch != epoch)
        return mf_fold_bad(text, "%s of %.*s in an epoch it does not have", mf_life_node.event_names[event],
                           MF_STR_ARG(name));
    if (!mf_life_move(&mf_life_node, node->state, event, &next, &why))
        return mf_fold_bad(text, "%s of %.*s, which is %s: %s", mf_life_node.event_names[event],
                           MF_STR_ARG(name), mf_node_state_word(node->state), why);
    if (event == MF_NODE_EVENT_RECOVERED && node->state == MF_NODE_STATE_FAILED)
        node->recovered_told = true;
    node->state = next;
    node->last_seq = row->seq;
    if (next == MF_NODE_STATE_READY) {
        node->delayed_until = 0;
        b->room++;
    }
    mf_pooled_stand(b, node);
    return 0;
}

static int on_failed(struct mf_broker *b, const struct mf_fold_row *row, const struct mf_ev_node_failed *ev,
                     char text[256])
{
    if (move_node(b, row, ev->node, ev->epoch, MF_NODE_EVENT_FAILED, text))
        return -EINVAL;
    note_failure(mf_node_find(b, ev->node), row->time_ms, ev->evidence);
    return 0;
}

/* An operator's word takes the place of the worker's: only another one of his brings births back. */
static int on_draining(struct mf_broker *b, const struct mf_fold_row *row,
                       const struct mf_ev_node_draining *ev, char text[256])
{
    struct mf_node *node = mf_node_find(b, ev->node);

    if (!node || (node->draining && (ev->leaving || !node->leaving)))
        return mf_fold_bad(text, "node.draining of %.*s, which is not there or so already",
                           MF_STR_ARG(ev->node));
    mf_fold_set_draining(b, node, true);
    node->leaving = ev->leaving;
    node->cordoned = node->cordoned || !ev->leaving;
    node->last_seq = row->seq;
    mf_pooled_stand(b, node);
    return 0;
}

static int on_drained(struct mf_broker *b, const struct mf_fold_row *row, struct mf_str name, char text[256])
{
    struct mf_node *node = mf_node_find(b, name);

    if (!node || !node->draining)
        return mf_fold_bad(text, "node.drained of %.*s, which is not there or so already", MF_STR_ARG(name));
    mf_fold_set_draining(b, node, false);
    node->cordoned = node->cordoned || !node->leaving;
    node->last_seq = row->seq;
    mf_pooled_stand(b, node);
    return 0;
}

static int on_started(struct mf_broker *b, uint64_t term, const char *type, char text[256])
{
    if (mf_uuid_is_zero(b->cluster_id))
        return mf_fold_bad(text, "%s before cluster.created", type);
    if (term <= b->term)
        return mf_fold_bad(text, "%s with term %llu, which is not above %llu", type, (unsigned long long)term,
                           (unsigned long long)b->term);
    b->term = term;
    return 0;
}

static int on_cluster_created(struct mf_broker *b, const struct mf_ev_cluster_created *ev, char text[256])
{
    if (!mf_uuid_is_zero(b->cluster_id))
        return mf_fold_bad(text, "cluster.created twice");
    b->cluster_id = ev->cluster_id;
    b->log_id = ev->log_id;
    return 0;
}

static int on_cluster_restored(struct mf_broker *b, const struct mf_ev_cluster_restored *ev, char text[256])
{
    if (!mf_uuid_eq(ev->from_log_id, b->log_id) || mf_uuid_is_zero(b->log_id))
        return mf_fold_bad(text, "cluster.restored from a history that this is not");
    b->log_id = ev->log_id;
    b->restored = true;
    return 0;
}

static int on_monitor(struct mf_broker *b, struct mf_str name, bool heard, char text[256])
{
    struct mf_monitor *monitor = mf_fold_monitor(b, name);

    if (!monitor)
        return mf_fold_bad(text, "more than %d monitors", MF_MONITORS_MAX);
    monitor->told_heard = heard;
    return 0;
}

static int apply(struct mf_broker *b, const struct mf_fold_row *row, const struct mf_event *e, char text[256])
{
    switch (e->kind) {
    case MF_EV_CLUSTER_CREATED:
        return on_cluster_created(b, &e->cluster_created, text);
    case MF_EV_CLUSTER_RESTORED:
        return on_cluster_restored(b, &e->cluster_restored, text);
    case MF_EV_BROKER_STARTED:
        if ((mf_ms)e->broker_started.lease_ms > b->lease_max)
            b->lease_max = (mf_ms)e->broker_started.lease_ms;
        return on_started(b, e->broker_started.term, "broker.started", text);
    case MF_EV_TERM_RAISED:
        return on_started(b, e->term_raised.term, "term.raised", text);
    case MF_EV_REQUEST_ACCEPTED:
        return on_accepted(b, row, &e->request_accepted, text);
    case MF_EV_REQUEST_REFUSED:
        return on_refused(b, row, &e->request_refused, text);
    case MF_EV_IMAGE_ADDED:
    case MF_EV_IMAGE_REMOVED:
    case MF_EV_IMAGE_WARMING:
    case MF_EV_OFFERING_ADDED:
        return mf_fold_wares(b, e, text);
    case MF_EV_GROUP_CREATED:
        return on_group_created(b, row, &e->group_created, text);
    case MF_EV_GROUP_SCALED:
        return on_group_scaled(b, row, &e->group_scaled, text);
    case MF_EV_GROUP_ENDING:
        return on_group_ending(b, row, &e->group_ending, text);
    case MF_EV_GROUP_GONE:
        return on_group_gone(b, row, &e->group_gone, text);
    case MF_EV_INSTANCE_CREATED:
    case MF_EV_INSTANCE_PENDING:
    case MF_EV_INSTANCE_PLACED:
    case MF_EV_INSTANCE_RUNNING:
    case MF_EV_INSTANCE_READY:
    case MF_EV_INSTANCE_UNWELL:
    case MF_EV_SLOT_PROMOTED:
    case MF_EV_INSTANCE_FAILED:
    case MF_EV_INSTANCE_DIED:
    case MF_EV_INSTANCE_LOST:
    case MF_EV_INSTANCE_REINSTATED:
    case MF_EV_INSTANCE_ADOPTED:
    case MF_EV_INSTANCE_SUPERSEDED:
    case MF_EV_INSTANCE_TOMBSTONED:
    case MF_EV_INSTANCE_DESTROYING:
    case MF_EV_INSTANCE_GONE:
    case MF_EV_ORDER_EXPIRED:
        return mf_fold_instance(b, row, e, text);
    case MF_EV_NODE_JOINED:
        return on_joined(b, row, &e->node_joined, text);
    case MF_EV_NODE_READY:
        return move_node(b, row, e->node_ready.node, e->node_ready.epoch, MF_NODE_EVENT_READY, text);
    case MF_EV_NODE_SUSPECT:
        return move_node(b, row, e->node_suspect.node, e->node_suspect.epoch, MF_NODE_EVENT_SUSPECT, text);
    case MF_EV_NODE_FAILED:
        return on_failed(b, row, &e->node_failed, text);
    case MF_EV_NODE_RECOVERED:
        return move_node(b, row, e->node_recovered.node, e->node_recovered.epoch, MF_NODE_EVENT_RECOVERED,
                         text);
    case MF_EV_NODE_DRAINING:
        return on_draining(b, row, &e->node_draining, text);
    case MF_EV_NODE_DRAINED:
        return on_drained(b, row, e->node_drained.node, text);
    case MF_EV_MONITOR_HEARD:
        return on_monitor(b, e->monitor_heard.monitor, true, text);
    case MF_EV_MONITOR_LOST:
        return on_monitor(b, e->monitor_lost.monitor, false, text);
    case MF_EV_CLUSTER_FROZEN:
    case MF_EV_CLUSTER_THAWED:
    case MF_EV_NODE_HELD:
    case MF_EV_MONITOR_SUSPENDED:
    case MF_EV_MONITOR_RESUMED:
    case MF_EV_MONITOR_FORGOTTEN:
        return mf_fold_verdicts(b, row, e, text);
    case MF_EV_HEADROOM_SET:
    case MF_EV_HEADROOM_DEGRADED:
    case MF_EV_HEADROOM_RESTORED:
        return mf_fold_headroom(b, e, text);
    case MF_EV_NODE_CORDONED:
    case MF_EV_NODE_UNCORDONED:
    case MF_EV_NODE_QUARANTINED:
    case MF_EV_NODE_RELEASED:
    case MF_EV_NODE_DELAYED:
    case MF_EV_NODE_CAPACITY:
    case MF_EV_NODE_DRIFT:
    case MF_EV_NODE_FORGOTTEN:
    case MF_EV_IMAGE_HALTED:
    case MF_EV_IMAGE_RELEASED:
    case MF_EV_SLOT_FORGIVEN:
    case MF_EV_DOMAIN_UNKNOWN:
    case MF_EV_DOMAIN_PURGING:
    case MF_EV_DOMAIN_GONE:
        return mf_fold_standing(b, row, e, text);
    case MF_EV_CHECKS_HELD:
    case MF_EV_CHECKS_RELEASED:
    case MF_EV_NODE_IMAGE:
    case MF_EV_NODE_REFUSED:
        return 0; /* told, but nothing of ours moves */
    default:
        return mf_fold_bad(text, "a row of a kind that this version does not know");
    }
}

int mf_fold(struct mf_broker *b, const struct mf_fold_row *row, const struct mf_event *event, char text[256])
{
    const struct mf_desc *desc = mf_kind_desc(event->kind);

    if (row->seq != b->seq + 1)
        return mf_fold_bad(text, "row %llu follows row %llu: the log has a gap or a duplicate",
                           (unsigned long long)row->seq, (unsigned long long)b->seq);
    if (row->cause >= row->seq || (row->cause == 0 && !desc->root))
        return mf_fold_bad(text, "row %llu (%s) has cause %llu", (unsigned long long)row->seq, desc->wire,
                           (unsigned long long)row->cause);
    if (apply(b, row, event, text))
        return -EINVAL;
    b->seq = row->seq;
    mf_fold_forget_requests(b, row->time_ms);
    return 0;
}
