/* leases.h - a node's right to keep at-most instances running, and what the end of that right allows.
 *
 * A keeper asks, and is granted lease_ms at once. It counts them from when it asked, the broker from when it
 * heard the ask, so the broker's end is never the earlier one; clocks that drift apart are covered by a
 * margin. A lease belongs to the node, not to an epoch: a node that failed keeps what it was granted. Grants
 * are no rows of the log, so a new reign takes every node to hold the longest lease there ever was. */
#ifndef MF_BROKER_LEASES_H
#define MF_BROKER_LEASES_H

#include "state.h"

void mf_leases_begin(struct mf_broker *b); /* a reign begins: before its first row */
mf_ms mf_lease_renew_ms(const struct mf_broker *b);
void mf_lease_ask(struct mf_broker *b, struct mf_node *node, uint64_t ask_id);
/* From when on no at-most guest of this node can run, if it does not ask again. */
mf_ms mf_lease_over(const struct mf_broker *b, const struct mf_node *node);

/* Why an at-most instance may not be placed yet: an older generation of its slot may run. */
struct mf_lease_wait {
    const struct mf_node *node; /* whose; NULL: of earlier reigns, or forgotten */
    uint64_t generation;        /* of node's that may run */
    mf_ms until;                /* INT64_MAX: no time ends it, only the node's proof */
};
/* True if it has to wait. */
bool mf_lease_waits(const struct mf_broker *b, const struct mf_instance *inst,
                    struct mf_lease_wait *ret_wait);
struct mf_str mf_lease_reason(const struct mf_broker *b, const struct mf_lease_wait *wait, char text[256]);
void mf_lease_await(struct mf_broker *b, const struct mf_lease_wait *wait); /* look again when it is over */
/* It is about to be ordered: what was lost of its slot is not reinstated any more. */
void mf_lease_bury(struct mf_broker *b, struct mf_instance *inst);

void mf_lease_node_down(struct mf_broker *b, const struct mf_node *node);
/* Before a node is forgotten and all on it counts as gone: its leases last all the same. */
void mf_lease_node_forgotten(struct mf_broker *b, const struct mf_node *node);

#endif
