/* anchor.h - what the placement core is held against: the heuristics of SPANE (arXiv 2504.14946) as its
 * authors publish them, digit for digit, with servers of their own. */
#ifndef ANCHOR_H
#define ANCHOR_H

#include <stdbool.h>
#include <stdint.h>

enum anchor_name { ANCHOR_NONE, ANCHOR_FIRST_FIT, ANCHOR_BALANCE_FIT };

struct anchor_place {
    uint32_t server;
    uint8_t cells; /* a bit for each */
};
struct anchor; /* servers of two cells */

struct anchor *anchor_new(uint32_t servers, uint32_t cell_vcpus, uint32_t cell_memory_mib,
                          uint32_t split_above_mib);
void anchor_destroy(struct anchor **self);
bool anchor_choose(const struct anchor *self, enum anchor_name name, uint32_t vcpus, uint32_t memory_mib,
                   struct anchor_place *ret_place);
void anchor_count(struct anchor *self, struct anchor_place place, uint32_t vcpus, uint32_t memory_mib,
                  bool more);

#endif
