/* sqlite_read.c - the readers: loading at start, rows and blobs for the loop beside the writer, copies and
 * checkpoints beside both. */
#include "sqlite_store.h"
#include "check.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

static struct mf_str column(sqlite3_stmt *statement, int i)
{
    const char *ptr = sqlite3_column_blob(statement, i);

    return (struct mf_str){ptr ? ptr : "", (uint32_t)sqlite3_column_bytes(statement, i)};
}

struct mf_store_row mf_sqlite_row(sqlite3_stmt *statement)
{
    return (struct mf_store_row){
        .seq = (uint64_t)sqlite3_column_int64(statement, 0),
        .cause = (uint64_t)sqlite3_column_int64(statement, 1),
        .time_ms = sqlite3_column_int64(statement, 2),
        .type = column(statement, 3),
        .subject = column(statement, 4),
        .data = column(statement, 5),
    };
}

static int load_records(struct mf_store *self, int (*record)(void *arg, struct mf_str id, struct mf_str data),
                        void *arg, char error[MF_STORE_ERROR])
{
    sqlite3_stmt *statement = NULL;
    int step = sqlite3_prepare_v2(self->writer, "SELECT id, data FROM snapshot ORDER BY ord", -1, &statement,
                                  NULL),
        r = 0;

    while (!r && (step == SQLITE_OK || step == SQLITE_ROW) && (step = sqlite3_step(statement)) == SQLITE_ROW)
        r = record(arg, column(statement, 0), column(statement, 1));
    if (!r && step != SQLITE_DONE)
        r = mf_sqlite_fault(self->writer, self->path, "its snapshot cannot be read; restore a backup", error);
    sqlite3_finalize(statement);
    return r;
}

static int load_rows(struct mf_store *self, uint64_t above,
                     int (*row)(void *arg, const struct mf_store_row *row), void *arg,
                     char error[MF_STORE_ERROR])
{
    sqlite3_stmt *statement = NULL;
    uint64_t expected = above + 1;
    int r = 0, step = sqlite3_prepare_v2(
                   self->writer,
                   "SELECT seq, cause, time_ms, type, subject, data FROM events WHERE seq > ?1 ORDER BY seq",
                   -1, &statement, NULL);

    if (step == SQLITE_OK)
        step = sqlite3_bind_int64(statement, 1, (sqlite3_int64)above);
    while (!r && (step == SQLITE_OK || step == SQLITE_ROW) &&
           (step = sqlite3_step(statement)) == SQLITE_ROW) {
        struct mf_store_row found = mf_sqlite_row(statement);

        if (found.seq != expected++) {
            mf_str_format(error, MF_STORE_ERROR,
                          "store %.120s: row %" PRIu64 " is missing (the next is %" PRIu64
                          "): restore a backup",
                          self->path, expected - 1, found.seq);
            r = -EINVAL;
        } else {
            r = row(arg, &found);
        }
    }
    if (!r && step != SQLITE_DONE)
        r = mf_sqlite_fault(self->writer, self->path, "its rows cannot be read; restore a backup", error);
    sqlite3_finalize(statement);
    return r;
}

int mf_sqlite_load(struct mf_store *self, int (*record)(void *arg, struct mf_str id, struct mf_str data),
                   int (*row)(void *arg, const struct mf_store_row *row), void *arg,
                   char error[MF_STORE_ERROR])
{
    int64_t snapshot_seq;
    int r;

    MF_MAGIC(self, MF_STORE_MAGIC);
    r = mf_sqlite_number(self->writer, self->path, "SELECT value FROM meta WHERE key = 'snapshot_seq'",
                         &snapshot_seq, error);
    if (!r)
        r = load_records(self, record, arg, error);
    if (!r)
        r = load_rows(self, (uint64_t)snapshot_seq, row, arg, error);
    return r;
}

int mf_sqlite_range(struct mf_store *self, uint64_t *ret_oldest, uint64_t *ret_newest,
                    char error[MF_STORE_ERROR])
{
    sqlite3_stmt *statement = self->statements[MF_STORE_RANGE];
    uint64_t lowest, newest, snapshot, keep_above;

    if (sqlite3_step(statement) != SQLITE_ROW) {
        int r = mf_sqlite_fault(self->reader, self->path, "its range cannot be read", error);
        sqlite3_reset(statement);
        return r;
    }
    lowest = (uint64_t)sqlite3_column_int64(statement, 0);
    newest = (uint64_t)sqlite3_column_int64(statement, 1);
    snapshot = (uint64_t)sqlite3_column_int64(statement, 2);
    keep_above = (uint64_t)sqlite3_column_int64(statement, 3);
    sqlite3_reset(statement);
    *ret_newest = newest > snapshot ? newest : snapshot;
    if (!lowest) /* no row at all: dropped, or never any */
        *ret_oldest = *ret_newest ? *ret_newest + 1 : 0;
    else
        *ret_oldest = lowest > keep_above ? lowest : keep_above + 1;
    return 0;
}

