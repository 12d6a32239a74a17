/* fold_standing.c - what each row means that says who may be trusted with births: cordons, quarantines,
 * delays, halted images, and the strangers on a node. */
#include "check.h"
#include "fold.h"
#include "pooled.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------ strangers */

enum { STRANGER_KEY = 16 + MF_NAME_MAX, CLAIM_KEY = MF_NAME_MAX + 12 };

static struct mf_str stranger_key(const struct mf_node *node, struct mf_uuid id, char key[STRANGER_KEY])
{
    memcpy(key, id.bytes, sizeof(id.bytes));
    memcpy(key + sizeof(id.bytes), node->name.ptr, node->name.len);
    return (struct mf_str){key, (uint32_t)sizeof(id.bytes) + node->name.len};
}

struct mf_stranger *mf_stranger_find(const struct mf_broker *b, const struct mf_node *node, struct mf_uuid id)
{
    char key[STRANGER_KEY];

    return node->strangers ? mf_map_get_str(b->strangers, stranger_key(node, id, key)) : NULL;
}

/* Digits up to `stop` (0: the end), no more than fit; NULL if there is anything else. */
static const char *parse_number(const char *at, char stop, uint64_t max, uint64_t *ret_number)
{
    uint64_t number = 0;

    if (*at < '0' || *at > '9')
        return NULL;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (number > (max - (uint64_t)(*at - '0')) / 10)
            return NULL;
        number = number * 10 + (uint64_t)(*at - '0');
    }
    *ret_number = number;
    return *at == stop ? at + (stop != 0) : NULL;
}

bool mf_claim_parse(struct mf_str name, struct mf_claim *ret_claim)
{
    char text[256], *slash, *group;
    const char *at;
    uint64_t slot, generation;

    mf_str_format(text, sizeof(text), "%.*s", MF_STR_ARG(name));
    slash = strrchr(text, '/');
    at = slash ? parse_number(slash + 1, '#', MF_SLOTS_MAX - 1, &slot) : NULL;
    if (!at || !parse_number(at, 0, UINT64_MAX, &generation))
        return false;
    *slash = 0;
    group = strchr(text, '/');
    if (group)
        *group++ = 0;
    if ((group && !mf_name_valid(mf_str(group))) || !mf_name_valid(mf_str(text)))
        return false;
    *ret_claim = (struct mf_claim){.slot = (uint32_t)slot, .generation = generation};
    mf_str_format(ret_claim->group, sizeof(ret_claim->group), "%s", group ? group : text);
    return true;
}

static void set_claim(struct mf_stranger *stranger)
{
    if (!mf_claim_parse(stranger->name, &stranger->claim))
        stranger->claim = (struct mf_claim){0};
}

bool mf_stranger_claims(const struct mf_stranger *stranger)
{
    return stranger->claim.group[0] && stranger->state != MF_GUEST_STATE_STOPPED;
}

static struct mf_str claim_key(struct mf_str group, uint32_t slot, char text[CLAIM_KEY])
{
    return mf_str_format(text, CLAIM_KEY, "%.*s/%u", MF_STR_ARG(group), slot);
}

struct mf_stranger *mf_claims_of(const struct mf_broker *b, struct mf_str group, uint32_t slot)
{
    char key[CLAIM_KEY];

    return mf_map_size(b->claims) ? mf_map_get_str(b->claims, claim_key(group, slot, key)) : NULL;
}

static void claim(struct mf_broker *b, struct mf_stranger *stranger)
{
    char key[CLAIM_KEY];

    stranger->next_claim = mf_claims_of(b, mf_str(stranger->claim.group), stranger->claim.slot);
    mf_map_put_str(b->claims, claim_key(mf_str(stranger->claim.group), stranger->claim.slot, key), stranger);
}

