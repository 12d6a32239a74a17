/* store.h - where the log lives. An interface, so that another engine can stand behind it: append a batch
 * durably, load a snapshot and the rows above it, read rows for streams, replace the snapshot and drop old
 * rows, keep blobs. One conformance suite runs on every engine. A batch is all or nothing; what was
 * acknowledged survives kill -9 and power loss.
 *
 * Threads: open, load and close come first and last, alone. Between them three threads may be at work, one on
 * each line: append and compact; read, blob and range; backup and tidy. None of the lines waits for another.
 */
#ifndef MF_STORE_H
#define MF_STORE_H

#include "message.h"

struct mf_store;

struct mf_store_row {
    uint64_t seq, cause;
    mf_ms time_ms;
    struct mf_str type, subject, data;
};
struct mf_store_blob {
    struct mf_digest digest; /* BLAKE2b-256 of what was sealed in them */
    struct mf_str bytes;
};

struct mf_store_record {
    const char *id; /* "snap_group" */
    struct mf_str data;
};

struct mf_store_engine { /* the table of an engine */
    const char *name;
    /* Open or make. Refuses with a sentence in error: a newer schema (-EPROTO), another process holding it
     * (-EBUSY), not a store (-EINVAL). */
    int (*open)(const char *path, struct mf_store **ret_store, char error[256]);
    void (*close)(struct mf_store *self);
    /* Append rows (seq rising by one from the last) and blobs in one durable commit. -ENOSPC when the disk is
     * full: nothing was written. */
    int (*append)(struct mf_store *self, const struct mf_store_row *rows, size_t n_rows,
                  const struct mf_store_blob *blobs, size_t n_blobs, char error[256]);
    /* Visit the snapshot's records in order, then every row above it in order. A callback's non-zero return
     * stops and is returned. */
    int (*load)(struct mf_store *self, int (*record)(void *arg, struct mf_str id, struct mf_str data),
                int (*row)(void *arg, const struct mf_store_row *row), void *arg, char error[256]);
    /* Replace the snapshot by these records (which hold all rows up to seq) and drop rows at or below
     * `keep_above`, blobs not in `live`; one commit. What is dropped is gone for every reader at once; an
     * engine may take back its room bit by bit, so that no commit waits for it. */
    int (*compact)(struct mf_store *self, uint64_t seq, uint64_t keep_above,
                   const struct mf_store_record *records, size_t n_records, const struct mf_digest *live,
                   size_t n_live, char error[256]);
    /* Visit rows from..until in order, at most max. -ESTALE if `from` is below the oldest retained. */
    int (*read)(struct mf_store *self, uint64_t from, uint64_t until, size_t max,
                int (*row)(void *arg, const struct mf_store_row *row), void *arg, char error[256]);
    int (*blob)(struct mf_store *self, struct mf_digest digest, struct mf_buf *ret_bytes,
                char error[256]); /* -ENOENT */
    int (*range)(struct mf_store *self, uint64_t *ret_oldest, uint64_t *ret_newest,
                 char error[256]); /* 0, 0 when empty; oldest is newest + 1 when all rows were dropped */
    int (*backup)(struct mf_store *self, const char *path,
                  char error[256]); /* a consistent copy as one file; path must not exist, or be empty */
    /* Housekeeping in the background (a passive checkpoint); worth calling some time after a commit. May be
     * NULL. */
    int (*tidy)(struct mf_store *self, char error[256]);
};
extern const struct mf_store_engine mf_store_sqlite;

#endif
