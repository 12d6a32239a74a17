/* Events as sentences. What each holds is the table's; how it is told is here. */
#include "sentence.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define S(s) (int)(s).len, (s).ptr ? (s).ptr : ""

struct line { /* a sentence being put together */
    char *text;
    size_t n;
};

__attribute__((format(printf, 2, 3))) static void say(struct line *line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line->text + line->n, MF_SENTENCE - line->n, format, args);
    va_end(args);
    if (n > 0)
        line->n = line->n + (size_t)n < MF_SENTENCE ? line->n + (size_t)n : MF_SENTENCE - 1;
}

static void say_rest(struct line *line, struct mf_str text)
{
    if (text.len)
        say(line, ": %.*s", S(text));
}

static void say_opinions(struct line *line, uint64_t asked, uint64_t echoes)
{
    if (asked)
        say(line, "; %" PRIu64 " of %" PRIu64 " peers that were asked heard it", echoes, asked);
}

static void say_how_many(struct line *line, uint64_t instances)
{
    if (instances)
        say(line, "; %" PRIu64 " instance%s on it", instances, instances == 1 ? " was" : "s were");
}

static void say_failed(struct line *line, const struct mf_ev_node_failed *e)
{
    const char *before = "; ";
    if (e->evidence == MF_EVIDENCE_ENDED) {
        say(line, "node %.*s ended in order, and its guests with it", S(e->node));
        say_how_many(line, e->instances);
        return;
    }
    say(line, "%.*s says node %.*s is dead (%s)", S(e->monitor), S(e->node), mf_evidence_word(e->evidence));
    if (e->silent_ms) {
        say(line, "%sno pulse for %" PRIu64 " ms", before, e->silent_ms);
        before = ", ";
    }
    if (e->closed_ms) {
        say(line, "%sits connection closed %" PRIu64 " ms ago", before, e->closed_ms);
        before = ", ";
    }
    if (e->agent_dead_ms)
        say(line, "%sits agent dead for %" PRIu64 " ms", before, e->agent_dead_ms);
    say_opinions(line, e->asked, e->echoes);
    if (e->votes > 1)
        say(line, "; %" PRIu64 " monitors agree", e->votes);
    say_how_many(line, e->instances);
}

/* What operators, the breaker and blame bring about. */
static void say_control(struct line *line, const struct mf_event *event)
{
    switch (event->kind) {
    case MF_EV_CLUSTER_RESTORED:
        say(line, "the store was restored from a copy that ends at %" PRIu64 "; another history begins",
            event->cluster_restored.from_seq);
        break;
    case MF_EV_CLUSTER_FROZEN:
        say(line, "the %.*s froze the cluster", S(event->cluster_frozen.by));
        say_rest(line, event->cluster_frozen.reason);
        break;
    case MF_EV_CLUSTER_THAWED:
        say(line, "the %.*s thawed the cluster", S(event->cluster_thawed.by));
        say_rest(line, event->cluster_thawed.reason);
        break;
    case MF_EV_IMAGE_HALTED:
        say(line, "births of image %.*s are halted", S(event->image_halted.image));
        say_rest(line, event->image_halted.reason);
        say(line, "; one more is tried in %" PRIu64 " ms", event->image_halted.retry_ms);
        break;
    case MF_EV_IMAGE_RELEASED:
        say(line, "births of image %.*s go on", S(event->image_released.image));
        say_rest(line, event->image_released.reason);
        break;
    case MF_EV_SLOT_FORGIVEN:
        say(line, "slot %" PRIu64 " need not wait for its next birth", event->slot_forgiven.slot);
        say_rest(line, event->slot_forgiven.reason);
        break;
    case MF_EV_MONITOR_SUSPENDED:
        say(line, "monitor %.*s doubts its own hearing", S(event->monitor_suspended.monitor));
        say_rest(line, event->monitor_suspended.reason);
        break;
    case MF_EV_MONITOR_RESUMED:
        say(line, "monitor %.*s trusts its hearing again", S(event->monitor_resumed.monitor));
        break;
    case MF_EV_CHECKS_HELD:
        say(line,
            "monitor %.*s sees %" PRIu64 " of %" PRIu64
            " guests that it saw before: what it says of guests is not believed",
            S(event->checks_held.monitor), event->checks_held.passing, event->checks_held.known);
        break;
    case MF_EV_CHECKS_RELEASED:
        say(line, "what monitors say of guests is believed again");
        say_rest(line, event->checks_released.reason);
        break;
    case MF_EV_MONITOR_FORGOTTEN:
        say(line, "monitor %.*s is forgotten", S(event->monitor_forgotten.monitor));
        break;
    case MF_EV_DOMAIN_PURGING:
        say(line, "node %.*s is told to end a guest that nobody knows", S(event->domain_purging.node));
        break;
    case MF_EV_DOMAIN_GONE:
        say(line, "the guest that nobody knew is proven gone from node %.*s", S(event->domain_gone.node));
        break;
    default:
        break;
    }
}

