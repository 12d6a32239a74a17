/* requests.c - a request is looked up by its key and id first; a new one is judged, and either refused in a
 * row of its own or accepted in one, with the rows that change what is wanted right behind; the answer waits
 * for these. What follows from what is wanted, births and deaths, is for the rest of the feed, or, after a
 * crash, for the next reign. */
#include "requests.h"
#include "admission.h"
#include "asked.h"
#include "check.h"
#include "fold.h"
#include "group_rules.h"
#include "heal.h"
#include "images.h"
#include "journal.h"
#include "vocabulary.h"
#include "offerings.h"
#include "operators.h"
#include "out.h"
#include "wellbeing.h"

#include <string.h>

/* ------------------------------------------------------------------ provision, scale */

struct wanted { /* a provision with its defaults filled in */
    const struct mf_msg_provision *p;
    uint64_t min;
    enum mf_policy policy;
    enum mf_spread spread;
    enum mf_fit fit;
    struct mf_rec_guest_health health;
    struct mf_str network;
};

static struct wanted want(const struct mf_msg_provision *p)
{
    bool has_min = p->min || mf_has(mf_kind_desc(MF_MSG_PROVISION), p, "min");

    return (struct wanted){.p = p,
                           .min = has_min ? p->min : p->count,
                           .policy = p->policy ? p->policy : MF_POLICY_AT_LEAST,
                           .spread = p->spread ? p->spread : MF_SPREAD_NONE,
                           .fit = p->fit, /* unset: as the cluster is configured */
                           .health = mf_health_whole(p->health),
                           .network = p->network.len ? p->network : mf_str("default")};
}

/* The first field in which an existing group is another one; NULL if it is the same but for its numbers. */
static const char *other_field(const struct mf_group *group, const struct wanted *w)
{
    if (!mf_str_eq(group->image->rec.name, w->p->image))
        return "image";
    if (!mf_str_eq(group->offering->rec.name, w->p->offering))
        return "offering";
    if (group->policy != w->policy)
        return "policy";
    if (group->spread != w->spread)
        return "spread";
    if (w->fit && group->fit != w->fit)
        return "fit";
    if (!mf_rules_eq(&group->rules, &w->p->rules))
        return "rules";
    if (!mf_labels_eq(group->labels, w->p->labels))
        return "labels";
    if (!mf_labels_eq(group->require, w->p->require))
        return "require";
    if (!mf_health_eq(group->health, w->health))
        return "health";
    if (!mf_str_eq(group->network, w->network))
        return "network";
    return mf_digest_eq(group->user_data, w->p->user_data.digest) ? NULL : "user_data";
}

static void rescale(struct mf_asked *a, struct mf_group *group, uint64_t desired, uint64_t min,
                    uint64_t spares)
{
    struct mf_broker *b = a->b;
    struct mf_event event = {.kind = MF_EV_GROUP_SCALED,
                             .group_scaled = {.group_id = group->id,
                                              .desired = desired,
                                              .min = min,
                                              .spares = spares,
                                              .spares_too = spares != group->spares}};
    uint64_t cause = mf_asked_accept(a, group->id, mf_nobody, desired, 0);

    if (desired == group->desired && min == group->min && spares == group->spares)
        return;
    cause = mf_journal(b, cause, &event, mf_str(a->subject));
    mf_heal_slots_above(b, group, cause);
    mf_admission_of(b, group);
}

static bool may_grow(struct mf_asked *a, struct mf_group *group, uint64_t slots, bool override)
{
    uint64_t more = slots > mf_group_slots(group) ? slots - mf_group_slots(group) : 0;

    return mf_admission_ask(a, group, more, override);
}

