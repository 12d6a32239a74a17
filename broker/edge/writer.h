/* writer.h - the store thread. The loop hands it rows and blobs; it commits all that queued while the last
 * commit ran in one batch (one fsync), and tells the loop through an eventfd. What is handed over in one push
 * is committed together.
 *
 * A full disk is waited out: the batch is kept and tried again, and the loop is told. Any other failure is
 * told once and is the end: after a failed fsync nobody can say what is on disk. */
#ifndef MF_WRITER_H
#define MF_WRITER_H

#include "exposition.h"
#include "store.h"

struct mf_writer;

struct mf_compaction { /* one allocation's owner: freed by the writer */
    uint64_t seq, keep_above;
    struct mf_store_record *records; /* views into bytes */
    size_t n_records;
    struct mf_digest *live;
    size_t n_live;
    struct mf_arena bytes;
};
void mf_compaction_destroy(struct mf_compaction **self);

struct mf_writer_news {          /* what happened since the last look */
    uint64_t committed;          /* newest row on disk; 0 if none was committed by this writer */
    uint64_t snapshot_seq;       /* of the newest snapshot stored by this writer; 0 if none */
    unsigned snapshots_dropped;  /* so many found no room and were given up; the rows they would have replaced
                                    are all there */
    bool full;                   /* the disk is full now */
    struct mf_histogram commits; /* how long each took, waiting for a full disk with it */
    int failure;                 /* negative errno: the writer has given up */
    char text[256];              /* of failure, or why it is full */
};

/* Commits continue at the store's end. The store's writing line belongs to the thread until stop. */
struct mf_writer *mf_writer_start(const struct mf_store_engine *engine, struct mf_store *store);
int mf_writer_fd(const struct mf_writer *self); /* readable when there is news */
void mf_writer_news(struct mf_writer *self, struct mf_writer_news *ret_news);
/* The rows' strings are borrowed until a commit of their seq is told; the blobs' bytes are malloc'd and
 * become the writer's. */
void mf_writer_push(struct mf_writer *self, const struct mf_store_row *rows, size_t n_rows,
                    const struct mf_store_blob *blobs, size_t n_blobs);
/* After all rows pushed before; never two at a time: the next one only after this one's end was told. */
void mf_writer_compact(struct mf_writer *self, struct mf_compaction *compaction);
/* Commit what is queued (a full disk is tried once more), then end the thread. News may still be read; then
 * destroy. */
void mf_writer_stop(struct mf_writer *self);
void mf_writer_destroy(struct mf_writer **self);

#endif