/* What is held against a node, or said of it by an operator. */
static void say_node_control(struct line *line, const struct mf_event *event)
{
    switch (event->kind) {
    case MF_EV_NODE_HELD:
        say(line, "node %.*s is not yet held for dead", S(event->node_held.node));
        say_rest(line, event->node_held.reason);
        break;
    case MF_EV_NODE_DELAYED:
        say(line, "node %.*s failed %" PRIu64 " times lately: it gets instances only in %" PRIu64 " ms",
            S(event->node_delayed.node), event->node_delayed.flaps, event->node_delayed.delay_ms);
        break;
    case MF_EV_NODE_CORDONED:
        say(line, "births are kept away from node %.*s", S(event->node_cordoned.node));
        break;
    case MF_EV_NODE_UNCORDONED:
        say(line, "births may come to node %.*s again", S(event->node_uncordoned.node));
        break;
    case MF_EV_NODE_DRAINING:
        say(line, "node %.*s is being drained%s", S(event->node_draining.node),
            event->node_draining.leaving ? ": its worker is about to end" : "");
        break;
    case MF_EV_NODE_DRAINED:
        say(line, "nothing is left on node %.*s", S(event->node_drained.node));
        break;
    case MF_EV_NODE_FORGOTTEN:
        say(line, "node %.*s is forgotten", S(event->node_forgotten.node));
        break;
    case MF_EV_NODE_QUARANTINED:
        say(line, "node %.*s is blamed: no births there for %" PRIu64 " ms", S(event->node_quarantined.node),
            event->node_quarantined.for_ms);
        say_rest(line, event->node_quarantined.reason);
        break;
    case MF_EV_NODE_RELEASED:
        say(line, "the quarantine of node %.*s is over", S(event->node_released.node));
        say_rest(line, event->node_released.reason);
        break;
    case MF_EV_NODE_CAPACITY:
        say(line, "node %.*s has room for %" PRIu64 " vcpus and %" PRIu64 " MiB now",
            S(event->node_capacity.node), event->node_capacity.capacity.vcpus,
            event->node_capacity.capacity.memory_mib);
        break;
    case MF_EV_NODE_DRIFT:
        say(line,
            "node %.*s sees itself otherwise than the broker did: %" PRIu64 " missing, %" PRIu64 " extra",
            S(event->node_drift.node), event->node_drift.missing, event->node_drift.extra);
        break;
    default:
        break;
    }
}

static void say_cluster(struct line *line, const struct mf_event *event)
{
    switch (event->kind) {
    case MF_EV_CLUSTER_CREATED:
        say(line, "the cluster began");
        break;
    case MF_EV_BROKER_STARTED:
        say(line, "the broker started, version %.*s, term %" PRIu64, S(event->broker_started.version),
            event->broker_started.term);
        break;
    case MF_EV_TERM_RAISED:
        say(line, "the broker stepped up to term %" PRIu64 ", as %.*s had seen a higher one",
            event->term_raised.term, S(event->term_raised.node));
        break;
    case MF_EV_REQUEST_ACCEPTED:
        say(line, "%.*s asked to %.*s", S(event->request_accepted.key), S(event->request_accepted.operation));
        if (event->request_accepted.count && !mf_str_is(event->request_accepted.operation, "destroy"))
            say(line, ", %" PRIu64 " wanted", event->request_accepted.count);
        break;
    case MF_EV_REQUEST_REFUSED:
        say(line, "%.*s asked to %.*s and was refused (%.*s)", S(event->request_refused.key),
            S(event->request_refused.operation), S(event->request_refused.code));
        say_rest(line, event->request_refused.text);
        break;
    case MF_EV_MONITOR_HEARD:
        say(line, "monitor %.*s is heard", S(event->monitor_heard.monitor));
        break;
    case MF_EV_MONITOR_LOST:
        say(line, "monitor %.*s is not heard, for %" PRIu64 " ms", S(event->monitor_lost.monitor),
            event->monitor_lost.age_ms);
        break;
    default:
        break;
    }
}

