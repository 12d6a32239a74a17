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
    const struct mf_metric_row rows[] = {
        {"mayfly_foreign_domains", "Domains here that are not Mayfly's.", (double)c->foreign},
        {"mayfly_capacity_vcpus", "Virtual CPUs that may be scheduled here.", (double)c->capacity.vcpus},
        {"mayfly_capacity_memory_bytes", "Memory that may be scheduled here.",
         (double)c->capacity.memory_mib * mib},
        {"mayfly_capacity_hugepages_bytes", "Memory in huge pages that may be scheduled here.",
         (double)c->capacity.hugepages_mib * mib},
        {"mayfly_capacity_cells", "NUMA cells that are told; 0: there are not two.", (double)c->cells},
        {"mayfly_capacity_disk_bytes", "Local disk that may be scheduled here.",
         (double)c->capacity.disk_mib * mib},
        {0},
    };

    mf_metric_begin(buf, "mayfly_guests", MF_GAUGE, "Guests of this node by state.");
    for (size_t i = 0; i < MF_WORKER_STATES_MAX && c->guests[i].state; i++)
        mf_metric_sample(buf, "mayfly_guests", "state", c->guests[i].state, (double)c->guests[i].n);
    mf_metric_rows(buf, MF_GAUGE, rows);
}

static void show_operation(struct mf_buf *buf, const char *total, const char *help,
                           const struct mf_agent_operation *operation)
{
    const struct mf_metric_word results[] = {
        {"done", (double)operation->done}, {"failed", (double)operation->failed}, {0}};

    mf_metric_words(buf, total, MF_COUNTER, help, "result", results);
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
    mf_metric_one(buf, "mayfly_guests_ready_total", MF_COUNTER, "Guests that said that they are well.",
                  (double)self->tally.ready);
    mf_metric_begin(buf, "mayfly_guests_unwell_total", MF_COUNTER, "Guests held for unwell here, by how.");
    for (unsigned how = 1; how < MF_ENUM_COUNT_ailment; how++)
        mf_metric_sample(buf, "mayfly_guests_unwell_total", "how", mf_ailment_word(how),
                         (double)self->tally.unwell[how]);
    mf_metric_one(buf, "mayfly_lists_failed_total", MF_COUNTER,
                  "Times that the hypervisor could not be listed.", (double)self->tally.lists_failed);
    mf_metric_one(buf, "mayfly_lists_in_flight", MF_GAUGE, "Lists of the hypervisor that are not back.",
                  (double)self->lists_out);
}

static void show_images(const struct mf_agent *self, struct mf_buf *buf)
{
    struct mf_fetch_counts c;
    mf_fetch_count(mf_images_fetch(self->fixed.images), &c);
    const struct mf_metric_word results[] = {
        {"done", (double)c.fetches_done}, {"failed", (double)c.fetches_failed}, {0}};
    const struct mf_metric_row gauges[] = {
        {"mayfly_image_cache_bytes", "What the image cache takes, parts included.", (double)c.cache_bytes},
        {"mayfly_image_fetches_in_flight", "Image files that are fetched now.", (double)c.under_way},
        {0},
    };
    const struct mf_metric_row counters[] = {
        {"mayfly_image_fetched_bytes_total", "Bytes of the image files that were fetched whole.",
         (double)c.fetched_bytes},
        {"mayfly_image_evictions_total", "Image files that made room for others.", (double)c.evicted},
        {"mayfly_image_damaged_total", "Cached image files that were not what they should be.",
         (double)c.damaged},
        {0},
    };

    mf_metric_words(buf, "mayfly_image_fetches_total", MF_COUNTER, "Image files fetched, or not.", "result",
                    results);
    mf_metric_rows(buf, MF_GAUGE, gauges);
    mf_metric_rows(buf, MF_COUNTER, counters);
}

static void show_keeper(const struct mf_agent *self, struct mf_buf *buf)
{
    const struct mf_metric_row rows[] = {
        {"mayfly_keeper_start_time_seconds", "When this node's keeper began, since 1970.",
         (double)self->start.started_ms / 1000},
        {"mayfly_keeper_fences", "1 if the keeper can end any guest here by itself.",
         (self->start.flags & MF_KEEPER_FENCES) != 0},
        {"mayfly_lease_seconds",
         "How long at-most guests may still run here without a new lease; 0 without one.", lease_left(self)},
        {0},
    };

    mf_metric_rows(buf, MF_GAUGE, rows);
}

static void show_shells(const struct mf_agent *self, struct mf_buf *buf)
{
    const struct mf_agent_const *fixed = &self->fixed;
    struct mf_driver_shell there[MF_DRIVER_SHELLS_MAX];
    size_t n = fixed->ops->shells ? fixed->ops->shells(fixed->driver, there, MF_DRIVER_SHELLS_MAX) : 0,
           idle = 0;
    for (size_t i = 0; i < n; i++)
        idle += !there[i].taken;
    mf_metric_one(buf, "mayfly_shells", MF_GAUGE, "Guests made ahead that wait to be taken.", (double)idle);
    mf_metric_one(buf, "mayfly_shells_taken_total", MF_COUNTER, "Births that took one over.",
                  (double)self->shells.taken);
    mf_metric_one(buf, "mayfly_shells_failed_total", MF_COUNTER, "Shells that could not be made.",
                  (double)self->shells.failed);
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
    show_images(self, buf);
    show_keeper(self, buf);
    show_shells(self, buf);
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

    if (*mf_worker_leaving(self->worker))
        mf_str_format(why_not, 512, "%s", mf_worker_leaving(self->worker));
    else if (self->stopping)
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
