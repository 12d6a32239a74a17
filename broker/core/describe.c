/* describe.c - everything worth knowing, in an order that depends on names alone. No user-data, no keys. */
#include "describe.h"
#include "group_rules.h"
#include "pooled.h"

#include <stdarg.h>
#include <stdio.h>

__attribute__((format(printf, 2, 3))) static void say(struct mf_buf *buf, const char *format, ...)
{
    char line[1024];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    mf_buf_append(buf, line, n < (int)sizeof(line) ? (size_t)n : sizeof(line) - 1);
}
#define LLU(x) ((unsigned long long)(x))

static void say_node(struct mf_buf *buf, const struct mf_broker *b, const struct mf_node *n)
{
    struct mf_rec_resources used = mf_pooled_used(b, n);
    char id[MF_UUID_TEXT];

    say(buf,
        "node %.*s %s epoch %llu machine %.*s boot %.*s class %.*s used %llu/%llu cpu %llu/%llu mem "
        "%llu/%llu disk, "
        "%u instances, %u must go, failed %lld\n",
        MF_STR_ARG(n->name), mf_node_state_word(n->state), LLU(n->epoch), MF_STR_ARG(n->machine_id),
        MF_STR_ARG(n->boot_id), MF_STR_ARG(n->class), LLU(used.vcpus), LLU(n->capacity.vcpus),
        LLU(used.memory_mib), LLU(n->capacity.memory_mib), LLU(used.disk_mib), LLU(n->capacity.disk_mib),
        n->n_instances, n->must_go, (long long)n->failed_ms);
    say(buf, "  %s%s%s%s%s, quarantined %lld (%u), flaps %u, delayed %lld\n",
        n->fences ? "fences" : "cannot fence", n->draining ? ", draining" : "", n->leaving ? ", leaving" : "",
        n->ended ? ", ended" : "", n->cordoned ? ", cordoned" : "", (long long)n->quarantined_until,
        n->quarantines, n->flaps, (long long)n->delayed_until);
    for (uint32_t i = 0; i < n->n_cells; i++)
        say(buf, "  cell %u: %llu cpu %llu mem %llu huge\n", i, LLU(n->cells[i].vcpus),
            LLU(n->cells[i].memory_mib), LLU(n->cells[i].hugepages_mib));
    if (n->capacity.hugepages_mib || used.hugepages_mib || used.disk_iops || n->cpu_ratio_percent)
        say(buf, "  used %llu/%llu huge %llu/%llu iops %llu/%llu disk %llu/%llu net, ratio %u\n",
            LLU(used.hugepages_mib), LLU(n->capacity.hugepages_mib), LLU(used.disk_iops),
            LLU(n->capacity.disk_iops), LLU(used.disk_bytes_s), LLU(n->capacity.disk_bytes_s),
            LLU(used.net_bytes_s), LLU(n->capacity.net_bytes_s), n->cpu_ratio_percent);
    for (const struct mf_stranger *s = n->strangers; s; s = s->next)
        say(buf, "  unknown domain %s %.*s %s order %llu\n", mf_uuid_text(s->id, id), MF_STR_ARG(s->name),
            mf_guest_state_word(s->state), LLU(s->order_id));
}

static void say_instance(struct mf_buf *buf, const struct mf_instance *inst)
{
    char id[MF_UUID_TEXT];

    say(buf,
        "    #%llu %s %s%s node %.*s epoch %llu order %llu cause %llu last %llu created %lld running "
        "%lld ready %lld%s%s%s\n",
        LLU(inst->generation), mf_uuid_text(inst->id, id), mf_instance_state_word(inst->state),
        inst->current ? " current" : "", inst->node ? (int)inst->node->name.len : 1,
        inst->node ? inst->node->name.ptr : "-", LLU(inst->epoch), LLU(inst->order_id), LLU(inst->cause),
        LLU(inst->last_seq), (long long)inst->created_ms, (long long)inst->running_ms,
        (long long)inst->ready_ms, inst->told ? " waits" : "", inst->reason ? ": " : "",
        inst->reason ? inst->reason : "");
    if (inst->cells)
        say(buf, "      in cells %02x\n", inst->cells);
}

static void say_labels(struct mf_buf *buf, const char *what, const struct mf_labels *labels)
{
    for (uint32_t i = 0; i < labels->n; i++)
        say(buf, " %s %.*s=%.*s", what, MF_STR_ARG(labels->items[i].key), MF_STR_ARG(labels->items[i].value));
}

static void say_rules(struct mf_buf *buf, const struct mf_rec_rules *r)
{
    say(buf, "  priority %u spread by %.*s pack by %.*s skew %llu node %llu headroom %.*s",
        mf_rules_priority(r), MF_STR_ARG(r->spread_by), MF_STR_ARG(r->pack_by), LLU(r->max_skew),
        LLU(r->node_max), MF_STR_ARG(r->headroom));
    say_labels(buf, "prefer", &r->prefer);
    say_labels(buf, "forbid", &r->forbid);
    for (uint32_t i = 0; i < r->apart.n; i++)
        say(buf, " apart from %.*s by %.*s", MF_STR_ARG(r->apart.items[i].group), MF_STR_ARG(r->apart_by));
    for (uint32_t i = 0; i < r->with.n; i++)
        say(buf, " with %.*s by %.*s", MF_STR_ARG(r->with.items[i].group), MF_STR_ARG(r->with_by));
    say(buf, "\n");
}

