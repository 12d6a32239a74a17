/* rows.c - one function for each kind of row that more than one place makes. The row's subject and its
 * obvious fields are filled in here; a caller adds why. */
#include "journal.h"
#include "wellbeing.h"

/* Of the generation that is about to have this slot. */
static struct mf_str subject_to_be(const struct mf_slot *slot, char text[MF_SUBJECT_MAX])
{
    const struct mf_group *group = slot->group;

    return mf_str_format(text, MF_SUBJECT_MAX, "%.*s/%.*s/%u#%llu", MF_STR_ARG(group->tenant),
                         MF_STR_ARG(group->name), slot->index, (unsigned long long)slot->generation + 1);
}

uint64_t mf_row_created(struct mf_broker *b, struct mf_slot *slot)
{
    struct mf_group *group = slot->group;
    struct mf_event event = {.kind = MF_EV_INSTANCE_CREATED,
                             .instance_created = {.id = mf_uuid_make(&b->random, b->wall_ms),
                                                  .group_id = group->id,
                                                  .slot = slot->index,
                                                  .generation = slot->generation + 1,
                                                  .replaces = slot->replaces,
                                                  .born = slot->born}};
    char text[MF_SUBJECT_MAX];

    return mf_journal(b, slot->cause, &event, subject_to_be(slot, text));
}

/* From then on it has another subject: of the slot that it has now. */
uint64_t mf_row_promoted(struct mf_broker *b, struct mf_instance *inst, struct mf_slot *slot)
{
    struct mf_event event = {.kind = MF_EV_SLOT_PROMOTED,
                             .slot_promoted = {.id = inst->id,
                                               .group_id = slot->group->id,
                                               .slot = slot->index,
                                               .generation = slot->generation + 1,
                                               .from_slot = inst->slot->index,
                                               .replaces = slot->replaces}};
    char text[MF_SUBJECT_MAX];

    return mf_journal(b, slot->cause, &event, subject_to_be(slot, text));
}

static uint64_t about(struct mf_broker *b, const struct mf_instance *inst, uint64_t cause,
                      const struct mf_event *event)
{
    char text[MF_SUBJECT_MAX];

    return mf_journal(b, cause, event, mf_subject_instance(inst, text));
}

uint64_t mf_row_pending(struct mf_broker *b, struct mf_instance *inst, struct mf_str reason)
{
    return about(b, inst, inst->last_seq,
                 &(struct mf_event){.kind = MF_EV_INSTANCE_PENDING,
                                    .instance_pending = {.id = inst->id, .reason = reason}});
}

uint64_t mf_row_placed(struct mf_broker *b, struct mf_instance *inst, struct mf_node *node, uint8_t cells,
                       uint64_t cause)
{
    return about(
        b, inst, cause,
        &(struct mf_event){
            .kind = MF_EV_INSTANCE_PLACED,
            .instance_placed = {.id = inst->id, .node = node->name, .epoch = node->epoch, .cells = cells}});
}

uint64_t mf_row_running(struct mf_broker *b, struct mf_instance *inst, uint64_t took_ms)
{
    return about(b, inst, inst->last_seq,
                 &(struct mf_event){.kind = MF_EV_INSTANCE_RUNNING,
                                    .instance_running = {.id = inst->id,
                                                         .node = inst->node->name,
                                                         .epoch = inst->node->epoch,
                                                         .took_ms = took_ms}});
}

uint64_t mf_row_ready(struct mf_broker *b, struct mf_instance *inst)
{
    return about(
        b, inst, 0,
        &(struct mf_event){
            .kind = MF_EV_INSTANCE_READY,
            .instance_ready = {.id = inst->id, .node = inst->node->name, .epoch = inst->node->epoch}});
}

uint64_t mf_row_unwell(struct mf_broker *b, struct mf_instance *inst, const struct mf_ailing *ailing,
                       uint64_t retry_ms)
{
    return about(b, inst, 0,
                 &(struct mf_event){.kind = MF_EV_INSTANCE_UNWELL,
                                    .instance_unwell = {.id = inst->id,
                                                        .node = inst->node->name,
                                                        .epoch = inst->node->epoch,
                                                        .how = ailing->how,
                                                        .text = ailing->text,
                                                        .console = ailing->console,
                                                        .retry_ms = retry_ms}});
}

uint64_t mf_row_failed(struct mf_broker *b, struct mf_instance *inst, struct mf_str code, struct mf_str text,
                       uint64_t retry_ms)
{
    return about(
        b, inst, inst->last_seq,
        &(struct mf_event){
            .kind = MF_EV_INSTANCE_FAILED,
            .instance_failed = {
                .id = inst->id, .node = inst->node->name, .code = code, .text = text, .retry_ms = retry_ms}});
}

