/* fuzz.h - what a fuzz target gives: the function libFuzzer calls, and valid inputs to begin from. The same
 * target runs under main_mutate.c in the ordinary test run, with any compiler. */
#ifndef MF_FUZZ_H
#define MF_FUZZ_H

#include "message.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
/* The index-th valid input, appended to buf, with its name; false past the last. */
bool mf_fuzz_seed(unsigned index, struct mf_random *random, struct mf_buf *buf, const char **ret_name);

#endif
