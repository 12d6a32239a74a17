/* counts.h - what the brain can be counted by, for /metrics: by state, by policy, never by name. */
#ifndef MF_BROKER_COUNTS_H
#define MF_BROKER_COUNTS_H

#include "broker.h"

struct mf_broker_counts {
    uint64_t seq, committed, oldest, term;
    size_t instances[MF_ENUM_COUNT_instance_state], nodes[MF_ENUM_COUNT_node_state];
    size_t placed_at_most, placed_at_least; /* instances that have a node */
    size_t schedulable, connected, cordoned, draining, quarantined;
    struct mf_rec_resources capacity, used; /* of nodes that are not failed */
    size_t groups, images, offerings, images_halted, requests, unknown_domains;
    size_t orders_in_flight, streams, replies_waiting;
    size_t watched, watched_failing, words_held; /* guests that monitors look at (watches.h) */
    uint64_t protected, unprotected; /* instances that ask for headroom: those with a backup, those without */
    size_t held, monitors_heard, monitors_suspended, monitors;
    uint64_t drifts;
    bool frozen, full, reigning;
};

/* O(nodes). */
void mf_broker_count(const struct mf_broker *self, struct mf_broker_counts *ret_counts);

#endif
