/* The broker's disk. What a crash may do to it: a commit that was under way is there or not, never by half.
 */
#include "sim_store.h"
#include "check.h"
#include "map.h"
#include "model.h"
#include "script.h"
#include "sim_trace.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct blob {
    struct mf_digest digest;
    uint32_t len;
    bool durable, committing;
    char bytes[];
};
struct mf_sim_store {
    struct mf_sim_world *world;
    struct mf_sim_row **rows; /* all durable ones; rows[i] has seq i + 1 */
    size_t n_rows, cap_rows;
    struct mf_sim_row **waiting;
    size_t n_waiting, cap_waiting, committing;
    bool commit_runs, full;
    mf_ms roomy; /* since when the disk has room */
    struct mf_map *blobs;
    struct mf_sim_fold snapshot;
    uint64_t oldest;
};

/* -- folds */

static void fold_put(void *arg, const char *record_id, struct mf_str data)
{
    struct mf_sim_fold *self = arg;
    void *records = self->records;
    mf_sim_grow(&records, self->n, &self->cap, sizeof(*self->records));
    self->records = records;
    self->records[self->n].id = record_id;
    self->records[self->n].data = mf_sim_alloc(data.len);
    self->records[self->n].len = data.len;
    memcpy(self->records[self->n++].data, data.ptr, data.len);
}

void mf_sim_fold_take(struct mf_sim_fold *self, const struct mf_broker *core)
{
    mf_sim_fold_clear(self);
    self->seq = mf_broker_snapshot(core, fold_put, self);
}

void mf_sim_fold_clear(struct mf_sim_fold *self)
{
    for (size_t i = 0; i < self->n; i++)
        free(self->records[i].data);
    free(self->records);
    *self = (struct mf_sim_fold){0};
}

static void record_text(const char *id, const char *data, size_t len, char *array, size_t size)
{
    const struct mf_desc *desc = NULL;
    for (unsigned i = 0; (desc = mf_record_desc(i)) && strcmp(desc->id, id) != 0; i++)
        continue;
    struct mf_arena arena = {0};
    struct mf_decode_error error;
    void *what = desc ? mf_arena_alloc(&arena, desc->size) : NULL;
    if (desc && mf_decode(desc, (struct mf_str){data, (uint32_t)len}, &arena, what, &error) == 0)
        mf_sim_text_of(desc, what, array, size);
    else
        snprintf(array, size, "?");
    mf_arena_free(&arena);
}

static bool fold_has(const struct mf_sim_fold *self, size_t hint, const char *id, const char *data,
                     size_t len)
{
    for (size_t k = 0; k < self->n; k++) {
        size_t i = (hint + k) % self->n;
        if (self->records[i].len == len && strcmp(self->records[i].id, id) == 0 &&
            memcmp(self->records[i].data, data, len) == 0)
            return true;
    }
    return false;
}

static bool fold_holds(const struct mf_sim_fold *a, const struct mf_sim_fold *b, const char *which,
                       char *ret_text, size_t size)
{
    for (size_t i = 0; i < b->n; i++) {
        if (fold_has(a, i, b->records[i].id, b->records[i].data, b->records[i].len))
            continue;
        char record[300];
        record_text(b->records[i].id, b->records[i].data, b->records[i].len, record, sizeof(record));
        snprintf(ret_text, size, "only the %s fold has %s %s", which, b->records[i].id, record);
        return false;
    }
    return true;
}

bool mf_sim_fold_equal(const struct mf_sim_fold *a, const struct mf_sim_fold *b, char *ret_text, size_t size)
{
    char one[400] = "", two[400] = "";
    bool forth = fold_holds(a, b, "second", one, sizeof(one)),
         back = fold_holds(b, a, "first", two, sizeof(two));
    if (!forth || !back)
        snprintf(ret_text, size, "%s%s%s", two, *one && *two ? "; " : "", one);
    else if (a->seq != b->seq)
        snprintf(ret_text, size, "seq %llu and %llu", (unsigned long long)a->seq, (unsigned long long)b->seq);
    return forth && back && a->seq == b->seq;
}

/* -- the store */