uint64_t mf_row_died(struct mf_broker *b, struct mf_instance *inst, uint64_t cause,
                     const struct mf_death_told *told, uint64_t retry_ms)
{
    return about(b, inst, cause,
                 &(struct mf_event){.kind = MF_EV_INSTANCE_DIED,
                                    .instance_died = {.id = inst->id,
                                                      .node = inst->node->name,
                                                      .epoch = inst->node->epoch,
                                                      .how = told->how,
                                                      .text = told->text,
                                                      .console = told->console,
                                                      .retry_ms = retry_ms}});
}

uint64_t mf_row_lost(struct mf_broker *b, struct mf_instance *inst, uint64_t cause)
{
    return about(
        b, inst, cause,
        &(struct mf_event){
            .kind = MF_EV_INSTANCE_LOST,
            .instance_lost = {.id = inst->id, .node = inst->node->name, .epoch = inst->node->epoch}});
}

uint64_t mf_row_reinstated(struct mf_broker *b, struct mf_instance *inst, uint64_t cause)
{
    return about(
        b, inst, cause,
        &(struct mf_event){
            .kind = MF_EV_INSTANCE_REINSTATED,
            .instance_reinstated = {.id = inst->id, .node = inst->node->name, .epoch = inst->node->epoch}});
}

uint64_t mf_row_tombstoned(struct mf_broker *b, struct mf_instance *inst, uint64_t cause, const char *reason)
{
    return about(b, inst, cause,
                 &(struct mf_event){.kind = MF_EV_INSTANCE_TOMBSTONED,
                                    .instance_tombstoned = {.id = inst->id, .reason = mf_str(reason)}});
}

uint64_t mf_row_destroying(struct mf_broker *b, struct mf_instance *inst, uint64_t cause, const char *reason,
                           uint64_t grace_ms)
{
    return about(b, inst, cause,
                 &(struct mf_event){.kind = MF_EV_INSTANCE_DESTROYING,
                                    .instance_destroying = {.id = inst->id,
                                                            .node = inst->node->name,
                                                            .epoch = inst->node->epoch,
                                                            .grace_ms = grace_ms,
                                                            .reason = mf_str(reason)}});
}

uint64_t mf_row_gone(struct mf_broker *b, struct mf_instance *inst, uint64_t cause, const char *proof,
                     struct mf_str console)
{
    return about(
        b, inst, cause,
        &(struct mf_event){.kind = MF_EV_INSTANCE_GONE,
                           .instance_gone = {.id = inst->id, .proof = mf_str(proof), .console = console}});
}

uint64_t mf_row_expired(struct mf_broker *b, struct mf_order *order, uint64_t retry_ms)
{
    const struct mf_instance *inst = order->instance;

    return about(b, inst, 0,
                 &(struct mf_event){.kind = MF_EV_ORDER_EXPIRED,
                                    .order_expired = {.order_id = inst->order_id,
                                                      .id = inst->id,
                                                      .node = inst->node->name,
                                                      .operation = order->operation,
                                                      .acked = order->state == MF_ORDER_STATE_ACKED,
                                                      .retry_ms = retry_ms}});
}

uint64_t mf_row_node_ready(struct mf_broker *b, struct mf_node *node)
{
    char text[MF_SUBJECT_MAX];

    return mf_journal(b, node->last_seq,
                      &(struct mf_event){.kind = MF_EV_NODE_READY,
                                         .node_ready = {.node = node->name, .epoch = node->epoch}},
                      mf_subject_named("node", node->name, text));
}

uint64_t mf_row_node_refused(struct mf_broker *b, struct mf_str node, struct mf_str machine,
                             const char *reason)
{
    char text[MF_SUBJECT_MAX];

    return mf_journal(
        b, 0,
        &(struct mf_event){.kind = MF_EV_NODE_REFUSED,
                           .node_refused = {.node = node, .machine_id = machine, .reason = mf_str(reason)}},
        mf_subject_named("node", node, text));
}

uint64_t mf_row_node_failed(struct mf_broker *b, struct mf_node *node, const struct mf_ev_node_failed *with)
{
    char text[MF_SUBJECT_MAX];

    return mf_journal(b, 0, &(struct mf_event){.kind = MF_EV_NODE_FAILED, .node_failed = *with},
                      mf_subject_named("node", node->name, text));
}

uint64_t mf_row_node_cordoned(struct mf_broker *b, struct mf_node *node, uint64_t cause, bool cordoned)
{
    struct mf_event event = {.kind = cordoned ? MF_EV_NODE_CORDONED : MF_EV_NODE_UNCORDONED};
    char text[MF_SUBJECT_MAX];

    if (cordoned)
        event.node_cordoned.node = node->name;
    else
        event.node_uncordoned.node = node->name;
    return mf_journal(b, cause, &event, mf_subject_named("node", node->name, text));
}