int mf_sqlite_read(struct mf_store *self, uint64_t from, uint64_t until, size_t max,
                   int (*row)(void *arg, const struct mf_store_row *row), void *arg,
                   char error[MF_STORE_ERROR])
{
    sqlite3_stmt *statement = self->statements[MF_STORE_READ];
    uint64_t oldest, newest;
    int r, step = SQLITE_DONE;

    MF_MAGIC(self, MF_STORE_MAGIC);
    if ((r = mf_sqlite_range(self, &oldest, &newest, error)) < 0)
        return r;
    if (from < oldest) {
        mf_str_format(error, MF_STORE_ERROR, "row %" PRIu64 " is not retained; the oldest is %" PRIu64, from,
                      oldest);
        return -ESTALE;
    }
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)(from < INT64_MAX ? from : INT64_MAX));
    sqlite3_bind_int64(statement, 2, (sqlite3_int64)(until < INT64_MAX ? until : INT64_MAX));
    while (!r && max-- && (step = sqlite3_step(statement)) == SQLITE_ROW) {
        struct mf_store_row found = mf_sqlite_row(statement);

        r = row(arg, &found);
    }
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        r = mf_sqlite_fault(self->reader, self->path, "its rows cannot be read", error);
    sqlite3_reset(statement);
    return r;
}

int mf_sqlite_blob(struct mf_store *self, struct mf_digest digest, struct mf_buf *ret_bytes,
                   char error[MF_STORE_ERROR])
{
    sqlite3_stmt *statement = self->statements[MF_STORE_FIND_BLOB];
    char text[MF_DIGEST_TEXT];
    int r = 0, step;

    MF_MAGIC(self, MF_STORE_MAGIC);
    sqlite3_bind_blob(statement, 1, digest.bytes, sizeof(digest.bytes), SQLITE_STATIC);
    step = sqlite3_step(statement);
    if (step == SQLITE_ROW) {
        struct mf_str bytes = column(statement, 0);

        mf_buf_append(ret_bytes, bytes.ptr, bytes.len);
    } else if (step == SQLITE_DONE) {
        mf_str_format(error, MF_STORE_ERROR, "store %.120s has no blob %s", self->path,
                      mf_digest_text(digest, text));
        r = -ENOENT;
    } else {
        r = mf_sqlite_fault(self->reader, self->path, "a blob cannot be read", error);
    }
    sqlite3_reset(statement);
    return r;
}

static int sync_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), r;

    if (fd < 0)
        return -errno;
    r = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return r;
}

/* VACUUM INTO reads in one transaction: it sees one moment of the log, however long it takes, and holds up no
 * commit. */
int mf_sqlite_backup(struct mf_store *self, const char *path, char error[MF_STORE_ERROR])
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    int fd, r;

    MF_MAGIC(self, MF_STORE_MAGIC);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
              0600); /* made here for its mode; SQLite accepts an empty one */
    if (fd < 0)
        return mf_str_format(error, MF_STORE_ERROR, "backup: cannot make %.150s: %s", path, strerror(errno)),
               -errno;
    close(fd);
    r = mf_sqlite_connect(self->path, SQLITE_OPEN_READONLY, 512, &db, error);
    if (r < 0)
        return r;
    if (sqlite3_prepare_v2(db, "VACUUM INTO ?1", -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_bind_text(statement, 1, path, -1, SQLITE_STATIC) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_DONE)
        r = mf_sqlite_fault(db, path, "the copy cannot be written", error);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    if (!r && (r = sync_file(path)) < 0)
        mf_str_format(error, MF_STORE_ERROR, "backup: cannot sync %.150s: %s", path, strerror(-r));
    return r;
}

int mf_sqlite_tidy(struct mf_store *self, char error[MF_STORE_ERROR])
{
    MF_MAGIC(self, MF_STORE_MAGIC);
    if (sqlite3_wal_checkpoint_v2(self->keeper, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL) == SQLITE_OK)
        return 0;
    return mf_sqlite_fault(self->keeper, self->path, "cannot be checkpointed", error);
}
