/* sqlite_write.c - the writer's line: append and compact. Each is one transaction; whatever fails rolls all
 * of it back.
 *
 * Dropping many rows takes long (some 1.5 us each), and all commits would wait for it. So a compaction only
 * notes up to where rows are dropped, which hides them; every append then deletes a few more than it adds. */
#include "sqlite_store.h"
#include "check.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { DROP_AT_LEAST = 32 /* rows deleted by an append, and twice as many as it adds */ };

static int run(struct mf_store *self, enum mf_store_statement which)
{
    sqlite3_stmt *statement = self->statements[which];
    int r = sqlite3_step(statement);

    /* Reset repeats the error of the step; bindings point to the caller's memory and are bound anew each
     * time. */
    sqlite3_reset(statement);
    return r == SQLITE_DONE ? 0 : -1;
}

/* The fault is read before the rollback, which would replace it. */
static int roll_back(struct mf_store *self, const char *what, char error[MF_STORE_ERROR])
{
    int r = mf_sqlite_fault(self->writer, self->path, what, error);

    if (!sqlite3_get_autocommit(self->writer))
        run(self, MF_STORE_ROLLBACK);
    return r;
}

static void bind_bytes(sqlite3_stmt *statement, int column, struct mf_str bytes)
{
    sqlite3_bind_blob(statement, column, bytes.ptr ? bytes.ptr : "", (int)bytes.len, SQLITE_STATIC);
}

static void bind_text(sqlite3_stmt *statement, int column, struct mf_str text)
{
    sqlite3_bind_text(statement, column, text.ptr ? text.ptr : "", (int)text.len, SQLITE_STATIC);
}

static int insert_row(struct mf_store *self, const struct mf_store_row *row)
{
    sqlite3_stmt *statement = self->statements[MF_STORE_ROW];

    MF_CHECK(row->seq <= INT64_MAX && row->cause < row->seq);
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)row->seq);
    sqlite3_bind_int64(statement, 2, (sqlite3_int64)row->cause);
    sqlite3_bind_int64(statement, 3, row->time_ms);
    bind_text(statement, 4, row->type);
    bind_text(statement, 5, row->subject);
    bind_bytes(statement, 6, row->data);
    return run(self, MF_STORE_ROW);
}

static int insert_blob(struct mf_store *self, const struct mf_store_blob *blob)
{
    sqlite3_stmt *statement = self->statements[MF_STORE_BLOB];

    sqlite3_bind_blob(statement, 1, blob->digest.bytes, sizeof(blob->digest.bytes), SQLITE_STATIC);
    bind_bytes(statement, 2, blob->bytes);
    return run(self, MF_STORE_BLOB);
}

/* Returns the lowest row that is left, when the transaction holds. */
static int drop_some(struct mf_store *self, size_t n_added, uint64_t *ret_lowest)
{
    uint64_t until = self->lowest + DROP_AT_LEAST + 2 * n_added - 1;

    *ret_lowest = self->lowest;
    if (!self->lowest || self->lowest > self->keep_above)
        return 0;
    if (until > self->keep_above)
        until = self->keep_above;
    *ret_lowest = until + 1;
    sqlite3_bind_int64(self->statements[MF_STORE_DROP], 1, (sqlite3_int64)until);
    return run(self, MF_STORE_DROP);
}

int mf_sqlite_append(struct mf_store *self, const struct mf_store_row *rows, size_t n_rows,
                     const struct mf_store_blob *blobs, size_t n_blobs, char error[MF_STORE_ERROR])
{
    uint64_t lowest = 0;
    int r;

    MF_MAGIC(self, MF_STORE_MAGIC);
    if (!n_rows && !n_blobs)
        return 0;
    r = run(self, MF_STORE_BEGIN);
    if (!r)
        r = drop_some(self, n_rows, &lowest);
    for (size_t i = 0; !r && i < n_blobs; i++)
        r = insert_blob(self, &blobs[i]);
    for (size_t i = 0; !r && i < n_rows; i++) {
        MF_CHECK(rows[i].seq == self->newest + 1 + i);
        r = insert_row(self, &rows[i]);
    }
    if (r || run(self, MF_STORE_COMMIT))
        return roll_back(self, "rows cannot be appended", error);
    self->newest += n_rows;
    self->lowest = lowest || !n_rows ? lowest : rows[0].seq;
    return 0;
}