static void provision_existing(struct mf_asked *a, struct mf_group *group, const struct wanted *w)
{
    const char *field = other_field(group, w);
    const char *number = group->desired != w->p->count   ? "count"
                         : group->min != w->min          ? "min"
                         : group->spares != w->p->spares ? "spares"
                                                         : NULL;

    if (field || (number && !w->p->apply)) {
        mf_asked_refuse(a, MF_E_EXISTS,
                        "group %.*s exists with another %s; use another name, or destroy it first%s",
                        MF_STR_ARG(group->name), field ? field : number,
                        field ? "" : ", or say that this is to be applied to it");
        return;
    }
    if (!may_grow(a, group, w->p->count + w->p->spares, w->p->override))
        return;
    rescale(a, group, w->p->count, w->min,
            w->p->spares); /* to what it is already, unless apply says otherwise */
    mf_asked_answer(a);
}

static bool may_begin(struct mf_asked *a, const struct wanted *w)
{
    struct mf_group probe = {.name = w->p->group,
                             .state = MF_GROUP_STATE_ACTIVE,
                             .desired = (uint32_t)w->p->count,
                             .spares = (uint32_t)w->p->spares,
                             .image = mf_image_find(a->b, w->p->image),
                             .offering = mf_offering_find(a->b, w->p->offering),
                             .policy = w->policy,
                             .spread = w->spread,
                             .fit = w->fit,
                             .require = w->p->require,
                             .rules = w->p->rules};

    return mf_admission_ask_new(a, &probe, w->p->override);
}

static void provision_new(struct mf_asked *a, const struct wanted *w)
{
    struct mf_broker *b = a->b;
    struct mf_uuid id = mf_uuid_make(&b->random, b->wall_ms);
    uint64_t cause = mf_asked_accept(a, id, mf_nobody, w->p->count, 0);
    struct mf_event event = {.kind = MF_EV_GROUP_CREATED,
                             .group_created = {.group_id = id,
                                               .tenant = mf_str(MF_TENANT),
                                               .group = w->p->group,
                                               .desired = w->p->count,
                                               .min = w->min,
                                               .image = w->p->image,
                                               .offering = w->p->offering,
                                               .policy = w->policy,
                                               .spread = w->spread,
                                               .fit = w->fit,
                                               .labels = w->p->labels,
                                               .require = w->p->require,
                                               .user_data = w->p->user_data.digest,
                                               .health = w->health,
                                               .spares = w->p->spares,
                                               .network = w->network,
                                               .rules = w->p->rules}};

    mf_journal(b, cause, &event, mf_str(a->subject));
    mf_admission_of(b, mf_group_find(b, id));
    mf_asked_answer(a);
}

static void provision(struct mf_asked *a, const struct mf_msg_provision *p)
{
    struct wanted w = want(p);
    struct mf_group *group = mf_group_active(a->b, p->group);
    char text[256];

    if (!mf_image_find(a->b, p->image))
        mf_asked_refuse(
            a, MF_E_UNKNOWN,
            "there is no image %.*s; `mayfly image list` shows what there is, `mayfly image add` adds one",
            MF_STR_ARG(p->image));
    else if (!mf_offering_find(a->b, p->offering))
        mf_asked_refuse(a, MF_E_UNKNOWN, "there is no offering %.*s; ask an operator to add it",
                        MF_STR_ARG(p->offering));
    else if (w.min > p->count)
        mf_asked_refuse(a, MF_E_INVALID, "min %llu is above count %llu; lower min or raise count",
                        (unsigned long long)w.min, (unsigned long long)p->count);
    else if (p->count + p->spares > MF_SLOTS_MAX)
        mf_asked_refuse(a, MF_E_INVALID, "count and spares are more than %d together; make two groups of it",
                        MF_SLOTS_MAX);
    else if (mf_health_bad(&w.health, text))
        mf_asked_refuse(a, MF_E_INVALID, "health: %s", text);
    else if (mf_rules_bad(&p->rules, &p->require, p->group, w.spread, text) ||
             (!group && (mf_rules_domains_full(a->b, &p->rules, text) ||
                         mf_vocabulary_full_rules(a->b, &p->require, &p->rules, text))))
        mf_asked_refuse(a, MF_E_INVALID, "%s", text);
    else if (group)
        provision_existing(a, group, &w);
    else if (may_begin(a, &w))
        provision_new(a, &w);
}

