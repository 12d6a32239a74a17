/* backup.c - one copy at a time for each reader. */
#include "backup.h"
#include "check.h"
#include "map.h"
#include "reply.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BACKUP_MAGIC = 0x4241434b, REQUEST_ID_MAX = 64 };

struct copy {
    struct mf_chore chore; /* first: the thread hands it back */
    unsigned magic;
    struct mf_backups *owner;
    uint64_t peer;
    bool making;    /* the chores thread is at it, or will be */
    bool waiting;   /* for the store's first row */
    bool forgotten; /* its reader left meanwhile */
    int fd;
    uint64_t size;
    char request_id[REQUEST_ID_MAX + 1];
    int result;
    char text[256], path[4096];
};

struct mf_backups {
    const struct mf_store_engine *engine;
    struct mf_store *store;
    const char *state_dir;
    struct mf_chores *chores;
    struct mf_peers *peers;
    struct mf_map *copies; /* by peer */
    struct mf_map *all;    /* every copy, the forgotten ones that are still being made included */
    bool durable;          /* the store holds a row */
    char *piece;
};

/* What a killed broker left half made. */
static void sweep(const char *state_dir)
{
    DIR *dir = opendir(state_dir);
    struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        size_t len = strlen(entry->d_name);

        if (!strncmp(entry->d_name, "backup-", 7) && len > 11 && !strcmp(entry->d_name + len - 4, ".tmp"))
            unlinkat(dirfd(dir), entry->d_name, 0);
    }
    if (dir)
        closedir(dir);
}

struct mf_backups *mf_backups_new(const struct mf_store_engine *engine, struct mf_store *store,
                                  const char *state_dir, struct mf_chores *chores, struct mf_peers *peers)
{
    struct mf_backups *self = calloc(1, sizeof(*self));

    MF_CHECK(self);
    self->engine = engine;
    self->store = store;
    self->state_dir = state_dir;
    self->chores = chores;
    self->peers = peers;
    self->copies = mf_map_new();
    self->all = mf_map_new();
    sweep(state_dir);
    return self;
}

static void destroy_copy(struct mf_backups *self, struct copy *copy)
{
    mf_map_del(self->all, &copy, sizeof(copy));
    if (copy->fd >= 0)
        close(copy->fd);
    free(copy);
}

void mf_backups_destroy(struct mf_backups **self)
{
    struct copy *copy;
    size_t cursor = 0;

    if (!*self)
        return;
    while (mf_map_next((*self)->all, &cursor, (void **)&copy))
        destroy_copy(*self, copy);
    sweep((*self)->state_dir);
    mf_map_destroy(&(*self)->copies);
    mf_map_destroy(&(*self)->all);
    free((*self)->piece);
    free(*self);
    *self = NULL;
}

static void forget(struct mf_backups *self, struct copy *copy)
{
    mf_map_del_u64(self->copies, copy->peer);
    copy->forgotten = true;
    if (!copy->making)
        destroy_copy(self, copy);
}

void mf_backups_forget(struct mf_backups *self, uint64_t peer)
{
    struct copy *copy = mf_map_get_u64(self->copies, peer);

    if (copy)
        forget(self, copy);
}

static int refuse(struct mf_backups *self, uint64_t peer, struct mf_str request_id, enum mf_errcode code,
                  const char *text)
{
    struct mf_message message = mf_reply_error(request_id, code, mf_str(text));

    return mf_peers_send(self->peers, peer, &message);
}

static int send_piece(struct mf_backups *self, struct copy *copy, struct mf_str request_id, uint64_t offset)
{
    struct mf_message message = {.kind = MF_MSG_BACKUP_REPLY};
    ssize_t n;
    int r;

    if (!self->piece)
        self->piece = malloc(MF_BACKUP_PIECE);
    MF_CHECK(self->piece);
    n = pread(copy->fd, self->piece, MF_BACKUP_PIECE, (off_t)offset);
    if (n < 0 || (n == 0 && offset < copy->size))
        return refuse(self, copy->peer, request_id, MF_E_INTERNAL,
                      "the copy cannot be read; begin again with offset 0");
    message.backup_reply = (struct mf_msg_backup_reply){
        .request_id = request_id, .offset = offset, .size = copy->size, .bytes = {self->piece, (uint32_t)n}};
    r = mf_peers_send(self->peers, copy->peer, &message);
    if (!r && offset + (uint64_t)n == copy->size)
        forget(self, copy);
    return r;
}

