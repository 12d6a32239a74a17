/* domains.c - strangers are found in inventories, and leave by an operator's word or by themselves. The
 * destroy of one is a small order of its own: the row that asks for it is durable, and each new epoch of its
 * node makes it anew. */
#include "domains.h"
#include "fold.h"
#include "heal.h"
#include "journal.h"
#include "orders.h"
#include "out.h"

enum { LOOK_EVERY_MS = 10000, WAIT_DOUBLINGS = 8 };

/* ------------------------------------------------------------------ what a node has */

/* It carries a name of ours, and is no instance of this node. What has no such name is somebody else's. */
bool mf_domain_is_strange(const struct mf_broker *b, const struct mf_node *node,
                          const struct mf_rec_guest *guest)
{
    const struct mf_instance *inst = mf_instance_find(b, guest->id);

    return guest->name.len && !(inst && inst->node == node);
}

static bool is_news(const struct mf_stranger *stranger, const struct mf_rec_guest *guest)
{
    return guest->state != MF_GUEST_STATE_DESTROYING &&
           (stranger->state != guest->state || !mf_str_eq(stranger->name, guest->name));
}

static const struct mf_group *at_most_of(const struct mf_broker *b, const struct mf_claim *claim)
{
    const struct mf_group *group = mf_group_active(b, mf_str(claim->group));

    return group && group->policy == MF_POLICY_AT_MOST ? group : NULL;
}

/* On its way out, most often what this history has ended. What one had ended that a restored copy knows
 * nothing of may be about to have a successor here. */
static bool leaves_alone(const struct mf_broker *b, const struct mf_rec_guest *guest)
{
    struct mf_claim claim;

    return !b->restored || !mf_claim_parse(guest->name, &claim) || !at_most_of(b, &claim);
}

static size_t see(struct mf_broker *b, struct mf_node *node, const struct mf_rec_guest *guest, uint64_t cause)
{
    struct mf_stranger *stranger = mf_stranger_find(b, node, guest->id);
    size_t rows = 0;

    if (!stranger && guest->state == MF_GUEST_STATE_DESTROYING && leaves_alone(b, guest))
        return 0;
    if (!stranger || is_news(stranger, guest)) {
        mf_row_domain_unknown(b, node, cause, guest);
        stranger = mf_stranger_find(b, node, guest->id);
        rows = 1;
    }
    stranger->listed = true;
    return rows;
}

static void purge_again(struct mf_broker *b, struct mf_stranger *stranger, uint64_t cause);

/* As of instances: no list proves that no process runs. What claims an at-most slot and is not listed any
 * more is ordered destroyed: that finds nothing, and is the proof, or ends what must not be there. */
static bool needs_proof(const struct mf_broker *b, const struct mf_stranger *stranger)
{
    return mf_stranger_claims(stranger) && at_most_of(b, &stranger->claim);
}

/* What the node is destroying already was ordered by a history that is not ours: ours asks for the proof. */
static bool must_be_ordered(const struct mf_stranger *stranger, enum mf_list_of list)
{
    return stranger->order_id ? list != MF_LIST_LATER
                              : !stranger->listed || stranger->state == MF_GUEST_STATE_DESTROYING;
}

static size_t settle(struct mf_broker *b, struct mf_node *node, enum mf_list_of list, uint64_t cause)
{
    struct mf_stranger *next;
    size_t rows = 0;

    for (struct mf_stranger *stranger = node->strangers; stranger; stranger = next) {
        next = stranger->next;
        if (!stranger->listed && (list == MF_LIST_AFTER_BOOT || !needs_proof(b, stranger)))
            mf_row_domain_gone(b, stranger, cause);
        else if (must_be_ordered(stranger, list))
            purge_again(b, stranger, cause);
        else
            continue;
        rows++;
    }
    return rows;
}

size_t mf_domains_match(struct mf_broker *b, struct mf_node *node, struct mf_guests guests,
                        enum mf_list_of list, uint64_t cause)
{
    struct mf_stranger *known;
    size_t rows = 0;

    for (struct mf_stranger *stranger = node->strangers; stranger; stranger = stranger->next)
        stranger->listed = false;
    for (uint32_t i = 0; i < guests.n; i++)
        if (mf_domain_is_strange(b, node, &guests.items[i]))
            rows += see(b, node, &guests.items[i], cause);
        else if ((known = mf_stranger_find(b, node, guests.items[i].id)))
            known->listed = true; /* its name is lost; it is not */
    rows += settle(b, node, list, cause);
    if (node->strangers)
        mf_heap_set(&b->alarms, &node->look.timer, b->now + LOOK_EVERY_MS);
    else
        mf_heap_unset(&b->alarms, &node->look.timer);
    return rows;
}

