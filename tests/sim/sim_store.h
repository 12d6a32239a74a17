/* sim_store.h - the broker's disk in a simulated world: rows become durable in groups after a delay, a crash
 * loses what was not committed, a snapshot replaces old rows. Every durable row is kept beside for the
 * checkers, also those the store has dropped. */
#ifndef MF_SIM_STORE_H
#define MF_SIM_STORE_H

#include "broker.h"
#include "world.h"

struct mf_sim_row {
    uint64_t seq, cause;
    mf_ms time_ms;
    enum mf_kind kind;
    struct mf_str subject, data; /* owned, one allocation with the row */
};

/* The fold of a log: what mf_broker_snapshot hands out. */
struct mf_sim_fold {
    struct {
        const char *id;
        char *data;
        size_t len;
    } * records;
    size_t n, cap;
    uint64_t seq;
};
void mf_sim_fold_take(struct mf_sim_fold *self, const struct mf_broker *core);
void mf_sim_fold_clear(struct mf_sim_fold *self);
/* Equal whatever the order of records; else the first difference as text. */
bool mf_sim_fold_equal(const struct mf_sim_fold *a, const struct mf_sim_fold *b, char *ret_text, size_t size);

struct mf_sim_store;
struct mf_sim_store *mf_sim_store_new(struct mf_sim_world *world);
void mf_sim_store_destroy(struct mf_sim_store **self);

void mf_sim_store_append(struct mf_sim_store *self, const struct mf_broker_row *row);
void mf_sim_store_blob_put(struct mf_sim_store *self, struct mf_digest digest, struct mf_str bytes);
struct mf_str mf_sim_store_blob(const struct mf_sim_store *self,
                                struct mf_digest digest); /* ptr NULL if unknown */

size_t mf_sim_store_waiting(const struct mf_sim_store *self); /* rows not yet durable */
size_t mf_sim_store_begin(struct mf_sim_store *self); /* a commit of all that waits begins; how many rows */
uint64_t mf_sim_store_finish(struct mf_sim_store *self); /* it is on disk; the newest durable seq */
bool mf_sim_store_committing(const struct mf_sim_store *self);
void mf_sim_store_fill(struct mf_sim_store *self, bool full); /* the disk has no room: commits wait */
bool mf_sim_store_is_full(const struct mf_sim_store *self);
/* Since when it is not full: what the broker decided before may have waited until then to be said. */
mf_ms mf_sim_store_roomy_since(const struct mf_sim_store *self);
void mf_sim_store_crash(
    struct mf_sim_store *self); /* a commit under way is kept or lost as a whole; the rest is lost */

void mf_sim_store_snapshot(struct mf_sim_store *self, struct mf_sim_fold *fold); /* takes the records over */
uint64_t mf_sim_store_oldest(const struct mf_sim_store *self);
uint64_t mf_sim_store_newest(const struct mf_sim_store *self);
const struct mf_sim_row *mf_sim_store_row(const struct mf_sim_store *self,
                                          uint64_t seq); /* durable, retained or not; NULL if none */
/* Feed snapshot and rows to a new core; with `whole_log`, every row since the first instead. */
int mf_sim_store_load(const struct mf_sim_store *self, struct mf_broker *core, bool whole_log,
                      char text[256]);

/* Does the row pass a stream's filter: type prefix; subject itself or what is below it. */
bool mf_sim_row_passes(const struct mf_sim_row *row, const char *type, const char *subject);

#endif
