/* seed.h - the NoCloud seed of one instance: an ISO 9660 volume `cidata` with meta-data and user-data, which
 * cloud-init and the tiny guest read (cloud-init docs, "NoCloud"). Made by genisoimage (7 ms); mode 0600,
 * since user-data may hold secrets. */
#ifndef MF_SEED_H
#define MF_SEED_H

#include "message.h"

/* Make DIR/seed.iso from the order; the parts are removed again. 0, or negative errno with a sentence.
 * Blocks; any thread. */
int mf_seed_make(const struct mf_msg_order_create *order, const char *node, const char *dir, char error[512]);

/* Append the meta-data document (YAML, every string quoted). For tests. */
void mf_seed_meta_data(const struct mf_msg_order_create *order, const char *node, struct mf_buf *buf);

#endif