static void say_warming(struct line *line, const struct mf_ev_image_warming *e)
{
    if (e->stop) {
        say(line, "nodes that join need not fetch image %.*s any more", S(e->image));
        return;
    }
    say(line, "image %.*s is to be fetched by ", S(e->image));
    if (!e->nodes.n)
        say(line, "every node, and by each that joins");
    for (uint32_t i = 0; i < e->nodes.n; i++)
        say(line, "%s%.*s", i ? ", " : "", S(e->nodes.items[i].node));
}

static void say_cache(struct line *line, const struct mf_ev_node_image *e)
{
    static const char *const words[] = {"", "begins to fetch", "has", "could not fetch", "made room of"};
    char hex[MF_DIGEST_TEXT];
    say(line, "node %.*s %s ", S(e->node), words[e->state]);
    if (e->image.len)
        say(line, "a file of image %.*s (sha256 %.12s)", S(e->image), mf_digest_text(e->sha256, hex));
    else
        say(line, "the file sha256 %.12s", mf_digest_text(e->sha256, hex));
    if (e->bytes && e->state != MF_IMAGE_PROGRESS_FAILED)
        say(line, ", %" PRIu64 " bytes", e->bytes);
    if (e->took_ms)
        say(line, ", in %" PRIu64 " ms", e->took_ms);
    say_rest(line, e->text);
}

/* Room that is kept for failures. */
static void say_headroom(struct line *line, const struct mf_event *event)
{
    switch (event->kind) {
    case MF_EV_HEADROOM_SET:
        if (event->headroom_set.level.len)
            say(line, "room is kept for the loss of any one %.*s", S(event->headroom_set.level));
        else
            say(line, "no room is kept for failures but where a group asks for it");
        break;
    case MF_EV_HEADROOM_DEGRADED:
        say(line,
            "%" PRIu64 " instances could not be re-placed if their domain were lost now, %" PRIu64
            " others could",
            event->headroom_degraded.unprotected, event->headroom_degraded.protected);
        break;
    case MF_EV_HEADROOM_RESTORED:
        say(line, "all of %" PRIu64 " instances could be re-placed again if their domain were lost",
            event->headroom_restored.protected);
        break;
    default:
        break;
    }
}

/* What can be provisioned, and where it lies ready. */
static void say_wares(struct line *line, const struct mf_event *event)
{
    switch (event->kind) {
    case MF_EV_IMAGE_ADDED:
        say(line, "image %.*s was added", S(event->image_added.image.name));
        break;
    case MF_EV_IMAGE_REMOVED:
        say(line, "image %.*s is forgotten", S(event->image_removed.image));
        break;
    case MF_EV_IMAGE_WARMING:
        say_warming(line, &event->image_warming);
        break;
    case MF_EV_NODE_IMAGE:
        say_cache(line, &event->node_image);
        break;
    case MF_EV_OFFERING_ADDED:
        say(line, "offering %.*s was added", S(event->offering_added.offering.name));
        break;
    default:
        break;
    }
}

static void say_group(struct line *line, const struct mf_event *event)
{
    switch (event->kind) {
    case MF_EV_GROUP_CREATED:
        say(line, "group %.*s is wanted, %" PRIu64 " of %.*s on %.*s", S(event->group_created.group),
            event->group_created.desired, S(event->group_created.image), S(event->group_created.offering));
        if (event->group_created.spares)
            say(line, ", and %" PRIu64 " spare%s", event->group_created.spares,
                event->group_created.spares == 1 ? "" : "s");
        break;
    case MF_EV_GROUP_SCALED:
        say(line, "the group wants %" PRIu64, event->group_scaled.desired);
        if (event->group_scaled.spares_too)
            say(line, ", and %" PRIu64 " spare%s", event->group_scaled.spares,
                event->group_scaled.spares == 1 ? "" : "s");
        break;
    case MF_EV_GROUP_ENDING:
        say(line, "the group is being ended");
        break;
    case MF_EV_GROUP_GONE:
        say(line, "nothing of the group is left");
        break;
    default:
        break;
    }
}

