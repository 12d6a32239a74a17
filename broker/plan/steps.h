/* steps.h - what may be asked: each changes the rehearsal, or is refused with a sentence and changes nothing.
 */
#ifndef MF_STEPS_H
#define MF_STEPS_H

#include "rehearsal.h"

/* "node-1,node-7": emptied by births elsewhere, as `mayfly drain` does it. */
int mf_step_drain(struct mf_rehearsal *self, const char *nodes, char error[512]);
/* The same, and then they are gone for good, with whatever found no room elsewhere. */
int mf_step_remove(struct mf_rehearsal *self, const char *nodes, char error[512]);
/* "rack=r1": every node with the label fails at once, with its guests. */
int mf_step_lose(struct mf_rehearsal *self, const char *label, char error[512]);
int mf_step_lose_nodes(struct mf_rehearsal *self, const char *nodes, char error[512]);
/* "standard=400": every node of the class has so many vcpus for each of its CPUs, per cent. */
int mf_step_ratio(struct mf_rehearsal *self, const char *ratio, char error[512]);
/* "10:node-1:rack=r9:zone=b": so many nodes like that one, empty, with its labels or with these. */
int mf_step_add(struct mf_rehearsal *self, const char *kind, char error[512]);

#endif
