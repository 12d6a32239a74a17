/* wellbeing.c - see wellbeing.h. Running is the hypervisor's word, ready is the guest's own. The time between
 * them is reckoned here, not on the node: a worker that starts anew has forgotten when its guests began. */
#include "wellbeing.h"
#include "blame.h"
#include "heal.h"
#include "journal.h"
#include "nodes.h"
#include "orders.h"
#include "spares.h"

enum {
    AWAY_MS = 1000,
    BOOT_MS = 300000,
    PING_FALL = 3,
    EVERY_MS = 5000,
    EVERY_MIN_MS = 200,
    TIMEOUT_MS = 2000,
    TIMEOUT_MAX_MS = 10000,
    FALL = 3
};

struct mf_rec_guest_health mf_health_whole(struct mf_rec_guest_health health)
{
    if (!health.ready)
        health.ready = MF_READINESS_NONE;
    if (health.ready != MF_READINESS_NONE && !health.boot_ms)
        health.boot_ms = BOOT_MS;
    if (health.ping_ms && !health.ping_fall)
        health.ping_fall = PING_FALL;
    for (uint32_t i = 0; i < health.checks.n; i++) {
        struct mf_rec_check *check = &health.checks.items[i];
        check->every_ms = check->every_ms ? check->every_ms : EVERY_MS;
        check->timeout_ms = check->timeout_ms ? check->timeout_ms : TIMEOUT_MS;
        check->fall = check->fall ? check->fall : FALL;
        if (check->kind == MF_CHECK_KIND_HTTP && !check->path.len)
            check->path = mf_str("/");
    }
    return health;
}

static const char *check_bad(const struct mf_rec_check *check)
{
    if (check->every_ms < EVERY_MIN_MS)
        return "a check's every_ms is at least 200";
    if (check->timeout_ms > TIMEOUT_MAX_MS)
        return "a check's timeout_ms is at most 10000";
    if (check->kind == MF_CHECK_KIND_TCP && check->path.len)
        return "a tcp check has no path; make it an http check";
    if (check->path.len && check->path.ptr[0] != '/')
        return "a check's path begins with /";
    for (uint32_t i = 0; i < check->path.len; i++) /* it becomes a line of a request */
        if (check->path.ptr[i] <= ' ' || check->path.ptr[i] == 0x7f)
            return "a check's path has a space or a control character; write it percent-encoded";
    return NULL;
}

bool mf_health_bad(const struct mf_rec_guest_health *health, char text[200])
{
    const char *bad = NULL;

    if (health->ready == MF_READINESS_NONE && health->boot_ms)
        bad = "boot_ms without ready; say how a guest tells that it is ready";
    for (uint32_t i = 0; i < health->checks.n && !bad; i++)
        bad = check_bad(&health->checks.items[i]);
    if (bad)
        mf_str_format(text, 200, "%s", bad);
    return bad;
}

void mf_well_born(struct mf_broker *b, struct mf_instance *inst)
{
    mf_blame_born(b, inst);
    mf_spare_offer(b, inst);
}

void mf_well_ready(struct mf_broker *b, struct mf_instance *inst)
{
    uint64_t cause;

    if (!mf_instance_runs(inst) || inst->ready_ms || !mf_group_waits_ready(mf_group_of(inst)))
        return;
    cause = mf_row_ready(b, inst);
    if (inst->state != MF_INSTANCE_STATE_RUNNING)
        return;
    mf_heal_end_older(b, inst, cause);
    mf_well_born(b, inst);
}

/* Not ready in time is a birth that failed, which the image or the user-data may be to blame for; an ailment
 * soon after the start is what a quick death is. */
void mf_well_ailing(struct mf_broker *b, struct mf_instance *inst, const struct mf_ailing *ailing)
{
    bool boot = ailing->how == MF_AILMENT_BOOT;
    bool quick = boot || b->wall_ms - inst->running_ms < MF_QUICK_DEATH_MS;
    uint32_t failures = inst->slot->failures + 1;
    struct mf_birth birth;
    mf_ms retry = 0;
    uint64_t cause;

    if (!mf_instance_runs(inst))
        return;
    birth = mf_blame_birth(inst);
    if (quick && inst->current && !inst->node->quarantined_until && (boot || failures > 1))
        retry = mf_backoff(b, boot ? failures : failures - 1);
    cause = mf_row_unwell(b, inst, ailing, (uint64_t)retry);
    inst->evidence = !ailing->console.len;
    if (mf_node_up(inst->node))
        mf_heal_destroy(b, inst, cause, "it is unwell", 0);
    if (quick)
        mf_blame_failed(b, &birth, cause, !boot);
}

void mf_well_await(struct mf_broker *b, struct mf_instance *inst)
{
    if (inst->state == MF_INSTANCE_STATE_RUNNING && !mf_instance_well(inst))
        mf_alarm_set(b, &inst->boot, MF_ALARM_BOOT, inst, b->now + (mf_ms)mf_group_of(inst)->health.boot_ms);
}

/* While its node is away its word may be on the way. */
void mf_well_late(struct mf_broker *b, struct mf_instance *inst)
{
    uint64_t limit = mf_group_of(inst)->health.boot_ms;
    char text[128];

    if (!mf_instance_runs(inst) || inst->ready_ms)
        return;
    if (!mf_node_up(inst->node)) {
        mf_alarm_set(b, &inst->boot, MF_ALARM_BOOT, inst, b->now + AWAY_MS);
        return;
    }
    mf_well_ailing(b, inst,
                   &(struct mf_ailing){.how = MF_AILMENT_BOOT,
                                       .text = mf_str_format(text, sizeof(text),
                                                             "it was not ready %llu ms after it ran; its "
                                                             "image or its user-data does not bring it there",
                                                             (unsigned long long)limit)});
}