static void say_node(struct line *line, const struct mf_event *event)
{
    switch (event->kind) {
    case MF_EV_NODE_JOINED:
        say(line, "node %.*s said hello and began epoch %" PRIu64, S(event->node_joined.node),
            event->node_joined.epoch);
        break;
    case MF_EV_NODE_READY:
        say(line, "node %.*s is ready for instances", S(event->node_ready.node));
        break;
    case MF_EV_NODE_REFUSED:
        say(line, "a worker under the name %.*s was refused", S(event->node_refused.node));
        say_rest(line, event->node_refused.reason);
        break;
    case MF_EV_NODE_SUSPECT:
        say(line, "%.*s suspects node %.*s (%s), no pulse for %" PRIu64 " ms", S(event->node_suspect.monitor),
            S(event->node_suspect.node), mf_evidence_word(event->node_suspect.evidence),
            event->node_suspect.silent_ms);
        say_opinions(line, event->node_suspect.asked, event->node_suspect.echoes);
        break;
    case MF_EV_NODE_FAILED:
        say_failed(line, &event->node_failed);
        break;
    case MF_EV_NODE_RECOVERED:
        say(line, "%.*s hears node %.*s again", S(event->node_recovered.monitor),
            S(event->node_recovered.node));
        break;
    case MF_EV_DOMAIN_UNKNOWN:
        say(line, "node %.*s has a guest that nobody knows%s%.*s", S(event->domain_unknown.node),
            event->domain_unknown.name.len ? ", " : "", S(event->domain_unknown.name));
        break;
    default:
        break;
    }
}

/* The console itself may be anything; it is shown by who asks for it. */
static void say_console(struct line *line, struct mf_str console)
{
    if (console.len)
        say(line, "; the end of its output was kept (mayfly logs)");
}

static void say_end(struct line *line, const struct mf_event *event)
{
    switch (event->kind) {
    case MF_EV_INSTANCE_LOST:
        say(line, "it was on %.*s, whose epoch failed: lost", S(event->instance_lost.node));
        break;
    case MF_EV_INSTANCE_REINSTATED:
        say(line, "%.*s came back with it: it is current again", S(event->instance_reinstated.node));
        break;
    case MF_EV_INSTANCE_SUPERSEDED:
        say(line, "it runs on until its successor does");
        say_rest(line, event->instance_superseded.reason);
        break;
    case MF_EV_INSTANCE_ADOPTED:
        say(line, "it was found on %.*s and is its slot's current generation from now on",
            S(event->instance_adopted.node));
        break;
    case MF_EV_INSTANCE_TOMBSTONED:
        say(line, "it must never run again");
        say_rest(line, event->instance_tombstoned.reason);
        break;
    case MF_EV_INSTANCE_DESTROYING:
        say(line, "%.*s is told to end it", S(event->instance_destroying.node));
        say_rest(line, event->instance_destroying.reason);
        break;
    case MF_EV_INSTANCE_GONE:
        say(line, "it is proven gone");
        say_rest(line, event->instance_gone.proof);
        say_console(line, event->instance_gone.console);
        break;
    case MF_EV_ORDER_EXPIRED:
        say(line, "%.*s did not %s it in time (%s)", S(event->order_expired.node),
            mf_operation_word(event->order_expired.operation),
            event->order_expired.acked ? "it had the order" : "the order never arrived");
        break;
    default:
        break;
    }
}

static const char *born_because(enum mf_birth_reason born)
{
    static const char *const words[MF_ENUM_COUNT_birth_reason] = {
        [MF_BIRTH_REASON_DIED] = ", which died",
        [MF_BIRTH_REASON_UNWELL] = ", which was unwell",
        [MF_BIRTH_REASON_NODE_FAILED] = ", whose node failed",
        [MF_BIRTH_REASON_BIRTH_FAILED] = ", whose birth failed",
        [MF_BIRTH_REASON_DESTROYED] = ", which was ended by request",
        [MF_BIRTH_REASON_DRAINED] = ", whose node is being emptied",
        [MF_BIRTH_REASON_PROMOTED] = ", a spare that took another's place"};
    return born < MF_ENUM_COUNT_birth_reason && words[born] ? words[born] : "";
}