static int step_once(sqlite3_stmt *statement)
{
    int r = sqlite3_step(statement);

    sqlite3_reset(statement);
    return r == SQLITE_DONE ? 0 : -1;
}

static int put_records(sqlite3 *db, const struct mf_store_record *records, size_t n)
{
    sqlite3_stmt *statement = NULL;
    int r = sqlite3_prepare_v2(db, "INSERT INTO snapshot(ord, id, data) VALUES(?1, ?2, ?3)", -1, &statement,
                               NULL);

    for (size_t i = 0; !r && i < n; i++) {
        sqlite3_bind_int64(statement, 1, (sqlite3_int64)i + 1);
        sqlite3_bind_text(statement, 2, records[i].id, -1, SQLITE_STATIC);
        bind_bytes(statement, 3, records[i].data);
        r = step_once(statement);
    }
    sqlite3_finalize(statement);
    return r ? -1 : 0;
}

static int by_digest(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct mf_digest));
}

static int drop_blobs(sqlite3 *db, const struct mf_digest *live, size_t n_live)
{
    struct mf_digest *sorted = malloc((n_live + 1) * sizeof(*sorted));
    sqlite3_stmt *walk = NULL, *drop = NULL;
    int r;

    MF_CHECK(sorted);
    if (n_live)
        memcpy(sorted, live, n_live * sizeof(*sorted));
    qsort(sorted, n_live, sizeof(*sorted), by_digest);
    r = sqlite3_prepare_v2(db, "SELECT rowid, digest FROM blobs", -1, &walk, NULL);
    if (!r)
        r = sqlite3_prepare_v2(db, "DELETE FROM blobs WHERE rowid = ?1", -1, &drop, NULL);
    while (!r && (r = sqlite3_step(walk)) == SQLITE_ROW) {
        const void *digest = sqlite3_column_blob(walk, 1);

        r = 0;
        if (sqlite3_column_bytes(walk, 1) == sizeof(*sorted) &&
            bsearch(digest, sorted, n_live, sizeof(*sorted), by_digest))
            continue;
        sqlite3_bind_int64(drop, 1, sqlite3_column_int64(walk, 0));
        r = step_once(drop);
    }
    sqlite3_finalize(drop);
    sqlite3_finalize(walk);
    free(sorted);
    return r == SQLITE_DONE ? 0 : -1;
}

static int run_with_number(sqlite3 *db, const char *sql, uint64_t number)
{
    sqlite3_stmt *statement = NULL;
    int r = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

    if (!r) {
        sqlite3_bind_int64(statement, 1, (sqlite3_int64)number);
        r = step_once(statement);
    }
    sqlite3_finalize(statement);
    return r ? -1 : 0;
}

int mf_sqlite_compact(struct mf_store *self, uint64_t seq, uint64_t keep_above,
                      const struct mf_store_record *records, size_t n_records, const struct mf_digest *live,
                      size_t n_live, char error[MF_STORE_ERROR])
{
    sqlite3 *db = self->writer;

    MF_MAGIC(self, MF_STORE_MAGIC);
    MF_CHECK(seq <= self->newest && keep_above <= seq);
    if (keep_above < self->keep_above)
        keep_above = self->keep_above; /* what was dropped does not come back */
    if (run(self, MF_STORE_BEGIN) || sqlite3_exec(db, "DELETE FROM snapshot", NULL, NULL, NULL) ||
        put_records(db, records, n_records) ||
        run_with_number(db, "UPDATE meta SET value = ?1 WHERE key = 'snapshot_seq'", seq) ||
        run_with_number(db, "UPDATE meta SET value = ?1 WHERE key = 'keep_above'", keep_above) ||
        drop_blobs(db, live, n_live) || run(self, MF_STORE_COMMIT))
        return roll_back(self, "the snapshot cannot be replaced", error);
    self->keep_above = keep_above;
    return 0;
}
