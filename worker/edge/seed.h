/* seed.h - the NoCloud seed of one instance: an ISO 9660 volume `cidata` with meta-data, user-data,
 * vendor-data and network-config, which cloud-init and the tiny guest read (cloud-init docs, "NoCloud").
 * docs/USER-DATA.md says what they hold. Made in memory; the one file that holds it has mode 0600, since
 * user-data may hold secrets, and goes with the instance. */
#ifndef MF_SEED_H
#define MF_SEED_H

#include "message.h"

enum { MF_SEED_BYTES = 768 << 10 }; /* room for the largest seed: what a prepared one is padded to */

struct mf_seed {
    const struct mf_msg_order_create *order; /* its user-data with its bytes */
    const char *node;
    const char *mac;           /* of the network interface that is to ask for an address */
    struct mf_str vendor_data; /* the operator's, or empty */
};

/* Make DIR/seed.iso. 0, or negative errno with a sentence: -EBADMSG if the user-data is not what it says it
 * is. No sentence holds any of it. Blocks; any thread. */
int mf_seed_make(const struct mf_seed *seed, const char *dir, char error[512]);

/* The same into an open file, from its beginning; it has `size` bytes then (-EFBIG if those are too few). */
int mf_seed_write(const struct mf_seed *seed, int fd, size_t size, char error[512]);

/* The operator's file: read and checked as user-data is; templates are for groups alone. Into buf. */
int mf_seed_vendor_data(const char *path, struct mf_buf *buf, char error[512]);

/* Append the meta-data document (YAML, every string quoted), and the network's. For tests. */
void mf_seed_meta_data(const struct mf_seed *seed, struct mf_buf *buf);
void mf_seed_network_config(const struct mf_seed *seed, struct mf_buf *buf);

#endif
