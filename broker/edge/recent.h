/* recent.h - the newest rows of the log in memory: owner of every row between its making and its commit (the
 * store thread borrows it), and afterwards the quick source of live streams. Committed rows leave it when it
 * holds too much. */
#ifndef MF_RECENT_H
#define MF_RECENT_H

#include "store.h"

enum {
    MF_RECENT_ROWS = 8192,
    MF_RECENT_BYTES = 4 << 20
}; /* kept of what is committed; what is not is kept in any case */

struct mf_recent;

struct mf_recent *mf_recent_new(uint64_t newest); /* rows will follow this one */
void mf_recent_destroy(struct mf_recent **self);
/* Copies the row; its seq follows the last one. The pointer lives until the row is committed at least. */
const struct mf_store_row *mf_recent_add(struct mf_recent *self, const struct mf_store_row *row);
void mf_recent_committed(struct mf_recent *self, uint64_t seq);
const struct mf_store_row *mf_recent_find(const struct mf_recent *self, uint64_t seq); /* NULL if not here */

#endif