uint64_t mf_row_domain_unknown(struct mf_broker *b, struct mf_node *node, uint64_t cause,
                               const struct mf_rec_guest *guest)
{
    char text[MF_SUBJECT_MAX];

    return mf_journal(b, cause,
                      &(struct mf_event){.kind = MF_EV_DOMAIN_UNKNOWN,
                                         .domain_unknown = {.node = node->name,
                                                            .id = guest->id,
                                                            .name = guest->name,
                                                            .state = guest->state}},
                      mf_subject_named("node", node->name, text));
}

uint64_t mf_row_node_released(struct mf_broker *b, struct mf_node *node, uint64_t cause, const char *reason)
{
    char text[MF_SUBJECT_MAX];

    return mf_journal(b, cause,
                      &(struct mf_event){.kind = MF_EV_NODE_RELEASED,
                                         .node_released = {.node = node->name, .reason = mf_str(reason)}},
                      mf_subject_named("node", node->name, text));
}

uint64_t mf_row_image_released(struct mf_broker *b, struct mf_image *image, uint64_t cause,
                               const char *reason)
{
    char text[MF_SUBJECT_MAX];

    return mf_journal(
        b, cause,
        &(struct mf_event){.kind = MF_EV_IMAGE_RELEASED,
                           .image_released = {.image = image->rec.name, .reason = mf_str(reason)}},
        mf_subject_named("image", image->rec.name, text));
}

uint64_t mf_row_domain_purging(struct mf_broker *b, struct mf_stranger *stranger, uint64_t cause)
{
    struct mf_str node = stranger->node->name;
    char text[MF_SUBJECT_MAX];

    return mf_journal(b, cause,
                      &(struct mf_event){.kind = MF_EV_DOMAIN_PURGING,
                                         .domain_purging = {.node = node, .id = stranger->id}},
                      mf_subject_named("node", node, text));
}

uint64_t mf_row_domain_gone(struct mf_broker *b, struct mf_stranger *stranger, uint64_t cause)
{
    struct mf_str node = stranger->node->name;
    char text[MF_SUBJECT_MAX];

    return mf_journal(
        b, cause,
        &(struct mf_event){.kind = MF_EV_DOMAIN_GONE, .domain_gone = {.node = node, .id = stranger->id}},
        mf_subject_named("node", node, text));
}

uint64_t mf_row_adopted(struct mf_broker *b, const struct mf_stranger *stranger, struct mf_slot *slot,
                        uint64_t generation, uint64_t cause)
{
    struct mf_group *group = slot->group;
    struct mf_event event = {.kind = MF_EV_INSTANCE_ADOPTED,
                             .instance_adopted = {.id = stranger->id,
                                                  .group_id = group->id,
                                                  .slot = slot->index,
                                                  .generation = generation,
                                                  .node = stranger->node->name,
                                                  .epoch = stranger->node->epoch}};
    char text[MF_SUBJECT_MAX];
    struct mf_str subject =
        mf_str_format(text, sizeof(text), "%.*s/%.*s/%u#%llu", MF_STR_ARG(group->tenant),
                      MF_STR_ARG(group->name), slot->index, (unsigned long long)generation);

    return mf_journal(b, cause, &event, subject);
}

uint64_t mf_row_group_ending(struct mf_broker *b, struct mf_group *group, uint64_t cause)
{
    char text[MF_SUBJECT_MAX];

    return mf_journal(b, cause,
                      &(struct mf_event){.kind = MF_EV_GROUP_ENDING, .group_ending = {.group_id = group->id}},
                      mf_subject_group(group, text));
}

uint64_t mf_row_group_gone(struct mf_broker *b, struct mf_group *group)
{
    uint64_t cause = group->last_gone > group->ending_seq ? group->last_gone : group->ending_seq;
    char text[MF_SUBJECT_MAX];

    return mf_journal(b, cause,
                      &(struct mf_event){.kind = MF_EV_GROUP_GONE, .group_gone = {.group_id = group->id}},
                      mf_subject_group(group, text));
}

uint64_t mf_row_monitor(struct mf_broker *b, struct mf_monitor *monitor, bool heard, uint64_t age_ms)
{
    struct mf_str name = mf_str(monitor->name);
    struct mf_event event = {.kind = heard ? MF_EV_MONITOR_HEARD : MF_EV_MONITOR_LOST};
    char text[MF_SUBJECT_MAX];

    if (heard)
        event.monitor_heard.monitor = name;
    else
        event.monitor_lost = (struct mf_ev_monitor_lost){.monitor = name, .age_ms = age_ms};
    return mf_journal(b, 0, &event, mf_subject_named("monitor", name, text));
}
