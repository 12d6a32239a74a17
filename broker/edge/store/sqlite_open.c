/* sqlite_open.c - opening and closing: whose file it is is settled before anything is written to it.
 *
 * The lock comes first (two brokers on one store would each believe that its word is the last), then the
 * question whether the file is a store of ours and of a version that we know, and only then WAL mode, schema
 * and connections. */
#include "sqlite_store.h"
#include "check.h"
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    WRITER_CACHE_KIB = 2048,
    READER_CACHE_KIB = 512,
    KEEPER_CACHE_KIB = 64,
    BUSY_MS = 5000, /* only a person with a shell can hold our locks: give them a moment */
};

static const char schema[] =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE events(seq INTEGER PRIMARY KEY, cause INTEGER NOT NULL, time_ms INTEGER NOT NULL,"
    " type TEXT NOT NULL, subject TEXT NOT NULL, data BLOB NOT NULL);"
    "CREATE TABLE snapshot(ord INTEGER PRIMARY KEY, id TEXT NOT NULL, data BLOB NOT NULL);"
    "CREATE TABLE blobs(digest BLOB PRIMARY KEY, bytes BLOB NOT NULL);"
    "INSERT INTO meta VALUES('schema', 1), ('snapshot_seq', 0), ('keep_above', 0);";

static const char *const statements[MF_STORE_STATEMENTS] = {
    [MF_STORE_BEGIN] = "BEGIN IMMEDIATE",
    [MF_STORE_COMMIT] = "COMMIT",
    [MF_STORE_ROLLBACK] = "ROLLBACK",
    [MF_STORE_ROW] =
        "INSERT INTO events(seq, cause, time_ms, type, subject, data) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
    [MF_STORE_BLOB] = "INSERT OR IGNORE INTO blobs(digest, bytes) VALUES(?1, ?2)",
    [MF_STORE_DROP] = "DELETE FROM events WHERE seq <= ?1",
    [MF_STORE_READ] = "SELECT seq, cause, time_ms, type, subject, data FROM events WHERE seq BETWEEN ?1 AND "
                      "?2 ORDER BY seq",
    [MF_STORE_FIND_BLOB] = "SELECT bytes FROM blobs WHERE digest = ?1",
    [MF_STORE_RANGE] = "SELECT (SELECT min(seq) FROM events), (SELECT max(seq) FROM events),"
                       " (SELECT value FROM meta WHERE key = 'snapshot_seq'), (SELECT value FROM meta WHERE "
                       "key = 'keep_above')",
};

/* SQLite says FULL for ENOSPC alone; a quota or a limit of file size is a failed write to it. Either way
 * nothing of the transaction is in the log, so trying again later is safe; after a failed sync it would not
 * be. */
static bool refused_write(int code)
{
    return code == SQLITE_IOERR_WRITE || code == SQLITE_IOERR_SHMSIZE;
}

int mf_sqlite_fault(sqlite3 *db, const char *path, const char *what, char error[MF_STORE_ERROR])
{
    int code = db ? sqlite3_extended_errcode(db) : SQLITE_NOMEM;

    bool broken = (code & 0xff) == SQLITE_NOTADB || (code & 0xff) == SQLITE_CORRUPT;

    mf_str_format(error, MF_STORE_ERROR, "store %.120s: %s: %s%s", path, what,
                  db ? sqlite3_errmsg(db) : "out of memory",
                  broken && !strstr(what, "restore") ? "; restore a backup" : "");
    switch (code & 0xff) {
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        return -EINVAL;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
        return -EACCES;
    default:
        return refused_write(code) ? -ENOSPC : -EIO;
    }
}

int mf_sqlite_number(sqlite3 *db, const char *path, const char *sql, int64_t *ret_number,
                     char error[MF_STORE_ERROR])
{
    sqlite3_stmt *statement = NULL;
    int r, step;

    r = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    step = r == SQLITE_OK ? sqlite3_step(statement) : r;
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        r = mf_sqlite_fault(db, path, "cannot be read", error);
    else
        *ret_number = step == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0, r = 0;
    sqlite3_finalize(statement);
    return r;
}

int mf_sqlite_connect(const char *path, int flags, int cache_kib, sqlite3 **ret_db,
                      char error[MF_STORE_ERROR])
{
    char pragmas[160];
    sqlite3 *db = NULL;
    int r;

    mf_str_format(pragmas, sizeof(pragmas),
                  "PRAGMA synchronous=FULL; PRAGMA cache_size=-%d; PRAGMA temp_store=MEMORY;", cache_kib);
    if (sqlite3_open_v2(path, &db, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK ||
        sqlite3_busy_timeout(db, BUSY_MS) != SQLITE_OK ||
        sqlite3_exec(db, pragmas, NULL, NULL, NULL) != SQLITE_OK) {
        r = mf_sqlite_fault(db, path, "cannot be opened", error);
        sqlite3_close(db);
        return r;
    }
    *ret_db = db;
    return 0;
}

/* The holder writes its pid into the lock file, so that the refused one can name it. */
static int take_lock(struct mf_store *self, char error[MF_STORE_ERROR])
{
    char name[4096], holder[24] = "";
    struct mf_str text = mf_str_format(name, sizeof(name), "%s.lock", self->path);
    ssize_t n;

    if (text.len + 1 >= sizeof(name))
        return mf_str_format(error, MF_STORE_ERROR, "store: the path is too long"), -ENAMETOOLONG;
    self->lock_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (self->lock_fd < 0)
        return mf_str_format(error, MF_STORE_ERROR, "store: cannot open %.150s: %s", name, strerror(errno)),
               -errno;
    if (flock(self->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        n = pread(self->lock_fd, holder, sizeof(holder) - 1, 0);
        holder[n > 0 ? n : 0] = '\0';
        holder[strspn(holder, "0123456789")] = '\0';
        mf_str_format(
            error, MF_STORE_ERROR,
            "store %.150s is in use by another broker (pid %s): stop that one, or use another --state",
            self->path, holder[0] ? holder : "unknown");
        return -EBUSY;
    }
    text = mf_str_format(holder, sizeof(holder), "%d\n", (int)getpid());
    if (ftruncate(self->lock_fd, 0) < 0 || pwrite(self->lock_fd, text.ptr, text.len, 0) < 0) {
        /* The lock holds all the same; only the refused one's sentence is poorer. */
    }
    return 0;
}

/* A new file is made by us, not by SQLite: its mode is ours, and its name must survive a power loss as its
 * first commit does. */
static int make_file(const char *path, char error[MF_STORE_ERROR])
{
    char copy[4096];
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), dir, r = 0;

    if (fd < 0)
        return mf_str_format(error, MF_STORE_ERROR, "store: cannot open %.150s: %s", path, strerror(errno)),
               -errno;
    close(fd);
    mf_str_format(copy, sizeof(copy), "%s", path);
    dir = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 || fsync(dir) < 0)
        r = -errno, mf_str_format(error, MF_STORE_ERROR, "store: cannot sync the directory of %.150s: %s",
                                  path, strerror(-r));
    if (dir >= 0)
        close(dir);
    return r;
}

/* Ours and known, empty (*ret_new), or refused. Writes nothing. */
static int judge(struct mf_store *self, bool *ret_new, char error[MF_STORE_ERROR])
{
    int64_t application, tables, version;
    int r;

    if ((r = mf_sqlite_number(self->writer, self->path, "PRAGMA application_id", &application, error)) < 0 ||
        (r = mf_sqlite_number(self->writer, self->path, "SELECT count(*) FROM sqlite_master", &tables,
                              error)) < 0) {
        if (r == -EINVAL)
            mf_str_format(error, MF_STORE_ERROR,
                          "store %.120s is not a database, or is damaged: move it away and restore a backup",
                          self->path);
        return r;
    }
    *ret_new = application == 0 && tables == 0;
    if (*ret_new)
        return 0;
    if (application != MF_STORE_APPLICATION) {
        mf_str_format(error, MF_STORE_ERROR,
                      "store %.150s is an SQLite database of another program: use another --state",
                      self->path);
        return -EINVAL;
    }
    r = mf_sqlite_number(self->writer, self->path, "SELECT value FROM meta WHERE key = 'schema'", &version,
                         error);
    if (r < 0)
        return -EINVAL;
    if (version == MF_STORE_SCHEMA)
        return 0;
    mf_str_format(error, MF_STORE_ERROR, "store %.120s has schema %lld, this broker knows up to %d: %s",
                  self->path, (long long)version, MF_STORE_SCHEMA,
                  version > MF_STORE_SCHEMA ? "run the newer version that wrote it" : "restore a backup");
    return version > MF_STORE_SCHEMA ? -EPROTO : -EINVAL;
}

static int set_wal(struct mf_store *self, char error[MF_STORE_ERROR])
{
    sqlite3_stmt *statement = NULL;
    bool wal =
        sqlite3_prepare_v2(self->writer, "PRAGMA journal_mode=WAL", -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW &&
        !strcmp((const char *)sqlite3_column_text(statement, 0), "wal");
    int r = wal ? 0 : mf_sqlite_fault(self->writer, self->path, "cannot use a write-ahead log here", error);

    sqlite3_finalize(statement);
    /* The keeper checkpoints in the background; the writer itself only when that lags far behind. */
    if (wal &&
        sqlite3_exec(self->writer, "PRAGMA wal_autocheckpoint=4000; PRAGMA journal_size_limit=33554432;",
                     NULL, NULL, NULL))
        r = mf_sqlite_fault(self->writer, self->path, "cannot be set up", error);
    return r;
}

static int make_schema(struct mf_store *self, char error[MF_STORE_ERROR])
{
    char sql[1536];

    mf_str_format(sql, sizeof(sql), "BEGIN IMMEDIATE; %s PRAGMA application_id=%d; COMMIT;", schema,
                  MF_STORE_APPLICATION);
    if (sqlite3_exec(self->writer, sql, NULL, NULL, NULL) == SQLITE_OK)
        return 0;
    return mf_sqlite_fault(self->writer, self->path, "cannot be made", error);
}

static int prepare(struct mf_store *self, char error[MF_STORE_ERROR])
{
    for (int i = 0; i < MF_STORE_STATEMENTS; i++) {
        sqlite3 *db = i < MF_STORE_WRITER_STATEMENTS ? self->writer : self->reader;

        if (sqlite3_prepare_v3(db, statements[i], -1, SQLITE_PREPARE_PERSISTENT, &self->statements[i],
                               NULL) != SQLITE_OK) {
            mf_sqlite_fault(db, self->path, "does not have our tables; restore a backup", error);
            return -EINVAL;
        }
    }
    return 0;
}

static int find_bounds(struct mf_store *self, char error[MF_STORE_ERROR])
{
    int64_t lowest, keep_above;
    uint64_t oldest;
    int r;

    if ((r = mf_sqlite_number(self->writer, self->path, "SELECT min(seq) FROM events", &lowest, error)) < 0 ||
        (r = mf_sqlite_number(self->writer, self->path, "SELECT value FROM meta WHERE key = 'keep_above'",
                              &keep_above, error)) < 0)
        return r;
    self->lowest = (uint64_t)lowest;
    self->keep_above = (uint64_t)keep_above;
    return mf_sqlite_range(self, &oldest, &self->newest, error);
}

static int open_all(struct mf_store *self, char error[MF_STORE_ERROR])
{
    bool is_new = false;
    int r;

    if ((r = take_lock(self, error)) < 0 || (r = make_file(self->path, error)) < 0 ||
        (r = mf_sqlite_connect(self->path, SQLITE_OPEN_READWRITE, WRITER_CACHE_KIB, &self->writer, error)) <
            0 ||
        (r = judge(self, &is_new, error)) < 0 || (r = set_wal(self, error)) < 0 ||
        (is_new && (r = make_schema(self, error)) < 0) ||
        (r = mf_sqlite_connect(self->path, SQLITE_OPEN_READWRITE, READER_CACHE_KIB, &self->reader, error)) <
            0 ||
        (r = mf_sqlite_connect(self->path, SQLITE_OPEN_READWRITE, KEEPER_CACHE_KIB, &self->keeper, error)) <
            0 ||
        (r = prepare(self, error)) < 0)
        return r;
    return find_bounds(self, error);
}

int mf_sqlite_open(const char *path, struct mf_store **ret_store, char error[MF_STORE_ERROR])
{
    struct mf_store *self = calloc(1, sizeof(*self));
    int r;

    MF_CHECK(self);
    self->magic = MF_STORE_MAGIC;
    self->lock_fd = -1;
    self->path = strdup(path);
    MF_CHECK(self->path);
    r = open_all(self, error);
    if (r < 0)
        mf_sqlite_close(self);
    else
        *ret_store = self;
    return r;
}

void mf_sqlite_close(struct mf_store *self)
{
    if (!self)
        return;
    MF_MAGIC(self, MF_STORE_MAGIC);
    for (int i = 0; i < MF_STORE_STATEMENTS; i++)
        sqlite3_finalize(self->statements[i]);
    sqlite3_close(self->keeper);
    sqlite3_close(self->reader);
    sqlite3_close(self->writer); /* the last one moves the log into the file: a store at rest is one file */
    if (self->lock_fd >= 0)
        close(self->lock_fd);
    free(self->path);
    self->magic = 0;
    free(self);
}

const struct mf_store_engine mf_store_sqlite = {
    .name = "sqlite",
    .open = mf_sqlite_open,
    .close = mf_sqlite_close,
    .append = mf_sqlite_append,
    .load = mf_sqlite_load,
    .compact = mf_sqlite_compact,
    .read = mf_sqlite_read,
    .blob = mf_sqlite_blob,
    .range = mf_sqlite_range,
    .backup = mf_sqlite_backup,
    .tidy = mf_sqlite_tidy,
};