/* What was on a node that failed is replaced like all that was, unless two must never run at once. */
static bool keeps(const struct mf_stranger *stranger, const struct mf_slot *slot)
{
    return stranger->node->state != MF_NODE_STATE_FAILED || slot->group->policy == MF_POLICY_AT_MOST;
}

const struct mf_stranger *mf_domain_claiming(const struct mf_broker *b, const struct mf_slot *slot)
{
    const struct mf_stranger *stranger = mf_claims_of(b, slot->group->name, slot->index);

    while (stranger && !keeps(stranger, slot))
        stranger = stranger->next_claim;
    return stranger;
}

/* ------------------------------------------------------------------ destroying one */

static void send(struct mf_broker *b, struct mf_stranger *stranger)
{
    mf_ms left = stranger->deadline - b->now, at = b->now + stranger->wait;

    mf_send(b, stranger->node->peer,
            &(struct mf_message){.kind = MF_MSG_ORDER_DESTROY,
                                 .order_destroy = {.order_id = stranger->order_id,
                                                   .epoch = stranger->node->epoch,
                                                   .term = b->term,
                                                   .remaining_ms = left > 0 ? (uint64_t)left : 1,
                                                   .id = stranger->id}});
    if (stranger->wait < WAIT_DOUBLINGS * b->config.resend_ms)
        stranger->wait *= 2;
    mf_heap_set(&b->alarms, &stranger->alarm.timer, at < stranger->deadline ? at : stranger->deadline);
}

static void order(struct mf_broker *b, struct mf_stranger *stranger)
{
    stranger->acked = stranger->retry = false;
    stranger->wait = b->config.resend_ms;
    stranger->deadline = b->now + b->config.destroy_ms;
    if (mf_node_up(stranger->node))
        send(b, stranger);
}

static void purge_again(struct mf_broker *b, struct mf_stranger *stranger, uint64_t cause)
{
    mf_row_domain_purging(b, stranger, cause);
    order(b, stranger);
}

void mf_domain_alarm(struct mf_broker *b, struct mf_stranger *stranger)
{
    if (!mf_node_up(stranger->node))
        return; /* the next hello settles it */
    if (stranger->retry || b->now >= stranger->deadline)
        purge_again(b, stranger, stranger->order_id);
    else if (stranger->acked)
        mf_heap_set(&b->alarms, &stranger->alarm.timer, stranger->deadline);
    else
        send(b, stranger);
}

static struct mf_stranger *ordered(struct mf_node *node, uint64_t order_id)
{
    struct mf_stranger *stranger = node->n_purging ? node->strangers : NULL;

    while (stranger && stranger->order_id != order_id)
        stranger = stranger->next;
    return stranger;
}

bool mf_domains_purging(const struct mf_node *node)
{
    const struct mf_stranger *stranger = node->n_purging ? node->strangers : NULL;

    while (stranger && (!stranger->order_id || stranger->retry))
        stranger = stranger->next;
    return stranger != NULL;
}

void mf_domain_acked(struct mf_broker *b, struct mf_node *node, uint64_t order_id)
{
    struct mf_stranger *stranger = ordered(node, order_id);

    if (stranger)
        stranger->acked = true;
}

void mf_domain_result(struct mf_broker *b, struct mf_node *node, const struct mf_msg_order_result *result)
{
    struct mf_stranger *stranger = mf_stranger_find(b, node, result->id);

    if (!stranger || !stranger->order_id || result->operation != MF_OPERATION_DESTROY)
        return;
    if (mf_str_is(result->code, "ok")) {
        mf_row_domain_gone(b, stranger, stranger->order_id);
    } else if (result->order_id == stranger->order_id) {
        stranger->retry = true;
        mf_heap_set(&b->alarms, &stranger->alarm.timer, b->now + mf_backoff(b, ++stranger->tries));
    }
}

void mf_domains_ended(struct mf_broker *b, struct mf_node *node, uint64_t cause)
{
    while (node->strangers)
        mf_row_domain_gone(b, node->strangers, cause);
}

void mf_domains_session_over(struct mf_broker *b, struct mf_node *node)
{
    mf_heap_unset(&b->alarms, &node->look.timer);
    if (node->strangers)
        b->room++; /* what they claim may be born */
    for (struct mf_stranger *stranger = node->n_purging ? node->strangers : NULL; stranger;
         stranger = stranger->next)
        mf_heap_unset(&b->alarms, &stranger->alarm.timer);
}