static void say_group(struct mf_buf *buf, const struct mf_group *g)
{
    char id[MF_UUID_TEXT];

    say(buf,
        "group %.*s %s %s desired %u min %u image %.*s offering %.*s %s spread %s fit %s: %u running, %u "
        "pending, %u living, %u ready, spares %u of %u\n",
        MF_STR_ARG(g->name), mf_uuid_text(g->id, id), mf_group_state_word(g->state), g->desired, g->min,
        MF_STR_ARG(g->image->rec.name), MF_STR_ARG(g->offering->rec.name), mf_policy_word(g->policy),
        mf_spread_word(g->spread), mf_fit_word(g->fit), g->running, g->pending, g->living, g->ready,
        g->spares_running, g->spares);
    say_rules(buf, &g->rules);
    for (uint32_t i = 0; i < g->n_slots; i++) {
        const struct mf_slot *slot = g->slots[i];
        say(buf, "  slot %u generation %llu failures %u not before %lld cause %llu\n", i,
            LLU(slot->generation), slot->failures, (long long)slot->not_before_ms, LLU(slot->cause));
        for (const struct mf_instance *inst = slot->newest; inst; inst = inst->older)
            say_instance(buf, inst);
    }
}

static void say_image(struct mf_buf *buf, const struct mf_image *image)
{
    static const char letters[] = "kid";
    const struct mf_digest files[] = {image->rec.kernel_sha256, image->rec.initrd_sha256,
                                      image->rec.disk_sha256};
    char hex[MF_DIGEST_TEXT];

    say(buf, "image %.*s", MF_STR_ARG(image->rec.name));
    for (int i = 0; i < 3; i++) /* where they come from is no concern of a dump's readers */
        if (!mf_digest_is_zero(files[i]))
            say(buf, " %c %.8s", letters[i], mf_digest_text(files[i], hex));
    say(buf, "%s%s", image->local ? " local" : "", image->warm ? " warm" : "");
    if (image->halted)
        say(buf, " halted %u times until %lld: %s", image->halts, (long long)image->halted_until,
            image->halted);
    say(buf, "\n");
}

static void say_request(struct mf_buf *buf, const struct mf_request *r)
{
    say(buf, "request %.*s %.*s seq %llu %.*s\n", MF_STR_ARG(r->key), MF_STR_ARG(r->request_id), LLU(r->seq),
        r->code.len ? (int)r->code.len : 8, r->code.len ? r->code.ptr : "accepted");
}

void mf_describe_fold(const struct mf_broker *b, struct mf_buf *buf)
{
    char cluster[MF_UUID_TEXT], log[MF_UUID_TEXT];

    say(buf, "cluster %s log %s term %llu seq %llu epochs %llu lease %lld\n",
        mf_uuid_text(b->cluster_id, cluster), mf_uuid_text(b->log_id, log), LLU(b->term), LLU(b->seq),
        LLU(b->epoch), (long long)b->lease_max);
    if (b->frozen_by.len)
        say(buf, "frozen by %.*s at %llu: %.*s\n", MF_STR_ARG(b->frozen_by), LLU(b->frozen_seq),
            MF_STR_ARG(b->frozen_reason));
    if (b->headroom.len || b->headroom_degraded)
        say(buf, "headroom %.*s%s\n", MF_STR_ARG(b->headroom), b->headroom_degraded ? " degraded" : "");
    for (size_t i = 0; i < b->images.n; i++)
        say_image(buf, b->images.items[i]);
    for (size_t i = 0; i < b->offerings.n; i++) {
        const struct mf_rec_offering *o = &((const struct mf_offering *)b->offerings.items[i])->rec;
        say(buf, "offering %.*s %llu cpu %llu mem %llu disk class %.*s, caps %llu bytes/s %llu iops%s%s\n",
            MF_STR_ARG(o->name), LLU(o->vcpus), LLU(o->memory_mib), LLU(o->disk_mib), MF_STR_ARG(o->class),
            LLU(o->disk_bytes_s), LLU(o->disk_iops), o->pinned ? " pinned" : "",
            o->hugepages ? " hugepages" : "");
    }
    for (size_t i = 0; i < b->nodes.n; i++)
        say_node(buf, b, b->nodes.items[i]);
    for (size_t i = 0; i < b->groups.n; i++)
        say_group(buf, b->groups.items[i]);
    for (const struct mf_request *r = b->request_first; r; r = r->next)
        say_request(buf, r);
    for (size_t i = 0; i < b->n_monitors; i++)
        say(buf, "monitor %s%s%s\n", b->monitors[i].name, b->monitors[i].told_heard ? " heard" : " lost",
            b->monitors[i].suspended ? " suspended" : "");
}

void mf_broker_describe(const struct mf_broker *b, struct mf_buf *buf)
{
    mf_describe_fold(b, buf);
    say(buf, "committed %llu now %lld deadline %lld, waiting: %zu answers, %zu groups for room%s\n",
        LLU(b->committed), (long long)b->now, (long long)mf_broker_deadline(b), b->behind.n, b->n_needy,
        b->full ? ", store full" : "");
    for (size_t i = 0; i < b->nodes.n; i++) {
        const struct mf_node *n = b->nodes.items[i];
        say(buf, "session %.*s %s, %u orders out, %u unknown domains, %u monitors doubt it%s\n",
            MF_STR_ARG(n->name), mf_node_up(n) ? "open" : "closed", n->in_flight, n->n_strangers, n->doubts.n,
            n->outage.held ? ", held" : "");
    }
    say(buf, "grace until %lld; %zu nodes out, verdicts held of %zu\n", (long long)b->grace_until,
        b->breaker.n_out, b->breaker.n_held);
    for (const struct mf_stream *s = b->streams; s; s = s->next)
        say(buf, "stream %llu of peer %llu at %llu, credit %llu\n", LLU(s->id), LLU(s->peer), LLU(s->cursor),
            LLU(s->credit));
}
