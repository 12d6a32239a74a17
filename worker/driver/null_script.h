/* null_script.h - delays and faults of simulated guests, as text: "create=10,destroy=5,boot-fail=0.1". */
#ifndef MF_NULL_SCRIPT_H
#define MF_NULL_SCRIPT_H

#include "ids.h"

struct mf_null_script {
    uint64_t create_ms, destroy_ms, list_ms; /* create=, destroy=, list=: how long each takes */
    uint64_t
        die_after_ms;   /* die-after=: a guest powers itself off so long after it began to run; 0 = never */
    uint64_t ready_ms;  /* ready=: so long after it began to run a guest says that it is well, if it is to */
    uint64_t unwell_ms; /* unwell-after=: so long after that it began to run it is unwell; 0 = never */
    double ready_fail;  /* ready-fail=: share of guests that never say so, 0..1 */
    double create_fail, destroy_fail; /* create-fail=, destroy-fail=: share of calls that fail, 0..1 */
    double boot_fail;                 /* boot-fail=: share of guests that crash as soon as they run, 0..1 */
    uint64_t hang_create,
        hang_destroy; /* hang-create=, hang-destroy=: how many of the next calls are never answered */
    uint32_t address; /* address=: guests have IPv4 addresses, this one and those after it, in the order in
                         which they begin to run; 0: none has any */
    uint64_t seed;    /* seed=: of the chances above; default 1 */
    uint64_t cells;   /* cells=: NUMA cells of the node, all alike; 0: none are told */
    uint64_t hugepages_mib; /* hugepages=: memory of the node in huge pages, MiB */
};

/* NULL and "" are the empty script. 0, or -EINVAL with a sentence. */
int mf_null_script_parse(const char *text, struct mf_null_script *ret_script, char error[512]);

#endif