/* ------------------------------------------------------------------ an operator's word */

static struct mf_stranger *named(struct mf_asked *a, struct mf_str name, struct mf_uuid id)
{
    struct mf_node *node = mf_asked_node(a, name);
    struct mf_stranger *stranger = node ? mf_stranger_find(a->b, node, id) : NULL;
    char uuid[MF_UUID_TEXT];

    if (node && !stranger)
        mf_asked_refuse(a, MF_E_UNKNOWN,
                        "node %.*s has no unknown domain %s; `mayfly domains` shows what there is",
                        MF_STR_ARG(name), mf_uuid_text(id, uuid));
    return stranger;
}

void mf_domain_purge(struct mf_asked *a, const struct mf_msg_purge *m)
{
    struct mf_stranger *stranger = named(a, m->node, m->id);
    uint64_t cause;

    if (!stranger)
        return;
    cause = mf_asked_accept(a, mf_nobody, m->id, 0, 0);
    if (!stranger->order_id)
        purge_again(a->b, stranger, cause);
    mf_asked_answer(a);
}

/* Why it cannot be its slot's current generation; NULL if it can. */
static const char *unfit(const struct mf_broker *b, const struct mf_stranger *stranger,
                         const struct mf_group *group, const struct mf_slot *slot)
{
    if (!stranger->claim.group[0])
        return "its name is not of the form GROUP/SLOT#GENERATION, so it claims no slot";
    if (!group || !slot || slot->index >= mf_group_slots(group))
        return "the slot it claims does not exist; provision or scale the group first";
    if (group->policy == MF_POLICY_AT_MOST)
        return "its group is at-most, and its node's keeper does not hold it under a lease";
    if (!mf_node_up(stranger->node))
        return "its node is not connected; wait until it is back";
    if (stranger->state != MF_GUEST_STATE_RUNNING || stranger->order_id)
        return "it does not run, or is being purged";
    if (mf_instance_find(b, stranger->id))
        return "an instance with its UUID is recorded on another node";
    if (slot->current && slot->current->state != MF_INSTANCE_STATE_PENDING)
        return "the slot it claims has an instance already; destroy that first";
    return NULL;
}

void mf_domain_adopt(struct mf_asked *a, const struct mf_msg_adopt *m)
{
    struct mf_stranger *stranger = named(a, m->node, m->id);
    struct mf_group *group = stranger ? mf_group_active(a->b, mf_str(stranger->claim.group)) : NULL;
    struct mf_slot *slot =
        group && stranger->claim.slot < group->n_slots ? group->slots[stranger->claim.slot] : NULL;
    const char *why = stranger ? unfit(a->b, stranger, group, slot) : NULL;
    uint64_t cause;

    if (why)
        mf_asked_refuse(a, MF_E_UNSUPPORTED, "it cannot be adopted: %s, or purge it", why);
    if (!stranger || why)
        return;
    cause = mf_asked_accept(a, group->id, m->id, group->desired, 0);
    if (slot->current)
        mf_heal_end(a->b, slot->current, cause, "an unknown domain was adopted", 0);
    mf_heal_adopted(a->b, stranger, slot, cause);
    mf_asked_answer(a);
}

/* ------------------------------------------------------------------ a list of them */

void mf_domains_list(struct mf_broker *b, uint64_t peer, struct mf_str request_id)
{
    enum { ROWS_MAX = 1000 };
    struct mf_rec_domain_row *rows = mf_arena_alloc(&b->arena, ROWS_MAX * sizeof(*rows));
    struct mf_message message = {
        .kind = MF_MSG_DOMAINS,
        .domains = {.request_id = request_id, .seq = b->seq, .more = b->n_strangers > ROWS_MAX}};
    uint32_t n = 0;

    for (size_t i = 0; i < b->nodes.n && n < ROWS_MAX && b->n_strangers; i++) {
        const struct mf_node *node = b->nodes.items[i];
        for (const struct mf_stranger *at = node->strangers; at && n < ROWS_MAX; at = at->next)
            rows[n++] = (struct mf_rec_domain_row){.node = node->name,
                                                   .id = at->id,
                                                   .name = at->name,
                                                   .claims = mf_stranger_claims(at),
                                                   .purging = at->order_id != 0};
    }
    message.domains.rows.items = rows;
    message.domains.rows.n = n;
    mf_send(b, peer, &message);
}
