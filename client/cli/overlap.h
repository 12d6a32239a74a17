/* overlap.h - two looks at the end of something that grows: what is new in the second. */
#ifndef MF_CLI_OVERLAP_H
#define MF_CLI_OVERLAP_H

#include "message.h"

/* How many bytes at the beginning of `now` were at the end of `before`: the most that fit. */
uint32_t mf_overlap(struct mf_str before, struct mf_str now);

#endif
