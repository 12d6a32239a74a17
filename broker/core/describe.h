/* describe.h - the state as text. The durable part alone is the same for a broker that lived through its log
 * and one that loaded it. */
#ifndef MF_BROKER_DESCRIBE_H
#define MF_BROKER_DESCRIBE_H

#include "state.h"

void mf_describe_fold(const struct mf_broker *b, struct mf_buf *buf);

#endif