struct mf_sim_store *mf_sim_store_new(struct mf_sim_world *world)
{
    struct mf_sim_store *self = mf_sim_alloc(sizeof(*self));
    self->world = world;
    self->blobs = mf_map_new();
    self->oldest = 1;
    return self;
}

void mf_sim_store_destroy(struct mf_sim_store **self)
{
    struct mf_sim_store *store = *self;
    if (!store)
        return;
    *self = NULL;
    for (size_t i = 0; i < store->n_rows; i++)
        free(store->rows[i]);
    for (size_t i = 0; i < store->n_waiting; i++)
        free(store->waiting[i]);
    size_t cursor = 0;
    for (void *blob; mf_map_next(store->blobs, &cursor, &blob);)
        free(blob);
    mf_map_destroy(&store->blobs);
    mf_sim_fold_clear(&store->snapshot);
    free(store->rows);
    free(store->waiting);
    free(store);
}

static struct mf_sim_row *row_copy(const struct mf_broker_row *row)
{
    struct mf_sim_row *copy = mf_sim_alloc(sizeof(*copy) + row->subject.len + row->data.len);
    char *bytes = (char *)(copy + 1);
    memcpy(bytes, row->subject.ptr, row->subject.len);
    memcpy(bytes + row->subject.len, row->data.ptr, row->data.len);
    *copy = (struct mf_sim_row){.seq = row->seq,
                                .cause = row->cause,
                                .time_ms = row->time_ms,
                                .kind = row->kind,
                                .subject = {bytes, row->subject.len},
                                .data = {bytes + row->subject.len, row->data.len}};
    return copy;
}

void mf_sim_store_append(struct mf_sim_store *self, const struct mf_broker_row *row)
{
    uint64_t last = self->n_waiting ? self->waiting[self->n_waiting - 1]->seq : self->n_rows;
    if (row->seq != last + 1) {
        mf_sim_fail(self->world, "I6", "row %llu was handed out after row %llu", (unsigned long long)row->seq,
                    (unsigned long long)last);
        return;
    }
    void *waiting = self->waiting;
    mf_sim_grow(&waiting, self->n_waiting, &self->cap_waiting, sizeof(*self->waiting));
    self->waiting = waiting;
    self->waiting[self->n_waiting++] = row_copy(row);
}

void mf_sim_store_blob_put(struct mf_sim_store *self, struct mf_digest digest, struct mf_str bytes)
{
    if (mf_map_get(self->blobs, digest.bytes, sizeof(digest.bytes)))
        return;
    struct blob *blob = mf_sim_alloc(sizeof(*blob) + bytes.len);
    blob->digest = digest;
    blob->len = bytes.len;
    memcpy(blob->bytes, bytes.ptr, bytes.len);
    mf_map_put(self->blobs, digest.bytes, sizeof(digest.bytes), blob);
}

struct mf_str mf_sim_store_blob(const struct mf_sim_store *self, struct mf_digest digest)
{
    const struct blob *blob = mf_map_get(self->blobs, digest.bytes, sizeof(digest.bytes));
    return blob ? (struct mf_str){blob->bytes, blob->len} : (struct mf_str){0};
}

size_t mf_sim_store_waiting(const struct mf_sim_store *self)
{
    return self->n_waiting;
}

bool mf_sim_store_committing(const struct mf_sim_store *self)
{
    return self->commit_runs;
}

size_t mf_sim_store_begin(struct mf_sim_store *self)
{
    MF_CHECK(!self->commit_runs);
    self->commit_runs = true;
    size_t cursor = 0;
    for (void *blob; mf_map_next(self->blobs, &cursor, &blob);)
        ((struct blob *)blob)->committing = true;
    return self->committing = self->n_waiting;
}

uint64_t mf_sim_store_finish(struct mf_sim_store *self)
{
    MF_CHECK(self->commit_runs);
    self->commit_runs = false;
    for (size_t i = 0; i < self->committing; i++) {
        void *rows = self->rows;
        mf_sim_grow(&rows, self->n_rows, &self->cap_rows, sizeof(*self->rows));
        self->rows = rows;
        self->rows[self->n_rows++] = self->waiting[i];
        mf_sim_model_row(self->world->model, self->waiting[i]);
    }
    self->n_waiting -= self->committing;
    memmove(self->waiting, self->waiting + self->committing, self->n_waiting * sizeof(*self->waiting));
    size_t cursor = 0;
    for (void *blob; mf_map_next(self->blobs, &cursor, &blob);)
        ((struct blob *)blob)->durable |= ((struct blob *)blob)->committing;
    return self->n_rows;
}

