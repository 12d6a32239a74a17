/* experiment.h - the experiment of SPANE (arXiv 2504.14946, section V-B) on the placement core.
 *
 * Servers of equal cells. From a window's row on, VMs are placed in the order they came, one at a time: when
 * the next fits nowhere, time moves to the next departures until it does (head-of-line blocking). Before each
 * placement what departs by the VM's arrival is gone. A VM that waited lives its lifetime from when it was
 * placed. Wait = placement - arrival, in whole seconds. A queue is as long as first fit places until the next
 * VM does not fit on the servers as they then stand, plus 40. */
#ifndef EXPERIMENT_H
#define EXPERIMENT_H

#include "anchor.h"
#include "policy.h"
#include "trace.h"

struct setting {
    uint32_t servers, cells, cell_vcpus, cell_memory_mib, split_above_mib;
};
struct judge {               /* who chooses */
    enum anchor_name anchor; /* ANCHOR_NONE: the placement core, by the policy */
    struct mf_place_policy policy;
};
struct outcome {
    size_t length;
    int64_t wait_s;
    uint64_t decisions, choose_ns;
};

/* -ENODATA: the trace ends before the queue does. */
int experiment_length(const struct setting *setting, const struct trace *trace, size_t row,
                      size_t *ret_length, char error[512]);
/* -ERANGE: a VM fits no server, empty as it may be. */
int experiment_run(const struct setting *setting, const struct trace *trace, size_t row, size_t length,
                   const struct judge *judge, uint64_t seed, struct outcome *ret_outcome, char error[512]);

#endif
