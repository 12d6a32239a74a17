/* place_stage.h - racks of nodes on a stage, and groups with rules on them. */
#ifndef PLACE_STAGE_H
#define PLACE_STAGE_H

#include "broker_stage.h"

/* Node i is in rack r<i / in_rack>, and has cells if asked. */
void place_open_racks(struct stage *s, int nodes, int in_rack, uint32_t n_cells);
int place_node_of(const struct stage *s, const char *group, uint32_t slot); /* -1: none */

extern char place_told[1100]; /* with the newest that was accepted */
void place_provision(struct stage *s, const char *group, uint64_t count, struct mf_rec_rules rules);
/* As invalid, in words that hold these. */
void place_assert_refused(struct stage *s, struct mf_message message, const char *with);

bool place_says(struct mf_str text, const char *what);
struct mf_rec_group_name place_named(const char *name);
struct mf_str place_why(struct stage *s, const char *group, uint32_t slot); /* it waits */

#endif
