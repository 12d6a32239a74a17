/* restore.c - the copy is copied, loaded, and given the first rows of a reign: cluster.restored among them.
 * Nothing is heard or sent meanwhile. */
#include "restore.h"
#include "check.h"
#include "loading.h"
#include "program.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIECE = 1 << 20, PATH = 4200 };

static int fail(char error[512], const char *what, const char *path)
{
    int code = errno ? errno : EIO;

    mf_str_format(error, 512, "restore: cannot %s %.300s: %s", what, path, strerror(code));
    return -code;
}

static int copy_bytes(int from, int to)
{
    char *piece = malloc(PIECE);
    ssize_t n;

    MF_CHECK(piece);
    while ((n = read(from, piece, PIECE)) > 0)
        if (write(to, piece, (size_t)n) != n)
            break;
    free(piece);
    return n == 0 && fsync(to) == 0 ? 0 : -1;
}

static int copy_file(const char *from, const char *to, char error[512])
{
    int in = open(from, O_RDONLY | O_CLOEXEC), out, r = 0;

    if (in < 0)
        return fail(error, "read", from);
    out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (out < 0 || copy_bytes(in, out) < 0)
        r = fail(error, "write", to);
    if (out >= 0)
        close(out);
    close(in);
    return r;
}

struct rows {
    struct mf_store_row *items;
    size_t n, cap;
    struct mf_arena bytes;
};

static void add_row(struct rows *rows, const struct mf_broker_row *row)
{
    if (rows->n == rows->cap) {
        rows->cap = rows->cap * 2 + 16;
        rows->items = realloc(rows->items, rows->cap * sizeof(*rows->items));
        MF_CHECK(rows->items);
    }
    rows->items[rows->n++] = (struct mf_store_row){.seq = row->seq,
                                                   .cause = row->cause,
                                                   .time_ms = row->time_ms,
                                                   .type = mf_str(mf_kind_desc(row->kind)->wire),
                                                   .subject = mf_str_dup(&rows->bytes, row->subject),
                                                   .data = mf_str_dup(&rows->bytes, row->data)};
}

/* The reign lasts for as long as it takes to write its first rows. */
static int reign(const struct mf_store_engine *engine, struct mf_store *store, struct mf_broker *broker,
                 char error[512])
{
    struct mf_broker_event start = {.kind = MF_BROKER_START, .wall_ms = mf_wall(), .restored = true};
    struct mf_broker_action action;
    struct rows rows = {0};
    uint64_t newest;
    char text[256] = "";
    int r = engine->range(store, &start.oldest, &newest, text);

    if (!r && !newest)
        r = -EINVAL, mf_str_format(text, sizeof(text), "restore: the copy is empty");
    if (!r) {
        mf_broker_feed(broker, mf_now(), &start);
        while (mf_broker_poll(broker, &action))
            if (action.kind == MF_BROKER_APPEND)
                add_row(&rows, &action.row);
        r = engine->append(store, rows.items, rows.n, NULL, 0, text);
    }
    if (r < 0)
        mf_str_format(error, 512, "%s", text);
    free(rows.items);
    mf_arena_free(&rows.bytes);
    return r;
}

static int begin_history(const struct mf_store_engine *engine, const struct mf_broker_config *core,
                         const char *path, char error[512])
{
    struct mf_broker *broker = mf_broker_new(core);
    struct mf_store *store = NULL;
    char text[256] = "";
    int r = engine->open(path, &store, text);

    if (r < 0)
        mf_str_format(error, 512, "%s", text);
    else if ((r = mf_loading_run(engine, store, broker, error)) == 0)
        r = reign(engine, store, broker, error);
    if (store)
        engine->close(store);
    mf_broker_destroy(&broker);
    return r;
}

static int sync_directory(const char *path, char error[512])
{
    char copy[PATH];
    int fd, r = 0;

    mf_str_format(copy, sizeof(copy), "%s", path);
    fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        r = fail(error, "sync the directory of", path);
    if (fd >= 0)
        close(fd);
    return r;
}

static void remove_with(const char *path, const char *tail)
{
    char name[PATH + 16];

    mf_str_format(name, sizeof(name), "%s%s", path, tail);
    unlink(name);
}

int mf_restore(const struct mf_store_engine *engine, const struct mf_broker_config *core, const char *copy,
               const char *store_path, char error[512])
{
    char path[PATH];
    int r;

    if (access(store_path, F_OK) == 0) {
        mf_str_format(
            error, 512,
            "%.300s exists: a copy is restored into an empty --state only; move what is there away, or "
            "start without --restore to go on from it",
            store_path);
        return -EEXIST;
    }
    mf_str_format(path, sizeof(path), "%s.restoring", store_path);
    remove_with(path, "-wal"); /* of one that was cut off */
    remove_with(path, "-shm");
    r = copy_file(copy, path, error);
    if (!r)
        r = begin_history(engine, core, path, error);
    if (!r && rename(path, store_path) < 0)
        r = fail(error, "rename", path);
    if (r < 0)
        unlink(path);
    remove_with(path, ".lock");
    return r < 0 ? r : sync_directory(store_path, error);
}