static void say_unwell(struct line *line, const struct mf_ev_instance_unwell *e)
{
    static const char *const words[MF_ENUM_COUNT_ailment] = {
        [MF_AILMENT_BOOT] = "was not ready in time",
        [MF_AILMENT_AGENT] = "does not answer by its agent any more",
        [MF_AILMENT_CHECK] = "fails a check from outside",
        [MF_AILMENT_HUNG] = "hangs"};
    say(line, "it %s on %.*s and is replaced",
        e->how < MF_ENUM_COUNT_ailment && words[e->how] ? words[e->how] : "is unwell", S(e->node));
    say_rest(line, e->text);
    if (e->retry_ms)
        say(line, "; next try in %" PRIu64 " ms", e->retry_ms);
    say_console(line, e->console);
}

static void say_birth(struct line *line, const struct mf_event *event)
{
    switch (event->kind) {
    case MF_EV_INSTANCE_CREATED:
        say(line, "generation %" PRIu64 " of slot %" PRIu64 " is to be born%s%s",
            event->instance_created.generation, event->instance_created.slot,
            mf_uuid_is_zero(event->instance_created.replaces) ? "" : ", to replace the one before it",
            born_because(event->instance_created.born));
        break;
    case MF_EV_SLOT_PROMOTED:
        say(line,
            "the spare of slot %" PRIu64 " takes its place: it is generation %" PRIu64 " of slot %" PRIu64
            " from now on",
            event->slot_promoted.from_slot, event->slot_promoted.generation, event->slot_promoted.slot);
        break;
    case MF_EV_INSTANCE_PENDING:
        say(line, "it is not placed yet");
        say_rest(line, event->instance_pending.reason);
        break;
    case MF_EV_INSTANCE_PLACED:
        say(line, "%.*s was chosen and has the order", S(event->instance_placed.node));
        break;
    case MF_EV_INSTANCE_RUNNING:
        say(line, "it runs on %.*s", S(event->instance_running.node));
        if (event->instance_running.took_ms)
            say(line, ", made there in %" PRIu64 " ms", event->instance_running.took_ms);
        break;
    case MF_EV_INSTANCE_FAILED:
        say(line, "its birth on %.*s failed (%.*s)", S(event->instance_failed.node),
            S(event->instance_failed.code));
        say_rest(line, event->instance_failed.text);
        if (event->instance_failed.retry_ms)
            say(line, "; next try in %" PRIu64 " ms", event->instance_failed.retry_ms);
        break;
    case MF_EV_INSTANCE_DIED:
        say(line, "it died on %.*s (%s)", S(event->instance_died.node),
            mf_death_word(event->instance_died.how));
        say_rest(line, event->instance_died.text);
        say_console(line, event->instance_died.console);
        break;
    case MF_EV_INSTANCE_READY:
        say(line, "it says that it is well, on %.*s", S(event->instance_ready.node));
        break;
    case MF_EV_INSTANCE_UNWELL:
        say_unwell(line, &event->instance_unwell);
        break;
    default:
        break;
    }
}

void mf_sentence_clean(char *text)
{
    for (unsigned char *c = (unsigned char *)text; *c; c++)
        if (*c < 0x20 || *c == 0x7f ||
            (*c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0)) /* C0, DEL, and C1 as UTF-8 */
            *c = '?';
}

const char *mf_sentence(const struct mf_rec_event_row *row, char text[MF_SENTENCE])
{
    struct line line = {.text = text};
    struct mf_arena arena = {0};
    struct mf_event event;
    struct mf_decode_error error;
    const struct mf_desc *desc = mf_desc_by_wire(row->type);
    *text = 0;
    if (desc && desc->kind > MF_MSG_COUNT &&
        !mf_event_decode(desc->kind, row->data, &arena, &event, &error)) {
        say_cluster(&line, &event);
        say_headroom(&line, &event);
        say_wares(&line, &event);
        say_control(&line, &event);
        say_node_control(&line, &event);
        say_group(&line, &event);
        say_node(&line, &event);
        say_birth(&line, &event);
        say_end(&line, &event);
    }
    mf_arena_free(&arena);
    if (!line.n)
        say(&line, "%.*s", S(row->type));
    mf_sentence_clean(text);
    return text;
}
