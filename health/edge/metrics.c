/* metrics.c - what a monitor shows of itself. */
#include "monitor_private.h"

static void show_nodes(struct mf_buf *buf, const struct mf_health_census *c)
{
    mf_metric_one(buf, "mayfly_nodes_known", MF_GAUGE, "Nodes that the broker told of.", (double)c->known);
    mf_metric_one(buf, "mayfly_nodes_heard", MF_GAUGE, "Nodes whose pulses are heard now.", (double)c->heard);
    mf_metric_begin(buf, "mayfly_ears", MF_GAUGE, "Nodes by what this monitor thinks of them.");
    for (size_t i = 0; i < MF_HEALTH_STATES_MAX && c->ears[i].state; i++)
        mf_metric_sample(buf, "mayfly_ears", "state", c->ears[i].state, (double)c->ears[i].n);
    mf_metric_begin(buf, "mayfly_verdicts_total", MF_COUNTER, "Verdicts concluded.");
    for (unsigned i = 1; i < MF_ENUM_COUNT_verdict; i++)
        mf_metric_sample(buf, "mayfly_verdicts_total", "verdict", mf_verdict_word(i),
                         (double)c->counts.verdicts[i]);
}

static void show_datagrams(const struct mf_monitor *self, struct mf_buf *buf,
                           const struct mf_health_census *c)
{
    const struct mf_health_counts *n = &c->counts;
    const struct mf_metric_word fates[] = {{"malformed", (double)n->malformed},
                                           {"unknown", (double)n->unknown},
                                           {"stale", (double)n->stale},
                                           {"replayed", (double)n->replayed},
                                           {"forged", (double)n->forged},
                                           {"unasked", (double)n->unasked},
                                           {0}};
    const struct mf_metric_row rows[] = {
        {"mayfly_pulses_total", "Pulses heard and believed.", (double)n->heard},
        {"mayfly_datagrams_dropped_total", "Datagrams that the kernel dropped before they were read.",
         (double)mf_pulse_socket_dropped(self->pulses)},
        {"mayfly_datagrams_unsent_total", "Probes that the kernel would not send.",
         (double)mf_pulse_socket_unsent(self->pulses)},
        {"mayfly_probes_total", "Probes sent, directly and through peers.", (double)c->probes_sent},
        {"mayfly_probes_answered_total", "Echoes that came back.", (double)c->probes_answered},
        {"mayfly_probes_put_off_total", "Rounds of probes put off, for there were too many.",
         (double)c->probes_put_off},
        {0},
    };

    mf_metric_words(buf, "mayfly_datagrams_refused_total", MF_COUNTER,
                    "Datagrams that were not believed, by why.", "reason", fates);
    mf_metric_rows(buf, MF_COUNTER, rows);
}

static void show_guests(struct mf_buf *buf, const struct mf_health_census *c)
{
    const struct mf_metric_word ends[] = {{"passed", (double)c->looks_passed},
                                          {"failed", (double)c->looks_failed},
                                          {"void", (double)c->looks_void},
                                          {0}};
    const struct mf_metric_word reasons[] = {
        {"network", (double)c->guests_outside}, {"too-many", (double)c->guests_beyond}, {0}};
    const struct mf_metric_row rows[] = {
        {"mayfly_checked_guests", "Guests that this monitor looks at.", (double)c->guests},
        {"mayfly_checked_guests_failing", "Of them, those whose checks failed as often as their groups say.",
         (double)c->guests_failing},
        {"mayfly_looks_under_way", "Looks at guests that have no end yet.", (double)c->looks_out},
        {0},
    };

    mf_metric_rows(buf, MF_GAUGE, rows);
    mf_metric_words(buf, "mayfly_looks_total", MF_COUNTER, "Looks at guests, by how they ended.", "end",
                    ends);
    mf_metric_words(buf, "mayfly_guests_not_checked_total", MF_COUNTER,
                    "Guests that the broker told of and that are not looked at, by why.", "reason", reasons);
}

void mf_monitor_metrics(void *arg, struct mf_buf *buf)
{
    const struct mf_monitor *self = arg;
    struct mf_health_census census;

    mf_health_count(self->core, &census);
    mf_metric_one(buf, "mayfly_welcomed", MF_GAUGE, "1 while the broker counts on this program.",
                  census.welcomed);
    mf_metric_one(buf, "mayfly_suspended", MF_GAUGE, "1 while this monitor doubts its own hearing.",
                  census.suspended);
    show_nodes(buf, &census);
    show_datagrams(self, buf, &census);
    show_guests(buf, &census);
    mf_metric_one(buf, "mayfly_late_seconds_total", MF_COUNTER,
                  "Time in which this monitor could not listen.", (double)census.pardoned_ms / 1000);
    mf_metric_histogram(buf, "mayfly_loop_seconds", "How long a turn of the loop took, waiting not counted.",
                        &self->turns);
    mf_metrics_process(buf);
}

bool mf_monitor_ready(void *arg, char why_not[512])
{
    const struct mf_monitor *self = arg;
    struct mf_health_census census;

    mf_health_count(self->core, &census);
    if (!census.linked)
        mf_str_format(why_not, 512, "not connected to the broker at %s", self->broker);
    else if (!census.welcomed)
        mf_str_format(why_not, 512, "the broker has not welcomed this monitor");
    else if (census.suspended)
        mf_str_format(why_not, 512, "suspended: %s", census.reason);
    return census.welcomed && !census.suspended;
}