static void unclaim(struct mf_broker *b, struct mf_stranger *stranger)
{
    struct mf_stranger *first = mf_claims_of(b, mf_str(stranger->claim.group), stranger->claim.slot),
                       **at = &first;
    char key[CLAIM_KEY];

    while (*at != stranger)
        at = &(*at)->next_claim;
    *at = stranger->next_claim;
    if (first)
        mf_map_put_str(b->claims, claim_key(mf_str(stranger->claim.group), stranger->claim.slot, key), first);
    else
        mf_map_del_str(b->claims, claim_key(mf_str(stranger->claim.group), stranger->claim.slot, key));
    b->room++; /* its slot may be born */
}

/* What it adds to its node's digest, and whether it is among those that claim a slot: taken back before it
 * changes and made again after. */
static void count(struct mf_broker *b, struct mf_stranger *stranger)
{
    if (stranger->state == MF_GUEST_STATE_RUNNING && !stranger->order_id)
        stranger->node->digest ^= mf_guest_digest(stranger->id);
    stranger->node->n_purging += stranger->order_id != 0;
    if (mf_stranger_claims(stranger))
        claim(b, stranger);
}

static void uncount(struct mf_broker *b, struct mf_stranger *stranger)
{
    if (stranger->state == MF_GUEST_STATE_RUNNING && !stranger->order_id)
        stranger->node->digest ^= mf_guest_digest(stranger->id);
    stranger->node->n_purging -= stranger->order_id != 0;
    if (mf_stranger_claims(stranger))
        unclaim(b, stranger);
}

struct mf_stranger *mf_fold_add_stranger(struct mf_broker *b, struct mf_node *node, struct mf_uuid id,
                                         struct mf_str name, enum mf_guest_state state, uint64_t order_id)
{
    struct mf_stranger *stranger = mf_calloc(sizeof(*stranger));
    char key[STRANGER_KEY];

    *stranger = (struct mf_stranger){.id = id,
                                     .node = node,
                                     .name = mf_own_str(name),
                                     .state = state,
                                     .order_id = order_id,
                                     .prev = node->last_stranger,
                                     .alarm.kind = MF_ALARM_PURGE};
    set_claim(stranger);
    *(node->last_stranger ? &node->last_stranger->next : &node->strangers) = stranger;
    node->last_stranger = stranger;
    node->n_strangers++;
    b->n_strangers++;
    mf_map_put_str(b->strangers, stranger_key(node, id, key), stranger);
    count(b, stranger);
    return stranger;
}

void mf_fold_drop_stranger(struct mf_broker *b, struct mf_stranger *stranger)
{
    struct mf_node *node = stranger->node;
    char key[STRANGER_KEY];

    uncount(b, stranger);
    mf_heap_unset(&b->alarms, &stranger->alarm.timer);
    mf_map_del_str(b->strangers, stranger_key(node, stranger->id, key));
    *(stranger->prev ? &stranger->prev->next : &node->strangers) = stranger->next;
    *(stranger->next ? &stranger->next->prev : &node->last_stranger) = stranger->prev;
    node->n_strangers--;
    b->n_strangers--;
    mf_free_str(&stranger->name);
    free(stranger);
}

static int on_unknown(struct mf_broker *b, const struct mf_fold_row *row,
                      const struct mf_ev_domain_unknown *ev, char text[256])
{
    struct mf_node *node = mf_node_find(b, ev->node);
    struct mf_stranger *stranger = node ? mf_stranger_find(b, node, ev->id) : NULL;

    if (!node)
        return mf_fold_bad(text, "domain.unknown on a node that is not there");
    if (!stranger) {
        mf_fold_add_stranger(b, node, ev->id, ev->name, ev->state, 0);
        return 0;
    }
    uncount(b, stranger);
    stranger->state = ev->state;
    mf_free_str(&stranger->name);
    stranger->name = mf_own_str(ev->name);
    set_claim(stranger);
    count(b, stranger);
    return 0;
}

static int on_purging(struct mf_broker *b, const struct mf_fold_row *row,
                      const struct mf_ev_domain_purging *ev, char text[256])
{
    struct mf_node *node = mf_node_find(b, ev->node);
    struct mf_stranger *stranger = node ? mf_stranger_find(b, node, ev->id) : NULL;

    if (!stranger)
        return mf_fold_bad(text, "domain.purging of a domain that is not known to be there");
    uncount(b, stranger);
    stranger->order_id = row->seq;
    count(b, stranger);
    return 0;
}