static void make_copy(struct mf_chore *chore)
{
    struct copy *copy = (struct copy *)chore;
    struct stat st;

    MF_MAGIC(copy, BACKUP_MAGIC);
    copy->result = copy->owner->engine->backup(copy->owner->store, copy->path, copy->text);
    if (!copy->result) {
        copy->fd = open(copy->path, O_RDONLY | O_CLOEXEC);
        if (copy->fd < 0 || fstat(copy->fd, &st) < 0)
            copy->result = -errno,
            mf_str_format(copy->text, sizeof(copy->text), "the copy cannot be read: %s", strerror(errno));
        else
            copy->size = (uint64_t)st.st_size;
    }
    unlink(copy->path);
}

static void copy_made(struct mf_chore *chore, void *arg)
{
    struct copy *copy = (struct copy *)chore;
    struct mf_backups *self = copy->owner;
    int r;

    MF_MAGIC(copy, BACKUP_MAGIC);
    copy->making = false;
    if (copy->forgotten) {
        destroy_copy(self, copy);
        return;
    }
    if (copy->result < 0) {
        r = refuse(self, copy->peer, mf_str(copy->request_id),
                   copy->result == -ENOSPC ? MF_E_STORE_FULL : MF_E_INTERNAL, copy->text);
        forget(self, copy);
    } else {
        r = send_piece(self, copy, mf_str(copy->request_id), 0);
    }
    (void)r; /* a reader that is gone is found among the gone; one whose queue is full asks again */
}

static int begin(struct mf_backups *self, uint64_t peer, const struct mf_msg_backup *ask)
{
    struct copy *copy = mf_map_get_u64(self->copies, peer);

    if (copy && copy->making)
        return refuse(self, peer, ask->request_id, MF_E_UNAVAILABLE,
                      "a copy is being made for this connection already");
    if (copy)
        forget(self, copy);
    copy = calloc(1, sizeof(*copy));
    MF_CHECK(copy);
    copy->chore = (struct mf_chore){.run = make_copy, .done = copy_made};
    copy->magic = BACKUP_MAGIC;
    copy->owner = self;
    copy->peer = peer;
    copy->making = true;
    copy->fd = -1;
    mf_str_format(copy->request_id, sizeof(copy->request_id), "%.*s", (int)ask->request_id.len,
                  ask->request_id.ptr);
    mf_str_format(copy->path, sizeof(copy->path), "%s/backup-%" PRIu64 ".tmp", self->state_dir, peer);
    mf_map_put_u64(self->copies, peer, copy);
    mf_map_put(self->all, &copy, sizeof(copy), copy);
    copy->waiting = !self->durable;
    if (self->durable)
        mf_chores_add(self->chores, &copy->chore);
    return 0;
}

void mf_backups_durable(struct mf_backups *self)
{
    struct copy *copy;
    size_t cursor = 0;

    while (!self->durable && mf_map_next(self->all, &cursor, (void **)&copy))
        if (copy->waiting) {
            copy->waiting = false;
            mf_chores_add(self->chores, &copy->chore);
        }
    self->durable = true;
}

int mf_backups_ask(struct mf_backups *self, uint64_t peer, const struct mf_msg_backup *ask)
{
    struct copy *copy;

    if (ask->offset == 0)
        return begin(self, peer, ask);
    copy = mf_map_get_u64(self->copies, peer);
    if (!copy || copy->making)
        return refuse(self, peer, ask->request_id, MF_E_INVALID,
                      "backup.offset: no copy is being read on this connection; begin with 0");
    if (ask->offset > copy->size)
        return refuse(self, peer, ask->request_id, MF_E_INVALID, "backup.offset: beyond the end of the copy");
    return send_piece(self, copy, ask->request_id, ask->offset);
}
