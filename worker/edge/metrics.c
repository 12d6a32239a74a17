/* metrics.c - what a node's agent shows of itself, and of the keeper as that told it: the keeper has no ears
 * for strangers. */
#include "agent.h"
#include "counts.h"
#include "program.h"

/* As the keeper counts it: from its own question. */
static double lease_left(const struct mf_agent *self)
{
    mf_ms left = self->tally.lease_until - mf_now();

    return left > 0 ? (double)left / 1000 : 0;
}

static void show_guests(struct mf_buf *buf, const struct mf_worker_counts *c)
{
    static const double mib = 1 << 20;

    mf_metric_begin(buf, "mayfly_guests", MF_GAUGE, "Guests of this node by state.");
    for (size_t i = 0; i < MF_WORKER_STATES_MAX && c->guests[i].state; i++)
        mf_metric_sample(buf, "mayfly_guests", "state", c->guests[i].state, (double)c->guests[i].n);
    mf_metric_one(buf, "mayfly_foreign_domains", MF_GAUGE, "Domains here that are not Mayfly's.",
                  (double)c->foreign);
    mf_metric_one(buf, "mayfly_capacity_vcpus", MF_GAUGE, "Virtual CPUs that may be scheduled here.",
                  (double)c->capacity.vcpus);
    mf_metric_one(buf, "mayfly_capacity_memory_bytes", MF_GAUGE, "Memory that may be scheduled here.",
                  (double)c->capacity.memory_mib * mib);
    mf_metric_one(buf, "mayfly_capacity_disk_bytes", MF_GAUGE, "Local disk that may be scheduled here.",
                  (double)c->capacity.disk_mib * mib);
}

static void show_operation(struct mf_buf *buf, const char *total, const char *help,
                           const struct mf_agent_operation *operation)
{
    mf_metric_begin(buf, total, MF_COUNTER, help);
    mf_metric_sample(buf, total, "result", "done", (double)operation->done);
    mf_metric_sample(buf, total, "result", "failed", (double)operation->failed);
}

static void show_work(const struct mf_agent *self, struct mf_buf *buf)
{
    show_operation(buf, "mayfly_creates_total", "Guests created, or not.", &self->tally.creates);
    mf_metric_histogram(buf, "mayfly_create_seconds", "How long a create took that succeeded.",
                        &self->tally.creates.took);
    show_operation(buf, "mayfly_destroys_total", "Guests destroyed, or not.", &self->tally.destroys);
    mf_metric_histogram(buf, "mayfly_destroy_seconds", "How long a destroy took that succeeded.",
                        &self->tally.destroys.took);
    mf_metric_begin(buf, "mayfly_guest_deaths_total", MF_COUNTER, "Guests that ended by themselves, by how.");
    for (unsigned how = 1; how < MF_ENUM_COUNT_death; how++)
        mf_metric_sample(buf, "mayfly_guest_deaths_total", "how", mf_death_word(how),
                         (double)self->tally.deaths[how]);
    mf_metric_one(buf, "mayfly_lists_failed_total", MF_COUNTER,
                  "Times that the hypervisor could not be listed.", (double)self->tally.lists_failed);
    mf_metric_one(buf, "mayfly_lists_in_flight", MF_GAUGE, "Lists of the hypervisor that are not back.",
                  (double)self->lists_out);
}

static void show_keeper(const struct mf_agent *self, struct mf_buf *buf)
{
    mf_metric_one(buf, "mayfly_keeper_start_time_seconds", MF_GAUGE,
                  "When this node's keeper began, since 1970.", (double)self->start.started_ms / 1000);
    mf_metric_one(buf, "mayfly_keeper_fences", MF_GAUGE, "1 if the keeper can end any guest here by itself.",
                  (self->start.flags & MF_KEEPER_FENCES) != 0);
    mf_metric_one(buf, "mayfly_lease_seconds", MF_GAUGE,
                  "How long at-most guests may still run here without a new lease; 0 without one.",
                  lease_left(self));
}

void mf_agent_metrics(void *arg, struct mf_buf *buf)
{
    const struct mf_agent *self = arg;
    struct mf_worker_counts counts;

    mf_worker_count(self->worker, &counts);
    mf_metric_one(buf, "mayfly_welcomed", MF_GAUGE, "1 while the broker counts on this program.",
                  mf_worker_welcomed(self->worker));
    show_guests(buf, &counts);
    show_work(self, buf);
    show_keeper(self, buf);
    mf_metric_one(buf, "mayfly_reports_waiting", MF_GAUGE,
                  "Results and deaths that the broker has not acknowledged.", (double)counts.reports);
    mf_metric_one(buf, "mayfly_messages_ignored_total", MF_COUNTER,
                  "Messages of a lower term, of another epoch or out of turn.", (double)counts.ignored);
    mf_metric_histogram(buf, "mayfly_loop_seconds", "How long a turn of the loop took, waiting not counted.",
                        &self->tally.turns);
    mf_metrics_process(buf);
}

bool mf_agent_ready(void *arg, char why_not[512])
{
    const struct mf_agent *self = arg;

    if (self->stopping)
        mf_str_format(why_not, 512, "ending");
    else if (!self->watched)
        mf_str_format(why_not, 512, "the hypervisor has not been listed yet");
    else if (*mf_worker_refusal(self->worker))
        mf_str_format(why_not, 512, "the broker refuses this worker: %s", mf_worker_refusal(self->worker));
    else if (!self->linked)
        mf_str_format(why_not, 512, "not connected to the broker at %s", self->settings.broker);
    else if (!mf_worker_welcomed(self->worker))
        mf_str_format(why_not, 512, "the broker has not welcomed this worker");
    else
        return true;
    return false;
}