static int on_gone(struct mf_broker *b, const struct mf_ev_domain_gone *ev, char text[256])
{
    struct mf_node *node = mf_node_find(b, ev->node);
    struct mf_stranger *stranger = node ? mf_stranger_find(b, node, ev->id) : NULL;

    if (!stranger)
        return mf_fold_bad(text, "domain.gone of a domain that is not known to be there");
    mf_fold_drop_stranger(b, stranger);
    return 0;
}

/* ------------------------------------------------------------------ nodes */

static struct mf_node *node_of(struct mf_broker *b, const struct mf_fold_row *row, struct mf_str name,
                               const char *type, char text[256])
{
    struct mf_node *node = mf_node_find(b, name);

    if (node)
        node->last_seq = row->seq;
    else
        mf_fold_bad(text, "%s of %.*s, which is not there", type, MF_STR_ARG(name));
    return node;
}

static int on_cordoned(struct mf_broker *b, const struct mf_fold_row *row, struct mf_str name, bool cordoned,
                       char text[256])
{
    struct mf_node *node = node_of(b, row, name, cordoned ? "node.cordoned" : "node.uncordoned", text);

    if (!node)
        return -EINVAL;
    node->cordoned = cordoned;
    if (!cordoned) {
        if (!node->leaving) /* that one is its worker's, which ends whatever anybody says */
            mf_fold_set_draining(b, node, false);
        b->room++;
    }
    mf_pooled_stand(b, node);
    return 0;
}

static int on_quarantined(struct mf_broker *b, const struct mf_fold_row *row,
                          const struct mf_ev_node_quarantined *ev, char text[256])
{
    struct mf_node *node = node_of(b, row, ev->node, "node.quarantined", text);

    if (!node)
        return -EINVAL;
    b->quarantined += !node->quarantined_until;
    node->quarantined_until =
        row->time_ms + (mf_ms)(ev->for_ms < MF_LATELY_MS * 12 ? ev->for_ms : MF_LATELY_MS * 12) + 1;
    node->quarantines++;
    mf_pooled_stand(b, node);
    return 0;
}

static int on_released(struct mf_broker *b, const struct mf_fold_row *row,
                       const struct mf_ev_node_released *ev, char text[256])
{
    struct mf_node *node = node_of(b, row, ev->node, "node.released", text);

    if (!node)
        return -EINVAL;
    b->quarantined -= node->quarantined_until != 0;
    node->quarantined_until = 0;
    b->room++;
    mf_pooled_stand(b, node);
    return 0;
}

static int on_delayed(struct mf_broker *b, const struct mf_fold_row *row, const struct mf_ev_node_delayed *ev,
                      char text[256])
{
    struct mf_node *node = node_of(b, row, ev->node, "node.delayed", text);

    if (!node || node->epoch != ev->epoch)
        return node ? mf_fold_bad(text, "node.delayed in an epoch it does not have") : -EINVAL;
    node->delayed_until = row->time_ms + (mf_ms)(ev->delay_ms < MF_LATELY_MS ? ev->delay_ms : MF_LATELY_MS);
    return 0;
}

static int on_capacity(struct mf_broker *b, const struct mf_fold_row *row,
                       const struct mf_ev_node_capacity *ev, char text[256])
{
    struct mf_node *node = node_of(b, row, ev->node, "node.capacity", text);

    if (!node)
        return -EINVAL;
    node->capacity = ev->capacity;
    mf_pooled_update(b, node);
    return 0;
}

static int on_forgotten(struct mf_broker *b, const struct mf_ev_node_forgotten *ev, char text[256])
{
    struct mf_node *node = mf_node_find(b, ev->node);

    if (!node || node->n_instances)
        return mf_fold_bad(text, "node.forgotten of %.*s, which is not there or has instances",
                           MF_STR_ARG(ev->node));
    mf_fold_remove_node(b, node);
    return 0;
}

