/* sqlite_store.h - what the files of the SQLite engine share. Nobody outside this folder includes it.
 *
 * One database file in WAL mode with synchronous=FULL: a commit is one fsync of the log file beside it. Three
 * connections, one for each line of threads that store.h allows: `writer`, `reader`, `keeper` (checkpoints).
 * A backup opens its own. */
#ifndef MF_SQLITE_STORE_H
#define MF_SQLITE_STORE_H

#include "store.h"
#include <sqlite3.h>

enum {
    MF_STORE_MAGIC = 0x5354524d,
    MF_STORE_APPLICATION = 0x4d464c59, /* "MFLY" in the file's header: the file is ours */
    MF_STORE_SCHEMA = 1,
    MF_STORE_ERROR = 256
};

enum mf_store_statement {
    MF_STORE_BEGIN,
    MF_STORE_COMMIT,
    MF_STORE_ROLLBACK,
    MF_STORE_ROW,
    MF_STORE_BLOB,
    MF_STORE_DROP,
    MF_STORE_WRITER_STATEMENTS, /* above: of the writer; below: of the reader */
    MF_STORE_READ = MF_STORE_WRITER_STATEMENTS,
    MF_STORE_FIND_BLOB,
    MF_STORE_RANGE,
    MF_STORE_STATEMENTS
};

struct mf_store {
    unsigned magic;
    char *path;
    int lock_fd; /* path.lock, exclusively locked for the life of the process */
    sqlite3 *writer, *reader, *keeper;
    sqlite3_stmt *statements[MF_STORE_STATEMENTS];
    /* of the writer's thread alone */
    uint64_t newest;             /* newest row that the store holds or whose effect its snapshot holds */
    uint64_t lowest, keep_above; /* rows lowest..keep_above are dropped, but still take up room */
};

int mf_sqlite_open(const char *path, struct mf_store **ret_store, char error[MF_STORE_ERROR]);
void mf_sqlite_close(struct mf_store *self);
int mf_sqlite_append(struct mf_store *self, const struct mf_store_row *rows, size_t n_rows,
                     const struct mf_store_blob *blobs, size_t n_blobs, char error[MF_STORE_ERROR]);
int mf_sqlite_compact(struct mf_store *self, uint64_t seq, uint64_t keep_above,
                      const struct mf_store_record *records, size_t n_records, const struct mf_digest *live,
                      size_t n_live, char error[MF_STORE_ERROR]);
int mf_sqlite_load(struct mf_store *self, int (*record)(void *arg, struct mf_str id, struct mf_str data),
                   int (*row)(void *arg, const struct mf_store_row *row), void *arg,
                   char error[MF_STORE_ERROR]);
int mf_sqlite_read(struct mf_store *self, uint64_t from, uint64_t until, size_t max,
                   int (*row)(void *arg, const struct mf_store_row *row), void *arg,
                   char error[MF_STORE_ERROR]);
int mf_sqlite_blob(struct mf_store *self, struct mf_digest digest, struct mf_buf *ret_bytes,
                   char error[MF_STORE_ERROR]);
int mf_sqlite_range(struct mf_store *self, uint64_t *ret_oldest, uint64_t *ret_newest,
                    char error[MF_STORE_ERROR]);
int mf_sqlite_backup(struct mf_store *self, const char *path, char error[MF_STORE_ERROR]);
int mf_sqlite_tidy(struct mf_store *self, char error[MF_STORE_ERROR]);

/* Says in `error` what failed, why and on which file; returns the negative errno that store.h promises for
 * it. */
int mf_sqlite_fault(sqlite3 *db, const char *path, const char *what, char error[MF_STORE_ERROR]);
/* One connection with our pragmas. */
int mf_sqlite_connect(const char *path, int flags, int cache_kib, sqlite3 **ret_db,
                      char error[MF_STORE_ERROR]);
/* The first column of a query's only row; 0 if it has none. */
int mf_sqlite_number(sqlite3 *db, const char *path, const char *sql, int64_t *ret_number,
                     char error[MF_STORE_ERROR]);
/* A row of a SELECT seq, cause, time_ms, type, subject, data; valid until the statement steps. */
struct mf_store_row mf_sqlite_row(sqlite3_stmt *statement);

#endif
