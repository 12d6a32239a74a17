/* room.h - the policy `room`: the place that costs least of the room that typical instances could still get.
 *
 * Typical are instances of 1, 2, 4 ... 1024 vCPUs with 1, 2, 4 or 8 GiB of memory for each. What a node could
 * still give them is its worth: over all those shapes, the vCPUs that as many of them as fit would have. A
 * place costs the worth that is lost by it, as a share of the most that an instance of its size can cost
 * anywhere. To that is added, with the weight `fit`, the share of the node that would be left free: of places
 * that spoil equally little the fuller node is better.
 *
 * It is of the family of FGD (Weng et al., ATC'23), which counts what of the free room the usual mix could
 * not use; the ladder of shapes takes the place of a history of requests, and did as well as one.
 * docs/PLACEMENT.md has the measurements. */
#ifndef MF_ROOM_H
#define MF_ROOM_H

#include "policy.h"

enum { MF_ROOM_FIT, MF_ROOM_EVEN }; /* of mf_place_policy.weights */

/* What a place costs: 0 (nothing) to 1. */
float mf_room_cost(const struct mf_place_policy *self, const struct mf_left *left);

#endif