void mf_fold_count_failure(struct mf_node *node, mf_ms time_ms)
{
    mf_ms since = time_ms - node->failed_ms;

    node->flaps = node->flaps && since < MF_LATELY_MS ? node->flaps + 1 : 1;
    node->failed_ms = time_ms;
}

/* ------------------------------------------------------------------ images, slots */

static int on_halted(struct mf_broker *b, const struct mf_fold_row *row, const struct mf_ev_image_halted *ev,
                     char text[256])
{
    struct mf_image *image = mf_image_find(b, ev->image);
    struct mf_str reason;

    if (!image)
        return mf_fold_bad(text, "image.halted of %.*s, which is not there", MF_STR_ARG(ev->image));
    reason = mf_own_str(ev->reason);
    mf_fold_set_halted(b, image, (char *)reason.ptr);
    image->halts++;
    image->halted_until =
        row->time_ms + (mf_ms)(ev->retry_ms < MF_LATELY_MS * 12 ? ev->retry_ms : MF_LATELY_MS * 12);
    return 0;
}

static int on_image_released(struct mf_broker *b, const struct mf_ev_image_released *ev, char text[256])
{
    struct mf_image *image = mf_image_find(b, ev->image);

    if (!image || !image->halted)
        return mf_fold_bad(text, "image.released of %.*s, which is not halted", MF_STR_ARG(ev->image));
    mf_fold_set_halted(b, image, NULL);
    image->halts = 0;
    image->halted_until = 0;
    b->room++;
    return 0;
}

void mf_fold_set_halted(struct mf_broker *b, struct mf_image *image, char *reason)
{
    b->images_halted += (reason != NULL) - (image->halted != NULL);
    free(image->halted);
    image->halted = reason;
}

static int on_forgiven(struct mf_broker *b, const struct mf_fold_row *row,
                       const struct mf_ev_slot_forgiven *ev, char text[256])
{
    struct mf_group *group = mf_group_find(b, ev->group_id);
    struct mf_slot *slot = group && ev->slot < group->n_slots ? group->slots[ev->slot] : NULL;

    if (!slot)
        return mf_fold_bad(text, "slot.forgiven of a slot that is not there");
    slot->failures = 0;
    slot->not_before_ms = 0;
    mf_alarm_unset(b, &slot->birth);
    mf_fold_push_vacant(b, slot);
    return 0;
}

int mf_fold_standing(struct mf_broker *b, const struct mf_fold_row *row, const struct mf_event *e,
                     char text[256])
{
    switch (e->kind) {
    case MF_EV_NODE_CORDONED:
        return on_cordoned(b, row, e->node_cordoned.node, true, text);
    case MF_EV_NODE_UNCORDONED:
        return on_cordoned(b, row, e->node_uncordoned.node, false, text);
    case MF_EV_NODE_QUARANTINED:
        return on_quarantined(b, row, &e->node_quarantined, text);
    case MF_EV_NODE_RELEASED:
        return on_released(b, row, &e->node_released, text);
    case MF_EV_NODE_DELAYED:
        return on_delayed(b, row, &e->node_delayed, text);
    case MF_EV_NODE_CAPACITY:
        return on_capacity(b, row, &e->node_capacity, text);
    case MF_EV_NODE_DRIFT:
        return node_of(b, row, e->node_drift.node, "node.drift", text) ? 0 : -EINVAL;
    case MF_EV_NODE_FORGOTTEN:
        return on_forgotten(b, &e->node_forgotten, text);
    case MF_EV_IMAGE_HALTED:
        return on_halted(b, row, &e->image_halted, text);
    case MF_EV_IMAGE_RELEASED:
        return on_image_released(b, &e->image_released, text);
    case MF_EV_SLOT_FORGIVEN:
        return on_forgiven(b, row, &e->slot_forgiven, text);
    case MF_EV_DOMAIN_UNKNOWN:
        return on_unknown(b, row, &e->domain_unknown, text);
    case MF_EV_DOMAIN_PURGING:
        return on_purging(b, row, &e->domain_purging, text);
    default:
        return on_gone(b, &e->domain_gone, text);
    }
}
