/* census.h - what there is at one moment of a rehearsal, as JSON, so that two moments can be laid side by
 * side. */
#ifndef MF_CENSUS_H
#define MF_CENSUS_H

#include "rehearsal.h"
#include <jansson.h>

/* {"totals": {...}, "nodes": {NAME: {...}}, "groups": {NAME: {...}}, "capacity": {OFFERING: {...}}} */
json_t *mf_census(struct mf_rehearsal *rehearsal);

#endif