void mf_sim_store_fill(struct mf_sim_store *self, bool full)
{
    if (self->full && !full)
        self->roomy = self->world->now;
    self->full = full;
}

mf_ms mf_sim_store_roomy_since(const struct mf_sim_store *self)
{
    return self->roomy;
}

bool mf_sim_store_is_full(const struct mf_sim_store *self)
{
    return self->full;
}

void mf_sim_store_crash(struct mf_sim_store *self)
{
    if (self->commit_runs && mf_sim_chance(self->world, 50))
        mf_sim_store_finish(self);
    self->commit_runs = false;
    if (self->n_waiting)
        mf_sim_trace(self->world, "store", "%zu rows are lost", self->n_waiting);
    for (size_t i = 0; i < self->n_waiting; i++)
        free(self->waiting[i]);
    self->n_waiting = 0;
    size_t cursor = 0;
    for (void *value; mf_map_next(self->blobs, &cursor, &value);) {
        struct blob *blob = value;
        if (!blob->durable)
            free(mf_map_del(self->blobs, blob->digest.bytes, sizeof(blob->digest.bytes)));
    }
}

/* Some old rows stay: retention is a choice of the edge, a cursor may be above or below it. */
void mf_sim_store_snapshot(struct mf_sim_store *self, struct mf_sim_fold *fold)
{
    MF_CHECK(fold->seq <= self->n_rows);
    mf_sim_fold_clear(&self->snapshot);
    self->snapshot = *fold;
    *fold = (struct mf_sim_fold){0};
    const struct mf_sim_script *script = self->world->options.script;
    uint64_t keep = script ? script->retain_rows : mf_sim_below(self->world, 200),
             oldest = self->snapshot.seq > keep ? self->snapshot.seq - keep : 1;
    if (oldest > self->oldest)
        self->oldest = oldest;
}

uint64_t mf_sim_store_oldest(const struct mf_sim_store *self)
{
    return self->oldest;
}

uint64_t mf_sim_store_newest(const struct mf_sim_store *self)
{
    return self->n_rows;
}

const struct mf_sim_row *mf_sim_store_row(const struct mf_sim_store *self, uint64_t seq)
{
    return seq && seq <= self->n_rows ? self->rows[seq - 1] : NULL;
}

int mf_sim_store_load(const struct mf_sim_store *self, struct mf_broker *core, bool whole_log, char text[256])
{
    uint64_t from = whole_log ? 0 : self->snapshot.seq;
    for (size_t i = 0; from && i < self->snapshot.n; i++) {
        struct mf_str data = {self->snapshot.records[i].data, (uint32_t)self->snapshot.records[i].len};
        int r = mf_broker_load_snapshot(core, mf_str(self->snapshot.records[i].id), data, text);
        if (r < 0)
            return r;
    }
    for (uint64_t seq = from + 1; seq <= self->n_rows; seq++) {
        const struct mf_sim_row *row = self->rows[seq - 1];
        struct mf_broker_row copy = {row->seq, row->cause, row->time_ms, row->kind, row->subject, row->data};
        int r = mf_broker_load_row(core, &copy, text);
        if (r < 0)
            return r;
    }
    return 0;
}

static bool below(struct mf_str subject, const char *prefix)
{
    size_t len = strlen(prefix);
    return !len || (subject.len >= len && memcmp(subject.ptr, prefix, len) == 0 &&
                    (subject.len == len || subject.ptr[len] == '/' || subject.ptr[len] == '#'));
}

bool mf_sim_row_passes(const struct mf_sim_row *row, const char *type, const char *subject)
{
    return strncmp(mf_kind_desc(row->kind)->wire, type, strlen(type)) == 0 && below(row->subject, subject);
}