static void scale(struct mf_asked *a, const struct mf_msg_scale *s)
{
    struct mf_group *group = mf_group_active(a->b, s->group);
    uint64_t min;

    if (!group) {
        mf_asked_refuse(a, MF_E_UNKNOWN, "there is no group %.*s; `mayfly groups` shows what there is",
                        MF_STR_ARG(s->group));
        return;
    }
    min = group->min == group->desired || group->min > s->count ? s->count : group->min;
    if (s->min || mf_has(mf_kind_desc(MF_MSG_SCALE), s, "min"))
        min = s->min;
    if (min > s->count) {
        mf_asked_refuse(a, MF_E_INVALID, "min %llu is above count %llu; lower min or raise count",
                        (unsigned long long)min, (unsigned long long)s->count);
        return;
    }
    if (s->count + group->spares > MF_SLOTS_MAX) {
        mf_asked_refuse(a, MF_E_INVALID, "with its %u spares that is more than %d; make two groups of it",
                        group->spares, MF_SLOTS_MAX);
        return;
    }
    if (!may_grow(a, group, s->count + group->spares, s->override))
        return;
    rescale(a, group, s->count, min, group->spares);
    mf_asked_answer(a);
}

/* ------------------------------------------------------------------ destroy */

static bool parse_slot(struct mf_str text, uint32_t *ret_slot)
{
    uint32_t slot = 0;

    if (text.len == 0 || text.len > 4)
        return false;
    for (uint32_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        slot = slot * 10 + (uint32_t)(text.ptr[i] - '0');
    }
    *ret_slot = slot;
    return true;
}

struct mf_instance *mf_target_find(struct mf_broker *b, struct mf_str target, struct mf_group **ret_group)
{
    const char *slash = memchr(target.ptr, '/', target.len);
    struct mf_group *group;
    struct mf_uuid id;
    uint32_t slot;

    *ret_group = NULL;
    if (mf_uuid_parse(target.ptr, target.len, &id))
        return mf_instance_find(b, id);
    if (!slash) {
        *ret_group = mf_group_active(b, target);
        return NULL;
    }
    group = mf_group_active(b, (struct mf_str){target.ptr, (uint32_t)(slash - target.ptr)});
    if (!group ||
        !parse_slot((struct mf_str){slash + 1, (uint32_t)(target.ptr + target.len - slash - 1)}, &slot) ||
        slot >= group->n_slots)
        return NULL;
    return group->slots[slot]->current;
}

static void destroy_group(struct mf_asked *a, struct mf_group *group, uint64_t grace_ms)
{
    uint64_t cause = mf_asked_accept(a, group->id, mf_nobody, 0, grace_ms);

    cause = mf_row_group_ending(a->b, group, cause);
    mf_heal_group(a->b, group, cause, grace_ms);
    mf_asked_answer(a);
}

static void destroy_instance(struct mf_asked *a, struct mf_instance *inst, uint64_t grace_ms)
{
    uint64_t cause =
        mf_asked_accept(a, mf_group_of(inst)->id, inst->id, mf_group_of(inst)->desired, grace_ms);
    bool away = inst->node && !mf_node_up(inst->node);

    mf_heal_end(a->b, inst, cause, away ? "destroyed while its node was away" : "destroyed", grace_ms);
    mf_asked_answer(a);
}

