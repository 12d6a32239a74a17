/* counts.c - one walk over the nodes; the rest is counted already. */
#include "counts.h"
#include "state.h"
#include "headroom.h"
#include "nodes.h"
#include "pooled.h"
#include <string.h>

static void add(struct mf_rec_resources *sum, const struct mf_rec_resources *part)
{
    sum->vcpus += part->vcpus;
    sum->memory_mib += part->memory_mib;
    sum->disk_mib += part->disk_mib;
    sum->hugepages_mib += part->hugepages_mib;
    sum->disk_iops += part->disk_iops;
    sum->disk_bytes_s += part->disk_bytes_s;
    sum->net_bytes_s += part->net_bytes_s;
}

static void count_node(const struct mf_broker *b, const struct mf_node *node, struct mf_broker_counts *counts)
{
    struct mf_rec_resources used = mf_pooled_used(b, node);

    counts->nodes[node->state]++;
    counts->schedulable += mf_node_schedulable(node);
    counts->connected += mf_node_up(node);
    counts->cordoned += node->cordoned;
    counts->draining += node->draining;
    counts->orders_in_flight += node->in_flight;
    counts->placed_at_most += node->n_at_most;
    counts->placed_at_least += node->n_instances - node->n_at_most;
    if (node->state == MF_NODE_STATE_FAILED)
        return;
    add(&counts->capacity, &node->capacity);
    add(&counts->used, &used);
}

static void count_monitors(const struct mf_broker *b, struct mf_broker_counts *counts)
{
    counts->monitors = b->n_monitors;
    for (size_t i = 0; i < b->n_monitors; i++) {
        counts->monitors_heard += b->monitors[i].heard;
        counts->monitors_suspended += b->monitors[i].heard && b->monitors[i].suspended;
    }
}

void mf_broker_count(const struct mf_broker *b, struct mf_broker_counts *ret_counts)
{
    struct mf_broker_counts counts = {.seq = b->seq,
                                      .committed = b->committed,
                                      .oldest = b->oldest,
                                      .term = b->term,
                                      .quarantined = b->quarantined,
                                      .groups = b->groups.n,
                                      .images = b->images.n,
                                      .offerings = b->offerings.n,
                                      .images_halted = b->images_halted,
                                      .requests = b->n_requests,
                                      .unknown_domains = b->n_strangers,
                                      .replies_waiting = b->behind.n + b->at_once.n,
                                      .held = b->breaker.n_held,
                                      .watched = b->watches.n_told,
                                      .watched_failing = b->watches.n_failing,
                                      .words_held = b->watches.n_held,
                                      .drifts = b->drifts,
                                      .frozen = b->frozen_by.len > 0,
                                      .full = b->full,
                                      .reigning = b->reigning};

    memcpy(counts.instances, b->count, sizeof(counts.instances));
    for (size_t i = 0; i < b->nodes.n; i++)
        count_node(b, b->nodes.items[i], &counts);
    for (const struct mf_stream *stream = b->streams; stream; stream = stream->next)
        counts.streams += !stream->ended;
    count_monitors(b, &counts);
    counts.protected = b->backups ? mf_headroom_protected(b->backups) : 0;
    counts.unprotected = b->backups ? mf_headroom_unprotected(b->backups) : 0;
    *ret_counts = counts;
}
