/* metrics.c - what the broker shows of itself: counts of the core, read once per look, and what the edge
 * counted on the way. Labels are words of our own tables. */
#include "counts.h"
#include "loop_private.h"
#include "program.h"
#include <sys/stat.h>

static double file_bytes(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? (double)st.st_size : 0;
}

static double store_bytes(const struct mf_loop *self)
{
    char log[sizeof(self->store_path) + 8];

    mf_str_format(log, sizeof(log), "%s-wal", self->store_path);
    return file_bytes(self->store_path) + file_bytes(log);
}

static void show_instances(struct mf_buf *buf, const struct mf_broker_counts *c)
{
    const struct mf_metric_word placed[] = {
        {"at-least", (double)c->placed_at_least}, {"at-most", (double)c->placed_at_most}, {0}};

    mf_metric_begin(buf, "mayfly_instances", MF_GAUGE, "Instances by state.");
    for (unsigned i = 1; i < MF_ENUM_COUNT_instance_state; i++)
        if (i != MF_INSTANCE_STATE_GONE)
            mf_metric_sample(buf, "mayfly_instances", "state", mf_instance_state_word(i),
                             (double)c->instances[i]);
    mf_metric_words(buf, "mayfly_placed_instances", MF_GAUGE,
                    "Instances that have a node, by their group's policy.", "policy", placed);
}

static void show_nodes(struct mf_buf *buf, const struct mf_broker_counts *c)
{
    const struct mf_metric_row rows[] = {
        {"mayfly_schedulable_nodes", "Nodes that may be given births.", (double)c->schedulable},
        {"mayfly_connected_nodes", "Nodes whose worker has a session.", (double)c->connected},
        {"mayfly_cordoned_nodes", "Nodes that an operator keeps births away from.", (double)c->cordoned},
        {"mayfly_draining_nodes", "Nodes that are being emptied.", (double)c->draining},
        {"mayfly_quarantined_nodes", "Nodes without births because births failed on them.",
         (double)c->quarantined},
        {0},
    };

    mf_metric_begin(buf, "mayfly_nodes", MF_GAUGE, "Known nodes by state.");
    for (unsigned i = 1; i < MF_ENUM_COUNT_node_state; i++)
        mf_metric_sample(buf, "mayfly_nodes", "state", mf_node_state_word(i), (double)c->nodes[i]);
    mf_metric_rows(buf, MF_GAUGE, rows);
}

static void show_use(struct mf_buf *buf, const char *name, const char *help, double capacity, double used)
{
    const struct mf_metric_word words[] = {{"capacity", capacity}, {"used", used}, {0}};

    mf_metric_words(buf, name, MF_GAUGE, help, "kind", words);
}

static void show_room(struct mf_buf *buf, const struct mf_rec_resources *all,
                      const struct mf_rec_resources *used)
{
    static const double mib = 1 << 20;

    show_use(buf, "mayfly_vcpus", "Virtual CPUs of the nodes that are not failed.", (double)all->vcpus,
             (double)used->vcpus);
    show_use(buf, "mayfly_memory_bytes", "Memory for guests of the nodes that are not failed.",
             (double)all->memory_mib * mib, (double)used->memory_mib * mib);
    show_use(buf, "mayfly_disk_bytes", "Local disk for guests of the nodes that are not failed.",
             (double)all->disk_mib * mib, (double)used->disk_mib * mib);
}

static void show_healing(struct mf_buf *buf, const struct mf_broker_counts *c)
{
    const struct mf_metric_row rows[] = {
        {"mayfly_pending_instances", "Instances that wait for room.",
         (double)c->instances[MF_INSTANCE_STATE_PENDING]},
        {"mayfly_watched_guests", "Guests that monitors look at from outside.", (double)c->watched},
        {"mayfly_watched_guests_failing", "Of them, those of which a monitor says that a check fails.",
         (double)c->watched_failing},
        {"mayfly_check_words_held", "Words of monitors about guests that are not believed.",
         (double)c->words_held},
        {"mayfly_headroom_protected", "Instances that could be re-placed if their failure domain were lost.",
         (double)c->protected},
        {"mayfly_headroom_unprotected", "Instances that ask for that and could not.", (double)c->unprotected},
        {"mayfly_verdicts_held", "Nodes whose verdict the breaker holds.", (double)c->held},
        {"mayfly_frozen", "1 while the cluster is frozen.", c->frozen},
        {"mayfly_known_monitors", "Monitors that count for a majority.", (double)c->monitors},
        {"mayfly_monitors_heard", "Monitors that are heard now.", (double)c->monitors_heard},
        {"mayfly_monitors_suspended", "Monitors heard that doubt their own hearing.",
         (double)c->monitors_suspended},
        {"mayfly_images_halted", "Images whose births are held because they failed.",
         (double)c->images_halted},
        {"mayfly_unknown_domains", "Domains on nodes that nobody knows.", (double)c->unknown_domains},
        {"mayfly_orders_in_flight", "Orders sent to nodes and not answered.", (double)c->orders_in_flight},
        {0},
    };

    mf_metric_rows(buf, MF_GAUGE, rows);
    mf_metric_one(buf, "mayfly_drifts_total", MF_COUNTER,
                  "Differences between a node and the broker that were healed.", (double)c->drifts);
}