static void destroy(struct mf_asked *a, const struct mf_msg_destroy *d)
{
    struct mf_group *group;
    struct mf_instance *inst = mf_target_find(a->b, d->target, &group);

    if (group)
        mf_subject_group(group, a->subject);
    else if (inst)
        mf_subject_instance(inst, a->subject);
    if (group)
        destroy_group(a, group, d->grace_ms);
    else if (inst)
        destroy_instance(a, inst, d->grace_ms);
    else
        mf_asked_refuse(a, MF_E_UNKNOWN,
                        "there is no group or instance %.*s; say GROUP, GROUP/SLOT or an instance's id",
                        MF_STR_ARG(d->target));
}

/* ------------------------------------------------------------------ the way in */

static struct mf_str request_id_of(const struct mf_message *m)
{
    struct mf_str id; /* it is the first field of every request */

    memcpy(&id, &m->provision.request_id, sizeof(id));
    return id;
}

/* Of the request's own row; what it names need not exist. */
static void name_subject(struct mf_asked *a)
{
    const struct mf_message *m = a->message;

    switch (m->kind) {
    case MF_MSG_PROVISION:
        mf_subject_named(MF_TENANT, m->provision.group, a->subject);
        return;
    case MF_MSG_SCALE:
        mf_subject_named(MF_TENANT, m->scale.group, a->subject);
        return;
    case MF_MSG_DESTROY:
        mf_subject_named(MF_TENANT, m->destroy.target, a->subject);
        return;
    case MF_MSG_IMAGE_ADD:
        mf_subject_named("image", m->image_add.image.name, a->subject);
        return;
    case MF_MSG_IMAGE_REMOVE:
        mf_subject_named("image", m->image_remove.image, a->subject);
        return;
    case MF_MSG_IMAGE_WARM:
        mf_subject_named("image", m->image_warm.image, a->subject);
        return;
    case MF_MSG_OFFERING_ADD:
        mf_subject_named("offering", m->offering_add.offering.name, a->subject);
        return;
    default:
        mf_operator_subject(m, a->subject);
    }
}

static void carry_out(struct mf_asked *a)
{
    const struct mf_message *m = a->message;

    name_subject(a);
    switch (m->kind) {
    case MF_MSG_PROVISION:
        provision(a, &m->provision);
        return;
    case MF_MSG_SCALE:
        scale(a, &m->scale);
        return;
    case MF_MSG_DESTROY:
        destroy(a, &m->destroy);
        return;
    case MF_MSG_IMAGE_ADD:
        mf_image_add(a, &m->image_add);
        return;
    case MF_MSG_IMAGE_REMOVE:
        mf_image_remove(a, &m->image_remove);
        return;
    case MF_MSG_IMAGE_WARM:
        mf_image_warm(a, &m->image_warm);
        return;
    case MF_MSG_OFFERING_ADD:
        mf_offering_add(a, &m->offering_add);
        return;
    default:
        mf_operator_request(a);
    }
}

void mf_request_message(struct mf_broker *b, const struct mf_peer *peer, const struct mf_message *message,
                        struct mf_digest body)
{
    struct mf_asked a = {
        .b = b, .peer = peer, .message = message, .body = body, .request_id = request_id_of(message)};
    struct mf_request *known;

    mf_str_format(a.key, sizeof(a.key), "%s:%.*s", mf_role_word(peer->role), MF_STR_ARG(peer->name));
    known = mf_request_find(b, mf_str(a.key), a.request_id);
    if (known && mf_digest_eq(known->body, body))
        mf_asked_repeat(b, peer->handle, known);
    else if (known)
        mf_send_error(b, peer->handle, a.request_id, MF_E_REUSED,
                      "this request_id was used before with another body; make a new one");
    else if (b->full)
        mf_send_error_now(b, peer->handle, a.request_id, MF_E_STORE_FULL,
                          "the broker's store cannot take more; free disk space, then send it again");
    else if (b->behind.n >= MF_OUT_MAX)
        mf_send_error_now(b, peer->handle, a.request_id, MF_E_UNAVAILABLE,
                          "too many answers wait for the store; send it again in a while");
    else
        carry_out(&a);
}
