/* sim_trace.h - messages and rows as short text, walked from the message table. */
#ifndef MF_SIM_TRACE_H
#define MF_SIM_TRACE_H

#include "message.h"

/* "name=value ..." of every set field; lists as their length, ids by their last bytes. Cut at size. */
void mf_sim_text_of(const struct mf_desc *desc, const void *what, char *array, size_t size);

#endif