static void show_catalogue(struct mf_buf *buf, const struct mf_broker_counts *c)
{
    const struct mf_metric_row rows[] = {
        {"mayfly_groups", "Groups, ending ones among them.", (double)c->groups},
        {"mayfly_images", "Images.", (double)c->images},
        {"mayfly_offerings", "Offerings.", (double)c->offerings},
        {"mayfly_requests_remembered", "Requests whose repetition is recognised.", (double)c->requests},
        {0},
    };

    mf_metric_rows(buf, MF_GAUGE, rows);
}

/* Kinds that a key of this role may send. */
static void show_heard(const struct mf_loop *self, struct mf_buf *buf, const char *name, const char *label,
                       enum mf_role role, const char *help)
{
    mf_metric_begin(buf, name, MF_COUNTER, help);
    for (unsigned kind = MF_KIND_NONE + 1; kind < MF_MSG_COUNT; kind++)
        if (mf_may_send(role, kind))
            mf_metric_sample(buf, name, label, mf_kind_desc(kind)->wire, (double)self->tally.heard[kind]);
}

static void show_messages(const struct mf_loop *self, struct mf_buf *buf)
{
    show_heard(self, buf, "mayfly_requests_total", "operation", MF_ROLE_OPERATOR,
               "Requests of clients heard.");
    show_heard(self, buf, "mayfly_worker_messages_total", "kind", MF_ROLE_WORKER,
               "Messages of workers heard.");
    show_heard(self, buf, "mayfly_monitor_messages_total", "kind", MF_ROLE_MONITOR,
               "Messages of monitors heard.");
    mf_metric_begin(buf, "mayfly_errors_total", MF_COUNTER, "Errors sent to peers, by code.");
    for (unsigned code = MF_E_OK + 1; code < MF_E_COUNT; code++)
        mf_metric_sample(buf, "mayfly_errors_total", "code", mf_error_code(code),
                         (double)self->tally.errors[code]);
    mf_metric_one(buf, "mayfly_connections", MF_GAUGE, "Connections of clients, monitors and workers.",
                  (double)mf_peers_count(self->peers));
}

static void show_log(const struct mf_loop *self, struct mf_buf *buf, const struct mf_broker_counts *c)
{
    const struct mf_metric_row rows[] = {
        {"mayfly_event_seq", "Newest row that is durable.", (double)c->committed},
        {"mayfly_event_oldest_seq", "Oldest row that a stream may still begin at.", (double)c->oldest},
        {"mayfly_uncommitted_events", "Rows made and not yet durable.", (double)(c->seq - c->committed)},
        {"mayfly_term", "The present reign.", (double)c->term},
        {"mayfly_streams", "Event streams that are open.", (double)c->streams},
        {"mayfly_replies_waiting", "Messages that wait for their rows to be durable.",
         (double)c->replies_waiting},
        {"mayfly_store_bytes", "Size of the store, its write-ahead log with it.", store_bytes(self)},
        {"mayfly_store_full", "1 while the store takes no more.", c->full},
        {0},
    };

    mf_metric_begin(buf, "mayfly_events_total", MF_COUNTER,
                    "Rows of the event log made since the start, by type.");
    for (unsigned kind = MF_MSG_COUNT + 1; kind < MF_KIND_COUNT; kind++)
        mf_metric_sample(buf, "mayfly_events_total", "type", mf_kind_desc(kind)->wire,
                         (double)self->tally.made[kind]);
    mf_metric_rows(buf, MF_GAUGE, rows);
    mf_metric_histogram(buf, "mayfly_commit_seconds", "How long a group of rows took to become durable.",
                        &self->tally.commits);
}

void mf_loop_metrics(void *arg, struct mf_buf *buf)
{
    const struct mf_loop *self = arg;
    struct mf_broker_counts counts;

    mf_broker_count(self->broker, &counts);
    show_instances(buf, &counts);
    show_nodes(buf, &counts);
    show_room(buf, &counts.capacity, &counts.used);
    show_healing(buf, &counts);
    show_catalogue(buf, &counts);
    show_messages(self, buf);
    show_log(self, buf, &counts);
    mf_metric_histogram(buf, "mayfly_loop_seconds", "How long a turn of the loop took, waiting not counted.",
                        &self->tally.turns);
    mf_metrics_process(buf);
}

bool mf_loop_ready(void *arg, char why_not[512])
{
    const struct mf_loop *self = arg;

    if (self->failure)
        mf_str_format(why_not, 512, "the store has failed: %s", self->failure_text);
    else if (self->full)
        mf_str_format(why_not, 512, "the store takes no more; free disk space");
    return !self->failure && !self->full;
}
