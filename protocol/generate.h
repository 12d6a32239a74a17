/* generate.h - random valid messages, events and records, made from the table: for tests, fuzz seeds and
 * simulations. What is generated obeys every row, prefers the edges of bounds, and depends on the seed alone.
 */
#ifndef MF_GENERATE_H
#define MF_GENERATE_H

#include "message.h"

/* Fills *ret_what, a struct of this descriptor; strings and lists come from the arena. Encodes to less than
 * MF_MESSAGE_MAX. */
void mf_generate(const struct mf_desc *desc, struct mf_random *random, struct mf_arena *arena,
                 void *ret_what);

#endif
